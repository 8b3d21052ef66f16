//! The flash of ST's STM32L4 series, in pages of 2 KiB. Addresses and bits are those of ST's
//! reference manual RM0394.
//!
//! Eight bytes have a code that corrects one bit. It is written with them: they are written at
//! once, and once between erasures, which is what the stores do.

use core::sync::atomic::{AtomicU8, Ordering};

use embedded_storage::nor_flash::NorFlashErrorKind;

use super::facts::UNIT;
use super::nor;
use super::register::Register;
use super::stm32::register;
use super::stm32_flash::{self, START};
use crate::arch;

/// The flash, of which two words are written at once.
pub type Flash = nor::Flash<Controller, 2>;

/// The controller.
pub struct Controller(());

/// Its registers.
const CONTROLLER: stm32_flash::Controller = stm32_flash::Controller {
    access: 0x4002_2000,
    key: 0x4002_2008,
    status: 0x4002_2010,
    control: 0x4002_2014,
    errors: 0xC3FA,
};
/// The register that tells of the codes.
const CODES: usize = 0x4002_2018;

/// Control: writing; erasing a page, whose number is from bit 3 on.
const PROGRAM: u32 = 1 << 0;
const ERASE: u32 = 1 << 1;

/// No read of the store is under way.
const IDLE: u8 = 0;
/// One is, and went well so far.
const READING: u8 = 1;
/// One is, of bytes that can't be read.
const FAILED: u8 = 2;
/// How reading the store goes.
static READ: AtomicU8 = AtomicU8::new(IDLE);

/// What the interrupt is for.
#[cfg(target_arch = "arm")]
#[cortex_m_rt::exception]
unsafe fn NonMaskableInt() {
    unreadable();
}

/// Eight bytes with more than one wrong bit were read, as a power cut can leave them. In
/// the store that is an error; a program with such bytes can't go on.
pub fn unreadable() {
    const UNCORRECTABLE: u32 = 1 << 31;
    let codes = register(CODES);
    let wrong = codes.read() & UNCORRECTABLE != 0;
    assert!(
        wrong && READ.load(Ordering::Relaxed) != IDLE,
        "the flash can't be read, or the clock has failed"
    );
    // The bit is cleared by writing it.
    codes.write(UNCORRECTABLE);
    let _ = codes.read();
    READ.store(FAILED, Ordering::Relaxed);
}

impl nor::Controller<2> for Controller {
    fn find() -> Option<Self> {
        CONTROLLER.is_there().then_some(Self(()))
    }

    fn erase(&mut self, start: u32) -> Result<(), NorFlashErrorKind> {
        let page = ERASE | (start / UNIT) << 3;
        let erased = CONTROLLER.unlocked(page, |control| control.write(page | START));
        CONTROLLER.empty_caches();
        erased
    }

    fn write(
        &mut self,
        [first, second]: [Register; 2],
        [low, high]: [u32; 2],
    ) -> Result<(), NorFlashErrorKind> {
        let written = CONTROLLER.unlocked(PROGRAM, |_| {
            first.write(low);
            arch::synchronise();
            second.write(high);
            arch::synchronise();
        });
        CONTROLLER.empty_caches();
        written
    }

    fn read(&mut self, read: impl FnOnce()) -> Result<(), NorFlashErrorKind> {
        READ.store(READING, Ordering::SeqCst);
        read();
        // The interrupt for the last of it comes before this is over.
        arch::synchronise();
        if READ.swap(IDLE, Ordering::SeqCst) == READING {
            Ok(())
        } else {
            Err(NorFlashErrorKind::Other)
        }
    }
}
