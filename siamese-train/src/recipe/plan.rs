//! The plan of a run: all that its network follows from.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use siamese_core::image::{BORDER, Input, MAX_DESKEWED_SIDE, Pooling};
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
        ensure!(
            !self.input.deskew || width.max(height) <= MAX_DESKEWED_SIDE,
            "only images of up to {MAX_DESKEWED_SIDE} pixels a side can be deskewed, not \
             {width}x{height}: use --deskew never, or smaller images"
        );
        ensure!(
            !self.input.deskew || self.recipe.pixel_bits == MODEL_BITS,
            "pixels of 8 bits can't be deskewed: use --deskew never, or --pixel-bits {MODEL_BITS}"
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

/// What deskewing must take off the share of a dataset's variance that is within classes. It
/// takes 0.08 off MNIST's, and adds to Fashion-MNIST's.
const UPRIGHT: f64 = 0.05;

/// As many images tell.
const LOOKED_AT: usize = 10_000;

/// Whether images of a class are more alike once they are deskewed: by the share of the variance
/// of activations that is within classes.
#[must_use]
pub fn are_slanted(train: &Dataset) -> bool {
    let (width, height) = (train.images.width(), train.images.height());
    let longest = width.max(height);
    if longest > MAX_DESKEWED_SIDE.into() {
        return false;
    }
    let [skewed, upright] = [false, true].map(|deskew| {
        let input = Input {
            width: width as u16,
            height: height as u16,
            pooling: Pooling::None,
            deskew,
        };
        share_within_classes(train, input)
    });
    upright < (1.0 - UPRIGHT) * skewed
}

/// The share of the variance of activations that is within classes, over some of the images.
fn share_within_classes(train: &Dataset, input: Input) -> f64 {
    let mut activations = vec![0; input.activations()];
    // Of each class, and of all: how many images, the sum of each activation and of all squares.
    let mut classes: BTreeMap<Class, (f64, Vec<f64>)> = BTreeMap::new();
    let mut squares = 0.0;
    let each = train.len().div_ceil(LOOKED_AT).max(1);
    for (image, &label) in train.images.iter().zip(&train.labels).step_by(each) {
        input.quantise(image, &mut activations);
        let (count, sums) = classes
            .entry(label)
            .or_insert_with(|| (0.0, vec![0.0; activations.len()]));
        *count += 1.0;
        for (sum, &activation) in sums.iter_mut().zip(&activations) {
            let activation = f64::from(activation);
            *sum += activation;
            squares += activation * activation;
        }
    }
    let mut whole = (0.0, vec![0.0; activations.len()]);
    let explained = |(count, sums): &(f64, Vec<f64>)| -> f64 {
        sums.iter().map(|sum| sum * sum).sum::<f64>() / count
    };
    let mut within = squares;
    for class in classes.values() {
        within -= explained(class);
        whole.0 += class.0;
        for (all, sum) in whole.1.iter_mut().zip(&class.1) {
            *all += sum;
        }
    }
    within / (squares - explained(&whole))
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
    fn images_are_slanted_if_that_is_not_their_class() {
        // Strokes, of two classes that are long and short, or that lean to either side.
        let strokes = |by_length: bool| {
            let (mut pixels, mut labels) = (Vec::new(), Vec::new());
            for number in 0..200 {
                let (lean, long) = (f64::from(number % 10) / 9.0 - 0.5, number / 10 % 2);
                let rows = if long == 1 { 0..16 } else { 5..11 };
                let mut image = [0; 16 * 16];
                for y in rows {
                    let x = (7.5 + lean * (y as f64 - 7.5)).round() as usize;
                    image[y * 16 + x] = 255;
                }
                pixels.extend(image);
                labels.push(if by_length {
                    long
                } else {
                    u16::from(lean > 0.0)
                });
            }
            Dataset::new(Images::new(16, 16, pixels).unwrap(), labels).unwrap()
        };
        assert!(are_slanted(&strokes(true)));
        assert!(!are_slanted(&strokes(false)));
        let blank = Dataset::new(Images::new(2, 2, vec![0; 8]).unwrap(), vec![0, 1]).unwrap();
        assert!(!are_slanted(&blank));
    }

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
