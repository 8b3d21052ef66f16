//! What a training run was seen to do.

use crate::dataset::Class;
use serde::{Deserialize, Serialize};

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
