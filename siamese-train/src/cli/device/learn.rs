//! What a board embeds, learns, recognises and forgets.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use siamese_core::gallery::Label;
use siamese_train::dataset::Images;
use siamese_train::embed::IntEmbeddings;

use super::connect::Connected;
use crate::cli::Output;
use crate::cli::embed::images_of;
use crate::cli::identify::{Answer, Asked, answered, asked};
use crate::cli::labelled::{PictureArgs, Reader};
use crate::cli::output::{digits, shown};

/// What to embed.
#[derive(Debug, clap::Args)]
pub struct EmbedArgs {
    /// The images: IDX, raw or .gz; a folder of pictures, or one with a folder a class
    #[arg(value_name = "IDX|FOLDER")]
    images: PathBuf,
    /// Where the points go, the ending saying in which form: .txt, .npy or .tsv
    #[arg(long, value_name = "FILE", default_value = "embed.txt")]
    out: PathBuf,
    #[command(flatten)]
    pictures: PictureArgs,
}

/// What to enrol.
#[derive(Debug, clap::Args)]
pub struct EnrolArgs {
    /// The folder of folders named by class
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// Don't save: forget it with the power
    #[arg(long)]
    no_save: bool,
    #[command(flatten)]
    pictures: PictureArgs,
}

/// What to identify.
#[derive(Debug, clap::Args)]
pub struct IdentifyArgs {
    /// Image files, folders of them, or one folder with one folder a class
    #[arg(value_name = "IMAGES", required = true)]
    images: Vec<PathBuf>,
    #[command(flatten)]
    pictures: PictureArgs,
}

/// What to forget.
#[derive(Debug, clap::Args)]
pub struct ForgetArgs {
    /// The classes' names or labels
    #[arg(value_name = "CLASSES", required = true)]
    classes: Vec<String>,
    /// Don't save: the classes are back when the power was off
    #[arg(long)]
    no_save: bool,
}

/// The board's embeddings of images, in their order.
fn embeddings(connected: &mut Connected, images: &Images, output: Output) -> Result<Vec<Vec<i16>>> {
    let bar = output
        .progress()
        .count("embedding", "images", images.len() as u64);
    let sent: Vec<&[u8]> = images.iter().collect();
    let answers = connected.device.embed_all(&sent, |_, _| bar.inc(1));
    bar.finish_and_clear();
    let answers = answers?;
    Ok(answers
        .into_iter()
        .map(|answer| answer.coordinates.to_vec())
        .collect())
}

pub fn embed(connected: &mut Connected, args: &EmbedArgs, output: Output) -> Result<()> {
    let file = connected.model()?;
    let (images, paths) = images_of(&args.images, &file, &args.pictures, output)?;
    let steps = embeddings(connected, &images, output)?;
    let embeddings = IntEmbeddings {
        dim: file.model().dim(),
        scale: file.model().header().scales.embedding,
        steps: steps.concat(),
    };
    embeddings.to_points()?.write_by_name(&args.out)?;
    let human = format!(
        "{} images as {}-dimensional points in {}, by {}",
        embeddings.len(),
        embeddings.dim,
        args.out.display(),
        connected.info.board
    );
    let json = json!({
        "images": embeddings.len(),
        "dim": embeddings.dim,
        "scale": digits(embeddings.scale),
        "out": shown(&args.out),
        "files": paths.iter().map(|path| shown(path)).collect::<Vec<_>>(),
    });
    output.report(&human, &json)
}

