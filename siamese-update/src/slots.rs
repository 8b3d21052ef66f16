//! Two slots in flash: where the parts of an update lie, and how they are read and written.

use core::ops::Range;

use embedded_storage::nor_flash::NorFlash;
use sha2::{Digest, Sha512};
use siamese_core::checksum::checksum;

use crate::error::UpdateError;
use crate::header::{HEADER_LEN, Header};
use crate::mark::{Found, Kind, MARK_LEN, MARKS, Mark};

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

/// The slots of a flash.
pub(crate) struct Slots<F> {
    flash: F,
    ranges: [Range<u32>; 2],
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

impl<F: NorFlash> Slots<F> {
    pub(crate) fn new(flash: F, ranges: [Range<u32>; 2]) -> Result<Self, UpdateError> {
        let mut slots = Self {
            flash,
            ranges,
            mark: MARK_LEN.max(F::READ_SIZE).max(F::WRITE_SIZE) as u32,
        };
        let usable = |unit: usize| unit.is_power_of_two() && unit <= LARGEST_UNIT;
        let [first, second] = &slots.ranges;
        let apart = first.end <= second.start || second.end <= first.start;
        let sound = slots.ranges.iter().all(|range| {
            let whole = |at: u32| F::ERASE_SIZE > 0 && at.is_multiple_of(F::ERASE_SIZE as u32);
            range.start < range.end
                && whole(range.start)
                && whole(range.end)
                && range.end as usize <= slots.flash.capacity()
                && range.end - range.start > HEADER_LEN as u32 + MARKS * slots.mark
        });
        if usable(F::READ_SIZE) && usable(F::WRITE_SIZE) && apart && sound {
            slots.mark = slots.mark.next_power_of_two();
            Ok(slots)
        } else {
            Err(UpdateError::Slots)
        }
    }

