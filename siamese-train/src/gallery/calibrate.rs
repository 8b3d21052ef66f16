//! Thresholds that mean something: the distance up to which an embedding is
//! taken for what is enrolled, found from images that were labelled.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::dataset::Class;
use anyhow::{Result, ensure};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use siamese_core::embedding::distance_squared;
use siamese_core::model::Calibration;

use crate::embed::IntEmbeddings;
use crate::files::write_atomic;
use crate::gallery::folds::Reach;
use crate::gallery::prototypes::{by_class, draw, nearest, prototype};

/// What to calibrate for.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// The share of wrong acceptances.
    pub false_accept_rate: f64,
    /// The examples that a prototype will be made of.
    pub shots: usize,
    /// How often such examples are drawn.
    pub draws: usize,
    /// What the draws follow from.
    pub seed: u64,
    /// The classes that nobody enrols, and whose images alone stand for what is
    /// unknown: those that training never saw. If empty, every class takes its
    /// turn.
    pub unseen: BTreeSet<Class>,
}

/// Error rates, measured on images that set no threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Of comparisons with a prototype. A false accept is an image of a class
    /// that is not enrolled and yet near enough to one that is; a false reject
    /// is one that is too far from its own class's prototype.
    pub prototype: Errors,
    /// Of comparisons of two images.
    pub pair: Errors,
}

/// The two kinds of error.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Errors {
    /// The share of the different that is accepted as the same.
    pub false_accept: f64,
    /// The share of the same that is refused as different.
    pub false_reject: f64,
}

/// Whose images stood for what nobody has enrolled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strangers {
    /// Classes that short trainings left out, one group after the other.
    LeftOut,
    /// Classes that training never saw.
    New,
    /// Each class in turn, whether training has seen it or not.
    EachInTurn,
}

/// How a model was calibrated, and what was measured: a file beside the model's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// That of the model.
    pub fingerprint: u32,
    /// The share of wrong acceptances that was asked for.
    pub wanted: f64,
    /// What was measured, on classes or images that set no threshold.
    pub measured: Rates,
    /// Whose images were unknown.
    pub strangers: Strangers,
    /// The labels that were enrolled.
    pub labels: usize,
    /// The examples of each.
    pub shots: usize,
    /// The threshold for prototypes, in squared steps of the embedding.
    pub prototype_threshold: u64,
    /// That for pairs.
    pub pair_threshold: u64,
    /// Thresholds for other rates and other numbers of labels, if classes were
    /// left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reach: Option<Reach>,
}

impl Record {
    /// Where the record of a model is.
    #[must_use]
    pub fn path(model: &Path) -> PathBuf {
        model.with_extension("calibration.json")
    }

    /// The record beside a model's file, if it is there and of this model.
    #[must_use]
    pub fn beside(model: &Path, fingerprint: u32) -> Option<Self> {
        let text = std::fs::read(Self::path(model)).ok()?;
        let record: Self = serde_json::from_slice(&text).ok()?;
        (record.fingerprint == fingerprint).then_some(record)
    }

    /// Whether it tells of the thresholds that a model holds.
    #[must_use]
    pub const fn explains(&self, calibration: &Calibration) -> bool {
        self.prototype_threshold == calibration.prototype_threshold
            && self.pair_threshold == calibration.pair_threshold
    }

    /// Writes it beside a model's file.
    ///
    /// # Errors
    /// If the file can't be written.
    pub fn write(&self, model: &Path) -> Result<()> {
        write_atomic(&Self::path(model), |out| {
            Ok(serde_json::to_writer_pretty(out, self)?)
        })
    }
}

