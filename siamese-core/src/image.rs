//! From the pixels of an image to the input activations of the first layer.

use serde::de::Error as _;
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::kernel::lanes::as_written;
use slant::Slant;

mod slant;

/// How pixels become input activations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Pooling {
    /// One activation a pixel: `pixel >> 1`.
    None,
    /// One activation for each square of 2x2 pixels: their sum `>> 3`.
    /// An odd last row or column is left out.
    Sum2x2,
    /// Every other pixel, as the squares of one colour on a chessboard: one
    /// activation for each column of two rows, the upper row's pixel in even
    /// columns, the lower row's in odd ones, `pixel >> 1`. An odd last row is
    /// left out.
    Checkerboard,
    /// [`Self::Sum2x2`] of the picture without the two outermost rows and columns on
    /// each side, which hold next to nothing where ink was centred.
    Inner2x2,
    /// [`Self::Checkerboard`] of the picture without that border.
    InnerCheckerboard,
}

impl Pooling {
    /// All, in the order of their numbers in a model file.
    pub const ALL: [Self; 5] = [
        Self::None,
        Self::Sum2x2,
        Self::Checkerboard,
        Self::Inner2x2,
        Self::InnerCheckerboard,
    ];

    /// The rows and columns of pixels that it leaves out on each side.
    #[must_use]
    pub const fn border(self) -> usize {
        match self {
            Self::Inner2x2 | Self::InnerCheckerboard => BORDER,
            Self::None | Self::Sum2x2 | Self::Checkerboard => 0,
        }
    }
}

/// The rows and columns on each side that [`Pooling::Inner2x2`] and
/// [`Pooling::InnerCheckerboard`] leave out.
pub const BORDER: usize = 2;

/// The longest side, in pixels, of images that are deskewed.
pub const MAX_DESKEWED_SIDE: u16 = 96;

/// The image that a model takes: 8-bit grey values, row-major, 0 = background.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Input {
    /// Pixels in a row.
    pub width: u16,
    /// Rows.
    pub height: u16,
    /// How pixels become activations.
    pub pooling: Pooling,
    /// Whether what is drawn is set upright before it is pooled: rows are moved sideways, two
    /// by two, so that the ink no longer drifts to one side from top to bottom. Sides are at
    /// most [`MAX_DESKEWED_SIDE`].
    pub deskew: bool,
}

/// Sets what is drawn upright, as models do that say so: rows of `width` pixels, each two of
/// them moved to one side alike. Images whose sides are longer than [`MAX_DESKEWED_SIDE`] stay
/// as they are.
pub fn deskew(width: usize, pixels: &mut [u8]) {
    let width = width.max(1);
    let slant = Slant::of(width, pixels);
    let mut moved = [0; MAX_DESKEWED_SIDE as usize];
    for (pair, rows) in pixels.chunks_mut(2 * width).enumerate() {
        let shift = slant.shift(pair);
        for row in rows.chunks_mut(width).filter(|_| shift != 0) {
            let moved = move_left(row, shift, &mut moved);
            row.iter_mut()
                .zip(moved)
                .for_each(|(pixel, &moved)| *pixel = moved);
        }
    }
}

impl Input {
    /// 28x28 pixels, not pooled, as MNIST has them: 784 activations.
    pub const MNIST: Self = Self {
        width: 28,
        height: 28,
        pooling: Pooling::None,
        deskew: false,
    };

    /// In a model file, this is added to the number of the pooling of deskewed images.
    const DESKEWED: u8 = 8;

    /// How the pixels become activations, as a model file has it.
    pub(crate) const fn code(&self) -> u8 {
        let deskewed = if self.deskew { Self::DESKEWED } else { 0 };
        self.pooling as u8 | deskewed
    }

    /// The number of pixels in an image; the largest `usize` if there are more,
    /// which no parsed model has.
    #[must_use]
    pub const fn pixels(&self) -> usize {
        (self.width as usize).saturating_mul(self.height as usize)
    }

