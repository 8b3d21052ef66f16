//! The firmware as a file: how it is built, and what it takes.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

use object::{Object, ObjectSection, SectionFlags, elf};
use siamese_build::OwnedModel;
use siamese_core::checksum::checksum;
use siamese_core::model::Layout;

use crate::error::Error;

/// A board that the firmware can be built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Board {
    /// BBC micro:bit, an nRF51822 (Cortex-M0) at 16 MHz, emulated.
    Microbit,
    /// Arm MPS2 with the AN385 image, a Cortex-M3 at 25 MHz, emulated.
    Mps2An385,
    /// Arm MPS2 with the AN386 image, a Cortex-M4 at 25 MHz, emulated.
    #[default]
    Mps2An386,
    /// Arm MPS2 with the AN500 image, a Cortex-M7 at 25 MHz, emulated.
    Mps2An500,
    /// Arm MPS2 with the AN505 image, a Cortex-M33 at 20 MHz, emulated.
    Mps2An505,
    /// Arm MPS3 with the AN547 image, a Cortex-M55 at 32 MHz, emulated.
    Mps3An547,
    /// Netduino Plus 2, an STM32F405 (Cortex-M4); real or emulated.
    Netduinoplus2,
    /// QEMU's `virt`, a RISC-V core (RV32IMAC) that is nowhere but there.
    Virt,
}

impl Board {
    /// All boards.
    pub const ALL: [Self; 8] = [
        Self::Microbit,
        Self::Mps2An385,
        Self::Mps2An386,
        Self::Mps2An500,
        Self::Mps2An505,
        Self::Mps3An547,
        Self::Netduinoplus2,
        Self::Virt,
    ];

    /// Its name: of the firmware's feature, of QEMU's machine, and in
    /// [`DeviceInfo::board`](crate::DeviceInfo::board).
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Microbit => "microbit",
            Self::Mps2An385 => "mps2-an385",
            Self::Mps2An386 => "mps2-an386",
            Self::Mps2An500 => "mps2-an500",
            Self::Mps2An505 => "mps2-an505",
            Self::Mps3An547 => "mps3-an547",
            Self::Netduinoplus2 => "netduinoplus2",
            Self::Virt => "virt",
        }
    }

    /// Its core's short name.
    #[must_use]
    pub const fn core(self) -> &'static str {
        match self {
            Self::Microbit => "M0",
            Self::Mps2An385 => "M3",
            Self::Mps2An386 | Self::Netduinoplus2 => "M4",
            Self::Mps2An500 => "M7",
            Self::Mps2An505 => "M33",
            Self::Mps3An547 => "M55",
            Self::Virt => "RISC-V",
        }
    }

    /// Its core, as compilers name it.
    #[must_use]
    pub const fn core_name(self) -> &'static str {
        match self {
            Self::Microbit => "cortex-m0",
            Self::Mps2An385 => "cortex-m3",
            Self::Mps2An386 | Self::Netduinoplus2 => "cortex-m4",
            Self::Mps2An500 => "cortex-m7",
            Self::Mps2An505 => "cortex-m33",
            Self::Mps3An547 => "cortex-m55",
            Self::Virt => "rv32imac",
        }
    }

    /// Its flash, or the memory that stands for it, in bytes.
    #[must_use]
    pub const fn flash_bytes(self) -> u64 {
        const KIB: u64 = 1024;
        match self {
            Self::Microbit => 256 * KIB,
            Self::Mps3An547 => 512 * KIB,
            Self::Netduinoplus2 => 1024 * KIB,
            Self::Mps2An385 | Self::Mps2An386 | Self::Mps2An500 | Self::Mps2An505 | Self::Virt => {
                4096 * KIB
            }
        }
    }

    /// Rust's target for its core.
    #[must_use]
    pub const fn target(self) -> &'static str {
        match self {
            Self::Microbit => "thumbv6m-none-eabi",
            Self::Mps2An385 => "thumbv7m-none-eabi",
            Self::Mps2An386 | Self::Mps2An500 | Self::Netduinoplus2 => "thumbv7em-none-eabi",
            Self::Mps2An505 | Self::Mps3An547 => "thumbv8m.main-none-eabi",
            Self::Virt => "riscv32imac-unknown-none-elf",
        }
    }

    /// The program of QEMU that emulates it.
    #[must_use]
    pub const fn emulator(self) -> &'static str {
        match self {
            Self::Virt => "qemu-system-riscv32",
            _ => "qemu-system-arm",
        }
    }

    /// The board of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|board| board.name() == name)
    }
}

