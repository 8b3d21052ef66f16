//! How a gallery is saved, step by step.

use core::ops::Range;

use super::load::newest;
use super::log::{After, Layout, Log, Walk, later};
use super::{Block, Job, Op, Saved};
use crate::gallery::Gallery;
use crate::gallery::stored::{Encoder, Fed, record_len};

// A record that follows another one in its slot is later by 1. Larger steps keep it
// later than what a read that failed may hide, which may be read again one day.

/// The step to the first record of the other slot.
const TURN: u64 = 1 << 32;
/// The step within a slot while the other one hides whether it had its turn.
const BEYOND_TURN: u64 = 2 * TURN;
/// The step to the other slot while the end of this one is hidden, with steps of
/// all kinds perhaps.
const BEYOND_ALL: u64 = 1 << 48;

/// Why nothing was saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// A slot is too small.
    Size,
    /// The flash reports an error, or doesn't hold what was written.
    Flash,
}

/// A record that is to be written.
#[derive(Debug, Clone)]
struct Attempt {
    /// Where.
    at: u32,
    /// The end of its slot.
    slot_end: u32,
    /// The entries that it lists.
    entries: Range<usize>,
    generation: u64,
    /// What is erased before; empty if nothing is.
    erase: Range<u32>,
}

impl Attempt {
    /// Where its record ends.
    fn end<const D: usize>(&self, layout: &Layout) -> u32 {
        self.at + layout.padded(record_len::<D>(self.entries.len()))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Begin,
    /// Looks what is in a slot.
    Scan(usize),
    /// Compares the gallery with what the newest log says.
    Compare(usize),
    /// Looks what would follow the attempt's record.
    Follow,
    /// Erases what would, from here to there.
    Clear(u32, u32),
    /// Checks that what is written next is erased, from here to there.
    Blank(u32, u32),
    Erase,
    /// Writes so many bytes to an address.
    Write(u32, usize),
    Verify,
    /// Erases what can't be read of the other slot, from here to there.
    Wipe(u32, u32),
    Done,
}

/// Saves a gallery.
pub(super) struct Save<'g, const D: usize, const N: usize> {
    layout: Layout,
    gallery: &'g Gallery<D, N>,
    block: Block,
    stage: Stage,
    walk: Walk<D>,
    logs: [Log; 2],
    /// Whether the slot is looked at again, as it couldn't be read to its end.
    again: bool,
    /// Which entries the newest log has as the gallery has them.
    same: [bool; N],
    /// How many entries it has, and whether the user's thresholds are the same;
    /// `None` if it is of another model.
    saved: Option<(usize, bool)>,
    attempt: Attempt,
    encoder: Encoder<'g, D>,
    /// The latest generation that may be in the flash.
    latest: u64,
    /// The slot to try if an attempt fails.
    fallback: Option<usize>,
    outcome: Result<Saved, Failure>,
}

impl<'g, const D: usize, const N: usize> Save<'g, D, N> {
    pub(super) fn new(layout: Layout, gallery: &'g Gallery<D, N>) -> Self {
        Self {
            layout,
            gallery,
            block: Block::new(),
            stage: Stage::Begin,
            walk: Walk::new(layout, 0, 0, 0),
            logs: [Log::empty(0); 2],
            again: false,
            same: [false; N],
            saved: None,
            attempt: Attempt {
                at: 0,
                slot_end: 0,
                entries: 0..0,
                generation: 0,
                erase: 0..0,
            },
            encoder: Encoder::new(gallery, 0, 0, 0),
            latest: 0,
            fallback: None,
            outcome: Ok(Saved {
                written: 0,
                erased: 0,
            }),
        }
    }

    pub(super) const fn outcome(&self) -> Result<Saved, Failure> {
        self.outcome
    }

    fn entries(&self) -> usize {
        self.gallery.entries().len()
    }

    fn scan(&mut self, slot: usize) {
        let range = self.layout.slot(slot);
        self.walk = Walk::new(self.layout, range.start, range.end, u32::MAX);
        self.stage = Stage::Scan(slot);
    }

    /// Scans a slot again that couldn't be read to its end: a read that fails once must not
    /// decide what is erased.
    #[inline(never)]
    fn looks_again(&mut self) -> bool {
        let Stage::Scan(slot) = self.stage else {
            return false;
        };
        self.again = self.walk.log().after == After::Unreadable && !self.again;
        if self.again {
            self.scan(slot);
        }
        self.again
    }

