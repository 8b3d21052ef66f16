//! Images are set upright as `FORMAT.md` says, by every pooling.

mod common;

use proptest::prelude::*;
use proptest::sample::select;
use siamese_core::image::{Input, Pooling};

use common::{activations, deskewed};

/// A stroke from the top to the bottom, `slope` pixels to the right a row, about the middle.
fn stroke(width: usize, height: usize, slope: f64, thick: usize) -> Vec<u8> {
    let mut pixels = vec![0; width * height];
    for (y, row) in pixels.chunks_exact_mut(width).enumerate() {
        let x = width as f64 / 2.0 + slope * (y as f64 - height as f64 / 2.0);
        for x in x as i64..x as i64 + thick as i64 {
            if let Some(pixel) = usize::try_from(x).ok().and_then(|x| row.get_mut(x)) {
                *pixel = 255;
            }
        }
    }
    pixels
}

fn quantised(input: &Input, pixels: &[u8]) -> Vec<i128> {
    let mut found = vec![99; input.activations()];
    input.quantise(pixels, &mut found);
    found.into_iter().map(i128::from).collect()
}

#[test]
fn a_slanted_stroke_is_set_upright() {
    for slope in [-1.0, -0.5, 0.25, 0.5, 1.0] {
        let pixels = stroke(28, 28, slope, 2);
        let columns = |pixels: &[u8]| {
            (0..28)
                .filter(|x| pixels[8 * 28 + x] > 0)
                .collect::<Vec<_>>()
        };
        let upright = deskewed(28, 28, &pixels);
        let top = columns(&upright);
        let bottom = columns(&upright[10 * 28..]);
        assert!(
            top[0].abs_diff(bottom[0]) <= 1,
            "{slope}: {top:?}, {bottom:?}"
        );
        let before = columns(&pixels)[0].abs_diff(columns(&pixels[10 * 28..])[0]);
        assert!(before > 1, "{slope}");
    }
}

#[test]
fn ink_that_is_moved_out_of_the_image_is_lost() {
    // A dot far from a slanted stroke: at the top left, and the stroke leans to the right, so
    // that the top row is moved to the right; and the other way round.
    for slope in [-1.5, 1.5] {
        let mut pixels = stroke(28, 28, slope, 3);
        for corner in [0, 27, 27 * 28, 28 * 28 - 1] {
            pixels[corner] = 255;
        }
        for pooling in Pooling::ALL {
            let input = Input {
                width: 28,
                height: 28,
                pooling,
                deskew: true,
            };
            assert_eq!(
                quantised(&input, &pixels),
                activations(&input, &pixels),
                "{pooling:?}"
            );
        }
    }
}

proptest! {
    #[test]
    fn every_pooling_is_of_the_upright_image(
        pooling in select(&Pooling::ALL),
        (width, height, slope, thick) in (1usize..50, 1usize..50, -3.0..3.0, 1usize..6),
        noise in prop::collection::vec(any::<u8>(), 1..300),
        quiet in 0u8..9,
    ) {
        let mut pixels = stroke(width, height, slope, thick);
        for (index, pixel) in pixels.iter_mut().enumerate() {
            let grey = noise[index % noise.len()];
            if grey % 9 < quiet {
                *pixel ^= grey;
            }
        }
        let input = Input {
            width: width as u16,
            height: height as u16,
            pooling,
            deskew: true,
        };
        prop_assert_eq!(quantised(&input, &pixels), activations(&input, &pixels));
    }

    #[test]
    fn long_sides_are_deskewed_up_to_the_longest(
        wide in any::<bool>(),
        slope in -4.0..4.0,
    ) {
        let (width, height) = if wide { (96, 8) } else { (8, 96) };
        let slope = if wide { slope * 12.0 } else { slope / 12.0 };
        let pixels = stroke(width, height, slope, 40);
        let pooling = Pooling::None;
        let input = Input { width: width as u16, height: height as u16, pooling, deskew: true };
        prop_assert_eq!(quantised(&input, &pixels), activations(&input, &pixels));
    }
}
