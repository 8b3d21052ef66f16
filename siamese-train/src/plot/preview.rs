//! The preview: the images themselves at their points.

use crate::dataset::{Class, ClassNames};
use anyhow::{Result, ensure};

use super::axes::{Axes, Frame};
use super::labels::{self, Label, medians};
use super::palette::{ink, mix};
use super::plane::Plane;
use super::svg::{Drawing, Raster, TextStyle, grouped};
use crate::dataset::Images;
use crate::evaluate::Labelled;

/// The width of the picture and its largest height, in pixels.
const SIDE: u32 = 1600;
/// The room for the title, in pixels.
const TITLE: u32 = 90;
/// The height of the classes' names, in pixels.
const LABEL: f64 = 34.0;
/// The side that a cell should have at least, and at most, in pixels.
const CELL: (usize, usize) = (20, 64);

/// Draws the images at their points, in the ink of their class.
///
/// The page is a grid of cells. A cell that has points shows one image, that
/// whose point is nearest to the cell's middle; so no image covers another,
/// and none stands farther from its point than half a cell. Background at the
/// images' rims is left out when nearly all of them have it.
///
/// # Errors
/// If there are not as many images as points.
pub fn preview(
    points: Labelled<'_>,
    images: &Images,
    names: &ClassNames,
    title: &str,
) -> Result<Raster> {
    preview_on(
        &Plane::new(points.points()),
        points.labels(),
        images,
        names,
        title,
    )
}

/// [`preview`] of points that are in the plane already.
pub(super) fn preview_on(
    plane: &Plane,
    classes: &[Class],
    images: &Images,
    names: &ClassNames,
    title: &str,
) -> Result<Raster> {
    ensure!(
        images.len() == plane.points.len(),
        "there are {} images and {} points",
        images.len(),
        plane.points.len()
    );
    let stamp = Stamp::new(images);
    let frame = Frame {
        left: 0.0,
        top: f64::from(TITLE),
        width: f64::from(SIDE),
        height: f64::from(SIDE - TITLE),
    };
    let axes = Axes::equal(frame, &plane.points);
    let frame = axes.frame;
    let height = frame.bottom() as u32;

    let mut raster = Raster::new(SIDE, height)?;
    raster.draw(Drawing::new(SIDE, height, "#ffffff").finish().svg())?;
    let places: Vec<(f64, f64)> = plane
        .points
        .iter()
        .map(|&point| axes.place(point))
        .collect();
    let shown = nearest_to_cells(&places, frame, stamp.cell);
    let count = shown.iter().flatten().count();
    for (cell, image) in shown.iter().enumerate() {
        if let Some(image) = *image {
            let columns = columns(frame, stamp.cell.0);
            let left = (cell % columns * stamp.cell.0) as u32;
            let top = TITLE + (cell / columns * stamp.cell.1) as u32;
            stamp.draw(&mut raster, (left, top), images.get(image), classes[image]);
        }
    }

    let mut over = Drawing::new(SIDE, height, "none");
    let width = f64::from(SIDE) - 2.0 * 28.0;
    let heading = TextStyle {
        size: 30.0,
        bold: true,
        ..TextStyle::default()
    };
    over.fitted((28.0, 44.0), heading, title, width);
    let remark = TextStyle {
        size: 19.0,
        fill: "#555555",
        ..TextStyle::default()
    };
    let about = if plane.caution.is_empty() {
        format!("across: {}, up: {}", plane.axes[0], plane.axes[1])
    } else {
        plane.caution.clone()
    };
    let told = format!(
        "{} of {} images, each where the network puts it; {about}",
        grouped(count),
        grouped(images.len())
    );
    over.fitted((28.0, 74.0), remark, &told, width);
    labels::draw(&mut over, above_clusters(&places, classes, names), LABEL);
    raster.draw(over.finish().svg())?;
    Ok(raster)
}

/// The names of the classes, at the upper rim of their clusters, where they
/// cover fewer images than in the middle.
fn above_clusters(places: &[(f64, f64)], classes: &[Class], names: &ClassNames) -> Vec<Label> {
    let label = |(class, (x, _)): (Class, (f64, f64))| {
        let own = places
            .iter()
            .zip(classes)
            .filter(|&(_, &other)| other == class);
        let mut heights: Vec<f64> = own.map(|(&(_, y), _)| y).collect();
        let rim = heights.len() / 25;
        let y = *heights.select_nth_unstable_by(rim, f64::total_cmp).1;
        Label {
            class,
            text: names.get(class),
            at: (x, y - LABEL / 2.0),
        }
    };
    medians(places, classes).into_iter().map(label).collect()
}

/// The cells in a row of the grid.
const fn columns(frame: Frame, width: usize) -> usize {
    frame.width as usize / width
}

