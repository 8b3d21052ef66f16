//! `enrol` and `identify`: what a device does, with image files.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde_json::{Value, json};
use siamese_core::gallery::{Decision, Identified, Label, Thresholds};
use siamese_core::model::Model;
use siamese_train::dataset::{ClassNames, Dataset, Folders, pictures};
use siamese_train::embed::{ModelFile, embed_images};
use siamese_train::gallery::file::NamedGallery;

use super::Output;
use super::gallery::contents;
use super::labelled::{PictureArgs, Reader, note_pictures};
use super::output::shown;

/// Enrol the images of folders in a gallery
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The folder holds one folder a class, named by it, with pictures of its examples. Five of each will
often do. A gallery that is there already takes them up in addition. Devices read the same file, if
they run the same model.

Examples:
  siamese-train enrol --model model/small-fewshot.siam --gallery my.gallery examples
  siamese-train identify --model model/small-fewshot.siam --gallery my.gallery unknown")]
pub struct EnrolArgs {
    /// The quantised model
    #[arg(long, value_name = "FILE.siam")]
    model: PathBuf,
    /// The gallery to write
    #[arg(long, alias = "out", value_name = "FILE")]
    gallery: PathBuf,
    /// The folder of folders named by class
    #[arg(value_name = "FOLDER", required_unless_present = "images")]
    folder: Option<PathBuf>,
    /// The same by an option, or IDX images, raw or .gz
    #[arg(long, value_name = "FOLDER|IDX", conflicts_with = "folder")]
    images: Option<PathBuf>,
    /// The labels of IDX images
    #[arg(long, value_name = "IDX", requires = "images")]
    labels: Option<PathBuf>,
    /// The names of the classes of IDX images: text, one a line, the first that of label 0
    #[arg(long, value_name = "FILE", requires = "labels")]
    names: Option<PathBuf>,
    #[command(flatten)]
    pictures: PictureArgs,
}

/// Say what images look like, by a gallery
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each image is identified as the nearest entry of the gallery, or as unknown where that is too far:
farther than --threshold, than the gallery's own threshold if it has one, or than the model was
calibrated for. Without any of them, the nearest is told and nothing is decided. A model may be
calibrated with an allowance (`inspect` tells): then every threshold lets in what is farther, the
farther out it lies. The margin is how much farther the next label is. A device with the same gallery gives the same answers.

A folder with one folder a class gives a score: how many are identified rightly, wrongly, or
refused, in each class and in all.

Examples:
  siamese-train identify --model model/small-fewshot.siam --gallery my.gallery unknown
  siamese-train identify --model m.siam --gallery my.gallery --threshold 0.8 a.png b.png --json")]
pub struct IdentifyArgs {
    /// The quantised model
    #[arg(long, value_name = "FILE.siam")]
    model: PathBuf,
    /// A gallery that `enrol` or a device wrote, or a folder as `enrol` takes it
    #[arg(long, value_name = "FILE")]
    gallery: PathBuf,
    /// Distance beyond which an image is unknown, in real units and besides the model's allowance
    /// [default: the gallery's or the model's, for prototypes and exemplars each]
    #[arg(long, value_name = "DISTANCE")]
    threshold: Option<f64>,
    #[command(flatten)]
    pictures: PictureArgs,
    /// Image files, folders of them, or one folder with one folder a class
    #[arg(value_name = "IMAGES", required = true)]
    images: Vec<PathBuf>,
}

pub fn enrol(args: &EnrolArgs, output: Output) -> Result<()> {
    let file = ModelFile::read(&args.model)?;
    let model = file.model();
    let mut gallery = if args.gallery.is_file() {
        NamedGallery::read(&model, &args.gallery)?
    } else {
        NamedGallery::new(&model)?
    };
    let images = args.images.as_ref().or(args.folder.as_ref());
    let images = images.context("give the folder with the examples")?;
    let reader = reader(&model, args.names.as_deref(), &args.pictures, output);
    let labels = args.labels.as_deref();
    let set = reader.read(images, labels, &gallery.names, ["images", "labels"])?;
    take(&model, &mut gallery, set)?;
    let bytes = gallery.write(&args.gallery)?;
    let (human, mut json) = contents(&gallery, &shown(&args.gallery))?;
    json["bytes"] = bytes.into();
    output.report(&human, &json)
}

