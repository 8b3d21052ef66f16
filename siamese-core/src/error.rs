//! Everything that can go wrong, one small enum per operation.

use core::fmt;

use crate::model::Layout;

/// Why a byte string is not a usable model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ModelError {
    /// The bytes don't start with the magic of a model file.
    NotAModel,
    /// The file is of another format version.
    Version {
        /// The version that the file states.
        found: u8,
    },
    /// The file states a layout of the weights that this version doesn't know.
    UnknownLayout {
        /// The number that the file states.
        found: u8,
    },
    /// The file is shorter than its length field says: it was cut off.
    Truncated {
        /// The length that the file states, in bytes.
        expected: usize,
        /// The length that was given, in bytes.
        found: usize,
    },
    /// Bytes follow the end of the model.
    TrailingBytes {
        /// The length that the file states, in bytes.
        expected: usize,
        /// The length that was given, in bytes.
        found: usize,
    },
    /// The CRC-32 doesn't match: at least one bit differs from the exported file.
    Checksum {
        /// The checksum that the file states.
        expected: u32,
        /// The checksum of the bytes that were given.
        found: u32,
    },
    /// The header can't be decoded, holds a value out of its range, or isn't
    /// written as the encoder writes it.
    Header,
    /// The layer sizes are zero or too large, or need another file length than
    /// the stated one.
    Sizes,
    /// A padding byte is not zero.
    Padding,
    /// A weight is −128, outside the symmetric range −127..=127; or of fewer bits, and no
    /// odd number that they can hold.
    Weight {
        /// The layer, 0 to 2.
        layer: u8,
        /// The row (output) that holds the weight.
        row: u16,
    },
    /// A row's multiplier or shift is out of range.
    Requantise {
        /// The layer, 0 to 2.
        layer: u8,
        /// The row (output).
        row: u16,
    },
    /// A layer has weights of 2, 3 or 4 bits, for which this build has no code: the crate's
    /// feature `lanes` is off.
    WeightBits {
        /// The bits of a weight.
        found: u8,
    },
    /// Some image could overflow the 32-bit accumulator of a row.
    Overflow {
        /// The layer, 0 to 2.
        layer: u8,
        /// The row (output).
        row: u16,
    },
    /// Some image could overflow what the layout's packed sums leave to a row.
    Packing {
        /// The layer, 0 to 2.
        layer: u8,
        /// The row (output).
        row: u16,
    },
    /// The weights are ordered for another core.
    Layout {
        /// The order that they have.
        found: Layout,
    },
    /// The bytes don't start at a multiple of 16, which a repacked model needs.
    Misaligned,
    /// The fingerprint isn't that of the model's numbers.
    Fingerprint {
        /// The fingerprint that the file states.
        expected: u32,
        /// The fingerprint of the model's numbers.
        found: u32,
    },
    /// The model needs instructions for which only privileged code can ask the
    /// processor.
    Unprivileged,
}

