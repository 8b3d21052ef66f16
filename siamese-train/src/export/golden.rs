//! Golden vectors: what a model gives for some images, computed by libtorch on
//! integers, and not by `siamese_core`, so that the two check each other.

use std::path::Path;

use anyhow::Result;
use safetensors::tensor::{Dtype, TensorView};
use siamese_core::Model;
use siamese_core::image::{Input, Pooling};
use siamese_core::model::LAYERS;
use tch::{Kind, Tensor, no_grad};

use crate::dataset::Images;
use crate::files::write_atomic;
use crate::recipe::MODEL_BITS;

/// A model's integers as tensors.
#[derive(Debug)]
pub struct TorchModel {
    input: Input,
    /// Bits that input activations of 7 lose.
    lost: i64,
    /// The largest activations of the hidden layers.
    largest: [i64; LAYERS - 1],
    layers: Vec<TorchLayer>,
}

/// One layer. Weights are held as 64-bit floats, in which every accumulator is
/// exact, because libtorch multiplies matrices of floats far faster.
#[derive(Debug)]
struct TorchLayer {
    weights: Tensor,
    biases: Tensor,
    multipliers: Tensor,
    shifts: Tensor,
}

/// The outputs of all layers for some images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoldenVectors {
    /// `[images][outputs]` of both hidden layers.
    pub hidden: [Vec<u8>; LAYERS - 1],
    /// `[images][dim]`.
    pub embeddings: Vec<i16>,
}

impl TorchModel {
    /// The numbers of a parsed model.
    #[must_use]
    pub fn new(model: &Model<'_>) -> Self {
        let input = model.header().input;
        let precision = model.header().precision;
        let [_, largest1, largest2] = precision.largest_inputs().map(i64::from);
        let layer = |layer: &siamese_core::model::Layer<'_>| {
            let (rows, columns) = (layer.outputs(), layer.inputs());
            let weights: Vec<f64> = (0..rows)
                .flat_map(|row| layer.row(row).map(f64::from))
                .collect();
            let biases: Vec<i64> = (0..rows).map(|row| layer.bias(row).into()).collect();
            let (multipliers, shifts): (Vec<i64>, Vec<i64>) = (0..rows)
                .filter_map(|row| layer.requantise(row))
                .map(|r| (i64::from(r.multiplier()), i64::from(r.shift())))
                .unzip();
            TorchLayer {
                weights: Tensor::from_slice(&weights).reshape([rows as i64, columns as i64]),
                biases: Tensor::from_slice(&biases),
                multipliers: Tensor::from_slice(&multipliers),
                shifts: Tensor::from_slice(&shifts),
            }
        };
        Self {
            input,
            lost: i64::from(MODEL_BITS) - i64::from(precision.input),
            largest: [largest1, largest2],
            layers: model.layers().iter().map(layer).collect(),
        }
    }

    /// The outputs of all layers for `images`, which must have the model's size.
    ///
    /// # Errors
    /// If libtorch gives tensors of another form than expected.
    pub fn forward(&self, images: &Images) -> Result<GoldenVectors> {
        no_grad(|| {
            let pixels = Tensor::from_slice(images.pixels())
                .reshape([-1, self.input.height.into(), self.input.width.into()])
                .to_kind(Kind::Int64);
            let mut activations = self.input_activations(&pixels);
            let mut outputs = Vec::with_capacity(LAYERS);
            for (index, layer) in self.layers.iter().enumerate() {
                let (low, high) = match self.largest.get(index) {
                    Some(&largest) => (0, largest),
                    None => (-32768, 32767),
                };
                activations = layer.forward(&activations).clamp(low, high);
                outputs.push(activations.shallow_clone());
            }
            let flat = |index: usize, kind| outputs[index].to_kind(kind).contiguous().view([-1]);
            Ok(GoldenVectors {
                hidden: [
                    flat(0, Kind::Uint8).try_into()?,
                    flat(1, Kind::Uint8).try_into()?,
                ],
                embeddings: flat(2, Kind::Int16).try_into()?,
            })
        })
    }

    /// `[images, height, width]` pixels to `[images, inputs]` activations.
    fn input_activations(&self, pixels: &Tensor) -> Tensor {
        let shift = |tensor: Tensor, bits: i64| tensor.bitwise_right_shift_tensor_scalar(bits);
        let pixels = if self.input.deskew {
            upright(pixels)
        } else {
            pixels.shallow_clone()
        };
        let pixels = match self.input.pooling {
            Pooling::Inner2x2 | Pooling::InnerCheckerboard => {
                let (_, height, width) = pixels.size3().expect("images have rows and columns");
                pixels.narrow(1, 2, height - 4).narrow(2, 2, width - 4)
            }
            Pooling::None | Pooling::Sum2x2 | Pooling::Checkerboard => pixels,
        };
        let activations = match self.input.pooling {
            Pooling::None => shift(pixels, 1),
            Pooling::Sum2x2 | Pooling::Inner2x2 => {
                // The average of four, times four, is their sum; exact in doubles.
                let averages = pixels
                    .to_kind(Kind::Double)
                    .unsqueeze(1)
                    .avg_pool2d([2, 2], [2, 2], [0, 0], false, true, 1)
                    .squeeze_dim(1);
                shift(averages.to_kind(Kind::Int64), 3)
            }
            Pooling::Checkerboard | Pooling::InnerCheckerboard => {
                let (_, height, width) = pixels.size3().expect("images have rows and columns");
                let pairs = pixels
                    .narrow(1, 0, height / 2 * 2)
                    .unflatten(1, [height / 2, 2]);
                let [upper, lower] = [0, 1].map(|row| pairs.select(2, row));
                let odd = Tensor::arange(width, (Kind::Int64, pixels.device())).fmod(2);
                shift(lower.where_self(&odd.to_kind(Kind::Bool), &upper), 1)
            }
        };
        shift(activations.flatten(1, 2), self.lost)
    }
}