/// Finds the thresholds with every other image of each class, and measures the
/// rates with the others.
///
/// Every class takes its turn as the one that nobody has enrolled: its images
/// are compared with the prototypes of all other classes. Classes that training
/// has seen are told apart far better than new ones, so that the rates hold for
/// such as these alone; with [`Wanted::unseen`], they hold for new ones.
///
/// # Errors
/// If there are fewer than two classes with at least `2 * shots` and 4 images
/// each, or all of them, or none, are [unseen](Wanted::unseen); or the wanted
/// rate is so low that no image could be accepted.
pub fn calibrate(
    embeddings: &IntEmbeddings,
    labels: &[Class],
    wanted: &Wanted,
) -> Result<(Calibration, Rates)> {
    ensure!(
        embeddings.len() == labels.len(),
        "there are {} embeddings and {} labels",
        embeddings.len(),
        labels.len()
    );
    let shots = wanted.shots.max(1);
    let (numbers, classes): (Vec<usize>, Vec<Vec<usize>>) = by_class(labels)
        .into_iter()
        .enumerate()
        .filter(|(_, members)| !members.is_empty())
        .unzip();
    let unseen: Vec<bool> = numbers
        .iter()
        .map(|&number| {
            wanted
                .unseen
                .iter()
                .any(|&class| usize::from(class) == number)
        })
        .collect();
    let new = unseen.iter().filter(|&&new| new).count();
    ensure!(
        new == wanted.unseen.len() && (new == 0 || new < classes.len()),
        "of the {} classes that were never trained, {new} have images, and of the others {}; \
         calibration needs images of both",
        wanted.unseen.len(),
        classes.len() - new
    );
    let least = (2 * shots).max(4);
    ensure!(
        classes.len() >= 2 && classes.iter().all(|members| members.len() >= least),
        "calibration needs at least two classes with {least} images each"
    );
    let half = |odd: usize| -> Vec<Vec<usize>> {
        let part = |members: &Vec<usize>| members[odd..].iter().copied().step_by(2).collect();
        classes.iter().map(part).collect()
    };
    let (fit, check) = (half(0), half(1));

    let mut generator = ChaCha8Rng::seed_from_u64(wanted.seed);
    // Prototypes come from the first half, so that the second stays unseen.
    let galleries: Vec<Vec<Vec<i16>>> = (0..wanted.draws.max(1))
        .map(|_| {
            let enrol =
                |members: &Vec<usize>| prototype(embeddings, &draw(members, shots, &mut generator));
            fit.iter().map(enrol).collect()
        })
        .collect();
    let distances = to_prototypes(embeddings, &fit, &galleries, &unseen);
    let prototype_threshold = threshold(distances.different, wanted.false_accept_rate);
    let pairs = between_pairs(embeddings, &fit, &unseen);
    let pair_threshold = threshold(pairs.different, wanted.false_accept_rate);
    ensure!(
        prototype_threshold > 0 && pair_threshold > 0,
        "a false-accept rate of {} leaves no distance at which anything is accepted; ask for a \
         higher one, or give more images",
        wanted.false_accept_rate
    );

    let checked = to_prototypes(embeddings, &check, &galleries, &unseen);
    let rates = Rates {
        prototype: checked.errors(prototype_threshold),
        pair: between_pairs(embeddings, &check, &unseen).errors(pair_threshold),
    };
    let calibration = Calibration {
        false_accept_rate: wanted.false_accept_rate as f32,
        false_reject_rate: rates.prototype.false_reject as f32,
        prototype_threshold,
        pair_threshold,
        spread: spread(embeddings, &fit),
    };
    Ok((calibration, rates))
}

/// Squared distances between what is the same, and between what isn't.
#[derive(Debug, Default)]
struct Distances {
    same: Vec<u64>,
    different: Vec<u64>,
}

impl Distances {
    fn errors(&self, threshold: u64) -> Errors {
        let within = |distances: &[u64]| {
            let count = distances.iter().filter(|&&d| d <= threshold).count();
            count as f64 / distances.len().max(1) as f64
        };
        Errors {
            false_accept: within(&self.different),
            false_reject: 1.0 - within(&self.same),
        }
    }
}

/// Each image's distance to its own prototype, and to the nearest other one. If
/// some classes are unseen, nobody enrols them, and they alone are different.
fn to_prototypes(
    embeddings: &IntEmbeddings,
    classes: &[Vec<usize>],
    galleries: &[Vec<Vec<i16>>],
    unseen: &[bool],
) -> Distances {
    let mut distances = Distances::default();
    let all_take_turns = !unseen.contains(&true);
    for gallery in galleries {
        for (class, members) in classes.iter().enumerate() {
            for &member in members {
                let embedding = embeddings.get(member);
                let own = distance_squared(embedding, &gallery[class]);
                let others = gallery.iter().enumerate();
                let others = others.filter(|(other, _)| *other != class && !unseen[*other]);
                let others = others.map(|(other, prototype)| (other, &prototype[..]));
                if !unseen[class] {
                    distances.same.push(own);
                }
                if all_take_turns || unseen[class] {
                    distances
                        .different
                        .extend(nearest(embedding, others).map(|(distance, _)| distance));
                }
            }
        }
    }
    distances
}

