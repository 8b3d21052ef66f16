//! The scaled ink, full and in the middle.

use core::num::{NonZeroU32, NonZeroU64};

/// Stretches the strengths so that the strongest is 255: thin lines have become faint.
pub fn stretch(frame: &mut [u8]) {
    let strongest = frame.iter().copied().max().unwrap_or(0);
    let Some(strongest) = NonZeroU32::new(strongest.into()) else {
        return;
    };
    for pixel in frame {
        // At most 255 * 255 + 127, and 255 after the division.
        *pixel = ((u32::from(*pixel) * 255 + strongest.get() / 2) / strongest) as u8;
    }
}

/// Moves what lies in the upper left `columns` x `lines` pixels so that its centre of mass
/// comes to the frame's middle, as far as all of it stays inside. `None` if there is nothing.
pub fn centre(
    frame: &mut [u8],
    (width, height): (u16, u16),
    (columns, lines): (u16, u16),
) -> Option<()> {
    let stride = usize::from(width);
    let (mut mass, mut moment_x, mut moment_y) = (0u64, 0u64, 0u64);
    for (y, row) in (0..lines).zip(frame.chunks(stride.max(1))) {
        let mut of_row = 0u64;
        for (x, &pixel) in (0..columns).zip(row) {
            // Sums of at most 2^32 pixels of 255, times 65535: below 2^56.
            of_row += u64::from(pixel);
            moment_x += u64::from(pixel) * u64::from(x);
        }
        mass += of_row;
        moment_y += of_row * u64::from(y);
    }
    let twice = NonZeroU64::new(mass * 2)?;
    // floor(side / 2 - moment / mass + 1 / 2): the mean of the ink's column numbers, the
    // first being 0, comes nearest to half the side, which is 14 in MNIST.
    let offset = |side: u16, moment: u64, length: u16| {
        let numerator = ((u64::from(side) + 1) * mass).saturating_sub(2 * moment);
        let free = side.saturating_sub(length);
        (numerator / twice).min(free.into()) as usize
    };
    let right = offset(width, moment_x, columns);
    let down = offset(height, moment_y, lines);
    shift(frame, stride, (columns.into(), lines.into()), (right, down));
    Some(())
}

/// Moves the upper left `columns` x `lines` pixels, outside of which all is 0.
fn shift(
    frame: &mut [u8],
    stride: usize,
    (columns, lines): (usize, usize),
    (right, down): (usize, usize),
) {
    // From the last pixel on, so that none is overwritten before it has moved.
    for y in (0..lines).rev() {
        for x in (0..columns).rev() {
            let Some(pixel) = frame.get_mut(y * stride + x) else {
                continue;
            };
            let moved = core::mem::take(pixel);
            if let Some(to) = frame.get_mut((y + down) * stride + x + right) {
                *to = moved;
            }
        }
    }
}
