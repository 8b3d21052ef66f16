//! A firmware that checks its model, and nothing else.

#![no_std]
#![no_main]

#[path = "../alone.rs"]
mod alone;

use core::panic::PanicInfo;

use alone::{Memory, arch};

/// Loads the model.
fn start(memory: &'static mut Memory) -> ! {
    arch::start();
    core::hint::black_box(memory.load());
    alone::rest();
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    alone::rest();
}
