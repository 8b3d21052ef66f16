//! How a network is trained: every knob, and the named sets of them.

pub mod augmentation;
pub mod bits;
mod plan;
mod preset;

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, bail, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

pub use augmentation::Augmentation;
pub use bits::Bits;
pub use plan::{Plan, are_slanted};
pub use preset::Preset;

/// Which images are drawn for a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sampling {
    /// Classes uniform, and as many same-class as different-class pairs
    Balanced,
    /// As many images of every class, paired without regard to it
    Stratified,
    /// Independent draws: with ten classes, one pair in ten is of one class
    Random,
    /// All images in a random order, pass after pass, as the original did: as
    /// many pairs of one class as with independent draws
    Passes,
}

/// What a network's parameters are before the first step.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Init {
    /// Weights uniform, as wide as suits a layer's inputs (He et al., 2015); biases 0
    #[default]
    HeUniform,
    /// As the original did: weights normal with a deviation of 0.01, drawn anew
    /// beyond two deviations; biases 0.01
    TruncatedNormal,
}

/// What same-class and different-class pairs weigh in the contrastive loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weighting {
    /// Half of the loss for each kind, however many pairs it has
    Halves,
    /// Every pair the same
    Counted,
}

/// Which pairs of a batch the loss compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pairing {
    /// Every two images of the batch: each image is embedded once
    All,
    /// Image i of the first half with image i of the second half
    Drawn,
}

/// The optimiser, without its learning rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Optimiser {
    /// Gradient descent
    Sgd,
    /// Gradient descent with momentum 0.9
    Momentum,
    /// Adam with decoupled weight decay (AdamW)
    Adam,
}

/// The learning rate over the steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// The same at every step
    Constant,
    /// Up over the first twentieth, then down to zero along a cosine
    OneCycle,
}

/// One term of the loss. `d` is the Euclidean distance of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Term {
    /// Same: `d²`; different: `max(0, margin − d)²`. Hadsell, Chopra and LeCun,
    /// "Dimensionality Reduction by Learning an Invariant Mapping" (2006).
    Contrastive,
    /// Maximally collapsing metric learning with a heavy-tailed similarity
    /// `s = (1 + d²)^−tail`: `−log(s / Σ s)`, mean over the same-class pairs.
    /// The loss: Globerson and Roweis, "Metric Learning by Collapsing Classes"
    /// (2005); the similarity, there with a tail of 1: van der Maaten and
    /// Hinton, "Visualizing Data using t-SNE" (2008).
    StudentT,
    /// The same with the similarity `s = exp(−d²)`.
    Gaussian,
    /// Every image is to be nearest to the mean of its own class in the batch,
    /// the image itself left out of it: cross-entropy over the classes with the
    /// logits `−tail · d²` to their means. Snell, Swersky and Zemel,
    /// "Prototypical Networks for Few-shot Learning" (2017), where some of a
    /// batch's images make the means and the others are compared.
    Prototypical,
    /// `max(0, d(anchor, same) − d(anchor, different) + margin)`, mean over the
    /// triplets that are above 0. Schroff, Kalenichenko and Philbin, "FaceNet"
    /// (2015).
    Triplet,
}

impl Term {
    const ALL: [(&'static str, Self); 5] = [
        ("contrastive", Self::Contrastive),
        ("student-t", Self::StudentT),
        ("gaussian", Self::Gaussian),
        ("triplet", Self::Triplet),
        ("prototypical", Self::Prototypical),
    ];
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = Self::ALL.iter().find(|(_, term)| term == self);
        f.write_str(named.map_or("", |(name, _)| name))
    }
}

/// A weighted sum of loss terms, written `student-t+0.2*contrastive`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Loss(pub Vec<(f64, Term)>);