/// The distances of all pairs of at most 2000 images; if some classes are unseen,
/// different pairs have an image of one of them.
fn between_pairs(embeddings: &IntEmbeddings, classes: &[Vec<usize>], unseen: &[bool]) -> Distances {
    let all_take_turns = !unseen.contains(&true);
    const IMAGES: usize = 2_000;
    let all: usize = classes.iter().map(Vec::len).sum();
    let step = all.div_ceil(IMAGES).max(1);
    let images: Vec<(usize, usize)> = classes
        .iter()
        .enumerate()
        .flat_map(|(class, members)| members.iter().step_by(step).map(move |&m| (class, m)))
        .collect();
    let mut distances = Distances::default();
    for (index, &(class, image)) in images.iter().enumerate() {
        for &(other_class, other) in &images[index + 1..] {
            let distance = distance_squared(embeddings.get(image), embeddings.get(other));
            if class == other_class {
                distances.same.push(distance);
            } else if all_take_turns || unseen[class] != unseen[other_class] {
                distances.different.push(distance);
            }
        }
    }
    distances
}

/// The largest threshold that accepts at most a share of `rate` of the
/// different; 0 if there is none.
fn threshold(mut different: Vec<u64>, rate: f64) -> u64 {
    let accepted = (different.len() as f64 * rate) as usize;
    if accepted >= different.len() {
        return u64::MAX;
    }
    let (_, first_refused, _) = different.select_nth_unstable(accepted);
    first_refused.saturating_sub(1)
}

