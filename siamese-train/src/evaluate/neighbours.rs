//! Classification by the vote of the k nearest gallery points, by brute force.

use crate::dataset::Class;
use anyhow::{Result, ensure};
use rayon::prelude::*;

use super::columns::Columns;
use super::{Labelled, accuracy, check_dims};
use crate::embed::points::Points;

/// Gallery points that are compared at a time: their coordinates and distances
/// stay in the nearest caches while a tile of queries passes over them.
const BLOCK: usize = 512;
/// Queries that pass over a block at a time.
const TILE: usize = 32;

/// The fraction of queries that the vote of the k nearest gallery points puts
/// into the right class, for each k.
///
/// # Errors
/// As [`classify`].
pub fn knn(gallery: Labelled<'_>, queries: Labelled<'_>, ks: &[usize]) -> Result<Vec<f64>> {
    let predictions = classify(gallery, queries.points(), ks)?;
    Ok(predictions
        .iter()
        .map(|of_k| accuracy(of_k, queries.labels()))
        .collect())
}

/// [`knn`] of points among themselves, each by all the others.
///
/// # Errors
/// As [`classify_leave_one_out`].
pub fn knn_leave_one_out(points: Labelled<'_>, ks: &[usize]) -> Result<Vec<f64>> {
    let predictions = classify_leave_one_out(points, ks)?;
    Ok(predictions
        .iter()
        .map(|of_k| accuracy(of_k, points.labels()))
        .collect())
}

/// The class of every query by the vote of its k nearest gallery points: one
/// list of classes for each k.
///
/// Of points at the same distance, the one with the lower index is nearer. Of
/// classes with the same number of votes, the one with the nearest point wins.
/// A k beyond the gallery's size takes the whole gallery.
///
/// # Errors
/// If a k is zero, or the dimensions or scales differ.
pub fn classify(gallery: Labelled<'_>, queries: &Points, ks: &[usize]) -> Result<Vec<Vec<Class>>> {
    check_dims(gallery, queries)?;
    search(gallery, queries, ks, false)
}

/// [`classify`] of points among themselves, each by all the others.
///
/// # Errors
/// If a k is zero, or there is only one point.
pub fn classify_leave_one_out(points: Labelled<'_>, ks: &[usize]) -> Result<Vec<Vec<Class>>> {
    ensure!(points.len() > 1, "one point alone has no neighbours");
    search(points, points.points(), ks, true)
}

/// Both searches; with `leave_out`, query i is gallery point i and doesn't count.
fn search(
    gallery: Labelled<'_>,
    queries: &Points,
    ks: &[usize],
    leave_out: bool,
) -> Result<Vec<Vec<Class>>> {
    ensure!(
        ks.iter().all(|&k| k > 0),
        "k nearest neighbours need a k of at least 1"
    );
    let most = ks.iter().copied().max().unwrap_or(0).min(gallery.len());
    if most == 0 {
        return Ok(Vec::new());
    }
    let columns = Columns::new(gallery.points());
    let mut predictions = vec![vec![0; queries.len()]; ks.len()];
    let dim = queries.dim();
    let classes: Vec<Vec<Class>> = queries
        .coords()
        .par_chunks(TILE * dim)
        .enumerate()
        .flat_map_iter(|(tile, coords)| {
            let mut nearest: Vec<Nearest> = coords
                .chunks_exact(dim)
                .map(|_| Nearest::new(most))
                .collect();
            let mut distances = [0.0; BLOCK];
            for start in (0..columns.len()).step_by(BLOCK) {
                let distances = &mut distances[..BLOCK.min(columns.len() - start)];
                for (query, (point, nearest)) in
                    (tile * TILE..).zip(coords.chunks_exact(dim).zip(&mut nearest))
                {
                    columns.squared_distances(point, start, distances);
                    if leave_out
                        && let Some(own) = query.checked_sub(start)
                        && let Some(distance) = distances.get_mut(own)
                    {
                        *distance = f64::INFINITY;
                    }
                    nearest.take(start, distances);
                }
            }
            nearest.into_iter().map(|nearest| {
                ks.iter()
                    .map(|&k| nearest.vote(k, gallery.labels()))
                    .collect()
            })
        })
        .collect();
    for (query, of_query) in classes.iter().enumerate() {
        for (of_k, &class) in predictions.iter_mut().zip(of_query) {
            of_k[query] = class;
        }
    }
    Ok(predictions)
}

/// The nearest gallery points of one query so far, nearest first.
struct Nearest {
    most: usize,
    /// Squared distance and index.
    found: Vec<(f64, usize)>,
    /// A point must be nearer than this to come in.
    bound: f64,
}

impl Nearest {
    fn new(most: usize) -> Self {
        Self {
            most,
            found: Vec::with_capacity(most + 1),
            bound: f64::INFINITY,
        }
    }

