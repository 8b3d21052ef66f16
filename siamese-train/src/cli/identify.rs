//! `enrol` and `identify`: what a device does, with image files.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use siamese_core::gallery::{Decision, Thresholds};
use siamese_core::model::Model;
use siamese_train::dataset::pictures::{self, Ink, Pictures};
use siamese_train::embed::{ModelFile, embed_images};
use siamese_train::files::write_atomic;
use siamese_train::gallery::file::{
    AnyGallery, any_gallery, label_folders, load_images, read_gallery,
};

use super::Output;

/// Enrol the images of folders in a gallery
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The folder holds one folder a label, named by its number, with the examples of it: PNG, JPEG,
WebP, TIFF, BMP, PNM or GIF, bright on dark or dark on bright. Five of each will often do. A gallery that is there already takes them up
in addition. Devices read the same file, if they run the same model.

Examples:
  siamese-train enrol --model model/small-fewshot.siam --gallery my.gallery examples
  siamese-train identify --model model/small-fewshot.siam --gallery my.gallery unknown")]
pub struct EnrolArgs {
    /// The quantised model
    #[arg(long, value_name = "FILE.siam")]
    model: PathBuf,
    /// The gallery to write
    #[arg(long, value_name = "FILE")]
    gallery: PathBuf,
    #[command(flatten)]
    pictures: PictureArgs,
    /// The folder of folders named by label
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

/// Say what images look like, by a gallery
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each image is identified as the nearest entry of the gallery, or as unknown where that is too far:
farther than --threshold, than the gallery's own threshold if it has one, or than the model was
calibrated for. Without any of them, the nearest is told and nothing is decided. The margin is how
much farther the next label is. A device with the same gallery gives the same answers.

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
    /// Distance beyond which an image is unknown, in real units [default: the gallery's or the
    /// model's, for prototypes and exemplars each]
    #[arg(long, value_name = "DISTANCE")]
    threshold: Option<f64>,
    #[command(flatten)]
    pictures: PictureArgs,
    /// Image files, and folders of them
    #[arg(value_name = "IMAGES", required = true)]
    images: Vec<PathBuf>,
}

/// How pictures are read.
#[derive(Debug, clap::Args)]
struct PictureArgs {
    /// Whether the ink is brighter or darker than its ground
    #[arg(long, value_enum, default_value_t, value_name = "INK")]
    ink: Ink,
    /// Go on without pictures that can't be used
    #[arg(long)]
    skip_bad: bool,
    /// What `--ink dark` was once called
    #[arg(long, hide = true, conflicts_with = "ink")]
    invert: bool,
}

impl PictureArgs {
    fn options(&self) -> pictures::Options {
        pictures::Options {
            ink: if self.invert { Ink::Dark } else { self.ink },
            skip_bad: self.skip_bad,
        }
    }
}

pub fn enrol(args: &EnrolArgs, output: Output) -> Result<()> {
    let file = ModelFile::read(&args.model)?;
    let model = file.model();
    let mut gallery = if args.gallery.is_file() {
        read_gallery(&model, &args.gallery)?
    } else {
        new_gallery(&model)?
    };
    enrol_folder(
        &model,
        gallery.as_mut(),
        &args.folder,
        &args.pictures,
        output,
    )?;
    let bytes = gallery.to_bytes();
    write_atomic(&args.gallery, |out| Ok(out.write_all(&bytes)?))?;

    let entries = gallery.entries();
    let mut human = format!("{} labels in {}\n", entries.len(), args.gallery.display());
    for (label, examples) in &entries {
        writeln!(human, "  {label:>5}  {examples} examples")?;
    }
    let json = json!({
        "gallery": args.gallery,
        "bytes": bytes.len(),
        "labels": entries
            .iter()
            .map(|(label, examples)| json!({ "label": label, "examples": examples }))
            .collect::<Vec<_>>(),
    });
    output.report(&human, &json)
}

