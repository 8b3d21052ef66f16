//! `train`: from labelled images to a model, golden vectors and pictures.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::exit;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::{ValueEnum, value_parser};
use siamese_core::image::Pooling;
use siamese_core::model::MAX_DIM;
use siamese_train::augment::Augmentation;
use siamese_train::checkpoint::Plan;
use siamese_train::dataset::{Dataset, Source, Split};
use siamese_train::files::{hex, write_atomic};
use siamese_train::finish::{Files, Report, finish};
use siamese_train::fit::{Event, Outcome, fit};
use siamese_train::history::Epoch;
use siamese_train::plot::ClassNames;
use siamese_train::preset::Preset;
use siamese_train::recipe::{
    Loss, Optimiser, Pairing, Recipe, RecipeName, Sampling, Schedule, Weighting,
};
use tch::Device;

use super::interrupt::{INTERRUPTED, stop_at_ctrl_c};
use super::{Output, SourceArg};

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
  siamese-train train --images parts.idx.gz --labels parts-labels.idx.gz --out parts")]
pub struct Args {
    /// The sizes of the hidden layers [default: small, or the recipe's own]
    #[arg(long, value_enum)]
    preset: Option<Preset>,
    /// Coordinates of an embedding, 1 to 64: 2 to look at, 16 to identify
    #[arg(long, default_value_t = 2, value_parser = value_parser!(u8).range(1..=MAX_DIM as i64))]
    dim: u8,
    /// Units of the two hidden layers, such as 96,48 [default: the preset's]
    #[arg(long, value_name = "N,N", value_parser = two_sizes)]
    hidden: Option<[usize; 2]>,
    /// What the first layer takes of an image [default: the preset's]
    #[arg(long, value_enum)]
    pooling: Option<PoolingArg>,
    /// How to train
    #[arg(long, value_enum, default_value_t = RecipeName::Default)]
    recipe: RecipeName,
    /// What everything random follows from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Passes over the training images [default: the recipe's]
    #[arg(long, value_name = "N")]
    epochs: Option<f64>,
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
    data: Data,
    #[command(flatten)]
    knobs: Knobs,
}

/// Which images.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Images")]
struct Data {
    /// The folder of all data sets, or one with the files of this set
    #[arg(long, value_name = "DIR", default_value = "data")]
    data: PathBuf,
    /// The set
    #[arg(long, value_enum, default_value_t = SourceArg(Source::Mnist))]
    dataset: SourceArg,
    /// Training images of your own: IDX, raw or .gz
    #[arg(
        long,
        value_name = "IDX",
        requires = "labels",
        conflicts_with = "dataset"
    )]
    images: Option<PathBuf>,
    /// Their labels
    #[arg(long, value_name = "IDX", requires = "images")]
    labels: Option<PathBuf>,
    /// Test images of your own; without them, a tenth of the training images is held out
    #[arg(long, value_name = "IDX", requires_all = ["test_labels", "images"])]
    test_images: Option<PathBuf>,
    /// Their labels
    #[arg(long, value_name = "IDX", requires = "test_images")]
    test_labels: Option<PathBuf>,
}

/// Reads `96,48`.
fn two_sizes(text: &str) -> Result<[usize; 2]> {
    let sizes: Vec<usize> = text
        .split(',')
        .map(|size| size.trim().parse())
        .collect::<Result<_, _>>()?;
    let two = sizes.try_into().ok();
    two.context("give the units of both hidden layers, such as 96,48")
}

