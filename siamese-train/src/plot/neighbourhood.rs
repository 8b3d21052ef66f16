//! Maps of many coordinates that keep neighbours together: t-SNE (van der
//! Maaten and Hinton, "Visualizing Data using t-SNE", 2008).

use bhtsne::{Neighbor, tSNE};
use rayon::prelude::*;

use super::plane::Plane;
use crate::embed::points::Points;

/// Neighbours that a point is kept near to, in t-SNE's words its perplexity.
const PERPLEXITY: usize = 30;
/// Rounds of improvement, and those at the beginning that draw heaps together.
const ROUNDS: usize = 750;
const GATHERING: usize = 250;
/// The most points that make a map; others are put beside those that they are
/// nearest to.
const MOST: usize = 10_000;
/// The fewest that have neighbourhoods to speak of.
const FEWEST: usize = 12;
/// Points of the map that another one's place is the mean of.
const BESIDE: usize = 3;
/// The spread that a map begins with, small against what it ends with.
const START: f64 = 1e-4;

/// Rounds that [`place`] tells of.
pub(super) const fn rounds() -> usize {
    ROUNDS
}

/// Places points of more than two coordinates in the plane so that neighbours
/// stay neighbours. It begins with the principal plane and draws nothing at
/// random, so the same points give the same map. `told` is called after every
/// round. Few points are shown in the principal plane.
pub(super) fn place(points: &Points, told: impl FnMut() + Send) -> Plane {
    let mut plane = Plane::new(points);
    if points.dim() <= 2 || points.len() < FEWEST {
        return plane;
    }
    let step = points.len().div_ceil(MOST);
    let chosen: Vec<usize> = (0..points.len()).step_by(step).collect();
    let makers = points.subset(&chosen);
    let start: Vec<(f64, f64)> = chosen.iter().map(|&index| plane.points[index]).collect();
    let placed = embed(&makers, &start, told);
    plane.points = if step == 1 {
        placed
    } else {
        beside(points, &makers, &placed)
    };
    let dim = points.dim();
    plane.axes = [
        format!("neighbourhoods of {dim} coordinates (t-SNE)"),
        String::new(),
    ];
    plane.units = false;
    plane.caution = format!(
        "neighbours in {dim} coordinates are neighbours here (t-SNE); how far apart heaps lie, and \
         how wide they are, means nothing"
    );
    plane
}

/// t-SNE itself, from the places `start`.
fn embed(points: &Points, start: &[(f64, f64)], mut told: impl FnMut() + Send) -> Vec<(f64, f64)> {
    let perplexity = PERPLEXITY.min((points.len() - 1) / 3);
    let neighbours = nearest(points, points, 3 * perplexity, true);
    let spread = start.iter().map(|point| point.0.powi(2)).sum::<f64>() / start.len() as f64;
    let scale = START / spread.sqrt().max(f64::MIN_POSITIVE.sqrt());
    let start: Vec<f64> = start
        .iter()
        .flat_map(|&(x, y)| [scale * x, scale * y])
        .collect();
    let all: Vec<&[f32]> = points.iter().collect();
    let fit = || {
        let mut map: tSNE<'_, f64, &[f32], 2> = tSNE::new(&all);
        map.perplexity(perplexity as f64)
            .epochs(ROUNDS)
            .stop_lying_epoch(GATHERING)
            .momentum_switch_epoch(GATHERING)
            .initial_embedding(start)
            .epoch_callback(move |_, _| told())
            .fit_sne_with_neighbors(&neighbours);
        map.embedding()
    };
    // Several threads add up in another order each time, and the map would be another one.
    let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let placed = alone.expect("a thread can be started").install(fit);
    let (placed, _) = placed.as_chunks::<2>();
    placed.iter().map(|&[x, y]| (x, y)).collect()
}

/// Every point at the mean of the places of the map's points nearest to it.
fn beside(points: &Points, makers: &Points, placed: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let nearest = nearest(makers, points, BESIDE, false);
    let mean = |near: &Vec<Neighbor<f64>>| {
        // A point of the map stays where it is.
        let near = match near.first() {
            Some(first) if first.distance == 0.0 => &near[..1],
            _ => near.as_slice(),
        };
        let count = near.len().max(1) as f64;
        let places = near.iter().map(|neighbour| placed[neighbour.index]);
        let sum = places.fold((0.0, 0.0), |sum, (x, y)| (sum.0 + x, sum.1 + y));
        (sum.0 / count, sum.1 / count)
    };
    nearest.iter().map(mean).collect()
}

