//! The study: what optimiser and pair sampling do to the original's map.
//!
//! Every arm trains the original network (784-1024-1024-2) by the original
//! loss, on as many images; only the optimiser with its learning rate, the
//! sampling and the weighting differ. Each is run with several seeds, so that
//! the spread of chance shows.

use crate::dataset::{Class, class_slots};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tch::Device;

use crate::batch::pairs::Sampler;
use crate::dataset::Dataset;
use crate::embed::points::Points;
use crate::evaluate::{Labelled, evaluate};
use crate::files::{hex, write_atomic};
use crate::limit;
use crate::pipeline::embed_float;
use crate::recipe::Plan;
use crate::recipe::Preset;
use crate::recipe::{
    Init, MODEL_BITS, Optimiser, Pairing, Recipe, RecipeName, Sampling, Weighting,
};
use crate::train::network::FoldedTensors;
use crate::train::{Event, Outcome, fit};

/// One way to train.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Arm {
    /// The optimiser.
    pub optimiser: Optimiser,
    /// Its learning rate, constant.
    pub learning_rate: f64,
    /// How images are drawn.
    pub sampling: Sampling,
    /// What the two kinds of pairs weigh.
    pub weighting: Weighting,
}

impl Arm {
    /// The six arms of the question: three optimisers, two samplings.
    #[must_use]
    pub fn question() -> Vec<Self> {
        let optimisers = [
            (Optimiser::Sgd, 0.01),
            (Optimiser::Momentum, 0.01),
            (Optimiser::Adam, 0.001),
        ];
        let mut arms = Vec::new();
        for sampling in [Sampling::Random, Sampling::Balanced] {
            arms.extend(optimisers.map(|(optimiser, learning_rate)| Self {
                optimiser,
                learning_rate,
                sampling,
                weighting: Weighting::Counted,
            }));
        }
        arms
    }

    /// The arms that take the causes apart: even classes with the share of
    /// same pairs left as it was, the share mended by weights alone, and plain
    /// gradient descent with longer steps.
    #[must_use]
    pub fn causes() -> Vec<Self> {
        let mut arms = Vec::new();
        for (optimiser, learning_rate) in [(Optimiser::Sgd, 0.01), (Optimiser::Adam, 0.001)] {
            let arm = Self {
                optimiser,
                learning_rate,
                sampling: Sampling::Stratified,
                weighting: Weighting::Counted,
            };
            let weighted = Self {
                sampling: Sampling::Random,
                weighting: Weighting::Halves,
                ..arm
            };
            arms.extend([arm, weighted]);
        }
        for sampling in [Sampling::Random, Sampling::Balanced] {
            arms.push(Self {
                optimiser: Optimiser::Sgd,
                learning_rate: 0.1,
                sampling,
                weighting: Weighting::Counted,
            });
        }
        arms
    }

    /// A short name, also of its files: `adam-balanced`.
    #[must_use]
    pub fn name(&self) -> String {
        let optimiser = match self.optimiser {
            Optimiser::Sgd if self.learning_rate > 0.05 => "sgd-fast",
            Optimiser::Sgd => "sgd",
            Optimiser::Momentum => "momentum",
            Optimiser::Adam => "adam",
        };
        let pairs = match (self.sampling, self.weighting) {
            (Sampling::Random | Sampling::Passes, Weighting::Halves) => "weighted",
            (Sampling::Random | Sampling::Passes, Weighting::Counted) => "random",
            (Sampling::Stratified, _) => "stratified",
            (Sampling::Balanced, _) => "balanced",
        };
        format!("{optimiser}-{pairs}")
    }

    /// The recipe: the original's, but for what the arm changes, and for first weights
    /// and pixels as the other recipes have them.
    #[must_use]
    pub fn recipe(&self, steps: usize, images: usize) -> Recipe {
        let original = RecipeName::Original.recipe();
        Recipe {
            optimiser: self.optimiser,
            learning_rate: self.learning_rate,
            sampling: self.sampling,
            weighting: self.weighting,
            epochs: (steps * original.batch) as f64 / images as f64,
            validation: 0.0,
            init: Init::HeUniform,
            pixel_bits: MODEL_BITS,
            ..original
        }
    }
}

/// How an arm did with one seed: the float network on the test images, the
/// training images being the gallery.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Run {
    /// The arm's name.
    pub arm: String,
    /// The seed.
    pub seed: u64,
    /// What the run follows from, as a digest of its plan.
    pub plan: String,
    /// Steps of `images_per_step` images.
    pub steps: usize,
    /// Images that each step embeds.
    pub images_per_step: usize,
    /// Fraction right by the vote of the 25 nearest.
    pub knn25: f64,
    /// Equal error rate of same-or-different decisions.
    pub eer: f64,
    /// Mean silhouette.
    pub silhouette: f64,
    /// Mean distance within classes over that between them.
    pub distance_ratio: f64,
}

/// What all runs of a study share.
#[derive(Debug)]
pub struct Study {
    /// Steps of each run.
    pub steps: usize,
    /// The images to train with, which are also the gallery.
    pub train: Arc<Dataset>,
    /// The images to judge by.
    pub test: Dataset,
    /// Where runs leave what they found.
    pub folder: PathBuf,
}

