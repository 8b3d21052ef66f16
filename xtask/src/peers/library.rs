//! The libraries that are measured: where their sources come from, and how they are built.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use siamese_build::OwnedModel;
use siamese_core::checksum::checksum;
use siamese_device::firmware::{Abi, Board, Core};

use super::network::Numbers;
use super::program::{Compiler, Parts, Variant, folder_of_programs};
use crate::shell::{self, Run};
use crate::workspace::Workspace;

/// CMSIS-NN's repository, and the commit that is measured: of July 2026.
const CMSIS_NN: [&str; 2] = [
    "https://github.com/ARM-software/CMSIS-NN",
    "99f736a63036613032f9b70de36b493bcd7802d4",
];

/// What is compiled of it.
const CMSIS_NN_SOURCES: [&str; 5] = [
    "Source/FullyConnectedFunctions/arm_fully_connected_per_channel_s8.c",
    "Source/FullyConnectedFunctions/arm_fully_connected_s4.c",
    "Source/FullyConnectedFunctions/arm_vector_sum_s8.c",
    "Source/NNSupportFunctions/arm_nn_vec_mat_mult_t_per_ch_s8.c",
    "Source/NNSupportFunctions/arm_nn_vec_mat_mult_t_s4.c",
];
/// The header with the rounding and the functions that are inlined.
const CMSIS_NN_HEADER: &str = "Include/arm_nnsupportfunctions.h";
/// The CRC-32 of these files, one after the other: a folder of the user's may hold anything.
const CMSIS_NN_CHECKSUM: u32 = 0xb49e_6d76;

/// emlearn's version on PyPI.
const EMLEARN: &str = "0.23.2";
/// The crates' versions are in the lock file of the programs that embed with them.
const LOCK: &str = include_str!("../../peers/crates/Cargo.lock");

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Library {
    /// CMSIS-NN with weights of 8 bits.
    CmsisNnS8,
    /// CMSIS-NN with weights of 4 bits in the first layer.
    CmsisNnS4,
    /// The crate embedded-nn.
    EmbeddedNn,
    /// The crate microflow.
    Microflow,
    /// emlearn, in floating point.
    Emlearn,
}

impl Library {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::CmsisNnS8,
        Self::CmsisNnS4,
        Self::EmbeddedNn,
        Self::Microflow,
        Self::Emlearn,
    ];

    /// Its name in reports and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CmsisNnS8 => "cmsis-nn-s8",
            Self::CmsisNnS4 => "cmsis-nn-s4",
            Self::EmbeddedNn => "embedded-nn",
            Self::Microflow => "microflow",
            Self::Emlearn => "emlearn",
        }
    }

    /// Its version.
    pub fn version(self) -> &'static str {
        match self {
            Self::CmsisNnS8 | Self::CmsisNnS4 => &CMSIS_NN[1][..10],
            Self::EmbeddedNn | Self::Microflow => locked(self.name()).unwrap_or("unknown"),
            Self::Emlearn => EMLEARN,
        }
    }

    /// The numbers that it takes.
    pub const fn numbers(self) -> Numbers {
        match self {
            Self::CmsisNnS8 | Self::EmbeddedNn => Numbers::Rows,
            Self::CmsisNnS4 => Numbers::Nibbles,
            Self::Microflow => Numbers::OneScale,
            Self::Emlearn => Numbers::Floats,
        }
    }

    /// Whether it runs a model on a board: that for weights of few bits needs them, and weights
    /// in floating point may be too many.
    pub fn runs(self, model: &OwnedModel, board: Board) -> bool {
        match self {
            Self::CmsisNnS4 => model.model().has_lanes(),
            Self::Emlearn => {
                const CODE: u64 = 16 * 1024;
                let bytes = model.model().header().macs() * size_of::<f32>() as u64;
                bytes + CODE <= board.flash().bytes.into()
            }
            _ => true,
        }
    }

    /// Fetches it, if it isn't there, and says how a program with it can be built: for a board and
    /// a folder where the network is.
    pub fn variants(
        self,
        workspace: &Workspace,
        own: Option<&Path>,
        board: Board,
        network: &Path,
    ) -> Result<Vec<Variant>> {
        let parts = match self {
            Self::CmsisNnS8 => cmsis_nn(workspace, own, None)?,
            Self::CmsisNnS4 => cmsis_nn(workspace, own, Some("-DS4"))?,
            Self::Emlearn => emlearn(workspace)?,
            Self::EmbeddedNn | Self::Microflow => {
                return of_crate(workspace, self.name(), board, network);
            }
        };
        let compilers = Compiler::all(board)?.into_iter();
        let variants = compilers.map(|compiler| Variant {
            title: compiler.version(),
            compiler,
            parts: parts.clone(),
        });
        Ok(variants.collect())
    }
}

