//! `calibrate`: the distances that a device decides by.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use siamese_core::model::Calibration;
use siamese_train::dataset::{Class, Split};
use siamese_train::embed::{IntEmbeddings, ModelFile, embed_images};
use siamese_train::files::write_atomic;
use siamese_train::gallery::calibrate::Wanted;
use siamese_train::gallery::folds::Reach;
use siamese_train::gallery::measured::{Measured, Strangers};
use siamese_train::recipe::Plan;
use siamese_train::record::Record;

use super::Output;
use super::labelled::OneSet;
use super::output::{digits, farther_out, shown};

/// Find the distances that a device decides by, and store them in the model
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A device takes an image for what is enrolled if its embedding is near enough to the prototype.
How near is near enough? Every class of the images takes its turn as the one that nobody has
enrolled: the threshold is the distance at which the wanted share of its images is taken for
another class. Half of the images set the thresholds, the other half measures the errors. Images
that training has not seen are used, the test part of the set unless files are given.

That holds for classes such as the images'. A network tells the classes that it was trained on apart
far better than any new one. For a promise about new classes, name classes that training never saw
with --new, or let --enrolled use what training has learnt from classes that it left out, as `train`
itself does; it gives the threshold for any rate and any number of labels.

The thresholds go to the model's header, from where the firmware's gallery takes them; the
embeddings stay the same, and so do galleries made before.

Examples:
  siamese-train calibrate --model model/small-d16.siam
  siamese-train calibrate --model model/small-fewshot.siam --far 0.05 --enrolled 20
  siamese-train calibrate --model model/small-fewshot-without-789.siam --new 7,8,9
  siamese-train calibrate --model m.siam --far 0.001 --images i.idx --labels l.idx --out m1.siam")]
pub struct Args {
    /// The quantised model
    #[arg(long, value_name = "FILE.siam")]
    model: PathBuf,
    /// Share of wrong acceptances to aim at
    #[arg(long, value_name = "RATE", default_value_t = 0.01)]
    far: f64,
    /// Examples that a prototype is made of
    #[arg(long, value_name = "N", default_value_t = 5)]
    shots: usize,
    /// How often examples are drawn
    #[arg(long, value_name = "N", default_value_t = 20)]
    draws: usize,
    /// What the draws follow from
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Classes to leave out, such as 7,8,9: those that the model was trained without
    #[arg(long, value_name = "CLASSES", value_delimiter = ',')]
    without: Vec<String>,
    /// Classes that training never saw, such as 7,8,9: they alone stand for what nobody enrolled,
    /// and the thresholds hold for new classes
    #[arg(long, value_name = "CLASSES", value_delimiter = ',')]
    new: Vec<String>,
    /// Labels that will be enrolled: uses what the classes that training left out have shown, which
    /// is in NAME.calibration.json beside the model, for this number and the rate of --far
    #[arg(long, value_name = "N", conflicts_with = "new", value_parser = clap::value_parser!(u16).range(1..))]
    enrolled: Option<u16>,
    /// Train shortly without some classes each time, as at the end of `train`, to learn how near
    /// new classes come; needs the plan beside the model and its training images
    #[cfg(feature = "torch")]
    #[arg(long, conflicts_with_all = ["new", "images"])]
    leave_out: bool,
    /// Where the calibrated model goes [default: in place of the old one]
    #[arg(long, value_name = "FILE.siam")]
    out: Option<PathBuf>,
    #[command(flatten)]
    set: OneSet,
}

impl Args {
    /// Whether the thresholds follow from classes that were left out of training.
    const fn by_folds(&self) -> bool {
        #[cfg(feature = "torch")]
        if self.leave_out {
            return true;
        }
        self.enrolled.is_some()
    }
}

pub fn run(args: &Args, output: Output) -> Result<()> {
    ensure!(
        args.far > 0.0 && args.far < 1.0,
        "--far is a share between 0 and 1, such as 0.01, not {}",
        args.far
    );
    let file = ModelFile::read(&args.model)?;
    let input = file.model().header().input;
    let images = args.set.load(Split::Test, Some(input), output)?;
    let mut without = images.names.find_all(&args.without)?;
    if args.by_folds() {
        // What the model never saw says nothing of its classes' extent.
        let plan = plan_beside(&file);
        without.extend(plan.into_iter().flat_map(|plan| plan.without));
    }
    let images = images.without(&without);
    output.note(&format!("embedding {} images", images.len()));
    let embeddings = embed_images(&file.model(), &images.images)?;
    let wanted = Wanted {
        false_accept_rate: args.far,
        shots: args.shots,
        draws: args.draws,
        seed: args.seed,
        unseen: images.names.find_all(&args.new)?,
    };
    let fingerprint = file.model().fingerprint();
    let classes = images.classes().len();
    let enrolled = args.enrolled.map(usize::from);
    let enrolled = enrolled.or(args.by_folds().then_some(classes));
    let labelled = (&embeddings, &images.labels[..]);
    let (calibration, measured) = match enrolled {
        None => Measured::by_images(fingerprint, labelled, &wanted)?,
        Some(enrolled) => {
            let reach = reach(args, &file, labelled, output)?;
            Measured::by_folds(fingerprint, reach, enrolled, labelled, &wanted)?
        }
    };
    let calibrated = file
        .stored()
        .calibrated(Some(calibration))
        .context("cannot store the calibration")?;
    let out = args.out.as_ref().unwrap_or(&args.model);
    write_atomic(out, |file| Ok(file.write_all(calibrated.bytes())?))?;
    measured.write(out)?;
    told(
        args,
        &Stored {
            calibration,
            measured,
            images: images.len(),
            unit: embeddings.scale,
        },
        output,
    )
}

