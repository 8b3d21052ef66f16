//! From the file's tensors to three plain layers that take 0 for black and 1
//! for white.

use anyhow::{Result, ensure};
use serde::Serialize;
use siamese_core::image::Input;
use siamese_core::model::{LAYERS, MAX_DIM, Precision};

use super::{Roles, Weights};
use crate::train::float_network::{FloatNetwork, Linear};

/// What the network was trained to take for a pixel: `white · share`, minus
/// `mean`, over `deviation`, `share` being 0 for black and 1 for white.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct InputRange {
    /// White, before mean and deviation: 1 after `ToTensor`, 255 for raw bytes.
    pub white: f64,
    /// What is subtracted then.
    pub mean: f64,
    /// What it is divided by then.
    pub deviation: f64,
}

impl Default for InputRange {
    /// What `ToTensor` gives: 0 to 1.
    fn default() -> Self {
        Self {
            white: 1.0,
            mean: 0.0,
            deviation: 1.0,
        }
    }
}

impl InputRange {
    /// Refuses what no network can have been trained with.
    ///
    /// # Errors
    /// If a number is not finite, or white or the deviation is not above 0.
    pub fn check(&self) -> Result<()> {
        let numbers = [self.white, self.mean, self.deviation];
        ensure!(
            numbers.iter().all(|number| number.is_finite())
                && self.white > 0.0
                && self.deviation > 0.0,
            "the input's range (white {}, mean {}, deviation {}) is not possible; all are finite, \
             and white and the deviation are above 0",
            self.white,
            self.mean,
            self.deviation
        );
        Ok(())
    }
}

/// Where batch normalisation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NormPlace {
    /// Linear, batch norm, ReLU
    BeforeRelu,
    /// Linear, ReLU, batch norm
    AfterRelu,
}

impl Weights {
    /// The network of these tensors for images of `input`, all that is linear
    /// folded into its layers. `epsilon` is added to the variances of batch
    /// normalisation; no file holds it, and PyTorch's is 1e-5.
    ///
    /// # Errors
    /// If a tensor is missing, has another shape than its neighbours ask for,
    /// or the core takes no network of these sizes.
    pub fn network(
        &self,
        roles: &Roles,
        input: Input,
        range: InputRange,
        place: NormPlace,
        epsilon: f64,
    ) -> Result<FloatNetwork> {
        range.check()?;
        ensure!(
            epsilon.is_finite() && epsilon >= 0.0,
            "an epsilon of {epsilon} is not possible"
        );
        let mut layers = Vec::with_capacity(LAYERS);
        for name in &roles.layers {
            layers.push(self.layer(name)?);
        }
        check_sizes(&layers, &roles.layers, input)?;
        for (index, norm) in roles.norms.iter().enumerate() {
            let Some(norm) = norm else { continue };
            let affine = self.affine(norm, layers[index].outputs, epsilon)?;
            // Without a ReLU between them, the last layer takes its own.
            if place == NormPlace::BeforeRelu || index + 1 == LAYERS {
                layers[index].scale_outputs(&affine);
            } else {
                layers[index + 1].scale_inputs(&affine);
            }
        }
        // `(white · share − mean) / deviation`, the same for all inputs.
        let factor = range.white / range.deviation;
        let offset = -range.mean / range.deviation;
        let inputs = layers[0].inputs;
        layers[0].scale_inputs(&vec![(factor, offset); inputs]);
        let layers: Vec<Linear> = layers.into_iter().map(Exact::into_linear).collect();
        let finite = layers.iter().all(|layer| {
            layer
                .weight
                .iter()
                .chain(&layer.bias)
                .all(|w| w.is_finite())
        });
        ensure!(
            finite,
            "batch normalisation makes weights that are not finite; a variance is 0 or below"
        );
        let Ok(layers) = layers.try_into() else {
            unreachable!("there are three names of layers")
        };
        Ok(FloatNetwork {
            input,
            precision: Precision::INT8,
            layers,
        })
    }

