//! A chip's own flash, whose controller erases units and writes words while the processor
//! stands still: the traits of `embedded-storage`, for all such chips, over what each does in
//! its own way.

use core::ops::Range;

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};

use super::facts::{FLASH, STORE, UNIT};
use super::register::Register;

/// A chip's controller, which writes so many words of four bytes at once, and once between
/// erasures.
pub trait Controller<const WORDS: usize>: Sized {
    /// The controller, if there is one: an emulator may have none.
    fn find() -> Option<Self>;

    /// Erases the unit that begins so many bytes behind the flash's beginning.
    fn erase(&mut self, start: u32) -> Result<(), NorFlashErrorKind>;

    /// Writes words to flash that is erased.
    fn write(
        &mut self,
        to: [Register; WORDS],
        words: [u32; WORDS],
    ) -> Result<(), NorFlashErrorKind>;

    /// Calls what reads from the flash; an error if what was read is wrong.
    fn read(&mut self, read: impl FnOnce()) -> Result<(), NorFlashErrorKind> {
        read();
        Ok(())
    }
}

/// A part of the flash that programs leave free.
pub struct Flash<C, const WORDS: usize> {
    controller: C,
    part: Range<u32>,
}

impl<C: Controller<WORDS>, const WORDS: usize> Flash<C, WORDS> {
    /// The store, if the flash can be changed.
    pub fn open() -> Option<Self> {
        Self::of(STORE)
    }

    /// A part of the flash that begins so many bytes behind the flash's beginning, likewise.
    pub fn of(part: Range<u32>) -> Option<Self> {
        let controller = C::find()?;
        Some(Self { controller, part })
    }
}

/// A word of the flash, by what is before it.
const fn word(at: u32) -> Register {
    // SAFETY: no part of the program refers to these parts of the flash; of the slots it reads
    // what isn't written meanwhile.
    unsafe { Register::at(FLASH + at as usize) }
}

impl<C, const WORDS: usize> ErrorType for Flash<C, WORDS> {
    type Error = NorFlashErrorKind;
}

impl<C: Controller<WORDS>, const WORDS: usize> ReadNorFlash for Flash<C, WORDS> {
    const READ_SIZE: usize = 4;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        check_read(self, offset, bytes.len())?;
        let (words, _) = bytes.as_chunks_mut();
        let start = self.part.start + offset;
        self.controller.read(|| {
            for (at, four) in (start..).step_by(4).zip(words) {
                *four = word(at).read().to_le_bytes();
            }
        })
    }

    fn capacity(&self) -> usize {
        self.part.len()
    }
}

impl<C: Controller<WORDS>, const WORDS: usize> NorFlash for Flash<C, WORDS> {
    const WRITE_SIZE: usize = 4 * WORDS;
    const ERASE_SIZE: usize = UNIT as usize;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        check_erase(self, from, to)?;
        (from..to)
            .step_by(Self::ERASE_SIZE)
            .try_for_each(|unit| self.controller.erase(self.part.start + unit))
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        check_write(self, offset, bytes.len())?;
        let (words, _) = bytes.as_chunks();
        let (groups, _) = words.as_chunks::<WORDS>();
        let start = self.part.start + offset;
        for (at, group) in (start..).step_by(Self::WRITE_SIZE).zip(groups) {
            let to = core::array::from_fn(|number| word(at + 4 * number as u32));
            self.controller.write(to, group.map(u32::from_le_bytes))?;
        }
        Ok(())
    }
}