/// For every cell, row by row, the point that is nearest to its middle among
/// those within it.
fn nearest_to_cells(
    places: &[(f64, f64)],
    frame: Frame,
    (width, height): (usize, usize),
) -> Vec<Option<usize>> {
    let columns = columns(frame, width);
    let rows = frame.height as usize / height;
    let mut nearest: Vec<Option<(f64, usize)>> = vec![None; columns * rows];
    for (index, &(x, y)) in places.iter().enumerate() {
        let (across, down) = (
            (x - frame.left) / width as f64,
            (y - frame.top) / height as f64,
        );
        let (column, row) = (across as usize, down as usize);
        if column >= columns || row >= rows {
            continue;
        }
        let middle = (across.fract() - 0.5).powi(2) + (down.fract() - 0.5).powi(2);
        let cell = &mut nearest[row * columns + column];
        if cell.is_none_or(|(other, _)| middle < other) {
            *cell = Some((middle, index));
        }
    }
    nearest
        .into_iter()
        .map(|cell| cell.map(|(_, index)| index))
        .collect()
}

/// How an image becomes the content of a cell.
struct Stamp {
    /// The part of the image that is shown: first column and row, and size.
    origin: (usize, usize),
    size: (usize, usize),
    /// The image's width.
    stride: usize,
    /// Width and height of a cell.
    cell: (usize, usize),
}

impl Stamp {
    fn new(images: &Images) -> Self {
        let (width, height) = (images.width(), images.height());
        let mut columns = vec![0u64; width];
        let mut rows = vec![0u64; height];
        for image in images {
            for (row, line) in rows.iter_mut().zip(image.chunks_exact(width)) {
                for (column, &pixel) in columns.iter_mut().zip(line) {
                    *column += u64::from(pixel);
                    *row += u64::from(pixel);
                }
            }
        }
        let (left, right) = content(&columns);
        let (top, bottom) = content(&rows);
        let size = (right - left, bottom - top);
        let longest = size.0.max(size.1);
        let scaled = |side: usize| {
            if longest < CELL.0 {
                side * CELL.0.div_ceil(longest)
            } else if longest > CELL.1 {
                (side * CELL.1 / longest).max(1)
            } else {
                side
            }
        };
        Self {
            origin: (left, top),
            size,
            stride: width,
            cell: (scaled(size.0), scaled(size.1)),
        }
    }

    /// Draws an image with its upper left corner at a pixel.
    fn draw(&self, raster: &mut Raster, at: (u32, u32), image: &[u8], class: Class) {
        let ink = ink(class);
        for y in 0..self.cell.1 {
            for x in 0..self.cell.0 {
                let grey = self.mean(image, x, y);
                raster.set(
                    at.0 + x as u32,
                    at.1 + y as u32,
                    mix(ink, [255; 3], grey / 255.0),
                );
            }
        }
    }

    /// The mean grey of the image's pixels that a pixel of the cell stands for.
    fn mean(&self, image: &[u8], x: usize, y: usize) -> f64 {
        let span = |at: usize, size: usize, cell: usize| {
            let start = at * size / cell;
            start..((at + 1) * size / cell).max(start + 1)
        };
        let mut sum = 0;
        let mut count = 0;
        for row in span(y, self.size.1, self.cell.1) {
            for column in span(x, self.size.0, self.cell.0) {
                let index = (self.origin.1 + row) * self.stride + self.origin.0 + column;
                sum += u64::from(image[index]);
                count += 1;
            }
        }
        sum as f64 / count as f64
    }
}

/// The range that is left when the background at both ends is cut off: at most
/// 1 in 1000 of the brightness at each end, and at most a fifth of the length.
fn content(brightness: &[u64]) -> (usize, usize) {
    let total: u64 = brightness.iter().sum();
    let cut = |values: &mut dyn Iterator<Item = &u64>| {
        let mut sum = 0;
        values
            .take(brightness.len() / 5)
            .take_while(|&&value| {
                sum += value;
                sum * 1000 <= total
            })
            .count()
    };
    (
        cut(&mut brightness.iter()),
        brightness.len() - cut(&mut brightness.iter().rev()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Frame = Frame {
        left: 0.0,
        top: 0.0,
        width: 40.0,
        height: 20.0,
    };

    #[test]
    fn a_cell_shows_the_point_nearest_to_its_middle() {
        let places = [(1.0, 1.0), (9.0, 12.0), (35.0, 19.0), (30.0, 10.0)];
        assert_eq!(
            nearest_to_cells(&places, FRAME, (20, 20)),
            [Some(1), Some(3)]
        );
        assert_eq!(
            nearest_to_cells(&[(40.0, 20.0)], FRAME, (20, 20)),
            [None, None]
        );
    }

    #[test]
    fn background_at_the_rims_is_cut_off() {
        assert_eq!(content(&[0, 0, 50, 900, 900, 900, 900, 900, 1, 0]), (2, 8));
        assert_eq!(content(&[7]), (0, 1));
        assert_eq!(content(&[0; 10]), (2, 8));
    }

    #[test]
    fn images_of_any_size_make_a_legible_cell() {
        for (width, height) in [(1, 1), (8, 8), (28, 28), (3, 200), (640, 480)] {
            let images = Images::new(width, height, vec![9; 2 * width * height]).unwrap();
            let stamp = Stamp::new(&images);
            assert!(stamp.cell.0.max(stamp.cell.1) >= CELL.0, "{width}x{height}");
            assert!(
                stamp.cell.0.max(stamp.cell.1) <= 2 * CELL.1,
                "{width}x{height}"
            );
            assert_eq!(
                stamp.mean(images.get(1), stamp.cell.0 - 1, stamp.cell.1 - 1),
                9.0
            );
        }
    }
}
