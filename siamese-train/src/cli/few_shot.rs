//! `fewshot`: how well classes are known that training never saw.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use serde::Serialize;
use siamese_train::dataset::{Class, ClassNames, Dataset};
use siamese_train::embed::{IntEmbeddings, ModelFile, embed_images};
use siamese_train::evaluate::few_shot::{Embedded, FewShot, Protocol, Spread};
use siamese_train::gallery::allowance::extent;
use siamese_train::gallery::measured::Measured;
use siamese_train::gallery::prototypes::by_class;
#[cfg(feature = "torch")]
use siamese_train::recipe::RecipeName;
use siamese_train::record::Record;

use super::Output;
#[cfg(feature = "torch")]
use super::choice::Choice;
use super::labelled::Data;
use super::output::shown;
#[cfg(feature = "torch")]
use super::train::{DeviceArg, device};

/// The part of the training images that `--spare-test` measures with.
const VALIDATION: f64 = 1.0 / 6.0;

/// The rates of wrong acceptances whose thresholds are tried.
const PROMISED: [f64; 2] = [0.01, 0.05];

/// Measure how well classes are known that training never saw
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Trains a network without some classes, then enrols a few examples of each of them (shots) beside
the classes that were trained, and identifies the test images of all. Examples are drawn many
times; the table has the mean and the standard deviation of one draw. Everything is measured with
the integers of a device.

  all        identified rightly, of the test images of all classes
  new        of the classes that training never saw, among all classes
  trained    of the classes that training saw, among all classes
  open set   each new class in turn is not enrolled: how surely is it told from what is?
             The area under the ROC curve of the distance to the nearest prototype, beyond
             the model's allowance if it has one (see calibrate).

  wanted     what thresholds for a wanted share of wrong acceptances, learnt from classes that were
             left out of short trainings, accept of that class, and refuse of the others.

The trained model stays in OUT, and is used again when the same command is repeated. With --model,
nothing is trained: say which classes that model never saw. The report beside it tells whether that
is true.

To choose a recipe, use --spare-test: it measures with training images that were held out, and
leaves the test images for the end. With --ignore, classes take no part at all.

Examples:
  siamese-train fewshot
  siamese-train fewshot --held-out 0,1,2 --shots 5
  siamese-train fewshot --held-out 2,3,5 --ignore 7,8,9 --spare-test --dim 32
  siamese-train fewshot --model model/small-fewshot-without-789.siam")]
pub struct Args {
    /// The classes that training never sees
    #[arg(
        long,
        value_name = "CLASSES",
        value_delimiter = ',',
        default_value = "7,8,9"
    )]
    held_out: Vec<String>,
    /// Examples of each new class
    #[arg(
        long,
        value_name = "NUMBERS",
        value_delimiter = ',',
        default_value = "1,5,20"
    )]
    shots: Vec<usize>,
    /// How often examples are drawn
    #[arg(long, value_name = "N", default_value_t = 50)]
    draws: usize,
    /// Classes that take no part, neither in training nor in measuring
    #[arg(long, value_name = "CLASSES", value_delimiter = ',')]
    ignore: Vec<String>,
    /// Measure with a sixth of the training images, held out, instead of the test images
    #[arg(long)]
    spare_test: bool,
    /// A model that was trained already
    #[arg(long, value_name = "FILE.siam")]
    model: Option<PathBuf>,
    #[command(flatten)]
    training: Training,
    #[command(flatten)]
    data: Data,
}

/// How to train.
#[cfg(feature = "torch")]
#[derive(Debug, clap::Args)]
struct Training {
    /// How to train
    #[arg(long, value_enum, default_value_t = RecipeName::FewShot)]
    recipe: RecipeName,
    /// The folder for the trained model
    #[arg(long, value_name = "DIR", default_value = "model/few-shot")]
    out: PathBuf,
    /// Where to train
    #[arg(long, value_enum, default_value_t = DeviceArg::Cpu)]
    device: DeviceArg,
    #[command(flatten)]
    choice: Choice,
}

#[cfg(feature = "torch")]
impl Training {
    const fn seed(&self) -> u64 {
        self.choice.seed()
    }
}

