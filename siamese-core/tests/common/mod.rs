//! Models made of chosen or random numbers, and a naive oracle.

#![allow(dead_code, reason = "each test program uses its own part")]

pub mod aligned;
pub mod flash;

use proptest::prelude::*;
use proptest::sample::select;
use siamese_core::image::{Input, Pooling};
use siamese_core::model::{self, Header, LayerParts, Model, Precision, Scales};
use siamese_core::{EncodeError, Requantise};

use aligned::Aligned;

/// The parts of a model file.
#[derive(Debug, Clone)]
pub struct Parts {
    pub input: Input,
    pub precision: Precision,
    pub layers: [Layer; 3],
}

#[derive(Debug, Clone)]
pub struct Layer {
    pub weights: Vec<i8>,
    pub biases: Vec<i32>,
    pub requantise: Vec<Requantise>,
}

impl Parts {
    pub fn encode(&self) -> Result<Aligned, EncodeError> {
        let header = Header {
            name: "test",
            input: self.input,
            sizes: std::array::from_fn(|layer| self.layers[layer].biases.len() as u16),
            precision: self.precision,
            scales: Scales {
                hidden: [0.5, 0.25],
                embedding: 0.001,
            },
            training_digest: [7; 32],
            quality: None,
            calibration: None,
        };
        let parts = std::array::from_fn(|layer| {
            let Layer {
                weights,
                biases,
                requantise,
            } = &self.layers[layer];
            LayerParts {
                weights,
                biases,
                requantise,
            }
        });
        let mut bytes = Aligned::filled(0xAA, model::encoded_len(&header).unwrap());
        let length = model::encode(&header, &parts, &mut bytes)?.len();
        assert_eq!(length, bytes.len());
        Ok(bytes)
    }

    /// Every layer's outputs in the plainest arithmetic: 128-bit integers, one
    /// loop, no skipping.
    pub fn oracle(&self, pixels: &[u8]) -> (Vec<u8>, Vec<u8>, Vec<i16>) {
        let input = activations(&self.input, pixels);
        let lost = 7 - self.precision.input;
        let input: Vec<i128> = input.into_iter().map(|x| x / (1 << lost)).collect();
        let highest = self.precision.hidden.map(|bits| (1 << bits) - 1);
        let outputs = |layer: &Layer, inputs: &[i128], low: i128, high: i128| -> Vec<i128> {
            (0..layer.biases.len())
                .map(|row| {
                    let weights = &layer.weights[row * inputs.len()..][..inputs.len()];
                    let products = weights.iter().zip(inputs).map(|(&w, x)| i128::from(w) * x);
                    let acc = i128::from(layer.biases[row]) + products.sum::<i128>();
                    let (m, s) = (
                        layer.requantise[row].multiplier(),
                        layer.requantise[row].shift(),
                    );
                    let rounded = (acc * i128::from(m) + (1i128 << (s - 1))).div_euclid(1i128 << s);
                    rounded.clamp(low, high)
                })
                .collect()
        };
        let hidden1 = outputs(&self.layers[0], &input, 0, highest[0]);
        let hidden2 = outputs(&self.layers[1], &hidden1, 0, highest[1]);
        let embedding = outputs(&self.layers[2], &hidden2, -32768, 32767);
        (
            hidden1.iter().map(|&a| a as u8).collect(),
            hidden2.iter().map(|&a| a as u8).collect(),
            embedding.iter().map(|&c| c as i16).collect(),
        )
    }
}

