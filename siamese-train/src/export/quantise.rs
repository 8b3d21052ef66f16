//! From the float network to integers, after training. The integers' meaning
//! is defined in `siamese_core`; the formulas are those of Jacob et al. (2018)
//! with symmetric weights, one scale a row, and zero point 0 everywhere.
//!
//! Weights of 2, 3 or 4 bits come from a training that has rounded them already: all rows of
//! such a layer have one unit, and what is left here is to read the integers off.

use anyhow::{Result, ensure};
use siamese_core::Requantise;
use siamese_core::image::Input;
use siamese_core::model::{LAYERS, Precision, Scales};

use crate::recipe::bits::largest;
use crate::train::float_network::{FloatNetwork, Linear};

/// The largest integer weight of 8 bits.
const MAX: f64 = 127.0;
/// Room that the embedding's scale leaves beyond the farthest calibration
/// point, so that unusual images are not cut off.
const HEADROOM: f64 = 2.0;

/// A layer in integers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntegerLayer {
    /// `[outputs][inputs]`, in `-127..=127`; with fewer bits odd numbers.
    pub weights: Vec<i8>,
    /// `[outputs]`, in accumulator units.
    pub biases: Vec<i32>,
    /// `[outputs]`.
    pub requantise: Vec<Requantise>,
}

/// A network in integers.
#[derive(Debug, Clone, PartialEq)]
pub struct IntegerNetwork {
    /// The image that it takes.
    pub input: Input,
    /// How many bits its numbers have.
    pub precision: Precision,
    /// From the image to the embedding.
    pub layers: [IntegerLayer; LAYERS],
    /// Real units of the layers' outputs.
    pub scales: Scales,
}

/// What the float network gave on the calibration images.
#[derive(Debug, Clone)]
pub struct FloatOutputs {
    /// Activations of the two hidden layers, all images together.
    pub hidden: [Vec<f32>; LAYERS - 1],
    /// Coordinates of the embeddings, all images together.
    pub embeddings: Vec<f32>,
}

/// Quantises `network` with the units `hidden` of the hidden activations, or
/// with those that fit the calibration images.
///
/// # Errors
/// If the calibration images leave a layer without any activation, or a layer of few bits
/// was never trained with a shift.
pub fn quantise(
    network: &FloatNetwork,
    outputs: &FloatOutputs,
    hidden: Option<[f32; LAYERS - 1]>,
) -> Result<IntegerNetwork> {
    let precision = network.precision;
    let mut forms = precision.weights.into_iter().zip(precision.shifts);
    ensure!(
        forms.all(|(bits, shift)| bits == 8 || (shift > 0 && hidden.is_some())),
        "the network has weights of few bits that were never rounded; train it with --qat above 0"
    );
    let [input, most1, most2] = precision.largest_inputs().map(f64::from);
    let [first, second] = &outputs.hidden;
    let hidden = match hidden {
        Some(hidden) => hidden,
        None => [
            activation_scale(first, most1)?,
            activation_scale(second, most2)?,
        ],
    };
    let farthest = outputs
        .embeddings
        .iter()
        .fold(0.0f32, |m, c| m.max(c.abs()));
    ensure!(
        farthest.is_finite() && farthest > 0.0,
        "the float network maps every calibration image to the origin; it is not trained"
    );
    let scales = Scales {
        hidden,
        embedding: (f64::from(farthest) * HEADROOM / f64::from(i16::MAX)) as f32,
    };
    let [hidden1, hidden2] = hidden.map(f64::from);
    // In single precision where all numbers have 8 bits, as ever.
    let input = f64::from(1.0 / input as f32);
    let meanings = [input, hidden1, hidden2, scales.embedding.into()];
    let layers = std::array::from_fn(|index| {
        let (layer, input, output) = (&network.layers[index], meanings[index], meanings[index + 1]);
        match (precision.weights[index], precision.shifts[index]) {
            (8, _) => quantise_layer(layer, input, output),
            (bits, shift) => quantise_levels(layer, bits, input, output, shift),
        }
    });
    Ok(IntegerNetwork {
        input: network.input,
        precision,
        layers,
        scales,
    })
}

/// The activation scale with the smallest mean squared error among 48 that cut
/// off the highest activations more or less. `most` is the largest integer.
///
/// # Errors
/// If no activation is above 0.
pub fn activation_scale(activations: &[f32], most: f64) -> Result<f32> {
    const STEPS: u32 = 48;
    let highest = highest(activations)?;
    let scales = (1..=STEPS).map(|step| highest / most * f64::from(step) / f64::from(STEPS));
    let sample = sample(activations);
    let best = scales.min_by(|a, b| {
        let [a, b] = [a, b].map(|scale| squared_error(&sample, *scale, most));
        a.total_cmp(&b)
    });
    Ok(best.unwrap_or(highest / most) as f32)
}

