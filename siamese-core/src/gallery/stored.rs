//! The stored form of a gallery.
//!
//! ```text
//! 0   magic "SGAL"                     4 bytes
//! 4   version                          u8
//! 5   length of all of it              u32, little-endian
//! 9   a postcard message               fingerprint u32 and generation u32, 4
//!                                      bytes each; coordinates u16; threshold
//!                                      u64; entries u16; then each entry: label
//!                                      u16, examples u16, mean and remainder
//!                                      i16 a coordinate
//!     CRC-32 (ISO-HDLC) of all before  u32, little-endian
//! ```

use core::fmt;

use postcard::de_flavors::{self, Slice as Source};
use postcard::ser_flavors::crc::CrcModifier;
use postcard::ser_flavors::{self, Size, Slice as Sink};
use postcard::{Deserializer, Serializer};
use serde::{Deserialize, Serialize};
use serde_big_array::BigArray;

use super::{Entry, Gallery};
use crate::checksum::CRC32;
use crate::model::Model;

/// The first bytes of a stored gallery.
const MAGIC: [u8; 4] = *b"SGAL";
/// The version that is written and read.
const VERSION: u8 = 1;
/// Magic, version and length.
pub(super) const PREFIX: usize = 9;
/// The checksum.
const TRAILER: usize = 4;

/// What comes before the entries.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Head {
    magic: [u8; 4],
    version: u8,
    #[serde(with = "postcard::fixint::le")]
    length: u32,
    #[serde(with = "postcard::fixint::le")]
    fingerprint: u32,
    /// How often the gallery was saved before: tells the newer of two.
    #[serde(with = "postcard::fixint::le")]
    pub(super) generation: u32,
    dim: u16,
    threshold: u64,
    entries: u16,
}

/// One entry.
#[derive(Serialize, Deserialize)]
struct StoredEntry<const D: usize> {
    label: u16,
    examples: u16,
    #[serde(with = "BigArray")]
    mean: [i16; D],
    #[serde(with = "BigArray")]
    remainder: [i16; D],
}

impl<const D: usize> StoredEntry<D> {
    /// The entry, if an enrolment can have made it.
    fn check(self) -> Option<Entry<D>> {
        let half = self.examples / 2;
        let rounded = |&remainder: &i16| {
            // Halves round up, so that an even count's half is only below.
            let upper =
                i32::from(half) - i32::from(self.examples > 0 && self.examples.is_multiple_of(2));
            (-i32::from(half)..=upper).contains(&i32::from(remainder))
        };
        let Self {
            label,
            examples,
            mean,
            remainder,
        } = self;
        remainder.iter().all(rounded).then_some(Entry {
            label,
            examples,
            mean,
            remainder,
        })
    }
}

impl<const D: usize, const N: usize> Gallery<D, N> {
    /// The bytes that [`to_bytes`](Self::to_bytes) needs at most.
    pub const STORED_MAX: usize = PREFIX + 4 + 4 + 3 + 10 + 3 + N * (3 + 3 + 2 * 3 * D) + TRAILER;

    /// Writes the gallery to the start of `buffer`, and returns that part of
    /// it. The same gallery always gives the same bytes.
    ///
    /// # Errors
    /// [`NoRoom`] if the buffer is too short; [`STORED_MAX`](Self::STORED_MAX)
    /// bytes are always enough.
    pub fn to_bytes<'b>(&self, buffer: &'b mut [u8]) -> Result<&'b mut [u8], NoRoom> {
        self.write(0, Sink::new(buffer)).map_err(|_| NoRoom {
            needed: self.stored_len(0),
        })
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// A [`LoadError`] if the bytes are something else, were damaged, or don't
    /// suit the model or this gallery's size.
    pub fn from_bytes(model: &Model<'_>, bytes: &[u8]) -> Result<Self, LoadError> {
        let expected = stored_len(bytes)?;
        let found = bytes.len();
        if found < expected {
            return Err(LoadError::Truncated { expected, found });
        }
        if found > expected {
            return Err(LoadError::TrailingBytes { expected, found });
        }
        let (body, checksum) = bytes
            .split_last_chunk::<TRAILER>()
            .ok_or(LoadError::Truncated { expected, found })?;
        if CRC32.checksum(body) != u32::from_le_bytes(*checksum) {
            return Err(LoadError::Checksum);
        }
        if model.dim() != D {
            return Err(LoadError::Dimension {
                found: model.dim() as u16,
                expected: D,
            });
        }
        let mut gallery = Self::for_fingerprint(model.fingerprint());
        gallery.read(Source::new(body))?;
        Ok(gallery)
    }

    /// The bytes that it takes when stored.
    pub(super) fn stored_len(&self, generation: u32) -> usize {
        let mut size = Serializer {
            output: Size::default(),
        };
        // A count of bytes has no limit to exceed.
        let written = self.write_body(generation, 0, &mut size);
        debug_assert!(written.is_ok());
        let body = ser_flavors::Flavor::finalize(size.output).unwrap_or(0);
        body + TRAILER
    }

    /// Writes it, the checksum included.
    pub(super) fn write<F: ser_flavors::Flavor>(
        &self,
        generation: u32,
        output: F,
    ) -> postcard::Result<F::Output> {
        let mut serializer = Serializer {
            output: CrcModifier::new(output, CRC32.digest()),
        };
        let length = self.stored_len(generation) as u32;
        self.write_body(generation, length, &mut serializer)?;
        ser_flavors::Flavor::finalize(serializer.output)
    }

    fn write_body<F: ser_flavors::Flavor>(
        &self,
        generation: u32,
        length: u32,
        serializer: &mut Serializer<F>,
    ) -> postcard::Result<()> {
        let head = Head {
            magic: MAGIC,
            version: VERSION,
            length,
            fingerprint: self.fingerprint,
            generation,
            dim: D as u16,
            threshold: self.threshold,
            entries: self.entries.len() as u16,
        };
        head.serialize(&mut *serializer)?;
        for &Entry {
            label,
            examples,
            mean,
            remainder,
        } in &self.entries
        {
            let entry = StoredEntry {
                label,
                examples,
                mean,
                remainder,
            };
            entry.serialize(&mut *serializer)?;
        }
        Ok(())
    }

    /// Reads all but the checksum in place of what is in the gallery, which is
    /// empty if that fails.
    pub(super) fn read<'de, F: de_flavors::Flavor<'de>>(
        &mut self,
        source: F,
    ) -> Result<(), LoadError> {
        self.entries.clear();
        let read = self.read_entries(source);
        if read.is_err() {
            self.entries.clear();
        }
        read
    }

    fn read_entries<'de, F: de_flavors::Flavor<'de>>(
        &mut self,
        source: F,
    ) -> Result<(), LoadError> {
        let mut deserializer = Deserializer::from_flavor(source);
        let head = Head::deserialize(&mut deserializer).map_err(|_| LoadError::Contents)?;
        if usize::from(head.dim) != D {
            return Err(LoadError::Dimension {
                found: head.dim,
                expected: D,
            });
        }
        if head.fingerprint != self.fingerprint {
            return Err(LoadError::OtherModel {
                expected: self.fingerprint,
                found: head.fingerprint,
            });
        }
        let found = usize::from(head.entries);
        if found > N {
            return Err(LoadError::Capacity { found, capacity: N });
        }
        for _ in 0..found {
            let entry = StoredEntry::deserialize(&mut deserializer);
            let entry = entry.ok().and_then(StoredEntry::check);
            let entry = entry.ok_or(LoadError::Contents)?;
            let twin = |other: &Entry<D>| {
                !entry.is_exemplar() && !other.is_exemplar() && other.label == entry.label
            };
            if self.entries.iter().any(twin) {
                return Err(LoadError::Contents);
            }
            let full = LoadError::Capacity { found, capacity: N };
            self.entries.push(entry).map_err(|_| full)?;
        }
        self.threshold = head.threshold;
        Ok(())
    }
}

