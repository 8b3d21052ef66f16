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
pub(crate) fn hold<const D: usize, const SHARED: usize, const HIDDEN1: usize>(
    network: &mut Embedder<'_, D, SHARED, HIDDEN1>,
    vectors: &[u8],
) -> bool {
    let model = *network.model();
    are_whole(&model, vectors)
        && all_hold(&model, vectors, &mut |image, expected| {
            network.embed(image).is_ok_and(|point| {
                let [first, second] = network.hidden();
                is_expected(&point.0, first, second, expected)
            })
        })
}

/// Whether all vectors hold, by what says of an image and its integers whether they do.
fn all_hold(
    model: &Model<'_>,
    vectors: &[u8],
    holds: &mut dyn FnMut(&[u8], &[u8]) -> bool,
) -> bool {
    let pixels = model.header().input.pixels();
    vectors.chunks(vector_len(model).max(1)).all(|vector| {
        vector
            .split_at_checked(pixels)
            .is_some_and(|(image, expected)| holds(image, expected))
    })
}

/// Whether these are the integers of a vector, which stand behind its image.
#[inline(never)]
fn is_expected(point: &[i16], first: &[u8], second: &[u8], expected: &[u8]) -> bool {
    let (pairs, crcs) = expected
        .as_chunks::<2>()
        .0
        .split_at_checked(point.len())
        .unwrap_or_default();
    let same = pairs.len() == point.len()
        && pairs
            .iter()
            .zip(point)
            .all(|(pair, value)| i16::from_le_bytes(*pair) == *value);
    let crc = |bytes: Option<&[u8; 4]>, layer| {
        bytes.is_some_and(|&bytes| u32::from_le_bytes(bytes) == checksum(layer))
    };
    let (crcs, rest) = crcs.as_flattened().as_chunks::<4>();
    same && rest.is_empty()
        && crcs.len() == 2
        && crc(crcs.first(), first)
        && crc(crcs.last(), second)
}
