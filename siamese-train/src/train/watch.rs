//! What is seen while a run goes on: the validation images, the hidden units,
//! the loss, and the map as it forms.

use crate::dataset::Class;
use std::time::Duration;

use anyhow::{Context, Result};
use siamese_core::model::LAYERS;
use tch::{Device, Kind, Tensor, no_grad};

use crate::batch::loader::inputs_of;
use crate::dataset::{Dataset, Images};
use crate::embed::points::Points;
use crate::evaluate::{Labelled, neighbours};
use crate::export::quantise::{activation_scale, activation_shift};
use crate::recipe::Plan;
use crate::recipe::bits::largest;
use crate::train::checkpoint::{Checkpoint, NamedTensor, Progress};
use crate::train::float_network::FloatNetwork;
use crate::train::history::{Epoch, Film};
use crate::train::network::{FoldedTensors, Network, Units, to_vec};

/// Training images that validation images are compared with, and that the
/// units of the integer phase are fitted to.
const GALLERY: usize = 5_000;
/// The name of a film's tensors in a checkpoint.
const FILM: &str = "film";
/// The least steps between two looks at the validation images: a pass over a
/// small set is shorter than a look.
const LEAST_BETWEEN: usize = 20;
/// Pictures of a film, and points in each.
const FRAMES: usize = 60;
const FILMED: usize = 1_500;

/// The watcher of one run.
#[derive(Debug)]
pub(super) struct Watch {
    /// Steps of a pass over the training images, at least 1.
    pass: usize,
    /// Steps between two looks: a pass, or more.
    epoch: usize,
    /// Steps of the float phase.
    steps: usize,
    gallery: Watched,
    validation: Option<Watched>,
    /// Sum of the losses since the last epoch ended, and their number.
    loss: (Tensor, usize),
    pub history: Vec<Epoch>,
    /// The tensors of the best epoch so far, kept if the run may stop early.
    best: Option<(f64, Vec<Tensor>)>,
    keeps_best: bool,
    pub film: Film,
}

/// Where a run stands when an epoch ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment<'a> {
    /// The network that would come out if the run ended here.
    pub network: &'a FloatNetwork,
    /// Steps taken.
    pub step: usize,
    /// Whether the phase with rounded weights and activations has begun.
    pub integers: bool,
    /// The time that the rest is thought to take.
    pub left: Duration,
}

/// Images as the first layer takes them.
#[derive(Debug)]
struct Watched {
    inputs: Tensor,
    labels: Vec<Class>,
}

impl Watched {
    fn new(plan: &Plan, images: &Images, labels: Vec<Class>, device: Device) -> Self {
        let inputs = Tensor::from_slice(&inputs_of(
            plan.input,
            plan.recipe.bits.grey,
            images.pixels(),
        ));
        Self {
            inputs: inputs
                .reshape([-1, plan.input.activations() as i64])
                .to_device(device),
            labels,
        }
    }

    fn points(&self, tensors: &FoldedTensors, dim: usize) -> Result<Points> {
        let [_, _, embeddings] = tensors.forward(&self.inputs);
        Points::new(dim, to_vec(&embeddings))
    }
}

impl Watch {
    pub(super) fn new(
        plan: &Plan,
        training: &Dataset,
        validation: &Dataset,
        device: Device,
    ) -> Result<Self> {
        let step = training.len().div_ceil(GALLERY).max(1);
        let spread: Vec<usize> = (0..training.len()).step_by(step).collect();
        let part = training.subset(&spread);
        let gallery = Watched::new(plan, &part.images, part.labels, device);
        let validation = (!validation.is_empty())
            .then(|| Watched::new(plan, &validation.images, validation.labels.clone(), device));
        let filmed = validation.as_ref().unwrap_or(&gallery);
        let film = Film {
            labels: filmed.labels.iter().copied().take(FILMED).collect(),
            frames: Vec::new(),
        };
        let pass = training.len().div_ceil(plan.recipe.batch);
        Ok(Self {
            pass,
            epoch: pass.max(LEAST_BETWEEN),
            steps: plan.recipe.phases(training.len())[0],
            gallery,
            validation,
            loss: (Tensor::zeros([], (Kind::Float, device)), 0),
            history: Vec::new(),
            best: None,
            keeps_best: plan.recipe.patience > 0,
            film: if plan.dim == 2 { film } else { Film::default() },
        })
    }

    /// Counts a step's loss, without waiting for it.
    pub(super) fn add(&mut self, loss: &Tensor) {
        no_grad(|| self.loss.0 += loss.detach());
        self.loss.1 += 1;
    }

    pub(super) fn epoch_loss(&self) -> (f32, usize) {
        (self.loss.0.double_value(&[]) as f32, self.loss.1)
    }

    pub(super) const fn ends_epoch(&self, step: usize) -> bool {
        step.is_multiple_of(self.epoch)
    }

