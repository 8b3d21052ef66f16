//! Formatting, clippy and rustdoc, with warnings as errors.
//!
//! Clippy, rustdoc and the tests all use the release profile: one run of torch-sys's
//! build script, which compiles C++ for minutes, then serves them all.

use anyhow::Result;

use crate::firmware::Board;
use crate::shell;
use crate::workspace::Workspace;

/// Judges every crate.
pub fn run(workspace: &Workspace) -> Result<()> {
    let firmware = workspace.firmware();
    shell::step(
        "Formatting",
        "so that a change shows only what it changes",
        || {
            workspace.cargo(["fmt", "--all", "--check"]).run()?;
            workspace.cargo_in(&firmware, ["fmt", "--check"]).run()
        },
    )?;
    shell::step(
        "Clippy",
        "each crate, in each form that it is built in",
        || {
            let forms: [&[&str]; 3] = [
                &["--workspace", "--all-targets"],
                &[
                    "--package",
                    "siamese-train",
                    "--no-default-features",
                    "--all-targets",
                ],
                &[
                    "--package",
                    "siamese-core",
                    "--all-features",
                    "--all-targets",
                ],
            ];
            for form in forms {
                let call = ["clippy", "--release"]
                    .iter()
                    .chain(form)
                    .chain(&["--", "-D", "warnings"]);
                workspace.cargo(call.copied()).run()?;
            }
            Board::ALL.iter().try_for_each(|board| {
                let call = ["clippy", "--release"].into_iter().chain(board.features());
                workspace
                    .cargo_in(&firmware, call.chain(["--", "-D", "warnings"]))
                    .run()
            })
        },
    )?;
    shell::step("Rustdoc", "links that lead nowhere are errors, too", || {
        let strict = |run: shell::Run| run.env("RUSTDOCFLAGS", "-D warnings").run();
        strict(workspace.cargo(["doc", "--release", "--workspace", "--no-deps"]))?;
        strict(workspace.cargo([
            "doc",
            "--release",
            "--package",
            "siamese-core",
            "--all-features",
            "--no-deps",
        ]))?;
        strict(workspace.cargo_in(&firmware, ["doc", "--release", "--no-deps"]))
    })
}
