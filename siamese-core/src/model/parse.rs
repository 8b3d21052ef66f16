//! From untrusted bytes to a validated view.

use super::lanes;
use super::layout::Visitor;
use super::{ALIGNMENT, Header, LAYERS, Layer, Layout, MAGIC, MAX_DIM, MAX_NAME, Model};
use super::{PREFIX, Precision, TRAILER, VERSION, aligned};
use crate::checksum::{CRC32, Running};
use crate::error::ModelError;
use crate::image::MAX_DESKEWED_SIDE;
use crate::kernel::{self, Backend, Kernel};
use crate::requantise::Requantise;

impl<'a> Model<'a> {
    /// Checks the whole file once, in time linear in its length, and borrows
    /// everything from it. After that, no image can make an embedder panic,
    /// read out of bounds or overflow.
    ///
    /// The backend for the model's layout is chosen here, too, and kept in the
    /// model: to embed asks the processor nothing. On Armv8-M with the main
    /// extension, layouts for DSP and Helium are looked up in registers that only
    /// privileged code may read; unprivileged code takes
    /// [`parse_with`](Self::parse_with), or a model that privileged code has
    /// parsed: a `Model` is `Copy` and `Send`.
    ///
    /// # Errors
    /// A [`ModelError`] of its own for every way in which the bytes can be
    /// unusable: first what is wrong with the file as a whole, then its header,
    /// then the layers in their order. [`ModelError::Unprivileged`] if the
    /// processor can't be asked.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ModelError> {
        let mut model = Self::checked(bytes)?;
        model.backend = detect(model.layout)?;
        model.require_alignment(bytes)?;
        Ok(model)
    }

    /// [`parse`](Self::parse) with a backend that was chosen before; no register
    /// of the processor is read.
    ///
    /// # Errors
    /// As [`parse`](Self::parse); [`ModelError::Layout`] if the backend is for
    /// another layout than the model's.
    pub fn parse_with(bytes: &'a [u8], backend: Backend) -> Result<Self, ModelError> {
        let mut model = Self::checked(bytes)?;
        model.set_backend(backend)?;
        model.require_alignment(bytes)?;
        Ok(model)
    }

    /// [`parse`](Self::parse) for tools: it takes a layout that no kernel here
    /// is made for, too, and bytes at any address. Such a model can be looked
    /// at, and embeds the same integers, but slowly.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), but for [`ModelError::Layout`] of a known
    /// layout, [`ModelError::Unprivileged`] and [`ModelError::Misaligned`].
    pub fn parse_any(bytes: &'a [u8]) -> Result<Self, ModelError> {
        let mut model = Self::checked(bytes)?;
        if model.require_alignment(bytes).is_ok()
            && let Some(backend) = Backend::detect(model.layout)
        {
            model.backend = backend;
        }
        Ok(model)
    }

    /// [`parse`](Self::parse) for bytes that were checked before, in time that
    /// doesn't depend on the weights: what a device calls that wakes up with the
    /// model that it has parsed in an earlier life.
    ///
    /// The file's lengths, its header and its alignment are looked at all the
    /// same; what is skipped is the CRC-32, the fingerprint and every weight,
    /// bias, rounding and padding byte.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), as far as it looks.
    ///
    /// # Safety
    /// [`parse`](Self::parse), [`parse_with`](Self::parse_with) or
    /// [`parse_any`](Self::parse_any) of this version of the crate, on any
    /// machine, must have accepted these very bytes, and no bit of them may have
    /// changed since. A build script that has made them by `siamese-build` vouches
    /// for the first; flash with ECC, or a checksum of the firmware's image, for
    /// the second. Kernels count on what the parser has checked.
    #[allow(
        unsafe_code,
        reason = "the contract is the caller's; nothing unsafe is done"
    )]
    pub unsafe fn parse_trusted(bytes: &'a [u8]) -> Result<Self, ModelError> {
        let mut model = Self::view(bytes)?;
        model.backend = detect(model.layout)?;
        model.require_alignment(bytes)?;
        Ok(model)
    }

    /// [`parse_trusted`](Self::parse_trusted) with a backend that was chosen
    /// before; no register of the processor is read.
    ///
    /// # Errors
    /// As [`parse_with`](Self::parse_with), as far as it looks.
    ///
    /// # Safety
    /// As [`parse_trusted`](Self::parse_trusted).
    #[allow(
        unsafe_code,
        reason = "the contract is the caller's; nothing unsafe is done"
    )]
    pub unsafe fn parse_trusted_with(
        bytes: &'a [u8],
        backend: Backend,
    ) -> Result<Self, ModelError> {
        let mut model = Self::view(bytes)?;
        model.set_backend(backend)?;
        model.require_alignment(bytes)?;
        Ok(model)
    }

    /// The view of bytes of which everything is checked.
    fn checked(bytes: &'a [u8]) -> Result<Self, ModelError> {
        let envelope = Envelope::open(bytes)?;
        let computed = CRC32.checksum(envelope.before_checksum);
        if envelope.checksum != computed {
            return Err(ModelError::Checksum {
                expected: envelope.checksum,
                found: computed,
            });
        }
        let model = Self::view_of(&envelope)?;
        let computed = model.check()?;
        if model.fingerprint != computed {
            return Err(ModelError::Fingerprint {
                expected: model.fingerprint,
                found: computed,
            });
        }
        Ok(model)
    }

    /// The view of bytes whose lengths and header are checked. It runs by the
    /// portable backend.
    fn view(bytes: &'a [u8]) -> Result<Self, ModelError> {
        Self::view_of(&Envelope::open(bytes)?)
    }

    fn view_of(envelope: &Envelope<'a>) -> Result<Self, ModelError> {
        let found = envelope.layout;
        let layout = Layout::from_number(found).ok_or(ModelError::UnknownLayout { found })?;
        let mut sections = envelope.sections();
        let header = parse_header(sections.take(envelope.header_len, ModelError::Header)?)?;
        let few = header.precision.weights.into_iter().find(|&bits| bits < 8);
        if let (false, Some(found)) = (cfg!(feature = "lanes"), few) {
            return Err(ModelError::WeightBits { found });
        }
        let mut layers = [Layer::EMPTY; LAYERS];
        let largest = header.precision.largest_inputs();
        for (index, (layer, shape)) in layers.iter_mut().zip(header.shapes()).enumerate() {
            let form = Layer {
                layout,
                bits: header.precision.weights[index],
                shift: header.precision.shifts[index],
                largest_input: largest[index],
                largest_output: largest.get(index + 1).copied().unwrap_or(0),
                ..Layer::EMPTY
            };
            *layer = take_layer(&mut sections, form, shape)?;
        }
        if !sections.rest.is_empty() {
            return Err(ModelError::Sizes);
        }
        Ok(Self {
            header,
            layout,
            backend: Backend::PORTABLE,
            fingerprint: envelope.fingerprint,
            layers,
        })
    }

    /// The fingerprint of a file that lacks it, and the checksum, but for which
    /// [`parse_any`](Self::parse_any) would accept it: the encoder's last step.
    pub(super) fn fingerprint_of(bytes: &'a [u8]) -> Result<u32, ModelError> {
        Self::view(bytes)?.check()
    }

    /// Checks every number of the layers, and returns the fingerprint.
    fn check(&self) -> Result<u32, ModelError> {
        let mut digest = Running::new();
        let input = self.header.input;
        digest.update(&input.width.to_le_bytes());
        digest.update(&input.height.to_le_bytes());
        digest.update(&[input.code()]);
        let Precision { input, hidden, .. } = self.header.precision;
        if (input, hidden) != (Precision::INT8.input, Precision::INT8.hidden) {
            digest.update(&[input]);
            digest.update(&hidden);
        }
        for (layer, index) in self.layers.iter().zip(0..) {
            digest = check_layer(layer, index, digest)?;
        }
        Ok(digest.finish())
    }

    fn set_backend(&mut self, backend: Backend) -> Result<(), ModelError> {
        if backend.layout() != self.layout {
            return Err(ModelError::Layout { found: self.layout });
        }
        self.backend = backend;
        Ok(())
    }

    /// Rows are read byte by byte; what the kernels of lanes and of other layouts read
    /// is aligned if the file is.
    fn require_alignment(&self, bytes: &[u8]) -> Result<(), ModelError> {
        let rows = self.layout == Layout::Rows && !self.has_lanes();
        if !rows && !bytes.as_ptr().addr().is_multiple_of(ALIGNMENT) {
            return Err(ModelError::Misaligned);
        }
        Ok(())
    }
}

