//! The stored form of a gallery, version 2.
//!
//! A *record* states a gallery, or what became of the one before. All of its
//! fields have fixed widths, so that each gallery has exactly one form. Numbers
//! are little-endian; `i16` are two's complement.
//!
//! ```text
//! offset  bytes
//!  0      4      magic: "SGAL"
//!  4      1      version: 2
//!  5      4      length of the record in bytes, its checksum included: u32
//!  9      1      flags: bit 0, the user has set a threshold for prototypes;
//!                bit 1, one for pairs; the others are 0
//! 10      2      D, the coordinates of an embedding: u16
//! 12      4      fingerprint of the model: u32
//! 16      8      generation: u64
//! 24      8      the user's threshold for prototypes, in squared steps, or 0: u64
//! 32      8      the user's threshold for pairs, in squared steps, or 0: u64
//! 40      4      entries that the gallery has after this record: u32
//! 44      4      number of the first entry that is listed here: u32
//! 48      ...    the listed entries, 4 + 4 * D bytes each:
//!                  label                                   u16
//!                  examples, 0 for an exemplar             u16
//!                  mean                                    i16 a coordinate
//!                  remainder                               i16 a coordinate
//!  ...    4      CRC-32 (ISO-HDLC) of all before: u32
//! ```
//!
//! How many entries are listed follows from the length. A record that lists all
//! entries, from number 0 on, is *whole*: it needs no other.
//! [`Gallery::to_bytes`] writes a whole record of generation 0, and nothing else
//! is read by [`Gallery::from_bytes`]. A store (`GalleryStore`) also writes records
//! that list only what has changed, each upon the state that the one before it
//! has left: the gallery is cut to the stated number of entries if it has more,
//! then the listed ones replace those that have their numbers, or are appended.
//!
//! Between devices and hosts entries travel one by one, each in a record of its own
//! of generation 0 ([`Gallery::entry_to_bytes`], [`Gallery::insert`]). [`Record`] is
//! for hosts that handle galleries of any model.
//!
//! What a reader must refuse, beside a wrong checksum:
//! - a bit in `flags` that has no meaning, a threshold that isn't set and not 0;
//! - a length that doesn't come out at whole entries, listed entries beyond the
//!   number of entries, a gap between the entries that are there and those listed;
//! - a mean that is not that of its examples. For each coordinate `sum = mean *
//!   examples + remainder` must lie within `examples` times the range of `i16`,
//!   and `mean` be `sum / examples`, rounded to the nearest whole number, halves
//!   upwards. An exemplar's remainder is 0;
//! - two prototypes of one label.
//!
//! Magic, version, length and checksum have these places in every version, so
//! that a reader can tell an unknown version from damage.

use core::fmt;
use core::num::NonZero;

use crc::{Digest, Table};
use serde::{Deserialize, Serialize};

use super::{Entry, Gallery, GalleryError, Label, Thresholds};
use crate::checksum::CRC32;
use crate::model::{MAX_DIM, Model};

/// The first bytes of a record.
const MAGIC: [u8; 4] = *b"SGAL";
/// The version that is written and read.
const VERSION: u8 = 2;
/// Bytes of magic, version and length.
const PREFIX: usize = 9;
/// Bytes before the entries.
const HEAD: usize = 48;
/// Bytes of the checksum.
const TRAILER: usize = 4;
/// The flags for thresholds that are set.
const PROTOTYPE_SET: u8 = 1;
const PAIR_SET: u8 = 2;

/// What a record says before its entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    fingerprint: u32,
    pub(super) generation: u64,
    user: Thresholds,
    /// Entries of the gallery after the record.
    pub(super) entries: u32,
    /// Number of the first listed entry.
    pub(super) first: u32,
    /// How many are listed.
    pub(super) listed: u32,
}

impl Head {
    /// Whether the record needs no other.
    pub(super) const fn is_whole(&self) -> bool {
        self.first == 0 && self.listed == self.entries
    }