impl FromStr for Loss {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let term = |part: &str| {
            let (weight, name) = part.split_once('*').unwrap_or(("1", part));
            let weight: f64 = weight
                .trim()
                .parse()
                .with_context(|| format!("'{weight}' is not a number"))?;
            ensure!(
                weight.is_finite() && weight > 0.0,
                "the weight of a loss term must be above 0"
            );
            let name = name.trim();
            match Term::ALL.iter().find(|(known, _)| *known == name) {
                Some(&(_, term)) => Ok((weight, term)),
                None => {
                    let known = Term::ALL.map(|(name, _)| name).join(", ");
                    bail!("'{name}' is no loss; there are: {known}")
                }
            }
        };
        text.split('+')
            .map(term)
            .collect::<anyhow::Result<_>>()
            .map(Self)
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (weight, term)) in self.0.iter().enumerate() {
            let plus = if index == 0 { "" } else { "+" };
            match *weight {
                1.0 => write!(f, "{plus}{term}")?,
                weight => write!(f, "{plus}{weight}*{term}")?,
            }
        }
        Ok(())
    }
}

/// Every choice of a training run but the network's sizes and the seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// What is minimised.
    pub loss: Loss,
    /// The distance beyond which different pairs no longer repel; for triplets,
    /// how much farther than same ones they must be. In real units.
    pub margin: f64,
    /// How fast the similarity falls off with the distance: the exponent of the
    /// student-t loss, the factor of `d²` of the prototypical one.
    pub tail: f64,
    /// Which images make a batch.
    pub sampling: Sampling,
    /// Which of its pairs count.
    pub pairing: Pairing,
    /// What the two kinds of pairs weigh.
    pub weighting: Weighting,
    /// Images in a batch.
    pub batch: usize,
    /// Passes over as many images as the training set has.
    pub epochs: f64,
    /// The steps, if they aren't what `epochs` makes of the set's size: see
    /// [`for_images`](Self::for_images).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<usize>,
    /// The optimiser.
    pub optimiser: Optimiser,
    /// Its (highest) learning rate.
    pub learning_rate: f64,
    /// The learning rate's course.
    pub schedule: Schedule,
    /// Decoupled weight decay (Adam only).
    pub weight_decay: f64,
    /// Batch normalisation after the hidden layers, folded at export.
    pub batch_norm: bool,
    /// How images are distorted.
    pub augmentation: Augmentation,
    /// Decay of the moving average of the weights over the second half of the
    /// steps; 0 keeps the last weights.
    pub averaging: f64,
    /// The gradient's largest norm; 0 doesn't clip.
    pub clip: f64,
    /// The first parameters.
    #[serde(default, skip_serializing_if = "is_default")]
    pub init: Init,
    /// Bits of a pixel that the network sees while it trains: [`MODEL_BITS`], as in
    /// the exported model, or 8.
    #[serde(default = "model_bits", skip_serializing_if = "are_models")]
    pub pixel_bits: u8,
    /// Bits of the model's numbers, which the network is trained for.
    #[serde(default, skip_serializing_if = "Bits::is_int8")]
    pub bits: Bits,
    /// The part of the steps, at the end, that train with everything rounded
    /// to what the integer model holds.
    pub tuning: f64,
    /// The part of the training images that is held out to watch by.
    pub validation: f64,
    /// Epochs without a better validation figure after which the first phase
    /// ends with the best one; 0 never does.
    pub patience: usize,
    /// The weight in the loss of the mean activation of hidden units: the
    /// higher, the more of them are zero, which kernels skip.
    #[serde(default, skip_serializing_if = "is_default")]
    pub sparsity: f64,
    /// Whether every class is also learnt turned and mirrored, in all eight
    /// ways, as eight classes: more classes than there are make an embedding
    /// that serves classes it never saw.
    #[serde(default, skip_serializing_if = "is_default")]
    pub symmetries: bool,
    /// The share of a batch's classes that are replaced by mixtures: half of an
    /// image of one class beside half of one of another, or the two on top of
    /// each other. Which two changes from batch to batch, so that there is no
    /// end of classes to be told apart.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mixtures: f64,
    /// Coordinates that an embedding has beside its own while the map forms: with more
    /// room, classes get past each other. They fade out over the first half of the steps
    /// with floats, and aren't part of the model.
    #[serde(default, skip_serializing_if = "is_default")]
    pub scaffold: usize,
    /// Networks that start beside the first, from other random weights. All see the same
    /// batches for the first tenth of the steps with floats; the one with the least loss in the
    /// later half of it goes on.
    #[serde(default, skip_serializing_if = "is_default")]
    pub restarts: usize,
}

