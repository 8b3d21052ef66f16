//! The network while it is trained: parameters as libtorch tensors.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use siamese_core::image::Input;
use siamese_core::model::LAYERS;
use tch::{Device, Kind, Tensor, no_grad};

use crate::export::quantise::units_of_levels;
use crate::recipe::bits::largest;
use crate::recipe::{Bits, Init, Plan};
use crate::train::float_network::{FloatNetwork, Linear};
use crate::train::levels;

/// The variance floor of batch normalisation.
const EPSILON: f64 = 1e-5;
/// The largest integer weight of 8 bits.
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
    bits: Bits,
    layers: [Layer; LAYERS],
    /// Whether weights of fewer than 8 bits are rounded; see [`levels`].
    rounds_weights: bool,
    /// If everything is rounded to what the integer model holds.
    units: Option<Units>,
    scaffold: Scaffold,
}

/// Coordinates behind those of the embedding that only a training batch has; see
/// [`Recipe::scaffold`](crate::recipe::Recipe::scaffold).
#[derive(Debug, Default, Clone, Copy)]
struct Scaffold {
    /// How many: the last outputs of the last layer.
    coordinates: usize,
    /// What they are multiplied by, 1 at first and 0 in the end.
    share: f64,
}

impl Scaffold {
    /// What is left of the last layer's rows or columns, along dimension `along`, when the
    /// scaffold is gone.
    fn removed(self, tensor: &Tensor, along: usize) -> Tensor {
        let kept = tensor.size()[along] - self.coordinates as i64;
        tensor.narrow(along as i64, 0, kept)
    }

    /// The embeddings `[images, outputs]` of a batch, the scaffold as large as it still is.
    fn faded(self, outputs: Tensor) -> Tensor {
        if self.coordinates == 0 {
            return outputs;
        }
        let own = self.removed(&outputs, 1);
        if self.share <= 0.0 {
            return own;
        }
        let coordinates = self.coordinates as i64;
        let beside = outputs.narrow(1, own.size()[1], coordinates) * self.share;
        Tensor::cat(&[own, beside], 1)
    }
}

/// What the hidden layers' integers mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Units {
    /// Real units of an activation, by hidden layer.
    pub hidden: [f32; LAYERS - 1],
    /// The bits that each layer of few bits takes off its sums; 0 of the others.
    pub shifts: [u8; LAYERS],
}