    /// The number of input activations of the first layer.
    #[must_use]
    pub const fn activations(&self) -> usize {
        match self.pooling {
            Pooling::None => self.pixels(),
            Pooling::Sum2x2 | Pooling::Inner2x2 => {
                (self.inner(self.width) / 2).saturating_mul(self.inner(self.height) / 2)
            }
            Pooling::Checkerboard | Pooling::InnerCheckerboard => self
                .inner(self.width)
                .saturating_mul(self.inner(self.height) / 2),
        }
    }

    /// The rows and columns of pixels that are left out on each side.
    #[must_use]
    pub const fn border(&self) -> usize {
        self.pooling.border()
    }

    /// What is left of a side of so many pixels.
    const fn inner(&self, side: u16) -> usize {
        (side as usize).saturating_sub(2 * self.border())
    }

    /// Fills `activations` (of length [`Self::activations`]) from `pixels` (of
    /// length [`Self::pixels`]); every activation is in `0..=127`, and a black
    /// neighbourhood gives exactly 0. Slices of other lengths are filled as
    /// far as both go.
    #[inline(never)] // Its loops need all registers.
    pub fn quantise(&self, pixels: &[u8], activations: &mut [u8]) {
        if self.deskew {
            return self.quantise_pairs(pixels, activations);
        }
        match self.pooling {
            Pooling::None => {
                for (activation, &pixel) in activations.iter_mut().zip(pixels) {
                    *activation = pixel >> 1;
                }
            }
            Pooling::Checkerboard => {
                self.pool(
                    pixels,
                    activations,
                    usize::from(self.width),
                    |upper, lower, row| {
                        if cfg!(target_pointer_width = "64") {
                            checkerboard_by_vectors(upper, lower, row);
                        } else {
                            checkerboard(upper, lower, row);
                        }
                    },
                );
            }
            Pooling::Sum2x2 | Pooling::Inner2x2 => self.sum_squares(pixels, activations),
            Pooling::InnerCheckerboard => self.quantise_pairs(pixels, activations),
        }
    }

    /// [`Self::quantise`], one pair of rows after the other, for what has no faster way.
    #[inline(never)]
    fn quantise_pairs(&self, pixels: &[u8], activations: &mut [u8]) {
        let mut activations = activations.iter_mut();
        self.each_pair(pixels, |upper, lower| match self.pooling {
            Pooling::None => {
                for row in [upper, lower] {
                    for (&pixel, activation) in row.iter().zip(&mut activations) {
                        as_written();
                        *activation = pixel >> 1;
                    }
                }
            }
            Pooling::Sum2x2 | Pooling::Inner2x2 => {
                for (square, activation) in squares(upper, lower).zip(&mut activations) {
                    as_written();
                    *activation = (square >> 3) as u8;
                }
            }
            Pooling::Checkerboard | Pooling::InnerCheckerboard => {
                let mut rows = [upper, lower];
                for (column, activation) in (0..upper.len()).zip(&mut activations) {
                    as_written();
                    let pixel = rows[0].get(column).copied().unwrap_or(0);
                    *activation = pixel >> 1;
                    rows.swap(0, 1);
                }
            }
        });
    }

    /// Calls `each(upper, lower)` for the pairs of rows without the border, set upright if they
    /// are to be; without an odd last row, unless there is no pooling.
    #[inline(always)]
    fn each_pair(&self, pixels: &[u8], mut each: impl FnMut(&[u8], &[u8])) {
        let width = usize::from(self.width).max(1);
        let border = self.border();
        let slant = self.deskew.then(|| Slant::of(width, pixels));
        let pairs = match self.pooling {
            Pooling::None => self.inner(self.height).div_ceil(2),
            _ => self.inner(self.height) / 2,
        };
        let below = pixels.get(border * width..).unwrap_or_default();
        let mut moved = [[0; MAX_DESKEWED_SIDE as usize]; 2];
        for (rows, pair) in below.chunks(2 * width).take(pairs).zip(border / 2..) {
            let (mut upper, mut lower) = rows.split_at(width.min(rows.len()));
            if let Some(slant) = slant {
                let shift = slant.shift(pair);
                let [above, beneath] = &mut moved;
                upper = move_left(upper, shift, above);
                lower = move_left(lower, shift, beneath);
            }
            each(inside(upper, border), inside(lower, border));
        }
    }

