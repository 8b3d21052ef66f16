//! Thresholds for classes that nobody has seen yet, learnt from classes that were
//! left out.
//!
//! A network pulls the classes that it was trained on apart farther than any
//! other. How near a *new* class comes to an enrolled one can only be seen in a
//! network that was trained without it. So a few short trainings leave out some
//! of the classes each, a [`Fold`], and the images of these are compared with
//! prototypes of the others. Lengths differ from network to network: what
//! carries over to the model that was trained on all classes, and for longer, is
//! the squared distance over the *extent*, the mean squared distance of the seen
//! classes' images from the middle of them all. (The spread of a class around
//! its own mean goes on shrinking as training goes on, and new classes don't
//! come nearer with it.)
//!
//! New classes lie nearer to the middle than those that training has parted. So a
//! network whose middle is at the origin may have an *allowance*: what is judged is
//! the squared distance less a part of the image's squared norm. Whether that
//! refuses less of what is enrolled, the folds tell.
//!
//! The more labels are enrolled, the nearer the nearest of them is. [`Reach`]
//! has the threshold for any number of labels. The number of examples matters
//! little: a prototype of one example asks for a slightly larger threshold than
//! one of five, so that its wrong acceptances are fewer than promised.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use siamese_core::embedding::{distance_squared, norm_squared};
use siamese_core::model::Calibration;

use super::allowance::{distance_to, extent, middle, signed_excess};
use super::prototypes::{by_class, classes as members_of, draw, nearest, prototype, spread};
use crate::dataset::Class;
use crate::embed::IntEmbeddings;

/// The rates of wrong acceptances that a [`Reach`] knows thresholds for.
pub const RATES: [f64; 6] = [0.001, 0.005, 0.01, 0.02, 0.05, 0.1];
/// Images of an unseen class that are looked at, at most.
const IMAGES: usize = 500;

/// What a network that was trained without some classes makes of them.
#[derive(Debug, Clone)]
pub struct Fold {
    /// Embeddings of images of all classes.
    pub embeddings: IntEmbeddings,
    /// The class of each.
    pub labels: Vec<Class>,
    /// The classes that the network was trained without.
    pub unseen: BTreeSet<Class>,
}

/// The threshold for one rate of wrong acceptances, over the extent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The share of images of new classes that is to be accepted.
    pub wanted: f64,
    /// The share that was, of the classes of each fold by the threshold of the
    /// other folds.
    pub measured: f64,
    /// The squared distance with one label enrolled, over the extent.
    pub one: f64,
    /// The same with [`Reach::labels`] labels.
    pub many: f64,
    /// The same between two images.
    pub pair: f64,
    /// The share of different pairs with an image of a new class that was
    /// accepted, of each fold by the threshold of the others.
    pub measured_pair: f64,
}

/// How far what is known reaches: thresholds that hold for new classes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reach {
    /// Labels in the largest galleries that were measured.
    pub labels: usize,
    /// The examples of a prototype.
    pub shots: usize,
    /// The trainings that left classes out.
    pub folds: usize,
    /// The allowance that these thresholds are for, in 256ths of a squared norm.
    #[serde(default, skip_serializing_if = "is_none")]
    pub allowance: u8,
    /// One for each of [`RATES`].
    pub rows: Vec<Row>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_none(allowance: &u8) -> bool {
    *allowance == 0
}

/// What a threshold judges, over the extent, from images of a fold's unseen classes;
/// and from those of the seen ones to their own prototype.
#[derive(Debug, Default, Clone)]
struct Far {
    one: Vec<f64>,
    many: Vec<f64>,
    pair: Vec<f64>,
    own: Vec<f64>,
}

/// The rate of wrong acceptances at which an allowance is chosen.
const CHOSEN_AT: f64 = 0.01;