/// The weight decay of small networks that train for long.
const DECAY_OF_LONG_RUNS: f64 = 1e-2;
/// The scaffold of large networks with two coordinates. Small ones gain nothing by one.
const SCAFFOLD_OF_A_MAP: usize = 6;
/// The part of the steps, at the end, that weights of few bits train with everything
/// rounded, unless another is asked for.
const FEW_BITS_TUNING: f64 = 0.1;
/// Bits of a pixel that a model takes.
pub const MODEL_BITS: u8 = 7;

const fn model_bits() -> u8 {
    MODEL_BITS
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn are_models(bits: &u8) -> bool {
    *bits == MODEL_BITS
}

/// Whether a knob is as it is when nobody asks for it, which leaves it out of a plan's JSON:
/// the digests of plans that are older than the knob stay.
fn is_default<T: Default + PartialEq>(knob: &T) -> bool {
    *knob == T::default()
}

/// The named recipes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecipeName {
    /// All pairs of balanced batches by a heavy-tailed loss, Adam, one-cycle,
    /// augmentation, batch normalisation
    Default,
    /// The original network's: 784-1024-1024-2, contrastive loss with margin 5,
    /// 128 random pairs a step, plain SGD at 0.01, 50,000 steps
    Original,
    /// For classes that are enrolled later: prototypical loss, every class also
    /// turned and mirrored as classes of their own, mixtures of classes, strong
    /// distortions
    FewShot,
}

impl RecipeName {
    /// The recipe of that name for a preset and a number of coordinates: small
    /// networks profit from gentler distortions, large ones from smaller and
    /// fewer steps; more coordinates allow tighter classes, and go on learning
    /// when two are long exhausted.
    #[must_use]
    pub fn recipe_for(self, preset: Preset, dim: usize) -> Recipe {
        let mut recipe = self.recipe();
        recipe.bits = preset.bits();
        if recipe.bits.has_few() {
            recipe.tuning = recipe.tuning.max(FEW_BITS_TUNING);
        }
        if self != Self::Default {
            return recipe;
        }
        if dim > 4 {
            let recipe = Recipe {
                tail: 12.0,
                epochs: 200.0,
                validation: 0.02,
                ..recipe
            };
            return match preset {
                // The price spares a device a quarter of its work, at no loss.
                Preset::Tiny => Recipe {
                    augmentation: Augmentation::LIGHT,
                    epochs: 600.0,
                    weight_decay: DECAY_OF_LONG_RUNS,
                    sparsity: 0.3,
                    ..recipe
                },
                Preset::Reference => Recipe {
                    learning_rate: 0.008,
                    ..recipe
                },
                Preset::Small | Preset::Swift | Preset::Medium => recipe,
            };
        }
        match preset {
            // A map of few units is laid out early: of several starts, the better ones show.
            Preset::Tiny => Recipe {
                augmentation: Augmentation::LIGHT,
                epochs: 600.0,
                weight_decay: DECAY_OF_LONG_RUNS,
                sparsity: 0.3,
                restarts: 3,
                ..recipe
            },
            // The price costs nothing here, and spares a device a seventh of its work.
            Preset::Small => Recipe {
                epochs: 200.0,
                weight_decay: DECAY_OF_LONG_RUNS,
                sparsity: 0.3,
                ..recipe
            },
            // Four grey levels leave less to learn from. Weights of few bits go on learning
            // for long, unless active units cost more than they bring.
            Preset::Swift => Recipe {
                augmentation: Augmentation::LIGHT,
                epochs: 600.0,
                weight_decay: DECAY_OF_LONG_RUNS,
                sparsity: 0.1,
                ..recipe
            },
            Preset::Medium => Recipe {
                epochs: 200.0,
                scaffold: SCAFFOLD_OF_A_MAP,
                ..recipe
            },
            Preset::Reference => Recipe {
                epochs: 80.0,
                learning_rate: 0.008,
                sparsity: 0.3,
                scaffold: SCAFFOLD_OF_A_MAP,
                ..recipe
            },
        }
    }