    /// [`Self::quantise`] by sums of 2x2 pixels.
    #[inline(never)] // Or the other loops have fewer registers.
    fn sum_squares(&self, pixels: &[u8], activations: &mut [u8]) {
        let border = self.border();
        let pixels = pixels.get(border * usize::from(self.width)..);
        let most = self.activations().min(activations.len());
        self.pool(
            pixels.unwrap_or_default(),
            activations.get_mut(..most).unwrap_or_default(),
            self.inner(self.width) / 2,
            |upper, lower, row| sums2x2(inside(upper, border), inside(lower, border), row),
        );
    }

    /// Calls `each(column, activation)` for the activations of so many bits, 1 to 7, that are
    /// not zero.
    #[inline]
    pub(crate) fn each_active(&self, bits: u8, pixels: &[u8], mut each: impl FnMut(u16, u8)) {
        let shift = 8 - bits.clamp(1, 7);
        let width = usize::from(self.width).max(1);
        let mut each = |column: u16, pixel: u8| {
            if pixel >> shift > 0 {
                each(column, pixel >> shift);
            }
        };
        // The bits that count, of four pixels.
        let mask = u32::from_le_bytes([0xFF << shift; 4]);
        let masks = [mask & UPPER, mask & !UPPER];
        let mut column = 0;
        if !cfg!(kernel_unaligned)
            && !self.deskew
            && matches!(self.pooling, Pooling::Checkerboard)
            && width.is_multiple_of(4)
            && let Ok(words) = bytemuck::try_cast_slice::<_, u32>(pixels)
        {
            let row = (width / 4).max(1);
            for pair in words.chunks_exact(2 * row) {
                let (upper, lower) = pair.split_at_checked(row).unwrap_or_default();
                for (upper, lower) in upper.iter().zip(lower) {
                    let upper = u32::from_le(*upper) & masks[0];
                    of_four(upper | u32::from_le(*lower) & masks[1], column, &mut each);
                    column += 4;
                }
            }
            return;
        }
        self.each_pair(pixels, |upper, lower| match self.pooling {
            Pooling::None => {
                for &pixel in upper.iter().chain(lower) {
                    each(column, pixel);
                    column += 1;
                }
            }
            Pooling::Sum2x2 | Pooling::Inner2x2 => {
                for square in squares(upper, lower) {
                    each(column, (square >> 2) as u8);
                    column += 1;
                }
            }
            Pooling::Checkerboard | Pooling::InnerCheckerboard => {
                let (uppers, upper) = upper.as_chunks::<4>();
                let (lowers, lower) = lower.as_chunks::<4>();
                for (upper, lower) in uppers.iter().zip(lowers) {
                    of_four(four(upper, lower, masks), column, &mut each);
                    column += 4;
                }
                for (index, (&upper, &lower)) in upper.iter().zip(lower).enumerate() {
                    each(column, if index % 2 == 0 { upper } else { lower });
                    column += 1;
                }
            }
        });
    }

    /// Makes each row of activations, so many of them, from two rows of pixels.
    #[inline]
    fn pool(
        &self,
        mut pixels: &[u8],
        mut activations: &mut [u8],
        activations_each: usize,
        make: impl Fn(&[u8], &[u8], &mut [u8]),
    ) {
        let width = usize::from(self.width);
        // Without activations in a row, there are no rows.
        while activations_each > 0
            && let Some((pair, later)) = pixels.split_at_checked(2 * width)
            && let Some((upper, lower)) = pair.split_at_checked(width)
            && let Some((row, next)) = activations.split_at_mut_checked(activations_each)
        {
            make(upper, lower, row);
            (pixels, activations) = (later, next);
        }
    }
}