    /// Whether it is of the same model as a gallery, and has its thresholds.
    #[cfg_attr(
        not(any(feature = "storage", feature = "storage-async")),
        allow(dead_code, reason = "only a store asks")
    )]
    pub(super) fn has_user<const D: usize, const N: usize>(&self, gallery: &Gallery<D, N>) -> bool {
        self.user == gallery.user
    }

    /// Whether it is of the same model as a gallery.
    pub(super) const fn has_model<const D: usize, const N: usize>(
        &self,
        gallery: &Gallery<D, N>,
    ) -> bool {
        self.fingerprint == gallery.fingerprint
    }

    /// Reads the bytes before the entries, of which there are `body` bytes, each
    /// entry having so many; the coordinates of an embedding, too. `None` if no
    /// gallery is stored so.
    fn of_bytes(bytes: &[u8; HEAD], body: u32, entry: NonZero<u32>) -> Option<(Self, u16)> {
        let mut rest = bytes.as_slice();
        let _prefix: [u8; PREFIX] = take(&mut rest);
        let [flags] = take(&mut rest);
        let dim = u16::from_le_bytes(take(&mut rest));
        let fingerprint = u32::from_le_bytes(take(&mut rest));
        let generation = u64::from_le_bytes(take(&mut rest));
        let prototype = u64::from_le_bytes(take(&mut rest));
        let pair = u64::from_le_bytes(take(&mut rest));
        let entries = u32::from_le_bytes(take(&mut rest));
        let first = u32::from_le_bytes(take(&mut rest));
        let set = |flag, value: u64| (flags & flag != 0).then_some(value);
        let user = Thresholds {
            prototype: set(PROTOTYPE_SET, prototype),
            pair: set(PAIR_SET, pair),
        };
        let (listed, over) = (body / entry, body % entry);
        let canonical = flags & !(PROTOTYPE_SET | PAIR_SET) == 0
            && (user.prototype.is_some() || prototype == 0)
            && (user.pair.is_some() || pair == 0)
            && over == 0
            && first.checked_add(listed).is_some_and(|end| end <= entries);
        let head = Self {
            fingerprint,
            generation,
            user,
            entries,
            first,
            listed,
        };
        canonical.then_some((head, dim))
    }

    fn to_bytes(self, length: u32, dim: u16) -> [u8; HEAD] {
        let flag = |threshold: Option<u64>, flag| if threshold.is_some() { flag } else { 0 };
        let flags = flag(self.user.prototype, PROTOTYPE_SET) | flag(self.user.pair, PAIR_SET);
        let mut bytes = [0; HEAD];
        let mut rest = bytes.as_mut_slice();
        put(&mut rest, MAGIC);
        put(&mut rest, [VERSION]);
        put(&mut rest, length.to_le_bytes());
        put(&mut rest, [flags]);
        put(&mut rest, dim.to_le_bytes());
        put(&mut rest, self.fingerprint.to_le_bytes());
        put(&mut rest, self.generation.to_le_bytes());
        put(&mut rest, self.user.prototype.unwrap_or(0).to_le_bytes());
        put(&mut rest, self.user.pair.unwrap_or(0).to_le_bytes());
        put(&mut rest, self.entries.to_le_bytes());
        put(&mut rest, self.first.to_le_bytes());
        bytes
    }
}

/// Puts the next bytes, which are then behind.
fn put<const K: usize>(rest: &mut &mut [u8], bytes: [u8; K]) {
    if let Some((place, behind)) = core::mem::take(rest).split_first_chunk_mut() {
        *place = bytes;
        *rest = behind;
    }
}

/// The next bytes, which are then behind.
fn take<const K: usize>(rest: &mut &[u8]) -> [u8; K] {
    match rest.split_first_chunk() {
        Some((&taken, behind)) => {
            *rest = behind;
            taken
        }
        None => [0; K],
    }
}

impl<const D: usize> Entry<D> {
    /// Numbers of 16 bits in a stored entry.
    const FIELDS: usize = 2 + 2 * D;
    /// Bytes of a stored entry.
    const STORED: usize = 2 * Self::FIELDS;

    const EMPTY: Self = Self {
        label: 0,
        examples: 0,
        mean: [0; D],
        remainder: [0; D],
    };

    /// The numbers in their stored order.
    fn fields(&self) -> impl Iterator<Item = u16> {
        let coordinates = self.mean.iter().chain(&self.remainder);
        [self.label, self.examples]
            .into_iter()
            .chain(coordinates.map(|field| field.cast_unsigned()))
    }

    fn set_field(&mut self, number: usize, value: u16) {
        match number {
            0 => self.label = value,
            1 => self.examples = value,
            _ => {
                let mut coordinates = self.mean.iter_mut().chain(&mut self.remainder);
                if let Some(field) = coordinates.nth(number - 2) {
                    *field = value.cast_signed();
                }
            }
        }
    }

