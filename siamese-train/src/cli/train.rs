//! `train`: from labelled images to a model, golden vectors and pictures.

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::ValueEnum;
use siamese_core::model::MAX_NAME;
use siamese_train::pipeline::{Files, Precision, Report};
use siamese_train::recipe::RecipeName;
use tch::Device;

use super::Output;
use super::choice::{Choice, model_name};
use super::job::Job;
use super::labelled::Data;

/// Train a network and export it for devices
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Writes, for the preset small, into the folder OUT:
  small.siam                the integer model, for devices and for `embed` and `eval`
  small.safetensors         the float network
  small.golden.safetensors  images and every layer's integers, computed by libtorch
  small.json                the report
  small/                    embed.txt, the maps of the test images, curves.png, and film.gif,
                            which shows the map of the held-out images while it forms, as
                            film.safetensors does on the page of `explore`

Ctrl-C saves the run; the same command goes on from there. A finished model is replaced only with
--fresh. The recipe's knobs can be changed one by one with the options under Recipe.

Examples:
  siamese-train train --preset small --out mine
  siamese-train train --preset small --dim 16 --seed 7 --out mine
  siamese-train train --recipe original --epochs 20 --out mine
  siamese-train train --recipe few-shot --without 7,8,9 --out mine
  siamese-train train --images parts.idx.gz --labels parts-labels.idx.gz --out parts")]
pub struct Args {
    /// How to train
    #[arg(long, value_enum, default_value_t = RecipeName::Default)]
    recipe: RecipeName,
    /// Classes to leave out, such as 7,8,9: their images are never seen
    #[arg(long, value_name = "CLASSES", value_delimiter = ',')]
    without: Vec<String>,
    /// The folder to write to
    #[arg(long, value_name = "DIR", default_value = "model")]
    out: PathBuf,
    /// The model's name, and its files' [default: the preset's, or original]
    #[arg(long)]
    name: Option<String>,
    /// Start from the beginning and replace what is there: an interrupted run, a finished model
    #[arg(long)]
    fresh: bool,
    /// Where to compute
    #[arg(long, value_enum, default_value_t = DeviceArg::Cpu)]
    device: DeviceArg,
    /// Threads of one tensor operation [default: one a core; with a small network, one core is
    /// left to the threads that distort images]
    #[arg(long, value_name = "N")]
    threads: Option<u16>,
    /// Write what is seen at the end of every epoch there too, one JSON object a line
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    data: Data,
}

/// Where to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DeviceArg {
    /// The processor
    Cpu,
    /// An NVIDIA GPU, if libtorch was built for it
    Cuda,
}

pub fn run(args: &Args, output: Output) -> Result<()> {
    let device = device(args.device)?;
    ensure!(args.threads != Some(0), "--threads must be at least 1");
    let (train, test, names) = args.data.load(args.choice.seed(), output)?;
    let without = names.find_all(&args.without)?;
    let train = train.without(&without);
    let plan = args.choice.plan(args.recipe, &train, &without)?;
    let name = args.name.clone();
    let name = name.unwrap_or_else(|| model_name(args.recipe, &plan));
    ensure!(
        name.len() <= MAX_NAME,
        "the name {name} is longer than the {MAX_NAME} bytes that a model has for it; \
         give a shorter --name"
    );
    let job = Job {
        plan,
        train: &train,
        test: &test.without(&without),
        names: &names,
        files: Files::new(&args.out, &name),
        device,
        threads: args.threads,
        fresh: args.fresh,
        log: args.log.as_deref(),
    };
    let files = job.files.clone();
    let report = job.run(output)?;
    output.report(&summary(&report, &files)?, &report)
}

fn summary(report: &Report, files: &Files) -> Result<String> {
    let mut text = String::new();
    writeln!(
        text,
        "{}: {} steps in {:.0} s ({:.0} images/s)\n",
        report.name, report.steps, report.seconds, report.images_per_second
    )?;
    writeln!(text, "  on the test images    float     int8")?;
    let mut line =
        |name: &str, float: f64, int8: f64| writeln!(text, "  {name:<18}{float:>9.4}{int8:>9.4}");
    line("knn25", report.float.knn25, report.int8.knn25)?;
    line("centroid", report.float.centroid, report.int8.centroid)?;
    line("eer", report.float.eer, report.int8.eer)?;
    line(
        "silhouette",
        report.float.silhouette,
        report.int8.silhouette,
    )?;
    if let Some(record) = &report.calibration {
        let percent = |share: f64| 100.0 * share;
        let rates = record.rates.prototype;
        writeln!(
            text,
            "\n  calibrated for {} labels: of new classes {:.1} % are accepted ({:.1} % wanted; \
             measured\n  on classes that were left out), of what is enrolled {:.1} % are refused",
            record.labels,
            percent(rates.false_accept),
            percent(record.wanted),
            percent(rates.false_reject)
        )?;
    }
    writeln!(text)?;
    text.push_str(&losses_and_files(&report.precision, files)?);
    Ok(text)
}

/// What the integers lose, by layer, and where the model and the pictures are: the end
/// of what is said about a model that was made.
pub fn losses_and_files(precision: &[Precision], files: &Files) -> Result<String> {
    let mut text = String::from("  lost to rounding      weights  outputs\n");
    for (layer, precision) in precision.iter().enumerate() {
        writeln!(
            text,
            "  layer {}             {:>6.1} dB {:>5.1} dB",
            layer + 1,
            -precision.weights_db,
            -precision.outputs_db
        )?;
    }
    writeln!(text, "\n  model     {}", files.model().display())?;
    writeln!(text, "  pictures  {}", files.pictures().display())?;
    Ok(text)
}

pub fn device(device: DeviceArg) -> Result<Device> {
    match device {
        DeviceArg::Cpu => Ok(Device::Cpu),
        DeviceArg::Cuda => {
            ensure!(
                tch::Cuda::is_available(),
                "this libtorch sees no CUDA device; use --device cpu, or set LIBTORCH to a \
                 libtorch with CUDA and build again"
            );
            Ok(Device::Cuda(0))
        }
    }
}
