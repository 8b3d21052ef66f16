//! What long runs have shown: `docs/fuzz.json`, from which the tables of `docs/trust.md` follow.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::pages;
use crate::shell::Run;
use crate::workspace::Workspace;

/// The report.
pub const REPORT: &str = "docs/fuzz.json";

/// Adds a turn's row to those of the same target and runner.
pub fn add(all: &mut Vec<Value>, row: Value) {
    let same =
        |other: &&mut Value| other["target"] == row["target"] && other["runner"] == row["runner"];
    let Some(there) = all.iter_mut().find(same) else {
        all.push(row);
        return;
    };
    for key in ["executions", "seconds"] {
        there[key] = (whole(&there[key]) + whole(&row[key])).into();
    }
    for key in ["edges", "inputs"] {
        if let Some(number) = row[key].as_u64() {
            there[key] = number.into();
        }
    }
}

/// The sum of a count.
pub fn total(rows: &[Value], key: &str) -> u64 {
    rows.iter().map(|row| whole(&row[key])).sum()
}

/// A count that may be written as a float.
fn whole(number: &Value) -> u64 {
    number.as_f64().unwrap_or(0.0) as u64
}

/// What all runs have shown since the file was removed.
pub fn kept(workspace: &Workspace) -> Vec<Value> {
    let text = fs::read_to_string(path(workspace)).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

fn path(workspace: &Workspace) -> PathBuf {
    super::folder(workspace).join("report.json")
}

/// Keeps it, in case the next run is interrupted.
pub fn keep(workspace: &Workspace, all: &[Value]) -> Result<()> {
    let path = path(workspace);
    fs::write(&path, format!("{:#}\n", Value::from(all)))
        .with_context(|| format!("can't write {}", path.display()))
}

/// Puts the executions of a run into the report.
pub fn write_fuzz(workspace: &Workspace, rows: Vec<Value>) -> Result<()> {
    write(workspace, "fuzz", json!({"date": today(), "rows": rows}))
}

/// Puts what was run on other hosts and under stricter eyes in place of the same.
pub fn write_sanitised(workspace: &Workspace, rows: Vec<Value>) -> Result<()> {
    let before = read(workspace)?;
    let kept = before["sanitised"].as_array().cloned().unwrap_or_default();
    let old = |row: &Value| !rows.iter().any(|new| new["on"] == row["on"]);
    let mut all: Vec<Value> = kept.into_iter().filter(old).chain(rows.clone()).collect();
    all.sort_by_key(|row| row["on"].as_str().unwrap_or_default().to_owned());
    write(workspace, "sanitised", all.into())
}

/// The report as it is.
fn read(workspace: &Workspace) -> Result<Value> {
    match fs::read_to_string(workspace.root().join(REPORT)) {
        Ok(text) => serde_json::from_str(&text).with_context(|| format!("{REPORT} is no report")),
        Err(_) => Ok(json!({})),
    }
}

/// Puts one part of the report in place of the same part, and makes the pages anew.
pub fn write(workspace: &Workspace, part: &str, value: Value) -> Result<()> {
    let path = workspace.root().join(REPORT);
    let mut report = read(workspace)?;
    report[part] = value;
    fs::write(&path, format!("{report:#}\n")).with_context(|| format!("can't write {REPORT}"))?;
    pages::write(workspace.root())
}

/// The day.
pub fn today() -> String {
    Run::new("date")
        .args(["-u", "+%Y-%m-%d"])
        .ask()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_of_a_target_add_up() {
        let row = |target: &str, executions: f64, edges: u64| json!({"target": target, "runner": "libFuzzer", "executions": executions, "seconds": 2.0, "edges": edges});
        let mut all = Vec::new();
        for row in [row("a", 5.0, 7), row("b", 1.0, 1), row("a", 6.0, 9)] {
            add(&mut all, row);
        }
        assert_eq!(all.len(), 2);
        assert_eq!(
            (&all[0]["executions"], &all[0]["seconds"]),
            (&json!(11), &json!(4))
        );
        assert_eq!(all[0]["edges"], 9);
    }
}
