//! Cortex-M.

pub use cortex_m::Peripherals;
use cortex_m_rt::{ExceptionFrame, entry, exception};

use crate::Memory;

/// Boots. `cortex-m-rt` hands the static out once, as this runs once.
#[entry]
fn boot() -> ! {
    static mut MEMORY: Memory = Memory::NEW;
    crate::start(MEMORY)
}

/// The core's peripherals. Where the core has a vector unit, lets it be used.
pub fn start() -> Peripherals {
    let Some(peripherals) = Peripherals::take() else {
        panic!("the peripherals are taken at boot");
    };
    #[cfg(core_vectors)]
    let peripherals = {
        /// Coprocessors 10 and 11, for all code.
        const VECTORS: u32 = 0xF << 20;
        // SAFETY: enabling a coprocessor that nothing uses yet changes nothing else.
        unsafe { peripherals.SCB.cpacr.modify(|access| access | VECTORS) };
        cortex_m::asm::dsb();
        cortex_m::asm::isb();
        peripherals
    };
    peripherals
}

/// Waits for an interrupt.
pub fn sleep() {
    cortex_m::asm::wfi();
}

/// Takes no interrupt from here on.
pub fn disable_interrupts() {
    cortex_m::interrupt::disable();
}

/// Does some work while no interrupt is taken.
pub fn undisturbed(work: impl FnOnce()) {
    cortex_m::interrupt::free(|_| work());
}

/// Lets the processor see the code that it has written.
pub fn synchronise() {
    cortex_m::asm::dsb();
    cortex_m::asm::isb();
}

/// A fault of the processor ends like a panic.
#[exception]
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    panic!("hard fault at address {:#010x}", frame.pc());
}