    /// Whether enrolments can have made the entry.
    fn is_possible(&self) -> bool {
        let coordinates = self.mean.iter().zip(&self.remainder);
        is_possible(
            self.examples,
            coordinates.map(|(&mean, &remainder)| (mean, remainder)),
        )
    }
}

/// Whether enrolments can have made an entry with these means and remainders.
#[inline]
fn is_possible(examples: u16, mut coordinates: impl Iterator<Item = (i16, i16)>) -> bool {
    let count = i32::from(examples);
    // Halves round up: the remainder of an even count may be half of it
    // below the mean and not above.
    let half = count / 2;
    let above = (count - 1 - half).max(0);
    let sums = count * i32::from(i16::MIN)..=count * i32::from(i16::MAX);
    coordinates.all(|(mean, remainder)| {
        let (mean, remainder) = (i32::from(mean), i32::from(remainder));
        // At most 65,535 * 32,768 + 32,767 in magnitude, below 2^31.
        (-half..=above).contains(&remainder)
            && (count == 0 || sums.contains(&(mean * count + remainder)))
    })
}

/// The bytes of a record, one after the other.
pub(super) struct Encoder<'g, const D: usize> {
    head: [u8; HEAD],
    /// The entries to list.
    entries: &'g [Entry<D>],
    digest: Digest<'static, u32, Table<1>>,
    /// Bytes that were handed out.
    at: u32,
    length: u32,
}

impl<'g, const D: usize> Encoder<'g, D> {
    /// A record of the entries from `first` to before `end`.
    #[inline(never)]
    pub(super) fn new<const N: usize>(
        gallery: &'g Gallery<D, N>,
        generation: u64,
        first: usize,
        end: usize,
    ) -> Self {
        let entries = gallery.entries.get(first..end).unwrap_or_default();
        let length = record_len::<D>(entries.len());
        let head = Head {
            fingerprint: gallery.fingerprint,
            generation,
            user: gallery.user,
            entries: gallery.entries.len() as u32,
            first: first as u32,
            listed: entries.len() as u32,
        };
        Self {
            head: head.to_bytes(length, D as u16),
            entries,
            digest: CRC32.digest(),
            at: 0,
            length,
        }
    }

    /// Fills a buffer with the next bytes; how many there were.
    #[inline(never)]
    pub(super) fn fill(&mut self, buffer: &mut [u8]) -> usize {
        buffer
            .iter_mut()
            .zip(self)
            .map(|(byte, next)| *byte = next)
            .count()
    }
}

impl<const D: usize> Iterator for Encoder<'_, D> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let at = self.at as usize;
        if self.at == self.length {
            return None;
        }
        self.at += 1;
        let trailer = self.length as usize - TRAILER;
        if let Some(number) = at.checked_sub(trailer) {
            let checksum = self.digest.clone().finalize().to_le_bytes();
            return checksum.get(number).copied();
        }
        let byte = match at.checked_sub(HEAD) {
            None => self.head.get(at).copied(),
            Some(at) => {
                let entry = self.entries.get(at / Entry::<D>::STORED);
                let field = at % Entry::<D>::STORED / 2;
                let field = entry.and_then(|entry| entry.fields().nth(field));
                field.map(|field| field.to_le_bytes()[at % 2])
            }
        };
        let byte = byte?;
        self.digest.update(&[byte]);
        Some(byte)
    }
}

/// What a byte has completed.
#[derive(Debug)]
pub(super) enum Fed<const D: usize> {
    /// Nothing.
    More,
    /// All that is before the entries.
    Head(Head),
    /// An entry, and its number.
    Entry(u32, Entry<D>),
    /// The record, and its checksum is right. Its generation, and whether its
    /// contents are.
    #[cfg_attr(
        not(any(feature = "storage", feature = "storage-async")),
        allow(dead_code, reason = "only a store asks")
    )]
    End(u64, Result<(), LoadError>),
    /// This is no record, or a damaged one.
    Bad(LoadError),
}

/// Reads a record byte by byte.
pub(super) struct Decoder<const D: usize> {
    digest: Digest<'static, u32, Table<1>>,
    head: [u8; HEAD],
    /// Bytes that were taken.
    at: u32,
    /// The length of the record, or of its prefix until that is known.
    length: u32,
    /// Where the checksum begins, once that is known.
    trailer: u32,
    stated: u32,
    generation: u64,
    contents: Result<(), LoadError>,
    entry: Entry<D>,
    number: u32,
    field: usize,
    low: u8,
}

