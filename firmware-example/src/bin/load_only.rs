//! A firmware that checks its model, and nothing else.

#![no_std]
#![no_main]

#[path = "../alone.rs"]
mod alone;
#[path = "../model.rs"]
mod model;

use core::hint::black_box;

use cortex_m::asm::wfi;
use cortex_m_rt::entry;

/// Boots, and loads the model.
#[entry]
fn main() -> ! {
    static mut NETWORK: Option<alone::Network> = None;
    if let Some(network) = alone::load() {
        black_box(NETWORK.insert(network));
    }
    loop {
        wfi();
    }
}
