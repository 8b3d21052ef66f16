//! Puts the model into the firmware: checks it, derives the buffer sizes from
//! it, and lays out the board's memory.

mod boards;

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use siamese_build::OwnedModel;
use siamese_core::model::Layout;

use boards::{BOARDS, Board};

/// All the RAM that the firmware may use, stack included.
const RAM: u32 = 16 * 1024;
/// The part of it that is the stack's.
const STACK: u32 = 7 * 1024;
/// The model that is built in if `SIAMESE_MODEL` names no other.
const DEFAULT_MODEL: &str = "../model/small.siam";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Cargo shows these lines as the build's error.
            println!("cargo::error={error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=boards.rs");
    println!("cargo::rerun-if-env-changed=SIAMESE_MODEL");
    println!("cargo::rerun-if-env-changed=SIAMESE_KERNEL");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let board = board()?;
    embed_model(&model_path()?, board, &out)?;

    fs::write(out.join("memory.x"), memory(board))?;
    println!("cargo::rustc-link-search={}", out.display());
    // The script of cortex-m-rt includes memory.x, that of riscv-rt doesn't; and
    // sections are not to be padded to the pages of an operating system.
    if board.is_riscv() {
        println!("cargo::rustc-link-arg-bins=-Tmemory.x");
    }
    println!("cargo::rustc-link-arg-bins=-Tlink.x");
    println!("cargo::rustc-link-arg-bins=--nmagic");
    Ok(())
}

/// The board of the one feature that is set, if the target is its core's.
fn board() -> Result<&'static Board, Box<dyn Error>> {
    let names = BOARDS.map(|board| board.name).join(", ");
    let variable = |board: &Board| {
        let feature = board.name.to_uppercase().replace('-', "_");
        format!("CARGO_FEATURE_{feature}")
    };
    let mut set = BOARDS
        .iter()
        .filter(|board| env::var_os(variable(board)).is_some());
    let (Some(board), None) = (set.next(), set.next()) else {
        return Err(
            format!("name one board: --no-default-features --features BOARD, of {names}").into(),
        );
    };
    let target = env::var("TARGET")?;
    if target == board.target {
        Ok(board)
    } else {
        Err(format!(
            "{} needs --target {}, and this build is for {target}",
            board.name, board.target
        )
        .into())
    }
}

/// The model of `SIAMESE_MODEL`, or the default one.
fn model_path() -> Result<PathBuf, Box<dyn Error>> {
    let named = env::var_os("SIAMESE_MODEL").filter(|name| !name.is_empty());
    let path = PathBuf::from(named.unwrap_or_else(|| DEFAULT_MODEL.into()));
    println!("cargo::rerun-if-changed={}", path.display());
    if path.is_file() {
        Ok(path)
    } else {
        Err(format!(
            "there is no model file {}: train one with `cargo xtask demo`, or name one, \
             by its full path, with SIAMESE_MODEL=/path/to/model.siam",
            path.display()
        )
        .into())
    }
}

/// Checks the model, copies it to `out`, and writes `model.rs`, which includes
/// it and states the sizes that the firmware's buffers take from it.
fn embed_model(path: &Path, board: &Board, out: &Path) -> Result<(), Box<dyn Error>> {
    let in_words = |error: &dyn Error| format!("the model file {}: {error}", path.display());
    let file = OwnedModel::read(path).map_err(|error| in_words(&error))?;
    let rows = file
        .repacked(Layout::Rows)
        .map_err(|error| in_words(&error))?;
    // siamese-core's own build script leaves out all but the portable kernel then.
    let packed = if env::var("SIAMESE_KERNEL").is_ok_and(|kernel| kernel == "portable") {
        rows.clone()
    } else {
        file.for_core(board.core.parse()?)
            .map_err(|error| in_words(&error))?
    };
    let model = packed.model();
    if model.layout() == Layout::Rows {
        println!("cargo::warning=the weights are in rows: the slower portable kernel will run");
    }
    let (shared, hidden1) = model.buffer_sizes();
    let constants = format!(
        "/// The pixels that an image has.\n\
         pub const PIXELS: usize = {pixels};\n\
         /// The coordinates that an embedding has.\n\
         pub const DIM: usize = {dim};\n\
         /// The embedder's buffer for the input and the second hidden layer.\n\
         pub const SHARED: usize = {shared};\n\
         /// The embedder's buffer for the first hidden layer.\n\
         pub const HIDDEN1: usize = {hidden1};\n\
         /// The bytes of the model as it is in flash.\n\
         pub const LENGTH: usize = {length};\n\
         /// The CRC-32 at the end of the model file, whatever the order of its weights here.\n\
         pub const CRC: u32 = {crc:#010x};\n",
        pixels = model.header().input.pixels(),
        dim = model.dim(),
        length = packed.bytes().len(),
        crc = rows
            .bytes()
            .last_chunk()
            .map_or(0, |&crc| u32::from_le_bytes(crc)),
    );
    fs::write(out.join("model.siam"), packed.bytes())?;
    fs::write(out.join("model.rs"), constants)?;
    Ok(())
}

/// The linker's view of the memory. The stack lies below the static data and
/// grows down to where RAM starts: should it ever be too small, the next push
/// faults instead of silently overwriting data.
fn memory(board: &Board) -> String {
    let statics = RAM - STACK;
    let (flash, kib, ram) = (board.flash, board.flash_kib, board.ram);
    // What riscv-rt's script calls them.
    let aliases = if board.is_riscv() {
        ["TEXT", "RODATA", "DATA", "BSS", "HEAP", "STACK"]
            .map(|region| {
                let memory = match region {
                    "TEXT" | "RODATA" => "FLASH",
                    "STACK" => "STACK",
                    _ => "RAM",
                };
                format!("REGION_ALIAS(\"REGION_{region}\", {memory});\n")
            })
            .concat()
    } else {
        String::new()
    };
    format!(
        "MEMORY
{{
  FLASH : ORIGIN = {flash:#x}, LENGTH = {kib}K
  STACK : ORIGIN = {ram:#x}, LENGTH = {STACK}
  RAM   : ORIGIN = {ram:#x} + {STACK}, LENGTH = {statics}
}}
{aliases}
_stack_start = ORIGIN(STACK) + LENGTH(STACK);
_stack_end = ORIGIN(STACK);

SECTIONS
{{
  .model : ALIGN(16)
  {{
    KEEP(*(.model));
    . = ALIGN(4);
  }} > FLASH
}} INSERT AFTER .rodata;
"
    )
}
