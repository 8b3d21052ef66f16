//! Training: the steps, what is seen meanwhile, and how a run is saved.
//!
//! A run has two phases. The first trains the float network by the recipe;
//! the second, a small part of the steps, goes on with batch normalisation
//! folded and every weight and activation rounded to what the integer model
//! will hold, so that the network learns to live with it.

pub mod checkpoint;
#[cfg(feature = "torch")]
mod collapse;
#[cfg(feature = "torch")]
mod fit;
pub mod float_network;
pub mod history;
#[cfg(feature = "torch")]
mod lesson;
#[cfg(feature = "torch")]
mod levels;
#[cfg(feature = "torch")]
pub mod loss;
#[cfg(feature = "torch")]
pub mod network;
#[cfg(feature = "torch")]
pub mod optimiser;
#[cfg(feature = "torch")]
mod resume;
#[cfg(feature = "torch")]
mod rivals;
#[cfg(feature = "torch")]
mod run;
#[cfg(feature = "torch")]
mod watch;

#[cfg(feature = "torch")]
pub use fit::{Event, Outcome, Trained, fit};
