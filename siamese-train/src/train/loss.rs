//! The losses: what makes digits of one class fall together.

use std::cell::LazyCell;

use tch::{Kind, Tensor};

use crate::recipe::{Loss, Pairing, Recipe, Term, Weighting};
use crate::train::collapse::{Similarity, collapse};

/// Added under the square root of a distance, whose slope at 0 is infinite.
const TINY: f64 = 1e-8;
/// Images that each same-class pair is compared with as a triplet.
const FOLLOWERS: i64 = 9;

/// The pairs of a batch, `[rows, columns]` or `[pairs]`.
struct Pairs {
    /// Squared distances.
    squared: Tensor,
    /// 1 where both images are of one class, else 0; never both images the same.
    same: Tensor,
    /// 1 where the classes differ, else 0.
    different: Tensor,
}

/// The loss of a batch of embeddings `[images, dim]` with classes `[images]`.
pub fn loss(recipe: &Recipe, embeddings: &Tensor, labels: &Tensor) -> Tensor {
    // Few losses need them.
    let pairs = LazyCell::new(|| match recipe.pairing {
        Pairing::All => all_pairs(embeddings, labels),
        Pairing::Drawn => drawn_pairs(embeddings, labels),
    });
    let Loss(terms) = &recipe.loss;
    let value = |term: Term| match term {
        Term::Contrastive => pairs.contrastive(recipe),
        Term::StudentT => collapse(embeddings, labels, Similarity::StudentT(recipe.tail)),
        Term::Gaussian => collapse(embeddings, labels, Similarity::Gaussian),
        Term::Triplet => pairs.triplets(recipe.margin),
        Term::Prototypical => prototypical(embeddings, labels, recipe.tail),
    };
    terms
        .iter()
        .map(|&(weight, term)| weight * value(term))
        .reduce(|sum, term| sum + term)
        .unwrap_or_else(|| embeddings.sum(Kind::Float) * 0.0)
}

/// Whether a batch of images with these labels has a pair that the loss learns
/// from. Two of one class make one for every loss. Two of different classes are
/// enough for the contrastive loss alone.
#[must_use]
pub fn has_something_to_compare(recipe: &Recipe, labels: &[i64]) -> bool {
    let Loss(terms) = &recipe.loss;
    let contrastive = terms.iter().any(|(_, term)| *term == Term::Contrastive);
    match recipe.pairing {
        Pairing::Drawn => contrastive && !labels.is_empty(),
        Pairing::All => {
            let mut labels = labels.to_vec();
            labels.sort_unstable();
            let count = labels.len();
            labels.dedup();
            labels.len() > 1 && (contrastive || labels.len() < count)
        }
    }
}

/// Cross-entropy of every image's class by the distances to the classes' means,
/// the image left out of its own; mean over the images whose class has another.
fn prototypical(embeddings: &Tensor, labels: &Tensor, tail: f64) -> Tensor {
    let alike = of_one_class(labels);
    let count = alike.sum_dim_intlist(1i64, true, Kind::Float);
    let sums = alike.mm(embeddings);
    let own_mean = (&sums - embeddings) / (&count - 1.0).clamp_min(1.0);
    let own_logit = (embeddings - own_mean)
        .square()
        .sum_dim_intlist(1i64, true, Kind::Float)
        * -tail;
    // A class has as many columns as images, each with its part of the weight.
    let logits = squared_distances(embeddings, &(sums / &count)) * -tail;
    let logits: Tensor = &own_logit * &alike + logits * (1.0 - &alike) - count.log().tr();
    let total = logits.logsumexp(1i64, true);
    mean(&(total - own_logit), &count.gt(1.0).to_kind(Kind::Float))
}

/// 1 where two images are of one class, themselves included, `[images, images]`.
pub(super) fn of_one_class(labels: &Tensor) -> Tensor {
    labels
        .unsqueeze(1)
        .eq_tensor(&labels.unsqueeze(0))
        .to_kind(Kind::Float)
}

/// Squared distances between the rows of two matrices.
fn squared_distances(from: &Tensor, to: &Tensor) -> Tensor {
    let squares = |points: &Tensor| points.square().sum_dim_intlist(1i64, true, Kind::Float);
    let squared: Tensor = squares(from) + squares(to).tr() - from.mm(&to.tr()) * 2.0;
    squared.clamp_min(0.0)
}

