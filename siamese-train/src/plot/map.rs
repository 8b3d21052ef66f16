//! The map: every image a point in the colour of its class.

use super::axes::{Axes, Frame, round_step};
use super::labels::{self, Label, medians};
use super::palette::{colour, hex};
use super::plane::Plane;
use super::svg::{Anchor, Drawing, Picture, TextStyle, cut, grouped, text_width};
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
/// What is kept free at the right edge.
const MARGIN: f64 = 24.0;
/// The distance of the legend's rows, at least and at most.
const PITCH: (f64, f64) = (24.0, 38.0);
/// Layers that the points are drawn in, so that no class covers all others.
const LAYERS: usize = 24;

/// Draws every point in the colour of its class, with the classes' names at
/// their medians, a legend, and axes of one scale in real units. Points of
/// more than two dimensions are shown by their two principal components, and
/// the axes say so.
#[must_use]
pub fn map(points: Labelled<'_>, names: &ClassNames, title: &str) -> Picture {
    map_on(&Plane::new(points.points()), points.labels(), names, title)
}

/// [`map`] of points that are in the plane already.
pub(super) fn map_on(plane: &Plane, classes: &[Class], names: &ClassNames, title: &str) -> Picture {
    let axes = Axes::equal(FRAME, &plane.points);
    let mut drawing = Drawing::new(WIDTH, (axes.frame.bottom() + FOOT) as u32, "#ffffff");
    let width = f64::from(WIDTH) - FRAME.left - MARGIN;
    let heading = TextStyle {
        size: 32.0,
        bold: true,
        ..TextStyle::default()
    };
    drawing.fitted((FRAME.left, 58.0), heading, title, width);
    let remark = TextStyle {
        fill: "#555555",
        ..TextStyle::default()
    };
    let count = grouped(plane.points.len());
    let mut told = format!("{count} images, each a point in the colour of its class");
    if !plane.caution.is_empty() {
        told = format!("{told}; {}", plane.caution);
    }
    drawing.fitted((FRAME.left, 90.0), remark, &told, width);
    let step = if plane.units {
        round_step(axes.x.1 - axes.x.0, 7.0)
    } else {
        f64::INFINITY
    };
    axes.draw(&mut drawing, (step, step), (&plane.axes[0], &plane.axes[1]));
    draw_points(&mut drawing, &axes, &plane.points, classes, 1.0);

    let medians = medians(&plane.points, classes);
    let at_clusters = medians.iter().map(|&(class, median)| Label {
        class,
        text: names.get(class),
        at: axes.place(median),
    });
    labels::draw(&mut drawing, at_clusters.collect(), 36.0);
    draw_legend(&mut drawing, axes.frame, classes, names);
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

/// Draws which colour is which class, and how many images each has; the
/// largest classes where there is no room for all.
fn draw_legend(drawing: &mut Drawing, frame: Frame, classes: &[Class], names: &ClassNames) {
    let mut counts = vec![0usize; class_slots(classes)];
    for &class in classes {
        counts[usize::from(class)] += 1;
    }
    let mut present: Vec<(Class, usize)> = (0..=Class::MAX)
        .zip(counts)
        .filter(|&(_, count)| count > 0)
        .collect();
    let (all, room) = (present.len(), frame.height - 22.0);
    let pitch = (room / all.max(1) as f64).clamp(PITCH.0, PITCH.1);
    let rows = ((room / pitch) as usize).max(1);
    if all > rows {
        // The last row says how many more there are.
        present.sort_by_key(|&(class, count)| (std::cmp::Reverse(count), class));
        present.truncate(rows - 1);
        present.sort_unstable_by_key(|&(class, _)| class);
    }
    let part = pitch / PITCH.1;
    let name_style = TextStyle {
        size: (21.0 * part).max(15.0),
        ..TextStyle::default()
    };
    let count_style = TextStyle {
        size: (17.0 * part).max(13.0),
        fill: "#777777",
        anchor: Anchor::End,
        ..TextStyle::default()
    };
    let left = frame.right() + 34.0;
    let right = f64::from(WIDTH) - MARGIN;
    let mut y = frame.top + 22.0;
    for &(class, count) in &present {
        let radius = (9.0 * part).max(6.0);
        drawing.add(format_args!(
            r#"<circle cx="{left:.1}" cy="{:.1}" r="{radius:.1}" fill="{}"/>"#,
            y - 0.34 * name_style.size,
            hex(colour(class))
        ));
        let count = grouped(count);
        let width = right - left - 34.0 - text_width(count_style, &count);
        let name = cut(name_style, &names.get(class), width);
        drawing.text((left + 22.0, y), name_style, &name);
        drawing.text((right, y), count_style, &count);
        y += pitch;
    }
    if all > present.len() {
        let more = format!("and {} more", all - present.len());
        drawing.text((left + 22.0, y), name_style, &more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embed::points::Points;

    /// The colour of the path that has a dot at this place.
    fn colour_at(svg: &str, (x, y): (f64, f64)) -> &str {
        let dot = format!("M{x:.1} {y:.1}h0");
        let path = svg.lines().find(|line| line.contains(&dot)).unwrap();
        path.split_once("stroke=\"")
            .unwrap()
            .1
            .split('"')
            .next()
            .unwrap()
    }

    #[test]
    fn every_point_and_its_legend_have_the_colour_of_its_class() {
        let points = Points::new(2, vec![0.0, 0.0, 4.0, 1.0, 2.0, 5.0]).unwrap();
        let classes = [7, 1, 12];
        let plane = Plane::new(&points);
        let axes = Axes::equal(FRAME, &plane.points);
        let labelled = Labelled::new(&points, &classes).unwrap();
        let picture = map(labelled, &ClassNames::numbers(), "title");
        for (&point, class) in plane.points.iter().zip(classes) {
            assert_eq!(
                colour_at(picture.svg(), axes.place(point)),
                hex(colour(class))
            );
        }
        // A circle of the legend is followed by its class's name.
        let lines: Vec<&str> = picture.svg().lines().collect();
        for class in classes {
            let circle = lines
                .iter()
                .position(|line| line.starts_with("<circle") && line.contains(&hex(colour(class))));
            assert!(lines[circle.unwrap() + 1].contains(&format!(">{class}</text>")));
        }
        assert_eq!(hex(colour(1)), "#e08020");
    }

    #[test]
    fn a_legend_of_many_classes_stays_on_the_page_and_counts_the_rest() {
        for classes in [10u16, 40, 100, 300] {
            let labels: Vec<Class> = (0..classes).flat_map(|class| [class, class]).collect();
            let labels: Vec<Class> = labels.into_iter().chain([classes - 1]).collect();
            let coords = (0..2 * labels.len()).map(|i| (i % 37) as f32).collect();
            let points = Points::new(2, coords).unwrap();
            let labelled = Labelled::new(&points, &labels).unwrap();
            let picture = map(labelled, &ClassNames::numbers(), "title");
            let circles: Vec<f64> = picture
                .svg()
                .lines()
                .filter_map(|line| line.strip_prefix("<circle")?.split_once("cy=\""))
                .map(|(_, rest)| rest.split('"').next().unwrap().parse().unwrap())
                .collect();
            assert!(circles.iter().all(|&y| y < FRAME.bottom()));
            let hidden = usize::from(classes) - circles.len();
            let told = format!("and {hidden} more");
            assert_eq!(
                picture.svg().contains(&told),
                hidden > 0,
                "{classes}: {told}"
            );
            assert!(circles.len() >= usize::from(classes).min(40));
            // The largest class is among them.
            let largest = hex(colour(classes - 1));
            let listed = |line: &str| line.starts_with("<circle") && line.contains(&largest);
            assert!(picture.svg().lines().any(listed));
        }
    }

    #[test]
    fn a_map_of_many_coordinates_says_what_it_hides() {
        let coords = (0..300).map(|i| ((i * i) % 101) as f32).collect();
        let points = Points::new(10, coords).unwrap();
        let labelled = Labelled::new(&points, &[0; 30]).unwrap();
        let picture = map(labelled, &ClassNames::numbers(), "title");
        assert!(
            picture
                .svg()
                .contains("heaps that overlap here may lie apart")
        );
    }
}
