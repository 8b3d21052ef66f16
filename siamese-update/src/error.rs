//! Why an update isn't taken.

use core::fmt;

use serde::{Deserialize, Serialize};

/// Why an update, or a step of it, was refused. The model that ran before still answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
            Self::NothingToConfirm => "no model is on trial",
            Self::Flash => "the flash can't be read or written, or doesn't hold what was written",
        })
    }
}

impl core::error::Error for UpdateError {}

/// Why a model that was switched to doesn't run any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