impl Layer<'_> {
    /// A layer without rows, which no parsed model has.
    const EMPTY: Self = Self {
        layout: Layout::Rows,
        inputs: 1,
        bits: 8,
        shift: 0,
        largest_input: 127,
        largest_output: 127,
        weights: &[],
        biases: &[],
        multipliers: &[],
        shifts: &[],
    };
}

/// The backend for a layout, or why there is none.
fn detect(layout: Layout) -> Result<Backend, ModelError> {
    match Backend::detect(layout) {
        Some(backend) => Ok(backend),
        None if Backend::compiled(layout) && !kernel::privileged() => Err(ModelError::Unprivileged),
        None => Err(ModelError::Layout { found: layout }),
    }
}

/// A file of the right magic, version and length, cut into its parts.
struct Envelope<'a> {
    layout: u8,
    header_len: usize,
    fingerprint: u32,
    checksum: u32,
    /// Header and layers.
    body: &'a [u8],
    before_checksum: &'a [u8],
}

impl<'a> Envelope<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, ModelError> {
        let found = bytes.len();
        let truncated = |expected| ModelError::Truncated { expected, found };
        let (magic, rest) = bytes.split_at_checked(MAGIC.len()).unwrap_or((bytes, &[]));
        if bytes.is_empty() || !MAGIC.starts_with(magic) {
            return Err(ModelError::NotAModel);
        }
        let (fields, _) = rest
            .split_first_chunk::<{ PREFIX - MAGIC.len() }>()
            .ok_or(truncated(PREFIX + TRAILER))?;
        let [version, layout, h0, h1, l0, l1, l2, l3] = *fields;
        if version != VERSION {
            return Err(ModelError::Version { found: version });
        }
        // What is longer than any memory here was cut off.
        let expected = u32::from_le_bytes([l0, l1, l2, l3]);
        let expected = usize::try_from(expected).unwrap_or(usize::MAX);
        if found < expected {
            return Err(truncated(expected));
        }
        if found > expected {
            return Err(ModelError::TrailingBytes { expected, found });
        }
        let too_short = truncated(PREFIX + TRAILER);
        let (before_checksum, checksum) = bytes.split_last_chunk().ok_or(too_short)?;
        let (before, fingerprint) = before_checksum.split_last_chunk().ok_or(too_short)?;
        Ok(Self {
            layout,
            header_len: u16::from_le_bytes([h0, h1]).into(),
            fingerprint: u32::from_le_bytes(*fingerprint),
            checksum: u32::from_le_bytes(*checksum),
            body: before.get(PREFIX..).ok_or(too_short)?,
            before_checksum,
        })
    }

    fn sections(&self) -> Sections<'a> {
        Sections { rest: self.body }
    }
}

