//! Golden vectors as a file has them: images, and what every layer of a model gives
//! for them, computed by libtorch's integers.

use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use safetensors::SafeTensors;
use siamese_core::checksum::checksum;

use crate::limit;

/// Images at the end of a file that strain the arithmetic: black, white, stripes, noise.
pub const ADVERSARIAL: usize = 16;

/// Golden vectors of a model.
#[derive(Debug, Clone)]
pub struct Golden {
    pixels: Rows,
    hidden: [Rows; 2],
    embedding: Rows,
    coordinates: Vec<i16>,
}

/// One golden vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vector<'g> {
    /// The image: grey values, row-major.
    pub pixels: &'g [u8],
    /// The checksums of the two hidden layers' activations.
    pub hidden_crc: [u32; 2],
    /// The coordinates in integer steps.
    pub embedding: &'g [i16],
}

/// A tensor with a row an image.
#[derive(Debug, Clone)]
struct Rows {
    bytes: Vec<u8>,
    row: usize,
}

impl Rows {
    fn get(&self, index: usize) -> &[u8] {
        &self.bytes[index * self.row..][..self.row]
    }
}

impl Golden {
    /// Reads the file that `train` and `import` write beside a model.
    ///
    /// # Errors
    /// If it is not there, or of another form.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = limit::read(path).map_err(|error| {
            anyhow!(
                "cannot open {} ({error}); `train` and `import` write it beside the model",
                path.display()
            )
        })?;
        Self::parse(&bytes).with_context(|| format!("cannot use {}", path.display()))
    }

    /// The same for a file's bytes.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        limit::check_safetensors(bytes)?;
        let tensors = SafeTensors::deserialize(bytes)?;
        let mut images = None;
        let mut rows = |name: &str| -> Result<Rows> {
            let tensor = tensors.tensor(name)?;
            let count = tensor.shape().first().copied().unwrap_or(0);
            ensure!(
                count > 0 && *images.get_or_insert(count) == count,
                "{name} has rows for {count} images"
            );
            let row = tensor.data().len() / count;
            ensure!(row > 0, "the rows of {name} are empty");
            Ok(Rows {
                bytes: tensor.data().to_vec(),
                row,
            })
        };
        let (pixels, hidden) = (rows("pixels")?, [rows("hidden1")?, rows("hidden2")?]);
        let embedding = rows("embedding")?;
        let (pairs, rest) = embedding.bytes.as_chunks::<2>();
        ensure!(
            rest.is_empty() && embedding.row.is_multiple_of(2),
            "embedding isn't of 16-bit integers"
        );
        let coordinates = pairs.iter().map(|&pair| i16::from_le_bytes(pair)).collect();
        Ok(Self {
            pixels,
            hidden,
            embedding,
            coordinates,
        })
    }

    /// The number of vectors.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.pixels.bytes.len() / self.pixels.row
    }

    /// Whether there is none, which never is.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The images of the test set among them, without those after them that strain the
    /// arithmetic and show nothing.
    pub fn typical(&self) -> impl Iterator<Item = &[u8]> {
        let typical = self.len().saturating_sub(ADVERSARIAL);
        (0..typical).map(|index| self.pixels.get(index))
    }

    /// The vectors in their order.
    pub fn iter(&self) -> impl Iterator<Item = Vector<'_>> {
        let dim = self.embedding.row / 2;
        (0..self.len()).map(move |index| Vector {
            pixels: self.pixels.get(index),
            hidden_crc: [0, 1].map(|layer: usize| checksum(self.hidden[layer].get(index))),
            embedding: &self.coordinates[index * dim..][..dim],
        })
    }
}
