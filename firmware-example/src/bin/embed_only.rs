//! A firmware that embeds one image again and again, and nothing else: no
//! link, no stopwatch, no messages. Its size is that of the inference code.

#![no_std]
#![no_main]

use core::hint::black_box;
use core::panic::PanicInfo;

use cortex_m_rt::entry;
use siamese_core::{Embedder, Model};

#[path = "../model.rs"]
mod model;

/// The embedder of exactly the model that is built in.
type Network = Embedder<'static, { model::DIM }, { model::SHARED }, { model::HIDDEN1 }>;

/// Boots, and embeds.
#[entry]
fn main() -> ! {
    static mut NETWORK: Option<Network> = None;
    static IMAGE: [u8; model::PIXELS] = [0; _];
    if let Ok(parsed) = Model::parse(model::bytes())
        && let Ok(network) = Network::new(parsed)
    {
        let network = NETWORK.insert(network);
        loop {
            // Whether it fails is as well: nobody is told.
            let _ = black_box(network.embed(black_box(&IMAGE)));
        }
    }
    loop {}
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}
