//! Which images a training step sees: a pure function of seed and step, so
//! that a resumed run continues with the very batches it would have had.

use crate::dataset::{Class, class_slots};
use anyhow::ensure;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::batch::augment::SYMMETRIES;
use crate::recipe::{Pairing, Sampling};

/// Draws the images of each step.
#[derive(Debug, Clone)]
pub struct Sampler {
    /// Image indices by class; only classes that have images.
    classes: Vec<Vec<u32>>,
    images: u32,
    batch: usize,
    sampling: Sampling,
    pairing: Pairing,
    seed: u64,
}

impl Sampler {
    /// A sampler of batches of `batch` images (even) from images with `labels`.
    ///
    /// # Errors
    /// If balanced sampling finds fewer than two classes.
    pub fn new(
        labels: &[Class],
        batch: usize,
        sampling: Sampling,
        pairing: Pairing,
        seed: u64,
    ) -> anyhow::Result<Self> {
        let mut classes = vec![Vec::new(); class_slots(labels)];
        for (index, &label) in (0u32..).zip(labels) {
            classes[usize::from(label)].push(index);
        }
        classes.retain(|members| !members.is_empty());
        ensure!(
            classes.len() >= 2,
            "training needs images of at least two classes; these have {}",
            classes.len()
        );
        Ok(Self {
            classes,
            images: labels.len() as u32,
            batch,
            sampling,
            pairing,
            seed,
        })
    }

    /// The generator of everything that is random in step `step`.
    #[must_use]
    pub fn generator(&self, step: u64) -> ChaCha8Rng {
        let mut generator = ChaCha8Rng::seed_from_u64(self.seed);
        generator.set_stream(step);
        generator
    }

    /// The image indices of one step, drawn from `generator`. With drawn
    /// pairs, image `i` of the first half belongs to image `i` of the second.
    pub fn draw(&self, generator: &mut impl Rng) -> Vec<u32> {
        match (self.sampling, self.pairing) {
            (Sampling::Random, _) => (0..self.batch)
                .map(|_| generator.random_range(0..self.images))
                .collect(),
            (Sampling::Stratified, _) => {
                let mut images = self.draw_uniform_classes(generator);
                images.shuffle(generator);
                images
            }
            (Sampling::Balanced, Pairing::All) => self.draw_uniform_classes(generator),
            (Sampling::Balanced, Pairing::Drawn) => self.draw_balanced_pairs(generator),
        }
    }

    /// The symmetry in which each of the `batch` images is seen, where each
    /// symmetry makes a class of its own: all of them as often in every class,
    /// if the batch holds classes evenly.
    pub fn draw_symmetries(&self, generator: &mut impl Rng) -> impl Iterator<Item = usize> {
        let first = generator.random_range(0..SYMMETRIES);
        let classes = self.classes.len();
        (0..self.batch).map(move |place| (first + place / classes) % SYMMETRIES)
    }

    /// As many images of every class; the classes that get one more, when the
    /// batch doesn't divide evenly, change from step to step.
    fn draw_uniform_classes(&self, generator: &mut impl Rng) -> Vec<u32> {
        let first = generator.random_range(0..self.classes.len());
        let classes = self.classes.iter().cycle().skip(first);
        classes
            .take(self.batch)
            .filter_map(|members| members.choose(generator).copied())
            .collect()
    }

