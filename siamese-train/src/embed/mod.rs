//! From images to points, through the integer path of the core.

pub mod golden;
pub mod points;

use std::fmt::Display;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use rayon::prelude::*;
use siamese_build::OwnedModel;
use siamese_core::Model;
use siamese_core::embedder::{Buffers, embed_into};

use crate::dataset::Images;
use crate::embed::points::Points;
use crate::limit;

/// A model file and where it came from.
#[derive(Debug, Clone)]
pub struct ModelFile {
    path: PathBuf,
    stored: OwnedModel,
    /// With its weights in the order that this machine is fastest with.
    fast: OwnedModel,
}

impl ModelFile {
    /// Reads and checks a `.siam` file.
    ///
    /// # Errors
    /// One sentence that names the file and says why the core refuses it.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = limit::read(path)
            .map_err(|error| anyhow!("cannot open {} ({error}); check the path", path.display()))?;
        Self::new(path, &bytes)
    }

    /// The same for bytes that are in memory already; `path` is for messages.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn new(path: &Path, bytes: &[u8]) -> Result<Self> {
        let unusable = |error: &dyn Display| {
            anyhow!(
                "cannot use {}: {error}; export the model again",
                path.display()
            )
        };
        let stored = OwnedModel::new(bytes).map_err(|error| unusable(&error))?;
        let fast = stored
            .for_this_machine()
            .map_err(|error| unusable(&error))?;
        Ok(Self {
            path: path.to_owned(),
            stored,
            fast,
        })
    }

    /// The model, with its weights in the order that this machine is fastest
    /// with; the integers are the same for every order.
    #[must_use]
    pub fn model(&self) -> Model<'_> {
        self.fast.model()
    }

    /// The model as it is in the file.
    #[must_use]
    pub const fn stored(&self) -> &OwnedModel {
        &self.stored
    }

    /// The file's bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.stored.bytes()
    }

    /// Where the file came from.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Embeddings as the core computes them: `len * dim` integers.
#[derive(Debug, Clone, PartialEq)]
pub struct IntEmbeddings {
    /// Coordinates of an embedding.
    pub dim: usize,
    /// Real units in one step of a coordinate.
    pub scale: f32,
    /// The coordinates in steps, `dim` an image, in the images' order.
    pub steps: Vec<i16>,
}

impl IntEmbeddings {
    /// The number of embeddings.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.steps.len() / self.dim
    }

    /// Whether there is no embedding.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The `dim` steps of embedding `index`.
    ///
    /// # Panics
    /// If there is no such embedding.
    #[must_use]
    pub fn get(&self, index: usize) -> &[i16] {
        &self.steps[index * self.dim..][..self.dim]
    }

    /// The points, with integer coordinates and `scale` as their unit.
    ///
    /// # Errors
    /// As [`Points::from_steps`]; never for what [`embed_images`] returned.
    pub fn to_points(&self) -> Result<Points> {
        Points::from_steps(self.dim, self.scale, &self.steps)
    }
}

/// Embeds all images on all cores; each by [`embed_into`], so the integers are
/// those of every device.
///
/// # Errors
/// If the images are not of the size that the model takes.
pub fn embed_images(model: &Model<'_>, images: &Images) -> Result<IntEmbeddings> {
    let header = model.header();
    let (width, height) = (
        usize::from(header.input.width),
        usize::from(header.input.height),
    );
    ensure!(
        (images.width(), images.height()) == (width, height),
        "the images are {}x{} pixels and the model {:?} takes {width}x{height}",
        images.width(),
        images.height(),
        header.name
    );
    let dim = model.dim();
    let (shared, hidden1) = model.buffer_sizes();
    let mut steps = vec![0; images.len() * dim];
    steps
        .par_chunks_mut(dim)
        .zip(images.pixels().par_chunks(images.size()))
        .try_for_each_init(
            || (vec![0; shared], vec![0; hidden1]),
            |(shared, hidden1), (embedding, pixels)| {
                embed_into(model, pixels, Buffers { shared, hidden1 }, embedding)
            },
        )
        .context("cannot embed the images")?;
    Ok(IntEmbeddings {
        dim,
        scale: header.scales.embedding,
        steps,
    })
}

#[cfg(test)]
mod tests {
    use siamese_core::image::{Input, Pooling};
    use siamese_core::model::{Header, LayerParts, Precision, Scales, encode, encoded_len};
    use siamese_core::{Embedder, Requantise};

    use super::*;

    /// A model of 3x2 pixels whose weights are a simple pattern.
    fn bytes() -> Vec<u8> {
        let header = Header {
            name: "pattern",
            input: Input {
                width: 3,
                height: 2,
                pooling: Pooling::None,
                deskew: false,
            },
            sizes: [5, 4, 2],
            precision: Precision::INT8,
            scales: Scales {
                hidden: [0.1; 2],
                embedding: 0.25,
            },
            training_digest: [0; 32],
            quality: None,
            calibration: None,
        };
        let half = Requantise::new(1, 1).unwrap();
        let rounding = [half; 5];
        let weights: Vec<i8> = (0..30).map(|i| (i * 7 % 11 - 4) as i8).collect();
        let layers = [0, 1, 2].map(|layer| {
            let (inputs, outputs) = header.shapes()[layer];
            LayerParts {
                weights: &weights[..inputs * outputs],
                biases: &[3, -2, 1, 0, 5][..outputs],
                requantise: &rounding[..outputs],
            }
        });
        let mut bytes = vec![0; encoded_len(&header).unwrap()];
        encode(&header, &layers, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn embeddings_are_those_of_the_core_in_order() {
        let file = ModelFile::new(Path::new("m.siam"), &bytes()).unwrap();
        let model = file.model();
        let pixels: Vec<u8> = (0..6 * 500).map(|i| (i * 31 % 256) as u8).collect();
        let images = Images::new(3, 2, pixels).unwrap();
        let embeddings = embed_images(&model, &images).unwrap();
        let mut embedder = Embedder::<2, 6, 5>::new(model).unwrap();
        for (index, image) in images.iter().enumerate() {
            assert_eq!(
                embeddings.get(index),
                embedder.embed(image).unwrap().0,
                "image {index}"
            );
        }
        let points = embeddings.to_points().unwrap();
        assert_eq!((points.len(), points.unit()), (500, 0.25));
        assert_eq!(points.get(7)[1], f32::from(embeddings.get(7)[1]));
    }

    #[test]
    fn images_of_another_shape_are_refused() {
        let file = ModelFile::new(Path::new("m.siam"), &bytes()).unwrap();
        // As many pixels, but two columns and three rows.
        let images = Images::new(2, 3, vec![0; 12]).unwrap();
        let error = embed_images(&file.model(), &images)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("2x3") && error.contains("takes 3x2"),
            "{error}"
        );
    }

    #[test]
    fn a_bad_model_is_named_with_its_reason() {
        let mut damaged = bytes();
        damaged[40] ^= 1;
        let error = ModelFile::new(Path::new("some/m.siam"), &damaged).unwrap_err();
        assert!(error.to_string().contains("some/m.siam"), "{error}");
        assert!(error.to_string().contains("damaged"), "{error}");
        let missing = ModelFile::read(Path::new("no/such.siam")).unwrap_err();
        assert!(missing.to_string().contains("no/such.siam"), "{missing}");
    }
}
