//! The loop that needs nothing but Rust: committed inputs, changed at random.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, process, thread};

use anyhow::{Context, Result};
use siamese_core::checksum::checksum;

use crate::random::Random;
use crate::{Target, corpus, mutate};

/// An execution that takes longer hangs.
const HANG: Duration = Duration::from_secs(20);

/// How long to go on.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// For so long.
    Time(Duration),
    /// So many inputs besides the committed ones.
    Executions(u64),
}

/// What became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Inputs that were run.
    pub executions: u64,
    /// The time that it took.
    pub seconds: f64,
    /// The file of an input that failed, which was the last.
    pub crash: Option<PathBuf>,
}

/// Runs a target on its committed inputs, then on inputs made from them, until one fails. The
/// same seed makes the same inputs. One that fails or hangs is written to `crashes`.
///
/// # Errors
/// If the committed inputs can't be read, or one that fails can't be written.
pub fn run(
    target: &'static Target,
    seed: u64,
    until: Until,
    crashes: &Path,
    mut progress: impl FnMut(u64),
) -> Result<Outcome> {
    let seeds = corpus::read(target)?;
    let mut random = Random::new(seed ^ u64::from(checksum(target.name.as_bytes())));
    let watch = Watch::start(target, crashes);
    let start = Instant::now();
    let mut executions = 0;
    let mut inputs = seeds.clone().into_iter();
    let crash = loop {
        let over = match until {
            Until::Time(time) => start.elapsed() >= time,
            Until::Executions(most) => executions >= most + seeds.len() as u64,
        };
        let committed = inputs.next();
        if committed.is_none() && over {
            break None;
        }
        let input = committed.unwrap_or_else(|| mutate::input(&seeds, target.longest, &mut random));
        watch.see(&input);
        executions += 1;
        if catch_unwind(AssertUnwindSafe(|| (target.run)(&input))).is_err() {
            break Some(keep(target, &input, crashes)?);
        }
        progress(executions);
    };
    Ok(Outcome {
        executions,
        seconds: start.elapsed().as_secs_f64(),
        crash,
    })
}

/// Writes an input that fails.
fn keep(target: &Target, input: &[u8], crashes: &Path) -> Result<PathBuf> {
    let path = crashes.join(format!("{}-{:08x}", target.name, checksum(input)));
    fs::create_dir_all(crashes)
        .and_then(|()| fs::write(&path, input))
        .with_context(|| format!("can't write {}, an input that fails", path.display()))?;
    Ok(path)
}

/// The input that runs, and its number, for a thread that notices if it doesn't end.
struct Watch {
    input: Arc<Mutex<Vec<u8>>>,
    number: Arc<AtomicU64>,
}

impl Watch {
    fn start(target: &'static Target, crashes: &Path) -> Self {
        let watch = Self {
            input: Arc::default(),
            number: Arc::default(),
        };
        let (input, number) = (Arc::clone(&watch.input), Arc::clone(&watch.number));
        let crashes = crashes.to_owned();
        thread::spawn(move || {
            let (mut last, mut since) = (0, Instant::now());
            // Nobody else counts once the run is over.
            while Arc::strong_count(&number) > 1 {
                thread::sleep(Duration::from_millis(500));
                let now = number.load(Ordering::Relaxed);
                if now != last {
                    (last, since) = (now, Instant::now());
                } else if now > 0 && since.elapsed() > HANG && Arc::strong_count(&number) > 1 {
                    let input = input.lock().unwrap_or_else(PoisonError::into_inner);
                    match keep(target, &input, &crashes) {
                        Ok(path) => eprintln!("{} hangs on {}", target.name, path.display()),
                        Err(error) => eprintln!("{} hangs: {error:#}", target.name),
                    }
                    process::exit(1);
                }
            }
        });
        watch
    }

    fn see(&self, input: &[u8]) {
        let mut seen = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        seen.clear();
        seen.extend_from_slice(input);
        self.number.fetch_add(1, Ordering::Relaxed);
    }
}
