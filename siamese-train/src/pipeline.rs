//! From a trained float network to everything that a run leaves behind.

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use siamese_core::model::{LAYERS, Quality};
use tch::{Device, Tensor};

use crate::batch::loader::inputs_of;
use crate::dataset::ClassNames;
use crate::dataset::{Class, Dataset, Images};
use crate::embed::points::Points;
use crate::embed::{IntEmbeddings, ModelFile, embed_images};
use crate::evaluate::{Labelled, Metrics, evaluate};
use crate::explore::FILM;
use crate::export::arrange::arrange;
use crate::export::golden::{GoldenVectors, TorchModel, adversarial_images, write_golden};
use crate::export::quantise::{FloatOutputs, IntegerNetwork, quantise, units_of_levels};
use crate::export::to_model_bytes;
use crate::files::write_atomic;
use crate::gallery::allowance::allowances;
use crate::gallery::calibrate::Wanted;
use crate::gallery::folds::{Fold, Reach};
use crate::gallery::measured::Measured;
use crate::gallery::prototypes;
use crate::plot::{curves, write_film, write_maps};
use crate::recipe::Plan;
use crate::recipe::bits::largest;
use crate::train::Trained;
use crate::train::checkpoint;
use crate::train::float_network::FloatNetwork;
use crate::train::history::Epoch;
use crate::train::network::{FoldedTensors, to_vec};

/// Training images that the scales of the integers are fitted to.
pub(crate) const CALIBRATION_IMAGES: usize = 5_000;
/// Test images among the golden vectors, besides the adversarial ones.
const GOLDEN_IMAGES: usize = 112;
/// Images that libtorch embeds at once.
pub(crate) const CHUNK: usize = 2_000;

/// Where a run of one name writes.
#[derive(Debug, Clone)]
pub struct Files {
    folder: PathBuf,
    name: String,
}

impl Files {
    /// Files named `name` in `folder`.
    #[must_use]
    pub fn new(folder: &Path, name: &str) -> Self {
        Self {
            folder: folder.to_owned(),
            name: name.to_owned(),
        }
    }

    /// The model's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn file(&self, ending: &str) -> PathBuf {
        self.folder.join(format!("{}.{ending}", self.name))
    }

    /// The finished float network.
    #[must_use]
    pub fn checkpoint(&self) -> PathBuf {
        self.file("safetensors")
    }

    /// A run that is not at its end.
    #[must_use]
    pub fn partial(&self) -> PathBuf {
        self.file("partial.safetensors")
    }

    /// The file that is locked while a run writes the others.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.file("lock")
    }

    /// The integer model.
    #[must_use]
    pub fn model(&self) -> PathBuf {
        self.file("siam")
    }

    /// The golden vectors of the integer model.
    #[must_use]
    pub fn golden(&self) -> PathBuf {
        self.file("golden.safetensors")
    }

    /// The report.
    #[must_use]
    pub fn report(&self) -> PathBuf {
        self.file("json")
    }

    /// The folder of `embed.txt` and the pictures.
    #[must_use]
    pub fn pictures(&self) -> PathBuf {
        self.folder.join(&self.name)
    }
}

/// What is known of a finished run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The model's name.
    pub name: String,
    /// What the run follows from.
    pub plan: Plan,
    /// SHA-256 of the plan, which the model's header holds.
    pub training_digest: String,
    /// The classes that training saw, by label.
    pub classes: ClassNames,
    /// Those that were taken out of the set before it.
    pub left_out: ClassNames,
    /// Version of this crate.
    pub version: &'static str,
    /// Version of libtorch.
    pub libtorch: &'static str,
    /// Threads of libtorch's operations.
    pub threads: i32,
    /// Steps taken.
    pub steps: usize,
    /// Seconds of training in this process, and images per second.
    pub seconds: f64,
    /// Images of batches per second; rivals that see the same ones don't count.
    pub images_per_second: f64,
    /// The float network on the test images.
    pub float: Metrics,
    /// The integer network on the test images.
    pub int8: Metrics,
    /// The thresholds, with the wanted and the measured rates; `None` if the
    /// classes or images were too few for any.
    pub calibration: Option<Measured>,
    /// What the integers lose, by layer.
    pub precision: [Precision; LAYERS],
    /// What was seen at the end of every epoch.
    pub history: Vec<Epoch>,
}

/// How closely a layer's integers stand for its floats: the power of the
/// float values over that of the difference, in decibels. Six more halve the
/// difference.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Precision {
    /// Of the weights.
    pub weights_db: f64,
    /// Of the outputs for calibration images, with all that the layers before
    /// have lost.
    pub outputs_db: f64,
}

