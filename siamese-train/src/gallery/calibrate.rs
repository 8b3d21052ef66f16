//! Thresholds that mean something: the distance up to which an embedding is
//! taken for what is enrolled, found from images that were labelled.

use std::collections::BTreeSet;

use crate::dataset::Class;
use anyhow::{Context, Result, ensure};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use siamese_core::embedding::{distance_squared, norm_squared};
use siamese_core::model::Calibration;

use crate::embed::IntEmbeddings;
use crate::gallery::allowance::{allowances, signed_excess};
use crate::gallery::prototypes::{by_class, draw, nearest, prototype, spread};

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
    let known: Vec<Vec<usize>> = fit
        .iter()
        .zip(&unseen)
        .filter(|(_, unseen)| !**unseen)
        .map(|(members, _)| members.clone())
        .collect();
    // Of the allowances, the one with which least of what is enrolled is refused.
    let set = |&allowance: &u8| {
        let comparison = Comparison {
            embeddings,
            unseen: &unseen,
            allowance,
        };
        let own = comparison.to_prototypes(&fit, &galleries);
        let pairs = comparison.between_pairs(&fit);
        let prototype = threshold(own.different.clone(), wanted.false_accept_rate);
        let pair = threshold(pairs.different, wanted.false_accept_rate);
        let refused = own.errors(prototype).false_reject;
        (prototype > 0 && pair > 0).then_some((refused, comparison, [prototype, pair]))
    };
    let found = allowances(embeddings, &known).iter().filter_map(set);
    let best = found.reduce(|best, other| if other.0 < best.0 { other } else { best });
    let (_, comparison, [prototype_threshold, pair_threshold]) = best.with_context(|| {
        format!(
            "a false-accept rate of {} leaves no distance at which anything is accepted; ask for a \
             higher one, or give more images",
            wanted.false_accept_rate
        )
    })?;

    let checked = comparison.to_prototypes(&check, &galleries);
    let rates = Rates {
        prototype: checked.errors(prototype_threshold),
        pair: comparison.between_pairs(&check).errors(pair_threshold),
    };
    let calibration = Calibration {
        false_accept_rate: wanted.false_accept_rate as f32,
        false_reject_rate: rates.prototype.false_reject as f32,
        prototype_threshold,
        pair_threshold,
        spread: spread(embeddings, &fit),
        allowance: comparison.allowance,
    };
    Ok((calibration, rates))
}

/// What thresholds would judge of images and the prototypes of their classes: each image with
/// its own, and, as every class takes its turn as the one that nobody has enrolled, with the
/// nearest of the others. `shots` examples of a class are drawn `draws` times from every other
/// image, and compared with the rest, with the allowance of a model.
///
/// # Errors
/// If there are fewer than two classes with at least `2 * shots` and 4 images each.
pub fn judged(
    embeddings: &IntEmbeddings,
    labels: &[Class],
    (shots, draws, seed): (usize, usize, u64),
    allowance: u8,
) -> Result<Distances> {
    let classes: Vec<Vec<usize>> = by_class(labels)
        .into_iter()
        .filter(|members| !members.is_empty())
        .collect();
    let least = (2 * shots).max(4);
    ensure!(
        classes.len() >= 2 && classes.iter().all(|members| members.len() >= least),
        "thresholds need at least two classes with {least} images each"
    );
    let half = |odd: usize| -> Vec<Vec<usize>> {
        let part = |members: &Vec<usize>| members[odd..].iter().copied().step_by(2).collect();
        classes.iter().map(part).collect()
    };
    let (examples, others) = (half(0), half(1));
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    let galleries: Vec<Vec<Vec<i16>>> = (0..draws.max(1))
        .map(|_| {
            let enrol =
                |members: &Vec<usize>| prototype(embeddings, &draw(members, shots, &mut generator));
            examples.iter().map(enrol).collect()
        })
        .collect();
    let comparison = Comparison {
        embeddings,
        unseen: &vec![false; classes.len()],
        allowance,
    };
    Ok(comparison.to_prototypes(&others, &galleries))
}

