//! Whether a board gives this machine's integers, and what that takes.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use siamese_device::firmware::{Emulation, Footprint};
use siamese_device::{Embedded, INSTRUCTIONS_PER_SECOND, Reference};
use siamese_train::dataset::{Dataset, Source, Split};
use siamese_train::embed::golden::Golden;

use super::connect::Connected;
use crate::cli::Output;
use crate::cli::embed::images_of;
use crate::cli::labelled::PictureArgs;

/// Images that are sent before the answers to them are judged.
const CHUNK: usize = 500;
/// Images that are measured, if not said otherwise.
const MEASURED: usize = 100;
/// Differing images that are named.
const NAMED: usize = 5;

/// Which images.
#[derive(Debug, clap::Args)]
pub struct ImagesArgs {
    /// The images: IDX, raw or .gz, or a folder of pictures [default: MNIST's test images]
    #[arg(long, value_name = "IDX|FOLDER")]
    images: Option<PathBuf>,
    /// The folder of the data sets
    #[arg(long, value_name = "DIR", default_value = "data")]
    data: PathBuf,
    /// So many of them, spread over all [default: all, and 100 to measure]
    #[arg(long, value_name = "N")]
    count: Option<usize>,
    #[command(flatten)]
    pictures: PictureArgs,
}

impl ImagesArgs {
    /// The images to send.
    fn load(
        &self,
        connected: &mut Connected,
        least: usize,
        output: Output,
    ) -> Result<Vec<Vec<u8>>> {
        let images = match &self.images {
            Some(path) => images_of(path, &connected.model()?, &self.pictures, output)?.0,
            None => {
                Dataset::load(&self.data, Source::Mnist, Split::Test)
                    .context("name images of your own with --images, or fetch these")?
                    .images
            }
        };
        let pixels = images.width() * images.height();
        ensure!(
            pixels == connected.info.pixels as usize,
            "the images have {pixels} pixels, and the board's model takes {}",
            connected.info.pixels
        );
        let wanted = self.count.unwrap_or(least).min(images.len());
        ensure!(wanted > 0, "--count must be at least 1");
        let spread = (0..wanted).map(|number| number * images.len() / wanted);
        Ok(spread.map(|index| images.get(index).to_vec()).collect())
    }
}

/// What a board made of images.
struct Judged {
    answers: Vec<Embedded>,
    /// The numbers of those that this machine answers otherwise.
    differing: Vec<usize>,
    seconds: f64,
    /// Bytes an image to the board, and back.
    bytes: [f64; 2],
}

/// Has the board embed images, and compares with this machine.
fn judge(connected: &mut Connected, images: &[Vec<u8>], output: Output) -> Result<Judged> {
    let file = connected.model()?;
    let mut reference = Reference::new(file.model());
    let bar = output
        .progress()
        .count(&connected.info.board, "images", images.len() as u64);
    let mut judged = Judged {
        answers: Vec::with_capacity(images.len()),
        differing: Vec::new(),
        seconds: 0.0,
        bytes: [0.0; 2],
    };
    let before = connected.device.traffic();
    for chunk in images.chunks(CHUNK) {
        let start = Instant::now();
        let done = judged.answers.len();
        let answers = connected.device.embed_all(chunk, |_, _| bar.inc(1));
        let answers = answers.with_context(|| {
            format!(
                "after {done} of {} images, {} of which differ",
                images.len(),
                judged.differing.len()
            )
        })?;
        judged.seconds += start.elapsed().as_secs_f64();
        let differing = reference
            .differing(chunk, &answers)
            .context("this machine can't embed the images")?;
        judged
            .differing
            .extend(differing.into_iter().map(|number| done + number));
        judged.answers.extend(answers);
    }
    bar.finish_and_clear();
    let after = connected.device.traffic();
    judged.bytes = [after.sent - before.sent, after.received - before.received]
        .map(|bytes| bytes as f64 / images.len() as f64);
    Ok(judged)
}

/// An error if any answer differs.
fn ensure_equal(differing: &[usize], all: usize) -> Result<()> {
    if differing.is_empty() {
        return Ok(());
    }
    let named: Vec<String> = differing.iter().take(NAMED).map(usize::to_string).collect();
    bail!(
        "{} of {all} answers differ from this machine's, first those to the images {}: flash the \
         firmware anew, and if that changes nothing, please report it",
        differing.len(),
        named.join(", ")
    );
}