    /// The preset that the recipe is for, unless another is asked for.
    #[must_use]
    pub const fn preset(self) -> Preset {
        match self {
            Self::Default | Self::FewShot => Preset::Small,
            Self::Original => Preset::Reference,
        }
    }

    /// The coordinates of an embedding, unless others are asked for.
    #[must_use]
    pub const fn dim(self) -> usize {
        match self {
            Self::Default | Self::Original => 2,
            Self::FewShot => 64,
        }
    }

    /// The name of the model files that it makes.
    #[must_use]
    pub fn model_name(self, preset: Preset, dim: usize) -> String {
        match self {
            Self::Default => preset.model_name(dim),
            Self::Original => "original".into(),
            Self::FewShot if dim == self.dim() => format!("{}-fewshot", preset.name()),
            Self::FewShot => format!("{}-fewshot-d{dim}", preset.name()),
        }
    }

    /// The recipe of that name, for `small` with two coordinates.
    #[must_use]
    pub fn recipe(self) -> Recipe {
        match self {
            Self::Default => Recipe {
                loss: Loss(vec![(1.0, Term::StudentT)]),
                margin: 5.0,
                tail: 3.0,
                sampling: Sampling::Balanced,
                pairing: Pairing::All,
                weighting: Weighting::Halves,
                batch: 500,
                epochs: 100.0,
                steps: None,
                optimiser: Optimiser::Adam,
                learning_rate: 0.016,
                schedule: Schedule::OneCycle,
                weight_decay: 1e-3,
                batch_norm: true,
                augmentation: Augmentation::ROBUST,
                averaging: 0.999,
                clip: 5.0,
                init: Init::HeUniform,
                pixel_bits: MODEL_BITS,
                bits: Bits::INT8,
                tuning: 0.05,
                validation: 0.05,
                patience: 0,
                sparsity: 0.0,
                symmetries: false,
                mixtures: 0.0,
                scaffold: 0,
                restarts: 0,
            },
            Self::FewShot => Recipe {
                loss: Loss(vec![(1.0, Term::Prototypical)]),
                tail: 0.1,
                batch: 512,
                epochs: 40.0,
                weight_decay: 0.3,
                augmentation: Augmentation::STRONG,
                validation: 0.02,
                symmetries: true,
                mixtures: 0.25,
                ..Self::Default.recipe()
            },
            Self::Original => Recipe {
                loss: Loss(vec![(1.0, Term::Contrastive)]),
                margin: 5.0,
                tail: 3.0,
                sampling: Sampling::Passes,
                pairing: Pairing::Drawn,
                weighting: Weighting::Counted,
                batch: 256,
                epochs: 50_000.0 * 256.0 / 55_000.0,
                steps: None,
                optimiser: Optimiser::Sgd,
                learning_rate: 0.01,
                schedule: Schedule::Constant,
                weight_decay: 0.0,
                batch_norm: false,
                augmentation: Augmentation::NONE,
                averaging: 0.0,
                clip: 0.0,
                init: Init::TruncatedNormal,
                pixel_bits: 8,
                bits: Bits::INT8,
                tuning: 0.0,
                // TensorFlow's reader, which the original used, sets 5,000 of the
                // 60,000 images apart.
                validation: 1.0 / 12.0,
                patience: 0,
                sparsity: 0.0,
                symmetries: false,
                mixtures: 0.0,
                scaffold: 0,
                restarts: 0,
            },
        }
    }
}

/// The least steps of a run whose length nobody asked for. A network needs about
/// so many to form a map, however few images there are.
pub const LEAST_STEPS: usize = 2_000;
/// The most steps of a run.
const MOST_STEPS: f64 = 1e9;
/// The most images of a batch whose pairs all count: a matrix of all pairs then
/// takes 256 MiB.
const MOST_IN_A_MATRIX: usize = 8_192;
/// The most images of any batch.
const MOST_IN_A_BATCH: usize = 65_536;
/// The most coordinates of a scaffold.
const MOST_OF_A_SCAFFOLD: usize = 64;
/// The most networks that start beside the first.
const MOST_RESTARTS: usize = 64;

