//! The library crates, as they would be published.

use anyhow::Result;

use crate::setup::{self, Need};
use crate::shell;
use crate::workspace::Workspace;

/// What `cargo xtask package --help` says in the end.
pub const HELP: &str = "\
Packs siamese-core, -link, -build, -device and -train into target/package, and builds each from
what was packed, the trainer without libtorch. Nothing is published, and no network is needed that
a build doesn't need.";

/// What is published, dependencies first.
const CRATES: [&str; 5] = [
    "siamese-core",
    "siamese-link",
    "siamese-build",
    "siamese-device",
    "siamese-train",
];

/// Packs, on a machine where nothing may be set up.
pub fn run(workspace: &Workspace) -> Result<()> {
    setup::run(workspace, &[Need::Rust])?;
    check(workspace)
}

/// Packs.
pub fn check(workspace: &Workspace) -> Result<()> {
    let why = "each library crate builds from its package alone";
    shell::step("Packages", why, || {
        let packages = CRATES.iter().flat_map(|name| ["--package", name]);
        // A change is tested before it is committed.
        let options = ["--no-default-features", "--allow-dirty", "--quiet"];
        let call = ["package"].into_iter().chain(packages).chain(options);
        workspace.cargo(call).run()
    })
}
