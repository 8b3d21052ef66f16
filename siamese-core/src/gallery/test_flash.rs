//! A flash for tests (feature `test-flash`): it loses power when it is told to,
//! tears the word that is being written, fails reads and rots, and holds the
//! program under test to the rules of NOR flash.
//!
//! ```
//! use siamese_core::Gallery;
//! use siamese_core::gallery::GalleryStore;
//! use siamese_core::gallery::test_flash::{Tear, TestFlash};
//!
//! // Read byte by byte, written in 8 bytes, erased in 256, of 1 KiB.
//! let mut flash = TestFlash::<1, 8, 256, 1024>::new();
//! flash.cut_power(3, Tear::Bits(1));
//! let gallery = Gallery::<2, 4>::for_fingerprint(1);
//! let mut store = GalleryStore::new(&mut flash, 0..1024).unwrap();
//! assert!(store.save(&gallery).is_err());
//!
//! flash.restore_power();
//! let mut store = GalleryStore::new(&mut flash, 0..1024).unwrap();
//! let mut found = gallery.clone();
//! assert_eq!(store.load(&mut found), Ok(false));
//! assert!(store.save(&gallery).is_ok());
//! assert_eq!(store.load(&mut found), Ok(true));
//! ```

use core::fmt;
use core::ops::Range;

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash, check_erase, check_read,
    check_write,
};

/// How far the write of a word or the erasure of a unit gets that a power cut
/// interrupts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tear {
    /// Not at all.
    Before,
    /// To its end, and only the report of it is lost.
    After,
    /// A word: some of the bits that are to be cleared are. A unit: its first half
    /// is erased. The number chooses the bits.
    Half(u32),
    /// All bits of the word or the unit are anything. The number chooses them.
    Bits(u32),
}

/// What an operation reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The power is off.
    PowerLost,
    /// A word can't be read.
    Unreadable,
    /// A word was written before, since it was last erased.
    NotErased,
    /// The address or the length isn't a multiple of the unit.
    NotAligned,
    /// The address is outside the flash.
    OutOfBounds,
}

impl From<NorFlashErrorKind> for Fault {
    fn from(kind: NorFlashErrorKind) -> Self {
        match kind {
            NorFlashErrorKind::NotAligned => Self::NotAligned,
            _ => Self::OutOfBounds,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PowerLost => "the power is off",
            Self::Unreadable => "a word can't be read",
            Self::NotErased => "a word was written twice",
            Self::NotAligned => "an address or a length isn't a multiple of the unit",
            Self::OutOfBounds => "an address is outside the flash",
        })
    }
}

impl core::error::Error for Fault {}

impl NorFlashError for Fault {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::NotAligned => NorFlashErrorKind::NotAligned,
            Self::OutOfBounds => NorFlashErrorKind::OutOfBounds,
            _ => NorFlashErrorKind::Other,
        }
    }
}

/// What was done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Reads that were asked for.
    pub reads: u32,
    /// Bytes that were read.
    pub bytes_read: u32,
    /// Writes that were asked for.
    pub writes: u32,
    /// Words that were written.
    pub words_written: u32,
    /// Erasures that were asked for.
    pub erases: u32,
    /// Units that were erased.
    pub units_erased: u32,
    /// Words that were to be written though anyone could read that they aren't
    /// erased.
    pub overwrites: u32,
}

/// The state of a byte that isn't its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cell {
    written: bool,
    torn: bool,
    unreadable: bool,
}

impl Cell {
    const ERASED: Self = Self {
        written: false,
        torn: false,
        unreadable: false,
    };
}

/// A flash of `CAPACITY` bytes in RAM, read in units of `READ` bytes, written in
/// words of `WRITE` and erased in units of `ERASE`.
///
/// A word may be written once between erasures; one whose write was begun counts
/// as written.
#[derive(Debug, Clone)]
pub struct TestFlash<
    const READ: usize,
    const WRITE: usize,
    const ERASE: usize,
    const CAPACITY: usize,
> {
    bytes: [u8; CAPACITY],
    cells: [Cell; CAPACITY],
    counts: Counts,
    /// Words and units that may still be written and erased, and what happens
    /// then.
    cut: Option<(u32, Tear)>,
    off: bool,
    ecc: bool,
    fail_read: Option<u32>,
    fail_write: Option<u32>,
}