impl<const D: usize> Decoder<D> {
    pub(super) const fn new() -> Self {
        Self {
            digest: CRC32.digest(),
            head: [0; HEAD],
            at: 0,
            length: PREFIX as u32,
            trailer: u32::MAX,
            stated: 0,
            generation: 0,
            contents: Ok(()),
            entry: Entry::EMPTY,
            number: 0,
            field: 0,
            low: 0,
        }
    }

    /// How many bytes the record surely has: all of them, once that is known.
    #[cfg_attr(
        not(any(feature = "storage", feature = "storage-async")),
        allow(dead_code, reason = "only a store asks")
    )]
    pub(super) const fn length(&self) -> u32 {
        self.length
    }

    /// Takes one byte. There are none after an end, and none after what is bad.
    pub(super) fn feed(&mut self, byte: u8) -> Fed<D> {
        let at = self.at;
        self.at = at.saturating_add(1);
        if let Some(number) = at.checked_sub(self.trailer) {
            self.stated = self.stated >> 8 | u32::from(byte) << 24;
            if number + 1 < TRAILER as u32 {
                return Fed::More;
            }
            return if self.digest.clone().finalize() == self.stated {
                Fed::End(self.generation, self.contents)
            } else {
                Fed::Bad(LoadError::Checksum)
            };
        }
        self.digest.update(&[byte]);
        if let Some(place) = self.head.get_mut(at as usize) {
            *place = byte;
            return match self.at as usize {
                PREFIX => self.prefix(),
                HEAD => self.head(),
                _ => Fed::More,
            };
        }
        self.entry(at, byte)
    }

    fn prefix(&mut self) -> Fed<D> {
        let length = match stated_len(&self.head) {
            Ok(length) => length,
            Err(LoadError::Version { found }) => {
                self.contents = Err(LoadError::Version { found });
                foreign_len(&self.head)
            }
            Err(error) => return Fed::Bad(error),
        };
        let least = if self.contents.is_ok() { HEAD } else { PREFIX } + TRAILER;
        if (length as usize) < least {
            return Fed::Bad(LoadError::Contents);
        }
        self.length = length;
        self.trailer = length - TRAILER as u32;
        Fed::More
    }

    fn head(&mut self) -> Fed<D> {
        if self.contents.is_err() {
            return Fed::More;
        }
        let dim = dim_of(&self.head);
        if usize::from(dim) != D {
            self.contents = Err(LoadError::Dimension {
                found: dim,
                expected: D,
            });
            return Fed::More;
        }
        let body = self.trailer.saturating_sub(HEAD as u32);
        let Some((head, _)) = Head::of_bytes(&self.head, body, entry_len(dim)) else {
            self.contents = Err(LoadError::Contents);
            return Fed::More;
        };
        self.generation = head.generation;
        self.number = head.first;
        Fed::Head(head)
    }

    fn entry(&mut self, at: u32, byte: u8) -> Fed<D> {
        if self.contents.is_err() {
            return Fed::More;
        }
        // The first entry begins at an even offset, and all fields have 2 bytes.
        if at.is_multiple_of(2) {
            self.low = byte;
            return Fed::More;
        }
        let value = u16::from_le_bytes([self.low, byte]);
        self.entry.set_field(self.field, value);
        self.field += 1;
        if self.field < Entry::<D>::FIELDS {
            return Fed::More;
        }
        self.field = 0;
        if !self.entry.is_possible() {
            self.contents = Err(LoadError::Contents);
            return Fed::More;
        }
        let number = self.number;
        self.number = number.saturating_add(1);
        Fed::Entry(number, self.entry)
    }
}

/// The bytes of a record that lists so many entries.
pub(super) const fn record_len<const D: usize>(listed: usize) -> u32 {
    // `STORED_MAX` fits, and no gallery lists more.
    (HEAD + listed * Entry::<D>::STORED + TRAILER) as u32
}

/// The bytes of a stored entry with so many coordinates.
const fn entry_len(dim: u16) -> NonZero<u32> {
    NonZero::<u32>::MIN.saturating_add(3 + 4 * dim as u32)
}

/// The coordinates of an embedding, by the bytes before the entries.
const fn dim_of(head: &[u8; HEAD]) -> u16 {
    u16::from_le_bytes([head[PREFIX + 1], head[PREFIX + 2]])
}

/// Whether there are exactly as many bytes as a record says that it has.
fn check_len(bytes: &[u8]) -> Result<(), LoadError> {
    let expected = stated_len(bytes)? as usize;
    let found = bytes.len();
    if found < expected {
        return Err(LoadError::Truncated { expected, found });
    }
    if found > expected {
        return Err(LoadError::TrailingBytes { expected, found });
    }
    Ok(())
}

