//! The host's end of the link: asks a device for embeddings, be it a real board
//! on a serial port or one that QEMU or rp2040js emulates.
//!
//! The messages are those of [`siamese_link`]. [`Device`] sends and
//! receives them over any [`Transport`]; [`Emulator`] and [`SerialPort`] are two.
//! [`firmware`] builds the firmware and measures its ELF file. [`Reference`] says
//! what a device must answer.
//!
//! An answer is that of its own request, or an error: what is damaged on the line
//! is sent again, and what nobody asked for is dropped. Nothing here waits for
//! ever: an answer that doesn't come is [`Error::Timeout`], and a device that died
//! is [`Error::Died`] with what it said last.
//!
//! ```no_run
//! use std::path::Path;
//! use siamese_device::{Device, Emulator, firmware};
//!
//! # fn main() -> Result<(), siamese_device::Error> {
//! let board = firmware::Board::Mps2An386;
//! let elf = firmware::build(Path::new("model/small.siam"), board)?;
//! let mut device = Device::new(Emulator::start(&elf, board)?)?;
//! let point = device.embed(&[0; 784])?;
//! println!("{:?} after {} ticks", point.coordinates, point.ticks);
//! # Ok(())
//! # }
//! ```

#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod c_library;
mod device;
mod emulator;
mod error;
pub mod firmware;
mod gallery;
mod line;
mod panics;
mod qemu;
mod reference;
mod rp2040js;
mod seal;
mod serial;
mod transport;
mod uf2;
mod update;

pub use c_library::CLibrary;
pub use device::{DEFAULT_TIMEOUT, Device, DeviceInfo, Traffic};
pub use emulator::{Emulator, INSTRUCTIONS_PER_SECOND, instructions_per_image, mean_instructions};
pub use error::Error;
pub use line::Line;
pub use panics::{Panic, panics};
pub use reference::Reference;
pub use seal::{GoldenVector, Release, SealError, seal};
pub use serial::{SerialPort, ports};
pub use siamese_link::{BINS, Statistics};
pub use siamese_link::{Embedded, Fault, FrameError, Identification, Listed, Memory};
pub use siamese_update as updates;
pub use transport::{Halves, Transport};
pub use uf2::uf2;
