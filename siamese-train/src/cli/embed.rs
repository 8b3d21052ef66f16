//! `embed`: images to `embed.txt`, by the integer path.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use siamese_train::dataset::{Class, ClassNames, Images, pictures, read_labels};
use siamese_train::embed::points::{Form, write_projector_labels};
use siamese_train::embed::{ModelFile, embed_images};

use super::Output;
use super::labelled::{PictureArgs, Reader, note_pictures};
use super::output::{digits, shown};

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
    /// The images: IDX, raw or .gz; a folder of pictures, or one with a folder a class
    #[arg(long, value_name = "IDX|FOLDER")]
    images: PathBuf,
    /// Their labels, for the projector: FILE.metadata.tsv beside FILE.tsv
    #[arg(long, value_name = "IDX")]
    labels: Option<PathBuf>,
    /// Where the points go, the ending saying in which form: .txt, .npy or .tsv
    #[arg(long, value_name = "FILE", default_value = "embed.txt")]
    out: PathBuf,
    #[command(flatten)]
    pictures: PictureArgs,
}

pub fn run(args: &Args, output: Output) -> Result<()> {
    let file = ModelFile::read(&args.model)?;
    let (images, paths) = images_of(&args.images, &file, &args.pictures, output)?;
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
        "out": shown(&args.out),
        "metadata": metadata.as_deref().map(shown),
        "files": paths.iter().map(|path| shown(path)).collect::<Vec<_>>(),
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

/// The images of a file or folder, and the files that they are from if each has one.
pub fn images_of(
    path: &Path,
    file: &ModelFile,
    picture_args: &PictureArgs,
    output: Output,
) -> Result<(Images, Vec<PathBuf>)> {
    let input = file.model().header().input;
    let size = (usize::from(input.width), usize::from(input.height));
    if !path.is_dir() {
        return Ok((Images::read(path)?, Vec::new()));
    }
    if !pictures::class_folders(path)?.is_empty() {
        let reader = Reader {
            names: None,
            size,
            pictures: picture_args,
            output,
        };
        let read = reader.folders(path, &ClassNames::numbers())?;
        return Ok((read.set.images, read.paths));
    }
    let found = pictures::find(path)?;
    ensure!(
        !found.files.is_empty(),
        "{} holds no pictures",
        path.display()
    );
    let read = pictures::read(&found.files, size.0, size.1, &picture_args.options(output))?;
    note_pictures(
        output,
        found.passed_over,
        read.turned,
        &read.bad,
        read.paths.len(),
    );
    Ok((read.images, read.paths))
}
