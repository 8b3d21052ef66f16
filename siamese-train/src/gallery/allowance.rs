//! How far out what a network knows lies on its map, and what a threshold allows for it.

use siamese_core::gallery::allowed;

use crate::embed::IntEmbeddings;

/// The allowance that is tried, in 256ths of a squared norm: see
/// [`Calibration::allowance`](siamese_core::model::Calibration::allowance). A quarter
/// is about where it serves new classes best, and leaves something for a threshold
/// to judge even where one image in a hundred is accepted.
pub const ALLOWANCE: u8 = 64;

/// The allowances that a network may be calibrated with: more than none only if the
/// middle of what it knows is at the origin, as `train` lays it.
#[must_use]
pub fn allowances(embeddings: &IntEmbeddings, classes: &[Vec<usize>]) -> &'static [u8] {
    let (middle, extent) = (middle(embeddings, classes), extent(embeddings, classes));
    let off: f64 = middle.iter().map(|coordinate| coordinate.powi(2)).sum();
    // An eighth of the way out.
    if off * 64.0 <= extent {
        &[0, ALLOWANCE]
    } else {
        &[0]
    }
}

/// What a threshold judges, in squared steps:
/// [`excess`](siamese_core::gallery::excess), but below 0 where a device sees 0.
#[must_use]
pub const fn signed_excess(distance_squared: u64, norm_squared: u64, allowance: u8) -> i64 {
    // Both are below 2^40.
    distance_squared.cast_signed() - allowed(norm_squared, allowance).cast_signed()
}

/// The middle of the means of some classes, in steps; none of them is empty.
#[must_use]
pub fn middle(embeddings: &IntEmbeddings, classes: &[Vec<usize>]) -> Vec<f64> {
    let mut middle = vec![0.0f64; embeddings.dim];
    for members in classes {
        let weight = 1.0 / (members.len().max(1) * classes.len()) as f64;
        for &member in members {
            let steps = embeddings.get(member).iter();
            for (sum, &step) in middle.iter_mut().zip(steps) {
                *sum += weight * f64::from(step);
            }
        }
    }
    middle
}

/// The mean squared distance, in squared steps, of the classes' images from the
/// [`middle`] of the classes, every class weighing the same.
#[must_use]
pub fn extent(embeddings: &IntEmbeddings, classes: &[Vec<usize>]) -> f64 {
    let middle = middle(embeddings, classes);
    let of_class = |members: &Vec<usize>| {
        let from_middle = members
            .iter()
            .map(|&member| distance_to(embeddings.get(member), &middle));
        from_middle.sum::<f64>() / members.len().max(1) as f64
    };
    classes.iter().map(of_class).sum::<f64>() / classes.len().max(1) as f64
}

/// The squared distance of an embedding from any point, in squared steps.
#[must_use]
pub fn distance_to(embedding: &[i16], point: &[f64]) -> f64 {
    let steps = embedding.iter().zip(point);
    steps
        .map(|(&step, coordinate)| (f64::from(step) - coordinate).powi(2))
        .sum()
}