impl Network {
    /// Fresh parameters. [`Init::HeUniform`]: weights uniform within `± sqrt(6 /
    /// inputs)` as for ReLU layers (He et al., "Delving Deep into Rectifiers",
    /// 2015), the last layer's within `± sqrt(3 / inputs)`; biases 0.
    /// [`Init::TruncatedNormal`]: weights normal with a deviation of 0.01, those beyond
    /// two deviations drawn anew; biases 0.01.
    #[must_use]
    pub fn new(
        (input, bits): (Input, Bits),
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
            bits,
            layers,
            rounds_weights: false,
            units: None,
            scaffold: Scaffold::default(),
        }
    }

    /// The network that a run of `plan` begins with, or the `restart`th beside it, from 1 on.
    pub(super) fn of_plan(plan: &Plan, restart: usize, device: Device) -> Self {
        let recipe = &plan.recipe;
        // The highest byte: no restart is the start of a neighbouring seed.
        let seed = plan.seed ^ (restart as u64).rotate_right(8);
        Self::new(
            (plan.input, recipe.bits),
            plan.hidden(),
            plan.dim + recipe.scaffold,
            recipe.batch_norm,
            recipe.init,
            seed,
            device,
        )
        .with_scaffold(recipe.scaffold)
    }

    /// The same network whose last so many coordinates are a scaffold.
    #[must_use]
    pub const fn with_scaffold(mut self, coordinates: usize) -> Self {
        self.scaffold = Scaffold {
            coordinates,
            share: 1.0,
        };
        self
    }

    /// From now on, multiplies the scaffold's coordinates by `share`, 0 to 1.
    pub const fn fade_scaffold(&mut self, share: f64) {
        self.scaffold.share = share;
    }

    /// The same network with batch normalisation folded and everything rounded
    /// to what an integer model with these units of the hidden activations
    /// holds: weights to `-127..=127` steps of their row, biases to steps of
    /// the accumulator, hidden activations to `0..=127`. Gradients pass the
    /// rounding as if it weren't there (the straight-through estimator; Bengio,
    /// Léonard and Courville, 2013) and end where activations are cut off.
    ///
    /// If there are weights of fewer than 8 bits, the network must have
    /// [`even_units`](Self::even_units); such weights become odd numbers, and all
    /// activations have the bits that were asked for.
    #[must_use]
    pub fn to_integers(&self, units: Units) -> Self {
        let layer = |index: usize| {
            let (weight, bias) = self.own_outputs(index, self.layers[index].folded());
            Layer::learned(&weight, &bias)
        };
        Self {
            layers: no_grad(|| std::array::from_fn(layer)),
            units: Some(units),
            scaffold: Scaffold::default(),
            ..*self
        }
    }

    /// The same network with batch normalisation folded and each layer of few bits
    /// scaled so that an odd weight of 1 means the same in all of its rows: as they
    /// share one shift and have no multiplier, their activations then have one unit,
    /// too. What a row is multiplied by, the next layer's column is divided by (Nagel
    /// et al., "Data-Free Quantization Through Weight Equalization and Bias
    /// Correction", 2019).
    #[must_use]
    pub fn even_units(&self) -> Self {
        let layers = no_grad(|| {
            let mut columns: Option<Tensor> = None;
            std::array::from_fn(|index| {
                let (weight, bias) = self.layers[index].folded();
                let weight = match columns.take() {
                    Some(columns) => weight * columns,
                    None => weight,
                };
                let Some(bits) = self.few_bits(index) else {
                    return Layer::learned(&weight, &bias);
                };
                let units = levels::relative(&levels::units(&weight, bits));
                columns = Some(units.tr());
                Layer::learned(&(weight / &units), &(bias / units.squeeze_dim(1)))
            })
        });
        Self { layers, ..*self }
    }

    /// What an odd weight of 1 means in the rows of a layer, in the mean.
    ///
    /// # Panics
    /// If the layer has weights of 8 bits.
    #[must_use]
    pub fn unit_of_weights(&self, layer: usize) -> f64 {
        let bits = self.few_bits(layer).expect("a layer of few bits");
        no_grad(|| levels::mean(&levels::units(&self.layers[layer].weight, bits)))
    }

    /// The bits of a layer's weights, if they are fewer than 8.
    fn few_bits(&self, layer: usize) -> Option<u8> {
        Some(self.bits.weights[layer]).filter(|&bits| bits < 8)
    }

    /// From now on, or no longer, rounds the weights of fewer than 8 bits.
    pub const fn round_weights(&mut self, rounds: bool) {
        self.rounds_weights = rounds;
    }

    /// The bits of its numbers.
    #[must_use]
    pub const fn bits(&self) -> Bits {
        self.bits
    }

    /// What the hidden layers' integers mean, if everything is rounded.
    #[must_use]
    pub const fn units(&self) -> Option<Units> {
        self.units
    }

    /// The layers' weights `[outputs, inputs]` as the float phase uses them: those of
    /// few bits rounded if it is time. A layer behind one of few bits is rounded as
    /// [`even_units`](Self::even_units) will have it, and scaled back. The gradient
    /// passes the rounding.
    fn float_weights(&self) -> [Tensor; LAYERS] {
        let mut columns: Option<Tensor> = None;
        std::array::from_fn(|index| {
            let layer = &self.layers[index];
            let columns_before = columns.take();
            let (true, Some(bits)) = (self.rounds_weights, self.few_bits(index)) else {
                return layer.weight.shallow_clone();
            };
            let rounded = no_grad(|| {
                let scaled = match &columns_before {
                    Some(columns) => &layer.weight * columns,
                    None => layer.weight.shallow_clone(),
                };
                let units = levels::units(&scaled, bits);
                let rounded = levels::odd(&(&scaled / &units), bits) * &units;
                let folded = match layer.factor() {
                    Some(factor) => units * factor.abs().clamp_min(1e-12).unsqueeze(1),
                    None => units,
                };
                columns = Some(levels::relative(&folded).tr());
                match columns_before {
                    Some(columns) => rounded / columns,
                    None => rounded,
                }
            });
            &layer.weight + (rounded - &layer.weight).detach()
        })
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

    /// The embeddings `[images, dim]` of a training batch `[images, inputs]`, with what is
    /// left of the scaffold behind the `dim` coordinates, and the hidden layers' activations
    /// in real units. Updates the running statistics.
    pub fn embed_batch(&self, inputs: &Tensor) -> (Tensor, [Tensor; 2]) {
        let [first, second, last] = &self.layers;
        if let Some(units) = self.units {
            let [hidden1, hidden2] = units.hidden.map(f64::from);
            let [integers1, integers2] = self.integer_activations(inputs, units);
            // The embedding's steps are too fine to matter here.
            let embeddings = last.accumulators(&integers2, hidden2);
            return (embeddings, [integers1 * hidden1, integers2 * hidden2]);
        }
        let weights = self.float_weights();
        let hidden1 = first.outputs(inputs, &weights[0]).relu();
        let hidden2 = second.outputs(&hidden1, &weights[1]).relu();
        let outputs = last.outputs(&hidden2, &weights[2]);
        (self.scaffold.faded(outputs), [hidden1, hidden2])
    }

    /// A layer's weight and bias without the rows of the scaffold.
    fn own_outputs(&self, index: usize, (weight, bias): (Tensor, Tensor)) -> (Tensor, Tensor) {
        if index + 1 < LAYERS {
            return (weight, bias);
        }
        let [weight, bias] = [weight, bias].map(|rows| self.scaffold.removed(&rows, 0));
        (weight, bias)
    }

    /// The integer activations of both hidden layers for a batch `[images, inputs]` of
    /// real inputs.
    fn integer_activations(&self, inputs: &Tensor, units: Units) -> [Tensor; LAYERS - 1] {
        let most = largest(self.bits.grey);
        let mut input = 1.0 / most;
        let mut integers = (inputs * most).round();
        std::array::from_fn(|index| {
            let (layer, output) = (&self.layers[index], f64::from(units.hidden[index]));
            let most = largest(self.bits.hidden[index]);
            integers = match self.few_bits(index) {
                None => layer.integer_outputs(&integers, input, output, most),
                Some(bits) => {
                    let shift = units.shifts[index];
                    layer.shifted_outputs(&integers, bits, [input, output], shift, most)
                }
            };
            input = output;
            integers.shallow_clone()
        })
    }

    /// The folded weight and bias of a layer in whole steps, if it has few bits and
    /// everything is rounded, in real units.
    fn rounded_levels(&self, index: usize) -> Option<(Tensor, Tensor)> {
        let (units, bits) = (self.units?, self.few_bits(index)?);
        let input = match index.checked_sub(1) {
            None => 1.0 / largest(self.bits.grey),
            Some(before) => f64::from(units.hidden[before]),
        };
        let output = f64::from(*units.hidden.get(index)?);
        let [weight, accumulator] = units_of_levels(input, output, units.shifts[index]);
        let layer = &self.layers[index];
        Some((
            levels::odd(&(&layer.weight / weight), bits) * weight,
            rounded(&(&layer.bias / accumulator)) * accumulator,
        ))
    }

    /// The network in floats with batch normalisation folded into the layers,
    /// the running statistics standing for the batch's. Weights of few bits are
    /// rounded if they are in training.
    #[must_use]
    pub fn fold(&self) -> FloatNetwork {
        let shifts = self.units.map_or([0; LAYERS], |units| units.shifts);
        no_grad(|| {
            let weights = self.float_weights();
            FloatNetwork {
                input: self.input,
                precision: self.bits.precision(shifts),
                layers: std::array::from_fn(|index| {
                    let folded = self.rounded_levels(index);
                    let folded = folded.unwrap_or_else(|| self.layers[index].fold(&weights[index]));
                    linear(self.own_outputs(index, folded))
                }),
            }
        })
    }
}

