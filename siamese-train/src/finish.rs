//! From a trained float network to everything that a run leaves behind.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use siamese_core::model::Quality;
use tch::{Device, Tensor};

use crate::checkpoint::{self, Plan};
use crate::dataset::{Dataset, Images};
use crate::embed::{ModelFile, embed_images};
use crate::evaluate::{Labelled, Metrics, evaluate};
use crate::export::to_model_bytes;
use crate::files::write_atomic;
use crate::float_network::FloatNetwork;
use crate::golden::{TorchModel, adversarial_images, write_golden};
use crate::loader::real_input;
use crate::network::{FoldedTensors, to_vec};
use crate::plot::{ClassNames, write_maps};
use crate::points::Points;
use crate::quantise::{Calibration, quantise};

/// Training images that the scales of the integers are fitted to.
const CALIBRATION_IMAGES: usize = 5_000;
/// Test images among the golden vectors, besides the adversarial ones.
const GOLDEN_IMAGES: usize = 112;
/// Images that libtorch embeds at once.
const CHUNK: usize = 2_000;

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
    /// Version of this crate.
    pub version: &'static str,
    /// Threads of libtorch's operations.
    pub threads: i32,
    /// Steps taken.
    pub steps: usize,
    /// Seconds of training in this process, and images per second.
    pub seconds: f64,
    /// Images embedded for training per second.
    pub images_per_second: f64,
    /// The float network on the test images.
    pub float: Metrics,
    /// The integer network on the test images.
    pub int8: Metrics,
}

/// Quantises, evaluates and writes everything; returns the metrics of the
/// float and of the integer network on `test`, with `train` as the gallery.
///
/// # Errors
/// If the network can't be quantised, core and libtorch disagree in any
/// integer, or a file can't be written.
pub fn finish(
    plan: &Plan,
    network: &FloatNetwork,
    train: &Dataset,
    test: &Dataset,
    names: &ClassNames,
    files: &Files,
    mut stage: impl FnMut(&str),
) -> Result<(Metrics, Metrics)> {
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
    let calibration = calibrate(&tensors, network, &train.images);
    let integers = quantise(network, &calibration)?;
    let name = &files.name;
    let path = files.model();
    let unmeasured = to_model_bytes(name, &integers, plan.digest(), None)?;
    let unmeasured = ModelFile::new(&path, unmeasured)?;

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
    let golden_images = golden_images(&test.images)?;
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
    write_atomic(&path, |out| Ok(out.write_all(&bytes)?))?;
    queries.write(&files.pictures().join("embed.txt"))?;
    write_maps(&files.pictures(), labelled, &test.images, names, name)
        .context("can't draw the pictures")?;
    Ok((float, int8))
}

/// Images spread over the set, and the adversarial ones.
fn golden_images(images: &Images) -> Result<Images> {
    let step = images.len().div_ceil(GOLDEN_IMAGES).max(1);
    let spread: Vec<usize> = (0..images.len()).step_by(step).collect();
    let mut pixels = images.subset(&spread).pixels().to_vec();
    pixels.extend(adversarial_images(images.width(), images.height())?.pixels());
    Images::new(images.width(), images.height(), pixels)
}

/// The three layers' outputs for a chunk of images.
fn forward(tensors: &FoldedTensors, network: &FloatNetwork, chunk: &[u8]) -> [Tensor; 3] {
    let input = network.input;
    let mut activations = vec![0; input.activations()];
    let mut inputs = Vec::new();
    for pixels in chunk.chunks_exact(input.pixels()) {
        input.quantise(pixels, &mut activations);
        inputs.extend(activations.iter().map(|&activation| real_input(activation)));
    }
    tensors.forward(&Tensor::from_slice(&inputs).reshape([-1, input.activations() as i64]))
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

/// Activations and embeddings of training images spread over the set.
fn calibrate(tensors: &FoldedTensors, network: &FloatNetwork, images: &Images) -> Calibration {
    let step = images.len().div_ceil(CALIBRATION_IMAGES).max(1);
    let spread: Vec<usize> = (0..images.len()).step_by(step).collect();
    let [hidden1, hidden2, embeddings] = forward(tensors, network, images.subset(&spread).pixels());
    Calibration {
        hidden: [to_vec(&hidden1), to_vec(&hidden2)],
        embeddings: to_vec(&embeddings),
    }
}
