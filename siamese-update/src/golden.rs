//! Golden vectors: what a model must give on the device itself.

use siamese_core::checksum::checksum;
use siamese_core::{Embedder, Model};

/// Bytes of one golden vector of a model; 0 if they can't be counted.
#[must_use]
pub fn vector_len(model: &Model<'_>) -> usize {
    let pixels = model.header().input.pixels();
    pixels.saturating_add(2 * model.dim() + 8)
}

/// Whether these are one or more whole golden vectors of a model.
pub(crate) fn are_whole(model: &Model<'_>, vectors: &[u8]) -> bool {
    !vectors.is_empty() && vectors.len().is_multiple_of(vector_len(model))
}

/// Whether a network gives the integers of all vectors, in every layer.
#[inline(never)]
pub(crate) fn hold<const D: usize, const SHARED: usize, const HIDDEN1: usize>(
    network: &mut Embedder<'_, D, SHARED, HIDDEN1>,
    vectors: &[u8],
) -> bool {
    let model = network.model();
    if !are_whole(model, vectors) {
        return false;
    }
    let (pixels, length) = (model.header().input.pixels(), vector_len(model));
    vectors.chunks(length).all(|vector| {
        let Some((image, expected)) = vector.split_at_checked(pixels) else {
            return false;
        };
        let Some((coordinates, crcs)) = expected.split_at_checked(2 * D) else {
            return false;
        };
        let Ok(found) = network.embed(image) else {
            return false;
        };
        let found = found.0.iter().flat_map(|value| value.to_le_bytes());
        let layers = network.hidden().map(|layer| checksum(layer).to_le_bytes());
        found.eq(coordinates.iter().copied())
            && layers.iter().flatten().copied().eq(crcs.iter().copied())
    })
}
