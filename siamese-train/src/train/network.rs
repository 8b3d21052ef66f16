//! The network while it is trained: parameters as libtorch tensors.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use siamese_core::image::Input;
use siamese_core::model::LAYERS;
use tch::{Device, Kind, Tensor, no_grad};

use crate::recipe::Init;
use crate::train::float_network::{FloatNetwork, Linear};

/// The variance floor of batch normalisation.
const EPSILON: f64 = 1e-5;
/// The largest integer weight and hidden activation.
const MAX: f64 = 127.0;
/// The share of a new batch in the running mean and variance.
const MOMENTUM: f64 = 0.1;

/// The deviation of [`Init::TruncatedNormal`]'s weights, and its biases.
const NARROW: f32 = 0.01;

/// A number from the standard normal distribution, drawn anew until it is between
/// -2 and 2.
fn within_two(generator: &mut impl Rng) -> f32 {
    loop {
        let normal: f32 = StandardNormal.sample(generator);
        if normal.abs() <= 2.0 {
            return normal;
        }
    }
}

/// One layer's parameters.
#[derive(Debug)]
struct Layer {
    /// `[outputs, inputs]`.
    weight: Tensor,
    /// `[outputs]`; with batch normalisation, its shift.
    bias: Tensor,
    normalisation: Option<Normalisation>,
}

/// Batch normalisation of one layer, all `[outputs]`.
#[derive(Debug)]
struct Normalisation {
    gain: Tensor,
    mean: Tensor,
    variance: Tensor,
}

/// Three fully connected layers with shared weights for both images of a pair:
/// since a batch is embedded in one go, the sharing is the network itself.
#[derive(Debug)]
pub struct Network {
    input: Input,
    layers: [Layer; LAYERS],
    /// The units of the hidden activations, if everything is rounded to what
    /// the integer model holds.
    hidden_scales: Option<[f32; LAYERS - 1]>,
}

