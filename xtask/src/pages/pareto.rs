//! What a model is worth against what it costs, as a picture: with our kernels, and with other
//! libraries.

use serde_json::Value;

use super::marks::{Picture, Shape};
use super::models::Report;
use crate::peers::{MODELS, libraries};

/// The cores whose instructions are shown, with the colour of each.
const CORES: [(&str, &str); 3] = [("M0", "#d55e00"), ("M4", "#0072b2"), ("M55", "#009e73")];
/// The core at whose points a model has its name: the others' points are as high.
const NAMED: &str = "M4";
/// Width and height of the picture, and of its margins: left, right, above, below.
const SIZE: [f64; 2] = [860.0, 480.0];
const MARGINS: [f64; 4] = [64.0, 116.0, 24.0, 56.0];
/// The instructions at the left and the right end.
const INSTRUCTIONS: [f64; 2] = [4e3, 1.2e7];
/// The percentages at the lower and the upper end.
const RIGHT: [f64; 2] = [97.4, 99.6];
/// So much higher or lower than the line of their model are other libraries' marks on the first
/// and the last core, so that they don't cover each other.
const SPREAD: f64 = 10.0;
/// From line to line of the legend, and from its columns to the right end.
const LINE: f64 = 18.0;
const COLUMNS: [f64; 2] = [320.0, 170.0];

/// Right answers against instructions: a point a model and core, and for each core a line
/// through those that no cheaper one equals; hollow ones for other libraries, beside the line of
/// the model whose layers they run.
pub fn picture(models: &[Report], seeds: &[Value], bench: &[Value], peers: &[Value]) -> String {
    let mut picture = Picture::new(SIZE, "Right answers against instructions an image");
    axes(&mut picture);
    for model in models.iter().filter(|model| MODELS.contains(&model.name())) {
        same_layers(&mut picture, model, y(100.0 * model.right(seeds)));
    }
    for (number, (core, colour)) in CORES.into_iter().enumerate() {
        let aside = SPREAD * (number as f64 - (CORES.len() - 1) as f64 / 2.0);
        for model in models {
            let y = y(100.0 * model.right(seeds)) + aside;
            let is_of = |row: &&Value| row["model"] == model.name() && row["core"] == core;
            for (library, shape) in libraries().into_iter().zip(Shape::HOLLOW) {
                let rows = peers.iter().filter(is_of);
                let rows = rows.filter(|row| row["library"] == library);
                for count in rows.filter_map(instructions) {
                    picture.mark(shape, [x(count), y], colour);
                }
            }
        }
        ours(&mut picture, models, seeds, bench, (core, colour));
    }
    legend(&mut picture);
    picture.finish()
}

/// Our points on a core, and their line.
fn ours(
    picture: &mut Picture,
    models: &[Report],
    seeds: &[Value],
    bench: &[Value],
    (core, colour): (&str, &str),
) {
    let mut points: Vec<([f64; 2], &str)> = models
        .iter()
        .filter_map(|model| {
            let row = bench
                .iter()
                .find(|row| row["core"] == core && row["model"] == model.name())?;
            let point = [x(instructions(row)?), y(100.0 * model.right(seeds))];
            Some((point, model.name()))
        })
        .collect();
    points.sort_by(|([a, _], _), ([b, _], _)| a.total_cmp(b));
    // The front: what no cheaper model does as well.
    let mut highest = f64::INFINITY;
    let front = points.iter().map(|(point, _)| *point).filter(|[_, y]| {
        let better = *y < highest;
        highest = highest.min(*y);
        better
    });
    let style = format!("stroke=\"{colour}\" stroke-opacity=\"0.4\"");
    picture.line(&front.collect::<Vec<_>>(), &style);
    for ([x, y], name) in points {
        picture.mark(Shape::Disc, [x, y], colour);
        if core == NAMED {
            picture.text([x, y - 12.0], "middle", name);
        }
    }
}

