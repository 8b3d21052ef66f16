//! Same or different? A pair is said to be of one class if its distance is at
//! most a threshold; every threshold gives one rate of each kind of error.

use std::sync::{Mutex, PoisonError};

use anyhow::{Result, ensure};
use rayon::prelude::*;

use super::Labelled;
use super::columns::Columns;

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
    /// Looks at all pairs of the points. Takes memory for the points and about
    /// 150 MB, however many they are, and time with the square of their number.
    ///
    /// # Errors
    /// If there is no pair of one class, or none of two.
    pub fn of(points: Labelled<'_>) -> Result<Self> {
        Self::within(points, Budget::for_points(points.len()))
    }

    /// [`of`](Self::of) with so much memory.
    fn within(points: Labelled<'_>, budget: Budget) -> Result<Self> {
        let pairs = Pairs::new(points, budget);
        let survey = Survey::of(&pairs);
        let totals = survey.counts.total();
        let [same_pairs, different_pairs] = totals;
        ensure!(
            same_pairs > 0 && different_pairs > 0,
            "same-or-different decisions need at least two classes, and two images of one of them"
        );
        let unit = f64::from(points.points().unit());
        let share = |count: u64, of: u64| count as f64 / of as f64;
        // The first threshold with at least as many false accepts as false rejects.
        let equal = pairs.first_where(&survey, |[same, different]| {
            share(different, different_pairs) >= share(same_pairs - same, same_pairs)
        });
        // The first threshold with too many false accepts: those below it have not.
        let too_many = pairs.first_where(&survey, |[_, different]| {
            u128::from(different) * 1000 > u128::from(different_pairs)
        });
        let ordered = pairs.twice_in_order(&survey.counts, &survey.bins, totals);
        Ok(Self {
            auc: ordered as f64 / (2.0 * same_pairs as f64 * different_pairs as f64),
            eer: equal.equal_rate(totals),
            tar_at_far_1e3: share(too_many.before[0], same_pairs),
            eer_distance: equal.squared_distance.sqrt() * unit,
            distance_ratio: survey.distance_ratio(),
            same_pairs,
            different_pairs,
            histogram: survey.histogram(unit),
        })
    }
}

/// How much memory the counting may take.
#[derive(Debug, Clone, Copy)]
struct Budget {
    /// Bins that distances are counted in at a time.
    bins: usize,
    /// Distances that are kept at a time.
    kept: usize,
}

impl Budget {
    /// At most 64 MiB of bins in all parts, and 48 MiB of distances; few points
    /// need few bins.
    fn for_points(points: usize) -> Self {
        let pairs = points.saturating_mul(points.saturating_sub(1)) / 2;
        Self {
            bins: pairs.clamp(1 << 6, 1 << 20),
            kept: 6 << 20,
        }
    }
}

/// Parts that the pairs are counted in, side by side; their number is fixed, so
/// that sums of floats are the same on every machine.
const PARTS: usize = 4;
/// Points whose distances are computed at a time.
const BLOCK: usize = 512;

/// Pairs by kind: of one class, of two.
type Counts = [u64; 2];

fn add(a: Counts, b: Counts) -> Counts {
    [a[0] + b[0], a[1] + b[1]]
}

/// All pairs of some points, computed anew for each look at them. A pair's *key*
/// is the bits of its squared distance: as numbers they order like it, because it
/// is never negative.
struct Pairs<'a> {
    points: Labelled<'a>,
    columns: Columns,
    budget: Budget,
}

impl<'a> Pairs<'a> {
    fn new(points: Labelled<'a>, budget: Budget) -> Self {
        Self {
            points,
            columns: Columns::new(points.points()),
            budget,
        }
    }

    /// Shows every pair once: its squared distance, and its kind as the index of
    /// [`Counts`]. Each part has a state of its own.
    fn look<S: Send>(
        &self,
        state: impl Fn() -> S + Sync,
        see: impl Fn(&mut S, f64, usize) + Sync,
    ) -> Vec<S> {
        let (count, labels) = (self.points.len(), self.points.labels());
        let look_at_part = |part: usize| {
            let mut state = state();
            let mut distances = [0.0; BLOCK];
            // A block's coordinates stay in the nearest caches while points pass.
            for start in (0..count).step_by(BLOCK) {
                let end = count.min(start + BLOCK);
                for first in (part..end).step_by(PARTS) {
                    let from = start.max(first + 1);
                    let distances = &mut distances[..end.saturating_sub(from)];
                    let point = self.points.points().get(first);
                    self.columns
                        .squared_distances(point, from.min(end), distances);
                    let label = labels[first];
                    for (&distance, &other) in distances.iter().zip(&labels[from.min(end)..end]) {
                        see(&mut state, distance, usize::from(other != label));
                    }
                }
            }
            state
        };
        (0..PARTS).into_par_iter().map(look_at_part).collect()
    }

