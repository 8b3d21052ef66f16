//! The steps of a run.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tch::{Device, Kind, Tensor};

use crate::batch::loader::Loader;
use crate::batch::pairs::Sampler;
use crate::dataset::Dataset;
use crate::recipe::Plan;
use crate::train::checkpoint::Checkpoint;
use crate::train::float_network::FloatNetwork;
use crate::train::history::{Epoch, Film};
use crate::train::loss::{has_something_to_compare, loss};

use super::resume;
use super::run::Run;
use super::watch::{Moment, Watch};

/// Threads that make batches beside the training step.
const LOADERS: usize = 2;
/// How often a run saves itself, apart from when it is told to stop.
const SAVE_EVERY: Duration = Duration::from_secs(60);
/// Steps between two reports; reading the loss waits for the device.
const REPORT_EVERY: usize = 20;
/// Batches in turn that may have nothing to compare, by the luck of the draw.
const IDLE: usize = 20;
/// The learning rate of the integer phase, as a part of the recipe's.
const TUNING_RATE: f64 = 0.004;

/// What a run tells while it goes on.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// Some steps were taken.
    Steps {
        /// Steps done.
        done: usize,
        /// Steps in all.
        all: usize,
        /// The loss of the last batch.
        loss: f64,
    },
    /// As many images were seen as the training part has.
    Epoch(&'a Epoch),
}

/// How a run ended.
#[derive(Debug)]
pub enum Outcome {
    /// All steps are done.
    Finished(Box<Trained>),
    /// It was told to stop, and saved itself before that step.
    Interrupted {
        /// The next step.
        step: usize,
    },
}

/// What a run leads to.
#[derive(Debug)]
pub struct Trained {
    /// The network, batch normalisation folded.
    pub network: FloatNetwork,
    /// The units of the hidden activations that the integer phase trained
    /// with; `None` if there was none.
    pub hidden_scales: Option<[f32; 2]>,
    /// Where this process began; 0 unless it went on from an earlier one.
    pub first_step: usize,
    /// Steps taken, of both phases.
    pub steps: usize,
    /// What was seen at the end of every epoch.
    pub history: Vec<Epoch>,
    /// The map of the validation images while it formed.
    pub film: Film,
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
    data: &Dataset,
    device: Device,
    partial: &Path,
    stop: &AtomicBool,
    mut report: impl FnMut(Event<'_>),
) -> Result<Outcome> {
    let recipe = &plan.recipe;
    let (training, validation) = data.hold_out(recipe.validation, plan.seed);
    let training = Arc::new(training);
    let [float_steps, tuning_steps] = recipe.phases(training.len());
    let mut run = Run::new(plan, device);
    let mut watch = Watch::new(plan, &training, &validation, device)?;
    if partial.exists() {
        resume::restore(&mut run, &mut watch, plan, &Checkpoint::read(partial)?)
            .with_context(|| format!("can't go on from {}", partial.display()))?;
    }
    let first_step = run.step;
    let session = Session {
        plan,
        training: &training,
        device,
        partial,
        stop,
    };
    if run.tuning_from.is_none() {
        let steps = 0..float_steps;
        if !session.train(&mut run, &mut watch, steps, tuning_steps, &mut report)? {
            return Ok(Outcome::Interrupted { step: run.step });
        }
        run.adopt(watch.take_best());
        if tuning_steps > 0 {
            run.begin_tuning(watch.calibrate(&run.network)?);
        }
    }
    if let Some(from) = run.tuning_from {
        let steps = from..from + tuning_steps;
        if !session.train(&mut run, &mut watch, steps, 0, &mut report)? {
            return Ok(Outcome::Interrupted { step: run.step });
        }
    }
    Ok(Outcome::Finished(Box::new(Trained {
        network: run.network.fold(),
        hidden_scales: run.network.hidden_scales(),
        first_step,
        steps: run.step,
        history: watch.history,
        film: watch.film,
    })))
}

/// What both phases need.
struct Session<'a> {
    plan: &'a Plan,
    training: &'a Arc<Dataset>,
    device: Device,
    partial: &'a Path,
    stop: &'a AtomicBool,
}

