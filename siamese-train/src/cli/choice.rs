//! What to train, and how: the options that `train` and `fewshot` have in common.

use siamese_train::dataset::Class;
use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use clap::{ValueEnum, value_parser};
use siamese_core::image::Pooling;
use siamese_core::model::{LAYERS, MAX_DIM, MAX_NAME};
use siamese_train::dataset::Dataset;
use siamese_train::files::hex;
use siamese_train::recipe::Augmentation;
use siamese_train::recipe::Plan;
use siamese_train::recipe::Preset;
use siamese_train::recipe::{
    Init, Loss, Optimiser, Pairing, Recipe, RecipeName, Sampling, Schedule, Weighting, are_slanted,
};

/// The network and how it is trained.
#[derive(Debug, clap::Args)]
pub struct Choice {
    /// The sizes of the hidden layers [default: small, or the recipe's own]
    #[arg(long, value_enum)]
    preset: Option<Preset>,
    /// Coordinates of an embedding, 1 to 64: 2 to look at, 16 to identify, 64 to enrol new
    /// classes [default: the recipe's]
    #[arg(long, value_parser = value_parser!(u8).range(1..=MAX_DIM as i64))]
    dim: Option<u8>,
    /// Units of the two hidden layers, such as 96,48 [default: the preset's]
    #[arg(long, value_name = "N,N", value_parser = two_sizes)]
    hidden: Option<[usize; 2]>,
    /// What the first layer takes of an image [default: the preset's]
    #[arg(long, value_enum)]
    pooling: Option<PoolingArg>,
    /// Whether what is drawn is set upright first: of slanted writing, small networks tell more
    /// apart then, and a device takes some thousand instructions more
    #[arg(long, value_enum, default_value_t = Deskew::Never)]
    deskew: Deskew,
    /// What everything random follows from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Passes over the training images [default: the recipe's, or more for a small set]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    epochs: Option<f64>,
    /// Steps of a batch each, instead of passes
    #[arg(long, value_name = "N", conflicts_with = "epochs")]
    steps: Option<usize>,
    #[command(flatten)]
    knobs: Knobs,
}

impl Choice {
    /// What everything random follows from.
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// The plan to train by a recipe on `train` without some of its classes,
    /// which are no longer in it.
    pub fn plan(
        &self,
        recipe: RecipeName,
        train: &Dataset,
        without: &BTreeSet<Class>,
    ) -> Result<Plan> {
        let preset = self.preset.unwrap_or(recipe.preset());
        let dim = self.dim.map_or(recipe.dim(), usize::from);
        let mut chosen = recipe.recipe_for(preset, dim);
        self.knobs.apply(&mut chosen);
        if let Some(epochs) = self.epochs {
            chosen.epochs = epochs;
        }
        chosen.steps = self.steps;
        chosen.check()?;
        if self.epochs.is_none() && self.steps.is_none() {
            let training = train.len() - train.held_out(chosen.validation);
            chosen = chosen.for_images(training);
        }
        let mut plan = Plan::new(preset, dim, chosen, self.seed, train)?;
        plan.without.clone_from(without);
        plan.hidden = self.hidden;
        if let Some(pooling) = self.pooling {
            plan.input.pooling = pooling.into();
        }
        plan.input.deskew = match self.deskew {
            Deskew::Never => false,
            Deskew::Auto => are_slanted(train),
            Deskew::Always => true,
        };
        plan.check()?;
        Ok(plan)
    }
}

