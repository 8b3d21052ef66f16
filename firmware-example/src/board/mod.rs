//! The boards. Each has a module of its own that provides:
//!
//! - `NAME` and `TICK_HZ`, the frequency of the stopwatch's clock;
//! - `Uart`, with `new`, `read` and `write`, both of which wait;
//! - `die`, which reports a panic as the board can and never returns.
//!
//! The features of `Cargo.toml` select one; `build.rs` knows its memory.

#[cfg(target_arch = "arm")]
mod interrupt;
mod register;

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

#[cfg(feature = "microbit")]
pub use microbit::{NAME, TICK_HZ, Uart};
#[cfg(not(any(feature = "microbit", feature = "netduinoplus2", feature = "virt")))]
pub use mps::{NAME, TICK_HZ, Uart};
#[cfg(feature = "netduinoplus2")]
pub use netduinoplus2::{NAME, TICK_HZ, Uart, die};
#[cfg(not(feature = "netduinoplus2"))]
pub use semihosting::die;
#[cfg(feature = "virt")]
pub use virt::{NAME, TICK_HZ, Uart};
