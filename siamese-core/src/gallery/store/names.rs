//! How names are saved and loaded, step by step.
//!
//! # In flash
//!
//! A store of names has two halves. Each holds a table from its start on, or none:
//!
//! ```text
//! offset  bytes
//!  0      8      generation: u64
//!  8      4      CRC-32 (ISO-HDLC) of generation and table: u32
//! 12      ...    the table, in its stored form
//! ```
//!
//! All of it is padded with 0xFF to a multiple of the larger of the flash's read and
//! write sizes. The half with the later generation counts. A save erases the other
//! one and writes to it, so that what was saved before stays until the new table is
//! whole.

use core::ops::Range;

use crc::{Digest, Table};

use super::log::{Layout, later};
use super::save::Failure;
use super::{Block, Job, Op, Saved};
use crate::checksum::CRC32;
use crate::gallery::names::{self, NameError, Names};

/// Bytes of the generation.
const GENERATION: usize = 8;
/// Bytes of generation and checksum.
const HEAD: usize = names::STORE_HEAD;
/// Bytes that tell how long the table is.
const PREFIX: usize = HEAD + names::HEAD;

/// What is in a half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Half {
    /// A whole table.
    Sound {
        generation: u64,
        /// Bytes of head and table.
        length: usize,
        /// Whether the table is the one that it is compared with.
        same: bool,
    },
    /// Anything else.
    Other,
    /// What can't be read.
    Unreadable,
}

/// The half whose table counts, and its generation.
fn newest(halves: [Half; 2]) -> Option<(usize, u64)> {
    let generation = |half| match half {
        Half::Sound { generation, .. } => Some(generation),
        _ => None,
    };
    match halves.map(generation) {
        [Some(first), Some(second)] if later(second, first) => Some((1, second)),
        [Some(first), _] => Some((0, first)),
        [None, second] => second.map(|second| (1, second)),
    }
}

/// Reads a half, and no further than its table goes: what follows may be unreadable.
struct Look {
    layout: Layout,
    half: usize,
    /// Bytes that were read.
    read: usize,
    /// The bytes of head and table, or of what tells them until that is known.
    length: usize,
    prefix: [u8; PREFIX],
    digest: Digest<'static, u32, Table<1>>,
    same: bool,
    found: Option<Half>,
}

impl Look {
    #[inline(never)]
    const fn new(layout: Layout, half: usize) -> Self {
        Self {
            layout,
            half,
            read: 0,
            length: PREFIX,
            prefix: [0; PREFIX],
            digest: CRC32.digest(),
            same: true,
            found: None,
        }
    }

    /// Address and length of what must be read next. Nothing, if what is there is
    /// known.
    #[inline(never)]
    fn wants(&mut self) -> Option<(u32, usize)> {
        let end = self
            .layout
            .padded(u32::try_from(self.length).unwrap_or(u32::MAX));
        if self.found.is_none() && end > self.layout.slot {
            self.found = Some(Half::Other);
        }
        let left = (end as usize).saturating_sub(self.read);
        let at = self.layout.slot(self.half).start + self.read as u32;
        self.found.is_none().then_some((at, left.min(Block::SIZE)))
    }

    /// Takes what was read, or nothing if that failed, to where `fetched` has room for
    /// it, and compares it with head and table in `other`.
    #[inline(never)]
    fn take(&mut self, read: Option<&[u8]>, fetched: &mut [u8], other: &[u8]) {
        let Some(bytes) = read else {
            self.found = Some(Half::Unreadable);
            return;
        };
        for &byte in bytes {
            if self.found.is_some() {
                // What it is padded with.
                return;
            }
            let at = self.read;
            self.read += 1;
            if let Some(place) = self.prefix.get_mut(at) {
                *place = byte;
            }
            if let Some(place) = fetched.get_mut(at) {
                *place = byte;
            }
            if !(GENERATION..HEAD).contains(&at) {
                self.digest.update(&[byte]);
            }
            // The head is not known before it is written.
            self.same &= at < HEAD || other.get(at) == Some(&byte);
            if self.read == PREFIX {
                match names::stated_len(self.prefix.split_at(HEAD).1) {
                    Some(length) => self.length = length.saturating_add(HEAD),
                    None => self.found = Some(Half::Other),
                }
            }
            if self.read == self.length && self.found.is_none() {
                self.found = Some(self.whole());
            }
        }
    }