/// Reads pictures of the model's size.
const fn reader<'a>(
    model: &Model<'_>,
    names: Option<&'a Path>,
    pictures: &'a PictureArgs,
    output: Output,
) -> Reader<'a> {
    let input = model.header().input;
    Reader {
        names,
        size: (input.width as usize, input.height as usize),
        pictures,
        output,
    }
}

/// Enrols a set.
fn take(model: &Model<'_>, gallery: &mut NamedGallery, set: Dataset) -> Result<()> {
    let embeddings = embed_images(model, &set.images)?;
    for (index, &label) in set.labels.iter().enumerate() {
        gallery
            .gallery
            .enrol(label, embeddings.get(index))
            .with_context(|| format!("cannot enrol {}", set.names.get(label)))?;
    }
    gallery.names = set.names;
    Ok(())
}

/// What is asked about.
pub struct Asked {
    pub images: siamese_train::dataset::Images,
    pub paths: Vec<PathBuf>,
    /// The label of each, and the labels' names, if they are known.
    classes: Option<(Vec<Label>, ClassNames)>,
}

impl Asked {
    /// The answer to one of the images.
    pub fn answer(&self, index: usize, found: Identified) -> Answer {
        Answer {
            path: shown(&self.paths[index]),
            found,
            label: self.classes.as_ref().map(|(labels, _)| labels[index]),
        }
    }
}

/// An image and its answer.
pub struct Answer {
    path: String,
    found: Identified,
    label: Option<Label>,
}

impl Answer {
    /// Whether another label is exactly as near.
    fn is_tie(&self) -> bool {
        let nearest = self.found.nearest.distance_squared;
        let second = self.found.runner_up;
        second.is_some_and(|second| second.distance_squared == nearest)
    }
}

pub fn identify(args: &IdentifyArgs, output: Output) -> Result<()> {
    let file = ModelFile::read(&args.model)?;
    let model = file.model();
    let mut gallery = gallery_of(args, &model, output)?;
    let unit = f64::from(model.header().scales.embedding);
    if let Some(distance) = args.threshold {
        ensure!(
            distance >= 0.0 && distance.is_finite(),
            "--threshold is a distance, 0 or more, not {distance}"
        );
        let squared_steps = Some((distance / unit).powi(2) as u64);
        gallery.gallery.set_user_thresholds(Thresholds {
            prototype: squared_steps,
            pair: squared_steps,
        });
    }
    let asked = asked(&args.images, &args.pictures, &model, &gallery.names, output)?;
    let embeddings = embed_images(&model, &asked.images)?;
    let mut answers = Vec::with_capacity(asked.paths.len());
    for index in 0..asked.paths.len() {
        let found = gallery.gallery.identify(embeddings.get(index));
        answers.push(asked.answer(index, found.context("the gallery is empty")?));
    }
    let mut same = String::new();
    for (first, second) in gallery.identical() {
        same.push_str(&format!(
            "{} and {} are the same point in the gallery: look at their pictures\n",
            gallery.names.get(first),
            gallery.names.get(second)
        ));
    }
    let enrolled = gallery.labels();
    answered(
        &answers,
        &asked,
        &gallery.names,
        &enrolled,
        unit,
        &same,
        output,
    )
}

/// Reports answers: a score where the classes of the images are known, by the labels
/// that are `enrolled`, and a line an image elsewhere.
pub fn answered(
    answers: &[Answer],
    asked: &Asked,
    names: &ClassNames,
    enrolled: &[Label],
    unit: f64,
    remark: &str,
    output: Output,
) -> Result<()> {
    let names = asked.classes.as_ref().map_or(names, |(_, names)| names);
    let score = asked
        .classes
        .as_ref()
        .map(|_| Score::of(answers, enrolled, names));
    let mut human = match &score {
        Some(score) => score.table()?,
        None => lines(answers, names, unit)?,
    };
    human.push_str(&remarks(answers, remark));
    let json: Vec<Value> = answers
        .iter()
        .map(|answer| told(answer, names, unit))
        .collect();
    match score {
        Some(score) => output.report(&human, &json!({ "score": score, "answers": json })),
        None => output.report(&human, &json),
    }
}

