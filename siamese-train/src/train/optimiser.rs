//! The optimisers. They are written out here, and not taken from libtorch,
//! because a run must resume exactly where it stopped, and libtorch's give no
//! access to their state.

use tch::{Kind, Tensor, no_grad};

use crate::recipe::{self, Recipe};
use crate::train::network::Network;

/// Decay of Adam's first and second moment; Kingma and Ba, "Adam: A Method for
/// Stochastic Optimization" (2015).
/// The second is lower than theirs (0.999), which most libraries take: runs here have a
/// few thousand steps. What is called Adam in the study is this one, too.
const BETAS: (f64, f64) = (0.9, 0.99);
/// Added to the root of Adam's second moment.
const EPSILON: f64 = 1e-8;
/// The share of the last step's direction that momentum keeps.
const MOMENTUM: f64 = 0.9;

/// An optimiser and its state.
#[derive(Debug)]
pub struct Optimiser {
    kind: recipe::Optimiser,
    weight_decay: f64,
    clip: f64,
    /// For each parameter: Adam's two moments, or momentum's direction.
    moments: Vec<Vec<Tensor>>,
}

impl Optimiser {
    /// A fresh state for the parameters of `network`.
    #[must_use]
    pub fn new(recipe: &Recipe, network: &Network) -> Self {
        Self::with(recipe.optimiser, recipe.weight_decay, recipe.clip, network)
    }

    fn with(kind: recipe::Optimiser, weight_decay: f64, clip: f64, network: &Network) -> Self {
        let count = match kind {
            recipe::Optimiser::Sgd => 0,
            recipe::Optimiser::Momentum => 1,
            recipe::Optimiser::Adam => 2,
        };
        let zeros = |(parameter, _): (&Tensor, bool)| {
            (0..count)
                .map(|_| parameter.detach().zeros_like())
                .collect()
        };
        Self {
            kind,
            weight_decay,
            clip,
            moments: network.parameters().into_iter().map(zeros).collect(),
        }
    }

    /// The same optimiser in a fresh state for `network`, without weight decay.
    #[must_use]
    pub fn restarted(&self, network: &Network) -> Self {
        Self::with(self.kind, 0.0, self.clip, network)
    }

    /// The state, with names for checkpoints.
    #[must_use]
    pub fn state(&self) -> Vec<(String, &Tensor)> {
        let mut state = Vec::new();
        for (index, moments) in self.moments.iter().enumerate() {
            for (order, moment) in moments.iter().enumerate() {
                state.push((format!("optimiser.{index}.{order}"), moment));
            }
        }
        state
    }

    /// Moves the parameters against the gradient of `loss`. `step` counts from 0.
    pub fn step(&mut self, network: &Network, loss: &Tensor, learning_rate: f64, step: usize) {
        let parameters = network.parameters();
        for (parameter, _) in &parameters {
            let mut gradient = parameter.grad();
            if gradient.defined() {
                let _ = gradient.detach_().zero_();
            }
        }
        loss.backward();
        no_grad(|| {
            self.clip_gradients(&parameters);
            for (&(parameter, decays), moments) in parameters.iter().zip(&mut self.moments) {
                let mut parameter = parameter.shallow_clone();
                let gradient = parameter.grad();
                let direction = match self.kind {
                    recipe::Optimiser::Sgd => gradient,
                    recipe::Optimiser::Momentum => {
                        let kept = &mut moments[0];
                        *kept *= MOMENTUM;
                        *kept += gradient;
                        kept.shallow_clone()
                    }
                    recipe::Optimiser::Adam => {
                        if decays && self.weight_decay > 0.0 {
                            parameter *= 1.0 - learning_rate * self.weight_decay;
                        }
                        adam_direction(moments, &gradient, step)
                    }
                };
                parameter -= direction * learning_rate;
            }
        });
    }

    /// Scales all gradients so that their common norm is at most `clip`.
    fn clip_gradients(&self, parameters: &[(&Tensor, bool)]) {
        if self.clip <= 0.0 {
            return;
        }
        let squares = parameters
            .iter()
            .map(|(parameter, _)| parameter.grad().square().sum(Kind::Float))
            .reduce(|sum, square| sum + square);
        let Some(squares) = squares else { return };
        let factor = (self.clip / (squares.sqrt() + 1e-12)).clamp_max(1.0);
        for (parameter, _) in parameters {
            let _ = parameter.grad().g_mul_(&factor);
        }
    }
}

/// The bias-corrected direction of Adam; updates both moments.
fn adam_direction(moments: &mut [Tensor], gradient: &Tensor, step: usize) -> Tensor {
    let [first, second] = moments else {
        unreachable!("Adam keeps two moments for each parameter");
    };
    *first *= BETAS.0;
    *first += gradient * (1.0 - BETAS.0);
    *second *= BETAS.1;
    *second += gradient.square() * (1.0 - BETAS.1);
    let count = (step + 1) as i32;
    let first_share = 1.0 - BETAS.0.powi(count);
    let second_share = 1.0 - BETAS.1.powi(count);
    (&*first / first_share) / ((&*second / second_share).sqrt() + EPSILON)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Init;
    use crate::recipe::{Bits, RecipeName};
    use siamese_core::image::Input;
    use tch::Device;

    /// A few steps on a bowl whose lowest point is at 0: every optimiser must
    /// get closer.
    #[test]
    fn every_optimiser_descends() {
        for kind in [
            recipe::Optimiser::Sgd,
            recipe::Optimiser::Momentum,
            recipe::Optimiser::Adam,
        ] {
            let network = Network::new(
                (Input::MNIST, Bits::INT8),
                [8, 4],
                2,
                true,
                Init::HeUniform,
                1,
                Device::Cpu,
            );
            let recipe = Recipe {
                optimiser: kind,
                ..RecipeName::Default.recipe()
            };
            let mut optimiser = Optimiser::new(&recipe, &network);
            let height = || {
                let squares = network
                    .parameters()
                    .into_iter()
                    .map(|(p, _)| p.square().sum(Kind::Float));
                squares.reduce(|a, b| a + b).unwrap()
            };
            let start = height().double_value(&[]);
            for step in 0..20 {
                optimiser.step(&network, &height(), 0.01, step);
            }
            let end = height().double_value(&[]);
            assert!(end < 0.9 * start, "{kind:?}: from {start} to {end}");
        }
    }

    #[test]
    fn clipping_bounds_the_step() {
        let network = Network::new(
            (Input::MNIST, Bits::INT8),
            [8, 4],
            2,
            false,
            Init::HeUniform,
            1,
            Device::Cpu,
        );
        let recipe = Recipe {
            clip: 1.0,
            ..RecipeName::Original.recipe()
        };
        let mut optimiser = Optimiser::new(&recipe, &network);
        let before: Vec<Tensor> = network
            .parameters()
            .iter()
            .map(|(p, _)| p.detach().copy())
            .collect();
        let steep = network.parameters()[0].0.sum(Kind::Float) * 1000.0;
        // The parameters that the loss doesn't touch need a gradient, too.
        let rest = network
            .parameters()
            .into_iter()
            .map(|(p, _)| p.sum(Kind::Float) * 0.0);
        let loss = rest.fold(steep, |sum, term| sum + term);
        optimiser.step(&network, &loss, 1.0, 0);
        let moved: f64 = network
            .parameters()
            .iter()
            .zip(&before)
            .map(|((p, _), b)| (p.detach() - b).square().sum(Kind::Float).double_value(&[]))
            .sum();
        assert!((moved.sqrt() - 1.0).abs() < 1e-4, "{moved}");
    }
}
