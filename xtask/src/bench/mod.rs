//! What an embedding costs: instructions and memory on every core, time on this machine.

mod cycles;
mod device;
mod host;
mod mix;
mod worst;

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use serde_json::Value;
use siamese_device::firmware::{Board, Emulation};

use crate::images::{self, TEST_IMAGES};
use crate::pages;
use crate::setup::{self, Need};
use crate::shell;
use crate::workspace::Workspace;

/// What `cargo xtask bench --help` says in the end.
pub const HELP: &str = "\
On each core, counted by QEMU, so that it repeats, to an instruction or two an image:
  an image, mean    instructions from the raw pixels to the embedding, of 500 test images spread
                    over MNIST's test set; each answer is compared with this machine's
  an image, worst   the dearest of those, of even greys and of noise without background
  parse             instructions of checking the whole model, once
  open              instructions from a model that was checked before to an empty gallery
  flash, code       what a firmware that embeds takes more than one that only loads and checks the
                    model, which is `flash, loader`
  RAM, static       of a firmware that embeds and does nothing else
  RAM, stack        the deepest that its stack is while it loads the model and embeds
  RAM, total        the two together
What `siamese-train budget` estimates from comes along: what the images make a kernel do, what the
instructions are, and what the whole example firmware takes, its stack after enrolling, identifying
and saving. An RP2040 is emulated by rp2040js, which counts cycles in place of instructions.
On this machine: nanoseconds an image on one thread, the median of rounds in turns.

--json prints a list of objects instead of tables. A core's has these keys; numbers are
instructions or bytes:
  core machine model kernel images mismatches
  instructions_per_image instructions_worst_image worst_image (which one that was)
  instructions_parse instructions_open
  flash_code flash_loader flash_weights ram_static ram_stack ram_total
  work worst_work (of an image, and of the worst: active inputs, products and outputs of weights
  of 8 bits, words of fewer bits)
  mix (of 1,000 instructions: memory runs words taken)
  embedding_data device_code device_data device_stack (bytes that don't follow from the model)
  cycles_per_image cycles_worst_image (of a core whose emulator counts cycles)
This machine's has: core (\"host\") machine model kernel batch ns_per_image

--write puts what was measured into docs/bench.json, and the tables that follow from it into
the pages (`cargo xtask pages`); a test compares the two.

Examples:
  cargo xtask bench
  cargo xtask bench --model small --core M4 --json";

/// The models of `model/` that are measured.
pub const MODELS: [&str; 8] = [
    "tiny",
    "tiny-d16",
    "swift",
    "small",
    "small-d16",
    "small-fewshot",
    "medium",
    "reference",
];
/// How this machine is called among the cores.
pub const HOST: &str = "host";
/// MNIST's images.
const PIXELS: usize = 28 * 28;

/// Measures a model on a board: a row of the report, or none if it doesn't fit.
type Measure = fn(&Path, Board, &[Vec<u8>]) -> Result<Option<Value>>;

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print one list of JSON objects
    #[arg(long)]
    json: bool,
    /// Put what was measured into docs/bench.json and the pages
    #[arg(long)]
    write: bool,
    /// Only this model of model/; may be given several times
    #[arg(long, value_name = "NAME", value_parser = MODELS)]
    model: Vec<String>,
    /// Only this core; may be given several times
    #[arg(long, value_name = "CORE", value_parser = cores())]
    core: Vec<String>,
}

/// The cores that can be measured, and this machine.
pub fn cores() -> Vec<&'static str> {
    Board::one_a_core()
        .map(|board| board.core().short_name())
        .chain([HOST])
        .collect()
}

/// Measures, and shows it.
pub fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    setup::run(workspace, &[Need::Rust, Need::Qemu, Need::Rp2040js])?;
    let images = workspace.root().join(TEST_IMAGES);
    if !images.is_file() {
        setup::run(workspace, &[Need::Libtorch])?;
        shell::step("Data", "MNIST's test images", || {
            workspace.build_trainer()?;
            // Its report is not this command's.
            workspace
                .trainer(["data", "--dataset", "mnist", "--json"])
                .capture()
                .map(drop)
        })?;
    }
    let images = images::read(&images, PIXELS)?;
    let chosen = |names: &[String], name: &str| names.is_empty() || names.iter().any(|n| n == name);
    let models: Vec<PathBuf> = MODELS
        .iter()
        .filter(|name| chosen(&args.model, name))
        .map(|name| workspace.root().join("model").join(format!("{name}.siam")))
        .collect();

    let mut rows = Vec::new();
    for board in Board::one_a_core() {
        if !chosen(&args.core, board.core().short_name()) {
            continue;
        }
        let title = board.core().to_string();
        let (measure, why): (Measure, _) = match board.emulation() {
            Some(Emulation::Qemu { .. }) => {
                (device::measure, "in QEMU, which counts its instructions")
            }
            _ => (cycles::measure, "in an emulator that counts its cycles"),
        };
        shell::step(&title, why, || {
            for model in &models {
                rows.extend(measure(model, board, &images)?);
            }
            Ok(())
        })?;
    }
    if chosen(&args.core, HOST) {
        shell::step("This machine", "one thread, back ends in turns", || {
            for model in &models {
                rows.extend(host::measure(model, &images)?);
            }
            Ok(())
        })?;
    }
    let differing = rows.iter().filter_map(|row| row["mismatches"].as_u64());
    ensure!(
        differing.sum::<u64>() == 0,
        "some answers differ from this machine's: {}",
        Value::Array(rows)
    );
    if args.write {
        pages::write_bench(workspace.root(), &rows)?;
    } else if args.json {
        println!("{:#}", Value::Array(rows));
    } else {
        println!("{}", pages::bench::all(&rows));
    }
    Ok(())
}

/// The name of a model's file.
fn name(model: &Path) -> String {
    model.file_stem().unwrap_or_default().display().to_string()
}
