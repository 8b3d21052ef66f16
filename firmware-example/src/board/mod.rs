//! The boards. Each has a module of its own that provides:
//!
//! - `NAME` and `TICK_HZ`, the frequency of the stopwatch's clock;
//! - `Uart`, with `new`; `has_byte`, `take`, and `doze`, which sleeps until a byte
//!   comes; `write`, which waits, and `flush`, which waits until everything is on
//!   the line. `uart` makes the traits of `embedded-io` of them;
//! - `reset`, which starts the processor anew;
//! - `Flash`, with `open`, for what has to survive that;
//! - `die`, which reports a panic as the board can and never returns.
//!
//! The features of `Cargo.toml` select one; `build.rs` knows its memory.

#[cfg(not(feature = "netduinoplus2"))]
mod flash;
#[cfg(target_arch = "arm")]
mod interrupt;
mod register;
mod uart;

#[cfg(feature = "microbit")]
mod microbit;
#[cfg(not(any(feature = "microbit", feature = "netduinoplus2", feature = "virt")))]
mod mps;
#[cfg(feature = "netduinoplus2")]
mod netduinoplus2;
#[cfg(not(feature = "netduinoplus2"))]
mod semihosting;
#[cfg(feature = "virt")]
mod virt;

#[cfg(not(feature = "netduinoplus2"))]
pub use self::flash::Flash;
#[cfg(feature = "microbit")]
pub use microbit::{NAME, TICK_HZ, Uart};
#[cfg(not(any(feature = "microbit", feature = "netduinoplus2", feature = "virt")))]
pub use mps::{NAME, TICK_HZ, Uart};
#[cfg(feature = "netduinoplus2")]
pub use netduinoplus2::{Flash, NAME, TICK_HZ, Uart, die};
#[cfg(not(feature = "netduinoplus2"))]
pub use semihosting::die;
#[cfg(feature = "virt")]
pub use virt::{NAME, TICK_HZ, Uart, reset};

/// Starts the processor anew.
#[cfg(target_arch = "arm")]
pub fn reset() -> ! {
    cortex_m::peripheral::SCB::sys_reset()
}
