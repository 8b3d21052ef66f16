//! What the same layers cost with other libraries: instructions and memory on every core.

mod answers;
mod library;
mod network;
mod program;
mod source;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use siamese_build::OwnedModel;
use siamese_device::firmware::{Board, Core, Emulation};

use crate::images::{self, TEST_IMAGES, TRAINING_IMAGES, TRAINING_LABELS};
use crate::setup::{self, Need};
use crate::workspace::Workspace;
use crate::{pages, shell};

use answers::{Centroids, Compared, Embedded};
use library::Library;
use network::Network;
use program::Measured;

/// What `cargo xtask bench-peers --help` says in the end.
pub const HELP: &str = "\
Builds, for each library, model and core, a program that embeds images of MNIST's test set with
the layers of the model, runs it in QEMU, and counts as `cargo xtask bench` does: from the raw
pixels to the coordinates, the mean of 500 images. `agree` is how many of them are nearest to the
class that they are nearest to by our integers, by the means of the classes; the command fails if
fewer than 95 of 100 are. A library in C is compiled by gcc and by clang, a crate for speed and
for size: the program with the fewest instructions counts.

The libraries, each of one version:
  cmsis-nn-s8   CMSIS-NN, int8 weights: its commit comes by git, or lies in the folder that
                --cmsis-nn names
  cmsis-nn-s4   the same with int4 weights in the first layer, for models with weights of few bits
  embedded-nn   the crate, int8 weights
  microflow     the crate, int8 weights with one scale a layer
  emlearn       the wheel from PyPI, floating point

--json prints a list of objects: library version model core machine compiler images agree farthest
(the most that a coordinate differs, in 127ths of the largest) instructions_per_image flash ram.
--write puts what was measured into docs/peers.json, and what follows from it into the pages.

Examples:
  cargo xtask bench-peers
  cargo xtask bench-peers --library cmsis-nn-s8 --core M4 --json";

/// The models whose layers the libraries run.
pub const MODELS: [&str; 2] = ["swift", "small"];
/// The images that are embedded, at the least; as many as `cargo xtask bench` takes.
const IMAGES: usize = 500;
/// Of so many training images one says where the classes are.
const STEP: usize = 6;
/// Of 100 images so many have to be nearest to the class that they are nearest to by ours.
const AGREE: usize = 95;
/// MNIST's images.
const PIXELS: usize = 28 * 28;

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print one list of JSON objects
    #[arg(long)]
    json: bool,
    /// Put what was measured into docs/peers.json and the pages
    #[arg(long)]
    write: bool,
    /// Only this library; may be given several times
    #[arg(long, value_name = "NAME", value_parser = Library::ALL.map(Library::name))]
    library: Vec<String>,
    /// Only the layers of this model of model/; may be given several times
    #[arg(long, value_name = "NAME", value_parser = MODELS)]
    model: Vec<String>,
    /// Only this core; may be given several times
    #[arg(long, value_name = "CORE", value_parser = cores())]
    core: Vec<String>,
    /// A folder with CMSIS-NN, in place of one that git fetches
    #[arg(long, value_name = "DIR")]
    cmsis_nn: Option<PathBuf>,
}

/// The boards whose cores are measured: those that QEMU has, with a console; without a
/// Cortex-M7, which counts as a Cortex-M4 does.
fn boards() -> impl Iterator<Item = Board> {
    let has_console = |board: &Board| {
        matches!(
            board.emulation(),
            Some(Emulation::Qemu { semihosting: true })
        )
    };
    Board::one_a_core()
        .filter(has_console)
        .filter(|board| board.core() != Core::CortexM7)
}

/// The names of their cores.
pub fn cores() -> Vec<&'static str> {
    boards().map(|board| board.core().short_name()).collect()
}

/// The names of the libraries.
pub fn libraries() -> [&'static str; Library::ALL.len()] {
    Library::ALL.map(Library::name)
}