    /// Counts the pairs of each bin.
    fn count(&self, bins: &Bins) -> Table {
        let table = || Table::new(bins.count);
        let parts = self.look(table, |table, distance, kind| {
            if let Some(bin) = bins.of(distance) {
                table.0[bin][kind] += 1;
            }
        });
        Table::sum(parts)
    }

    /// The smallest distance that occurs at which `is_beyond` of the pairs up to
    /// it is true; once true, it stays so. It must be so of all pairs.
    fn first_where(&self, survey: &Survey, is_beyond: impl Fn(Counts) -> bool) -> Place {
        let mut before = [0, 0];
        let mut bin = survey.counts.first_where(&mut before, &is_beyond);
        let mut at = survey.counts.0[bin];
        let mut bins = self.keys_of(&survey.bins, bin);
        while bins.shift > 0 || bins.first != bins.last {
            let table = self.count(&bins);
            bin = table.first_where(&mut before, &is_beyond);
            at = table.0[bin];
            bins = bins.inside(bin, self.budget.bins);
        }
        Place {
            squared_distance: f64::from_bits(bins.first),
            before,
            at,
        }
    }

    /// The keys that a bin holds, in bins of their own.
    fn keys_of(&self, bins: &Bins, bin: usize) -> Bins {
        let ends = self.look(
            || (u64::MAX, 0u64),
            |(first, last), distance, _| {
                if bins.of(distance) == Some(bin) {
                    *first = (*first).min(distance.to_bits());
                    *last = (*last).max(distance.to_bits());
                }
            },
        );
        let first = ends.iter().map(|ends| ends.0).min().unwrap_or(0);
        let last = ends.iter().map(|ends| ends.1).max().unwrap_or(0);
        Bins::of_keys(first, last, self.budget.bins)
    }

    /// Twice the number of combinations of a pair of one class and a pair of two
    /// in which the first is the nearer; equal distances count as half of one. Of
    /// the pairs in `bins`, as `table` counts them, with each other, and of those
    /// of one class with all pairs of two that are farther: `totals` are the pairs
    /// in the bins.
    fn twice_in_order(&self, table: &Table, bins: &Bins, totals: Counts) -> u128 {
        let mut twice = 0;
        let mut farther = totals[1];
        for &[same, different] in &table.0 {
            farther -= different;
            twice += 2 * u128::from(same) * u128::from(farther);
        }
        // What is left is the order within each bin.
        let mixed = |bin: &usize| table.0[*bin].iter().all(|&count| count > 0);
        let fewer = |bin: usize| table.0[bin][0].min(table.0[bin][1]);
        let mut group = Vec::new();
        let mut kept = 0;
        for bin in (0..table.0.len()).filter(mixed) {
            let counts = table.0[bin];
            if bins.holds_one_key() {
                twice += u128::from(counts[0]) * u128::from(counts[1]);
            } else if fewer(bin) > self.budget.kept as u64 {
                let inside = self.keys_of(bins, bin);
                twice += self.twice_in_order(&self.count(&inside), &inside, counts);
            } else {
                if kept + fewer(bin) > self.budget.kept as u64 {
                    twice += self.twice_within(table, bins, &group);
                    (group, kept) = (Vec::new(), 0);
                }
                kept += fewer(bin);
                group.push(bin);
            }
        }
        if !group.is_empty() {
            twice += self.twice_within(table, bins, &group);
        }
        twice
    }

