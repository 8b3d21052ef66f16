//! Flash of a board that is emulated: a file on the emulator's host, in the
//! folder where the emulator was started. It stays when the power goes.

use core::ffi::CStr;

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};
use semihosting::fs::{File, OpenOptions};
use semihosting::io::{self, Read, Seek, SeekFrom, Write};

use super::facts::{STORE, UNIT};

/// The file.
const PATH: &CStr = c"gallery.flash";
/// Its bytes. In a file that ends before them, as older firmwares made it, there is nothing to
/// be read until it is written.
const CAPACITY: usize = STORE.end as usize;

/// The flash.
pub struct Flash;

/// The file could not be read or written.
#[derive(Debug)]
pub struct FileError;

impl Flash {
    /// The flash of this board; a new one is erased.
    pub fn open() -> Option<Self> {
        let blank = |_| -> io::Result<()> {
            let mut file = File::create(PATH)?;
            fill(&mut file, CAPACITY)
        };
        File::open(PATH).map(drop).or_else(blank).ok()?;
        Some(Self)
    }

    /// The file, with the next access at `offset`.
    fn file(options: &mut OpenOptions, offset: u32) -> Result<File, FileError> {
        let mut file = options.open(PATH)?;
        file.seek(SeekFrom::Start(offset.into()))?;
        Ok(file)
    }
}

/// Writes so many bytes as they are after an erasure.
fn fill(file: &mut File, bytes: usize) -> io::Result<()> {
    let erased = [0xFF; 64];
    for _ in 0..bytes / erased.len() {
        file.write_all(&erased)?;
    }
    Ok(())
}

impl From<io::Error> for FileError {
    fn from(_: io::Error) -> Self {
        Self
    }
}

impl NorFlashError for FileError {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

impl ErrorType for Flash {
    type Error = FileError;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FileError> {
        let mut file = Self::file(OpenOptions::new().read(true), offset)?;
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match file.read(rest)? {
                0 => return Err(FileError),
                count => filled += count,
            }
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        CAPACITY
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = UNIT as usize;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), FileError> {
        let mut file = Self::file(OpenOptions::new().read(true).write(true), from)?;
        Ok(fill(&mut file, (to - from) as usize)?)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FileError> {
        let mut file = Self::file(OpenOptions::new().read(true).write(true), offset)?;
        Ok(file.write_all(bytes)?)
    }
}