    /// Same and different pairs in turn; the classes of a pair are uniform.
    fn draw_balanced_pairs(&self, generator: &mut impl Rng) -> Vec<u32> {
        let pairs = self.batch / 2;
        let mut images = vec![0; self.batch];
        for pair in 0..pairs {
            let first = generator.random_range(0..self.classes.len());
            let second = match pair % 2 {
                0 => first,
                // One of the other classes, uniformly.
                _ => (first + generator.random_range(1..self.classes.len())) % self.classes.len(),
            };
            for (slot, class) in [(pair, first), (pairs + pair, second)] {
                let members = &self.classes[class];
                images[slot] = members[generator.random_range(0..members.len())];
            }
        }
        images
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1,000 labels: class 0 has 901 images, the classes 1 to 9 eleven each.
    fn uneven_labels() -> Vec<Class> {
        (0..1000u32)
            .map(|i| if i < 901 { 0 } else { (1 + i % 9) as Class })
            .collect()
    }

    fn drawn(sampling: Sampling, pairing: Pairing, steps: u64) -> Vec<Vec<Class>> {
        let labels = uneven_labels();
        let sampler = Sampler::new(&labels, 100, sampling, pairing, 7).unwrap();
        (0..steps)
            .map(|step| sampler.draw(&mut sampler.generator(step)))
            .map(|images| images.iter().map(|&i| labels[i as usize]).collect())
            .collect()
    }

    #[test]
    fn balanced_batches_hold_every_class_equally() {
        for batch in drawn(Sampling::Balanced, Pairing::All, 20) {
            for class in 0..10 {
                assert_eq!(batch.iter().filter(|&&label| label == class).count(), 10);
            }
        }
    }

    #[test]
    fn stratified_pairs_are_of_one_class_by_chance() {
        let mut same = 0;
        for batch in drawn(Sampling::Stratified, Pairing::Drawn, 200) {
            for class in 0..10 {
                assert_eq!(batch.iter().filter(|&&label| label == class).count(), 10);
            }
            let (first, second) = batch.split_at(50);
            same += first.iter().zip(second).filter(|(a, b)| a == b).count();
        }
        // Of 99 possible partners nine are of an image's class; five standard
        // deviations around that share of 10,000 pairs.
        let share = same as f64 / 10_000.0;
        assert!((share - 9.0 / 99.0).abs() < 0.015, "{share}");
    }

    #[test]
    fn balanced_pairs_are_half_same_and_half_different() {
        for batch in drawn(Sampling::Balanced, Pairing::Drawn, 20) {
            let (first, second) = batch.split_at(50);
            let same = first.iter().zip(second).filter(|(a, b)| a == b).count();
            assert_eq!(same, 25);
        }
    }

    #[test]
    fn random_draws_follow_the_data() {
        let batches = drawn(Sampling::Random, Pairing::Drawn, 200);
        let zeros = batches
            .iter()
            .flatten()
            .filter(|&&label| label == 0)
            .count();
        let share = zeros as f64 / 20_000.0;
        // Five standard deviations of a binomial share around 0.901.
        assert!(
            (share - 0.901).abs() < 5.0 * (0.901 * 0.099 / 20_000.0f64).sqrt(),
            "{share}"
        );
    }

    #[test]
    fn a_step_depends_on_seed_and_number_alone() {
        let all = drawn(Sampling::Balanced, Pairing::Drawn, 5);
        assert_eq!(all, drawn(Sampling::Balanced, Pairing::Drawn, 5));
        assert_ne!(all[0], all[1]);
    }

    #[test]
    fn every_class_is_seen_in_every_symmetry() {
        let labels = uneven_labels();
        let sampler = Sampler::new(&labels, 400, Sampling::Balanced, Pairing::All, 7).unwrap();
        let mut generator = sampler.generator(3);
        let images = sampler.draw(&mut generator);
        let symmetries: Vec<usize> = sampler.draw_symmetries(&mut generator).collect();
        assert_eq!(symmetries.len(), images.len());
        for class in 0..10 {
            for symmetry in 0..SYMMETRIES {
                let both = images.iter().zip(&symmetries);
                let both = both.filter(|&(&i, &s)| labels[i as usize] == class && s == symmetry);
                assert_eq!(both.count(), 400 / 10 / SYMMETRIES);
            }
        }
    }

    #[test]
    fn one_class_is_refused() {
        let error = Sampler::new(&[3; 10], 4, Sampling::Balanced, Pairing::All, 0).unwrap_err();
        assert!(error.to_string().contains("two classes"));
    }
}
