//! The losses that let classes collapse, with their gradient in closed form: automatic
//! differentiation takes more than twice as many passes over all pairs of a batch, and
//! keeps every one of them in memory.

use tch::{Kind, Tensor, no_grad};

use crate::train::loss::of_one_class;

/// Stands for minus infinity where a pair must not count.
const NEVER: f64 = -1e9;

/// How alike two images at a distance `d` are, before it is related to all others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Similarity {
    /// `(1 + d²)` to the power of minus this tail.
    StudentT(f64),
    /// `exp(-d²)`.
    Gaussian,
}

/// `−log(s / Σ s)`, mean over the same-class pairs of a batch of embeddings `[images, dim]`
/// with classes `[images]`; the sum runs over all other images. 0 without such pairs.
pub(super) fn collapse(embeddings: &Tensor, labels: &Tensor, similarity: Similarity) -> Tensor {
    let (value, gradient) = no_grad(|| value_and_gradient(embeddings, labels, similarity));
    // Has this gradient, and adds nothing to the value.
    let slope = (embeddings * gradient).sum(Kind::Float);
    &slope - slope.detach() + value
}

/// With `p[i][j]` the share of image j in row i's sum, `same[i][j]` whether both are of
/// one class and `n[i]` the sum of its row, the loss falls with the logarithm of a pair's
/// similarity by `same[i][j] − n[i] p[i][j]`, over the number of pairs.
fn value_and_gradient(
    embeddings: &Tensor,
    labels: &Tensor,
    similarity: Similarity,
) -> (Tensor, Tensor) {
    // 1 + d², from one product: |a|² + 1 + |b|² − 2ab.
    let squares = embeddings.square().sum_dim_intlist(1i64, true, Kind::Float);
    let ones = squares.ones_like();
    let left = Tensor::cat(&[&(embeddings * -2.0), &(&squares + 1.0), &ones], 1);
    let right = Tensor::cat(&[embeddings, &ones, &squares], 1);
    let above_one = left.mm(&right.tr()).clamp_min_(1.0);
    let mut logs = match similarity {
        Similarity::StudentT(tail) => above_one.log() * -tail,
        // Rows are compared with their own sums, so that the 1 doesn't matter.
        Similarity::Gaussian => -&above_one,
    };
    let mut same = of_one_class(labels);
    let _ = logs.fill_diagonal_(NEVER, false);
    let _ = same.fill_diagonal_(0.0, false);
    let mut shares = logs.log_softmax(1, Kind::Float);
    let mates = same.sum_dim_intlist(1i64, true, Kind::Float);
    let pairs = mates.sum(Kind::Float).clamp_min(1.0);
    let value = -shares.view([-1]).dot(&same.view([-1])) / &pairs;

    // By each squared distance, but for the factor.
    let mut slopes = shares.exp_().g_mul_(&mates).g_sub_(&same);
    let factor = match similarity {
        Similarity::StudentT(tail) => {
            slopes = slopes.g_div_(&above_one);
            -tail
        }
        Similarity::Gaussian => -1.0,
    };
    // d² = |a − b|² pulls at a by 2 (a − b), and at b by as much the other way. The
    // column of ones gives the sums of rows and columns.
    let points = Tensor::cat(&[embeddings, &ones], 1);
    let dim = embeddings.size()[1];
    let pull = |slopes: &Tensor| {
        let products = slopes.mm(&points);
        embeddings * products.narrow(1, dim, 1) - products.narrow(1, 0, dim)
    };
    let gradient = (pull(&slopes) + pull(&slopes.tr())) * (2.0 * factor) / pairs;
    (value, gradient)
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    /// The same by the formula, to be differentiated automatically; in double precision.
    fn by_formula(embeddings: &Tensor, labels: &Tensor, similarity: Similarity) -> Tensor {
        let images = labels.size()[0];
        let difference = embeddings.unsqueeze(1) - embeddings.unsqueeze(0);
        let squared = difference
            .square()
            .sum_dim_intlist(2i64, false, Kind::Double);
        let logs = match similarity {
            Similarity::StudentT(tail) => squared.log1p() * -tail,
            Similarity::Gaussian => -squared,
        };
        let itself = Tensor::eye(images, (Kind::Double, Device::Cpu));
        let same = of_one_class(labels) - &itself;
        let total = (&logs + itself * NEVER).logsumexp(1i64, true);
        let sum = ((total - logs) * &same).sum(Kind::Double);
        sum / same.sum(Kind::Double).clamp_min(1.0)
    }

    fn check(points: &Tensor, labels: &[i64], similarity: Similarity) {
        let labels = Tensor::from_slice(labels);
        let learned = |kind| points.to_kind(kind).copy().set_requires_grad(true);
        let (single, double) = (learned(Kind::Float), learned(Kind::Double));
        let found = collapse(&single, &labels, similarity);
        let expected = by_formula(&double, &labels, similarity);
        // As a term among others, with a weight of its own.
        let whole = |loss: &Tensor, points: &Tensor| {
            let loss = loss * 3.0 + points.square().sum(points.kind());
            loss.backward();
            (loss.double_value(&[]), points.grad())
        };
        let (found, gradient) = whole(&found, &single);
        let (expected, by_autograd) = whole(&expected, &double);
        assert!(
            (found - expected).abs() < 1e-4 * expected.abs().max(1.0),
            "{similarity:?}: {found} instead of {expected}"
        );
        let error = (gradient - &by_autograd).abs().max().double_value(&[]);
        let size = by_autograd.abs().max().double_value(&[]);
        assert!(
            error < 1e-4 * size.max(1.0),
            "{similarity:?}: {error} of {size}"
        );
    }

    #[test]
    fn the_gradient_is_that_of_automatic_differentiation() {
        tch::manual_seed(1);
        for similarity in [
            Similarity::StudentT(3.0),
            Similarity::StudentT(0.5),
            Similarity::Gaussian,
        ] {
            for (dim, spread) in [(1, 1.0), (2, 0.01), (2, 3.0), (16, 1.0)] {
                let points = Tensor::randn([60, dim], (Kind::Float, Device::Cpu)) * spread;
                // Classes of different sizes, and one image that is alone in its class.
                let mut labels: Vec<i64> = (0..60).map(|i| (i * i) % 7).collect();
                labels[5] = 99;
                check(&points, &labels, similarity);
                // Two images at one place.
                points.get(3).copy_(&points.get(4));
                check(&points, &labels, similarity);
                // Nothing to bring together, and nothing to keep apart.
                check(&points, &(0..60).collect::<Vec<_>>(), similarity);
                check(&points, &[1; 60], similarity);
            }
        }
    }
}
