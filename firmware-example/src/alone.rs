//! What the programs have in common that are built for their size alone: no
//! link, no stopwatch, no messages.

use core::panic::PanicInfo;

use siamese_core::{Embedder, Model};

use crate::{arch, model};

/// The embedder of exactly the model that is built in.
pub type Network = Embedder<'static, { model::DIM }, { model::SHARED }, { model::HIDDEN1 }>;

/// All that is large, and lives as long as the program.
pub struct Memory {
    network: Option<Network>,
}

impl Memory {
    /// Before boot.
    pub const NEW: Self = Self { network: None };

    /// The network of the model in flash, if it can be used.
    pub fn load(&mut self) -> Option<&mut Network> {
        let network = Network::new(Model::parse(model::bytes()).ok()?).ok()?;
        Some(self.network.insert(network))
    }
}

/// Sleeps for ever.
pub fn rest() -> ! {
    loop {
        arch::sleep();
    }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    rest();
}
