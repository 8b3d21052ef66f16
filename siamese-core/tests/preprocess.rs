//! From pictures to frames: against the plainest arithmetic, and what must hold for any
//! bytes.

use proptest::prelude::*;
use siamese_core::preprocess::{Fitted, Grey, Ink, Picture, PictureError, Rows, fit};

/// `a / b`, rounded half up.
fn divide(a: u128, b: u128) -> u128 {
    (a + b / 2) / b
}

/// FORMAT.md's steps, with sorted lists and numbers that nothing overflows.
fn oracle(
    (width, height): (usize, usize),
    pixels: &[u8],
    ink: Ink,
    (columns, lines): (usize, usize),
) -> Option<(Ink, Vec<u8>)> {
    let inner = |i: usize, side: usize| i > 0 && i < side - 1;
    let sorted = |border: bool| {
        let counts = |i: usize| !border || !inner(i % width, width) || !inner(i / width, height);
        let mut values: Vec<u8> = (0..pixels.len())
            .filter(|&i| counts(i))
            .map(|i| pixels[i])
            .collect();
        values.sort_unstable();
        values
    };
    let (border, all) = (sorted(true), sorted(false));
    let bright = |values: &[u8], place: usize| i32::from(values[values.len() - 1 - place]);
    let dark = |values: &[u8], place: usize| i32::from(values[place]);
    let (half, eighth, dust) = (border.len() / 2, border.len() / 8, all.len() / 1024);
    let above = (bright(&all, dust) - dark(&border, half)).max(0);
    let below = (bright(&border, half) - dark(&all, dust)).max(0);
    let ink = match ink {
        Ink::Auto if below > above => Ink::Dark,
        Ink::Auto => Ink::Bright,
        told => told,
    };
    let (ground, contrast, spread) = match ink {
        Ink::Dark => (
            bright(&border, half),
            below,
            bright(&border, eighth) - bright(&border, half),
        ),
        _ => (
            dark(&border, half),
            above,
            dark(&border, half) - dark(&border, eighth),
        ),
    };
    if contrast < 16 || contrast < 4 * spread {
        return None;
    }
    let floor = (contrast / 8).max(2 * spread);
    let strength = |x: usize, y: usize| {
        let pixel = i32::from(pixels[y * width + x]);
        let distance = if ink == Ink::Dark {
            ground - pixel
        } else {
            pixel - ground
        };
        let above = (distance.max(0) - floor).max(0) as u128;
        divide(255 * above, (contrast - floor) as u128).min(255)
    };
    let inked: Vec<(usize, usize)> = (0..pixels.len())
        .map(|i| (i % width, i / width))
        .filter(|&(x, y)| strength(x, y) >= 128)
        .collect();
    let (left, right) = (
        inked.iter().map(|p| p.0).min()?,
        inked.iter().map(|p| p.0).max()?,
    );
    let (top, bottom) = (
        inked.iter().map(|p| p.1).min()?,
        inked.iter().map(|p| p.1).max()?,
    );
    let (w, h) = (right - left + 1, bottom - top + 1);
    let most = |side: usize| ((5 * side + 3) / 7).max(1);
    let (x, y) = if w * most(lines) >= h * most(columns) {
        let rows = divide((h * most(columns)) as u128, w as u128).max(1);
        (most(columns), rows as usize)
    } else {
        let columns = divide((w * most(lines)) as u128, h as u128).max(1);
        (columns as usize, most(lines))
    };
    let marks = |pixel: usize, length: usize, from: usize, to: usize| {
        (((pixel + 1) * length).min(to)).saturating_sub((pixel * length).max(from)) as u128
    };
    let mut scaled = vec![vec![0u128; x]; y];
    for (j, row) in scaled.iter_mut().enumerate() {
        for (i, value) in row.iter_mut().enumerate() {
            let down: u128 = (0..h)
                .map(|v| {
                    let across: u128 = (0..w)
                        .map(|u| strength(left + u, top + v) * marks(u, x, i * w, (i + 1) * w))
                        .sum();
                    divide(256 * across, w as u128) * marks(v, y, j * h, (j + 1) * h)
                })
                .sum();
            *value = divide(down, 256 * h as u128);
        }
    }
    let greatest = scaled.iter().flatten().copied().max().filter(|&g| g > 0)?;
    let stretched = |i: usize, j: usize| divide(255 * scaled[j][i], greatest);
    let sum = |weight: &dyn Fn(usize, usize) -> usize| -> u128 {
        (0..x * y)
            .map(|i| stretched(i % x, i / x) * weight(i % x, i / x) as u128)
            .sum()
    };
    let mass = sum(&|_, _| 1);
    let place = |side: usize, moment: u128, length: usize| {
        let at = ((side + 1) as u128 * mass).saturating_sub(2 * moment) / (2 * mass);
        (at as usize).min(side - length)
    };
    let (to_x, to_y) = (
        place(columns, sum(&|i, _| i), x),
        place(lines, sum(&|_, j| j), y),
    );
    let mut frame = vec![0; columns * lines];
    for i in 0..x * y {
        frame[(to_y + i / x) * columns + to_x + i % x] = stretched(i % x, i / x) as u8;
    }
    Some((ink, frame))
}

