//! How a board that is emulated reports a panic: by the emulator's own interface.

use core::panic::PanicInfo;

use semihosting::{eprintln, process};

/// Reports to the emulator's standard error, and ends it with a failure.
pub fn die(info: &PanicInfo<'_>) -> ! {
    eprintln!("{info}");
    process::exit(1);
}
