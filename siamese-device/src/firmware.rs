//! The firmware as a file: how it is built, and what it takes.

use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use object::{Object, ObjectSection, SectionFlags, elf};
pub use siamese_build::{Abi, Board, Core, Emulation, Flashing};
use siamese_build::{Misfit, OwnedModel};
use siamese_core::checksum::checksum;
use siamese_core::model::Layout;

use crate::error::Error;
use crate::qemu;

/// The features of a firmware for a board on a desk: galleries that travel, and names.
pub const DESK_FEATURES: [&str; 2] = ["galleries", "names"];

/// The feature of `firmware-example` for signed updates of the model.
pub const UPDATES: &str = "updates";

/// The feature of `firmware-example` and of `siamese-c` for models with weights of 2, 3 or 4 bits.
const LANES: &str = "lanes";

/// The features that a firmware has to have for a model; none if the file can't be read, about
/// which the build has more to say.
#[must_use]
pub fn needed_features(model: &Path) -> &'static [&'static str] {
    match OwnedModel::read(model) {
        Ok(model) if model.model().has_lanes() => &[LANES],
        _ => &[],
    }
}

/// A program of `firmware-example`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Program {
    /// Answers requests over the link.
    Link,
    /// Embeds and does nothing else, to see what that takes.
    EmbedOnly,
    /// Checks the model and does nothing else: without the inference code.
    LoadOnly,
    /// Says on the emulator's console what start-up costs.
    Costs,
    /// Embeds without privileges; its exit code says whether that works.
    Unprivileged,
    /// The example with a camera: learns from pictures, and says what others show.
    Sensor,
    /// The same with interrupts, which take the next picture meanwhile.
    Interrupt,
    /// Says on the emulator's console what verifying an update costs.
    UpdateCosts,
    /// Everything that may not panic, and nothing else, to see that it can't.
    NoPanic,
}

impl Program {
    const fn name(self) -> &'static str {
        match self {
            Self::Link => "firmware-example",
            Self::EmbedOnly => "embed-only",
            Self::LoadOnly => "load-only",
            Self::Costs => "costs",
            Self::Unprivileged => "unprivileged",
            Self::Sensor => "sensor",
            Self::Interrupt => "interrupt",
            Self::UpdateCosts => "update-costs",
            Self::NoPanic => "no-panic",
        }
    }
}

/// Builds the firmware that answers over the link with a model for a board; the
/// path of the ELF file, which is another one for another model or board.
///
/// # Errors
/// As [`Build::run`].
pub fn build(model: &Path, board: Board) -> Result<PathBuf, Error> {
    Build::new(model, board).run()
}

/// Which firmware to build.
#[derive(Debug, Clone)]
pub struct Build<'a> {
    model: &'a Path,
    board: Board,
    abi: Abi,
    program: Program,
    features: Vec<&'a str>,
    update_key: Option<String>,
    model_version: u32,
}

impl<'a> Build<'a> {
    /// The one that answers over the link with a model, for a board, with the
    /// soft-float ABI.
    #[must_use]
    pub fn new(model: &'a Path, board: Board) -> Self {
        Self {
            model,
            board,
            abi: Abi::Soft,
            program: Program::Link,
            features: Vec::new(),
            update_key: None,
            model_version: 0,
        }
    }

    /// The public key of updates, in place of the development key, and the version of the model
    /// that is built in: for the feature [`UPDATES`].
    #[must_use]
    pub fn updates_signed_by(mut self, key: [u8; 32], model_version: u32) -> Self {
        let digits = key.iter().map(|byte| format!("{byte:02x}"));
        self.update_key = Some(digits.collect());
        self.model_version = model_version;
        self
    }

    /// Another program.
    #[must_use]
    pub fn program(mut self, program: Program) -> Self {
        self.program = program;
        self
    }

    /// Another float ABI.
    #[must_use]
    pub fn abi(mut self, abi: Abi) -> Self {
        self.abi = abi;
        self
    }

    /// One more feature of `firmware-example`.
    #[must_use]
    pub fn feature(mut self, feature: &'a str) -> Self {
        self.features.push(feature);
        self
    }

