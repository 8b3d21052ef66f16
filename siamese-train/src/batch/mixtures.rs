//! Classes that nobody wrote: images made of two, half beside half, or one on top
//! of the other.

use std::collections::BTreeMap;

use rand::Rng;
use rand::seq::IndexedRandom;

use crate::batch::augment::SYMMETRIES;
use crate::dataset::Class;

/// The classes of one batch that are mixtures, and what of.
#[derive(Debug, Default)]
pub struct Mixtures {
    /// By the label that the images have without.
    recipes: BTreeMap<i64, Mixture>,
    /// The batch's images by class.
    members: BTreeMap<Class, Vec<u32>>,
}

/// What a class is mixed with.
#[derive(Debug, Clone, Copy)]
pub struct Mixture {
    /// The other class.
    class: Class,
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
        images: &[(u32, Class)],
        labels: &[i64],
        share: f64,
        symmetries: usize,
        generator: &mut impl Rng,
    ) -> Self {
        let mut members: BTreeMap<Class, Vec<u32>> = BTreeMap::new();
        for &(image, class) in images {
            members.entry(class).or_default().push(image);
        }
        let classes: Vec<Class> = members.keys().copied().collect();
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// Twelve images of the classes 5, 6 and 7, with labels of their own.
    fn drawn(share: f64, seed: u64) -> Mixtures {
        let images: Vec<(u32, Class)> = (0..12)
            .map(|image| (image, 5 + (image % 3) as Class))
            .collect();
        let labels: Vec<i64> = images
            .iter()
            .map(|&(_, class)| i64::from(class) * 8)
            .collect();
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        Mixtures::draw(&images, &labels, share, SYMMETRIES, &mut generator)
    }

    #[test]
    fn a_label_is_mixed_with_one_class_all_through_a_batch() {
        let mut generator = ChaCha8Rng::seed_from_u64(1);
        let mut partners = BTreeSet::new();
        for seed in 0..50 {
            let mixtures = drawn(1.0, seed);
            for label in [40, 48, 56] {
                let classes: BTreeSet<u32> = (0..20)
                    .map(|_| mixtures.partner(label, &mut generator).unwrap().0 % 3)
                    .collect();
                assert_eq!(classes.len(), 1, "one class, in different images");
                let (image, mixture) = mixtures.partner(label, &mut generator).unwrap();
                partners.insert((image % 3, mixture.symmetry));
            }
            assert!(mixtures.partner(64, &mut generator).is_none());
        }
        // Of 24 that are possible, most come up.
        assert!(partners.len() > 20, "{partners:?}");
    }

    #[test]
    fn the_share_of_mixed_labels_is_the_one_asked_for() {
        let mut generator = ChaCha8Rng::seed_from_u64(1);
        let mut mixed = |share| {
            let mut count = 0;
            for seed in 0..400 {
                let mixtures = drawn(share, seed);
                for label in [40, 48, 56] {
                    count += usize::from(mixtures.partner(label, &mut generator).is_some());
                }
            }
            count
        };
        assert_eq!((mixed(0.0), mixed(1.0)), (0, 1200));
        // Five standard deviations of 1,200 draws.
        assert!((mixed(0.25) as f64 - 300.0).abs() < 75.0);
    }

    #[test]
    fn halves_lie_beside_each_other_and_the_brighter_on_top() {
        let mixed = |join| {
            let mixture = Mixture {
                class: 0,
                symmetry: 0,
                join,
            };
            let mut image = [10, 20, 30, 40];
            mixture.mix(2, &mut image, &[25, 15, 35, 5]);
            image
        };
        let half = |vertical, upper| mixed(Join::Half { vertical, upper });
        assert_eq!(half(true, true), [25, 15, 30, 40]);
        assert_eq!(half(true, false), [10, 20, 35, 5]);
        assert_eq!(half(false, true), [25, 20, 35, 40]);
        assert_eq!(half(false, false), [10, 15, 30, 5]);
        assert_eq!(mixed(Join::Over), [25, 20, 35, 40]);
    }
}
