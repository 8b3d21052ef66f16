//! Many images at a time.

use siamese_core::embedder::{Buffers, embed_batch};
use siamese_core::error::SizeError;
use siamese_core::model::Model;

/// Embeds batches of images with one model, in memory of its own.
///
/// ```
/// use siamese_build::{BatchEmbedder, OwnedModel};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let file = OwnedModel::read("tests/tiny.siam".as_ref())?.for_this_machine()?;
/// let mut embedder = BatchEmbedder::new(file.model());
/// let pixels = [0; 1000 * 28 * 28]; // 1000 images, one after the other
/// let mut embeddings = [0; 1000 * 2];
/// embedder.embed(&pixels, &mut embeddings)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct BatchEmbedder<'m> {
    model: Model<'m>,
    shared: Vec<u8>,
    hidden1: Vec<u8>,
}

impl<'m> BatchEmbedder<'m> {
    /// Images at a time. What is between the layers then still fits the second
    /// cache, beside a good part of a large layer's weights.
    const IMAGES: usize = 64;

    /// An embedder for `model`.
    #[must_use]
    pub fn new(model: Model<'m>) -> Self {
        let (shared, hidden1) = model.buffer_sizes();
        Self {
            model,
            shared: vec![0; shared * Self::IMAGES],
            hidden1: vec![0; hidden1 * Self::IMAGES],
        }
    }

    /// The embeddings of images, which come one after the other, in the same
    /// order; see [`embed_batch`].
    ///
    /// # Errors
    /// As [`embed_batch`].
    pub fn embed(&mut self, pixels: &[u8], embeddings: &mut [i16]) -> Result<(), SizeError> {
        let buffers = Buffers {
            shared: &mut self.shared,
            hidden1: &mut self.hidden1,
        };
        embed_batch(&self.model, pixels, buffers, embeddings)
    }
}
