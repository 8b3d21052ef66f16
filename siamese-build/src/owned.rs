//! A model file in memory of its own.

use std::io;
use std::path::Path;

use siamese_core::error::{EncodeError, ModelError};
use siamese_core::kernel;
use siamese_core::model::{
    Calibration, Header, Layout, Model, first_section, repack, repack_bytes, repacked_bytes_len,
    repacked_len, rewrite, rewritten_len,
};

use crate::Core;

/// Bytes of a line of the cache. Where each vector of weights lies across two, an
/// embedding takes up to half as long again.
const LINE: usize = 64;

/// A model file in memory, known to be valid, at a multiple of [`ALIGNMENT`](siamese_core::model::ALIGNMENT),
/// and such that the weights of the first layer, and of others that follow
/// multiples of 64 rows, start in a new line of the cache.
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
        let mut owned = Self::zeros(bytes.len(), first_section(bytes));
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
        let length = repacked_len(&model, layout).unwrap_or(0);
        let mut packed = Self::zeros(length, first_section(self.bytes()));
        repack(&model, layout, packed.bytes_mut())?;
        Ok(packed)
    }

    /// [`repacked`](Self::repacked), with a byte for each weight of fewer bits.
    fn in_bytes(&self, layout: Layout) -> Result<Self, EncodeError> {
        let model = self.model();
        let length = repacked_bytes_len(&model, layout).unwrap_or(0);
        let mut packed = Self::zeros(length, first_section(self.bytes()));
        repack_bytes(&model, layout, packed.bytes_mut())?;
        Ok(packed)
    }

    /// The model with its weights in the order that a core is fastest with. A
    /// model with weights too large for that order keeps them in rows.
    ///
    /// # Errors
    /// As [`repack`].
    pub fn for_core(&self, core: Core) -> Result<Self, EncodeError> {
        self.or_rows(core.layout())
    }

    /// The model with its weights in the order that this machine is fastest
    /// with, or in rows. Weights of fewer than 8 bits become bytes where vectors multiply
    /// those faster than lanes are added.
    ///
    /// # Errors
    /// As [`repack`].
    pub fn for_this_machine(&self) -> Result<Self, EncodeError> {
        let layout = kernel::preferred();
        if self.model().has_lanes() && layout == Layout::WideTiles {
            return self.in_bytes(layout);
        }
        self.or_rows(layout)
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
        let mut bytes = vec![0; rewritten_len(&model, &header).unwrap_or(0)];
        rewrite(&model, &header, &mut bytes)?;
        Self::new(&bytes).map_err(EncodeError::Invalid)
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

    /// Memory for a file whose weights start at `weights`.
    fn zeros(length: usize, weights: usize) -> Self {
        let memory = vec![0; length + 2 * LINE];
        // Sections start at multiples of 16, which divides LINE.
        let before = weights.next_multiple_of(LINE) - weights;
        let start = memory.as_ptr().align_offset(LINE) + before;
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
        let mut clone = Self::zeros(self.length, first_section(self.bytes()));
        clone.bytes_mut().copy_from_slice(self.bytes());
        clone
    }
}
