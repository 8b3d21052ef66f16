//! A point of the embedding space, and distances between points.

/// An embedding: `D` coordinates in steps of one common scale, so that integer
/// distances order pairs exactly as real distances do.
///
/// ```
/// use siamese_core::Embedding;
///
/// let here = Embedding([300, 0]);
/// let there = Embedding([0, -400]);
/// assert_eq!(here.distance_squared(&there), 250_000);
/// assert_eq!(here.distance(&there, 0.01), 5.0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Embedding<const D: usize>(
    /// The coordinates, in integer steps of the model's embedding scale.
    pub [i16; D],
);

impl<const D: usize> Embedding<D> {
    /// The squared Euclidean distance, in squared integer steps.
    #[inline]
    #[must_use]
    pub fn distance_squared(&self, other: &Self) -> u64 {
        distance_squared(&self.0, &other.0)
    }

    /// The Euclidean distance in real units, `scale` being
    /// [`Scales::embedding`](crate::model::Scales::embedding). For showing:
    /// decide with [`distance_squared`](Self::distance_squared), which is exact.
    #[must_use]
    pub fn distance(&self, other: &Self, scale: f32) -> f32 {
        libm::sqrtf(self.distance_squared(other) as f32) * scale
    }

    /// The coordinates in real units, for showing.
    #[must_use]
    pub fn to_real(&self, scale: f32) -> [f32; D] {
        self.0.map(|steps| f32::from(steps) * scale)
    }
}

/// The squared Euclidean distance of two points, in squared integer steps.
/// Where one has more coordinates than the other, the rest is left out.
/// Exact: a coordinate adds less than 2^32, and no embedding has 2^32 of them.
#[inline]
#[must_use]
pub fn distance_squared(a: &[i16], b: &[i16]) -> u64 {
    let squares = a.iter().zip(b).map(|(&a, &b)| {
        let difference = i32::from(a) - i32::from(b);
        i64::from(difference) * i64::from(difference)
    });
    squares.sum::<i64>().cast_unsigned()
}

/// The squared length of a point's vector from the origin, in squared integer steps.
#[inline]
#[must_use]
pub fn norm_squared(point: &[i16]) -> u64 {
    let squares = point.iter().map(|&step| {
        let step = i64::from(step);
        step * step
    });
    squares.sum::<i64>().cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_distance_is_exact() {
        let low = Embedding([i16::MIN; 64]);
        let high = Embedding([i16::MAX; 64]);
        assert_eq!(low.distance_squared(&high), 64 * 65_535 * 65_535);
        assert_eq!(high.distance_squared(&low), 64 * 65_535 * 65_535);
    }

    #[test]
    fn the_largest_norm_is_exact() {
        assert_eq!(norm_squared(&[i16::MIN; 64]), 64 << 30);
        assert_eq!(norm_squared(&[3, -4]), 25);
    }

    #[test]
    fn a_distance_is_the_root_in_real_units() {
        let (here, there) = (Embedding([30, 0, -7]), Embedding([0, 40, -7]));
        assert_eq!(here.distance(&there, 0.5), 25.0);
    }

    #[test]
    fn real_units_follow_the_scale() {
        assert_eq!(Embedding([-2, 4]).to_real(0.5), [-1.0, 2.0]);
    }
}
