//! `budget`: what a model takes of each board, before anything is built or bought.

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde_json::{Value, json};
use siamese_build::cost::{Bytes, Work};
use siamese_build::{Board, Budget, Time};
use siamese_train::embed::ModelFile;
use siamese_train::embed::golden::Golden;

use super::Output;
use super::embed::images_of;
use super::labelled::PictureArgs;

/// Say what a model takes of each board: flash, RAM and time, and whether it fits
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Nothing is built. Code, data and stack are those of `firmware-example` with a gallery, names and
the link, as `cargo xtask bench` measured them on each core; model, buffers and gallery follow from
the model. A firmware that embeds and does nothing else takes less: --json has both.

Time follows from what the images make the kernel do, as inputs that are 0 are skipped. Instructions
are an estimate, fitted to what was counted for our models (--json says how far off it was at most);
cycles follow from the timings in the core's manual, if it has any, and on the Pico and the nRF
boards from how long the flash takes. They were compared with the counted cycles of an emulated
RP2040, and on no hardware: docs/boards.md has the comparison.

Examples:
  siamese-train budget --model model/small.siam
  siamese-train budget --model mine/net.siam --board pico --images pictures")]
pub struct Args {
    /// The quantised model
    #[arg(long, value_name = "FILE.siam")]
    model: PathBuf,
    /// Only this board; may be given several times
    #[arg(long, value_name = "BOARD", value_parser = boards())]
    board: Vec<Board>,
    /// Typical images: IDX, raw or .gz, or a folder of pictures [default: those of the
    /// model's golden vectors that are of its test set]
    #[arg(long, value_name = "IDX|FOLDER")]
    images: Option<PathBuf>,
    #[command(flatten)]
    pictures: PictureArgs,
}

fn boards() -> impl TypedValueParser<Value = Board> {
    PossibleValuesParser::new(Board::ALL.map(Board::name)).try_map(|name| name.parse::<Board>())
}

pub fn run(args: &Args, output: Output) -> Result<()> {
    let file = ModelFile::read(&args.model)?;
    let (work, images) = args.work(&file, output)?;
    let chosen = |board: &Board| args.board.is_empty() || args.board.contains(board);
    let mut budgets = Vec::new();
    for board in Board::ALL.into_iter().filter(chosen) {
        let budget = Budget::of(file.stored(), board, &work)
            .with_context(|| format!("the model can't be packed for {board}"))?;
        budgets.push(budget.with_context(|| {
            format!(
                "nothing was measured on {}, the core of {board}",
                board.core()
            )
        })?);
    }
    let json = json!({
        "model": file.model().header().name,
        "images": images,
        "work": {
            "active": work.active,
            "products": work.products,
            "outputs": work.outputs,
            "words": work.words,
            "multiplied": work.multiplied,
        },
        "boards": budgets.iter().map(in_json).collect::<Vec<_>>(),
    });
    let words = in_words(&budgets, &args.model.display().to_string(), images)?;
    output.report(&words, &json)
}

impl Args {
    /// What the images make a kernel do, in the mean, and how many they are.
    fn work(&self, file: &ModelFile, output: Output) -> Result<(Work, usize)> {
        // As devices have the weights, and not as this machine does.
        let model = file.stored().model();
        let (work, count) = match &self.images {
            Some(path) => {
                let images = images_of(path, file, &self.pictures, output)?.0;
                let work = Work::of(&model, (0..images.len()).map(|index| images.get(index)))?;
                (work, images.len())
            }
            None => {
                let golden = Golden::read(&self.model.with_extension("golden.safetensors"))
                    .context("name typical images with --images: the golden vectors beside the model are of no use")?;
                (
                    Work::of(&model, golden.typical())?,
                    golden.typical().count(),
                )
            }
        };
        Ok((work.context("there are no images")?, count))
    }
}

/// A table for people.
fn in_words(budgets: &[Budget], model: &str, images: usize) -> Result<String> {
    let mut text = format!("{model}: bytes, and what an image takes in the mean of {images}\n\n");
    writeln!(
        text,
        "{:<15}{:>9}{:>9}{:>9}{:>9}{:>8}{:>9}{:>14}{:>10}{:>8}  fits",
        "",
        "model",
        "code",
        "of flash",
        "static",
        "stack",
        "of RAM",
        "instructions",
        "cycles",
        "ms"
    )?;
    let cycles = |time: &Time| {
        time.cycles
            .map_or("-".into(), |cycles| format!("{cycles:.0}"))
    };
    for budget in budgets {
        let Budget {
            board,
            model,
            device,
            ..
        } = budget;
        let milliseconds = budget.mean.milliseconds(*board);
        writeln!(
            text,
            "{:<15}{model:>9}{:>9}{:>9}{:>9}{:>8}{:>9}{:>14.0}{:>10}{:>8}  {}",
            board.name(),
            device.code,
            board.program().bytes,
            device.data,
            device.stack,
            board.ram().bytes,
            budget.mean.instructions,
            cycles(&budget.mean),
            milliseconds.map_or("-".into(), |time| format!("{time:.2}")),
            if budget.misfit().is_none() {
                "yes"
            } else {
                "no"
            },
        )?;
    }
    for misfit in budgets.iter().filter_map(Budget::misfit) {
        write!(text, "\n{misfit}")?;
    }
    if let [budget] = budgets {
        let store = budget.board.store().region.map(|store| store.bytes);
        writeln!(
            text,
            "\nThe dearest image: {:.0} instructions, {} cycles.{}",
            budget.most.instructions,
            cycles(&budget.most),
            store.map_or_else(String::new, |bytes| format!(
                " What the board learns has {bytes} bytes of flash besides."
            )),
        )?;
    }
    Ok(text)
}

fn in_json(budget: &Budget) -> Value {
    let bytes = |bytes: &Bytes| {
        json!({
            "flash_code": bytes.code,
            "flash": bytes.code + budget.model,
            "ram_static": bytes.data,
            "ram_stack": bytes.stack,
        })
    };
    let time = |time: &Time| {
        json!({
            "instructions": time.instructions.round(),
            "cycles": time.cycles.map(f64::round),
            "cycles_waiting_for_flash": time.waiting.round(),
            "milliseconds": time.milliseconds(budget.board),
        })
    };
    let board = budget.board;
    json!({
        "board": board.name(),
        "core": board.core().name(),
        "fits": budget.misfit().is_none(),
        "why_not": budget.misfit().map(|misfit| misfit.to_string()),
        "flash_bytes": board.program().bytes,
        "ram_bytes": board.ram().bytes,
        "clock_hz": board.clock_hz(),
        "model": budget.model,
        "store": board.store().region.map_or(0, |store| store.bytes),
        "device": bytes(&budget.device),
        "embedding_alone": bytes(&budget.embedding),
        "off_at_most": budget.within,
        "mean": time(&budget.mean),
        "most": time(&budget.most),
    })
}
