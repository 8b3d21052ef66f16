//! A model in a firmware: what a build script calls.

use std::env;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use siamese_core::error::{EncodeError, ModelError};
use siamese_core::model::Layout;

use crate::core::{AmbiguousTarget, Core};
use crate::owned::OwnedModel;

/// The variable that has all but the portable kernel left out, here and in
/// `siamese-core`'s own build script.
const KERNEL: &str = "SIAMESE_KERNEL";

/// Puts a model file into the crate whose build script calls this, with its
/// weights in the order that `core` is fastest with, or the core of Cargo's
/// target if that is `None`. Shorthand for [`EmbedModel`].
///
/// # Errors
/// As [`EmbedModel::write`].
pub fn embed_model(
    path: impl AsRef<Path>,
    core: impl Into<Option<Core>>,
) -> Result<(), BuildError> {
    let embed = EmbedModel::new(path);
    match core.into() {
        Some(core) => embed.core(core).write(),
        None => embed.write(),
    }
}

/// Writes a module with a model for a build script's crate to include:
///
/// ```text
/// mod model {
///     include!(concat!(env!("OUT_DIR"), "/model.rs"));
/// }
/// ```
///
/// It has these items, each with documentation:
///
/// - `fn bytes() -> &'static [u8]`: the model file, at a multiple of 16; the
///   compiler can't foresee its contents;
/// - `PIXELS`, `DIM`, `SHARED`, `HIDDEN1`: pixels of an image, coordinates of an
///   embedding, bytes of the embedder's two buffers;
/// - `LENGTH`: bytes of the model in flash; `CRC`: the model file's CRC-32 with
///   its weights in rows, whatever their order here;
/// - `type Network`: the `Embedder` with exactly these sizes.
#[derive(Debug, Clone)]
pub struct EmbedModel {
    path: PathBuf,
    core: Option<Core>,
    section: Option<String>,
    name: String,
    target: Option<String>,
    out: Option<PathBuf>,
}

impl EmbedModel {
    /// Of a model file. A path that is not absolute starts in the folder of the
    /// crate's `Cargo.toml`, where Cargo runs build scripts.
    #[must_use]
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self {
            path: path.as_ref().into(),
            core: None,
            section: None,
            name: "model".into(),
            target: None,
            out: None,
        }
    }

    /// For this core, and not for that of the target. It's needed where a target
    /// is for several kinds of cores, as `thumbv8m.main` is.
    #[must_use]
    pub fn core(mut self, core: Core) -> Self {
        self.core = Some(core);
        self
    }

    /// In a section of flash of its own, which the linker script has to place.
    #[must_use]
    pub fn section(mut self, section: &str) -> Self {
        self.section = Some(section.into());
        self
    }

    /// The module is `NAME.rs`, and not `model.rs`: for a second model.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    /// For this target, and not for the one of Cargo's `TARGET`.
    #[must_use]
    pub fn target(mut self, target: &str) -> Self {
        self.target = Some(target.into());
        self
    }

    /// To this folder, and not to Cargo's `OUT_DIR`.
    #[must_use]
    pub fn out_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.out = Some(folder.into());
        self
    }

    /// Writes the module, and tells Cargo what it depends on.
    ///
    /// # Errors
    /// [`BuildError`]: if the file is missing or no model, if the core and the
    /// target don't belong together, if the target alone doesn't name a core, or
    /// if the module can't be written.
    pub fn write(&self) -> Result<(), BuildError> {
        println!("cargo::rerun-if-changed={}", self.path.display());
        println!("cargo::rerun-if-env-changed={KERNEL}");
        let target = match &self.target {
            Some(target) => target.clone(),
            None => variable("TARGET")?,
        };
        let out = match &self.out {
            Some(out) => out.clone(),
            None => variable("OUT_DIR")?.into(),
        };
        let portable = match env::var(KERNEL).as_deref() {
            Ok("portable") => true,
            Ok("") | Err(_) => false,
            Ok(other) => return Err(BuildError::Kernel(other.into())),
        };
        let core = match self.core {
            Some(core) if core.is_of_target(&target) => core,
            Some(core) => return Err(BuildError::WrongTarget { core, target }),
            None => Core::of_target(&target).map_err(BuildError::Ambiguous)?,
        };
        let core = if portable { Core::Any } else { core };

        let file = OwnedModel::read(&self.path).map_err(|error| self.unreadable(error))?;
        let pack = |error| BuildError::Pack {
            path: self.path.clone(),
            error,
        };
        let rows = file.repacked(Layout::Rows).map_err(pack)?;
        let packed = file.for_core(core).map_err(pack)?;
        let layout = packed.model().layout();
        if layout != core.layout() {
            println!(
                "cargo::warning={}: a weight is too large for {core}'s kernel, so the slower \
                 portable one will run",
                self.path.display()
            );
        }
        let data = out.join(format!("{}.siam", self.name));
        let module = out.join(format!("{}.rs", self.name));
        save(&data, packed.bytes())?;
        save(&module, self.module(&packed, &rows, core).as_bytes())
    }

    fn unreadable(&self, error: io::Error) -> BuildError {
        let path = self.path.clone();
        match error.downcast::<ModelError>() {
            Ok(error) => BuildError::NoModel { path, error },
            Err(error) => BuildError::Read { path, error },
        }
    }

    /// The module's text.
    fn module(&self, packed: &OwnedModel, rows: &OwnedModel, core: Core) -> String {
        let model = packed.model();
        let (shared, hidden1) = model.buffer_sizes();
        let crc = rows
            .bytes()
            .last_chunk()
            .map_or(0, |&crc| u32::from_le_bytes(crc));
        let section = self.section.as_ref().map_or(String::new(), |section| {
            format!(
                "#[used]\n\
                 #[unsafe(link_section = {section:?})] // SAFETY: the linker script has it for models alone.\n"
            )
        });
        format!(
            "/// The pixels that an image has.\n\
             pub const PIXELS: usize = {pixels};\n\
             /// The coordinates that an embedding has.\n\
             pub const DIM: usize = {dim};\n\
             /// Bytes of the embedder's buffer for the input and the second hidden layer.\n\
             pub const SHARED: usize = {shared};\n\
             /// Bytes of the embedder's buffer for the first hidden layer.\n\
             pub const HIDDEN1: usize = {hidden1};\n\
             /// Bytes of the model as it is in flash: `{model_name}`, packed for `{core}`.\n\
             pub const LENGTH: usize = {length};\n\
             /// The CRC-32 at the end of the model file, whatever the order of its weights here.\n\
             pub const CRC: u32 = {crc:#010x};\n\
             /// The embedder with exactly this model's sizes.\n\
             pub type Network = ::siamese_core::Embedder<'static, DIM, SHARED, HIDDEN1>;\n\
             \n\
             /// The alignment that the model's sections count on.\n\
             #[repr(C, align({alignment}))]\n\
             struct Aligned([u8; LENGTH]);\n\
             \n\
             {section}\
             static MODEL: Aligned =\n    \
                 Aligned(*::core::include_bytes!(::core::concat!(::core::env!(\"OUT_DIR\"), \"/{file}.siam\")));\n\
             \n\
             /// The model file, at a multiple of {alignment}. The compiler can't foresee its contents:\n\
             /// flash can wear out, and a model can be written there later.\n\
             #[must_use]\n\
             pub fn bytes() -> &'static [u8] {{\n    \
                 &::core::hint::black_box(&MODEL).0\n\
             }}\n",
            pixels = model.header().input.pixels(),
            dim = model.dim(),
            model_name = model.header().name.escape_debug(),
            length = packed.bytes().len(),
            alignment = siamese_core::model::ALIGNMENT,
            file = self.name,
        )
    }
}