/// The name of a model that was trained by a recipe: `small`,
/// `small-fewshot-without-789`.
pub fn model_name(recipe: RecipeName, plan: &Plan) -> String {
    let name = recipe.model_name(plan.preset, plan.dim);
    if plan.without.is_empty() {
        return name;
    }
    let classes: Vec<String> = plan.without.iter().map(Class::to_string).collect();
    let one_digit = plan.without.iter().all(|&class| class < 10);
    let full = format!(
        "{name}-without-{}",
        classes.join(if one_digit { "" } else { "-" })
    );
    if full.len() <= MAX_NAME {
        return full;
    }
    // Too many to be told in a model's header.
    let digest = hex(&plan.digest());
    format!("{name}-{}", &digest[..8])
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

/// Reads `3`, the bits of both hidden layers, or `3,3,8`.
fn weight_bits(text: &str) -> Result<[u8; LAYERS]> {
    match numbers(text)?[..] {
        [hidden] => Ok([hidden, hidden, 8]),
        [first, second, last] => Ok([first, second, last]),
        _ => bail!("give the bits of the hidden layers' weights, such as 3, or of all: 3,3,8"),
    }
}

/// Reads `7`, the bits of both layers' activations, or `7,7`.
fn hidden_bits(text: &str) -> Result<[u8; LAYERS - 1]> {
    match numbers(text)?[..] {
        [both] => Ok([both, both]),
        [first, second] => Ok([first, second]),
        _ => bail!("give the bits of both hidden layers' activations, such as 7,7"),
    }
}

/// Reads `3,3,8`.
fn numbers(text: &str) -> Result<Vec<u8>> {
    let number = |number: &str| {
        let number = number.trim();
        number
            .parse()
            .with_context(|| format!("'{number}' is no number of bits"))
    };
    text.split(',').map(number).collect()
}

/// Changes to the recipe.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Recipe")]
struct Knobs {
    /// Loss: contrastive, student-t, gaussian, triplet, prototypical;
    /// `student-t+0.2*contrastive` adds two
    #[arg(long, value_name = "TERMS")]
    loss: Option<Loss>,
    /// Distance that the contrastive and triplet losses want
    #[arg(long, value_name = "UNITS", allow_negative_numbers = true)]
    margin: Option<f64>,
    /// How fast similarity falls off, in the student-t and prototypical losses: higher gathers
    /// classes more tightly
    #[arg(long, value_name = "EXPONENT", allow_negative_numbers = true)]
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
    #[arg(long, value_name = "RATE", allow_negative_numbers = true)]
    learning_rate: Option<f64>,
    /// The learning rate's course
    #[arg(long, value_enum)]
    schedule: Option<Schedule>,
    /// Shrinks weights at each step (Adam)
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    weight_decay: Option<f64>,
    /// Normalise hidden layers while training
    #[arg(long, value_name = "BOOL")]
    batch_norm: Option<bool>,
    /// How strongly training images are distorted
    #[arg(long, value_enum)]
    augment: Option<Augment>,
    /// Decay of the weights' exponential moving average, 0 for none
    #[arg(
        long = "ema",
        alias = "averaging",
        value_name = "DECAY",
        allow_negative_numbers = true
    )]
    averaging: Option<f64>,
    /// Largest norm of the gradient, 0 for any
    #[arg(long, value_name = "NORM", allow_negative_numbers = true)]
    clip: Option<f64>,
    /// The first parameters
    #[arg(long, value_enum)]
    init: Option<Init>,
    /// Bits of a pixel that the network sees while it trains: 7, as on a device, or 8
    #[arg(long, value_name = "BITS")]
    pixel_bits: Option<u8>,
    /// Bits of a grey level that the model takes, 1 to 7: 2 are four levels, and faster
    /// [default: the preset's]
    #[arg(long, value_name = "BITS")]
    grey_bits: Option<u8>,
    /// Bits of the weights, 2, 3, 4 or 8, of the two hidden layers or of all three, of which the
    /// last has 8, such as 3,3,8: fewer are faster and smaller, and need more epochs
    /// [default: the preset's]
    #[arg(long, value_name = "BITS", value_parser = weight_bits)]
    weight_bits: Option<[u8; LAYERS]>,
    /// Bits of the hidden layers' activations, 1 to 7, such as 7,7 [default: the preset's]
    #[arg(long, value_name = "N,N", value_parser = hidden_bits)]
    hidden_bits: Option<[u8; LAYERS - 1]>,
    /// Quantisation-aware training: part of the steps, at the end, with rounded weights and
    /// activations
    #[arg(
        long = "qat",
        alias = "tuning",
        value_name = "PART",
        allow_negative_numbers = true
    )]
    tuning: Option<f64>,
    /// Part of the training images held out to watch by
    #[arg(long, value_name = "PART", allow_negative_numbers = true)]
    validation: Option<f64>,
    /// Stop after so many epochs without a better knn25 of the held-out images, 0 for never
    #[arg(long, value_name = "EPOCHS")]
    patience: Option<usize>,
    /// What active hidden units cost in the loss: more zeros, a faster device
    #[arg(long, value_name = "WEIGHT", allow_negative_numbers = true)]
    sparsity: Option<f64>,
    /// Learn every class also turned and mirrored, each way as a class of its own
    #[arg(long, value_name = "BOOL")]
    symmetries: Option<bool>,
    /// Part of the classes of a batch that are made of two classes, half beside half or one on
    /// top of the other
    #[arg(long, value_name = "PART")]
    mixtures: Option<f64>,
    /// Coordinates beside those of the embedding that fade out over the first half of the steps:
    /// room for classes to get past each other while a map of few coordinates forms
    #[arg(long, value_name = "N")]
    scaffold: Option<usize>,
    /// Networks that start beside the first from other random weights; the one that learns best
    /// in the first tenth of the steps goes on
    #[arg(long, value_name = "N")]
    restarts: Option<usize>,
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
        set(&mut recipe.init, &self.init);
        set(&mut recipe.pixel_bits, &self.pixel_bits);
        set(&mut recipe.bits.grey, &self.grey_bits);
        set(&mut recipe.bits.weights, &self.weight_bits);
        set(&mut recipe.bits.hidden, &self.hidden_bits);
        set(&mut recipe.tuning, &self.tuning);
        set(&mut recipe.validation, &self.validation);
        set(&mut recipe.patience, &self.patience);
        set(&mut recipe.sparsity, &self.sparsity);
        set(&mut recipe.symmetries, &self.symmetries);
        set(&mut recipe.mixtures, &self.mixtures);
        set(&mut recipe.scaffold, &self.scaffold);
        set(&mut recipe.restarts, &self.restarts);
        if let Some(augment) = self.augment {
            recipe.augmentation = augment.strength();
        }
    }
}

