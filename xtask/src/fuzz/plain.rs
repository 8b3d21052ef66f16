//! The loop of `fuzz/` itself.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::shell::{self, Run};
use crate::workspace::Workspace;

/// Builds the program, with checks; where it is.
pub fn build(workspace: &Workspace) -> Result<PathBuf> {
    let why = "every target in one program, with overflow checks and debug assertions";
    shell::step("Targets", why, || {
        let call = ["build", "--profile", "fuzz", "--package", "siamese-fuzz"];
        workspace.cargo(call).run()
    })?;
    Ok(workspace.beside("fuzz", "siamese-fuzz"))
}

/// Runs a target for so many seconds: a row of the report.
pub fn turn(
    workspace: &Workspace,
    program: &Path,
    target: &str,
    seconds: u64,
    seed: u64,
) -> Result<Value> {
    let text = Run::new(workspace.short(program))
        .args(["run", target, "--json"])
        .args(["--seconds", &seconds.to_string()])
        .args(["--seed", &seed.to_string()])
        .dir(workspace.root())
        .capture()?;
    let mut row: Value =
        serde_json::from_str(&text).context("the program of fuzz/ has no report")?;
    row["runner"] = "plain".into();
    Ok(row)
}
