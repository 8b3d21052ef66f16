//! What a device has done, in numbers: enough to see from afar that something has changed.

#[cfg(feature = "statistics")]
use siamese_core::gallery::{Decision, Identified, Thresholds};

use serde::{Deserialize, Serialize};

#[cfg(feature = "statistics")]
use crate::message::Response;

/// Bins of [`Statistics::accepted`].
pub const BINS: usize = 16;

/// What a device has done since it started. All numbers stop at their largest value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Statistics {
    /// Images that were embedded.
    pub embeddings: u32,
    /// Images that were compared with a gallery that holds something.
    pub identified: u32,
    /// Those of them that were rejected, as being nothing that was enrolled.
    pub unknown: u32,
    /// Those that were accepted, by their squared distance to the nearest entry: a bin has a
    /// sixteenth of the squared threshold for prototypes (or for pairs, if there is no other). The
    /// last has also what an allowance lets be farther away.
    pub accepted: [u32; BINS],
    /// Requests that were refused.
    pub faults: u32,
    /// Frames that came damaged.
    pub damaged: u32,
    /// How often the device has restarted since it got power; 0 if nobody counts.
    pub restarts: u32,
    /// How often the gallery, its thresholds or the names have changed.
    pub changes: u32,
    /// The deepest that the stack has been, in bytes; 0 if it isn't known.
    pub stack_peak: u32,
    /// The longest that an embedding took, in ticks of the device's clock.
    pub slowest: u32,
}

impl Statistics {
    /// Those of a device that has done nothing.
    pub const NONE: Self = Self {
        embeddings: 0,
        identified: 0,
        unknown: 0,
        accepted: [0; BINS],
        faults: 0,
        damaged: 0,
        restarts: 0,
        changes: 0,
        stack_peak: 0,
        slowest: 0,
    };
}

#[cfg(feature = "statistics")]
impl Statistics {
    pub(crate) fn count_embedding(&mut self, ticks: u32) {
        increase(&mut self.embeddings);
        self.slowest = self.slowest.max(ticks);
    }

    pub(crate) const fn count_damaged(&mut self) {
        increase(&mut self.damaged);
    }

    pub(crate) const fn count_answer(&mut self, answer: &Response<'_>) {
        if matches!(answer, Response::Fault(_)) {
            increase(&mut self.faults);
        }
    }

    /// Counts what an image looked like.
    pub(crate) fn count(&mut self, answer: Option<Identified>, thresholds: Thresholds) {
        let Some(Identified {
            nearest, decision, ..
        }) = answer
        else {
            return;
        };
        increase(&mut self.identified);
        match decision {
            Decision::Rejected => increase(&mut self.unknown),
            Decision::Accepted => {
                let threshold = thresholds.prototype.or(thresholds.pair).unwrap_or(0);
                let bin = bin_of(nearest.distance_squared, threshold);
                if let Some(count) = self.accepted.get_mut(bin) {
                    increase(count);
                }
            }
            Decision::Uncalibrated => {}
        }
    }
}

#[cfg(feature = "statistics")]
const fn increase(count: &mut u32) {
    *count = count.saturating_add(1);
}

/// How many whole sixteenths of the threshold a squared distance has, at most 15. Without a
/// division of 64 bits, for which an M0 needs a routine.
#[cfg(feature = "statistics")]
fn bin_of(distance_squared: u64, threshold: u64) -> usize {
    (1..BINS as u64)
        .take_while(|&sixteenths| {
            // A squared distance is below 2^38.
            distance_squared.saturating_mul(BINS as u64) >= threshold.saturating_mul(sixteenths)
        })
        .count()
}

#[cfg(all(test, feature = "statistics"))]
mod tests {
    use super::*;

    #[test]
    fn a_bin_is_a_sixteenth_of_the_threshold() {
        assert_eq!(bin_of(0, 160), 0);
        assert_eq!([bin_of(9, 160), bin_of(10, 160)], [0, 1]);
        assert_eq!([bin_of(149, 160), bin_of(150, 160)], [14, 15]);
        assert_eq!([bin_of(160, 160), bin_of(u64::MAX, 160)], [15, 15]);
        assert_eq!(bin_of(0, 0), 15);
    }
}
