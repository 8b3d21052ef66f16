//! Points by coordinate, so that a loop over points runs in vector registers.

use crate::embed::points::Points;

/// Points of a block: as many sums as registers hold.
const LANES: usize = 8;

/// Points in double precision, in blocks of some points: of each block first all first
/// coordinates, then all second ones, and so on. Sums of squares of integer coordinates are
/// exact in it: 64 squares below 2^32 stay below 2^53.
pub(super) struct Columns {
    len: usize,
    dim: usize,
    /// As many a block as a point has coordinates; what fills up the last block is 0.
    coords: Vec<[f64; LANES]>,
}

impl Columns {
    /// The points in their own order.
    pub(super) fn new(points: &Points) -> Self {
        let (len, dim) = (points.len(), points.dim());
        let mut coords = vec![[0.0; LANES]; len.div_ceil(LANES) * dim];
        for (number, point) in points.iter().enumerate() {
            let block = &mut coords[number / LANES * dim..][..dim];
            for (column, &coord) in block.iter_mut().zip(point) {
                column[number % LANES] = f64::from(coord);
            }
        }
        Self { len, dim, coords }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// The squared distances from `query` to the points `start..start +
    /// out.len()`.
    pub(super) fn squared_distances(&self, query: &[f32], start: usize, out: &mut [f64]) {
        let query: Vec<f64> = query.iter().copied().map(f64::from).collect();
        let mut rest = &mut out[..];
        let blocks = self.coords.chunks_exact(self.dim).skip(start / LANES);
        let mut lane = start % LANES;
        for block in blocks {
            let sums = squared_distances(block, &query);
            let (now, later) = rest.split_at_mut(rest.len().min(LANES - lane));
            now.copy_from_slice(&sums[lane..][..now.len()]);
            if later.is_empty() {
                return;
            }
            (rest, lane) = (later, 0);
        }
        assert!(rest.is_empty(), "there are not so many points");
    }
}

/// The squared distances from a point to those of a block.
#[inline]
fn squared_distances(block: &[[f64; LANES]], query: &[f64]) -> [f64; LANES] {
    let mut sums = [0.0; LANES];
    for (column, coord) in block.iter().zip(query) {
        for (sum, other) in sums.iter_mut().zip(column) {
            let difference = other - coord;
            *sum += difference * difference;
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_run_of_points_has_its_distances() {
        for (len, dim) in [(1, 1), (8, 2), (21, 3), (40, 1)] {
            let coords = (0..len * dim).map(|number| (number * number % 17) as f32);
            let points = Points::new(dim, coords.collect()).unwrap();
            let columns = Columns::new(&points);
            assert_eq!(columns.len(), len);
            let query = vec![2.5; dim];
            let expected: Vec<f64> = points
                .iter()
                .map(|point| point.iter().map(|&x| (f64::from(x) - 2.5).powi(2)).sum())
                .collect();
            for start in 0..len {
                for end in start..=len {
                    let mut found = vec![-1.0; end - start];
                    columns.squared_distances(&query, start, &mut found);
                    assert_eq!(found, expected[start..end], "{len} {dim} {start}..{end}");
                }
            }
        }
    }
}