/// This build can't train.
#[cfg(not(feature = "torch"))]
#[derive(Debug, clap::Args)]
struct Training {
    /// What everything random follows from
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[cfg(not(feature = "torch"))]
impl Training {
    const fn seed(&self) -> u64 {
        self.seed
    }
}

/// The report.
#[derive(Serialize)]
struct Report<'a> {
    model: String,
    held_out: &'a BTreeSet<Class>,
    /// The classes' names, by label.
    classes: ClassNames,
    /// Whether training saw each held-out class, where that is recorded.
    seen_in_training: BTreeMap<Class, Option<bool>>,
    dim: usize,
    draws: usize,
    images: usize,
    #[serde(flatten)]
    measured: &'a FewShot,
}

pub fn run(args: &Args, output: Output) -> Result<()> {
    ensure!(args.draws > 0, "--draws must be at least 1");
    ensure!(
        !args.shots.is_empty() && !args.shots.contains(&0),
        "--shots are numbers of at least 1, such as 1,5,20"
    );
    let seed = args.training.seed();
    let (train, test, names) = args.data.load(seed, output)?;
    let held_out = names.find_all(&args.held_out)?;
    let ignored = names.find_all(&args.ignore)?;
    let (train, test) = if args.spare_test {
        train.hold_out(VALIDATION, seed)
    } else {
        (train, test)
    };
    let (train, test) = (train.without(&ignored), test.without(&ignored));
    let path = match &args.model {
        Some(path) => path.clone(),
        None => trained(
            args,
            &train.without(&held_out),
            &test.without(&held_out),
            &names,
            output,
        )?,
    };
    let file = ModelFile::read(&path)?;
    let embed = |set: &Dataset, which: &str| {
        output.note(&format!("embedding {} {which} images", set.len()));
        embed_images(&file.model(), &set.images)
    };
    let embeddings = [embed(&train, "training")?, embed(&test, "test")?];
    output.note(&format!("enrolling and identifying, {} draws", args.draws));
    let protocol = Protocol {
        train: Embedded {
            embeddings: &embeddings[0],
            labels: &train.labels,
        },
        test: Embedded {
            embeddings: &embeddings[1],
            labels: &test.labels,
        },
        held_out: &held_out,
        allowance: file
            .model()
            .header()
            .calibration
            .map_or(0, |found| found.allowance),
        thresholds: &thresholds(&file, [&train, &test], &embeddings[1], &held_out),
    };
    let measured = protocol.measure(&args.shots, args.draws, seed)?;
    let record = Record::beside(&path, &file.model());
    let seen = |&class: &Class| {
        let record = record.as_ref();
        (
            class,
            record.and_then(|record| record.has_seen(class, &names.get(class))),
        )
    };
    let seen = held_out.iter().map(seen).collect();
    let report = Report {
        model: shown(&path),
        classes: names.of(&test.classes()),
        seen_in_training: seen,
        held_out: &held_out,
        dim: embeddings[0].dim,
        draws: args.draws,
        images: test.len(),
        measured: &measured,
    };
    output.report(&table(&report)?, &report)
}

/// The thresholds that promise [`PROMISED`], by what training has learnt from the
/// classes that it left out, with all classes but one enrolled. None without a
/// calibration beside the model that tells.
fn thresholds(
    file: &ModelFile,
    [train, test]: [&Dataset; 2],
    embeddings: &IntEmbeddings,
    held_out: &BTreeSet<Class>,
) -> Vec<(f64, u64)> {
    let measured = Measured::beside(file.path(), file.model().fingerprint());
    let Some(reach) = measured.and_then(|measured| measured.reach) else {
        return Vec::new();
    };
    let enrolled = (&train.classes().into_iter().collect() | held_out).len() - 1;
    // As when it was calibrated, the extent is that of trained classes.
    let trained: Vec<Vec<usize>> = by_class(&test.labels)
        .into_iter()
        .enumerate()
        .filter(|(class, members)| !members.is_empty() && !held_out.contains(&(*class as Class)))
        .map(|(_, members)| members)
        .collect();
    let extent = extent(embeddings, &trained);
    let threshold = |rate| (rate, reach.thresholds(rate, enrolled, extent)[0]);
    PROMISED.map(threshold).to_vec()
}

