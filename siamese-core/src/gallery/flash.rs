//! Galleries in flash (feature `storage`), so that they survive a reset.

use core::fmt;
use core::ops::Range;

use embedded_storage::nor_flash::NorFlash;
use postcard::{de_flavors, ser_flavors};

use super::stored::{PREFIX, stored_len};
use super::{Gallery, LoadError};
use crate::checksum::CRC32;

/// Bytes that are written or read at once: a multiple of any flash's own unit.
const BLOCK: usize = 32;
/// Bytes of the checksum at a stored gallery's end.
const TRAILER: u32 = 4;

/// Two places in flash that take turns: the gallery that was saved last stays
/// whole until the next one is written to its end, so that power may fail at
/// any time.
#[derive(Debug)]
pub struct GalleryStore<F> {
    flash: F,
    start: u32,
    /// Bytes of one place.
    size: u32,
}

/// What a place holds.
#[derive(Debug, Clone, Copy)]
struct Found {
    length: u32,
    generation: u32,
}

impl<F: NorFlash> GalleryStore<F> {
    /// A store in these bytes of the flash, which it then owns: half of them
    /// for each place.
    ///
    /// # Errors
    /// [`StoreError::Range`] if the halves aren't made of whole erase units or
    /// lie outside the flash.
    pub fn new(flash: F, range: Range<u32>) -> Result<Self, StoreError<F::Error>> {
        const {
            assert!(BLOCK.is_multiple_of(F::WRITE_SIZE));
            assert!(F::READ_SIZE == 1 || BLOCK.is_multiple_of(F::READ_SIZE));
        }
        let size = range.end.saturating_sub(range.start) / 2;
        let whole = |bytes: u32| (bytes as usize).is_multiple_of(F::ERASE_SIZE);
        let fits = size > 0
            && (size as usize).is_multiple_of(BLOCK)
            && whole(range.start)
            && whole(size)
            && range.end as usize <= flash.capacity();
        if !fits {
            return Err(StoreError::Range);
        }
        Ok(Self {
            flash,
            start: range.start,
            size,
        })
    }

    /// Gives the flash back.
    pub fn release(self) -> F {
        self.flash
    }

    /// Puts what was saved last in place of what is in the gallery; whether
    /// there was something.
    ///
    /// # Errors
    /// [`StoreError::Load`] if it doesn't suit the gallery's model or size,
    /// [`StoreError::Flash`] if the flash can't be read. The gallery is empty
    /// then.
    pub fn load<const D: usize, const N: usize>(
        &mut self,
        gallery: &mut Gallery<D, N>,
    ) -> Result<bool, StoreError<F::Error>> {
        let Some((place, found)) = self.newest()? else {
            return Ok(false);
        };
        let mut failure = None;
        let reader = Reader::new(&mut self.flash, place, found.length - TRAILER, &mut failure);
        let read = gallery.read(reader);
        match (failure, read) {
            (Some(error), _) => Err(StoreError::Flash(error)),
            (None, Ok(())) => Ok(true),
            (None, Err(error)) => Err(StoreError::Load(error)),
        }
    }

    /// Saves a gallery, in place of the one before the last.
    ///
    /// # Errors
    /// [`StoreError::Size`] if a place is too small for it, [`StoreError::Flash`]
    /// if the flash can't be erased or written. The gallery saved before is
    /// still there then.
    pub fn save<const D: usize, const N: usize>(
        &mut self,
        gallery: &Gallery<D, N>,
    ) -> Result<(), StoreError<F::Error>> {
        let newest = self.newest()?;
        let (place, generation) = match newest {
            Some((place, found)) if place == self.start => {
                (self.start + self.size, found.generation.wrapping_add(1))
            }
            Some((_, found)) => (self.start, found.generation.wrapping_add(1)),
            None => (self.start, 0),
        };
        let needed = gallery.stored_len(generation);
        if needed > self.size as usize {
            return Err(StoreError::Size {
                needed,
                room: self.size as usize,
            });
        }
        self.flash
            .erase(place, place + self.size)
            .map_err(StoreError::Flash)?;
        let mut failure = None;
        let writer = Writer {
            flash: &mut self.flash,
            at: place,
            block: [0xFF; BLOCK],
            filled: 0,
            failure: &mut failure,
        };
        let written = gallery.write(generation, writer);
        match (failure, written) {
            (Some(error), _) => Err(StoreError::Flash(error)),
            (None, Ok(())) => Ok(()),
            // Its length was measured before.
            (None, Err(_)) => Err(StoreError::Size {
                needed,
                room: self.size as usize,
            }),
        }
    }

    /// The place of the whole gallery that was saved last.
    fn newest(&mut self) -> Result<Option<(u32, Found)>, StoreError<F::Error>> {
        let mut newest: Option<(u32, Found)> = None;
        for place in [self.start, self.start + self.size] {
            let Some(found) = self.look(place)? else {
                continue;
            };
            // Generations wrap around, and are never more than one apart.
            let later = |other: Found| found.generation.wrapping_sub(other.generation) == 1;
            if newest.is_none_or(|(_, other)| later(other)) {
                newest = Some((place, found));
            }
        }
        Ok(newest)
    }

