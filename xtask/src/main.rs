//! `cargo xtask`: the door to everything in this repository.
//!
//! A command here sets up what it needs, then calls the same programs that one
//! would call by hand, and shows each call before it runs. What the calls do lives
//! elsewhere: the trainer in `siamese-train`, the emulated board in `siamese-device`.
//!
//! | module | what it holds |
//! |---|---|
//! | [`setup`] | Rust's bare-metal target, QEMU, a compiler for C, libtorch |
//! | [`lint`], [`mod@test`] | what has to pass before a change lands |
//! | [`mod@package`] | whether the library crates can be published |
//! | [`panics`] | whether what a firmware calls can panic |
//! | [`firmware`] | the firmware, built for a board with a model inside |
//! | [`c_library`] | the library for C, with a model |
//! | [`mod@bench`] | what an embedding costs on every core and here |
//! | [`mod@page`] | the page of `siamese-train explore`, built from `siamese-web` |
//! | [`peers`] | what the same layers cost with other libraries |
//! | [`mod@pages`] | the tables of README.md and docs/, from the reports |
//! | [`fuzz`] | hostile bytes for every reader, flipped bits, coverage |
//! | [`train_all`], [`seeds`] | the committed models, trained anew, and with other seeds |
//! | [`noise`] | a noisy line, for long |
//! | [`power`] | power cuts at every step of a save |
//! | [`sanitise`] | the tests by Miri, on other hosts, with AddressSanitizer |
//! | [`demo`] | the whole way, from MNIST to the answers of an emulated board |
//! | [`device_demo`] | an emulated board learns digits that it was not trained on |
//! | [`images`] | MNIST's images |
//! | [`shell`], [`workspace`] | child processes and their echo; where things are |

mod bench;
mod c_library;
mod demo;
mod device_demo;
mod firmware;
mod fuzz;
mod images;
mod lint;
mod noise;
mod package;
mod page;
mod pages;
mod panics;
mod peers;
mod power;
mod sanitise;
mod seeds;
mod setup;
mod shell;
mod test;
mod train_all;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use setup::Need;
use workspace::Workspace;

/// Sets the machine up, and builds, tests and shows everything in this repository.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    max_term_width = 100,
    arg_required_else_help = true,
    after_help = "\
New here? `cargo xtask demo` is the only command to type: it sets up what is missing, trains a
network on MNIST, puts it on an emulated microcontroller and checks all 10,000 answers.

Every command prepares what it needs by itself, once, and echoes the programs it calls, so that
each can be repeated by hand."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Prepare this machine: Rust's bare-metal target, QEMU, a compiler for C, libtorch
    #[command(after_help = setup::HELP)]
    Setup,
    /// The whole way, once: train, quantise, and run on an emulated Cortex-M4
    #[command(after_help = demo::HELP)]
    Demo(demo::Args),
    /// A device that learns: an emulated board is shown new digits, and remembers them
    #[command(after_help = device_demo::HELP)]
    DeviceDemo(device_demo::Args),
    /// Everything that has to pass before a change lands: set-up, lint, all tests
    #[command(after_help = test::HELP)]
    Test(test::Args),
    /// Formatting, clippy and rustdoc of every crate, warnings as errors
    Lint(lint::Args),
    /// Whether what a firmware calls can panic, by the linker's symbols
    #[command(after_help = panics::HELP)]
    Panics,
    /// Pack each library crate, and build it from its package
    #[command(after_help = package::HELP)]
    Package,
    /// What an embedding costs on every core, in QEMU, and on this machine
    #[command(after_help = bench::HELP)]
    Bench(bench::Args),
    /// What the same layers cost with other libraries, on the same cores
    #[command(after_help = peers::HELP)]
    BenchPeers(peers::Args),
    /// Build the firmware with a model inside
    #[command(after_help = firmware::HELP)]
    Firmware(firmware::Args),
    /// The library for C and C++, with a header and a model, for a core
    #[command(after_help = c_library::HELP)]
    CLibrary(c_library::Args),
    /// Give hostile bytes to every reader, and see that nothing fails
    #[command(after_help = fuzz::HELP)]
    Fuzz(fuzz::Args),
    /// Flip every bit of models and of a gallery, and see that none is accepted
    #[command(after_help = fuzz::FLIPS_HELP)]
    Flips(fuzz::FlipsArgs),
    /// Talk to a device over a noisy line, and see that no answer is wrong
    #[command(after_help = noise::HELP)]
    Noise(noise::Args),
    /// Cut the power at every step of a save, and see that nothing is lost
    #[command(after_help = power::HELP)]
    PowerCuts(power::Args),
    /// The tests by Miri, on a big-endian and a 32-bit host, and with AddressSanitizer
    #[command(after_help = sanitise::HELP)]
    Sanitise(sanitise::Args),
    /// Make the tables of README.md and docs/ anew from the reports
    #[command(after_help = pages::HELP)]
    Pages,
    /// Build the page that `siamese-train explore` fills
    #[command(after_help = page::HELP)]
    Page(page::Args),
    /// Train the models of model/ anew
    #[command(after_help = train_all::HELP)]
    TrainAll(train_all::Args),
    /// Train the models of model/ with other seeds: how much of a figure is chance
    #[command(after_help = seeds::HELP)]
    Seeds(seeds::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => shell::error(&error).into(),
    }
}

fn run(command: Command) -> Result<()> {
    shell::catch_ctrl_c()?;
    let workspace = Workspace::find()?;
    match command {
        Command::Setup => setup::run(&workspace, Need::ALL),
        Command::Demo(args) => demo::run(&workspace, &args),
        Command::DeviceDemo(args) => device_demo::run(&workspace, &args),
        Command::Test(args) => test::run(&workspace, &args),
        Command::Lint(args) => {
            setup::run(
                &workspace,
                &args.torch().needs(&[Need::Rust, Need::Libtorch]),
            )?;
            lint::run(&workspace, &args)
        }
        Command::Panics => panics::run(&workspace),
        Command::Package => package::run(&workspace),
        Command::Bench(args) => bench::run(&workspace, &args),
        Command::BenchPeers(args) => peers::run(&workspace, &args),
        Command::Firmware(args) => firmware::run(&workspace, &args),
        Command::CLibrary(args) => c_library::run(&workspace, &args),
        Command::Fuzz(args) => fuzz::run(&workspace, &args),
        Command::Flips(args) => fuzz::run_flips(&workspace, &args),
        Command::Noise(args) => noise::run(&workspace, &args),
        Command::PowerCuts(args) => power::run(&workspace, &args),
        Command::Sanitise(args) => sanitise::run(&workspace, &args),
        Command::Pages => pages::write(workspace.root()),
        Command::Page(args) => page::run(&workspace, &args),
        Command::TrainAll(args) => train_all::run(&workspace, &args),
        Command::Seeds(args) => seeds::run(&workspace, &args),
    }
}