impl Layer {
    /// A layer without batch normalisation that begins with these parameters.
    fn learned(weight: &Tensor, bias: &Tensor) -> Self {
        Self {
            weight: weight.detach().copy().set_requires_grad(true),
            bias: bias.detach().copy().set_requires_grad(true),
            normalisation: None,
        }
    }

    /// The outputs for a training batch, before any ReLU, with these weights.
    fn outputs(&self, inputs: &Tensor, weight: &Tensor) -> Tensor {
        match &self.normalisation {
            None => inputs.linear(weight, Some(&self.bias)),
            Some(Normalisation {
                gain,
                mean,
                variance,
            }) => inputs.linear(weight, None::<&Tensor>).batch_norm(
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
    fn integer_outputs(&self, inputs: &Tensor, input: f64, output: f64, most: f64) -> Tensor {
        rounded(&(self.accumulators(inputs, input) / output).clamp(0.0, most))
    }

    /// The integer activations of a layer of few bits, `0..=most`, for integer inputs:
    /// sums of odd weights and a bias, shifted right with rounding. All numbers in
    /// between are whole and below 2^24, so that single precision is exact. `units` are
    /// those of the inputs and the outputs.
    fn shifted_outputs(
        &self,
        inputs: &Tensor,
        bits: u8,
        [input, output]: [f64; 2],
        shift: u8,
        most: f64,
    ) -> Tensor {
        let [weight, accumulator] = units_of_levels(input, output, shift);
        let weights = levels::odd_with_gradient(&(&self.weight / weight), bits);
        let biases = rounded(&(&self.bias / accumulator));
        let sums = inputs.linear(&weights, Some(&biases));
        rounded(&(sums / f64::from(shift).exp2()).clamp(0.0, most))
    }

    /// Weight and bias with batch normalisation folded into them.
    fn folded(&self) -> (Tensor, Tensor) {
        self.fold(&self.weight)
    }

    /// The same with other weights.
    fn fold(&self, weight: &Tensor) -> (Tensor, Tensor) {
        match (&self.normalisation, self.factor()) {
            (Some(Normalisation { mean, .. }), Some(factor)) => {
                (weight * factor.unsqueeze(1), &self.bias - mean * &factor)
            }
            _ => (weight.shallow_clone(), self.bias.shallow_clone()),
        }
    }

    /// What batch normalisation multiplies each row's sums by, `[outputs]`.
    fn factor(&self) -> Option<Tensor> {
        let Normalisation { gain, variance, .. } = self.normalisation.as_ref()?;
        Some(gain / (variance + EPSILON).sqrt())
    }
}

/// A layer's weight and bias in memory.
fn linear((weight, bias): (Tensor, Tensor)) -> Linear {
    let size = weight.size();
    Linear {
        inputs: size[1] as usize,
        outputs: size[0] as usize,
        weight: to_vec(&weight),
        bias: to_vec(&bias),
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
        let input = (Input::MNIST, Bits::INT8);
        let of = |init| Network::new(input, [128, 64], 2, false, init, 1, Device::Cpu);
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
    use crate::embed::{ModelFile, embed_images};
    use crate::export::golden::TorchModel;
    use crate::export::quantise::{FloatOutputs, quantise};
    use crate::export::to_model_bytes;

    const INPUT: Input = Input {
        width: 8,
        height: 8,
        pooling: siamese_core::image::Pooling::None,
        deskew: false,
    };

    fn images() -> Images {
        let pixels = (0..40 * 64u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8);
        Images::new(8, 8, pixels.collect()).unwrap()
    }

    fn inputs(bits: Bits) -> Tensor {
        let inputs = inputs_of(INPUT, bits.grey, images().pixels());
        Tensor::from_slice(&inputs).reshape([40, 64])
    }

    const INT8_UNITS: Units = Units {
        hidden: [0.02, 0.01],
        shifts: [0; LAYERS],
    };

    /// Coordinates of an embedding, and those of the scaffold behind them.
    const DIMS: [usize; 2] = [3, 2];

    /// A network after its float phase.
    fn folded(bits: Bits) -> Network {
        let (init, [dim, beside]) = (Init::HeUniform, DIMS);
        let shape = [24, 12];
        let network = Network::new(
            (INPUT, bits),
            shape,
            dim + beside,
            true,
            init,
            5,
            Device::Cpu,
        )
        .with_scaffold(beside);
        let mut signs = ChaCha8Rng::seed_from_u64(6);
        no_grad(|| {
            // Rows of different sizes and signs, as batch normalisation leaves them.
            for layer in &network.layers[..2] {
                let gain = &layer.normalisation.as_ref().unwrap().gain;
                let factors: Vec<f32> = (0..gain.size()[0])
                    .map(|_| signs.random_range(-1.0f32..3.0))
                    .collect();
                gain.detach().copy_(&Tensor::from_slice(&factors));
                let mut bias = layer.bias.detach();
                let _ = bias.fill_(0.1);
            }
        });
        network
    }

    /// The network that trains with everything rounded.
    fn in_integers(bits: Bits) -> Network {
        let network = folded(bits);
        if !bits.has_few() {
            return network.to_integers(INT8_UNITS);
        }
        let network = network.even_units();
        let mut input = 1.0 / largest(bits.grey);
        let mut units = INT8_UNITS;
        for (index, shift) in [4u8, 6].into_iter().enumerate() {
            if bits.weights[index] < 8 {
                let output = network.unit_of_weights(index) * input * f64::from(shift).exp2();
                units.hidden[index] = output as f32;
                units.shifts[index] = shift;
            }
            input = units.hidden[index].into();
        }
        network.to_integers(units)
    }

    const FEW: [Bits; 4] = [
        Bits {
            grey: 2,
            weights: [3, 3, 8],
            hidden: [7, 7],
        },
        Bits {
            grey: 3,
            weights: [2, 4, 8],
            hidden: [4, 5],
        },
        Bits {
            grey: 7,
            weights: [8, 2, 8],
            hidden: [7, 6],
        },
        Bits {
            grey: 1,
            weights: [4, 8, 8],
            hidden: [6, 7],
        },
    ];

    #[test]
    fn a_scaffold_fades_and_is_no_part_of_the_network() {
        let mut network = folded(Bits::INT8);
        let [dim, beside] = DIMS;
        let mut embeddings = |share| {
            network.fade_scaffold(share);
            let embeddings = network.embed_batch(&inputs(Bits::INT8)).0;
            let width = embeddings.size()[1] as usize;
            (to_vec(&embeddings), width)
        };
        let (whole, width) = embeddings(1.0);
        assert_eq!(width, dim + beside);
        let (faded, _) = embeddings(0.25);
        let (gone, width) = embeddings(0.0);
        assert_eq!(width, dim);
        let rows = whole.chunks(dim + beside).zip(faded.chunks(dim + beside));
        for ((whole, faded), gone) in rows.zip(gone.chunks(dim)) {
            assert_eq!(whole[..dim], *gone);
            assert_eq!(faded[..dim], *gone);
            let quarter: Vec<f32> = whole[dim..].iter().map(|x| x / 4.0).collect();
            assert_eq!(faded[dim..], quarter);
        }
        assert!(whole.iter().all(|&x| x != 0.0));
        assert_eq!(network.fold().layers[2].outputs, dim);
        assert_eq!(
            network.to_integers(INT8_UNITS).fold().layers[2].outputs,
            dim
        );
    }

    #[test]
    fn rounded_training_gives_the_integers_of_the_model() {
        for bits in [Bits::INT8].into_iter().chain(FEW) {
            let network = in_integers(bits);
            let units = network.units().unwrap();
            let embeddings = to_vec(&network.embed_batch(&inputs(bits)).0);
            let calibration = FloatOutputs {
                hidden: [Vec::new(), Vec::new()],
                embeddings: embeddings.clone(),
            };
            let integers = quantise(&network.fold(), &calibration, Some(units.hidden)).unwrap();
            let bytes = to_model_bytes("rounded", &integers, [0; 32], None).unwrap();
            let file = ModelFile::new("rounded".as_ref(), &bytes).unwrap();
            let golden = TorchModel::new(&file.model()).forward(&images()).unwrap();
            let core = embed_images(&file.model(), &images()).unwrap();
            assert_eq!(core.steps, golden.embeddings, "{bits:?}");

            let trained = network.integer_activations(&inputs(bits), units);
            for ((trained, model), bits) in trained.iter().zip(&golden.hidden).zip(bits.hidden) {
                let model: Vec<f32> = model.iter().map(|&activation| activation.into()).collect();
                assert_eq!(to_vec(trained), model);
                let most = largest(bits) as f32;
                assert!(model.iter().any(|&a| a > 0.0 && a < most));
                assert!(model.iter().all(|&a| a <= most));
            }
            for (trained, step) in embeddings.iter().zip(&golden.embeddings) {
                let unit = integers.scales.embedding;
                assert!((trained - f32::from(*step) * unit).abs() <= 0.51 * unit);
            }
        }
    }

    #[test]
    fn even_units_leave_the_network_as_it_is() {
        for bits in FEW {
            let network = folded(bits);
            let even = network.even_units();
            for (index, bits) in bits.weights.into_iter().enumerate() {
                if bits < 8 {
                    let units = to_vec(&levels::units(&even.layers[index].weight, bits));
                    let mean = even.unit_of_weights(index) as f32;
                    assert!(units.iter().all(|unit| (unit / mean - 1.0).abs() < 1e-3));
                }
            }
            for rounds in [false, true] {
                let outputs = |mut network: Network| {
                    network.round_weights(rounds);
                    let tensors = FoldedTensors::new(&network.fold(), Device::Cpu);
                    to_vec(&tensors.forward(&inputs(bits))[2])
                };
                let pairs = outputs(folded(bits))
                    .into_iter()
                    .zip(outputs(network.even_units()));
                let mut right = 0;
                for (before, after) in pairs {
                    right += usize::from((before - after).abs() < 1e-3 * before.abs().max(1.0));
                }
                // A weight on the edge of two levels may fall to either side.
                assert!(right >= 114, "{bits:?}: {right} of 120");
            }
        }
    }

    #[test]
    fn gradients_pass_the_rounding() {
        for bits in [Bits::INT8].into_iter().chain(FEW) {
            let mut rounding = folded(bits);
            rounding.round_weights(true);
            for network in [rounding, in_integers(bits)] {
                let (embeddings, _) = network.embed_batch(&inputs(bits));
                embeddings.square().sum(Kind::Float).backward();
                for (parameter, _) in network.parameters() {
                    let largest = parameter.grad().abs().max().double_value(&[]);
                    assert!(largest.is_finite() && largest > 0.0, "{bits:?}");
                }
            }
        }
    }
}
