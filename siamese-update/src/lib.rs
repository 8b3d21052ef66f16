#![doc = include_str!("../README.md")]
#![no_std]
#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod device;
mod error;
mod golden;
mod header;
mod mark;
mod signature;
mod slots;
mod status;
mod updates;

pub use error::{Rejection, UpdateError};
pub use golden::vector_len;
pub use header::{BOARD_LEN, HEADER_LEN, Header, PAYLOAD_ALIGN, SIGNED_LEN, digest};
pub use signature::{DEVELOPMENT_KEY, DEVELOPMENT_SEED, PublicKey, is_signed_by};
pub use slots::Mapped;
pub use status::{Other, Running, Status};
pub use updates::{ModelUpdates, Policy, Updates};

#[cfg(test)]
extern crate std;