/// What [`fit`] makes of a picture; what was in the frame before must not matter.
fn fitted(
    (width, height): (usize, usize),
    pixels: &[u8],
    ink: Ink,
    (columns, lines): (usize, usize),
) -> Result<(Fitted, Vec<u8>), PictureError> {
    let mut frame = vec![0xAA; columns * lines];
    let mut rows = Grey::new(width as u16, height as u16, pixels)?;
    let fitted = fit(&mut rows, ink, columns as u16, lines as u16, &mut frame)?;
    Ok((fitted, frame))
}

/// Pictures with ink: some rectangles on a ground with some noise, and bytes without a sense.
fn any_picture() -> impl Strategy<Value = ((usize, usize), Vec<u8>)> {
    let sides = (1..40usize, 1..40usize);
    let scene = (
        any::<u8>(),
        0..12u8,
        prop::collection::vec(
            (any::<u8>(), 0..40usize, 0..40usize, 1..20usize, 1..20usize),
            0..4,
        ),
    );
    (sides, scene, 0..4).prop_flat_map(|((width, height), (ground, noise, strokes), kind)| {
        let bytes = prop::collection::vec(any::<u8>(), width * height);
        bytes.prop_map(move |mut bytes| {
            if kind > 0 {
                for (i, byte) in bytes.iter_mut().enumerate() {
                    let (x, y) = (i % width, i / width);
                    let stroke = strokes
                        .iter()
                        .find(|s| (s.1..s.1 + s.3).contains(&x) && (s.2..s.2 + s.4).contains(&y));
                    let level = stroke.map_or(ground, |stroke| stroke.0);
                    *byte = level.saturating_add(*byte % (noise + 1));
                }
            }
            ((width, height), bytes)
        })
    })
}

fn any_ink() -> impl Strategy<Value = Ink> {
    prop::sample::select(vec![Ink::Auto, Ink::Bright, Ink::Dark])
}

/// A tilted cross, bright on black, with soft edges, not symmetric.
fn cross() -> Vec<u8> {
    let ink = |x: i32, y: i32| match (x - y).abs().min((x + 2 * y - 40).abs()) {
        0 | 1 => 250,
        2 => 120,
        _ => 0,
    };
    (0..24 * 24).map(|i| ink(i % 24, i / 24)).collect()
}

/// A picture at a place of a larger canvas.
fn on_canvas(source: &[u8], side: usize, canvas: (usize, usize), at: (usize, usize)) -> Vec<u8> {
    let mut pixels = vec![0; canvas.0 * canvas.1];
    for (y, row) in source.chunks(side).enumerate() {
        pixels[(at.1 + y) * canvas.0 + at.0..][..side].copy_from_slice(row);
    }
    pixels
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_picture_gives_what_the_format_says(
        (size, pixels) in any_picture(),
        ink in any_ink(),
        frame in (1..34usize, 1..34usize),
    ) {
        let found = fitted(size, &pixels, ink, frame);
        let found = match found {
            Ok((fitted, frame)) => Some((fitted.ink, frame)),
            Err(error) => { prop_assert_eq!(error, PictureError::Blank); None }
        };
        prop_assert_eq!(found, oracle(size, &pixels, ink, frame));
    }

    #[test]
    fn dark_on_bright_is_as_good_as_its_negative((size, pixels) in any_picture()) {
        let negative: Vec<u8> = pixels.iter().map(|pixel| 255 - pixel).collect();
        let frames = [(&pixels, Ink::Bright), (&negative, Ink::Dark)]
            .map(|(pixels, ink)| fitted(size, pixels, ink, (28, 28)).map(|(_, frame)| frame));
        prop_assert_eq!(&frames[0], &frames[1]);
    }

    #[test]
    fn parts_of_any_length_make_the_same_picture(
        ((width, height), pixels) in any_picture(),
        part in 1..100usize,
    ) {
        let mut picture = Picture::<1600>::new();
        picture.begin(width as u16, height as u16).unwrap();
        for part in pixels.chunks(part) {
            prop_assert!(picture.grey().is_err());
            picture.push(part).unwrap();
        }
        prop_assert_eq!(picture.grey(), Grey::new(width as u16, height as u16, &pixels));
        let one_more = picture.push(&[0]);
        prop_assert!(matches!(one_more, Err(PictureError::Pixels { .. })), "{:?}", one_more);
    }
}

