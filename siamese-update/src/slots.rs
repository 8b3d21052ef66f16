//! Two slots in flash: where the parts of an update lie, and how they are read and written.

use core::ops::Range;

use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};
use sha2::{Digest, Sha512};
use siamese_core::checksum::checksum;

use crate::error::UpdateError;
use crate::header::{HEADER_LEN, Header};
use crate::mark::{Found, Kind, MARK_LEN, MARKS, Mark};
use crate::signature::absorb;

/// The largest unit that the flash may be read or written in.
const LARGEST_UNIT: usize = 64;
/// Bytes that are read at once: a multiple of every unit.
const CHUNK: usize = 128;

/// Flash whose bytes the processor finds at addresses, as it finds its program: models are read
/// there, and not copied.
pub trait Mapped<'f> {
    /// The bytes of a range, which begins where `NorFlash`'s offsets do; `None` if it isn't
    /// within the flash. They are at a multiple of 16 if the range begins at one.
    ///
    /// Nothing is asked for here before every byte of it was read by `ReadNorFlash`, so that a
    /// word that can't be read is an error and not a fault of the processor; and what is given
    /// is kept only of the model that runs, which is never written.
    fn mapped(&self, range: Range<u32>) -> Option<&'f [u8]>;
}

/// Bytes on their way to or from the flash. Some drivers want them aligned.
#[repr(C, align(16))]
pub(crate) struct Aligned<const N: usize>(pub(crate) [u8; N]);

/// A flash behind a pointer: one copy of the code below for every driver, compiled in this crate,
/// which firmwares compile for size.
pub(crate) trait Flash<'f> {
    fn read(&mut self, at: u32, bytes: &mut [u8]) -> Result<(), UpdateError>;
    fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), UpdateError>;
    fn erase(&mut self, from: u32, to: u32) -> Result<(), UpdateError>;
    fn mapped(&self, range: Range<u32>) -> Option<&'f [u8]>;
}

impl<'f, F: NorFlash + Mapped<'f>> Flash<'f> for F {
    /// What fails once is tried once more: a model that is there must not be given up because of
    /// a disturbance.
    fn read(&mut self, at: u32, bytes: &mut [u8]) -> Result<(), UpdateError> {
        if ReadNorFlash::read(self, at, bytes).is_ok() {
            return Ok(());
        }
        ReadNorFlash::read(self, at, bytes).map_err(|_| UpdateError::Flash)
    }

    fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), UpdateError> {
        NorFlash::write(self, at, bytes).map_err(|_| UpdateError::Flash)
    }

    fn erase(&mut self, from: u32, to: u32) -> Result<(), UpdateError> {
        NorFlash::erase(self, from, to).map_err(|_| UpdateError::Flash)
    }

    fn mapped(&self, range: Range<u32>) -> Option<&'f [u8]> {
        Mapped::mapped(self, range)
    }
}

/// Where the slots of a flash are. All numbers are bytes.
pub(crate) struct Slots {
    ranges: [Range<u32>; 2],
    read: usize,
    write: usize,
    erase: u32,
    /// What a mark takes.
    mark: u32,
}

/// What is in a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) header: Header,
    /// The header's CRC-32, with the signature.
    pub(crate) crc: u32,
    pub(crate) generation: u32,
    pub(crate) state: State,
}

/// What became of an update that was switched to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Waiting,
    /// Tried, with the reason of its rejection if that was noted.
    Tried(Option<u8>),
    Confirmed,
}

impl Slots {
    /// In these ranges of a flash with this capacity, and these units to read, write and erase.
    pub(crate) fn new(
        ranges: [Range<u32>; 2],
        capacity: usize,
        (read, write, erase): (usize, usize, usize),
    ) -> Result<Self, UpdateError> {
        let usable = |unit: usize| unit.is_power_of_two() && unit <= LARGEST_UNIT;
        // A power of two, as all of them are.
        let mark = MARK_LEN.max(read).max(write) as u32;
        let [first, second] = &ranges;
        let apart = first.end <= second.start || second.end <= first.start;
        let sound = ranges.iter().all(|range| {
            let whole = |at: u32| erase > 0 && (at as usize).is_multiple_of(erase);
            range.start < range.end
                && whole(range.start)
                && whole(range.end)
                && range.end as usize <= capacity
                && range.end - range.start > HEADER_LEN as u32 + MARKS * mark
        });
        if usable(read) && usable(write) && apart && sound {
            Ok(Self {
                ranges,
                read,
                write,
                // At most a slot.
                erase: erase as u32,
                mark,
            })
        } else {
            Err(UpdateError::Slots)
        }
    }

    fn range(&self, slot: usize) -> Range<u32> {
        let [first, second] = &self.ranges;
        if slot == 0 {
            first.clone()
        } else {
            second.clone()
        }
    }

    /// What parts of a payload are multiples of.
    pub(crate) const fn unit(&self) -> usize {
        self.write
    }

    /// The bytes for an update file in the smaller slot.
    pub(crate) fn room(&self) -> u32 {
        let bytes = |slot| {
            let range = self.range(slot);
            range.end - range.start - MARKS * self.mark
        };
        bytes(0).min(bytes(1))
    }

    /// Where the payload of a slot lies.
    pub(crate) fn payload(&self, slot: usize, length: u32) -> Range<u32> {
        let start = self.range(slot).start + HEADER_LEN as u32;
        start..start.saturating_add(length)
    }

    const fn place(&self, kind: Kind, end: u32) -> u32 {
        end - (MARKS - kind as u32) * self.mark
    }

