//! `eval`: how good the map of a model is.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use siamese_train::dataset::{Class, ClassNames, Dataset, Split};
use siamese_train::embed::points::Points;
use siamese_train::embed::{ModelFile, embed_images};
use siamese_train::evaluate::{Evaluation, Labelled, Metrics, evaluate};
use siamese_train::record::Record;

use super::Output;
use super::labelled::OneSet;

/// Measure how good the map of a model is
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Every query image is classified by its nearest gallery images (the vote of 1, 5 and 25) and by
the nearest class mean; every pair of query images is judged same or different by distance. The
gallery is the training part of the set and the queries are its test part, unless images of your
own are given: folders with one folder of pictures a class, or IDX files. All by the integer path, so a device gets the same figures.

Examples:
  siamese-train eval --model model/small.siam
  siamese-train eval --model model/small.siam --dataset fashion-mnist --json
  siamese-train eval --model m.siam --gallery-images parts --images new-parts
  siamese-train eval --model m.siam --gallery-images gi.idx --gallery-labels gl.idx \\
      --images qi.idx.gz --labels ql.idx.gz")]
pub struct Args {
    /// The quantised model
    #[arg(long, value_name = "FILE.siam")]
    model: PathBuf,
    /// Classes to leave out, such as 7,8,9, or cat,dog
    #[arg(long, value_name = "CLASSES", value_delimiter = ',')]
    without: Vec<String>,
    /// Known images of your own, to go with --images: a folder with one folder a class, or IDX
    #[arg(long, value_name = "FOLDER|IDX", requires = "images")]
    gallery_images: Option<PathBuf>,
    /// The labels of IDX gallery images
    #[arg(long, value_name = "IDX", requires = "gallery_images")]
    gallery_labels: Option<PathBuf>,
    #[command(flatten)]
    set: OneSet,
}

/// The report: the numbers, and what the classes are called.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    metrics: &'a Metrics,
    /// The names of the classes of the queries, by label, where there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    classes: Option<ClassNames>,
}

pub fn run(args: &Args, output: Output) -> Result<()> {
    let file = ModelFile::read(&args.model)?;
    let (gallery, queries) = sets(args, &file, output)?;
    // Those of the queries contain those of the gallery.
    let names = queries.names.clone();
    let without = names.find_all(&args.without)?;
    let (gallery, queries) = (gallery.without(&without), queries.without(&without));
    ensure!(
        !gallery.is_empty() && !queries.is_empty(),
        "--without leaves no image; leave out fewer classes"
    );
    let start = Instant::now();
    let embed = |set: &Dataset, what: &str| -> Result<Points> {
        embed_images(&file.model(), &set.images)
            .with_context(|| format!("cannot embed the {what} images"))?
            .to_points()
    };
    output.note(&format!(
        "embedding {} images and comparing all pairs of {}",
        gallery.len() + queries.len(),
        queries.len()
    ));
    let gallery_points = embed(&gallery, "gallery")?;
    let query_points = embed(&queries, "query")?;
    // Many images take minutes: their number counts squared.
    let bar = output.progress().waiting("eval", "comparing");
    let evaluation = evaluate(
        Labelled::new(&gallery_points, &gallery.labels)?,
        Labelled::new(&query_points, &queries.labels)?,
    )?;
    bar.finish_and_clear();
    let title = format!("{} on {} images", file.model().header().name, queries.len());
    let mut human = table(&title, &evaluation, &names)?;
    writeln!(
        human,
        "\ngallery of {} images; took {:.1} s",
        gallery.len(),
        start.elapsed().as_secs_f64()
    )?;
    let classes = queries.classes();
    let named = classes.iter().any(|&class| names.is_named(class));
    if let Some(remark) = training_remark(&file, &classes, &names) {
        writeln!(human, "{remark}")?;
    }
    let report = Report {
        metrics: &evaluation.metrics,
        classes: named.then(|| names.of(&classes)),
    };
    output.report(&human, &report)
}

/// The gallery and the queries.
fn sets(args: &Args, file: &ModelFile, output: Output) -> Result<(Dataset, Dataset)> {
    let input = Some(file.model().header().input);
    let set = &args.set;
    let gallery = match (&args.gallery_images, set.source()) {
        (Some(images), _) => {
            let options = ["gallery-images", "gallery-labels"];
            set.read(
                images,
                args.gallery_labels.as_deref(),
                options,
                input,
                output,
            )?
        }
        (None, Some(_)) => set.load(Split::Train, input, output)?,
        (None, None) => bail!(
            "give the images to compare with too, as --gallery-images: those that the model was \
             trained with, for example"
        ),
    };
    let queries = set.load_beside(Split::Test, input, &gallery.names, output)?;
    Ok((gallery, queries))
}

/// What is recorded of the classes in training, if they are not all known from
/// there.
fn training_remark(file: &ModelFile, classes: &[Class], names: &ClassNames) -> Option<String> {
    let record = Record::beside(file.path(), &file.model())?;
    let never = |class: &&Class| record.has_seen(**class, &names.get(**class)) == Some(false);
    let never: Vec<String> = classes
        .iter()
        .filter(never)
        .map(|&class| names.get(class))
        .collect();
    (!never.is_empty()).then(|| format!("never seen in training: {}", never.join(", ")))
}

/// The evaluation for people.
pub fn table(title: &str, evaluation: &Evaluation, names: &ClassNames) -> Result<String> {
    let metrics = &evaluation.metrics;
    let verification = &evaluation.verification;
    let mut text = format!("{title}\n\n");
    let mut line = |name: &str, value: f64, meaning: &str| {
        writeln!(text, "  {name:<16}{value:>8.4}   {meaning}")
    };
    line("knn1", metrics.knn1, "right by the nearest gallery image")?;
    line("knn5", metrics.knn5, "right by the vote of the 5 nearest")?;
    line(
        "knn25",
        metrics.knn25,
        "right by the vote of the 25 nearest",
    )?;
    line(
        "centroid",
        metrics.centroid,
        "right by the nearest class mean",
    )?;
    line(
        "auc",
        metrics.auc,
        "area under the ROC curve, same or different",
    )?;
    let at = format!(
        "equal error rate, at a distance of {:.4}",
        verification.eer_distance
    );
    line("eer", metrics.eer, &at)?;
    line(
        "tar_at_far_1e3",
        metrics.tar_at_far_1e3,
        "accepted if 1 in 1000 different pairs is",
    )?;
    line(
        "silhouette",
        metrics.silhouette,
        "how far the classes stand apart, -1 to 1",
    )?;
    let mistakes = evaluation.confusion.mistakes();
    if !mistakes.is_empty() {
        let shown = mistakes.iter().take(5).map(|&(label, prediction, times)| {
            format!(
                "{} for {} ({times})",
                names.get(prediction),
                names.get(label)
            )
        });
        writeln!(
            text,
            "\nmost often mistaken: {}",
            shown.collect::<Vec<_>>().join(", ")
        )?;
    }
    Ok(text)
}
