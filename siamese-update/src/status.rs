//! What a device says of its updates.

use serde::{Deserialize, Serialize};

use crate::error::Rejection;

/// The model that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
#[serde(into = "Wire", try_from = "Wire")]
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

/// Bytes of a status on its way.
const WIRE: usize = 40;

/// A status on its way: its numbers, one after the other. Derived, the code that writes it would be
/// five times as long.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Wire(#[serde(with = "whole")] [u8; WIRE]);

/// An array longer than serde knows, as its bytes.
mod whole {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer, const N: usize>(
        bytes: &[u8; N],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(
        deserializer: D,
    ) -> Result<[u8; N], D::Error> {
        let bytes = <&[u8]>::deserialize(deserializer)?;
        bytes
            .try_into()
            .map_err(|_| D::Error::custom("another number of bytes"))
    }
}

/// Puts numbers one after the other.
struct Writer {
    bytes: [u8; WIRE],
    at: usize,
}

impl Writer {
    fn put(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if let Some(to) = self.bytes.get_mut(self.at) {
                *to = byte;
            }
            self.at += 1;
        }
    }

    fn number(&mut self, number: u32) {
        self.put(&number.to_le_bytes());
    }
}

impl From<Status> for Wire {
    #[inline(never)]
    fn from(status: Status) -> Self {
        let mut wire = Writer {
            bytes: [0; WIRE],
            at: 0,
        };
        wire.put(&match status.running {
            Running::BuiltIn => [0, 0],
            Running::Slot { slot, on_trial } => [1 + u8::from(on_trial), slot],
        });
        wire.number(status.version);
        wire.number(status.floor);
        let (kind, version, reason) = match status.other {
            Other::Empty => (0, 0, 0),
            Other::Waiting { version } => (1, version, 0),
            Other::Previous { version } => (2, version, 0),
            Other::Rejected { version, reason } => (3, version, reason.number()),
        };
        wire.put(&[kind, reason]);
        wire.number(version);
        let (received, expected) = status.received.unwrap_or_default();
        wire.put(&[status.received.is_some().into()]);
        wire.number(received);
        wire.number(expected);
        wire.number(status.room);
        wire.put(&[status.unit, status.layout]);
        wire.put(&status.key);
        wire.put(&[status.development_key.into()]);
        // What is left is for later.
        Self(wire.bytes)
    }
}

impl TryFrom<Wire> for Status {
    type Error = &'static str;

    fn try_from(Wire(bytes): Wire) -> Result<Self, &'static str> {
        let mut rest = bytes.as_slice();
        let mut take = || rest.split_off_first().copied().unwrap_or_default();
        let number =
            |take: &mut dyn FnMut() -> u8| u32::from_le_bytes([take(), take(), take(), take()]);
        let running = match (take(), take()) {
            (0, _) => Running::BuiltIn,
            (kind @ 1..=2, slot) => Running::Slot {
                slot,
                on_trial: kind == 2,
            },
            _ => return Err("an unknown kind of model"),
        };
        let (version, floor) = (number(&mut take), number(&mut take));
        let (kind, reason) = (take(), Rejection::of_number(take()));
        let of = number(&mut take);
        let other = match kind {
            0 => Other::Empty,
            1 => Other::Waiting { version: of },
            2 => Other::Previous { version: of },
            3 => Other::Rejected {
                version: of,
                reason,
            },
            _ => return Err("an unknown kind of slot"),
        };
        let is_begun = take() != 0;
        let received = (number(&mut take), number(&mut take));
        Ok(Self {
            running,
            version,
            floor,
            other,
            received: is_begun.then_some(received),
            room: number(&mut take),
            unit: take(),
            layout: take(),
            key: core::array::from_fn(|_| take()),
            development_key: take() != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_comes_back_from_its_bytes() {
        let others = [
            Other::Empty,
            Other::Waiting { version: 9 },
            Other::Previous { version: 8 },
            Other::Rejected {
                version: 7,
                reason: Rejection::Golden,
            },
        ];
        for (number, other) in others.into_iter().enumerate() {
            let status = Status {
                running: match number {
                    0 => Running::BuiltIn,
                    _ => Running::Slot {
                        slot: 1,
                        on_trial: number == 2,
                    },
                },
                version: 0x0102_0304,
                floor: 5,
                other,
                received: (number > 1).then_some((192, 60_000)),
                room: 131_008,
                unit: 8,
                layout: 2,
                key: [1, 2, 3, 4, 5, 6, 7, 8],
                development_key: number == 3,
            };
            assert_eq!(Status::try_from(Wire::from(status)), Ok(status));
        }
    }
}
