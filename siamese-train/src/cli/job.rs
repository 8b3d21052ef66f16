//! A training run, as `train` and `fewshot` carry it out: what is checked before it, what
//! is said while it goes on, and how it is interrupted.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::exit;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use siamese_train::batch::pairs::Sampler;
use siamese_train::dataset::{ClassNames, Dataset};
use siamese_train::evaluate;
use siamese_train::files::{hex, write_atomic};
use siamese_train::gallery::folds::Fold;
use siamese_train::leave_out::{self, train_without_each};
use siamese_train::pipeline::{Files, Report, finish};
use siamese_train::recipe::Plan;
use siamese_train::train::history::Epoch;
use siamese_train::train::{Event, Outcome, fit};
use tch::Device;

use super::Output;
use super::choice::Augment;
use super::claim::{Claim, check_nothing_is_lost};
use super::interrupt::{INTERRUPTED, stop_at_ctrl_c};
use super::threads::share_cores;

/// A training run from the beginning, or from where it was interrupted, to its
/// files.
pub struct Job<'a> {
    /// What to do.
    pub plan: Plan,
    /// The images to train with.
    pub train: &'a Dataset,
    /// The images to measure with.
    pub test: &'a Dataset,
    /// The classes' names.
    pub names: &'a ClassNames,
    /// Where everything goes.
    pub files: Files,
    /// Where to compute.
    pub device: Device,
    /// Threads of one tensor operation, if it is told.
    pub threads: Option<u16>,
    /// Whether an interrupted run is forgotten, and a finished model replaced.
    pub fresh: bool,
    /// Where the epochs are written as JSON lines.
    pub log: Option<&'a Path>,
}

