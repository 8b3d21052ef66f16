//! Axes: from real units to the page, and round numbers to mark.

use super::svg::{Anchor, Drawing, TextStyle};

/// Pixels that are kept free around the points, both sides together.
const MARGIN: f64 = 70.0;

/// A rectangle of the page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    pub left: f64,
    pub top: f64,
    pub width: f64,
    pub height: f64,
}

impl Frame {
    pub(super) const fn right(&self) -> f64 {
        self.left + self.width
    }

    pub(super) const fn bottom(&self) -> f64 {
        self.top + self.height
    }
}

/// A frame and what it shows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axes {
    pub frame: Frame,
    /// Lowest and highest value of each axis.
    pub x: (f64, f64),
    pub y: (f64, f64),
}

impl Axes {
    /// Axes of one scale: a unit is as long up as it is across. The narrower
    /// range is widened around its middle until the frame is full; before
    /// that, the frame gives up height that the points don't need, in whole
    /// pixels and down to half of it.
    pub(super) fn equal(mut frame: Frame, points: &[(f64, f64)]) -> Self {
        let (x, y) = (
            range(points.iter().map(|point| point.0)),
            range(points.iter().map(|point| point.1)),
        );
        let needed = frame.width * (y.1 - y.0) / (x.1 - x.0) + MARGIN;
        frame.height = needed.clamp(frame.height / 2.0, frame.height).round();
        Self::square(frame, points)
    }

    /// Axes of one scale in a frame that stays as it is.
    pub(super) fn square(frame: Frame, points: &[(f64, f64)]) -> Self {
        let (x, y) = (
            range(points.iter().map(|point| point.0)),
            range(points.iter().map(|point| point.1)),
        );
        let per_pixel = f64::max(
            (x.1 - x.0) / (frame.width - MARGIN),
            (y.1 - y.0) / (frame.height - MARGIN),
        );
        let widen = |(low, high): (f64, f64), pixels: f64| {
            let (middle, half) = (f64::midpoint(low, high), per_pixel * pixels / 2.0);
            (middle - half, middle + half)
        };
        Self {
            frame,
            x: widen(x, frame.width),
            y: widen(y, frame.height),
        }
    }

    /// Where a point is on the page.
    pub(super) fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let across = (x - self.x.0) / (self.x.1 - self.x.0);
        let up = (y - self.y.0) / (self.y.1 - self.y.0);
        (
            self.frame.left + across * self.frame.width,
            self.frame.bottom() - up * self.frame.height,
        )
    }

    /// Draws the grid, its numbers and the axes' names. `steps` is the distance
    /// of grid lines in each direction; an infinite one draws none.
    pub(super) fn draw(&self, drawing: &mut Drawing, steps: (f64, f64), names: (&str, &str)) {
        const GRID: &str = "#e6e6e6";
        const INK: &str = "#555555";
        let Frame {
            left,
            top,
            width,
            height,
        } = self.frame;
        let (right, bottom) = (self.frame.right(), self.frame.bottom());
        let number = TextStyle {
            size: 18.0,
            fill: INK,
            ..TextStyle::default()
        };
        for x in multiples(steps.0, self.x) {
            let at = self.place((x, self.y.0)).0;
            drawing.line(&[(at, top), (at, bottom)], GRID, 1.0);
            let style = TextStyle {
                anchor: Anchor::Middle,
                ..number
            };
            drawing.text((at, bottom + 26.0), style, &shown(x, steps.0));
        }
        for y in multiples(steps.1, self.y) {
            let at = self.place((self.x.0, y)).1;
            drawing.line(&[(left, at), (right, at)], GRID, 1.0);
            let style = TextStyle {
                anchor: Anchor::End,
                ..number
            };
            drawing.text((left - 10.0, at + 6.0), style, &shown(y, steps.1));
        }
        let corners = [
            (left, top),
            (right, top),
            (right, bottom),
            (left, bottom),
            (left, top),
        ];
        drawing.line(&corners, "#999999", 1.5);
        let name = TextStyle {
            size: 20.0,
            anchor: Anchor::Middle,
            ..TextStyle::default()
        };
        drawing.fitted((left + width / 2.0, bottom + 62.0), name, names.0, width);
        let upright = TextStyle {
            rotation: -90.0,
            ..name
        };
        drawing.fitted((left - 66.0, top + height / 2.0), upright, names.1, height);
    }
}

/// Lowest and highest value; never empty and never infinite.
pub(super) fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    match (low.is_finite() && high.is_finite(), high > low) {
        (true, true) => (low, high),
        (true, false) => (low - 0.5, high + 0.5),
        (false, _) => (0.0, 1.0),
    }
}

/// The round step (1, 2 or 5 times a power of ten) that divides a length into
/// about `parts`.
pub(super) fn round_step(length: f64, parts: f64) -> f64 {
    let rough = length / parts;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
    step.into_iter()
        .find(|&step| step >= rough)
        .unwrap_or(step[3])
}

/// The multiples of `step` within a range.
fn multiples(step: f64, (low, high): (f64, f64)) -> impl Iterator<Item = f64> {
    let first = (low / step).ceil();
    let count = if step.is_finite() {
        ((high / step).floor() - first).max(-1.0) + 1.0
    } else {
        0.0
    };
    (0..count as usize).map(move |index| (first + index as f64) * step)
}

/// A multiple of `step`, with the decimals that the step has.
fn shown(value: f64, step: f64) -> String {
    let decimals = (-step.log10().floor()).clamp(0.0, 12.0) as usize;
    let text = format!("{value:.decimals$}");
    // A typographic minus, and no negative zero.
    if text
        .trim_start_matches('-')
        .chars()
        .all(|c| c == '0' || c == '.')
    {
        text.replace('-', "")
    } else {
        text.replace('-', "\u{2212}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Frame = Frame {
        left: 10.0,
        top: 20.0,
        width: 400.0,
        height: 200.0,
    };

    #[test]
    fn a_unit_is_as_long_up_as_across() {
        let axes = Axes::equal(FRAME, &[(-3.0, 0.0), (5.0, 1.0), (0.0, 7.0)]);
        let (a, b) = (axes.place((0.0, 0.0)), axes.place((1.0, 1.0)));
        assert!(((b.0 - a.0) - (a.1 - b.1)).abs() < 1e-9 && b.0 > a.0);
        for point in [(-3.0, 0.0), (5.0, 1.0), (0.0, 7.0)] {
            let (x, y) = axes.place(point);
            assert!(x > 10.0 && x < 410.0 && y > 20.0 && y < 220.0);
        }
    }

    #[test]
    fn degenerate_ranges_are_widened() {
        for points in [&[][..], &[(2.0, 2.0)], &[(1.0, 2.0), (1.0, 2.0)]] {
            let axes = Axes::equal(FRAME, points);
            assert!(axes.x.1 > axes.x.0 && axes.y.1 > axes.y.0);
        }
    }

    #[test]
    fn marks_are_round() {
        assert_eq!(round_step(10.0, 5.0), 2.0);
        assert_eq!(round_step(0.013, 5.0), 0.005);
        assert_eq!(
            multiples(0.5, (-0.6, 0.6))
                .map(|x| shown(x, 0.5))
                .collect::<Vec<_>>(),
            ["\u{2212}0.5", "0.0", "0.5"]
        );
        assert_eq!(multiples(f64::INFINITY, (0.0, 1.0)).count(), 0);
    }
}
