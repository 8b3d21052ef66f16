#![doc = include_str!("../README.md")]
#![no_std]
#![deny(missing_docs)]
#![deny(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod checksum;
pub mod embedder;
pub mod embedding;
pub mod error;
pub mod gallery;
pub mod image;
pub mod kernel;
pub mod model;
pub mod preset;
pub mod requantise;

pub use embedder::Embedder;
pub use embedding::Embedding;
pub use error::{EncodeError, ModelError, SizeError};
pub use gallery::Gallery;
pub use model::Model;
pub use requantise::Requantise;
