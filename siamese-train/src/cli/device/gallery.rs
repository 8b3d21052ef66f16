//! A board's gallery, as a file.

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::json;
use siamese_train::files::write_atomic;
use siamese_train::gallery::file::NamedGallery;
use siamese_train::limit;

use super::connect::Connected;
use crate::cli::Output;
use crate::cli::gallery::contents;
use crate::cli::output::shown;

/// What to do with it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A file holds the gallery with the names of its classes and the user's thresholds, and is the one that
`enrol`, `identify` and `gallery` of this machine read. A board takes one of its own model only.")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Write the board's gallery to a file
    Pull {
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Put a file's gallery in place of the board's, and save it
    Push {
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Take a file's gallery into the board's, and save it: classes of one name become one
    Merge {
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

pub fn run(connected: &mut Connected, args: &Args, output: Output) -> Result<()> {
    let read = |file: &PathBuf| {
        limit::read(file).with_context(|| format!("cannot open {}; check the path", file.display()))
    };
    match &args.command {
        Command::Pull { file } => {
            let bytes = connected.device.pull_gallery()?;
            write_atomic(file, |out| Ok(out.write_all(&bytes)?))?;
            let model = connected.model()?;
            let gallery = NamedGallery::read(&model.model(), file)?;
            let (human, json) = contents(&gallery, &shown(file))?;
            output.report(&human, &json)
        }
        Command::Push { file } => {
            connected.device.push_gallery(&read(file)?)?;
            let saved = connected.save()?;
            let entries = connected.device.entries()?.len();
            let human = format!(
                "{} has the {entries} entries of {}; {saved}",
                connected.info.board,
                file.display()
            );
            let json = json!({ "entries": entries, "saved": saved == "saved" });
            output.report(&human, &json)
        }
        Command::Merge { file } => {
            let labels = connected.device.merge_gallery(&read(file)?)?;
            let saved = connected.save()?;
            let entries = connected.device.entries()?.len();
            let human = format!(
                "{} labels of {} are on {}, which has {entries} entries now; {saved}",
                labels.len(),
                file.display(),
                connected.info.board
            );
            let json = json!({
                "labels": labels,
                "entries": entries,
                "saved": saved == "saved",
            });
            output.report(&human, &json)
        }
    }
}