/// `[images, height, width]` pixels, set upright as `FORMAT.md` says.
fn upright(pixels: &Tensor) -> Tensor {
    let (_, height, width) = pixels.size3().expect("images have rows and columns");
    let numbers = |count: i64| Tensor::arange(count, (Kind::Int64, pixels.device()));
    let floor = |a: Tensor, b: &Tensor| a.divide_tensor_mode(b, "floor");
    let (pairs, blocks) = (height / 2, (width + 3) / 4);
    // Pixels beyond the right edge have no ink.
    let inked = pixels
        .narrow(1, 0, 2 * pairs)
        .constant_pad_nd([0, 4 * blocks - width])
        .reshape([-1, pairs, 2, blocks, 4])
        .amax([2i64, 4].as_slice(), false)
        .ge(64)
        .to_kind(Kind::Int64);
    let (j, x) = (numbers(pairs).unsqueeze(1), numbers(blocks).unsqueeze(0));
    let sum = |weight: Tensor| {
        (&inked * weight).sum_dim_intlist([1i64, 2].as_slice(), false, Kind::Int64)
    };
    let (n, q, p) = (
        sum(j.ones_like()),
        sum(j.shallow_clone()),
        sum(x.shallow_clone()),
    );
    let (r, s) = (sum(&j * &x), sum(&j * &j));
    let variance = &n * s - &q * &q;
    let covariance = n * r - p * q;
    // So many halvings until the variance is below 2^20.
    let halvings: Vec<i64> = Vec::<i64>::try_from(&variance)
        .expect("one variance an image")
        .into_iter()
        .map(|variance| (44 - i64::from(variance.leading_zeros())).max(0))
        .collect();
    let halvings = Tensor::from_slice(&halvings).to_device(pixels.device());
    let halved = |tensor: &Tensor| tensor.bitwise_right_shift(&halvings);
    let steepness = floor(
        halved(&covariance.abs()) * 1024,
        &halved(&variance).clamp_min(1),
    );
    let slope = steepness.clamp_max(1024) * covariance.sign() * variance.sign();
    let below = floor(numbers(height), &Tensor::from(2)) * 2 + 1 - pairs;
    let drift: Tensor = slope.unsqueeze(1) * below.unsqueeze(0) + 256i64;
    let shift = drift.bitwise_right_shift_tensor_scalar(9);
    let from = shift.unsqueeze(2) + numbers(width).reshape([1, 1, width]);
    let inside = from.ge(0).logical_and(&from.lt(width));
    pixels.gather(2, &from.clamp(0, width - 1), false) * inside.to_kind(Kind::Int64)
}