    /// The walk is over.
    #[inline(never)]
    fn walked(&mut self) {
        if self.looks_again() {
            return;
        }
        let found = *self.walk.log();
        match self.stage {
            Stage::Scan(slot) => {
                let [first, second] = self.logs;
                if slot == 0 {
                    self.logs = [found, second];
                    return self.scan(1);
                }
                self.logs = [first, found];
                let Some(slot) = newest(&self.logs) else {
                    return self.first();
                };
                let range = self.layout.slot(slot);
                let log = self.log(slot);
                self.latest = log.last;
                self.walk = Walk::new(self.layout, range.start, range.end, log.records);
                self.stage = Stage::Compare(slot);
            }
            Stage::Compare(slot) => {
                if found.records < self.log(slot).records {
                    // It can't be compared after all.
                    self.saved = None;
                }
                self.compared(slot);
            }
            Stage::Follow => {
                let Attempt {
                    generation,
                    slot_end,
                    ..
                } = self.attempt;
                // What rot has hidden may be later, and so may what can't be read now.
                let goes_on = found.records == 1 && later(found.last, generation);
                if goes_on || found.after == After::Unreadable {
                    self.stage = Stage::Clear(self.attempt.end::<D>(&self.layout), slot_end);
                } else {
                    self.prepare();
                }
            }
            Stage::Verify => {
                if found.records == 1 && found.last == self.attempt.generation {
                    self.verified();
                } else {
                    self.failed();
                }
            }
            _ => {}
        }
    }

    fn log(&self, slot: usize) -> Log {
        let [first, second] = self.logs;
        if slot == 0 { first } else { second }
    }

    /// Nothing that was saved can be read.
    fn first(&mut self) {
        // What can't be read now may be all that there is.
        let slot = usize::from(self.logs.map(|log| log.is_hidden()) == [true, false]);
        self.fallback = Some(1 - slot);
        self.turn(slot, TURN);
    }

    /// It is known what has changed.
    fn compared(&mut self, slot: usize) {
        let (log, other) = (self.log(slot), self.log(1 - slot));
        let own = self.layout.slot(slot);
        self.fallback = Some(1 - slot);
        let unit = self.layout.unit_after(log.end);
        // Whether no record is hidden behind the last one.
        let clean = match log.after {
            After::Blank | After::End => true,
            // Something older, in a unit that the log hasn't entered.
            After::Other => log.end == unit,
            After::Unreadable => false,
        };
        // Whether the other slot may hold something later: its records were erased
        // if it had its turn after this log. Once is enough to go beyond that.
        let hidden = other.is_hidden();
        let hides = hidden && log.last.wrapping_sub(log.first) < BEYOND_TURN;
        // All of it, if it can't be compared.
        let mut changed = 0..self.entries();
        if let Some((saved, same_thresholds)) = self.saved {
            let entries = changed.end;
            let is_same = |&number: &usize| number < saved && self.same.get(number) == Some(&true);
            changed.start = (0..entries)
                .find(|number| !is_same(number))
                .unwrap_or(entries);
            changed.end = (changed.start..entries)
                .rfind(|number| !is_same(number))
                .map_or(changed.start, |number| number + 1);
            if changed.is_empty() && saved == entries && same_thresholds && clean && !hides {
                self.stage = Stage::Done;
                return;
            }
            if changed.is_empty() {
                // Listing nothing, from number 0 on.
                changed = 0..0;
            }
        }
        let length = self.layout.padded(record_len::<D>(changed.len()));
        // What is in a unit that the log hasn't entered is erased.
        let free = log.after == After::Blank || log.end == unit;
        if !free || own.end - log.end < length {
            let step = if clean { TURN } else { BEYOND_ALL };
            return self.turn(1 - slot, step);
        }
        let end = log.end + length;
        let step = if hidden { BEYOND_TURN } else { 1 };
        self.latest = self.latest.wrapping_add(step);
        self.attempt = Attempt {
            at: log.end,
            slot_end: own.end,
            entries: changed,
            generation: self.latest,
            erase: unit..self.layout.unit_after(end),
        };
        self.begin();
    }

    /// Writes all to the start of a slot.
    #[inline(never)]
    fn turn(&mut self, slot: usize, step: u64) {
        let range = self.layout.slot(slot);
        let entries = 0..self.entries();
        let length = self.layout.padded(record_len::<D>(entries.len()));
        if length > self.layout.slot {
            self.outcome = Err(Failure::Size);
            self.stage = Stage::Done;
            return;
        }
        self.latest = self.latest.wrapping_add(step);
        self.attempt = Attempt {
            at: range.start,
            slot_end: range.end,
            entries,
            generation: self.latest,
            erase: range.start..self.layout.unit_after(range.start + length),
        };
        self.begin();
    }

    /// Begins an attempt: what would follow its record must not seem to belong to it.
    #[inline(never)]
    fn begin(&mut self) {
        let Attempt {
            slot_end,
            generation,
            entries: Range { start, end },
            ..
        } = self.attempt;
        self.encoder = Encoder::new(self.gallery, generation, start, end);
        let end = self.attempt.end::<D>(&self.layout);
        if end == self.layout.unit_after(end) {
            self.walk = Walk::new(self.layout, end, slot_end, 1);
            self.stage = Stage::Follow;
        } else {
            // The rest of that unit is erased.
            self.prepare();
        }
    }

    /// Goes on to what must be done before the record is written.
    #[inline(never)]
    fn prepare(&mut self) {
        let at = self.attempt.at;
        let unit = self.layout.unit_after(at);
        self.stage = if at == unit {
            Stage::Erase
        } else {
            // The rest of the unit that the log is in must still be erased.
            Stage::Blank(at, self.attempt.end::<D>(&self.layout).min(unit))
        };
    }

