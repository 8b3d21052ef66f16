//! Everything that has to pass before a change lands; what `.ci/run` calls.

use std::time::Instant;

use anyhow::{Result, ensure};

use crate::setup::{self, Need};
use crate::workspace::Workspace;
use crate::{device_demo, lint, package, page, panics, shell};

/// What `cargo xtask test --help` says in the end.
pub const HELP: &str = "\
In this order, and the first failure ends it: set-up; formatting, clippy and rustdoc; a search for
what can panic in a firmware; packages of the library crates; the page of `siamese-train explore`,
which must be what is committed; the trainer, the tests and MNIST;
all tests on this machine, among them the firmware's in QEMU; the core's once more with overflow
checks; a short `cargo xtask device-demo`. The first run takes most of its time to compile
libtorch's binding; --without-libtorch leaves out that and what needs it: the command `train`, and
the comparison with libtorch's integers.

A single test: `cargo test --release --workspace NAME`.";

/// How much to test.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Also what takes long: tests see SIAMESE_FULL=1, and `lint` is called with --full
    #[arg(long)]
    full: bool,
    /// Leave out what needs libtorch
    #[arg(long)]
    without_libtorch: bool,
}

/// Tests everything.
pub fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let start = Instant::now();
    let judged = lint::Args {
        full: args.full,
        without_libtorch: args.without_libtorch,
    };
    let torch = judged.torch();
    setup::run(workspace, &torch.needs(Need::ALL))?;
    lint::run(workspace, &judged)?;
    panics::check(workspace)?;
    package::check(workspace)?;
    page::check(workspace)?;
    shell::step(
        "Trainer, tests and data",
        "the tests call the trainer, and embed MNIST's test images",
        || {
            // In one call, so that both are linked to the same build of every crate.
            let targets = ["--workspace", "--bin", "siamese-train", "--tests"];
            let call = ["build", "--release"].iter().chain(&targets);
            workspace.cargo(torch.select(call.copied())).run()?;
            workspace.trainer(["data", "--dataset", "mnist"]).run()
        },
    )?;

    let mut tally = Tally::default();
    let mut tests = |call: &[&str]| {
        let mut call = workspace
            .cargo(call.iter().copied())
            .quiet_env("SIAMESE_TRAINER", workspace.trainer_path());
        if args.full {
            call = call.env("SIAMESE_FULL", "1");
        }
        call.run_watching(|line| tally.see(line))
    };
    shell::step(
        "Tests",
        "all crates on this machine, and the firmware in QEMU",
        || tests(&torch.select(["test", "--release", "--workspace"])),
    )?;
    shell::step(
        "Overflow checks",
        "the arithmetic of core, link and update must never wrap",
        || {
            let packages =
                ["core", "link", "update"].map(|name| format!("--package=siamese-{name}"));
            let packages = packages.iter().map(String::as_str);
            tests(
                &["test", "--all-features"]
                    .into_iter()
                    .chain(packages)
                    .collect::<Vec<_>>(),
            )
        },
    )?;

    device_demo::show(workspace, &device_demo::Args::QUICK)?;

    ensure!(tally.passed > 0, "cargo test succeeded, but ran no test");
    eprintln!();
    shell::ready(
        "Passed",
        &format!("everything, in {}", shell::elapsed(start.elapsed())),
    );
    println!(
        "{} passed, {} failed, {} skipped",
        tally.passed, tally.failed, tally.skipped
    );
    Ok(())
}

/// The sum of cargo's `test result:` lines.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tally {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl Tally {
    /// How many tests have passed.
    pub const fn passed(&self) -> u64 {
        self.passed
    }

    /// Adds `test result: ok. 5 passed; 0 failed; 1 ignored; …`; other lines count nothing.
    pub fn see(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else {
            return;
        };
        let words: Vec<&str> = result
            .split([' ', ';', '.'])
            .filter(|word| !word.is_empty())
            .collect();
        for pair in words.windows(2) {
            let Ok(number) = pair[0].parse::<u64>() else {
                continue;
            };
            match pair[1] {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.skipped += number,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_several_runs_add_up() {
        let mut tally = Tally::default();
        tally.see("test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.03s");
        tally.see("test three passed ... ok");
        tally.see("test result: FAILED. 7 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out");
        assert_eq!(
            tally,
            Tally {
                passed: 12,
                failed: 2,
                skipped: 1
            }
        );
    }
}
