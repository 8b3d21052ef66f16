//! The encoder, beside the parser so that one place knows the layout. It needs
//! no allocation either; exporters on the host call it.

use super::{ALIGNMENT, CRC32, Header, LAYERS, MAGIC, Model, PREFIX, TRAILER, VERSION, aligned};
use crate::error::{EncodeError, ModelError};
use crate::requantise::Requantise;

/// The numbers of one layer.
#[derive(Debug, Clone, Copy)]
pub struct LayerParts<'a> {
    /// `outputs * inputs` weights in `-127..=127`, row-major: one row an output.
    pub weights: &'a [i8],
    /// One bias a row, in accumulator units.
    pub biases: &'a [i32],
    /// One rounding a row.
    pub requantise: &'a [Requantise],
}

/// The length in bytes of the model file that `header` describes; `None` if
/// the header is too large to be encoded.
#[must_use]
pub fn encoded_len(header: &Header<'_>) -> Option<usize> {
    let counter = postcard::ser_flavors::Size::default();
    let header_len = postcard::serialize_with_flavor(header, counter).ok()?;
    u16::try_from(header_len).ok()?;
    let mut length = PREFIX.checked_add(aligned(header_len)?)?;
    for layer in 0..LAYERS {
        let (inputs, outputs) = header.layer_shape(layer);
        for bytes_each in [inputs, 4, 4, 1] {
            length = length.checked_add(aligned(outputs.checked_mul(bytes_each)?)?)?;
        }
    }
    length.checked_add(TRAILER)
}

/// Writes the model into `out` and returns the written part, which
/// [`Model::parse`] accepts: it is parsed before it is returned.
///
/// # Errors
/// [`EncodeError::Lengths`] if a layer's slices don't have the header's sizes,
/// [`EncodeError::Capacity`] if `out` is shorter than [`encoded_len`], and
/// [`EncodeError::Invalid`] if the model would be refused by the parser.
pub fn encode<'o>(
    header: &Header<'_>,
    layers: &[LayerParts<'_>; LAYERS],
    out: &'o mut [u8],
) -> Result<&'o [u8], EncodeError> {
    for (layer, parts) in layers.iter().enumerate() {
        let (inputs, outputs) = header.layer_shape(layer);
        let lengths = (
            parts.weights.len(),
            parts.biases.len(),
            parts.requantise.len(),
        );
        if lengths != (inputs * outputs, outputs, outputs) {
            return Err(EncodeError::Lengths { layer: layer as u8 });
        }
    }
    let length = encoded_len(header).ok_or(EncodeError::Invalid(ModelError::Sizes))?;
    let stated = u32::try_from(length).map_err(|_| EncodeError::Invalid(ModelError::Sizes))?;
    let out = out
        .get_mut(..length)
        .ok_or(EncodeError::Capacity { needed: length })?;

    let mut writer = Writer {
        out: &mut *out,
        position: PREFIX,
    };
    let header_len = postcard::to_slice(header, &mut writer.out[PREFIX..])
        .map_err(|_| EncodeError::Invalid(ModelError::Header))?
        .len();
    writer.position += header_len;
    writer.pad();
    for parts in layers {
        writer.section(parts.weights.iter().map(|weight| weight.to_le_bytes()));
        writer.section(parts.biases.iter().map(|bias| bias.to_le_bytes()));
        writer.section(
            parts
                .requantise
                .iter()
                .map(|r| r.multiplier().to_le_bytes()),
        );
        writer.section(parts.requantise.iter().map(|r| [r.shift()]));
    }
    debug_assert_eq!(writer.position + TRAILER, length);

    out[..8].copy_from_slice(&MAGIC);
    out[8..10].copy_from_slice(&VERSION.to_le_bytes());
    out[10..12].copy_from_slice(&(header_len as u16).to_le_bytes());
    out[12..PREFIX].copy_from_slice(&stated.to_le_bytes());
    let (body, trailer) = out.split_at_mut(length - TRAILER);
    trailer.copy_from_slice(&CRC32.checksum(body).to_le_bytes());

    Model::parse(out).map_err(EncodeError::Invalid)?;
    Ok(out)
}

/// A cursor over the file that is being written.
struct Writer<'o> {
    out: &'o mut [u8],
    position: usize,
}

impl Writer<'_> {
    /// Writes the items and the zeros that pad them.
    fn section<const N: usize>(&mut self, items: impl Iterator<Item = [u8; N]>) {
        for item in items {
            self.out[self.position..self.position + N].copy_from_slice(&item);
            self.position += N;
        }
        self.pad();
    }

    /// Writes zeros up to a multiple of [`ALIGNMENT`].
    fn pad(&mut self) {
        let end = self.position.next_multiple_of(ALIGNMENT);
        self.out[self.position..end].fill(0);
        self.position = end;
    }
}
