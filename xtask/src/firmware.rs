//! The firmware, built for a board with a model inside.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;

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
    #[arg(long, value_enum, default_value_t = Board::Mps2An386)]
    board: Board,
}

/// A board that the firmware knows; its name is the firmware's feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Board {
    /// Arm's MPS2 with a Cortex-M4, as QEMU emulates it
    #[value(name = "mps2-an386")]
    Mps2An386,
    /// Netduino Plus 2, an STM32F405
    #[value(name = "netduinoplus2")]
    NetduinoPlus2,
}

impl Board {
    /// All boards.
    pub const ALL: &[Self] = &[Self::Mps2An386, Self::NetduinoPlus2];

    /// The arguments of cargo that choose it.
    pub fn features(self) -> impl Iterator<Item = &'static str> {
        let name = match self {
            Self::Mps2An386 => "mps2-an386",
            Self::NetduinoPlus2 => "netduinoplus2",
        };
        ["--no-default-features", "--features", name].into_iter()
    }
}

/// Builds it and says where it is.
pub fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    setup::run(workspace, &[Need::Rust])?;
    let elf = shell::step("Firmware", "the model goes into its flash section", || {
        build(workspace, &args.model, args.board)
    })?;
    println!("{}", elf.display());
    Ok(())
}

/// Builds the firmware with `model` inside; its ELF file. A relative path of a model
/// starts in the current folder, or else in the root of the repository.
pub fn build(workspace: &Workspace, model: &Path, board: Board) -> Result<PathBuf> {
    let folder = workspace.firmware();
    let found = [model.to_path_buf(), workspace.root().join(model)]
        .into_iter()
        .find(|path| path.is_file());
    let found = found.with_context(|| {
        format!(
            "there is no model file {}; `cargo xtask demo` trains one",
            model.display()
        )
    })?;
    let found = found
        .canonicalize()
        .with_context(|| format!("can't find {}", found.display()))?;
    let call = ["build", "--release"].into_iter().chain(board.features());
    workspace
        .cargo_in(&folder, call)
        .env("SIAMESE_MODEL", &found)
        .run()?;

    let target = env::var_os("CARGO_TARGET_DIR").filter(|name| !name.is_empty());
    let target = target.map_or_else(|| folder.join("target"), |name| folder.join(name));
    let elf = target.join("thumbv7em-none-eabi/release/firmware-example");
    ensure!(
        elf.is_file(),
        "the build succeeded, but there is no {}",
        elf.display()
    );
    Ok(elf)
}
