//! What a gallery answers, and the thresholds that decide it.

use core::fmt;

use serde::{Deserialize, Serialize};

use super::Label;
use crate::model::Model;

/// What a distance says by a threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Decision {
    /// The distance is at most the threshold: it is the same.
    Accepted,
    /// The distance is above the threshold: it is something else.
    Rejected,
    /// There is no threshold: the model was not calibrated, and the user has set
    /// none. The distance is right, and nobody knows what it means.
    Uncalibrated,
}

impl Decision {
    /// What a squared distance says by a threshold, both in squared steps.
    ///
    /// ```
    /// use siamese_core::gallery::Decision;
    ///
    /// assert_eq!(Decision::of(9, Some(9)), Decision::Accepted);
    /// assert_eq!(Decision::of(10, Some(9)), Decision::Rejected);
    /// assert_eq!(Decision::of(0, None), Decision::Uncalibrated);
    /// ```
    #[must_use]
    pub const fn of(distance_squared: u64, threshold: Option<u64>) -> Self {
        match threshold {
            None => Self::Uncalibrated,
            Some(threshold) if distance_squared <= threshold => Self::Accepted,
            Some(_) => Self::Rejected,
        }
    }

    /// Whether it is [`Accepted`](Self::Accepted).
    #[must_use]
    pub const fn is_accepted(self) -> bool {
        matches!(self, Self::Accepted)
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Uncalibrated => "not calibrated",
        })
    }
}

/// What a threshold judges of a squared distance, in squared steps: how far it goes
/// beyond the model's [allowance](crate::model::Calibration::allowance), in 256ths of
/// a squared norm. The norm is that of the embedding if it is compared with a
/// prototype, and of two embeddings the mean of both.
///
/// ```
/// use siamese_core::gallery::excess;
///
/// assert_eq!(excess(900, 1_000, 0), 900);
/// assert_eq!(excess(900, 1_024, 64), 900 - 256);
/// assert_eq!(excess(200, 1_024, 64), 0);
/// ```
#[must_use]
pub const fn excess(distance_squared: u64, norm_squared: u64, allowance: u8) -> u64 {
    distance_squared.saturating_sub(allowed(norm_squared, allowance))
}

/// How much an allowance takes off a squared distance, in squared steps: so many 256ths
/// of the squared norm, rounded down.
#[must_use]
pub const fn allowed(norm_squared: u64, allowance: u8) -> u64 {
    // A norm is below 2^37.
    norm_squared * allowance as u64 / 256
}

/// The largest squared distances that are accepted, in squared steps of the
/// embedding, beyond the model's [allowance](crate::model::Calibration::allowance);
/// `None` where nothing is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Thresholds {
    /// From an embedding to a prototype, the mean of a label's examples. A
    /// prototype of one example is still a prototype.
    pub prototype: Option<u64>,
    /// Between two embeddings: to an exemplar, or of two images.
    pub pair: Option<u64>,
}

impl Thresholds {
    /// No threshold at all: every decision is [`Decision::Uncalibrated`].
    pub const NONE: Self = Self {
        prototype: None,
        pair: None,
    };

    /// What the model was calibrated for.
    #[must_use]
    pub fn of_model(model: &Model<'_>) -> Self {
        let calibration = model.header().calibration;
        Self {
            prototype: calibration.map(|found| found.prototype_threshold),
            pair: calibration.map(|found| found.pair_threshold),
        }
    }

    /// Each threshold, or the other's where there is none.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self {
            prototype: match self.prototype {
                None => other.prototype,
                set => set,
            },
            pair: match self.pair {
                None => other.pair,
                set => set,
            },
        }
    }
}

/// An entry near an embedding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Neighbour {
    /// The entry's label.
    pub label: Label,
    /// The squared distance to it, in squared steps of the embedding.
    pub distance_squared: u64,
    /// What the threshold of the entry's kind says: that for prototypes, or that
    /// for pairs if the entry is an exemplar.
    pub decision: Decision,
}

impl Neighbour {
    /// The distance in steps, rounded down.
    #[must_use]
    pub const fn distance(&self) -> u32 {
        // The root of a u64 is below 2^32.
        self.distance_squared.isqrt() as u32
    }

    /// Whether it comes before another one; of equals, neither does.
    pub(super) const fn before(&self, other: &Self) -> bool {
        comes_before(
            (self.distance_squared, self.label),
            (other.distance_squared, other.label),
        )
    }
}

/// Whether a squared distance and a label come before others: the nearer first, of
/// equal distances the lower label, and of equals neither.
pub(super) const fn comes_before(one: (u64, Label), other: (u64, Label)) -> bool {
    one.0 < other.0 || one.0 == other.0 && one.1 < other.1
}

/// The answer to "what does this look like?".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Identified {
    /// The nearest entry.
    pub nearest: Neighbour,
    /// The nearest entry of any other label.
    pub runner_up: Option<Neighbour>,
    /// Whether this is the nearest entry's label, as
    /// [`Gallery::verify`](super::Gallery::verify) would say.
    /// [`Rejected`](Decision::Rejected): it looks like nothing that was
    /// enrolled under that label.
    pub decision: Decision,
}

impl Identified {
    /// The label if it was accepted. `None` for what looks like nothing enrolled,
    /// and where there is no threshold: the nearest label is still
    /// [`nearest`](Self::nearest)`.label`.
    #[must_use]
    pub fn label(&self) -> Option<Label> {
        self.decision.is_accepted().then_some(self.nearest.label)
    }

    /// How much farther the runner-up is, in steps: near 0, the answer could as
    /// well be the other. `None` if there is only one label. Also 0 if the
    /// runner-up is nearer, which only a message of someone else can claim.
    #[must_use]
    pub fn margin(&self) -> Option<u32> {
        let second = self.runner_up?;
        Some(second.distance().saturating_sub(self.nearest.distance()))
    }
}

/// The answer of the nearest entries' majority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Voted {
    /// The label with most votes.
    pub winner: Label,
    /// Its votes; 0 if all were rejected.
    pub votes: u16,
    /// [`Accepted`](Decision::Accepted): accepted entries have voted.
    /// [`Uncalibrated`](Decision::Uncalibrated): none was accepted, and those
    /// without a threshold have voted. [`Rejected`](Decision::Rejected): all
    /// were rejected, and the winner is the nearest.
    pub decision: Decision,
}

impl Voted {
    /// The winner if it was accepted.
    #[must_use]
    pub fn label(&self) -> Option<Label> {
        self.decision.is_accepted().then_some(self.winner)
    }
}

/// The answer to "is this that?".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Verified {
    /// The squared distance, in squared steps: to the label's nearest entry, or
    /// between two embeddings.
    pub distance_squared: u64,
    /// Whether it is near enough.
    pub decision: Decision,
}

impl Verified {
    /// Whether it was accepted. `false` where there is no threshold.
    #[must_use]
    pub const fn is_accepted(&self) -> bool {
        self.decision.is_accepted()
    }
}