/// Every two images. Each pair stands twice, as (a, b) and (b, a).
fn all_pairs(embeddings: &Tensor, labels: &Tensor) -> Pairs {
    let squared = squared_distances(embeddings, embeddings);
    let same = of_one_class(labels);
    let different = 1.0 - &same;
    let itself = Tensor::eye(labels.size()[0], (Kind::Float, labels.device()));
    Pairs {
        squared,
        same: same - itself,
        different,
    }
}

/// Image i of the first half with image i of the second.
fn drawn_pairs(embeddings: &Tensor, labels: &Tensor) -> Pairs {
    let halves = embeddings.chunk(2, 0);
    let classes = labels.chunk(2, 0);
    let squared = (&halves[0] - &halves[1])
        .square()
        .sum_dim_intlist(1i64, false, Kind::Float);
    let same = classes[0].eq_tensor(&classes[1]).to_kind(Kind::Float);
    let different = 1.0 - &same;
    Pairs {
        squared,
        same,
        different,
    }
}

impl Pairs {
    fn contrastive(&self, recipe: &Recipe) -> Tensor {
        let distance = (&self.squared + TINY).sqrt();
        let gap = (recipe.margin - distance).clamp_min(0.0).square();
        match recipe.weighting {
            Weighting::Counted => {
                let sum = (&self.squared * &self.same + gap * &self.different).sum(Kind::Float);
                sum / (self.same.sum(Kind::Float) + self.different.sum(Kind::Float))
            }
            Weighting::Halves => {
                0.5 * mean(&self.squared, &self.same) + 0.5 * mean(&gap, &self.different)
            }
        }
    }

    /// For each same-class pair (anchor, other), the images that follow the
    /// other in the batch serve as the different one, where they are: all
    /// triplets would be too many, and the hardest alone let the map collapse.
    fn triplets(&self, margin: f64) -> Tensor {
        let distance = (&self.squared + TINY).sqrt();
        let mut sum = Tensor::zeros([], (Kind::Float, distance.device()));
        let mut count = sum.zeros_like();
        for offset in 1..=FOLLOWERS {
            let follower = distance.roll(-offset, 1);
            let counts = &self.same * self.different.roll(-offset, 1);
            let violation = (&distance - follower + margin).clamp_min(0.0) * counts;
            count += violation.gt(0.0).to_kind(Kind::Float).sum(Kind::Float);
            sum += violation.sum(Kind::Float);
        }
        sum / count.clamp_min(1.0)
    }
}