/// Changes to the recipe.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Recipe")]
struct Knobs {
    /// Loss: contrastive, student-t, gaussian, triplet; `student-t+0.2*contrastive` adds two
    #[arg(long, value_name = "TERMS")]
    loss: Option<Loss>,
    /// Distance that the contrastive and triplet losses want
    #[arg(long, value_name = "UNITS")]
    margin: Option<f64>,
    /// Exponent of the student-t similarity: higher gathers classes more tightly
    #[arg(long, value_name = "EXPONENT")]
    tail: Option<f64>,
    /// Which images make a batch
    #[arg(long, value_enum)]
    sampling: Option<Sampling>,
    /// Which pairs of a batch count
    #[arg(long, value_enum)]
    pairing: Option<Pairing>,
    /// What same and different pairs weigh in the contrastive loss
    #[arg(long, value_enum)]
    weighting: Option<Weighting>,
    /// Images in a batch
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
    /// The optimiser
    #[arg(long, value_enum, alias = "optimizer")]
    optimiser: Option<Optimiser>,
    /// Its (highest) learning rate
    #[arg(long, value_name = "RATE")]
    learning_rate: Option<f64>,
    /// The learning rate's course
    #[arg(long, value_enum)]
    schedule: Option<Schedule>,
    /// Shrinks weights at each step (Adam)
    #[arg(long, value_name = "SHARE")]
    weight_decay: Option<f64>,
    /// Normalise hidden layers while training
    #[arg(long, value_name = "BOOL")]
    batch_norm: Option<bool>,
    /// How strongly training images are distorted
    #[arg(long, value_enum)]
    augment: Option<Augment>,
    /// Decay of the weights' moving average, 0 for none
    #[arg(long, value_name = "DECAY")]
    averaging: Option<f64>,
    /// Largest norm of the gradient, 0 for any
    #[arg(long, value_name = "NORM")]
    clip: Option<f64>,
    /// Part of the steps, at the end, that train with rounded weights and activations
    #[arg(long, value_name = "PART")]
    tuning: Option<f64>,
    /// Part of the training images held out to watch by
    #[arg(long, value_name = "PART")]
    validation: Option<f64>,
    /// Stop after so many epochs without a better knn25 of the held-out images, 0 for never
    #[arg(long, value_name = "EPOCHS")]
    patience: Option<usize>,
    /// What active hidden units cost in the loss: more zeros, a faster device
    #[arg(long, value_name = "WEIGHT")]
    sparsity: Option<f64>,
}

impl Knobs {
    fn apply(&self, recipe: &mut Recipe) {
        fn set<T: Clone>(knob: &mut T, value: &Option<T>) {
            if let Some(value) = value {
                *knob = value.clone();
            }
        }
        set(&mut recipe.loss, &self.loss);
        set(&mut recipe.margin, &self.margin);
        set(&mut recipe.tail, &self.tail);
        set(&mut recipe.sampling, &self.sampling);
        set(&mut recipe.pairing, &self.pairing);
        set(&mut recipe.weighting, &self.weighting);
        set(&mut recipe.batch, &self.batch);
        set(&mut recipe.optimiser, &self.optimiser);
        set(&mut recipe.learning_rate, &self.learning_rate);
        set(&mut recipe.schedule, &self.schedule);
        set(&mut recipe.weight_decay, &self.weight_decay);
        set(&mut recipe.batch_norm, &self.batch_norm);
        set(&mut recipe.averaging, &self.averaging);
        set(&mut recipe.clip, &self.clip);
        set(&mut recipe.tuning, &self.tuning);
        set(&mut recipe.validation, &self.validation);
        set(&mut recipe.patience, &self.patience);
        set(&mut recipe.sparsity, &self.sparsity);
        if let Some(augment) = self.augment {
            recipe.augmentation = augment.strength();
        }
    }
}

/// Named strengths of augmentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Augment {
    /// Every image as it is
    None,
    /// Shifted, turned, bent a little
    Light,
    /// More of it, and other pens, blur and noise: for images from a real device
    Robust,
}

impl Augment {
    const fn strength(self) -> Augmentation {
        match self {
            Self::None => Augmentation::NONE,
            Self::Light => Augmentation::LIGHT,
            Self::Robust => Augmentation::ROBUST,
        }
    }
}

/// [`Pooling`] as an option's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PoolingArg {
    /// Every pixel
    None,
    /// The sums of 2x2 pixels: a quarter of the weights and of the time
    #[value(name = "2x2")]
    Sum2x2,
    /// Every other pixel, as on a chessboard: half of the weights and of the time
    Checkerboard,
}

impl From<PoolingArg> for Pooling {
    fn from(pooling: PoolingArg) -> Self {
        match pooling {
            PoolingArg::None => Self::None,
            PoolingArg::Sum2x2 => Self::Sum2x2,
            PoolingArg::Checkerboard => Self::Checkerboard,
        }
    }
}

