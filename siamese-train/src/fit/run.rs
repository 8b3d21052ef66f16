//! The state of a run: what its next step depends on, in memory and in a file.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use tch::{Device, Kind, Tensor, no_grad};

use super::watch::Watch;
use crate::checkpoint::{self, Checkpoint, NamedTensor, Plan, Progress};
use crate::float_network::FloatNetwork;
use crate::network::{Network, to_vec};
use crate::optimiser::Optimiser;

/// A run between two steps.
#[derive(Debug)]
pub(super) struct Run {
    pub network: Network,
    pub optimiser: Optimiser,
    /// The moving average of the network's state, once it has begun.
    average: Option<Vec<Tensor>>,
    /// Steps taken.
    pub step: usize,
    /// The step at which the integer phase began.
    pub tuning_from: Option<usize>,
}

impl Run {
    pub(super) fn new(plan: &Plan, device: Device) -> Self {
        let network = Network::new(
            plan.input,
            plan.hidden(),
            plan.dim,
            plan.recipe.batch_norm,
            plan.seed,
            device,
        );
        Self {
            optimiser: Optimiser::new(&plan.recipe, &network),
            network,
            average: None,
            step: 0,
            tuning_from: None,
        }
    }

    /// Averages from the middle of the float phase on. The decay grows from 0,
    /// so that the average forgets the weights that it began with.
    pub(super) fn update_average(&mut self, decay: f64, steps: usize) {
        if decay == 0.0 || self.step <= steps / 2 || self.tuning_from.is_some() {
            return;
        }
        no_grad(|| {
            let state = self.network.state();
            let Some(average) = &mut self.average else {
                self.average = Some(copies(&state));
                return;
            };
            let count = (self.step - steps / 2) as f64;
            let decay = decay.min(count / (count + 9.0));
            for (average, (_, tensor)) in average.iter_mut().zip(&state) {
                let _ = average.lerp_(&tensor.detach(), 1.0 - decay);
            }
        });
    }

    /// The tensors that would be kept if the run ended here: the average, or
    /// the last ones.
    pub(super) fn kept(&self) -> Vec<Tensor> {
        match &self.average {
            Some(average) => average.iter().map(Tensor::copy).collect(),
            None => copies(&self.network.state()),
        }
    }

    /// The network that would come out if the run ended here.
    pub(super) fn outcome(&self) -> FloatNetwork {
        let Some(average) = &self.average else {
            return self.network.fold();
        };
        let last = copies(&self.network.state());
        self.put(average);
        let network = self.network.fold();
        self.put(&last);
        network
    }

    /// Ends the float phase with `best`, or with the average, or as it is.
    pub(super) fn adopt(&mut self, best: Option<Vec<Tensor>>) {
        if let Some(kept) = best.or(self.average.take()) {
            self.put(&kept);
        }
        self.average = None;
    }

    fn put(&self, tensors: &[Tensor]) {
        no_grad(|| {
            for (value, (_, tensor)) in tensors.iter().zip(self.network.state()) {
                tensor.detach().copy_(value);
            }
        });
    }

    /// Goes over to the integer phase, with these units of the hidden layers.
    pub(super) fn begin_tuning(&mut self, hidden_scales: [f32; 2]) {
        self.network = self.network.to_integers(hidden_scales);
        self.optimiser = self.optimiser.restarted(&self.network);
        self.tuning_from = Some(self.step);
    }

    /// Everything that the next step depends on.
    fn state(&self) -> Vec<(String, &Tensor)> {
        let mut state = self.network.state();
        state.extend(self.optimiser.state());
        state.extend(numbered("average", self.average.iter().flatten()));
        state
    }

    pub(super) fn save(&self, plan: &Plan, watch: &Watch, path: &Path) -> Result<()> {
        let mut state = self.state();
        state.extend(numbered(
            "best",
            watch.best().iter().flat_map(|(_, kept)| kept),
        ));
        let named = |(name, tensor): (String, &Tensor)| -> NamedTensor {
            (name, shape(tensor), to_vec(tensor))
        };
        let mut tensors: Vec<NamedTensor> = state.into_iter().map(named).collect();
        tensors.extend(watch.film.tensors());
        let progress = Progress {
            step: self.step,
            tuning_from: self.tuning_from,
            hidden_scales: self.network.hidden_scales(),
            epoch_loss: watch.epoch_loss(),
            best: watch.best().as_ref().map(|(knn25, _)| *knn25),
            history: watch.history.clone(),
        };
        checkpoint::write(path, plan, Some(&progress), &tensors)
    }

    pub(super) fn restore(
        &mut self,
        plan: &Plan,
        watch: &mut Watch,
        checkpoint: &Checkpoint,
    ) -> Result<()> {
        let there = &checkpoint.plan;
        ensure!(
            there.preset == plan.preset && there.dim == plan.dim,
            "it is of the preset {} with {} coordinates, not of {} with {}; \
             use another --out, or --fresh to train from the start",
            there.preset.name(),
            there.dim,
            plan.preset.name(),
            plan.dim
        );
        ensure!(
            there == plan,
            "it was made with other options, another seed or other data; \
             repeat those of that run, or use --fresh to train from the start"
        );
        let progress = checkpoint
            .progress
            .as_ref()
            .context("it is of a run that has ended")?;
        if let Some(scales) = progress.hidden_scales {
            self.begin_tuning(scales);
        }
        self.step = progress.step;
        self.tuning_from = progress.tuning_from;
        let alike = || -> Vec<Tensor> { copies(&self.network.state()) };
        let mut best = progress.best.map(|knn25| (knn25, alike()));
        if checkpoint.tensors.contains_key("average.0") {
            self.average = Some(alike());
        }
        let mut state = self.state();
        state.extend(numbered("best", best.iter().flat_map(|(_, kept)| kept)));
        no_grad(|| {
            for (name, tensor) in state {
                let values = checkpoint.tensor(&name, &shape(tensor))?;
                let values = Tensor::from_slice(values)
                    .reshape(tensor.size())
                    .to_device(tensor.device());
                tensor.detach().copy_(&values.to_kind(Kind::Float));
            }
            anyhow::Ok(())
        })?;
        watch.restore(progress, best.take(), checkpoint)
    }
}

fn copies(state: &[(String, &Tensor)]) -> Vec<Tensor> {
    let copy = |(_, tensor): &(String, &Tensor)| tensor.detach().copy();
    state.iter().map(copy).collect()
}

fn numbered<'a>(
    name: &str,
    tensors: impl Iterator<Item = &'a Tensor>,
) -> impl Iterator<Item = (String, &'a Tensor)> {
    tensors
        .enumerate()
        .map(move |(index, tensor)| (format!("{name}.{index}"), tensor))
}

fn shape(tensor: &Tensor) -> Vec<usize> {
    tensor.size().iter().map(|&size| size as usize).collect()
}