    pub(crate) const fn flash(&self) -> &F {
        &self.flash
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
    pub(crate) const fn unit(&self) -> u32 {
        F::WRITE_SIZE as u32
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
    pub(crate) fn content(&mut self, slot: usize) -> Option<Content> {
        let mut bytes = Aligned([0; HEADER_LEN]);
        let range = self.range(slot);
        read(&mut self.flash, range.start, &mut bytes.0).ok()?;
        let header = Header::unverified(&bytes.0).ok()?;
        let crc = checksum(&bytes.0);
        let Found::Mark(Mark { generation, .. }) = self.mark(slot, Kind::Switched, crc) else {
            return None;
        };
        let state = if let Found::Mark(_) = self.mark(slot, Kind::Confirmed, crc) {
            State::Confirmed
        } else {
            match (
                self.mark(slot, Kind::Tried, crc),
                self.mark(slot, Kind::Rejected, crc),
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
    fn mark(&mut self, slot: usize, kind: Kind, header: u32) -> Found {
        let mut unit = Aligned([0; LARGEST_UNIT]);
        let at = self.place(kind, self.range(slot).end);
        let bytes = unit.0.get_mut(..self.mark as usize).unwrap_or_default();
        if read(&mut self.flash, at, bytes).is_err() {
            return Found::Torn;
        }
        bytes
            .first_chunk()
            .map_or(Found::Torn, |bytes| Mark::of_bytes(bytes, kind, header))
    }

    /// Sets a mark, and looks whether it is there.
    #[inline(never)]
    pub(crate) fn set_mark(&mut self, slot: usize, mark: Mark) -> Result<(), UpdateError> {
        let mut unit = Aligned([0xFF; LARGEST_UNIT]);
        for (byte, value) in unit.0.iter_mut().zip(mark.to_bytes()) {
            *byte = value;
        }
        let at = self.place(mark.kind, self.range(slot).end);
        let bytes = unit.0.get(..self.mark as usize).unwrap_or_default();
        self.flash
            .write(at, bytes)
            .map_err(|_| UpdateError::Flash)?;
        match self.mark(slot, mark.kind, mark.header) {
            Found::Mark(found) if found == mark => Ok(()),
            _ => Err(UpdateError::Flash),
        }
    }

    /// Erases what an update of so many bytes needs of a slot. Its marks go first: what is half
    /// erased was never switched to.
    pub(crate) fn erase(&mut self, slot: usize, bytes: u32) -> Result<(), UpdateError> {
        let Range { start, end } = self.range(slot);
        let erase = F::ERASE_SIZE as u32;
        let marks = (end - MARKS * self.mark) / erase.max(1) * erase;
        let needed = start.saturating_add(bytes);
        let needed = needed
            .checked_next_multiple_of(erase)
            .unwrap_or(end)
            .min(marks);
        let mut erased = self.flash.erase(marks, end);
        if erased.is_ok() && needed > start {
            erased = self.flash.erase(start, needed);
        }
        erased.map_err(|_| UpdateError::Flash)
    }

    /// Writes to a slot, from so many bytes behind its start on: what isn't a multiple of the
    /// flash's unit is filled up.
    #[inline(never)]
    pub(crate) fn write(&mut self, slot: usize, at: u32, bytes: &[u8]) -> Result<(), UpdateError> {
        let start = self.range(slot).start.saturating_add(at);
        for (piece, bytes) in bytes.chunks(LARGEST_UNIT).enumerate() {
            let mut unit = Aligned([0xFF; LARGEST_UNIT]);
            for (to, &byte) in unit.0.iter_mut().zip(bytes) {
                *to = byte;
            }
            let whole = bytes.len().next_multiple_of(F::WRITE_SIZE);
            let bytes = unit.0.get(..whole).unwrap_or_default();
            let at = start + (piece * LARGEST_UNIT) as u32;
            self.flash
                .write(at, bytes)
                .map_err(|_| UpdateError::Flash)?;
        }
        Ok(())
    }

    /// The digest of a slot's payload, as it can be read.
    #[inline(never)]
    pub(crate) fn digest(&mut self, slot: usize, length: u32) -> Result<[u8; 64], UpdateError> {
        let mut hash = Sha512::new();
        self.each_part(slot, length, |part| hash.update(part))?;
        Ok(hash.finalize().into())
    }

    /// Whether all of a slot's payload can be read.
    #[inline(never)]
    pub(crate) fn is_readable(&mut self, slot: usize, length: u32) -> bool {
        self.each_part(slot, length, |_| ()).is_ok()
    }

    /// Calls with one part of the payload after the other.
    fn each_part(
        &mut self,
        slot: usize,
        length: u32,
        mut call: impl FnMut(&[u8]),
    ) -> Result<(), UpdateError> {
        let mut chunk = Aligned([0; CHUNK]);
        let range = self.payload(slot, length);
        for at in range.clone().step_by(CHUNK) {
            let count = ((range.end - at) as usize).min(CHUNK);
            // Not beyond the slot: its marks follow.
            let whole = count.next_multiple_of(F::READ_SIZE);
            let bytes = chunk.0.get_mut(..whole).unwrap_or_default();
            read(&mut self.flash, at, bytes)?;
            call(bytes.get(..count).unwrap_or_default());
        }
        Ok(())
    }
}

impl<'f, F: NorFlash + Mapped<'f>> Slots<F> {
    /// The bytes of a slot's payload, where they are.
    pub(crate) fn mapped(&self, slot: usize, length: u32) -> Option<&'f [u8]> {
        self.flash.mapped(self.payload(slot, length))
    }
}

/// Reads. What fails once is tried once more: a model that is there must not be given up because
/// of a disturbance.
fn read<F: NorFlash>(flash: &mut F, at: u32, bytes: &mut [u8]) -> Result<(), UpdateError> {
    if flash.read(at, bytes).is_ok() {
        return Ok(());
    }
    flash.read(at, bytes).map_err(|_| UpdateError::Flash)
}
