//! Which images a training step sees: a pure function of seed and step, so
//! that a resumed run continues with the very batches it would have had.

use crate::dataset::{Class, class_slots};
use anyhow::ensure;
use rand::seq::index::sample;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::batch::augment::SYMMETRIES;
use crate::recipe::{Pairing, Sampling};

/// Images of each class, or of each class in each symmetry, that a batch holds at
/// least where it holds any: a class's mean without the image itself then is
/// still a mean, and its spread is seen.
const LEAST_ALIKE: usize = 4;
/// Up to so many classes, a batch that goes through them in turns puts every
/// class within reach of every other one for the triplet loss.
const WITHIN_REACH: usize = 10;
/// Shuffled passes take their random numbers from the streams below this one;
/// steps use those from 0 upwards, and the first weights the last.
const PASSES: u64 = u64::MAX - 1;

/// The images of one step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drawn {
    /// The indices of the images. With drawn pairs, image `i` of the first half
    /// belongs to image `i` of the second.
    pub images: Vec<u32>,
    /// The symmetry in which each is seen, 0 as it is; below [`SYMMETRIES`].
    pub symmetries: Vec<usize>,
}

/// Draws the images of each step.
#[derive(Debug, Clone)]
pub struct Sampler {
    /// Image indices by class; only classes that have images.
    classes: Vec<Vec<u32>>,
    images: u32,
    batch: usize,
    sampling: Sampling,
    pairing: Pairing,
    symmetries: bool,
    seed: u64,
}

