//! `eval`: how good the map of a model is.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use siamese_train::dataset::{Class, ClassNames};
use siamese_train::dataset::{Dataset, Source, Split};
use siamese_train::embed::points::Points;
use siamese_train::embed::{ModelFile, embed_images};
use siamese_train::evaluate::{Evaluation, Labelled, evaluate};

use super::{Output, SourceArg};

/// Measure how good the map of a model is
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Every query image is classified by its nearest gallery images (the vote of 1, 5 and 25) and by
the nearest class mean; every pair of query images is judged same or different by distance. The
gallery is the training part of the set and the queries are its test part, unless four files are
given. All by the integer path, so a device gets the same figures.

Examples:
  siamese-train eval --model model/small.siam
  siamese-train eval --model model/small.siam --dataset fashion-mnist --json
  siamese-train eval --model m.siam --gallery-images gi.idx --gallery-labels gl.idx \\
      --images qi.idx.gz --labels ql.idx.gz")]
pub struct Args {
    /// The quantised model
    #[arg(long, value_name = "FILE.siam")]
    model: PathBuf,
    /// The folder of all data sets, or one with the four files of this set
    #[arg(long, value_name = "DIR", default_value = "data")]
    data: PathBuf,
    /// The set
    #[arg(long, value_enum, default_value_t = SourceArg(Source::Mnist))]
    dataset: SourceArg,
    /// Classes to leave out, such as 7,8,9
    #[arg(long, value_name = "CLASSES", value_delimiter = ',')]
    without: Vec<Class>,
    #[command(flatten)]
    files: Option<Files>,
}

/// Four files instead of a known set.
#[derive(Debug, clap::Args)]
#[group(multiple = true, conflicts_with_all = ["data", "dataset"])]
struct Files {
    /// Known images: IDX, raw or .gz
    #[arg(long, value_name = "IDX", required = false, requires_all = ["gallery_labels", "images", "labels"])]
    gallery_images: PathBuf,
    /// Their labels
    #[arg(long, value_name = "IDX", required = false, requires_all = ["gallery_images", "images", "labels"])]
    gallery_labels: PathBuf,
    /// The images that are asked about
    #[arg(long, value_name = "IDX", required = false, requires_all = ["gallery_images", "gallery_labels", "labels"])]
    images: PathBuf,
    /// Their labels
    #[arg(long, value_name = "IDX", required = false, requires_all = ["gallery_images", "gallery_labels", "images"])]
    labels: PathBuf,
}

pub fn run(args: &Args, output: Output) -> Result<()> {
    let file = ModelFile::read(&args.model)?;
    let (gallery, queries, names) = match &args.files {
        Some(files) => (
            Dataset::read(&files.gallery_images, &files.gallery_labels)?,
            Dataset::read(&files.images, &files.labels)?,
            ClassNames::numbers(),
        ),
        None => {
            let source = args.dataset.0;
            (
                Dataset::load(&args.data, source, Split::Train)?,
                Dataset::load(&args.data, source, Split::Test)?,
                ClassNames::from(source),
            )
        }
    };
    let without = args.without.iter().copied().collect();
    let (gallery, queries) = (gallery.without(&without), queries.without(&without));
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
    let evaluation = evaluate(
        Labelled::new(&gallery_points, &gallery.labels)?,
        Labelled::new(&query_points, &queries.labels)?,
    )?;
    let title = format!("{} on {} images", file.model().header().name, queries.len());
    let mut human = table(&title, &evaluation, &names)?;
    writeln!(
        human,
        "\ngallery of {} images; took {:.1} s",
        gallery.len(),
        start.elapsed().as_secs_f64()
    )?;
    output.report(&human, &evaluation.metrics)
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