    /// Takes the points `start..` with these distances in; points come in the
    /// order of their indices, so an equal distance never displaces.
    fn take(&mut self, start: usize, distances: &[f64]) {
        for (index, &distance) in (start..).zip(distances) {
            if distance < self.bound {
                let place = self.found.partition_point(|&(other, _)| other <= distance);
                self.found.insert(place, (distance, index));
                self.found.truncate(self.most);
                if self.found.len() == self.most {
                    self.bound = self.found[self.most - 1].0;
                }
            }
        }
    }

    /// The class with the most votes among the first `k`.
    fn vote(&self, k: usize, labels: &[Class]) -> Class {
        let voters = &self.found[..k.min(self.found.len())];
        let classes = || voters.iter().map(|&(_, index)| labels[index]);
        let votes = |class: Class| classes().filter(|&other| other == class).count();
        // Of equals `max_by_key` takes the last, and here the nearest wins.
        classes()
            .rev()
            .max_by_key(|&class| votes(class))
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, word for word.
    fn naive(gallery: Labelled<'_>, query: &[f32], k: usize, leave_out: Option<usize>) -> Class {
        let mut order: Vec<(f64, usize)> = gallery
            .points()
            .iter()
            .map(|point| {
                point
                    .iter()
                    .zip(query)
                    .map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2))
                    .sum()
            })
            .zip(0..)
            .filter(|&(_, index)| Some(index) != leave_out)
            .collect();
        order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        order.truncate(k);
        let classes: Vec<Class> = order
            .iter()
            .map(|&(_, index)| gallery.labels()[index])
            .collect();
        let votes = |class: Class| classes.iter().filter(|&&other| other == class).count();
        let most = classes.iter().map(|&class| votes(class)).max().unwrap();
        *classes.iter().find(|&&class| votes(class) == most).unwrap()
    }

    #[test]
    fn a_tie_of_votes_goes_to_the_nearest() {
        let points = Points::new(1, vec![1.0, 2.0, 3.0, 4.0]).unwrap();
        let gallery = Labelled::new(&points, &[7, 3, 3, 7]).unwrap();
        let query = Points::new(1, vec![0.0]).unwrap();
        let classes = classify(gallery, &query, &[1, 2, 3, 4, 99]).unwrap();
        assert_eq!(classes, [[7], [7], [3], [7], [7]]);
    }

    #[test]
    fn nonsense_is_refused() {
        let points = Points::new(1, vec![1.0]).unwrap();
        let gallery = Labelled::new(&points, &[0]).unwrap();
        assert!(classify(gallery, &points, &[0]).is_err());
        assert!(classify(gallery, &Points::new(2, vec![1.0; 2]).unwrap(), &[1]).is_err());
        assert!(classify_leave_one_out(gallery, &[1]).is_err());
        let scaled = Points::from_steps(1, 0.5, &[1]).unwrap();
        assert!(classify(gallery, &scaled, &[1]).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..Default::default() })]
        /// Few distinct coordinates, so that ties are everywhere; more points
        /// than a block, more queries than a tile.
        #[test]
        fn as_the_naive_search(
            dim in 1usize..4,
            coords in prop::collection::vec(-4i8..4, 3 * 700),
            labels in prop::collection::vec(0u16..4, 700),
        ) {
            let coords = coords.iter().map(|&coord| f32::from(coord)).take(700 * dim).collect();
            let points = Points::new(dim, coords).unwrap();
            let labelled = Labelled::new(&points, &labels).unwrap();
            let queries = points.subset(&(0..40).collect::<Vec<_>>());
            let ks = [1, 2, 5, 25];
            let found = classify(labelled, &queries, &ks).unwrap();
            let alone = classify_leave_one_out(labelled, &ks).unwrap();
            for (place, &k) in ks.iter().enumerate() {
                for (query, point) in queries.iter().enumerate() {
                    prop_assert_eq!(found[place][query], naive(labelled, point, k, None));
                    prop_assert_eq!(alone[place][query], naive(labelled, point, k, Some(query)));
                }
            }
        }
    }
    #[test]
    fn the_share_of_right_votes_for_each_k() {
        let points = Points::new(1, vec![0.0, 1.0, 10.0, 12.0]).unwrap();
        let gallery = Labelled::new(&points, &[0, 0, 1, 1]).unwrap();
        let queries = Points::new(1, vec![-1.0, 5.75, 9.0, 5.0]).unwrap();
        let queries = Labelled::new(&queries, &[0, 1, 1, 1]).unwrap();
        // The nearest of 5.75 is 10, and then come 1 and 0; of 5 it is 1.
        assert_eq!(knn(gallery, queries, &[1, 3]).unwrap(), [0.75, 0.5]);
        let points = Points::new(1, vec![0.0, 1.0, 2.0, 10.0, 3.0]).unwrap();
        let among = Labelled::new(&points, &[0, 0, 0, 1, 1]).unwrap();
        // By its nearest, 10 is right and 3 is not; by all others, neither is.
        assert_eq!(knn_leave_one_out(among, &[1, 4]).unwrap(), [0.8, 0.6]);
    }
}