/// The length that a record says that it has, in bytes, from its first bytes: where it ends
/// in memory that goes on.
///
/// ```
/// use siamese_core::gallery::{Gallery, stored::stated_len};
///
/// let mut page = [0xFF; 1024];
/// let stored = Gallery::<2, 8>::for_fingerprint(7).to_bytes(&mut page)?.len();
/// assert_eq!(stated_len(&page)? as usize, stored);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`LoadError::NotAGallery`], [`LoadError::Version`], and [`LoadError::Truncated`] if there
/// are too few bytes to tell.
pub fn stated_len(bytes: &[u8]) -> Result<u32, LoadError> {
    if !bytes.starts_with(&MAGIC) {
        return Err(LoadError::NotAGallery);
    }
    match bytes.get(MAGIC.len()) {
        Some(&VERSION) if bytes.len() >= PREFIX => Ok(foreign_len(bytes)),
        Some(&found) if found != VERSION => Err(LoadError::Version { found }),
        _ => Err(LoadError::Truncated {
            expected: PREFIX,
            found: bytes.len(),
        }),
    }
}

/// The same, whatever the version.
fn foreign_len(bytes: &[u8]) -> u32 {
    let mut rest = bytes.get(MAGIC.len() + 1..).unwrap_or_default();
    u32::from_le_bytes(take(&mut rest))
}

impl<const D: usize, const N: usize> Gallery<D, N> {
    /// The bytes that [`to_bytes`](Self::to_bytes) needs at most.
    pub const STORED_MAX: usize = {
        assert!(
            D <= u16::MAX as usize,
            "an embedding has at most 65,535 coordinates"
        );
        let most = HEAD + N * Entry::<D>::STORED + TRAILER;
        assert!(
            most <= u32::MAX as usize,
            "a stored gallery has at most 4 GiB"
        );
        most
    };

