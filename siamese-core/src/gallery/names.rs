//! What labels are called: a table of short names beside a gallery.
//!
//! A gallery does without it; who has no use for names pays nothing. A table of
//! `N` names of at most `B` bytes takes about `N * (B + 8)` bytes of RAM.
//!
//! ```
//! use siamese_core::gallery::names::Names;
//!
//! let mut names = Names::<8, 15>::new();
//! names.set(7, "front door")?;
//! assert_eq!(names.get(7), Some("front door"));
//! assert_eq!(names.label("front door"), Some(7));
//!
//! let mut buffer = [0; Names::<8, 15>::STORED_MAX];
//! let stored = names.to_bytes(&mut buffer)?;
//! assert_eq!(Names::from_bytes(stored), Ok(names));
//! # Ok::<(), siamese_core::gallery::names::NameError>(())
//! ```
//!
//! # Stored form, version 1
//!
//! Numbers are little-endian. A file of a gallery is the gallery's own form,
//! and behind it, if there are names, this one; [`split`] finds where.
//!
//! ```text
//! offset  bytes
//!  0      4      magic: "SNAM"
//!  4      1      version: 1
//!  5      4      length in bytes, the checksum included: u32
//!  9      ...    for each name, by ascending label:
//!                  label                        u16
//!                  bytes of the name, 1 to 255  u8
//!                  name, UTF-8
//!  ...    4      CRC-32 (ISO-HDLC) of all before: u32
//! ```
//!
//! Magic, version and length have these places in every version.
//!
//! A reader refuses a name that is empty, not UTF-8, has a control character, or
//! that two labels have, beside a wrong checksum and labels that don't ascend: a
//! table has exactly one form.

use core::fmt;

use heapless::{String, Vec};
use serde::{Deserialize, Serialize};

use super::{Label, LoadError, stored};
use crate::checksum::CRC32;

/// The first bytes of a stored table.
const MAGIC: [u8; 4] = *b"SNAM";
/// The version that is written and read.
const VERSION: u8 = 1;
/// Bytes of magic, version and length.
pub(super) const HEAD: usize = 9;
/// Bytes that a store has before a table.
pub(super) const STORE_HEAD: usize = 12;
/// Bytes of the checksum.
const TRAILER: usize = 4;
/// Bytes of label and length before a name.
const BEFORE_NAME: usize = 3;

/// The names of at most `N` labels, each of at most `B` bytes of UTF-8.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names<const N: usize, const B: usize> {
    /// By ascending label.
    entries: Vec<(Label, String<B>), N>,
}

impl<const N: usize, const B: usize> Names<N, B> {
    /// The bytes that [`to_bytes`](Self::to_bytes) needs at most.
    pub const STORED_MAX: usize = {
        assert!(B >= 1 && B <= 255, "a name has 1 to 255 bytes");
        HEAD + N * (BEFORE_NAME + B) + TRAILER
    };

    /// The bytes of the buffer that a store of names (`NameStore`) needs at most.
    pub const SCRATCH: usize = STORE_HEAD + Self::STORED_MAX;

