//! `embed`: images to `embed.txt`, by the integer path.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use siamese_train::dataset::{Class, ClassNames, Images, read_labels};
use siamese_train::embed::points::{Form, write_projector_labels};
use siamese_train::embed::{ModelFile, embed_images};

use super::Output;
use super::output::digits;

/// Embed images by the integer path of a model
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The result is text: one line an image, in the images' order, its coordinates in real units with a
space between them; an array for numpy.load if --out ends with .npy; tabs between the coordinates,
for the projector of TensorBoard, if it ends with .tsv. The integers behind it are those of every device that runs the model.

Example:
  siamese-train embed --model model/small.siam --images data/mnist/t10k-images-idx3-ubyte")]
pub struct Args {
    /// The quantised model
    #[arg(long, value_name = "FILE.siam")]
    model: PathBuf,
    /// The images: IDX, raw or .gz
    #[arg(long, value_name = "IDX")]
    images: PathBuf,
    /// Their labels, for the projector: FILE.metadata.tsv beside FILE.tsv
    #[arg(long, value_name = "IDX")]
    labels: Option<PathBuf>,
    /// Where the points go, the ending saying in which form: .txt, .npy or .tsv
    #[arg(long, value_name = "FILE", default_value = "embed.txt")]
    out: PathBuf,
}

pub fn run(args: &Args, output: Output) -> Result<()> {
    let file = ModelFile::read(&args.model)?;
    let images = Images::read(&args.images)?;
    let embeddings = embed_images(&file.model(), &images)
        .with_context(|| format!("cannot embed {}", args.images.display()))?;
    let labels = args.labels.as_deref().map(read_labels).transpose()?;
    let form = embeddings.to_points()?.write_by_name(&args.out)?;
    let metadata = match labels {
        Some(labels) => Some(projector_labels(args, form, embeddings.len(), labels)?),
        None => None,
    };
    let human = format!(
        "{} images as {}-dimensional points in {}",
        embeddings.len(),
        embeddings.dim,
        args.out.display()
    );
    let json = json!({
        "images": embeddings.len(),
        "dim": embeddings.dim,
        "scale": digits(embeddings.scale),
        "out": args.out,
        "metadata": metadata,
    });
    output.report(&human, &json)
}

/// Writes the labels for the projector.
fn projector_labels(args: &Args, form: Form, images: usize, labels: Vec<u8>) -> Result<PathBuf> {
    ensure!(
        form == Form::Projector,
        "--labels goes with --out FILE.tsv, for the projector of TensorBoard"
    );
    ensure!(
        labels.len() == images,
        "there are {} labels and {images} images; give the two files of one set",
        labels.len()
    );
    let labels: Vec<Class> = labels.into_iter().map(Class::from).collect();
    write_projector_labels(&args.out, &labels, &ClassNames::numbers())
}