/// Measures, and shows it.
pub fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    setup::run(workspace, &[Need::Rust, Need::Qemu, Need::C, Need::Peers])?;
    let chosen = |names: &[String], name: &str| names.is_empty() || names.iter().any(|n| n == name);
    let own = match &args.cmsis_nn {
        Some(folder) => Some(
            folder
                .canonicalize()
                .context("--cmsis-nn names no folder")?,
        ),
        None => None,
    };
    let mut rows = Vec::new();
    for name in MODELS.into_iter().filter(|name| chosen(&args.model, name)) {
        let bench = Bench::new(workspace, name)?;
        for library in Library::ALL {
            let boards: Vec<Board> = boards()
                .filter(|board| chosen(&args.core, board.core().short_name()))
                .filter(|&board| library.runs(&bench.model, board))
                .collect();
            if boards.is_empty() || !chosen(&args.library, library.name()) {
                continue;
            }
            shell::step(
                library.name(),
                &format!("with the layers of {name}"),
                || {
                    for board in boards {
                        rows.push(bench.measure(workspace, library, board, own.as_deref())?);
                    }
                    Ok(())
                },
            )?;
        }
    }
    if args.write {
        pages::write_peers(workspace.root(), &rows)?;
    } else if args.json {
        println!("{:#}", Value::Array(rows));
    } else {
        println!("{}", pages::peers::table(&rows, &[]));
    }
    Ok(())
}

/// A model, and what is known of images by its integers.
struct Bench {
    name: &'static str,
    model: OwnedModel,
    images: Vec<Vec<u8>>,
    ours: Embedded,
    centroids: Centroids,
    /// The largest coordinate of the training images.
    largest: f64,
}

impl Bench {
    fn new(workspace: &Workspace, name: &'static str) -> Result<Self> {
        let at = |path: &str| workspace.root().join(path);
        let path = at(&format!("model/{name}.siam"));
        let model =
            OwnedModel::read(&path).with_context(|| format!("can't use {}", path.display()))?;
        let read = |path: &str| {
            images::read(&at(path), PIXELS)
                .context("MNIST isn't there; `cargo xtask bench` fetches it")
        };
        let images = read(TEST_IMAGES)?;
        let step = (images.len() / IMAGES).max(1);
        let images: Vec<Vec<u8>> = images.into_iter().step_by(step).collect();
        let training = read(TRAINING_IMAGES)?;
        let labels = images::read_labels(&at(TRAINING_LABELS))?;
        let labels: Vec<u8> = labels.into_iter().step_by(STEP).collect();
        let training: Vec<&[u8]> = training.iter().step_by(STEP).map(Vec::as_slice).collect();
        let training = Embedded::new(&model, &training)?;
        let slices: Vec<&[u8]> = images.iter().map(Vec::as_slice).collect();
        Ok(Self {
            name,
            ours: Embedded::new(&model, &slices)?,
            centroids: Centroids::new(&training, &labels),
            largest: training.largest(),
            images,
            model,
        })
    }

    /// One row: a library on a board.
    fn measure(
        &self,
        workspace: &Workspace,
        library: Library,
        board: Board,
        own: Option<&Path>,
    ) -> Result<Value> {
        let core = board.core().short_name();
        let folder = workspace
            .target()
            .join("peers")
            .join(format!("{library}-{}-{core}", self.name));
        let network = Network {
            model: &self.model,
            step: self.largest / f64::from(i8::MAX),
        };
        let numbers = library.numbers();
        program::prepare(&folder, board, &network, numbers)?;
        let images: Vec<&[u8]> = self.images.iter().map(Vec::as_slice).collect();
        let mut best: Option<(String, Measured)> = None;
        for variant in library.variants(workspace, own, board, &folder)? {
            let measured = program::measure(&folder, board, &variant, &images)?;
            let is_better =
                |(_, best): &(String, Measured)| measured.instructions < best.instructions;
            if best.as_ref().is_none_or(is_better) {
                best = Some((variant.title, measured));
            }
        }
        let (compiler, measured) = best.context("there is no compiler for it")?;
        let compared = Compared::new(
            &self.ours,
            &measured.coordinates,
            network.step_of(numbers),
            &self.centroids,
        )?;
        shell::note(&format!(
            "{core}: {:.0} instructions, {compiler}; {} of {} answers agree, coordinates by {:.1} steps",
            measured.instructions,
            compared.agree,
            images.len(),
            compared.farthest / network.step
        ));
        ensure!(
            compared.agree * 100 >= images.len() * AGREE,
            "only {} of {} answers of {library} agree with ours",
            compared.agree,
            images.len()
        );
        Ok(json!({
            "library": library.name(),
            "version": library.version(),
            "model": self.name,
            "core": core,
            "machine": board.name(),
            "compiler": compiler,
            "images": images.len(),
            "agree": compared.agree,
            "farthest": (compared.farthest / network.step * 10.0).round() / 10.0,
            "instructions_per_image": measured.instructions.round() as u64,
            "flash": measured.flash,
            "ram": measured.ram,
        }))
    }
}