fn instructions(row: &Value) -> Option<f64> {
    row["instructions_per_image"].as_f64()
}

/// Where so many instructions are.
fn x(instructions: f64) -> f64 {
    let [from, to] = INSTRUCTIONS.map(f64::ln);
    let part = (instructions.ln() - from) / (to - from);
    MARGINS[0] + part * (SIZE[0] - MARGINS[0] - MARGINS[1])
}

/// Where so many percent are.
fn y(percent: f64) -> f64 {
    let [from, to] = RIGHT;
    let part = (percent - from) / (to - from);
    SIZE[1] - MARGINS[3] - part * (SIZE[1] - MARGINS[2] - MARGINS[3])
}

/// The line on which all points with the layers of a model are.
fn same_layers(picture: &mut Picture, model: &Report, y: f64) {
    let [left, right] = INSTRUCTIONS.map(x);
    picture.line(
        &[[left, y], [right, y]],
        "stroke=\"#999\" stroke-dasharray=\"2 4\"",
    );
    let words = format!("layers of {}", model.name());
    picture.text([right + 6.0, y + 4.0], "start", &words);
}

/// Lines to read off by, and what they mean.
fn axes(picture: &mut Picture) {
    const GREY: &str = "stroke=\"#ddd\"";
    let [left, right] = INSTRUCTIONS.map(x);
    let [low, high] = RIGHT.map(y);
    for (decade, words) in [
        (1e3, ""),
        (1e4, "10,000"),
        (1e5, "100,000"),
        (1e6, "1,000,000"),
        (1e7, "10,000,000"),
    ] {
        for count in [1.0, 2.0, 5.0].map(|digit| digit * decade) {
            if (INSTRUCTIONS[0]..INSTRUCTIONS[1]).contains(&count) {
                picture.line(&[[x(count), low], [x(count), high]], GREY);
            }
        }
        if !words.is_empty() {
            picture.text([x(decade), low + 18.0], "middle", words);
        }
    }
    for tenths in [975, 980, 985, 990, 995] {
        let percent = f64::from(tenths) / 10.0;
        let y = y(percent);
        picture.line(&[[left, y], [right, y]], GREY);
        picture.text([left - 8.0, y + 4.0], "end", &format!("{percent:.1} %"));
    }
    let below = [(left + right) / 2.0, SIZE[1] - 12.0];
    let words = "instructions an image, by a logarithmic scale";
    picture.text(below, "middle", words);
    let above = [left + 6.0, high + 14.0];
    picture.text(above, "start", "right, of 10,000 test images");
}

/// What colours and shapes mean, in the corner where no point is.
fn legend(picture: &mut Picture) {
    const BLACK: &str = "#444";
    let [cores, libraries_at] = COLUMNS.map(|column| SIZE[0] - MARGINS[1] - column);
    let others = libraries().into_iter().zip(Shape::HOLLOW);
    let all: Vec<(&str, Shape)> = [("siamese-core", Shape::Disc)]
        .into_iter()
        .chain(others)
        .collect();
    let lines = all.len() as f64;
    let corner = [cores - 16.0, SIZE[1] - MARGINS[3] - LINE * lines];
    let width = SIZE[0] - MARGINS[1] - corner[0];
    picture.clear(corner, [width, LINE * lines]);
    let line = |number: usize, lines: usize| {
        SIZE[1] - MARGINS[3] - LINE * (lines - number) as f64 + LINE / 2.0
    };
    for (number, (library, shape)) in all.iter().enumerate() {
        let y = line(number, all.len());
        picture.mark(*shape, [libraries_at, y], BLACK);
        picture.text([libraries_at + 14.0, y + 4.0], "start", library);
    }
    for (number, (core, colour)) in CORES.into_iter().enumerate() {
        let y = line(number, all.len());
        picture.mark(Shape::Disc, [cores, y], colour);
        picture.text([cores + 14.0, y + 4.0], "start", &format!("Cortex-{core}"));
    }
}
