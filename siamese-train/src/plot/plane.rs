//! Points of any dimension as points of the plane.

use crate::embed::points::Points;

/// Points of the plane, in real units, and what its axes are.
pub(super) struct Plane {
    pub points: Vec<(f64, f64)>,
    pub axes: [String; 2],
    /// Whether the axes have units; a map of neighbourhoods has none.
    pub units: bool,
    /// What must be known so as not to read more into the map than it shows.
    pub caution: String,
}

impl Plane {
    /// Two coordinates stay what they are; of more, the two principal
    /// components are taken, which show most of the variance.
    pub(super) fn new(points: &Points) -> Self {
        let unit = f64::from(points.unit());
        match points.dim() {
            1 => Self {
                points: points
                    .iter()
                    .map(|point| (f64::from(point[0]) * unit, 0.0))
                    .collect(),
                axes: [
                    "embedding".into(),
                    "(one-dimensional: no second coordinate)".into(),
                ],
                units: true,
                caution: String::new(),
            },
            2 => Self {
                points: points
                    .iter()
                    .map(|point| (f64::from(point[0]) * unit, f64::from(point[1]) * unit))
                    .collect(),
                axes: ["first coordinate".into(), "second coordinate".into()],
                units: true,
                caution: String::new(),
            },
            dim => Self::principal(points, unit, dim),
        }
    }

    fn principal(points: &Points, unit: f64, dim: usize) -> Self {
        let count = points.len().max(1) as f64;
        let mut mean = vec![0.0; dim];
        for point in points {
            for (mean, &coord) in mean.iter_mut().zip(point) {
                *mean += f64::from(coord) / count;
            }
        }
        let centred = |point: &[f32]| -> Vec<f64> {
            point
                .iter()
                .zip(&mean)
                .map(|(&coord, mean)| f64::from(coord) - mean)
                .collect()
        };
        let mut covariance = vec![vec![0.0; dim]; dim];
        for point in points {
            let point = centred(point);
            for (row, &a) in covariance.iter_mut().zip(&point) {
                for (cell, &b) in row.iter_mut().zip(&point) {
                    *cell += a * b / count;
                }
            }
        }
        let total: f64 = (0..dim).map(|axis| covariance[axis][axis]).sum();
        let components = largest_two(covariance);
        let onto = |point: &[f64], axis: &[f64]| -> f64 {
            point.iter().zip(axis).map(|(a, b)| a * b).sum::<f64>() * unit
        };
        let share = |rank: usize| {
            if total > 0.0 {
                100.0 * components[rank].0 / total
            } else {
                0.0
            }
        };
        let shown = share(0) + share(1);
        let name = |rank: usize| {
            let share = share(rank);
            format!(
                "principal component {} of {dim} coordinates ({share:.0} % of the variance)",
                rank + 1
            )
        };
        Self {
            points: points
                .iter()
                .map(|point| {
                    let point = centred(point);
                    (
                        onto(&point, &components[0].1),
                        onto(&point, &components[1].1),
                    )
                })
                .collect(),
            axes: [name(0), name(1)],
            units: true,
            caution: format!(
                "seen along the two widest of {dim} directions, {shown:.0} % of the variance: \
                 heaps that overlap here may lie apart"
            ),
        }
    }
}

/// The two largest eigenvalues of a symmetric matrix, with their unit vectors
/// (each with its largest entry positive), by Jacobi's rotations.
fn largest_two(mut matrix: Vec<Vec<f64>>) -> [(f64, Vec<f64>); 2] {
    let size = matrix.len();
    let mut vectors = vec![vec![0.0; size]; size];
    for (index, vector) in vectors.iter_mut().enumerate() {
        vector[index] = 1.0;
    }
    for _sweep in 0..50 {
        let off_diagonal: f64 = (0..size)
            .flat_map(|row| (0..row).map(move |column| (row, column)))
            .map(|(row, column)| matrix[row][column].powi(2))
            .sum();
        let diagonal: f64 = (0..size).map(|axis| matrix[axis][axis].powi(2)).sum();
        if off_diagonal <= 1e-24 * diagonal {
            break;
        }
        for p in 0..size {
            for q in p + 1..size {
                rotate(&mut matrix, &mut vectors, p, q);
            }
        }
    }
    let mut order: Vec<usize> = (0..size).collect();
    order.sort_by(|&a, &b| matrix[b][b].total_cmp(&matrix[a][a]));
    [order[0], order[1]].map(|axis| {
        let mut vector = vectors[axis].clone();
        let largest = vector
            .iter()
            .copied()
            .max_by(|a, b| a.abs().total_cmp(&b.abs()));
        if largest.is_some_and(|largest| largest < 0.0) {
            vector.iter_mut().for_each(|entry| *entry = -*entry);
        }
        (matrix[axis][axis], vector)
    })
}

/// One rotation, which makes the entry (p, q) zero. `vectors` holds one
/// eigenvector a row.
fn rotate(matrix: &mut [Vec<f64>], vectors: &mut [Vec<f64>], p: usize, q: usize) {
    let entry = matrix[p][q];
    if entry == 0.0 {
        return;
    }
    let theta = (matrix[q][q] - matrix[p][p]) / (2.0 * entry);
    let tangent = theta.signum() / (theta.abs() + theta.hypot(1.0));
    let cosine = 1.0 / tangent.hypot(1.0);
    let sine = tangent * cosine;
    let turn = |a: f64, b: f64| (cosine * a - sine * b, sine * a + cosine * b);
    for row in matrix.iter_mut() {
        (row[p], row[q]) = turn(row[p], row[q]);
    }
    for axis in 0..matrix.len() {
        (matrix[p][axis], matrix[q][axis]) = turn(matrix[p][axis], matrix[q][axis]);
        (vectors[p][axis], vectors[q][axis]) = turn(vectors[p][axis], vectors[q][axis]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn principal_components_find_the_plane() {
        // Points of a plane in four dimensions, three times as long as wide.
        let mut coords = Vec::new();
        for step in 0..100 {
            let angle = step as f32 * 0.0628;
            let (long, wide) = (3.0 * angle.cos(), angle.sin());
            coords.extend([0.6 * long + 5.0, 0.8 * long, wide, -1.0]);
        }
        let plane = Plane::new(&Points::new(4, coords).unwrap());
        assert!(plane.axes[0].contains("(90 %"), "{}", plane.axes[0]);
        assert!(plane.caution.contains("100 % of the variance"));
        for (step, &(x, y)) in plane.points.iter().enumerate() {
            let angle = step as f64 * 0.0628;
            assert!((x - 3.0 * angle.cos()).abs() < 0.02, "{x} at {step}");
            assert!((y - angle.sin()).abs() < 0.02, "{y} at {step}");
        }
    }

    #[test]
    fn identical_points_have_no_components_and_no_trouble() {
        let plane = Plane::new(&Points::new(3, vec![1.5; 30]).unwrap());
        assert!(
            plane
                .points
                .iter()
                .all(|&(x, y)| x.abs() < 1e-9 && y.abs() < 1e-9)
        );
    }
}
