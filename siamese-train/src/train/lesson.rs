//! One step of the training.

use tch::{Kind, Tensor};

use super::loss::loss;
use super::network::Network;
use super::optimiser::Optimiser;
use crate::recipe::Recipe;

/// The part of the float phase's steps over which a scaffold fades out.
const SCAFFOLD_UNTIL: f64 = 0.5;

/// What a network learns from in one step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lesson<'a> {
    pub recipe: &'a Recipe,
    /// The batch as the first layer takes it, `[images, inputs]`, and its classes.
    pub images: &'a Tensor,
    pub labels: &'a Tensor,
    /// The step of the phase, from 0, and the phase's steps.
    pub step: usize,
    pub steps: usize,
    /// The learning rate of the phase, as a part of the recipe's.
    pub rate: f64,
    /// Whether weights of fewer than 8 bits are rounded.
    pub rounds: bool,
}

impl Lesson<'_> {
    /// Lets a network take the step; gives the loss before it.
    pub(super) fn learn(&self, network: &mut Network, optimiser: &mut Optimiser) -> Tensor {
        network.round_weights(self.rounds);
        network.fade_scaffold(scaffold_at(self.step, self.steps));
        let (embeddings, hidden) = network.embed_batch(self.images);
        let mut loss = loss(self.recipe, &embeddings, self.labels);
        if self.recipe.sparsity > 0.0 {
            for layer in &hidden {
                loss += self.recipe.sparsity * layer.mean(Kind::Float);
            }
        }
        let learning_rate = self.rate * self.recipe.learning_rate_at(self.step, self.steps);
        optimiser.step(network, &loss, learning_rate, self.step);
        loss
    }
}

/// The share of a scaffold that is left at `step` of a float phase of so many: 1 at first, and 0
/// from [`SCAFFOLD_UNTIL`] of them on.
fn scaffold_at(step: usize, steps: usize) -> f64 {
    (1.0 - step as f64 / (SCAFFOLD_UNTIL * steps as f64)).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scaffold_is_gone_by_the_middle_of_the_steps() {
        let shares = [0, 10, 25, 49, 50, 99].map(|step| scaffold_at(step, 100));
        for (found, expected) in shares.into_iter().zip([1.0, 0.8, 0.5, 0.02, 0.0, 0.0]) {
            assert!((found - expected).abs() < 1e-12, "{shares:?}");
        }
    }
}
