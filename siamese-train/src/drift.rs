//! Whether what a device sees has changed: its statistics now, against those of a time when all
//! was well.
//!
//! Two things are compared, of windows of some hundred identified images. *Distances*: whether the
//! accepted images lie farther from what was enrolled, by the rank-sum test (Mann and Whitney) on
//! the device's 16 bins, with the correction for ties. *Unknown*: whether a larger share is
//! rejected, by the test of two proportions. Each says how many standard deviations the difference
//! is; above [`LIMIT`] it is told. One window of a device that nothing has happened to is then
//! called changed once in about 1,000, over all baselines: each test does so once in 2,000.

use serde::{Deserialize, Serialize};
use siamese_device::{BINS, Statistics};

/// Standard deviations above which a difference is told: one side of the normal distribution
/// beyond it has 1/2,000.
pub const LIMIT: f64 = 3.29;
/// Identified images of a window, if not said otherwise.
pub const WINDOW: u64 = 200;
/// The fewest with which the normal distribution describes the tests.
pub const LEAST: u64 = 50;

/// What a device has identified in some time.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Images that were identified.
    pub identified: u64,
    /// Those that were rejected.
    pub unknown: u64,
    /// Those that were accepted, by distance: see [`Statistics::accepted`].
    pub accepted: [u64; BINS],
}

impl Counts {
    fn of(statistics: &Statistics) -> Self {
        Self {
            identified: statistics.identified.into(),
            unknown: statistics.unknown.into(),
            accepted: statistics.accepted.map(u64::from),
        }
    }

    /// What has come since an earlier time; all of it if the device has restarted between.
    fn since(&self, earlier: &Self) -> Self {
        let grown = |now: u64, then: u64| now.checked_sub(then);
        let accepted: Option<Vec<u64>> = self
            .accepted
            .iter()
            .zip(earlier.accepted)
            .map(|(&now, then)| grown(now, then))
            .collect();
        let counts = || {
            Some(Self {
                identified: grown(self.identified, earlier.identified)?,
                unknown: grown(self.unknown, earlier.unknown)?,
                accepted: accepted?.try_into().ok()?,
            })
        };
        counts().unwrap_or_else(|| self.clone())
    }

    fn add(&mut self, other: &Self) {
        self.identified += other.identified;
        self.unknown += other.unknown;
        for (sum, count) in self.accepted.iter_mut().zip(other.accepted) {
            *sum += count;
        }
    }

    /// The share that was rejected.
    #[must_use]
    pub fn unknown_share(&self) -> f64 {
        self.unknown as f64 / self.identified.max(1) as f64
    }

    /// The mean squared distance of what was accepted, as a share of the squared threshold; every
    /// image counts as the middle of its bin.
    #[must_use]
    pub fn mean_distance(&self) -> f64 {
        let total: u64 = self.accepted.iter().sum();
        let middles = self.accepted.iter().zip(0..);
        let sum: f64 = middles
            .map(|(&count, bin)| count as f64 * (f64::from(bin) + 0.5))
            .sum();
        sum / BINS as f64 / total.max(1) as f64
    }
}

/// How a window differs from the baseline, in standard deviations.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Drift {
    /// By how much the accepted images lie farther away; negative: nearer.
    pub distances: f64,
    /// By how much more are rejected.
    pub unknown: f64,
}

impl Drift {
    /// A window against the baseline.
    #[must_use]
    pub fn of(baseline: &Counts, window: &Counts) -> Self {
        Self {
            distances: rank_sum(&baseline.accepted, &window.accepted),
            unknown: proportions(
                (baseline.unknown, baseline.identified),
                (window.unknown, window.identified),
            ),
        }
    }

    /// Whether the distances of what is accepted have grown.
    #[must_use]
    pub fn is_farther(&self) -> bool {
        self.distances > LIMIT
    }

    /// Whether more is rejected.
    #[must_use]
    pub fn is_stranger(&self) -> bool {
        self.unknown > LIMIT
    }
}

