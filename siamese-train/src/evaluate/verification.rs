//! Same or different? A pair is said to be of one class if its distance is at
//! most a threshold; every threshold gives one rate of each kind of error.

use crate::dataset::Class;
use anyhow::{Result, ensure};
use rayon::prelude::*;

use super::Labelled;
use super::columns::Columns;

/// Beyond this many points, an evenly spaced part of them is used: pairs grow
/// with the square, and each takes 8 bytes.
pub const MAX_POINTS: usize = 20_000;
/// Bins of the histograms.
pub const BINS: usize = 200;

/// Same-or-different decisions over all pairs of points, exactly: every
/// threshold that makes a difference was looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct Verification {
    /// Area under the ROC curve: the probability that a pair of one class is
    /// closer than a pair of two, equal distances counting half.
    pub auc: f64,
    /// The rate at which false accepts and false rejects are equal, by a
    /// straight line between the two nearest thresholds.
    pub eer: f64,
    /// The largest fraction of same pairs that are accepted by a threshold
    /// that accepts at most 1 in 1000 different pairs.
    pub tar_at_far_1e3: f64,
    /// The distance of the equal error rate, in real units: the smallest at
    /// which there are at least as many false accepts as false rejects.
    pub eer_distance: f64,
    /// Mean distance of the same pairs over that of the different pairs:
    /// 0 if classes are points, about 1 if the embedding knows no classes.
    pub distance_ratio: f64,
    /// Pairs of one class.
    pub same_pairs: u64,
    /// Pairs of two classes.
    pub different_pairs: u64,
    /// How the distances spread.
    pub histogram: Histogram,
}

/// Pairs by distance, in bins of equal width from 0 to the largest distance.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// The width of a bin, in real units.
    pub bin_width: f64,
    /// Pairs of one class, [`BINS`] bins.
    pub same: Vec<u64>,
    /// Pairs of two classes, [`BINS`] bins.
    pub different: Vec<u64>,
}

impl Verification {
    /// Looks at all pairs of the points, or of [`MAX_POINTS`] evenly spaced
    /// ones if there are more.
    ///
    /// # Errors
    /// If there is no pair of one class, or none of two.
    pub fn of(points: Labelled<'_>) -> Result<Self> {
        if points.len() > MAX_POINTS {
            let part: Vec<usize> = (0..MAX_POINTS)
                .map(|i| i * points.len() / MAX_POINTS)
                .collect();
            let labels: Vec<Class> = part.iter().map(|&index| points.labels()[index]).collect();
            return Self::of(Labelled::new(&points.points().subset(&part), &labels)?);
        }
        let pairs = sorted_pairs(points);
        let different_pairs = pairs.iter().map(|pair| pair & 1).sum::<u64>();
        let same_pairs = pairs.len() as u64 - different_pairs;
        ensure!(
            same_pairs > 0 && different_pairs > 0,
            "same-or-different decisions need at least two classes, and two images of one of them"
        );
        let unit = f64::from(points.points().unit());
        let rates = Rates::sweep(&pairs, same_pairs, different_pairs);
        Ok(Self {
            auc: rates.auc,
            eer: rates.eer,
            tar_at_far_1e3: rates.tar_at_far_1e3,
            eer_distance: rates.eer_squared_distance.sqrt() * unit,
            distance_ratio: distance_ratio(&pairs, same_pairs, different_pairs),
            same_pairs,
            different_pairs,
            histogram: Histogram::new(&pairs, unit),
        })
    }
}

/// All pairs by distance, ascending. A pair is the bits of its squared
/// distance, which order like the number because it is not negative, moved up
/// by one (the sign is 0) to make room for the last bit: 1 = two classes.
fn sorted_pairs(points: Labelled<'_>) -> Vec<u64> {
    let columns = Columns::new(points.points());
    let n = points.len();
    let mut pairs = vec![0u64; n * (n - 1) / 2];
    let mut rows = Vec::with_capacity(n);
    let mut rest = pairs.as_mut_slice();
    for first in 0..n {
        let (row, others) = rest.split_at_mut(n - 1 - first);
        rows.push((first, row));
        rest = others;
    }
    rows.into_par_iter().for_each_init(
        || vec![0.0; n],
        |distances, (first, row)| {
            let distances = &mut distances[..row.len()];
            columns.squared_distances(points.points().get(first), first + 1, distances);
            let label = points.labels()[first];
            let others = &points.labels()[first + 1..];
            for ((pair, distance), &other) in row.iter_mut().zip(distances).zip(others) {
                *pair = distance.to_bits() << 1 | u64::from(other != label);
            }
        },
    );
    pairs.par_sort_unstable();
    pairs
}

