//! Classification by the vote of the k nearest gallery points, by brute force.

use anyhow::{Result, ensure};
use rayon::prelude::*;

use super::columns::Columns;
use super::{Labelled, accuracy, check_dims};
use crate::points::Points;

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
    Ok(predictions.iter().map(|of_k| accuracy(of_k, queries.labels())).collect())
}

/// [`knn`] of points among themselves, each by all the others.
///
/// # Errors
/// As [`classify_leave_one_out`].
pub fn knn_leave_one_out(points: Labelled<'_>, ks: &[usize]) -> Result<Vec<f64>> {
    let predictions = classify_leave_one_out(points, ks)?;
    Ok(predictions.iter().map(|of_k| accuracy(of_k, points.labels())).collect())
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
pub fn classify(gallery: Labelled<'_>, queries: &Points, ks: &[usize]) -> Result<Vec<Vec<u8>>> {
    check_dims(gallery, queries)?;
    search(gallery, queries, ks, false)
}

/// [`classify`] of points among themselves, each by all the others.
///
/// # Errors
/// If a k is zero, or there is only one point.
pub fn classify_leave_one_out(points: Labelled<'_>, ks: &[usize]) -> Result<Vec<Vec<u8>>> {
    ensure!(points.len() > 1, "one point alone has no neighbours");
    search(points, points.points(), ks, true)
}

/// Both searches; with `leave_out`, query i is gallery point i and doesn't count.
fn search(
    gallery: Labelled<'_>,
    queries: &Points,
    ks: &[usize],
    leave_out: bool,
) -> Result<Vec<Vec<u8>>> {
    ensure!(ks.iter().all(|&k| k > 0), "k nearest neighbours need a k of at least 1");
    let most = ks.iter().copied().max().unwrap_or(0).min(gallery.len());
    if most == 0 {
        return Ok(Vec::new());
    }
    let columns = Columns::new(gallery.points());
    let mut predictions = vec![vec![0; queries.len()]; ks.len()];
    let dim = queries.dim();
    let classes: Vec<Vec<u8>> = queries
        .coords()
        .par_chunks(TILE * dim)
        .enumerate()
        .flat_map_iter(|(tile, coords)| {
            let mut nearest: Vec<Nearest> =
                coords.chunks_exact(dim).map(|_| Nearest::new(most)).collect();
            let mut distances = [0.0; BLOCK];
            for start in (0..columns.len()).step_by(BLOCK) {
                let distances = &mut distances[..BLOCK.min(columns.len() - start)];
                for (query, (point, nearest)) in
                    (tile * TILE..).zip(coords.chunks_exact(dim).zip(&mut nearest))
                {
                    columns.squared_distances(point, start, distances);
                    if leave_out && let Some(own) = query.checked_sub(start)
                        && let Some(distance) = distances.get_mut(own)
                    {
                        *distance = f64::INFINITY;
                    }
                    nearest.take(start, distances);
                }
            }
            nearest.into_iter().map(|nearest| {
                ks.iter().map(|&k| nearest.vote(k, gallery.labels())).collect()
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
    fn vote(&self, k: usize, labels: &[u8]) -> u8 {
        let voters = &self.found[..k.min(self.found.len())];
        let mut votes = [0u32; 256];
        for &(_, index) in voters {
            votes[usize::from(labels[index])] += 1;
        }
        let most = votes.iter().copied().max().unwrap_or(0);
        voters
            .iter()
            .map(|&(_, index)| labels[index])
            .find(|&class| votes[usize::from(class)] == most)
            .unwrap_or(0)
    }
}
