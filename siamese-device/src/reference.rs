//! What a device must answer.

use siamese_core::checksum::checksum;
use siamese_core::embedder::{Buffers, embed_into};
use siamese_core::{Model, SizeError};
use siamese_link::Embedded;

/// The integer path on this machine, in the form of a device's answers.
#[derive(Debug, Clone)]
pub struct Reference<'m> {
    model: Model<'m>,
    shared: Vec<u8>,
    hidden1: Vec<u8>,
    embedding: Vec<i16>,
}

impl<'m> Reference<'m> {
    /// The answers of a device that runs `model`.
    #[must_use]
    pub fn new(model: Model<'m>) -> Self {
        let (shared, hidden1) = model.buffer_sizes();
        Self {
            shared: vec![0; shared],
            hidden1: vec![0; hidden1],
            embedding: vec![0; model.dim()],
            model,
        }
    }

    /// An image's coordinates in integer steps, and the checksums of its two
    /// hidden layers: what [`Embedded`](crate::Embedded) must hold.
    ///
    /// # Errors
    /// [`SizeError::Image`] if the image has not the model's number of pixels.
    pub fn embed(&mut self, pixels: &[u8]) -> Result<(&[i16], [u32; 2]), SizeError> {
        let buffers = Buffers {
            shared: &mut self.shared,
            hidden1: &mut self.hidden1,
        };
        embed_into(&self.model, pixels, buffers, &mut self.embedding)?;
        let [first, second, _] = self.model.layers();
        let hidden = [
            checksum(&self.hidden1[..first.outputs()]),
            checksum(&self.shared[..second.outputs()]),
        ];
        Ok((&self.embedding, hidden))
    }

    /// The numbers of the images whose answers differ from this machine's, in
    /// any coordinate or hidden layer; those without an answer are among them.
    ///
    /// # Errors
    /// As [`embed`](Self::embed).
    pub fn differing<I: AsRef<[u8]>>(
        &mut self,
        images: &[I],
        answers: &[Embedded],
    ) -> Result<Vec<usize>, SizeError> {
        let mut differing = Vec::new();
        for (number, image) in images.iter().enumerate() {
            let expected = self.embed(image.as_ref())?;
            let answer = answers.get(number);
            let answer = answer.map(|answer| (answer.coordinates.as_slice(), answer.hidden_crc));
            if answer != Some(expected) {
                differing.push(number);
            }
        }
        Ok(differing)
    }
}