/// How much larger the second sample's values are than the first's, in standard deviations of the
/// rank sum; 0 if one of them is empty or all values are the same.
fn rank_sum(first: &[u64; BINS], second: &[u64; BINS]) -> f64 {
    let total = |sample: &[u64; BINS]| sample.iter().sum::<u64>() as f64;
    let (m, n) = (total(first), total(second));
    let all = m + n;
    let (mut below, mut ranks, mut ties) = (0.0, 0.0, 0.0);
    for (&one, &other) in first.iter().zip(second) {
        let (here, other) = ((one + other) as f64, other as f64);
        ranks += other * (below + (here + 1.0) / 2.0);
        ties += here * here * here - here;
        below += here;
    }
    let mean = n * (all + 1.0) / 2.0;
    let variance = m * n / 12.0 * (all + 1.0 - ties / (all * (all - 1.0)).max(1.0));
    if variance > 0.0 {
        (ranks - mean) / variance.sqrt()
    } else {
        0.0
    }
}

/// How much larger the second share is than the first, in standard deviations of the difference.
fn proportions(first: (u64, u64), second: (u64, u64)) -> f64 {
    let (m, n) = (first.1 as f64, second.1 as f64);
    let share = (first.0 + second.0) as f64 / (m + n).max(1.0);
    let variance = share * (1.0 - share) * (1.0 / m.max(1.0) + 1.0 / n.max(1.0));
    if variance > 0.0 {
        (second.0 as f64 / n.max(1.0) - first.0 as f64 / m.max(1.0)) / variance.sqrt()
    } else {
        0.0
    }
}

/// What a look at a device has brought.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    /// The window isn't full yet.
    Waiting {
        /// Images that are still to be identified.
        missing: u64,
    },
    /// The first window is full, and is the baseline now.
    Baseline(Counts),
    /// The gallery has changed, and what was seen before says nothing about it any more.
    Changed,
    /// A window is full.
    Window(Counts, Drift),
}

/// A device that is watched.
#[derive(Debug, Clone)]
pub struct Watch {
    window: u64,
    baseline: Option<Counts>,
    last: Counts,
    /// The changes of its gallery, and its restarts.
    changes: Option<u32>,
    pending: Counts,
}

impl Watch {
    /// A device of which nothing is known but a baseline, if there is one. A window has so many
    /// identified images, [`LEAST`] or more.
    #[must_use]
    pub fn new(window: u64, baseline: Option<Counts>) -> Self {
        Self {
            window: window.max(LEAST),
            baseline,
            last: Counts::default(),
            changes: None,
            pending: Counts::default(),
        }
    }

    /// The baseline, if there is one.
    #[must_use]
    pub const fn baseline(&self) -> Option<&Counts> {
        self.baseline.as_ref()
    }

