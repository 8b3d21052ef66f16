//! Hostile bytes: the targets of `fuzz/`, by libFuzzer where a C++ compiler is, else by their own
//! loop.

mod coverage;
mod flips;
mod guided;
mod plain;
mod report;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::shell::{self, Run};
use crate::workspace::Workspace;

pub use flips::{Args as FlipsArgs, HELP as FLIPS_HELP, run as run_flips};
pub use report::{REPORT, today, write, write_sanitised};

/// What `cargo xtask fuzz --help` says in the end.
pub const HELP: &str = "\
Each target of fuzz/src/targets gives bytes to one reader, and fails if that panics, hangs, takes
2 GB of memory, or differs from a naive model of the same. Their committed inputs are in
fuzz/corpus; inputs that reach new code are kept in target/fuzz/corpus. Overflow checks and debug
assertions are on.

libFuzzer drives them if there is a C++ compiler to build it: it looks for inputs that reach new
code. It needs no nightly toolchain and no cargo-fuzz. Otherwise, and by --plain, a loop changes
the committed inputs at random: other ones each time, and the same ones for the same --seed, which
each turn tells.

An input that fails is kept in target/fuzz/crashes, and the command that repeats it is told. Mend
the cause, and put the input into fuzz/corpus/TARGET: `cargo xtask test` runs it from then on.

--coverage runs no new inputs; it tells how much of the readers the kept and committed ones reach
(needs rustup's component llvm-tools, which it adds). target/fuzz/report.json adds up what all runs
have done since it was removed; --write puts that into docs/fuzz.json and docs/trust.md.

Examples:
  cargo xtask fuzz --seconds 600
  cargo xtask fuzz --seconds 60 --target model
  cargo xtask fuzz --target model --repeat target/fuzz/crashes/model-0badf00d
  cargo xtask fuzz --coverage";

/// The longest that a target runs before the next has its turn, in seconds.
const TURN: u64 = 60;

/// What to run, and for how long.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// For how long, all targets together; twice as many are run if two run side by side
    #[arg(long, default_value_t = 60, value_name = "N")]
    seconds: u64,
    /// Only this target; may be given several times
    #[arg(long, value_name = "TARGET")]
    target: Vec<String>,
    /// Targets that run side by side
    #[arg(long, value_name = "N", default_value_t = cores(), value_parser = clap::value_parser!(u64).range(1..=64))]
    jobs: u64,
    /// By the loop that needs nothing but Rust
    #[arg(long)]
    plain: bool,
    /// Of that loop's inputs: the same seed makes the same ones [default: the time]
    #[arg(long)]
    seed: Option<u64>,
    /// Run one input again
    #[arg(
        long,
        value_name = "FILE",
        requires = "target",
        conflicts_with = "coverage"
    )]
    repeat: Option<PathBuf>,
    /// How much of the readers the inputs reach
    #[arg(long)]
    coverage: bool,
    /// Put the figures into docs/fuzz.json and docs/trust.md
    #[arg(long)]
    write: bool,
}

/// A target, as the program of `fuzz/` tells of it.
struct Target {
    name: String,
    longest: u64,
}

/// Runs targets.
pub fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    if args.coverage {
        return coverage::run(workspace, args.write);
    }
    let program = plain::build(workspace)?;
    let targets = targets(&program, &args.target)?;
    if let Some(file) = &args.repeat {
        let [target] = &targets[..] else {
            bail!("--repeat takes the one target that the input is for");
        };
        let call = Run::new(&program).args(["repeat", &target.name]).arg(file);
        return call.run();
    }
    let guided = if args.plain {
        None
    } else {
        guided::build(workspace)
    };
    let before = report::kept(workspace);
    let all = Mutex::new(before.clone());
    let turns = turns(args.seconds * args.jobs, &targets);
    let next = AtomicUsize::new(0);
    // What was run before isn't counted again.
    let first_seed = args.seed.unwrap_or_else(seconds_since_1970);
    let work = || -> Result<()> {
        while let Some(turn) = turns.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (target, seconds) = (&targets[turn.target], turn.seconds);
            let row = match &guided {
                Some(program) => guided::turn(workspace, program, target, seconds),
                None => {
                    let seed = first_seed.wrapping_add(turn.round);
                    plain::turn(workspace, &program, &target.name, seconds, seed)
                }
            };
            // The first that fails ends the others after their turns.
            let row = row.inspect_err(|_| next.store(turns.len(), Ordering::Relaxed))?;
            let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
            report::add(&mut all, row);
            report::keep(workspace, &all)?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..args.jobs).map(|_| scope.spawn(work)).collect();
        let mut done = workers.into_iter().map(|worker| worker.join());
        done.try_for_each(|done| {
            done.unwrap_or_else(|_| bail!("a place has ended before its time"))
        })
    })?;
    let all = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    let total = |rows: &[Value], key: &str| report::total(rows, key);
    let summary = format!(
        "{} executions of {} targets in {} s, and none has failed",
        total(&all, "executions") - total(&before, "executions"),
        targets.len(),
        total(&all, "seconds") - total(&before, "seconds")
    );
    shell::ready("Passed", &summary);
    if args.write {
        report::write_fuzz(workspace, all)?;
    }
    Ok(())
}