    /// More features of `firmware-example`.
    #[must_use]
    pub fn features(mut self, features: impl IntoIterator<Item = &'a str>) -> Self {
        self.features.extend(features);
        self
    }

    /// Builds it, with the features that the model needs besides those that were named; the
    /// path of the ELF file, which is another one for another model, board, ABI, program or
    /// feature.
    ///
    /// Variables of the environment that would make it a different build are left
    /// out, so it may be called from within `cargo test`.
    ///
    /// # Errors
    /// [`Error::File`] if the model can't be read, [`Error::DoesNotFit`] if it is too
    /// large for the board, [`Error::Build`] with cargo's words if it can't be built in,
    /// or if the board has no target with this ABI.
    pub fn run(&self) -> Result<PathBuf, Error> {
        let Self { board, program, .. } = *self;
        let target = board.target(self.abi).ok_or_else(|| {
            let core = board.core();
            Error::Build(format!("{core} has no floating-point unit for eabihf"))
        })?;
        let model = fs::canonicalize(self.model).map_err(at(self.model))?;
        let bytes = fs::read(&model).map_err(at(&model))?;
        // A model file ends with its own CRC-32, so that of all of it is always the same.
        let body = bytes.split_last_chunk::<4>().map(|(body, _)| body);
        let crc = checksum(body.unwrap_or(&bytes));
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../firmware-example");
        let folder = fs::canonicalize(&folder).map_err(at(&folder))?;
        let built = folder.join("target");
        let kept = built.join("elf");
        fs::create_dir_all(&kept).map_err(at(&kept))?;

        // Cargo writes every build to one place, so from building to copying there
        // must be no other. The lock ends with the file's scope.
        let lock_path = kept.join("lock");
        let lock = fs::File::create(&lock_path).map_err(at(&lock_path))?;
        lock.lock().map_err(at(&lock_path))?;

        let mut features = [&[board.name()], &self.features[..]].concat();
        features.extend(needed_features(&model));
        let key = self.update_key.as_deref().unwrap_or_default();
        let mut cargo = cargo(&folder);
        // Else those of the environment are what the user wants.
        if let Some(key) = &self.update_key {
            cargo
                .env("SIAMESE_UPDATE_KEY", key)
                .env("SIAMESE_MODEL_VERSION", self.model_version.to_string());
        }
        let failed = failed(
            cargo
                .args(["build", "--release", "--locked", "--no-default-features"])
                .args(["--bin", program.name(), "--features", &features.join(",")])
                .args(["--target", target, "--target-dir"])
                .arg(&built)
                .env("SIAMESE_MODEL", &model),
        )?;
        if let Some(said) = failed {
            return Err(
                does_not_fit(&said, board).unwrap_or_else(|| Error::Build(errors_of(&said)))
            );
        }

        let built = built.join(target).join("release").join(program.name());
        let mut name = format!("{board}-{crc:08x}");
        if self.abi == Abi::Hard {
            name += "-hf";
        }
        if program != Program::Link {
            name = name + "-" + program.name();
        }
        for feature in &self.features {
            name = name + "-" + feature;
        }
        if let Some(key) = key.get(..8) {
            name += &format!("-{key}-{}", self.model_version);
        }
        let elf = kept.join(name + ".elf");
        let partial = elf.with_extension("elf.partial");
        fs::copy(&built, &partial).map_err(at(&built))?;
        fs::rename(&partial, &elf).map_err(at(&elf))?;
        Ok(elf)
    }
}

pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
    let path = path.to_owned();
    move |error| Error::File { path, error }
}

/// Runs a program of `firmware-example` that ends by itself, as [`Program::Costs`]
/// does, on an emulated board; what it wrote to the emulator's console.
///
/// # Errors
/// [`Error::NoEmulator`] and [`Error::Open`] if QEMU can't be started,
/// [`Error::Timeout`] if the program doesn't end, [`Error::Died`] with what it
/// wrote if it fails.
pub fn run(elf: &Path, board: Board, timeout: Duration) -> Result<String, Error> {
    let folder = temporary()?;
    run_in(folder.path(), elf, board, timeout)
}