impl fmt::Display for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// CMSIS-NN: a folder of the user's, or the commit from its repository. Optimised as it is by
/// default; rounded once, as our integers are.
fn cmsis_nn(
    workspace: &Workspace,
    own: Option<&Path>,
    option: Option<&'static str>,
) -> Result<Parts> {
    const OPTIONS: [&str; 2] = ["-Ofast", "-DCMSIS_NN_USE_SINGLE_ROUNDING"];
    let root = match own {
        Some(folder) => folder.to_owned(),
        None => cloned(workspace)?,
    };
    let sources = CMSIS_NN_SOURCES.map(|file| root.join(file));
    let mut all = Vec::new();
    for file in sources.iter().chain([&root.join(CMSIS_NN_HEADER)]) {
        all.extend(fs::read(file).with_context(|| format!("can't read {}", file.display()))?);
    }
    ensure!(
        checksum(&all) == CMSIS_NN_CHECKSUM,
        "{} holds another version of CMSIS-NN than the commit that is measured, {}",
        root.display(),
        CMSIS_NN[1]
    );
    let own = folder_of_programs().join("cmsis_nn/dense.c");
    Ok(Parts {
        sources: [own].into_iter().chain(sources).collect(),
        includes: vec![root.join("Include")],
        options: OPTIONS.into_iter().chain(option).collect(),
        ..Parts::default()
    })
}

/// The commit, in `target/`.
fn cloned(workspace: &Workspace) -> Result<PathBuf> {
    let [repository, commit] = CMSIS_NN;
    let folder = workspace
        .target()
        .join("peers")
        .join(format!("cmsis-nn-{commit}"));
    if !folder.is_dir() {
        let partial = folder.with_extension("partial");
        if partial.exists() {
            fs::remove_dir_all(&partial).context("can't remove what an earlier run left")?;
        }
        fs::create_dir_all(&partial).context("can't make a folder for CMSIS-NN")?;
        shell::step("CMSIS-NN", "one commit of its repository", || {
            let git = |args: &[&str]| Run::new("git").args(args).dir(&partial).run();
            git(&["init", "--quiet"])?;
            git(&["fetch", "--quiet", "--depth=1", repository, commit])?;
            git(&["checkout", "--quiet", "FETCH_HEAD"])
        })
        .context("CMSIS-NN can't be had; clone it yourself, and name its folder with --cmsis-nn")?;
        fs::rename(&partial, &folder).context("can't rename the folder of CMSIS-NN")?;
    }
    Ok(folder)
}

/// emlearn's headers, from its wheel.
fn emlearn(workspace: &Workspace) -> Result<Parts> {
    let folder = workspace
        .target()
        .join("peers")
        .join(format!("emlearn-{EMLEARN}"));
    if !folder.is_dir() {
        let partial = folder.with_extension("partial");
        shell::step("emlearn", "its wheel from PyPI", || {
            let python = |args: &[&str]| {
                let run = Run::new("python3").arg("-m").args(args);
                run.arg(&partial).dir(workspace.root()).run()
            };
            let wanted = format!("emlearn=={EMLEARN}");
            python(&["pip", "download", "--quiet", "--no-deps", &wanted, "--dest"])?;
            let wheel = partial.join(format!("emlearn-{EMLEARN}-py3-none-any.whl"));
            python(&["zipfile", "-e", &wheel.to_string_lossy()])
        })?;
        fs::rename(&partial, &folder).context("can't rename the folder of emlearn")?;
    }
    Ok(Parts {
        sources: vec![folder_of_programs().join("emlearn/dense.c")],
        includes: vec![folder.join("emlearn")],
        ..Parts::default()
    })
}

/// Builds the static library with a crate: for speed, and for size, which may be faster.
fn of_crate(
    workspace: &Workspace,
    name: &str,
    board: Board,
    network: &Path,
) -> Result<Vec<Variant>> {
    let abi = match board.target(Abi::Hard) {
        Some(_) => Abi::Hard,
        None => Abi::Soft,
    };
    let target = board
        .target(abi)
        .context("the board has no target of Rust's")?;
    let built = workspace.target().join("peers/crates");
    let target_dir = built.to_string_lossy();
    let args = [
        "build",
        "--release",
        "--locked",
        "--quiet",
        "--features",
        name,
    ];
    let more = ["--target", target, "--target-dir", &target_dir];
    let cpu = match board.core() {
        Core::Rv32 => "-Ctarget-cpu=generic-rv32".to_owned(),
        core => format!("-Ctarget-cpu={}", core.name()),
    };
    let rustc = Run::new("rustc").arg("--version").ask().unwrap_or_default();
    let rustc: Vec<&str> = rustc.split(' ').take(2).collect();
    let mut variants = Vec::new();
    for level in ["3", "s"] {
        workspace
            .cargo_in(&workspace.peers(), args.into_iter().chain(more))
            .env("RUSTFLAGS", &cpu)
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", level)
            .quiet_env("NETWORK", network)
            .quietly()?;
        let archive = network.join(format!("libpeers-{level}.a"));
        fs::copy(built.join(target).join("release/libpeers.a"), &archive)
            .context("can't copy what cargo has built")?;
        let mut compilers = Compiler::all(board)?;
        variants.push(Variant {
            title: format!("{}, opt-level {level}", rustc.join(" ")),
            compiler: compilers.swap_remove(0),
            parts: Parts {
                archives: vec![archive],
                ..Parts::default()
            },
        });
    }
    Ok(variants)
}

/// The version of a crate in the lock file.
fn locked(name: &str) -> Option<&'static str> {
    let entry = format!("name = \"{name}\"\nversion = \"");
    let (_, after) = LOCK.split_once(&entry)?;
    after.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_library_has_a_version() {
        for library in Library::ALL {
            assert_ne!(library.version(), "unknown", "{library}");
        }
    }
}
