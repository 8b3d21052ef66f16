//! A firmware that embeds one image again and again, and nothing else. What it
//! takes more of flash than `load_only` is the inference code.

#![no_std]
#![no_main]

#[path = "../alone.rs"]
mod alone;

use core::hint::black_box;
use core::panic::PanicInfo;

use alone::{Memory, arch, model};

/// Loads the model, and embeds.
fn start(memory: &'static mut Memory) -> ! {
    arch::start();
    // Any bytes are an image, and these are there.
    let image = model::bytes().get(..model::PIXELS).unwrap_or_default();
    if let Some(network) = memory.load() {
        loop {
            // Nobody is told whether it fails.
            let _ = black_box(network.embed(black_box(image)));
        }
    }
    alone::rest();
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    alone::rest();
}
