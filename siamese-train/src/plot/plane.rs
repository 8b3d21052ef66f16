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
        let Principal { middle, directions } = Principal::of(points, 2);
        let share = |rank: usize| 100.0 * directions[rank].share;
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
                    let along = |rank: usize| directions[rank].place(point, &middle) * unit;
                    (along(0), along(1))
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

/// The directions in which points spread most.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Principal {
    /// The mean of the points, in their own units.
    pub middle: Vec<f64>,
    /// The widest first.
    pub directions: Vec<Direction>,
}

/// A direction in which points spread.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Direction {
    /// The share of the variance along it; 0 if there is none.
    pub share: f64,
    /// A unit vector, with its largest entry positive.
    pub vector: Vec<f64>,
}

impl Principal {
    /// The widest directions, `count` of them at most.
    pub(crate) fn of(points: &Points, count: usize) -> Self {
        let (dim, number) = (points.dim(), points.len().max(1) as f64);
        let mut middle = vec![0.0; dim];
        for point in points {
            for (middle, &coord) in middle.iter_mut().zip(point) {
                *middle += f64::from(coord) / number;
            }
        }
        let mut covariance = vec![vec![0.0; dim]; dim];
        let mut centred = vec![0.0; dim];
        for point in points {
            for (axis, &coord) in point.iter().enumerate() {
                centred[axis] = f64::from(coord) - middle[axis];
            }
            for (row, a) in covariance.iter_mut().zip(&centred) {
                for (cell, b) in row.iter_mut().zip(&centred) {
                    *cell += a * b / number;
                }
            }
        }
        let total: f64 = (0..dim).map(|axis| covariance[axis][axis]).sum();
        let found = eigenvectors(covariance).into_iter().take(count);
        let directions = found.map(|(variance, vector)| Direction {
            share: if total > 0.0 { variance / total } else { 0.0 },
            vector,
        });
        Self {
            directions: directions.collect(),
            middle,
        }
    }
}

impl Direction {
    /// How far along it a point is, from the middle.
    fn place(&self, point: &[f32], middle: &[f64]) -> f64 {
        let steps = point.iter().zip(middle).zip(&self.vector);
        steps
            .map(|((&coord, middle), part)| (f64::from(coord) - middle) * part)
            .sum()
    }
}

/// The eigenvalues of a symmetric matrix, the largest first, with their unit vectors
/// (each with its largest entry positive), by Jacobi's rotations.
fn eigenvectors(mut matrix: Vec<Vec<f64>>) -> Vec<(f64, Vec<f64>)> {
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
    let ordered = order.into_iter().map(|axis| {
        let mut vector = vectors[axis].clone();
        let largest = vector
            .iter()
            .copied()
            .max_by(|a, b| a.abs().total_cmp(&b.abs()));
        if largest.is_some_and(|largest| largest < 0.0) {
            vector.iter_mut().for_each(|entry| *entry = -*entry);
        }
        (matrix[axis][axis], vector)
    });
    ordered.collect()
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