    /// The record is there.
    #[inline(never)]
    fn verified(&mut self) {
        let other = usize::from(self.attempt.at < self.layout.slot(1).start);
        let Range { start, .. } = self.layout.slot(other);
        self.stage = if self.log(other).is_hidden() {
            // It would be newer, could it be read again later. Until now it may have
            // been all that there was.
            Stage::Wipe(start, self.layout.unit_after(start + 1))
        } else {
            Stage::Done
        };
    }

    /// Goes on to erase, or to write if nothing must be erased.
    fn erase_or_write(&mut self) {
        if self.attempt.erase.is_empty() {
            self.write(self.attempt.at);
        } else {
            self.stage = Stage::Erase;
        }
    }

    /// Goes on to write the next bytes, or to verify if there are no more.
    fn write(&mut self, at: u32) {
        let filled = self.encoder.fill(self.block.part(Block::SIZE));
        if filled == 0 {
            let Attempt { at, slot_end, .. } = self.attempt;
            self.walk = Walk::new(self.layout, at, slot_end, 1);
            self.stage = Stage::Verify;
            return;
        }
        let padded = self.layout.padded(filled as u32) as usize;
        for byte in self.block.part(padded).iter_mut().skip(filled) {
            *byte = 0xFF;
        }
        self.stage = Stage::Write(at, padded);
    }

    /// Tries the other slot, or gives up.
    fn failed(&mut self) {
        match self.fallback.take() {
            Some(slot) => self.turn(slot, BEYOND_ALL),
            None => {
                self.outcome = Err(Failure::Flash);
                self.stage = Stage::Done;
            }
        }
    }

    /// Takes what was read while looking.
    fn look(&mut self, ok: bool) {
        let (_, length) = self.walk.wants();
        let read = ok.then(|| self.block.part(length) as &[u8]);
        let compares = matches!(self.stage, Stage::Compare(_));
        let (gallery, saved, same) = (self.gallery, &mut self.saved, &mut self.same);
        self.walk.take(read, |fed| match fed {
            _ if !compares => {}
            Fed::Head(head) => {
                let known = head.is_whole() || saved.is_some();
                let state = (head.entries as usize, head.has_user(gallery));
                *saved = (known && head.has_model(gallery)).then_some(state);
            }
            Fed::Entry(number, entry) => {
                if let Some(same) = same.get_mut(number as usize) {
                    *same = gallery.entries().get(number as usize) == Some(&entry);
                }
            }
            Fed::End(_, Err(_)) => *saved = None,
            _ => {}
        });
    }

    /// Counts what was done; whether it was.
    fn done(&mut self, ok: bool, written: u32, erased: u32) -> bool {
        if let (true, Ok(saved)) = (ok, &mut self.outcome) {
            saved.written = saved.written.saturating_add(written);
            saved.erased = saved.erased.saturating_add(erased);
        }
        if !ok {
            self.failed();
        }
        ok
    }
}

impl<const D: usize, const N: usize> Job for Save<'_, D, N> {
    fn next(&mut self, ok: bool) -> Op {
        match self.stage {
            Stage::Begin => self.scan(0),
            Stage::Scan(_) | Stage::Compare(_) | Stage::Follow | Stage::Verify => {
                self.look(ok);
            }
            Stage::Wipe(from, to) => {
                // If it can't be erased either, it is left alone.
                if let (true, Ok(saved)) = (ok, &mut self.outcome) {
                    saved.erased = saved.erased.saturating_add(to - from);
                }
                self.stage = Stage::Done;
            }
            Stage::Clear(from, to) => {
                if self.done(ok, 0, to - from) {
                    self.prepare();
                }
            }
            Stage::Blank(at, end) => {
                let length = ((end - at) as usize).min(Block::SIZE);
                let next = at + length as u32;
                if !ok || self.block.part(length).iter().any(|&byte| byte != 0xFF) {
                    self.failed();
                } else if next == end {
                    self.erase_or_write();
                } else {
                    self.stage = Stage::Blank(next, end);
                }
            }
            Stage::Erase => {
                let Range { start, end } = self.attempt.erase;
                if self.done(ok, 0, end - start) {
                    self.write(self.attempt.at);
                }
            }
            Stage::Write(at, length) => {
                if self.done(ok, length as u32, 0) {
                    self.write(at + length as u32);
                }
            }
            Stage::Done => {}
        }
        loop {
            return match self.stage {
                Stage::Begin | Stage::Done => Op::Done,
                Stage::Wipe(from, to) | Stage::Clear(from, to) => Op::Erase(from, to),
                Stage::Blank(at, end) => Op::Read(at, ((end - at) as usize).min(Block::SIZE)),
                Stage::Erase => Op::Erase(self.attempt.erase.start, self.attempt.erase.end),
                Stage::Write(at, length) => Op::Write(at, length),
                _ if self.walk.is_over() => {
                    self.walked();
                    continue;
                }
                _ => {
                    let (at, length) = self.walk.wants();
                    Op::Read(at, length)
                }
            };
        }
    }

    fn block(&mut self, length: usize) -> &mut [u8] {
        self.block.part(length)
    }
}