impl TorchLayer {
    /// `[images, inputs]` to requantised, unclamped `[images, outputs]`.
    fn forward(&self, inputs: &Tensor) -> Tensor {
        let sums = inputs.to_kind(Kind::Double).mm(&self.weights.tr());
        let acc = sums.to_kind(Kind::Int64) + &self.biases;
        let half = Tensor::ones_like(&self.shifts).bitwise_left_shift(&(&self.shifts - 1));
        (acc * &self.multipliers + half).bitwise_right_shift(&self.shifts)
    }
}

/// Writes images and their golden vectors as a `safetensors` file: `pixels`
/// and `hidden1`, `hidden2` (u8), `embedding` (i16), each `[images, …]`.
///
/// # Errors
/// If the file can't be written.
pub fn write_golden(path: &Path, images: &Images, golden: &GoldenVectors) -> Result<()> {
    let count = images.len();
    let embeddings: Vec<u8> = golden
        .embeddings
        .iter()
        .flat_map(|c| c.to_le_bytes())
        .collect();
    let [hidden1, hidden2] = &golden.hidden;
    let parts: [(&str, Dtype, usize, &[u8]); 4] = [
        ("pixels", Dtype::U8, images.pixels().len(), images.pixels()),
        ("hidden1", Dtype::U8, hidden1.len(), hidden1),
        ("hidden2", Dtype::U8, hidden2.len(), hidden2),
        (
            "embedding",
            Dtype::I16,
            golden.embeddings.len(),
            &embeddings,
        ),
    ];
    let views = parts
        .into_iter()
        .map(|(name, kind, items, bytes)| {
            Ok((
                name,
                TensorView::new(kind, vec![count, items / count.max(1)], bytes)?,
            ))
        })
        .collect::<Result<Vec<_>>>()?;
    let file = safetensors::serialize(views, None)?;
    write_atomic(path, |out| Ok(out.write_all(&file)?))
}

/// The [`ADVERSARIAL`](crate::embed::golden::ADVERSARIAL) images that strain the arithmetic: black, white, checkerboards, single
/// pixels, stripes and noise.
///
/// # Errors
/// If the size is zero.
pub fn adversarial_images(width: usize, height: usize) -> Result<Images> {
    let mut pixels = Vec::new();
    let mut add = |value: &dyn Fn(usize, usize) -> u8| {
        pixels.extend((0..width * height).map(|i| value(i % width, i / width)));
    };
    let on = |condition: bool| if condition { 255 } else { 0 };
    add(&|_, _| 0);
    add(&|_, _| 255);
    add(&|_, _| 1);
    add(&|x, y| on((x + y) % 2 == 0));
    add(&|x, y| on((x + y) % 2 == 1));
    add(&|x, _| on(x % 2 == 0));
    add(&|_, y| on(y % 2 == 0));
    add(&|x, y| on((x, y) == (0, 0)));
    add(&|x, y| on((x, y) == (width - 1, height - 1)));
    add(&|x, y| on((x, y) == (width / 2, height / 2)));
    // A fixed noise: the high byte of a multiplicative hash of the position.
    for seed in 1..=6u32 {
        add(&|x, y| {
            let position = (y * width + x) as u32 + 7919 * seed;
            (position.wrapping_mul(2_654_435_761) >> 24) as u8
        });
    }
    Images::new(width, height, pixels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_are_pooled_as_the_core_does() {
        for (pooling, deskew) in Pooling::ALL
            .map(|pooling| [(pooling, false), (pooling, true)])
            .concat()
        {
            for (width, height, lost) in [(28, 28, 0), (9, 7, 0), (6, 11, 5)] {
                let input = Input {
                    width,
                    height,
                    pooling,
                    deskew,
                };
                let images = adversarial_images(width.into(), height.into()).unwrap();
                let torch = TorchModel {
                    input,
                    lost,
                    largest: [127; LAYERS - 1],
                    layers: Vec::new(),
                };
                let shape = [-1, i64::from(height), i64::from(width)];
                let pixels = Tensor::from_slice(images.pixels()).reshape(shape);
                let found = torch.input_activations(&pixels.to_kind(Kind::Int64));
                let found: Vec<Vec<i64>> = found.try_into().unwrap();
                assert_eq!(found.len(), images.len());
                for (image, found) in images.iter().zip(found) {
                    let mut expected = vec![0; input.activations()];
                    input.quantise(image, &mut expected);
                    let expected: Vec<i64> =
                        expected.into_iter().map(|a| (a >> lost).into()).collect();
                    assert_eq!(found, expected, "{input:?}");
                }
            }
        }
    }
}
