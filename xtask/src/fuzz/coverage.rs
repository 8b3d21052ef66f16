//! How much of the readers the inputs reach: kept and committed ones.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::{folder, report};
use crate::shell::{self, Run};
use crate::workspace::Workspace;

/// What reads bytes that others write. A name that ends in `/` is a folder.
const READERS: [&str; 17] = [
    "siamese-core/src/model/parse.rs",
    "siamese-core/src/model/layout.rs",
    "siamese-core/src/model/lanes.rs",
    "siamese-core/src/model/precision.rs",
    "siamese-core/src/model/calibration.rs",
    "siamese-core/src/gallery/stored.rs",
    "siamese-core/src/gallery/names.rs",
    "siamese-core/src/gallery/store/",
    "siamese-link/src/frame.rs",
    "siamese-link/src/server/",
    "siamese-update/src/",
    "siamese-train/src/dataset/idx.rs",
    "siamese-train/src/dataset/pictures/decode.rs",
    "siamese-train/src/dataset/pictures/whole.rs",
    "siamese-train/src/train/checkpoint.rs",
    "siamese-train/src/import/weights.rs",
    "siamese-train/src/embed/golden.rs",
];

/// Runs all inputs, and tells the share of each reader's regions that they reach.
pub fn run(workspace: &Workspace, write: bool) -> Result<()> {
    let tools = tools(workspace)?;
    let built = folder(workspace).join("coverage");
    let profiles = built.join("profiles");
    let program = built.join("debug/siamese-fuzz");
    shell::step("Build", "every target with its regions counted", || {
        let call = [
            "build",
            "--package=siamese-fuzz",
            "--bin=siamese-fuzz",
            "--target-dir",
        ];
        let call = workspace.cargo(call).arg(&built);
        // Few inputs are run: what is quick to build is quickest.
        call.env("CARGO_PROFILE_DEV_OPT_LEVEL", "0")
            .env("CARGO_PROFILE_DEV_DEBUG", "false")
            .env("RUSTFLAGS", "-Cinstrument-coverage")
            .run()
    })?;
    shell::step("Run", "the kept and the committed inputs", || {
        let _ = std::fs::remove_dir_all(&profiles);
        let call = Run::new(workspace.short(&program)).args(["cover"]);
        let call = call.arg(workspace.short(&folder(workspace).join("corpus")));
        let file = profiles.join("%p.profraw");
        call.quiet_env("LLVM_PROFILE_FILE", file)
            .dir(workspace.root())
            .run()
    })?;
    let all = profiles.join("all.profdata");
    let raw = std::fs::read_dir(&profiles).context("there are no profiles")?;
    let raw: Vec<PathBuf> = raw.flatten().map(|entry| entry.path()).collect();
    let merge = Run::new(tools.join("llvm-profdata")).args(["merge", "-sparse", "-o"]);
    merge.arg(&all).args(raw).run()?;
    let export = Run::new(tools.join("llvm-cov")).args(["export", "-summary-only"]);
    let export = export.arg("-instr-profile").arg(&all).arg(&program);
    let report: Value =
        serde_json::from_str(&export.capture()?).context("llvm-cov has no report")?;
    let rows = rows(workspace.root(), &report);
    for row in &rows {
        println!(
            "{:>6} of {:>6} regions, {:>5} of {:>5} lines  {}",
            row["reached"],
            row["regions"],
            row["lines_reached"],
            row["lines"],
            row["file"].as_str().unwrap_or_default()
        );
    }
    if write {
        report::write(
            workspace,
            "coverage",
            json!({"date": report::today(), "rows": rows}),
        )?;
    }
    Ok(())
}

/// What llvm-cov says of the readers.
fn rows(root: &Path, report: &Value) -> Vec<Value> {
    let files = report["data"][0]["files"].as_array().into_iter().flatten();
    let files: Vec<(String, &Value)> = files
        .filter_map(|file| {
            let path = Path::new(file["filename"].as_str()?);
            let short = path.strip_prefix(root).unwrap_or(path);
            Some((short.to_string_lossy().into_owned(), &file["summary"]))
        })
        .collect();
    let of = |reader: &str| {
        let sum = |of: &str, key: &str| {
            let named = files.iter().filter(|(name, _)| name.starts_with(reader));
            named
                .filter_map(|(_, summary)| summary[of][key].as_u64())
                .sum::<u64>()
        };
        json!({
            "file": reader,
            "regions": sum("regions", "count"),
            "reached": sum("regions", "covered"),
            "lines": sum("lines", "count"),
            "lines_reached": sum("lines", "covered"),
        })
    };
    READERS.iter().map(|reader| of(reader)).collect()
}

/// The folder of LLVM's tools, of the very version that rustc has.
fn tools(workspace: &Workspace) -> Result<PathBuf> {
    let ask = |what: &str| {
        let said = Run::new("rustc")
            .args(["--print", what])
            .dir(workspace.root())
            .ask();
        said.context("rustc doesn't say where it is")
    };
    let folder = Path::new(&ask("target-libdir")?).with_file_name("bin");
    if !folder.join("llvm-cov").is_file() {
        shell::step("LLVM's tools", "they read what was counted", || {
            Run::new("rustup")
                .args(["component", "add", "llvm-tools"])
                .dir(workspace.root())
                .run()
        })?;
    }
    if !folder.join("llvm-cov").is_file() {
        bail!("rustup has added llvm-tools to another toolchain than the one in use");
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_folder_are_one_row() {
        let file = |name: &str, covered: u64| json!({"filename": name, "summary": {"regions": {"count": 10, "covered": covered}, "lines": {"count": 5, "covered": 5}}});
        let report = json!({"data": [{"files": [
            file("/w/siamese-core/src/gallery/store/mod.rs", 3),
            file("/w/siamese-core/src/gallery/store/save.rs", 4),
            file("/w/siamese-core/src/gallery/mod.rs", 9),
        ]}]});
        let rows = rows(Path::new("/w"), &report);
        let row = rows
            .iter()
            .find(|row| row["file"] == "siamese-core/src/gallery/store/");
        let row = row.unwrap();
        assert_eq!((&row["regions"], &row["reached"]), (&json!(20), &json!(7)));
    }
}
