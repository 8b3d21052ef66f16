//! Formatting, clippy and rustdoc, with warnings as errors.
//!
//! Clippy, rustdoc and the tests all use the release profile: one run of torch-sys's
//! build script, which compiles C++ for minutes, then serves them all.

use anyhow::Result;
use siamese_device::firmware::{Abi, Board};

use crate::firmware::form;
use crate::shell;
use crate::workspace::{Torch, Workspace};

/// How much to judge.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Also what takes minutes to compile: the firmware on USB, and the example for embassy
    #[arg(long)]
    pub full: bool,
    /// Leave out what needs libtorch
    #[arg(long)]
    pub without_libtorch: bool,
}

impl Args {
    /// Whether what needs libtorch is judged.
    pub fn torch(&self) -> Torch {
        if self.without_libtorch {
            Torch::Without
        } else {
            Torch::With
        }
    }
}

/// Judges every crate.
pub fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let torch = args.torch();
    let why = "so that a change shows only what it changes";
    shell::step("Formatting", why, || formatting(workspace))?;
    let why = "each crate, in each form that it is built in";
    shell::step("Clippy", why, || clippy(workspace, torch))?;
    if args.full {
        let why = "the firmware on USB and on embassy, which take minutes to compile";
        shell::step("Clippy", why, || clippy_of_the_rest(workspace))?;
    }
    let why = "links that lead nowhere are errors, too";
    shell::step("Rustdoc", why, || rustdoc(workspace, torch))
}

fn formatting(workspace: &Workspace) -> Result<()> {
    workspace.cargo(["fmt", "--all", "--check"]).run()?;
    let folders = [
        workspace.firmware(),
        workspace.embassy_example(),
        workspace.peers(),
    ];
    for folder in folders {
        workspace.cargo_in(&folder, ["fmt", "--check"]).run()?;
    }
    Ok(())
}

fn clippy(workspace: &Workspace, torch: Torch) -> Result<()> {
    let strict = ["--", "-D", "warnings"];
    let all = ["clippy", "--release", "--workspace", "--all-targets"];
    let call = torch.select(all).into_iter().chain(strict);
    workspace.cargo(call).run()?;
    if torch == Torch::With {
        let trainer = ["--package=siamese-train", "--all-targets"];
        let call = ["clippy", "--release"].into_iter().chain(trainer);
        let call = Torch::Without.select(call).into_iter().chain(strict);
        workspace.cargo(call).run()?;
    }
    let forms: &[&[&str]] = &[
        &["--package=siamese-core", "--all-features", "--all-targets"],
        &["--package=siamese-link", "--all-features", "--all-targets"],
        &[
            "--package=siamese-update",
            "--all-features",
            "--all-targets",
        ],
        // Each feature by itself, as a firmware has it.
        &["--package=siamese-core"],
        &["--package=siamese-core", "--no-default-features"],
        &["--package=siamese-core", "--features=storage"],
        &["--package=siamese-core", "--features=storage-async"],
        &["--package=siamese-link", "--features=storage-async"],
        &["--package=siamese-link", "--features=galleries"],
        &["--package=siamese-link", "--features=names"],
        // As the module of a page.
        &["--package=siamese-web", "--target=wasm32-unknown-unknown"],
        &["--package=siamese-link", "--features=statistics"],
        &["--package=siamese-link", "--features=updates"],
        // As the static library, and for a firmware with a panic handler of its own.
        &["--package=siamese-c", "--target=thumbv6m-none-eabi"],
        &[
            "--package=siamese-c",
            "--target=thumbv6m-none-eabi",
            "--no-default-features",
        ],
    ];
    for form in forms {
        let call = ["clippy", "--release"].iter().chain(*form).chain(&strict);
        workspace.cargo(call.copied()).run()?;
    }
    let firmware = workspace.firmware();
    // The other ABI compiles the same code; a test builds it.
    for board in Board::ALL {
        let form = form(board, Abi::Soft).unwrap_or_default();
        let call = ["clippy", "--release"].iter().chain(&form).chain(&strict);
        workspace.cargo_in(&firmware, call.copied()).run()?;
        if board.has_rtt() {
            let log = ["--features", "log-rtt"];
            let call = ["clippy", "--release"].iter().chain(&form).chain(&log);
            let call = call.chain(&strict);
            workspace.cargo_in(&firmware, call.copied()).run()?;
        }
    }
    Ok(())
}

/// The firmware of each board that can be on USB, that of a fleet, and the example for embassy.
fn clippy_of_the_rest(workspace: &Workspace) -> Result<()> {
    for board in Board::ALL.into_iter().filter(|board| board.has_usb()) {
        let form = form(board, Abi::Soft).unwrap_or_default();
        let call = ["clippy", "--release"].iter().chain(&form);
        let call = call.chain(&["--features", "usb", "--", "-D", "warnings"]);
        workspace
            .cargo_in(&workspace.firmware(), call.copied())
            .run()?;
    }
    // One whose slots are in a file, and one whose are in flash.
    for board in [Board::Mps2An386, Board::Pico] {
        let form = form(board, Abi::Soft).unwrap_or_default();
        let call = ["clippy", "--release"].iter().chain(&form);
        let call = call.chain(&["--features", "updates,statistics", "--", "-D", "warnings"]);
        workspace
            .cargo_in(&workspace.firmware(), call.copied())
            .run()?;
    }
    let call = ["clippy", "--release", "--", "-D", "warnings"];
    let folder = workspace.embassy_example();
    workspace.cargo_in(&folder, call).run()
}

fn rustdoc(workspace: &Workspace, torch: Torch) -> Result<()> {
    let strict = |run: shell::Run| run.env("RUSTDOCFLAGS", "-D warnings").run();
    let doc = ["doc", "--release", "--no-deps"];
    let of = |crates: &[&'static str]| doc.iter().chain(crates).copied().collect::<Vec<_>>();
    strict(workspace.cargo(torch.select(of(&["--workspace"]))))?;
    for library in ["--package=siamese-core", "--package=siamese-link"] {
        strict(workspace.cargo(of(&[library, "--all-features"])))?;
    }
    strict(workspace.cargo_in(&workspace.firmware(), doc))
}
