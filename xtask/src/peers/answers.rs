//! Whether another library's answers make sense: the class whose mean is nearest, by its
//! coordinates and by ours.

use anyhow::{Result, ensure};
use siamese_build::{BatchEmbedder, OwnedModel};

/// Our coordinates of images.
pub struct Embedded {
    dim: usize,
    coordinates: Vec<i16>,
}

impl Embedded {
    /// Those of images, by a model.
    pub fn new(model: &OwnedModel, images: &[&[u8]]) -> Result<Self> {
        let fast = model.for_this_machine()?;
        let dim = fast.model().dim();
        let mut coordinates = vec![0; images.len() * dim];
        BatchEmbedder::new(fast.model()).embed(&images.concat(), &mut coordinates)?;
        Ok(Self { dim, coordinates })
    }

    /// The largest that a coordinate is, in either direction.
    pub fn largest(&self) -> f64 {
        let all = self.coordinates.iter();
        all.map(|&coordinate| f64::from(coordinate).abs())
            .fold(1.0, f64::max)
    }

    /// The points.
    pub fn points(&self) -> impl Iterator<Item = Vec<f64>> {
        let points = self.coordinates.chunks(self.dim);
        points.map(|point| point.iter().copied().map(f64::from).collect())
    }
}

/// The mean of each class.
pub struct Centroids(Vec<Vec<f64>>);

impl Centroids {
    /// Those of points with labels.
    pub fn new(embedded: &Embedded, labels: &[u8]) -> Self {
        let classes = labels
            .iter()
            .max()
            .map_or(0, |&label| usize::from(label) + 1);
        let mut sums = vec![vec![0.0; embedded.dim]; classes];
        let mut counts = vec![0.0; classes];
        for (point, &label) in embedded.points().zip(labels) {
            counts[usize::from(label)] += 1.0;
            let sum = &mut sums[usize::from(label)];
            sum.iter_mut()
                .zip(point)
                .for_each(|(sum, value)| *sum += value);
        }
        for (sum, count) in sums.iter_mut().zip(counts) {
            sum.iter_mut()
                .for_each(|value| *value /= f64::max(count, 1.0));
        }
        Self(sums)
    }

    /// The class whose mean is nearest.
    fn nearest(&self, point: &[f64]) -> usize {
        let distance =
            |mean: &[f64]| -> f64 { mean.iter().zip(point).map(|(a, b)| (a - b) * (a - b)).sum() };
        let distances = self.0.iter().map(|mean| distance(mean)).enumerate();
        let nearest = distances.min_by(|(_, a), (_, b)| a.total_cmp(b));
        nearest.map_or(0, |(class, _)| class)
    }
}

/// How another library's points compare with ours.
#[derive(Debug, PartialEq)]
pub struct Compared {
    /// The images whose nearest class is ours.
    pub agree: usize,
    /// The most that a coordinate differs, in our steps.
    pub farthest: f64,
}

impl Compared {
    /// Compares points; a library's coordinates are in steps of so many of ours.
    pub fn new(
        ours: &Embedded,
        theirs: &[Vec<i32>],
        step: f64,
        centroids: &Centroids,
    ) -> Result<Self> {
        let images = ours.coordinates.len() / ours.dim;
        ensure!(
            theirs.len() == images && theirs.iter().all(|point| point.len() == ours.dim),
            "the program has embedded {} images instead of {images}",
            theirs.len()
        );
        let mut compared = Self {
            agree: 0,
            farthest: 0.0,
        };
        for (ours, theirs) in ours.points().zip(theirs) {
            let theirs: Vec<f64> = theirs
                .iter()
                .map(|&value| f64::from(value) * step)
                .collect();
            compared.agree += usize::from(centroids.nearest(&ours) == centroids.nearest(&theirs));
            for (a, b) in ours.iter().zip(&theirs) {
                compared.farthest = compared.farthest.max((a - b).abs());
            }
        }
        Ok(compared)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_compared_by_the_nearest_mean() {
        let ours = Embedded {
            dim: 2,
            coordinates: vec![0, 0, 10, 0, 100, 0],
        };
        let centroids = Centroids::new(&ours, &[0, 0, 1]);
        assert_eq!(centroids.0, [[5.0, 0.0], [100.0, 0.0]]);
        // The second point is on the other side of the middle, 60 off.
        let theirs = [vec![0, 0], vec![7, 0], vec![10, 0]];
        let compared = Compared::new(&ours, &theirs, 10.0, &centroids).unwrap();
        assert_eq!((compared.agree, compared.farthest), (2, 60.0));
        assert!(Compared::new(&ours, &theirs[1..], 10.0, &centroids).is_err());
    }
}
