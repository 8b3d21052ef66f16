//! The results in Markdown, and where they stand: `docs/bench.json` holds what was
//! measured last, and the tables of `README.md` between marks follow from it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{HOST, MODELS};
use crate::shell;

/// What was measured last.
const REPORT: &str = "docs/bench.json";
/// The page with the tables.
const PAGE: &str = "README.md";
/// The model whose costs are told in full.
const MODEL: &str = "small";

/// A table of the page, by the name in its marks.
type Table = (&'static str, fn(&[Value]) -> String);
/// The tables of the page.
const TABLES: [Table; 4] = [
    ("instructions", instructions),
    ("costs", |rows| costs(rows, MODEL)),
    ("bytes", |rows| bytes(rows, MODEL)),
    ("host", host),
];

/// Puts the rows into the report, in place of those for the same cores and models,
/// and the tables into the page.
pub fn write(root: &Path, rows: &[Value]) -> Result<()> {
    let report = root.join(REPORT);
    let before = match fs::read_to_string(&report) {
        Ok(text) => serde_json::from_str(&text)
            .with_context(|| format!("{} is no report; remove it", report.display()))?,
        Err(_) => Vec::new(),
    };
    let rows = &merged(before, rows);
    let text = format!("{:#}\n", Value::Array(rows.clone()));
    fs::write(&report, text).with_context(|| format!("can't write {}", report.display()))?;
    let page = root.join(PAGE);
    let text =
        fs::read_to_string(&page).with_context(|| format!("can't read {}", page.display()))?;
    fs::write(&page, with_tables(&text, rows)?)
        .with_context(|| format!("can't write {}", page.display()))?;
    shell::note(&format!("{REPORT} and the tables of {PAGE}"));
    Ok(())
}

/// The rows of a report with new ones in place of those for the same cores and
/// models, core by core.
fn merged(before: Vec<Value>, rows: &[Value]) -> Vec<Value> {
    let same = |a: &Value, b: &Value| a["core"] == b["core"] && a["model"] == b["model"];
    let kept = before
        .into_iter()
        .filter(|old| !rows.iter().any(|new| same(old, new)));
    let mut all: Vec<Value> = rows.iter().cloned().chain(kept).collect();
    let cores = super::cores();
    all.sort_by_key(|row| {
        let core = cores.iter().position(|core| row["core"] == *core);
        let model = MODELS.iter().position(|model| row["model"] == *model);
        (core, model)
    });
    all
}

/// A page with its tables made anew.
fn with_tables(page: &str, rows: &[Value]) -> Result<String> {
    let mut page = page.to_owned();
    for (name, table) in TABLES {
        let (start, end) = (format!("<!-- bench: {name} -->\n"), "<!-- end -->");
        let mark = || format!("{PAGE} has no table between {start}and {end}");
        let first = page.find(&start).with_context(mark)? + start.len();
        let length = page[first..].find(end).with_context(mark)?;
        page.replace_range(first..first + length, &format!("\n{}\n", table(rows)));
    }
    Ok(page)
}

/// All tables, of all models.
pub fn all(rows: &[Value]) -> String {
    let mut parts = Vec::new();
    for model in MODELS {
        if of_cores(rows).any(|row| row["model"] == model) {
            parts.push(format!(
                "`{model}`, instructions\n\n{}\n`{model}`, bytes\n\n{}",
                costs(rows, model),
                bytes(rows, model)
            ));
        }
    }
    if rows.iter().any(is_host) {
        parts.push(host(rows));
    }
    parts.join("\n")
}

/// Instructions an image: a row a core, a column a model.
fn instructions(rows: &[Value]) -> String {
    let mut cores: Vec<&Value> = of_cores(rows).map(|row| &row["core"]).collect();
    cores.dedup();
    let cell = |core: &Value, model: &str| {
        let row = of_cores(rows).find(|row| row["core"] == *core && row["model"] == model);
        row.map_or("too large".into(), |row| {
            text(row, "instructions_per_image")
        })
    };
    let head = ["core".to_owned()]
        .into_iter()
        .chain(MODELS.map(|model| format!("`{model}`")));
    let body = cores.into_iter().map(|core| {
        let name = core.as_str().unwrap_or_default().to_owned();
        let cells = MODELS.map(|model| cell(core, model));
        [name].into_iter().chain(cells).collect()
    });
    table(head.collect(), body)
}

/// What one model costs on each core, in instructions.
fn costs(rows: &[Value], model: &str) -> String {
    let columns = [
        ("core", "core"),
        ("kernel", "kernel"),
        ("an image, mean", "instructions_per_image"),
        ("an image, worst", "instructions_worst_image"),
        ("parse", "instructions_parse"),
        ("open", "instructions_open"),
    ];
    chosen(&columns, of_cores(rows).filter(|row| row["model"] == model))
}

/// What one model takes on each core, in bytes.
fn bytes(rows: &[Value], model: &str) -> String {
    let columns = [
        ("core", "core"),
        ("flash, weights", "flash_weights"),
        ("flash, code", "flash_code"),
        ("flash, loader", "flash_loader"),
        ("RAM, static", "ram_static"),
        ("RAM, stack", "ram_stack"),
        ("RAM, total", "ram_total"),
    ];
    chosen(&columns, of_cores(rows).filter(|row| row["model"] == model))
}

/// Time on this machine.
fn host(rows: &[Value]) -> String {
    let columns = [
        ("model", "model"),
        ("kernel", "kernel"),
        ("images at once", "batch"),
        ("ns an image", "ns_per_image"),
    ];
    chosen(&columns, rows.iter().filter(|row| is_host(row)))
}

fn is_host(row: &Value) -> bool {
    row["core"] == HOST
}

fn of_cores(rows: &[Value]) -> impl Iterator<Item = &Value> {
    rows.iter().filter(|row| !is_host(row))
}

/// A table with chosen columns: each one's title and key.
fn chosen<'r>(columns: &[(&str, &str)], rows: impl Iterator<Item = &'r Value>) -> String {
    let titles = columns.iter().map(|(title, _)| (*title).to_owned());
    let cells = rows.map(|row| columns.iter().map(|(_, key)| text(row, key)).collect());
    table(titles.collect(), cells)
}

