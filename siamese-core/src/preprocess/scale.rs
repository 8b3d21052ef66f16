//! The ink's box, scaled by averaging areas.

use core::num::NonZeroU32;

use super::{InkBox, Rows, levels::Levels};

/// Columns of the frame that are summed at a time.
const COLUMNS: usize = 32;

/// Columns and rows of the scaled box: the largest that fit 5/7 of the frame, which are
/// MNIST's 20 of 28 pixels, with the aspect kept. Each is 1 or more and at most the frame's.
pub fn target(ink: InkBox, width: u16, height: u16) -> (u16, u16) {
    // At most 5 * 65535 + 3, and at most the side itself.
    let limit = |side: u16| ((u32::from(side) * 5 + 3) / 7).max(1);
    let (room_x, room_y) = (limit(width), limit(height));
    let (ink_x, ink_y) = (u32::from(ink.width), u32::from(ink.height));
    // Products of 65535 and 46811 at most, and half of 65535 more: below 2^32.
    let (x, y) = if ink_x * room_y >= ink_y * room_x {
        (room_x, rounded(ink_y * room_x, ink_x).max(1))
    } else {
        (rounded(ink_x * room_y, ink_y).max(1), room_y)
    };
    (x as u16, y as u16)
}

/// `a / b`, rounded half up. 0 if `b` is, which no box's side is.
fn rounded(a: u32, b: u32) -> u32 {
    NonZeroU32::new(b).map_or(0, |b| (a + b.get() / 2) / b)
}

/// Source pixels under a pixel of the target, along one axis: the first one, and how much
/// of each is covered, in `target`ths of a pixel.
///
/// On a ruler with `source * target` marks, a source pixel is `target` marks long and a
/// target pixel `source` marks. The last mark is at most 65535 * 65535.
#[derive(Clone, Copy)]
struct Span {
    from: u32,
    to: u32,
    target: NonZeroU32,
}

impl Span {
    fn new(index: u16, source: u16, target: u16) -> Self {
        let from = u32::from(index) * u32::from(source);
        Self {
            from,
            to: from.saturating_add(source.into()),
            target: NonZeroU32::new(target.into()).unwrap_or(NonZeroU32::MIN),
        }
    }

    /// The source pixels and their marks, each 1 or more; all marks together are `source`.
    fn parts(self) -> impl Iterator<Item = (u16, u32)> {
        let (mut at, mut pixel) = (self.from, self.from / self.target);
        core::iter::from_fn(move || {
            if at >= self.to {
                return None;
            }
            let end = (pixel.saturating_add(1)).saturating_mul(self.target.get());
            let marks = end.min(self.to).saturating_sub(at);
            let part = (pixel as u16, marks);
            at = end;
            pixel = pixel.saturating_add(1);
            Some(part)
        })
    }
}

/// Writes the scaled box to the upper left corner of the frame, whose rows have `stride`
/// pixels.
pub fn average(
    rows: &mut impl Rows,
    levels: &Levels,
    ink: InkBox,
    (columns, lines): (u16, u16),
    stride: usize,
    frame: &mut [u8],
) {
    for (line, out) in (0..lines).zip(frame.chunks_mut(stride.max(1))) {
        let out = out.get_mut(..columns.into()).unwrap_or_default();
        let starts = (0..columns).step_by(COLUMNS);
        for (start, out) in starts.zip(out.chunks_mut(COLUMNS)) {
            let mut sums = [0u32; COLUMNS];
            for (y, marks) in Span::new(line, ink.height, lines).parts() {
                let row = rows.row(ink.top.saturating_add(y));
                let row = row.get(usize::from(ink.left)..).unwrap_or_default();
                for (sum, column) in sums.iter_mut().zip(start..columns) {
                    let mean = mean(
                        row,
                        levels,
                        Span::new(column, ink.width, columns),
                        ink.width,
                    );
                    // All marks together are the box's height: at most 65280 * 65535.
                    *sum = sum.saturating_add(mean.saturating_mul(marks));
                }
            }
            for (out, sum) in out.iter_mut().zip(sums) {
                // At most 65280 * 65535 + 128 * 65535, below 2^32.
                *out = rounded(sum, u32::from(ink.height) * 256) as u8;
            }
        }
    }
}

/// The mean strength under a target pixel within one row, in 256ths: 0 to 65280.
fn mean(row: &[u8], levels: &Levels, span: Span, width: u16) -> u32 {
    let sum = span.parts().fold(0u32, |sum, (x, marks)| {
        let pixel = row.get(usize::from(x)).map_or(0, |&pixel| levels.of(pixel));
        // All marks together are the box's width: at most 255 * 65535.
        sum.saturating_add(u32::from(pixel) * marks)
    });
    // At most 256 * 255 * 65535 + 32767, below 2^32.
    rounded(sum * 256, width.into())
}