/// A program of `firmware-example`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// Answers requests over the link.
    Link,
    /// Embeds and does nothing else, to see what that takes.
    EmbedOnly,
    /// Checks the model and does nothing else: without the inference code.
    LoadOnly,
}

impl Program {
    const fn name(self) -> &'static str {
        match self {
            Self::Link => "firmware-example",
            Self::EmbedOnly => "embed-only",
            Self::LoadOnly => "load-only",
        }
    }
}

/// Builds the firmware that answers over the link with a model for a board; the
/// path of the ELF file, which is another one for another model or board.
///
/// # Errors
/// As [`build_program`].
pub fn build(model: &Path, board: Board) -> Result<PathBuf, Error> {
    build_program(model, board, Program::Link)
}

/// Builds a program of `firmware-example` with a model for a board; the path of
/// the ELF file.
///
/// Variables of the environment that would make it a different build are left
/// out, so it may be called from within `cargo test`.
///
/// # Errors
/// [`Error::File`] if the model can't be read, [`Error::Build`] with cargo's
/// words if it can't be built in.
pub fn build_program(model: &Path, board: Board, program: Program) -> Result<PathBuf, Error> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |error| Error::File { path, error }
    };
    let model = fs::canonicalize(model).map_err(at(model))?;
    let bytes = fs::read(&model).map_err(at(&model))?;
    // A model file ends with its own CRC-32, so that of all of it is always the same.
    let crc = checksum(
        bytes
            .split_last_chunk::<4>()
            .map_or(&bytes, |(body, _)| body),
    );
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../firmware-example");
    let folder = fs::canonicalize(&folder).map_err(at(&folder))?;
    let target = folder.join("target");
    let kept = target.join("elf");
    fs::create_dir_all(&kept).map_err(at(&kept))?;

    // Cargo writes every build to one place, so from building to copying there
    // must be no other. The lock ends with the file's scope.
    let lock_path = kept.join("lock");
    let lock = fs::File::create(&lock_path).map_err(at(&lock_path))?;
    lock.lock().map_err(at(&lock_path))?;

    let mut cargo = Command::new("cargo");
    cargo
        .current_dir(&folder)
        .args(["build", "--release", "--locked", "--no-default-features"])
        .args(["--features", board.name()])
        .args(["--target", board.target(), "--target-dir"])
        .arg(&target);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(changes_the_build) {
            cargo.env_remove(name);
        }
    }
    let output = cargo
        .env("SIAMESE_MODEL", &model)
        .output()
        .map_err(|error| Error::Open {
            what: "cargo".into(),
            error,
        })?;
    if !output.status.success() {
        return Err(Error::Build(errors_of(&output.stderr)));
    }

    let built = target
        .join(board.target())
        .join("release")
        .join(program.name());
    let elf = match program {
        Program::Link => format!("{}-{crc:08x}.elf", board.name()),
        _ => format!("{}-{crc:08x}-{}.elf", board.name(), program.name()),
    };
    let elf = kept.join(elf);
    let partial = elf.with_extension("elf.partial");
    fs::copy(&built, &partial).map_err(at(&built))?;
    fs::rename(&partial, &elf).map_err(at(&elf))?;
    Ok(elf)
}

/// Whether a variable of the environment changes what cargo builds or where:
/// all of cargo's own but those that say where its crates come from.
fn changes_the_build(name: &str) -> bool {
    const KEPT: [&str; 4] = ["CARGO_HOME", "CARGO_NET_", "CARGO_HTTP_", "CARGO_REGISTR"];
    let cargos = name.starts_with("CARGO_") && !KEPT.iter().any(|kept| name.starts_with(kept));
    cargos || name == "RUSTFLAGS"
}

