//! Where records lie in a slot, and how they are found.

use core::ops::Range;

use super::Block;
use crate::gallery::stored::{Decoder, Fed};

/// Where the slots are, and the flash's units. All are in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// Where the first slot begins.
    start: u32,
    /// One slot.
    pub(super) slot: u32,
    /// What records and reads are rounded up to: a power of two, at most
    /// [`Block::SIZE`].
    align: u32,
    /// What is erased at once: a multiple of `align`.
    erase: u32,
}

/// Why a flash or a range of it can't be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LayoutError {
    /// The units for reading and writing.
    Units,
    /// The range.
    Range,
}

impl Layout {
    /// Two slots in a range of a flash with this capacity and these units.
    pub(super) fn new(
        range: &Range<u32>,
        capacity: usize,
        (read, write, erase): (usize, usize, usize),
    ) -> Result<Self, LayoutError> {
        let align = read.max(write);
        // Of two powers of two, the larger is a multiple of the smaller.
        if !read.is_power_of_two() || !write.is_power_of_two() || align > Block::SIZE {
            return Err(LayoutError::Units);
        }
        let slot = range.end.saturating_sub(range.start) / 2;
        let whole = |bytes: u32| (bytes as usize).is_multiple_of(erase);
        let fits = erase > 0
            && erase.is_multiple_of(align)
            && slot > 0
            && whole(range.start)
            && whole(slot)
            && range.end - range.start == 2 * slot
            && range.end as usize <= capacity;
        if !fits {
            return Err(LayoutError::Range);
        }
        Ok(Self {
            start: range.start,
            slot,
            align: align as u32,
            // At most the slot.
            erase: erase as u32,
        })
    }

    /// The bytes of one of the slots.
    pub(super) const fn slot(&self, slot: usize) -> Range<u32> {
        let start = self.start + if slot == 0 { 0 } else { self.slot };
        start..start + self.slot
    }

    /// The bytes that a record of this length takes; [`u32::MAX`] if there are
    /// not so many.
    pub(super) const fn padded(&self, length: u32) -> u32 {
        match length.checked_add(self.align - 1) {
            Some(over) => over & !(self.align - 1),
            None => u32::MAX,
        }
    }

    /// The start of the erase unit that begins at an address of a slot, or next
    /// after it.
    pub(super) const fn unit_after(&self, address: u32) -> u32 {
        match address.checked_rem(self.erase) {
            None | Some(0) => address,
            // The slot ends with a unit.
            Some(over) => address + (self.erase - over),
        }
    }
}

/// Whether one generation is later than another: by serial-number arithmetic, so
/// that it is right across the wrap and at any distance up to half of the range.
pub(super) const fn later(generation: u64, than: u64) -> bool {
    generation.wrapping_sub(than).cast_signed() > 0
}

/// What follows the last record of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// Erased flash.
    Blank,
    /// Bytes that are no record, or no later one.
    Other,
    /// Flash that can't be read.
    Unreadable,
    /// The end of the slot.
    End,
}

/// What was found in a slot.
#[derive(Debug, Clone, Copy)]
pub(super) struct Log {
    /// Whole records, each with a later generation than the one before.
    pub(super) records: u32,
    /// The first record's generation.
    pub(super) first: u64,
    /// The last record's.
    pub(super) last: u64,
    /// Where the last record ends.
    pub(super) end: u32,
    pub(super) after: After,
    /// The version of what follows, if that is a whole record of another one.
    pub(super) version: Option<u8>,
}

impl Log {
    pub(super) const fn empty(start: u32) -> Self {
        Self {
            records: 0,
            first: 0,
            last: 0,
            end: start,
            after: After::Other,
            version: None,
        }
    }

    /// Whether it is empty only as far as can be read now.
    pub(super) fn is_hidden(&self) -> bool {
        self.records == 0 && self.after == After::Unreadable
    }
}

/// A walk along the records of a slot. It reads no byte behind a record before
/// it knows that the record is whole: what follows may be unreadable.
pub(super) struct Walk<const D: usize> {
    layout: Layout,
    /// Where the slot ends.
    end: u32,
    /// Records to go at most.
    limit: u32,
    log: Log,
    decoder: Decoder<D>,
    /// Bytes of the record that were read.
    read: u32,
    over: bool,
}

impl<const D: usize> Walk<D> {
    /// A walk from `at` to `end`, along so many records at most.
    #[inline(never)]
    pub(super) const fn new(layout: Layout, at: u32, end: u32, limit: u32) -> Self {
        let mut walk = Self {
            layout,
            end,
            limit,
            log: Log::empty(at),
            decoder: Decoder::new(),
            read: 0,
            over: limit == 0,
        };
        walk.settle();
        walk
    }

    /// Whether it is over.
    pub(super) const fn is_over(&self) -> bool {
        self.over
    }

    /// What was found.
    pub(super) const fn log(&self) -> &Log {
        &self.log
    }

    /// Address and length of what must be read next.
    pub(super) fn wants(&self) -> (u32, usize) {
        let left = self.layout.padded(self.decoder.length()) - self.read;
        (self.log.end + self.read, (left as usize).min(Block::SIZE))
    }

    /// Takes what was read, or nothing if that failed; `each` sees what becomes
    /// complete, and may see records that turn out to be damaged later.
    pub(super) fn take(&mut self, read: Option<&[u8]>, mut each: impl FnMut(Fed<D>)) {
        let Some(bytes) = read else {
            return self.finish(After::Unreadable);
        };
        if self.read == 0 && self.is_blank(bytes) {
            return self.finish(After::Blank);
        }
        for &byte in bytes {
            match self.decoder.feed(byte) {
                Fed::More => {}
                Fed::Bad(_) => return self.finish(After::Other),
                Fed::End(generation, contents) => {
                    if let Err(super::LoadError::Version { found }) = contents {
                        self.log.version = Some(found);
                        return self.finish(After::Other);
                    }
                    if self.log.records > 0 && !later(generation, self.log.last) {
                        // What an earlier turn of the slot has left.
                        return self.finish(After::Other);
                    }
                    each(Fed::End(generation, contents));
                    return self.next(generation);
                }
                complete => each(complete),
            }
        }
        self.read += bytes.len() as u32;
        self.settle();
    }

    /// Whether erased flash was read: nothing else begins like that. The next
    /// erase unit doesn't count, as it is erased before it is written.
    fn is_blank(&self, bytes: &[u8]) -> bool {
        let unit = self.layout.unit_after(self.log.end) - self.log.end;
        let here = if unit == 0 {
            bytes.len()
        } else {
            unit as usize
        };
        bytes.iter().take(here).all(|&byte| byte == 0xFF)
    }

    /// Goes on behind a whole record.
    fn next(&mut self, generation: u64) {
        if self.log.records == 0 {
            self.log.first = generation;
        }
        self.log.last = generation;
        self.log.records += 1;
        // It was read from the slot, so that it ends there.
        self.log.end += self.layout.padded(self.decoder.length());
        self.decoder = Decoder::new();
        self.read = 0;
        self.limit -= 1;
        if self.limit == 0 {
            self.over = true;
        } else {
            self.settle();
        }
    }

    /// Is over if what it would read next is not in the slot.
    const fn settle(&mut self) {
        if self.end - self.log.end < self.layout.padded(self.decoder.length()) {
            self.finish(if self.read == 0 {
                After::End
            } else {
                After::Other
            });
        }
    }

    const fn finish(&mut self, after: After) {
        self.log.after = after;
        self.over = true;
    }
}
