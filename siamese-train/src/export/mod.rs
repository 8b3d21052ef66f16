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
        precision: network.precision,
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

#[cfg(test)]
mod tests {
    use siamese_core::image::{Input, Pooling};
    use siamese_core::model::{Precision, Scales};
    use siamese_core::{Model, Requantise};

    use super::*;
    use crate::export::quantise::IntegerLayer;

    /// A layer whose numbers all differ, and differ from those of other layers.
    fn layer(first: i8, inputs: usize, outputs: usize) -> IntegerLayer {
        let rows = 1..=outputs as u8;
        IntegerLayer {
            weights: (first..).take(inputs * outputs).collect(),
            biases: rows.clone().map(|row| i32::from(row) * -1000).collect(),
            requantise: rows
                .map(|row| Requantise::new(u32::from(row) << 20, row).unwrap())
                .collect(),
        }
    }

    #[test]
    fn the_parser_reads_what_was_written() {
        let network = IntegerNetwork {
            input: Input {
                width: 3,
                height: 2,
                pooling: Pooling::None,
                deskew: false,
            },
            precision: Precision::INT8,
            layers: [layer(-20, 6, 4), layer(10, 4, 3), layer(40, 3, 2)],
            scales: Scales {
                hidden: [0.5, 0.25],
                embedding: 0.125,
            },
        };
        let quality = Quality {
            float_knn25: 0.75,
            int8_knn25: 0.5,
            int8_eer: 0.25,
        };
        let digest = std::array::from_fn(|index| index as u8);
        let bytes = to_model_bytes("small", &network, digest, Some(quality)).unwrap();

        let model = Model::parse_any(&bytes).unwrap();
        let header = model.header();
        assert_eq!((header.name, header.input), ("small", network.input));
        assert_eq!((header.sizes, header.scales), ([4, 3, 2], network.scales));
        assert_eq!(header.training_digest, digest);
        assert_eq!((header.quality, header.calibration), (Some(quality), None));
        for (read, written) in model.layers().iter().zip(&network.layers) {
            let rows = 0..read.outputs();
            let weights: Vec<i8> = rows.clone().flat_map(|row| read.row(row)).collect();
            let biases: Vec<i32> = rows.clone().map(|row| read.bias(row)).collect();
            let requantise: Option<Vec<_>> = rows.map(|row| read.requantise(row)).collect();
            assert_eq!((&weights, &biases), (&written.weights, &written.biases));
            assert_eq!(requantise.as_ref(), Some(&written.requantise));
        }
    }

    #[test]
    fn a_network_that_no_file_can_hold_is_refused() {
        let network = IntegerNetwork {
            input: Input::MNIST,
            precision: Precision::INT8,
            // Too few weights for the input.
            layers: [layer(0, 6, 4), layer(0, 4, 3), layer(0, 3, 2)],
            scales: Scales {
                hidden: [0.5, 0.25],
                embedding: 0.125,
            },
        };
        assert!(to_model_bytes("small", &network, [0; 32], None).is_err());
    }
}