/// What the evaluation of both networks on the test images gave.
#[derive(Debug, Clone)]
pub struct Finished {
    /// The float network.
    pub float: Metrics,
    /// The integer network.
    pub int8: Metrics,
    /// The thresholds, or why there are none.
    pub calibration: std::result::Result<Measured, String>,
    /// What the integers lose, by layer.
    pub precision: [Precision; LAYERS],
}

/// The wrong acceptances that a fresh model is calibrated for.
const FALSE_ACCEPTS: f64 = 0.01;
/// Examples of a prototype that it is calibrated for, and how often they are
/// drawn to find out.
const SHOTS: usize = 5;
const DRAWS: usize = 20;

/// The thresholds of a model by what its folds show, and what was measured.
fn thresholds(
    model: &ModelFile,
    folds: &[Fold],
    embeddings: &IntEmbeddings,
    labels: &[Class],
    seed: u64,
) -> Result<(siamese_core::model::Calibration, Measured)> {
    let classes = prototypes::classes(labels);
    let allowances = allowances(embeddings, &classes);
    let reach = Reach::measure(folds, allowances, SHOTS, DRAWS, seed)?;
    let wanted = Wanted {
        false_accept_rate: FALSE_ACCEPTS,
        shots: SHOTS,
        draws: DRAWS,
        seed,
        unseen: BTreeSet::new(),
    };
    Measured::by_folds(
        model.model().fingerprint(),
        reach,
        classes.len(),
        (embeddings, labels),
        &wanted,
    )
}

/// The decibels of numbers that lose nothing.
const EXACT: f64 = 200.0;

/// The network with the middle of the classes' means at the origin: distances stay,
/// and squared norms say how far out something is.
fn centred(mut network: FloatNetwork, train: &Dataset) -> Result<FloatNetwork> {
    let points = {
        let tensors = FoldedTensors::new(&network, Device::Cpu);
        embed_float(&tensors, &network, &train.images)?
    };
    let classes = prototypes::classes(&train.labels);
    let [.., last] = &mut network.layers;
    for (axis, bias) in last.bias.iter_mut().enumerate() {
        let mean = |members: &Vec<usize>| {
            let coordinates = members
                .iter()
                .map(|&member| f64::from(points.get(member)[axis]));
            coordinates.sum::<f64>() / members.len() as f64
        };
        *bias -= (classes.iter().map(mean).sum::<f64>() / classes.len() as f64) as f32;
    }
    Ok(network)
}

/// Quantises, evaluates and writes everything but the report. Both networks
/// are judged by `test`, with `train` as the gallery. `folds` are of shorter
/// trainings that left classes out, and give the thresholds.
///
/// # Errors
/// If the network can't be quantised, core and libtorch disagree in any
/// integer, or a file can't be written.
pub fn finish(
    plan: &Plan,
    trained: &Trained,
    [train, test]: [&Dataset; 2],
    folds: &[Fold],
    names: &ClassNames,
    files: &Files,
    mut stage: impl FnMut(&str),
) -> Result<Finished> {
    stage("ordering the hidden units");
    let calibration_images = spread(&train.images, CALIBRATION_IMAGES);
    let network = {
        let tensors = FoldedTensors::new(&trained.network, Device::Cpu);
        let outputs = float_outputs(&tensors, &trained.network, &calibration_images);
        let [first, second] = &outputs.hidden;
        &centred(arrange(&trained.network, [first, second]), train)?
    };
    checkpoint::write(
        &files.checkpoint(),
        plan,
        None,
        &checkpoint::network_tensors(network),
    )?;

    stage("evaluating the float network");
    let tensors = FoldedTensors::new(network, Device::Cpu);
    let gallery = embed_float(&tensors, network, &train.images)?;
    let queries = embed_float(&tensors, network, &test.images)?;
    let float = evaluate(
        Labelled::new(&gallery, &train.labels)?,
        Labelled::new(&queries, &test.labels)?,
    )?
    .metrics;

    stage("quantising");
    let outputs = float_outputs(&tensors, network, &calibration_images);
    let integers = quantise(network, &outputs, trained.hidden_scales)?;
    let name = &files.name;
    let path = files.model();
    let unmeasured = to_model_bytes(name, &integers, plan.digest(), None)?;
    let unmeasured = ModelFile::new(&path, &unmeasured)?;

    stage("evaluating the integer network");
    let gallery = embed_images(&unmeasured.model(), &train.images)?.to_points()?;
    let embeddings = embed_images(&unmeasured.model(), &test.images)?;
    let queries = embeddings.to_points()?;
    let labelled = Labelled::new(&queries, &test.labels)?;
    let int8 = evaluate(Labelled::new(&gallery, &train.labels)?, labelled)?.metrics;

    stage("comparing with libtorch's integers");
    let torch = TorchModel::new(&unmeasured.model());
    ensure!(
        torch.forward(&test.images)?.embeddings == embeddings.steps,
        "the core and libtorch disagree on the integers of {name}; this is a bug, please report it"
    );
    let precision = precision(
        network,
        &integers,
        &outputs,
        &torch.forward(&calibration_images)?,
    );
    let golden_images = golden_images(&test.images, &embeddings)?;
    write_golden(
        &files.golden(),
        &golden_images,
        &torch.forward(&golden_images)?,
    )?;

    stage("writing the model and the pictures");
    let quality = Quality {
        float_knn25: float.knn25 as f32,
        int8_knn25: int8.knn25 as f32,
        int8_eer: int8.eer as f32,
    };
    let bytes = to_model_bytes(name, &integers, plan.digest(), Some(quality))?;
    let model = ModelFile::new(&path, &bytes)?;
    let found = thresholds(&model, folds, &embeddings, &test.labels, plan.seed);
    let (calibration, record) = match found {
        Ok((calibration, record)) => (Some(calibration), Ok(record)),
        Err(error) => (None, Err(format!("{error:#}"))),
    };
    let calibrated = model.stored().calibrated(calibration)?;
    write_atomic(&path, |out| Ok(out.write_all(calibrated.bytes())?))?;
    if let Ok(record) = &record {
        record.write(&path)?;
    }
    queries.write(&files.pictures().join("embed.txt"))?;
    draw(
        trained,
        &files.pictures(),
        labelled,
        &test.images,
        names,
        name,
    )
    .context("can't draw the pictures")?;
    Ok(Finished {
        float,
        int8,
        calibration: record,
        precision,
    })
}