/// A seed that no run had before.
fn seconds_since_1970() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(1, |since| since.as_secs())
}

/// How many processors there are.
fn cores() -> u64 {
    thread::available_parallelism().map_or(1, |count| count.get() as u64)
}

/// A target's turn.
#[derive(Debug, PartialEq, Eq)]
struct Turn {
    target: usize,
    seconds: u64,
    round: u64,
}

/// The turns that fill so many seconds: all targets in each round, for as long as each other.
fn turns(seconds: u64, targets: &[Target]) -> Vec<Turn> {
    let count = targets.len() as u64;
    let (mut turns, mut left) = (Vec::new(), seconds);
    for round in 0.. {
        if left == 0 {
            break;
        }
        let seconds = (left / count).clamp(1, TURN);
        turns.extend((0..targets.len()).map(|target| Turn {
            target,
            seconds,
            round,
        }));
        left = left.saturating_sub(seconds * count);
    }
    turns
}

/// The targets that were asked for, or all.
fn targets(program: &Path, names: &[String]) -> Result<Vec<Target>> {
    let listed = Run::new(program).args(["list", "--json"]).ask();
    let listed = listed.context("the program of fuzz/ doesn't list its targets")?;
    let listed: Vec<Value> = serde_json::from_str(&listed)?;
    let all = || listed.iter().filter_map(|row| row["target"].as_str());
    for name in names {
        if !all().any(|target| target == name) {
            let all: Vec<_> = all().collect();
            bail!("there is no target {name}; there are {}", all.join(", "));
        }
    }
    let chosen = listed.iter().filter_map(|row| {
        let name = row["target"].as_str()?.to_owned();
        let chosen = names.is_empty() || names.contains(&name);
        chosen.then_some(Target {
            name,
            longest: row["longest"].as_u64()?,
        })
    });
    Ok(chosen.collect())
}

/// The folder of what runs leave behind.
fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target().join("fuzz")
}

/// Where inputs that fail are kept.
fn crashes(workspace: &Workspace) -> PathBuf {
    folder(workspace).join("crashes")
}

/// Why a run ends at an input that failed.
fn failed(target: &str, input: &Path) -> anyhow::Error {
    anyhow::anyhow!(
        "{target} fails on {input}; to repeat it: cargo xtask fuzz --target {target} --repeat {input}",
        input = input.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_fill_the_time_and_are_fair() {
        let target = |name: &str| Target {
            name: name.to_owned(),
            longest: 1,
        };
        let targets = ["a", "b", "c"].map(target);
        let turns = turns(3 * TURN + 9, &targets);
        let seconds = |target| -> u64 {
            let own = turns.iter().filter(|turn| turn.target == target);
            own.map(|turn| turn.seconds).sum()
        };
        assert_eq!([0, 1, 2].map(seconds), [TURN + 3; 3]);
        let rounds = turns.iter().map(|turn| turn.round);
        assert_eq!(rounds.collect::<Vec<_>>(), [0, 0, 0, 1, 1, 1]);
        // Less than a second each is a second each.
        assert_eq!(super::turns(1, &targets).len(), 3);
        assert_eq!(super::turns(0, &targets), []);
    }
}