impl Recipe {
    /// The same recipe for a run on `images` training images whose length nobody
    /// asked for: with at least [`LEAST_STEPS`]. Passes over a small set are short,
    /// and a fixed number of them would end before anything is learnt.
    #[must_use]
    pub fn for_images(self, images: usize) -> Self {
        let short = self.steps(images) < LEAST_STEPS;
        Self {
            steps: if short { Some(LEAST_STEPS) } else { self.steps },
            ..self
        }
    }

    /// The steps that it takes on `images` training images, at least 1.
    #[must_use]
    pub fn steps(&self, images: usize) -> usize {
        self.steps.unwrap_or_else(|| {
            (self.epochs * images as f64 / self.batch as f64)
                .round()
                .max(1.0) as usize
        })
    }

    /// The steps on `images` training images, split into those with floats and
    /// those with integers.
    #[must_use]
    pub fn phases(&self, images: usize) -> [usize; 2] {
        let all = self.steps(images);
        let tuning = (self.tuning * all as f64).round() as usize;
        [all - tuning, tuning]
    }

    /// The learning rate at `step` of `steps`.
    #[must_use]
    pub fn learning_rate_at(&self, step: usize, steps: usize) -> f64 {
        const WARM_UP: f64 = 0.05;
        const START: f64 = 0.04;
        match self.schedule {
            Schedule::Constant => self.learning_rate,
            Schedule::OneCycle => {
                let progress = (step as f64 + 0.5) / steps as f64;
                let cosine = |from: f64, to: f64, t: f64| {
                    to + (from - to) * 0.5 * (1.0 + (std::f64::consts::PI * t).cos())
                };
                let factor = if progress < WARM_UP {
                    cosine(START, 1.0, progress / WARM_UP)
                } else {
                    cosine(1.0, 0.0, (progress - WARM_UP) / (1.0 - WARM_UP))
                };
                self.learning_rate * factor
            }
        }
    }

    /// Checks the ranges of all knobs.
    ///
    /// # Errors
    /// One sentence that names the knob that is out of range.
    pub fn check(&self) -> anyhow::Result<()> {
        self.check_batch()?;
        self.check_optimiser()?;
        self.check_parts()?;
        self.check_bits()?;
        self.augmentation.check()?;
        let Loss(terms) = &self.loss;
        ensure!(!terms.is_empty(), "--loss needs at least one term");
        for (weight, _) in terms {
            above_zero(*weight, "the weight of a term of --loss")?;
        }
        above_zero(self.margin, "--margin")?;
        above_zero(self.tail, "--tail")?;
        let all_pairs_only = terms.iter().any(|(_, term)| *term != Term::Contrastive);
        ensure!(
            !(all_pairs_only && self.pairing == Pairing::Drawn),
            "of the losses, only contrastive compares drawn pairs: use --pairing all"
        );
        Ok(())
    }

    /// How much is seen.
    fn check_batch(&self) -> anyhow::Result<()> {
        ensure!(self.batch >= 4, "--batch must be at least 4 images");
        ensure!(
            self.batch.is_multiple_of(2),
            "--batch must be even: a batch holds pairs"
        );
        let most = match self.pairing {
            Pairing::All => MOST_IN_A_MATRIX,
            Pairing::Drawn => MOST_IN_A_BATCH,
        };
        ensure!(
            self.batch <= most,
            "--batch must be at most {most} images where the pairing is {}",
            match self.pairing {
                Pairing::All => "all",
                Pairing::Drawn => "drawn",
            }
        );
        ensure!(
            self.epochs > 0.0 && self.epochs <= 1e6,
            "--epochs must be above 0 and at most 1000000"
        );
        ensure!(
            self.steps
                .is_none_or(|steps| (1.0..=MOST_STEPS).contains(&(steps as f64))),
            "--steps must be 1 to {MOST_STEPS}"
        );
        Ok(())
    }

    /// How the weights move.
    fn check_optimiser(&self) -> anyhow::Result<()> {
        above_zero(self.learning_rate, "--learning-rate")?;
        at_least_zero(self.weight_decay, "--weight-decay")?;
        ensure!(
            self.learning_rate * self.weight_decay < 1.0,
            "--weight-decay times --learning-rate must be below 1: more would turn weights round"
        );
        at_least_zero(self.clip, "--clip")?;
        at_least_zero(self.sparsity, "--sparsity")
    }