    /// No names.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            entries: Vec::new(),
        }
    }

    /// The name of a label.
    #[must_use]
    pub fn get(&self, label: Label) -> Option<&str> {
        let place = self.place(label).ok()?;
        self.entries.get(place).map(|(_, name)| name.as_str())
    }

    /// The label of this very name.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<Label> {
        let mut entries = self.iter();
        entries
            .find(|&(_, other)| other == name)
            .map(|(label, _)| label)
    }

    /// Labels and their names, by ascending label.
    pub fn iter(&self) -> impl Iterator<Item = (Label, &str)> {
        self.entries
            .iter()
            .map(|(label, name)| (*label, name.as_str()))
    }

    /// Names a label, or names it anew.
    ///
    /// # Errors
    /// [`NameError::Unusable`] if the name is empty or has a control character,
    /// [`NameError::TooLong`] if it has more than `B` bytes,
    /// [`NameError::Taken`] if another label has it, and [`NameError::Full`] if
    /// the table has no place. Nothing changes then.
    pub fn set(&mut self, label: Label, name: &str) -> Result<(), NameError> {
        if name.is_empty() || name.chars().any(char::is_control) {
            return Err(NameError::Unusable);
        }
        if let Some(other) = self.label(name).filter(|&other| other != label) {
            return Err(NameError::Taken { label: other });
        }
        let text = String::try_from(name).map_err(|_| NameError::TooLong { most: B })?;
        let place = self.place(label).ok();
        if let Some(entry) = place.and_then(|place| self.entries.get_mut(place)) {
            entry.1 = text;
            return Ok(());
        }
        let full = NameError::Full { capacity: N };
        self.entries.push((label, text)).map_err(|_| full)?;
        // To its place: step by step, since moving all at once takes much more code.
        let mut rest = self.entries.as_mut_slice();
        while let [.., before, last] = rest {
            if before.0 < last.0 {
                break;
            }
            core::mem::swap(before, last);
            rest = rest
                .split_last_mut()
                .map_or(&mut [], |(_, shorter)| shorter);
        }
        Ok(())
    }

    /// The first label from this one on that has a name, and the name.
    #[must_use]
    pub fn first_from(&self, label: Label) -> Option<(Label, &str)> {
        let (Ok(place) | Err(place)) = self.place(label);
        let found = self.entries.get(place);
        found.map(|(label, name)| (*label, name.as_str()))
    }

    /// Takes all names away.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// Takes the name of a label away; whether it had one.
    pub fn remove(&mut self, label: Label) -> bool {
        let before = self.entries.len();
        self.entries.retain(|&(other, _)| other != label);
        self.entries.len() < before
    }

    /// Writes the table to the start of `buffer`, and returns that part of it.
    /// The same table always gives the same bytes.
    ///
    /// # Errors
    /// [`NameError::NoRoom`] if the buffer is too short;
    /// [`STORED_MAX`](Self::STORED_MAX) bytes are always enough.
    pub fn to_bytes<'b>(&self, buffer: &'b mut [u8]) -> Result<&'b mut [u8], NameError> {
        let names = self.iter().map(|(_, name)| BEFORE_NAME + name.len());
        let needed = HEAD + names.sum::<usize>() + TRAILER;
        let stored = buffer
            .get_mut(..needed)
            .ok_or(NameError::NoRoom { needed })?;
        let mut rest = stored.iter_mut();
        let mut put = |bytes: &[u8]| {
            let places = bytes.iter().zip(rest.by_ref());
            places.for_each(|(byte, place)| *place = *byte);
        };
        put(&MAGIC);
        put(&[VERSION]);
        put(&(needed as u32).to_le_bytes());
        for (label, name) in self.iter() {
            put(&label.to_le_bytes());
            put(&[name.len() as u8]);
            put(name.as_bytes());
        }
        if let Some((content, trailer)) = stored.split_at_mut_checked(needed - TRAILER) {
            let checksum = CRC32.checksum(content).to_le_bytes();
            let bytes = trailer.iter_mut().zip(checksum);
            bytes.for_each(|(place, byte)| *place = byte);
        }
        Ok(stored)
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote, and nothing else.
    ///
    /// # Errors
    /// [`NameError::NoTable`] if the bytes are something else or of another
    /// version, [`NameError::Damaged`] if they are not what was written, and as
    /// [`set`](Self::set) if the table has no room for them.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NameError> {
        let mut names = Self::new();
        names.fill(bytes).map(|()| names)
    }

    /// As [`from_bytes`](Self::from_bytes), in place. The table is empty if it fails.
    pub(super) fn fill(&mut self, bytes: &[u8]) -> Result<(), NameError> {
        self.clear();
        let filled = self.read(bytes);
        if filled.is_err() {
            self.clear();
        }
        filled
    }

    /// Adds what [`to_bytes`](Self::to_bytes) wrote to an empty table.
    fn read(&mut self, bytes: &[u8]) -> Result<(), NameError> {
        let (head, _) = bytes
            .split_first_chunk::<HEAD>()
            .ok_or(NameError::NoTable)?;
        let length = stated_len(head).ok_or(NameError::NoTable)?;
        if head.get(MAGIC.len()) != Some(&VERSION) {
            return Err(NameError::NoTable);
        }
        let (content, &stated) = bytes.split_last_chunk().ok_or(NameError::Damaged)?;
        let sound = length == bytes.len() && CRC32.checksum(content) == u32::from_le_bytes(stated);
        let mut rest = content.get(HEAD..).ok_or(NameError::Damaged)?;
        if !sound {
            return Err(NameError::Damaged);
        }
        while let Some((&[low, high, count], behind)) = rest.split_first_chunk() {
            let label = Label::from_le_bytes([low, high]);
            let (name, behind) = behind
                .split_at_checked(count.into())
                .ok_or(NameError::Damaged)?;
            let name = core::str::from_utf8(name).map_err(|_| NameError::Damaged)?;
            let last = self.entries.last();
            if last.is_some_and(|&(before, _)| before >= label) {
                return Err(NameError::Damaged);
            }
            self.set(label, name)?;
            rest = behind;
        }
        if rest.is_empty() {
            Ok(())
        } else {
            Err(NameError::Damaged)
        }
    }

    /// Where a label is, or would be.
    fn place(&self, label: Label) -> Result<usize, usize> {
        self.entries
            .binary_search_by_key(&label, |&(label, _)| label)
    }
}

