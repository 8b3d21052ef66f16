//! The model file: a validated view of its bytes, and the encoder that makes
//! them. `FORMAT.md` in the repository describes the format.
//!
//! ```text
//! 0   magic "SIAMESE\x1a"         8 bytes
//! 8   format version              u8
//! 9   layout of the weights       u8: 0 = rows
//! 10  length of the header        u16, little-endian like all that follows
//! 12  length of the file          u32
//! 16  header (postcard), zeros up to a multiple of 16
//!     three layers, each: weights i8[outputs][inputs] or in lanes of 4 bits, biases
//!       i32[outputs], and unless all rows are shifted alike multipliers
//!       u32[outputs], shifts u8[outputs]; zeros up to a multiple of 16 after each
//!     fingerprint                                u32
//!     CRC-32 (ISO-HDLC) of all bytes before it   u32
//! ```

mod calibration;
mod encode;
pub(crate) mod lanes;
mod layout;
mod parse;
mod precision;

use serde::{Deserialize, Serialize};

use crate::image::Input;
use crate::kernel::Backend;
use crate::requantise::Requantise;

pub use encode::{
    LayerParts, encode, encoded_len, repack, repack_bytes, repacked_bytes_len, repacked_len,
    rewrite, rewritten_len,
};
pub use layout::Layout;
pub use precision::Precision;

/// The first bytes of every model file. The last one ends text listings early.
pub const MAGIC: [u8; 8] = *b"SIAMESE\x1a";
/// The format version that this crate reads and writes.
pub const VERSION: u8 = 4;
/// Every section of the file starts at a multiple of this many bytes.
pub const ALIGNMENT: usize = 16;
/// The longest name, in bytes.
pub const MAX_NAME: usize = 32;
/// The most coordinates that an embedding can have.
pub const MAX_DIM: usize = 64;
/// The layers of every model.
pub const LAYERS: usize = 3;

/// Bytes of magic, version and lengths, before the postcard header.
const PREFIX: usize = 16;
/// Bytes of the fingerprint and the checksum, at the file's end.
const TRAILER: usize = 8;

/// What a model says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Header<'a> {
    /// A short name, usually the preset's: at most [`MAX_NAME`] bytes.
    #[serde(borrow)]
    pub name: &'a str,
    /// The image that the model takes.
    pub input: Input,
    /// The outputs of the three layers; the last is the embedding's number of
    /// coordinates, at most [`MAX_DIM`].
    pub sizes: [u16; LAYERS],
    /// How many bits the numbers have.
    pub precision: Precision,
    /// What the integers mean.
    pub scales: Scales,
    /// SHA-256 of the training run's description (recipe, seed and data).
    pub training_digest: [u8; 32],
    /// The quality measured when the model was exported, if it was measured.
    pub quality: Option<Quality>,
    /// The distances that tell the same from the different, if they were measured.
    #[serde(with = "calibration")]
    pub calibration: Option<Calibration>,
}

/// Real units in one integer step of each layer's output. For showing only:
/// nothing on the integer path reads them. All are finite and positive.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Scales {
    /// Of the two hidden layers' activations.
    pub hidden: [f32; LAYERS - 1],
    /// Of the embedding's coordinates.
    pub embedding: f32,
}

/// Quality on the evaluation set when the model was exported, as fractions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Quality {
    /// Accuracy of 25-nearest-neighbour classification, float network.
    pub float_knn25: f32,
    /// The same with the integer network, as stored here.
    pub int8_knn25: f32,
    /// Equal error rate of same-or-different decisions, integer network.
    pub int8_eer: f32,
}

/// Distances that tell the same from the different, found by calibration on
/// images that were labelled. All distances are squared, in squared steps of
/// the embedding.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Calibration {
    /// The share of wrong acceptances that the thresholds were set for.
    pub false_accept_rate: f32,
    /// The share of wrong refusals that then is to be expected, of comparisons
    /// with a prototype.
    pub false_reject_rate: f32,
    /// The farthest that an embedding may be from a label's prototype to be
    /// accepted as that.
    pub prototype_threshold: u64,
    /// The farthest that two embeddings may be from each other to count as the
    /// same.
    pub pair_threshold: u64,
    /// The mean squared distance of a class's embeddings from their mean.
    pub spread: u64,
    /// How much farther than the thresholds say an embedding may be for being far
    /// from the origin: so many 256ths of its squared norm. A network lays what it
    /// knows well far out, and what it has never seen near the middle.
    /// [`excess`](crate::gallery::excess) is what a threshold judges.
    pub allowance: u8,
}