    /// The bits of the numbers, and the steps that few bits need.
    fn check_bits(&self) -> anyhow::Result<()> {
        self.bits.check()?;
        ensure!(
            !self.bits.has_few() || self.tuning > 0.0,
            "weights of fewer than 8 bits need steps with everything rounded: use a --qat above \
             0, such as 0.1, or --weight-bits 8"
        );
        ensure!(
            self.bits.is_int8() || self.pixel_bits == MODEL_BITS,
            "a network of fewer bits sees pixels as the model does: use --pixel-bits {MODEL_BITS}"
        );
        Ok(())
    }

    /// The knobs that are a part of something.
    fn check_parts(&self) -> anyhow::Result<()> {
        ensure!(
            (0.0..1.0).contains(&self.averaging),
            "--ema must be at least 0 and below 1"
        );
        ensure!((0.0..=0.5).contains(&self.tuning), "--qat must be 0 to 0.5");
        ensure!(
            (0.0..=0.5).contains(&self.validation),
            "--validation must be 0 to 0.5"
        );
        ensure!(
            [MODEL_BITS, 8].contains(&self.pixel_bits),
            "--pixel-bits must be {MODEL_BITS}, as in the exported model, or 8"
        );
        ensure!(
            self.pixel_bits == MODEL_BITS || self.tuning == 0.0,
            "steps with everything rounded see pixels of {MODEL_BITS} bits: use --pixel-bits \
             {MODEL_BITS}, or --qat 0"
        );
        ensure!(
            (0.0..=1.0).contains(&self.mixtures),
            "--mixtures must be 0 to 1"
        );
        ensure!(
            self.patience == 0 || self.validation > 0.0,
            "--patience needs validation images: use a --validation above 0"
        );
        ensure!(
            self.scaffold <= MOST_OF_A_SCAFFOLD,
            "--scaffold must be at most {MOST_OF_A_SCAFFOLD} coordinates"
        );
        ensure!(
            self.restarts <= MOST_RESTARTS,
            "--restarts must be at most {MOST_RESTARTS}"
        );
        Ok(())
    }
}

fn above_zero(knob: f64, name: &str) -> anyhow::Result<()> {
    ensure!(
        knob.is_finite() && knob > 0.0,
        "{name} must be a number above 0, not {knob}"
    );
    Ok(())
}