    /// All of it was read.
    fn whole(&self) -> Half {
        let (generation, rest) = self.prefix.split_at(GENERATION);
        let checksum = self.digest.clone().finalize().to_le_bytes();
        if !rest.starts_with(&checksum) {
            return Half::Other;
        }
        let number = |sum: u64, &byte: &u8| sum << 8 | u64::from(byte);
        Half::Sound {
            generation: generation.iter().rev().fold(0, number),
            length: self.length,
            same: self.same,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Begin,
    /// Looks what is in a half.
    Look(usize),
    /// Takes over what is in a half.
    Fetch(usize),
    Erase,
    /// Writes from this byte of head and table on.
    Write(usize),
    Verify,
    /// Erases the start of the other half, which couldn't be read.
    Wipe,
    Done,
}

/// Loads a table.
pub(super) struct Load<'s> {
    layout: Layout,
    scratch: &'s mut [u8],
    block: Block,
    stage: Stage,
    look: Look,
    halves: [Half; 2],
    /// The bytes of head and table that are in `scratch`, or 0.
    loaded: usize,
}

impl<'s> Load<'s> {
    pub(super) fn new(layout: Layout, scratch: &'s mut [u8]) -> Self {
        Self {
            layout,
            scratch,
            block: Block::new(),
            stage: Stage::Begin,
            look: Look::new(layout, 0),
            halves: [Half::Other; 2],
            loaded: 0,
        }
    }

    /// Puts what was loaded in place of what is in the table; whether there was
    /// something. If not, or if it doesn't suit the table, that is empty.
    pub(super) fn finish<const N: usize, const B: usize>(
        self,
        names: &mut Names<N, B>,
    ) -> Result<bool, NameError> {
        names.clear();
        if self.loaded == 0 {
            return Ok(false);
        }
        let needed = self.loaded;
        let stored = self.scratch.get(HEAD..needed);
        names.fill(stored.ok_or(NameError::NoRoom { needed })?)?;
        Ok(true)
    }

    fn go(&mut self, stage: Stage, half: usize) {
        self.look = Look::new(self.layout, half);
        self.stage = stage;
    }

    /// Begins with the newest table that is left, or is done.
    fn fetch(&mut self) {
        match newest(self.halves) {
            Some((half, _)) => self.go(Stage::Fetch(half), half),
            None => self.stage = Stage::Done,
        }
    }

    /// It is known what is in a half.
    #[inline(never)]
    fn looked(&mut self) {
        let found = self.look.found.unwrap_or(Half::Other);
        match self.stage {
            Stage::Look(half) => {
                if let Some(place) = self.halves.get_mut(half) {
                    *place = found;
                }
                if half == 0 {
                    self.go(Stage::Look(1), 1);
                } else {
                    self.fetch();
                }
            }
            Stage::Fetch(half) => match (found, self.halves.get_mut(half)) {
                (Half::Sound { length, .. }, _) => {
                    self.loaded = length;
                    self.stage = Stage::Done;
                }
                // What was whole a moment ago isn't now: the other one is left.
                (found, Some(place)) => {
                    *place = found;
                    self.fetch();
                }
                (_, None) => self.stage = Stage::Done,
            },
            _ => {}
        }
    }
}

impl Job for Load<'_> {
    fn next(&mut self, ok: bool) -> Op {
        match self.stage {
            Stage::Begin => self.stage = Stage::Look(0),
            _ => {
                let (_, length) = self.look.wants().unwrap_or_default();
                let read = ok.then(|| self.block.part(length) as &[u8]);
                // What is fetched last is what counts.
                self.look.take(read, self.scratch, &[]);
            }
        }
        loop {
            if self.stage == Stage::Done {
                return Op::Done;
            }
            if let Some((at, length)) = self.look.wants() {
                return Op::Read(at, length);
            }
            self.looked();
        }
    }

