//! The confusion matrix as a picture.

use super::palette::{colour, hex, mix};
use super::svg::{Anchor, Drawing, Picture, TextStyle, grouped};
use crate::dataset::ClassNames;
use crate::evaluate::Confusion;

/// Draws the confusion matrix: a row a class, a column what its images were
/// taken for. Right answers and mistakes are shaded on scales of their own,
/// because the former are far more.
#[must_use]
pub fn confusion(confusion: &Confusion, names: &ClassNames, title: &str) -> Picture {
    const LEFT: f64 = 190.0;
    const TOP: f64 = 190.0;
    let classes = &confusion.classes;
    let cell = (1000.0 / classes.len() as f64).clamp(24.0, 96.0);
    let side = cell * classes.len() as f64;
    let (width, height) = (LEFT + side.max(620.0) + 60.0, TOP + side + 40.0);
    let mut drawing = Drawing::new(width as u32, height as u32, "#ffffff");

    let heading = TextStyle {
        size: 30.0,
        bold: true,
        ..TextStyle::default()
    };
    drawing.text((40.0, 56.0), heading, title);
    let remark = TextStyle {
        size: 19.0,
        fill: "#555555",
        ..TextStyle::default()
    };
    let all: u64 = confusion.counts.iter().flatten().sum();
    let right: u64 = confusion
        .counts
        .iter()
        .zip(0..)
        .map(|(row, own): (_, usize)| row[own])
        .sum();
    let score = format!(
        "row: what it is; column: what it was taken for. {} of {} right",
        grouped(right as usize),
        grouped(all as usize)
    );
    drawing.text((40.0, 88.0), remark, &score);

    let short = classes
        .iter()
        .all(|&class| names.get(class).chars().count() <= 3);
    let mistakes = confusion.mistakes();
    let most = mistakes.first().map_or(1, |&(_, _, times)| times) as f64;
    let size = (cell * 0.3).clamp(9.0, 22.0);
    for (row, (counts, &class)) in confusion.counts.iter().zip(classes).enumerate() {
        let middle = TOP + (row as f64 + 0.5) * cell;
        let name = names.get(class);
        let label = TextStyle {
            size: 20.0,
            anchor: Anchor::End,
            ..TextStyle::default()
        };
        drawing.text((LEFT - 14.0, middle + 7.0), label, &name);
        let above = (LEFT + (row as f64 + 0.5) * cell, TOP - 12.0);
        let (anchor, rotation) = if short {
            (Anchor::Middle, 0.0)
        } else {
            (Anchor::Start, -40.0)
        };
        drawing.text(
            above,
            TextStyle {
                anchor,
                rotation,
                ..label
            },
            &name,
        );

        let of_class = counts.iter().sum::<u64>().max(1) as f64;
        for (column, &count) in counts.iter().enumerate() {
            let (base, strength) = if row == column {
                (colour(2), 0.8 * count as f64 / of_class)
            } else {
                (colour(7), 0.85 * (count as f64 / most).sqrt())
            };
            let corner = (LEFT + column as f64 * cell, TOP + row as f64 * cell);
            let fill = hex(mix(base, [250; 3], strength));
            drawing.rect(
                (corner.0 + 1.0, corner.1 + 1.0),
                (cell - 2.0, cell - 2.0),
                &fill,
            );
            if count > 0 {
                let fill = if strength > 0.6 { "#ffffff" } else { "#333333" };
                let style = TextStyle {
                    size,
                    anchor: Anchor::Middle,
                    fill,
                    ..TextStyle::default()
                };
                let at = (corner.0 + cell / 2.0, middle + 0.36 * size);
                drawing.text(at, style, &count.to_string());
            }
        }
    }
    drawing.finish()
}
