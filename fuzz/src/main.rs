//! Runs targets by the plain loop, an input again, and flips bits: what `cargo xtask fuzz` and
//! `cargo xtask flips` call.

use std::cell::Cell;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use siamese_fuzz::plain::Until;
use siamese_fuzz::{Target, corpus, flips, plain, targets};

/// Hostile bytes for every reader of the project.
#[derive(Debug, Parser)]
#[command(
    name = "siamese-fuzz",
    max_term_width = 100,
    arg_required_else_help = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Print the report as one JSON object on stdout
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The targets, and what each attacks
    List,
    /// Run a target on its committed inputs, and on inputs made from them
    Run {
        /// The target
        #[arg(value_parser = target)]
        target: &'static Target,
        /// For how long
        #[arg(long, default_value_t = 10)]
        seconds: u64,
        /// The same seed makes the same inputs
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Where an input that fails is written
        #[arg(long, default_value = "target/fuzz/crashes")]
        crashes: PathBuf,
    },
    /// Run a target on one input again
    Repeat {
        /// The target
        #[arg(value_parser = target)]
        target: &'static Target,
        /// The input
        file: PathBuf,
    },
    /// Run all committed inputs, and those kept in a folder: to count what they reach
    Cover {
        /// The folder, which has one of each target
        kept: PathBuf,
    },
    /// Flip every bit of files of models and of a stored gallery, and pairs of bits
    Flips {
        /// Files of models
        models: Vec<PathBuf>,
        /// Pairs of bits, of each
        #[arg(long, default_value_t = 1_000_000)]
        doubles: u64,
    },
}

fn target(name: &str) -> Result<&'static Target, String> {
    targets::find(name).ok_or_else(|| {
        let names: Vec<_> = targets::ALL.iter().map(|target| target.name).collect();
        format!("there is no such target; there are {}", names.join(", "))
    })
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let report = match run(&cli.command) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("error: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    if cli.json {
        println!("{report}");
    }
    ExitCode::SUCCESS
}

fn run(command: &Command) -> Result<Value> {
    match command {
        Command::List => {
            for target in targets::ALL {
                eprintln!("{:<14}{}", target.name, target.what);
            }
            let all = targets::ALL.iter();
            Ok(all.map(|target| json!({"target": target.name, "what": target.what, "longest": target.longest})).collect())
        }
        Command::Run {
            target,
            seconds,
            seed,
            crashes,
        } => {
            let until = Until::Time(Duration::from_secs(*seconds));
            let bar = bar(
                *seconds,
                "{prefix:>12} {bar:30} {pos} of {len} s, {msg} executions",
            );
            bar.set_prefix(target.name);
            let last = Cell::new(0);
            let outcome = plain::run(target, *seed, until, crashes, |executions| {
                if executions >= last.get() + 256 {
                    last.set(executions);
                    bar.set_position(bar.elapsed().as_secs().min(*seconds));
                    bar.set_message(executions.to_string());
                }
            })?;
            bar.finish_and_clear();
            if let Some(path) = outcome.crash {
                bail!(
                    "{name} fails on {path}; to repeat it: cargo xtask fuzz --target {name} --repeat {path}",
                    name = target.name,
                    path = path.display()
                );
            }
            eprintln!(
                "{:<14}{} executions in {:.0} s",
                target.name, outcome.executions, outcome.seconds
            );
            Ok(json!({
                "target": target.name,
                "executions": outcome.executions,
                "seconds": outcome.seconds.round(),
            }))
        }
        Command::Repeat { target, file } => {
            let input = fs::read(file).with_context(|| format!("can't read {}", file.display()))?;
            (target.run)(&input);
            eprintln!("{} takes it", target.name);
            Ok(json!({"target": target.name, "passed": true}))
        }
        Command::Cover { kept } => {
            let mut inputs = 0;
            for target in targets::ALL {
                let folder = kept.join(target.name);
                let mut all = corpus::read(target)?;
                if folder.is_dir() {
                    all.extend(corpus::read_folder(&folder)?);
                }
                all.iter().for_each(|input| (target.run)(input));
                inputs += all.len();
            }
            eprintln!("{inputs} inputs");
            Ok(json!({"inputs": inputs}))
        }
        Command::Flips { models, doubles } => all_flips(models, *doubles),
    }
}

/// A reader: whether it accepts some bytes.
type Accepts = fn(&[u8]) -> bool;

/// Flips bits of some models and of a gallery.
fn all_flips(models: &[PathBuf], doubles: u64) -> Result<Value> {
    let mut cases: Vec<(String, Vec<u8>, Accepts)> = Vec::new();
    for path in models {
        let bytes = fs::read(path).with_context(|| format!("can't read {}", path.display()))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        cases.push((name.into_owned(), bytes, flips::is_model));
    }
    cases.push((
        "a stored gallery".to_owned(),
        flips::gallery(),
        flips::is_gallery,
    ));
    let mut rows = Vec::new();
    for (name, bytes, accepts) in cases {
        if !accepts(&bytes) {
            bail!("{name} isn't accepted as it is; give a whole file");
        }
        let bar = bar(
            bytes.len() as u64 * 8 + doubles,
            "{prefix:>16} {bar:30} {percent} %, {eta} left",
        );
        bar.set_prefix(name.clone());
        let found = flips::flip(&bytes, accepts, 1, doubles, |count| bar.inc(count));
        bar.finish_and_clear();
        eprintln!(
            "{name}: {} bits and {} pairs of bits flipped, {} accepted",
            found.singles, found.doubles, found.accepted
        );
        rows.push(json!({
            "file": name,
            "bytes": bytes.len(),
            "single": found.singles,
            "double": found.doubles,
            "accepted": found.accepted,
        }));
    }
    if rows.iter().any(|row| row["accepted"] != 0) {
        bail!("flipped bits were accepted: {}", Value::from(rows));
    }
    Ok(rows.into())
}

fn bar(length: u64, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).expect("the template is right");
    ProgressBar::new(length).with_style(style)
}
