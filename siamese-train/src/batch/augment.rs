//! Small random distortions of an image: where it lies, how it is slanted, how
//! a hand would have wobbled, how thick the pen was and how bad the camera is.

use std::array;

use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::recipe::augmentation::{Augmentation, MAX_NOISE, SIDE};

/// The ways to lay a square on itself: four turns, each also mirrored.
pub const SYMMETRIES: usize = 8;

/// Writes a square image to `target` in one of its [`SYMMETRIES`], numbered
/// from 0, which leaves it as it is. Bit 0 of the number mirrors left and
/// right, bit 1 top and bottom, and bit 2 then exchanges rows and columns.
pub fn turn(source: &[u8], side: usize, symmetry: usize, target: &mut [u8]) {
    let mirrored = |position: usize, mirror: bool| {
        if mirror {
            side - 1 - position
        } else {
            position
        }
    };
    for (row, pixels) in target.chunks_exact_mut(side).enumerate() {
        for (column, pixel) in pixels.iter_mut().enumerate() {
            let (x, y) = match symmetry & 4 {
                0 => (column, row),
                _ => (row, column),
            };
            let (x, y) = (
                mirrored(x, symmetry & 1 != 0),
                mirrored(y, symmetry & 2 != 0),
            );
            *pixel = source[y * side + x];
        }
    }
}

/// Control points of the elastic field in each direction.
const KNOTS: usize = 7;
/// Zero pixels around the padded source image, so that the four neighbours of
/// any sampled position exist.
const BORDER: usize = 2;

/// Distorts images of one size; holds the buffers that it needs.
#[derive(Debug, Clone)]
pub struct Augmenter {
    strength: Augmentation,
    width: usize,
    height: usize,
    /// What a pixel of [`SIDE`] is in each direction, in pixels of the image.
    pixel: [f32; 2],
    /// How strong a change from one pixel to the next may be: 1, and less where
    /// pixels are large.
    fineness: f32,
    /// The source image inside a border of zeros.
    padded: Vec<f32>,
    /// Weight of each knot at each column, `[knot][column]`.
    columns: [Vec<f32>; KNOTS],
    /// Weight of each knot at each row, `[row][knot]`.
    rows: Vec<[f32; KNOTS]>,
    /// Where the pixels of a row come from, in each direction.
    places: [Vec<f32>; 2],
}

impl Augmenter {
    /// For images of `width` by `height` pixels.
    #[must_use]
    pub fn new(strength: Augmentation, width: usize, height: usize) -> Self {
        let pixel = [width, height].map(|side| side as f32 / SIDE);
        Self {
            strength,
            width,
            height,
            pixel,
            fineness: (pixel[0] * pixel[1]).sqrt().min(1.0),
            padded: vec![0.0; (width + 2 * BORDER) * (height + 2 * BORDER)],
            columns: {
                let weights = spline_weights(width);
                array::from_fn(|knot| weights.iter().map(|weights| weights[knot]).collect())
            },
            rows: spline_weights(height),
            places: [vec![0.0; width], vec![0.0; width]],
        }
    }

    /// Writes a distorted copy of `source` to `target`; both have
    /// `width * height` grey values.
    pub fn distort(&mut self, source: &[u8], target: &mut [u8], generator: &mut impl Rng) {
        let strength = self.strength;
        let mut happens = |share: f32| share > 0.0 && generator.random::<f32>() < share;
        let [clean, thickness, blur, noise] = [
            strength.clean,
            strength.thickness,
            strength.blur,
            strength.noise,
        ]
        .map(&mut happens);
        if clean {
            target.copy_from_slice(source);
        } else {
            self.pad(source);
            let warp = self.random_warp(generator);
            let field = self.random_field(generator);
            self.sample(&warp, &field, target);
        }
        if thickness {
            let amount = self.fineness * generator.random::<f32>();
            if generator.random() {
                self.blend(target, amount, |cross, _| {
                    cross.into_iter().fold(0.0, f32::max)
                });
            } else {
                self.blend(target, amount, |cross, _| {
                    cross.into_iter().fold(255.0, f32::min)
                });
            }
        }
        if blur {
            let amount = self.fineness * generator.random::<f32>();
            self.blend(target, amount, |cross, corners| {
                (cross.iter().sum::<f32>() + corners.iter().sum::<f32>()) / 9.0
            });
        }
        if noise {
            let deviation = self.fineness * MAX_NOISE * generator.random::<f32>();
            for pixel in target {
                let normal: f32 = StandardNormal.sample(generator);
                *pixel = (f32::from(*pixel) + deviation * normal + 0.5) as u8;
            }
        }
    }

