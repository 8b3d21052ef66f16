//! How much what is drawn on an image is slanted.

use super::MAX_DESKEWED_SIDE;
use crate::kernel::lanes::as_written;

/// The line along which the ink of an image lies, by its second moments: from row to row it moves
/// to the right by its covariance with the height, divided by the variance of the height. Moving
/// rows back by that is how Y. LeCun, L. Bottou, Y. Bengio and P. Haffner deslanted digits in
/// "Gradient-Based Learning Applied to Document Recognition" (1998), section III.
///
/// Here ink is coarse: blocks of four columns and two rows are inked or not. That costs a
/// twelfth of what it brings, and no multiplication an image's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Slant {
    /// To the right from one pair of rows to the next, in 256ths of a pixel, at most
    /// [`STEEPEST`] in magnitude.
    slope: i32,
    /// The pairs of rows of an image, which are moved about the middle one.
    pairs: i32,
}

/// The steepest slope: four pixels from one pair of rows to the next.
const STEEPEST: u32 = 4 << 8;

/// The bits of four pixels of which one is set where there is ink.
const INK: u32 = 0xC0C0_C0C0;

/// Sums over the inked blocks of an image, whose sides are at most [`MAX_DESKEWED_SIDE`]: in
/// column `x` and pair of rows `j` of blocks.
#[derive(Debug, Clone, Copy, Default)]
struct Moments {
    /// Σ 1.
    ink: u32,
    /// Σ x.
    x: u32,
    /// Σ j.
    j: u32,
    /// Σ x j.
    xj: u32,
    /// Σ j².
    jj: u32,
    /// Pairs of rows, inked or not.
    pairs: u32,
}

impl Slant {
    /// That of an image with rows of `width` pixels; none if a side is longer than
    /// [`MAX_DESKEWED_SIDE`].
    pub(super) fn of(width: usize, pixels: &[u8]) -> Self {
        let most = usize::from(MAX_DESKEWED_SIDE);
        if width == 0 || width > most || pixels.len() > width * most {
            return Self::default();
        }
        Moments::of(width, pixels).slant()
    }

    /// The pixels by which the rows of a pair are moved to the left.
    #[inline]
    pub(super) const fn shift(self, pair: usize) -> i32 {
        let below = 2 * pair as i32 + 1 - self.pairs;
        (self.slope * below + 256) >> 9
    }
}

impl Moments {
    /// Of an image whose sides aren't too long.
    fn of(width: usize, pixels: &[u8]) -> Self {
        let mut moments = Self::default();
        for rows in pixels.chunks_exact((2 * width).max(1)) {
            let (upper, lower) = rows.split_at_checked(width).unwrap_or_default();
            let (upper, last_above) = by_fours(upper);
            let (lower, last_below) = by_fours(lower);
            let both = upper.iter().zip(lower);
            let both = both
                .chain([(&last_above, &last_below)])
                .take(width.div_ceil(4));
            let (mut ink, mut sum) = (0, 0);
            for (x, (upper, lower)) in (0..).zip(both) {
                as_written();
                if (u32::from_ne_bytes(*upper) | u32::from_ne_bytes(*lower)) & INK != 0 {
                    ink += 1;
                    sum += x;
                }
            }
            moments.add_pair(ink, sum);
        }
        moments
    }

    /// Adds the next pair of rows: how many blocks are inked, and the sum of their columns.
    #[inline(always)]
    fn add_pair(&mut self, ink: u32, sum: u32) {
        let pair = self.pairs;
        self.pairs += 1;
        self.ink += ink;
        self.x += sum;
        self.j += ink * pair;
        self.xj += sum * pair;
        self.jj += ink * pair * pair;
    }

    fn slant(&self) -> Slant {
        // Times the square of the ink; 32 bits hold them for the longest sides.
        let mut variance = (self.ink * self.jj).wrapping_sub(self.j * self.j);
        let covariance = (self.ink * self.xj).wrapping_sub(self.x * self.j);
        let covariance = covariance.cast_signed();
        let mut magnitude = covariance.unsigned_abs();
        // So many bits are enough.
        while variance >= 1 << 20 {
            variance >>= 1;
            magnitude >>= 1;
        }
        let slope = if magnitude >= variance {
            STEEPEST
        } else {
            // What is below a variance is more than 0.
            (STEEPEST * magnitude).checked_div(variance).unwrap_or(0)
        };
        let slope = match (variance, covariance < 0) {
            // Ink of one height is upright.
            (0, _) => 0,
            (_, false) => slope.cast_signed(),
            (_, true) => -slope.cast_signed(),
        };
        Slant {
            slope,
            pairs: self.pairs.cast_signed(),
        }
    }
}

/// A row's pixels by fours, and what is left, filled up with zeros.
fn by_fours(row: &[u8]) -> (&[[u8; 4]], [u8; 4]) {
    let (words, rest) = row.as_chunks();
    let mut last = [0; 4];
    for (byte, &pixel) in last.iter_mut().zip(rest) {
        *byte = pixel;
    }
    (words, last)
}
