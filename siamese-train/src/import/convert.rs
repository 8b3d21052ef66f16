//! From a network that was trained elsewhere to everything that a training run
//! leaves behind, and how closely its integers follow its floats.

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use siamese_core::image::{Input, Pooling, deskew};
use siamese_core::model::{LAYERS, Quality};
use tch::{Device, Tensor};

use crate::dataset::{Class, ClassNames, Dataset, Images};
use crate::embed::points::Points;
use crate::embed::{ModelFile, embed_images};
use crate::evaluate::{Labelled, Metrics, accuracy, centroid, evaluate, neighbours};
use crate::export::arrange::arrange;
use crate::export::equalise::equalise;
use crate::export::golden::{GoldenVectors, TorchModel, write_golden};
use crate::export::quantise::{FloatOutputs, quantise};
use crate::export::to_model_bytes;
use crate::files::write_atomic;
use crate::pipeline::{
    CALIBRATION_IMAGES, CHUNK, Files, Precision, golden_images, precision, spread,
};
use crate::plot::write_maps;
use crate::train::float_network::FloatNetwork;
use crate::train::network::{FoldedTensors, to_vec};

/// The images that a network is converted with.
#[derive(Debug, Clone, Copy)]
pub enum Data<'a> {
    /// Images alone: scales are fitted to them, and precision is measured.
    Images(&'a Images),
    /// Labelled ones: the first set makes the scales and is the gallery, the
    /// second is classified with it.
    Labelled(&'a Dataset, &'a Dataset),
}

impl Data<'_> {
    /// The images that the scales are fitted to.
    const fn calibration(&self) -> &Images {
        match self {
            Self::Images(images) => images,
            Self::Labelled(gallery, _) => &gallery.images,
        }
    }

    /// The images to measure with.
    const fn test(&self) -> &Images {
        match self {
            Self::Images(images) => images,
            Self::Labelled(_, test) => &test.images,
        }
    }
}

/// The part of the test images that integers and floats put into the same
/// class, each with a gallery of its own.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SameClass {
    /// By the nearest class mean.
    pub centroid: f64,
    /// By the vote of the 25 nearest gallery images.
    pub knn25: f64,
}

/// What an import gave.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The model's name.
    pub name: String,
    /// SHA-256 of the weights' file, which the model's header holds.
    pub weights_digest: String,
    /// Version of this crate.
    pub version: &'static str,
    /// The image that the model takes.
    pub input: Input,
    /// Outputs of the layers.
    pub sizes: [usize; LAYERS],
    /// What the integers lose, by layer.
    pub precision: [Precision; LAYERS],
    /// The float network on the test images, fed with all 256 grey levels.
    pub float: Option<Metrics>,
    /// The integer network on the test images.
    pub int8: Option<Metrics>,
    /// How often both agree on the test images.
    pub same_class: Option<SameClass>,
    /// Test images whose integers the core and libtorch agree on: all of them.
    pub images: usize,
}

/// Points of both networks for one set of images.
struct Both {
    float: Points,
    integers: Points,
}