/// What thresholds judge, between what is the same and between what isn't, in squared steps.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Distances {
    /// Of the same.
    pub same: Vec<i64>,
    /// Of the different.
    pub different: Vec<i64>,
}

impl Distances {
    fn errors(&self, threshold: u64) -> Errors {
        let within = |distances: &[i64]| {
            let count = distances.iter().filter(|&&d| d <= threshold.cast_signed());
            count.count() as f64 / distances.len().max(1) as f64
        };
        Errors {
            false_accept: within(&self.different),
            false_reject: 1.0 - within(&self.same),
        }
    }
}

/// How images are compared.
struct Comparison<'a> {
    embeddings: &'a IntEmbeddings,
    /// Which of the classes nobody enrols; if any are, they alone are different.
    unseen: &'a [bool],
    allowance: u8,
}

impl Comparison<'_> {
    /// Each image to its own prototype, and to the nearest other one.
    fn to_prototypes(&self, classes: &[Vec<usize>], galleries: &[Vec<Vec<i16>>]) -> Distances {
        let mut distances = Distances::default();
        let all_take_turns = !self.unseen.contains(&true);
        for gallery in galleries {
            for (class, members) in classes.iter().enumerate() {
                for &member in members {
                    let embedding = self.embeddings.get(member);
                    let norm = norm_squared(embedding);
                    let judged = |distance| signed_excess(distance, norm, self.allowance);
                    let own = distance_squared(embedding, &gallery[class]);
                    let others = gallery.iter().enumerate();
                    let others =
                        others.filter(|(other, _)| *other != class && !self.unseen[*other]);
                    let others = others.map(|(other, prototype)| (other, &prototype[..]));
                    if !self.unseen[class] {
                        distances.same.push(judged(own));
                    }
                    if all_take_turns || self.unseen[class] {
                        let nearest = nearest(embedding, others);
                        let nearest = nearest.map(|(distance, _)| judged(distance));
                        distances.different.extend(nearest);
                    }
                }
            }
        }
        distances
    }

    /// All pairs of at most 2000 images; if some classes are unseen, different pairs
    /// have an image of one of them.
    fn between_pairs(&self, classes: &[Vec<usize>]) -> Distances {
        const IMAGES: usize = 2_000;
        let all_take_turns = !self.unseen.contains(&true);
        let all: usize = classes.iter().map(Vec::len).sum();
        let step = all.div_ceil(IMAGES).max(1);
        let images: Vec<(usize, &[i16], u64)> = classes
            .iter()
            .enumerate()
            .flat_map(|(class, members)| members.iter().step_by(step).map(move |&m| (class, m)))
            .map(|(class, member)| {
                let embedding = self.embeddings.get(member);
                (class, embedding, norm_squared(embedding))
            })
            .collect();
        let mut distances = Distances::default();
        for (index, &(class, image, norm)) in images.iter().enumerate() {
            for &(other_class, other, other_norm) in &images[index + 1..] {
                let norm = u64::midpoint(norm, other_norm);
                let judged = signed_excess(distance_squared(image, other), norm, self.allowance);
                if class == other_class {
                    distances.same.push(judged);
                } else if all_take_turns || self.unseen[class] != self.unseen[other_class] {
                    distances.different.push(judged);
                }
            }
        }
        distances
    }
}

