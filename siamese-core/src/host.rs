//! For hosts and build scripts (feature `std`): a model in memory of its own.

use std::io;
use std::path::Path;
use std::vec::Vec;

use crate::error::{EncodeError, ModelError};
use crate::kernel;
use crate::model::{
    ALIGNMENT, Calibration, Header, Layout, Model, length, repack, repacked_len, rewrite,
};

/// A model file in memory, known to be valid, at a multiple of [`ALIGNMENT`].
///
/// In a firmware's build script, one line makes the file that its core is
/// fastest with:
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let out = std::path::PathBuf::new();
/// use siamese_core::host::OwnedModel;
///
/// std::fs::write(
///     out.join("model.siam"),
///     OwnedModel::read("model/small.siam".as_ref())?.for_core("cortex-m4")?.bytes(),
/// )?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct OwnedModel {
    /// The model's bytes from `start` on.
    memory: Vec<u8>,
    start: usize,
    length: usize,
}

impl OwnedModel {
    /// Copies the bytes of a model file.
    ///
    /// # Errors
    /// As [`Model::parse_any`].
    pub fn new(bytes: &[u8]) -> Result<Self, ModelError> {
        let mut owned = Self::zeros(bytes.len());
        owned.bytes_mut().copy_from_slice(bytes);
        Model::parse_any(owned.bytes())?;
        Ok(owned)
    }

    /// Reads a model file.
    ///
    /// # Errors
    /// Those of reading; [`io::ErrorKind::InvalidData`] with a [`ModelError`]
    /// in it if the file is no model.
    pub fn read(path: &Path) -> io::Result<Self> {
        let bytes = std::fs::read(path)?;
        Self::new(&bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// The same model with its weights in another order.
    ///
    /// # Errors
    /// As [`repack`].
    pub fn repacked(&self, layout: Layout) -> Result<Self, EncodeError> {
        let model = self.model();
        let mut packed = Self::zeros(repacked_len(&model, layout).unwrap_or(0));
        repack(&model, layout, packed.bytes_mut())?;
        Ok(packed)
    }

    /// The model with its weights in the order that a core is fastest with, by
    /// the name that compilers give it, such as `cortex-m4`; see
    /// [`Layout::for_core`]. A model with weights too large for that order
    /// keeps them in rows.
    ///
    /// # Errors
    /// As [`repack`].
    pub fn for_core(&self, core: &str) -> Result<Self, EncodeError> {
        self.or_rows(Layout::for_core(core))
    }

    /// The model with its weights in the order that this machine is fastest
    /// with, or in rows.
    ///
    /// # Errors
    /// As [`repack`].
    pub fn for_this_machine(&self) -> Result<Self, EncodeError> {
        self.or_rows(kernel::preferred())
    }

    fn or_rows(&self, layout: Layout) -> Result<Self, EncodeError> {
        match self.repacked(layout) {
            Err(EncodeError::Invalid(ModelError::Packing { .. })) => self.repacked(Layout::Rows),
            result => result,
        }
    }

    /// The same model with other calibrated distances, or with none.
    ///
    /// # Errors
    /// [`EncodeError::Invalid`] if the calibration holds an impossible value.
    pub fn calibrated(&self, calibration: Option<Calibration>) -> Result<Self, EncodeError> {
        let model = self.model();
        let header = Header {
            calibration,
            ..*model.header()
        };
        let mut calibrated = Self::zeros(length(&header, model.layout()).unwrap_or(0));
        rewrite(&model, &header, calibrated.bytes_mut())?;
        Ok(calibrated)
    }

    /// The model. Its layout may be one that only another core runs.
    #[must_use]
    pub fn model(&self) -> Model<'_> {
        // The bytes were valid when they came in, and nothing changes them.
        Model::parse_any(self.bytes()).expect("the bytes were valid before")
    }

    /// The model file.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.memory[self.start..][..self.length]
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..][..self.length]
    }

    fn zeros(length: usize) -> Self {
        let memory = std::vec![0; length + ALIGNMENT];
        let start = memory.as_ptr().align_offset(ALIGNMENT);
        Self {
            memory,
            start,
            length,
        }
    }
}

impl Clone for OwnedModel {
    fn clone(&self) -> Self {
        // Other memory has another start.
        let mut clone = Self::zeros(self.length);
        clone.bytes_mut().copy_from_slice(self.bytes());
        clone
    }
}
