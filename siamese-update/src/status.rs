//! What a device says of its updates.

use serde::{Deserialize, Serialize};

use crate::error::Rejection;

/// The model that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Running {
    /// The one that was built into the firmware.
    BuiltIn,
    /// That of a slot.
    Slot {
        /// 0 or 1.
        slot: u8,
        /// Whether a restart gives it up, unless it is confirmed before.
        on_trial: bool,
    },
}

/// What the slot holds that the next update goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Other {
    /// Nothing, or an update that isn't all there.
    Empty,
    /// An update that the next start tries.
    Waiting {
        /// Its version.
        version: u32,
    },
    /// The model that ran before.
    Previous {
        /// Its version.
        version: u32,
    },
    /// An update that was tried and given up.
    Rejected {
        /// Its version.
        version: u32,
        /// Why.
        reason: Rejection,
    },
}

/// Where a device stands with its updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Status {
    /// The model that runs.
    pub running: Running,
    /// Its version.
    pub version: u32,
    /// What the version of an update has to be higher than.
    pub floor: u32,
    /// What the other slot holds.
    pub other: Other,
    /// Bytes of the payload that have come since an update was begun, of how many.
    pub received: Option<(u32, u32)>,
    /// Bytes of a slot for an update file.
    pub room: u32,
    /// Parts of a payload are multiples of this many bytes, except the last.
    pub unit: u8,
    /// The order of the weights that the firmware runs, by its number in a model file.
    pub layout: u8,
    /// The first bytes of the public key.
    pub key: [u8; 8],
    /// Whether that is the development key, which protects nothing.
    pub development_key: bool,
}