impl Reach {
    /// Measures it, drawing `shots` examples of each class `draws` times, for the one
    /// of the allowances with which least of what is enrolled is refused.
    ///
    /// # Errors
    /// If there are fewer than two folds, or one of them has fewer than two
    /// seen classes with `shots` images and the same for its unseen ones.
    pub fn measure(
        folds: &[Fold],
        allowances: &[u8],
        shots: usize,
        draws: usize,
        seed: u64,
    ) -> Result<Self> {
        let mut best: Option<(f64, Self)> = None;
        for &allowance in allowances {
            let (reach, refused) = Self::with_allowance(folds, allowance, shots, draws, seed)?;
            if best.as_ref().is_none_or(|(least, _)| refused < *least) {
                best = Some((refused, reach));
            }
        }
        let (_, reach) = best.context("no allowance to measure with")?;
        Ok(reach)
    }

    /// The same with a given allowance; and the share of what is enrolled that is
    /// refused at [`CHOSEN_AT`].
    fn with_allowance(
        folds: &[Fold],
        allowance: u8,
        shots: usize,
        draws: usize,
        seed: u64,
    ) -> Result<(Self, f64)> {
        ensure!(
            folds.len() >= 2,
            "thresholds for new classes need at least two trainings that leave some out; \
             {} are possible",
            folds.len()
        );
        // The same number of labels everywhere, or one fold would be asked more.
        let seen = |fold: &Fold| {
            let classes: BTreeSet<Class> = fold.labels.iter().copied().collect();
            classes.difference(&fold.unseen).count()
        };
        let labels = folds.iter().map(seen).min().unwrap_or(0);
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        let far: Vec<Far> = folds
            .iter()
            .map(|fold| {
                fold.far(
                    labels,
                    allowance,
                    shots.max(1),
                    draws.max(1),
                    &mut generator,
                )
            })
            .collect::<Result<_>>()?;
        let rows = RATES.map(|wanted| {
            let [one, many, pair]: [fn(&Far) -> &[f64]; 3] =
                [|far| &far.one, |far| &far.many, |far| &far.pair];
            let all = |kind: fn(&Far) -> &[f64]| quantile(&pooled(&far, kind, None), wanted);
            Row {
                wanted,
                measured: left_out_rate(&far, many, wanted),
                one: all(one),
                many: all(many),
                pair: all(pair),
                measured_pair: left_out_rate(&far, pair, wanted),
            }
        });
        let reach = Self {
            labels,
            shots,
            folds: folds.len(),
            allowance,
            rows: rows.to_vec(),
        };
        let Row { many, pair, .. } = reach.at(CHOSEN_AT);
        let own = pooled(&far, |far| &far.own, None);
        // A device sees nothing below 0: there such a threshold refuses all.
        let possible = many > 0.0 && pair > 0.0;
        let refused = own.iter().filter(|&&own| !possible || own > many).count();
        Ok((reach, refused as f64 / own.len().max(1) as f64))
    }

    /// The row for a rate; between two that are known, the numbers between
    /// theirs. Rates beyond them get the outermost row's.
    #[must_use]
    pub fn at(&self, rate: f64) -> Row {
        let above = self.rows.iter().position(|row| row.wanted >= rate);
        let Some(last) = self.rows.last() else {
            return Row {
                wanted: rate,
                measured: 0.0,
                one: 0.0,
                many: 0.0,
                pair: 0.0,
                measured_pair: 0.0,
            };
        };
        let (low, high) = match above {
            None => (last, last),
            Some(0) => (&self.rows[0], &self.rows[0]),
            Some(above) => (&self.rows[above - 1], &self.rows[above]),
        };
        let span = (high.wanted / low.wanted).ln();
        let part = if span > 0.0 {
            (rate / low.wanted).ln() / span
        } else {
            0.0
        };
        let between = |value: fn(&Row) -> f64| value(low) + part * (value(high) - value(low));
        Row {
            wanted: rate,
            measured: between(|row| row.measured),
            one: between(|row| row.one),
            many: between(|row| row.many),
            pair: between(|row| row.pair),
            measured_pair: between(|row| row.measured_pair),
        }
    }

