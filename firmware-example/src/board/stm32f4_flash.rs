//! The flash of ST's STM32F4 series, in sectors of 16, 64 and 128 KiB. Addresses and bits are
//! those of ST's reference manuals RM0090 (STM32F405) and RM0383 (STM32F411).

use embedded_storage::nor_flash::NorFlashErrorKind;

use super::nor;
use super::register::Register;
use super::stm32_flash::{self, START};
use crate::arch;

/// The flash, of which a word is written at once, as the voltage of these boards allows.
pub type Flash = nor::Flash<Controller, 1>;

/// The controller.
pub struct Controller(());

/// Its registers.
const CONTROLLER: stm32_flash::Controller = stm32_flash::Controller {
    access: 0x4002_3C00,
    key: 0x4002_3C04,
    status: 0x4002_3C0C,
    control: 0x4002_3C10,
    // Of the sequence, the width, the alignment, the protection, and others.
    errors: (0b1111 << 4) | (1 << 1),
};

/// Control: writing; erasing a sector, whose number is from bit 3 on; four bytes at once.
const PROGRAM: u32 = 1 << 0;
const ERASE: u32 = 1 << 1;
const WORD: u32 = 0b10 << 8;

/// The number of the sector that a byte of the flash is in.
const fn sector(offset: u32) -> u32 {
    const SMALL: u32 = 16 * 1024;
    const MIDDLE: u32 = 64 * 1024;
    const LARGE: u32 = 128 * 1024;
    match offset {
        ..MIDDLE => offset / SMALL,
        _ => 4 + offset / LARGE,
    }
}

impl nor::Controller<1> for Controller {
    fn find() -> Option<Self> {
        CONTROLLER.is_there().then_some(Self(()))
    }

    fn erase(&mut self, start: u32) -> Result<(), NorFlashErrorKind> {
        let what = ERASE | sector(start) << 3 | WORD;
        let erased = CONTROLLER.unlocked(what, |control| control.write(what | START));
        // They keep what was erased.
        CONTROLLER.empty_caches();
        erased
    }

    fn write(&mut self, [to]: [Register; 1], [word]: [u32; 1]) -> Result<(), NorFlashErrorKind> {
        CONTROLLER.unlocked(PROGRAM | WORD, |_| {
            to.write(word);
            arch::synchronise();
        })
    }
}