/// Decodes the header and checks the range of every value in it.
fn parse_header(bytes: &[u8]) -> Result<Header<'_>, ModelError> {
    let (header, rest) =
        postcard::take_from_bytes::<Header<'_>>(bytes).map_err(|_| ModelError::Header)?;
    // The bits of floats that aren't negative are ordered as the floats are. NaN
    // and infinity are above all others, and every number with a sign, -0 too.
    let positive = |scale: &f32| (1..f32::INFINITY.to_bits()).contains(&scale.to_bits());
    let fraction = |value: &f32| value.to_bits() <= 1f32.to_bits();
    let scales = &header.scales;
    // A decoder accepts varints with zeros in front, each of which makes the header
    // longer; all else has one form.
    let valid = rest.is_empty()
        && header.precision.is_valid()
        && header.encoded_len() == bytes.len()
        && header.name.len() <= MAX_NAME
        && scales.hidden.iter().all(positive)
        && positive(&scales.embedding)
        && header.quality.is_none_or(|quality| {
            [quality.float_knn25, quality.int8_knn25, quality.int8_eer]
                .iter()
                .all(fraction)
        })
        && header.calibration.is_none_or(|calibration| {
            fraction(&calibration.false_accept_rate) && fraction(&calibration.false_reject_rate)
        });
    if !valid {
        return Err(ModelError::Header);
    }
    let Header { input, sizes, .. } = &header;
    // Where a `usize` is small, the pixels are not always countable.
    let pixels = usize::from(input.width).checked_mul(usize::from(input.height));
    let fits = pixels.is_some()
        && (1..=usize::from(u16::MAX)).contains(&input.activations())
        && (!input.deskew || input.width.max(input.height) <= MAX_DESKEWED_SIDE)
        && sizes.iter().all(|&size| size > 0)
        && usize::from(sizes[LAYERS - 1]) <= MAX_DIM;
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
        let (section, padding) = section.split_at_checked(length).ok_or(missing)?;
        if padding.iter().any(|&byte| byte != 0) {
            return Err(ModelError::Padding);
        }
        Ok(section)
    }
}

