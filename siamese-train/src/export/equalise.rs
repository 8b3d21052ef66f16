//! Hidden units of equal range, for networks that no training with integers
//! has prepared. All units of a layer share one scale, so a unit that is never
//! more than a little active has few levels. What a ReLU lets through can be
//! stretched before it and shrunk behind it, in the next layer's weights, and
//! the network stays the same (Nagel et al., "Data-Free Quantization Through
//! Weight Equalization and Bias Correction", 2019).

use siamese_core::model::LAYERS;

use crate::train::float_network::FloatNetwork;

/// The farthest that a unit is stretched or shrunk.
const LIMIT: f64 = 64.0;

/// The same network with the units of hidden layer `layer` (0 or 1) brought
/// nearer to each other's ranges: each is divided by its range, over the mean
/// range, to the power `strength`. 0 changes nothing, and 1 makes all ranges
/// equal, at the cost of the next layer's weights, which then differ more
/// within a row. `activations` are the layer's, row-major, for some images;
/// units that are silent for all of them stay as they are.
///
/// # Panics
/// If `layer` is no hidden layer.
#[must_use]
pub fn equalise(
    network: &FloatNetwork,
    layer: usize,
    activations: &[f32],
    strength: f64,
) -> FloatNetwork {
    assert!(layer + 1 < LAYERS, "layer {layer} is not hidden");
    let mut equalised = network.clone();
    let factors = factors(activations, network.layers[layer].outputs, strength);
    let [this, next] = &mut equalised.layers[layer..layer + 2] else {
        unreachable!("a hidden layer has one behind it")
    };
    let rows = this.weight.chunks_exact_mut(this.inputs);
    for ((row, bias), factor) in rows.zip(&mut this.bias).zip(&factors) {
        row.iter_mut().for_each(|weight| *weight /= factor);
        *bias /= factor;
    }
    for row in next.weight.chunks_exact_mut(next.inputs) {
        for (weight, factor) in row.iter_mut().zip(&factors) {
            *weight *= factor;
        }
    }
    equalised
}

/// What each unit is divided by.
fn factors(activations: &[f32], units: usize, strength: f64) -> Vec<f32> {
    let mut ranges = vec![0.0f32; units];
    for image in activations.chunks_exact(units.max(1)) {
        for (range, &activation) in ranges.iter_mut().zip(image) {
            *range = range.max(activation);
        }
    }
    let active: Vec<f64> = ranges
        .iter()
        .filter(|&&range| range > 0.0)
        .map(|&range| f64::from(range).ln())
        .collect();
    let mean = active.iter().sum::<f64>() / active.len().max(1) as f64;
    let factor = |&range: &f32| {
        if range <= 0.0 {
            return 1.0;
        }
        let factor = (strength * (f64::from(range).ln() - mean)).exp();
        factor.clamp(1.0 / LIMIT, LIMIT) as f32
    };
    ranges.iter().map(factor).collect()
}

#[cfg(test)]
mod tests {
    use siamese_core::image::{Input, Pooling};
    use siamese_core::model::Precision;

    use super::*;
    use crate::train::float_network::Linear;

    fn linear(inputs: usize, outputs: usize, weight: &[f32], bias: &[f32]) -> Linear {
        Linear {
            inputs,
            outputs,
            weight: weight.to_vec(),
            bias: bias.to_vec(),
        }
    }

    /// The outputs of all layers.
    fn forward(network: &FloatNetwork, inputs: &[f32]) -> [Vec<f32>; LAYERS] {
        let mut values = inputs.to_vec();
        std::array::from_fn(|index| {
            let layer = &network.layers[index];
            let rows = layer.weight.chunks_exact(layer.inputs).zip(&layer.bias);
            values = rows
                .map(|(row, bias)| {
                    let products = row.iter().zip(&values);
                    let sum = products.map(|(w, value)| w * value).sum::<f32>() + bias;
                    if index + 1 < LAYERS {
                        sum.max(0.0)
                    } else {
                        sum
                    }
                })
                .collect();
            values.clone()
        })
    }

    #[test]
    fn ranges_become_equal_and_the_network_stays() {
        let input = Input {
            width: 2,
            height: 1,
            pooling: Pooling::None,
            deskew: false,
        };
        let network = FloatNetwork {
            input,
            precision: Precision::INT8,
            layers: [
                linear(2, 3, &[8.0, 0.0, 0.0, 0.5, -1.0, -1.0], &[0.5, 0.25, -1.0]),
                linear(3, 2, &[1.0, -2.0, 3.0, 0.5, 4.0, 1.0], &[0.0, 0.5]),
                linear(2, 1, &[1.0, -1.0], &[0.25]),
            ],
        };
        let images = [[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]];
        let of_layer = |network: &FloatNetwork, layer: usize| -> Vec<f32> {
            images
                .iter()
                .flat_map(|image| forward(network, image)[layer].clone())
                .collect()
        };
        let equal = equalise(&network, 0, &of_layer(&network, 0), 1.0);
        let highest = |unit: usize| {
            let units = of_layer(&equal, 0).into_iter().skip(unit).step_by(3);
            units.fold(0.0, f32::max)
        };
        assert!((highest(0) - highest(1)).abs() < 1e-5 && highest(0) > 0.0);
        assert_eq!(highest(2), 0.0);
        let pairs = of_layer(&network, 2).into_iter().zip(of_layer(&equal, 2));
        for (before, after) in pairs {
            assert!((before - after).abs() < 1e-5, "{before} {after}");
        }
        assert_eq!(equalise(&network, 1, &of_layer(&network, 1), 0.0), network);
    }
    #[test]
    fn units_are_divided_by_their_range_over_the_mean_range() {
        // Ranges of 8, 2 and nothing, whose geometric mean is 4.
        let activations = [1.0, 2.0, 0.0, 8.0, 0.5, 0.0];
        let close = |found: Vec<f32>, expected: [f32; 3]| {
            let pairs = found.iter().zip(&expected);
            let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(found.len() == 3 && worst < 1e-6, "{found:?}");
        };
        close(factors(&activations, 3, 1.0), [2.0, 0.5, 1.0]);
        close(
            factors(&activations, 3, 0.5),
            [2f32.sqrt(), 0.5f32.sqrt(), 1.0],
        );
        assert_eq!(factors(&activations, 3, 0.0), [1.0; 3]);
        // Ranges a million apart are brought a little nearer.
        assert_eq!(factors(&[1e6, 1e-6], 2, 1.0), [64.0, 1.0 / 64.0]);
        // All are silent.
        assert_eq!(factors(&[0.0; 4], 2, 1.0), [1.0; 2]);
    }
}
