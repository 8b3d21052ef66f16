//! The commands: each reads its arguments, calls the library, and reports.

mod budget;
mod calibrate;
#[cfg(feature = "torch")]
mod choice;
#[cfg(feature = "torch")]
mod claim;
mod data;
mod device;
mod embed;
mod eval;
mod explore;
mod few_shot;
mod gallery;
mod identify;
#[cfg(feature = "torch")]
mod import;
mod inspect;
#[cfg(feature = "torch")]
mod interrupt;
#[cfg(feature = "torch")]
mod job;
mod key;
mod labelled;
mod output;
mod plot;
mod repack;
mod sign;
#[cfg(feature = "torch")]
mod study;
#[cfg(feature = "torch")]
mod threads;
#[cfg(feature = "torch")]
mod train;

use std::process::ExitCode;

use anyhow::Result;
use clap::builder::PossibleValue;
use clap::{Parser, Subcommand, ValueEnum};
use siamese_train::dataset::Source;
use siamese_train::limit;

pub use output::Output;

/// Train, quantise, evaluate and draw Siamese embeddings for microcontrollers.
#[derive(Debug, Parser)]
#[command(
    name = "siamese-train",
    version,
    max_term_width = 100,
    propagate_version = true,
    arg_required_else_help = true,
    after_help = "\
Examples, from nothing to a picture:
  siamese-train data --dataset mnist
  siamese-train train --preset small --out mine
  siamese-train eval --model mine/small.siam
  siamese-train plot --model mine/small.siam --out-dir pictures
  siamese-train explore --model mine/small.siam --out page.html

A model that somebody else trained needs no `train`, and no libtorch."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Print the report as one JSON object on stdout
    #[arg(long, global = true, help_heading = "Output")]
    json: bool,
    /// Show no progress and no remarks; errors are still shown
    #[arg(long, short, global = true, help_heading = "Output")]
    quiet: bool,
    /// How much memory a file may take when it is read, such as 2GB. By default 16 times its own
    /// size, or 512MB if that is more: files of people stay far below, and a file that was made
    /// to fill the memory is refused
    #[arg(long, global = true, value_name = "SIZE", value_parser = limit::parse, help_heading = "Input")]
    limit: Option<u64>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Data(data::Args),
    #[cfg(feature = "torch")]
    Train(Box<train::Args>),
    #[cfg(not(feature = "torch"))]
    Train(NoTrain),
    Embed(embed::Args),
    Eval(eval::Args),
    Calibrate(calibrate::Args),
    #[command(name = "fewshot", alias = "few-shot")]
    FewShot(Box<few_shot::Args>),
    Enrol(identify::EnrolArgs),
    Identify(identify::IdentifyArgs),
    #[cfg(feature = "torch")]
    Import(Box<import::Args>),
    Gallery(gallery::Args),
    Device(Box<device::Args>),
    Budget(budget::Args),
    Inspect(inspect::Args),
    Plot(plot::Args),
    Explore(explore::Args),
    Repack(repack::Args),
    Key(key::Args),
    Sign(sign::Args),
    #[cfg(feature = "torch")]
    Study(study::Args),
}

#[cfg(feature = "torch")]
impl Command {
    /// Whether libtorch has much to do.
    const fn trains(&self) -> bool {
        matches!(self, Self::Train(_) | Self::FewShot(_) | Self::Study(_))
    }
}

/// How to get what this build lacks.
#[cfg(any(test, not(feature = "torch")))]
const HOW_TO_TRAIN: &str = "\
This build has no `train`, which needs libtorch. Run `cargo xtask setup` once and then \
`cargo run --release -p siamese-train -- train` from the repository.";

/// Train a network and export its model (not in this build: it needs libtorch)
#[cfg(any(test, not(feature = "torch")))]
#[derive(Debug, clap::Args)]
#[command(after_help = HOW_TO_TRAIN)]
struct NoTrain {
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    _arguments: Vec<std::ffi::OsString>,
}

/// Runs the program; an error is one sentence on stderr and exit code 1.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    #[cfg(feature = "torch")]
    if cli.command.trains() {
        threads::sleep_soon();
    }
    if let Some(bytes) = cli.limit {
        limit::raise(bytes);
    }
    let output = Output::new(cli.json, cli.quiet);
    match dispatch(cli.command, output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output.error(&error);
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command, output: Output) -> Result<()> {
    match command {
        Command::Data(args) => data::run(&args, output),
        #[cfg(not(feature = "torch"))]
        Command::Train(_) => anyhow::bail!("{HOW_TO_TRAIN}"),
        #[cfg(feature = "torch")]
        Command::Train(args) => train::run(&args, output),
        Command::Embed(args) => embed::run(&args, output),
        Command::Eval(args) => eval::run(&args, output),
        Command::Calibrate(args) => calibrate::run(&args, output),
        Command::FewShot(args) => few_shot::run(&args, output),
        Command::Enrol(args) => identify::enrol(&args, output),
        Command::Identify(args) => identify::identify(&args, output),
        #[cfg(feature = "torch")]
        Command::Import(args) => import::run(&args, output),
        Command::Gallery(args) => gallery::run(&args, output),
        Command::Device(args) => device::run(&args, output),
        Command::Budget(args) => budget::run(&args, output),
        Command::Inspect(args) => inspect::run(&args, output),
        Command::Plot(args) => plot::run(&args, output),
        Command::Explore(args) => explore::run(&args, output),
        Command::Repack(args) => repack::run(&args, output),
        Command::Key(args) => key::run(&args, output),
        Command::Sign(args) => sign::run(&args, output),
        #[cfg(feature = "torch")]
        Command::Study(args) => study::run(&args, output),
    }
}

/// [`Source`] as an option's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceArg(pub Source);

impl ValueEnum for SourceArg {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self(Source::Mnist), Self(Source::FashionMnist)]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.0.name()).help(match self.0 {
            Source::Mnist => "handwritten digits",
            Source::FashionMnist => "photographs of clothes",
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::{Args as _, CommandFactory};

    use super::*;

    #[test]
    fn every_option_of_a_command_is_there_once() {
        // Clap itself checks this without optimisation only.
        for command in Cli::command().get_subcommands() {
            let mut seen = BTreeSet::new();
            for option in command.get_arguments() {
                let (command, id) = (command.get_name(), option.get_id());
                assert!(seen.insert(id.as_str()), "{command} has two {id}");
            }
        }
    }

    #[test]
    fn a_build_without_libtorch_says_how_to_get_it() {
        let command = || NoTrain::augment_args(clap::Command::new("train"));
        let help = command()
            .try_get_matches_from(["train", "--help"])
            .unwrap_err();
        assert_eq!(
            (help.kind(), help.exit_code()),
            (clap::error::ErrorKind::DisplayHelp, 0)
        );
        assert!(help.to_string().contains("cargo xtask setup"), "{help}");
        // Options that it doesn't have are no reason for another message.
        command()
            .try_get_matches_from(["train", "--preset", "small", "--dim=2"])
            .unwrap();
    }
}