    fn block(&mut self, length: usize) -> &mut [u8] {
        self.block.part(length)
    }
}

/// Saves a table.
pub(super) struct Save<'s> {
    layout: Layout,
    /// Head and table.
    bytes: &'s mut [u8],
    block: Block,
    stage: Stage,
    look: Look,
    halves: [Half; 2],
    /// The half that is written.
    target: usize,
    generation: u64,
    /// Whether the other half may be tried if this one fails: nothing is in it.
    may_fall_back: bool,
    outcome: Result<Saved, Failure>,
}

/// Writes a table to where a [`Save`] wants it; the bytes of head and table.
pub(super) fn encode<const N: usize, const B: usize>(
    names: &Names<N, B>,
    scratch: &mut [u8],
) -> Result<usize, NameError> {
    let room = scratch.get_mut(HEAD..).unwrap_or_default();
    match names.to_bytes(room) {
        Ok(stored) => Ok(stored.len() + HEAD),
        Err(NameError::NoRoom { needed }) => Err(NameError::NoRoom {
            needed: needed + HEAD,
        }),
        Err(error) => Err(error),
    }
}

impl<'s> Save<'s> {
    /// A save of what [`encode`] wrote.
    pub(super) fn new(layout: Layout, scratch: &'s mut [u8], length: usize) -> Self {
        Self {
            layout,
            // As many as were written.
            bytes: scratch.get_mut(..length).unwrap_or_default(),
            block: Block::new(),
            stage: Stage::Begin,
            look: Look::new(layout, 0),
            halves: [Half::Other; 2],
            target: 0,
            generation: 1,
            may_fall_back: false,
            outcome: Ok(Saved {
                written: 0,
                erased: 0,
            }),
        }
    }

    pub(super) const fn outcome(&self) -> Result<Saved, Failure> {
        self.outcome
    }

    /// The bytes that it takes in flash.
    pub(super) const fn stored_len(&self) -> u32 {
        self.layout.padded(self.bytes.len() as u32)
    }

    fn go(&mut self, stage: Stage, half: usize) {
        self.look = Look::new(self.layout, half);
        self.stage = stage;
    }

    fn half(&self, half: usize) -> Half {
        let [first, second] = self.halves;
        if half == 0 { first } else { second }
    }

    /// It is known what is in a half.
    #[inline(never)]
    fn looked(&mut self) {
        let found = self.look.found.unwrap_or(Half::Other);
        match self.stage {
            Stage::Look(half) => {
                if let Some(place) = self.halves.get_mut(half) {
                    *place = found;
                }
                if half == 0 {
                    self.go(Stage::Look(1), 1);
                } else {
                    self.choose();
                }
            }
            Stage::Verify => {
                let written = Half::Sound {
                    generation: self.generation,
                    length: self.bytes.len(),
                    same: true,
                };
                if found != written {
                    self.failed();
                } else if self.half(1 - self.target) == Half::Unreadable {
                    self.stage = Stage::Wipe;
                } else {
                    self.stage = Stage::Done;
                }
            }
            _ => {}
        }
    }

    /// Chooses the half to write, if that must be.
    fn choose(&mut self) {
        if self.stored_len() > self.layout.slot {
            self.outcome = Err(Failure::Size);
            self.stage = Stage::Done;
            return;
        }
        let unreadable = |half: usize| self.half(half) == Half::Unreadable;
        match newest(self.halves) {
            Some((half, generation)) => {
                let is_same = matches!(self.half(half), Half::Sound { same: true, .. });
                // What can't be read may be newer, could it be read again later.
                if is_same && !unreadable(1 - half) {
                    self.stage = Stage::Done;
                    return;
                }
                self.target = 1 - half;
                self.generation = generation.wrapping_add(1);
            }
            None => {
                // What can't be read now may be all that there is.
                self.target = usize::from(unreadable(0) && !unreadable(1));
                self.may_fall_back = true;
            }
        }
        self.seal();
    }

