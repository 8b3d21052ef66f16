//! Builds the firmware for one board: puts the model in, and takes the memory,
//! the constants and what there is to choose from the table of boards.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use siamese_build::cost::Work;
use siamese_build::{Board, Budget, Core, EmbedModel, OwnedModel, USB_ID, USB_PRODUCT, UartKind};

/// The model that is built in if `SIAMESE_MODEL` names no other.
const DEFAULT_MODEL: &str = "../model/small.siam";
/// The feature for weights of 2, 3 or 4 bits.
const LANES: &str = "lanes";
/// The feature that logs for a debug probe.
const LOG: &str = "log-rtt";
/// The feature that keeps names.
const NAMES: &str = "names";
/// The feature whose link is the chip's own USB.
const USB: &str = "usb";
/// The feature that takes updates of the model.
const UPDATES: &str = "updates";
/// The variable with their key.
const KEY: &str = "SIAMESE_UPDATE_KEY";
/// The variable with the version of the model that is built in.
const VERSION: &str = "SIAMESE_MODEL_VERSION";
/// The feature that takes pictures.
const PICTURES: &str = "pictures";
/// With pictures, the stack of boards that have so little RAM that it can't be half of it.
const SMALL_RAM: u32 = 16 * 1024;
/// The stack there: what is left by the picture, and the rest of the static memory.
const SMALL_STACK: u32 = 5632;

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
    println!("cargo::rerun-if-env-changed=SIAMESE_MODEL");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let board = board()?;
    let model = model_path()?;
    EmbedModel::new(&model)
        .core(board.core())
        .section(".model")
        .write()?;
    let owned = OwnedModel::read(&model)?;
    if owned.model().has_lanes() && !has_feature(LANES) {
        return Err(format!(
            "the model {} has weights of 2, 3 or 4 bits: add the feature {LANES}",
            model.display()
        )
        .into());
    }
    // The linker has the last word, and says it in its own words.
    let budget = Budget::of(&owned, board, &Work::default())?;
    if let Some(misfit) = budget.and_then(|budget| budget.misfit()) {
        println!("cargo::warning={misfit}");
    }
    let mut text = constants(board);
    if has_feature(UPDATES) {
        text += &updates(board)?;
    }
    fs::write(out.join("board.rs"), text)?;
    choose(board);
    link(board, &out)?;
    Ok(())
}

/// The board of the one feature that is set, if the target is its core's.
fn board() -> Result<Board, Box<dyn Error>> {
    let mut set = Board::ALL
        .into_iter()
        .filter(|board| has_feature(board.name()));
    let (Some(board), None) = (set.next(), set.next()) else {
        let names = Board::ALL.map(Board::name).join(", ");
        return Err(
            format!("name one board: --no-default-features --features BOARD, of {names}").into(),
        );
    };
    if has_feature(LOG) && !board.has_rtt() {
        return Err(format!("{LOG} needs a debug probe, and {board} has none").into());
    }
    if has_feature(USB) && !board.has_usb() {
        return Err(format!("{USB} is for boards whose chip has it, and {board} has none").into());
    }
    let target = env::var("TARGET")?;
    let targets: Vec<&str> = Board::builds()
        .filter_map(|(other, _, target)| (other == board).then_some(target))
        .collect();
    if targets.contains(&target.as_str()) {
        Ok(board)
    } else {
        let targets = targets.join(" or ");
        Err(format!("{board} needs --target {targets}, and this build is for {target}").into())
    }
}

fn has_feature(name: &str) -> bool {
    let name = name.to_uppercase().replace('-', "_");
    env::var_os(format!("CARGO_FEATURE_{name}")).is_some()
}

/// The model of `SIAMESE_MODEL`, or the default one.
fn model_path() -> Result<PathBuf, Box<dyn Error>> {
    let named = env::var_os("SIAMESE_MODEL").filter(|name| !name.is_empty());
    let path = PathBuf::from(named.unwrap_or_else(|| DEFAULT_MODEL.into()));
    if path.is_file() {
        Ok(path)
    } else {
        println!("cargo::rerun-if-changed={}", path.display());
        Err(format!(
            "there is no model file {}: train one with `cargo xtask demo`, or name one, \
             by its full path, with SIAMESE_MODEL=/path/to/model.siam",
            path.display()
        )
        .into())
    }
}

