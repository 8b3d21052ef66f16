//! The encoder, beside the parser so that one place knows the layout. It needs
//! no allocation either; exporters on the host and build scripts call it.

use super::{ALIGNMENT, Header, LAYERS, Layer, Layout, MAGIC, Model, PREFIX, Precision, TRAILER};
use super::{VERSION, aligned, lanes};
use crate::checksum::CRC32;
use crate::error::{EncodeError, ModelError};
use crate::requantise::Requantise;

/// The numbers of one layer.
#[derive(Debug, Clone, Copy)]
pub struct LayerParts<'a> {
    /// `outputs * inputs` weights in `-127..=127`, row-major: one row an output. Odd
    /// numbers if they have fewer than 8 bits, as [`Precision`] says.
    pub weights: &'a [i8],
    /// One bias a row, in accumulator units.
    pub biases: &'a [i32],
    /// One rounding a row: multiplier 1 and the common shift, if the layer has one.
    pub requantise: &'a [Requantise],
}

/// The length in bytes of the model file that `header` describes; `None` if it is
/// too large.
#[must_use]
pub fn encoded_len(header: &Header<'_>) -> Option<usize> {
    length(header, Layout::Rows)
}

/// The length of the file that [`repack`] makes of the model; `None` if it is
/// too large.
#[must_use]
pub fn repacked_len(model: &Model<'_>, layout: Layout) -> Option<usize> {
    length(model.header(), layout)
}

fn length(header: &Header<'_>, layout: Layout) -> Option<usize> {
    let header_len = header.encoded_len();
    u16::try_from(header_len).ok()?;
    let mut length = PREFIX.checked_add(aligned(header_len)?)?;
    let Precision {
        weights, shifts, ..
    } = header.precision;
    let forms = weights.into_iter().zip(shifts);
    for ((inputs, outputs), (bits, shift)) in header.shapes().into_iter().zip(forms) {
        let weights = if bits < 8 {
            (lanes::length(inputs, outputs)?, 1)
        } else {
            layout.padded(inputs, outputs)?
        };
        let own = if shift > 0 { 0 } else { outputs };
        for (items, bytes_each) in [weights, (outputs, 4), (own, 4), (own, 1)] {
            length = length.checked_add(aligned(items.checked_mul(bytes_each)?)?)?;
        }
    }
    length.checked_add(TRAILER)
}

/// Writes the model into `out` and returns the written part, which
/// [`Model::parse`] accepts: all that it checks is checked before it is returned.
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
    for ((parts, (inputs, outputs)), layer) in layers.iter().zip(header.shapes()).zip(0..) {
        let right = inputs.checked_mul(outputs) == Some(parts.weights.len())
            && parts.biases.len() == outputs
            && parts.requantise.len() == outputs;
        if !right {
            return Err(EncodeError::Lengths { layer });
        }
    }
    write(header, Layout::Rows, layers, out)
}

/// Writes the same model with its weights in another order, for the cores that
/// have a kernel for it, and returns the written part: a build script calls it.
///
/// `model` may have any layout ([`Model::parse_any`]), so that
/// [`Layout::Rows`] undoes it, byte for byte.
///
/// # Errors
/// [`EncodeError::Capacity`] if `out` is shorter than [`repacked_len`], and
/// [`EncodeError::Invalid`] with [`ModelError::Packing`] if the layout can't
/// hold the model's weights exactly.
pub fn repack<'o>(
    model: &Model<'_>,
    layout: Layout,
    out: &'o mut [u8],
) -> Result<&'o [u8], EncodeError> {
    write(model.header(), layout, model.layers(), out)
}

/// The header of the same model with all weights of 8 bits.
fn with_bytes<'h>(header: &Header<'h>) -> Header<'h> {
    let mut header = *header;
    header.precision.weights = Precision::INT8.weights;
    header.precision.shifts = Precision::INT8.shifts;
    header
}

/// The length of the file that [`repack_bytes`] makes of the model; `None` if it is too large.
#[must_use]
pub fn repacked_bytes_len(model: &Model<'_>, layout: Layout) -> Option<usize> {
    length(&with_bytes(model.header()), layout)
}

/// [`repack`], with a byte for each weight of 2, 3 or 4 bits: for kernels that are faster with
/// those, where memory doesn't matter. It is the same model, by its fingerprint as well.
///
/// # Errors
/// As [`repack`], `out` being shorter than [`repacked_bytes_len`].
pub fn repack_bytes<'o>(
    model: &Model<'_>,
    layout: Layout,
    out: &'o mut [u8],
) -> Result<&'o [u8], EncodeError> {
    write(&with_bytes(model.header()), layout, model.layers(), out)
}

/// The length of the file that [`rewrite`] makes of the model; `None` if it is
/// too large.
#[must_use]
pub fn rewritten_len(model: &Model<'_>, header: &Header<'_>) -> Option<usize> {
    length(header, model.layout())
}

/// Writes the same model with another header, whose sizes and precision must be the
/// model's, and returns the written part.
///
/// # Errors
/// [`EncodeError::Capacity`] if `out` is shorter than [`rewritten_len`],
/// [`EncodeError::Lengths`] if the header's sizes are others, and
/// [`EncodeError::Invalid`] if it holds an impossible value.
pub fn rewrite<'o>(
    model: &Model<'_>,
    header: &Header<'_>,
    out: &'o mut [u8],
) -> Result<&'o [u8], EncodeError> {
    for ((new, old), layer) in header
        .shapes()
        .into_iter()
        .zip(model.header().shapes())
        .zip(0..)
    {
        if new != old {
            return Err(EncodeError::Lengths { layer });
        }
    }
    if header.precision != model.header().precision {
        return Err(EncodeError::Invalid(ModelError::Header));
    }
    write(header, model.layout(), model.layers(), out)
}