    /// Writes the head, and goes on to erase.
    fn seal(&mut self) {
        let generation = self.generation.to_le_bytes();
        if let Some((head, table)) = self.bytes.split_first_chunk_mut::<HEAD>() {
            let mut digest = CRC32.digest();
            digest.update(&generation);
            digest.update(table);
            let checksum = digest.finalize().to_le_bytes();
            let new = generation.iter().chain(&checksum);
            head.iter_mut().zip(new).for_each(|(to, from)| *to = *from);
        }
        self.stage = Stage::Erase;
    }

    /// Tries the other half, if nothing is in it, or gives up.
    fn failed(&mut self) {
        if self.may_fall_back {
            self.may_fall_back = false;
            self.target = 1 - self.target;
            self.generation = self.generation.wrapping_add(1);
            self.seal();
        } else {
            self.outcome = Err(Failure::Flash);
            self.stage = Stage::Done;
        }
    }

    /// What is erased before the table is written.
    fn erased(&self) -> Range<u32> {
        let start = self.layout.slot(self.target).start;
        start..self.layout.unit_after(start + self.stored_len())
    }

    /// The first unit of the other half.
    fn wiped(&self) -> Range<u32> {
        let start = self.layout.slot(1 - self.target).start;
        start..self.layout.unit_after(start + 1)
    }

    /// Fills the block with the bytes from one on, padded; how many these are.
    fn fill(&mut self, from: usize) -> usize {
        let rest = self.bytes.get(from..).unwrap_or_default();
        let length = rest.len().min(Block::SIZE);
        let padded = self.layout.padded(length as u32) as usize;
        let bytes = rest.iter().copied().chain(core::iter::repeat(0xFF));
        let block = self.block.part(padded);
        block
            .iter_mut()
            .zip(bytes)
            .for_each(|(to, from)| *to = from);
        padded
    }

    /// Counts what was done; whether it was.
    fn done(&mut self, ok: bool, written: usize, erased: Range<u32>) -> bool {
        if let (true, Ok(saved)) = (ok, &mut self.outcome) {
            saved.written = saved.written.saturating_add(written as u32);
            saved.erased = saved.erased.saturating_add(erased.end - erased.start);
        }
        ok
    }
}

impl Job for Save<'_> {
    fn next(&mut self, ok: bool) -> Op {
        match self.stage {
            Stage::Begin => self.stage = Stage::Look(0),
            Stage::Erase => {
                if self.done(ok, 0, self.erased()) {
                    self.stage = Stage::Write(0);
                } else {
                    self.failed();
                }
            }
            Stage::Write(from) => {
                let length = (self.stored_len() as usize).saturating_sub(from);
                let length = length.min(Block::SIZE);
                if !self.done(ok, length, 0..0) {
                    self.failed();
                } else if from + length < self.bytes.len() {
                    self.stage = Stage::Write(from + length);
                } else {
                    self.go(Stage::Verify, self.target);
                }
            }
            // If it can't be erased either, it is left alone.
            Stage::Wipe => {
                self.done(ok, 0, self.wiped());
                self.stage = Stage::Done;
            }
            _ => {
                let (_, length) = self.look.wants().unwrap_or_default();
                let read = ok.then(|| self.block.part(length) as &[u8]);
                self.look.take(read, &mut [], self.bytes);
            }
        }
        loop {
            let erase = |range: Range<u32>| Op::Erase(range.start, range.end);
            return match self.stage {
                Stage::Begin | Stage::Done => Op::Done,
                Stage::Erase => erase(self.erased()),
                Stage::Wipe => erase(self.wiped()),
                Stage::Write(from) => {
                    let length = self.fill(from);
                    let start = self.layout.slot(self.target).start;
                    Op::Write(start + from as u32, length)
                }
                _ => match self.look.wants() {
                    Some((at, length)) => Op::Read(at, length),
                    None => {
                        self.looked();
                        continue;
                    }
                },
            };
        }
    }

    fn block(&mut self, length: usize) -> &mut [u8] {
        self.block.part(length)
    }
}
