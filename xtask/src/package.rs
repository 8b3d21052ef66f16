//! The library crates, as they would be published.

use anyhow::Result;

use crate::setup::{self, Need};
use crate::shell;
use crate::workspace::Workspace;

/// What `cargo xtask package --help` says in the end.
pub const HELP: &str = "\
Packs siamese-core, -update, -c, -link, -build, -device and -train into target/package, and builds each from
what was packed, the trainer without libtorch: some minutes. Nothing is published. `cargo xtask
test` packs, and builds nothing of it.";

/// What is published, dependencies first.
const CRATES: [&str; 7] = [
    "siamese-core",
    "siamese-update",
    "siamese-c",
    "siamese-link",
    "siamese-build",
    "siamese-device",
    "siamese-train",
];

/// Packs, on a machine where nothing may be set up.
pub fn run(workspace: &Workspace) -> Result<()> {
    setup::run(workspace, &[Need::Rust])?;
    let why = "each library crate builds from its package alone";
    shell::step("Packages", why, || pack(workspace, &[]))
}

/// Packs, and builds nothing.
pub fn check(workspace: &Workspace) -> Result<()> {
    let why = "each library crate can be packed";
    shell::step("Packages", why, || pack(workspace, &["--no-verify"]))
}

fn pack(workspace: &Workspace, more: &[&str]) -> Result<()> {
    let packages = CRATES.iter().flat_map(|name| ["--package", name]);
    // A change is tested before it is committed.
    let options = ["--no-default-features", "--allow-dirty", "--quiet"];
    let call = ["package"].into_iter().chain(packages).chain(options);
    workspace.cargo(call.chain(more.iter().copied())).run()
}