    /// What was switched to in a slot: `None` if nothing was, or it can't be read.
    #[inline(never)] // Its buffers are off the stack while models are parsed.
    pub(crate) fn content(&self, flash: &mut dyn Flash<'_>, slot: usize) -> Option<Content> {
        let mut bytes = Aligned([0; HEADER_LEN]);
        let range = self.range(slot);
        flash.read(range.start, &mut bytes.0).ok()?;
        let header = Header::unverified(&bytes.0).ok()?;
        let crc = checksum(&bytes.0);
        let Found::Mark(Mark { generation, .. }) = self.mark(flash, slot, Kind::Switched, crc)
        else {
            return None;
        };
        let state = if let Found::Mark(_) = self.mark(flash, slot, Kind::Confirmed, crc) {
            State::Confirmed
        } else {
            match (
                self.mark(flash, slot, Kind::Tried, crc),
                self.mark(flash, slot, Kind::Rejected, crc),
            ) {
                (Found::Nothing, Found::Nothing) => State::Waiting,
                (_, Found::Mark(mark)) => State::Tried(Some(mark.reason)),
                _ => State::Tried(None),
            }
        };
        Some(Content {
            header,
            crc,
            generation,
            state,
        })
    }

    /// A mark of a slot.
    fn mark(&self, flash: &mut dyn Flash<'_>, slot: usize, kind: Kind, header: u32) -> Found {
        let mut unit = Aligned([0; LARGEST_UNIT]);
        let at = self.place(kind, self.range(slot).end);
        let bytes = unit.0.get_mut(..self.mark as usize).unwrap_or_default();
        if flash.read(at, bytes).is_err() {
            return Found::Torn;
        }
        bytes
            .first_chunk()
            .map_or(Found::Torn, |bytes| Mark::of_bytes(bytes, kind, header))
    }

    /// Sets a mark, and looks whether it is there.
    #[inline(never)]
    pub(crate) fn set_mark(
        &self,
        flash: &mut dyn Flash<'_>,
        slot: usize,
        mark: Mark,
    ) -> Result<(), UpdateError> {
        let mut unit = Aligned([0xFF; LARGEST_UNIT]);
        for (byte, value) in unit.0.iter_mut().zip(mark.to_bytes()) {
            *byte = value;
        }
        let at = self.place(mark.kind, self.range(slot).end);
        let bytes = unit.0.get(..self.mark as usize).unwrap_or_default();
        flash.write(at, bytes)?;
        match self.mark(flash, slot, mark.kind, mark.header) {
            Found::Mark(found) if found == mark => Ok(()),
            _ => Err(UpdateError::Flash),
        }
    }

    /// Erases what an update of so many bytes needs of a slot. Its marks go first: what is half
    /// erased was never switched to.
    pub(crate) fn erase(
        &self,
        flash: &mut dyn Flash<'_>,
        slot: usize,
        bytes: u32,
    ) -> Result<(), UpdateError> {
        let Range { start, end } = self.range(slot);
        // Multiples of the erase unit, as the slot's ends are.
        let marks = end - (MARKS * self.mark).next_multiple_of(self.erase.max(1));
        let needed = bytes.checked_next_multiple_of(self.erase.max(1));
        let needed = start.saturating_add(needed.unwrap_or(u32::MAX)).min(marks);
        flash.erase(marks, end)?;
        if needed > start {
            flash.erase(start, needed)?;
        }
        Ok(())
    }

    /// Writes to a slot, from so many bytes behind its start on: what isn't a multiple of the
    /// flash's unit is filled up.
    #[inline(never)]
    pub(crate) fn write(
        &self,
        flash: &mut dyn Flash<'_>,
        slot: usize,
        at: u32,
        bytes: &[u8],
    ) -> Result<(), UpdateError> {
        let start = self.range(slot).start.saturating_add(at);
        for (piece, bytes) in bytes.chunks(LARGEST_UNIT).enumerate() {
            let mut unit = Aligned([0xFF; LARGEST_UNIT]);
            for (to, &byte) in unit.0.iter_mut().zip(bytes) {
                *to = byte;
            }
            let whole = bytes.len().next_multiple_of(self.write.max(1));
            let bytes = unit.0.get(..whole).unwrap_or_default();
            let at = start + (piece * LARGEST_UNIT) as u32;
            flash.write(at, bytes)?;
        }
        Ok(())
    }

    /// The digest of a slot's payload, as it can be read.
    #[inline(never)]
    pub(crate) fn digest(
        &self,
        flash: &mut dyn Flash<'_>,
        slot: usize,
        length: u32,
    ) -> Result<[u8; 64], UpdateError> {
        let mut hash = Sha512::new();
        self.each_part(flash, slot, length, &mut |part| absorb(&mut hash, part))?;
        Ok(hash.finalize().into())
    }

    /// Whether all of a slot's payload can be read.
    pub(crate) fn is_readable(&self, flash: &mut dyn Flash<'_>, slot: usize, length: u32) -> bool {
        self.each_part(flash, slot, length, &mut |_| ()).is_ok()
    }

    /// Calls with one part of the payload after the other.
    #[inline(never)]
    fn each_part(
        &self,
        flash: &mut dyn Flash<'_>,
        slot: usize,
        length: u32,
        call: &mut dyn FnMut(&[u8]),
    ) -> Result<(), UpdateError> {
        let mut chunk = Aligned([0; CHUNK]);
        let range = self.payload(slot, length);
        for at in range.clone().step_by(CHUNK) {
            let count = ((range.end - at) as usize).min(CHUNK);
            // Not beyond the slot: its marks follow.
            let whole = count.next_multiple_of(self.read.max(1));
            let bytes = chunk.0.get_mut(..whole).unwrap_or_default();
            flash.read(at, bytes)?;
            call(bytes.get(..count).unwrap_or_default());
        }
        Ok(())
    }
}