/// The sums of the squares of 2x2 pixels of two rows.
#[inline]
fn squares(upper: &[u8], lower: &[u8]) -> impl Iterator<Item = u16> {
    let sides = upper
        .as_chunks::<2>()
        .0
        .iter()
        .zip(lower.as_chunks::<2>().0);
    sides.map(|(&[a, b], &[c, d])| u16::from(a) + u16::from(b) + u16::from(c) + u16::from(d))
}

/// A row of pixels, no more than there is room for, that is moved to the left, and zeros where
/// nothing is left.
#[inline(never)]
fn move_left<'m>(
    row: &[u8],
    shift: i32,
    moved: &'m mut [u8; MAX_DESKEWED_SIDE as usize],
) -> &'m [u8] {
    let by = (shift.unsigned_abs() as usize).min(row.len());
    let moved = moved.get_mut(..row.len()).unwrap_or_default();
    moved.fill(0);
    let (from, to) = if shift < 0 { (0, by) } else { (by, 0) };
    let to = moved.get_mut(to..).unwrap_or_default();
    for (to, &from) in to.iter_mut().zip(row.get(from..).unwrap_or_default()) {
        as_written();
        *to = from;
    }
    moved
}

/// A row of pixels without so many at both ends.
#[inline]
fn inside(row: &[u8], border: usize) -> &[u8] {
    let end = row.len().saturating_sub(border);
    row.get(border..end).unwrap_or_default()
}

/// One row of [`Pooling::Sum2x2`] from two rows of pixels.
fn sums2x2(upper: &[u8], lower: &[u8], row: &mut [u8]) {
    let (words, rest) = row.as_chunks_mut::<2>();
    let (above, above_rest) = upper.as_chunks::<4>();
    let (below, below_rest) = lower.as_chunks::<4>();
    for (word, (above, below)) in words.iter_mut().zip(above.iter().zip(below)) {
        let (above, below) = (u32::from_le_bytes(*above), u32::from_le_bytes(*below));
        *word = if above | below == 0 {
            [0; 2]
        } else {
            two_squares(above, below)
        };
    }
    if let ([activation], [a, b, ..], [c, d, ..]) = (rest, above_rest, below_rest) {
        let sum: u16 = [a, b, c, d]
            .into_iter()
            .map(|&pixel| u16::from(pixel))
            .sum();
        *activation = (sum >> 3) as u8;
    }
}

/// The activations of two neighbouring squares, from four pixels of each row.
#[inline(never)] // Or compilers compute it for black squares as well.
fn two_squares(above: u32, below: u32) -> [u8; 2] {
    /// Every other byte of a word, each with room for a sum.
    const EVEN: u32 = 0x00FF_00FF;
    let pairs = |four: u32| (four & EVEN) + (four >> 8 & EVEN);
    // Each half has 10 bits, 7 of which remain.
    let [first, _, second, _] = ((pairs(above) + pairs(below)) >> 3).to_le_bytes();
    [first, second]
}

/// Four pixels of a checkerboard from two rows, but for the bits that don't count.
#[inline(always)]
fn four(upper: &[u8; 4], lower: &[u8; 4], masks: [u32; 2]) -> u32 {
    if cfg!(kernel_unaligned) {
        let upper = u32::from_le_bytes(*upper) & masks[0];
        upper | u32::from_le_bytes(*lower) & masks[1]
    } else {
        let [[a, _, c, _], [_, b, _, d]] = [*upper, *lower];
        let mask = masks[0] | masks[1];
        if u32::from(a | b | c | d) & mask == 0 {
            return 0;
        }
        u32::from_le_bytes([a, b, c, d]) & mask
    }
}