/// The numbers of one layer, wherever they come from.
trait Numbers {
    /// 0 outside the layer, which only those are asked for that can be in another
    /// layout than rows.
    fn weight(&self, row: usize, column: usize) -> i8;
    fn bias(&self, row: usize) -> i32;
    fn requantise(&self, row: usize) -> Option<Requantise>;
}

impl Numbers for LayerParts<'_> {
    fn weight(&self, row: usize, column: usize) -> i8 {
        self.weights[row * (self.weights.len() / self.biases.len()) + column]
    }

    fn bias(&self, row: usize) -> i32 {
        self.biases[row]
    }

    fn requantise(&self, row: usize) -> Option<Requantise> {
        self.requantise.get(row).copied()
    }
}

impl Numbers for Layer<'_> {
    fn weight(&self, row: usize, column: usize) -> i8 {
        self.weight(row, column)
    }

    fn bias(&self, row: usize) -> i32 {
        self.bias(row)
    }

    fn requantise(&self, row: usize) -> Option<Requantise> {
        self.requantise(row)
    }
}

/// Writes a model whose layers have the header's sizes.
fn write<'o>(
    header: &Header<'_>,
    layout: Layout,
    layers: &[impl Numbers; LAYERS],
    out: &'o mut [u8],
) -> Result<&'o [u8], EncodeError> {
    if !header.precision.is_valid() {
        return Err(EncodeError::Invalid(ModelError::Header));
    }
    let too_large = EncodeError::Invalid(ModelError::Sizes);
    let length = length(header, layout).ok_or(too_large)?;
    let stated = u32::try_from(length).map_err(|_| too_large)?;
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
    for (index, (numbers, shape)) in layers.iter().zip(header.shapes()).enumerate() {
        let bits = header.precision.weights[index];
        if bits < 8 {
            writer
                .lanes(bits, shape, numbers)
                .map_err(|row| ModelError::Weight {
                    layer: index as u8,
                    row: row as u16,
                })
                .map_err(EncodeError::Invalid)?;
        } else {
            let padded = layout.padded(shape.0, shape.1).ok_or(too_large)?;
            writer.weights(layout, shape.0, padded, numbers);
        }
        let outputs = shape.1;
        writer.section((0..outputs).map(|row| numbers.bias(row).to_le_bytes()));
        let rounding = || (0..outputs).filter_map(|row| numbers.requantise(row));
        match header.precision.shifts[index] {
            0 => {
                writer.section(rounding().map(|r| r.multiplier().to_le_bytes()));
                writer.section(rounding().map(|r| [r.shift()]));
            }
            shift => {
                let other = rounding().position(|r| (r.multiplier(), r.shift()) != (1, shift));
                if let Some(row) = other {
                    return Err(EncodeError::Invalid(ModelError::Requantise {
                        layer: index as u8,
                        row: row as u16,
                    }));
                }
            }
        }
    }
    debug_assert_eq!(writer.position + TRAILER, length);

    out[..8].copy_from_slice(&MAGIC);
    out[8] = VERSION;
    out[9] = layout.number();
    out[10..12].copy_from_slice(&(header_len as u16).to_le_bytes());
    out[12..PREFIX].copy_from_slice(&stated.to_le_bytes());
    // Whatever parsing checks is checked here, but for what is written next.
    let fingerprint = Model::fingerprint_of(out).map_err(EncodeError::Invalid)?;
    let (body, trailer) = out.split_at_mut(length - TRAILER);
    trailer[..4].copy_from_slice(&fingerprint.to_le_bytes());
    let mut digest = CRC32.digest();
    digest.update(body);
    digest.update(&trailer[..4]);
    trailer[4..].copy_from_slice(&digest.finalize().to_le_bytes());
    debug_assert_eq!(Model::parse_any(out).err(), None);
    Ok(out)
}

/// A cursor over the file that is being written.
struct Writer<'o> {
    out: &'o mut [u8],
    position: usize,
}

impl Writer<'_> {
    /// Writes the weights of a layer, its tiles filled up to `(rows, columns)` with
    /// zeros.
    fn weights(
        &mut self,
        layout: Layout,
        inputs: usize,
        (rows, columns): (usize, usize),
        numbers: &impl Numbers,
    ) {
        for row in 0..rows {
            for column in 0..columns {
                let weight = numbers.weight(row, column);
                // Even rows are written before the odd ones that build on them.
                let position = self.position + layout.position(inputs, row, column);
                let below = self.out[position - 1];
                self.out[position] = layout.encode(row, weight, below);
            }
        }
        self.position += rows * columns;
        self.pad();
    }

    /// Writes the weights of a layer in lanes; the row of one that has no level is the
    /// error.
    fn lanes(
        &mut self,
        bits: u8,
        (inputs, outputs): (usize, usize),
        numbers: &impl Numbers,
    ) -> Result<(), usize> {
        let length = lanes::length(inputs, outputs).unwrap_or(0);
        let words = &mut self.out[self.position..self.position + length];
        words.fill(0);
        for row in 0..outputs {
            for column in 0..inputs {
                let level = lanes::level(bits, numbers.weight(row, column)).ok_or(row)?;
                let position = lanes::position(inputs, outputs, row, column);
                lanes::put(words, position, row, level);
            }
        }
        self.position += length;
        self.pad();
        Ok(())
    }

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