/// The length that a table of any version says that it has, from its first bytes:
/// that of an empty one at least.
pub(super) fn stated_len(head: &[u8]) -> Option<usize> {
    let rest = head.strip_prefix(&MAGIC)?.get(1..)?;
    let &length = rest.first_chunk()?;
    let length = u32::from_le_bytes(length) as usize;
    (length >= HEAD + TRAILER).then_some(length)
}

/// A file of a gallery in two: the gallery's own bytes, for
/// [`Gallery::from_bytes`](super::Gallery::from_bytes), and those of its names,
/// for [`Names::from_bytes`]. The second is empty if there are none.
///
/// # Errors
/// [`LoadError::NotAGallery`], [`LoadError::Version`] or
/// [`LoadError::Truncated`], as `Gallery::from_bytes`.
pub fn split(bytes: &[u8]) -> Result<(&[u8], &[u8]), LoadError> {
    let expected = stored::stated_len(bytes)? as usize;
    let found = bytes.len();
    bytes
        .split_at_checked(expected)
        .ok_or(LoadError::Truncated { expected, found })
}

/// Why names were not set or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum NameError {
    /// The name is empty or has a control character.
    Unusable,
    /// The name is longer than the table's names can be.
    TooLong {
        /// The bytes that there are for a name.
        most: usize,
    },
    /// Another label has the name.
    Taken {
        /// That label.
        label: Label,
    },
    /// Every place is taken.
    Full {
        /// The places that there are.
        capacity: usize,
    },
    /// The buffer is too short.
    NoRoom {
        /// The bytes that are needed.
        needed: usize,
    },
    /// The bytes are no table of names, or one of another version.
    NoTable,
    /// The table is damaged, or was not written by this library.
    Damaged,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unusable => f.write_str(
                "a name isn't empty, and has no line breaks or other control characters",
            ),
            Self::TooLong { most } => write!(f, "the name is longer than {most} bytes"),
            Self::Taken { label } => write!(f, "label {label} has that name already"),
            Self::Full { capacity } => write!(f, "all {capacity} places for names are taken"),
            Self::NoRoom { needed } => write!(f, "the stored names need {needed} bytes"),
            Self::NoTable => f.write_str("there is no stored table of names"),
            Self::Damaged => f.write_str("the table of names is damaged"),
        }
    }
}

impl core::error::Error for NameError {}
