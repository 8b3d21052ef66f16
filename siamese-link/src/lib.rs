#![doc = include_str!("../README.md")]
#![no_std]
#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod frame;
mod message;
pub mod names;
pub mod server;
mod statistics;
pub mod store;

pub use frame::{
    FrameError, Kind, LINK_VERSION, Message, Payload, Tag, frame_capacity, open_frame, read_frame,
    write_frame,
};
pub use message::{
    Embedded, Entries, Fault, Identification, Info, Listed, MAX_LISTED, Memory, Notice, Refused,
    Request, Response,
};
#[cfg(feature = "updates")]
pub use message::{UpdateKind, UpdateStep};
pub use names::NameTable;
pub use server::{Platform, Server};
pub use statistics::{BINS, Statistics};
pub use store::NoStore;