/// Where to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DeviceArg {
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
    let (train, test, names) = args.data.load(args.seed)?;
    let plan = plan(args, &train)?;
    let name = args.name.clone().unwrap_or_else(|| match args.recipe {
        RecipeName::Default => plan.preset.model_name(plan.dim),
        RecipeName::Original => "original".into(),
    });
    let files = Files::new(&args.out, &name);
    let partial = files.partial();
    if args.fresh && partial.exists() {
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
        "training {name}: {steps} steps of {} images",
        plan.recipe.batch
    ));
    let bar = output.progress().count("training", "steps", steps as u64);
    let start = Instant::now();
    let outcome = fit(
        &plan,
        &train,
        device,
        &partial,
        &stop,
        |event| match event {
            Event::Steps { done, all, loss } => {
                bar.set_length(all as u64);
                bar.set_position(done as u64);
                bar.set_message(format!("loss {loss:.4}"));
            }
            Event::Epoch(epoch) => bar.suspend(|| output.note(&line(epoch))),
        },
    )?;
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
    let embedded = (trained.steps - trained.first_step) * plan.recipe.batch;
    let finished = finish(&plan, &trained, &train, &test, &names, &files, |stage| {
        output.note(stage);
    })?;
    let report = Report {
        name,
        training_digest: hex(&plan.digest()),
        plan,
        version: env!("CARGO_PKG_VERSION"),
        libtorch: env!("SIAMESE_LIBTORCH"),
        threads: tch::get_num_threads(),
        steps: trained.steps,
        seconds,
        images_per_second: embedded as f64 / seconds,
        float: finished.float,
        int8: finished.int8,
        precision: finished.precision,
        history: trained.history,
    };
    let path = files.report();
    write_atomic(&path, |out| Ok(serde_json::to_writer_pretty(out, &report)?))?;
    if partial.exists() {
        std::fs::remove_file(&partial)
            .with_context(|| format!("can't remove {}", partial.display()))?;
    }
    output.report(&summary(&report, &files)?, &report)
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

fn device(device: DeviceArg) -> Result<Device> {
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

fn plan(args: &Args, train: &Dataset) -> Result<Plan> {
    let preset = args.preset.unwrap_or(match args.recipe {
        RecipeName::Default => Preset::Small,
        RecipeName::Original => Preset::Reference,
    });
    let mut recipe = args.recipe.recipe_for(preset, args.dim.into());
    args.knobs.apply(&mut recipe);
    if let Some(epochs) = args.epochs {
        recipe.epochs = epochs;
    }
    recipe.check()?;
    let mut plan = Plan::new(preset, args.dim.into(), recipe, args.seed, train)?;
    plan.hidden = args.hidden;
    if let Some(pooling) = args.pooling {
        plan.input.pooling = pooling.into();
    }
    plan.check()?;
    Ok(plan)
}

impl Data {
    /// The training images, the test images, and the classes' names.
    fn load(&self, seed: u64) -> Result<(Dataset, Dataset, ClassNames)> {
        let (Some(images), Some(labels)) = (&self.images, &self.labels) else {
            let source = self.dataset.0;
            let train = Dataset::load(&self.data, source, Split::Train)?;
            let test = Dataset::load(&self.data, source, Split::Test)?;
            return Ok((train, test, ClassNames::from(source)));
        };
        let all = Dataset::read(images, labels)?;
        let (train, test) = match (&self.test_images, &self.test_labels) {
            (Some(images), Some(labels)) => (all, Dataset::read(images, labels)?),
            _ => tenth_for_testing(&all, seed)?,
        };
        let size = |set: &Dataset| (set.images.width(), set.images.height());
        ensure!(
            size(&train) == size(&test),
            "the training images are {:?} pixels large and the test images {:?}; give both in one size",
            size(&train),
            size(&test)
        );
        Ok((train, test, ClassNames::numbers()))
    }
}

/// A tenth of the images to test with, drawn by `seed`, and the rest to train.
fn tenth_for_testing(all: &Dataset, seed: u64) -> Result<(Dataset, Dataset)> {
    ensure!(
        all.len() >= 20,
        "{} images are too few to hold some out; give --test-images and --test-labels",
        all.len()
    );
    Ok(all.hold_out(0.1, seed))
}