impl Network {
    /// Fresh parameters. [`Init::HeUniform`]: weights uniform within `± sqrt(6 /
    /// inputs)` as for ReLU layers (He et al., "Delving Deep into Rectifiers",
    /// 2015), the last layer's within `± sqrt(3 / inputs)`; biases 0.
    /// [`Init::TruncatedNormal`]: weights normal with a deviation of 0.01, those beyond
    /// two deviations drawn anew; biases 0.01.
    #[must_use]
    pub fn new(
        input: Input,
        hidden: [usize; 2],
        dim: usize,
        batch_norm: bool,
        init: Init,
        seed: u64,
        device: Device,
    ) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        // Steps use the streams from 0 upwards.
        generator.set_stream(u64::MAX);
        let sizes = [input.activations(), hidden[0], hidden[1], dim];
        let layers = std::array::from_fn(|index| {
            let (inputs, outputs) = (sizes[index], sizes[index + 1]);
            let hidden = index + 1 < LAYERS;
            let limit = (if hidden { 6.0 } else { 3.0 } / inputs as f32).sqrt();
            let weight: Vec<f32> = (0..inputs * outputs)
                .map(|_| match init {
                    Init::HeUniform => limit * (2.0 * generator.random::<f32>() - 1.0),
                    Init::TruncatedNormal => NARROW * within_two(&mut generator),
                })
                .collect();
            let bias = match init {
                Init::HeUniform => 0.0,
                Init::TruncatedNormal => f64::from(NARROW),
            };
            let weight = Tensor::from_slice(&weight).reshape([outputs as i64, inputs as i64]);
            let constant =
                |value: f64| Tensor::full([outputs as i64], value, (Kind::Float, device));
            let learned = |tensor: Tensor| tensor.to_device(device).set_requires_grad(true);
            Layer {
                weight: learned(weight),
                bias: learned(constant(bias)),
                normalisation: (hidden && batch_norm).then(|| Normalisation {
                    gain: learned(constant(1.0)),
                    mean: constant(0.0),
                    variance: constant(1.0),
                }),
            }
        });
        Self {
            input,
            layers,
            hidden_scales: None,
        }
    }

    /// The same network with batch normalisation folded and everything rounded
    /// to what an integer model with these units of the hidden activations
    /// holds: weights to `-127..=127` steps of their row, biases to steps of
    /// the accumulator, hidden activations to `0..=127`. Gradients pass the
    /// rounding as if it weren't there (the straight-through estimator; Bengio,
    /// Léonard and Courville, 2013) and end where activations are cut off.
    #[must_use]
    pub fn to_integers(&self, hidden_scales: [f32; LAYERS - 1]) -> Self {
        let folded = no_grad(|| self.layers.each_ref().map(Layer::folded));
        Self {
            input: self.input,
            layers: folded.map(|(weight, bias)| Layer {
                weight: weight.detach().copy().set_requires_grad(true),
                bias: bias.detach().copy().set_requires_grad(true),
                normalisation: None,
            }),
            hidden_scales: Some(hidden_scales),
        }
    }

    /// The units of the hidden activations, if everything is rounded.
    #[must_use]
    pub const fn hidden_scales(&self) -> Option<[f32; LAYERS - 1]> {
        self.hidden_scales
    }

    /// The parameters that the optimiser moves, in a fixed order; the flag
    /// tells the weight matrices, which alone decay.
    #[must_use]
    pub fn parameters(&self) -> Vec<(&Tensor, bool)> {
        let mut parameters = Vec::new();
        for layer in &self.layers {
            parameters.push((&layer.weight, true));
            parameters.push((&layer.bias, false));
            parameters.extend(layer.normalisation.as_ref().map(|n| (&n.gain, false)));
        }
        parameters
    }

    /// Everything that makes the network: the parameters, and the running
    /// statistics of batch normalisation, with names for checkpoints.
    #[must_use]
    pub fn state(&self) -> Vec<(String, &Tensor)> {
        let mut state = Vec::new();
        for (layer, index) in self.layers.iter().zip(1..) {
            let mut add = |name: &str, tensor| state.push((format!("layer{index}.{name}"), tensor));
            add("weight", &layer.weight);
            add("bias", &layer.bias);
            if let Some(normalisation) = &layer.normalisation {
                add("gain", &normalisation.gain);
                add("mean", &normalisation.mean);
                add("variance", &normalisation.variance);
            }
        }
        state
    }

    /// The embeddings `[images, dim]` of a training batch `[images, inputs]`,
    /// and the hidden layers' activations in real units. Updates the running
    /// statistics.
    pub fn embed_batch(&self, inputs: &Tensor) -> (Tensor, [Tensor; 2]) {
        let [first, second, last] = &self.layers;
        if let Some(units) = self.hidden_scales {
            let [input, hidden1, hidden2] = [1.0 / MAX, units[0].into(), units[1].into()];
            let integers = (inputs * MAX).round();
            let integers1 = first.integer_outputs(&integers, input, hidden1);
            let integers2 = second.integer_outputs(&integers1, hidden1, hidden2);
            // The embedding's steps are too fine to matter here.
            let embeddings = last.accumulators(&integers2, hidden2);
            return (embeddings, [integers1 * hidden1, integers2 * hidden2]);
        }
        let hidden1 = first.outputs(inputs).relu();
        let hidden2 = second.outputs(&hidden1).relu();
        (last.outputs(&hidden2), [hidden1, hidden2])
    }

    /// The network in floats with batch normalisation folded into the layers,
    /// the running statistics standing for the batch's.
    #[must_use]
    pub fn fold(&self) -> FloatNetwork {
        no_grad(|| FloatNetwork {
            input: self.input,
            layers: std::array::from_fn(|index| self.layers[index].fold()),
        })
    }
}

