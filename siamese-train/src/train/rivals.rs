//! Networks that start beside the first one of a run, until one of them all is chosen.
//!
//! With few units and two coordinates, where the classes come to lie is decided early and seldom
//! changes: which of several starts ends well shows long before it has ended.

use tch::{Device, Kind, Tensor, no_grad};

use super::lesson::Lesson;
use super::network::Network;
use super::optimiser::Optimiser;
use crate::recipe::Plan;

/// The part of the float phase's steps after which one of the starts is chosen.
const CHOSEN_AFTER: f64 = 0.1;
/// The part of these steps whose losses don't count yet.
const WARM_UP: f64 = 0.5;

/// The networks beside the first, and how all have done.
#[derive(Debug)]
pub(super) struct Rivals {
    starts: Vec<(Network, Optimiser)>,
    /// Sums of the losses that count, the first network's before theirs.
    losses: Tensor,
}

/// The steps that rivals take in a float phase of so many, at least one.
#[must_use]
pub(super) fn steps_of_rivals(steps: usize) -> usize {
    ((CHOSEN_AFTER * steps as f64) as usize).max(1)
}

impl Rivals {
    /// The name of their losses in a checkpoint.
    pub(super) const LOSSES: &str = "rivals.losses";

    /// Those that the plan asks for, if any.
    pub(super) fn new(plan: &Plan, device: Device) -> Option<Self> {
        let restarts = plan.recipe.restarts;
        let start = |index| {
            let network = Network::of_plan(plan, index, device);
            let optimiser = Optimiser::new(&plan.recipe, &network);
            (network, optimiser)
        };
        (restarts > 0).then(|| Self {
            starts: (1..=restarts).map(start).collect(),
            losses: Tensor::zeros([1 + restarts as i64], (Kind::Float, device)),
        })
    }

    /// Lets each take the step that the first network took with this loss.
    pub(super) fn learn(&mut self, lesson: &Lesson<'_>, loss: &Tensor) {
        let rest = self
            .starts
            .iter_mut()
            .map(|(network, optimiser)| lesson.learn(network, optimiser).detach());
        let losses: Vec<Tensor> = [loss.detach()].into_iter().chain(rest).collect();
        let counts_from = (WARM_UP * steps_of_rivals(lesson.steps) as f64) as usize;
        if lesson.step >= counts_from {
            no_grad(|| self.losses += Tensor::stack(&losses, 0));
        }
    }

    /// The one with the least loss; none if that is the first network.
    pub(super) fn into_best(mut self) -> Option<(Network, Optimiser)> {
        // One whose loss is no longer a number is never the best.
        let losses = self.losses.nan_to_num(f64::INFINITY, None, None);
        let best = losses.argmin(0, false).int64_value(&[]) as usize;
        best.checked_sub(1)
            .map(|index| self.starts.swap_remove(index))
    }

    /// Everything that their next steps depend on.
    pub(super) fn state(&self) -> Vec<(String, &Tensor)> {
        let of_each = self
            .starts
            .iter()
            .zip(1..)
            .flat_map(|((network, optimiser), index)| {
                let state = network.state().into_iter().chain(optimiser.state());
                state.map(move |(name, tensor)| (format!("rival{index}.{name}"), tensor))
            });
        [(Self::LOSSES.to_owned(), &self.losses)]
            .into_iter()
            .chain(of_each)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{Dataset, Images};
    use crate::recipe::{Preset, Recipe, RecipeName};

    fn plan(restarts: usize, seed: u64) -> Plan {
        let images = Images::new(2, 2, vec![0; 8]).unwrap();
        let data = Dataset::new(images, vec![0, 1]).unwrap();
        let recipe = Recipe {
            restarts,
            ..RecipeName::Default.recipe()
        };
        Plan::new(Preset::Tiny, 2, recipe, seed, &data).unwrap()
    }

    fn weights(network: &Network) -> Vec<f32> {
        let (_, weight) = &network.state()[0];
        Vec::try_from(weight.view([-1])).unwrap()
    }

    #[test]
    fn every_start_is_another() {
        let of = |seed, restart| weights(&Network::of_plan(&plan(2, seed), restart, Device::Cpu));
        let starts = [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (0, 1)].map(|(s, r)| of(s, r));
        for (index, start) in starts.iter().enumerate() {
            assert!(!starts[..index].contains(start), "{index}");
        }
        // The first one doesn't depend on how many follow.
        assert_eq!(
            starts[0],
            weights(&Network::of_plan(&plan(0, 1), 0, Device::Cpu))
        );
    }

    #[test]
    fn the_least_loss_is_the_best() {
        assert!(Rivals::new(&plan(0, 1), Device::Cpu).is_none());
        for (losses, best) in [
            ([1.0f32, 2.0, 3.0], None),
            ([2.0, 1.0, 3.0], Some(1)),
            ([3.0, 2.0, 1.0], Some(2)),
            ([f32::NAN, 2.0, 3.0], Some(1)),
            ([2.0, f32::NAN, 3.0], None),
        ] {
            let mut rivals = Rivals::new(&plan(2, 1), Device::Cpu).unwrap();
            rivals.losses = Tensor::from_slice(&losses);
            let found = rivals.into_best().map(|(network, _)| weights(&network));
            let expected =
                best.map(|restart| weights(&Network::of_plan(&plan(2, 1), restart, Device::Cpu)));
            assert_eq!(found, expected, "{losses:?}");
        }
    }

    #[test]
    fn losses_count_after_the_warm_up() {
        let images = Tensor::ones([4, 4], (Kind::Float, Device::Cpu));
        let labels = Tensor::from_slice(&[0i64, 0, 1, 1]);
        let plan = plan(2, 1);
        let mut rivals = Rivals::new(&plan, Device::Cpu).unwrap();
        let mut before = rivals.losses.copy();
        assert_eq!(steps_of_rivals(100), 10);
        for step in 0..10 {
            let lesson = Lesson {
                recipe: &plan.recipe,
                images: &images,
                labels: &labels,
                step,
                steps: 100,
                rate: 1.0,
                rounds: false,
            };
            rivals.learn(&lesson, &Tensor::from(7.0f32));
            let added: Vec<f32> = Vec::try_from(&rivals.losses - &before).unwrap();
            before = rivals.losses.copy();
            let (own, others) = added.split_at(1);
            let (least, most) = if step < 5 { (0.0, 0.0) } else { (0.1, 6.9) };
            assert_eq!(own, [if step < 5 { 0.0 } else { 7.0 }], "{step}");
            assert!(
                others.iter().all(|loss| (least..=most).contains(loss)),
                "{added:?}"
            );
        }
    }
}