/// The gallery of a file, or of a folder of examples.
fn gallery_of(args: &IdentifyArgs, model: &Model<'_>, output: Output) -> Result<NamedGallery> {
    let path = &args.gallery;
    let gallery = if path.is_dir() {
        let mut gallery = NamedGallery::new(model)?;
        let read = reader(model, None, &args.pictures, output).folders(path, &gallery.names)?;
        take(model, &mut gallery, read.set)?;
        gallery
    } else {
        NamedGallery::read(model, path)?
    };
    ensure!(
        !gallery.labels().is_empty(),
        "{} is empty: enrol something first",
        path.display()
    );
    Ok(gallery)
}

/// Reads what is asked about: one folder of folders, or files and folders of them.
pub fn asked(
    paths: &[PathBuf],
    picture_args: &PictureArgs,
    model: &Model<'_>,
    names: &ClassNames,
    output: Output,
) -> Result<Asked> {
    let reader = reader(model, None, picture_args, output);
    if let [folder] = paths
        && folder.is_dir()
        && !pictures::class_folders(folder)?.is_empty()
    {
        let Folders { set, paths, .. } = reader.folders(folder, names)?;
        return Ok(Asked {
            images: set.images,
            paths,
            classes: Some((set.labels, set.names)),
        });
    }
    let (mut files, mut passed_over) = (Vec::new(), 0);
    for path in paths {
        let found = pictures::find(path)?;
        ensure!(
            !found.files.is_empty(),
            "{} holds no pictures",
            path.display()
        );
        files.extend(found.files);
        passed_over += found.passed_over;
    }
    let (width, height) = reader.size;
    let read = pictures::read(&files, width, height, &picture_args.options(output))?;
    note_pictures(
        output,
        passed_over,
        read.turned,
        &read.bad,
        read.paths.len(),
    );
    Ok(Asked {
        images: read.images,
        paths: read.paths,
        classes: None,
    })
}

/// One line an image.
fn lines(answers: &[Answer], names: &ClassNames, unit: f64) -> Result<String> {
    let width = answers.iter().map(|answer| answer.path.chars().count());
    let width = width.max().unwrap_or(0);
    let mut human = String::new();
    for answer in answers {
        let found = &answer.found;
        let real = |steps: u32| f64::from(steps) * unit;
        let shown = match (found.label(), found.decision) {
            (Some(label), _) => names.get(label),
            (None, Decision::Uncalibrated) => "?".to_owned(),
            (None, _) => "unknown".to_owned(),
        };
        write!(
            human,
            "{:<width$}  {shown:>7}  at {:.3}",
            answer.path,
            real(found.nearest.distance())
        )?;
        if found.label().is_none() {
            write!(human, ", nearest {}", names.get(found.nearest.label))?;
        }
        if let (Some(second), Some(margin)) = (found.runner_up, found.margin()) {
            let second = names.get(second.label);
            if answer.is_tie() {
                write!(human, ", {second} is exactly as near")?;
            } else {
                write!(human, ", {second} is {:.3} farther", real(margin))?;
            }
        }
        human.push('\n');
    }
    Ok(human)
}

/// What there is to say about all answers.
fn remarks(answers: &[Answer], remark: &str) -> String {
    let mut text = String::new();
    let ties = answers.iter().filter(|answer| answer.is_tie()).count();
    if ties > 0 {
        text.push_str(&format!(
            "{ties} of {} images are exactly as near to another label; the lower label was told\n",
            answers.len()
        ));
    }
    text.push_str(remark);
    let undecided = |answer: &Answer| answer.found.decision == Decision::Uncalibrated;
    if answers.iter().any(undecided) {
        text.push_str(
            "?: the model is not calibrated, so that no distance is known to be near enough; use \
             siamese-train calibrate, or --threshold\n",
        );
    }
    text
}

