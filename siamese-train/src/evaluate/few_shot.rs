//! Classes that training never saw: how well are they told apart from a few
//! examples of each, and how well is noticed what nobody has enrolled?
//!
//! The gallery holds a prototype of every class: for those that were trained,
//! of all their training images; for the new ones, of a few drawn at random
//! (*shots*). Test images of all classes are then identified by the nearest
//! prototype. All distances are those of a device's integers.

use crate::dataset::Class;
use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::Serialize;
use siamese_core::embedding::norm_squared;

use crate::embed::IntEmbeddings;
use crate::gallery::allowance::signed_excess;
use crate::gallery::prototypes::{by_class, draw, nearest, prototype};

/// Embeddings and the class of each.
#[derive(Debug, Clone, Copy)]
pub struct Embedded<'a> {
    /// The embeddings.
    pub embeddings: &'a IntEmbeddings,
    /// One class an embedding.
    pub labels: &'a [Class],
}

/// A mean and its standard deviation over the draws.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// The standard deviation of one draw.
    pub deviation: f64,
}

impl Spread {
    fn of(values: &[f64]) -> Self {
        let count = values.len().max(1) as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Self {
            mean,
            deviation: (squares / (count - 1.0).max(1.0)).sqrt(),
        }
    }
}

/// What some number of examples of each new class gives.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Shots {
    /// The examples of each new class.
    pub shots: usize,
    /// The share of all test images that is identified rightly, among all classes.
    pub all: Spread,
    /// That of the test images of the new classes, among all classes.
    pub new: Spread,
    /// That of the test images of the trained classes, among all classes.
    pub trained: Spread,
    /// How well the known and the unknown are told apart: the area under the
    /// ROC curve of what a threshold judges, the distance to the nearest prototype
    /// beyond the allowance. Every new class
    /// takes its turn as the one that isn't enrolled. `None` with one new
    /// class and none that is trained.
    pub open_set_auc: Option<Spread>,
    /// What the thresholds accept and refuse in the same comparisons, for each of the
    /// protocol's.
    pub promises: Vec<Promise>,
}

/// What came of a rate of wrong acceptances that was wanted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Promise {
    /// The rate.
    pub wanted: f64,
    /// The share of the images of a class that isn't enrolled that was accepted.
    pub accepted: Spread,
    /// The share of the images of enrolled classes that was refused.
    pub refused: Spread,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FewShot {
    /// Before anything is enrolled: the area under the ROC curve of the distance
    /// to the nearest prototype, images of trained classes against those of new
    /// ones. `None` if no class is trained.
    pub before: Option<f64>,
    /// For each number of shots.
    pub shots: Vec<Shots>,
}

/// Embedded images, and which classes the embedder was trained without.
#[derive(Debug, Clone, Copy)]
pub struct Protocol<'a> {
    /// The images that prototypes are made of.
    pub train: Embedded<'a>,
    /// The images that are identified.
    pub test: Embedded<'a>,
    /// The new classes.
    pub held_out: &'a BTreeSet<Class>,
    /// The model's allowance, in 256ths of a squared norm: known and unknown are told
    /// apart by what a threshold judges.
    pub allowance: u8,
    /// Rates of wrong acceptances, and the threshold for prototypes that promises each
    /// with all classes but one enrolled, in squared steps.
    pub thresholds: &'a [(f64, u64)],
}

