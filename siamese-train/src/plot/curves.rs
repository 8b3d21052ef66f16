//! What a run was seen to do, epoch by epoch.

use super::axes::{Axes, Frame, range, round_step};
use super::palette::{colour, hex};
use super::svg::{Drawing, Picture, TextStyle};
use crate::train::history::Epoch;

const WIDTH: u32 = 1400;
const HEIGHT: u32 = 1180;
const LEFT: f64 = 120.0;
const PANEL_WIDTH: f64 = 1240.0;
const PANEL_HEIGHT: f64 = 260.0;
/// From one panel's top to the next one's.
const PITCH: f64 = 350.0;
const TOP: f64 = 110.0;

/// Draws the loss, the mistakes on the validation images and the active hidden
/// units over the epochs, one below the other. A line marks where the weights
/// and activations began to be rounded.
#[must_use]
pub fn curves(history: &[Epoch], title: &str) -> Picture {
    let mut drawing = Drawing::new(WIDTH, HEIGHT, "#ffffff");
    let heading = TextStyle {
        size: 32.0,
        bold: true,
        ..TextStyle::default()
    };
    drawing.fitted((LEFT, 58.0), heading, title, PANEL_WIDTH);
    let series = |value: &dyn Fn(&Epoch) -> Option<f64>| -> Vec<(f64, f64)> {
        let points = history.iter();
        points
            .filter_map(|epoch| Some((epoch.epoch, value(epoch)?)))
            .collect()
    };
    let loss = series(&|epoch| Some(epoch.loss));
    let mistakes = series(&|epoch| Some(100.0 * (1.0 - epoch.knn25?)));
    let active = [0, 1].map(|layer| series(&|epoch| Some(100.0 * epoch.active[layer])));
    let last = history.last().map_or(1.0, |epoch| epoch.epoch);
    let rounded = history.iter().find(|epoch| epoch.integers);
    let panels: [(&str, Vec<Line<'_>>); 3] = [
        ("loss", vec![("", &loss)]),
        ("mistakes on validation, %", vec![("", &mistakes)]),
        (
            "active hidden units, %",
            vec![("first layer", &active[0]), ("second layer", &active[1])],
        ),
    ];
    for (index, (name, lines)) in panels.iter().enumerate() {
        let frame = Frame {
            left: LEFT,
            top: TOP + index as f64 * PITCH,
            width: PANEL_WIDTH,
            height: PANEL_HEIGHT,
        };
        panel(&mut drawing, frame, last, name, lines, rounded);
    }
    drawing.finish()
}

/// A name and points of one line.
type Line<'a> = (&'a str, &'a [(f64, f64)]);

fn panel(
    drawing: &mut Drawing,
    frame: Frame,
    last: f64,
    name: &str,
    lines: &[Line<'_>],
    rounded: Option<&Epoch>,
) {
    // The first epochs would flatten all others.
    let settled = |&&(epoch, _): &&(f64, f64)| epoch > 0.03 * last;
    let values = lines.iter().flat_map(|(_, points)| points.iter());
    let (low, high) = range(values.filter(settled).map(|point| point.1));
    let room = 0.06 * (high - low);
    let axes = Axes {
        frame,
        x: (0.0, last),
        y: (low - room, high + room),
    };
    let steps = (round_step(last, 10.0), round_step(high - low, 4.0));
    axes.draw(drawing, steps, ("epoch", name));
    if let Some(epoch) = rounded {
        let (x, _) = axes.place((epoch.epoch.floor() - 1.0, 0.0));
        drawing.line(&[(x, frame.top), (x, frame.bottom())], "#888888", 1.5);
    }
    for ((name, points), class) in lines.iter().zip(0..) {
        let ink = hex(colour(class));
        let places: Vec<(f64, f64)> = points
            .iter()
            .filter(|(_, value)| (axes.y.0..=axes.y.1).contains(value))
            .map(|&point| axes.place(point))
            .collect();
        drawing.line(&places, &ink, 3.0);
        // Above the panel, where no line can be.
        let later = lines.len() as f64 - f64::from(class);
        let (x, y) = (frame.right() - 190.0 * later, frame.top - 14.0);
        if !name.is_empty() {
            drawing.rect((x, y - 16.0), (18.0, 18.0), &ink);
            drawing.text((x + 28.0, y), TextStyle::default(), name);
        }
    }
}
