//! The optimisers. They are written out here, and not taken from libtorch,
//! because a run must resume exactly where it stopped, and libtorch's give no
//! access to their state.

use tch::{Tensor, no_grad};

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
    ///
    /// # Panics
    /// If the loss doesn't depend on a parameter.
    pub fn step(&mut self, network: &Network, loss: &Tensor, learning_rate: f64, step: usize) {
        let parameters = network.parameters();
        let inputs: Vec<&Tensor> = parameters.iter().map(|&(parameter, _)| parameter).collect();
        let gradients = Tensor::run_backward(&[loss], &inputs, false, false);
        no_grad(|| {
            let gradients = self.clipped(gradients);
            let each = parameters.into_iter().zip(gradients).zip(&mut self.moments);
            for (((parameter, decays), mut gradient), moments) in each {
                let mut parameter = parameter.shallow_clone();
                let direction = match self.kind {
                    recipe::Optimiser::Sgd => gradient * learning_rate,
                    recipe::Optimiser::Momentum => {
                        let kept = &mut moments[0];
                        *kept *= MOMENTUM;
                        *kept += gradient;
                        &*kept * learning_rate
                    }
                    recipe::Optimiser::Adam => {
                        if decays && self.weight_decay > 0.0 {
                            parameter *= 1.0 - learning_rate * self.weight_decay;
                        }
                        adam(moments, &mut gradient, learning_rate, step);
                        gradient
                    }
                };
                parameter -= direction;
            }
        });
    }

    /// Gradients scaled so that their common norm is at most `clip`; they are the
    /// caller's to write to.
    fn clipped(&self, gradients: Vec<Tensor>) -> Vec<Tensor> {
        if self.clip <= 0.0 {
            return gradients.iter().map(Tensor::copy).collect();
        }
        let norms: Vec<Tensor> = gradients.iter().map(Tensor::norm).collect();
        let norm = Tensor::stack(&norms, 0).norm();
        let factor = (self.clip / (norm + 1e-12)).clamp_max(1.0);
        gradients
            .iter()
            .map(|gradient| gradient * &factor)
            .collect()
    }
}

/// Makes of a gradient what Adam takes off its parameter, and updates both moments. All in
/// place, since memory is what large layers wait for here: with `a` and `b` the shares of
/// the moments that are known by now, `rate (m / a) / (sqrt(v / b) + ε)` is
/// `(rate sqrt(b) / a) m / (sqrt(v) + ε sqrt(b))`.
fn adam(moments: &mut [Tensor], gradient: &mut Tensor, rate: f64, step: usize) {
    let [first, second] = moments else {
        unreachable!("Adam keeps two moments for each parameter");
    };
    let count = (step + 1) as i32;
    let [first_share, second_share] = [BETAS.0, BETAS.1].map(|beta| 1.0 - beta.powi(count));
    let root = second_share.sqrt();
    let _ = first.lerp_(gradient, 1.0 - BETAS.0);
    let _ = second.lerp_(&gradient.square_(), 1.0 - BETAS.1);
    let _ = second.sqrt_out(gradient);
    *gradient += EPSILON * root;
    let _ = first.div_out(&gradient.shallow_clone(), gradient);
    *gradient *= rate * root / first_share;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Init;
    use crate::recipe::{Bits, RecipeName};
    use siamese_core::image::Input;
    use tch::{Device, Kind};

    /// Three steps of Adam with known gradients, by the formula as it is published.
    #[test]
    fn adam_is_the_published_one() {
        let gradients = [[0.5, -2.0], [0.25, 1e-3], [-4.0, 0.0]];
        let mut moments = [0, 1].map(|_| Tensor::zeros([2], (Kind::Float, Device::Cpu)));
        let mut by_hand = [[0.0f64; 2]; 2];
        for (step, gradient) in gradients.into_iter().enumerate() {
            let mut found = Tensor::from_slice(&gradient).to_kind(Kind::Float);
            adam(&mut moments, &mut found, 0.1, step);
            for (index, g) in gradient.into_iter().enumerate() {
                let [m, v] = &mut by_hand[index];
                *m = 0.9 * *m + 0.1 * g;
                *v = 0.99 * *v + 0.01 * g * g;
                let power = step as i32 + 1;
                let mean = *m / (1.0 - 0.9f64.powi(power));
                let deviation = (*v / (1.0 - 0.99f64.powi(power))).sqrt();
                let expected = 0.1 * mean / (deviation + 1e-8);
                let found = found.double_value(&[index as i64]);
                assert!((found - expected).abs() < 1e-6, "{found}, not {expected}");
            }
        }
    }

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