/// The length that a stored gallery says that it has, from its first bytes.
pub(super) fn stored_len(bytes: &[u8]) -> Result<usize, LoadError> {
    if !bytes.starts_with(&MAGIC) {
        return Err(LoadError::NotAGallery);
    }
    let prefix = bytes.first_chunk().ok_or(LoadError::Truncated {
        expected: PREFIX,
        found: bytes.len(),
    })?;
    let &[_, _, _, _, version, l0, l1, l2, l3] = prefix;
    if version != VERSION {
        return Err(LoadError::Version { found: version });
    }
    Ok(u32::from_le_bytes([l0, l1, l2, l3]) as usize)
}

/// The buffer is too short for the gallery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct NoRoom {
    /// The bytes that it needs.
    pub needed: usize,
}

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the stored gallery needs {} bytes", self.needed)
    }
}

impl core::error::Error for NoRoom {}

/// Why stored bytes are no gallery for this model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum LoadError {
    /// The bytes don't start as a stored gallery does: nothing was saved there,
    /// or something else.
    NotAGallery,
    /// The gallery was stored in another version of the form.
    Version {
        /// The version that it states.
        found: u8,
    },
    /// The bytes end too early.
    Truncated {
        /// The length that the gallery states, in bytes.
        expected: usize,
        /// The length that there is.
        found: usize,
    },
    /// Bytes follow the end of the gallery.
    TrailingBytes {
        /// The length that the gallery states, in bytes.
        expected: usize,
        /// The length that there is.
        found: usize,
    },
    /// The CRC-32 doesn't match: the bytes were damaged, or not written to the end.
    Checksum,
    /// The checksum is right, and yet the contents are impossible.
    Contents,
    /// The embeddings in it have another number of coordinates.
    Dimension {
        /// The coordinates of the embeddings in it.
        found: u16,
        /// The coordinates of this gallery.
        expected: usize,
    },
    /// Another model made the embeddings in it: to this one they mean nothing.
    OtherModel {
        /// The [fingerprint](Model::fingerprint) of this model.
        expected: u32,
        /// That of the model that made them.
        found: u32,
    },
    /// There are more entries than this gallery has room for.
    Capacity {
        /// The entries in it.
        found: usize,
        /// The room.
        capacity: usize,
    },
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAGallery => f.write_str("there is no stored gallery"),
            Self::Version { found } => write!(
                f,
                "the gallery was stored in version {found} of the form, and this reader knows version {VERSION}"
            ),
            Self::Truncated { expected, found } => {
                write!(f, "the gallery is cut off: {found} of {expected} bytes")
            }
            Self::TrailingBytes { expected, found } => write!(
                f,
                "{} bytes follow the end of the gallery",
                found.saturating_sub(*expected)
            ),
            Self::Checksum => f.write_str("the gallery is damaged: its CRC-32 is wrong"),
            Self::Contents => f.write_str("the gallery holds an impossible value"),
            Self::Dimension { found, expected } => write!(
                f,
                "the gallery's embeddings have {found} coordinates, not {expected}"
            ),
            Self::OtherModel { expected, found } => write!(
                f,
                "the gallery was made with another model ({found:08x}) than this one ({expected:08x}): enrol anew"
            ),
            Self::Capacity { found, capacity } => write!(
                f,
                "the gallery has {found} entries, and there is room for {capacity}"
            ),
        }
    }
}

impl core::error::Error for LoadError {}