/// Calls `each` for four neighbouring pixels, if one of them isn't 0.
#[inline(always)]
fn of_four(four: u32, column: u16, each: &mut impl FnMut(u16, u8)) {
    if four != 0 {
        for (pixel, column) in four.to_le_bytes().into_iter().zip(column..) {
            each(column, pixel);
        }
    }
}

impl Serialize for Input {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return (self.width, self.height, self.code()).serialize(serializer);
        }
        let mut fields = serializer.serialize_struct("Input", if self.deskew { 4 } else { 3 })?;
        fields.serialize_field("width", &self.width)?;
        fields.serialize_field("height", &self.height)?;
        fields.serialize_field("pooling", &self.pooling)?;
        if self.deskew {
            fields.serialize_field("deskew", &true)?;
        }
        fields.end()
    }
}

impl<'de> Deserialize<'de> for Input {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// As people read it.
        #[derive(Deserialize)]
        struct Named {
            width: u16,
            height: u16,
            pooling: Pooling,
            #[serde(default)]
            deskew: bool,
        }
        if deserializer.is_human_readable() {
            let Named {
                width,
                height,
                pooling,
                deskew,
            } = Named::deserialize(deserializer)?;
            return Ok(Self {
                width,
                height,
                pooling,
                deskew,
            });
        }
        let (width, height, code): (u16, u16, u8) = Deserialize::deserialize(deserializer)?;
        let pooling = Pooling::ALL.get(usize::from(code & !Self::DESKEWED));
        let &pooling = pooling.ok_or(D::Error::custom("no such pooling"))?;
        Ok(Self {
            width,
            height,
            pooling,
            deskew: code & Self::DESKEWED != 0,
        })
    }
}

/// The upper row's bytes in a little-endian word of a checkerboard.
const UPPER: u32 = 0x00FF_00FF;

/// One row of [`Pooling::Checkerboard`] from two rows of pixels.
fn checkerboard(upper: &[u8], lower: &[u8], row: &mut [u8]) {
    let (words, rest) = row.as_chunks_mut::<4>();
    let (above, above_rest) = upper.as_chunks::<4>();
    let (below, below_rest) = lower.as_chunks::<4>();
    for (word, (above, below)) in words.iter_mut().zip(above.iter().zip(below)) {
        let above = u32::from_le_bytes(*above) & UPPER;
        let below = u32::from_le_bytes(*below) & !UPPER;
        *word = ((above | below) >> 1 & 0x7F7F_7F7F).to_le_bytes();
    }
    let pixels = above_rest.iter().zip(below_rest);
    for (column, (activation, (above, below))) in rest.iter_mut().zip(pixels).enumerate() {
        let pixel = if column % 2 == 0 { above } else { below };
        *activation = pixel >> 1;
    }
}

