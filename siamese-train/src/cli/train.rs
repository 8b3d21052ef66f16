//! `train`: from labelled images to a model, golden vectors and pictures.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::exit;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use siamese_core::model::MAX_NAME;
use siamese_train::dataset::ClassNames;
use siamese_train::dataset::Dataset;
use siamese_train::files::{hex, write_atomic};
use siamese_train::leave_out::{self, train_without_each};
use siamese_train::pipeline::{Files, Report, finish};
use siamese_train::recipe::Plan;
use siamese_train::recipe::RecipeName;
use siamese_train::train::history::Epoch;
use siamese_train::train::{Event, Outcome, fit};
use tch::Device;

use super::Output;
use super::choice::{Choice, model_name};
use super::interrupt::{INTERRUPTED, stop_at_ctrl_c};
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
                            which shows the map of the held-out images while it forms

Ctrl-C saves the run; the same command goes on from there. The recipe's knobs can be changed one
by one with the options under Recipe.

Examples:
  siamese-train train --preset small
  siamese-train train --preset small --dim 16 --seed 7
  siamese-train train --recipe original --epochs 20
  siamese-train train --recipe few-shot --without 7,8,9
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
    /// Start from the beginning even if an interrupted run is there
    #[arg(long)]
    fresh: bool,
    /// Where to compute
    #[arg(long, value_enum, default_value_t = DeviceArg::Cpu)]
    device: DeviceArg,
    /// Threads of one tensor operation [default: one a core]
    #[arg(long, value_name = "N")]
    threads: Option<u16>,
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
    if let Some(threads) = args.threads {
        ensure!(threads > 0, "--threads must be at least 1");
        tch::set_num_threads(threads.into());
    }
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
        fresh: args.fresh,
    };
    let files = job.files.clone();
    let report = job.run(output)?;
    output.report(&summary(&report, &files)?, &report)
}

/// A training run from the beginning, or from where it was interrupted, to its
/// files.
pub struct Job<'a> {
    /// What to do.
    pub plan: Plan,
    /// The images to train with.
    pub train: &'a Dataset,
    /// The images to measure with.
    pub test: &'a Dataset,
    /// The classes' names.
    pub names: &'a ClassNames,
    /// Where everything goes.
    pub files: Files,
    /// Where to compute.
    pub device: Device,
    /// Whether an interrupted run is forgotten.
    pub fresh: bool,
}

impl Job<'_> {
    /// Trains, quantises, measures and writes. Ends the program, with the run
    /// saved, at Ctrl-C.
    pub fn run(self, output: Output) -> Result<Report> {
        let Self {
            plan,
            train,
            test,
            names,
            files,
            device,
            fresh,
        } = self;
        let partial = files.partial();
        if fresh && partial.exists() {
            std::fs::remove_file(&partial)
                .with_context(|| format!("can't remove {}", partial.display()))?;
        }
        if partial.exists() {
            output.note(&format!("going on from {}", partial.display()));
        }
        let stop = stop_at_ctrl_c()?;
        let held_out = (train.len() as f64 * plan.recipe.validation) as usize;
        let steps = plan.recipe.steps(train.len() - held_out);
        output.note(&format!(
            "training {}: {steps} steps of {} images",
            files.name(),
            plan.recipe.batch
        ));
        let bar = output.progress().count("training", "steps", steps as u64);
        let start = Instant::now();
        let outcome = fit(&plan, train, device, &partial, &stop, |event| match event {
            Event::Steps { done, all, loss } => {
                bar.set_length(all as u64);
                bar.set_position(done as u64);
                bar.set_message(format!("loss {loss:.4}"));
            }
            Event::Epoch(epoch) => bar.suspend(|| output.note(&line(epoch))),
        })?;
        bar.finish_and_clear();
        let trained = match outcome {
            Outcome::Finished(trained) => trained,
            Outcome::Interrupted { step } => {
                output.note(&format!(
                    "stopped at step {step} of {steps}; the same command goes on from {}",
                    partial.display()
                ));
                exit(INTERRUPTED);
            }
        };
        let seconds = start.elapsed().as_secs_f64();
        let count = leave_out::groups(&train.classes()).len();
        if count > 0 {
            output.note(&format!(
                "{count} shorter trainings leave classes out, to find thresholds that hold for \
                 new ones"
            ));
        }
        let bar = output.progress().count("thresholds", "steps", 0);
        let told = |number: usize, event: Event<'_>| {
            if let Event::Steps { done, all, .. } = event {
                bar.set_length((count * all) as u64);
                bar.set_position((number * all + done) as u64);
            }
        };
        let folds = train_without_each(&plan, train, device, &partial, &stop, told)?;
        bar.finish_and_clear();
        let Some(folds) = folds else {
            output.note(
                "stopped before the thresholds were found; the same command goes on from where the \
                 run was last saved",
            );
            exit(INTERRUPTED);
        };
        let embedded = (trained.steps - trained.first_step) * plan.recipe.batch;
        let finished = finish(
            &plan,
            &trained,
            [train, test],
            &folds,
            names,
            &files,
            |stage| {
                output.note(stage);
            },
        )?;
        if let Err(why) = &finished.calibration {
            output.note(&format!(
                "not calibrated, so that a device accepts nothing by itself: {why}"
            ));
        }
        let report = Report {
            name: files.name().to_owned(),
            training_digest: hex(&plan.digest()),
            classes: names.of(&train.classes()),
            left_out: names.of(&plan.without.iter().copied().collect::<Vec<_>>()),
            plan,
            version: env!("CARGO_PKG_VERSION"),
            libtorch: env!("SIAMESE_LIBTORCH"),
            threads: tch::get_num_threads(),
            steps: trained.steps,
            seconds,
            images_per_second: embedded as f64 / seconds,
            float: finished.float,
            int8: finished.int8,
            calibration: finished.calibration.ok(),
            precision: finished.precision,
            history: trained.history,
        };
        let path = files.report();
        write_atomic(&path, |out| Ok(serde_json::to_writer_pretty(out, &report)?))?;
        if partial.exists() {
            std::fs::remove_file(&partial)
                .with_context(|| format!("can't remove {}", partial.display()))?;
        }
        Ok(report)
    }
}

/// An epoch for people.
fn line(epoch: &Epoch) -> String {
    let right = epoch
        .knn25
        .map_or_else(String::new, |knn25| format!("knn25 {knn25:.4}   "));
    let [first, second] = epoch.active.map(|part| 100.0 * part);
    format!(
        "epoch {:>5.1}   loss {:.4}   {right}active units {first:.0} % {second:.0} %   {}{}",
        epoch.epoch,
        epoch.loss,
        if epoch.integers { "integers   " } else { "" },
        left(epoch.seconds_left)
    )
}

/// Seconds as the time that is left.
fn left(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    match seconds / 60 {
        0 => format!("{seconds} s left"),
        minutes => format!("{minutes} min {} s left", seconds % 60),
    }
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
        let rates = record.measured.prototype;
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
    writeln!(text, "\n  lost to rounding      weights  outputs")?;
    for (layer, precision) in report.precision.iter().enumerate() {
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
