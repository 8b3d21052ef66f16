//! Classification by the nearest class mean, as a device with one prototype a
//! class does it.

use crate::dataset::{Class, class_slots};
use anyhow::Result;

use super::{Labelled, accuracy, check_dims};
use crate::embed::points::Points;

/// The mean point of a class.
#[derive(Debug, Clone, PartialEq)]
pub struct Centroid {
    /// The class.
    pub class: Class,
    /// Its mean, one number a coordinate, in the points' own unit.
    pub mean: Vec<f64>,
}

/// The mean of every class that occurs, classes ascending.
#[must_use]
pub fn centroids(points: Labelled<'_>) -> Vec<Centroid> {
    let dim = points.points().dim();
    let mut sums = vec![(0u64, vec![0.0; dim]); class_slots(points.labels())];
    for (point, &class) in points.points().iter().zip(points.labels()) {
        let (count, sum) = &mut sums[usize::from(class)];
        *count += 1;
        for (sum, &coord) in sum.iter_mut().zip(point) {
            *sum += f64::from(coord);
        }
    }
    (0..=Class::MAX)
        .zip(sums)
        .filter(|(_, (count, _))| *count > 0)
        .map(|(class, (count, sum))| Centroid {
            class,
            mean: sum.into_iter().map(|sum| sum / count as f64).collect(),
        })
        .collect()
}

/// The class of every query by the nearest class mean of the gallery; of two
/// at the same distance, the lower class.
///
/// # Errors
/// If the dimensions or scales differ.
pub fn classify(gallery: Labelled<'_>, queries: &Points) -> Result<Vec<Class>> {
    check_dims(gallery, queries)?;
    let centroids = centroids(gallery);
    let nearest = |point: &[f32]| {
        centroids
            .iter()
            .map(|centroid| (squared_distance(&centroid.mean, point), centroid.class))
            .min_by(|(a, _), (b, _)| a.total_cmp(b))
            .map_or(0, |(_, class)| class)
    };
    Ok(queries.iter().map(nearest).collect())
}

/// The fraction of queries whose nearest class mean is that of their class.
///
/// # Errors
/// As [`classify`].
pub fn centroid_accuracy(gallery: Labelled<'_>, queries: Labelled<'_>) -> Result<f64> {
    Ok(accuracy(
        &classify(gallery, queries.points())?,
        queries.labels(),
    ))
}

fn squared_distance(mean: &[f64], point: &[f32]) -> f64 {
    mean.iter()
        .zip(point)
        .map(|(&mean, &coord)| (mean - f64::from(coord)).powi(2))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_and_their_ties() {
        let points = Points::new(2, vec![0.0, 0.0, 2.0, 0.0, 9.0, 9.0]).unwrap();
        let gallery = Labelled::new(&points, &[4, 4, 1]).unwrap();
        let means = centroids(gallery);
        assert_eq!(
            means[0],
            Centroid {
                class: 1,
                mean: vec![9.0, 9.0]
            }
        );
        assert_eq!(
            means[1],
            Centroid {
                class: 4,
                mean: vec![1.0, 0.0]
            }
        );
        let queries = Points::new(2, vec![1.0, 1.0, 8.0, 8.0, 5.0, 4.5]).unwrap();
        // The last is as far from (9, 9) as from (1, 0).
        assert_eq!(classify(gallery, &queries).unwrap(), [4, 1, 1]);
        let labelled = Labelled::new(&queries, &[4, 4, 4]).unwrap();
        assert_eq!(centroid_accuracy(gallery, labelled).unwrap(), 1.0 / 3.0);
    }
}