fn at_least_zero(knob: f64, name: &str) -> anyhow::Result<()> {
    ensure!(
        knob.is_finite() && knob >= 0.0,
        "{name} must be a number of at least 0, not {knob}"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_read_back_as_written() {
        for text in [
            "contrastive",
            "student-t+0.2*contrastive",
            "0.5*gaussian",
            "prototypical",
        ] {
            assert_eq!(text.parse::<Loss>().unwrap().to_string(), text);
        }
        let error = "contrastiv".parse::<Loss>().unwrap_err().to_string();
        assert!(error.contains("contrastive, student-t"), "{error}");
        assert!("-1*contrastive".parse::<Loss>().is_err());
    }

    #[test]
    fn one_cycle_rises_then_falls_to_zero() {
        let recipe = RecipeName::Default.recipe();
        let rates: Vec<f64> = (0..100).map(|s| recipe.learning_rate_at(s, 100)).collect();
        assert!(rates[0] < 0.1 * recipe.learning_rate);
        assert!(rates[4] > 0.95 * recipe.learning_rate);
        assert!(rates[5..].windows(2).all(|w| w[1] < w[0]));
        assert!(rates[99] < 1e-3 * recipe.learning_rate);
    }

    #[test]
    fn the_original_takes_fifty_thousand_steps() {
        // Of MNIST's images one in twelve is set apart.
        assert_eq!(RecipeName::Original.recipe().steps(55_000), 50_000);
    }

    #[test]
    fn a_small_set_gets_enough_steps_and_a_large_one_its_passes() {
        for recipe in [RecipeName::Default, RecipeName::FewShot].map(RecipeName::recipe) {
            let small = recipe.clone().for_images(190);
            assert_eq!(small.steps(190), LEAST_STEPS);
            assert_eq!(small.phases(190), [1900, 100]);
            // Nothing of the plan of a large set changes, so that its digest stays.
            assert_eq!(recipe.clone().for_images(57_000), recipe);
        }
        let json = serde_json::to_string(&RecipeName::Default.recipe()).unwrap();
        for later in [
            "steps",
            "init",
            "\"bits",
            "pixel_bits",
            "scaffold",
            "restarts",
        ] {
            assert!(!json.contains(later), "{json}");
        }
    }

    #[test]
    fn knobs_out_of_range_are_named() {
        type Change = fn(&mut Recipe, f64);
        let knobs: [(&str, Change, &[f64]); 11] = [
            ("--weight-decay", |r, v| r.weight_decay = v, &[-5.0, 1e6]),
            ("--clip", |r, v| r.clip = v, &[-1.0]),
            ("--sparsity", |r, v| r.sparsity = v, &[-1.0]),
            ("--learning-rate", |r, v| r.learning_rate = v, &[0.0, -1.0]),
            ("--margin", |r, v| r.margin = v, &[0.0, -1.0]),
            ("--tail", |r, v| r.tail = v, &[0.0, -1.0]),
            ("--epochs", |r, v| r.epochs = v, &[0.0, -1.0, 1e7]),
            ("--ema", |r, v| r.averaging = v, &[-0.1, 1.0]),
            ("--qat", |r, v| r.tuning = v, &[-0.1, 0.6]),
            ("--validation", |r, v| r.validation = v, &[-0.1, 0.6]),
            ("--loss", |r, v| r.loss.0[0].0 = v, &[0.0, -1.0]),
        ];
        for (name, change, values) in knobs {
            let never = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
            for &value in values.iter().chain(&never) {
                let mut recipe = RecipeName::Default.recipe();
                change(&mut recipe, value);
                let error = recipe.check().unwrap_err().to_string();
                assert!(error.contains(name), "{name} of {value}: {error}");
            }
        }
        let with = |change: fn(&mut Recipe)| {
            let mut recipe = RecipeName::Default.recipe();
            change(&mut recipe);
            recipe.check()
        };
        assert!(with(|r| r.steps = Some(0)).is_err());
        assert!(with(|r| r.batch = 1_000_000).is_err());
        assert!(with(|r| r.batch = 5).is_err());
        assert!(with(|r| r.pixel_bits = 6).is_err());
        assert!(with(|r| r.scaffold = 65).is_err());
        assert!(with(|r| r.scaffold = 64).is_ok());
        assert!(with(|r| r.restarts = 65).is_err());
        assert!(with(|r| r.restarts = 64).is_ok());
        assert!(with(|r| r.pixel_bits = 8).is_err());
        assert!(with(|r| (r.pixel_bits, r.tuning) = (8, 0.0)).is_ok());
        assert!(with(|r| r.loss.0.clear()).is_err());
        assert!(with(|r| r.patience = 3).is_ok());
        for name in RecipeName::value_variants() {
            name.recipe().check().unwrap();
        }
    }

    #[test]
    fn impossible_distortions_are_named() {
        type Change = fn(&mut Augmentation, f32);
        let knobs: [(Change, &[f32]); 9] = [
            (|a, v| a.shift = v, &[-1.0]),
            (|a, v| a.rotation = v, &[-1.0]),
            (|a, v| a.scale = v, &[-1.0, 1.0]),
            (|a, v| a.shear = v, &[-1.0]),
            (|a, v| a.elastic = v, &[-1.0]),
            (|a, v| a.thickness = v, &[-0.1, 1.1]),
            (|a, v| a.blur = v, &[-0.1, 1.1]),
            (|a, v| a.noise = v, &[-0.1, 1.1]),
            (|a, v| a.clean = v, &[-0.1, 1.1]),
        ];
        for (change, values) in knobs {
            for &value in values.iter().chain(&[f32::NAN, f32::INFINITY]) {
                let mut strength = Augmentation::ROBUST;
                change(&mut strength, value);
                assert!(strength.check().is_err(), "{strength:?}");
            }
        }
    }
}
