//! How good an embedding is.
//!
//! Two questions are asked of the same points. *Which class?* is answered from
//! a gallery of known points, by [`neighbours`] and by [`centroid`]. *Same or
//! different?* is asked of every pair of query points, and [`verification`]
//! counts how well their distance answers it. [`silhouette()`] says how well
//! the classes stand apart in space.
//!
//! Everything here is exact: no sampling, no approximate search, and integer
//! embeddings are compared by integer distances.

pub mod centroid;
mod columns;
pub mod confusion;
pub mod few_shot;
pub mod neighbours;
mod silhouette;
pub mod verification;

use crate::dataset::Class;
use anyhow::{Result, ensure};
use serde::Serialize;

use crate::embed::points::Points;

pub use confusion::Confusion;
pub use silhouette::silhouette;
pub use verification::Verification;

/// Points and the class of each.
#[derive(Debug, Clone, Copy)]
pub struct Labelled<'a> {
    points: &'a Points,
    labels: &'a [Class],
}

impl<'a> Labelled<'a> {
    /// Joins points and labels.
    ///
    /// # Errors
    /// If their numbers differ or there are none.
    pub fn new(points: &'a Points, labels: &'a [Class]) -> Result<Self> {
        ensure!(
            points.len() == labels.len(),
            "there are {} points and {} labels",
            points.len(),
            labels.len()
        );
        ensure!(!points.is_empty(), "there are no points");
        Ok(Self { points, labels })
    }

    /// The points.
    #[must_use]
    pub const fn points(&self) -> &'a Points {
        self.points
    }

    /// One class a point, in the points' order.
    #[must_use]
    pub const fn labels(&self) -> &'a [Class] {
        self.labels
    }

    /// The number of points, at least 1.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.labels.len()
    }

    /// Always false; there is at least one point.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        false
    }
}

/// The quality of an embedding in nine numbers. All but `images` are fractions;
/// all but `eer` are better when they are larger. The silhouette alone can be
/// negative.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Metrics {
    /// Fraction of queries whose nearest gallery point is of their class.
    pub knn1: f64,
    /// The same by the vote of the 5 nearest.
    pub knn5: f64,
    /// The same by the vote of the 25 nearest.
    pub knn25: f64,
    /// Fraction of queries whose nearest class mean is that of their class.
    pub centroid: f64,
    /// Area under the ROC curve of same-or-different decisions.
    pub auc: f64,
    /// Error rate of such decisions where both kinds of error are equal.
    pub eer: f64,
    /// Fraction of same pairs that are accepted where at most 1 in 1000
    /// different pairs is.
    pub tar_at_far_1e3: f64,
    /// Mean silhouette of the queries.
    pub silhouette: f64,
    /// The number of queries.
    pub images: usize,
}

/// The numbers, and what pictures and longer reports need besides.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// The numbers.
    pub metrics: Metrics,
    /// The same-or-different decisions in full.
    pub verification: Verification,
    /// Which class was taken for which, by the vote of the 25 nearest.
    pub confusion: Confusion,
}

/// Checks that queries with these labels can be evaluated: without the points,
/// before anything is trained that is to make them.
///
/// # Errors
/// If they hold no pair of one class, or none of two.
pub fn check_labels(labels: &[Class]) -> Result<()> {
    let mut sorted = labels.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let classes = sorted.len();
    ensure!(
        classes > 1 && classes < labels.len(),
        "same-or-different decisions need images of at least two classes, and two images of one \
         of them; these are {} of {classes}",
        labels.len()
    );
    Ok(())
}

/// Evaluates `queries` against `gallery`, in memory for the points and about 150 MB
/// more, however many they are. Takes 2 to 5 s for 10,000 queries and 60,000 gallery
/// points on two cores.
///
/// # Errors
/// If the two have different dimensions, or the queries hold no same or no
/// different pair.
pub fn evaluate(gallery: Labelled<'_>, queries: Labelled<'_>) -> Result<Evaluation> {
    let predictions = neighbours::classify(gallery, queries.points(), &[1, 5, 25])?;
    let by_centroid = centroid::classify(gallery, queries.points())?;
    summarise(queries, &predictions, &by_centroid)
}