/// The input activations, of 7 bits.
pub fn activations(input: &Input, pixels: &[u8]) -> Vec<i128> {
    let (width, height) = (usize::from(input.width), usize::from(input.height));
    let upright;
    let pixels = if input.deskew {
        upright = deskewed(width, height, pixels);
        &upright
    } else {
        pixels
    };
    // The sums of 2x2 pixels, from row and column `first` on.
    let squares = |first: usize| -> Vec<i128> {
        let starts = |side: usize| (first..(side + 1).saturating_sub(first + 2)).step_by(2);
        starts(height)
            .flat_map(|y| starts(width).map(move |x| (x, y)))
            .map(|(x, y)| {
                let at = |x: usize, y: usize| i128::from(pixels[y * width + x]);
                (at(x, y) + at(x + 1, y) + at(x, y + 1) + at(x + 1, y + 1)) / 8
            })
            .collect()
    };
    // Every other pixel of as many pairs of rows.
    let board = |first: usize| -> Vec<i128> {
        let pairs = height.saturating_sub(2 * first) / 2;
        (0..pairs)
            .flat_map(|pair| (first..width.saturating_sub(first)).map(move |x| (pair, x)))
            .map(|(pair, x)| (first + 2 * pair + (x - first) % 2) * width + x)
            .map(|at| i128::from(pixels[at] / 2))
            .collect()
    };
    match input.pooling {
        Pooling::None => pixels.iter().map(|&p| i128::from(p / 2)).collect(),
        Pooling::Sum2x2 => squares(0),
        Pooling::Inner2x2 => squares(2),
        Pooling::Checkerboard => board(0),
        Pooling::InnerCheckerboard => board(2),
    }
}

/// An image with its rows moved as `FORMAT.md` says, each pixel fetched by itself.
pub fn deskewed(width: usize, height: usize, pixels: &[u8]) -> Vec<u8> {
    let pairs = height / 2;
    let blocks = (0..pairs).flat_map(|j| (0..width.div_ceil(4)).map(move |x| (j, x)));
    let is_inked = |&(j, x): &(usize, usize)| {
        let columns = 4 * x..(4 * x + 4).min(width);
        let places = columns.flat_map(|x| [2 * j * width + x, (2 * j + 1) * width + x]);
        places.into_iter().any(|place| pixels[place] >= 64)
    };
    let inked: Vec<(i128, i128)> = blocks
        .filter(is_inked)
        .map(|(j, x)| (j as i128, x as i128))
        .collect();
    let sum =
        |of: &dyn Fn(i128, i128) -> i128| -> i128 { inked.iter().map(|&(j, x)| of(j, x)).sum() };
    let (n, q, p) = (sum(&|_, _| 1), sum(&|j, _| j), sum(&|_, x| x));
    let (r, s) = (sum(&|j, x| j * x), sum(&|j, _| j * j));
    let (mut variance, covariance) = (n * s - q * q, n * r - p * q);
    let mut magnitude = covariance.abs();
    if variance == 0 {
        return pixels.to_vec();
    }
    while variance >= 1 << 20 {
        variance /= 2;
        magnitude /= 2;
    }
    let slope = (magnitude * 1024 / variance).min(1024) * covariance.signum();
    let at = |y: usize, x: usize| {
        let drift = slope * (2 * (y / 2) as i128 + 1 - pairs as i128);
        let x = x as i128 + (drift + 256).div_euclid(512);
        let inside = (0..width as i128).contains(&x);
        if inside {
            pixels[y * width + x as usize]
        } else {
            0
        }
    };
    (0..height)
        .flat_map(|y| (0..width).map(move |x| (y, x)))
        .map(|(y, x)| at(y, x))
        .collect()
}

/// Any layer of these sizes: weights of so many bits are random, all lowest or all
/// highest; biases up to what the accumulator allows; factors from tiny to huge, or a common
/// shift.
fn any_layer(inputs: usize, outputs: usize, bits: u8, shift: u8) -> impl Strategy<Value = Layer> {
    let largest = ((1u16 << bits) - 1).min(127) as i8;
    let of_level = move |weight: i8| if bits < 8 { weight | 1 } else { weight };
    let weight = prop_oneof![
        3 => (-largest..=largest).prop_map(of_level).boxed(),
        1 => Just(-largest).boxed(),
        1 => Just(largest).boxed(),
    ];
    let half = (1i32 << shift) >> 1;
    let room = i32::MAX - 127 * 127 * inputs as i32 - half;
    let bias = prop_oneof![-20_000..=20_000, Just(room), Just(-room)];
    let requantise = (1..=Requantise::MAX_MULTIPLIER, 1..=Requantise::MAX_SHIFT)
        .prop_map(|(multiplier, shift)| Requantise::new(multiplier, shift).unwrap());
    // Factors near 1/256 keep most activations inside their range.
    let usual = (1u32 << 22..1 << 24).prop_map(|m| Requantise::new(m, 31).unwrap());
    let rounding = match shift {
        0 => prop_oneof![1 => requantise.boxed(), 4 => usual.boxed()].boxed(),
        _ => Just(Requantise::new(1, shift).unwrap()).boxed(),
    };
    (
        prop::collection::vec(weight, inputs * outputs),
        prop::collection::vec(bias, outputs),
        prop::collection::vec(rounding, outputs),
    )
        .prop_map(|(weights, biases, requantise)| Layer {
            weights,
            biases,
            requantise,
        })
}