    /// Moves every pixel by the share `amount` towards what `filter` makes of
    /// it and its four neighbours, and of the four at its corners.
    fn blend(&mut self, image: &mut [u8], amount: f32, filter: impl Fn([f32; 5], [f32; 4]) -> f32) {
        self.pad(image);
        let stride = self.width + 2 * BORDER;
        for (y, row) in image.chunks_exact_mut(self.width).enumerate() {
            for (x, pixel) in row.iter_mut().enumerate() {
                let at = (y + BORDER) * stride + x + BORDER;
                let near = |offset: usize| self.padded[at + offset - stride - 1];
                let [above, below] = [near(1), near(2 * stride + 1)];
                let [left, here, right] = [near(stride), near(stride + 1), near(stride + 2)];
                let corners = [near(0), near(2), near(2 * stride), near(2 * stride + 2)];
                let filtered = filter([here, above, below, left, right], corners);
                *pixel = (here + amount * (filtered - here) + 0.5) as u8;
            }
        }
    }

    fn pad(&mut self, source: &[u8]) {
        let stride = self.width + 2 * BORDER;
        let inner = self.padded.chunks_exact_mut(stride).skip(BORDER);
        for (padded, row) in inner.zip(source.chunks_exact(self.width)) {
            for (to, &from) in padded[BORDER..].iter_mut().zip(row) {
                *to = f32::from(from);
            }
        }
    }

    /// The affine map from target to source positions: `[xx, xy, x0, yx, yy, y0]`.
    fn random_warp(&self, generator: &mut impl Rng) -> [f32; 6] {
        let mut uniform = |limit: f32| limit * (2.0 * generator.random::<f32>() - 1.0);
        let angle = uniform(self.strength.rotation).to_radians();
        let (scale_x, scale_y) = (
            1.0 + uniform(self.strength.scale),
            1.0 + uniform(self.strength.scale),
        );
        let shear = uniform(self.strength.shear);
        let [shift_x, shift_y] = self.pixel.map(|pixel| pixel * uniform(self.strength.shift));
        let (sin, cos) = angle.sin_cos();
        let (xx, xy) = (cos / scale_x, (shear * cos - sin) / scale_x);
        let (yx, yy) = (sin / scale_y, (shear * sin + cos) / scale_y);
        // The centre of the image maps to itself, moved by the shift.
        let (cx, cy) = (
            (self.width - 1) as f32 / 2.0,
            (self.height - 1) as f32 / 2.0,
        );
        [
            xx,
            xy,
            cx + shift_x - xx * cx - xy * cy,
            yx,
            yy,
            cy + shift_y - yx * cx - yy * cy,
        ]
    }

    /// The displacement at each row and knot column, `[row][axis][knot]`: the
    /// rows are interpolated here, the columns while sampling.
    fn random_field(&self, generator: &mut impl Rng) -> Vec<[[f32; KNOTS]; 2]> {
        let mut knots = [[[0.0f32; KNOTS]; 2]; KNOTS];
        for axes in &mut knots {
            for (axis, pixel) in axes.iter_mut().zip(self.pixel) {
                for value in axis {
                    let normal: f32 = StandardNormal.sample(generator);
                    *value = normal * (self.strength.elastic * pixel);
                }
            }
        }
        let interpolate = |weights: &[f32; KNOTS]| {
            let mut row = [[0.0; KNOTS]; 2];
            for (weight, knot_row) in weights.iter().zip(&knots) {
                for (to, from) in row
                    .as_flattened_mut()
                    .iter_mut()
                    .zip(knot_row.as_flattened())
                {
                    *to += weight * from;
                }
            }
            row
        };
        self.rows.iter().map(interpolate).collect()
    }

    /// Bilinear sampling at the warped and displaced positions.
    fn sample(&mut self, warp: &[f32; 6], field: &[[[f32; KNOTS]; 2]], target: &mut [u8]) {
        let [xx, xy, x0, yx, yy, y0] = *warp;
        let stride = self.width + 2 * BORDER;
        // Positions outside are pulled onto the border, which is zero.
        let (max_x, max_y) = ((stride - 2) as f32, (self.height + 2 * BORDER - 2) as f32);
        let rows = target.chunks_exact_mut(self.width);
        for ((y, row), [dx, dy]) in (0i32..).zip(rows).zip(field) {
            let y = y as f32;
            let [from_x, from_y] = &mut self.places;
            places(&self.columns, dx, [xx, xy * y, x0], max_x, from_x);
            places(&self.columns, dy, [yx, yy * y, y0], max_y, from_y);
            for ((pixel, &sx), &sy) in row.iter_mut().zip(&*from_x).zip(&*from_y) {
                let (left, top) = (sx as usize, sy as usize);
                let (fx, fy) = (sx - left as f32, sy - top as f32);
                let at = top * stride + left;
                let between = |at: usize| {
                    let near = &self.padded[at..at + 2];
                    near[0] + fx * (near[1] - near[0])
                };
                let (upper, lower) = (between(at), between(at + stride));
                *pixel = (upper + fy * (lower - upper) + 0.5) as u8;
            }
        }
    }
}