pub fn identify(args: &IdentifyArgs, output: Output) -> Result<()> {
    let file = ModelFile::read(&args.model)?;
    let model = file.model();
    let mut gallery = if args.gallery.is_dir() {
        let mut gallery = new_gallery(&model)?;
        enrol_folder(
            &model,
            gallery.as_mut(),
            &args.gallery,
            &args.pictures,
            output,
        )?;
        gallery
    } else {
        read_gallery(&model, &args.gallery)?
    };
    let unit = f64::from(model.header().scales.embedding);
    if let Some(distance) = args.threshold {
        ensure!(
            distance >= 0.0 && distance.is_finite(),
            "--threshold is a distance, 0 or more, not {distance}"
        );
        let squared_steps = Some((distance / unit).powi(2) as u64);
        gallery.set_user_thresholds(Thresholds {
            prototype: squared_steps,
            pair: squared_steps,
        });
    }
    ensure!(
        !gallery.entries().is_empty(),
        "{} is empty: enrol something first",
        args.gallery.display()
    );
    let mut remarks = Remarks::default();
    let mut files = Vec::new();
    for path in &args.images {
        let found = pictures::find(path)?;
        remarks.passed_over += found.passed_over;
        files.extend(found.files);
    }
    let read = load_images(&model, &files, &args.pictures.options())?;
    remarks.take(&read);
    remarks.note(output);
    let paths = &read.paths;
    let embeddings = embed_images(&model, &read.images)?;

    let width = paths.iter().map(|path| path.display().to_string().len());
    let width = width.max().unwrap_or(0);
    let mut human = String::new();
    let mut answers = Vec::new();
    let mut uncalibrated = false;
    for (index, path) in paths.iter().enumerate() {
        let found = gallery
            .identify(embeddings.get(index))
            .context("the gallery is empty")?;
        let real = |steps: u32| f64::from(steps) * unit;
        let distance = real(found.nearest.distance());
        let margin = found.margin().map(real);
        let label = found.label();
        let shown = match (label, found.decision) {
            (Some(label), _) => label.to_string(),
            (None, Decision::Uncalibrated) => "?".to_owned(),
            (None, _) => "unknown".to_owned(),
        };
        write!(
            human,
            "{:<width$}  {shown:>7}  at {distance:.3}",
            path.display().to_string()
        )?;
        if label.is_none() {
            write!(human, ", nearest {}", found.nearest.label)?;
        }
        uncalibrated |= found.decision == Decision::Uncalibrated;
        if let (Some(second), Some(margin)) = (found.runner_up, margin) {
            write!(human, ", {} is {margin:.3} farther", second.label)?;
        }
        human.push('\n');
        answers.push(json!({
            "image": path,
            "label": label,
            "decision": found.decision.to_string(),
            "nearest": found.nearest.label,
            "distance": distance,
            "distance_squared_steps": found.nearest.distance_squared,
            "runner_up": found.runner_up.map(|second| second.label),
            "margin": margin,
        }));
    }
    if uncalibrated {
        human.push_str(
            "?: the model is not calibrated, so that no distance is known to be near enough; use \
             siamese-train calibrate, or --threshold\n",
        );
    }
    output.report(&human, &answers)
}

fn new_gallery(model: &Model<'_>) -> Result<Box<dyn AnyGallery>> {
    any_gallery(model, None).context("cannot make a gallery for this model")
}

/// Enrols the examples in the folders of a folder.
fn enrol_folder(
    model: &Model<'_>,
    gallery: &mut dyn AnyGallery,
    folder: &Path,
    args: &PictureArgs,
    output: Output,
) -> Result<()> {
    let mut remarks = Remarks::default();
    for (label, examples) in label_folders(folder)? {
        let found = pictures::find(&examples)?;
        remarks.passed_over += found.passed_over;
        let read = load_images(model, &found.files, &args.options())?;
        remarks.take(&read);
        let embeddings = embed_images(model, &read.images)?;
        for index in 0..embeddings.len() {
            gallery
                .enrol(label, embeddings.get(index))
                .with_context(|| format!("cannot enrol {}", examples.display()))?;
        }
    }
    remarks.note(output);
    Ok(())
}

/// What is worth a remark about pictures that were read.
#[derive(Default)]
struct Remarks {
    passed_over: usize,
    turned: usize,
    read: usize,
    bad: Vec<(PathBuf, String)>,
}

impl Remarks {
    fn take(&mut self, read: &Pictures) {
        self.turned += read.turned;
        self.read += read.paths.len();
        self.bad.extend(read.bad.iter().cloned());
    }

    fn note(&self, output: Output) {
        for (path, why) in &self.bad {
            output.note(&format!("skipped: {} {why}", path.display()));
        }
        if self.passed_over > 0 {
            output.note(&format!(
                "{} other files were passed over",
                self.passed_over
            ));
        }
        if self.turned > 0 {
            output.note(&format!(
                "{} of {} pictures are dark on bright by their borders and were turned; --ink \
                 bright or --ink dark says it for all",
                self.turned, self.read
            ));
        }
    }
}