    /// Takes what the device says now.
    pub fn look(&mut self, statistics: &Statistics) -> Seen {
        let counts = Counts::of(statistics);
        let new = counts.since(&self.last);
        self.last = counts;
        // After a restart it counts from 0 again.
        let before = self.changes.replace(statistics.changes);
        if before.is_some_and(|before| statistics.changes > before) {
            self.baseline = None;
            self.pending = Counts::default();
            return Seen::Changed;
        }
        self.pending.add(&new);
        if self.pending.identified < self.window {
            return Seen::Waiting {
                missing: self.window - self.pending.identified,
            };
        }
        let window = std::mem::take(&mut self.pending);
        match &self.baseline {
            Some(baseline) => {
                let drift = Drift::of(baseline, &window);
                Seen::Window(window, drift)
            }
            None => {
                self.baseline = Some(window.clone());
                Seen::Baseline(window)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// A window of squared distances that are exponential, as in two dimensions, with some
    /// images unknown.
    fn window(random: &mut ChaCha8Rng, mean: f64, unknown: f64) -> Counts {
        let mut counts = Counts::default();
        for _ in 0..WINDOW {
            counts.identified += 1;
            let distance = -mean * random.random::<f64>().max(1e-12).ln();
            if random.random::<f64>() < unknown || distance >= 1.0 {
                counts.unknown += 1;
            } else {
                counts.accepted[(distance * BINS as f64) as usize] += 1;
            }
        }
        counts
    }

    /// Of windows like the baseline, 1 in 1,000 may be called changed; by chance some more.
    #[test]
    fn false_alarms_are_as_rare_as_said() {
        let mut random = ChaCha8Rng::seed_from_u64(7);
        let (mut alarms, rounds) = (0, 40_000);
        for round in 0..rounds {
            // Narrow and wide distributions, few and many unknown ones.
            let mean = [0.05, 0.15, 0.3, 0.6][round % 4];
            let unknown = [0.0, 0.05, 0.3][round % 3];
            let baseline = window(&mut random, mean, unknown);
            let drift = Drift::of(&baseline, &window(&mut random, mean, unknown));
            alarms += usize::from(drift.is_farther() || drift.is_stranger());
        }
        println!("{alarms} of {rounds} windows");
        // 40 are expected; more than 65 come once in 10,000 times.
        assert!((10..65).contains(&alarms), "{alarms}");
    }

    #[test]
    fn what_grows_is_seen_and_what_shrinks_is_not() {
        let mut random = ChaCha8Rng::seed_from_u64(8);
        let baseline = window(&mut random, 0.15, 0.02);
        let seen = (0..200).filter(|_| {
            let drift = Drift::of(&baseline, &window(&mut random, 0.25, 0.02));
            drift.is_farther()
        });
        let seen = seen.count();
        assert!(seen > 180, "{seen}");
        let nearer = Drift::of(&baseline, &window(&mut random, 0.05, 0.0));
        assert!(nearer.distances < -LIMIT && !nearer.is_farther() && !nearer.is_stranger());
        let stranger = Drift::of(&baseline, &window(&mut random, 0.15, 0.3));
        assert!(stranger.is_stranger());
        let nothing = Drift::of(&Counts::default(), &Counts::default());
        assert_eq!((nothing.distances, nothing.unknown), (0.0, 0.0));
    }

    /// Against the sum by its definition: ranks of all values, equal ones sharing theirs.
    #[test]
    fn the_rank_sum_is_that_of_its_definition() {
        let mut first = [0; BINS];
        let mut second = [0; BINS];
        (first[0], first[1], first[4]) = (2, 1, 1);
        (second[1], second[5]) = (2, 1);
        // Values 0 0 1 4 and 1 1 5: ranks 1.5 1.5 4 6, and 4 4 7.
        let ties = (8.0 - 2.0) + (27.0 - 3.0);
        let variance = 12.0 / 12.0 * (8.0 - ties / (7.0 * 6.0));
        let expected = (15.0 - 3.0 * 8.0 / 2.0) / f64::sqrt(variance);
        assert!((rank_sum(&first, &second) - expected).abs() < 1e-12);
        assert!((rank_sum(&second, &first) + expected).abs() < 1e-12);
    }

    #[test]
    fn a_watch_survives_restarts_and_begins_anew_with_another_gallery() {
        let statistics = |identified: u32, changes: u32| {
            let mut statistics = Statistics::NONE;
            statistics.identified = identified;
            statistics.accepted[2] = identified;
            statistics.changes = changes;
            statistics
        };
        let mut watch = Watch::new(LEAST, None);
        let missing = LEAST - 30;
        assert_eq!(watch.look(&statistics(30, 4)), Seen::Waiting { missing });
        let Seen::Baseline(baseline) = watch.look(&statistics(60, 4)) else {
            panic!("60 are enough");
        };
        assert_eq!(baseline.identified, 60);
        // A restart: all of these are new.
        let Seen::Window(window, drift) = watch.look(&statistics(55, 0)) else {
            panic!("55 are enough");
        };
        assert_eq!((window.identified, drift.distances), (55, 0.0));
        assert_eq!(watch.look(&statistics(60, 1)), Seen::Changed);
        assert_eq!(watch.baseline(), None);
    }
}