    /// The largest squared distance to a prototype over the extent, for a rate
    /// and a number of enrolled labels, at least 1.
    ///
    /// The inverse of the threshold grows evenly with the logarithm of the
    /// number of labels: exact at one and at [`labels`](Self::labels), and never
    /// 0 beyond.
    #[must_use]
    pub fn prototype(&self, rate: f64, labels: usize) -> f64 {
        let Row { one, many, .. } = self.at(rate);
        if self.labels < 2 || one <= 0.0 || many <= 0.0 {
            return many;
        }
        let part = (labels.max(1) as f64).ln() / (self.labels as f64).ln();
        1.0 / (1.0 / one + part * (1.0 / many - 1.0 / one))
    }

    /// The thresholds for prototypes and for pairs in a model of that extent, in
    /// squared steps, with `labels` enrolled; 0 where nothing could be accepted.
    #[must_use]
    pub fn thresholds(&self, rate: f64, labels: usize, extent: f64) -> [u64; 2] {
        let steps = |over_extent: f64| (over_extent * extent) as u64;
        [
            steps(self.prototype(rate, labels)),
            steps(self.at(rate).pair),
        ]
    }
}

/// What a model refuses of what is enrolled.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Refused {
    /// Of comparisons with the own prototype.
    pub prototype: f64,
    /// Of two images of one class.
    pub pair: f64,
}

/// The thresholds of a model by what its folds have shown, and the share of what
/// is enrolled that it refuses with them. `embeddings` are of images that
/// training has not seen, of classes that it has: every other image of a class is
/// one that examples are drawn from, and the others are compared.
///
/// # Errors
/// If a class has fewer than `2 * shots` and 4 images, or the rate is so low that
/// nothing could be accepted.
pub fn apply(
    reach: &Reach,
    rate: f64,
    labels: usize,
    embeddings: &IntEmbeddings,
    classes: &[Class],
    draws: usize,
    seed: u64,
) -> Result<(Calibration, Refused)> {
    let members = members_of(classes);
    let least = (2 * reach.shots).max(4);
    ensure!(
        !members.is_empty() && members.iter().all(|members| members.len() >= least),
        "thresholds need {least} images of each class that training has not seen"
    );
    let [prototype_threshold, pair_threshold] =
        reach.thresholds(rate, labels, extent(embeddings, &members));
    let mut calibration = Calibration {
        false_accept_rate: rate as f32,
        false_reject_rate: 0.0,
        prototype_threshold,
        pair_threshold,
        spread: spread(embeddings, &members),
        allowance: reach.allowance,
    };
    ensure!(
        calibration.prototype_threshold > 0 && calibration.pair_threshold > 0,
        "a false-accept rate of {rate} leaves no distance at which anything is accepted; ask for \
         a higher one"
    );
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    let (mut refused, mut pairs) = ([0usize; 2], [0usize; 2]);
    for _ in 0..draws.max(1) {
        for members in &members {
            let (examples, others): (Vec<usize>, Vec<usize>) = (
                members.iter().copied().step_by(2).collect(),
                members.iter().copied().skip(1).step_by(2).collect(),
            );
            let own = prototype(embeddings, &draw(&examples, reach.shots, &mut generator));
            let first = draw(&examples, 1, &mut generator);
            for other in others {
                let embedding = embeddings.get(other);
                let norm = norm_squared(embedding);
                let beyond = |point: &[i16], norm, threshold: u64| {
                    let distance = distance_squared(embedding, point);
                    signed_excess(distance, norm, calibration.allowance) > threshold.cast_signed()
                };
                let far = beyond(&own, norm, calibration.prototype_threshold);
                refused = [refused[0] + usize::from(far), refused[1] + 1];
                let other = embeddings.get(first[0]);
                let both = u64::midpoint(norm, norm_squared(other));
                let far = beyond(other, both, calibration.pair_threshold);
                pairs = [pairs[0] + usize::from(far), pairs[1] + 1];
            }
        }
    }
    let share = |[part, all]: [usize; 2]| part as f64 / all.max(1) as f64;
    let refused = Refused {
        prototype: share(refused),
        pair: share(pairs),
    };
    calibration.false_reject_rate = refused.prototype as f32;
    Ok((calibration, refused))
}