    /// Writes the gallery to the start of `buffer`, and returns that part of
    /// it. The same gallery always gives the same bytes.
    ///
    /// # Errors
    /// [`NoRoom`] if the buffer is too short; [`STORED_MAX`](Self::STORED_MAX)
    /// bytes are always enough.
    pub fn to_bytes<'b>(&self, buffer: &'b mut [u8]) -> Result<&'b mut [u8], NoRoom> {
        let needed = self.stored_len() as usize;
        let stored = buffer.get_mut(..needed).ok_or(NoRoom { needed })?;
        Encoder::new(self, 0, 0, self.entries.len()).fill(stored);
        Ok(stored)
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote, and nothing else: what is
    /// read is exactly what this gallery would write.
    ///
    /// # Errors
    /// A [`LoadError`] if the bytes are something else, were damaged, or don't
    /// suit the model or this gallery's size.
    pub fn from_bytes(model: &Model<'_>, bytes: &[u8]) -> Result<Self, LoadError> {
        let mut gallery = Self::for_fingerprint(0);
        gallery.load(model, bytes)?;
        Ok(gallery)
    }

    /// Makes the gallery what [`from_bytes`](Self::from_bytes) would read: in place, where
    /// the memory is scarce. What was in it is gone.
    ///
    /// # Errors
    /// As [`from_bytes`](Self::from_bytes). The gallery is empty then, without thresholds of
    /// the user's, and one for this model unless that has not `D` coordinates.
    pub fn load(&mut self, model: &Model<'_>, bytes: &[u8]) -> Result<(), LoadError> {
        self.clear();
        let reset = self.reset_for(model);
        check_len(bytes)?;
        reset.map_err(|_| LoadError::Dimension {
            found: model.dim() as u16,
            expected: D,
        })?;
        let read = self.read_whole(bytes);
        if read.is_err() {
            self.clear();
        }
        read
    }

    /// Reads a record of the right length into an empty gallery.
    fn read_whole(&mut self, bytes: &[u8]) -> Result<(), LoadError> {
        let mut decoder = Decoder::new();
        let mut suits = Ok(());
        for &byte in bytes {
            match decoder.feed(byte) {
                Fed::More => {}
                Fed::Head(head) if head.generation != 0 || !head.is_whole() => {
                    suits = Err(LoadError::Contents);
                }
                Fed::Head(head) => suits = self.begin(&head),
                Fed::Entry(number, entry) if suits.is_ok() => suits = self.put(number, entry),
                Fed::Entry(..) => {}
                Fed::End(_, contents) => contents.and(suits)?,
                Fed::Bad(error) => return Err(error),
            }
        }
        if self.has_twins() {
            return Err(LoadError::Contents);
        }
        Ok(())
    }

    /// The bytes that [`entry_to_bytes`](Self::entry_to_bytes) needs at most.
    pub const ENTRY_MAX: usize = HEAD + Entry::<D>::STORED + TRAILER;

    /// Writes a record of one entry, by its number, to the start of `buffer`, and
    /// returns that part of it. It has all that is stored of the entry, and the
    /// model's fingerprint, the user's thresholds, and how many entries there are; a
    /// number that no entry has gives just these.
    ///
    /// # Errors
    /// [`NoRoom`] if the buffer is too short; [`ENTRY_MAX`](Self::ENTRY_MAX) bytes
    /// are always enough.
    pub fn entry_to_bytes<'b>(
        &self,
        number: usize,
        buffer: &'b mut [u8],
    ) -> Result<&'b mut [u8], NoRoom> {
        let first = number.min(self.entries.len());
        let end = self.entries.len().min(first.saturating_add(1));
        let needed = record_len::<D>(end - first) as usize;
        let record = buffer.get_mut(..needed).ok_or(NoRoom { needed })?;
        Encoder::new(self, 0, first, end).fill(record);
        Ok(record)
    }

    /// Takes in the entry of a record that lists one, as [`merge`](Self::merge)
    /// would: an exemplar is appended, a prototype joined with that of its label if
    /// there is one. The record's thresholds and numbers don't matter. The examples
    /// in the entry now.
    ///
    /// # Errors
    /// [`InsertError::Record`] if the bytes are no such record, or one of another
    /// model or of what no enrolment can make, [`InsertError::Gallery`] with
    /// [`Full`](GalleryError::Full) or [`Examples`](GalleryError::Examples). Nothing
    /// changes then.
    pub fn insert(&mut self, record: &[u8]) -> Result<u16, InsertError> {
        let entry = self.listed(record).map_err(InsertError::Record)?;
        self.take_in(entry).map_err(InsertError::Gallery)
    }

    /// Takes over the user's thresholds of a record, whatever it lists.
    ///
    /// # Errors
    /// A [`LoadError`] as [`insert`](Self::insert) gives it. Nothing changes then.
    pub fn take_user_thresholds(&mut self, record: &[u8]) -> Result<(), LoadError> {
        let (head, _) = self.read(record)?;
        self.user = head.user;
        Ok(())
    }

    /// The entry of a record that lists one.
    fn listed(&self, record: &[u8]) -> Result<Entry<D>, LoadError> {
        let (head, last) = self.read(record)?;
        let one = last.filter(|_| head.listed == 1);
        one.ok_or(LoadError::Contents)
    }

    /// What a record of generation 0 says, and the last entry that it lists, if it is of
    /// the gallery's model.
    #[inline(never)]
    fn read(&self, record: &[u8]) -> Result<(Head, Option<Entry<D>>), LoadError> {
        check_len(record)?;
        let mut decoder = Decoder::new();
        let (mut head, mut last) = (Err(LoadError::Contents), None);
        for &byte in record {
            match decoder.feed(byte) {
                Fed::More => {}
                Fed::Head(found) if !found.has_model(self) => {
                    head = Err(LoadError::OtherModel {
                        expected: self.fingerprint,
                        found: found.fingerprint,
                    });
                }
                Fed::Head(found) if found.generation == 0 => head = Ok(found),
                Fed::Head(_) => {}
                Fed::Entry(_, entry) => last = Some(entry),
                Fed::End(_, contents) => contents?,
                Fed::Bad(error) => return Err(error),
            }
        }
        head.map(|head| (head, last))
    }

    /// The bytes of a record of all entries.
    pub(super) fn stored_len(&self) -> u32 {
        // Also checks the gallery's size when it is compiled.
        const { assert!(Self::STORED_MAX > 0) };
        record_len::<D>(self.entries.len())
    }

    /// Does what a record says before its entries.
    pub(super) fn begin(&mut self, head: &Head) -> Result<(), LoadError> {
        if !head.has_model(self) {
            return Err(LoadError::OtherModel {
                expected: self.fingerprint,
                found: head.fingerprint,
            });
        }
        let (entries, first) = (head.entries as usize, head.first as usize);
        if entries > N {
            return Err(LoadError::Capacity {
                found: entries,
                capacity: N,
            });
        }
        if head.is_whole() {
            self.entries.clear();
        }
        let there = self.entries.len().min(entries);
        // Below `entries`, which were compared when the head was read.
        let end = first + head.listed as usize;
        if first > there || there.max(end) != entries {
            return Err(LoadError::Contents);
        }
        self.entries.truncate(entries);
        self.user = head.user;
        Ok(())
    }

    /// Puts a listed entry to its number.
    pub(super) fn put(&mut self, number: u32, entry: Entry<D>) -> Result<(), LoadError> {
        if let Some(there) = self.entries.get_mut(number as usize) {
            *there = entry;
            return Ok(());
        }
        self.entries.push(entry).map_err(|_| LoadError::Contents)
    }

    /// Whether two prototypes have one label.
    pub(super) fn has_twins(&self) -> bool {
        let mut rest = self.entries.as_slice();
        while let Some((entry, others)) = rest.split_first() {
            let twin = |other: &Entry<D>| !other.is_exemplar() && other.label == entry.label;
            if !entry.is_exemplar() && others.iter().any(twin) {
                return true;
            }
            rest = others;
        }
        false
    }
}

