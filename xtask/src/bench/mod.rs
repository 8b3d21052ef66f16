//! What an embedding costs: instructions and memory on every core, time on this machine.

mod device;
mod host;
mod worst;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::Value;
use siamese_device::firmware::Board;

use crate::images::{self, TEST_IMAGES};
use crate::setup::{self, Need};
use crate::shell;
use crate::workspace::Workspace;

/// What `cargo xtask bench --help` says in the end.
pub const HELP: &str = "\
On each core, counted by QEMU, so that all of it repeats exactly:
  an image, mean    instructions from the raw pixels to the embedding, of 500 test images spread
                    over MNIST's test set; each answer is compared with this machine's
  an image, worst   the dearest of those, of even greys and of noise without background
  parse             instructions of checking the whole model, once
  open              instructions from a model that was checked before to an empty gallery
  flash, code       what a firmware that embeds takes more than one that only loads and checks the
                    model, which is `flash, loader`
  RAM, static       of a firmware that embeds and does nothing else
  RAM, stack        the deepest that its stack is while it loads the model and embeds
  RAM, total        the two together
On this machine: nanoseconds an image on one thread, the median of rounds in turns.

--json prints a list of objects instead of tables. A core's has these keys; numbers are
instructions or bytes:
  core machine model kernel images mismatches
  instructions_per_image instructions_worst_image worst_image (which one that was)
  instructions_parse instructions_open
  flash_code flash_loader flash_weights ram_static ram_stack ram_total
This machine's has: core (\"host\") machine model kernel batch ns_per_image

Examples:
  cargo xtask bench
  cargo xtask bench --model small --core M4 --json";

const MODELS: [&str; 5] = ["tiny", "small", "small-d16", "medium", "reference"];
/// How this machine is called among the cores.
const HOST: &str = "host";
/// MNIST's images.
const PIXELS: usize = 28 * 28;

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print one list of JSON objects
    #[arg(long)]
    json: bool,
    /// Only this model of model/; may be given several times
    #[arg(long, value_name = "NAME", value_parser = MODELS)]
    model: Vec<String>,
    /// Only this core; may be given several times
    #[arg(long, value_name = "CORE", value_parser = cores())]
    core: Vec<String>,
}

fn cores() -> Vec<&'static str> {
    Board::one_a_core()
        .map(|board| board.core().short_name())
        .chain([HOST])
        .collect()
}

/// Measures, and shows it.
pub fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    setup::run(workspace, &[Need::Rust, Need::Qemu])?;
    let images = workspace.root().join(TEST_IMAGES);
    if !images.is_file() {
        setup::run(workspace, &[Need::Libtorch])?;
        shell::step("Data", "MNIST's test images", || {
            workspace.build_trainer()?;
            // Its report is not this command's.
            workspace
                .trainer(["data", "--dataset", "mnist", "--json"])
                .capture()
                .map(drop)
        })?;
    }
    let images = images::read(&images, PIXELS)?;
    let chosen = |names: &[String], name: &str| names.is_empty() || names.iter().any(|n| n == name);
    let models: Vec<PathBuf> = MODELS
        .iter()
        .filter(|name| chosen(&args.model, name))
        .map(|name| workspace.root().join("model").join(format!("{name}.siam")))
        .collect();

    let mut rows = Vec::new();
    for board in Board::one_a_core() {
        if !chosen(&args.core, board.core().short_name()) {
            continue;
        }
        let title = board.core().to_string();
        shell::step(&title, "in QEMU, which counts its instructions", || {
            for model in &models {
                if let Some(row) = device::measure(model, board, &images)? {
                    rows.push(row);
                }
            }
            Ok(())
        })?;
    }
    if chosen(&args.core, HOST) {
        shell::step("This machine", "one thread, back ends in turns", || {
            for model in &models {
                rows.extend(host::measure(model, &images)?);
            }
            Ok(())
        })?;
    }
    if args.json {
        println!("{:#}", Value::Array(rows));
    } else {
        println!("{}", tables(&rows));
    }
    Ok(())
}

/// The name of a model's file.
fn name(model: &Path) -> String {
    model.file_stem().unwrap_or_default().display().to_string()
}

/// The results in Markdown, as the README has them.
fn tables(rows: &[Value]) -> String {
    let text = |row: &Value, key: &str| match &row[key] {
        Value::String(text) => text.clone(),
        Value::Number(number) => grouped(number.as_f64().unwrap_or(0.0)),
        _ => "-".to_owned(),
    };
    let table = |columns: &[(&str, &str)], rows: &mut dyn Iterator<Item = &Value>| {
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let mut table = line(
            columns
                .iter()
                .map(|(title, _)| (*title).to_owned())
                .collect(),
        );
        table += &line(columns.iter().map(|_| "---".to_owned()).collect());
        for row in rows {
            table += &line(columns.iter().map(|(_, key)| text(row, key)).collect());
        }
        table
    };
    let is_host = |row: &&Value| row["core"] == HOST;
    let mut parts = Vec::new();
    let models: BTreeSet<usize> = rows
        .iter()
        .filter_map(|row| MODELS.iter().position(|name| row["model"] == *name))
        .collect();
    for model in models.into_iter().filter_map(|index| MODELS.get(index)) {
        let mut of_model = rows
            .iter()
            .filter(|row| row["model"] == *model && !is_host(row))
            .peekable();
        if of_model.peek().is_some() {
            let costs = [
                ("core", "core"),
                ("kernel", "kernel"),
                ("an image, mean", "instructions_per_image"),
                ("an image, worst", "instructions_worst_image"),
                ("parse", "instructions_parse"),
                ("open", "instructions_open"),
            ];
            let sizes = [
                ("core", "core"),
                ("flash, weights", "flash_weights"),
                ("flash, code", "flash_code"),
                ("flash, loader", "flash_loader"),
                ("RAM, static", "ram_static"),
                ("RAM, stack", "ram_stack"),
                ("RAM, total", "ram_total"),
            ];
            let (costs, sizes) = (
                table(&costs, &mut of_model.clone()),
                table(&sizes, &mut of_model),
            );
            parts.push(format!(
                "`{model}`, instructions\n\n{costs}\n`{model}`, bytes\n\n{sizes}"
            ));
        }
    }
    if rows.iter().any(|row| is_host(&row)) {
        let columns = [
            ("model", "model"),
            ("kernel", "kernel"),
            ("images at once", "batch"),
            ("ns an image", "ns_per_image"),
        ];
        parts.push(table(&columns, &mut rows.iter().filter(is_host)));
    }
    parts.join("\n")
}

/// A whole number with commas.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!(
            [0.0, 999.0, 1000.4, 26_492.0, 1_234_567.0].map(grouped),
            ["0", "999", "1,000", "26,492", "1,234,567"]
        );
    }

    #[test]
    fn cores_and_the_host_have_tables_of_their_own() {
        let rows = [
            json!({"core": "M4", "model": "small", "instructions_per_image": 26_000}),
            json!({"core": HOST, "model": "small", "kernel": "portable", "ns_per_image": 900}),
        ];
        let text = tables(&rows);
        assert!(text.contains("| M4 | - | 26,000 |"), "{text}");
        assert!(text.contains("| small | portable | - | 900 |"), "{text}");
    }
}