/// Takes the sections of a layer of this form: four, or two if all of its rows are
/// shifted alike.
fn take_layer<'a>(
    sections: &mut Sections<'a>,
    form: Layer<'a>,
    (inputs, outputs): (usize, usize),
) -> Result<Layer<'a>, ModelError> {
    let mut take = |items: usize, bytes_each: usize| {
        let length = items.checked_mul(bytes_each).ok_or(ModelError::Sizes)?;
        sections.take(length, ModelError::Sizes)
    };
    let weights = if form.has_lanes() {
        let length = lanes::length(inputs, outputs).ok_or(ModelError::Sizes)?;
        take(length, 1)?
    } else {
        let (rows, columns) = form
            .layout
            .padded(inputs, outputs)
            .ok_or(ModelError::Sizes)?;
        take(rows, columns)?
    };
    let biases = take(outputs, 4)?;
    let own = if form.shift > 0 { 0 } else { outputs };
    Ok(Layer {
        inputs,
        weights,
        biases,
        multipliers: take(own, 4)?,
        shifts: take(own, 1)?,
        ..form
    })
}

/// Checks every number of a layer, and adds it to the fingerprint.
fn check_layer(layer: &Layer<'_>, index: u8, mut digest: Running) -> Result<Running, ModelError> {
    digest.update(&(layer.outputs() as u32).to_le_bytes());
    let mut check = Check {
        layer,
        index,
        row: 0,
        digest,
    };
    if layer.has_lanes() {
        check.lanes()?;
    } else {
        let (_, columns) = layer
            .layout
            .padded(layer.inputs, layer.outputs())
            .ok_or(ModelError::Sizes)?;
        layer
            .layout
            .visit_rows(layer.weights, columns, &mut check)?;
    }
    let mut digest = check.digest;
    digest.update(layer.biases);
    if layer.shift > 0 {
        // As they would be, were they written row by row.
        (0..layer.outputs()).for_each(|_| digest.update(&1u32.to_le_bytes()));
        (0..layer.outputs()).for_each(|_| digest.update(&[layer.shift]));
    }
    digest.update(layer.multipliers);
    digest.update(layer.shifts);
    Ok(digest)
}

/// Checks the rows of a layer as they come.
struct Check<'l, 'a> {
    layer: &'l Layer<'a>,
    index: u8,
    row: usize,
    digest: Running,
}

impl Visitor for Check<'_, '_> {
    type Error = ModelError;