impl Protocol<'_> {
    /// Measures it, `draws` times for each number of shots.
    ///
    /// # Errors
    /// If `held_out` is empty or holds a class without images, or a class has fewer
    /// training images than the most shots.
    pub fn measure(&self, shots: &[usize], draws: usize, seed: u64) -> Result<FewShot> {
        let Self {
            train,
            test,
            held_out,
            thresholds,
            ..
        } = *self;
        let (train_members, test_members) = (by_class(train.labels), by_class(test.labels));
        let most = shots.iter().copied().max().unwrap_or(0);
        ensure!(!held_out.is_empty(), "no class is held out");
        for &class in held_out {
            let images =
                |members: &[Vec<usize>]| members.get(usize::from(class)).map_or(0, Vec::len);
            ensure!(
                images(&train_members) >= most && images(&test_members) > 0,
                "class {class} has {} training and {} test images; {most} shots need more",
                images(&train_members),
                images(&test_members)
            );
        }
        let fixed: Vec<Option<Vec<i16>>> = train_members
            .iter()
            .enumerate()
            .map(|(class, members)| {
                let trained = !members.is_empty() && !held_out.contains(&(class as Class));
                trained.then(|| prototype(train.embeddings, members))
            })
            .collect();
        let fixture = Fixture {
            protocol: *self,
            members: &train_members,
            fixed: &fixed,
        };
        let measured = shots.iter().map(|&shots| {
            let outcomes: Vec<Outcome> = (0..draws.max(1))
                .into_par_iter()
                .map(|draw| {
                    let mut generator = ChaCha8Rng::seed_from_u64(seed);
                    generator.set_stream((shots as u64) << 32 | draw as u64);
                    fixture.outcome(shots, &mut generator)
                })
                .collect();
            let spread = |value: fn(&Outcome) -> f64| {
                Spread::of(&outcomes.iter().map(value).collect::<Vec<_>>())
            };
            let open: Option<Vec<&OpenSet>> = outcomes
                .iter()
                .map(|outcome| outcome.open.as_ref())
                .collect();
            let spread_of = |open: &[&OpenSet], value: &dyn Fn(&OpenSet) -> f64| {
                Spread::of(&open.iter().map(|open| value(open)).collect::<Vec<_>>())
            };
            let promises = open.iter().flat_map(|open| {
                let promises = thresholds.iter().enumerate();
                promises.map(move |(number, &(wanted, _))| Promise {
                    wanted,
                    accepted: spread_of(open, &|open| open.accepted[number]),
                    refused: spread_of(open, &|open| open.refused[number]),
                })
            });
            Shots {
                shots,
                all: spread(|outcome| outcome.all),
                new: spread(|outcome| outcome.new),
                trained: spread(|outcome| outcome.trained),
                open_set_auc: open.as_ref().map(|open| spread_of(open, &|open| open.auc)),
                promises: promises.collect(),
            }
        });
        let trains = fixed.iter().any(Option::is_some);
        Ok(FewShot {
            before: trains.then(|| fixture.open_set(&fixed, held_out).auc),
            shots: measured.collect(),
        })
    }
}

/// What stays the same from draw to draw.
struct Fixture<'a> {
    protocol: Protocol<'a>,
    members: &'a [Vec<usize>],
    /// The prototypes of the trained classes, by label.
    fixed: &'a [Option<Vec<i16>>],
}

/// One draw.
struct Outcome {
    all: f64,
    new: f64,
    trained: f64,
    open: Option<OpenSet>,
}

/// How the known and the unknown are told apart.
struct OpenSet {
    auc: f64,
    /// The share of the unknown within each threshold.
    accepted: Vec<f64>,
    /// The share of the known beyond each.
    refused: Vec<f64>,
}

impl OpenSet {
    /// The mean of each figure.
    fn mean(all: &[Self]) -> Self {
        let count = all.len().max(1) as f64;
        let mean_of = |figures: &dyn Fn(&Self) -> &[f64]| -> Vec<f64> {
            let thresholds = all.first().map_or(0, |open| figures(open).len());
            (0..thresholds)
                .map(|number| all.iter().map(|open| figures(open)[number]).sum::<f64>() / count)
                .collect()
        };
        Self {
            auc: all.iter().map(|open| open.auc).sum::<f64>() / count,
            accepted: mean_of(&|open| &open.accepted),
            refused: mean_of(&|open| &open.refused),
        }
    }
}