    /// The part of [`twice_in_order`](Self::twice_in_order) within these bins: of
    /// each the pairs of the kind that has fewer are kept and sorted, and those of
    /// the other kind looked up among them.
    fn twice_within(&self, table: &Table, bins: &Bins, group: &[usize]) -> u128 {
        let fewer = |bin: usize| usize::from(table.0[bin][1] < table.0[bin][0]);
        // Where each bin's kept keys begin.
        let mut starts = vec![NOWHERE; table.0.len()];
        let mut total = 0;
        for &bin in group {
            starts[bin] = total;
            total += table.0[bin][fewer(bin)] as u32;
        }
        let keys = Mutex::new(Vec::with_capacity(total as usize));
        let hand_over = |some: &mut Vec<u64>| {
            // A poisoned lock means that another part has panicked already.
            keys.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .append(some);
        };
        let rest = self.look(
            || Vec::with_capacity(BUFFER),
            |some: &mut Vec<u64>, distance, kind| {
                let bin = bins.of(distance);
                if bin.is_some_and(|bin| starts[bin] != NOWHERE && fewer(bin) == kind) {
                    some.push(distance.to_bits());
                    if some.len() == BUFFER {
                        hand_over(some);
                    }
                }
            },
        );
        rest.into_iter().for_each(|mut some| hand_over(&mut some));
        let mut keys = keys.into_inner().unwrap_or_else(PoisonError::into_inner);
        // Bins follow each other as their keys do.
        keys.par_sort_unstable();
        let twice = self.look(
            || 0u128,
            |twice, distance, kind| {
                let Some(bin) = bins.of(distance).filter(|&bin| starts[bin] != NOWHERE) else {
                    return;
                };
                let rare = fewer(bin);
                if rare == kind {
                    return;
                }
                let start = starts[bin] as usize;
                let keys = &keys[start..start + table.0[bin][rare] as usize];
                let below = keys.partition_point(|&key| key < distance.to_bits());
                let up_to = keys.partition_point(|&key| key <= distance.to_bits());
                // Of a pair of two classes count the nearer of one; of a pair of one
                // class the farther of two.
                let (right, equal) = match kind {
                    1 => (below, up_to - below),
                    _ => (keys.len() - up_to, up_to - below),
                };
                *twice += (2 * right + equal) as u128;
            },
        );
        twice.iter().sum()
    }
}

/// Stands for a bin that isn't looked at.
const NOWHERE: u32 = u32::MAX;
/// Keys that a part gathers before it hands them over.
const BUFFER: usize = 4096;

/// How distances fall into bins: a bin holds what is not nearer than the one
/// before.
#[derive(Debug, Clone, Copy)]
struct Bins {
    count: usize,
    /// Bins of equal width over the distances from 0, if that many make one; or
    /// bins of 2^`shift` keys from `first` to `last`.
    a_distance: Option<f64>,
    first: u64,
    last: u64,
    shift: u32,
}

impl Bins {
    /// `count` bins of equal width for the distances up to `largest`.
    fn of_distances(largest: f64, count: usize) -> Self {
        Self {
            count,
            a_distance: Some(if largest > 0.0 {
                count as f64 / largest
            } else {
                0.0
            }),
            first: 0,
            last: u64::MAX,
            shift: 0,
        }
    }

    /// At most `most` bins for the keys from `first` to `last`.
    fn of_keys(first: u64, last: u64, most: usize) -> Self {
        let mut shift = 0;
        while (last - first) >> shift >= most as u64 {
            shift += 1;
        }
        Self {
            count: ((last - first) >> shift) as usize + 1,
            a_distance: None,
            first,
            last,
            shift,
        }
    }

    /// The bins inside bin `bin` of keys.
    fn inside(&self, bin: usize, most: usize) -> Self {
        let first = self.first + ((bin as u64) << self.shift);
        let last = (first + ((1 << self.shift) - 1)).min(self.last);
        Self::of_keys(first, last, most)
    }

    fn holds_one_key(&self) -> bool {
        self.a_distance.is_none() && self.shift == 0
    }

    /// The bin of a squared distance, if it has one.
    fn of(&self, squared: f64) -> Option<usize> {
        if let Some(a_distance) = self.a_distance {
            return Some(((squared.sqrt() * a_distance) as usize).min(self.count - 1));
        }
        let key = squared.to_bits();
        (self.first..=self.last)
            .contains(&key)
            .then(|| ((key - self.first) >> self.shift) as usize)
    }
}

/// Pairs by bin.
struct Table(Vec<Counts>);

impl Table {
    fn new(bins: usize) -> Self {
        Self(vec![[0, 0]; bins])
    }

