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
    ensure!(
        classes.len() > 1,
        "a silhouette needs points of at least two classes"
    );

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
            if larger > 0.0 {
                (nearest_other - within) / larger
            } else {
                0.0
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Class;
    use crate::embed::points::Points;

    fn of(coords: &[f32], labels: &[Class]) -> Result<f64> {
        let points = Points::new(1, coords.to_vec()).unwrap();
        silhouette(Labelled::new(&points, labels).unwrap())
    }

    #[test]
    fn by_hand() {
        // Of 0: a = 1, b = (5 + 7) / 2 = 6. Of 1: a = 1, b = 5.
        // Of 5: a = 2, b = (5 + 4) / 2 = 4.5. Of 7: a = 2, b = 6.5.
        let expected = (5.0 / 6.0 + 4.0 / 5.0 + 2.5 / 4.5 + 4.5 / 6.5) / 4.0;
        // The order of the points makes no difference.
        for (coords, labels) in [
            ([0.0, 1.0, 5.0, 7.0], [2, 2, 8, 8]),
            ([5.0, 0.0, 7.0, 1.0], [1, 9, 1, 9]),
        ] {
            assert!((of(&coords, &labels).unwrap() - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn special_cases() {
        assert!(of(&[1.0, 2.0], &[3, 3]).is_err());
        assert_eq!(of(&[1.0, 2.0], &[3, 4]).unwrap(), 0.0);
        assert_eq!(of(&[1.0; 4], &[3, 3, 4, 4]).unwrap(), 0.0);
    }

    #[test]
    fn many_points_in_blocks() {
        // Two classes of 1300 points, each at one place: all silhouettes are 1.
        let coords: Vec<f32> = (0..2600).map(|i| (i % 2) as f32).collect();
        let labels: Vec<Class> = (0..2600).map(|i| (i % 2) as Class).collect();
        assert_eq!(of(&coords, &labels).unwrap(), 1.0);
    }
}