impl Fixture<'_> {
    fn outcome(&self, shots: usize, generator: &mut ChaCha8Rng) -> Outcome {
        let mut gallery = self.fixed.to_vec();
        for &class in self.protocol.held_out {
            let examples = draw(&self.members[usize::from(class)], shots, generator);
            gallery[usize::from(class)] =
                Some(prototype(self.protocol.train.embeddings, &examples));
        }
        let (mut right, mut count) = ([0u32; 2], [0u32; 2]);
        for (index, &label) in self.protocol.test.labels.iter().enumerate() {
            let new = usize::from(self.protocol.held_out.contains(&label));
            let found = nearest(self.protocol.test.embeddings.get(index), enrolled(&gallery));
            right[new] += u32::from(found.is_some_and(|(_, class)| class == usize::from(label)));
            count[new] += 1;
        }
        let share = |right: u32, count: u32| f64::from(right) / f64::from(count.max(1));
        Outcome {
            all: share(right[0] + right[1], count[0] + count[1]),
            new: share(right[1], count[1]),
            trained: share(right[0], count[0]),
            open: self.in_turns(&gallery),
        }
    }

    /// The mean over the new classes, each being the unknown one in turn.
    fn in_turns(&self, gallery: &[Option<Vec<i16>>]) -> Option<OpenSet> {
        if self.protocol.held_out.len() < 2 && self.fixed.iter().all(Option::is_none) {
            return None;
        }
        let held_out = self.protocol.held_out;
        let turns = held_out.iter().map(|&unknown| {
            let mut others = gallery.to_vec();
            others[usize::from(unknown)] = None;
            self.open_set(&others, &BTreeSet::from([unknown]))
        });
        Some(OpenSet::mean(&turns.collect::<Vec<_>>()))
    }

    /// How well images of the classes that the gallery knows are told from those
    /// of `unknown` ones by their distance to the nearest prototype.
    fn open_set(&self, gallery: &[Option<Vec<i16>>], unknown: &BTreeSet<Class>) -> OpenSet {
        let test = self.protocol.test;
        let (mut known, mut strange) = (Vec::new(), Vec::new());
        for (index, label) in test.labels.iter().enumerate() {
            let embedding = test.embeddings.get(index);
            let found = nearest(embedding, enrolled(gallery));
            let distance = found.map_or(i64::MAX, |(distance, _)| {
                signed_excess(distance, norm_squared(embedding), self.protocol.allowance)
            });
            if unknown.contains(label) {
                strange.push(distance);
            } else {
                known.push(distance);
            }
        }
        let within = |distances: &[i64]| -> Vec<f64> {
            let thresholds = self.protocol.thresholds.iter();
            let share = |&(_, threshold): &(f64, u64)| {
                let within = distances.iter().filter(|&&d| d <= threshold.cast_signed());
                within.count() as f64 / distances.len().max(1) as f64
            };
            thresholds.map(share).collect()
        };
        OpenSet {
            accepted: within(&strange),
            refused: within(&known)
                .into_iter()
                .map(|share| 1.0 - share)
                .collect(),
            auc: auc(known, strange),
        }
    }
}

/// The prototypes that there are, with their classes.
fn enrolled(gallery: &[Option<Vec<i16>>]) -> impl Iterator<Item = (usize, &[i16])> {
    let classes = gallery.iter().enumerate();
    classes.filter_map(|(class, prototype)| Some((class, prototype.as_deref()?)))
}