    /// The worst case of a row's accumulator is `127 * Σ|w| + |bias|`, all
    /// activations being in `0..=127`. What fills up the last tiles must be 0, so
    /// that a kernel may multiply it.
    #[inline(always)] // Once for each layout.
    fn row<const COLUMNS: usize>(
        &mut self,
        mut tiles: impl Iterator<Item = [i8; COLUMNS]>,
    ) -> Result<(), ModelError> {
        let (layer, number) = (self.layer, self.row);
        self.row += 1;
        let mut magnitude = 0u32;
        // The largest magnitude is that of the one weight that is forbidden.
        let mut bits = 0u8;
        let mut digest = self.digest;
        let mut add = |weight: i8| {
            magnitude += u32::from(weight.unsigned_abs());
            bits |= weight.unsigned_abs();
            digest.push(weight.cast_unsigned());
        };
        if number < layer.outputs() {
            for tile in tiles.by_ref().take(layer.inputs / COLUMNS) {
                tile.into_iter().for_each(&mut add);
            }
            if let Some(tile) = tiles.next() {
                let (weights, filling) = tile
                    .split_at_checked(layer.inputs % COLUMNS)
                    .unwrap_or_default();
                weights.iter().copied().for_each(&mut add);
                if filling.iter().any(|&weight| weight != 0) {
                    return Err(ModelError::Padding);
                }
            }
            self.digest = digest;
            self.check_row(number, magnitude, bits)
        } else {
            match tiles.all(|tile| tile == [0; COLUMNS]) {
                true => Ok(()),
                false => Err(ModelError::Padding),
            }
        }
    }
}

impl Check<'_, '_> {
    /// Checks the rows of a layer in lanes. What fills up the last words must be 0.
    #[inline(never)]
    fn lanes(&mut self) -> Result<(), ModelError> {
        let layer = self.layer;
        let largest = lanes::largest_level(layer.bits);
        for number in 0..layer.outputs() {
            let mut magnitude = 0u32;
            let mut digest = self.digest;
            for level in layer.levels(number) {
                if level > largest {
                    return Err(ModelError::Weight {
                        layer: self.index,
                        row: number as u16,
                    });
                }
                let weight = lanes::weight(layer.bits, level);
                magnitude += u32::from(weight.unsigned_abs());
                digest.push(weight.cast_unsigned());
            }
            self.digest = digest;
            self.check_row(number, magnitude, 0)?;
        }
        let filling = layer.outputs()..layer.outputs().next_multiple_of(lanes::ROWS);
        for number in filling {
            if layer.levels(number).any(|level| level != 0) {
                return Err(ModelError::Padding);
            }
        }
        Ok(())
    }

    /// Checks what belongs to a row but its weights, which have the sum `magnitude`
    /// of magnitudes and `bits`, those of all their magnitudes.
    #[inline(never)] // Shared by all layouts.
    fn check_row(&self, number: usize, magnitude: u32, bits: u8) -> Result<(), ModelError> {
        let (layer, index, row) = (self.layer, self.index, number as u16);
        if bits & 0x80 != 0 {
            return Err(ModelError::Weight { layer: index, row });
        }
        let requantise = layer.requantise_parts(number);
        if requantise.is_none_or(|(multiplier, shift)| Requantise::new(multiplier, shift).is_none())
        {
            return Err(ModelError::Requantise { layer: index, row });
        }
        // At most 127 * 127 * 65535 + 2^31.
        let worst = magnitude * u32::from(layer.largest_input) + layer.bias(number).unsigned_abs();
        // What a common shift adds to round stays below the next power of two.
        let half = 1u32.wrapping_shl(u32::from(layer.shift)) >> 1;
        if worst.saturating_add(half) > i32::MAX.cast_unsigned() {
            return Err(ModelError::Overflow { layer: index, row });
        }
        if !layer.has_lanes() && !layer.layout.holds(number, worst) {
            return Err(ModelError::Packing { layer: index, row });
        }
        Ok(())
    }
}
