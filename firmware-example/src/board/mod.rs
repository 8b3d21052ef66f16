//! The boards. Each has a module of its own that provides:
//!
//! - `NAME` and `TICK_HZ`, the frequency of SysTick's core clock;
//! - `Uart`, with `new`, `read` and `write`, both of which wait;
//! - `die`, which reports a panic as the board can and never returns.
//!
//! The features of `Cargo.toml` select one; `build.rs` knows its memory.

mod interrupt;
mod register;

#[cfg(any(feature = "mps2-an385", feature = "mps2-an386", feature = "mps2-an500"))]
mod mps2;
#[cfg(feature = "netduinoplus2")]
mod netduinoplus2;

#[cfg(any(feature = "mps2-an385", feature = "mps2-an386", feature = "mps2-an500"))]
pub use mps2::{NAME, TICK_HZ, Uart, die};
#[cfg(feature = "netduinoplus2")]
pub use netduinoplus2::{NAME, TICK_HZ, Uart, die};