impl fmt::Display for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotAModel => f.write_str("this is no .siam model: the first bytes differ"),
            Self::Version { found: 2 } => write!(
                f,
                "the model has format version 2, which lacks the fingerprint; export it again \
                 from its checkpoint: this reader knows version {}",
                crate::model::VERSION
            ),
            Self::Version { found: 3 } => write!(
                f,
                "the model has format version 3, and this reader knows version {}; \
                 `siamese-train repack` makes one of the other",
                crate::model::VERSION
            ),
            Self::Version { found } => write!(
                f,
                "the model has format version {found}, and this reader knows version {}",
                crate::model::VERSION
            ),
            Self::Truncated { expected, found } => {
                write!(f, "the model is cut off: {found} of {expected} bytes")
            }
            Self::TrailingBytes { expected, found } => write!(
                f,
                "{} bytes follow the end of the model",
                found.saturating_sub(expected)
            ),
            Self::Checksum { expected, found } => write!(
                f,
                "the model is damaged: its CRC-32 is {found:08x} instead of {expected:08x}"
            ),
            Self::Header => f.write_str("the model's header holds an impossible value"),
            Self::Sizes => {
                f.write_str("the model's layer sizes are impossible or don't fit its length")
            }
            Self::Padding => f.write_str("a padding byte of the model is not zero"),
            Self::Weight { layer, row } => {
                write!(
                    f,
                    "layer {layer}, row {row} holds a forbidden weight: -128, or in lanes one \
                     that its bits can't hold"
                )
            }
            Self::Requantise { layer, row } => write!(
                f,
                "layer {layer}, row {row} has a multiplier or shift out of range"
            ),
            Self::WeightBits { found } => write!(
                f,
                "the model has weights of {found} bits, which this build leaves out: turn on the \
                 feature `lanes` of siamese-core"
            ),
            Self::Overflow { layer, row } => write!(
                f,
                "layer {layer}, row {row} could overflow its 32-bit accumulator"
            ),
            Self::UnknownLayout { found } => write!(
                f,
                "the model's weights have the layout {found}, which this reader doesn't know"
            ),
            Self::Packing { layer, row } => write!(
                f,
                "layer {layer}, row {row} has weights too large for packed sums; use the \
                 layout rows"
            ),
            Self::Layout { found } => write!(
                f,
                "the model's weights have the layout {}, which is for another core; \
                 repack it for this one",
                found.name()
            ),
            Self::Fingerprint { expected, found } => write!(
                f,
                "the model's fingerprint is {found:08x} instead of {expected:08x}"
            ),
            Self::Unprivileged => f.write_str(
                "unprivileged code can't ask the processor for its instructions; parse the model \
                 in privileged code, or with a backend",
            ),
            Self::Misaligned => {
                f.write_str("a repacked model must lie at an address that is a multiple of 16")
            }
        }
    }
}

impl core::error::Error for ModelError {}

/// Why [`encode`](crate::model::encode()) wrote no model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum EncodeError {
    /// The slices of a layer don't have the lengths that the header's sizes ask for.
    Lengths {
        /// The layer, 0 to 2.
        layer: u8,
    },
    /// The destination is too short.
    Capacity {
        /// The length that the model needs, in bytes.
        needed: usize,
    },
    /// The parts would make a model that [`Model::parse`](crate::Model::parse) refuses.
    Invalid(ModelError),
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lengths { layer } => {
                write!(
                    f,
                    "the parts of layer {layer} don't have the header's sizes"
                )
            }
            Self::Capacity { needed } => write!(f, "the model needs {needed} bytes"),
            Self::Invalid(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for EncodeError {}

/// A buffer or an embedding of another size than the model's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SizeError {
    /// The image doesn't have the model's number of pixels.
    Image {
        /// The pixels that the model takes.
        expected: usize,
        /// The pixels that were given.
        found: usize,
    },
    /// The model's embedding, or all of a batch, has another number of coordinates.
    Dimension {
        /// The coordinates of the model's embedding, or of all.
        model: usize,
        /// The coordinates that were asked for.
        asked: usize,
    },
    /// A buffer of the embedder is too small for the model's layers.
    Buffers {
        /// What the model needs: bytes for the input and second hidden layer,
        /// and bytes for the first hidden layer.
        needed: (usize, usize),
        /// What the embedder has, in the same order.
        found: (usize, usize),
    },
}

impl fmt::Display for SizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Image { expected, found } => {
                write!(
                    f,
                    "the image has {found} pixels and the model takes {expected}"
                )
            }
            Self::Dimension { model, asked } => write!(
                f,
                "the model's embedding has {model} coordinates, not {asked}"
            ),
            Self::Buffers { needed, found } => write!(
                f,
                "the embedder's buffers hold {} and {} bytes and the model needs {} and {}",
                found.0, found.1, needed.0, needed.1
            ),
        }
    }
}

impl core::error::Error for SizeError {}
