//! The firmware, built for a board with a model inside.

use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, ensure};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use siamese_build::{USB_ID, USB_PRODUCT};
use siamese_device::firmware::{
    Abi, Board, Build, DESK_FEATURES, Flashing, Footprint, UPDATES, needed_features,
};
use siamese_device::uf2;
use siamese_device::updates::DEVELOPMENT_KEY;

use crate::setup::{self, Need};
use crate::shell;
use crate::workspace::Workspace;

/// What `cargo xtask firmware --help` says in the end.
pub const HELP: &str = "\
Needs neither libtorch nor QEMU. With --usb the board is a serial port by itself, called Siamese,
at the end of a USB cable: no adapter is needed. Its number there, 1209:0001, is for tests on your
own desk: a device that leaves it needs a number of its own, in siamese-build/src/board.rs.

Examples:
  cargo xtask firmware
  cargo xtask firmware --board pico
  cargo xtask firmware --board pico --usb
  cargo xtask firmware --board pico --updates fleet.pub --model-version 1
  cargo xtask firmware --model target/demo/small.siam --board netduinoplus2 --hard-float";

/// Which model, for which board.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The model to put inside
    #[arg(long, value_name = "FILE.siam", default_value = "model/small.siam")]
    model: PathBuf,
    /// The board
    #[arg(long, value_parser = boards(), default_value = Board::Mps2An386.name())]
    board: Board,
    /// Pass floats in registers of the floating-point unit: the target's `eabihf`
    #[arg(long)]
    hard_float: bool,
    /// Talk over the chip's own USB and not over the UART: pico, nrf52840dk
    #[arg(long)]
    usb: bool,
    /// Take updates of the model that are signed with this key: a file of `siamese-train key new`,
    /// 64 hexadecimal digits, or `development`; and count what the device does
    #[arg(long, value_name = "KEY.pub")]
    updates: Option<String>,
    /// With --updates, the version of the model that is put inside
    #[arg(long, value_name = "N", default_value_t = 0, requires = "updates")]
    model_version: u32,
}

/// The feature that --usb is.
const USB: &str = "usb";

/// The ABI that passes floats so.
pub const fn abi(hard_float: bool) -> Abi {
    if hard_float { Abi::Hard } else { Abi::Soft }
}

fn boards() -> impl TypedValueParser<Value = Board> {
    PossibleValuesParser::new(Board::ALL.map(Board::name)).try_map(|name| name.parse::<Board>())
}

/// Builds it, and says where it is and what it takes.
pub fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    setup::run(workspace, &[Need::Rust])?;
    let model = workspace.model(&args.model)?;
    let abi = abi(args.hard_float);
    ensure!(
        !args.usb || args.board.has_usb(),
        "--usb is for {}: {} has no USB that the firmware could use",
        with_usb(),
        args.board
    );
    let mut features = DESK_FEATURES.to_vec();
    features.extend(args.usb.then_some(USB));
    let trusted = args.updates.as_deref().map(key_of).transpose()?;
    if let Some(key) = &trusted {
        ensure!(
            args.board.update_slots().is_some(),
            "{} has no room for updates: no two slots in flash that the processor reads in place",
            args.board
        );
        features.extend([UPDATES, "statistics"]);
        if *key == DEVELOPMENT_KEY {
            println!(
                "\nWARNING: this firmware trusts the development key, which everybody has: make one \
                 of your own with `siamese-train key new` before it leaves your desk."
            );
        }
    }
    let trusted = trusted.map(|key| (key, args.model_version));
    let elf = build(workspace, &model, args.board, abi, &features, trusted)?;
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
    println!("\n{}", onto_the_board(&elf, args.board)?);
    if args.usb {
        let [vendor, product] = USB_ID;
        println!(
            "It is a serial port by itself then, {USB_PRODUCT}, at the end of a USB cable. Its \
             number, {vendor:04x}:{product:04x}, is for tests on your desk alone."
        );
    }
    Ok(())
}

/// The boards that can be on USB.
fn with_usb() -> String {
    let boards = Board::ALL.into_iter().filter(|board| board.has_usb());
    boards.map(Board::name).collect::<Vec<_>>().join(", ")
}

/// How to flash it; writes the file that is copied, if the board takes one.
fn onto_the_board(elf: &Path, board: Board) -> Result<String> {
    let flash = |chip: &str| format!("probe-rs run --chip {chip} {}", elf.display());
    Ok(match board.flashing() {
        Flashing::Probe { chip } => format!("Flash it by a debug probe:\n  {}", flash(chip)),
        Flashing::Uf2 { drive, chip, .. } => {
            let file = elf.with_extension("uf2");
            let bytes = uf2(elf, board)?.context("the board takes no UF2 file")?;
            std::fs::write(&file, bytes)
                .with_context(|| format!("can't write {}", file.display()))?;
            let copy = format!(
                "Hold the button BOOTSEL while you connect the board, and copy this file to the \
                 drive {drive}, which appears then:\n  {}",
                file.display()
            );
            match chip {
                Some(chip) => format!("{copy}\nOr flash it by a debug probe:\n  {}", flash(chip)),
                None => copy,
            }
        }
        _ => format!("Run it on an emulated board:\n  siamese-train device --emulate {board} info"),
    })
}

/// The public key of 64 hexadecimal digits, or of a file that has them, or the development key.
fn key_of(named: &str) -> Result<[u8; 32]> {
    if named == "development" {
        return Ok(DEVELOPMENT_KEY);
    }
    siamese_build::update_key(named).map_err(Error::from_boxed)
}

/// Builds the firmware with `model` inside, which takes updates that are signed with a key, if one
/// is named, over a model of that version; its ELF file.
pub fn build(
    workspace: &Workspace,
    model: &Path,
    board: Board,
    abi: Abi,
    features: &[&str],
    trusted: Option<([u8; 32], u32)>,
) -> Result<PathBuf> {
    shell::step("Firmware", "the model goes into its flash section", || {
        let model = model
            .canonicalize()
            .with_context(|| format!("can't find the model file {}", model.display()))?;
        let form = form(board, abi).with_context(|| {
            let core = board.core();
            format!("{board} has no target with hard floats: {core} has no floating-point unit")
        })?;
        let named = [features, needed_features(&model)].concat();
        let call = ["build", "--release", "--features", &named.join(",")];
        let call = call.into_iter().chain(form);
        let mut cargo = workspace
            .cargo_in(&workspace.firmware(), call)
            .env("SIAMESE_MODEL", &model);
        let mut build = Build::new(&model, board).abi(abi);
        if let Some((key, version)) = trusted {
            let digits: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
            cargo = cargo
                .env("SIAMESE_UPDATE_KEY", digits)
                .env("SIAMESE_MODEL_VERSION", version.to_string());
            build = build.updates_signed_by(key, version);
        }
        cargo.show()?;
        Ok(build.features(features.iter().copied()).run()?)
    })
}

/// Cargo's options for a board; `None` if it has no target with this ABI.
pub fn form(board: Board, abi: Abi) -> Option<[&'static str; 5]> {
    let (features, target) = (board.name(), board.target(abi)?);
    Some([
        "--no-default-features",
        "--features",
        features,
        "--target",
        target,
    ])
}