/// Orders the hidden units, quantises, compares with libtorch's integers and
/// with the floats, and writes the model, golden vectors, `embed.txt` and, for
/// labelled images, the maps. `digest` names the weights.
///
/// # Errors
/// If the network can't be quantised, core and libtorch disagree in any
/// integer, or a file can't be written.
pub fn convert(
    network: &FloatNetwork,
    digest: [u8; 32],
    data: Data<'_>,
    names: &ClassNames,
    files: &Files,
    mut stage: impl FnMut(&str),
) -> Result<Report> {
    check_images(network.input, data)?;
    stage("ordering the hidden units");
    let calibration_images = spread(data.calibration(), CALIBRATION_IMAGES);
    let calibration = outputs(network, &calibration_images);
    let [first, second] = &calibration.hidden;
    let network = arrange(network, [first, second]);
    let calibration = outputs(&network, &calibration_images);

    stage("quantising");
    let network = &equalised(network, &calibration_images, calibration)?;
    let calibration = outputs(network, &calibration_images);
    let integers = quantise(network, &calibration, None)?;
    let name = files.name();
    let path = files.model();
    let bytes = to_model_bytes(name, &integers, digest, None)?;
    let model = ModelFile::new(&path, &bytes)?;

    stage("comparing with libtorch's integers");
    let torch = TorchModel::new(&model.model());
    let test = data.test();
    let embeddings = embed_images(&model.model(), test)?;
    for (chunk, steps) in chunks(test).zip(embeddings.steps.chunks(CHUNK * embeddings.dim)) {
        ensure!(
            torch.forward(&chunk?)?.embeddings == steps,
            "the core and libtorch disagree on the integers of {name}; this is a bug, please \
             report it"
        );
    }
    let precision = precision(
        network,
        &integers,
        &calibration,
        &forward_in_chunks(&torch, &calibration_images)?,
    );
    let golden = golden_images(test, &embeddings)?;
    write_golden(&files.golden(), &golden, &torch.forward(&golden)?)?;

    let queries = embeddings.to_points()?;
    let mut report = Report {
        name: name.to_owned(),
        weights_digest: crate::files::hex(&digest),
        version: env!("CARGO_PKG_VERSION"),
        input: network.input,
        sizes: network.layers.each_ref().map(|layer| layer.outputs),
        precision,
        float: None,
        int8: None,
        same_class: None,
        images: test.len(),
    };
    let mut quality = None;
    if let Data::Labelled(gallery, test) = data {
        stage("comparing with the floats");
        let gallery_points = Both {
            float: embed(network, &gallery.images)?,
            integers: embed_images(&model.model(), &gallery.images)?.to_points()?,
        };
        let points = Both {
            float: embed(network, &test.images)?,
            integers: queries.clone(),
        };
        quality = Some(judge(&mut report, &gallery_points, gallery, &points, test)?);
    }

    stage("writing the model and the pictures");
    let bytes = to_model_bytes(name, &integers, digest, quality)?;
    write_atomic(&path, |out| Ok(out.write_all(&bytes)?))?;
    queries.write(&files.pictures().join("embed.txt"))?;
    if let Data::Labelled(_, test) = data {
        let labelled = Labelled::new(&queries, &test.labels)?;
        write_maps(&files.pictures(), labelled, &test.images, names, name)
            .context("can't draw the pictures")?;
    }
    let report_path = files.report();
    write_atomic(&report_path, |out| {
        Ok(serde_json::to_writer_pretty(out, &report)?)
    })?;
    Ok(report)
}

/// The network whose hidden units are brought nearer to each other's ranges as
/// far as the integers' points come nearest to the floats', which are the same
/// for all of them. `outputs` are the network's for the images.
fn equalised(network: FloatNetwork, images: &Images, floats: FloatOutputs) -> Result<FloatNetwork> {
    const STRENGTHS: [f64; 4] = [0.25, 0.5, 0.75, 1.0];
    let mut best = network;
    let mut calibration = floats;
    let mut least = error_of(&best, images, &calibration)?;
    for layer in 0..LAYERS - 1 {
        let (base, activations) = (best.clone(), calibration.hidden[layer].clone());
        for strength in STRENGTHS {
            let candidate = equalise(&base, layer, &activations, strength);
            let of_candidate = outputs(&candidate, images);
            let error = error_of(&candidate, images, &of_candidate)?;
            if error < least {
                (best, calibration, least) = (candidate, of_candidate, error);
            }
        }
    }
    Ok(best)
}

/// The squared distance of the integers' points from the floats', over all
/// images.
fn error_of(network: &FloatNetwork, images: &Images, floats: &FloatOutputs) -> Result<f64> {
    let integers = quantise(network, floats, None)?;
    let bytes = to_model_bytes("candidate", &integers, [0; 32], None)?;
    let model = ModelFile::new("candidate".as_ref(), &bytes)?;
    let found = embed_images(&model.model(), images)?;
    let pairs = floats.embeddings.iter().zip(&found.steps);
    let squared = pairs.map(|(&float, &step)| {
        let integer = f64::from(step) * f64::from(found.scale);
        (f64::from(float) - integer).powi(2)
    });
    Ok(squared.sum())
}

/// Refuses images that the network doesn't take.
fn check_images(input: Input, data: Data<'_>) -> Result<()> {
    for images in [data.calibration(), data.test()] {
        ensure!(!images.is_empty(), "there is no image to calibrate with");
        ensure!(
            (images.width(), images.height()) == (input.width.into(), input.height.into()),
            "the images are {}x{} pixels and the network takes {}x{}",
            images.width(),
            images.height(),
            input.width,
            input.height
        );
    }
    Ok(())
}

/// Evaluates both networks, and how often they agree.
fn judge(
    report: &mut Report,
    gallery_points: &Both,
    gallery: &Dataset,
    points: &Both,
    test: &Dataset,
) -> Result<Quality> {
    let of = |gallery_points: &Points, points: &Points| -> Result<(Metrics, [Vec<Class>; 2])> {
        let gallery = Labelled::new(gallery_points, &gallery.labels)?;
        let queries = Labelled::new(points, &test.labels)?;
        let metrics = evaluate(gallery, queries)?.metrics;
        let by_vote = neighbours::classify(gallery, points, &[25])?.remove(0);
        Ok((metrics, [centroid::classify(gallery, points)?, by_vote]))
    };
    let (float, floats) = of(&gallery_points.float, &points.float)?;
    let (int8, integers) = of(&gallery_points.integers, &points.integers)?;
    report.float = Some(float);
    report.int8 = Some(int8);
    report.same_class = Some(SameClass {
        centroid: accuracy(&integers[0], &floats[0]),
        knn25: accuracy(&integers[1], &floats[1]),
    });
    Ok(Quality {
        float_knn25: float.knn25 as f32,
        int8_knn25: int8.knn25 as f32,
        int8_eer: int8.eer as f32,
    })
}

