//! `embed`: images to `embed.txt`, by the integer path.

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::json;
use siamese_train::dataset::Images;
use siamese_train::embed::{ModelFile, embed_images};

use super::Output;
use super::output::digits;

/// Embed images by the integer path of a model
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The result is text: one line an image, in the images' order, its coordinates in real units with a
space between them. The integers behind it are those of every device that runs the model.

Example:
  siamese-train embed --model model/small.siam --images data/mnist/t10k-images-idx3-ubyte")]
pub struct Args {
    /// The quantised model
    #[arg(long, value_name = "FILE.siam")]
    model: PathBuf,
    /// The images: IDX, raw or .gz
    #[arg(long, value_name = "IDX")]
    images: PathBuf,
    /// Where the points go
    #[arg(long, value_name = "FILE", default_value = "embed.txt")]
    out: PathBuf,
}

pub fn run(args: &Args, output: Output) -> Result<()> {
    let file = ModelFile::read(&args.model)?;
    let images = Images::read(&args.images)?;
    let embeddings = embed_images(&file.model(), &images)
        .with_context(|| format!("cannot embed {}", args.images.display()))?;
    embeddings.to_points()?.write(&args.out)?;
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
    });
    output.report(&human, &json)
}
