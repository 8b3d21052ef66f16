//! Which grey values are ground, and which are ink.

use core::num::NonZeroU32;

use super::{Ink, InkBox, PictureError, Rows};

/// Ink stands out from the ground by at least so many grey values.
const LEAST_CONTRAST: u8 = 16;
/// It stands out by at least so many times the ground's spread.
const CONTRAST_PER_SPREAD: u16 = 4;
/// Of the picture's pixels, the one in so many that may be ink and still is too few to tell
/// how far it reaches: dust and hot pixels.
const DUST: u32 = 1024;
/// What stands out by less than the contrast's part in so many is ground.
const FLOOR_PART: u16 = 8;
/// What stands out by less than so many times the spread is ground.
const FLOOR_PER_SPREAD: u16 = 2;
/// Ink as strong as this, of 255, widens the bounding box.
const BOX_INK: u8 = 128;

/// How often each grey value occurs.
struct Histogram([u32; 256]);

impl Histogram {
    const fn new() -> Self {
        Self([0; 256])
    }

    /// Counts pixels: at most 65535 * 65535 of a picture, which 32 bits hold.
    fn count(&mut self, pixels: &[u8]) {
        for &pixel in pixels {
            if let Some(count) = self.0.get_mut(usize::from(pixel)) {
                *count = count.saturating_add(1);
            }
        }
    }

    fn total(&self) -> u32 {
        self.0.iter().fold(0, |sum, &n| sum.saturating_add(n))
    }

    /// The grey value of the pixel with this rank, the darkest of all being of rank 0.
    fn at_from_dark(&self, rank: u32) -> u8 {
        Self::at(self.0.iter().zip(0..=u8::MAX), rank).unwrap_or(u8::MAX)
    }

    /// The grey value of the pixel with this rank, the brightest being of rank 0.
    fn at_from_bright(&self, rank: u32) -> u8 {
        // Not one `rev` of both, which has a way to panic.
        let values = (0..=u8::MAX).rev();
        Self::at(self.0.iter().rev().zip(values), rank).unwrap_or(0)
    }

    fn at<'a>(mut values: impl Iterator<Item = (&'a u32, u8)>, rank: u32) -> Option<u8> {
        let mut seen = 0u32;
        let mut reached = |count: u32| {
            seen = seen.saturating_add(count);
            seen > rank
        };
        values
            .find(|&(&count, _)| reached(count))
            .map(|(_, value)| value)
    }
}

/// The border's grey values at some ranks from the dark side, and from the bright side.
struct Border {
    dark_eighth: u8,
    dark_half: u8,
    bright_half: u8,
    bright_eighth: u8,
}

impl Border {
    /// Looks at the first and last row and column; each pixel counts once.
    fn measure(rows: &mut impl Rows, histogram: &mut Histogram) -> Self {
        let (width, last) = (usize::from(rows.width()), rows.height().saturating_sub(1));
        for y in 0..=last {
            let row = rows.row(y);
            let row = row.get(..width).unwrap_or(row);
            match row {
                [first, .., end] if y > 0 && y < last => histogram.count(&[*first, *end]),
                _ => histogram.count(row),
            }
        }
        let total = histogram.total();
        Self {
            dark_eighth: histogram.at_from_dark(total / 8),
            dark_half: histogram.at_from_dark(total / 2),
            bright_half: histogram.at_from_bright(total / 2),
            bright_eighth: histogram.at_from_bright(total / 8),
        }
    }
}

/// What each grey value is: 0 for ground, up to 255 for full ink.
pub struct Levels {
    ink: Ink,
    strength: [u8; 256],
}

impl Levels {
    /// Measures the ground at the border and the ink in the whole picture.
    #[inline(never)] // The histogram leaves the stack before the picture is scaled.
    pub fn measure(rows: &mut impl Rows, ink: Ink) -> Result<Self, PictureError> {
        let mut histogram = Histogram::new();
        let border = Border::measure(rows, &mut histogram);
        let width = usize::from(rows.width());
        histogram.0.fill(0);
        for y in 0..rows.height() {
            let row = rows.row(y);
            histogram.count(row.get(..width).unwrap_or(row));
        }
        let total = histogram.total();
        let (darkest, brightest) = (
            histogram.at_from_dark(total / DUST),
            histogram.at_from_bright(total / DUST),
        );
        let above = brightest.saturating_sub(border.dark_half);
        let below = border.bright_half.saturating_sub(darkest);
        // What lies on the ink's side of the ground may be ink; the other side is noise.
        let dark = (ink == Ink::Auto && below > above) || ink == Ink::Dark;
        let (ink, ground, contrast, quiet_side) = if dark {
            (Ink::Dark, border.bright_half, below, border.bright_eighth)
        } else {
            (Ink::Bright, border.dark_half, above, border.dark_eighth)
        };
        let spread = quiet_side.abs_diff(ground);
        if contrast < LEAST_CONTRAST
            || u16::from(contrast) < CONTRAST_PER_SPREAD * u16::from(spread)
        {
            return Err(PictureError::Blank);
        }
        let floor = (u16::from(contrast) / FLOOR_PART).max(FLOOR_PER_SPREAD * u16::from(spread));
        let strength = strengths(ink, ground, floor, u16::from(contrast));
        Ok(Self { ink, strength })
    }

    /// Bright or dark.
    pub const fn ink(&self) -> Ink {
        self.ink
    }

    /// How much ink a pixel holds: 0 to 255.
    pub fn of(&self, pixel: u8) -> u8 {
        // A grey value is always below 256.
        self.strength
            .get(usize::from(pixel))
            .copied()
            .unwrap_or_default()
    }

    /// The bounding box of the ink; `None` if there is none.
    pub fn ink_box(&self, rows: &mut impl Rows) -> Option<InkBox> {
        let width = rows.width();
        let (mut left, mut right) = (u16::MAX, 0);
        let mut vertical: Option<(u16, u16)> = None;
        for y in 0..rows.height() {
            let row = rows.row(y);
            let columns = (0..width).zip(row);
            let mut inked = columns.filter(|&(_, &pixel)| self.of(pixel) >= BOX_INK);
            let Some((first, _)) = inked.next() else {
                continue;
            };
            left = left.min(first);
            right = right.max(inked.next_back().map_or(first, |(column, _)| column));
            vertical = Some((vertical.map_or(y, |(top, _)| top), y));
        }
        let (top, bottom) = vertical?;
        Some(InkBox {
            left,
            top,
            // Sides are below 65536, so these are at most 65535.
            width: right.saturating_sub(left).saturating_add(1),
            height: bottom.saturating_sub(top).saturating_add(1),
        })
    }
}

/// The table from grey values to strengths: 0 up to `floor` grey values from the ground,
/// 255 from `contrast` on, a straight line between. `floor` is below `contrast`.
fn strengths(ink: Ink, ground: u8, floor: u16, contrast: u16) -> [u8; 256] {
    let span = NonZeroU32::new(contrast.saturating_sub(floor).into()).unwrap_or(NonZeroU32::MIN);
    let mut strength = [0; 256];
    for (strength, pixel) in strength.iter_mut().zip(0..=u8::MAX) {
        let distance = match ink {
            Ink::Dark => ground.saturating_sub(pixel),
            _ => pixel.saturating_sub(ground),
        };
        let above = u32::from(distance).saturating_sub(floor.into());
        // At most 255 * 255 + 127.
        let rounded = (above * 255 + span.get() / 2) / span;
        *strength = rounded.min(255) as u8;
    }
    strength
}
