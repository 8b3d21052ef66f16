//! Which images a step sees, in which form, and the batches that are prepared
//! ahead of it.

pub mod augment;
pub mod loader;
pub mod mixtures;
pub mod pairs;
