//! The boards. Each has a module of its own that provides:
//!
//! - `NAME` and `TICK_HZ`, the frequency of SysTick's core clock;
//! - `Uart`, with `new`, `read` and `write`, both of which wait;
//! - `die`, which reports a panic as the board can and never returns.
//!
//! The features of `Cargo.toml` select one; `build.rs` knows its memory.

mod interrupt;
mod register;

#[cfg(feature = "mps2-an386")]
mod mps2_an386;
#[cfg(feature = "netduinoplus2")]
mod netduinoplus2;

#[cfg(all(feature = "mps2-an386", not(feature = "netduinoplus2")))]
pub use mps2_an386::{NAME, TICK_HZ, Uart, die};
#[cfg(all(feature = "netduinoplus2", not(feature = "mps2-an386")))]
pub use netduinoplus2::{NAME, TICK_HZ, Uart, die};

#[cfg(not(any(feature = "mps2-an386", feature = "netduinoplus2")))]
compile_error!("no board: build with one of the features mps2-an386 and netduinoplus2");
#[cfg(all(feature = "mps2-an386", feature = "netduinoplus2"))]
compile_error!(
    "two boards: for netduinoplus2, build with --no-default-features --features netduinoplus2"
);
