#![doc = include_str!("../README.md")]
#![cfg_attr(target_os = "none", no_std)]
#![deny(missing_docs)]
#![warn(clippy::undocumented_unsafe_blocks)]

pub mod error;
pub mod gallery;
mod memory;
pub mod model;
#[cfg(all(feature = "panic-handler", target_os = "none"))]
mod panic;
pub mod picture;

pub use error::Error;
pub use memory::{Held, Holder};