/// The bits to be taken off accumulators of unit `accumulator`, 1 to 30, for the smallest
/// mean squared error of these activations as integers of at most `most`.
///
/// # Errors
/// If no activation is above 0.
pub fn activation_shift(activations: &[f32], accumulator: f64, most: f64) -> Result<u8> {
    highest(activations)?;
    let sample = sample(activations);
    let error = |shift: u8| {
        let scale = accumulator * f64::from(shift).exp2();
        squared_error(&sample, scale, most)
    };
    let best = (1..=Precision::MAX_SHIFT).min_by(|&a, &b| error(a).total_cmp(&error(b)));
    Ok(best.unwrap_or(1))
}

fn highest(activations: &[f32]) -> Result<f64> {
    let highest = f64::from(activations.iter().copied().fold(0.0, f32::max));
    ensure!(
        highest.is_finite() && highest > 0.0,
        "a hidden layer is silent for every calibration image; the network is not trained"
    );
    Ok(highest)
}

/// As many of the activations as are enough to choose a scale.
fn sample(activations: &[f32]) -> Vec<f64> {
    activations
        .iter()
        .step_by(activations.len().div_ceil(1 << 17))
        .map(|&activation| activation.into())
        .collect()
}

/// What activations lose as integers of this unit, 0 to `most`.
fn squared_error(activations: &[f64], unit: f64, most: f64) -> f64 {
    let squared = |&activation: &f64| {
        let integer = (activation / unit).round().clamp(0.0, most);
        (integer * unit - activation).powi(2)
    };
    activations.iter().map(squared).sum()
}

/// The real units of a weight and of an accumulator of a layer that takes `shift` bits off
/// its sums, for inputs and outputs of these units: an output is `2^shift` accumulators, and
/// an accumulator is a weight times an input.
#[must_use]
pub fn units_of_levels(input: f64, output: f64, shift: u8) -> [f64; 2] {
    let accumulator = output / f64::from(shift).exp2();
    [accumulator / input, accumulator]
}

/// Reads the odd weights of a layer whose training has rounded them, for inputs and outputs
/// of these real units. Other weights become the nearest odd number.
fn quantise_levels(layer: &Linear, bits: u8, input: f64, output: f64, shift: u8) -> IntegerLayer {
    let [weight, accumulator] = units_of_levels(input, output, shift);
    let most = largest(bits);
    let odd = |&real: &f32| {
        let level = (f64::from(real) / weight / 2.0).floor();
        (2.0 * level + 1.0).clamp(-most, most) as i8
    };
    let bias = |&real: &f32| (f64::from(real) / accumulator).round() as i32;
    let requantise = Requantise::new(1, shift).expect("a precision's shifts are in range");
    IntegerLayer {
        weights: layer.weight.iter().map(odd).collect(),
        biases: layer.bias.iter().map(bias).collect(),
        requantise: vec![requantise; layer.outputs],
    }
}

/// Quantises one layer whose inputs and outputs have these real units.
fn quantise_layer(layer: &Linear, input: f64, output: f64) -> IntegerLayer {
    let mut integers = IntegerLayer {
        weights: Vec::with_capacity(layer.weight.len()),
        biases: Vec::with_capacity(layer.outputs),
        requantise: Vec::with_capacity(layer.outputs),
    };
    // Whatever the weights, they add at most this much to an accumulator.
    let bias_room = f64::from(i32::MAX) - MAX * MAX * layer.inputs as f64;
    for (row, &bias) in layer.weight.chunks_exact(layer.inputs).zip(&layer.bias) {
        let bias = f64::from(bias);
        let largest = row.iter().fold(0.0f32, |m, w| m.max(w.abs()));
        let scale = (f64::from(largest) / MAX)
            .max(bias.abs() / (input * bias_room))
            .max(f64::MIN_POSITIVE.sqrt());
        let quantised = row.iter().map(|&w| (f64::from(w) / scale).round() as i8);
        integers.weights.extend(quantised);
        integers
            .biases
            .push((bias / (input * scale)).round() as i32);
        integers
            .requantise
            .push(fixed_point(input * scale / output));
    }
    integers
}

