//! The processor's architecture: booting, sleeping, counting time, and the
//! stack. Each has a module of its own that provides:
//!
//! - `start`, called once before anything else, which gives the `Peripherals`;
//! - `sleep`, which waits for an interrupt; `disable_interrupts`, and `undisturbed`,
//!   which calls a function without them;
//! - `synchronise`, before code runs that was written a moment ago;
//! - `Ticks`, a clock with `new` and `now`;
//!
//! and that calls the program's own `start` with its static `Memory`.

#![allow(
    dead_code,
    unused_imports,
    reason = "not every program needs all of it"
)]

#[cfg(target_arch = "arm")]
mod cortex_m;
#[cfg(target_arch = "riscv32")]
mod riscv;
pub mod stack;
#[cfg(target_arch = "arm")]
mod systick;

#[cfg(target_arch = "arm")]
pub use cortex_m::{Peripherals, disable_interrupts, sleep, start, synchronise, undisturbed};
#[cfg(target_arch = "riscv32")]
pub use riscv::{Peripherals, Ticks, disable_interrupts, sleep, start, synchronise, undisturbed};
#[cfg(target_arch = "arm")]
pub use systick::Ticks;
