//! Slots for updates of the model on a board that is emulated: memory where the board's flash
//! is, which the emulator lets a program write, and a file that stays when the power goes. The
//! memory is what the file is: it is read from there at a start, and after each change.

use core::ffi::CStr;

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};
use semihosting::fs::{File, OpenOptions};
use semihosting::io::{self, Read, Seek, SeekFrom, Write};

use super::facts::{SLOT, SLOTS_AT};

/// The file.
const PATH: &CStr = c"model.flash";
/// Its bytes.
const CAPACITY: usize = 2 * SLOT as usize;
/// Bytes that are erased at once.
const UNIT: usize = 4096;

/// The flash.
pub struct Slots(());

impl Slots {
    /// The flash of this board; a new one is erased.
    pub fn open() -> Option<Self> {
        let blank = |_| -> io::Result<()> { fill(&mut File::create(PATH)?, CAPACITY) };
        File::open(PATH).map(drop).or_else(blank).ok()?;
        let slots = Self(());
        slots.show(0, CAPACITY).ok()?;
        Some(slots)
    }

    /// Brings a part of the file to where the processor reads it.
    fn show(&self, offset: usize, length: usize) -> io::Result<()> {
        let mut file = file(OpenOptions::new().read(true), offset)?;
        let start = core::ptr::with_exposed_provenance_mut::<u8>(SLOTS_AT + offset);
        // SAFETY: the linker keeps this memory free. The program holds references only to the
        // slot of the model that runs, which nobody erases or writes.
        let mut rest = unsafe { core::slice::from_raw_parts_mut(start, length) };
        while !rest.is_empty() {
            let count = file.read(rest)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            rest = rest.get_mut(count..).unwrap_or_default();
        }
        Ok(())
    }
}

/// The file, with the next access at an offset.
fn file(options: &mut OpenOptions, offset: usize) -> io::Result<File> {
    let mut file = options.open(PATH)?;
    file.seek(SeekFrom::Start(offset as u64))?;
    Ok(file)
}

/// Writes so many bytes as they are after an erasure.
fn fill(file: &mut File, bytes: usize) -> io::Result<()> {
    let erased = [0xFF; 256];
    (0..bytes / erased.len()).try_for_each(|_| file.write_all(&erased))
}

/// Any failure of the file.
fn failed(_: io::Error) -> NorFlashErrorKind {
    NorFlashErrorKind::Other
}

impl ErrorType for Slots {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Slots {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        check_read(self, offset, bytes.len())?;
        let from = core::ptr::with_exposed_provenance::<u8>(SLOTS_AT + offset as usize);
        for (index, byte) in bytes.iter_mut().enumerate() {
            // SAFETY: it is within the memory that the linker keeps free; the read is volatile
            // because `show` changes it.
            *byte = unsafe { from.wrapping_add(index).read_volatile() };
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        CAPACITY
    }
}

impl NorFlash for Slots {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = UNIT;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        check_erase(self, from, to)?;
        let (offset, length) = (from as usize, (to - from) as usize);
        let options = &mut OpenOptions::new();
        let mut file = file(options.read(true).write(true), offset).map_err(failed)?;
        fill(&mut file, length).map_err(failed)?;
        drop(file);
        self.show(offset, length).map_err(failed)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        check_write(self, offset, bytes.len())?;
        let offset = offset as usize;
        let options = &mut OpenOptions::new();
        let mut file = file(options.read(true).write(true), offset).map_err(failed)?;
        file.write_all(bytes).map_err(failed)?;
        drop(file);
        self.show(offset, bytes.len()).map_err(failed)
    }
}
