//! The firmware, built for a board with a model inside.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use siamese_device::firmware::{self, Board, Footprint};

use crate::setup::{self, Need};
use crate::shell;
use crate::workspace::Workspace;

/// What `cargo xtask firmware --help` says in the end.
pub const HELP: &str = "\
Needs neither libtorch nor QEMU. Examples:
  cargo xtask firmware
  cargo xtask firmware --model target/demo/small.siam --board netduinoplus2";

/// Which model, for which board.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The model to put inside
    #[arg(long, value_name = "FILE.siam", default_value = "model/small.siam")]
    model: PathBuf,
    /// The board
    #[arg(long, value_parser = boards(), default_value = Board::Mps2An386.name())]
    board: Board,
}

fn boards() -> impl TypedValueParser<Value = Board> {
    PossibleValuesParser::new(Board::ALL.map(Board::name))
        .map(|name| Board::from_name(&name).unwrap_or_default())
}

/// Builds it, and says where it is and what it takes.
pub fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    setup::run(workspace, &[Need::Rust])?;
    // A path that the user gave starts where the user is; the default one in the root.
    let model = [args.model.clone(), workspace.root().join(&args.model)]
        .into_iter()
        .find(|path| path.is_file())
        .with_context(|| {
            let model = args.model.display();
            format!("there is no model file {model}; `cargo xtask demo` trains one")
        })?;
    let elf = build(workspace, &model, args.board)?;
    let footprint = Footprint::of_elf(&elf)?;
    println!("\n  {}", elf.display());
    for (name, bytes) in [
        ("flash", footprint.flash_bytes),
        ("  the model", footprint.model_bytes),
        ("  code and constants", footprint.code_bytes),
        ("RAM, static", footprint.ram_static),
    ] {
        println!("  {name:<24}{bytes:>8} bytes");
    }
    Ok(())
}

/// Builds the firmware with `model` inside; its ELF file.
pub fn build(workspace: &Workspace, model: &Path, board: Board) -> Result<PathBuf> {
    shell::step("Firmware", "the model goes into its flash section", || {
        let options = [
            "--no-default-features",
            "--features",
            board.name(),
            "--target",
            board.target(),
        ];
        let model = model
            .canonicalize()
            .with_context(|| format!("can't find the model file {}", model.display()))?;
        workspace
            .cargo_in(
                &workspace.firmware(),
                ["build", "--release"].into_iter().chain(options),
            )
            .env("SIAMESE_MODEL", &model)
            .show()?;
        Ok(firmware::build(&model, board)?)
    })
}
