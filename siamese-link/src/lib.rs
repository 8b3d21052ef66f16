//! The messages between a host and a device, and their frames. Both sides use
//! this module, so they can't disagree; how the bytes travel is not its matter.
//!
//! A frame is COBS over (postcard message, CRC-32 of it), ended by a zero
//! byte: a receiver that has lost its place waits for the next zero.

#![no_std]
#![deny(missing_docs)]
#![forbid(unsafe_code)]

use core::fmt;

use heapless::Vec;
use postcard::ser_flavors::crc::CrcModifier;
use postcard::ser_flavors::{Cobs, Flavor, Slice};
use serde::{Deserialize, Serialize};

use siamese_core::checksum::CRC32;
use siamese_core::gallery::{GalleryError, Identified, Label, LoadError, Verified};
use siamese_core::model::MAX_DIM;

/// The version of the messages; a device states it in [`Info`].
pub const LINK_VERSION: u16 = 2;
/// The most entries that a [`Response::Entries`] lists.
pub const MAX_LISTED: usize = 32;

/// What the host asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Request<'a> {
    /// Who are you, and which model do you run? Answered by [`Response::Info`].
    Info,
    /// Embed an image. Answered by [`Response::Embedding`].
    Embed {
        /// Grey values, row-major, 0 = background.
        pixels: &'a [u8],
    },
    /// How much memory was used so far? Answered by [`Response::Memory`].
    Memory,
    /// Enrol what the image shows. Answered by [`Response::Enrolled`].
    Enrol {
        /// What it shows.
        label: Label,
        /// Whether to keep it as an entry of its own, instead of taking it into
        /// the label's prototype.
        exemplar: bool,
        /// Grey values, row-major, 0 = background.
        pixels: &'a [u8],
    },
    /// What does the image look like? Answered by [`Response::Identified`].
    Identify {
        /// Grey values, row-major, 0 = background.
        pixels: &'a [u8],
    },
    /// Does the image show this? Answered by [`Response::Verified`].
    Verify {
        /// What it is said to show.
        label: Label,
        /// Grey values, row-major, 0 = background.
        pixels: &'a [u8],
    },
    /// What is enrolled? Answered by [`Response::Entries`].
    List,
    /// Remove a label from the gallery. Answered by [`Response::Forgotten`].
    Forget {
        /// What to forget.
        label: Label,
    },
    /// Save the gallery, so that it survives a reset. Answered by
    /// [`Response::Saved`].
    Save,
    /// Start anew, with the gallery that was saved last. Answered by
    /// [`Response::Resetting`] before it happens.
    Reset,
}

/// What the device answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Response<'a> {
    /// The answer to [`Request::Info`].
    #[serde(borrow)]
    Info(Info<'a>),
    /// The answer to [`Request::Embed`].
    Embedding(Embedded),
    /// The answer to [`Request::Memory`].
    Memory(Memory),
    /// The request was not carried out; the next one is welcome.
    Fault(Fault),
    /// The answer to [`Request::Enrol`].
    Enrolled {
        /// The examples in the entry now.
        examples: u16,
    },
    /// The answer to [`Request::Identify`].
    Identified {
        /// What the gallery says; `None` if it is empty.
        answer: Option<Identified>,
        /// How long the comparison took, without the embedding, in ticks of the
        /// device's clock.
        ticks: u32,
    },
    /// The answer to [`Request::Verify`].
    Verified(Verified),
    /// The answer to [`Request::List`]: all entries, in their order.
    Entries(Vec<Listed, MAX_LISTED>),
    /// The answer to [`Request::Forget`].
    Forgotten {
        /// The entries that were removed.
        entries: u16,
    },
    /// The answer to [`Request::Save`].
    Saved,
    /// The answer to [`Request::Reset`]; the device starts anew after it.
    Resetting,
}

/// One entry of a device's gallery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// What it is an entry for.
    pub label: Label,
    /// The examples that it is the mean of.
    pub examples: u16,
}

/// What a device says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Info<'a> {
    /// [`LINK_VERSION`] of the firmware.
    pub link_version: u16,
    /// The board.
    pub board: &'a str,
    /// The model's name.
    pub model: &'a str,
    /// The model's training digest.
    pub training_digest: [u8; 32],
    /// The CRC-32 at the end of the model in flash.
    pub model_crc: u32,
    /// The pixels that an image must have.
    pub pixels: u32,
    /// The coordinates of an embedding.
    pub dim: u16,
    /// How often the clock of [`Embedded::ticks`] ticks, in Hz.
    pub tick_hz: u32,
    /// The entries that the gallery has room for.
    pub gallery_capacity: u16,
    /// Whether the device can save its gallery.
    pub can_save: bool,
    /// Why the gallery that was saved last isn't in use.
    pub refused: Option<LoadError>,
}