/// Draws the map, and what the run was seen to do.
fn draw(
    trained: &Trained,
    folder: &Path,
    points: Labelled<'_>,
    images: &Images,
    names: &ClassNames,
    title: &str,
) -> Result<()> {
    write_maps(folder, points, images, names, title)?;
    let curves = curves(&trained.history, title);
    curves.write_svg(&folder.join("curves.svg"))?;
    curves.write_png(&folder.join("curves.png"))?;
    if trained.film.frames.is_empty() {
        return Ok(());
    }
    trained.film.write(&folder.join(FILM))?;
    write_film(&folder.join("film.gif"), &trained.film, names)
}

/// Compares floats and integers layer by layer.
pub(crate) fn precision(
    network: &FloatNetwork,
    integers: &IntegerNetwork,
    floats: &FloatOutputs,
    outputs: &GoldenVectors,
) -> [Precision; LAYERS] {
    let [scale1, scale2] = integers.scales.hidden;
    let units = [
        1.0 / largest(integers.precision.input),
        scale1.into(),
        scale2.into(),
        integers.scales.embedding.into(),
    ];
    let [hidden1, hidden2] = &outputs.hidden;
    let real = |values: &[u8], scale: f32| -> Vec<f32> {
        values
            .iter()
            .map(|&value| f32::from(value) * scale)
            .collect()
    };
    let embeddings = outputs.embeddings.iter();
    let embeddings = embeddings.map(|&step| f32::from(step) * integers.scales.embedding);
    let outputs = [
        (&floats.hidden[0], real(hidden1, scale1)),
        (&floats.hidden[1], real(hidden2, scale2)),
        (&floats.embeddings, embeddings.collect()),
    ];
    std::array::from_fn(|index| {
        let (layer, quantised) = (&network.layers[index], &integers.layers[index]);
        let rows = layer.weight.chunks_exact(layer.inputs);
        // Of few bits, all rows have the same unit.
        let shift = Some(integers.precision.shifts[index]).filter(|&shift| shift > 0);
        let unit = shift.map(|shift| {
            let [weight, _] = units_of_levels(units[index], units[index + 1], shift);
            weight as f32
        });
        let rounded: Vec<f32> = rows
            .zip(quantised.weights.chunks_exact(layer.inputs))
            .flat_map(|(row, integers)| {
                let unit =
                    unit.unwrap_or_else(|| row.iter().fold(0.0f32, |m, w| m.max(w.abs())) / 127.0);
                integers
                    .iter()
                    .map(move |&integer| f32::from(integer) * unit)
            })
            .collect();
        let (float, integer) = &outputs[index];
        Precision {
            weights_db: decibels(&layer.weight, &rounded),
            outputs_db: decibels(float, integer),
        }
    })
}