/// A record of generation 0 of any gallery, whatever its number of coordinates: for
/// hosts, which don't know that when they are compiled.
///
/// ```
/// use siamese_core::Embedding;
/// use siamese_core::gallery::{Gallery, Record};
///
/// let mut gallery = Gallery::<2, 4>::for_fingerprint(9);
/// gallery.enrol(7, &Embedding([1, 2]))?;
/// gallery.enrol_exemplar(8, &Embedding([3, 4]))?;
/// let mut buffer = [0; Gallery::<2, 4>::STORED_MAX];
/// let stored: &[u8] = gallery.to_bytes(&mut buffer).unwrap();
///
/// let record = Record::read(stored).unwrap();
/// assert_eq!((record.dim(), record.fingerprint(), record.entries()), (2, 9, 2));
/// let labels: Vec<u16> = record.listed().map(|entry| entry.label()).collect();
/// assert_eq!(labels, [7, 8]);
/// # Ok::<(), siamese_core::gallery::GalleryError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'b> {
    head: Head,
    dim: u16,
    listed: &'b [u8],
}

impl<'b> Record<'b> {
    /// The bytes that a record of one entry has at most.
    pub const ENTRY_MAX: usize = Gallery::<MAX_DIM, 1>::ENTRY_MAX;

    /// Checks a record in every way that needs no model, in time linear in its length. It
    /// needs 8 KiB of stack.
    ///
    /// # Errors
    /// A [`LoadError`] as [`Gallery::from_bytes`] gives it.
    pub fn read(bytes: &'b [u8]) -> Result<Self, LoadError> {
        check_len(bytes)?;
        let (content, &stated) = bytes.split_last_chunk().ok_or(LoadError::Contents)?;
        if CRC32.checksum(content) != u32::from_le_bytes(stated) {
            return Err(LoadError::Checksum);
        }
        let (head, listed) = content.split_first_chunk().ok_or(LoadError::Contents)?;
        let entry = entry_len(dim_of(head));
        let (head, dim) =
            Head::of_bytes(head, listed.len() as u32, entry).ok_or(LoadError::Contents)?;
        let record = Self { head, dim, listed };
        let mut is_sound = head.generation == 0 && dim > 0;
        let mut prototypes = Labels::new();
        for entry in record.listed() {
            let is_twin = !entry.is_exemplar() && !prototypes.add(entry.label());
            is_sound &= entry.is_possible() && !is_twin;
        }
        is_sound.then_some(record).ok_or(LoadError::Contents)
    }