/// Parts of a set that libtorch takes at once.
fn chunks(images: &Images) -> impl Iterator<Item = Result<Images>> {
    let parts = images.pixels().chunks(CHUNK * images.size());
    parts.map(|part| Images::new(images.width(), images.height(), part.to_vec()))
}

/// libtorch's integers for a set of any size.
fn forward_in_chunks(torch: &TorchModel, images: &Images) -> Result<GoldenVectors> {
    let mut all = GoldenVectors {
        hidden: [Vec::new(), Vec::new()],
        embeddings: Vec::new(),
    };
    for chunk in chunks(images) {
        let part = torch.forward(&chunk?)?;
        for (all, part) in all.hidden.iter_mut().zip(part.hidden) {
            all.extend(part);
        }
        all.embeddings.extend(part.embeddings);
    }
    Ok(all)
}

/// What the network takes for the pixels of whole images, 0 to 1, with all 256
/// grey levels as where it was trained: `[images][inputs]`.
pub(super) fn exact_inputs(input: Input, pixels: &[u8]) -> Vec<f32> {
    let width = usize::from(input.width);
    let share = |pixel: u8| f32::from(pixel) / 255.0;
    let mut inputs = Vec::with_capacity(pixels.len());
    for image in pixels.chunks_exact(input.pixels()) {
        let upright;
        let image = if input.deskew {
            let mut moved = image.to_vec();
            deskew(width, &mut moved);
            upright = moved;
            &upright
        } else {
            image
        };
        let border = input.border();
        let rows = usize::from(input.height).saturating_sub(2 * border) / 2;
        let pairs = image.chunks_exact(2 * width).skip(border / 2).take(rows);
        let pairs = pairs.map(|pair| {
            let (upper, lower) = pair.split_at(width);
            [upper, lower].map(|row| &row[border..width - border])
        });
        match input.pooling {
            Pooling::None => inputs.extend(image.iter().map(|&pixel| share(pixel))),
            Pooling::Checkerboard | Pooling::InnerCheckerboard => {
                for [upper, lower] in pairs {
                    let row = upper.iter().zip(lower).enumerate();
                    inputs.extend(row.map(|(column, (&upper, &lower))| {
                        share(if column % 2 == 0 { upper } else { lower })
                    }));
                }
            }
            Pooling::Sum2x2 | Pooling::Inner2x2 => {
                for [upper, lower] in pairs {
                    let squares = upper.chunks_exact(2).zip(lower.chunks_exact(2));
                    inputs.extend(squares.map(|(upper, lower)| {
                        let four = upper.iter().chain(lower);
                        four.map(|&pixel| share(pixel)).sum::<f32>() / 4.0
                    }));
                }
            }
        }
    }
    inputs
}

/// The three layers' outputs for the pixels of whole images.
fn forward(tensors: &FoldedTensors, input: Input, pixels: &[u8]) -> [Tensor; LAYERS] {
    let inputs = exact_inputs(input, pixels);
    let size = input.activations() as i64;
    tensors.forward(&Tensor::from_slice(&inputs).reshape([-1, size]))
}

/// Activations and embeddings of the float network.
fn outputs(network: &FloatNetwork, images: &Images) -> FloatOutputs {
    let tensors = FoldedTensors::new(network, Device::Cpu);
    let mut all = FloatOutputs {
        hidden: [Vec::new(), Vec::new()],
        embeddings: Vec::new(),
    };
    for chunk in images.pixels().chunks(CHUNK * images.size()) {
        let [first, second, last] = forward(&tensors, network.input, chunk);
        all.hidden[0].extend(to_vec(&first));
        all.hidden[1].extend(to_vec(&second));
        all.embeddings.extend(to_vec(&last));
    }
    all
}

/// The float network's points.
fn embed(network: &FloatNetwork, images: &Images) -> Result<Points> {
    let tensors = FoldedTensors::new(network, Device::Cpu);
    let mut coords = Vec::new();
    for chunk in images.pixels().chunks(CHUNK * images.size()) {
        let [_, _, last] = forward(&tensors, network.input, chunk);
        coords.extend(to_vec(&last));
    }
    Points::new(network.layers[LAYERS - 1].outputs, coords)
}