/// What was stored.
struct Stored {
    calibration: Calibration,
    measured: Measured,
    images: usize,
    /// Real units in a step.
    unit: f32,
}

/// Says what was stored.
fn told(args: &Args, stored: &Stored, output: Output) -> Result<()> {
    let Stored {
        calibration,
        measured,
        images,
        unit,
    } = stored;
    let rates = measured.rates;
    let out = args.out.as_ref().unwrap_or(&args.model);
    let real = |squared: u64| (squared as f64).sqrt() * f64::from(*unit);
    let percent = |share: f64| 100.0 * share;
    let human = format!(
        "an image is taken for what is enrolled up to a distance of {:.3} from the prototype{}\n\
         \x20 accepted though nobody has enrolled it   {:>6.2} %\n\
         \x20 refused though it is enrolled            {:>6.2} %\n\
         two images count as the same up to a distance of {:.3}\n\
         \x20 accepted though different                {:>6.2} %\n\
         \x20 refused though the same                  {:>6.2} %\n\
         typical distance from a class's mean: {:.3}\n\
         {} labels of {} examples enrolled; {}\n\
         stored in {}",
        real(calibration.prototype_threshold),
        farther_out(calibration.allowance),
        percent(rates.prototype.false_accept),
        percent(rates.prototype.false_reject),
        real(calibration.pair_threshold),
        percent(rates.pair.false_accept),
        percent(rates.pair.false_reject),
        real(calibration.spread),
        measured.labels,
        measured.shots,
        match measured.strangers {
            Strangers::LeftOut => "wrong acceptances measured on classes that training left out",
            Strangers::New =>
                "rates measured on images, of classes never trained, that set no \
                threshold",
            Strangers::EachInTurn =>
                "rates measured on images that set no threshold, and good for \
                classes such as these: of others, more are accepted if training saw these",
        },
        out.display(),
    );
    let json = json!({
        "wanted_false_accept_rate": args.far,
        "prototype_threshold": calibration.prototype_threshold,
        "prototype_distance": real(calibration.prototype_threshold),
        "pair_threshold": calibration.pair_threshold,
        "pair_distance": real(calibration.pair_threshold),
        "spread": calibration.spread,
        "allowance": calibration.allowance,
        "expected": rates,
        "strangers": measured.strangers,
        "labels": measured.labels,
        "shots": measured.shots,
        "images": images,
        "unit": digits(*unit),
        "out": shown(out),
    });
    output.report(&human, &json)
}

/// What a model was trained by, if that lies beside it.
fn plan_beside(file: &ModelFile) -> Option<Plan> {
    Record::beside(file.path(), &file.model())?.plan().cloned()
}

/// What left-out classes have shown: now, or when the model was trained.
fn reach(
    args: &Args,
    file: &ModelFile,
    labelled: (&IntEmbeddings, &[Class]),
    output: Output,
) -> Result<Reach> {
    #[cfg(feature = "torch")]
    if args.leave_out {
        return learn(args, file, labelled, output);
    }
    let _ = (output, labelled);
    let measured = Measured::beside(&args.model, file.model().fingerprint());
    measured.and_then(|measured| measured.reach).with_context(|| {
        format!(
            "{} with what left-out classes have shown is not there, or is of another model; add \
             --leave-out, train the model again, or leave --enrolled out",
            Measured::path(&args.model).display()
        )
    })
}

/// Trains without some classes each time.
#[cfg(feature = "torch")]
fn learn(
    args: &Args,
    file: &ModelFile,
    (embeddings, labels): (&IntEmbeddings, &[Class]),
    output: Output,
) -> Result<Reach> {
    use super::interrupt::{INTERRUPTED, stop_at_ctrl_c};
    use super::job::without_each;
    use siamese_train::gallery::allowance::allowances;
    use siamese_train::gallery::prototypes::classes;

    let plan = plan_beside(file).with_context(|| {
        format!(
            "neither the report nor the checkpoint of {} lies beside it, which say how to train",
            args.model.display()
        )
    })?;
    let input = file.model().header().input;
    let train = args.set.load(Split::Train, Some(input), output)?;
    let train = train.without(&plan.without);
    let here = Plan::new(
        plan.preset,
        plan.dim,
        plan.recipe.clone(),
        plan.seed,
        &train,
    )?;
    ensure!(
        here.data_digest == plan.data_digest,
        "{} was trained with other images; give them with --data and --dataset",
        args.model.display()
    );
    let stop = stop_at_ctrl_c()?;
    let partial = args.model.with_extension("calibration.partial.safetensors");
    let folds = without_each(&plan, &train, tch::Device::Cpu, &partial, &stop, output)?;
    let Some(folds) = folds else {
        output.note("stopped; the same command goes on from here");
        std::process::exit(INTERRUPTED);
    };
    let allowances = allowances(embeddings, &classes(labels));
    Reach::measure(&folds, allowances, args.shots, args.draws, args.seed)
}