/// The squared distance of a pair.
fn squared_distance(pair: u64) -> f64 {
    f64::from_bits(pair >> 1)
}

/// Mean distance of the same pairs over that of the different; 0 where all
/// distances are.
fn distance_ratio(pairs: &[u64], same_pairs: u64, different_pairs: u64) -> f64 {
    let mut sums = [0.0; 2];
    for &pair in pairs {
        sums[(pair & 1) as usize] += squared_distance(pair).sqrt();
    }
    let [same, different] = sums;
    if different > 0.0 {
        same / same_pairs as f64 / (different / different_pairs as f64)
    } else {
        0.0
    }
}

/// What one pass over the sorted pairs finds.
struct Rates {
    auc: f64,
    eer: f64,
    tar_at_far_1e3: f64,
    eer_squared_distance: f64,
}

impl Rates {
    fn sweep(pairs: &[u64], same_pairs: u64, different_pairs: u64) -> Self {
        let (mut same, mut different) = (0, 0);
        // Twice the number of (same, different) combinations in right order.
        let mut ordered = 0u128;
        let mut eer = None;
        let mut tar_at_far_1e3 = 0.0;
        // False accepts and false rejects at the threshold before.
        let (mut far, mut frr) = (0.0, 1.0);
        for equal in pairs.chunk_by(|a, b| a >> 1 == b >> 1) {
            let different_here = equal.iter().map(|pair| pair & 1).sum::<u64>();
            let same_here = equal.len() as u64 - different_here;
            same += same_here;
            different += different_here;
            let farther = different_pairs - different;
            ordered += u128::from(same_here) * u128::from(2 * farther + different_here);

            let (far_before, frr_before) = (far, frr);
            far = different as f64 / different_pairs as f64;
            frr = (same_pairs - same) as f64 / same_pairs as f64;
            if different * 1000 <= different_pairs {
                tar_at_far_1e3 = same as f64 / same_pairs as f64;
            }
            if eer.is_none() && far >= frr {
                let before = frr_before - far_before;
                let after = far - frr;
                let crossing = before / (before + after);
                let rate = far_before + crossing * (far - far_before);
                eer = Some((rate, squared_distance(equal[0])));
            }
        }
        let (eer, eer_squared_distance) = eer.unwrap_or((0.0, 0.0));
        Self {
            auc: ordered as f64 / (2.0 * same_pairs as f64 * different_pairs as f64),
            eer,
            tar_at_far_1e3,
            eer_squared_distance,
        }
    }
}