#[test]
fn where_the_ink_lies_does_not_matter() {
    let frames = [(1, 1), (17, 3), (75, 55), (40, 9)].map(|at| {
        let pixels = on_canvas(&cross(), 24, (100, 80), at);
        let (fitted, frame) = fitted((100, 80), &pixels, Ink::Auto, (28, 28)).unwrap();
        assert_eq!(fitted.ink, Ink::Bright);
        frame
    });
    assert!(frames.iter().all(|frame| *frame == frames[0]));
    assert_eq!(frames[0].iter().max(), Some(&255));
    // 20 pixels high or wide, and the rest of the ground exactly 0.
    let rows = frames[0]
        .chunks(28)
        .filter(|row| row.iter().any(|&p| p > 0));
    assert_eq!(rows.count(), 20);
}

#[test]
fn paper_is_no_ink_and_the_border_tells() {
    for (ground, ink) in [(0, 255), (255, 0), (200, 60), (90, 210), (128, 100)] {
        let pixels: Vec<u8> = on_canvas(&cross(), 24, (60, 60), (20, 20))
            .iter()
            .map(|&p| (ground * (250 - i32::from(p)) / 250 + ink * i32::from(p) / 250) as u8)
            .collect();
        let (found, frame) = fitted((60, 60), &pixels, Ink::Auto, (28, 28)).unwrap();
        let expected = if ink > ground { Ink::Bright } else { Ink::Dark };
        assert_eq!(found.ink, expected);
        assert_eq!(frame.iter().max(), Some(&255));
        assert!(frame[..28].iter().all(|&pixel| pixel == 0));
    }
}

#[test]
fn blank_pictures_say_so() {
    for level in 0..=255 {
        let blank = fitted((30, 20), &[level; 600], Ink::Auto, (28, 28));
        assert_eq!(blank.unwrap_err(), PictureError::Blank);
    }
    // Noise on paper.
    let mut seed = 1u32;
    let noise: Vec<u8> = (0..100 * 100)
        .map(|_| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            200 + (seed >> 24) as u8 % 20
        })
        .collect();
    let blank = fitted((100, 100), &noise, Ink::Auto, (28, 28));
    assert_eq!(blank.unwrap_err(), PictureError::Blank);
    // Bright ink was told, and all that differs is dark.
    let mut dark = [255; 400];
    dark[150..155].fill(0);
    let blank = fitted((20, 20), &dark, Ink::Bright, (28, 28));
    assert_eq!(blank.unwrap_err(), PictureError::Blank);
}

#[test]
fn sizes_that_do_not_fit_are_refused_in_words() {
    let frame = fit(
        &mut Grey::new(1, 1, &[1]).unwrap(),
        Ink::Auto,
        28,
        28,
        &mut [0; 9],
    );
    let expected = PictureError::Pixels {
        expected: 784,
        found: 9,
    };
    assert_eq!(frame, Err(expected));
    assert_eq!(
        expected.to_string(),
        "the picture should have 784 pixels, not 9"
    );
    assert_eq!(Grey::new(0, 9, &[]), Err(PictureError::Empty));
    assert!(Grey::new(3, 3, &[0; 8]).is_err());
    let mut picture = Picture::<100>::new();
    let room = picture.begin(11, 10);
    assert_eq!(
        room,
        Err(PictureError::TooLarge {
            pixels: 110,
            room: 100
        })
    );
    assert_eq!(
        picture.begin(u16::MAX, u16::MAX).unwrap_err().to_string(),
        "the picture has 4294836225 pixels and there is room for 100"
    );
    assert_eq!(picture.grey(), Err(PictureError::Empty));
    assert_eq!(picture.begin(10, 10), Ok(()));
}

/// A picture as wide as can be: all ink but its first and last row.
struct Endless {
    ground: Vec<u8>,
    ink: Vec<u8>,
    shorter: usize,
}

impl Rows for Endless {
    fn width(&self) -> u16 {
        u16::MAX
    }

    fn height(&self) -> u16 {
        512
    }

    fn row(&mut self, y: u16) -> &[u8] {
        match y {
            0 | 511 => &self.ground,
            _ => &self.ink[..self.ink.len() - usize::from(y) * self.shorter],
        }
    }
}

#[test]
fn the_longest_rows_neither_overflow_nor_panic() {
    for shorter in [0, 130] {
        let mut rows = Endless {
            ground: vec![0; 70_000],
            ink: vec![255; 70_000],
            shorter,
        };
        let mut frame = vec![0; 28 * 28];
        let fitted = fit(&mut rows, Ink::Auto, 28, 28, &mut frame).unwrap();
        assert_eq!(
            (fitted.ink_box.width, fitted.ink_box.height),
            (u16::MAX, 510)
        );
        // 20 pixels wide and 1 high; rows that end early leave less at their end.
        let line: Vec<u8> = frame.into_iter().filter(|&pixel| pixel > 0).collect();
        assert_eq!((line.len(), line[0]), (20, 255));
        assert_eq!(line[19] == 255, shorter == 0);
    }
    let tall = fitted((1, 65_535), &[7; 65_535], Ink::Auto, (28, 28));
    assert_eq!(tall.unwrap_err(), PictureError::Blank);
}
