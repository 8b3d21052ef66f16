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
            matches!(input.pooling, Pooling::None | Pooling::Checkerboard) && !input.deskew,
            "the programs of other libraries have no sums of 2x2 pixels, and don't deskew"
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
            let is_last = number == LAYERS;
            let dense = Dense::new(layer, if is_last { self.step_of(numbers) } else { 1.0 })?;
            let mut arrays = match numbers {
                Numbers::Rows | Numbers::Nibbles => dense.by_rows(),
                Numbers::Floats => dense.floats(),
                Numbers::OneScale => dense.with_one_scale(),
            };
            if numbers == Numbers::Nibbles && number == 1 {
                let bits = layer.weight_bits();
                ensure!(bits < 8, "the first layer's weights have 8 bits");
                arrays.push(("nibbles", Kind::I8, nibbles(&dense.weights)));
            }
            for (name, kind, values) in arrays {
                source.array(&format!("{name}{number}"), kind, &values);
            }
        }
        Ok(source)
    }
}

/// A name, the type of its numbers, and these.
type Array = (&'static str, Kind, Vec<f64>);

/// A dense layer: row by row, as we have it.
struct Dense {
    inputs: usize,
    weights: Vec<f64>,
    biases: Vec<f64>,
    /// What a sum of each row is multiplied by to become an output.
    factors: Vec<f64>,
}

impl Dense {
    /// A layer whose outputs are in steps of so many of ours.
    fn new(layer: &Layer<'_>, step: f64) -> Result<Self> {
        let rows = 0..layer.outputs();
        let weights = rows.clone().flat_map(|row| layer.row(row));
        Ok(Self {
            inputs: layer.inputs(),
            weights: weights.map(f64::from).collect(),
            biases: rows.map(|row| layer.bias(row).into()).collect(),
            factors: factors(layer, step)?,
        })
    }

    /// Integers, and a rounding for each row.
    fn by_rows(&self) -> Vec<Array> {
        let rounding = self.factors.iter().copied().map(fixed_point);
        let (multipliers, shifts) = rounding.map(|[factor, shift]| (factor, shift)).unzip();
        vec![
            ("weights", Kind::I8, self.weights.clone()),
            ("biases", Kind::I32, self.biases.clone()),
            ("multipliers", Kind::I32, multipliers),
            ("shifts", Kind::I32, shifts),
        ]
    }

    /// The weights of an input follow each other.
    fn floats(&self) -> Vec<Array> {
        let scaled = self.scaled();
        let by_input = (0..self.inputs)
            .flat_map(|input| scaled.iter().skip(input).step_by(self.inputs).copied());
        vec![
            ("weights", Kind::F32, by_input.collect()),
            ("biases", Kind::F32, self.scaled_biases()),
        ]
    }

    /// Integers whose largest is 127, the same factor for all rows, and biases in outputs' steps.
    fn with_one_scale(&self) -> Vec<Array> {
        let scaled = self.scaled();
        let largest = scaled.iter().map(|weight| weight.abs()).fold(0.0, f64::max);
        let factor = largest / LARGEST;
        let weights = scaled.iter().map(|weight| (weight / factor).round());
        vec![
            ("weights", Kind::I8, weights.collect()),
            ("biases", Kind::F32, self.scaled_biases()),
            ("factor", Kind::F32, vec![factor]),
        ]
    }

    /// The weights in steps of the outputs.
    fn scaled(&self) -> Vec<f64> {
        let rows = self.weights.chunks(self.inputs).zip(&self.factors);
        rows.flat_map(|(row, factor)| row.iter().map(move |weight| weight * factor))
            .collect()
    }

    fn scaled_biases(&self) -> Vec<f64> {
        let biases = self.biases.iter().zip(&self.factors);
        biases.map(|(bias, factor)| bias * factor).collect()
    }
}

/// What a sum of each row is multiplied by to become an output, in steps of so many of ours.
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
    fn a_layer_is_the_same_in_all_numbers() {
        let dense = Dense {
            inputs: 2,
            weights: vec![127.0, -64.0, 1.0, 100.0],
            biases: vec![3.0, -8.0],
            factors: vec![0.5, 0.25],
        };
        let [(_, _, weights), (_, _, biases)] = &dense.floats()[..] else {
            panic!("other arrays");
        };
        assert_eq!(weights, &[63.5, 0.25, -32.0, 25.0]);
        assert_eq!(biases, &[1.5, -2.0]);
        let [(_, _, weights), _, (_, _, factor)] = &dense.with_one_scale()[..] else {
            panic!("other arrays");
        };
        assert_eq!(weights, &[127.0, -64.0, 1.0, 50.0]);
        assert_eq!(factor, &[0.5]);
        let [_, _, (_, _, multipliers), (_, _, shifts)] = &dense.by_rows()[..] else {
            panic!("other arrays");
        };
        assert_eq!(multipliers, &[2f64.powi(30); 2]);
        assert_eq!(shifts, &[0.0, -1.0]);
    }

    #[test]
    fn two_weights_share_a_byte() {
        assert_eq!(nibbles(&[-7.0, 7.0, 1.0]), [f64::from(0x79), 1.0]);
    }
}