impl Histogram {
    fn new(pairs: &[u64], unit: f64) -> Self {
        let largest = pairs
            .last()
            .map_or(0.0, |&pair| squared_distance(pair).sqrt());
        let width = if largest > 0.0 {
            largest / BINS as f64
        } else {
            1.0
        };
        let mut histogram = Self {
            bin_width: width * unit,
            same: vec![0; BINS],
            different: vec![0; BINS],
        };
        for &pair in pairs {
            let bin = ((squared_distance(pair).sqrt() / width) as usize).min(BINS - 1);
            let bins = if pair & 1 == 0 {
                &mut histogram.same
            } else {
                &mut histogram.different
            };
            bins[bin] += 1;
        }
        histogram
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::embed::points::Points;

    fn of(coords: &[f32], labels: &[Class]) -> Result<Verification> {
        let points = Points::new(1, coords.to_vec()).unwrap();
        Verification::of(Labelled::new(&points, labels).unwrap())
    }

    #[test]
    fn by_hand() {
        // Same pairs: 1 (0 to 1) and 4 (3 to 7). Different: 3, 7, 2, 6.
        let found = of(&[0.0, 1.0, 3.0, 7.0], &[0, 0, 1, 1]).unwrap();
        assert_eq!((found.same_pairs, found.different_pairs), (2, 4));
        assert!((found.distance_ratio - 2.5 / 4.5).abs() < 1e-12);
        // Right orders: 1 is below all four, 4 below 6 and 7.
        assert_eq!(found.auc, 6.0 / 8.0);
        // At 3, two of four are falsely accepted and one of two rejected.
        assert_eq!((found.eer, found.eer_distance), (0.5, 3.0));
        assert_eq!(found.tar_at_far_1e3, 0.5);
        assert_eq!(found.histogram.same.iter().sum::<u64>(), 2);
        assert_eq!(found.histogram.different[BINS - 1], 1);
    }

    #[test]
    fn the_crossing_is_interpolated() {
        // Same: 1. Different: 1, 2, ... so at 1 FAR jumps from 0 to 1/5 and
        // FRR from 1 to 0: the lines cross at 1/6.
        let found = of(&[0.0, 1.0, 2.0, 30.0], &[0, 0, 1, 2]).unwrap();
        assert!((found.eer - 1.0 / 6.0).abs() < 1e-12, "{}", found.eer);
        assert_eq!(found.auc, (4.0 + 0.5) / 5.0);
    }

    #[test]
    fn separated_classes_are_perfect() {
        let found = of(&[0.0, 0.5, 10.0, 10.5], &[0, 0, 1, 1]).unwrap();
        assert_eq!(
            (found.auc, found.eer, found.tar_at_far_1e3),
            (1.0, 0.0, 1.0)
        );
        // One place for all: no better than chance.
        let found = of(&[2.0; 4], &[0, 0, 1, 1]).unwrap();
        assert_eq!(
            (found.auc, found.eer, found.tar_at_far_1e3),
            (0.5, 0.5, 0.0)
        );
    }

    #[test]
    fn one_class_or_no_pair_is_refused() {
        assert!(of(&[1.0, 2.0], &[3, 3]).is_err());
        assert!(of(&[1.0, 2.0], &[3, 4]).is_err());
        assert!(of(&[1.0], &[3]).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]
        #[test]
        fn as_the_definitions(
            coords in prop::collection::vec(-6i8..6, 12),
            labels in prop::collection::vec(0u16..3, 12),
        ) {
            let coords: Vec<f32> = coords.into_iter().map(f32::from).collect();
            let (mut same, mut different) = (Vec::new(), Vec::new());
            for i in 0..12 {
                for j in i + 1..12 {
                    let kind = if labels[i] == labels[j] { &mut same } else { &mut different };
                    kind.push((coords[i] - coords[j]).abs());
                }
            }
            prop_assume!(!different.is_empty());
            let found = of(&coords, &labels).unwrap();

            let wins: f64 = same
                .iter()
                .flat_map(|s| different.iter().map(move |d| {
                    if s < d { 1.0 } else if s == d { 0.5 } else { 0.0 }
                }))
                .sum();
            prop_assert!((found.auc - wins / (same.len() * different.len()) as f64).abs() < 1e-12);

            let share = |of: &[f32], t: f32| {
                of.iter().filter(|&&d| d <= t).count() as f64 / of.len() as f64
            };
            let thresholds = || (-1..=12).map(|t| t as f32);
            let tar = thresholds()
                .filter(|&t| share(&different, t) <= 1e-3)
                .map(|t| share(&same, t))
                .fold(0.0, f64::max);
            prop_assert_eq!(found.tar_at_far_1e3, tar);
            // Between the two thresholds where the rates change places.
            let rejected = |t: f32| {
                same.iter().filter(|&&d| d > t).count() as f64 / same.len() as f64
            };
            let t = thresholds().find(|&t| share(&different, t) >= rejected(t)).unwrap();
            prop_assert_eq!(found.eer_distance, f64::from(t));
            let low = share(&different, t - 1.0);
            prop_assert!(found.eer >= low - 1e-12 && found.eer <= share(&different, t) + 1e-12);
        }
    }
}