    fn sum(parts: Vec<Self>) -> Self {
        let add_all = |mut sum: Self, part: Self| {
            for (sum, part) in sum.0.iter_mut().zip(part.0) {
                *sum = add(*sum, part);
            }
            sum
        };
        parts
            .into_iter()
            .reduce(add_all)
            .unwrap_or(Self(Vec::new()))
    }

    fn total(&self) -> Counts {
        self.0.iter().copied().fold([0, 0], add)
    }

    /// The first bin up to which `is_beyond` is true, `before` being the pairs
    /// before the first bin, and then before that one.
    fn first_where(&self, before: &mut Counts, is_beyond: impl Fn(Counts) -> bool) -> usize {
        for (bin, &counts) in self.0.iter().enumerate() {
            // An empty bin holds no distance that occurs.
            if counts != [0, 0] && is_beyond(add(*before, counts)) {
                return bin;
            }
            *before = add(*before, counts);
        }
        self.0.len().saturating_sub(1)
    }
}

/// Where a threshold lies.
struct Place {
    squared_distance: f64,
    /// The pairs that are nearer.
    before: Counts,
    /// The pairs at this very distance.
    at: Counts,
}

impl Place {
    /// The error rate where the lines of both errors cross, from the threshold
    /// before to this one.
    fn equal_rate(&self, [same_pairs, different_pairs]: Counts) -> f64 {
        let rates = |[same, different]: Counts| {
            (
                different as f64 / different_pairs as f64,
                (same_pairs - same) as f64 / same_pairs as f64,
            )
        };
        let (far_before, frr_before) = rates(self.before);
        let (far, frr) = rates(add(self.before, self.at));
        let before = frr_before - far_before;
        let after = far - frr;
        far_before + before / (before + after) * (far - far_before)
    }
}

/// What a first look at all pairs finds.
struct Survey {
    bins: Bins,
    counts: Table,
    /// The largest distance.
    largest: f64,
    /// Sums of the distances, by kind.
    sums: [f64; 2],
    /// Pairs in [`BINS`] bins of equal width.
    coarse: Table,
}

impl Survey {
    fn of(pairs: &Pairs<'_>) -> Self {
        let largest = pairs.look(|| 0.0f64, |most, distance, _| *most = most.max(distance));
        let largest = largest.into_iter().fold(0.0, f64::max).sqrt();
        let bins = Bins::of_distances(largest, pairs.budget.bins);
        let coarse = coarse_width(largest);
        let parts = pairs.look(
            || (Table::new(bins.count), [0.0; 2], Table::new(BINS)),
            |(fine, sums, few), squared, kind| {
                if let Some(bin) = bins.of(squared) {
                    fine.0[bin][kind] += 1;
                }
                let distance = squared.sqrt();
                sums[kind] += distance;
                few.0[((distance / coarse) as usize).min(BINS - 1)][kind] += 1;
            },
        );
        let (mut fine, mut few, mut sums) = (Vec::new(), Vec::new(), [0.0; 2]);
        for (part, of_part, few_of_part) in parts {
            fine.push(part);
            few.push(few_of_part);
            sums = [sums[0] + of_part[0], sums[1] + of_part[1]];
        }
        Self {
            bins,
            counts: Table::sum(fine),
            largest,
            sums,
            coarse: Table::sum(few),
        }
    }

    /// Mean distance of the same pairs over that of the different; 0 where all
    /// distances are.
    fn distance_ratio(&self) -> f64 {
        let [same_pairs, different_pairs] = self.counts.total();
        let [same, different] = self.sums;
        if different > 0.0 {
            same / same_pairs as f64 / (different / different_pairs as f64)
        } else {
            0.0
        }
    }

    fn histogram(&self, unit: f64) -> Histogram {
        let of = |kind: usize| self.coarse.0.iter().map(|counts| counts[kind]).collect();
        Histogram {
            bin_width: coarse_width(self.largest) * unit,
            same: of(0),
            different: of(1),
        }
    }
}