impl Layer {
    /// The outputs for a training batch, before any ReLU.
    fn outputs(&self, inputs: &Tensor) -> Tensor {
        match &self.normalisation {
            None => inputs.linear(&self.weight, Some(&self.bias)),
            Some(Normalisation {
                gain,
                mean,
                variance,
            }) => inputs.linear(&self.weight, None::<&Tensor>).batch_norm(
                Some(gain),
                Some(&self.bias),
                Some(mean),
                Some(variance),
                true,
                MOMENTUM,
                EPSILON,
                false,
            ),
        }
    }

    /// What the integer layer's accumulators mean, for integer inputs of unit
    /// `input`.
    fn accumulators(&self, inputs: &Tensor, input: f64) -> Tensor {
        let row_units = self.weight.detach().abs().amax(1i64, true) / MAX;
        let row_units = row_units.clamp_min(f64::MIN_POSITIVE.sqrt());
        let weight = rounded(&(&self.weight / &row_units));
        let units = (row_units * input).squeeze_dim(1);
        let bias = rounded(&(&self.bias / &units));
        inputs.linear(&weight, Some(&bias)) * units
    }

    /// The integer activations after requantising to the unit `output`.
    fn integer_outputs(&self, inputs: &Tensor, input: f64, output: f64) -> Tensor {
        rounded(&(self.accumulators(inputs, input) / output).clamp(0.0, MAX))
    }

    fn fold(&self) -> Linear {
        let (weight, bias) = self.folded();
        let size = weight.size();
        Linear {
            inputs: size[1] as usize,
            outputs: size[0] as usize,
            weight: to_vec(&weight),
            bias: to_vec(&bias),
        }
    }

    /// Weight and bias with batch normalisation folded into them.
    fn folded(&self) -> (Tensor, Tensor) {
        match &self.normalisation {
            None => (self.weight.shallow_clone(), self.bias.shallow_clone()),
            Some(Normalisation {
                gain,
                mean,
                variance,
            }) => {
                let factor = gain / (variance + EPSILON).sqrt();
                (
                    &self.weight * factor.unsqueeze(1),
                    &self.bias - mean * &factor,
                )
            }
        }
    }
}

/// Rounded to whole numbers, halves up as the core does; the gradient passes.
fn rounded(values: &Tensor) -> Tensor {
    values + ((values + 0.5).floor() - values).detach()
}

/// The values of a float tensor, in row-major order.
///
/// # Panics
/// If the tensor does not hold floats.
#[must_use]
pub fn to_vec(tensor: &Tensor) -> Vec<f32> {
    let flat = tensor
        .detach()
        .to_device(Device::Cpu)
        .contiguous()
        .view([-1]);
    Vec::try_from(flat).expect("a float tensor converts to floats")
}

/// A folded network as tensors, for embedding whole sets.
#[derive(Debug)]
pub struct FoldedTensors {
    layers: Vec<(Tensor, Tensor)>,
}

impl FoldedTensors {
    /// Copies the network to `device`.
    #[must_use]
    pub fn new(network: &FloatNetwork, device: Device) -> Self {
        let tensors = |layer: &Linear| {
            let shape = [layer.outputs as i64, layer.inputs as i64];
            let weight = Tensor::from_slice(&layer.weight).reshape(shape);
            (
                weight.to_device(device),
                Tensor::from_slice(&layer.bias).to_device(device),
            )
        };
        Self {
            layers: network.layers.iter().map(tensors).collect(),
        }
    }

