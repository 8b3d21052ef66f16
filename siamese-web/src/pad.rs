//! The pad that is drawn on: strokes to grey values, in whole numbers alone. So the same strokes
//! give the same picture on every machine, and the same point.

/// Pixels of a side.
pub const SIDE: u16 = 140;
/// Parts of a pixel in which places on the pad are told.
pub const PARTS: i32 = 16;
/// Half of the width of a stroke, in parts of a pixel: once the drawing has its place in a frame
/// of 28 pixels, a stroke is about as wide as a pen's in MNIST.
const RADIUS: i64 = 6 * PARTS as i64;
/// The farthest place, in parts: a line of this length can't overflow what follows.
const FARTHEST: i32 = 1 << 14;

/// Bright ink on ground that is exactly 0.
#[derive(Debug, Clone)]
pub struct Pad {
    pixels: Vec<u8>,
}

impl Default for Pad {
    fn default() -> Self {
        Self {
            pixels: vec![0; usize::from(SIDE) * usize::from(SIDE)],
        }
    }
}

impl Pad {
    /// Its grey values, row-major.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// Wipes it.
    pub fn clear(&mut self) {
        self.pixels.fill(0);
    }

    /// Draws a straight line with round ends, between places in 16ths of a pixel. What lies
    /// outside is left out.
    pub fn line(&mut self, from: (i32, i32), to: (i32, i32)) {
        let near = |(x, y): (i32, i32)| {
            let near = |place: i32| i64::from(place.clamp(-FARTHEST, FARTHEST));
            (near(x), near(y))
        };
        let (from, to) = (near(from), near(to));
        let along = (to.0 - from.0, to.1 - from.1);
        let length = along.0 * along.0 + along.1 * along.1;
        let reach = RADIUS + i64::from(PARTS);
        let rows = self.pixels.chunks_exact_mut(SIDE.into());
        for (row, y) in rows.zip(middles()) {
            if y < from.1.min(to.1) - reach || y > from.1.max(to.1) + reach {
                continue;
            }
            for (pixel, x) in row.iter_mut().zip(middles()) {
                if x < from.0.min(to.0) - reach || x > from.0.max(to.0) + reach {
                    continue;
                }
                let off = (x - from.0, y - from.1);
                let part = (off.0 * along.0 + off.1 * along.1).clamp(0, length);
                // The nearest place of the line; a line of no length is its start.
                let nearest = |start: i64, along: i64| match length {
                    0 => start,
                    length => start + (along * part + length / 2).div_euclid(length),
                };
                let (dx, dy) = (x - nearest(from.0, along.0), y - nearest(from.1, along.1));
                let distance = (dx * dx + dy * dy).isqrt();
                *pixel = covered(distance).max(*pixel);
            }
        }
    }
}

/// How much ink a pixel gets whose middle is so far from the line: all within, none a pixel
/// farther out.
fn covered(distance: i64) -> u8 {
    let inside = RADIUS + i64::from(PARTS) / 2 - distance;
    (inside * 255 / i64::from(PARTS)).clamp(0, 255) as u8
}

/// The middles of the pixels of a side, in parts.
fn middles() -> impl Iterator<Item = i64> {
    (0..i64::from(SIDE)).map(|pixel| pixel * i64::from(PARTS) + i64::from(PARTS) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(pad: &Pad, x: usize, y: usize) -> u8 {
        pad.pixels()[y * usize::from(SIDE) + x]
    }

    #[test]
    fn a_line_is_as_wide_as_it_should_be_and_has_round_ends() {
        let mut pad = Pad::default();
        pad.line((40 * PARTS, 70 * PARTS), (100 * PARTS, 70 * PARTS));
        let column: usize = (0..140).filter(|&y| at(&pad, 70, y) > 127).count();
        assert_eq!(column, 12);
        assert_eq!((at(&pad, 34, 69), at(&pad, 32, 69)), (255, 0));
        // The corner of the end is round.
        assert_eq!((at(&pad, 34, 64), at(&pad, 40, 64)), (0, 255));
        pad.clear();
        assert!(pad.pixels().iter().all(|&pixel| pixel == 0));
    }

    #[test]
    fn a_point_is_a_disc_and_nothing_is_drawn_outside() {
        let mut pad = Pad::default();
        pad.line((70 * PARTS, 70 * PARTS), (70 * PARTS, 70 * PARTS));
        let ink = pad.pixels().iter().filter(|&&pixel| pixel > 127).count();
        // Pi times 6 squared.
        assert!((105..=121).contains(&ink), "{ink}");
        pad.clear();
        pad.line((-40 * PARTS, -40 * PARTS), (-30 * PARTS, 400 * PARTS));
        pad.line((i32::MIN, i32::MIN), (i32::MIN, i32::MAX));
        assert!(pad.pixels().iter().all(|&pixel| pixel == 0));
    }

    #[test]
    fn a_line_is_the_same_both_ways_and_in_parts_covers_no_less() {
        let (start, end) = ((31, 1_777), (1_501, 403));
        let (mut there, mut back) = (Pad::default(), Pad::default());
        there.line(start, end);
        back.line(end, start);
        let differ = there.pixels().iter().zip(back.pixels());
        let most = differ.map(|(a, b)| a.abs_diff(*b)).max();
        // Halves are rounded up, and up is another side from the other end.
        assert!(most <= Some(32), "{most:?}");
    }
}