/// The mean of the values where `mask` is 1; 0 if it is nowhere.
fn mean(values: &Tensor, mask: &Tensor) -> Tensor {
    (values * mask).sum(Kind::Float) / mask.sum(Kind::Float).clamp_min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::RecipeName;

    const TAIL: f64 = 2.0;

    fn value(loss_text: &str, weighting: Weighting, pairing: Pairing) -> f64 {
        // Two images of class 0 at distance 1, two of class 1 at distance 2.
        let points =
            Tensor::from_slice(&[0.0f32, 0.0, 0.0, 1.0, 3.0, 0.0, 3.0, 2.0]).reshape([4, 2]);
        let recipe = Recipe {
            loss: loss_text.parse().unwrap(),
            weighting,
            pairing,
            tail: TAIL,
            ..RecipeName::Original.recipe()
        };
        loss(&recipe, &points, &Tensor::from_slice(&[0i64, 0, 1, 1])).double_value(&[])
    }

    /// `max(0, 5 − d)²` of the four different pairs.
    fn gaps() -> [f64; 4] {
        [9.0f64, 13.0, 10.0, 10.0].map(|squared| (5.0 - squared.sqrt()).powi(2))
    }

    fn close(found: f64, expected: f64) {
        assert!(
            (found - expected).abs() < 1e-4,
            "{found} instead of {expected}"
        );
    }

    #[test]
    fn contrastive_of_all_pairs() {
        let gap_sum: f64 = gaps().iter().sum();
        let balanced = value("contrastive", Weighting::Halves, Pairing::All);
        close(balanced, 0.5 * (1.0 + 4.0) / 2.0 + 0.5 * gap_sum / 4.0);
        let random = value("contrastive", Weighting::Counted, Pairing::All);
        close(random, (1.0 + 4.0 + gap_sum) / 6.0);
    }

    #[test]
    fn contrastive_of_drawn_pairs_is_the_originals() {
        // Image 0 with 2 (distance 3) and 1 with 3 (distance sqrt(10)).
        let found = value("contrastive", Weighting::Counted, Pairing::Drawn);
        close(found, (4.0 + (5.0 - 10.0f64.sqrt()).powi(2)) / 2.0);
    }

    #[test]
    fn student_t_collapse() {
        let similarity = |squared: f64| (1.0 + squared).powf(-TAIL);
        let term = |own: f64, others: [f64; 2]| {
            let own = similarity(own);
            -(own / (own + others.map(similarity).iter().sum::<f64>())).ln()
        };
        let expected = [
            term(1.0, [9.0, 13.0]),
            term(1.0, [10.0, 10.0]),
            term(4.0, [9.0, 10.0]),
            term(4.0, [13.0, 10.0]),
        ];
        let found = value("student-t", Weighting::Halves, Pairing::All);
        close(found, expected.iter().sum::<f64>() / 4.0);
    }

    #[test]
    fn triplets_by_hand() {
        // Followers at offsets 1 to 9 of image 1 are 2, 3, 0, 1, 2, 3, ...:
        // for (0, 1) the different ones are 2 three times and 3 twice, and so
        // on round the batch of four.
        let violation = |same: f64, squared: f64| (same - squared.sqrt() + 5.0).max(0.0);
        let follow = |same: f64, near: f64, far: f64, times: (f64, f64)| {
            times.0 * violation(same, near) + times.1 * violation(same, far)
        };
        let sum = follow(1.0, 9.0, 13.0, (3.0, 2.0))
            + follow(1.0, 10.0, 10.0, (2.0, 2.0))
            + follow(2.0, 9.0, 10.0, (3.0, 2.0))
            + follow(2.0, 13.0, 10.0, (2.0, 2.0));
        let count = 18.0;
        let found = value("triplet", Weighting::Halves, Pairing::All);
        close(found, sum / count);
    }

    #[test]
    fn prototypical_by_hand() {
        // Each image's own mean is the other image of its class; the other
        // class's mean is (3, 1), or (0, 0.5).
        let term = |own: f64, other: f64| -> f64 {
            let [own, other] = [own, other].map(|squared| (-TAIL * squared).exp());
            -(own / (own + other)).ln()
        };
        let expected = [
            term(1.0, 10.0),
            term(1.0, 9.0),
            term(4.0, 9.25),
            term(4.0, 11.25),
        ];
        let found = value("prototypical", Weighting::Halves, Pairing::All);
        close(found, expected.iter().sum::<f64>() / 4.0);
    }

    #[test]
    fn terms_add_with_their_weights() {
        let weighting = Weighting::Halves;
        let sum = value("student-t+2*contrastive", weighting, Pairing::All);
        let parts = value("student-t", weighting, Pairing::All)
            + 2.0 * value("contrastive", weighting, Pairing::All);
        close(sum, parts);
    }

    #[test]
    fn coinciding_points_have_finite_gradients() {
        let points = Tensor::zeros([4, 2], (Kind::Float, tch::Device::Cpu)).set_requires_grad(true);
        let recipe = RecipeName::Default.recipe();
        loss(&recipe, &points, &Tensor::from_slice(&[0i64, 0, 1, 1])).backward();
        assert!(points.grad().isfinite().all().int64_value(&[]) == 1);
    }

    #[test]
    fn what_is_masked_wholly_is_noticed() {
        let recipe = |loss: &str, pairing| Recipe {
            loss: loss.parse().unwrap(),
            pairing,
            ..RecipeName::Default.recipe()
        };
        for loss_text in ["prototypical", "triplet", "student-t", "gaussian"] {
            let recipe = recipe(loss_text, Pairing::All);
            assert!(has_something_to_compare(&recipe, &[3, 1, 2, 3]));
            for labels in [&[3, 1, 2, 4], &[3, 3, 3, 3]] {
                assert!(!has_something_to_compare(&recipe, labels), "{loss_text}");
                // Which is why: nothing comes out of it.
                let points = Tensor::from_slice(&[0.0f32, 0.0, 0.0, 1.0, 3.0, 0.0, 3.0, 2.0]);
                let value = loss(
                    &recipe,
                    &points.reshape([4, 2]),
                    &Tensor::from_slice(labels),
                );
                assert!(value.double_value(&[]) == 0.0 || labels[0] == labels[1]);
            }
        }
        let contrastive = recipe("contrastive", Pairing::All);
        assert!(has_something_to_compare(&contrastive, &[3, 1, 2, 4]));
        assert!(has_something_to_compare(
            &RecipeName::Original.recipe(),
            &[3, 1, 2, 4]
        ));
    }
}
