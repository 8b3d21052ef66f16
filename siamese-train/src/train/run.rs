//! The state of a run: what its next step depends on, in memory and in a file.

use tch::{Device, Tensor, no_grad};

use crate::recipe::Plan;
use crate::train::float_network::FloatNetwork;
use crate::train::lesson::Lesson;
use crate::train::network::{Network, Units};
use crate::train::optimiser::Optimiser;
use crate::train::rivals::{Rivals, steps_of_rivals};

/// A run between two steps.
#[derive(Debug)]
pub(super) struct Run {
    pub network: Network,
    pub optimiser: Optimiser,
    /// The networks that started beside it, until one of them all is chosen.
    pub rivals: Option<Rivals>,
    /// The moving average of the network's state, once it has begun.
    pub average: Option<Vec<Tensor>>,
    /// Steps taken.
    pub step: usize,
    /// The step at which the integer phase began.
    pub tuning_from: Option<usize>,
}

impl Run {
    pub(super) fn new(plan: &Plan, device: Device) -> Self {
        let network = Network::of_plan(plan, 0, device);
        Self {
            optimiser: Optimiser::new(&plan.recipe, &network),
            network,
            rivals: Rivals::new(plan, device),
            average: None,
            step: 0,
            tuning_from: None,
        }
    }

    /// Takes a step, and so do its rivals, of whom the best takes its place once they have
    /// learnt for long enough. Gives the loss before the step.
    pub(super) fn learn(&mut self, lesson: &Lesson<'_>) -> Tensor {
        let loss = lesson.learn(&mut self.network, &mut self.optimiser);
        if let Some(rivals) = &mut self.rivals {
            rivals.learn(lesson, &loss);
        }
        if lesson.step + 1 == steps_of_rivals(lesson.steps)
            && let Some(better) = self.rivals.take().and_then(Rivals::into_best)
        {
            (self.network, self.optimiser) = better;
        }
        self.step += 1;
        loss
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
    pub(super) fn begin_tuning(&mut self, units: Units) {
        self.network = self.network.to_integers(units);
        self.optimiser = self.optimiser.restarted(&self.network);
        self.tuning_from = Some(self.step);
    }

    /// Everything that the next step depends on.
    pub(super) fn state(&self) -> Vec<(String, &Tensor)> {
        let mut state = self.network.state();
        state.extend(self.optimiser.state());
        state.extend(numbered("average", self.average.iter().flatten()));
        state.extend(self.rivals.iter().flat_map(Rivals::state));
        state
    }
}

pub(super) fn copies(state: &[(String, &Tensor)]) -> Vec<Tensor> {
    let copy = |(_, tensor): &(String, &Tensor)| tensor.detach().copy();
    state.iter().map(copy).collect()
}

pub(super) fn numbered<'a>(
    name: &str,
    tensors: impl Iterator<Item = &'a Tensor>,
) -> impl Iterator<Item = (String, &'a Tensor)> {
    tensors
        .enumerate()
        .map(move |(index, tensor)| (format!("{name}.{index}"), tensor))
}

pub(super) fn shape(tensor: &Tensor) -> Vec<usize> {
    tensor.size().iter().map(|&size| size as usize).collect()
}