/// The module `board.rs`: what the table says of the board.
fn constants(board: Board) -> String {
    let uart = board.uart();
    let mut text = format!(
        "/// The board's name, which is also that of QEMU's machine.\n\
         pub const NAME: &str = {:?};\n\
         /// The frequency of the stopwatch's clock, in hertz.\n\
         pub const TICK_HZ: u32 = {};\n\
         /// The address of the UART's registers.\n\
         pub const UART: usize = {:#x};\n\
         /// Pixels of the largest picture that there is room for.\n\
         pub const PICTURE_PIXELS: usize = {};\n",
        board.name(),
        board.clock_hz(),
        uart.base,
        match (has_feature(PICTURES), board.ram().bytes) {
            (false, _) => 0,
            (true, ..=SMALL_RAM) => 8192,
            (true, _) => 128 * 128,
        }
    );
    text += &store(board);
    if uart.pins != [0; 2] {
        text += &format!(
            "/// The pins that the UART sends and receives on.\n\
             pub const UART_PINS: [u32; 2] = {:?};\n",
            uart.pins
        );
    }
    if has_feature(USB) {
        text += &format!(
            "/// Vendor and product by which a host finds the board on USB.\n\
             pub const USB_ID: [u16; 2] = {USB_ID:?};\n\
             /// What it calls itself there.\n\
             pub const USB_PRODUCT: &str = {USB_PRODUCT:?};\n"
        );
    }
    if let Some(line) = uart.receive_interrupt {
        text += &format!(
            "/// The interrupt line of the UART's received bytes.\n\
             pub const UART_LINE: u16 = {line};\n"
        );
    }
    text
}

/// Where the board keeps what it learns.
fn store(board: Board) -> String {
    let (flash, store) = (board.flash().origin, board.store());
    let (gallery, bytes) = (store.gallery, store.gallery + store.names);
    let start = store.region.map_or(0, |region| region.origin - flash);
    let mut text = format!(
        "/// The store: a part of the flash that programs leave free, or a file's bytes.\n\
         pub const STORE: core::ops::Range<u32> = {start:#x}..{:#x};\n\
         /// Bytes of it that are erased at once.\n\
         pub const UNIT: u32 = {:#x};\n\
         /// The gallery's part of it.\n\
         pub const GALLERY: core::ops::Range<u32> = 0..{gallery:#x};\n",
        start + bytes,
        store.unit,
    );
    if has_feature(NAMES) {
        text += &format!(
            "/// The part of the labels' names.\n\
             pub const NAMES: core::ops::Range<u32> = {gallery:#x}..{bytes:#x};\n",
        );
    }
    if store.region.is_some() {
        text += &format!(
            "/// The address of the flash.\n\
             pub const FLASH: usize = {flash:#x};\n",
        );
    }
    text
}

/// Where updates of the model go, and which are taken.
fn updates(board: Board) -> Result<String, Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed={KEY}");
    println!("cargo::rerun-if-env-changed={VERSION}");
    let [first, second] = board.update_slots().ok_or_else(|| {
        format!("{UPDATES} needs two slots in flash that is read in place, and {board} has none")
    })?;
    let start = first.origin - board.flash().origin;
    let named = |name| env::var(name).ok().filter(|value| !value.is_empty());
    let key = match named(KEY) {
        Some(key) => Some(key_of(&key)?),
        None => {
            println!(
                "cargo::warning=this firmware takes updates that are signed with the development \
                 key, which everybody has: name your own key with {KEY}"
            );
            None
        }
    };
    let version = named(VERSION).unwrap_or_else(|| "0".into());
    let version: u32 = version
        .parse()
        .map_err(|_| format!("{VERSION} is a number, and not {version}"))?;
    Ok(format!(
        "/// The slots for updates of the model: a part of the flash, or a file's bytes.\n\
         #[allow(dead_code)]\n\
         pub const SLOTS: core::ops::Range<u32> = {start:#x}..{:#x};\n\
         /// Bytes of each.\n\
         pub const SLOT: u32 = {:#x};\n\
         /// Their address.\n\
         pub const SLOTS_AT: usize = {:#x};\n\
         /// The key of updates; none: the development key.\n\
         pub const UPDATE_KEY: Option<[u8; 32]> = {key:?};\n\
         /// The version of the model that is built in.\n\
         pub const MODEL_VERSION: u32 = {version};\n",
        start + first.bytes + second.bytes,
        first.bytes,
        first.origin,
    ))
}

/// The public key that is named by digits or a file.
fn key_of(named: &str) -> Result<[u8; 32], Box<dyn Error>> {
    if Path::new(named).is_file() {
        println!("cargo::rerun-if-changed={named}");
    }
    Ok(siamese_build::update_key(named).map_err(|error| format!("{KEY}: {error}"))?)
}