/// Where the pixels of a row come from in one direction of a padded image, at most at `most`:
/// that of column x from `slope * x + slant + start`, and from the displacement that the knots
/// make there.
///
/// All columns take each step together, which compilers turn into vector instructions: pixel by
/// pixel, this was most of the time that a distortion takes.
fn places(
    columns: &[Vec<f32>; KNOTS],
    knots: &[f32; KNOTS],
    [slope, slant, start]: [f32; 3],
    most: f32,
    places: &mut [f32],
) {
    places.fill(0.0);
    for (weights, &knot) in columns.iter().zip(knots) {
        for (place, &weight) in places.iter_mut().zip(weights) {
            *place += weight * knot;
        }
    }
    for (x, place) in (0i32..).zip(places) {
        let straight = slope * x as f32 + slant + start;
        *place = (straight + *place + BORDER as f32).clamp(0.0, most);
    }
}

/// Uniform cubic B-spline weights of [`KNOTS`] control points at `length`
/// positions, scaled so that white noise of standard deviation 1 on the
/// control points gives a field of standard deviation 1 on average.
fn spline_weights(length: usize) -> Vec<[f32; KNOTS]> {
    let basis = |t: f32| match t.abs() {
        t if t < 1.0 => 2.0 / 3.0 - t * t + t * t * t / 2.0,
        t if t < 2.0 => (2.0 - t).powi(3) / 6.0,
        _ => 0.0,
    };
    let spacing = (KNOTS - 3) as f32 / (length.max(2) - 1) as f32;
    let mut weights: Vec<[f32; KNOTS]> = (0..length)
        .map(|position| {
            let t = position as f32 * spacing;
            array::from_fn(|knot| basis(t - (knot as f32 - 1.0)))
        })
        .collect();
    let power: f32 = weights.as_flattened().iter().map(|w| w * w).sum();
    let scale = (length as f32 / power).sqrt();
    for weight in weights.as_flattened_mut() {
        *weight *= scale;
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    fn square() -> Vec<u8> {
        let inside = |i: usize| (8..20).contains(&(i % 28)) && (8..20).contains(&(i / 28));
        (0..784).map(|i| if inside(i) { 255 } else { 0 }).collect()
    }

    fn distorted(strength: Augmentation, seed: u64) -> Vec<u8> {
        let mut target = vec![9; 784];
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        Augmenter::new(strength, 28, 28).distort(&square(), &mut target, &mut generator);
        target
    }

    fn centre(image: &[u8]) -> (f64, f64) {
        let mass: f64 = image.iter().map(|&p| f64::from(p)).sum();
        let moment = |f: fn(usize) -> usize| -> f64 {
            image
                .iter()
                .enumerate()
                .map(|(i, &p)| f(i) as f64 * f64::from(p))
                .sum::<f64>()
                / mass
        };
        (moment(|i| i % 28), moment(|i| i / 28))
    }

    #[test]
    fn a_square_has_eight_symmetries() {
        let image = [1, 2, 3, 4, 5, 6, 7, 8, 9];
        let mut seen: Vec<[u8; 9]> = (0..SYMMETRIES)
            .map(|symmetry| {
                let mut turned = [0; 9];
                turn(&image, 3, symmetry, &mut turned);
                turned
            })
            .collect();
        assert_eq!(seen[0], image);
        assert_eq!(seen[1], [3, 2, 1, 6, 5, 4, 9, 8, 7]);
        assert_eq!(seen[2], [7, 8, 9, 4, 5, 6, 1, 2, 3]);
        assert_eq!(seen[4], [1, 4, 7, 2, 5, 8, 3, 6, 9]);
        // A quarter turn, clockwise.
        assert!(seen.contains(&[7, 4, 1, 8, 5, 2, 9, 6, 3]));
        // The middle stays, and neighbours stay neighbours.
        for turned in &seen {
            assert_eq!(turned[4], 5);
            assert_eq!(turned[0] + turned[8], 10);
            assert_eq!(turned[1] + turned[7], 10);
        }
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), SYMMETRIES);
    }

    /// Bilinear sampling, pixel by pixel, with nothing kept from one to the next.
    fn sampled(
        augmenter: &Augmenter,
        [xx, xy, x0, yx, yy, y0]: [f32; 6],
        field: &[[[f32; KNOTS]; 2]],
        (x, y): (usize, usize),
    ) -> u8 {
        let bend = |axis: usize| {
            let knots = field[y][axis].iter().zip(&augmenter.columns);
            knots.fold(0.0, |sum, (knot, weights)| sum + weights[x] * knot)
        };
        let stride = augmenter.width + 2 * BORDER;
        let ends = [augmenter.width, augmenter.height].map(|side| (side + 2) as f32);
        let (column, row) = (x as f32, y as f32);
        let sx = (xx * column + xy * row + x0 + bend(0) + 2.0).clamp(0.0, ends[0]);
        let sy = (yx * column + yy * row + y0 + bend(1) + 2.0).clamp(0.0, ends[1]);
        let grey = |x: f32, y: f32| augmenter.padded[y as usize * stride + x as usize];
        let along = |y: f32| {
            let (before, after) = (grey(sx, y), grey(sx + 1.0, y));
            before + sx.fract() * (after - before)
        };
        let (upper, lower) = (along(sy), along(sy + 1.0));
        (upper + sy.fract() * (lower - upper) + 0.5) as u8
    }

    #[test]
    fn every_pixel_comes_from_its_own_place() {
        let mut generator = ChaCha8Rng::seed_from_u64(1);
        let strength = Augmentation {
            shift: 4.0,
            elastic: 2.0,
            ..Augmentation::STRONG
        };
        for (width, height) in [(28, 28), (1, 9), (9, 1), (13, 30)] {
            let mut augmenter = Augmenter::new(strength, width, height);
            let source: Vec<u8> = (0..width * height).map(|_| generator.random()).collect();
            let mut target = vec![0; width * height];
            for _ in 0..20 {
                augmenter.pad(&source);
                let warp = augmenter.random_warp(&mut generator);
                let field = augmenter.random_field(&mut generator);
                augmenter.sample(&warp, &field, &mut target);
                for (at, &pixel) in target.iter().enumerate() {
                    let at = (at % width, at / width);
                    assert_eq!(pixel, sampled(&augmenter, warp, &field, at), "{at:?}");
                }
            }
        }
    }

    #[test]
    fn no_distortion_is_the_identity() {
        assert_eq!(distorted(Augmentation::NONE, 1), square());
        let still = Augmentation {
            clean: 0.0,
            ..Augmentation::NONE
        };
        assert_eq!(distorted(still, 1), square());
    }

    #[test]
    fn shifts_stay_within_their_limit_and_reach_it() {
        let strength = Augmentation {
            shift: 3.0,
            clean: 0.0,
            ..Augmentation::NONE
        };
        let moved: Vec<f64> = (0..200)
            .map(|seed| centre(&distorted(strength, seed)).0 - 13.5)
            .collect();
        assert!(moved.iter().all(|m| m.abs() <= 3.01));
        assert!(moved.iter().any(|m| *m > 2.5) && moved.iter().any(|m| *m < -2.5));
    }

    #[test]
    fn rotation_keeps_the_centre_and_scale_changes_the_area() {
        let rotated = Augmentation {
            rotation: 40.0,
            clean: 0.0,
            ..Augmentation::NONE
        };
        let (x, y) = centre(&distorted(rotated, 3));
        assert!((x - 13.5).abs() < 0.1 && (y - 13.5).abs() < 0.1);
        let area = |image: &[u8]| image.iter().map(|&p| f64::from(p)).sum::<f64>();
        let scaled = Augmentation {
            scale: 0.3,
            clean: 0.0,
            ..Augmentation::NONE
        };
        let ratios = (0..50).map(|seed| area(&distorted(scaled, seed)) / area(&square()));
        let (low, high) = ratios.fold((9.0f64, 0.0f64), |(l, h), r| (l.min(r), h.max(r)));
        assert!(
            low > 0.4 && low < 0.8 && high > 1.2 && high < 1.75,
            "{low} {high}"
        );
    }

    #[test]
    fn pens_get_thicker_and_thinner_and_cameras_blur() {
        let mean = |image: &[u8]| image.iter().map(|&p| f64::from(p)).sum::<f64>() / 784.0;
        let pens = Augmentation {
            thickness: 1.0,
            ..Augmentation::NONE
        };
        let means: Vec<f64> = (0..40).map(|seed| mean(&distorted(pens, seed))).collect();
        let unchanged = mean(&square());
        assert!(means.iter().any(|&m| m > 1.2 * unchanged));
        assert!(means.iter().any(|&m| m < 0.8 * unchanged));

        let blur = Augmentation {
            blur: 1.0,
            ..Augmentation::NONE
        };
        let blurred = distorted(blur, 1);
        assert!((mean(&blurred) - unchanged).abs() < 0.5);
        assert!(blurred[8 * 28 + 14] < 255 && blurred[7 * 28 + 14] > 0);
    }

    #[test]
    fn noise_is_as_strong_as_stated() {
        let noise = Augmentation {
            noise: 1.0,
            ..Augmentation::NONE
        };
        // Only the grey ground between the clamps shows a full deviation.
        let mut augmenter = Augmenter::new(noise, 28, 28);
        let mut strongest = 0.0f64;
        for seed in 0..30 {
            let mut target = vec![0; 784];
            augmenter.distort(
                &[128; 784],
                &mut target,
                &mut ChaCha8Rng::seed_from_u64(seed),
            );
            let variance = target
                .iter()
                .map(|&p| (f64::from(p) - 128.0).powi(2))
                .sum::<f64>()
                / 784.0;
            strongest = strongest.max(variance.sqrt());
        }
        assert!((40.0..52.0).contains(&strongest), "{strongest}");
    }

    #[test]
    fn far_displacements_stay_inside_the_image() {
        let wild = Augmentation {
            shift: 1000.0,
            elastic: 50.0,
            scale: 0.9,
            clean: 0.0,
            ..Augmentation::LIGHT
        };
        for seed in 0..50 {
            distorted(wild, seed);
        }
    }

    /// Copies of `image` of `side` pixels a side, distorted in 200 ways.
    fn copies(strength: Augmentation, side: usize, image: &[u8]) -> Vec<Vec<u8>> {
        let mut augmenter = Augmenter::new(strength, side, side);
        let copy = |seed| {
            let mut target = vec![0; side * side];
            augmenter.distort(image, &mut target, &mut ChaCha8Rng::seed_from_u64(seed));
            target
        };
        (0..200).map(copy).collect()
    }

    #[test]
    fn distortions_are_in_proportion_to_the_image() {
        for side in [8usize, 28, 56] {
            // One bright pixel in the middle.
            let middle = side / 2;
            let mut image = vec![0; side * side];
            image[middle * side + middle] = 255;
            let shifted = Augmentation {
                shift: 7.0,
                clean: 0.0,
                ..Augmentation::NONE
            };
            let farthest = copies(shifted, side, &image)
                .iter()
                .map(|image| {
                    let mass: f64 = image.iter().map(|&p| f64::from(p)).sum();
                    let moment = image.iter().enumerate();
                    let moment = moment.map(|(at, &p)| (at % side) as f64 * f64::from(p));
                    (moment.sum::<f64>() / mass - middle as f64).abs()
                })
                .fold(0.0, f64::max);
            // A quarter of the side, whatever the side is.
            let part = farthest / side as f64;
            assert!((0.22..0.28).contains(&part), "{side}: {part}");
        }
        let noise = Augmentation {
            noise: 1.0,
            ..Augmentation::NONE
        };
        let strongest = |side: usize| {
            let deviation = |image: &Vec<u8>| {
                let squares = image.iter().map(|&p| (f64::from(p) - 128.0).powi(2));
                (squares.sum::<f64>() / image.len() as f64).sqrt()
            };
            let noisy = copies(noise, side, &vec![128; side * side]);
            noisy.iter().map(deviation).fold(0.0, f64::max)
        };
        let (small, usual) = (strongest(8), strongest(28));
        assert!((0.25..0.35).contains(&(small / usual)), "{small} {usual}");
    }

    #[test]
    fn pens_and_lenses_reach_less_far_where_pixels_are_large() {
        for knob in [
            |a: &mut Augmentation| a.thickness = 1.0,
            |a: &mut Augmentation| a.blur = 1.0,
        ] {
            let mut strength = Augmentation::NONE;
            knob(&mut strength);
            let change = |side: usize| {
                let mut image = vec![0u8; side * side];
                image[side * (side / 2) + side / 2] = 255;
                let apart = |other: &Vec<u8>| -> f64 {
                    let pairs = image.iter().zip(other);
                    pairs.map(|(&a, &b)| f64::from(a.abs_diff(b))).sum()
                };
                copies(strength, side, &image)
                    .iter()
                    .map(apart)
                    .fold(0.0, f64::max)
            };
            let part = change(8) / change(28);
            assert!((0.2..0.4).contains(&part), "{part}");
        }
    }
}