impl Job<'_> {
    /// Trains, quantises, measures and writes. Ends the program, with the run
    /// saved, at Ctrl-C.
    pub fn run(self, output: Output) -> Result<Report> {
        self.check()?;
        share_cores(&self.plan, self.threads);
        let claim = Claim::on(&self.files)?;
        check_nothing_is_lost(&self.files, self.fresh)?;
        // Before the first word: whoever has read it may stop the run.
        let stop = stop_at_ctrl_c()?;
        for remark in self.remarks() {
            output.note(&remark);
        }
        let Self {
            plan,
            train,
            test,
            names,
            files,
            device,
            fresh,
            log,
            ..
        } = self;
        let partial = files.partial();
        if fresh && partial.exists() {
            std::fs::remove_file(&partial)
                .with_context(|| format!("can't remove {}", partial.display()))?;
        }
        let goes_on = partial.exists();
        if goes_on {
            output.note(&format!("going on from {}", partial.display()));
        }
        let mut log = log.map(|path| Log::open(path, goes_on)).transpose()?;
        let steps = plan
            .recipe
            .steps(train.len() - train.held_out(plan.recipe.validation));
        let bar = output.progress().count("training", "steps", steps as u64);
        let start = Instant::now();
        let outcome = fit(&plan, train, device, &partial, &stop, |event| match event {
            Event::Steps { done, all, loss } => {
                bar.set_length(all as u64);
                bar.set_position(done as u64);
                bar.set_message(format!("loss {loss:.4}"));
            }
            Event::Epoch(epoch) => {
                bar.suspend(|| output.note(&line(epoch)));
                if let Some(log) = &mut log {
                    log.add(epoch, start.elapsed().as_secs_f64(), output);
                }
            }
        })?;
        bar.finish_and_clear();
        let trained = match outcome {
            Outcome::Finished(trained) => trained,
            Outcome::Interrupted { step } => {
                output.note(&format!(
                    "stopped at step {step} of {steps}; the same command{} goes on from {}",
                    if fresh { " without --fresh" } else { "" },
                    partial.display()
                ));
                drop(claim);
                exit(INTERRUPTED);
            }
        };
        let seconds = start.elapsed().as_secs_f64();
        let Some(folds) = without_each(&plan, train, device, &partial, &stop, output)? else {
            output.note(
                "stopped before the thresholds were found; the same command goes on from where the \
                 run was last saved",
            );
            exit(INTERRUPTED);
        };
        let embedded = (trained.steps - trained.first_step) * plan.recipe.batch;
        let finished = finish(
            &plan,
            &trained,
            [train, test],
            &folds,
            names,
            &files,
            |stage| {
                output.note(stage);
            },
        )?;
        if let Err(why) = &finished.calibration {
            output.note(&format!(
                "not calibrated, so that a device accepts nothing by itself: {why}"
            ));
        }
        let report = Report {
            name: files.name().to_owned(),
            training_digest: hex(&plan.digest()),
            classes: names.of(&train.classes()),
            left_out: names.of(&plan.without.iter().copied().collect::<Vec<_>>()),
            plan,
            version: env!("CARGO_PKG_VERSION"),
            libtorch: env!("SIAMESE_LIBTORCH"),
            threads: tch::get_num_threads(),
            steps: trained.steps,
            seconds,
            images_per_second: embedded as f64 / seconds,
            float: finished.float,
            int8: finished.int8,
            calibration: finished.calibration.ok(),
            precision: finished.precision,
            history: trained.history,
        };
        let path = files.report();
        write_atomic(&path, |out| Ok(serde_json::to_writer_pretty(out, &report)?))?;
        if partial.exists() {
            std::fs::remove_file(&partial)
                .with_context(|| format!("can't remove {}", partial.display()))?;
        }
        drop(claim);
        Ok(report)
    }

    /// Checks everything that would otherwise fail after the last step.
    fn check(&self) -> Result<()> {
        self.plan.recipe.check()?;
        self.plan.check()?;
        let size = |set: &Dataset| (set.images.width(), set.images.height());
        ensure!(
            size(self.train) == size(self.test),
            "the training images are {:?} pixels large and the test images {:?}; give both in one \
             size",
            size(self.train),
            size(self.test)
        );
        evaluate::check_labels(&self.test.labels)
            .context("the network couldn't be judged by the test images")?;
        let (training, _) = self
            .train
            .hold_out(self.plan.recipe.validation, self.plan.seed);
        Sampler::new(
            &training.labels,
            self.plan.recipe.batch,
            self.plan.recipe.sampling,
            self.plan.recipe.pairing,
            self.plan.recipe.symmetries,
            self.plan.seed,
        )?;
        Ok(())
    }

    /// What is going to be done, as far as it follows from defaults and data.
    fn remarks(&self) -> Vec<String> {
        let Plan { recipe, input, .. } = &self.plan;
        let held_out = self.train.held_out(recipe.validation);
        let training = self.train.len() - held_out;
        let steps = recipe.steps(training);
        let [(inputs, first), (_, second), (_, dim)] = self.plan.shapes();
        let classes = self.train.classes();
        let augmentation = Augment::name_of(recipe.augmentation)
            .unwrap_or_else(|| format!("{:?}", recipe.augmentation));
        let threads = tch::get_num_threads();
        let mut remarks = vec![
            format!(
                "training {}: {steps} steps of {} images, {:.1} passes",
                self.files.name(),
                recipe.batch,
                (steps * recipe.batch) as f64 / training.max(1) as f64
            ),
            format!(
                "  images     {training} of {} classes, {held_out} held out to watch by, {} to test; \
                 {}x{} pixels",
                classes.len(),
                self.test.len(),
                input.width,
                input.height
            ),
            format!(
                "  network    {inputs}-{first}-{second}-{dim}, pooling {:?}, seed {}",
                input.pooling, self.plan.seed
            ),
            format!(
                "  bits       {} of grey levels, {} of weights, {} of activations",
                recipe.bits.grey,
                listed(&recipe.bits.weights),
                listed(&recipe.bits.hidden)
            ),
            format!(
                "  recipe     {}, {:?} batches, {:?} at {}, augmentation {augmentation}{}",
                recipe.loss,
                recipe.sampling,
                recipe.optimiser,
                recipe.learning_rate,
                if recipe.symmetries {
                    ", turned and mirrored"
                } else {
                    ""
                }
            ),
            format!(
                "  machine    {}, {threads} {} of libtorch {}",
                match self.device {
                    Device::Cuda(_) => "cuda",
                    _ => "cpu",
                },
                if threads == 1 { "thread" } else { "threads" },
                env!("SIAMESE_LIBTORCH")
            ),
            format!("  writes     {}", self.files.model().display()),
        ];
        let unknown: Vec<String> = self
            .test
            .classes()
            .into_iter()
            .filter(|class| classes.binary_search(class).is_err())
            .map(|class| self.names.get(class))
            .collect();
        if !unknown.is_empty() {
            remarks.push(format!(
                "  remark     {} of the test images' classes are not among the training images: {}",
                unknown.len(),
                unknown.join(", ")
            ));
        }
        remarks
    }
}

