//! The plan of a run: all that its network follows from.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use siamese_core::image::{BORDER, Input, Pooling};
use siamese_core::model::{LAYERS, MAX_DIM};

use super::{MODEL_BITS, Preset, Recipe};
use crate::dataset::{Class, Dataset, Images};
use crate::files::hex;

/// All that a training run follows from, but the machine's arithmetic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The named sizes that it starts from.
    pub preset: Preset,
    /// Outputs of the two hidden layers, if not the preset's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden: Option<[usize; 2]>,
    /// The coordinates of an embedding.
    pub dim: usize,
    /// The image that the network takes.
    pub input: Input,
    /// How it is trained.
    pub recipe: Recipe,
    /// The classes whose images were taken out before anything else.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub without: BTreeSet<Class>,
    /// What everything random follows from.
    pub seed: u64,
    /// SHA-256 of the training images and labels, in hexadecimal.
    pub data_digest: String,
}

impl Plan {
    /// The plan to train `preset` with `dim` coordinates on `train`, all of it.
    ///
    /// # Errors
    /// If the images are too large.
    pub fn new(
        preset: Preset,
        dim: usize,
        recipe: Recipe,
        seed: u64,
        train: &Dataset,
    ) -> Result<Self> {
        let side = |pixels: usize| {
            u16::try_from(pixels)
                .with_context(|| format!("images of {pixels} pixels a side are too large"))
        };
        let input = preset.input(
            side(train.images.width())?,
            side(train.images.height())?,
            dim,
            has_empty_border(&train.images),
        );
        let digest = Sha256::new()
            .chain_update(train.images.pixels())
            .chain_update(label_bytes(&train.labels))
            .finalize();
        Ok(Self {
            preset,
            hidden: None,
            dim,
            input,
            recipe,
            without: BTreeSet::new(),
            seed,
            data_digest: hex(&digest),
        })
    }

    /// Checks that a model file can hold the network.
    ///
    /// # Errors
    /// One sentence on the layer that it can't.
    pub fn check(&self) -> Result<()> {
        let Input { width, height, .. } = self.input;
        ensure!(
            (1..=usize::from(u16::MAX)).contains(&self.input.activations()),
            "images of {width}x{height} pixels don't fit the first layer, which takes 1 to {} inputs",
            u16::MAX
        );
        ensure!(
            !self.recipe.symmetries || width == height,
            "only square images can be turned and mirrored, not {width}x{height} pixels; \
             use --symmetries false"
        );
        ensure!(
            self.recipe.pixel_bits == MODEL_BITS || self.input.pooling == Pooling::None,
            "pixels of 8 bits can't be pooled: use --pooling none, or --pixel-bits {MODEL_BITS}"
        );
        for outputs in self.hidden() {
            ensure!(
                (1..=usize::from(u16::MAX)).contains(&outputs),
                "a hidden layer of {outputs} units is not possible; it has 1 to {}",
                u16::MAX
            );
        }
        ensure!(
            (1..=MAX_DIM).contains(&self.dim),
            "an embedding of {} coordinates is not possible; it has 1 to {MAX_DIM}",
            self.dim
        );
        Ok(())
    }

    /// SHA-256 of the plan's JSON: the training digest in a model's header.
    ///
    /// # Panics
    /// Never: a plan is always writable as JSON.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let json = serde_json::to_vec(self).expect("a plan is writable as JSON");
        Sha256::digest(json).into()
    }

    /// Outputs of the two hidden layers.
    #[must_use]
    pub fn hidden(&self) -> [usize; 2] {
        self.hidden
            .unwrap_or(self.preset.hidden(self.input.pooling))
    }

    /// Inputs and outputs of the three layers.
    #[must_use]
    pub fn shapes(&self) -> [(usize, usize); LAYERS] {
        let [first, second] = self.hidden();
        [
            (self.input.activations(), first),
            (first, second),
            (second, self.dim),
        ]
    }
}

/// The most of the ink that an empty border may hold. MNIST's images have 0.0024 of theirs there.
const EMPTY: f64 = 0.01;

/// Whether what [`Pooling::Inner2x2`] leaves out holds next to nothing of these images.
fn has_empty_border(images: &Images) -> bool {
    let (width, height) = (images.width(), images.height());
    let (mut inside, mut all) = (0u64, 0u64);
    for image in images {
        for (row, pixels) in image.chunks_exact(width).enumerate() {
            let sum = |pixels: &[u8]| -> u64 { pixels.iter().copied().map(u64::from).sum() };
            all += sum(pixels);
            if (BORDER..height.saturating_sub(BORDER)).contains(&row) {
                inside += pixels
                    .get(BORDER..width.saturating_sub(BORDER))
                    .map_or(0, sum);
            }
        }
    }
    all > 0 && (all - inside) as f64 <= EMPTY * all as f64
}

/// The labels for the digest: a byte each where all fit in one, as in the IDX
/// file that they came from, otherwise two, the lower first.
fn label_bytes(labels: &[Class]) -> Vec<u8> {
    let narrow: Result<Vec<u8>, _> = labels.iter().map(|&label| u8::try_from(label)).collect();
    narrow.unwrap_or_else(|_| {
        labels
            .iter()
            .flat_map(|label| label.to_le_bytes())
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_border_is_empty_if_nearly_all_ink_is_inside() {
        let images = |outside: u8, inside: u8| {
            let mut pixels = vec![outside; 8 * 7];
            for (index, pixel) in pixels.iter_mut().enumerate() {
                let (x, y) = (index % 8, index / 8);
                if (2..6).contains(&x) && (2..5).contains(&y) {
                    *pixel = inside;
                }
            }
            Images::new(8, 7, pixels).unwrap()
        };
        assert!(has_empty_border(&images(0, 9)));
        // 44 pixels of 1 around 12 of 250: 0.0145 of the ink is outside, and half as much of both.
        assert!(!has_empty_border(&images(1, 250)));
        let mut twice = images(0, 255).pixels().to_vec();
        twice.extend_from_slice(images(1, 255).pixels());
        assert!(has_empty_border(&Images::new(8, 7, twice).unwrap()));
        // Nothing at all, and nothing that isn't border.
        assert!(!has_empty_border(&images(0, 0)));
        assert!(!has_empty_border(&Images::new(4, 2, vec![1; 16]).unwrap()));
    }
}
