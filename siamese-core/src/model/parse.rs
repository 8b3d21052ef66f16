//! From untrusted bytes to a validated view.

use super::{ALIGNMENT, Header, LAYERS, Layer, Layout, MAGIC, MAX_DIM, MAX_NAME, Model};
use super::{PREFIX, TRAILER, VERSION, aligned};
use crate::checksum::CRC32;
use crate::error::ModelError;
use crate::kernel;
use crate::requantise::Requantise;

impl<'a> Model<'a> {
    /// Checks the whole file once, in time linear in its length, and borrows
    /// everything from it. After that, no image can make an embedder panic,
    /// read out of bounds or overflow.
    ///
    /// # Errors
    /// A [`ModelError`] of its own for every way in which the bytes can be
    /// unusable; the first one found, in the order of the enum's variants.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ModelError> {
        let model = Self::parse_any(bytes)?;
        if !kernel::runs(model.layout) {
            return Err(ModelError::Layout {
                found: model.layout,
            });
        }
        if model.layout != Layout::Rows && !(bytes.as_ptr() as usize).is_multiple_of(ALIGNMENT) {
            return Err(ModelError::Misaligned);
        }
        Ok(model)
    }

    /// [`parse`](Self::parse) for tools: it takes a layout that no kernel here
    /// is made for, too, and bytes at any address. Such a model can be looked
    /// at, and embeds the same integers, but slowly.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), but for [`ModelError::Layout`] of a known
    /// layout and [`ModelError::Misaligned`].
    pub fn parse_any(bytes: &'a [u8]) -> Result<Self, ModelError> {
        let (layout, header_len) = check_envelope(bytes)?;
        let body = &bytes[..bytes.len() - TRAILER];
        let mut sections = Sections {
            rest: &body[PREFIX..],
        };

        let header = parse_header(sections.take(header_len, ModelError::Header)?)?;
        let mut layers = [Layer::EMPTY; LAYERS];
        for (index, layer) in layers.iter_mut().enumerate() {
            *layer = take_layer(&mut sections, layout, header.layer_shape(index))?;
        }
        if !sections.rest.is_empty() {
            return Err(ModelError::Sizes);
        }
        for (layer, index) in layers.iter().zip(0..) {
            check_layer(layer, index)?;
        }
        Ok(Self {
            header,
            layout,
            layers,
        })
    }
}

impl Layer<'_> {
    /// A layer without rows, which no parsed model has.
    const EMPTY: Self = Self {
        layout: Layout::Rows,
        inputs: 1,
        weights: &[],
        biases: &[],
        multipliers: &[],
        shifts: &[],
    };
}

/// Checks magic, version, length and checksum, and returns the layout and the
/// header's length. After it, the bytes hold at least prefix and trailer.
fn check_envelope(bytes: &[u8]) -> Result<(Layout, usize), ModelError> {
    let truncated = |expected| ModelError::Truncated {
        expected,
        found: bytes.len(),
    };
    if !bytes.starts_with(&MAGIC[..bytes.len().min(MAGIC.len())]) || bytes.is_empty() {
        return Err(ModelError::NotAModel);
    }
    let prefix: &[u8; PREFIX] = bytes.first_chunk().ok_or(truncated(PREFIX + TRAILER))?;
    let [.., version, layout, h0, h1, l0, l1, l2, l3] = *prefix;
    if version != VERSION {
        return Err(ModelError::Version { found: version });
    }
    let expected = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    if bytes.len() < expected {
        return Err(truncated(expected));
    }
    if bytes.len() > expected {
        return Err(ModelError::TrailingBytes {
            expected,
            found: bytes.len(),
        });
    }
    let (body, stated) = bytes
        .split_last_chunk::<TRAILER>()
        .filter(|(body, _)| body.len() >= PREFIX)
        .ok_or(truncated(PREFIX + TRAILER))?;
    let stated = u32::from_le_bytes(*stated);
    let computed = CRC32.checksum(body);
    if stated != computed {
        return Err(ModelError::Checksum {
            expected: stated,
            found: computed,
        });
    }
    let layout = Layout::from_number(layout).ok_or(ModelError::UnknownLayout { found: layout })?;
    Ok((layout, u16::from_le_bytes([h0, h1]).into()))
}

