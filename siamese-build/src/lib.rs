#![doc = include_str!("../README.md")]
#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod batch;
mod board;
mod core;
mod embed;
mod owned;

pub use crate::batch::BatchEmbedder;
pub use crate::board::{Board, Emulation, Flashing, Region, Uart, UartKind, UnknownBoard};
pub use crate::core::{Abi, AmbiguousTarget, Core, UnknownCore};
pub use crate::embed::{BuildError, EmbedModel, embed_model};
pub use crate::owned::OwnedModel;