/// The probability that something known is nearer than something strange,
/// equal distances counting half.
fn auc(mut known: Vec<i64>, strange: Vec<i64>) -> f64 {
    known.sort_unstable();
    let pairs = known.len() as f64 * strange.len() as f64;
    let nearer = strange.iter().map(|&distance| {
        let below = known.partition_point(|&other| other < distance);
        let up_to = known.partition_point(|&other| other <= distance);
        (below + up_to) as f64 / 2.0
    });
    nearer.sum::<f64>() / pairs.max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Class `c` sits at `1000 * c`, with 30 images around it at ±14.
    fn line(classes: Class, wide: i16) -> (IntEmbeddings, Vec<Class>) {
        let mut steps = Vec::new();
        let mut labels = Vec::new();
        for class in 0..classes {
            for offset in 0..30i16 {
                steps.push(1000 * (class as i16) + (offset - 15) * wide);
                labels.push(class);
            }
        }
        let embeddings = IntEmbeddings {
            dim: 1,
            scale: 1.0,
            steps,
        };
        (embeddings, labels)
    }

    fn measure(wide: i16, held_out: &[Class], shots: &[usize]) -> Result<FewShot> {
        measure_draws(wide, held_out, shots, 10)
    }

    fn measure_draws(
        wide: i16,
        held_out: &[Class],
        shots: &[usize],
        draws: usize,
    ) -> Result<FewShot> {
        let (embeddings, labels) = line(5, wide);
        let set = Embedded {
            embeddings: &embeddings,
            labels: &labels,
        };
        let protocol = Protocol {
            train: set,
            test: set,
            held_out: &held_out.iter().copied().collect(),
            allowance: 0,
            thresholds: &[(0.0, 200), (1.0, 2_000_000)],
        };
        protocol.measure(shots, draws, 1)
    }

    #[test]
    fn classes_far_apart_are_known_from_one_example() {
        let measured = measure(1, &[3, 4], &[1]).unwrap();
        assert_eq!(measured.before, Some(1.0));
        let [one] = &measured.shots[..] else {
            panic!("one number of shots");
        };
        assert_eq!(
            (one.all.mean, one.new.mean, one.trained.mean),
            (1.0, 1.0, 1.0)
        );
        assert_eq!(one.all.deviation, 0.0);
        assert_eq!(one.open_set_auc.map(|auc| auc.mean), Some(1.0));
    }

    #[test]
    fn thresholds_are_seen_to_keep_what_they_promise_or_not() {
        // Images are at most 15 from their class's middle, and 1000 from others.
        let measured = measure(1, &[3, 4], &[30]).unwrap();
        let [tight, wide] = &measured.shots[0].promises[..] else {
            panic!("two thresholds");
        };
        assert_eq!((tight.wanted, wide.wanted), (0.0, 1.0));
        // 200 is 14 squared: of 30 images at -15 to 14 around a mean of -1 (rounded),
        // one is farther.
        assert_eq!(tight.accepted.mean, 0.0);
        assert!((tight.refused.mean - 0.0).abs() < 0.05, "{tight:?}");
        // 1414: the next class, too. The unknown one of 3 and 4 always has a neighbour.
        assert_eq!((wide.accepted.mean, wide.refused.mean), (1.0, 0.0));
        // Apart by less than their own width, nothing is right.
        let measured = measure(60, &[3, 4], &[30]).unwrap();
        let tight = measured.shots[0].promises[0];
        assert!(tight.refused.mean > 0.9, "{tight:?}");
    }

    #[test]
    fn more_examples_steady_what_overlaps() {
        let measured = measure(60, &[2, 4], &[1, 20]).unwrap();
        let [one, twenty] = &measured.shots[..] else {
            panic!("two numbers of shots");
        };
        assert!(one.new.deviation > twenty.new.deviation);
        let [one_auc, twenty_auc] = [one, twenty].map(|shots| shots.open_set_auc.unwrap().mean);
        assert!(one_auc < twenty_auc && twenty_auc < 1.0, "{measured:?}");
        // The shares of all images follow from the two kinds.
        let all = (3.0 * one.trained.mean + 2.0 * one.new.mean) / 5.0;
        assert!((one.all.mean - all).abs() < 1e-12);
    }

    #[test]
    fn as_many_draws_and_examples_are_taken_as_were_asked_for() {
        let deviation = |shots, draws| {
            let measured = measure_draws(60, &[2, 4], &[shots], draws).unwrap();
            measured.shots[0].new.deviation
        };
        // One draw has no deviation, and nor have draws of all 30 images. Of half
        // of them, each draw is another.
        assert_eq!(deviation(15, 1), 0.0);
        assert!(deviation(30, 10) < 1e-12);
        assert!(deviation(15, 10) > 1e-3, "{}", deviation(15, 10));
    }

    #[test]
    fn the_same_seed_draws_the_same() {
        assert_eq!(
            measure(60, &[1], &[3]).unwrap(),
            measure(60, &[1], &[3]).unwrap()
        );
    }

    #[test]
    fn classes_without_images_are_refused() {
        for (held_out, shots) in [(&[9][..], 1), (&[4], 31), (&[], 1)] {
            assert!(measure(1, held_out, &[shots]).is_err());
        }
    }

    #[test]
    fn ties_count_half() {
        assert_eq!(auc(vec![1, 2], vec![2, 3]), 0.875);
        assert_eq!(auc(vec![5], vec![5]), 0.5);
    }
    #[test]
    fn a_spread_is_a_mean_and_the_deviation_of_a_sample() {
        let spread = Spread::of(&[1.0, 2.0, 3.0, 6.0]);
        // 2, 1, 0 and 3 from the mean.
        assert_eq!(
            (spread.mean, spread.deviation),
            (3.0, (14.0f64 / 3.0).sqrt())
        );
        let spread = Spread::of(&[5.0]);
        assert_eq!((spread.mean, spread.deviation), (5.0, 0.0));
    }

    #[test]
    fn the_unknown_are_told_apart_where_something_else_is_known() {
        let told = |classes, held_out: &[Class]| {
            let (embeddings, labels) = line(classes, 1);
            let set = Embedded {
                embeddings: &embeddings,
                labels: &labels,
            };
            let protocol = Protocol {
                train: set,
                test: set,
                held_out: &held_out.iter().copied().collect(),
                allowance: 0,
                thresholds: &[],
            };
            let measured = protocol.measure(&[3], 2, 1).unwrap();
            measured.shots[0].open_set_auc.map(|auc| auc.mean)
        };
        // One new class and none trained; then another class of either kind, and more.
        assert_eq!(told(1, &[0]), None);
        assert_eq!(told(2, &[0]), Some(1.0));
        assert_eq!(told(2, &[0, 1]), Some(1.0));
        assert_eq!(told(3, &[0, 1, 2]), Some(1.0));
    }
}
