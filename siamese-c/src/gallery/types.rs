//! What galleries are asked and answer, as C has it.
#![allow(non_camel_case_types, reason = "their names in C")]

use siamese_core::gallery::{Decision, Identified, Neighbour, Thresholds, Verified};

/// `SIAMESE_NO_THRESHOLD`: nothing is set.
const NONE: u64 = u64::MAX;

/// `siamese_thresholds` of the header: the largest squared distances that are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct siamese_thresholds {
    /// From an embedding to a prototype; `u64::MAX` for none.
    pub prototype: u64,
    /// Between two embeddings; `u64::MAX` for none.
    pub pair: u64,
}

impl From<Thresholds> for siamese_thresholds {
    fn from(thresholds: Thresholds) -> Self {
        Self {
            prototype: thresholds.prototype.unwrap_or(NONE),
            pair: thresholds.pair.unwrap_or(NONE),
        }
    }
}

impl From<siamese_thresholds> for Thresholds {
    fn from(thresholds: siamese_thresholds) -> Self {
        let set = |threshold| (threshold != NONE).then_some(threshold);
        Self {
            prototype: set(thresholds.prototype),
            pair: set(thresholds.pair),
        }
    }
}

/// `siamese_gallery_info` of the header: what a gallery holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct siamese_gallery_info {
    /// The entries that there are.
    pub entries: u32,
    /// The fingerprint of its model.
    pub fingerprint: u32,
    /// The thresholds that decide.
    pub thresholds: siamese_thresholds,
}

/// `siamese_entry` of the header: one entry of a gallery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct siamese_entry {
    /// What it is an entry for.
    pub label: u16,
    /// The examples that it is the mean of; 1 for an exemplar.
    pub examples: u16,
    /// 1 if it is one example, kept as it was; else 0.
    pub is_exemplar: i32,
}

/// `siamese_neighbour` of the header: an entry near an embedding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct siamese_neighbour {
    /// The squared distance to it, in squared steps.
    pub distance_squared: u64,
    /// What the threshold of its kind says.
    pub decision: i32,
    /// What it is an entry for.
    pub label: u16,
}

impl From<Neighbour> for siamese_neighbour {
    fn from(found: Neighbour) -> Self {
        Self {
            distance_squared: found.distance_squared,
            decision: decision(found.decision),
            label: found.label,
        }
    }
}

/// `siamese_identified` of the header: what an embedding looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct siamese_identified {
    /// The nearest entry.
    pub nearest: siamese_neighbour,
    /// The nearest entry of any other label; that of all zeros if there is no other.
    pub runner_up: siamese_neighbour,
    /// 1 if there is a runner-up; else 0.
    pub has_runner_up: i32,
    /// Whether it is the nearest entry's label.
    pub decision: i32,
}

impl From<Identified> for siamese_identified {
    fn from(found: Identified) -> Self {
        let none = siamese_neighbour {
            distance_squared: 0,
            decision: 0,
            label: 0,
        };
        Self {
            nearest: found.nearest.into(),
            runner_up: found.runner_up.map_or(none, Into::into),
            has_runner_up: found.runner_up.is_some().into(),
            decision: decision(found.decision),
        }
    }
}

/// `siamese_verified` of the header: whether an embedding is what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct siamese_verified {
    /// The squared distance, in squared steps.
    pub distance_squared: u64,
    /// Whether it is near enough.
    pub decision: i32,
}

impl From<Verified> for siamese_verified {
    fn from(found: Verified) -> Self {
        Self {
            distance_squared: found.distance_squared,
            decision: decision(found.decision),
        }
    }
}

// The header's sizes, on every target that this is compiled for.
const _: () = {
    assert!(size_of::<siamese_thresholds>() == 16);
    assert!(size_of::<siamese_gallery_info>() == 24);
    assert!(size_of::<siamese_entry>() == 8);
    assert!(size_of::<siamese_neighbour>() == 16);
    assert!(size_of::<siamese_identified>() == 40);
    assert!(size_of::<siamese_verified>() == 16);
};

/// `SIAMESE_ACCEPTED`, `SIAMESE_REJECTED` or `SIAMESE_UNCALIBRATED`; 0 is none of them.
const fn decision(decision: Decision) -> i32 {
    match decision {
        Decision::Accepted => 1,
        Decision::Rejected => 2,
        Decision::Uncalibrated => 3,
    }
}
