//! What the programs share that answer no requests: no link, no gallery.

#![allow(dead_code, reason = "not every program needs all of it")]

#[path = "arch/mod.rs"]
pub mod arch;
#[path = "model.rs"]
pub mod model;

use siamese_core::Model;

use model::Network;

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
