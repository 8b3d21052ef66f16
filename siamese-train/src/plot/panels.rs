//! Several maps side by side.

use super::axes::{Axes, Frame, round_step};
use super::labels::{self, Label, medians};
use super::map::draw_points;
use super::plane::Plane;
use super::svg::{Drawing, Picture, TextStyle};
use crate::dataset::ClassNames;
use crate::evaluate::Labelled;

/// Side of a panel's frame, and the room around it.
const SIDE: f64 = 520.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const HEAD: f64 = 76.0;
const FOOT: f64 = 44.0;

/// One map and what stands above it.
#[derive(Debug, Clone, Copy)]
pub struct Panel<'a> {
    /// The points; of more than two dimensions, the principal components.
    pub points: Labelled<'a>,
    /// In bold.
    pub title: &'a str,
    /// Below it.
    pub remark: &'a str,
}

/// Draws maps in rows of `columns`. Each has axes of one scale of its own,
/// since how far apart classes lie is up to each training.
///
/// # Panics
/// If `columns` is 0.
#[must_use]
pub fn panels(maps: &[Panel<'_>], columns: usize, names: &ClassNames) -> Picture {
    let (across, down) = (LEFT + SIDE + RIGHT, HEAD + SIDE + FOOT);
    let rows = maps.len().div_ceil(columns);
    let mut drawing = Drawing::new(
        (across * columns as f64) as u32,
        (down * rows as f64) as u32,
        "#ffffff",
    );
    for (index, panel) in maps.iter().enumerate() {
        let frame = Frame {
            left: (index % columns) as f64 * across + LEFT,
            top: (index / columns) as f64 * down + HEAD,
            width: SIDE,
            height: SIDE,
        };
        let plane = Plane::new(panel.points.points());
        let axes = Axes::square(frame, &plane.points);
        let title = TextStyle {
            size: 24.0,
            bold: true,
            ..TextStyle::default()
        };
        drawing.fitted((frame.left, frame.top - 40.0), title, panel.title, SIDE);
        let remark = TextStyle {
            size: 18.0,
            fill: "#555555",
            ..TextStyle::default()
        };
        let dim = panel.points.points().dim();
        let told = if dim > 2 {
            format!("{}; the widest two of {dim} directions", panel.remark)
        } else {
            panel.remark.to_owned()
        };
        drawing.fitted((frame.left, frame.top - 14.0), remark, &told, SIDE);
        let step = round_step(axes.x.1 - axes.x.0, 5.0);
        axes.draw(&mut drawing, (step, step), ("", ""));
        draw_points(
            &mut drawing,
            &axes,
            &plane.points,
            panel.points.labels(),
            0.7,
        );
        let names = medians(&plane.points, panel.points.labels())
            .into_iter()
            .map(|(class, median)| Label {
                class,
                text: names.get(class),
                at: axes.place(median),
            });
        labels::draw(&mut drawing, names.collect(), 24.0);
    }
    drawing.finish()
}