/// The mean squared distance of the images of a class from their mean.
pub(super) fn spread(embeddings: &IntEmbeddings, classes: &[Vec<usize>]) -> u64 {
    let mut sum = 0u128;
    let mut count = 0u128;
    for members in classes {
        let mean = prototype(embeddings, members);
        for &member in members {
            sum += u128::from(distance_squared(embeddings.get(member), &mean));
            count += 1;
        }
    }
    (sum / count.max(1)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three classes on a line, `apart`, each of 40 images at -20 to 19.
    fn line(apart: i16) -> (IntEmbeddings, Vec<Class>) {
        let mut steps = Vec::new();
        let mut labels = Vec::new();
        for class in 0..3 {
            for offset in -20..20i16 {
                steps.push(apart * (class as i16) + offset);
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

    fn wanted(false_accept_rate: f64) -> Wanted {
        Wanted {
            false_accept_rate,
            shots: 20,
            draws: 3,
            seed: 1,
            unseen: BTreeSet::new(),
        }
    }

    #[test]
    fn classes_far_apart_are_told_apart_without_error() {
        let (embeddings, labels) = line(1000);
        let (calibration, rates) = calibrate(&embeddings, &labels, &wanted(0.0)).unwrap();
        for errors in [rates.prototype, rates.pair] {
            assert_eq!(errors.false_reject, 0.0);
            // The other half's nearest images may be a little nearer.
            assert!(errors.false_accept < 0.05, "{errors:?}");
        }
        // Between what is same and what is different.
        for threshold in [calibration.prototype_threshold, calibration.pair_threshold] {
            assert!((400..1_000_000).contains(&threshold), "{threshold}");
        }
        // Twenty images 2 apart: (0 + 1 + 4 + ... + 361) * 4 / 20, less the mean's rounding.
        assert_eq!(calibration.spread, 133);
    }

    #[test]
    fn the_wanted_share_of_the_different_is_accepted() {
        let different: Vec<u64> = (0..1000).rev().collect();
        for (rate, expected) in [(0.0, 0), (0.01, 9), (0.25, 249)] {
            let found = threshold(different.clone(), rate);
            assert_eq!(found, expected);
            let accepted = different.iter().filter(|&&d| d <= found).count();
            assert!(accepted as f64 <= 1000.0 * rate + 1.0, "{rate}");
        }
        // Equal distances are accepted all or none.
        assert_eq!(threshold(vec![5; 100], 0.5), 4);
        assert_eq!(threshold(vec![5; 100], 1.0), u64::MAX);
    }

    #[test]
    fn a_lower_rate_gives_a_lower_threshold() {
        // Classes that run into each other.
        let (embeddings, labels) = line(15);
        let at = |rate| calibrate(&embeddings, &labels, &wanted(rate)).unwrap();
        let ((low, low_rates), (high, high_rates)) = (at(0.1), at(0.4));
        assert!(low.prototype_threshold < high.prototype_threshold);
        assert!(low.pair_threshold < high.pair_threshold);
        assert!(low_rates.prototype.false_reject > high_rates.prototype.false_reject);
        assert!((low_rates.prototype.false_accept - 0.1).abs() < 0.06);
        assert!((high_rates.pair.false_accept - 0.4).abs() < 0.06);
    }

    #[test]
    fn prototypes_and_pairs_have_thresholds_of_their_own() {
        // Half of the images, at -20, -18, ..., 18, set the thresholds; their mean
        // is at -1. The nearest of another class is 981 from it, and the nearest
        // two of different classes are 962 apart.
        let (embeddings, labels) = line(1000);
        let (calibration, _) = calibrate(&embeddings, &labels, &wanted(0.0)).unwrap();
        assert_eq!(calibration.prototype_threshold, 981 * 981 - 1);
        assert_eq!(calibration.pair_threshold, 962 * 962 - 1);
    }

    #[test]
    fn rates_are_those_of_the_images_that_set_no_threshold() {
        // The second half of class 1 lies on class 0, a class of its own in the
        // first half.
        let (mut embeddings, labels) = line(1000);
        for image in (41..80).step_by(2) {
            embeddings.steps[image] -= 1000;
        }
        let (_, rates) = calibrate(&embeddings, &labels, &wanted(0.0)).unwrap();
        // A third of the images is accepted as class 0, and refused as class 1.
        assert!(
            (rates.prototype.false_accept - 1.0 / 3.0).abs() < 0.02,
            "{rates:?}"
        );
        assert!(
            (rates.prototype.false_reject - 1.0 / 3.0).abs() < 0.02,
            "{rates:?}"
        );
        // Two thirds of the images make one heap: of the 1,200 different pairs a
        // third.
        assert!(
            (rates.pair.false_accept - 1.0 / 3.0).abs() < 0.02,
            "{rates:?}"
        );
        assert_eq!(rates.pair.false_reject, 0.0);
    }

    #[test]
    fn more_draws_see_more_prototypes() {
        let (embeddings, labels) = line(60);
        let threshold = |draws, seed| {
            let few = Wanted {
                shots: 1,
                draws,
                seed,
                ..wanted(0.0)
            };
            let (found, _) = calibrate(&embeddings, &labels, &few).unwrap();
            found.prototype_threshold
        };
        // Many draws meet the nearest two images, at 18 and 40; one seldom does.
        assert_eq!(threshold(200, 1), 22 * 22 - 1);
        assert!((1..10).any(|seed| threshold(1, seed) > 22 * 22));
    }

    #[test]
    fn classes_that_were_never_trained_alone_are_unknown() {
        // The classes 0 and 1 are 60 apart, and 2 is 1000 away.
        let (mut embeddings, labels) = line(60);
        for step in &mut embeddings.steps[80..] {
            *step += 1000;
        }
        let of_new = |unseen: &[Class]| {
            let new = Wanted {
                unseen: unseen.iter().copied().collect(),
                ..wanted(0.0)
            };
            calibrate(&embeddings, &labels, &new)
        };
        let (calibration, rates) = of_new(&[2]).unwrap();
        // From 1120 - 20 to the mean of class 1, at 59; and to its farthest image.
        assert_eq!(calibration.prototype_threshold, 1041 * 1041 - 1);
        assert_eq!(calibration.pair_threshold, 1022 * 1022 - 1);
        assert_eq!(rates.prototype.false_reject, 0.0);
        for unseen in [&[0, 1, 2][..], &[7]] {
            let error = of_new(unseen).unwrap_err().to_string();
            assert!(error.contains("images of both"), "{error}");
        }
    }

    #[test]
    fn a_record_is_read_for_its_own_model_alone() {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("m.siam");
        let (embeddings, labels) = line(1000);
        let (calibration, measured) = calibrate(&embeddings, &labels, &wanted(0.0)).unwrap();
        let record = Record {
            fingerprint: 5,
            wanted: 0.01,
            measured,
            strangers: Strangers::EachInTurn,
            labels: 2,
            shots: 20,
            prototype_threshold: calibration.prototype_threshold,
            pair_threshold: calibration.pair_threshold,
            reach: None,
        };
        record.write(&model).unwrap();
        assert_eq!(Record::beside(&model, 5), Some(record.clone()));
        assert_eq!(Record::beside(&model, 6), None);
        assert!(record.explains(&calibration));
        let other = Calibration {
            pair_threshold: 1,
            ..calibration
        };
        assert!(!record.explains(&other));
    }

    #[test]
    fn too_little_is_refused_in_words() {
        let (embeddings, labels) = line(1000);
        let error = calibrate(&embeddings, &vec![0; labels.len()], &wanted(0.1)).unwrap_err();
        assert!(error.to_string().contains("two classes"), "{error}");
        let same = IntEmbeddings {
            steps: vec![7; labels.len()],
            ..embeddings
        };
        let error = calibrate(&same, &labels, &wanted(0.1)).unwrap_err();
        assert!(error.to_string().contains("higher one"), "{error}");
    }
}
