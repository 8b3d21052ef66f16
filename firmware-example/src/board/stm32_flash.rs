//! How the flash of ST's STM32 is changed: a controller is unlocked by two keys, told what to
//! do, and locked again. The series differ in where its registers are, and in its errors.

use embedded_storage::nor_flash::NorFlashErrorKind;

use super::register::Register;
use super::stm32::{change, register, wait_for};

/// A series' controller: addresses of its registers, and bits.
pub struct Controller {
    /// Access, with the caches.
    pub access: usize,
    pub key: usize,
    pub status: usize,
    pub control: usize,
    /// Status: all errors of writing and erasing, which are cleared by writing them.
    pub errors: u32,
}

/// Control: starts what the other bits say.
pub const START: u32 = 1 << 16;
/// Control: no access.
const LOCKED: u32 = 1 << 31;
/// Status: at work.
const BUSY: u32 = 1 << 16;
/// The keys.
const KEYS: [u32; 2] = [0x4567_0123, 0xCDEF_89AB];

impl Controller {
    /// Whether it is there: it can be locked, and stays so. An emulator's may be missing.
    pub fn is_there(&self) -> bool {
        let control = register(self.control);
        if control.read() & LOCKED == 0 {
            control.write(LOCKED);
        }
        control.read() & LOCKED != 0
    }

    /// Does some work while the flash can be changed in this way; whether it went well.
    pub fn unlocked(
        &self,
        way: u32,
        work: impl FnOnce(&Register),
    ) -> Result<(), NorFlashErrorKind> {
        let [key, status, control] = [self.key, self.status, self.control].map(register);
        wait_for(&status, BUSY, 0);
        if control.read() & LOCKED != 0 {
            KEYS.into_iter().for_each(|part| key.write(part));
        }
        // Those of before would prevent it.
        status.write(self.errors);
        control.write(way);
        work(&control);
        wait_for(&status, BUSY, 0);
        let errors = status.read() & self.errors;
        control.write(LOCKED);
        if errors == 0 {
            Ok(())
        } else {
            Err(NorFlashErrorKind::Other)
        }
    }

    /// Forgets what the caches have of the flash. They can be emptied while they are off.
    pub fn empty_caches(&self) {
        const ON: u32 = 0b11 << 9;
        const EMPTY: u32 = 0b11 << 11;
        let access = register(self.access);
        let on = access.read() & ON;
        change(&access, ON, 0);
        change(&access, 0, EMPTY);
        change(&access, EMPTY, 0);
        change(&access, 0, on);
    }
}
