//! `gallery`: what is in files of galleries, and several of them in one.

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use siamese_core::gallery::Label;
use siamese_train::embed::ModelFile;
use siamese_train::gallery::file::NamedGallery;

use super::Output;
use super::output::shown;

/// Show, merge and change galleries of one model
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A gallery is a file that `enrol` wrote, or a device. Galleries of one model can be merged: labels of
one name become one, with all of its examples, exactly as if they had been enrolled in one place. A
gallery of another model is refused: its points mean nothing to this one.

Examples:
  siamese-train gallery show my.gallery --model m.siam
  siamese-train gallery merge kitchen.gallery hall.gallery --model m.siam --out house.gallery
  siamese-train gallery rename my.gallery cat tiger --model m.siam
  siamese-train gallery forget my.gallery cat dog --model m.siam --out fewer.gallery")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List labels, names and examples
    Show {
        /// The gallery
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        model: ModelArg,
    },
    /// Put several galleries into one
    Merge {
        /// The galleries
        #[arg(value_name = "FILES", required = true, num_args = 2..)]
        files: Vec<PathBuf>,
        /// Where the merged one goes
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        #[command(flatten)]
        model: ModelArg,
    },
    /// Call a class otherwise
    Rename {
        /// The gallery
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The class's name or label
        old: String,
        /// Its new name
        new: String,
        #[command(flatten)]
        to: To,
        #[command(flatten)]
        model: ModelArg,
    },
    /// Remove classes
    Forget {
        /// The gallery
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The classes' names or labels
        #[arg(required = true)]
        classes: Vec<String>,
        #[command(flatten)]
        to: To,
        #[command(flatten)]
        model: ModelArg,
    },
}

/// The model.
#[derive(Debug, clap::Args)]
struct ModelArg {
    /// The quantised model of the galleries
    #[arg(long, value_name = "FILE.siam")]
    model: PathBuf,
}

/// Where a changed gallery goes.
#[derive(Debug, clap::Args)]
struct To {
    /// Where the changed gallery goes [default: in place of the old one]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub fn run(args: &Args, output: Output) -> Result<()> {
    let model = match &args.command {
        Command::Show { model, .. }
        | Command::Merge { model, .. }
        | Command::Rename { model, .. }
        | Command::Forget { model, .. } => ModelFile::read(&model.model)?,
    };
    let model = model.model();
    let (gallery, path) = match &args.command {
        Command::Show { file, .. } => {
            let gallery = NamedGallery::read(&model, file)?;
            let (human, json) = contents(&gallery, &shown(file))?;
            return output.report(&human, &json);
        }
        Command::Merge { files, out, .. } => {
            let mut gallery = NamedGallery::new(&model)?;
            for file in files {
                gallery.merge(&model, file)?;
            }
            (gallery, out)
        }
        Command::Rename {
            file, old, new, to, ..
        } => {
            let mut gallery = NamedGallery::read(&model, file)?;
            let label = find(&gallery, std::slice::from_ref(old))?[0];
            gallery.names.set(label, new)?;
            (gallery, to.out.as_ref().unwrap_or(file))
        }
        Command::Forget {
            file, classes, to, ..
        } => {
            let mut gallery = NamedGallery::read(&model, file)?;
            for label in find(&gallery, classes)? {
                gallery.gallery.forget(label);
                gallery.names.remove(label);
            }
            (gallery, to.out.as_ref().unwrap_or(file))
        }
    };
    gallery.write(path)?;
    let (human, json) = contents(&gallery, &shown(path))?;
    output.report(&human, &json)
}

/// The labels of classes that are enrolled.
fn find(gallery: &NamedGallery, classes: &[String]) -> Result<Vec<Label>> {
    let found = gallery.names.find_all(classes)?;
    let there = gallery.labels();
    for &label in &found {
        ensure!(
            there.contains(&label),
            "nothing is enrolled as {}; `siamese-train gallery show` lists what is",
            gallery.names.get(label)
        );
    }
    Ok(found.into_iter().collect())
}

/// What is in a gallery, for people and as JSON.
pub fn contents(gallery: &NamedGallery, file: &str) -> Result<(String, Value)> {
    let entries = gallery.gallery.entries();
    let names = &gallery.names;
    let identical = gallery.identical();
    let mut human = format!("{} labels in {file}\n", gallery.labels().len());
    for &(label, examples) in &entries {
        let name = if names.is_named(label) {
            names.get(label)
        } else {
            String::new()
        };
        let plural = if examples == 1 { "example" } else { "examples" };
        writeln!(human, "  {label:>5}  {examples:>5} {plural:<8}  {name}")?;
    }
    for &(first, second) in &identical {
        writeln!(
            human,
            "{} and {} are the same point: no image can be told to be one and not the other; \
             look at their pictures",
            names.get(first),
            names.get(second)
        )?;
    }
    let named = |&(label, examples): &(Label, u16)| json!({ "label": label, "name": names.get(label), "examples": examples });
    let pair = |&(a, b): &(Label, Label)| json!([names.get(a), names.get(b)]);
    let json = json!({
        "gallery": file,
        "labels": entries.iter().map(named).collect::<Vec<_>>(),
        "identical": identical.iter().map(pair).collect::<Vec<_>>(),
    });
    Ok((human, json))
}
