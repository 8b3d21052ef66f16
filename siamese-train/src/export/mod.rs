//! From a float network to the model file of a device: the order of the hidden
//! units, the integers, the `.siam` file, and the golden vectors that the core
//! must give.

pub mod arrange;
pub mod equalise;
#[cfg(feature = "torch")]
pub mod golden;
pub mod quantise;

use anyhow::{Context, Result};
use siamese_core::model::{self, Header, LayerParts, Quality};

use crate::export::quantise::IntegerNetwork;

/// The bytes of the model file.
///
/// # Errors
/// If the network is of no form that a model file can hold.
pub fn to_model_bytes(
    name: &str,
    network: &IntegerNetwork,
    training_digest: [u8; 32],
    quality: Option<Quality>,
) -> Result<Vec<u8>> {
    let header = Header {
        name,
        input: network.input,
        sizes: std::array::from_fn(|layer| network.layers[layer].biases.len() as u16),
        scales: network.scales,
        training_digest,
        quality,
        calibration: None,
    };
    let layers = std::array::from_fn(|index| {
        let layer = &network.layers[index];
        LayerParts {
            weights: &layer.weights,
            biases: &layer.biases,
            requantise: &layer.requantise,
        }
    });
    let length =
        model::encoded_len(&header).context("the layers are too large for a model file")?;
    let mut bytes = vec![0; length];
    model::encode(&header, &layers, &mut bytes).context("can't encode the model")?;
    Ok(bytes)
}