impl Sampler {
    /// A sampler of batches of `batch` images (even) from images with `labels`;
    /// with `symmetries`, each of them makes a class of its own of every class.
    ///
    /// Where a batch is too small for four images of every class, each batch
    /// holds a part of the classes; all classes come equally often, and any two
    /// of them meet.
    ///
    /// # Errors
    /// If there are fewer than two classes.
    pub fn new(
        labels: &[Class],
        batch: usize,
        sampling: Sampling,
        pairing: Pairing,
        symmetries: bool,
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
            symmetries,
            seed,
        })
    }

    /// The generator of everything that is random in step `step`.
    #[must_use]
    pub fn generator(&self, step: u64) -> ChaCha8Rng {
        self.stream(step)
    }

    fn stream(&self, number: u64) -> ChaCha8Rng {
        let mut generator = ChaCha8Rng::seed_from_u64(self.seed);
        generator.set_stream(number);
        generator
    }

    /// The images of step `step`, drawn from `generator`, which is that step's.
    pub fn draw(&self, step: u64, generator: &mut impl Rng) -> Drawn {
        let images = match (self.sampling, self.pairing) {
            (Sampling::Random, _) => (0..self.batch)
                .map(|_| generator.random_range(0..self.images))
                .collect(),
            (Sampling::Passes, _) => self.next_of_passes(step),
            (Sampling::Balanced, Pairing::Drawn) => self.draw_balanced_pairs(generator),
            (Sampling::Stratified, _) | (Sampling::Balanced, Pairing::All)
                if !self.holds_every_kind() =>
            {
                return self.draw_some_kinds(step, generator);
            }
            (Sampling::Stratified, _) => {
                let mut images = self.draw_uniform_classes(generator);
                images.shuffle(generator);
                images
            }
            (Sampling::Balanced, Pairing::All) => self.draw_uniform_classes(generator),
        };
        let symmetries = if self.symmetries {
            self.draw_symmetries(generator).collect()
        } else {
            vec![0; images.len()]
        };
        let mut drawn = Drawn { images, symmetries };
        let in_turns = (self.sampling, self.pairing) == (Sampling::Balanced, Pairing::All);
        if in_turns && self.classes.len() > WITHIN_REACH {
            drawn.shuffle(generator);
        }
        drawn
    }

    /// The kinds of images that are told apart: the classes, or all of them in
    /// every symmetry.
    fn kinds(&self) -> usize {
        self.classes.len() * if self.symmetries { SYMMETRIES } else { 1 }
    }

    /// Kinds in a batch that can't hold all of them; at least two, so that there
    /// is something to tell apart.
    fn kinds_in_a_batch(&self) -> usize {
        (self.batch / LEAST_ALIKE).max(2)
    }

    /// Whether a batch has room for enough images of every kind.
    fn holds_every_kind(&self) -> bool {
        self.kinds() <= self.kinds_in_a_batch()
    }

    /// The symmetry in which each of the `batch` images is seen, where each
    /// symmetry makes a class of its own: all of them as often in every class,
    /// if the batch holds classes evenly.
    fn draw_symmetries(&self, generator: &mut impl Rng) -> impl Iterator<Item = usize> {
        let first = generator.random_range(0..SYMMETRIES);
        let classes = self.classes.len();
        (0..self.batch).map(move |place| (first + place / classes) % SYMMETRIES)
    }

    /// The images whose turn it is when all come in a random order, and then all
    /// again in another. A batch may end one pass and begin the next.
    fn next_of_passes(&self, step: u64) -> Vec<u32> {
        let (all, first) = (u64::from(self.images), step * self.batch as u64);
        let mut order: Vec<u32> = Vec::new();
        let mut pass = None;
        (first..first + self.batch as u64)
            .map(|turn| {
                if pass != Some(turn / all) {
                    pass = Some(turn / all);
                    order = (0..self.images).collect();
                    order.shuffle(&mut self.stream(PASSES - turn / all));
                }
                order[(turn % all) as usize]
            })
            .collect()
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

    /// As many images of each of this step's kinds, in no order.
    fn draw_some_kinds(&self, step: u64, generator: &mut impl Rng) -> Drawn {
        let kinds = self.kinds_of(step);
        let mut drawn = Drawn::default();
        for (place, &kind) in kinds.iter().enumerate() {
            // The images that the batch has beyond a whole number go to the first.
            let share = (self.batch + kinds.len() - 1 - place) / kinds.len();
            let (members, symmetry) = match self.symmetries {
                true => (&self.classes[kind / SYMMETRIES], kind % SYMMETRIES),
                false => (&self.classes[kind], 0),
            };
            // Different images where there are enough, the same again otherwise:
            // each copy is distorted anew.
            let mut left = share;
            while left > 0 {
                let count = left.min(members.len());
                let places = sample(generator, members.len(), count);
                drawn
                    .images
                    .extend(places.iter().map(|place| members[place]));
                left -= count;
            }
            drawn.symmetries.resize(drawn.images.len(), symmetry);
        }
        drawn.shuffle(generator);
        drawn
    }

    /// The kinds of step `step`: its part of a pass over all kinds. Each pass has
    /// an order of its own and is cut into parts as even as can be.
    fn kinds_of(&self, step: u64) -> Vec<usize> {
        let all = self.kinds();
        // Never parts of one kind alone.
        let parts = all.div_ceil(self.kinds_in_a_batch()).min(all / 2);
        let (pass, part) = (step / parts as u64, (step % parts as u64) as usize);
        let mut order: Vec<usize> = (0..all).collect();
        order.shuffle(&mut self.stream(PASSES - pass));
        order[all * part / parts..all * (part + 1) / parts].to_vec()
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

impl Drawn {
    /// Puts images and their symmetries into one random order.
    fn shuffle(&mut self, generator: &mut impl Rng) {
        let mut order: Vec<usize> = (0..self.images.len()).collect();
        order.shuffle(generator);
        *self = Self {
            images: order.iter().map(|&place| self.images[place]).collect(),
            symmetries: order.iter().map(|&place| self.symmetries[place]).collect(),
        };
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
        let sampler = Sampler::new(&labels, 100, sampling, pairing, false, 7).unwrap();
        (0..steps)
            .map(|step| sampler.draw(step, &mut sampler.generator(step)).images)
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
        let sampler =
            Sampler::new(&labels, 400, Sampling::Balanced, Pairing::All, true, 7).unwrap();
        let Drawn { images, symmetries } = sampler.draw(3, &mut sampler.generator(3));
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
    fn passes_see_every_image_once_before_any_comes_again() {
        let labels = uneven_labels();
        let sampler =
            Sampler::new(&labels, 300, Sampling::Passes, Pairing::Drawn, false, 7).unwrap();
        let draw = |step| sampler.draw(step, &mut sampler.generator(step)).images;
        let drawn: Vec<u32> = (0..10).flat_map(draw).collect();
        let passes: Vec<&[u32]> = drawn.chunks(1000).collect();
        for pass in &passes {
            let mut sorted = pass.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..1000).collect::<Vec<u32>>());
        }
        assert!(passes[0] != passes[1] && passes[1] != passes[2]);
    }

    #[test]
    fn one_class_is_refused() {
        let error =
            Sampler::new(&[3; 10], 4, Sampling::Balanced, Pairing::All, false, 0).unwrap_err();
        assert!(error.to_string().contains("two classes"));
    }

    /// Labels of `classes` classes with `each` images.
    fn even_labels(classes: Class, each: usize) -> Vec<Class> {
        (0..classes).flat_map(|class| vec![class; each]).collect()
    }

    #[test]
    fn kinds_that_don_t_all_fit_come_several_of_each_and_equally_often() {
        for (classes, each, symmetries, batch) in [
            (64, 5, true, 512),
            (300, 2, true, 512),
            (1000, 1, false, 500),
            (3, 7, true, 4),
            (2000, 3, false, 50),
        ] {
            let labels = even_labels(classes, each);
            let new = |sampling, pairing| {
                Sampler::new(&labels, batch, sampling, pairing, symmetries, 5).unwrap()
            };
            let kinds = usize::from(classes) * if symmetries { SYMMETRIES } else { 1 };
            let sampler = new(Sampling::Balanced, Pairing::All);
            let mut batches_of = vec![0usize; kinds];
            let steps = 4 * kinds.div_ceil((batch / 4).max(2)) as u64;
            for step in 0..steps {
                let drawn = sampler.draw(step, &mut sampler.generator(step));
                assert_eq!(drawn.images.len(), batch);
                let mut counts = vec![0; kinds];
                for (&image, &symmetry) in drawn.images.iter().zip(&drawn.symmetries) {
                    let class = usize::from(labels[image as usize]);
                    let kind = if symmetries {
                        class * SYMMETRIES + symmetry
                    } else {
                        class
                    };
                    counts[kind] += 1;
                }
                let there = counts.iter().filter(|&&count| count > 0);
                let fewest = *there.clone().min().unwrap();
                assert!(
                    there.count() >= 2 && fewest >= LEAST_ALIKE.min(batch / 2),
                    "{fewest}"
                );
                for (total, count) in batches_of.iter_mut().zip(counts) {
                    *total += usize::from(count > 0);
                }
            }
            assert_eq!(batches_of, vec![4; kinds]);
        }
    }

    #[test]
    fn different_images_are_taken_where_there_are_enough() {
        let labels = even_labels(200, 4);
        let sampler =
            Sampler::new(&labels, 400, Sampling::Balanced, Pairing::All, false, 5).unwrap();
        let mut images = sampler.draw(3, &mut sampler.generator(3)).images;
        images.sort_unstable();
        images.dedup();
        assert_eq!(images.len(), 400);
    }

    #[test]
    fn every_two_of_many_classes_meet_as_neighbours_of_a_batch() {
        // What the triplet loss looks at: an image and the nine after it.
        for classes in [47, 100, 300] {
            let labels = even_labels(classes, 6);
            let sampler =
                Sampler::new(&labels, 500, Sampling::Balanced, Pairing::All, false, 5).unwrap();
            let mut met = std::collections::BTreeSet::new();
            for step in 0..400 {
                let images = sampler.draw(step, &mut sampler.generator(step)).images;
                for place in 0..images.len() {
                    let class = |offset: usize| labels[images[(place + offset) % 500] as usize];
                    met.extend((1..=9).map(|offset| (class(0), class(offset))));
                }
            }
            let pairs = usize::from(classes) * usize::from(classes - 1);
            let different = met.iter().filter(|(a, b)| a != b).count();
            assert!(
                different as f64 > 0.98 * pairs as f64,
                "{different} of {pairs}"
            );
        }
    }
}
