//! A firmware that embeds one image again and again, and nothing else. What it
//! takes more of flash than `load_only` is the inference code. (On a board with
//! Helium it stops after the model: nothing here lets the vector unit be used.)

#![no_std]
#![no_main]

#[path = "../alone.rs"]
mod alone;
#[path = "../model.rs"]
mod model;

use core::hint::black_box;

use cortex_m::asm::wfi;
use cortex_m_rt::entry;

/// Boots, and embeds.
#[entry]
fn main() -> ! {
    static mut NETWORK: Option<alone::Network> = None;
    // Any bytes are an image, and these are there.
    let image = model::bytes().get(..model::PIXELS).unwrap_or_default();
    if let Some(network) = alone::load() {
        let network = NETWORK.insert(network);
        loop {
            // Whether it fails is as well: nobody is told.
            let _ = black_box(network.embed(black_box(image)));
        }
    }
    loop {
        wfi();
    }
}
