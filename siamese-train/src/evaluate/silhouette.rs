//! The silhouette: how much nearer a point is to its own class than to the
//! next one (Rousseeuw, 1987).

use anyhow::{Result, ensure};
use rayon::prelude::*;

use super::Labelled;
use super::columns::Columns;

/// Points whose distances are computed at a time.
const BLOCK: usize = 512;

/// The mean silhouette over all points, in −1..=1, by Euclidean distance.
///
/// Of a point, `a` is the mean distance to the others of its class and `b` the
/// smallest mean distance to another class; its silhouette is `(b − a) /
/// max(a, b)`, and 0 if it is alone in its class or both are 0. Quadratic in
/// the number of points.
///
/// # Errors
/// If there is only one class.
pub fn silhouette(points: Labelled<'_>) -> Result<f64> {
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by_key(|&index| points.labels()[index]);
    let classes: Vec<&[usize]> = order
        .chunk_by(|&a, &b| points.labels()[a] == points.labels()[b])
        .collect();
    ensure!(classes.len() > 1, "a silhouette needs points of at least two classes");

    // Class after class, so that a class is one range of columns.
    let sorted = points.points().subset(&order);
    let columns = Columns::new(&sorted);
    let mut own_class = Vec::with_capacity(points.len());
    for (class, members) in classes.iter().enumerate() {
        own_class.extend(members.iter().map(|_| class));
    }

    let silhouettes: Vec<f64> = own_class
        .par_iter()
        .enumerate()
        .map(|(index, &own)| {
            let mut start = 0;
            let (mut within, mut nearest_other) = (0.0, f64::INFINITY);
            for (class, members) in classes.iter().enumerate() {
                let sum = sum_of_distances(&columns, sorted.get(index), start, members.len());
                start += members.len();
                if class != own {
                    nearest_other = f64::min(nearest_other, sum / members.len() as f64);
                } else if members.len() > 1 {
                    // The distance to itself adds nothing.
                    within = sum / (members.len() - 1) as f64;
                } else {
                    return 0.0;
                }
            }
            let larger = f64::max(within, nearest_other);
            if larger > 0.0 { (nearest_other - within) / larger } else { 0.0 }
        })
        .collect();
    Ok(silhouettes.iter().sum::<f64>() / points.len() as f64)
}

/// The sum of the distances from `point` to the points `start..start + length`.
fn sum_of_distances(columns: &Columns, point: &[f32], start: usize, length: usize) -> f64 {
    let mut distances = [0.0; BLOCK];
    (0..length)
        .step_by(BLOCK)
        .map(|offset| {
            let distances = &mut distances[..BLOCK.min(length - offset)];
            columns.squared_distances(point, start + offset, distances);
            // Roots first, in a loop of their own: sums can't be reordered.
            for distance in &mut *distances {
                *distance = distance.sqrt();
            }
            distances.iter().sum::<f64>()
        })
        .sum()
}
