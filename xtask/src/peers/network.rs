//! A model of ours in the numbers that other libraries take.

use anyhow::{Context, Result, ensure};
use siamese_build::OwnedModel;
use siamese_core::image::Pooling;
use siamese_core::model::{LAYERS, Layer};

use super::source::{Kind, Language, Source};

/// The largest number of 8 bits.
const LARGEST: f64 = 127.0;

/// How a library takes the numbers of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbers {
    /// Weights of 8 bits, and a multiplier and a shift for each row.
    Rows,
    /// The same; those of a first layer of few bits are also there as two in a byte.
    Nibbles,
    /// Floating-point, input by input.
    Floats,
    /// Weights of 8 bits with one scale for all rows, and a floating-point factor.
    OneScale,
}

/// A network, and how large its coordinates get.
pub struct Network<'m> {
    pub model: &'m OwnedModel,
    /// The step in which a library with outputs of 8 bits gives a coordinate, in ours.
    pub step: f64,
}

impl Network<'_> {
    /// How many of our steps one of a library's is.
    pub const fn step_of(&self, numbers: Numbers) -> f64 {
        match numbers {
            // A program makes whole numbers of our own steps of it.
            Numbers::Floats => 1.0,
            _ => self.step,
        }
    }

    /// The files `sizes` and `layers`, without their extensions.
    pub fn sources(&self, numbers: Numbers, language: Language) -> Result<[(&str, Source); 2]> {
        Ok([
            ("sizes", self.sizes(language)?),
            ("layers", self.layers(numbers, language)?),
        ])
    }

    fn sizes(&self, language: Language) -> Result<Source> {
        let model = self.model.model();
        let header = model.header();
        let input = header.input;
        ensure!(
            input.pooling != Pooling::Sum2x2,
            "the programs of other libraries have no sums of 2x2 pixels"
        );
        let mut source = Source::new(language);
        let precision = header.precision;
        let largest = |bits: u8| (1usize << bits) - 1;
        for (name, value) in [
            ("IMAGE_WIDTH", input.width.into()),
            ("IMAGE_HEIGHT", input.height.into()),
            ("IMAGE_PIXELS", input.pixels()),
            (
                "CHECKERBOARD",
                usize::from(input.pooling == Pooling::Checkerboard),
            ),
            ("INPUT_SHIFT", 8 - usize::from(precision.input)),
            ("INPUTS", input.activations()),
            ("HIDDEN1", header.sizes[0].into()),
            ("HIDDEN2", header.sizes[1].into()),
            ("DIM", header.sizes[2].into()),
            ("LARGEST1", largest(precision.hidden[0])),
            ("LARGEST2", largest(precision.hidden[1])),
        ] {
            source.size(name, value);
        }
        Ok(source)
    }

    fn layers(&self, numbers: Numbers, language: Language) -> Result<Source> {
        let mut source = Source::new(language);
        let model = self.model.model();
        for (number, layer) in (1..).zip(model.layers()) {
            // The last layer's outputs are coordinates.
            let step = if number == LAYERS {
                self.step_of(numbers)
            } else {
                1.0
            };
            let factors = factors(layer, step)?;
            let mut add = |name: &str, kind, values: &[f64]| {
                source.array(&format!("{name}{number}"), kind, values);
            };
            let weights: Vec<f64> = (0..layer.outputs())
                .flat_map(|row| layer.row(row))
                .map(f64::from)
                .collect();
            let biases: Vec<f64> = (0..layer.outputs())
                .map(|row| layer.bias(row).into())
                .collect();
            match numbers {
                Numbers::Rows | Numbers::Nibbles => {
                    if numbers == Numbers::Nibbles && number == 1 {
                        ensure!(
                            layer.weight_bits() < 8,
                            "the first layer's weights have 8 bits"
                        );
                        add("nibbles", Kind::I8, &nibbles(&weights));
                    }
                    add("weights", Kind::I8, &weights);
                    add("biases", Kind::I32, &biases);
                    let rounding: Vec<[f64; 2]> = factors.into_iter().map(fixed_point).collect();
                    let part = |index: usize| -> Vec<f64> {
                        rounding.iter().map(|parts| parts[index]).collect()
                    };
                    add("multipliers", Kind::I32, &part(0));
                    add("shifts", Kind::I32, &part(1));
                }
                Numbers::Floats => {
                    let inputs = layer.inputs();
                    let by_input = (0..inputs).flat_map(|input| {
                        let (weights, factors) = (&weights, &factors);
                        (0..layer.outputs())
                            .map(move |row| weights[row * inputs + input] * factors[row])
                    });
                    add("weights", Kind::F32, &by_input.collect::<Vec<_>>());
                    let biases = biases
                        .iter()
                        .zip(&factors)
                        .map(|(bias, factor)| bias * factor);
                    add("biases", Kind::F32, &biases.collect::<Vec<_>>());
                }
                Numbers::OneScale => {
                    let scaled: Vec<f64> = weights
                        .chunks(layer.inputs())
                        .zip(&factors)
                        .flat_map(|(row, factor)| row.iter().map(move |weight| weight * factor))
                        .collect();
                    let largest = scaled
                        .iter()
                        .fold(0.0, |most: f64, weight| most.max(weight.abs()));
                    let factor = largest / LARGEST;
                    let rounded = |value: f64| (value / factor).round();
                    let weights: Vec<f64> = scaled.iter().copied().map(rounded).collect();
                    add("weights", Kind::I8, &weights);
                    let biases = biases.iter().zip(&factors).map(|(bias, row)| bias * row);
                    add("biases", Kind::F32, &biases.collect::<Vec<_>>());
                    add("factor", Kind::F32, &[factor]);
                }
            }
        }
        Ok(source)
    }
}