/// The width of one of [`BINS`] bins up to `largest`.
fn coarse_width(largest: f64) -> f64 {
    if largest > 0.0 {
        largest / BINS as f64
    } else {
        1.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::dataset::Class;
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

    /// Coordinates in three heaps, with many equal distances if `coarse`.
    fn heaps(count: usize, coarse: bool, seed: u64) -> (Points, Vec<Class>) {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        let labels: Vec<Class> = (0..count).map(|_| generator.random_range(0..3)).collect();
        let coords = labels.iter().flat_map(|&label| {
            let mut coord = |middle: f32| {
                let place = middle + 300.0 * generator.random::<f32>();
                if coarse {
                    (place / 40.0).round()
                } else {
                    place
                }
            };
            [coord(f32::from(label) * 150.0), coord(0.0)]
        });
        (Points::new(2, coords.collect()).unwrap(), labels)
    }

    /// The rates by sorting all pairs.
    fn sorted(points: &Points, labels: &[Class]) -> (f64, f64, f64, f64) {
        let mut pairs = Vec::new();
        for a in 0..labels.len() {
            for b in 0..a {
                let squares = points.get(a).iter().zip(points.get(b));
                let squares = squares.map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2));
                pairs.push((squares.sum::<f64>(), labels[a] != labels[b]));
            }
        }
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
        let all = pairs.iter().filter(|pair| pair.1).count() as f64;
        let all_same = pairs.len() as f64 - all;
        let (mut same, mut different, mut ordered) = (0.0, 0.0, 0.0);
        let (mut eer, mut at, mut tar) = (None, 0.0, 0.0);
        for equal in pairs.chunk_by(|a, b| a.0 == b.0) {
            let different_here = equal.iter().filter(|pair| pair.1).count() as f64;
            let same_here = equal.len() as f64 - different_here;
            let (far, frr) = (different / all, 1.0 - same / all_same);
            different += different_here;
            same += same_here;
            ordered += same_here * (all - different + different_here / 2.0);
            let (far_now, frr_now) = (different / all, 1.0 - same / all_same);
            if far_now <= 1e-3 {
                tar = same / all_same;
            }
            if eer.is_none() && far_now >= frr_now {
                let part = (frr - far) / (frr - far + far_now - frr_now);
                eer = Some(far + part * (far_now - far));
                at = equal[0].0.sqrt();
            }
        }
        (ordered / (all * all_same), eer.unwrap(), at, tar)
    }

    #[test]
    fn as_by_sorting_in_whatever_memory() {
        // Little memory means many looks at all pairs: few points then.
        let little = [(2, 1), (7, 10), (300, 1), (1 << 20, 3)];
        let more = [(5000, 400), (1 << 10, 20_000)];
        for (count, coarse, seed, budgets) in [
            (40, true, 1, &little[..]),
            (30, false, 2, &little),
            (700, false, 3, &more),
            (700, true, 4, &more),
        ] {
            let (points, labels) = heaps(count, coarse, seed);
            let labelled = Labelled::new(&points, &labels).unwrap();
            let usual = Verification::of(labelled).unwrap();
            let (auc, eer, at, tar) = sorted(&points, &labels);
            for (found, expected) in [
                (usual.auc, auc),
                (usual.eer, eer),
                (usual.eer_distance, at),
                (usual.tar_at_far_1e3, tar),
            ] {
                assert!(
                    (found - expected).abs() < 1e-9,
                    "{found} instead of {expected}"
                );
            }
            for &(bins, kept) in budgets {
                let found = Verification::within(labelled, Budget { bins, kept }).unwrap();
                assert_eq!(found, usual, "{bins} bins, {kept} kept");
            }
        }
    }

    #[test]
    fn every_point_of_many_counts() {
        // Every second one would be of one class alone.
        let count = 20_002;
        let coords: Vec<f32> = (0..count).map(|i| ((i % 2) * 3 + i % 3) as f32).collect();
        let labels: Vec<Class> = (0..count).map(|i| (i % 2) as Class).collect();
        let found = of(&coords, &labels).unwrap();
        let half = count as u64 / 2;
        assert_eq!(found.different_pairs, half * half);
        assert_eq!(found.same_pairs, half * (half - 1));
        assert_eq!(found.histogram.same.iter().sum::<u64>(), found.same_pairs);
    }
    #[test]
    fn few_points_take_little_memory() {
        let bins =
            [0, 1, 12, 100, 1448, 1449, 100_000].map(|points| Budget::for_points(points).bins);
        // 100 points are 4,950 pairs; those of 1449 are more than 2^20.
        assert_eq!(bins, [64, 64, 66, 4950, 1_047_628, 1 << 20, 1 << 20]);
        assert_eq!(Budget::for_points(100).kept, 6 * 1024 * 1024);
    }

    #[test]
    fn one_false_accept_in_a_thousand_is_allowed() {
        // 20 points at 0 and 50 at 200, but one of each at 99 and 100.
        let mut coords = [0.0; 70];
        coords[20..].fill(200.0);
        (coords[19], coords[69]) = (99.0, 100.0);
        let labels: Vec<Class> = (0..70).map(|point| Class::from(point >= 20)).collect();
        let found = of(&coords, &labels).unwrap();
        assert_eq!(
            (found.same_pairs, found.different_pairs),
            (190 + 1225, 1000)
        );
        // At 1 the first different pair comes, at 99 nineteen of the same, and at 100
        // nineteen different ones.
        assert_eq!(found.tar_at_far_1e3, f64::from(171 + 1176 + 19) / 1415.0);
    }

    #[test]
    fn where_all_are_at_one_place_nothing_is_divided() {
        let found = of(&[2.0; 4], &[0, 0, 1, 1]).unwrap();
        assert_eq!((found.distance_ratio, found.eer_distance), (0.0, 0.0));
        assert_eq!(found.histogram.bin_width, 1.0);
        assert_eq!(
            (found.histogram.same[0], found.histogram.different[0]),
            (2, 4)
        );
    }

    #[test]
    fn distances_are_in_real_units() {
        let points = Points::from_steps(1, 0.5, &[0, 1, 3, 7]).unwrap();
        let found = Verification::of(Labelled::new(&points, &[0, 0, 1, 1]).unwrap()).unwrap();
        assert_eq!(found.eer_distance, 1.5);
        assert_eq!(found.histogram.bin_width, 3.5 / 200.0);
        // The distances 1, 2 and 7 of steps: bins are 0.035 steps wide.
        let bins = [28, 57, 85, 114, 171, 199];
        let counts = bins.map(|bin| [found.histogram.same[bin], found.histogram.different[bin]]);
        assert_eq!(counts, [[1, 0], [0, 1], [0, 1], [1, 0], [0, 1], [0, 1]]);
    }

    #[test]
    fn the_crossing_lies_between_two_thresholds() {
        // False accepts go from 1/8 to 5/8, and false rejects from 3/4 to 1/4: 5/8 of the way
        // they are equal.
        let place = Place {
            squared_distance: 0.0,
            before: [1, 1],
            at: [2, 4],
        };
        assert_eq!(place.equal_rate([4, 8]), 0.4375);
    }

    #[test]
    fn bins_hold_distances_and_keys_in_order() {
        let bins = Bins::of_distances(8.0, 4);
        let of = |bins: Bins, distance: f64| bins.of(distance * distance);
        let found = [0.0, 1.75, 2.0, 3.75, 4.0, 7.75, 8.0].map(|distance| of(bins, distance));
        assert_eq!(found, [0, 0, 1, 1, 2, 3, 3].map(Some));
        assert_eq!(of(Bins::of_distances(0.0, 4), 0.0), Some(0));
        assert!(!bins.holds_one_key());

        // Sixteen keys in four bins.
        let bins = Bins::of_keys(10, 25, 4);
        assert_eq!(
            (bins.count, bins.shift, bins.holds_one_key()),
            (4, 2, false)
        );
        let of = |bins: Bins, key| bins.of(f64::from_bits(key));
        let found = [9, 10, 13, 14, 22, 25, 26].map(|key| of(bins, key));
        assert_eq!(
            found,
            [None, Some(0), Some(0), Some(1), Some(3), Some(3), None]
        );
        // One more, and they are eight a bin.
        let wide = Bins::of_keys(10, 26, 4);
        assert_eq!((wide.count, wide.shift), (3, 3));
        // The keys of one of the bins; the last may hold fewer.
        for (bins, bin, first, last) in [(bins, 1, 14, 17), (wide, 1, 18, 25), (wide, 2, 26, 26)] {
            let inside = bins.inside(bin, 100);
            assert_eq!((inside.first, inside.last, inside.shift), (first, last, 0));
            assert_eq!(inside.count as u64, last - first + 1);
            assert!(inside.holds_one_key());
            assert_eq!(of(inside, last), Some(inside.count - 1));
        }
    }
}
