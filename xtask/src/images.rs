//! MNIST's test images, as the trainer has unpacked and checked them.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// Where they are, from the root of the repository.
pub const TEST_IMAGES: &str = "data/mnist/t10k-images-idx3-ubyte";

/// The images of an unpacked IDX file, of so many pixels each.
pub fn read(path: &Path, pixels: usize) -> Result<Vec<Vec<u8>>> {
    const HEADER: usize = 16;
    let bytes = fs::read(path).with_context(|| format!("can't read {}", path.display()))?;
    let images = bytes.get(HEADER..).unwrap_or_default();
    ensure!(
        !images.is_empty() && images.len().is_multiple_of(pixels),
        "{} holds no images of {pixels} pixels",
        path.display()
    );
    Ok(images.chunks_exact(pixels).map(<[u8]>::to_vec).collect())
}
