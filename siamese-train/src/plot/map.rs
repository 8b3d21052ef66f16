//! The map: every image a point in the colour of its class.

use super::axes::{Axes, Frame, round_step};
use super::labels::{self, Label, medians};
use super::palette::{colour, hex};
use super::plane::Plane;
use super::svg::{Anchor, Drawing, Picture, TextStyle, grouped};
use crate::dataset::{Class, ClassNames, class_slots};
use crate::evaluate::Labelled;

const WIDTH: u32 = 1600;
/// Room for the numbers and the name of the lower axis.
const FOOT: f64 = 110.0;
/// The largest frame; its height follows the points.
const FRAME: Frame = Frame {
    left: 120.0,
    top: 110.0,
    width: 1200.0,
    height: 1180.0,
};
/// Layers that the points are drawn in, so that no class covers all others.
const LAYERS: usize = 24;

/// Draws every point in the colour of its class, with the classes' names at
/// their medians, a legend, and axes of one scale in real units. Points of
/// more than two dimensions are shown by their two principal components, and
/// the axes say so.
#[must_use]
pub fn map(points: Labelled<'_>, names: &ClassNames, title: &str) -> Picture {
    let plane = Plane::new(points.points());
    let axes = Axes::equal(FRAME, &plane.points);
    let mut drawing = Drawing::new(WIDTH, (axes.frame.bottom() + FOOT) as u32, "#ffffff");
    drawing.text(
        (FRAME.left, 58.0),
        TextStyle {
            size: 32.0,
            bold: true,
            ..TextStyle::default()
        },
        title,
    );
    drawing.text(
        (FRAME.left, 90.0),
        TextStyle {
            size: 20.0,
            fill: "#555555",
            ..TextStyle::default()
        },
        &format!(
            "{} images, each a point in the colour of its class",
            grouped(points.len())
        ),
    );
    let step = round_step(axes.x.1 - axes.x.0, 7.0);
    axes.draw(&mut drawing, (step, step), (&plane.axes[0], &plane.axes[1]));
    draw_points(&mut drawing, &axes, &plane.points, points.labels(), 1.0);

    let medians = medians(&plane.points, points.labels());
    let at_clusters = medians.iter().map(|&(class, median)| Label {
        class,
        text: names.get(class),
        at: axes.place(median),
    });
    labels::draw(&mut drawing, at_clusters.collect(), 36.0);
    draw_legend(&mut drawing, points.labels(), names);
    drawing.finish()
}

/// Draws the points as dots: short paths without length and with round ends,
/// which keeps the file small. `size` makes them larger or smaller.
pub(super) fn draw_points(
    drawing: &mut Drawing,
    axes: &Axes,
    points: &[(f64, f64)],
    classes: &[Class],
    size: f64,
) {
    // Fewer points are drawn larger.
    let diameter = size * (560.0 / (points.len() as f64).sqrt()).clamp(3.0, 12.0);
    drawing.add(format_args!(
        r#"<g fill="none" stroke-width="{diameter:.1}" stroke-linecap="round" stroke-opacity="0.72">"#
    ));
    for layer in 0..LAYERS {
        let mut paths = vec![String::new(); class_slots(classes)];
        for (&point, &class) in points.iter().zip(classes).skip(layer).step_by(LAYERS) {
            let (x, y) = axes.place(point);
            paths[usize::from(class)].push_str(&format!("M{x:.1} {y:.1}h0"));
        }
        for (class, path) in (0..=Class::MAX)
            .zip(paths)
            .filter(|(_, path)| !path.is_empty())
        {
            drawing.add(format_args!(
                r#"<path d="{path}" stroke="{}"/>"#,
                hex(colour(class))
            ));
        }
    }
    drawing.add(format_args!("</g>"));
}

/// Draws which colour is which class, and how many images each has.
fn draw_legend(drawing: &mut Drawing, classes: &[Class], names: &ClassNames) {
    let mut counts = vec![0usize; class_slots(classes)];
    for &class in classes {
        counts[usize::from(class)] += 1;
    }
    let present = (0..=Class::MAX)
        .zip(&counts)
        .filter(|(_, count)| **count > 0)
        .map(|(class, _)| class);
    let left = FRAME.right() + 34.0;
    let mut y = FRAME.top + 22.0;
    for class in present {
        if y > FRAME.bottom() {
            drawing.text((left, y), TextStyle::default(), "\u{2026}");
            break;
        }
        drawing.add(format_args!(
            r#"<circle cx="{left:.1}" cy="{:.1}" r="9" fill="{}"/>"#,
            y - 7.0,
            hex(colour(class))
        ));
        drawing.text(
            (left + 22.0, y),
            TextStyle {
                size: 21.0,
                ..TextStyle::default()
            },
            &names.get(class),
        );
        let count = grouped(counts[usize::from(class)]);
        let style = TextStyle {
            size: 17.0,
            fill: "#777777",
            anchor: Anchor::End,
            ..TextStyle::default()
        };
        drawing.text((f64::from(WIDTH) - 24.0, y), style, &count);
        y += 38.0;
    }
}
