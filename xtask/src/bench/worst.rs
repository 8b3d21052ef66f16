//! Images that cost as much as an image can, or nearly.

use anyhow::Result;
use siamese_build::cost::Work;
use siamese_core::model::Model;

/// Images that are tried on a device.
const TRIED: usize = 8;
/// Images of noise that are looked at here.
const NOISE: u64 = 512;

/// The dearest among even greys and noise without background, each with its
/// name. A device skips zeros, so the products that are left tell the cost.
pub fn candidates(model: &Model<'_>) -> Result<Vec<(String, Vec<u8>)>> {
    let pixels = model.header().input.pixels();
    let greys = (1..=255).map(|grey| (format!("grey {grey}"), vec![grey; pixels]));
    let noise = (0..NOISE).map(|seed| (format!("noise {seed}"), noise(seed, pixels)));
    let mut costs = Vec::new();
    for (name, image) in greys.chain(noise) {
        let work = Work::of(model, [&image[..]])?.unwrap_or_default();
        // A word has eight weights.
        costs.push((work.products + 8.0 * work.all_words(), name, image));
    }
    costs.sort_by(|(a, ..), (b, ..)| b.total_cmp(a));
    costs.truncate(TRIED);
    Ok(costs
        .into_iter()
        .map(|(_, name, image)| (name, image))
        .collect())
}

/// Grey values of 1 to 255: a 32-bit xorshift generator (Marsaglia, 2003).
fn noise(seed: u64, pixels: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32 ^ (seed as u32).wrapping_mul(0x85eb_ca6b);
    let next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as u8 | 1
    };
    std::iter::repeat_with(next).take(pixels).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_has_no_background_and_no_two_images_are_the_same() {
        let (first, second) = (noise(0, 784), noise(1, 784));
        assert_ne!(first, second);
        assert!(first.iter().chain(&second).all(|&pixel| pixel > 0));
    }
}