/// An embedding and how it came about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Embedded {
    /// The coordinates, in integer steps.
    pub coordinates: Vec<i16, MAX_DIM>,
    /// [`checksum`](siamese_core::checksum::checksum) of each hidden layer's activations, so that a host can
    /// compare every layer without moving it.
    pub hidden_crc: [u32; 2],
    /// How long the embedding took, in ticks of the device's clock.
    pub ticks: u32,
}

/// Memory of the device, in bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// The deepest that the stack has been since the start.
    pub stack_peak: u32,
    /// The stack's room.
    pub stack_size: u32,
}

/// Why a request was not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Fault {
    /// The frame was damaged.
    Frame(FrameError),
    /// The frame was longer than the device's buffer.
    TooLong,
    /// The image has another number of pixels than the model takes.
    ImageSize {
        /// The pixels that the model takes.
        expected: u32,
        /// The pixels that came.
        found: u32,
    },
    /// The gallery did not do what was asked.
    Gallery(GalleryError),
    /// The device has nothing to save a gallery in.
    NoStorage,
    /// The gallery needs more bytes than there are to save it in.
    StorageSize {
        /// The bytes that it needs.
        needed: u32,
        /// The bytes that there are.
        room: u32,
    },
    /// The flash could not be written.
    Storage,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(error) => error.fmt(f),
            Self::TooLong => f.write_str("the frame is longer than the device's buffer"),
            Self::ImageSize { expected, found } => {
                write!(
                    f,
                    "the image has {found} pixels and the model takes {expected}"
                )
            }
            Self::Gallery(error) => error.fmt(f),
            Self::NoStorage => f.write_str("the device has no flash to save a gallery in"),
            Self::StorageSize { needed, room } => write!(
                f,
                "the gallery needs {needed} bytes of flash and there are {room}"
            ),
            Self::Storage => f.write_str("the flash could not be written"),
        }
    }
}

impl core::error::Error for Fault {}

/// Why a frame could not be read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum FrameError {
    /// The bytes are not COBS.
    Cobs,
    /// The checksum or the message in it is wrong.
    Message,
    /// The buffer is too small for the frame.
    Capacity,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cobs => "the frame is not COBS",
            Self::Message => "the frame's checksum or message is wrong",
            Self::Capacity => "the frame doesn't fit the buffer",
        })
    }
}

impl core::error::Error for FrameError {}

/// The bytes that a frame for an image of `pixels` grey values needs at most;
/// frames of all other messages are shorter than that of an empty image plus
/// 256 bytes.
#[must_use]
pub const fn frame_capacity(pixels: usize) -> usize {
    // Variant (1 byte), a label (at most 3), whether it is an exemplar (1), length
    // of the pixels (at most 5), CRC-32 (4).
    let message = pixels + 14;
    let least = 256;
    let cobs = message + message / 254 + 1;
    // The terminating zero.
    (if cobs > least { cobs } else { least }) + 1
}

/// Writes the frame of `message`, its terminating zero included, to the start
/// of `buffer` and returns it.
///
/// # Errors
/// [`FrameError::Capacity`] if the buffer is too small.
pub fn write_frame<'b>(
    message: &impl Serialize,
    buffer: &'b mut [u8],
) -> Result<&'b mut [u8], FrameError> {
    let cobs = Cobs::try_new(Slice::new(buffer)).map_err(|_| FrameError::Capacity)?;
    let frame = FrameWriter(CrcModifier::new(cobs, CRC32.digest()));
    postcard::serialize_with_flavor(message, frame).map_err(|_| FrameError::Capacity)
}

/// Writes the bytes of a message. In its own function: compilers otherwise
/// repeat all that a byte takes for each field of each message.
struct FrameWriter<'b>(CrcModifier<'static, Cobs<Slice<'b>>, u32>);

impl<'b> Flavor for FrameWriter<'b> {
    type Output = &'b mut [u8];

    #[inline(never)]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.try_push(byte)
    }

    fn finalize(self) -> postcard::Result<&'b mut [u8]> {
        self.0.finalize()
    }
}

/// Reads a message from a frame, in place; the terminating zero may be left out.
///
/// # Errors
/// [`FrameError::Cobs`] or [`FrameError::Message`] if the frame is damaged.
pub fn read_frame<'b, M: Deserialize<'b>>(frame: &'b mut [u8]) -> Result<M, FrameError> {
    let length = cobs::decode_in_place(frame).map_err(|_| FrameError::Cobs)?;
    let message = frame.get(..length).ok_or(FrameError::Cobs)?;
    postcard::from_bytes_crc32(message, CRC32.digest()).map_err(|_| FrameError::Message)
}
