//! Why an update isn't taken.

use core::fmt;

use serde::{Deserialize, Serialize};

/// Why an update, or a step of it, was refused. The model that ran before still answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Wire", try_from = "Wire")]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum UpdateError {
    /// The flash's slots can't be used: they are no two equal ranges of whole erase units, or
    /// the flash is read or written in units larger than 64 bytes.
    Slots,
    /// The device has no place for updates.
    NoSlots,
    /// The bytes aren't the beginning of an update file.
    NotAnUpdate,
    /// The update file is of a version that this firmware doesn't read.
    FormatVersion {
        /// The file's.
        found: u8,
    },
    /// The signature isn't that of the firmware's key.
    Signature,
    /// The signed bytes hold a length or a number that makes no sense.
    Header,
    /// It is for another board.
    Board,
    /// It is for another order of the weights, which means for another core.
    Layout {
        /// The firmware's order, by its number in a model file.
        expected: u8,
        /// The update's.
        found: u8,
    },
    /// It needs more bytes than a slot has.
    TooLarge {
        /// The bytes that it needs.
        needed: u32,
        /// The bytes that there are.
        room: u32,
    },
    /// It is older than the model that runs, or just as old.
    Older {
        /// Its version.
        found: u32,
        /// What it has to be higher than.
        installed: u32,
    },
    /// The device runs this very update already.
    Running,
    /// The model that runs is on trial: to be confirmed first, or given up by a restart.
    OnTrial,
    /// No update was begun since the device started.
    NotBegun,
    /// The bytes aren't the next ones.
    Order {
        /// The payload's byte that has to come next.
        expected: u32,
    },
    /// The part isn't a multiple of what the flash writes at once, or goes beyond the end.
    Part,
    /// Not all bytes have come.
    Truncated {
        /// Those that have.
        received: u32,
        /// Those that there are to be.
        expected: u32,
    },
    /// The payload in flash isn't what was signed.
    Digest,
    /// The payload holds no model that this firmware can run.
    Model,
    /// The model takes other images or memory than this firmware has, or has another number of
    /// coordinates.
    Size,
    /// The payload has no whole golden vectors.
    Golden,
    /// There is nothing on trial.
    NothingToConfirm,
    /// The flash can't be read, or not be written, or doesn't hold what was written.
    Flash,
}

impl fmt::Display for UpdateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::Slots => "the flash has no two equal slots of whole erase units for updates",
            Self::NoSlots => "the device has no slots for updates",
            Self::NotAnUpdate => {
                "this is no update file: make one of a model by `siamese-train sign`"
            }
            Self::FormatVersion { found } => {
                return write!(
                    f,
                    "the update file is of version {found}, and the firmware reads version 1"
                );
            }
            Self::Signature => {
                "the signature isn't one of the firmware's key: sign with that key, and send the \
                 file as it was signed"
            }
            Self::Header => "the update file holds a length or a number that makes no sense",
            Self::Board => "the update is for another board: sign the model for this one",
            Self::Layout { expected, found } => {
                return write!(
                    f,
                    "the update is for another core: its weights have the order {found}, and the \
                     firmware's have {expected}"
                );
            }
            Self::TooLarge { needed, room } => {
                return write!(
                    f,
                    "the update needs {needed} bytes of flash, and a slot has {room}"
                );
            }
            Self::Older { found, installed } => {
                return write!(
                    f,
                    "the update has version {found}, and must have one above {installed}: sign it \
                     with a higher one, or allow it to replace newer ones"
                );
            }
            Self::Running => "the device runs this update already",
            Self::OnTrial => {
                "the model that runs is on trial: confirm it, or restart the device to give it up"
            }
            Self::NotBegun => {
                "no update was begun since the device started: send it from its beginning"
            }
            Self::Order { expected } => {
                return write!(f, "byte {expected} of the update has to come next");
            }
            Self::Part => {
                "the part of the update goes beyond its end, or is cut in the wrong place"
            }
            Self::Truncated { received, expected } => {
                return write!(
                    f,
                    "the update is cut short: {received} of {expected} bytes have come"
                );
            }
            Self::Digest => {
                "the bytes that arrived aren't those that were signed: send the file again"
            }
            Self::Model => "the update holds no model that this firmware can run",
            Self::Size => {
                "the update's model needs other images or more memory than this firmware has, or \
                 gives another number of coordinates"
            }
            Self::Golden => "the update has no whole golden vectors",
            Self::NothingToConfirm => "no model is on trial: there is nothing to confirm",
            Self::Flash => "the flash can't be read or written, or doesn't hold what was written",
        })
    }
}

impl core::error::Error for UpdateError {}

/// An error on its way, as nine bytes: a number of its own, and what it tells. Derived, the code
/// that writes it would have a branch for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Wire([u8; 9]);

