//! What a model is worth against what it costs, as a picture.

use std::fmt::Write;

use serde_json::Value;

use super::models::Report;

/// The cores whose instructions are shown, with the colour of each.
const CORES: [(&str, &str); 3] = [("M0", "#d55e00"), ("M4", "#0072b2"), ("M55", "#009e73")];
/// Width and height of the picture, and of its margins: left, right, above, below.
const SIZE: [f64; 2] = [760.0, 460.0];
const MARGINS: [f64; 4] = [64.0, 24.0, 24.0, 56.0];
/// The instructions at the left and the right end.
const INSTRUCTIONS: [f64; 2] = [4e3, 6e5];
/// The percentages at the lower and the upper end.
const RIGHT: [f64; 2] = [97.4, 99.6];

/// Right answers against instructions: a point a model and core, and for each core a line
/// through those that no cheaper one equals.
pub fn picture(models: &[Report], seeds: &[Value], bench: &[Value]) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <title>Right answers against instructions an image</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        SIZE[0], SIZE[1]
    );
    axes(&mut svg);
    for (number, (core, colour)) in CORES.into_iter().enumerate() {
        let mut points: Vec<(f64, f64, &str)> = models
            .iter()
            .filter_map(|model| {
                let row = bench
                    .iter()
                    .find(|row| row["core"] == core && row["model"] == model.name())?;
                let count = row["instructions_per_image"].as_f64()?;
                Some((x(count), y(100.0 * model.right(seeds)), model.name()))
            })
            .collect();
        points.sort_by(|(a, ..), (b, ..)| a.total_cmp(b));
        // The front: what no cheaper model does as well.
        let mut highest = f64::INFINITY;
        let front = points.iter().filter(|(_, y, _)| {
            let better = *y < highest;
            highest = highest.min(*y);
            better
        });
        let line: Vec<String> = front.map(|(x, y, _)| format!("{x:.1},{y:.1}")).collect();
        push(
            &mut svg,
            &format!(
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-opacity=\"0.4\"/>",
                line.join(" ")
            ),
        );
        for (x, y, name) in points {
            push(
                &mut svg,
                &format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\" fill=\"{colour}\"/>"),
            );
            // Each model has its name at one core's points: others are as high.
            if core == "M4" {
                text(&mut svg, [x, y - 10.0], "middle", name);
            }
        }
        let at = [
            SIZE[0] - 150.0,
            SIZE[1] - MARGINS[3] - 62.0 + 20.0 * number as f64,
        ];
        push(
            &mut svg,
            &format!(
                "<circle cx=\"{}\" cy=\"{}\" r=\"5\" fill=\"{colour}\"/>",
                at[0],
                at[1] - 4.0
            ),
        );
        text(
            &mut svg,
            [at[0] + 12.0, at[1]],
            "start",
            &format!("Cortex-{core}"),
        );
    }
    svg + "</svg>\n"
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

/// Lines to read off by, and what they mean.
fn axes(svg: &mut String) {
    let [left, right] = INSTRUCTIONS.map(x);
    let [low, high] = RIGHT.map(y);
    for instructions in [5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5] {
        let x = x(instructions);
        push(
            svg,
            &format!("<path d=\"M{x:.1} {low:.1}V{high:.1}\" stroke=\"#ddd\"/>"),
        );
        let label = format!("{:.0},000", instructions / 1e3);
        text(svg, [x, low + 18.0], "middle", &label);
    }
    for tenths in [975, 980, 985, 990, 995] {
        let percent = f64::from(tenths) / 10.0;
        let y = y(percent);
        push(
            svg,
            &format!("<path d=\"M{left:.1} {y:.1}H{right:.1}\" stroke=\"#ddd\"/>"),
        );
        text(
            svg,
            [left - 8.0, y + 4.0],
            "end",
            &format!("{percent:.1} %"),
        );
    }
    let below = [(left + right) / 2.0, SIZE[1] - 12.0];
    text(
        svg,
        below,
        "middle",
        "instructions an image, by a logarithmic scale",
    );
    text(
        svg,
        [left + 6.0, high + 14.0],
        "start",
        "right, of 10,000 test images",
    );
}

fn text(svg: &mut String, [x, y]: [f64; 2], anchor: &str, words: &str) {
    let words = format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>");
    push(svg, &words);
}

/// Adds a line.
fn push(svg: &mut String, line: &str) {
    // Writing to a string can't fail.
    let _ = writeln!(svg, "{line}");
}