/// An answer as JSON.
fn told(answer: &Answer, names: &ClassNames, unit: f64) -> Value {
    let found = &answer.found;
    let real = |steps: u32| f64::from(steps) * unit;
    let name = |label: Label| names.get(label);
    let second = found.runner_up.map(|second| second.label);
    let mut told = json!({
        "image": answer.path,
        "label": found.label(),
        "name": found.label().map(name),
        "decision": found.decision.to_string(),
        "nearest": found.nearest.label,
        "nearest_name": name(found.nearest.label),
        "distance": real(found.nearest.distance()),
        "distance_squared_steps": found.nearest.distance_squared,
        "runner_up": second,
        "runner_up_name": second.map(name),
        "margin": found.margin().map(real),
        "tie": answer.is_tie(),
    });
    if let Some(label) = answer.label {
        told["class"] = name(label).into();
    }
    told
}

/// How the images of a class, or all, were identified.
#[derive(Debug, Clone, Default, Serialize)]
struct Tally {
    /// What the class is called.
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    images: usize,
    /// As their class; for a class that is not enrolled: refused.
    right: usize,
    /// As another class.
    wrong: usize,
    /// Not as any, though the class is enrolled.
    refused: usize,
    /// Whether the class is in the gallery.
    #[serde(skip_serializing_if = "Option::is_none")]
    enrolled: Option<bool>,
}

/// How the images of known classes were identified.
#[derive(Debug, Serialize)]
struct Score {
    #[serde(flatten)]
    all: Tally,
    /// Whether a threshold decided; if not, the nearest label counts.
    decided: bool,
    classes: Vec<Tally>,
}

impl Score {
    fn of(answers: &[Answer], enrolled: &[Label], names: &ClassNames) -> Self {
        let mut classes: std::collections::BTreeMap<Label, Tally> = Default::default();
        let mut decided = true;
        for answer in answers {
            let Some(class) = answer.label else { continue };
            let known = enrolled.contains(&class);
            let uncalibrated = answer.found.decision == Decision::Uncalibrated;
            decided &= !uncalibrated;
            let told = if uncalibrated {
                Some(answer.found.nearest.label)
            } else {
                answer.found.label()
            };
            let tally = classes.entry(class).or_insert_with(|| Tally {
                name: names.get(class),
                enrolled: Some(known),
                ..Tally::default()
            });
            tally.images += 1;
            match told {
                Some(label) if label == class => tally.right += 1,
                Some(_) => tally.wrong += 1,
                None if known => tally.refused += 1,
                None => tally.right += 1,
            }
        }
        let classes: Vec<Tally> = classes.into_values().collect();
        let sum = |of: fn(&Tally) -> usize| classes.iter().map(of).sum();
        let all = Tally {
            images: sum(|tally| tally.images),
            right: sum(|tally| tally.right),
            wrong: sum(|tally| tally.wrong),
            refused: sum(|tally| tally.refused),
            ..Tally::default()
        };
        Self {
            all,
            decided,
            classes,
        }
    }

    fn table(&self) -> Result<String> {
        let width = self.classes.iter().map(|tally| tally.name.chars().count());
        let width = width.max().unwrap_or(0).max(5);
        let mut text = format!(
            "  {:<width$}   images    right    wrong  refused\n",
            "class"
        );
        let mut stranger = false;
        let mut line = |name: &str, tally: &Tally| {
            let mark = if tally.enrolled == Some(false) {
                stranger = true;
                " *"
            } else {
                ""
            };
            writeln!(
                text,
                "  {name:<width$} {:>8} {:>8} {:>8} {:>8}{mark}",
                tally.images, tally.right, tally.wrong, tally.refused
            )
        };
        for tally in &self.classes {
            line(&tally.name, tally)?;
        }
        line("all", &self.all)?;
        let percent = |count: usize| 100.0 * count as f64 / self.all.images.max(1) as f64;
        writeln!(
            text,
            "\n{:.2} % right, {:.2} % wrong, {:.2} % refused",
            percent(self.all.right),
            percent(self.all.wrong),
            percent(self.all.refused)
        )?;
        if stranger {
            writeln!(text, "*: not enrolled, so that to refuse is right")?;
        }
        if !self.decided {
            writeln!(
                text,
                "counted by the nearest label, as no threshold decides"
            )?;
        }
        Ok(text)
    }
}
