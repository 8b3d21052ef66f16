#![doc = include_str!("../README.md")]
#![deny(missing_docs)]
// Attributes of exported names are unsafe; nothing else is.
#![deny(unsafe_code)]

#[cfg(target_arch = "wasm32")]
#[allow(unsafe_code, reason = "exported names")]
pub mod abi;
mod gallery;
mod pad;
mod session;

pub use pad::{Pad, SIDE};
pub use session::Session;
