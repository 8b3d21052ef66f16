//! The map while it forms, as an animation.

use crate::dataset::{Class, ClassNames};
use std::path::Path;

use anyhow::{Context, Result};
use gif::{Encoder, Frame as GifFrame, Repeat};

use super::axes::{Axes, Frame};
use super::labels::{self, Label, medians};
use super::map::draw_points;
use super::palette::{colour, ink, mix};
use super::svg::Drawing;
use crate::files::write_atomic;
use crate::train::history::Film;

const SIDE: u32 = 480;
/// Hundredths of a second that a picture stays, and the last one.
const DELAY: u16 = 8;
const LAST_DELAY: u16 = 250;
/// Shades between a colour and white in the animation's palette, at most.
const SHADES: usize = 6;
/// Colours of a GIF besides white.
const COLOURS: usize = 255;

/// Writes a film as an animated GIF that repeats. All pictures have the axes
/// of the last, whose scale is the same in both directions; points that lie
/// outside are not seen.
///
/// # Errors
/// If a picture can't be drawn or the file can't be written.
pub fn write_film(path: &Path, film: &Film, names: &ClassNames) -> Result<()> {
    let points = |frame: &Vec<f32>| -> Vec<(f64, f64)> {
        let (points, _) = frame.as_chunks::<2>();
        points
            .iter()
            .map(|&[x, y]| (f64::from(x), f64::from(y)))
            .collect()
    };
    let last = film.frames.last().context("a film needs a picture")?;
    let side = f64::from(SIDE);
    let frame = Frame {
        left: 0.0,
        top: 0.0,
        width: side,
        height: side,
    };
    let axes = Axes::square(frame, &points(last));
    let palette = palette(&film.labels);
    let colours: Vec<u8> = palette.iter().flatten().copied().collect();
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, SIDE as u16, SIDE as u16, &colours)?;
    encoder.set_repeat(Repeat::Infinite)?;
    let mut nearest = Nearest::new(&palette);
    for (index, frame) in film.frames.iter().enumerate() {
        let points = points(frame);
        let mut drawing = Drawing::new(SIDE, SIDE, "#ffffff");
        draw_points(&mut drawing, &axes, &points, &film.labels, 0.45);
        let names = medians(&points, &film.labels)
            .into_iter()
            .map(|(class, median)| Label {
                class,
                text: names.get(class),
                at: axes.place(median),
            });
        labels::draw(&mut drawing, names.collect(), 22.0);
        let raster = drawing.finish().rasterise()?;
        let (pixels, _) = raster.rgba().as_chunks::<4>();
        let indices: Vec<u8> = pixels
            .iter()
            .map(|&[red, green, blue, _]| nearest.index([red, green, blue]))
            .collect();
        let mut picture = GifFrame::from_indexed_pixels(SIDE as u16, SIDE as u16, indices, None);
        picture.delay = if index + 1 == film.frames.len() {
            LAST_DELAY
        } else {
            DELAY
        };
        encoder.write_frame(&picture)?;
    }
    drop(encoder);
    write_atomic(path, |out| Ok(out.write_all(&bytes)?))
}

/// White, and every class's colours in as many shades as a GIF has room for.
/// Of more classes than that, some are shown in the nearest class's colour.
fn palette(labels: &[Class]) -> Vec<[u8; 3]> {
    let mut classes = labels.to_vec();
    classes.sort_unstable();
    classes.dedup();
    let shades = (COLOURS / (2 * classes.len()).max(1)).min(SHADES);
    let mut palette = vec![[255; 3]];
    for class in classes {
        if shades == 0 {
            palette.push(colour(class));
            continue;
        }
        let dark = mix(ink(class), [0; 3], 0.75);
        for base in [colour(class), dark] {
            let shade = |step: usize| mix(base, [255; 3], (step + 1) as f64 / shades as f64);
            palette.extend((0..shades).map(shade));
        }
    }
    palette.truncate(1 + COLOURS);
    palette
}

/// Finds the nearest colour of a palette, and remembers it.
struct Nearest<'a> {
    palette: &'a [[u8; 3]],
    known: std::collections::HashMap<[u8; 3], u8>,
}

impl<'a> Nearest<'a> {
    fn new(palette: &'a [[u8; 3]]) -> Self {
        Self {
            palette,
            known: [([255; 3], 0)].into(),
        }
    }

    fn index(&mut self, colour: [u8; 3]) -> u8 {
        *self.known.entry(colour).or_insert_with(|| {
            let difference = |other: &[u8; 3]| -> u32 {
                let parts = other.iter().zip(colour);
                parts.map(|(&a, b)| u32::from(a.abs_diff(b)).pow(2)).sum()
            };
            let indices = (0..=u8::MAX).zip(self.palette);
            let best = indices.min_by_key(|(_, other)| difference(other));
            best.map_or(0, |(index, _)| index)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_its_colour_in_the_palette() {
        for classes in [3, 10, 30, 100, 200] {
            let labels: Vec<Class> = (0..classes).collect();
            let palette = palette(&labels);
            assert!(palette.len() <= 256);
            for class in labels {
                assert!(palette.contains(&colour(class)), "{class} of {classes}");
            }
        }
    }

    #[test]
    fn a_film_has_all_its_pictures() {
        let film = Film {
            labels: vec![0, 1, 2],
            frames: (0..4)
                .map(|step| vec![0.0, 0.0, step as f32, 1.0, 3.0, 3.0])
                .collect(),
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("film.gif");
        write_film(&path, &film, &ClassNames::numbers()).unwrap();
        let file = std::fs::File::open(&path).unwrap();
        let mut decoder = gif::DecodeOptions::new().read_info(file).unwrap();
        let mut pictures = Vec::new();
        while let Some(picture) = decoder.read_next_frame().unwrap() {
            pictures.push(picture.buffer.to_vec());
        }
        assert_eq!(pictures.len(), 4);
        assert!(pictures.windows(2).all(|two| two[0] != two[1]));
    }
}
