//! A firmware that checks its model, and nothing else.

#![no_std]
#![no_main]

#[path = "../alone.rs"]
mod alone;
#[path = "../arch/mod.rs"]
mod arch;
#[path = "../model.rs"]
mod model;

use core::hint::black_box;

use crate::alone::Memory;

/// Loads the model.
fn start(memory: &'static mut Memory) -> ! {
    arch::start();
    black_box(memory.load());
    alone::rest();
}
