//! `inspect`: what a model needs and what it says of itself.

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::Result;
use serde_json::json;
use siamese_core::image::Pooling;
use siamese_core::model::{ALIGNMENT, Calibration};
use siamese_train::embed::ModelFile;
use siamese_train::gallery::measured::{Measured, Strangers};

use super::Output;
use super::output::{digits, farther_out};

/// Show what a model needs: flash, RAM, multiplications, and what it says of itself
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Flash is the model file itself, RAM the two activation buffers of the embedder; stack and the
embedder's own fields come on top. Multiplications count zeros too, which kernels may skip.

Example:
  siamese-train inspect --model model/small.siam --json")]
pub struct Args {
    /// The quantised model
    #[arg(long, value_name = "FILE.siam")]
    model: PathBuf,
}

pub fn run(args: &Args, output: Output) -> Result<()> {
    let file = ModelFile::read(&args.model)?;
    let model = file.stored().model();
    let header = model.header();
    let input = header.input;
    let flash = file.bytes().len();
    let (shared, hidden1) = model.buffer_sizes();
    let digest: String = header
        .training_digest
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let pooling = match input.pooling {
        Pooling::None => "none",
        Pooling::Sum2x2 => "2x2",
        Pooling::Checkerboard => "checkerboard",
        Pooling::Inner2x2 => "inner-2x2",
        Pooling::InnerCheckerboard => "inner-checkerboard",
    };
    let sizes = [input.activations()]
        .into_iter()
        .chain(header.sizes.map(usize::from));
    let sizes: Vec<usize> = sizes.collect();
    let shown_sizes = sizes
        .iter()
        .map(usize::to_string)
        .collect::<Vec<_>>()
        .join("-");

    let mut human = String::new();
    writeln!(
        human,
        "model       {} ({shown_sizes}), {}",
        header.name,
        args.model.display()
    )?;
    write!(
        human,
        "image       {}x{} grey pixels",
        input.width, input.height
    )?;
    let upright = if input.deskew { ", set upright" } else { "" };
    writeln!(
        human,
        "{upright}{}",
        match input.pooling {
            Pooling::None => "",
            Pooling::Sum2x2 => ", sums of 2x2",
            Pooling::Checkerboard => ", every other one as on a checkerboard",
            Pooling::Inner2x2 => ", sums of 2x2 without the outermost two on each side",
            Pooling::InnerCheckerboard => {
                ", every other one as on a checkerboard without the outermost two on each side"
            }
        }
    )?;
    writeln!(
        human,
        "flash       {flash} bytes, weights in {}",
        model.layout().name()
    )?;
    let mut layers = Vec::new();
    let mut in_layers = 0;
    let layers_of_file = model.layers().iter().zip(header.precision.shifts);
    for ((layer, shift), number) in layers_of_file.zip(1..) {
        let (inputs, outputs) = (layer.inputs(), layer.outputs());
        let weights = layer.weights().len();
        // Rows that are all shifted alike have no multipliers and shifts of their own.
        let [multipliers, shifts] = match shift {
            0 => [4 * outputs, outputs],
            _ => [0; 2],
        };
        let bytes = [weights, size_of_val(layer.biases()), multipliers, shifts];
        let padded: usize = bytes
            .iter()
            .map(|bytes| bytes.next_multiple_of(ALIGNMENT))
            .sum();
        in_layers += padded;
        writeln!(
            human,
            "  layer {}   {padded:>9}  {inputs} -> {outputs}: weights {weights} ({} bits each), \
             biases {}, rounding {}, padding {}",
            number,
            layer.weight_bits(),
            bytes[1],
            bytes[2] + bytes[3],
            padded - bytes.iter().sum::<usize>()
        )?;
        layers.push(json!({
            "inputs": inputs,
            "outputs": outputs,
            "bytes": padded,
            "weight_bits": layer.weight_bits(),
            "weight_bytes": weights,
            "bias_bytes": bytes[1],
            "rounding_bytes": bytes[2] + bytes[3],
        }));
    }
    let envelope = flash - in_layers;
    writeln!(
        human,
        "  header    {envelope:>9}  with prefix, padding and checksum"
    )?;
    writeln!(
        human,
        "RAM         {} bytes of activations ({shared} + {hidden1})",
        shared + hidden1
    )?;
    writeln!(
        human,
        "work        {} multiplications an image",
        header.macs()
    )?;
    let scales = &header.scales;
    writeln!(
        human,
        "scales      hidden {} and {}, embedding {} real units a step",
        scales.hidden[0], scales.hidden[1], scales.embedding
    )?;
    match header.quality {
        Some(quality) => writeln!(
            human,
            "quality     knn25 {:.4} float, {:.4} int8; EER {:.4} int8",
            quality.float_knn25, quality.int8_knn25, quality.int8_eer
        )?,
        None => writeln!(human, "quality     not measured at export")?,
    }
    let record = Measured::beside(&args.model, model.fingerprint());
    let record = record.filter(|record| header.calibration.is_some_and(|c| record.explains(&c)));
    human.push_str(&calibrated(
        header.calibration,
        record.as_ref(),
        scales.embedding.into(),
    ));
    writeln!(human, "training    {digest}")?;

    let json = json!({
        "name": header.name,
        "width": input.width,
        "height": input.height,
        "pooling": pooling,
        "sizes": sizes,
        "dim": model.dim(),
        "layout": model.layout().name(),
        "flash_bytes": flash,
        "header_bytes": envelope,
        "layers": layers,
        "ram_bytes": shared + hidden1,
        "ram_buffers": [shared, hidden1],
        "macs": header.macs(),
        "scales": { "hidden": scales.hidden.map(digits), "embedding": digits(scales.embedding) },
        "training_digest": digest,
        "quality": header.quality.map(|quality| json!({
            "float_knn25": digits(quality.float_knn25),
            "int8_knn25": digits(quality.int8_knn25),
            "int8_eer": digits(quality.int8_eer),
        })),
        "calibration": header.calibration.map(|calibration| json!({
            "false_accept_rate": digits(calibration.false_accept_rate),
            "false_reject_rate": digits(calibration.false_reject_rate),
            "prototype_threshold": calibration.prototype_threshold,
            "pair_threshold": calibration.pair_threshold,
            "spread": calibration.spread,
            "allowance": calibration.allowance,
        })),
        "measured": record,
    });
    output.report(&human, &json)
}