impl Fold {
    /// What a threshold judges of the unseen classes' images, over the extent of the
    /// seen ones: to one prototype, to the nearest of `labels`, and to an image.
    fn far(
        &self,
        labels: usize,
        allowance: u8,
        shots: usize,
        draws: usize,
        generator: &mut ChaCha8Rng,
    ) -> Result<Far> {
        let members = by_class(&self.labels);
        let is_unseen = |class: usize| self.unseen.iter().any(|&other| usize::from(other) == class);
        let classes = || members.iter().enumerate().filter(|(_, m)| !m.is_empty());
        let seen: Vec<Vec<usize>> = classes()
            .filter(|(class, _)| !is_unseen(*class))
            .map(|(_, members)| members.clone())
            .collect();
        let unseen: Vec<&Vec<usize>> = classes()
            .filter(|(class, _)| is_unseen(*class))
            .map(|(_, members)| members)
            .collect();
        ensure!(
            seen.len() >= 2 && !unseen.is_empty() && seen.iter().all(|m| m.len() >= shots),
            "thresholds for new classes need at least two classes with {shots} images each beside \
             those that are left out"
        );
        let unit = extent(&self.embeddings, &seen).max(1.0);
        let middle = middle(&self.embeddings, &seen);
        let allowed =
            |embedding: &[i16]| f64::from(allowance) / 256.0 * distance_to(embedding, &middle);
        let mut far = Far::default();
        for _ in 0..draws {
            let enrolled = draw(&(0..seen.len()).collect::<Vec<_>>(), labels, generator);
            let mut sample = |class: &usize, count| draw(&seen[*class], count, generator);
            let prototypes: Vec<Vec<i16>> = enrolled
                .iter()
                .map(|class| prototype(&self.embeddings, &sample(class, shots)))
                .collect();
            let single = self.embeddings.get(sample(&enrolled[0], 1)[0]);
            for (class, prototype) in enrolled.iter().zip(&prototypes) {
                for member in sample(class, IMAGES / labels.max(1)) {
                    let embedding = self.embeddings.get(member);
                    let own = distance_squared(embedding, prototype) as f64;
                    far.own.push((own - allowed(embedding)) / unit);
                }
            }
            for members in &unseen {
                for member in draw(members, IMAGES, generator) {
                    let embedding = self.embeddings.get(member);
                    let all = prototypes.iter().map(Vec::as_slice).enumerate();
                    let (many, _) = nearest(embedding, all).unwrap_or((u64::MAX, 0));
                    let pair = distance_squared(embedding, single);
                    let one = distance_squared(embedding, &prototypes[0]);
                    let norm = allowed(embedding);
                    let both = f64::midpoint(norm, allowed(single));
                    far.one.push((one as f64 - norm) / unit);
                    far.many.push((many as f64 - norm) / unit);
                    far.pair.push((pair as f64 - both) / unit);
                }
            }
        }
        Ok(far)
    }
}

/// The distances of all folds but one.
fn pooled(far: &[Far], kind: fn(&Far) -> &[f64], without: Option<usize>) -> Vec<f64> {
    let folds = far.iter().enumerate();
    let folds = folds.filter(|(index, _)| Some(*index) != without);
    folds.flat_map(|(_, far)| kind(far)).copied().collect()
}