pub fn enrol(connected: &mut Connected, args: &EnrolArgs, output: Output) -> Result<()> {
    let input = connected.model()?.model().header().input;
    let kept = connected.names()?;
    let known = kept.clone().unwrap_or_default();
    let reader = Reader {
        names: None,
        size: (input.width.into(), input.height.into()),
        pictures: &args.pictures,
        output,
    };
    let set = reader.folders(&args.folder, &known)?.set;
    let labels = set.classes();
    let named: Vec<Label> = labels
        .iter()
        .copied()
        .filter(|&label| set.names.is_named(label))
        .collect();
    if let (None, Some(&label)) = (&kept, named.first()) {
        anyhow::bail!(
            "this firmware keeps no names, and a folder is called {:?}: build the firmware with the \
             feature `names`, or name the folders by numbers",
            set.names.get(label)
        );
    }
    for &label in &named {
        if !known.is_named(label) {
            let name = set.names.get(label);
            connected
                .device
                .set_name(label, &name)
                .with_context(|| format!("the board can't take the name {name:?}"))?;
        }
    }
    let total = set.len();
    let bar = output
        .progress()
        .count("enrolling", "examples", total as u64);
    for (done, (image, &label)) in set.images.iter().zip(&set.labels).enumerate() {
        let enrolled = connected.device.enrol(label, false, image);
        enrolled.with_context(|| {
            format!(
                "{done} of {total} examples are enrolled, none of them saved; {} is next",
                set.names.get(label)
            )
        })?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    let saved = if args.no_save {
        "not saved"
    } else {
        connected.save()?
    };
    let human = format!(
        "{total} examples of {} classes are enrolled on {}; {saved}",
        labels.len(),
        connected.info.board
    );
    let classes: Vec<String> = labels.iter().map(|&label| set.names.get(label)).collect();
    let json = json!({
        "examples": total,
        "classes": classes,
        "saved": saved == "saved",
    });
    output.report(&human, &json)
}

pub fn identify(connected: &mut Connected, args: &IdentifyArgs, output: Output) -> Result<()> {
    let file = connected.model()?;
    let names = connected.names()?.unwrap_or_default();
    let enrolled = labels(connected)?;
    ensure!(
        !enrolled.is_empty(),
        "the board's gallery is empty: enrol something first"
    );
    let asked: Asked = asked(&args.images, &args.pictures, &file.model(), &names, output)?;
    let bar = output
        .progress()
        .count("identifying", "images", asked.paths.len() as u64);
    let sent: Vec<&[u8]> = asked.images.iter().collect();
    let found = connected.device.identify_all(&sent, |_, _| bar.inc(1));
    bar.finish_and_clear();
    let answers: Option<Vec<Answer>> = found?
        .into_iter()
        .enumerate()
        .map(|(index, found)| Some(asked.answer(index, found.answer?)))
        .collect();
    let answers = answers.context("the board's gallery is empty")?;
    let unit = f64::from(file.model().header().scales.embedding);
    answered(&answers, &asked, &names, &enrolled, unit, "", output)
}

pub fn forget(connected: &mut Connected, args: &ForgetArgs, output: Output) -> Result<()> {
    let kept = connected.names()?;
    let names = kept.clone().unwrap_or_default();
    let there = labels(connected)?;
    let found = names.find_all(&args.classes)?;
    for &label in &found {
        ensure!(
            there.contains(&label),
            "nothing is enrolled as {} on the board; `siamese-train device info` lists what is",
            names.get(label)
        );
    }
    for &label in &found {
        connected.device.forget(label)?;
        if kept.is_some() && names.is_named(label) {
            connected.device.set_name(label, "")?;
        }
    }
    let saved = if args.no_save {
        "not saved"
    } else {
        connected.save()?
    };
    let forgotten: Vec<String> = found.iter().map(|&label| names.get(label)).collect();
    let human = format!("{} forgotten; {saved}", forgotten.join(", "));
    let json = json!({ "forgotten": forgotten, "saved": saved == "saved" });
    output.report(&human, &json)
}

/// The labels that are enrolled, ascending.
fn labels(connected: &mut Connected) -> Result<Vec<Label>> {
    let entries = connected.device.entries()?;
    let mut labels: Vec<Label> = entries.iter().map(|entry| entry.label).collect();
    labels.sort_unstable();
    labels.dedup();
    Ok(labels)
}