/// The largest threshold that accepts at most a share of `rate` of the
/// different; 0 if there is none above that.
fn threshold(mut different: Vec<i64>, rate: f64) -> u64 {
    let accepted = (different.len() as f64 * rate) as usize;
    if accepted >= different.len() {
        // Everything.
        return i64::MAX.cast_unsigned();
    }
    let (_, first_refused, _) = different.select_nth_unstable(accepted);
    (*first_refused - 1).max(0).cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gallery::allowance::ALLOWANCE;

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
        let different: Vec<i64> = (0..1000).rev().collect();
        for (rate, expected) in [(0.0, 0), (0.01, 9), (0.25, 249)] {
            let found = threshold(different.clone(), rate);
            assert_eq!(found, expected);
            let accepted = different.iter().filter(|&&d| d <= found as i64).count();
            assert!(accepted as f64 <= 1000.0 * rate + 1.0, "{rate}");
        }
        // Equal distances are accepted all or none.
        assert_eq!(threshold(vec![5; 100], 0.5), 4);
        assert_eq!(threshold(vec![5; 100], 1.0), i64::MAX as u64);
        // Below 0 a device sees nothing.
        assert_eq!(threshold(vec![-5; 100], 0.5), 0);
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
    /// Classes of these images on a line.
    fn places(classes: &[&[i16]]) -> (IntEmbeddings, Vec<Class>) {
        let labels = classes.iter().zip(0..);
        let labels = labels.flat_map(|(images, label)| vec![label; images.len()]);
        let embeddings = IntEmbeddings {
            dim: 1,
            scale: 1.0,
            steps: classes.concat(),
        };
        (embeddings, labels.collect())
    }

    #[test]
    fn a_class_has_twice_the_images_of_a_prototype() {
        let found = |shots, images| {
            let (embeddings, labels) = places(&[&vec![0; images], &[50; 8]]);
            let wanted = Wanted {
                shots,
                ..wanted(0.0)
            };
            calibrate(&embeddings, &labels, &wanted)
        };
        for (shots, images) in [(1, 3), (3, 5)] {
            let error = found(shots, images).unwrap_err().to_string();
            assert!(
                error.contains(&format!("{} images each", images + 1)),
                "{error}"
            );
            assert!(found(shots, images + 1).is_ok());
        }
    }

    #[test]
    fn both_thresholds_must_accept_something() {
        // Every other image sets the thresholds. Prototypes at 10 and 21, and an image of
        // the first class at 20; but the nearest two images are 9 apart.
        let one_step = places(&[&[0, 0, 20, 0], &[11, 0, 31, 0]]);
        // An image of both classes, and prototypes at 10 and 30.
        let same_image = places(&[&[0, 0, 20, 0], &[20, 0, 40, 0]]);
        for (embeddings, labels) in [one_step, same_image] {
            let wanted = Wanted {
                shots: 2,
                ..wanted(0.0)
            };
            let error = calibrate(&embeddings, &labels, &wanted).unwrap_err();
            assert!(error.to_string().contains("higher one"), "{error}");
        }
    }

    #[test]
    fn an_allowance_is_taken_where_it_refuses_less() {
        // Classes at -60 and 60, and new images at 0. With one of ten images at -150 and 150,
        // the prototypes are 69 out, and those images 81 from them: farther than the new.
        let with = |far: i16| {
            let mut out = [60; 20];
            out[..2].fill(far);
            let (embeddings, labels) = places(&[&out.map(|step| -step), &out, &[0; 20]]);
            let wanted = Wanted {
                shots: 10,
                unseen: BTreeSet::from([2]),
                ..wanted(0.0)
            };
            let (found, rates) = calibrate(&embeddings, &labels, &wanted).unwrap();
            let refused = rates.prototype.false_reject;
            (found.allowance, found.prototype_threshold, refused)
        };
        assert_eq!(with(150), (ALLOWANCE, 69 * 69 - 1, 0.0));
        // Where either refuses nothing, none is the simplest.
        assert_eq!(with(60), (0, 60 * 60 - 1, 0.0));
    }

    #[test]
    fn every_pair_is_compared_once() {
        let (embeddings, _) = places(&[&[0, 3, 10]]);
        let comparison = Comparison {
            embeddings: &embeddings,
            unseen: &[false; 2],
            allowance: 0,
        };
        let found = comparison.between_pairs(&[vec![0, 1], vec![2]]);
        assert_eq!((found.same, found.different), (vec![9], vec![100, 49]));
    }
}
