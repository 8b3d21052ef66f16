//! The trained network in floats: three fully connected layers, nothing else.
//! Any batch normalisation is already folded into them.

use siamese_core::image::Input;
use siamese_core::model::{LAYERS, Precision};

/// A fully connected layer, `outputs = weight · inputs + bias`.
#[derive(Debug, Clone, PartialEq)]
pub struct Linear {
    /// The number of inputs.
    pub inputs: usize,
    /// The number of outputs.
    pub outputs: usize,
    /// `[outputs][inputs]`.
    pub weight: Vec<f32>,
    /// `[outputs]`.
    pub bias: Vec<f32>,
}

/// Three layers with ReLU after the first two.
#[derive(Debug, Clone, PartialEq)]
pub struct FloatNetwork {
    /// The image that it takes; activations of `b` bits are fed as
    /// `activation / (2^b - 1)`, which is 0 to 1.
    pub input: Input,
    /// The precision that it is trained for.
    pub precision: Precision,
    /// From the image to the embedding.
    pub layers: [Linear; LAYERS],
}
