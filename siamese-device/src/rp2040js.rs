//! rp2040js's command line.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use siamese_build::{USB_ID, USB_PRODUCT};

use crate::error::Error;
use crate::firmware::Board;

/// The program beside this crate that runs a firmware on rp2040js.
const RUNNER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/emulators/rp2040.mjs");
/// Where `cargo xtask setup` puts rp2040js.
const PREPARED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/rp2040js");
/// The variable that names another folder of it.
const OWN: &str = "SIAMESE_RP2040JS";

/// rp2040js with the program of an ELF file on a board; without standard streams and
/// working folder, which the caller adds.
pub(crate) fn command(elf: &Path, board: Board) -> Result<Command, Error> {
    let elf = std::fs::canonicalize(elf).map_err(|error| Error::File {
        path: elf.into(),
        error,
    })?;
    let folder = env::var_os(OWN).map_or_else(|| PathBuf::from(PREPARED), PathBuf::from);
    if !folder.join("package.json").is_file() {
        let program = "rp2040js";
        return Err(Error::NoEmulator { program });
    }
    let flash = board.flash();
    let (start, bytes) = board.store().region.map_or((flash.bytes, 0), |store| {
        (store.origin - flash.origin, store.bytes)
    });
    let node = board.emulator().ok_or(Error::NotEmulated { board })?;
    let mut command = Command::new(node);
    command.arg(RUNNER).arg(folder).arg(elf);
    let (slots, room) = board
        .update_slots()
        .map_or((flash.bytes, 0), |[first, second]| {
            (first.origin - flash.origin, first.bytes + second.bytes)
        });
    command.args([start, bytes, slots, room].map(|number| number.to_string()));
    let [vendor, product] = USB_ID;
    command.arg(format!("{vendor:04x}:{product:04x} {USB_PRODUCT}"));
    Ok(command)
}