impl From<UpdateError> for Wire {
    #[inline(never)]
    fn from(error: UpdateError) -> Self {
        let (number, one, other) = match error {
            UpdateError::Slots => (0, 0, 0),
            UpdateError::NoSlots => (1, 0, 0),
            UpdateError::NotAnUpdate => (2, 0, 0),
            UpdateError::FormatVersion { found } => (3, found.into(), 0),
            UpdateError::Signature => (4, 0, 0),
            UpdateError::Header => (5, 0, 0),
            UpdateError::Board => (6, 0, 0),
            UpdateError::Layout { expected, found } => (7, expected.into(), found.into()),
            UpdateError::TooLarge { needed, room } => (8, needed, room),
            UpdateError::Older { found, installed } => (9, found, installed),
            UpdateError::Running => (10, 0, 0),
            UpdateError::OnTrial => (11, 0, 0),
            UpdateError::NotBegun => (12, 0, 0),
            UpdateError::Order { expected } => (13, expected, 0),
            UpdateError::Part => (14, 0, 0),
            UpdateError::Truncated { received, expected } => (15, received, expected),
            UpdateError::Digest => (16, 0, 0),
            UpdateError::Model => (17, 0, 0),
            UpdateError::Size => (18, 0, 0),
            UpdateError::Golden => (19, 0, 0),
            UpdateError::NothingToConfirm => (20, 0, 0),
            UpdateError::Flash => (21, 0, 0),
        };
        let ([a, b, c, d], [e, f, g, h]) = (u32::to_le_bytes(one), u32::to_le_bytes(other));
        Self([number, a, b, c, d, e, f, g, h])
    }
}

impl TryFrom<Wire> for UpdateError {
    type Error = &'static str;

    fn try_from(wire: Wire) -> Result<Self, &'static str> {
        let [number, a, b, c, d, e, f, g, h] = wire.0;
        let (one, other) = (
            u32::from_le_bytes([a, b, c, d]),
            u32::from_le_bytes([e, f, g, h]),
        );
        let error = match number {
            0 => Self::Slots,
            1 => Self::NoSlots,
            2 => Self::NotAnUpdate,
            3 => Self::FormatVersion { found: a },
            4 => Self::Signature,
            5 => Self::Header,
            6 => Self::Board,
            7 => Self::Layout {
                expected: a,
                found: e,
            },
            8 => Self::TooLarge {
                needed: one,
                room: other,
            },
            9 => Self::Older {
                found: one,
                installed: other,
            },
            10 => Self::Running,
            11 => Self::OnTrial,
            12 => Self::NotBegun,
            13 => Self::Order { expected: one },
            14 => Self::Part,
            15 => Self::Truncated {
                received: one,
                expected: other,
            },
            16 => Self::Digest,
            17 => Self::Model,
            18 => Self::Size,
            19 => Self::Golden,
            20 => Self::NothingToConfirm,
            21 => Self::Flash,
            _ => return Err("an unknown reason"),
        };
        // What tells nothing is 0: an error has one form.
        if Wire::from(error) == wire {
            Ok(error)
        } else {
            Err("a number where there is none")
        }
    }
}

/// Why a model that was switched to doesn't run any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Rejection {
    /// The device restarted before anybody confirmed it, or its start was interrupted.
    NotConfirmed,
    /// It gave other integers than its golden vectors have.
    Golden,
    /// Its bytes couldn't be read, or are no model that this firmware runs.
    Unusable,
}

impl Rejection {
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::NotConfirmed => 0,
            Self::Golden => 1,
            Self::Unusable => 2,
        }
    }

    pub(crate) const fn of_number(number: u8) -> Self {
        match number {
            1 => Self::Golden,
            2 => Self::Unusable,
            _ => Self::NotConfirmed,
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotConfirmed => "the device restarted before the model was confirmed",
            Self::Golden => "the model gave other integers than its golden vectors have",
            Self::Unusable => "the model couldn't be read from flash, or can't be run",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_comes_back_from_its_bytes() {
        let mut known = 0;
        for number in 0..=u8::MAX {
            for tells in [[0; 8], [3, 0, 0, 0, 0, 0, 0, 0], [1, 2, 3, 4, 5, 6, 7, 8]] {
                let [a, b, c, d, e, f, g, h] = tells;
                let wire = Wire([number, a, b, c, d, e, f, g, h]);
                if let Ok(error) = UpdateError::try_from(wire) {
                    assert_eq!(Wire::from(error), wire);
                    assert!(std::format!("{error}").len() > 20);
                    known += usize::from(tells == [0; 8]);
                }
            }
        }
        assert_eq!(known, 22);
    }
}