fn variable(name: &'static str) -> Result<String, BuildError> {
    env::var(name).map_err(|_| BuildError::NotCargo(name))
}

fn save(path: &Path, bytes: &[u8]) -> Result<(), BuildError> {
    fs::write(path, bytes).map_err(|error| BuildError::Write {
        path: path.into(),
        error,
    })
}

/// Why a model can't be put into a firmware.
#[derive(Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// Cargo's variable of this name isn't set: this isn't a build script.
    NotCargo(&'static str),
    /// The model file can't be read.
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        error: io::Error,
    },
    /// The file is no model.
    NoModel {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: ModelError,
    },
    /// The model's weights can't be put in another order.
    Pack {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: EncodeError,
    },
    /// Code for this target doesn't run on this core, or has no kernel for it.
    WrongTarget {
        /// The core that was named.
        core: Core,
        /// The target of the build.
        target: String,
    },
    /// No core was named, and the target is for several kinds.
    Ambiguous(AmbiguousTarget),
    /// `SIAMESE_KERNEL` is neither empty nor `portable`.
    Kernel(String),
    /// A file of the module can't be written.
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        error: io::Error,
    },
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotCargo(name) => {
                write!(
                    f,
                    "Cargo's variable {name} isn't set: call this in a build script"
                )
            }
            Self::Read { path, error } if error.kind() == io::ErrorKind::NotFound => {
                write!(f, "there is no model file {}", path.display())
            }
            Self::Read { path, error } => {
                write!(
                    f,
                    "the model file {} can't be read: {error}",
                    path.display()
                )
            }
            Self::NoModel { path, error } => {
                write!(f, "the model file {}: {error}", path.display())
            }
            Self::Pack { path, error } => {
                write!(f, "the model {} can't be packed: {error}", path.display())
            }
            Self::WrongTarget { core, target } => {
                write!(f, "{core} isn't a core of the target {target}")?;
                match core.target(crate::Abi::Soft) {
                    Some(own) => write!(f, ": build with --target {own}, or name another core"),
                    None => Ok(()),
                }
            }
            Self::Ambiguous(error) => error.fmt(f),
            Self::Kernel(value) => {
                write!(f, "{KERNEL} is '{value}'; it can only be 'portable'")
            }
            Self::Write { path, error } => {
                write!(f, "{} can't be written: {error}", path.display())
            }
        }
    }
}

impl std::error::Error for BuildError {}
