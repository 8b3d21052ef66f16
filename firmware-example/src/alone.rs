//! What the programs have in common that are built for their size alone: no
//! link, no stopwatch, no messages.

use core::panic::PanicInfo;

use cortex_m::asm::wfi;
use siamese_core::{Embedder, Model};

use crate::model;

/// The embedder of exactly the model that is built in.
pub type Network = Embedder<'static, { model::DIM }, { model::SHARED }, { model::HIDDEN1 }>;

/// The network of the model in flash.
pub fn load() -> Option<Network> {
    Network::new(Model::parse(model::bytes()).ok()?).ok()
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {
        wfi();
    }
}
