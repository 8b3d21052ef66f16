//! `calibrate`: the distances that a device decides by.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use siamese_train::dataset::Split;
use siamese_train::embed::{ModelFile, embed_images};
use siamese_train::files::write_atomic;
use siamese_train::gallery::calibrate::{Wanted, calibrate};

use super::Output;
use super::labelled::OneSet;
use super::output::{digits, shown};

/// Find the distances that a device decides by, and store them in the model
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A device takes an image for what is enrolled if its embedding is near enough to the prototype.
How near is near enough? Every class of the images takes its turn as the one that nobody has
enrolled: the threshold is the distance at which the wanted share of its images is taken for
another class. Half of the images set the thresholds, the other half measures the errors. Images
that training has not seen give honest thresholds, which is why the test part of the set is used
unless files are given.

The thresholds go to the model's header, from where the firmware's gallery takes them; the
embeddings stay the same, and so do galleries made before.

Examples:
  siamese-train calibrate --model model/small-d16.siam
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
    /// Where the calibrated model goes [default: in place of the old one]
    #[arg(long, value_name = "FILE.siam")]
    out: Option<PathBuf>,
    #[command(flatten)]
    set: OneSet,
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
    let without = images.names.find_all(&args.without)?;
    let images = images.without(&without);
    output.note(&format!("embedding {} images", images.len()));
    let embeddings = embed_images(&file.model(), &images.images)?;
    let wanted = Wanted {
        false_accept_rate: args.far,
        shots: args.shots,
        draws: args.draws,
        seed: args.seed,
    };
    let (calibration, rates) = calibrate(&embeddings, &images.labels, &wanted)?;
    let calibrated = file
        .stored()
        .calibrated(Some(calibration))
        .context("cannot store the calibration")?;
    let out = args.out.as_ref().unwrap_or(&args.model);
    write_atomic(out, |file| Ok(file.write_all(calibrated.bytes())?))?;

    let unit = f64::from(embeddings.scale);
    let real = |squared: u64| (squared as f64).sqrt() * unit;
    let percent = |share: f64| 100.0 * share;
    let human = format!(
        "an image is taken for what is enrolled up to a distance of {:.3} from the prototype\n\
         \x20 accepted though nobody has enrolled it   {:>6.2} %\n\
         \x20 refused though it is enrolled            {:>6.2} %\n\
         two images count as the same up to a distance of {:.3}\n\
         \x20 accepted though different                {:>6.2} %\n\
         \x20 refused though the same                  {:>6.2} %\n\
         typical distance from a class's mean: {:.3}\n\
         prototypes of {} examples; rates measured on the half of {} images that set no threshold\n\
         stored in {}",
        real(calibration.prototype_threshold),
        percent(rates.prototype.false_accept),
        percent(rates.prototype.false_reject),
        real(calibration.pair_threshold),
        percent(rates.pair.false_accept),
        percent(rates.pair.false_reject),
        real(calibration.spread),
        args.shots,
        images.len(),
        out.display(),
    );
    let json = json!({
        "wanted_false_accept_rate": args.far,
        "prototype_threshold": calibration.prototype_threshold,
        "prototype_distance": real(calibration.prototype_threshold),
        "pair_threshold": calibration.pair_threshold,
        "pair_distance": real(calibration.pair_threshold),
        "spread": calibration.spread,
        "expected": rates,
        "shots": args.shots,
        "images": images.len(),
        "unit": digits(embeddings.scale),
        "out": shown(out),
    });
    output.report(&human, &json)
}