    /// The outputs of all three layers for inputs `[images, inputs]`; the
    /// hidden ones after their ReLU.
    pub fn forward(&self, inputs: &Tensor) -> [Tensor; LAYERS] {
        no_grad(|| {
            let mut activations = inputs.shallow_clone();
            std::array::from_fn(|index| {
                let (weight, bias) = &self.layers[index];
                activations = activations.linear(weight, Some(bias));
                if index + 1 < LAYERS {
                    activations = activations.relu();
                }
                activations.shallow_clone()
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_parameters_are_those_that_were_asked_for() {
        let of = |init| Network::new(Input::MNIST, [128, 64], 2, false, init, 1, Device::Cpu);
        let [scaled, narrow] = [Init::HeUniform, Init::TruncatedNormal].map(of);
        let limits = [6.0f64 / 784.0, 6.0 / 128.0, 3.0 / 64.0].map(f64::sqrt);
        for (layer, limit) in scaled.layers.iter().zip(limits) {
            let (largest, deviation) = (layer.weight.abs().max(), layer.weight.std(false));
            assert!(largest.double_value(&[]) <= limit);
            // Of a uniform distribution.
            let expected = limit / 3f64.sqrt();
            assert!((deviation.double_value(&[]) / expected - 1.0).abs() < 0.15);
            assert_eq!(layer.bias.abs().max().double_value(&[]), 0.0);
        }
        for layer in &narrow.layers {
            let (largest, deviation) = (layer.weight.abs().max(), layer.weight.std(false));
            assert!(largest.double_value(&[]) <= 0.02);
            // A normal distribution cut off at two deviations has 0.8796 of its own.
            assert!((deviation.double_value(&[]) / 0.008_796 - 1.0).abs() < 0.15);
            assert!((&layer.bias - 0.01).abs().max().double_value(&[]) < 1e-8);
        }
    }
    use crate::batch::loader::inputs_of;
    use crate::dataset::Images;
    use crate::embed::ModelFile;
    use crate::export::golden::TorchModel;
    use crate::export::quantise::{FloatOutputs, quantise};
    use crate::export::to_model_bytes;

    const INPUT: Input = Input {
        width: 8,
        height: 8,
        pooling: siamese_core::image::Pooling::None,
    };

    fn images() -> Images {
        let pixels = (0..40 * 64u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8);
        Images::new(8, 8, pixels.collect()).unwrap()
    }

    fn inputs() -> Tensor {
        Tensor::from_slice(&inputs_of(INPUT, images().pixels())).reshape([40, 64])
    }

    #[test]
    fn rounded_training_gives_the_integers_of_the_model() {
        let scales = [0.02, 0.01];
        let network = Network::new(INPUT, [24, 12], 3, true, Init::HeUniform, 5, Device::Cpu)
            .to_integers(scales);
        let folded = network.fold();
        let embeddings = to_vec(&network.embed_batch(&inputs()).0);
        let calibration = FloatOutputs {
            hidden: [Vec::new(), Vec::new()],
            embeddings: embeddings.clone(),
        };
        let integers = quantise(&folded, &calibration, Some(scales)).unwrap();
        let bytes = to_model_bytes("rounded", &integers, [0; 32], None).unwrap();
        let file = ModelFile::new("rounded".as_ref(), &bytes).unwrap();
        let golden = TorchModel::new(&file.model()).forward(&images()).unwrap();

        let [first, second, _] = &network.layers;
        let one = first.integer_outputs(&(inputs() * MAX).round(), 1.0 / MAX, scales[0].into());
        let two = second.integer_outputs(&one, scales[0].into(), scales[1].into());
        for (trained, model) in [one, two].iter().zip(&golden.hidden) {
            let model: Vec<f32> = model.iter().map(|&activation| activation.into()).collect();
            assert_eq!(to_vec(trained), model);
            assert!(
                model
                    .iter()
                    .any(|&activation| activation > 0.0 && activation < 127.0)
            );
        }
        for (trained, step) in embeddings.iter().zip(&golden.embeddings) {
            let unit = integers.scales.embedding;
            assert!((trained - f32::from(*step) * unit).abs() <= 0.51 * unit);
        }
    }

    #[test]
    fn gradients_pass_the_rounding() {
        let network = Network::new(INPUT, [24, 12], 3, true, Init::HeUniform, 5, Device::Cpu)
            .to_integers([0.02, 0.01]);
        network
            .embed_batch(&inputs())
            .0
            .square()
            .sum(Kind::Float)
            .backward();
        for (parameter, _) in network.parameters() {
            let largest = parameter.grad().abs().max().double_value(&[]);
            assert!(largest.is_finite() && largest > 0.0);
        }
    }
}