/// What a sum of each row is multiplied by to become an output, in `step`s.
fn factors(layer: &Layer<'_>, step: f64) -> Result<Vec<f64>> {
    let factor = |row: usize| {
        let requantise = layer.requantise(row).context("a layer has too few rows")?;
        Ok(f64::from(requantise.multiplier()) / 2f64.powi(requantise.shift().into()) / step)
    };
    (0..layer.outputs()).map(factor).collect()
}

/// A factor as TensorFlow Lite has it: `multiplier / 2^31 * 2^shift`, the multiplier being
/// 2^30 to 2^31 - 1. Exact for all that a model file holds.
fn fixed_point(factor: f64) -> [f64; 2] {
    const ONE: f64 = 2_147_483_648.0;
    let mut shift = factor.log2().floor() + 1.0;
    let mut multiplier = (factor / shift.exp2() * ONE).round();
    if multiplier >= ONE {
        multiplier /= 2.0;
        shift += 1.0;
    }
    [multiplier, shift]
}

/// Two weights a byte, the first one in the lower 4 bits.
fn nibbles(weights: &[f64]) -> Vec<f64> {
    let byte = |pair: &[f64]| {
        let nibble = |index: usize| pair.get(index).map_or(0, |&weight| weight as i32 & 15);
        f64::from((nibble(0) | nibble(1) << 4) as u8 as i8)
    };
    weights.chunks(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_are_kept_exactly() {
        for (multiplier, shift) in [(1u32, 7), (1 << 30, 36), (0x7fff_ffff, 62), (12_345, 20)] {
            let factor = f64::from(multiplier) / 2f64.powi(shift);
            let [fixed, power] = fixed_point(factor);
            assert_eq!(fixed * 2f64.powf(power - 31.0), factor);
            assert!((2f64.powi(30)..2f64.powi(31)).contains(&fixed), "{fixed}");
        }
    }

    #[test]
    fn two_weights_share_a_byte() {
        assert_eq!(nibbles(&[-7.0, 7.0, 1.0]), [f64::from(0x79), 1.0]);
    }
}
