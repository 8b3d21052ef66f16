//! What an embedding costs, as tables: from `docs/bench.json`, which holds what
//! `cargo xtask bench --write` measured last.

use serde_json::Value;

use super::renewed;
use super::table::{chosen, table, text};
use crate::bench::{HOST, MODELS, cores};

/// The rows of a report with new ones in place of those for the same cores and
/// models, core by core.
pub fn merged(before: Vec<Value>, rows: &[Value]) -> Vec<Value> {
    let mut all = renewed(before, rows, &["core", "model"]);
    let cores = cores();
    all.sort_by_key(|row| {
        let core = cores.iter().position(|core| row["core"] == *core);
        let model = MODELS.iter().position(|model| row["model"] == *model);
        (core, model)
    });
    all
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
pub fn instructions(rows: &[Value]) -> String {
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
pub fn costs(rows: &[Value], model: &str) -> String {
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
pub fn bytes(rows: &[Value], model: &str) -> String {
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
pub fn host(rows: &[Value]) -> String {
    let columns = [
        ("model", "model"),
        ("kernel", "kernel"),
        ("images at once", "batch"),
        ("ns an image", "ns_per_image"),
    ];
    chosen(&columns, rows.iter().filter(|row| is_host(row)))
}

/// Time of onnxruntime and of this project, in turns on one machine.
pub fn beside_onnxruntime(rows: &[Value]) -> String {
    let columns = [
        ("model", "model"),
        ("images at once", "batch"),
        ("onnxruntime, ns an image", "onnxruntime_ns"),
        ("siamese-core, ns an image", "siamese_ns"),
        ("ratio", "ratio"),
    ];
    chosen(&columns, rows.iter())
}

fn is_host(row: &Value) -> bool {
    row["core"] == HOST
}

fn of_cores(rows: &[Value]) -> impl Iterator<Item = &Value> {
    rows.iter().filter(|row| !is_host(row))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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
        let before = MODELS.iter().take_while(|name| **name != "small");
        let line = format!("| M4 |{} 26,000 |", " too large |".repeat(before.count()));
        assert!(cores.contains(&line), "{cores}");
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
}