/// The fixed-point form of a positive factor: the multiplier has its highest
/// bit at 2^30 where the shift's range allows.
fn fixed_point(factor: f64) -> Requantise {
    let exponent = factor.log2().floor() as i32;
    let mut shift = (30 - exponent).clamp(1, i32::from(Requantise::MAX_SHIFT));
    let mut multiplier = (factor * 2f64.powi(shift)).round();
    if multiplier > f64::from(Requantise::MAX_MULTIPLIER) && shift > 1 {
        shift -= 1;
        multiplier = (factor * 2f64.powi(shift)).round();
    }
    let multiplier = multiplier.clamp(1.0, f64::from(Requantise::MAX_MULTIPLIER)) as u32;
    Requantise::new(multiplier, shift as u8).expect("both were clamped to their ranges")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_point_is_exact_to_thirty_bits() {
        for factor in [1e-9, 0.003, 0.5, 0.999_999_999_9, 1.0, 7.3, 1e6] {
            let fixed = fixed_point(factor);
            let value = f64::from(fixed.multiplier()) / 2f64.powi(fixed.shift().into());
            assert!(
                (value / factor - 1.0).abs() < 2f64.powi(-29),
                "{factor}: {value}"
            );
        }
    }

    #[test]
    fn factors_out_of_range_are_clamped() {
        assert_eq!(fixed_point(1e-30), Requantise::new(1, 62).unwrap());
        assert_eq!(
            fixed_point(1e12),
            Requantise::new(Requantise::MAX_MULTIPLIER, 1).unwrap()
        );
    }

    #[test]
    fn a_row_of_zeros_keeps_its_bias() {
        let layer = Linear {
            inputs: 2,
            outputs: 1,
            weight: vec![0.0, 0.0],
            bias: vec![1.5],
        };
        let integers = quantise_layer(&layer, 0.01, 0.1);
        let value = integers.requantise[0].apply(integers.biases[0]);
        assert_eq!(integers.weights, [0, 0]);
        assert_eq!(value, 15);
    }

    #[test]
    fn rows_use_the_whole_range() {
        let layer = Linear {
            inputs: 2,
            outputs: 2,
            weight: vec![0.5, -1.0, 3.0, 1.5],
            bias: vec![0.0, 0.0],
        };
        let integers = quantise_layer(&layer, 1.0, 1.0);
        assert_eq!(integers.weights, [64, -127, 127, 64]);
    }

    #[test]
    fn few_bits_are_read_off_as_odd_numbers() {
        let layer = Linear {
            inputs: 4,
            outputs: 1,
            weight: vec![-0.75, -0.25, 0.25, 0.75],
            bias: vec![2.5],
        };
        // A weight of 1 is 0.25, an accumulator 0.125.
        let integers = quantise_levels(&layer, 2, 0.5, 2.0, 4);
        assert_eq!(integers.weights, [-3, -1, 1, 3]);
        assert_eq!(integers.biases, [20]);
        assert_eq!(integers.requantise, [Requantise::new(1, 4).unwrap()]);
        // Cut off, and what lies between two odd numbers goes to one of them.
        let far = Linear {
            weight: vec![-7.0, -0.3, 0.3, 7.0],
            ..layer
        };
        assert_eq!(
            quantise_levels(&far, 2, 0.5, 2.0, 4).weights,
            [-3, -1, 1, 3]
        );
    }

    #[test]
    fn shifts_leave_room_for_the_highest_activations() {
        let activations: Vec<f32> = (0..10_000).map(|i| i as f32 / 10.0).collect();
        // 999.9 in accumulators of 1/2: 2^4 of them to a step leave 125.
        assert_eq!(activation_shift(&activations, 0.5, 127.0).unwrap(), 4);
        assert_eq!(activation_shift(&activations, 0.5, 15.0).unwrap(), 7);
        assert_eq!(activation_shift(&activations, 1e9, 127.0).unwrap(), 1);
    }

    #[test]
    fn rare_high_activations_are_cut_off() {
        let mut activations: Vec<f32> = (0..10_000).map(|i| i as f32 / 10_000.0).collect();
        activations.push(20.0);
        let scale = activation_scale(&activations, MAX).unwrap();
        assert!(scale * 127.0 < 20.0, "{scale}");
        assert!(activation_scale(&[0.0; 4], MAX).is_err());
        assert!(activation_shift(&[0.0; 4], 1.0, MAX).is_err());
    }
    #[test]
    fn a_factor_that_rounds_up_to_a_power_of_two_is_that() {
        let power = Requantise::new(1 << 30, 30).unwrap();
        assert_eq!(fixed_point(1.0), power);
        assert_eq!(fixed_point(0.999_999_999_9), power);
        // The largest multiplier itself is no reason to shift less.
        let largest = Requantise::new(Requantise::MAX_MULTIPLIER, 31).unwrap();
        assert_eq!(fixed_point(2_147_483_647.0 / 2_147_483_648.0), largest);
        assert_eq!(fixed_point(6.0), Requantise::new(3 << 29, 28).unwrap());
    }

    #[test]
    fn a_bias_leaves_the_accumulator_room_for_all_weights() {
        for (inputs, expected) in [(1, i32::MAX - 127 * 127), (3, i32::MAX - 3 * 127 * 127)] {
            let layer = Linear {
                inputs,
                outputs: 1,
                weight: vec![0.0; inputs],
                bias: vec![-5.0],
            };
            assert_eq!(quantise_layer(&layer, 0.5, 1.0).biases, [-expected]);
        }
    }

    #[test]
    fn the_scale_errs_least_in_the_mean_of_squares() {
        // Many of 0.5 and one of 127, in units of which whole numbers are exact at step 48.
        // At s, between 0.5 and 1, they are off by s - 0.5 and by 127 (1 - s): 20,000 (s -
        // 0.5)^2 + 127^2 (1 - s)^2 is least at 0.723, between steps 34 and 35.
        let mut activations = vec![0.5; 20_000];
        activations[77] = 127.0;
        assert_eq!(activation_scale(&activations, MAX).unwrap(), 35.0 / 48.0);
        // Nothing is lost at the highest scale.
        let whole: Vec<f32> = (0..128u8).map(f32::from).collect();
        assert_eq!(activation_scale(&whole, MAX).unwrap(), 1.0);
    }

    /// One weight and one bias in each layer.
    fn one_unit(weights: [f32; LAYERS], bias: f32) -> FloatNetwork {
        FloatNetwork {
            precision: Precision::INT8,
            input: Input {
                width: 1,
                height: 1,
                pooling: siamese_core::image::Pooling::None,
                deskew: false,
            },
            layers: weights.map(|weight| Linear {
                inputs: 1,
                outputs: 1,
                weight: vec![weight],
                bias: vec![bias],
            }),
        }
    }

    #[test]
    fn a_network_is_quantised_layer_by_layer() {
        let network = one_unit([127.0, -127.0, 254.0], 1.0);
        // Twice the farthest coordinate is 32,767 / 1024.
        let outputs = FloatOutputs {
            hidden: [vec![127.0, 2.0], vec![254.0, 4.0]],
            embeddings: vec![1.0, -32_767.0 / 2048.0],
        };
        let found = quantise(&network, &outputs, Some([0.5, 0.25])).unwrap();
        assert_eq!(found.input, network.input);
        assert_eq!(found.scales.hidden, [0.5, 0.25]);
        assert_eq!(found.scales.embedding, 1.0 / 1024.0);
        let layers = found.layers.each_ref();
        assert_eq!(layers.map(|layer| layer.weights[0]), [127, -127, 127]);
        // A bias of 1 in units of the input and the weight: 1 / 127, 1 / 2, and 2 / 4.
        assert_eq!(layers.map(|layer| layer.biases[0]), [127, 2, 2]);
        // The nearest float to 1 / 127 is 0x810204 / 2^30, and twice that is the factor; then
        // 0.5 / 0.25, and 2 * 0.25 * 1024.
        let expected = [(0x4081_0200, 36), (1 << 30, 29), (1 << 30, 21)];
        let requantise = layers.map(|layer| layer.requantise[0]);
        let expected = expected.map(|(factor, shift)| Requantise::new(factor, shift).unwrap());
        assert_eq!(requantise, expected);
        // The units that fit the activations.
        let found = quantise(&network, &outputs, None).unwrap();
        let fitting = outputs
            .hidden
            .each_ref()
            .map(|all| activation_scale(all, MAX).unwrap());
        assert_eq!(found.scales.hidden, fitting);
        assert!(fitting[0] < fitting[1]);
    }

    #[test]
    fn a_network_without_an_answer_is_refused() {
        let network = one_unit([1.0; LAYERS], 0.0);
        for (hidden, farthest, sentence) in [
            ([1.0, 1.0], 0.0, "to the origin"),
            ([1.0, 1.0], f32::INFINITY, "to the origin"),
            ([0.0, 1.0], 1.0, "silent"),
            ([1.0, 0.0], 1.0, "silent"),
        ] {
            let outputs = FloatOutputs {
                hidden: hidden.map(|activation| vec![activation]),
                embeddings: vec![farthest],
            };
            let error = quantise(&network, &outputs, None).unwrap_err().to_string();
            assert!(error.contains(sentence), "{error}");
        }
    }
}