impl Header<'_> {
    /// Inputs and outputs of all layers.
    #[must_use]
    pub const fn shapes(&self) -> [(usize, usize); LAYERS] {
        let [first, second, last] = self.sizes;
        let (first, second, last) = (first as usize, second as usize, last as usize);
        [
            (self.input.activations(), first),
            (first, second),
            (second, last),
        ]
    }

    /// The bytes of the header in a file, each varint in its shortest form.
    pub(crate) fn encoded_len(&self) -> usize {
        let varint = |value: u64| (value | 1).ilog2() as usize / 7 + 1;
        let sizes: usize = self.sizes.iter().map(|&size| varint(size.into())).sum();
        // Two options are a byte each, and so is the way of pooling.
        3 + size_of::<Precision>()
            + varint(self.name.len() as u64)
            + self.name.len()
            + varint(self.input.width.into())
            + varint(self.input.height.into())
            + sizes
            + size_of::<Scales>()
            + self.training_digest.len()
            + self.quality.map_or(0, |_| size_of::<Quality>())
            + self.calibration.map_or(0, |found| {
                2 * size_of::<f32>()
                    + varint(found.prototype_threshold)
                    + varint(found.pair_threshold)
                    + varint(found.spread)
                    + usize::from(found.allowance > 0)
            })
    }

    /// Multiply-accumulates for one image, zeros included.
    #[must_use]
    pub fn macs(&self) -> u64 {
        let macs = |(inputs, outputs)| inputs as u64 * outputs as u64;
        self.shapes().into_iter().map(macs).sum()
    }
}

/// A validated model, borrowed from its bytes: weights stay where they are,
/// usually in flash. Made by [`Model::parse`].
#[derive(Debug, Clone, Copy)]
pub struct Model<'a> {
    header: Header<'a>,
    layout: Layout,
    backend: Backend,
    fingerprint: u32,
    layers: [Layer<'a>; LAYERS],
}

impl<'a> Model<'a> {
    /// What the model says of itself.
    #[must_use]
    pub const fn header(&self) -> &Header<'a> {
        &self.header
    }

    /// How the weights are ordered.
    #[must_use]
    pub const fn layout(&self) -> Layout {
        self.layout
    }

    /// The three layers, from the image to the embedding.
    #[must_use]
    pub const fn layers(&self) -> &[Layer<'a>; LAYERS] {
        &self.layers
    }

    /// Whether the weights of a layer are in lanes: of 2, 3 or 4 bits.
    #[must_use]
    pub fn has_lanes(&self) -> bool {
        self.layers.iter().any(Layer::has_lanes)
    }

    /// Whether a device adds the weights of a layer, 0 to 2, for these activations. If not, it
    /// multiplies them, which takes several times as long: weights of 4 bits and more, more
    /// than 15 levels of an activation, images with few zeros.
    #[must_use]
    pub fn adds(&self, layer: usize, activations: &[u8]) -> bool {
        use crate::kernel::lanes as kernel;
        let by_level = layer == 0 && self.header.precision.input <= 2;
        self.layers.get(layer).is_some_and(|layer| {
            layer.has_lanes() && kernel::takes(layer) && kernel::have_room(activations, by_level)
        })
    }

    /// The number of coordinates of an embedding.
    #[must_use]
    pub const fn dim(&self) -> usize {
        self.layers[LAYERS - 1].outputs()
    }

    /// The backend that embeds with it, chosen when it was parsed.
    #[must_use]
    pub const fn backend(&self) -> Backend {
        self.backend
    }

    /// A CRC-32 of all that embeddings follow from: two models with the same
    /// fingerprint give the same embeddings, whatever their names, headers and
    /// the order of their weights. It is stored in the file, and was checked when
    /// that was parsed.
    #[must_use]
    pub const fn fingerprint(&self) -> u32 {
        self.fingerprint
    }

    /// The bytes of activation memory that an embedding needs: a buffer for the
    /// input and then the second hidden layer, and one for the first.
    #[must_use]
    pub const fn buffer_sizes(&self) -> (usize, usize) {
        let [first, second, _] = &self.layers;
        let shared = if first.inputs() > second.outputs() {
            first.inputs()
        } else {
            second.outputs()
        };
        (shared, first.outputs())
    }
}

/// One fully connected layer, borrowed from the model's bytes.
///
/// The sections' lengths were checked against the number of outputs, so that no
/// accessor can panic.
#[derive(Debug, Clone, Copy)]
pub struct Layer<'a> {
    layout: Layout,
    inputs: usize,
    /// Bits of a weight: 2, 3, 4 or 8.
    bits: u8,
    /// The common shift; 0 if the rows have multipliers and shifts of their own.
    shift: u8,
    largest_input: u8,
    /// Of a hidden layer.
    largest_output: u8,
    weights: &'a [u8],
    biases: &'a [u8],
    multipliers: &'a [u8],
    shifts: &'a [u8],
}

impl<'a> Layer<'a> {
    /// The number of input activations, at least 1.
    #[must_use]
    pub const fn inputs(&self) -> usize {
        self.inputs
    }

