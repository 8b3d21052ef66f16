//! What the same layers cost with other libraries, as a table: from `docs/peers.json`, which
//! holds what `cargo xtask bench-peers --write` measured last.

use serde_json::Value;

use super::{renewed, table};
use crate::peers::{MODELS, cores, libraries};

/// The core whose bytes are shown.
const BYTES_OF: &str = "M4";

/// The rows of a report with new ones in place of those of the same library, model and core.
pub fn merged(before: Vec<Value>, rows: &[Value]) -> Vec<Value> {
    let mut all = renewed(before, rows, &["library", "model", "core"]);
    let (cores, libraries) = (cores(), libraries());
    all.sort_by_key(|row| {
        let place = |names: &[&str], key: &str| names.iter().position(|name| row[key] == *name);
        let (model, library) = (place(&MODELS, "model"), place(&libraries, "library"));
        (model, library, place(&cores, "core"))
    });
    all
}

/// A row a library and model, a column a core, and our own kernels first.
pub fn table(peers: &[Value], bench: &[Value]) -> String {
    let cores = cores();
    let head = ["layers of", "library", "answers that agree"]
        .map(str::to_owned)
        .into_iter()
        .chain(cores.iter().map(|core| (*core).to_owned()))
        .chain([format!("flash, {BYTES_OF}"), format!("RAM, {BYTES_OF}")]);
    let body = MODELS.into_iter().flat_map(|model| {
        let of_model = |rows: &[Value]| -> Vec<Value> {
            let rows = rows.iter().filter(|row| row["model"] == model);
            rows.cloned().collect()
        };
        let (ours, theirs) = (of_model(bench), of_model(peers));
        let ours: Vec<Value> = ours
            .into_iter()
            .filter(|row| row["flash_weights"].is_u64())
            .collect();
        let own = (!ours.is_empty()).then(|| line(model, "siamese-core", &ours));
        let others = libraries().into_iter().filter_map(move |library| {
            let rows = theirs.iter().filter(|row| row["library"] == library);
            let rows: Vec<Value> = rows.cloned().collect();
            (!rows.is_empty()).then(|| line(model, library, &rows))
        });
        own.into_iter().chain(others)
    });
    table::table(head.collect(), body)
}

/// What one library takes for one model.
fn line(model: &str, library: &str, rows: &[Value]) -> Vec<String> {
    let on = |core: &str| rows.iter().find(|row| row["core"] == core);
    let counted = cores()
        .into_iter()
        .map(|core| on(core).map_or("-".into(), |row| table::text(row, "instructions_per_image")));
    let agree = rows.iter().filter_map(|row| row["agree"].as_u64()).min();
    let agree = match (agree, rows.first()) {
        (Some(agree), Some(row)) => format!("{agree} of {}", row["images"]),
        _ => "all".to_owned(),
    };
    let bytes = |keys: &[&str]| {
        let sum = on(BYTES_OF).map(|row| keys.iter().filter_map(|key| row[key].as_f64()).sum());
        sum.map_or("-".into(), table::grouped)
    };
    let version = rows.first().and_then(|row| row["version"].as_str());
    let library = match version {
        Some(version) => format!("{library} {version}"),
        None => library.to_owned(),
    };
    [format!("`{model}`"), library, agree]
        .into_iter()
        .chain(counted)
        .chain([
            bytes(&["flash", "flash_weights", "flash_code", "flash_loader"]),
            bytes(&["ram", "ram_total"]),
        ])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row(library: &str, core: &str, count: u32, agree: u32) -> Value {
        json!({"library": library, "version": "1.2", "model": "small", "core": core, "images": 500, "agree": agree,
            "instructions_per_image": count, "flash": 60_000, "ram": 700})
    }

    #[test]
    fn a_library_has_a_line_below_ours() {
        let ours = json!({"core": "M4", "model": "small", "instructions_per_image": 22_000,
            "flash_weights": 60_000, "flash_code": 8_000, "flash_loader": 1_000, "ram_total": 4_000});
        let [library, ..] = libraries();
        let rows = [
            row(library, "M0", 300_000, 499),
            row(library, "M4", 110_000, 498),
        ];
        let text = table(&rows, &[ours]);
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[2].starts_with("| `small` | siamese-core | all |"),
            "{text}"
        );
        assert!(lines[2].ends_with("| 69,000 | 4,000 |"), "{text}");
        let theirs = format!("| `small` | {library} 1.2 | 498 of 500 | 300,000 | - | 110,000 |");
        assert!(lines[3].starts_with(&theirs), "{text}");
        assert!(lines[3].ends_with("| 60,000 | 700 |"), "{text}");
    }

    #[test]
    fn a_new_row_replaces_that_of_the_same_library_and_core() {
        let [library, ..] = libraries();
        let before = vec![row(library, "M4", 1, 500), row(library, "M0", 2, 500)];
        let after = merged(before, &[row(library, "M4", 3, 500)]);
        assert_eq!(
            after,
            [row(library, "M0", 2, 500), row(library, "M4", 3, 500)]
        );
    }
}
