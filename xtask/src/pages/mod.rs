//! The tables of `README.md` and of `docs/`: each follows from a report, and stands
//! between marks. Nobody writes a figure into a page by hand.

pub mod bench;
mod budget;
mod cores;
mod demo;
mod marks;
mod models;
mod pareto;
pub mod peers;
mod seeds;
mod table;
mod trust;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::shell::Run;
use crate::{fuzz, shell};

/// What `cargo xtask pages --help` says in the end.
pub const HELP: &str = "\
The reports: docs/bench.json (`cargo xtask bench --write`), docs/demo.json (`cargo xtask demo
--write`), docs/onnxruntime.json (`python3 siamese-train/benches/onnxruntime_int8.py --write`),
docs/original/original.json (`siamese-train train --recipe original`),
docs/seeds.json (`cargo xtask seeds`), docs/peers.json (`cargo xtask bench-peers --write`),
docs/fuzz.json (`cargo xtask fuzz --write` and its siblings), and the report and the model
file of each model in model/
(`cargo xtask train-all`). The factors of `siamese-train
budget` in siamese-build/src/cost.rs follow from docs/bench.json in the same way; where they have
changed, the tables that follow from them are made by this program built anew. A table stands
between `<!-- table: NAME -->` and `<!-- end -->`. A test fails if a page and its reports
disagree.";

/// What was measured on the emulated cores and the host last.
const BENCH: &str = "docs/bench.json";
/// What the demo measured last.
const DEMO: &str = "docs/demo.json";
/// What the kept training by the original's recipe reported.
const ORIGINAL: &str = "docs/original/original.json";
/// What onnxruntime and this project took in one run.
const ONNXRUNTIME: &str = "docs/onnxruntime.json";
/// What the recipes reach with other seeds.
const SEEDS: &str = "docs/seeds.json";
/// What other libraries took for the same layers last.
const PEERS: &str = "docs/peers.json";
/// The model whose costs are told in full.
const MODEL: &str = "small";

/// All that tables are made of.
#[derive(Clone)]
struct Reports {
    bench: Vec<Value>,
    demo: Value,
    original: Value,
    onnxruntime: Vec<Value>,
    models: Vec<models::Report>,
    seeds: Vec<Value>,
    peers: Vec<Value>,
    fuzz: Value,
}

impl Reports {
    fn read(root: &Path) -> Result<Self> {
        let json = |name: &str| -> Result<Value> {
            let text = fs::read_to_string(root.join(name));
            let text = text.with_context(|| format!("can't read {name}"))?;
            serde_json::from_str(&text).with_context(|| format!("{name} is no report"))
        };
        Ok(Self {
            bench: rows(json(BENCH)?),
            demo: json(DEMO)?,
            original: json(ORIGINAL)?,
            onnxruntime: rows(json(ONNXRUNTIME)?),
            models: models::read(&root.join("model"))?,
            seeds: rows(json(SEEDS)?),
            peers: rows(json(PEERS)?),
            fuzz: json(fuzz::REPORT)?,
        })
    }
}

/// A page, the name in a table's marks, and how it is made.
type Table = (&'static str, &'static str, fn(&Reports) -> String);
/// All tables.
const TABLES: &[Table] = &[
    ("README.md", "models", |reports| {
        models::overview(&reports.models, &reports.seeds, &reports.bench)
    }),
    ("docs/benchmarks.md", "demo", |reports| {
        demo::table(&reports.demo)
    }),
    ("docs/benchmarks.md", "models", |reports| {
        models::in_full(&reports.models, &reports.seeds)
    }),
    ("docs/benchmarks.md", "instructions", |reports| {
        bench::instructions(&reports.bench)
    }),
    ("docs/benchmarks.md", "peers", |reports| {
        peers::table(&reports.peers, &reports.bench)
    }),
    ("docs/benchmarks.md", "costs", |reports| {
        bench::costs(&reports.bench, MODEL)
    }),
    ("docs/benchmarks.md", "bytes", |reports| {
        bench::bytes(&reports.bench, MODEL)
    }),
    ("docs/benchmarks.md", "host", |reports| {
        bench::host(&reports.bench)
    }),
    ("docs/benchmarks.md", "onnxruntime", |reports| {
        bench::beside_onnxruntime(&reports.onnxruntime)
    }),
    ("docs/study.md", "original", |reports| {
        models::in_steps(&reports.original)
    }),
    ("docs/learning-in-the-field.md", "few-shot", |reports| {
        seeds::few_shot(&reports.seeds)
    }),
    ("docs/learning-in-the-field.md", "promises", |reports| {
        seeds::promises(&reports.seeds)
    }),
    ("docs/boards.md", "budget", |reports| {
        budget::table_of_boards(&reports.bench)
    }),
    ("docs/boards.md", "cycles", |reports| {
        budget::checked(&reports.bench)
    }),
    ("docs/trust.md", "executions", |reports| {
        trust::executions(&reports.fuzz)
    }),
    ("docs/trust.md", "coverage", |reports| {
        trust::coverage(&reports.fuzz)
    }),
    ("docs/trust.md", "flips", |reports| {
        trust::flips(&reports.fuzz)
    }),
    ("docs/trust.md", "power-cuts", |reports| {
        trust::power(&reports.fuzz)
    }),
    ("docs/trust.md", "noise", |reports| {
        trust::noise(&reports.fuzz)
    }),
    ("docs/trust.md", "noisy-boards", |reports| {
        trust::noisy_boards(&reports.fuzz)
    }),
    ("docs/trust.md", "sanitised", |reports| {
        trust::sanitised(&reports.fuzz)
    }),
    ("siamese-build/src/cost.rs", "cores", |reports| {
        cores::rows(&reports.bench)
    }),
];

/// The picture of what the models are worth against what they cost.
const PARETO: &str = "docs/pareto.svg";

/// How it is made.
fn pareto(reports: &Reports) -> String {
    let Reports {
        models,
        seeds,
        bench,
        peers,
        ..
    } = reports;
    pareto::picture(models, seeds, bench, peers)
}

/// Makes all tables anew, and the picture.
pub fn write(root: &Path) -> Result<()> {
    let reports = Reports::read(root)?;
    fs::write(root.join(PARETO), pareto(&reports))
        .with_context(|| format!("can't write {PARETO}"))?;
    let mut is_old = false;
    for page in pages() {
        let path = root.join(page);
        let text = fs::read_to_string(&path).with_context(|| format!("can't read {page}"))?;
        let new = with_tables(page, &text, &reports)?;
        if new != text {
            fs::write(&path, new).with_context(|| format!("can't write {page}"))?;
            shell::note(page);
            is_old |= page.ends_with(".rs");
        }
    }
    if is_old {
        // What follows from those figures was made with the ones before. The program built anew
        // finds them as they ought to be, so that it ends here.
        let again = Run::new("cargo").args(["xtask", "pages"]).dir(root);
        return again.run();
    }
    Ok(())
}

/// Puts rows into the report on costs, in place of those for the same cores and
/// models, and makes the tables anew.
pub fn write_bench(root: &Path, rows: &[Value]) -> Result<()> {
    let before = kept(root, BENCH)?;
    store(root, BENCH, &Value::Array(bench::merged(before, rows)))
}

/// Does the same with what the recipes reach with other seeds.
pub fn write_seeds(root: &Path, rows: &[Value]) -> Result<()> {
    let before = kept(root, SEEDS)?;
    store(root, SEEDS, &Value::Array(seeds::merged(before, rows)))
}

/// Does the same with what other libraries take.
pub fn write_peers(root: &Path, rows: &[Value]) -> Result<()> {
    let before = kept(root, PEERS)?;
    store(root, PEERS, &Value::Array(peers::merged(before, rows)))
}

/// The rows of a report, none if there is none.
fn kept(root: &Path, name: &str) -> Result<Vec<Value>> {
    match fs::read_to_string(root.join(name)) {
        Ok(text) => {
            serde_json::from_str(&text).with_context(|| format!("{name} is no report; remove it"))
        }
        Err(_) => Ok(Vec::new()),
    }
}

/// Keeps what the demo measured, and makes the tables anew.
pub fn write_demo(root: &Path, report: &Value) -> Result<()> {
    store(root, DEMO, report)
}

fn store(root: &Path, name: &str, report: &Value) -> Result<()> {
    fs::write(root.join(name), format!("{report:#}\n"))
        .with_context(|| format!("can't write {name}"))?;
    shell::note(name);
    write(root)
}

/// New rows, and those of before that none of them stands for: whose values of `keys` it has.
fn renewed(before: Vec<Value>, rows: &[Value], keys: &[&str]) -> Vec<Value> {
    let same = |a: &Value, b: &Value| keys.iter().all(|&key| a[key] == b[key]);
    let kept = before
        .into_iter()
        .filter(|old| !rows.iter().any(|new| same(old, new)));
    rows.iter().cloned().chain(kept).collect()
}

fn rows(report: Value) -> Vec<Value> {
    match report {
        Value::Array(rows) => rows,
        _ => Vec::new(),
    }
}

/// The pages that have tables.
fn pages() -> Vec<&'static str> {
    let mut pages: Vec<&str> = TABLES.iter().map(|(page, ..)| *page).collect();
    pages.dedup();
    pages
}

/// A page with its tables made anew.
fn with_tables(page: &str, text: &str, reports: &Reports) -> Result<String> {
    let mut text = text.to_owned();
    for (_, name, table) in TABLES.iter().filter(|(of, ..)| *of == page) {
        let (start, end) = (format!("<!-- table: {name} -->\n"), "<!-- end -->");
        let mark = || format!("{page} has no table between {start}and {end}");
        let first = text.find(&start).with_context(mark)? + start.len();
        let length = text[first..].find(end).with_context(mark)?;
        let made = table(reports);
        let made = if page.ends_with(".rs") {
            // The marks are comments.
            format!("{made}    // ")
        } else {
            format!("\n{made}\n")
        };
        text.replace_range(first..first + length, &made);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Workspace;
    use serde_json::json;

    #[test]
    fn the_pages_tables_are_those_of_the_reports() {
        let root = Workspace::find().unwrap().root().to_owned();
        let reports = Reports::read(&root).unwrap();
        let picture = fs::read_to_string(root.join(PARETO)).unwrap();
        assert!(
            picture == pareto(&reports),
            "{PARETO} is old: run `cargo xtask pages`"
        );
        for page in pages() {
            let text = fs::read_to_string(root.join(page)).unwrap();
            let made = with_tables(page, &text, &reports).unwrap();
            assert!(made == text, "{page} is old: run `cargo xtask pages`");
            let marks = text.matches("<!-- table: ").count();
            let known = TABLES.iter().filter(|(of, ..)| *of == page).count();
            assert_eq!(marks, known, "a table of {page} that nothing makes");
        }
    }

    #[test]
    fn every_report_reaches_a_page() {
        let root = Workspace::find().unwrap().root().to_owned();
        let reports = Reports::read(&root).unwrap();
        let text = fs::read_to_string(root.join("docs/benchmarks.md")).unwrap();
        let changed = |change: fn(&mut Reports)| {
            let mut other = reports.clone();
            change(&mut other);
            with_tables("docs/benchmarks.md", &text, &other).unwrap() != text
        };
        assert!(changed(|reports| {
            reports.bench = vec![json!({"core": "M4", "model": "small"})];
        }));
        assert!(changed(|reports| reports.demo["int8_knn25"] = json!(0.5)));
        assert!(changed(|reports| drop(reports.peers.pop())));
        assert!(changed(|reports| drop(reports.models.pop())));
        assert!(changed(|reports| {
            let row = reports.seeds.iter_mut().find(|row| row["model"] == "small");
            row.unwrap()["int8"]["eer"] = json!(0.5);
        }));
    }
}
