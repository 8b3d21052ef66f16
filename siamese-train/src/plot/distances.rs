//! How far apart same and different pairs are.

use super::axes::{Axes, Frame, round_step};
use super::palette::{colour, hex};
use super::svg::{Anchor, Drawing, Picture, TextStyle, grouped};
use crate::evaluate::Verification;

const WIDTH: u32 = 1400;
const HEIGHT: u32 = 800;
const FRAME: Frame = Frame {
    left: 110.0,
    top: 110.0,
    width: 1250.0,
    height: 580.0,
};

/// Draws the distances of all pairs of one class and of all pairs of two, each
/// as a share of its kind, with the threshold of the equal error rate between
/// them.
#[must_use]
pub fn distances(verification: &Verification, title: &str) -> Picture {
    let histogram = &verification.histogram;
    let share = |bins: &[u64], pairs: u64| -> Vec<f64> {
        bins.iter()
            .map(|&count| 100.0 * count as f64 / pairs as f64)
            .collect()
    };
    let same = share(&histogram.same, verification.same_pairs);
    let different = share(&histogram.different, verification.different_pairs);
    let highest = same.iter().chain(&different).copied().fold(0.0, f64::max);
    let axes = Axes {
        frame: FRAME,
        x: (0.0, histogram.bin_width * same.len() as f64),
        y: (0.0, 1.08 * highest),
    };

    let mut drawing = Drawing::new(WIDTH, HEIGHT, "#ffffff");
    let heading = TextStyle {
        size: 32.0,
        bold: true,
        ..TextStyle::default()
    };
    drawing.fitted((FRAME.left, 58.0), heading, title, FRAME.width);
    let remark = TextStyle {
        size: 20.0,
        fill: "#555555",
        ..TextStyle::default()
    };
    let pairs = format!(
        "{} pairs of one class, {} pairs of two",
        grouped(verification.same_pairs as usize),
        grouped(verification.different_pairs as usize)
    );
    drawing.text((FRAME.left, 90.0), remark, &pairs);
    let steps = (round_step(axes.x.1, 8.0), round_step(axes.y.1, 5.0));
    axes.draw(
        &mut drawing,
        steps,
        ("distance", "share of the pairs of a kind, %"),
    );

    let kinds = [(&different, 1, "different"), (&same, 0, "same")];
    for (shares, class, _) in kinds {
        outline(
            &mut drawing,
            &axes,
            histogram.bin_width,
            shares,
            &hex(colour(class)),
        );
    }
    threshold(&mut drawing, &axes, verification);
    for ((_, class, name), y) in kinds.into_iter().zip([72.0, 38.0]) {
        let (x, y) = (FRAME.right() - 150.0, FRAME.top + y);
        drawing.rect((x, y - 16.0), (18.0, 18.0), &hex(colour(class)));
        drawing.text((x + 28.0, y), TextStyle::default(), name);
    }
    drawing.finish()
}

/// Draws one histogram as a filled outline.
fn outline(drawing: &mut Drawing, axes: &Axes, bin_width: f64, shares: &[f64], colour: &str) {
    let mut corners = vec![axes.place((0.0, 0.0))];
    for (bin, &share) in (0u32..).zip(shares) {
        let left = f64::from(bin) * bin_width;
        corners.push(axes.place((left, share)));
        corners.push(axes.place((left + bin_width, share)));
    }
    corners.push(axes.place((axes.x.1, 0.0)));
    let path: Vec<String> = corners
        .iter()
        .map(|(x, y)| format!("{x:.1},{y:.1}"))
        .collect();
    drawing.add(format_args!(
        r#"<polygon points="{}" fill="{colour}" fill-opacity="0.35" stroke="{colour}" stroke-width="2"/>"#,
        path.join(" ")
    ));
}

/// Marks the threshold of the equal error rate, with its words on the side
/// that has room.
fn threshold(drawing: &mut Drawing, axes: &Axes, verification: &Verification) {
    let (x, _) = axes.place((verification.eer_distance, 0.0));
    drawing.line(&[(x, FRAME.top), (x, FRAME.bottom())], "#222222", 2.5);
    let left_half = x < FRAME.left + FRAME.width / 2.0;
    let (anchor, offset) = if left_half {
        (Anchor::Start, 12.0)
    } else {
        (Anchor::End, -12.0)
    };
    let words = TextStyle {
        anchor,
        halo: 3.0,
        ..TextStyle::default()
    };
    let rate = format!("equal error rate {:.2} %", 100.0 * verification.eer);
    let place = format!("at a distance of {:.3}", verification.eer_distance);
    drawing.text((x + offset, FRAME.top + 38.0), words, &rate);
    drawing.text((x + offset, FRAME.top + 66.0), words, &place);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embed::points::Points;
    use crate::evaluate::Labelled;

    #[test]
    fn the_axis_is_in_real_units() {
        // Two classes 1,000 steps of a hundredth apart: 10 real units.
        let steps = [0, 0, 100, 0, 1_000, 0, 1_000, 100];
        let points = Points::from_steps(2, 0.01, &steps).unwrap();
        let labelled = Labelled::new(&points, &[0, 0, 1, 1]).unwrap();
        let verification = Verification::of(labelled).unwrap();
        let histogram = &verification.histogram;
        let end = histogram.bin_width * histogram.same.len() as f64;
        let farthest = 10.1; // 10.05, and what a last bin may add
        assert!(end >= 10.04 && end <= farthest, "{end}");
        let svg = distances(&verification, "title");
        assert!(svg.svg().contains(">10</text>") && !svg.svg().contains(">1000</text>"));
    }
}