/// The share of each fold that the threshold of the others accepts, in the mean.
fn left_out_rate(far: &[Far], kind: fn(&Far) -> &[f64], wanted: f64) -> f64 {
    let rates = far.iter().enumerate().map(|(index, fold)| {
        let threshold = quantile(&pooled(far, kind, Some(index)), wanted);
        let distances = kind(fold);
        let within = distances.iter().filter(|&&d| d <= threshold).count();
        within as f64 / distances.len().max(1) as f64
    });
    rates.sum::<f64>() / far.len().max(1) as f64
}

/// The value below which a share of `rate` of the values lies.
fn quantile(values: &[f64], rate: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_unstable_by(f64::total_cmp);
    let index = (values.len() as f64 * rate) as usize;
    let below = index.checked_sub(1).and_then(|index| values.get(index));
    below.copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gallery::allowance::ALLOWANCE;

    /// A plane in which every class of 60 images has a spread of 100 squared
    /// steps times `unit` squared; class `c` is at `at[c]`, in tens of `unit`.
    fn fold(at: &[(i16, i16)], unseen: &[Class], unit: i16) -> Fold {
        let mut steps = Vec::new();
        let mut labels = Vec::new();
        for (class, &(x, y)) in (0..).zip(at) {
            for image in 0..60 {
                // On a circle of a radius of 10.
                let angle = f64::from(image) / 60.0 * std::f64::consts::TAU;
                let place = |centre: i16, offset: f64| {
                    (f64::from(unit) * (f64::from(10 * centre) + 10.0 * offset)).round() as i16
                };
                steps.extend([place(x, angle.cos()), place(y, angle.sin())]);
                labels.push(class);
            }
        }
        Fold {
            embeddings: IntEmbeddings {
                dim: 2,
                scale: 1.0,
                steps,
            },
            labels,
            unseen: unseen.iter().copied().collect(),
        }
    }

    const SQUARE: [(i16, i16); 5] = [(0, 0), (6, 0), (0, 6), (6, 6), (3, 3)];

    /// Who is unseen sits in the middle, whatever the scale of the network.
    fn reach(unit: i16, shots: usize) -> Reach {
        let folds = [fold(&SQUARE, &[4], unit), fold(&SQUARE, &[4], 3 * unit)];
        Reach::measure(&folds, &[0], shots, 10, 1).unwrap()
    }

    #[test]
    fn what_carries_over_is_the_distance_over_the_extent() {
        let (small, large) = (reach(10, 20), reach(30, 20));
        for (one, other) in small.rows.iter().zip(&large.rows) {
            assert!(
                (one.many - other.many).abs() < 0.02 * one.many,
                "{one:?} {other:?}"
            );
            // The same geometry in both folds: the promise holds.
            assert!(
                (one.measured - one.wanted).abs() < 0.5 * one.wanted + 0.01,
                "{one:?}"
            );
        }
        // From the circle of the middle to the nearest corner: at least sqrt(18) - 1
        // radii. The corners' images are at sqrt(18) from the middle, and a radius
        // from that in every direction: an extent of 19.
        let nearest = reach(10, 60).at(0.01).many;
        let least = (18f64.sqrt() - 1.0).powi(2) / 19.0;
        assert!(
            (0.97 * least..1.1 * least).contains(&nearest),
            "{nearest} {least}"
        );
    }

    #[test]
    fn more_labels_and_lower_rates_give_smaller_thresholds() {
        let reach = reach(10, 20);
        assert_eq!((reach.labels, reach.folds), (4, 2));
        let row = reach.at(0.05);
        assert!((reach.prototype(0.05, 1) - row.one).abs() < 1e-9);
        assert!((reach.prototype(0.05, 4) - row.many).abs() < 1e-9);
        for labels in 1..1000 {
            let [fewer, more] = [labels, labels + 1].map(|n| reach.prototype(0.05, n));
            assert!(more < fewer && more > 0.0, "{labels} labels");
        }
        for pair in RATES.windows(2) {
            assert!(reach.prototype(pair[0], 4) <= reach.prototype(pair[1], 4));
            let between = reach.at((pair[0] * pair[1]).sqrt());
            let [low, high] = [pair[0], pair[1]].map(|rate| reach.at(rate));
            assert!((between.many - f64::midpoint(low.many, high.many)).abs() < 1e-9);
        }
        assert_eq!(reach.at(1e-6).many, reach.rows[0].many);
        assert_eq!(reach.at(0.5).many, reach.rows[5].many);
    }

    #[test]
    fn the_measured_rate_is_that_of_the_fold_that_set_no_threshold() {
        // In one fold the unseen class is far away, in the other on top of class 0.
        let mut near = SQUARE;
        near[4] = (0, 0);
        let folds = [fold(&SQUARE, &[4], 10), fold(&near, &[4], 10)];
        let row = Reach::measure(&folds, &[0], 20, 10, 1).unwrap().at(0.1);
        // By the first one's threshold, all of the second are accepted; by the
        // second one's, none of the first.
        assert!((row.measured - 0.5).abs() < 0.01, "{row:?}");
    }

    #[test]
    fn a_model_gets_the_thresholds_in_its_own_steps() {
        let reach = reach(10, 20);
        let model = fold(&SQUARE[..4], &[], 20);
        let (calibration, refused) =
            apply(&reach, 0.05, 4, &model.embeddings, &model.labels, 3, 1).unwrap();
        assert_eq!(refused.prototype, 0.0);
        // Circles of 200 steps, at sqrt(18) of that from the middle.
        let over_extent = calibration.prototype_threshold as f64 / (19.0 * 40_000.0);
        assert!((over_extent - reach.prototype(0.05, 4)).abs() < 0.01);
        assert!((calibration.spread as f64 - 40_000.0).abs() < 800.0);
        // A circle's images are a nineteenth of the extent from its middle: below that,
        // all are refused.
        let strict = Reach {
            rows: reach
                .rows
                .iter()
                .map(|row| Row {
                    one: 0.02,
                    many: 0.02,
                    ..*row
                })
                .collect(),
            ..reach
        };
        let (strict, refused) =
            apply(&strict, 0.05, 4, &model.embeddings, &model.labels, 3, 1).unwrap();
        assert!(refused.prototype > 0.99, "{refused:?}");
        assert_eq!(strict.false_reject_rate, refused.prototype as f32);
    }

    #[test]
    fn an_allowance_is_taken_where_it_refuses_less() {
        // Four corners, and in the middle who is unseen. In each corner every tenth
        // image lies as far out again and a half, farther from its prototype than the
        // middle is.
        let corners = [(-6, -6), (6, -6), (-6, 6), (6, 6), (0, 0)];
        let mut fold = fold(&corners, &[4], 10);
        let measure = |fold: &Fold, allowances: &[u8]| {
            let folds = [fold.clone(), fold.clone()];
            Reach::measure(&folds, allowances, 30, 10, 1).unwrap()
        };
        // Of what refuses nothing, none is the simplest.
        assert_eq!(measure(&fold, &[0, ALLOWANCE]).allowance, 0);
        for (image, steps) in fold.embeddings.steps.chunks_mut(2).enumerate() {
            if image % 10 == 1 {
                steps.iter_mut().for_each(|step| *step = *step * 5 / 2);
            }
        }
        assert_eq!(measure(&fold, &[0, ALLOWANCE]).allowance, ALLOWANCE);
        let refused = |allowance| {
            let reach = measure(&fold, &[allowance]);
            // The promise holds with either.
            let row = reach.at(0.05);
            assert!((row.measured - 0.05).abs() < 0.01, "{row:?}");
            let known = fold.embeddings.steps[..2 * 240].to_vec();
            let known = IntEmbeddings {
                steps: known,
                ..fold.embeddings
            };
            let (calibration, refused) =
                apply(&reach, 0.05, 4, &known, &fold.labels[..240], 3, 1).unwrap();
            assert_eq!(calibration.allowance, allowance);
            refused.prototype
        };
        // Of the images at odd places, which are compared, every fifth lies far out.
        assert_eq!(refused(0), 0.2);
        assert!(refused(ALLOWANCE) <= 0.1);
        // Who is unseen lies so far out beside a corner that with an allowance only what is
        // below 0 would be near enough, which no device can tell.
        for (steps, label) in fold.embeddings.steps.chunks_mut(2).zip(&fold.labels) {
            if *label == 4 {
                (steps[0], steps[1]) = (steps[0] + 600, steps[1] + 200);
            }
        }
        assert!(measure(&fold, &[ALLOWANCE]).at(0.01).many < 0.0);
        assert_eq!(measure(&fold, &[0, ALLOWANCE]).allowance, 0);
        let json = serde_json::to_string(&measure(&fold, &[0])).unwrap();
        assert!(!json.contains("allowance"), "{json}");
    }

    #[test]
    fn too_little_is_refused_in_words() {
        let one = [fold(&SQUARE, &[4], 10)];
        let error = Reach::measure(&one, &[0], 5, 1, 1).unwrap_err().to_string();
        assert!(error.contains("two trainings"), "{error}");
        let two = [fold(&SQUARE, &[4], 10), fold(&SQUARE, &[1, 2, 3, 4], 10)];
        let error = Reach::measure(&two, &[0], 5, 1, 1).unwrap_err().to_string();
        assert!(error.contains("two classes"), "{error}");
    }
    /// Classes at these places of a line, or of a plane, the last of them unseen.
    fn places(dim: usize, classes: &[&[i16]]) -> Fold {
        let of = |class: usize| vec![class as Class; classes[class].len() / dim];
        Fold {
            embeddings: IntEmbeddings {
                dim,
                scale: 1.0,
                steps: classes.concat(),
            },
            labels: (0..classes.len()).flat_map(of).collect(),
            unseen: BTreeSet::from([classes.len() as Class - 1]),
        }
    }

    #[test]
    fn what_is_judged_is_the_distance_less_the_allowance_over_the_extent() {
        // Both classes are 30 from the middle, which is the origin: an extent of 900. The
        // unseen image is 4 from it, at a squared distance of 916 from either.
        let fold = places(2, &[&[-30, 0, -30, 0], &[30, 0, 30, 0], &[0, 4]]);
        let mut generator = ChaCha8Rng::seed_from_u64(1);
        // A quarter of the squared norms is allowed: 4, and 225; between two, half of both.
        let far = fold.far(2, 64, 2, 1, &mut generator).unwrap();
        assert_eq!(far.own, [-225.0 / 900.0; 4]);
        assert_eq!(
            (&far.one, &far.many),
            (&vec![912.0 / 900.0], &vec![912.0 / 900.0])
        );
        assert_eq!(far.pair, [(916.0 - 114.5) / 900.0]);
        // Of two classes, 250 images each at most are compared with their own prototype.
        let fold = places(1, &[&[-30; 300], &[30; 300], &[0]]);
        let far = fold.far(2, 0, 2, 3, &mut generator).unwrap();
        assert_eq!((far.own.len(), far.many.len()), (3 * 500, 3));
    }

    #[test]
    fn what_lies_at_the_threshold_itself_is_not_refused() {
        let refused = |classes: &[&[i16]], shots| {
            let folds = [places(2, classes), places(2, classes)];
            let (reach, refused) = Reach::with_allowance(&folds, 0, shots, 10, 1).unwrap();
            (reach.at(CHOSEN_AT), refused)
        };
        // Images 4 from their prototypes at -10 and 10, and new ones 4 from it in another
        // direction; then a step nearer.
        let (own, other) = ([-10, 4, -10, -4], [10, 4, 10, -4]);
        let (row, none) = refused(&[&own, &other, &[-14, 0].repeat(100)], 2);
        assert_eq!((row.many, none), (16.0 / 116.0, 0.0));
        let (row, all) = refused(&[&own, &other, &[-13, 0].repeat(100)], 2);
        assert_eq!((row.many, all), (9.0 / 116.0, 1.0));
        // New images on a prototype: a device would accept nothing, not even what is on its
        // own.
        let still = [10, 0, 10, 0];
        let (row, all) = refused(&[&own, &still, &[-10, 0].repeat(100)], 2);
        assert_eq!((row.many, row.pair > 0.0, all), (0.0, true, 1.0));
        // New images on an image, and 4 from the nearest prototype.
        let (row, all) = refused(&[&own, &still, &[-10, 4].repeat(100)], 2);
        assert_eq!((row.many > 0.0, row.pair, all), (true, 0.0, 1.0));
    }

    /// A reach with one number everywhere but for one label.
    fn flat(labels: usize, one: f64, many: f64) -> Reach {
        let row = |wanted| Row {
            wanted,
            measured: wanted,
            one,
            many,
            pair: many,
            measured_pair: wanted,
        };
        Reach {
            labels,
            shots: 1,
            folds: 2,
            allowance: 0,
            rows: RATES.map(row).to_vec(),
        }
    }

    #[test]
    fn the_inverse_of_the_threshold_grows_with_the_logarithm_of_the_labels() {
        let thresholds = [1, 2, 4, 8].map(|labels| flat(2, 0.5, 0.25).prototype(0.01, labels));
        let expected = [0.5, 0.25, 1.0 / 6.0, 0.125];
        for (found, expected) in thresholds.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
        // Where there is no such line: one label alone, or nothing that could be accepted.
        for reach in [
            (1, 2.0, 3.0),
            (2, -1.0, 0.5),
            (2, 0.0, 0.5),
            (2, 0.5, -0.25),
            (2, 0.5, 0.0),
        ] {
            let (labels, one, many) = reach;
            for enrolled in [1, 2, 5] {
                assert_eq!(
                    flat(labels, one, many).prototype(0.01, enrolled),
                    many,
                    "{reach:?}"
                );
            }
        }
    }

    #[test]
    fn what_a_model_refuses_is_counted() {
        // Examples at -10 and at 10; what is compared is 2 and 3, and 4 and 1, from them.
        let model = places(1, &[&[-10, -12, -10, -13], &[10, 14, 10, 9]]);
        let members = members_of(&model.labels);
        let extent = extent(&model.embeddings, &members);
        let reach = |prototype: f64, pair: f64| {
            let mut reach = flat(2, (prototype + 0.5) / extent, (prototype + 0.5) / extent);
            for row in &mut reach.rows {
                row.pair = (pair + 0.5) / extent;
            }
            reach
        };
        let apply = |reach: &Reach| apply(reach, 0.01, 2, &model.embeddings, &model.labels, 3, 1);
        // 9 is accepted and 16 is not; 4 is accepted, and 9 is not.
        let (calibration, refused) = apply(&reach(9.0, 4.0)).unwrap();
        assert_eq!(
            (calibration.prototype_threshold, calibration.pair_threshold),
            (9, 4)
        );
        assert_eq!((refused.prototype, refused.pair), (0.25, 0.5));
        assert_eq!(calibration.false_reject_rate, 0.25);
        for (prototype, pair) in [(0.0, 4.0), (9.0, 0.0)] {
            let error = apply(&reach(prototype, pair)).unwrap_err().to_string();
            assert!(error.contains("higher one"), "{error}");
        }
        // Twice the examples of a prototype, and at least four images of each class.
        for (shots, images, enough) in [(1, 3, false), (1, 4, true), (3, 5, false), (3, 6, true)] {
            let images = vec![7; images];
            let mut model = places(1, &[&images, &[9; 8]]);
            model.unseen.clear();
            let reach = Reach {
                shots,
                ..flat(2, 9.0, 9.0)
            };
            let found = super::apply(&reach, 0.01, 2, &model.embeddings, &model.labels, 1, 1);
            assert_eq!(found.is_ok(), enough, "{shots} {}", images.len());
        }
    }
}
