//! The flash of Nordic's nRF52 series, by its controller NVMC. Addresses and bits are those of
//! the product specifications.

use embedded_storage::nor_flash::NorFlashErrorKind;

use super::nor;
use super::register::Register;
use crate::arch;

/// The flash, of which a word is written at once.
pub type Flash = nor::Flash<Controller, 1>;

/// The controller.
pub struct Controller(());

/// Its registers.
const NVMC: usize = 0x4001_E000;
/// What it lets the processor do.
const READ: u32 = 0;
const WRITE: u32 = 1;
const ERASE: u32 = 2;

/// A register of the controller's.
const fn register(offset: usize) -> Register {
    // SAFETY: all callers name a register of the controller's.
    unsafe { Register::at(NVMC + offset) }
}

/// Waits until the controller is done.
fn wait() {
    while register(0x400).read() & 1 == 0 {}
}

/// Lets the processor do something else than before.
fn allow(what: u32) {
    register(0x504).write(what);
    wait();
}

/// Does some work while the flash can be changed in this way.
fn allowed(way: u32, work: impl FnOnce()) {
    allow(way);
    work();
    arch::synchronise();
    wait();
    allow(READ);
}

impl nor::Controller<1> for Controller {
    fn find() -> Option<Self> {
        Some(Self(()))
    }

    fn erase(&mut self, start: u32) -> Result<(), NorFlashErrorKind> {
        // The flash begins at the address 0.
        allowed(ERASE, || register(0x508).write(start));
        Ok(())
    }

    fn write(&mut self, [to]: [Register; 1], [word]: [u32; 1]) -> Result<(), NorFlashErrorKind> {
        allowed(WRITE, || to.write(word));
        Ok(())
    }
}