/// Evaluates points against the others of the same set: each is classified by
/// all points but itself. For sets that come without a gallery. The class means
/// are those of the whole set.
///
/// # Errors
/// As [`evaluate`].
pub fn evaluate_leave_one_out(points: Labelled<'_>) -> Result<Evaluation> {
    let predictions = neighbours::classify_leave_one_out(points, &[1, 5, 25])?;
    let by_centroid = centroid::classify(points, points.points())?;
    summarise(points, &predictions, &by_centroid)
}

/// Puts the numbers together; `knn` are the predictions for k = 1, 5 and 25.
fn summarise(queries: Labelled<'_>, knn: &[Vec<Class>], centroid: &[Class]) -> Result<Evaluation> {
    let verification = Verification::of(queries)?;
    let right = |predictions: &[Class]| accuracy(predictions, queries.labels());
    let metrics = Metrics {
        knn1: right(&knn[0]),
        knn5: right(&knn[1]),
        knn25: right(&knn[2]),
        centroid: right(centroid),
        auc: verification.auc,
        eer: verification.eer,
        tar_at_far_1e3: verification.tar_at_far_1e3,
        silhouette: silhouette(queries)?,
        images: queries.len(),
    };
    let confusion = Confusion::new(queries.labels(), &knn[2]);
    Ok(Evaluation {
        metrics,
        verification,
        confusion,
    })
}

/// The fraction of predictions that are right; 0 if there are none.
#[must_use]
pub fn accuracy(predictions: &[Class], labels: &[Class]) -> f64 {
    let right = predictions
        .iter()
        .zip(labels)
        .filter(|(a, b)| a == b)
        .count();
    right as f64 / labels.len().max(1) as f64
}

/// Refuses points of different dimensions.
fn check_dims(gallery: Labelled<'_>, queries: &Points) -> Result<()> {
    ensure!(
        gallery.points().dim() == queries.dim(),
        "the gallery has {} coordinates and the queries have {}",
        gallery.points().dim(),
        queries.dim()
    );
    ensure!(
        gallery.points().unit() == queries.unit(),
        "the gallery and the queries have different scales; embed both with one model"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_perfect_map_has_perfect_numbers() {
        let steps: Vec<i16> = (0..300).flat_map(|i| [(i % 3) * 1000, i / 3]).collect();
        let labels: Vec<Class> = (0..300).map(|i| (i % 3) as Class).collect();
        let points = Points::from_steps(2, 0.01, &steps).unwrap();
        let labelled = Labelled::new(&points, &labels).unwrap();
        assert!(!labelled.is_empty());
        for evaluation in [
            evaluate(labelled, labelled).unwrap(),
            evaluate_leave_one_out(labelled).unwrap(),
        ] {
            let metrics = evaluation.metrics;
            assert_eq!((metrics.knn1, metrics.knn5, metrics.knn25), (1.0, 1.0, 1.0));
            assert_eq!(
                (metrics.centroid, metrics.auc, metrics.eer),
                (1.0, 1.0, 0.0)
            );
            assert_eq!((metrics.tar_at_far_1e3, metrics.images), (1.0, 300));
            assert!(metrics.silhouette > 0.9 && metrics.silhouette < 1.0);
            assert!(evaluation.confusion.mistakes().is_empty());
            // The largest distance within a class, in real units.
            assert!((evaluation.verification.eer_distance - 0.99).abs() < 1e-6);
        }
    }

    #[test]
    fn the_keys_are_those_of_the_contract() {
        let metrics = Metrics {
            knn1: 0.1,
            knn5: 0.2,
            knn25: 0.3,
            centroid: 0.4,
            auc: 0.5,
            eer: 0.6,
            tar_at_far_1e3: 0.7,
            silhouette: 0.8,
            images: 9,
        };
        assert_eq!(
            serde_json::to_string(&metrics).unwrap(),
            "{\"knn1\":0.1,\"knn5\":0.2,\"knn25\":0.3,\"centroid\":0.4,\"auc\":0.5,\"eer\":0.6,\
             \"tar_at_far_1e3\":0.7,\"silhouette\":0.8,\"images\":9}"
        );
    }

    #[test]
    fn labels_that_can_t_be_evaluated_are_known_before_the_points() {
        for labels in [&[3, 3, 3][..], &[3, 4, 5], &[3], &[]] {
            assert!(check_labels(labels).is_err(), "{labels:?}");
        }
        check_labels(&[3, 4, 3]).unwrap();
    }
}