    /// Looks at the validation images through the network that would come out
    /// now. `kept` gives the tensors to keep if it is the best so far.
    pub(super) fn end_epoch(
        &mut self,
        moment: &Moment<'_>,
        kept: impl FnOnce() -> Vec<Tensor>,
    ) -> Result<&Epoch> {
        let Moment { network, .. } = *moment;
        let tensors = FoldedTensors::new(network, self.gallery.inputs.device());
        let watched = self.validation.as_ref().unwrap_or(&self.gallery);
        let dim = network.layers[2].outputs;
        let [first, second, embeddings] = tensors.forward(&watched.inputs);
        let knn25 = match &self.validation {
            None => None,
            Some(validation) => {
                let gallery = self.gallery.points(&tensors, dim)?;
                let queries = Points::new(dim, to_vec(&embeddings))?;
                let right = neighbours::knn(
                    Labelled::new(&gallery, &self.gallery.labels)?,
                    Labelled::new(&queries, &validation.labels)?,
                    &[25],
                )?;
                right.first().copied()
            }
        };
        let active = |hidden: Tensor| {
            hidden
                .gt(0.0)
                .to_kind(Kind::Float)
                .mean(Kind::Float)
                .double_value(&[])
        };
        let (sum, count) = self.epoch_loss();
        self.loss = (self.loss.0.zeros_like(), 0);
        if let Some(knn25) = knn25.filter(|_| self.keeps_best)
            && self.best.as_ref().is_none_or(|(best, _)| knn25 > *best)
        {
            self.best = Some((knn25, kept()));
        }
        self.history.push(Epoch {
            epoch: moment.step as f64 / self.pass as f64,
            step: moment.step,
            loss: f64::from(sum) / count.max(1) as f64,
            knn25,
            active: [active(first), active(second)],
            integers: moment.integers,
            seconds_left: moment.left.as_secs_f64(),
        });
        self.history.last().context("an epoch was just added")
    }

    /// Whether the best epoch lies more than `patience` epochs back; never for
    /// a patience of 0.
    pub(super) fn has_stalled(&self, patience: usize) -> bool {
        let Some((best, _)) = &self.best else {
            return false;
        };
        let at = self
            .history
            .iter()
            .position(|epoch| epoch.knn25 == Some(*best));
        patience > 0 && at.is_some_and(|at| self.history.len() - 1 - at >= patience)
    }

    pub(super) const fn best(&self) -> &Option<(f64, Vec<Tensor>)> {
        &self.best
    }

    pub(super) fn take_best(&mut self) -> Option<Vec<Tensor>> {
        self.keeps_best = false;
        self.best.take().map(|(_, kept)| kept)
    }

    /// Whether a picture of the film is due after `step`: early ones come
    /// quickly, when the map changes most.
    pub(super) fn shoots(&self, step: usize) -> bool {
        let due = |frame: usize| {
            let part = frame as f64 / (FRAMES - 1) as f64;
            (part * part * self.steps as f64).ceil() as usize
        };
        !self.film.labels.is_empty() && (0..FRAMES).any(|frame| due(frame).max(1) == step)
    }

    /// Adds a picture to the film.
    pub(super) fn shoot(&mut self, network: &FloatNetwork) {
        let filmed = self.validation.as_ref().unwrap_or(&self.gallery);
        let inputs = filmed.inputs.narrow(0, 0, self.film.labels.len() as i64);
        let tensors = FoldedTensors::new(network, inputs.device());
        let [_, _, embeddings] = tensors.forward(&inputs);
        self.film.frames.push(to_vec(&embeddings));
    }

    /// The units of the hidden activations that fit `network` best, which has
    /// [`even_units`](Network::even_units) if any layer has few bits.
    pub(super) fn units(&self, network: &Network) -> Result<Units> {
        let tensors = FoldedTensors::new(&network.fold(), self.gallery.inputs.device());
        let outputs = tensors.forward(&self.gallery.inputs);
        let bits = network.bits();
        let mut input = 1.0 / largest(bits.grey);
        let mut units = Units {
            hidden: [0.0; LAYERS - 1],
            shifts: [0; LAYERS],
        };
        for (index, unit) in units.hidden.iter_mut().enumerate() {
            let (outputs, most) = (to_vec(&outputs[index]), largest(bits.hidden[index]));
            *unit = if bits.weights[index] < 8 {
                let accumulator = network.unit_of_weights(index) * input;
                let shift = activation_shift(&outputs, accumulator, most)?;
                units.shifts[index] = shift;
                (accumulator * f64::from(shift).exp2()) as f32
            } else {
                activation_scale(&outputs, most)?
            };
            input = (*unit).into();
        }
        Ok(units)
    }

    pub(super) fn restore(
        &mut self,
        progress: &Progress,
        best: Option<(f64, Vec<Tensor>)>,
        checkpoint: &Checkpoint,
    ) -> Result<()> {
        let (sum, count) = progress.epoch_loss;
        self.loss = (self.loss.0.full_like(f64::from(sum)), count);
        self.history.clone_from(&progress.history);
        self.keeps_best = progress.tuning_from.is_none() && self.keeps_best;
        self.best = best;
        let images = self.film.labels.len();
        let frames = (0..).map_while(|frame| {
            let name = format!("{FILM}.{frame}");
            checkpoint.tensors.contains_key(&name).then_some(name)
        });
        self.film.frames = frames
            .map(|name| Ok(checkpoint.tensor(&name, &[images, 2])?.to_vec()))
            .collect::<Result<_>>()?;
        Ok(())
    }
}

impl Film {
    /// The frames as tensors of a checkpoint.
    pub(super) fn tensors(&self) -> impl Iterator<Item = NamedTensor> {
        let shape = vec![self.labels.len(), 2];
        self.frames
            .iter()
            .enumerate()
            .map(move |(index, frame)| (format!("{FILM}.{index}"), shape.clone(), frame.clone()))
    }
}
