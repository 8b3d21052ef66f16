//! The steps of a run.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tch::{Device, Tensor};

use crate::batch::loader::Loader;
use crate::batch::pairs::Sampler;
use crate::dataset::Dataset;
use crate::recipe::Plan;
use crate::train::checkpoint::Checkpoint;
use crate::train::float_network::FloatNetwork;
use crate::train::history::{Epoch, Film};
use crate::train::lesson::Lesson;
use crate::train::loss::has_something_to_compare;
use crate::train::rivals::steps_of_rivals;

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

/// The part of the float phase's steps after which weights of fewer than 8 bits are rounded.
const ROUNDING_FROM: f64 = 0.3;

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
    let mut trained = false;
    if partial.exists() {
        let checkpoint = Checkpoint::read(partial)?;
        resume::restore(&mut run, &mut watch, plan, &checkpoint)
            .with_context(|| format!("can't go on from {}", partial.display()))?;
        trained = checkpoint.progress.is_some_and(|progress| progress.trained);
    }
    let first_step = run.step;
    let session = Session {
        plan,
        training: &training,
        device,
        partial,
        stop,
    };
    if run.tuning_from.is_none() && !trained {
        let steps = 0..float_steps;
        if !session.train(&mut run, &mut watch, steps, tuning_steps, &mut report)? {
            return Ok(Outcome::Interrupted { step: run.step });
        }
        run.adopt(watch.take_best());
        if tuning_steps > 0 {
            if recipe.bits.has_few() {
                run.network = run.network.even_units();
            }
            run.begin_tuning(watch.units(&run.network)?);
        }
    }
    if let Some(from) = run.tuning_from.filter(|_| !trained) {
        let steps = from..from + tuning_steps;
        if !session.train(&mut run, &mut watch, steps, 0, &mut report)? {
            return Ok(Outcome::Interrupted { step: run.step });
        }
    }
    // What is left can fail or be stopped, and then needs no step again.
    resume::save(&run, &watch, plan, partial, true)?;
    Ok(Outcome::Finished(Box::new(Trained {
        network: run.network.fold(),
        hidden_scales: run.network.units().map(|units| units.hidden),
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
        let rounding_from = steps.start + (ROUNDING_FROM * steps.len() as f64) as usize;
        let (start, first) = (Instant::now(), run.step);
        let rivals = run.rivals.as_ref().map_or(0, |_| recipe.restarts);
        // What steps cost, in steps of one network.
        let work = |span: Range<usize>| {
            let shared = span.end.min(steps_of_rivals(steps.len()));
            (span.len() + rivals * shared.saturating_sub(span.start)) as f64
        };
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
            let lesson = Lesson {
                recipe,
                images: &images,
                labels: &labels,
                step: run.step - steps.start,
                steps: steps.len(),
                rate,
                rounds: run.step >= rounding_from,
            };
            let loss = run.learn(&lesson);
            run.update_average(recipe.averaging, steps.len());
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
                let each = start.elapsed().div_f64(work(first..run.step));
                let left = each.mul_f64(work(run.step..all));
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
                resume::save(run, watch, plan, self.partial, false)?;
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

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::batch::loader::inputs_of;
    use crate::dataset::{Class, Images};
    use crate::embed::points::Points;
    use crate::evaluate::{Labelled, centroid};
    use crate::recipe::{Bits, Preset, Recipe, RecipeName};
    use crate::train::network::{FoldedTensors, to_vec};

    /// The side of a glyph.
    const SIDE: usize = 14;

    /// `each` glyphs of each class: three strokes that the class alone decides, drawn
    /// by a hand that shakes.
    fn glyphs(classes: Class, each: usize, hand: u64) -> Dataset {
        let mut pixels = Vec::new();
        let mut labels = Vec::new();
        let mut shaking = ChaCha8Rng::seed_from_u64(hand);
        for class in 0..classes {
            let mut shape = ChaCha8Rng::seed_from_u64(1000 + u64::from(class));
            let strokes: [[f32; 4]; 3] =
                std::array::from_fn(|_| std::array::from_fn(|_| shape.random_range(2.0..12.0)));
            for _ in 0..each {
                let mut glyph = [0u8; SIDE * SIDE];
                for stroke in strokes {
                    let [x0, y0, x1, y1] = stroke.map(|end| end + shaking.random_range(-1.0..1.0));
                    for step in 0..=20 {
                        let part = step as f32 / 20.0;
                        let (x, y) = (x0 + part * (x1 - x0), y0 + part * (y1 - y0));
                        glyph[y as usize * SIDE + x as usize] = 255;
                    }
                }
                pixels.extend(glyph);
                labels.push(class);
            }
        }
        Dataset::new(Images::new(SIDE, SIDE, pixels).unwrap(), labels).unwrap()
    }

    /// Trains for some steps; gives the mean loss of the first and the last epoch, and
    /// the share of new glyphs whose class has the nearest mean.
    fn learn(recipe: Recipe, dim: usize, classes: Class, each: usize) -> (f64, f64, f64) {
        let data = glyphs(classes, each, 1);
        let plan = Plan::new(Preset::Small, dim, recipe, 1, &data).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let partial = folder.path().join("partial");
        let stop = AtomicBool::new(false);
        let outcome = fit(&plan, &data, Device::Cpu, &partial, &stop, |_| {}).unwrap();
        let Outcome::Finished(trained) = outcome else {
            panic!("nobody stopped it");
        };
        let tensors = FoldedTensors::new(&trained.network, Device::Cpu);
        let embed = |data: &Dataset| {
            let inputs = inputs_of(plan.input, plan.recipe.bits.grey, data.images.pixels());
            let inputs = Tensor::from_slice(&inputs).reshape([data.len() as i64, -1]);
            let [_, _, embeddings] = tensors.forward(&inputs);
            Points::new(dim, to_vec(&embeddings)).unwrap()
        };
        let new = glyphs(classes, 3, 2);
        let right = centroid::centroid_accuracy(
            Labelled::new(&embed(&data), &data.labels).unwrap(),
            Labelled::new(&embed(&new), &new.labels).unwrap(),
        );
        let floats: Vec<f64> = trained.history.iter().map(|epoch| epoch.loss).collect();
        (floats[0], floats[floats.len() - 1], right.unwrap())
    }

    fn recipe(name: RecipeName, steps: usize) -> Recipe {
        Recipe {
            steps: Some(steps),
            tuning: 0.0,
            validation: 0.0,
            ..name.recipe()
        }
    }

    #[test]
    fn few_shot_learns_many_classes() {
        for (classes, each) in [(64, 8), (300, 4)] {
            // With 300 classes then 0.82 to 0.84 over eight seeds.
            let recipe = recipe(RecipeName::FewShot, 480);
            let (first, last, right) = learn(recipe, 64, classes, each);
            assert!(
                last > 0.0 && last < 0.6 * first,
                "{classes}: {first} to {last}"
            );
            assert!(right > 0.8, "{classes}: {right}");
        }
    }

    #[test]
    fn triplets_learn_many_classes() {
        let recipe = Recipe {
            loss: "triplet".parse().unwrap(),
            ..recipe(RecipeName::Default, 200)
        };
        let (first, last, right) = learn(recipe, 16, 100, 8);
        // The mean of the triplets that are still wrong: fewer, not easier ones.
        assert!(first > 0.0 && last > 0.0, "{first} to {last}");
        assert!(right > 0.8, "{right}");
    }

    /// A recipe for few bits in both hidden layers, with a scaffold, the last fifth of its steps
    /// on integers.
    fn few_bits(steps: usize) -> Recipe {
        Recipe {
            bits: Bits {
                weights: [3, 3, 8],
                ..Preset::Swift.bits()
            },
            tuning: 0.2,
            scaffold: 4,
            ..recipe(RecipeName::Default, steps)
        }
    }

    #[test]
    fn few_bits_learn() {
        let (first, last, right) = learn(few_bits(300), 2, 10, 20);
        assert!(last > 0.0 && last < 0.9 * first, "{first} to {last}");
        assert!(right > 0.8, "{right}");
    }

    /// A run on `data` that is interrupted at these steps, and goes on each time.
    fn interrupted(plan: &Plan, data: &Dataset, stops: &[usize]) -> Trained {
        let folder = tempfile::tempdir().unwrap();
        let partial = folder.path().join("partial");
        for &at in stops {
            let stop = AtomicBool::new(false);
            let told = |event: Event<'_>| {
                if matches!(event, Event::Steps { done, .. } if done == at) {
                    stop.store(true, Ordering::Relaxed);
                }
            };
            let outcome = fit(plan, data, Device::Cpu, &partial, &stop, told).unwrap();
            assert!(matches!(outcome, Outcome::Interrupted { step } if step == at));
        }
        let stop = AtomicBool::new(false);
        match fit(plan, data, Device::Cpu, &partial, &stop, |_| {}).unwrap() {
            Outcome::Finished(trained) => *trained,
            Outcome::Interrupted { .. } => panic!("nobody stopped it"),
        }
    }

    #[test]
    fn the_first_start_goes_on_as_if_alone_or_gives_way() {
        let data = glyphs(10, 20, 1);
        let gave_way: Vec<bool> = (1..=2)
            .map(|seed| {
                let plan = |restarts| {
                    let recipe = Recipe {
                        batch: 100,
                        restarts,
                        ..recipe(RecipeName::Default, 220)
                    };
                    Plan::new(Preset::Tiny, 2, recipe, seed, &data).unwrap()
                };
                let alone = interrupted(&plan(0), &data, &[]);
                let among = interrupted(&plan(2), &data, &[]);
                assert_eq!((alone.steps, among.steps), (220, 220));
                // While there are rivals.
                assert_eq!(steps_of_rivals(220), 22);
                let again = interrupted(&plan(2), &data, &[20]);
                assert!(among.network == again.network, "{seed}");
                alone.network != among.network
            })
            .collect();
        // One of either kind, so that the test shows both.
        assert!(gave_way.contains(&true) && gave_way.contains(&false));
    }

    #[test]
    fn few_bits_go_on_where_they_were_interrupted() {
        let data = glyphs(10, 20, 1);
        let recipe = Recipe {
            batch: 100,
            ..few_bits(200)
        };
        let plan = Plan::new(Preset::Swift, 2, recipe, 1, &data).unwrap();
        let train = |stops: &[usize]| {
            let trained = interrupted(&plan, &data, stops);
            (trained.network, trained.hidden_scales)
        };
        // While weights are floats and the scaffold stands, while they are rounded and it has
        // gone, and while everything is rounded.
        let (network, scales) = train(&[40, 100, 180]);
        let shifts = network.precision.shifts;
        assert!(shifts[..2].iter().all(|&shift| shift > 0), "{shifts:?}");
        assert_eq!((network, scales), train(&[]));
    }

    #[test]
    fn a_class_of_one_image_breaks_nothing() {
        let mut recipe = recipe(RecipeName::FewShot, 20);
        recipe.batch = 64;
        let (first, ..) = learn(recipe, 8, 40, 1);
        assert!(first > 0.0 && first.is_finite());
    }

    #[test]
    fn a_loss_without_a_pair_is_an_error_and_no_zero() {
        let data = glyphs(200, 1, 1);
        let recipe = Recipe {
            sampling: crate::recipe::Sampling::Random,
            batch: 4,
            ..recipe(RecipeName::Default, 100)
        };
        let plan = Plan::new(Preset::Small, 2, recipe, 1, &data).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let partial = folder.path().join("partial");
        let stop = AtomicBool::new(false);
        let error = fit(&plan, &data, Device::Cpu, &partial, &stop, |_| {}).unwrap_err();
        assert!(error.to_string().contains("--batch"), "{error:#}");
    }
}
