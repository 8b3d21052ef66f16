//! MNIST's images, as the trainer has unpacked and checked them.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// Where the test images are, from the root of the repository.
pub const TEST_IMAGES: &str = "data/mnist/t10k-images-idx3-ubyte";
/// The digits that they show.
pub const TEST_LABELS: &str = "data/mnist/t10k-labels-idx1-ubyte";
/// The training images.
pub const TRAINING_IMAGES: &str = "data/mnist/train-images-idx3-ubyte";
/// The digits that they show.
pub const TRAINING_LABELS: &str = "data/mnist/train-labels-idx1-ubyte";

/// The images of an unpacked IDX file, of so many pixels each.
pub fn read(path: &Path, pixels: usize) -> Result<Vec<Vec<u8>>> {
    let images = content(path, 16)?;
    ensure!(
        !images.is_empty() && images.len().is_multiple_of(pixels),
        "{} holds no images of {pixels} pixels",
        path.display()
    );
    Ok(images.chunks_exact(pixels).map(<[u8]>::to_vec).collect())
}

/// The labels of an unpacked IDX file.
pub fn read_labels(path: &Path) -> Result<Vec<u8>> {
    let labels = content(path, 8)?;
    ensure!(!labels.is_empty(), "{} holds no labels", path.display());
    Ok(labels)
}

/// What follows a file's header; nothing if it isn't even as long as that.
fn content(path: &Path, header: usize) -> Result<Vec<u8>> {
    let mut bytes = fs::read(path).with_context(|| format!("can't read {}", path.display()))?;
    bytes.drain(..header.min(bytes.len()));
    Ok(bytes)
}