/// Named strengths of augmentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Augment {
    /// Every image as it is
    None,
    /// Shifted, turned, bent a little
    Light,
    /// More of it, and other pens, blur and noise: for images from a real device
    Robust,
    /// Moved and bent as far as a reader can bear: for classes that are enrolled later
    Strong,
}

impl Augment {
    /// The name of a strength, if it has one.
    pub fn name_of(strength: Augmentation) -> Option<String> {
        let named = Self::value_variants()
            .iter()
            .find(|name| name.strength() == strength);
        named.and_then(|name| Some(name.to_possible_value()?.get_name().to_owned()))
    }

    const fn strength(self) -> Augmentation {
        match self {
            Self::None => Augmentation::NONE,
            Self::Light => Augmentation::LIGHT,
            Self::Robust => Augmentation::ROBUST,
            Self::Strong => Augmentation::STRONG,
        }
    }
}

/// When images are set upright.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Deskew {
    /// As they are
    Never,
    /// If that makes images of a class more alike
    Auto,
    /// Upright
    Always,
}

/// [`Pooling`] as an option's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PoolingArg {
    /// Every pixel
    None,
    /// The sums of 2x2 pixels: a quarter of the weights and of the time
    #[value(name = "2x2")]
    Sum2x2,
    /// Every other pixel, as on a chessboard: half of the weights and of the time
    Checkerboard,
    /// The sums of 2x2 pixels, without the outermost two on each side: for pictures whose ink is
    /// centred, and leaves a border
    #[value(name = "inner-2x2")]
    Inner2x2,
    /// Every other pixel, without the outermost two on each side
    InnerCheckerboard,
}

impl From<PoolingArg> for Pooling {
    fn from(pooling: PoolingArg) -> Self {
        match pooling {
            PoolingArg::None => Self::None,
            PoolingArg::Sum2x2 => Self::Sum2x2,
            PoolingArg::Checkerboard => Self::Checkerboard,
            PoolingArg::Inner2x2 => Self::Inner2x2,
            PoolingArg::InnerCheckerboard => Self::InnerCheckerboard,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_read_for_all_layers_or_each() {
        assert_eq!(weight_bits("3").unwrap(), [3, 3, 8]);
        assert_eq!(weight_bits("2, 4,8").unwrap(), [2, 4, 8]);
        assert_eq!(hidden_bits("6").unwrap(), [6, 6]);
        assert_eq!(hidden_bits("7,5").unwrap(), [7, 5]);
        let error = |text| weight_bits(text).unwrap_err().to_string();
        assert!(error("3,3").contains("3,3,8"));
        assert!(error("3,x,8").contains("'x'"));
        assert!(hidden_bits("7,7,7").is_err() && hidden_bits("").is_err());
    }
}