/// As [`run`], in a folder whose files the program can read, as [`Program::Sensor`] does.
///
/// # Errors
/// As [`run`].
pub fn run_in(folder: &Path, elf: &Path, board: Board, timeout: Duration) -> Result<String, Error> {
    let own = temporary()?;
    let console = own.path().join("console");
    let file = fs::File::create(&console).map_err(at(&console))?;
    let other = file.try_clone().map_err(at(&console))?;
    let mut child = qemu::command(elf, board)?
        .current_dir(folder)
        .args(["-serial", "none"])
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(other)
        .spawn()
        .map_err(|error| qemu::not_started(board, error))?;
    let deadline = Instant::now() + timeout;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Ok(status),
            Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(5)),
            Ok(None) => break Err(Error::Timeout(timeout)),
            Err(error) => break Err(qemu::not_started(board, error)),
        }
    };
    if status.is_err() {
        // What ended meanwhile needs no ending.
        let _ = child.kill();
        let _ = child.wait();
    }
    let status = status?;
    let said = fs::read(&console).map_err(at(&console))?;
    let said = String::from_utf8_lossy(&said).into_owned();
    if status.success() {
        Ok(said)
    } else {
        Err(Error::Died(format!("{} ({status})", said.trim())))
    }
}

fn temporary() -> Result<tempfile::TempDir, Error> {
    tempfile::tempdir().map_err(|error| Error::Open {
        what: "a temporary folder".into(),
        error,
    })
}

/// Cargo in a folder, without the variables of the environment that would make what it
/// builds another build.
pub(crate) fn cargo(folder: &Path) -> Command {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(folder);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(changes_the_build) {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// Runs cargo; what it says if it fails.
pub(crate) fn failed(cargo: &mut Command) -> Result<Option<String>, Error> {
    let output = cargo.output().map_err(|error| Error::Open {
        what: "cargo".into(),
        error,
    })?;
    let said = || String::from_utf8_lossy(&output.stderr).into_owned();
    Ok((!output.status.success()).then(said))
}

/// Whether a variable of the environment changes what cargo builds or where:
/// all of cargo's own but those that say where its crates come from.
fn changes_the_build(name: &str) -> bool {
    const KEPT: [&str; 4] = ["CARGO_HOME", "CARGO_NET_", "CARGO_HTTP_", "CARGO_REGISTR"];
    let cargos = name.starts_with("CARGO_") && !KEPT.iter().any(|kept| name.starts_with(kept));
    cargos || name == "RUSTFLAGS"
}

/// What is too small for the firmware, if the linker says so.
fn does_not_fit(said: &str, board: Board) -> Option<Error> {
    let over = |region: &str| {
        let what = format!("will not fit in region '{region}': overflowed by ");
        let over = said.split(&what).skip(1).filter_map(|rest| {
            let number = rest.split_whitespace().next()?;
            number.parse::<u64>().ok()
        });
        over.max()
    };
    let program = board.program().bytes;
    let ram = board.ram().bytes;
    let (memory, bytes, more) = match (over("FLASH"), over("RAM")) {
        (Some(more), _) => ("flash", program, more),
        (None, Some(more)) => ("RAM", ram, more),
        (None, None) => return None,
    };
    Some(Error::DoesNotFit(Misfit {
        board,
        memory,
        needed: u64::from(bytes) + more,
        bytes,
    }))
}

/// The lines from the first error on, or all that there are.
pub(crate) fn errors_of(said: &str) -> String {
    let text = said.trim();
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

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(at(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_linker_misses_is_told_in_a_sentence() {
        let said = "error: linking failed\n\
            rust-lld: error: section '.model' will not fit in region 'FLASH': overflowed by 300 bytes\n\
            rust-lld: error: section '.data' will not fit in region 'FLASH': overflowed by 1348 bytes\n";
        let error = does_not_fit(said, Board::Microbit).unwrap().to_string();
        let needed = 256 * 1024 + 1348;
        assert!(
            error.contains(&format!("{needed} bytes of flash")),
            "{error}"
        );
        assert!(
            error.contains("there are 262144") && error.contains("microbit"),
            "{error}"
        );
        let said = said.replace("FLASH", "RAM");
        let error = does_not_fit(&said, Board::Pico).unwrap().to_string();
        assert!(error.contains("bytes of RAM"), "{error}");
        assert!(does_not_fit("error: syntax", Board::Pico).is_none());
    }
}
