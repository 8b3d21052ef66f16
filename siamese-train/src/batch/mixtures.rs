//! Classes that nobody wrote: images made of two, half beside half, or one on top
//! of the other.

use std::collections::BTreeMap;

use rand::Rng;
use rand::seq::IndexedRandom;

use crate::batch::augment::SYMMETRIES;

/// The classes of one batch that are mixtures, and what of.
#[derive(Debug, Default)]
pub struct Mixtures {
    /// By the label that the images have without.
    recipes: BTreeMap<i64, Mixture>,
    /// The batch's images by class.
    members: BTreeMap<u16, Vec<u32>>,
}

/// What a class is mixed with.
#[derive(Debug, Clone, Copy)]
pub struct Mixture {
    /// The other class.
    class: u16,
    /// The way in which its images are laid.
    pub symmetry: usize,
    join: Join,
}

/// How two images become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Join {
    /// The other's upper, lower, left or right half.
    Half { vertical: bool, upper: bool },
    /// The brighter pixel of the two.
    Over,
}

impl Mixtures {
    /// Draws which of a batch's labels become mixtures, about `share` of them, and
    /// of what; `images` are the batch's with the class of each, `symmetries`
    /// the ways that partners may be laid.
    pub fn draw(
        images: &[(u32, u16)],
        labels: &[i64],
        share: f64,
        symmetries: usize,
        generator: &mut impl Rng,
    ) -> Self {
        let mut members: BTreeMap<u16, Vec<u32>> = BTreeMap::new();
        for &(image, class) in images {
            members.entry(class).or_default().push(image);
        }
        let classes: Vec<u16> = members.keys().copied().collect();
        let mut all: Vec<i64> = labels.to_vec();
        all.sort_unstable();
        all.dedup();
        let mut recipes = BTreeMap::new();
        for label in all {
            // Drawn for every label, so that the share doesn't change what is drawn.
            let mixed = generator.random_bool(share);
            let class = classes.choose(generator).copied().unwrap_or_default();
            let symmetry = generator.random_range(0..symmetries.clamp(1, SYMMETRIES));
            let join = match generator.random_range(0..6) {
                0..2 => Join::Over,
                side => Join::Half {
                    vertical: side & 1 == 0,
                    upper: side < 4,
                },
            };
            if mixed {
                recipes.insert(
                    label,
                    Mixture {
                        class,
                        symmetry,
                        join,
                    },
                );
            }
        }
        Self { recipes, members }
    }

    /// What the images of a label are mixed with, and one of the images for it.
    pub fn partner(&self, label: i64, generator: &mut impl Rng) -> Option<(u32, Mixture)> {
        let mixture = *self.recipes.get(&label)?;
        let image = self.members.get(&mixture.class)?.choose(generator)?;
        Some((*image, mixture))
    }
}

impl Mixture {
    /// Mixes an image `width` pixels wide with another of the same size.
    pub fn mix(&self, width: usize, image: &mut [u8], other: &[u8]) {
        let height = image.len() / width.max(1);
        for (row, (line, others)) in image
            .chunks_exact_mut(width)
            .zip(other.chunks_exact(width))
            .enumerate()
        {
            for (column, (pixel, &other)) in line.iter_mut().zip(others).enumerate() {
                *pixel = match self.join {
                    Join::Over => other.max(*pixel),
                    Join::Half { vertical, upper } => {
                        let first = if vertical {
                            row < height / 2
                        } else {
                            column < width / 2
                        };
                        if first == upper { other } else { *pixel }
                    }
                };
            }
        }
    }
}
