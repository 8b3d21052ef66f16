//! The training loop: steps, moving average, checkpoints.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tch::{Device, Kind, Tensor, no_grad};

use crate::checkpoint::{self, Checkpoint, NamedTensor, Plan};
use crate::dataset::Dataset;
use crate::float_network::FloatNetwork;
use crate::loader::Loader;
use crate::loss::loss;
use crate::network::{Network, to_vec};
use crate::optimiser::Optimiser;
use crate::pairs::Sampler;

/// Threads that make batches beside the training step.
const LOADERS: usize = 2;
/// How often a run saves itself, apart from when it is told to stop.
const SAVE_EVERY: Duration = Duration::from_secs(60);
/// Steps between two reports; reading the loss waits for the device.
const REPORT_EVERY: usize = 20;

/// What a run tells while it goes on.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Steps done.
    pub step: usize,
    /// Steps in all.
    pub steps: usize,
    /// The loss of the last batch.
    pub loss: f64,
}

/// How a run ended.
#[derive(Debug)]
pub enum Outcome {
    /// All steps are done.
    Finished {
        /// The network with batch normalisation folded.
        network: Box<FloatNetwork>,
        /// Where this process began; 0 unless it went on from an earlier one.
        first_step: usize,
    },
    /// It was told to stop, and saved itself before that step.
    Interrupted {
        /// The next step.
        step: usize,
    },
}

/// A run between two steps.
#[derive(Debug)]
struct Run {
    network: Network,
    optimiser: Optimiser,
    /// The moving average of the network's state, once it has begun.
    average: Option<Vec<Tensor>>,
    step: usize,
}

/// Trains by `plan` on `data`, or goes on from `partial` if that file is there.
/// While it runs it saves itself there about once a minute, and when `stop`
/// becomes true; the file is left to the caller at the end.
///
/// # Errors
/// If `partial` belongs to another plan, can't be read or written, or the loss
/// is no longer a number.
pub fn fit(
    plan: &Plan,
    data: &Arc<Dataset>,
    device: Device,
    partial: &Path,
    stop: &AtomicBool,
    mut report: impl FnMut(Progress),
) -> Result<Outcome> {
    let recipe = &plan.recipe;
    let steps = recipe.steps(data.labels.len());
    let sampler = Sampler::new(
        &data.labels,
        recipe.batch,
        recipe.sampling,
        recipe.pairing,
        plan.seed,
    )?;
    let mut run = Run::new(plan, device);
    if partial.exists() {
        run.restore(plan, &Checkpoint::read(partial)?, device)
            .with_context(|| format!("can't go on from {}", partial.display()))?;
    }
    let first_step = run.step;
    let mut loader = Loader::start(
        data,
        plan.input,
        recipe.augmentation,
        &sampler,
        first_step..steps,
        LOADERS,
    );
    let inputs = plan.input.activations() as i64;
    let mut saved = Instant::now();
    while let Some(batch) = loader.next_batch() {
        let images = Tensor::from_slice(&batch.inputs)
            .reshape([-1, inputs])
            .to_device(device);
        let labels = Tensor::from_slice(&batch.labels).to_device(device);
        loader.recycle(batch);
        let loss = loss(recipe, &run.network.embed_batch(&images), &labels);
        let learning_rate = recipe.learning_rate_at(run.step, steps);
        run.optimiser
            .step(&run.network, &loss, learning_rate, run.step);
        run.step += 1;
        run.update_average(recipe.averaging, steps);

        if run.step.is_multiple_of(REPORT_EVERY) || run.step == steps {
            let loss = loss.double_value(&[]);
            ensure!(
                loss.is_finite(),
                "the loss is no longer a number at step {}; try a lower --learning-rate",
                run.step
            );
            report(Progress {
                step: run.step,
                steps,
                loss,
            });
        }
        let stopping = stop.load(Ordering::Relaxed);
        if run.step < steps && (stopping || saved.elapsed() > SAVE_EVERY) {
            run.save(plan, partial)?;
            saved = Instant::now();
            if stopping {
                return Ok(Outcome::Interrupted { step: run.step });
            }
        }
    }
    ensure!(
        run.step == steps,
        "a thread that prepares batches ended at step {} of {steps}",
        run.step
    );
    run.adopt_average();
    Ok(Outcome::Finished {
        network: Box::new(run.network.fold()),
        first_step,
    })
}

impl Run {
    fn new(plan: &Plan, device: Device) -> Self {
        let network = Network::new(
            plan.input,
            plan.preset.hidden(),
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
        }
    }

    /// Averages from the middle of the run on. The decay grows from 0, so that
    /// the average forgets the weights that it began with.
    fn update_average(&mut self, decay: f64, steps: usize) {
        if decay == 0.0 || self.step <= steps / 2 {
            return;
        }
        no_grad(|| {
            let state = self.network.state();
            let Some(average) = &mut self.average else {
                let copy = |(_, tensor): &(String, &Tensor)| tensor.detach().copy();
                self.average = Some(state.iter().map(copy).collect());
                return;
            };
            let count = (self.step - steps / 2) as f64;
            let decay = decay.min(count / (count + 9.0));
            for (average, (_, tensor)) in average.iter_mut().zip(&state) {
                let _ = average.lerp_(&tensor.detach(), 1.0 - decay);
            }
        });
    }

    /// Puts the average in the place of the last weights.
    fn adopt_average(&mut self) {
        let Some(average) = self.average.take() else {
            return;
        };
        no_grad(|| {
            for (average, (_, tensor)) in average.iter().zip(self.network.state()) {
                tensor.detach().copy_(average);
            }
        });
    }

    /// Everything that the next step depends on.
    fn state(&self) -> Vec<(String, &Tensor)> {
        let mut state = self.network.state();
        state.extend(self.optimiser.state());
        for (index, average) in self.average.iter().flatten().enumerate() {
            state.push((format!("average.{index}"), average));
        }
        state
    }

    fn save(&self, plan: &Plan, path: &Path) -> Result<()> {
        let named = |(name, tensor): (String, &Tensor)| -> NamedTensor {
            (name, shape(tensor), to_vec(tensor))
        };
        let tensors: Vec<NamedTensor> = self.state().into_iter().map(named).collect();
        checkpoint::write(path, plan, Some(self.step), &tensors)
    }

    fn restore(&mut self, plan: &Plan, checkpoint: &Checkpoint, device: Device) -> Result<()> {
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
        self.step = checkpoint.step.context("it is of a run that has ended")?;
        if checkpoint.tensors.contains_key("average.0") {
            let zeros = |(_, tensor): (String, &Tensor)| tensor.detach().zeros_like();
            self.average = Some(self.network.state().into_iter().map(zeros).collect());
        }
        no_grad(|| {
            for (name, tensor) in self.state() {
                let values = checkpoint.tensor(&name, &shape(tensor))?;
                let values = Tensor::from_slice(values)
                    .reshape(tensor.size())
                    .to_device(device);
                tensor.detach().copy_(&values.to_kind(Kind::Float));
            }
            Ok(())
        })
    }
}

fn shape(tensor: &Tensor) -> Vec<usize> {
    tensor.size().iter().map(|&size| size as usize).collect()
}
