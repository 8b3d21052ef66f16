//! Hostile bytes: the targets of `fuzz/`, by libFuzzer where a C++ compiler is, else by their own
//! loop.

mod coverage;
mod flips;
mod guided;
mod plain;
mod report;

use std::path::{Path, PathBuf};

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
the committed inputs at random, the same ones for the same --seed.

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
    /// For how long, all targets together
    #[arg(long, default_value_t = 60, value_name = "N")]
    seconds: u64,
    /// Only this target; may be given several times
    #[arg(long, value_name = "TARGET")]
    target: Vec<String>,
    /// By the loop that needs nothing but Rust
    #[arg(long)]
    plain: bool,
    /// Of that loop's inputs: the same seed makes the same ones
    #[arg(long, default_value_t = 1)]
    seed: u64,
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
    let mut left = args.seconds;
    let mut all = report::kept(workspace);
    let before = all.clone();
    let mut round = 0;
    while left > 0 {
        let turn = (left / targets.len() as u64).clamp(1, TURN);
        for target in &targets {
            let row = match &guided {
                Some(program) => guided::turn(workspace, program, target, turn)?,
                None => plain::turn(workspace, &program, &target.name, turn, args.seed + round)?,
            };
            report::add(&mut all, row);
            report::keep(workspace, &all)?;
        }
        left = left.saturating_sub(turn * targets.len() as u64);
        round += 1;
    }
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
