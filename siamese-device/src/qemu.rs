//! QEMU's command line.

use std::io;
use std::path::Path;
use std::process::Command;

use crate::error::Error;
use crate::firmware::Board;

/// QEMU with a board that starts the program of an ELF file; without its
/// standard streams, serial port and working folder, which the caller adds.
pub(crate) fn command(elf: &Path, board: Board) -> Result<Command, Error> {
    let elf = std::fs::canonicalize(elf).map_err(|error| Error::File {
        path: elf.into(),
        error,
    })?;
    let program = board.emulator().ok_or(Error::NotEmulated { board })?;
    let mut command = Command::new(program);
    command
        .args(["-machine", board.name()])
        .args(["-display", "none", "-monitor", "none"])
        // What starts at reset is the firmware.
        .args(["-bios", "none"])
        // Virtual time is a count of instructions: measurements repeat.
        .args(["-icount", "shift=0"])
        .args(["-semihosting-config", "enable=on,target=native"])
        .arg("-kernel")
        .arg(elf);
    Ok(command)
}

/// Why QEMU didn't start.
pub(crate) fn not_started(board: Board, error: io::Error) -> Error {
    let program = board.emulator().unwrap_or("the emulator");
    match error.kind() {
        io::ErrorKind::NotFound => Error::NoEmulator { program },
        _ => Error::Open {
            what: program.into(),
            error,
        },
    }
}