/// The lines from the first error on, or all that there are.
fn errors_of(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let text = text.trim();
    let start = text.find("error").unwrap_or(0);
    text[start..].to_owned()
}

/// What a firmware takes of its board's memory, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    /// All of the flash.
    pub flash_bytes: u64,
    /// The model's part of it.
    pub model_bytes: u64,
    /// The rest of it: code, constants and initial values.
    pub code_bytes: u64,
    /// Static data: `.data`, `.bss` and `.uninit`. The stack is not in it:
    /// [`Device::memory`](crate::Device::memory) measures that.
    pub ram_static: u64,
}

impl Footprint {
    /// Reads it from the section table of an ELF file.
    ///
    /// # Errors
    /// [`Error::File`] if the file can't be read, [`Error::Elf`] if it is none.
    pub fn of_elf(path: &Path) -> Result<Self, Error> {
        let bytes = read(path)?;
        let not_elf = |reason: String| Error::Elf {
            path: path.into(),
            reason,
        };
        let file = object::File::parse(&*bytes).map_err(|error| not_elf(error.to_string()))?;
        let mut footprint = Self {
            flash_bytes: 0,
            model_bytes: 0,
            code_bytes: 0,
            ram_static: 0,
        };
        for section in file.sections() {
            let SectionFlags::Elf { sh_flags, .. } = section.flags() else {
                return Err(not_elf("it is another kind of object file".into()));
            };
            // The stack's room is no static data.
            if sh_flags & u64::from(elf::SHF_ALLOC) == 0 || section.name() == Ok(".stack") {
                continue;
            }
            // `.data` is in both: its initial values are in flash.
            if sh_flags & u64::from(elf::SHF_WRITE) != 0 {
                footprint.ram_static += section.size();
            }
            // Sections without contents in the file are not in flash either.
            if section.file_range().is_some() {
                footprint.flash_bytes += section.size();
            }
            if section.name() == Ok(MODEL_SECTION) {
                footprint.model_bytes += section.size();
            }
        }
        footprint.code_bytes = footprint.flash_bytes - footprint.model_bytes;
        Ok(footprint)
    }
}

/// The flash section that holds the model.
const MODEL_SECTION: &str = ".model";

/// Where the model's section lies in an ELF file's bytes; it may be a few bytes
/// longer than the model.
///
/// # Errors
/// [`Error::File`] if the file can't be read, [`Error::Elf`] if it has no model.
pub fn model_range(path: &Path) -> Result<Range<usize>, Error> {
    let bytes = read(path)?;
    range_in(&bytes).ok_or_else(|| no_model(path))
}

/// The model file that was built into an ELF file: with its weights in rows
/// again, whatever order they have for the board's core.
///
/// # Errors
/// As [`model_range`]; [`Error::Elf`] if what is there is no model.
pub fn model_of_elf(path: &Path) -> Result<Vec<u8>, Error> {
    let bytes = read(path)?;
    let stored = range_in(&bytes).and_then(|range| {
        let section = bytes.get(range)?;
        let stated = section.get(12..)?.first_chunk()?;
        section.get(..u32::from_le_bytes(*stated) as usize)
    });
    let unusable = |reason: String| Error::Elf {
        path: path.into(),
        reason,
    };
    let stored = stored.ok_or_else(|| no_model(path))?;
    let stored = OwnedModel::new(stored).map_err(|error| unusable(error.to_string()))?;
    let rows = stored.repacked(Layout::Rows);
    let rows = rows.map_err(|error| unusable(error.to_string()))?;
    Ok(rows.bytes().to_vec())
}

fn range_in(elf: &[u8]) -> Option<Range<usize>> {
    let file = object::File::parse(elf).ok()?;
    let (start, length) = file.section_by_name(MODEL_SECTION)?.file_range()?;
    Some(start as usize..start.checked_add(length)? as usize)
}

fn no_model(path: &Path) -> Error {
    Error::Elf {
        path: path.into(),
        reason: "it has no section with a model".into(),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|error| Error::File {
        path: path.into(),
        error,
    })
}