    /// A layer as it is in the file; without a bias, of bias 0.
    fn layer(&self, name: &str) -> Result<Exact> {
        let (outputs, inputs, weight) = self.matrix(name)?;
        let bias = self.vector(name, "bias", outputs)?;
        let exact = |values: &[f32]| values.iter().map(|&value| value.into()).collect();
        Ok(Exact {
            inputs,
            outputs,
            weight: exact(weight),
            bias: bias.map_or_else(|| vec![0.0; outputs], exact),
        })
    }

    /// Factor and offset of each unit's batch normalisation.
    fn affine(&self, name: &str, units: usize, epsilon: f64) -> Result<Vec<(f64, f64)>> {
        let part = |part: &str| self.vector(name, part, units);
        let (Some(mean), Some(variance)) = (part("running_mean")?, part("running_var")?) else {
            anyhow::bail!(
                "{name} has no running_mean and running_var, which the network needs outside of \
                 training; {}",
                self.list()
            );
        };
        let (gain, shift) = (part("weight")?, part("bias")?);
        let unit = |index: usize| {
            let gain = gain.map_or(1.0, |gain| f64::from(gain[index]));
            let factor = gain / (f64::from(variance[index]) + epsilon).sqrt();
            let shift = shift.map_or(0.0, |shift| f64::from(shift[index]));
            (factor, shift - f64::from(mean[index]) * factor)
        };
        Ok((0..units).map(unit).collect())
    }
}

/// A layer in doubles, so that folding costs no precision.
struct Exact {
    inputs: usize,
    outputs: usize,
    weight: Vec<f64>,
    bias: Vec<f64>,
}

impl Exact {
    /// Every output becomes `factor · output + offset`.
    fn scale_outputs(&mut self, affine: &[(f64, f64)]) {
        let rows = self.weight.chunks_exact_mut(self.inputs);
        for ((row, bias), &(factor, offset)) in rows.zip(&mut self.bias).zip(affine) {
            row.iter_mut().for_each(|weight| *weight *= factor);
            *bias = *bias * factor + offset;
        }
    }

    /// Every input is taken as `factor · input + offset`.
    fn scale_inputs(&mut self, affine: &[(f64, f64)]) {
        let rows = self.weight.chunks_exact_mut(self.inputs);
        for (row, bias) in rows.zip(&mut self.bias) {
            for (weight, &(factor, offset)) in row.iter_mut().zip(affine) {
                *bias += *weight * offset;
                *weight *= factor;
            }
        }
    }

    fn into_linear(self) -> Linear {
        let float = |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect();
        Linear {
            inputs: self.inputs,
            outputs: self.outputs,
            weight: float(self.weight),
            bias: float(self.bias),
        }
    }
}

/// Refuses layers that don't follow each other or that the core doesn't take.
fn check_sizes(layers: &[Exact], names: &[String; LAYERS], input: Input) -> Result<()> {
    let most = usize::from(u16::MAX);
    ensure!(
        layers[0].inputs == input.activations(),
        "{} takes {} inputs, and an image of {}x{} pixels gives {}; say with --input WxH what the \
         network was trained on",
        names[0],
        layers[0].inputs,
        input.width,
        input.height,
        input.activations()
    );
    for (two, name) in layers.windows(2).zip(names.windows(2)) {
        ensure!(
            two[0].outputs == two[1].inputs,
            "{} gives {} outputs and {} takes {} inputs; check the order in --map",
            name[0],
            two[0].outputs,
            name[1],
            two[1].inputs
        );
    }
    for (layer, name) in layers.iter().zip(names) {
        ensure!(
            layer.inputs <= most && layer.outputs <= most,
            "{name} is too large: a layer has at most {most} inputs and outputs"
        );
    }
    let dim = layers[LAYERS - 1].outputs;
    ensure!(
        dim <= MAX_DIM,
        "{} gives {dim} coordinates and an embedding has at most {MAX_DIM}",
        names[LAYERS - 1]
    );
    Ok(())
}