/// The `count` points of `gallery` that are nearest to each of `queries`, the
/// nearest first; with `others`, both are the same and a point is no neighbour
/// of itself.
fn nearest(
    gallery: &Points,
    queries: &Points,
    count: usize,
    others: bool,
) -> Vec<Vec<Neighbor<f64>>> {
    let of = |(query, point): (usize, &[f32])| {
        let distances = gallery.iter().enumerate();
        let mut distances: Vec<(f32, usize)> = distances
            .filter(|&(index, _)| !(others && index == query))
            .map(|(index, other)| {
                let parts = point.iter().zip(other);
                (parts.map(|(a, b)| (a - b) * (a - b)).sum(), index)
            })
            .collect();
        let order = |a: &(f32, usize), b: &(f32, usize)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
        let count = count.min(distances.len());
        if count < distances.len() {
            distances.select_nth_unstable_by(count, order);
            distances.truncate(count);
        }
        distances.sort_unstable_by(order);
        let near = distances.into_iter().map(|(squared, index)| Neighbor {
            index,
            distance: f64::from(squared).sqrt(),
        });
        near.collect()
    };
    let queries: Vec<&[f32]> = queries.iter().collect();
    queries.into_par_iter().enumerate().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Eight heaps at the corners of a cube, and 20 points in each: in the
    /// principal plane of a cube corners lie on each other.
    fn heaps() -> (Points, Vec<usize>) {
        let mut coords = Vec::new();
        let mut heaps = Vec::new();
        for index in 0..160usize {
            let heap = index % 8;
            for axis in 0..3 {
                let noise = ((index * 7919 + axis * 104_729) % 1009) as f32 / 1009.0;
                coords.push(10.0 * (heap >> axis & 1) as f32 + noise);
            }
            heaps.push(heap);
        }
        (Points::new(3, coords).unwrap(), heaps)
    }

    /// The part of the points whose nearest neighbour is of their heap.
    fn together(places: &[(f64, f64)], heaps: &[usize]) -> f64 {
        let coords = places.iter().flat_map(|&(x, y)| [x as f32, y as f32]);
        let places = Points::new(2, coords.collect()).unwrap();
        let nearest = nearest(&places, &places, 1, true);
        let right = nearest
            .iter()
            .zip(heaps)
            .filter(|(near, heap)| heaps[near[0].index] == **heap);
        right.count() as f64 / heaps.len() as f64
    }

    #[test]
    fn heaps_stay_heaps_and_the_map_is_the_same_again() {
        let (points, heaps) = heaps();
        let mut rounds = 0;
        let map = place(&points, || rounds += 1);
        assert_eq!(rounds, ROUNDS);
        assert_eq!(together(&map.points, &heaps), 1.0);
        assert_eq!(map.points, place(&points, || {}).points);
        assert!(!map.units && map.caution.contains("means nothing"));
    }

    #[test]
    fn points_that_make_no_map_stand_beside_their_nearest() {
        let (points, _) = heaps();
        let makers = points.subset(&(0..80).collect::<Vec<_>>());
        let places: Vec<(f64, f64)> = (0..80).map(|i| (f64::from(i), 0.0)).collect();
        let all = beside(&points, &makers, &places);
        assert_eq!(all[..80], places);
        // Point 80 + i is of the heap of point i, all of which are i mod 8.
        for (index, &(x, _)) in all.iter().enumerate().skip(80) {
            let members = (index % 8) as f64;
            assert!(x >= members && x <= members + 72.0);
        }
    }

    #[test]
    fn two_coordinates_and_few_points_are_left_alone() {
        let flat = Points::new(2, vec![1.0; 60]).unwrap();
        assert!(place(&flat, || {}).units);
        let few = Points::new(3, vec![1.0; 9]).unwrap();
        assert!(place(&few, || {}).units);
        let same = Points::new(3, vec![1.0; 90]).unwrap();
        assert!(
            place(&same, || {})
                .points
                .iter()
                .all(|p| p.0.is_finite() && p.1.is_finite())
        );
    }
}