impl<const READ: usize, const WRITE: usize, const ERASE: usize, const CAPACITY: usize>
    TestFlash<READ, WRITE, ERASE, CAPACITY>
{
    /// An erased flash with power.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            bytes: [0xFF; CAPACITY],
            cells: [Cell::ERASED; CAPACITY],
            counts: Counts {
                reads: 0,
                bytes_read: 0,
                writes: 0,
                words_written: 0,
                erases: 0,
                units_erased: 0,
                overwrites: 0,
            },
            cut: None,
            off: false,
            ecc: false,
            fail_read: None,
            fail_write: None,
        }
    }

    /// A flash that holds something, all of it written.
    #[must_use]
    pub const fn holding(bytes: [u8; CAPACITY]) -> Self {
        let mut flash = Self::new();
        flash.bytes = bytes;
        flash.cells = [Cell {
            written: true,
            ..Cell::ERASED
        }; CAPACITY];
        flash
    }

    /// What it holds.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; CAPACITY] {
        &self.bytes
    }

    /// What was done so far.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Whether words that were torn can't be read until they are erased, as on
    /// flash with error correction.
    pub const fn set_ecc(&mut self, ecc: bool) {
        self.ecc = ecc;
    }

    /// The power goes after so many written words and erased units, while the next
    /// one is under way.
    pub const fn cut_power(&mut self, after: u32, tear: Tear) {
        self.cut = Some((after, tear));
    }

    /// Whether the power has gone.
    #[must_use]
    pub const fn is_off(&self) -> bool {
        self.off
    }

    /// The power is back, and nothing more is planned.
    pub const fn restore_power(&mut self) {
        self.off = false;
        self.cut = None;
        self.fail_read = None;
        self.fail_write = None;
    }

    /// One read fails, after so many that don't.
    pub const fn fail_read(&mut self, after: u32) {
        self.fail_read = Some(after);
    }

    /// One write or erasure fails, after so many that don't; nothing is changed
    /// by it.
    pub const fn fail_write(&mut self, after: u32) {
        self.fail_write = Some(after);
    }

    /// These bytes can't be read until they are erased.
    pub fn spoil(&mut self, range: Range<usize>) {
        for cell in self.cells.get_mut(range).unwrap_or_default() {
            cell.unreadable = true;
        }
    }

    /// Flips bits of a byte.
    pub fn rot(&mut self, at: usize, bits: u8) {
        if let Some(byte) = self.bytes.get_mut(at) {
            *byte ^= bits;
        }
    }

    /// Whether the power goes now, and how.
    fn spend(&mut self) -> Option<Tear> {
        let (left, tear) = self.cut.as_mut()?;
        match left.checked_sub(1) {
            Some(less) => {
                *left = less;
                None
            }
            None => {
                self.off = true;
                Some(*tear)
            }
        }
    }

    /// Counts down to a planned failure.
    const fn fails(planned: &mut Option<u32>) -> bool {
        let Some(left) = planned else { return false };
        match left.checked_sub(1) {
            Some(less) => {
                *left = less;
                false
            }
            None => {
                *planned = None;
                true
            }
        }
    }

    fn read_bytes(&mut self, offset: u32, into: &mut [u8]) -> Result<(), Fault> {
        check_read(self, offset, into.len())?;
        self.counts.reads += 1;
        if self.off {
            return Err(Fault::PowerLost);
        }
        if Self::fails(&mut self.fail_read) {
            return Err(Fault::Unreadable);
        }
        self.counts.bytes_read += into.len() as u32;
        let start = offset as usize;
        let range = start..start + into.len();
        // Correction is by words.
        let words = start / WRITE * WRITE..range.end.next_multiple_of(WRITE);
        let cells = self.cells.get(words).unwrap_or_default();
        let ecc = self.ecc;
        if cells.iter().any(|cell| cell.unreadable || cell.torn && ecc) {
            return Err(Fault::Unreadable);
        }
        let bytes = self.bytes.get(range).unwrap_or_default();
        for (into, &byte) in into.iter_mut().zip(bytes) {
            *into = byte;
        }
        Ok(())
    }

    fn write_bytes(&mut self, offset: u32, from: &[u8]) -> Result<(), Fault> {
        check_write(self, offset, from.len())?;
        self.counts.writes += 1;
        if self.off {
            return Err(Fault::PowerLost);
        }
        if Self::fails(&mut self.fail_write) {
            return Err(Fault::NotErased);
        }
        let mut at = offset as usize;
        for word in from.chunks(WRITE) {
            let cut = self.spend();
            let range = at..at + word.len();
            let bytes = self.bytes.get(range.clone()).unwrap_or_default();
            let visible = bytes.iter().any(|&byte| byte != 0xFF);
            self.counts.overwrites += u32::from(visible);
            let cells = self.cells.get_mut(range.clone()).unwrap_or_default();
            if cells.iter().any(|cell| cell.written) {
                return Err(Fault::NotErased);
            }
            for cell in cells {
                cell.written = true;
                cell.torn = cut.is_some();
            }
            let bytes = self.bytes.get_mut(range).unwrap_or_default();
            for (number, (byte, &new)) in bytes.iter_mut().zip(word).enumerate() {
                *byte = match cut {
                    None | Some(Tear::After) => *byte & new,
                    Some(Tear::Before) => *byte,
                    Some(Tear::Half(seed)) => *byte & (new | noise(seed, number)),
                    Some(Tear::Bits(seed)) => noise(seed, number),
                };
            }
            if cut.is_some() {
                return Err(Fault::PowerLost);
            }
            self.counts.words_written += 1;
            at += word.len();
        }
        Ok(())
    }

    fn erase_units(&mut self, from: u32, to: u32) -> Result<(), Fault> {
        check_erase(self, from, to)?;
        self.counts.erases += 1;
        if self.off {
            return Err(Fault::PowerLost);
        }
        if Self::fails(&mut self.fail_write) {
            return Err(Fault::NotErased);
        }
        for start in (from as usize..to as usize).step_by(ERASE) {
            let cut = self.spend();
            let range = start..start + ERASE;
            let bytes = self.bytes.get_mut(range.clone()).unwrap_or_default();
            let cells = self.cells.get_mut(range).unwrap_or_default();
            for (number, (byte, cell)) in bytes.iter_mut().zip(cells).enumerate() {
                match cut {
                    None | Some(Tear::After) => *byte = 0xFF,
                    Some(Tear::Before) => {}
                    Some(Tear::Half(_)) if number < ERASE / 2 => *byte = 0xFF,
                    Some(Tear::Half(_)) => {}
                    Some(Tear::Bits(seed)) => *byte = noise(seed, number),
                }
                match cut {
                    None => *cell = Cell::ERASED,
                    Some(_) => {
                        cell.written = true;
                        cell.torn = true;
                    }
                }
            }
            if cut.is_some() {
                return Err(Fault::PowerLost);
            }
            self.counts.units_erased += 1;
        }
        Ok(())
    }
}