    /// The same model and thresholds with other entries, all of a gallery's: as
    /// [`RecordEntry::bytes`] gives them, one after the other. `None` if these are
    /// no entries of so many coordinates.
    #[must_use]
    pub fn with_entries<'e>(&self, entries: &'e [u8]) -> Option<Record<'e>> {
        let length = u32::try_from(entries.len()).ok()?;
        let entry = entry_len(self.dim);
        let listed = length / entry;
        let head = Head {
            entries: listed,
            first: 0,
            listed,
            ..self.head
        };
        (length % entry == 0).then_some(Record {
            head,
            dim: self.dim,
            listed: entries,
        })
    }

    /// Writes the record to the start of `buffer`, and returns that part of it.
    ///
    /// # Errors
    /// [`NoRoom`] if the buffer is too short; [`stored_len`](Self::stored_len) bytes
    /// are enough.
    pub fn to_bytes<'o>(&self, buffer: &'o mut [u8]) -> Result<&'o mut [u8], NoRoom> {
        let needed = self.stored_len();
        let stored = buffer.get_mut(..needed).ok_or(NoRoom { needed })?;
        let head = self.head.to_bytes(needed as u32, self.dim);
        let bytes = head.iter().chain(self.listed);
        stored
            .iter_mut()
            .zip(bytes)
            .for_each(|(to, from)| *to = *from);
        if let Some((content, trailer)) = stored.split_last_chunk_mut() {
            *trailer = CRC32.checksum(content).to_le_bytes();
        }
        Ok(stored)
    }

    /// The bytes of the record.
    #[must_use]
    pub const fn stored_len(&self) -> usize {
        HEAD + self.listed.len() + TRAILER
    }

    /// The coordinates of an embedding.
    #[must_use]
    pub const fn dim(&self) -> u16 {
        self.dim
    }

    /// The [fingerprint](Model::fingerprint) of the model.
    #[must_use]
    pub const fn fingerprint(&self) -> u32 {
        self.head.fingerprint
    }

    /// The user's thresholds.
    #[must_use]
    pub const fn user_thresholds(&self) -> Thresholds {
        self.head.user
    }

    /// The entries of the whole gallery.
    #[must_use]
    pub const fn entries(&self) -> u32 {
        self.head.entries
    }

    /// The number of the first entry that is listed.
    #[must_use]
    pub const fn first(&self) -> u32 {
        self.head.first
    }

    /// Whether all entries are listed.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.head.is_whole()
    }

    /// The entries that are listed.
    pub fn listed(&self) -> impl Iterator<Item = RecordEntry<'b>> + Clone + use<'b> {
        let length = entry_len(self.dim).get() as usize;
        self.listed.chunks_exact(length).map(RecordEntry)
    }
}

/// A set of labels. A record can list as many entries as its 4 GiB have room for: comparing each
/// with all others could take hours.
struct Labels([u32; (Label::MAX as usize + 1) / u32::BITS as usize]);

impl Labels {
    const fn new() -> Self {
        Self([0; _])
    }

    /// Adds a label; whether it is new.
    fn add(&mut self, label: Label) -> bool {
        let (word, bit) = (label / u32::BITS as Label, label % u32::BITS as Label);
        let Some(word) = self.0.get_mut(usize::from(word)) else {
            return false;
        };
        let before = *word;
        *word |= 1 << bit;
        *word != before
    }
}

/// One entry of a [`Record`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordEntry<'b>(&'b [u8]);

impl<'b> RecordEntry<'b> {
    /// What it is an entry for.
    #[must_use]
    pub fn label(&self) -> Label {
        self.field(0)
    }

    /// The examples that it is the mean of; 1 for an exemplar.
    #[must_use]
    pub fn examples(&self) -> u16 {
        self.field(1).max(1)
    }

    /// Whether it is one example, kept as it was.
    #[must_use]
    pub fn is_exemplar(&self) -> bool {
        self.field(1) == 0
    }

    /// Its bytes, as the page of the stored form tells; the first two are the label.
    #[must_use]
    pub const fn bytes(&self) -> &'b [u8] {
        self.0
    }

    /// A number of 16 bits.
    fn field(&self, number: usize) -> u16 {
        self.fields().nth(number).unwrap_or(0)
    }

    fn fields(&self) -> impl Iterator<Item = u16> {
        let fields = self.0.chunks_exact(2);
        fields.map(|mut field| u16::from_le_bytes(take(&mut field)))
    }

    fn is_possible(&self) -> bool {
        let dim = self.0.len().saturating_sub(4) / 4;
        let number = |number: u16| number.cast_signed();
        let means = self.fields().skip(2).map(number);
        let remainders = self.fields().skip(2 + dim).map(number);
        is_possible(self.field(1), means.zip(remainders))
    }
}

/// Why an entry was not inserted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum InsertError {
    /// The bytes are no record of one entry that this gallery could hold.
    Record(LoadError),
    /// The gallery has no room, or the prototype for no more examples.
    Gallery(GalleryError),
}

impl fmt::Display for InsertError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(error) => error.fmt(f),
            Self::Gallery(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for InsertError {}

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
    /// The checksum is right, and yet no gallery is stored so: a value is
    /// impossible, or there are two ways to write it and this is the other one.
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
            Self::Contents => f.write_str("the stored gallery holds an impossible value"),
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