/// Activations of 7 bits and weights of 8, or any of both.
fn any_precision() -> impl Strategy<Value = Precision> {
    let activations = || prop_oneof![1u8..=7, Just(2), Just(7)];
    let weights = || select(vec![2u8, 3, 4, 8]);
    let shift = || prop_oneof![Just(0u8), 1u8..12, Just(Precision::MAX_SHIFT)];
    let low = (
        activations(),
        [activations(), activations()],
        [weights(), weights(), weights()],
        [shift(), shift(), shift()],
    );
    let low = low.prop_map(|(input, hidden, weights, shifts)| Precision {
        input,
        hidden,
        weights,
        shifts,
    });
    prop_oneof![1 => Just(Precision::INT8), 2 => low]
}

/// Any small model of activations of 7 bits and weights of 8.
pub fn any_int8() -> impl Strategy<Value = Parts> {
    parts_of(Just(Precision::INT8))
}

/// Any small model.
pub fn any_parts() -> impl Strategy<Value = Parts> {
    parts_of(any_precision())
}

fn parts_of(precision: impl Strategy<Value = Precision>) -> impl Strategy<Value = Parts> {
    let pooling = (select(&Pooling::ALL), any::<bool>());
    // Now and then images and layers large enough for what backends treat apart.
    let sizes = prop_oneof![
        12 => (2u16..10, 2u16..10, 1usize..20, 1usize..20, 1usize..5),
        1 => (30u16..40, 36u16..40, 1usize..4, 1usize..4, 1usize..3),
        1 => (2u16..10, 2u16..10, 1usize..270, 1usize..140, 1usize..5),
    ];
    (pooling, precision, sizes).prop_flat_map(
        |((pooling, deskew), precision, (width, height, first, second, dim))| {
            // So that inner pixels are left.
            let border = 2 * pooling.border() as u16;
            let input = Input {
                width: width + border,
                height: height + border,
                pooling,
                deskew,
            };
            let sizes = [input.activations(), first, second, dim];
            let [a, b, c] = std::array::from_fn(|layer| {
                let (bits, shift) = (precision.weights[layer], precision.shifts[layer]);
                any_layer(sizes[layer], sizes[layer + 1], bits, shift)
            });
            (a, b, c).prop_map(move |(a, b, c)| Parts {
                input,
                precision,
                layers: [a, b, c],
            })
        },
    )
}

/// A fixed model of 4x4 pixels, 3-3-2.
pub fn fixed_parts() -> Parts {
    let layer = |inputs: usize, outputs: usize| Layer {
        weights: (0..inputs * outputs)
            .map(|i| ((i * 37) % 255) as i8)
            .map(|w| w.max(-127))
            .collect(),
        biases: (0..outputs).map(|i| i as i32 * 100 - 100).collect(),
        requantise: vec![Requantise::new(1 << 30, 36).unwrap(); outputs],
    };
    Parts {
        input: Input {
            width: 4,
            height: 4,
            pooling: Pooling::None,
            deskew: false,
        },
        precision: Precision::INT8,
        layers: [layer(16, 3), layer(3, 3), layer(3, 2)],
    }
}

/// Whether `bytes` parse, and if so, whether an embedding goes through.
pub fn survives(bytes: &[u8]) -> Option<Vec<i16>> {
    use siamese_core::embedder::{Buffers, embed_into};
    let model = Model::parse(bytes).ok()?;
    let (shared, hidden1) = model.buffer_sizes();
    let (mut shared, mut hidden1) = (vec![0; shared], vec![0; hidden1]);
    let mut embedding = vec![0; model.dim()];
    let pixels = vec![255; model.header().input.pixels()];
    let buffers = Buffers {
        shared: &mut shared,
        hidden1: &mut hidden1,
    };
    embed_into(&model, &pixels, buffers, &mut embedding).unwrap();
    Some(embedding)
}
