//! Rust: the bare-metal target, and the tools that judge the code.

use std::path::Path;

use anyhow::{Context, Result, bail};
use siamese_device::firmware::Board;

use crate::shell::{self, Run, has_program};
use crate::workspace::Workspace;

/// The target of the page's module.
const WEB: &str = "wasm32-unknown-unknown";

/// The firmware's targets, of all boards, with both float ABIs; and the page's.
fn targets() -> Vec<&'static str> {
    let boards = Board::builds().map(|(.., target)| target);
    let mut targets: Vec<&str> = boards.chain([WEB]).collect();
    targets.sort_unstable();
    targets.dedup();
    targets
}

/// Adds what the toolchain lacks.
pub fn prepare(workspace: &Workspace) -> Result<()> {
    let missing = || {
        targets()
            .into_iter()
            .filter(|target| !has_target(workspace, target))
    };
    let add: Vec<&str> = ["target", "add"].into_iter().chain(missing()).collect();
    if missing().next().is_some() {
        let why = "the firmware is compiled for bare metal, and the page for browsers";
        shell::step("Rust", why, || rustup(workspace, &add))?;
        if let Some(target) = missing().next() {
            bail!(
                "rustup has added {target} to another toolchain than the one in use; is RUSTUP_TOOLCHAIN set?"
            );
        }
    }
    for component in ["rustfmt", "clippy"] {
        let subcommand = if component == "rustfmt" {
            "fmt"
        } else {
            component
        };
        if workspace.cargo([subcommand, "--version"]).ask().is_none() {
            shell::step("Rust", "the code is checked by rustfmt and clippy", || {
                rustup(workspace, &["component", "add", component])
            })?;
        }
    }
    let version = rustc(workspace, &["--version"]).unwrap_or_default();
    shell::ready("Rust", &format!("{version}, {}", targets().join(", ")));
    Ok(())
}

/// Whether the standard library for the target is there.
fn has_target(workspace: &Workspace, target: &str) -> bool {
    rustc(workspace, &["--print", "target-libdir", "--target", target])
        .and_then(|folder| Path::new(&folder).read_dir().ok())
        .is_some_and(|mut files| files.next().is_some())
}

fn rustc(workspace: &Workspace, args: &[&str]) -> Option<String> {
    Run::new("rustc").args(args).dir(workspace.root()).ask()
}

fn rustup(workspace: &Workspace, args: &[&str]) -> Result<()> {
    let call = args.join(" ");
    if !has_program("rustup") {
        bail!(
            "there is no rustup to run `rustup {call}`: install it from https://rustup.rs, or add the same to your toolchain by hand"
        );
    }
    // In the root of the repository, so that the toolchain is the pinned one.
    Run::new("rustup").args(args).dir(workspace.root()).run().with_context(|| {
        format!("the Rust toolchain is incomplete; with a network, run `rustup {call}` here and try again")
    })
}