/// Tells the compiler what the board has:
///
/// - `board_uart`, the kind of its UART;
/// - `board_store`, a part of the flash for what the board learns; otherwise that is in a
///   file of the emulator's;
/// - `board_controller`, a controller of that flash, which `nor` is for;
/// - `board_semihosting`, an emulator's console, files and exit code;
/// - `board_reset`, a way of its own to start anew;
/// - `core_vectors`, a vector unit that start-up has to enable.
fn choose(board: Board) {
    let kinds = UartKind::ALL.map(|kind| format!("{:?}", kind.name()));
    println!(
        "cargo::rustc-check-cfg=cfg(board_uart, values({}))",
        kinds.join(", ")
    );
    println!("cargo::rustc-cfg=board_uart={:?}", board.uart().kind.name());
    let switch = |name: &str, on: bool| {
        println!("cargo::rustc-check-cfg=cfg({name})");
        if on {
            println!("cargo::rustc-cfg={name}");
        }
    };
    switch("board_semihosting", board.has_semihosting());
    let (kind, in_flash) = (board.uart().kind, board.store().region.is_some());
    switch("board_store", in_flash);
    let own = matches!(kind, UartKind::Rp2040 | UartKind::Rp2350);
    switch("board_controller", in_flash && !own);
    switch(
        "board_reset",
        matches!(
            kind,
            UartKind::Ns16550 | UartKind::Rp2040 | UartKind::Rp2350
        ),
    );
    let vectors = matches!(board.core(), Core::CortexM55 | Core::CortexM85);
    switch("core_vectors", vectors);
}

/// Writes the linker's script, and names it.
fn link(board: Board, out: &Path) -> Result<(), Box<dyn Error>> {
    fs::write(out.join("memory.x"), memory(board))?;
    println!("cargo::rustc-link-search={}", out.display());
    // The script of cortex-m-rt includes memory.x, that of riscv-rt doesn't; and
    // sections are not to be padded to the pages of an operating system.
    if is_riscv(board) {
        println!("cargo::rustc-link-arg-bins=-Tmemory.x");
    }
    println!("cargo::rustc-link-arg-bins=-Tlink.x");
    println!("cargo::rustc-link-arg-bins=--nmagic");
    if has_feature(LOG) {
        println!("cargo::rustc-link-arg-bins=-Tdefmt.x");
    }
    // Relocations say which function refers to what.
    println!("cargo::rustc-link-arg-bin=no-panic=--emit-relocs");
    Ok(())
}

fn is_riscv(board: Board) -> bool {
    board.core() == Core::Rv32
}

/// The linker's view of the memory. The stack lies below the static data and
/// grows down to where RAM starts: should it ever be too small, the next push
/// faults instead of silently overwriting data.
fn memory(board: Board) -> String {
    let (flash, program, ram) = (board.flash(), board.program(), board.ram());
    let vectors = board.vectors();
    let boot = vectors - flash.origin;
    let (region, section) = if boot > 0 {
        (
            format!("  BOOT  : ORIGIN = {:#x}, LENGTH = {boot}\n", flash.origin),
            "  .boot : { KEEP(*(.boot)); } > BOOT\n",
        )
    } else {
        (String::new(), "")
    };
    let slots = match board.update_slots() {
        Some([first, second]) if has_feature(UPDATES) => first.bytes + second.bytes,
        _ => 0,
    };
    let stack = match ram.bytes {
        ..=SMALL_RAM if has_feature(PICTURES) => SMALL_STACK,
        _ => board.stack_bytes(),
    };
    // What riscv-rt's script calls them.
    let aliases = if is_riscv(board) {
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
    // Where cortex-m-rt's script puts the code: right after the vectors, if not told otherwise.
    let code = if vectors == program.origin {
        String::new()
    } else {
        format!("_stext = {:#x};\n", program.origin)
    };
    format!(
        "MEMORY
{{
{region}  FLASH : ORIGIN = {:#x}, LENGTH = {}
  STACK : ORIGIN = {:#x}, LENGTH = {stack}
  RAM   : ORIGIN = {:#x}, LENGTH = {}
}}
{aliases}{code}
_stack_start = ORIGIN(STACK) + LENGTH(STACK);
_stack_end = ORIGIN(STACK);

SECTIONS
{{
{section}  .model : ALIGN(16)
  {{
    KEEP(*(.model));
    . = ALIGN(4);
  }} > FLASH
}} INSERT AFTER .rodata;
",
        vectors,
        program.bytes - slots + (program.origin - vectors),
        ram.origin,
        ram.origin + stack,
        ram.bytes - stack,
    )
}