fn table(head: Vec<String>, rows: impl Iterator<Item = Vec<String>>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let rule = vec!["---".to_owned(); head.len()];
    let mut table = line(&head) + &line(&rule);
    rows.for_each(|row| table += &line(&row));
    table
}

fn text(row: &Value, key: &str) -> String {
    match &row[key] {
        Value::String(text) => text.clone(),
        Value::Number(number) => grouped(number.as_f64().unwrap_or(0.0)),
        _ => "-".to_owned(),
    }
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
    use crate::workspace::Workspace;
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
        let text = all(&rows);
        assert!(text.contains("| M4 | - | 26,000 |"), "{text}");
        assert!(text.contains("| small | portable | - | 900 |"), "{text}");
        let cores = instructions(&rows);
        assert!(cores.contains("| M4 | too large | 26,000 |"), "{cores}");
        assert!(!cores.contains(HOST), "{cores}");
    }

    #[test]
    fn new_rows_replace_those_for_the_same_core_and_model() {
        let row = |core: &str, model: &str, count: u32| json!({"core": core, "model": model, "instructions_per_image": count});
        let before = vec![
            row("M0", "small", 1),
            row("M4", "tiny", 2),
            row(HOST, "tiny", 3),
        ];
        let new = [
            row("M4", "small", 4),
            row("M0", "small", 5),
            row(HOST, "tiny", 6),
        ];
        let expected = [
            row("M0", "small", 5),
            row("M4", "tiny", 2),
            row("M4", "small", 4),
            row(HOST, "tiny", 6),
        ];
        assert_eq!(merged(before, &new), expected);
    }

    #[test]
    fn the_pages_tables_are_those_of_the_report() {
        let root = Workspace::find().unwrap().root().to_owned();
        let report = fs::read_to_string(root.join(REPORT)).unwrap();
        let rows: Vec<Value> = serde_json::from_str(&report).unwrap();
        let page = fs::read_to_string(root.join(PAGE)).unwrap();
        assert_eq!(
            with_tables(&page, &rows).unwrap(),
            page,
            "run `cargo xtask bench --write`, which measures and writes both"
        );
        let other = [json!({"core": "M4", "model": "small", "instructions_per_image": 1})];
        assert_ne!(with_tables(&page, &other).unwrap(), page);
    }
}
