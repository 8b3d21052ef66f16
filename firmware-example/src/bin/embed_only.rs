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
    // As of a handwritten digit, a fifth of it is not background, in short strokes.
    let mut image = [0; model::PIXELS];
    for row in image.chunks_mut(20) {
        row.iter_mut().take(4).for_each(|pixel| *pixel = 200);
    }
    if let Some(network) = memory.load() {
        loop {
            // Nobody is told whether it fails.
            let _ = black_box(network.embed(black_box(&image)));
        }
    }
    alone::rest();
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    alone::rest();
}