pub fn regress(connected: &mut Connected, args: &ImagesArgs, output: Output) -> Result<()> {
    let images = args.load(connected, usize::MAX, output)?;
    let judged = judge(connected, &images, output)?;
    let per_second = images.len() as f64 / judged.seconds.max(1e-9);
    let [sent, received] = judged.bytes;
    let human = format!(
        "{} images on {}, {}: {} differ from this machine's integers; {per_second:.0} images a \
         second, each {sent:.0} bytes there and {received:.0} back",
        images.len(),
        connected.info.board,
        connected.place,
        judged.differing.len()
    );
    let json = json!({
        "board": connected.info.board,
        "place": connected.place,
        "model": connected.info.model,
        "images": images.len(),
        "differing": judged.differing.len(),
        "first_differing": judged.differing.iter().take(NAMED).collect::<Vec<_>>(),
        "images_per_second": per_second,
        "bytes_sent_per_image": sent,
        "bytes_received_per_image": received,
    });
    output.report(&human, &json)?;
    ensure_equal(&judged.differing, images.len())
}

pub fn self_test(connected: &mut Connected, output: Output) -> Result<()> {
    let file = connected.model()?;
    let path = file.path().with_extension("golden.safetensors");
    let golden = Golden::read(&path)
        .with_context(|| "the self-test needs the golden vectors beside the model")?;
    let mut differing = Vec::new();
    let bar = output
        .progress()
        .count("self-test", "images", golden.len() as u64);
    for (number, vector) in golden.iter().enumerate() {
        let answer = connected.device.embed(vector.pixels)?;
        let same = answer.coordinates == vector.embedding && answer.hidden_crc == vector.hidden_crc;
        if !same {
            differing.push(number);
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let human = format!(
        "{} golden vectors on {}, {}: {} differ in any layer",
        golden.len(),
        connected.info.board,
        connected.place,
        differing.len()
    );
    let json = json!({
        "board": connected.info.board,
        "vectors": golden.len(),
        "differing": differing.len(),
    });
    output.report(&human, &json)?;
    ensure_equal(&differing, golden.len())
}

pub fn measure(connected: &mut Connected, args: &ImagesArgs, output: Output) -> Result<()> {
    let images = args.load(connected, MEASURED, output)?;
    let judged = judge(connected, &images, output)?;
    let memory = connected.device.memory()?;
    let hz = f64::from(connected.info.tick_hz.max(1));
    let ticks: Vec<u32> = judged.answers.iter().map(|answer| answer.ticks).collect();
    let mean = ticks.iter().copied().map(f64::from).sum::<f64>() / ticks.len().max(1) as f64;
    let worst = f64::from(ticks.iter().copied().max().unwrap_or(0));
    // QEMU counts instructions, one a nanosecond of its clock.
    let emulation = connected
        .emulated
        .as_ref()
        .and_then(|(board, _)| board.emulation());
    let (unit, per_tick) = match emulation {
        Some(Emulation::Qemu { .. }) => ("instructions", INSTRUCTIONS_PER_SECOND as f64 / hz),
        _ => ("cycles", 1.0),
    };
    let mut human = format!(
        "{}, {}, {}: {} images\n  {unit:<14} {:.0} an image, {:.0} for the worst of them\n",
        connected.info.board,
        connected.place,
        connected.info.model,
        images.len(),
        mean * per_tick,
        worst * per_tick,
    );
    if unit == "cycles" {
        human += &format!(
            "  time           {:.3} ms an image at {:.1} MHz{}\n",
            1e3 * mean / hz,
            hz / 1e6,
            if emulation.is_some() {
                ", and on the chip what it waits for its flash"
            } else {
                ""
            }
        );
    }
    human += &format!(
        "  stack          {} of {} bytes\n",
        memory.stack_peak, memory.stack_size
    );
    let mut json = json!({
        "board": connected.info.board,
        "place": connected.place,
        "model": connected.info.model,
        "images": images.len(),
        "unit": unit,
        "mean": mean * per_tick,
        "worst": worst * per_tick,
        "tick_hz": connected.info.tick_hz,
        "stack_peak": memory.stack_peak,
        "stack_size": memory.stack_size,
        "differing": judged.differing.len(),
    });
    if let Some((_, elf)) = &connected.emulated {
        let footprint = Footprint::of_elf(elf)?;
        human += &format!(
            "  flash          {} bytes of code, {} of model\n  static RAM     {} bytes\n",
            footprint.code_bytes, footprint.model_bytes, footprint.ram_static
        );
        json["flash_code"] = footprint.code_bytes.into();
        json["flash_model"] = footprint.model_bytes.into();
        json["ram_static"] = Value::from(footprint.ram_static);
    }
    output.report(&human, &json)?;
    ensure_equal(&judged.differing, images.len())
}
