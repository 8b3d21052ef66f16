//! The last words of a board that is emulated, by the emulator's own interface.

use core::panic::PanicInfo;

use cortex_m_semihosting::{debug, heprintln};

/// Reports to the emulator's standard error, and ends it with a failure.
pub fn die(info: &PanicInfo<'_>) -> ! {
    heprintln!("{info}");
    loop {
        debug::exit(debug::EXIT_FAILURE);
    }
}