    /// The number of rows, which is the number of outputs, at least 1.
    #[must_use]
    pub const fn outputs(&self) -> usize {
        self.biases.len() / size_of::<i32>()
    }

    /// How weights of 8 bits are ordered; those of fewer bits have one order, lanes.
    #[inline]
    #[must_use]
    pub const fn layout(&self) -> Layout {
        self.layout
    }

    /// The bits of a weight: 2, 3, 4 or 8.
    #[inline]
    #[must_use]
    pub const fn weight_bits(&self) -> u8 {
        self.bits
    }

    /// Whether the weights are in lanes: of 2, 3 or 4 bits. Never without the feature `lanes`,
    /// so that all that lanes need is left out.
    #[inline]
    #[must_use]
    pub const fn has_lanes(&self) -> bool {
        cfg!(feature = "lanes") && self.bits < 8
    }

    /// The largest activation that it takes, at most 127.
    #[inline]
    #[must_use]
    pub const fn largest_input(&self) -> u8 {
        self.largest_input
    }

    /// All weights as they are in the file, tile after tile, or word after word.
    #[inline]
    #[must_use]
    pub const fn weights(&self) -> &'a [u8] {
        self.weights
    }

    /// One weight, `-127..=127`, wherever the layout has it; 0 outside the layer.
    #[inline]
    #[must_use]
    pub fn weight(&self, row: usize, column: usize) -> i8 {
        if row >= self.outputs() || column >= self.inputs {
            return 0;
        }
        let byte = |position: usize| self.weights.get(position).copied().unwrap_or(0);
        if self.has_lanes() {
            let position = lanes::position(self.inputs, self.outputs(), row, column);
            return lanes::weight(self.bits, lanes::level_at(self.weights, position, row));
        }
        let position = self.layout.position(self.inputs, row, column);
        let below = byte(position.wrapping_sub(1));
        self.layout.decode(row, byte(position), below)
    }

    /// The weights of a row, in the order of the columns.
    pub fn row(&self, row: usize) -> impl Iterator<Item = i8> + use<'a> {
        let layer = *self;
        (0..layer.inputs).map(move |column| layer.weight(row, column))
    }

    /// The levels of a row in lanes, also of one that fills up the last word.
    fn levels(&self, row: usize) -> impl Iterator<Item = u8> + use<'a> {
        lanes::levels(self.weights, self.inputs, self.outputs(), row)
    }

    /// The bias of row `row`, in accumulator units; 0 if there is no such row.
    #[inline]
    #[must_use]
    pub fn bias(&self, row: usize) -> i32 {
        let biases = self.biases();
        biases.get(row).map_or(0, |&bias| i32::from_le_bytes(bias))
    }

    /// All biases, each an `i32` in little-endian bytes.
    #[inline]
    #[must_use]
    pub const fn biases(&self) -> &'a [[u8; 4]] {
        self.biases.as_chunks().0
    }

    /// The rounding of row `row`; `None` if there is no such row.
    #[inline]
    #[must_use]
    pub fn requantise(&self, row: usize) -> Option<Requantise> {
        let (multiplier, shift) = self.requantise_parts(row)?;
        // In range, as the parser has checked.
        Some(Requantise::new_unchecked(multiplier, shift))
    }

    /// Multiplier and shift of row `row`, whatever they are.
    #[inline]
    fn requantise_parts(&self, row: usize) -> Option<(u32, u8)> {
        if self.shift > 0 {
            return (row < self.outputs()).then_some((1, self.shift));
        }
        let (multipliers, _) = self.multipliers.as_chunks::<4>();
        let multiplier = u32::from_le_bytes(*multipliers.get(row)?);
        Some((multiplier, *self.shifts.get(row)?))
    }

    /// The activations that follow from the accumulators of neighbouring rows,
    /// `first` being the first one's number; see [`Requantise::hidden`].
    #[inline(always)] // Into the backends, some of which have vectors.
    pub(crate) fn hidden(&self, first: usize, accs: &[i32], activations: &mut [u8]) {
        if let Some(round) = self.common_rounding() {
            for (activation, &acc) in activations.iter_mut().zip(accs) {
                *activation = round.apply(acc);
            }
            return;
        }
        if self.shift > 0 {
            for (row, (activation, &acc)) in (first..).zip(activations.iter_mut().zip(accs)) {
                *activation = self.activation(row, acc).min(self.largest_output);
            }
            return;
        }
        self.hidden_by_rows(first, accs, activations);
        if self.largest_output < 127 {
            for activation in activations {
                *activation = (*activation).min(self.largest_output);
            }
        }
    }

    /// [`hidden`](Self::hidden) of rows with roundings of their own, up to 127.
    #[inline(always)] // As above.
    fn hidden_by_rows(&self, first: usize, accs: &[i32], activations: &mut [u8]) {
        if cfg!(target_pointer_width = "64") {
            // Branches that can't be foreseen cost more than all the products.
            let (multipliers, _) = self.multipliers.as_chunks::<4>();
            let multipliers = multipliers.get(first..).unwrap_or_default();
            let shifts = self.shifts.get(first..).unwrap_or_default();
            let numbers = multipliers
                .iter()
                .map(|&m| u32::from_le_bytes(m))
                .zip(shifts);
            let rows = activations.iter_mut().zip(accs).zip(numbers);
            // What training exports takes half the work. All are looked at, because
            // to end at the first exception would be slower.
            let least = shifts
                .iter()
                .take(accs.len())
                .fold(u8::MAX, |least, &shift| least.min(shift));
            if least > 32 {
                for ((activation, &acc), (multiplier, &shift)) in rows {
                    *activation = Requantise::hidden_of_usual(acc, multiplier, shift);
                }
            } else {
                for ((activation, &acc), (multiplier, &shift)) in rows {
                    *activation = Requantise::hidden_of(acc, multiplier, shift);
                }
            }
            return;
        }
        // Most units are silent, and for them nothing needs to be looked up. Eight
        // at a time need no counting.
        let (accs, accs_rest) = accs.as_chunks::<8>();
        let (activations, rest) = activations.as_chunks_mut::<8>();
        let mut row = first;
        for (activations, accs) in activations.iter_mut().zip(accs) {
            *activations = [0; 8];
            for (index, (activation, &acc)) in activations.iter_mut().zip(accs).enumerate() {
                if acc > 0 {
                    *activation = self.activation(row + index, acc);
                }
            }
            row += 8;
        }
        for (row, (activation, &acc)) in (row..).zip(rest.iter_mut().zip(accs_rest)) {
            *activation = self.activation(row, acc);
        }
    }

    /// The rounding of a layer with a common shift that is no smaller than what its
    /// activations lack of 7 bits.
    pub(crate) fn common_rounding(&self) -> Option<CommonRounding> {
        let shift = u32::from(self.shift);
        let lost = self.largest_output.leading_zeros().saturating_sub(1);
        (shift > 0 && shift >= lost).then(|| CommonRounding {
            half: (1i32 << (shift & 31)) >> 1,
            shift: shift - lost,
            lost,
        })
    }

    /// The coordinate that follows from a row's accumulator; see
    /// [`Requantise::output`].
    #[inline(never)] // There are few, and 64 bits take much code.
    pub(crate) fn coordinate(&self, row: usize, acc: i32) -> i16 {
        self.requantise(row)
            .map_or(0, |requantise| requantise.output(acc))
    }

    /// The activation that follows from a row's accumulator.
    #[inline(never)] // It is needed eight times.
    fn activation(&self, row: usize, acc: i32) -> u8 {
        self.requantise(row)
            .map_or(0, |requantise| requantise.hidden(acc))
    }
}

