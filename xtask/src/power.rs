//! Power cuts at every step of a save.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::fuzz;
use crate::shell;
use crate::workspace::Workspace;

/// What `cargo xtask power-cuts --help` says in the end.
pub const HELP: &str = "\
Saves galleries to the flash of four microcontrollers, simulated by their words and erase units.
At every word that is written and every unit that is erased the power goes, with the word torn in
five ways, and every read and every write fails once. Afterwards the gallery that was saved before,
or the new one, must be there, and saving must work. It is the test power.rs of siamese-core, which
`cargo xtask test` runs, too.";

/// What to do with the counts.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Put the figures into docs/fuzz.json and docs/trust.md
    #[arg(long)]
    write: bool,
}

/// Runs the test, and shows its counts.
pub fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let mut rows = Vec::new();
    shell::step("Power cuts", "nothing that was saved may be lost", || {
        let call = [
            "test",
            "--release",
            "--package=siamese-core",
            "--test=power",
            "--",
            "--nocapture",
        ];
        workspace
            .cargo(call)
            .run_watching(|line| rows.extend(row(line)))
    })?;
    ensure!(!rows.is_empty(), "the test has told no counts");
    if args.write {
        rows.sort_by_key(|row| row["flash"].as_str().unwrap_or_default().to_owned());
        let part = json!({"date": fuzz::today(), "rows": rows});
        fuzz::write(workspace, "power_cuts", part)?;
    }
    Ok(())
}

/// The counts of a line of the test, such as `steps: M0, chip: 3 saves, 5 power cuts, …`.
fn row(line: &str) -> Option<Value> {
    let (_, told) = line.split_once("steps: ")?;
    let (flash, counts) = told.rsplit_once(": ")?;
    let mut numbers = counts
        .split(", ")
        .map(|count| count.split(' ').next()?.parse::<u64>().ok());
    let mut next = || numbers.next().flatten();
    Some(json!({
        "flash": flash,
        "saves": next()?,
        "cuts": next()?,
        "reads": next()?,
        "writes": next()?,
        "lost": next()?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read() {
        let line = "test x ... steps: M0, a, b: 3 saves, 5 power cuts, 7 failing reads, 9 failing writes, 0 lost";
        let row = row(line).unwrap();
        assert_eq!(
            (&row["flash"], &row["cuts"], &row["lost"]),
            (&json!("M0, a, b"), &json!(5), &json!(0))
        );
        assert_eq!(super::row("test result: ok"), None);
    }
}
