//! What a training run was seen to do.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use half::f16;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use crate::dataset::Class;
use crate::files::write_atomic;

/// What was seen at the end of an epoch: a pass over the training images, or some
/// passes where one is less than twenty steps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// Epochs done; the last of a phase may be a part of one.
    pub epoch: f64,
    /// Steps done; 0 in a checkpoint of a version that didn't tell.
    #[serde(default)]
    pub step: usize,
    /// The mean loss of its steps.
    pub loss: f64,
    /// Fraction of the validation images that the 25 nearest of some training
    /// images put into the right class; `None` without validation images.
    pub knn25: Option<f64>,
    /// Fraction of the hidden units that are above 0, by layer.
    pub active: [f64; 2],
    /// Whether it belongs to the phase with rounded weights and activations.
    pub integers: bool,
    /// Seconds that the rest of the run is thought to take. Not part of the
    /// report: it depends on the machine's mood.
    #[serde(skip)]
    pub seconds_left: f64,
}

/// A two-dimensional map of the same images over the steps of a run. Empty if
/// the embedding has another dimension.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Film {
    /// The class of each image.
    pub labels: Vec<Class>,
    /// For each picture the points of all images, `[images][2]`. The first are
    /// close in time, the last far apart.
    pub frames: Vec<Vec<f32>>,
}

/// The tensors of a film's file: classes, `u16 [images]`, and points, `f16 [frames, images, 2]`.
const LABELS: &str = "labels";
const FRAMES: &str = "frames";

impl Film {
    /// Writes it as safetensors: `labels`, `u16 [images]`, and `frames`,
    /// `f16 [frames, images, 2]`, in real units.
    ///
    /// # Errors
    /// If the file can't be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let labels: Vec<u8> = self.labels.iter().flat_map(|l| l.to_le_bytes()).collect();
        let coordinates = self.frames.iter().flatten();
        let frames: Vec<u8> = coordinates
            .flat_map(|&coordinate| f16::from_f32(coordinate).to_le_bytes())
            .collect();
        let (count, images) = (self.frames.len(), self.labels.len());
        let views = [
            (LABELS, TensorView::new(Dtype::U16, vec![images], &labels)?),
            (
                FRAMES,
                TensorView::new(Dtype::F16, vec![count, images, 2], &frames)?,
            ),
        ];
        let file = safetensors::serialize(views, None)?;
        write_atomic(path, |out| Ok(out.write_all(&file)?))
    }

    /// Reads what [`write`](Self::write) wrote.
    ///
    /// # Errors
    /// One sentence that names the file: it is missing, or no film.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path)
            .map_err(|error| anyhow!("cannot open {} ({error}); check the path", path.display()))?;
        Self::parse(&bytes)
            .with_context(|| format!("{} is no film that `train` wrote", path.display()))
    }

    fn parse(bytes: &[u8]) -> Result<Self> {
        let file = SafeTensors::deserialize(bytes)?;
        let (labels, frames) = (file.tensor(LABELS)?, file.tensor(FRAMES)?);
        let images = labels.shape().iter().product::<usize>();
        ensure!(
            labels.dtype() == Dtype::U16
                && frames.dtype() == Dtype::F16
                && images > 0
                && matches!(frames.shape(), &[count, of, 2] if count > 0 && of == images),
            "its tensors have other shapes or types"
        );
        let (numbers, _) = labels.data().as_chunks::<2>();
        let (coordinates, _) = frames.data().as_chunks::<2>();
        let coordinates: Vec<f32> = coordinates
            .iter()
            .map(|&bytes| f16::from_le_bytes(bytes).to_f32())
            .collect();
        ensure!(
            coordinates.iter().all(|coordinate| coordinate.is_finite()),
            "a coordinate is not finite"
        );
        Ok(Self {
            labels: numbers.iter().map(|&l| Class::from_le_bytes(l)).collect(),
            frames: coordinates
                .chunks(2 * images)
                .map(<[f32]>::to_vec)
                .collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_film_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("film.safetensors");
        let film = Film {
            labels: vec![3, 0, 700],
            frames: vec![vec![0.5, -1.0, 0.0, 2.0, 8.25, 1.0], vec![-0.125; 6]],
        };
        film.write(&path).unwrap();
        assert_eq!(Film::read(&path).unwrap(), film);
        fs::write(&path, b"no film").unwrap();
        let error = format!("{:#}", Film::read(&path).unwrap_err());
        assert!(error.contains("film.safetensors is no film"), "{error}");
        let error = Film::read(Path::new("no/film")).unwrap_err().to_string();
        assert!(error.contains("no/film"), "{error}");
    }
}