impl Session<'_> {
    /// Takes the steps of a phase from where the run stands; `later` are the
    /// steps of the phase after it. False if it was told to stop.
    fn train(
        &self,
        run: &mut Run,
        watch: &mut Watch,
        steps: Range<usize>,
        later: usize,
        report: &mut impl FnMut(Event<'_>),
    ) -> Result<bool> {
        let plan = self.plan;
        let recipe = &plan.recipe;
        let all = steps.end + later;
        let sampler = Sampler::new(
            &self.training.labels,
            recipe.batch,
            recipe.sampling,
            recipe.pairing,
            recipe.symmetries,
            plan.seed,
        )?;
        let mut loader = Loader::start(
            self.training,
            plan.input,
            recipe,
            &sampler,
            run.step..steps.end,
            LOADERS,
        );
        let inputs = plan.input.activations() as i64;
        let rate = if run.tuning_from.is_some() {
            TUNING_RATE
        } else {
            1.0
        };
        let (start, first) = (Instant::now(), run.step);
        let mut saved = Instant::now();
        let mut idle = 0;
        while let Some(batch) = loader.next_batch() {
            let images = Tensor::from_slice(&batch.inputs)
                .reshape([-1, inputs])
                .to_device(self.device);
            let labels = Tensor::from_slice(&batch.labels).to_device(self.device);
            idle = if has_something_to_compare(recipe, &batch.labels) {
                0
            } else {
                idle + 1
            };
            ensure!(
                idle < IDLE.min(steps.len()),
                "{idle} batches of {} images in turn held no two images that the loss {} compares; \
                 use a larger --batch, or --sampling balanced",
                recipe.batch,
                recipe.loss
            );
            loader.recycle(batch);
            let (embeddings, hidden) = run.network.embed_batch(&images);
            let mut loss = loss(recipe, &embeddings, &labels);
            if recipe.sparsity > 0.0 {
                for layer in &hidden {
                    loss += recipe.sparsity * layer.mean(Kind::Float);
                }
            }
            let (step, count) = (run.step - steps.start, steps.len());
            let learning_rate = rate * recipe.learning_rate_at(step, count);
            run.optimiser.step(&run.network, &loss, learning_rate, step);
            run.step += 1;
            run.update_average(recipe.averaging, count);
            watch.add(&loss);

            if run.step.is_multiple_of(REPORT_EVERY) || run.step == steps.end {
                let loss = loss.double_value(&[]);
                ensure!(
                    loss.is_finite(),
                    "the loss is no longer a number at step {}; try a lower --learning-rate",
                    run.step
                );
                report(Event::Steps {
                    done: run.step,
                    all,
                    loss,
                });
            }
            if watch.shoots(run.step) {
                watch.shoot(&run.outcome());
            }
            if watch.ends_epoch(run.step) || run.step == steps.end {
                let each = start.elapsed().div_f64((run.step - first) as f64);
                let left = each.mul_f64((all - run.step) as f64);
                let moment = Moment {
                    network: &run.outcome(),
                    step: run.step,
                    integers: run.tuning_from.is_some(),
                    left,
                };
                report(Event::Epoch(watch.end_epoch(&moment, || run.kept())?));
                if run.tuning_from.is_none() && watch.has_stalled(recipe.patience) {
                    return Ok(true);
                }
            }
            let stopping = self.stop.load(Ordering::Relaxed);
            if run.step < steps.end && (stopping || saved.elapsed() > SAVE_EVERY) {
                resume::save(run, watch, plan, self.partial)?;
                saved = Instant::now();
                if stopping {
                    return Ok(false);
                }
            }
        }
        ensure!(
            run.step == steps.end,
            "a thread that prepares batches ended at step {} of {}",
            run.step,
            steps.end
        );
        Ok(true)
    }
}
