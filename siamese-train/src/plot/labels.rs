//! The names of the classes, at their clusters.

use super::palette::{hex, ink, mix};
use super::svg::{Anchor, Drawing, TextStyle};
use crate::dataset::{Class, class_slots};

/// A name and where it should stand on the page.
pub(super) struct Label {
    pub class: Class,
    pub text: String,
    pub at: (f64, f64),
}

/// The median point of every class that occurs, classes ascending.
pub(super) fn medians(points: &[(f64, f64)], labels: &[Class]) -> Vec<(Class, (f64, f64))> {
    let mut members = vec![(Vec::new(), Vec::new()); class_slots(labels)];
    for (&(x, y), &class) in points.iter().zip(labels) {
        members[usize::from(class)].0.push(x);
        members[usize::from(class)].1.push(y);
    }
    (0..=Class::MAX)
        .zip(members)
        .filter(|(_, (xs, _))| !xs.is_empty())
        .map(|(class, (mut xs, mut ys))| (class, (median(&mut xs), median(&mut ys))))
        .collect()
}

fn median(values: &mut [f64]) -> f64 {
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

/// Names that are set in full size; more are set smaller.
const FULL_SIZE: f64 = 20.0;

/// Draws the names, moved apart as far as needed so that none covers another.
/// `size` is their height, in units of the drawing, where there are few.
pub(super) fn draw(drawing: &mut Drawing, mut labels: Vec<Label>, size: f64) {
    let crowd = (FULL_SIZE / labels.len().max(1) as f64).sqrt();
    let size = size * crowd.clamp(0.4, 1.0);
    move_apart(&mut labels, size);
    for label in &labels {
        let fill = hex(mix(ink(label.class), [0; 3], 0.75));
        let style = TextStyle {
            size,
            bold: true,
            anchor: Anchor::Middle,
            fill: &fill,
            halo: size / 7.0,
            ..TextStyle::default()
        };
        drawing.text((label.at.0, label.at.1 + 0.36 * size), style, &label.text);
    }
}

/// Pushes names that overlap away from each other, a little at a time.
fn move_apart(labels: &mut [Label], size: f64) {
    let width = |label: &Label| (0.72 * label.text.chars().count() as f64 + 0.3) * size;
    for _round in 0..200 {
        let mut moved = false;
        for first in 0..labels.len() {
            for second in first + 1..labels.len() {
                let (a, b) = (&labels[first], &labels[second]);
                let apart = (b.at.0 - a.at.0, b.at.1 - a.at.1);
                let room = (f64::midpoint(width(a), width(b)), 1.1 * size);
                let overlap = (room.0 - apart.0.abs(), room.1 - apart.1.abs());
                if overlap.0 <= 0.0 || overlap.1 <= 0.0 {
                    continue;
                }
                moved = true;
                // Along the shorter way out.
                let push = if overlap.1 <= overlap.0 {
                    (0.0, overlap.1.min(2.0) / 2.0 * 1f64.copysign(apart.1))
                } else {
                    (overlap.0.min(2.0) / 2.0 * 1f64.copysign(apart.0), 0.0)
                };
                labels[first].at.0 -= push.0;
                labels[first].at.1 -= push.1;
                labels[second].at.0 += push.0;
                labels[second].at.1 += push.1;
            }
        }
        if !moved {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_at_one_place_are_moved_apart() {
        let label = |class| Label {
            class,
            text: "name".into(),
            at: (50.0, 50.0),
        };
        let mut labels = vec![label(0), label(1), label(2)];
        move_apart(&mut labels, 10.0);
        for (i, a) in labels.iter().enumerate() {
            for b in &labels[i + 1..] {
                assert!((a.at.1 - b.at.1).abs() >= 10.9 || (a.at.0 - b.at.0).abs() >= 31.0);
            }
        }
    }

    #[test]
    fn medians_ignore_outliers() {
        let points = [(0.0, 0.0), (1.0, 1.0), (100.0, -100.0), (7.0, 8.0)];
        assert_eq!(
            medians(&points, &[3, 3, 3, 9]),
            [(3, (1.0, 0.0)), (9, (7.0, 8.0))]
        );
    }
}