/// Decodes the header and checks the range of every value in it.
fn parse_header(bytes: &[u8]) -> Result<Header<'_>, ModelError> {
    let (header, rest) =
        postcard::take_from_bytes::<Header<'_>>(bytes).map_err(|_| ModelError::Header)?;
    let positive = |scale: f32| scale.is_finite() && scale > 0.0;
    let fraction = |value: f32| (0.0..=1.0).contains(&value);
    let scales = &header.scales;
    let valid = rest.is_empty()
        && header.name.len() <= MAX_NAME
        && scales.hidden.iter().all(|&scale| positive(scale))
        && positive(scales.embedding)
        && header.quality.is_none_or(|quality| {
            [quality.float_knn25, quality.int8_knn25, quality.int8_eer]
                .into_iter()
                .all(fraction)
        })
        && header.calibration.is_none_or(|calibration| {
            fraction(calibration.false_accept_rate) && fraction(calibration.false_reject_rate)
        });
    if !valid {
        return Err(ModelError::Header);
    }
    let inputs = header.input.activations();
    let fits = (1..=usize::from(u16::MAX)).contains(&inputs)
        && header.sizes.iter().all(|&size| size > 0)
        && usize::from(header.sizes[LAYERS - 1]) <= MAX_DIM;
    if fits {
        Ok(header)
    } else {
        Err(ModelError::Sizes)
    }
}

/// The part of the file that is not yet taken.
struct Sections<'a> {
    rest: &'a [u8],
}

impl<'a> Sections<'a> {
    /// Takes a section of `length` bytes and the zeros that pad it; `missing`
    /// if the file has fewer.
    fn take(&mut self, length: usize, missing: ModelError) -> Result<&'a [u8], ModelError> {
        let padded = aligned(length).ok_or(missing)?;
        let (section, rest) = self.rest.split_at_checked(padded).ok_or(missing)?;
        self.rest = rest;
        let (section, padding) = section.split_at(length);
        debug_assert!(padding.len() < ALIGNMENT);
        if padding.iter().any(|&byte| byte != 0) {
            return Err(ModelError::Padding);
        }
        Ok(section)
    }
}

/// Takes the four sections of a layer.
fn take_layer<'a>(
    sections: &mut Sections<'a>,
    layout: Layout,
    (inputs, outputs): (usize, usize),
) -> Result<Layer<'a>, ModelError> {
    let mut take = |items: usize, bytes_each: usize| {
        let length = items.checked_mul(bytes_each).ok_or(ModelError::Sizes)?;
        sections.take(length, ModelError::Sizes)
    };
    let (rows, columns) = layout.padded(inputs, outputs).ok_or(ModelError::Sizes)?;
    Ok(Layer {
        layout,
        inputs,
        weights: take(rows, columns)?,
        biases: take(outputs, 4)?,
        multipliers: take(outputs, 4)?,
        shifts: take(outputs, 1)?,
    })
}

/// Checks every number of a layer. The worst case of a row's accumulator is
/// `Σ|w| * 127 + |bias|`, all activations being in `0..=127`.
fn check_layer(layer: &Layer<'_>, index: u8) -> Result<(), ModelError> {
    for number in 0..layer.outputs() {
        let row = number as u16;
        let mut magnitude = 0u64;
        for weight in layer.row(number) {
            if weight == i8::MIN {
                return Err(ModelError::Weight { layer: index, row });
            }
            magnitude += u64::from(weight.unsigned_abs());
        }
        let requantise = layer.requantise_parts(number);
        if requantise.is_none_or(|(multiplier, shift)| Requantise::new(multiplier, shift).is_none())
        {
            return Err(ModelError::Requantise { layer: index, row });
        }
        let worst = magnitude * 127 + u64::from(layer.bias(number).unsigned_abs());
        if worst > i32::MAX as u64 {
            return Err(ModelError::Overflow { layer: index, row });
        }
        if !layer.layout.holds(number, worst) {
            return Err(ModelError::Packing { layer: index, row });
        }
    }
    check_filling(layer)
}

/// Checks that what fills up the last tiles has the weight 0, so that a kernel
/// may multiply it.
fn check_filling(layer: &Layer<'_>) -> Result<(), ModelError> {
    let layout = layer.layout;
    let (rows, columns) = layout
        .padded(layer.inputs, layer.outputs())
        .ok_or(ModelError::Sizes)?;
    for row in 0..rows {
        let first = if row < layer.outputs() {
            layer.inputs
        } else {
            0
        };
        for column in first..columns {
            let position = layout.position(layer.inputs, row, column);
            let byte = |position: usize| layer.weights.get(position).copied();
            let below = byte(position.wrapping_sub(1)).unwrap_or(0);
            let weight = byte(position).map(|byte| layout.decode(row, byte, below));
            if weight != Some(0) {
                return Err(ModelError::Padding);
            }
        }
    }
    Ok(())
}