impl Study {
    /// Runs one arm with one seed, or reads what an earlier run left in the
    /// folder. Returns also the points of the test images. `None` if `stop`
    /// became true before the end; the same call goes on from there.
    ///
    /// # Errors
    /// If training fails or a file can't be read or written.
    pub fn run(
        &self,
        arm: &Arm,
        seed: u64,
        stop: &AtomicBool,
        report: impl FnMut(Event<'_>),
    ) -> Result<Option<(Run, Points)>> {
        let Self {
            steps,
            train,
            test,
            folder,
        } = self;
        let steps = *steps;
        let recipe = arm.recipe(steps, train.len());
        let plan = Plan::new(Preset::Reference, 2, recipe, seed, train)?;
        let digest = hex(&plan.digest());
        let file =
            |ending: &str| -> PathBuf { folder.join(format!("{}-{seed}.{ending}", arm.name())) };
        if let Some(run) = read_run(&file("json"))?
            && run.plan == digest
        {
            return Ok(Some((run, Points::read(&file("txt"))?)));
        }

        let partial = file("partial.safetensors");
        let outcome = fit(&plan, train, Device::Cpu, &partial, stop, report)?;
        let Outcome::Finished(trained) = outcome else {
            return Ok(None);
        };
        let network = &trained.network;
        let tensors = FoldedTensors::new(network, Device::Cpu);
        let gallery = embed_float(&tensors, network, &train.images)?;
        let queries = embed_float(&tensors, network, &test.images)?;
        let evaluation = evaluate(
            Labelled::new(&gallery, &train.labels)?,
            Labelled::new(&queries, &test.labels)?,
        )?;
        let run = Run {
            arm: arm.name(),
            seed,
            plan: digest,
            steps,
            images_per_step: plan.recipe.batch,
            knn25: evaluation.metrics.knn25,
            eer: evaluation.metrics.eer,
            silhouette: evaluation.metrics.silhouette,
            distance_ratio: evaluation.verification.distance_ratio,
        };
        queries.write(&file("txt"))?;
        write_atomic(&file("json"), |out| {
            Ok(serde_json::to_writer_pretty(out, &run)?)
        })?;
        if partial.exists() {
            std::fs::remove_file(&partial)
                .with_context(|| format!("can't remove {}", partial.display()))?;
        }
        Ok(Some((run, queries)))
    }
}

/// An earlier run's file; `None` if there is none.
fn read_run(path: &Path) -> Result<Option<Run>> {
    if !path.exists() {
        return Ok(None);
    }
    let text = limit::read_json(path).with_context(|| format!("can't read {}", path.display()))?;
    let run = serde_json::from_slice(&text)
        .with_context(|| format!("{} is no run of a study; delete it", path.display()))?;
    Ok(Some(run))
}

/// How uneven the batches of a sampling are, over some batches.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Unevenness {
    /// Mean share of same-class pairs.
    pub same_share: f64,
    /// The smallest and largest share of same-class pairs in a batch.
    pub same_share_range: (f64, f64),
    /// Mean number of images of a batch's most frequent class over that of its
    /// rarest.
    pub most_to_least: f64,
}

/// Looks at `batches` batches of `images` images in drawn pairs.
///
/// # Errors
/// As [`Sampler::new`].
pub fn unevenness(
    labels: &[Class],
    sampling: Sampling,
    images: usize,
    batches: u64,
) -> Result<Unevenness> {
    let sampler = Sampler::new(labels, images, sampling, Pairing::Drawn, false, 1)?;
    let mut shares = Vec::new();
    let mut most_to_least = 0.0;
    let mut present = vec![false; class_slots(labels)];
    for &label in labels {
        present[usize::from(label)] = true;
    }
    for step in 0..batches {
        let mut counts = vec![0u32; class_slots(labels)];
        let classes: Vec<Class> = sampler
            .draw(step, &mut sampler.generator(step))
            .images
            .into_iter()
            .map(|index| labels[index as usize])
            .collect();
        for &class in &classes {
            counts[usize::from(class)] += 1;
        }
        let (first, second) = classes.split_at(images / 2);
        let same = first.iter().zip(second).filter(|(a, b)| a == b).count();
        shares.push(same as f64 / (images / 2) as f64);
        let known = || {
            counts
                .iter()
                .zip(&present)
                .filter(|(_, present)| **present)
                .map(|(&c, _)| c)
        };
        let (most, least) = (known().max().unwrap_or(0), known().min().unwrap_or(0));
        most_to_least += f64::from(most) / f64::from(least.max(1)) / batches as f64;
    }
    Ok(Unevenness {
        same_share: shares.iter().sum::<f64>() / shares.len() as f64,
        same_share_range: (
            shares.iter().copied().fold(f64::INFINITY, f64::min),
            shares.iter().copied().fold(0.0, f64::max),
        ),
        most_to_least,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arms_have_names_of_their_own() {
        let mut arms = Arm::question();
        arms.extend(Arm::causes());
        let names: std::collections::HashSet<String> = arms.iter().map(Arm::name).collect();
        assert_eq!(names.len(), arms.len());
        for arm in arms {
            assert_eq!(arm.recipe(700, 60_000).steps(60_000), 700);
        }
    }

    #[test]
    fn sampling_shows_in_the_batches() {
        let labels: Vec<Class> = (0..1000u32).map(|i| (i % 10) as Class).collect();
        let of = |sampling| unevenness(&labels, sampling, 200, 200).unwrap();
        let random = of(Sampling::Random);
        assert!((random.same_share - 0.1).abs() < 0.01, "{random:?}");
        assert!(random.most_to_least > 1.5, "{random:?}");
        let stratified = of(Sampling::Stratified);
        assert!((stratified.same_share - 0.1).abs() < 0.01, "{stratified:?}");
        assert!(
            (stratified.most_to_least - 1.0).abs() < 1e-9,
            "{stratified:?}"
        );
        let balanced = of(Sampling::Balanced);
        assert_eq!(balanced.same_share_range, (0.5, 0.5));
    }
}