    /// What is at a place, if it is a whole gallery.
    fn look(&mut self, place: u32) -> Result<Option<Found>, StoreError<F::Error>> {
        let mut failure = None;
        let mut reader = Reader::new(&mut self.flash, place, self.size, &mut failure);
        let mut prefix = [0; PREFIX];
        let mut generation = [0; 4];
        let mut digest = CRC32.digest();
        let whole = (|| {
            prefix = reader.take()?;
            let length = u32::try_from(stored_len(&prefix).ok()?).ok()?;
            let rest = length.checked_sub(PREFIX as u32 + 4 + 4 + TRAILER)?;
            digest.update(&prefix);
            digest.update(&reader.take::<4>()?);
            generation = reader.take()?;
            digest.update(&generation);
            for _ in 0..rest {
                digest.update(&reader.take::<1>()?);
            }
            let stated = u32::from_le_bytes(reader.take()?);
            (digest.finalize() == stated).then_some(Found {
                length,
                generation: u32::from_le_bytes(generation),
            })
        })();
        match failure {
            Some(error) => Err(StoreError::Flash(error)),
            None => Ok(whole),
        }
    }
}

/// Collects bytes and writes them to flash block by block.
struct Writer<'f, F: NorFlash> {
    flash: &'f mut F,
    at: u32,
    block: [u8; BLOCK],
    filled: usize,
    failure: &'f mut Option<F::Error>,
}

impl<F: NorFlash> Writer<'_, F> {
    fn flush(&mut self) -> postcard::Result<()> {
        if let Err(error) = self.flash.write(self.at, &self.block) {
            *self.failure = Some(error);
            return Err(postcard::Error::SerializeBufferFull);
        }
        self.at += BLOCK as u32;
        self.block = [0xFF; BLOCK];
        self.filled = 0;
        Ok(())
    }
}

impl<F: NorFlash> ser_flavors::Flavor for Writer<'_, F> {
    type Output = ();

    #[inline(never)] // It is needed for every field, and need not be fast.
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        if let Some(slot) = self.block.get_mut(self.filled) {
            *slot = byte;
            self.filled += 1;
        }
        if self.filled == BLOCK {
            self.flush()?;
        }
        Ok(())
    }

    fn finalize(mut self) -> postcard::Result<()> {
        if self.filled > 0 {
            self.flush()?;
        }
        Ok(())
    }
}

/// Reads flash block by block, and hands the bytes out one at a time.
struct Reader<'f, F: NorFlash> {
    flash: &'f mut F,
    at: u32,
    block: [u8; BLOCK],
    used: usize,
    /// Bytes that may still be handed out.
    left: u32,
    failure: &'f mut Option<F::Error>,
}

impl<'f, F: NorFlash> Reader<'f, F> {
    fn new(flash: &'f mut F, at: u32, length: u32, failure: &'f mut Option<F::Error>) -> Self {
        Self {
            flash,
            at,
            block: [0; BLOCK],
            used: BLOCK,
            left: length,
            failure,
        }
    }

    #[inline(never)] // It is needed for every field, and need not be fast.
    fn next(&mut self) -> Option<u8> {
        self.left = self.left.checked_sub(1)?;
        if self.used == BLOCK {
            if let Err(error) = self.flash.read(self.at, &mut self.block) {
                *self.failure = Some(error);
                return None;
            }
            self.at += BLOCK as u32;
            self.used = 0;
        }
        let byte = self.block.get(self.used).copied();
        self.used += 1;
        byte
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        for byte in &mut bytes {
            *byte = self.next()?;
        }
        Some(bytes)
    }
}

impl<'f, F: NorFlash> de_flavors::Flavor<'f> for Reader<'f, F> {
    type Remainder = ();
    type Source = ();

    fn pop(&mut self) -> postcard::Result<u8> {
        self.next().ok_or(postcard::Error::DeserializeUnexpectedEnd)
    }

    fn try_take_n(&mut self, _: usize) -> postcard::Result<&'f [u8]> {
        // A gallery has no strings, which alone are borrowed.
        Err(postcard::Error::WontImplement)
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// Why a gallery wasn't saved or loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum StoreError<E> {
    /// The range isn't two places of whole erase units within the flash.
    Range,
    /// The gallery needs more bytes than a place has.
    Size {
        /// The bytes that it needs.
        needed: usize,
        /// The bytes that there are.
        room: usize,
    },
    /// What was saved can't be used.
    Load(LoadError),
    /// The flash reports an error.
    Flash(E),
}

impl<E: fmt::Debug> fmt::Display for StoreError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range => f.write_str(
                "a gallery's store must be two halves of whole erase units within the flash",
            ),
            Self::Size { needed, room } => write!(
                f,
                "the gallery needs {needed} bytes of flash and there are {room}"
            ),
            Self::Load(error) => error.fmt(f),
            Self::Flash(error) => write!(f, "the flash reports {error:?}"),
        }
    }
}

impl<E: fmt::Debug> core::error::Error for StoreError<E> {}