/// The power of the values over that of their difference from `approximate`, at most
/// [`EXACT`].
fn decibels(values: &[f32], approximate: &[f32]) -> f64 {
    let power = |value: f32| f64::from(value).powi(2);
    let signal: f64 = values.iter().map(|&value| power(value)).sum();
    let pairs = values.iter().zip(approximate);
    let noise: f64 = pairs.map(|(&value, &other)| power(value - other)).sum();
    (10.0 * (signal / noise.max(f64::MIN_POSITIVE)).log10()).min(EXACT)
}

/// At most `count` stretches of indices that make up `0..len`, all but the last as long.
fn stretches(len: usize, count: usize) -> impl Iterator<Item = Range<usize>> {
    let step = len.div_ceil(count).max(1);
    (0..len)
        .step_by(step)
        .map(move |from| from..len.min(from + step))
}

/// At most `count` images, spread over the set.
pub(crate) fn spread(images: &Images, count: usize) -> Images {
    let firsts = stretches(images.len(), count).map(|stretch| stretch.start);
    images.subset(&firsts.collect::<Vec<_>>())
}

/// Images spread over the set, and the adversarial ones. Where a stretch of the set begins
/// with an image whose embedding an earlier one has, one that has its own stands for it:
/// equal answers prove less.
pub(crate) fn golden_images(images: &Images, embeddings: &IntEmbeddings) -> Result<Images> {
    let points: Vec<&[i16]> = embeddings.steps.chunks_exact(embeddings.dim).collect();
    let mut seen = HashSet::new();
    let chosen = stretches(images.len(), GOLDEN_IMAGES).map(|mut stretch| {
        let first = stretch.start;
        let new = stretch.find(|&index| !seen.contains(points[index]));
        let index = new.unwrap_or(first);
        seen.insert(points[index]);
        index
    });
    let typical = images.subset(&chosen.collect::<Vec<_>>());
    let mut pixels = typical.pixels().to_vec();
    pixels.extend(adversarial_images(images.width(), images.height())?.pixels());
    Images::new(images.width(), images.height(), pixels)
}

/// The three layers' outputs for a chunk of images.
fn forward(tensors: &FoldedTensors, network: &FloatNetwork, chunk: &[u8]) -> [Tensor; 3] {
    let inputs = inputs_of(network.input, network.precision.input, chunk);
    let size = network.input.activations() as i64;
    tensors.forward(&Tensor::from_slice(&inputs).reshape([-1, size]))
}

/// The float network's points for all images.
///
/// # Errors
/// If the network gives something that is no finite number.
pub fn embed_float(
    tensors: &FoldedTensors,
    network: &FloatNetwork,
    images: &Images,
) -> Result<Points> {
    let dim = network.layers[2].outputs;
    let mut coords = Vec::with_capacity(images.len() * dim);
    for chunk in images.pixels().chunks(CHUNK * images.size()) {
        let [_, _, embeddings] = forward(tensors, network, chunk);
        coords.extend(to_vec(&embeddings));
    }
    Points::new(dim, coords)
}

/// Activations and embeddings of the calibration images.
fn float_outputs(tensors: &FoldedTensors, network: &FloatNetwork, images: &Images) -> FloatOutputs {
    let [hidden1, hidden2, embeddings] = forward(tensors, network, images.pixels());
    FloatOutputs {
        hidden: [to_vec(&hidden1), to_vec(&hidden2)],
        embeddings: to_vec(&embeddings),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embed::golden::ADVERSARIAL;

    #[test]
    fn golden_images_have_embeddings_of_their_own_where_there_are_some() {
        // Two images a stretch. Of the first three stretches the first images are alike, and
        // so are both of the third.
        let count = 2 * GOLDEN_IMAGES;
        let pixels = (0..count).map(|index| index as u8).collect();
        let images = Images::new(1, 1, pixels).unwrap();
        let steps = (0..count).map(|index| match index {
            0 | 2 | 4 | 5 => -1,
            index => index as i16,
        });
        let embeddings = IntEmbeddings {
            dim: 1,
            scale: 1.0,
            steps: steps.collect(),
        };
        let golden = golden_images(&images, &embeddings).unwrap();
        assert_eq!(golden.pixels()[..5], [0, 3, 4, 6, 8]);
        assert_eq!(golden.len(), GOLDEN_IMAGES + ADVERSARIAL);
        let typical = spread(&images, GOLDEN_IMAGES);
        assert_eq!(golden.pixels()[4..GOLDEN_IMAGES], typical.pixels()[4..]);
    }
}
