//! The boards. Each has a module of its own that provides:
//!
//! - `NAME` and `TICK_HZ`, the frequency of SysTick's core clock;
//! - `start`, called once before anything else;
//! - `Uart`, with `new`, `read` and `write`, both of which wait;
//! - `die`, which reports a panic as the board can and never returns.
//!
//! The features of `Cargo.toml` select one; `build.rs` knows its memory.

mod interrupt;
mod register;

#[cfg(feature = "microbit")]
mod microbit;
#[cfg(not(any(feature = "microbit", feature = "netduinoplus2")))]
mod mps;
#[cfg(feature = "netduinoplus2")]
mod netduinoplus2;
#[cfg(not(feature = "netduinoplus2"))]
mod semihosting;

#[cfg(feature = "microbit")]
pub use microbit::{NAME, TICK_HZ, Uart, start};
#[cfg(not(any(feature = "microbit", feature = "netduinoplus2")))]
pub use mps::{NAME, TICK_HZ, Uart, start};
#[cfg(feature = "netduinoplus2")]
pub use netduinoplus2::{NAME, TICK_HZ, Uart, die, start};
#[cfg(not(feature = "netduinoplus2"))]
pub use semihosting::die;
