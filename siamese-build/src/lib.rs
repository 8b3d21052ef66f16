#![doc = include_str!("../README.md")]
#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod batch;
mod board;
mod budget;
mod c;
mod core;
pub mod cost;
mod embed;
mod owned;
mod update_key;
mod upgrade;

pub use crate::batch::BatchEmbedder;
pub use crate::board::{
    Board, Emulation, Flashing, Region, Store, USB_ID, USB_PRODUCT, Uart, UartKind, UnknownBoard,
};
pub use crate::budget::{Budget, FlashWait, Misfit, Time};
pub use crate::c::CModel;
pub use crate::core::{Abi, AmbiguousTarget, Core, UnknownCore};
pub use crate::embed::{BuildError, EmbedModel, embed_model};
pub use crate::owned::OwnedModel;
pub use crate::update_key::update_key;
pub use crate::upgrade::upgraded;