/// [`checkerboard`] for processors with 64 bits or more: two words are a vector, if there
/// are any.
fn checkerboard_by_vectors(upper: &[u8], lower: &[u8], row: &mut [u8]) {
    const WIDTH: usize = 16;
    /// The upper row's bytes in a little-endian word, and of each the upper bits.
    const UPPER: u64 = 0x00FE_00FE_00FE_00FE;
    let words = |bytes: &[u8; WIDTH]| -> [u64; 2] { bytemuck::cast(*bytes) };
    let vector = |upper: &[u8; WIDTH], lower: &[u8; WIDTH]| -> [u8; WIDTH] {
        let (upper, lower) = (words(upper), words(lower));
        let [first, second] = [0, 1].map(|word| {
            let upper = u64::from_le(upper[word]) & UPPER;
            let lower = u64::from_le(lower[word]) & UPPER << 8;
            ((upper | lower) >> 1).to_le()
        });
        bytemuck::cast([first, second])
    };
    if row.len() % 2 == 1 || row.len() < WIDTH {
        return checkerboard(upper, lower, row);
    }
    let pixels = upper.as_chunks().0.iter().zip(lower.as_chunks().0);
    for (row, (upper, lower)) in row.as_chunks_mut().0.iter_mut().zip(pixels) {
        *row = vector(upper, lower);
    }
    // The last vector ends with the row, and repeats some columns.
    let pixels = upper.last_chunk().zip(lower.last_chunk());
    if let (Some(row), Some((upper, lower))) = (row.last_chunk_mut(), pixels) {
        *row = vector(upper, lower);
    }
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use super::*;

    #[test]
    fn unpooled_activations_are_half_the_pixels() {
        let input = Input {
            width: 4,
            height: 1,
            pooling: Pooling::None,
            deskew: false,
        };
        let mut activations = [0; 4];
        input.quantise(&[0, 1, 128, 255], &mut activations);
        assert_eq!(activations, [0, 0, 64, 127]);
    }

    #[test]
    fn pooling_sums_squares_and_leaves_out_odd_edges() {
        let input = Input {
            width: 5,
            height: 3,
            pooling: Pooling::Sum2x2,
            deskew: false,
        };
        #[rustfmt::skip]
        let pixels = [
            255, 255,   8, 0,   99,
            255, 255,   0, 7,   99,
             99,  99,  99, 99,  99,
        ];
        let mut activations = [1; 2];
        assert_eq!(input.activations(), 2);
        input.quantise(&pixels, &mut activations);
        assert_eq!(activations, [127, 1]);
    }

    #[test]
    fn inner_pooling_leaves_out_the_border() {
        let input = Input {
            width: 7,
            height: 8,
            pooling: Pooling::Inner2x2,
            deskew: false,
        };
        // What counts is 8, 16 and so on; the last inner column is odd.
        let mut pixels = [255; 7 * 8];
        for (row, values) in pixels.chunks_exact_mut(7).enumerate() {
            if (2..6).contains(&row) {
                let first = if row < 4 { 8 } else { 80 };
                values[2..5].copy_from_slice(&[first, 16, 255]);
            }
        }
        let mut activations = [1; 2];
        assert_eq!(input.activations(), 2);
        input.quantise(&pixels, &mut activations);
        assert_eq!(activations, [6, 24]);
        let mut active = Vec::new();
        input.each_active(2, &pixels, |column, level| active.push((column, level)));
        assert_eq!(active, []);
        input.each_active(4, &pixels, |column, level| active.push((column, level)));
        assert_eq!(active, [(1, 3)]);
    }

    #[test]
    fn a_checkerboard_takes_every_other_pixel() {
        let input = Input {
            width: 3,
            height: 5,
            pooling: Pooling::Checkerboard,
            deskew: false,
        };
        #[rustfmt::skip]
        let pixels = [
             2, 99,   4,
            99,  6,  99,
             8, 99, 255,
            99,  0,  99,
            99, 99,  99,
        ];
        let mut activations = [99; 6];
        assert_eq!(input.activations(), 6);
        input.quantise(&pixels, &mut activations);
        assert_eq!(activations, [1, 3, 2, 4, 0, 127]);
    }

    #[test]
    fn a_wide_checkerboard_is_the_same() {
        for width in 6..=50 {
            let pixels: Vec<u8> = (0..2 * width).map(|i| (i * 89 % 256) as u8).collect();
            let (upper, lower) = pixels.split_at(width);
            let (mut row, mut expected) = (vec![99; width], vec![99; width]);
            checkerboard_by_vectors(upper, lower, &mut row);
            checkerboard(upper, lower, &mut expected);
            assert_eq!(row, expected);
        }
    }

    #[test]
    fn degenerate_sizes_do_not_panic() {
        for (width, height) in [(0, 0), (1, 7), (7, 1), (0, 9), (3, 3), (4, 9), (9, 4)] {
            for pooling in Pooling::ALL {
                for deskew in [false, true] {
                    let input = Input {
                        width,
                        height,
                        pooling,
                        deskew,
                    };
                    input.quantise(&[255; 9], &mut [0; 4]);
                }
            }
        }
    }
}
