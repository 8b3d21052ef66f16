//! Points by coordinate, so that a loop over points runs in vector registers.

use crate::embed::points::Points;

/// Points in double precision, one column a coordinate. Sums of squares of
/// integer coordinates are exact in it: 64 squares below 2^32 stay below 2^53.
pub(super) struct Columns {
    len: usize,
    coords: Vec<f64>,
}

impl Columns {
    /// The points in their own order.
    pub(super) fn new(points: &Points) -> Self {
        let len = points.len();
        let mut coords = Vec::with_capacity(len * points.dim());
        for axis in 0..points.dim() {
            coords.extend(points.iter().map(|point| f64::from(point[axis])));
        }
        Self { len, coords }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// The squared distances from `query` to the points `start..start +
    /// out.len()`.
    pub(super) fn squared_distances(&self, query: &[f32], start: usize, out: &mut [f64]) {
        out.fill(0.0);
        for (column, &coord) in self.coords.chunks_exact(self.len).zip(query) {
            let coord = f64::from(coord);
            let column = &column[start..start + out.len()];
            for (sum, other) in out.iter_mut().zip(column) {
                let difference = other - coord;
                *sum += difference * difference;
            }
        }
    }
}