/// Numbers as the options take them: `3,3,8`.
fn listed(numbers: &[u8]) -> String {
    let numbers: Vec<String> = numbers.iter().map(u8::to_string).collect();
    numbers.join(",")
}

/// Trains without some of the classes each time, for thresholds that hold for new ones;
/// `None` if it was told to stop.
pub fn without_each(
    plan: &Plan,
    train: &Dataset,
    device: Device,
    partial: &Path,
    stop: &AtomicBool,
    output: Output,
) -> Result<Option<Vec<Fold>>> {
    let count = leave_out::groups(&train.classes()).len();
    if count > 0 {
        output.note(&format!(
            "{count} shorter trainings leave classes out, to find thresholds that hold for new ones"
        ));
    }
    let bar = output.progress().count("thresholds", "steps", 0);
    let told = |number: usize, event: Event<'_>| {
        if let Event::Steps { done, all, .. } = event {
            bar.set_length((count * all) as u64);
            bar.set_position((number * all + done) as u64);
        }
    };
    let folds = train_without_each(plan, train, device, partial, stop, told)?;
    bar.finish_and_clear();
    Ok(folds)
}

/// The epochs of a run as JSON lines.
struct Log {
    path: PathBuf,
    file: File,
    failed: bool,
}

/// One line of a [`Log`].
#[derive(Serialize)]
struct Logged<'a> {
    #[serde(flatten)]
    epoch: &'a Epoch,
    /// Since this process began to train.
    seconds: f64,
}

impl Log {
    /// Begins a log, or goes on with one together with the run.
    fn open(path: &Path, goes_on: bool) -> Result<Self> {
        let mut options = OpenOptions::new();
        options.create(true).append(true);
        let file = options.open(path).inspect(|file| {
            if !goes_on {
                // A device or a pipe has no length.
                let _ = file.set_len(0);
            }
        });
        Ok(Self {
            path: path.to_owned(),
            file: file.with_context(|| format!("can't write the log {}", path.display()))?,
            failed: false,
        })
    }

    /// Adds a line. A log that can't be written ends no run.
    fn add(&mut self, epoch: &Epoch, seconds: f64, output: Output) {
        let write = || -> Result<()> {
            let mut text = serde_json::to_vec(&Logged { epoch, seconds })?;
            text.push(b'\n');
            Ok((&self.file).write_all(&text)?)
        };
        if let Err(error) = write()
            && !std::mem::replace(&mut self.failed, true)
        {
            output.note(&format!(
                "can't write the log {}: {error:#}",
                self.path.display()
            ));
        }
    }
}

/// An epoch for people.
fn line(epoch: &Epoch) -> String {
    let right = epoch
        .knn25
        .map_or_else(String::new, |knn25| format!("knn25 {knn25:.4}   "));
    let [first, second] = epoch.active.map(|part| 100.0 * part);
    format!(
        "epoch {:>5.1}   loss {:.4}   {right}active units {first:.0} % {second:.0} %   {}{}",
        epoch.epoch,
        epoch.loss,
        if epoch.integers { "integers   " } else { "" },
        left(epoch.seconds_left)
    )
}

/// Seconds as the time that is left.
fn left(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    match seconds / 60 {
        0 => format!("{seconds} s left"),
        minutes => format!("{minutes} min {} s left", seconds % 60),
    }
}