/// The model that was trained without the held-out classes, now or before.
#[cfg(feature = "torch")]
fn trained(
    args: &Args,
    train: &Dataset,
    test: &Dataset,
    names: &ClassNames,
    output: Output,
) -> Result<PathBuf> {
    let without = &names.find_all(&args.held_out)? | &names.find_all(&args.ignore)?;
    let Training {
        recipe,
        out,
        choice,
        device: place,
    } = &args.training;
    let place = device(*place)?;
    let plan = choice.plan(*recipe, train, &without)?;
    let files =
        siamese_train::pipeline::Files::new(out, &super::choice::model_name(*recipe, &plan));
    let path = files.model();
    if path.exists() && ModelFile::read(&path)?.model().header().training_digest == plan.digest() {
        output.note(&format!(
            "{} was trained by the same plan before",
            path.display()
        ));
        return Ok(path);
    }
    let job = super::job::Job {
        plan,
        train,
        test,
        names,
        files,
        device: place,
        threads: None,
        fresh: false,
        log: None,
    };
    job.run(output)?;
    Ok(path)
}

#[cfg(not(feature = "torch"))]
fn trained(_: &Args, _: &Dataset, _: &Dataset, _: &ClassNames, _: Output) -> Result<PathBuf> {
    anyhow::bail!("this build cannot train, which needs libtorch; give a trained --model")
}

/// The report for people.
fn table(report: &Report<'_>) -> Result<String> {
    let mut text = String::new();
    writeln!(
        text,
        "{} coordinates, {} test images, {} draws",
        report.dim, report.images, report.draws,
    )?;
    for (seen, what) in [
        (Some(false), "never seen in training"),
        (
            Some(true),
            "SEEN IN TRAINING, so that nothing here is about new classes",
        ),
        (
            None,
            "new as you say; what training saw is not recorded beside the model",
        ),
    ] {
        let classes = report.seen_in_training.iter();
        let classes: Vec<String> = classes
            .filter(|(_, found)| **found == seen)
            .map(|(&class, _)| report.classes.get(class))
            .collect();
        if !classes.is_empty() {
            writeln!(text, "  {}: {what}", classes.join(", "))?;
        }
    }
    writeln!(text)?;
    writeln!(
        text,
        "  shots          all %          new %      trained %       open set"
    )?;
    let percent = |spread: Spread| {
        let [mean, deviation] = [spread.mean, spread.deviation].map(|share| 100.0 * share);
        format!("{mean:>6.2} ± {deviation:>4.2}")
    };
    for shots in &report.measured.shots {
        let area = |auc: Spread| format!("{:.4} ± {:.4}", auc.mean, auc.deviation);
        writeln!(
            text,
            "  {:>5}  {:>13}  {:>13}  {:>13}  {:>15}",
            shots.shots,
            percent(shots.all),
            percent(shots.new),
            percent(shots.trained),
            shots.open_set_auc.map_or_else(String::new, area),
        )?;
    }
    let promises = report.measured.shots.iter();
    let promises = promises.flat_map(|shots| {
        let promises = shots.promises.iter();
        promises.map(move |promise| (shots.shots, promise))
    });
    for (number, (shots, promise)) in promises.enumerate() {
        if number == 0 {
            writeln!(
                text,
                "\n  shots  wanted wrong acceptances   measured %    known refused %"
            )?;
        }
        writeln!(
            text,
            "  {shots:>5}  {:>24.0} %  {:>11}  {:>15}",
            100.0 * promise.wanted,
            percent(promise.accepted),
            percent(promise.refused),
        )?;
    }
    if let Some(auc) = report.measured.before {
        writeln!(
            text,
            "\n  before anything is enrolled, the trained are told from the new with an area of {auc:.4}"
        )?;
    }
    writeln!(text, "\n  model     {}", report.model)?;
    Ok(text)
}