/// How the hidden activations of a layer follow from its accumulators, if all of its rows are
/// shifted alike.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CommonRounding {
    /// What is added to round.
    half: i32,
    /// To a number of which 7 bits count, or to the activation.
    shift: u32,
    /// From 7 bits to the activation.
    lost: u32,
}

impl CommonRounding {
    /// The same for accumulators that are too high by `offset`.
    #[inline]
    pub fn less(self, offset: i32) -> Self {
        Self {
            half: self.half.wrapping_sub(offset),
            ..self
        }
    }

    /// What is added to round, and the shift, if the activations have 7 bits.
    #[inline]
    pub const fn to_7_bits(self) -> Option<(i32, u32)> {
        match self.lost {
            0 => Some((self.half, self.shift)),
            _ => None,
        }
    }

    /// The activation: `clamp((acc + half) >> common shift, 0, 2^bits - 1)`. To clamp to 7
    /// bits, and to take those off that are too many, is the same, and there are
    /// instructions for it.
    #[inline(always)] // Into loops of which it is the most.
    pub fn apply(self, acc: i32) -> u8 {
        // In range, as the parser has checked.
        let shifted = acc.wrapping_add(self.half).wrapping_shr(self.shift);
        shifted.clamp(0, 127).wrapping_shr(self.lost) as u8
    }
}

/// Where a file's first section, the first layer's weights, starts, if it says so
/// truly.
#[must_use]
pub fn first_section(bytes: &[u8]) -> usize {
    let header = match bytes.get(10..12) {
        Some(&[low, high]) => u16::from_le_bytes([low, high]),
        _ => 0,
    };
    (PREFIX + usize::from(header)).next_multiple_of(ALIGNMENT)
}

/// The next multiple of [`ALIGNMENT`]; `None` if it doesn't fit.
const fn aligned(length: usize) -> Option<usize> {
    length.checked_next_multiple_of(ALIGNMENT)
}