impl<const READ: usize, const WRITE: usize, const ERASE: usize, const CAPACITY: usize> Default
    for TestFlash<READ, WRITE, ERASE, CAPACITY>
{
    fn default() -> Self {
        Self::new()
    }
}

/// Some byte, by the number of a sequence and that of an element.
const fn noise(seed: u32, number: usize) -> u8 {
    let mut state = seed ^ (number as u32).wrapping_mul(0x9E37_79B9);
    state ^= state >> 16;
    state = state.wrapping_mul(0x85EB_CA6B);
    state ^= state >> 13;
    state = state.wrapping_mul(0xC2B2_AE35);
    (state >> 24) as u8
}

impl<const READ: usize, const WRITE: usize, const ERASE: usize, const CAPACITY: usize> ErrorType
    for TestFlash<READ, WRITE, ERASE, CAPACITY>
{
    type Error = Fault;
}

impl<const READ: usize, const WRITE: usize, const ERASE: usize, const CAPACITY: usize> ReadNorFlash
    for TestFlash<READ, WRITE, ERASE, CAPACITY>
{
    const READ_SIZE: usize = READ;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Fault> {
        self.read_bytes(offset, bytes)
    }

    fn capacity(&self) -> usize {
        CAPACITY
    }
}

impl<const READ: usize, const WRITE: usize, const ERASE: usize, const CAPACITY: usize> NorFlash
    for TestFlash<READ, WRITE, ERASE, CAPACITY>
{
    const WRITE_SIZE: usize = WRITE;
    const ERASE_SIZE: usize = ERASE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Fault> {
        self.erase_units(from, to)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Fault> {
        self.write_bytes(offset, bytes)
    }
}

/// The same flash over the traits of `embedded-storage-async`: each operation is
/// pending once before it is carried out.
#[cfg(feature = "storage-async")]
mod asynchronous {
    use core::future::poll_fn;
    use core::task::Poll;

    use embedded_storage_async::nor_flash::{NorFlash, ReadNorFlash};

    use super::{Fault, TestFlash};

    /// Is pending once.
    async fn wait() {
        let mut waited = false;
        poll_fn(|context| {
            if waited {
                return Poll::Ready(());
            }
            waited = true;
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    impl<const READ: usize, const WRITE: usize, const ERASE: usize, const CAPACITY: usize>
        ReadNorFlash for TestFlash<READ, WRITE, ERASE, CAPACITY>
    {
        const READ_SIZE: usize = READ;

        async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Fault> {
            wait().await;
            self.read_bytes(offset, bytes)
        }

        fn capacity(&self) -> usize {
            CAPACITY
        }
    }

    impl<const READ: usize, const WRITE: usize, const ERASE: usize, const CAPACITY: usize> NorFlash
        for TestFlash<READ, WRITE, ERASE, CAPACITY>
    {
        const WRITE_SIZE: usize = WRITE;
        const ERASE_SIZE: usize = ERASE;

        async fn erase(&mut self, from: u32, to: u32) -> Result<(), Fault> {
            wait().await;
            self.erase_units(from, to)
        }

        async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Fault> {
            wait().await;
            self.write_bytes(offset, bytes)
        }
    }
}