/// What the thresholds are, what was wanted of them, and what was measured. `unit`
/// is what a step of a coordinate means.
fn calibrated(calibration: Option<Calibration>, record: Option<&Measured>, unit: f64) -> String {
    let Some(calibration) = calibration else {
        return "calibrated  not yet, so that a device accepts nothing by itself; see \
                siamese-train calibrate\n"
            .to_owned();
    };
    let real = |squared: u64| (squared as f64).sqrt() * unit;
    let percent = |share: f64| format!("{:.2} %", 100.0 * share);
    let wanted = f64::from(calibration.false_accept_rate);
    let accepted = match record {
        Some(record) => {
            let of = match record.strangers {
                Strangers::LeftOut => "of classes that were left out of training",
                Strangers::New => "of classes that training never saw",
                Strangers::EachInTurn => {
                    "of the calibration's own classes; new classes will be accepted more often, if \
                     training saw these"
                }
            };
            format!(
                "{} measured, {of}; with {} labels of {} examples enrolled (more labels, more \
                 wrong acceptances)",
                percent(record.rates.prototype.false_accept),
                record.labels,
                record.shots
            )
        }
        None => "not measured on new classes, of which far more may be accepted".to_owned(),
    };
    format!(
        "calibrated  known up to a distance of {:.3} from a prototype, {:.3} between two images{}\n\
         \x20 accepted  {} of what nobody enrolled was wanted; {accepted}\n\
         \x20 refused   {} of what is enrolled\n",
        real(calibration.prototype_threshold),
        real(calibration.pair_threshold),
        farther_out(calibration.allowance),
        percent(wanted),
        percent(calibration.false_reject_rate.into()),
    )
}

#[cfg(test)]
mod tests {
    use siamese_train::gallery::calibrate::{Errors, Rates};

    use super::*;

    const CALIBRATION: Calibration = Calibration {
        false_accept_rate: 0.01,
        false_reject_rate: 0.15,
        prototype_threshold: 400,
        pair_threshold: 900,
        spread: 100,
        allowance: 0,
    };

    fn record(strangers: Strangers) -> Measured {
        let errors = |false_accept| Errors {
            false_accept,
            false_reject: 0.15,
        };
        Measured {
            fingerprint: 1,
            wanted: 0.01,
            rates: Rates {
                prototype: errors(0.28),
                pair: errors(0.33),
            },
            strangers,
            labels: 7,
            shots: 5,
            prototype_threshold: 400,
            pair_threshold: 900,
            allowance: 0,
            reach: None,
        }
    }

    #[test]
    fn the_measured_rate_stands_beside_the_wanted_one() {
        let text = calibrated(Some(CALIBRATION), Some(&record(Strangers::New)), 0.5);
        for part in [
            "10.000 from a prototype",
            "15.000 between two",
            "1.00 % of what nobody enrolled was wanted; 28.00 % measured",
            "never saw",
            "7 labels of 5 examples",
            "15.00 % of what is enrolled",
        ] {
            assert!(text.contains(part), "no '{part}' in {text}");
        }
    }

    #[test]
    fn what_nobody_measured_is_not_promised() {
        let text = calibrated(Some(CALIBRATION), None, 0.5);
        assert!(text.contains("not measured on new classes"), "{text}");
        let text = calibrated(Some(CALIBRATION), Some(&record(Strangers::EachInTurn)), 0.5);
        assert!(text.contains("accepted more often"), "{text}");
        assert!(calibrated(None, None, 0.5).contains("accepts nothing"));
    }
}
