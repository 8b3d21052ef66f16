//! Weights of 2, 3 or 4 bits while they are trained.
//!
//! A weight `w` of `b` bits is rounded to an odd multiple of half a step: with the row's
//! step `s` to `(clamp(floor(w / s), -2^(b-1), 2^(b-1) - 1) + 1/2) * s`, which are `2^b`
//! levels, as many below 0 as above. The step is a fixed part of the row's root mean
//! square, so that rows of any size use their levels alike.

use tch::{Kind, Tensor};

use crate::recipe::bits::largest;

/// How much smaller or larger a row's step may be than the mean of its layer.
const LIMIT: f64 = 1e4;
/// The least step: rows of zeros have one, too.
const LEAST: f64 = 1e-12;

/// The step as a part of the row's root mean square. For 2 bits near 0.9957 and for 3 bits
/// near 0.5860, which lose least of normally distributed numbers (Max, "Quantizing for
/// Minimum Distortion", 1960, table II); for 4 bits 0.3352 there.
fn part(bits: u8) -> f64 {
    match bits {
        2 => 1.0,
        3 => 0.59,
        _ => 0.33,
    }
}

/// What an odd weight of 1 means in each row of `weights` `[outputs, inputs]`: half a step,
/// `[outputs, 1]`.
pub(super) fn units(weights: &Tensor, bits: u8) -> Tensor {
    let squares = weights
        .square()
        .mean_dim(Some(&[1i64][..]), true, Kind::Float);
    squares.sqrt().clamp_min(LEAST) * (part(bits) / 2.0)
}

/// The nearest odd numbers that so many bits hold.
pub(super) fn odd(values: &Tensor, bits: u8) -> Tensor {
    let most = largest(bits);
    ((values / 2.0).floor() * 2.0 + 1.0).clamp(-most, most)
}

/// The same with the gradient passing as if nothing was rounded or cut off.
pub(super) fn odd_with_gradient(values: &Tensor, bits: u8) -> Tensor {
    values + (odd(values, bits) - values).detach()
}

/// The geometric mean of positive numbers.
pub(super) fn mean(units: &Tensor) -> f64 {
    units.log().mean(Kind::Float).exp().double_value(&[])
}

/// Units over their mean, none of them out of all proportion.
pub(super) fn relative(units: &Tensor) -> Tensor {
    (units / mean(units)).clamp(1.0 / LIMIT, LIMIT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::network::to_vec;

    #[test]
    fn weights_become_odd_numbers_of_their_bits() {
        let values = Tensor::from_slice(&[-9.0f32, -2.1, -1.9, -0.1, 0.0, 1.9, 2.0, 9.0]);
        let rounded = |bits| to_vec(&odd(&values, bits));
        assert_eq!(rounded(2), [-3.0, -3.0, -1.0, -1.0, 1.0, 1.0, 3.0, 3.0]);
        assert_eq!(rounded(3), [-7.0, -3.0, -1.0, -1.0, 1.0, 1.0, 3.0, 7.0]);
        assert_eq!(rounded(4)[0], -9.0);
    }

    #[test]
    fn rows_of_any_size_have_the_same_levels() {
        // Some of them far out, as trained weights are.
        let row: Vec<f32> = (0..64)
            .map(|i| ((i * 37 % 64) as f32 / 31.5 - 1.0).powi(3))
            .collect();
        let larger = row.iter().map(|w| 50.0 * w);
        let rows: Vec<f32> = row.iter().copied().chain(larger).collect();
        let rows = Tensor::from_slice(&rows).reshape([2, 64]);
        for bits in [2, 3, 4] {
            let odd = to_vec(&odd(&(&rows / units(&rows, bits)), bits));
            assert_eq!(odd[..64], odd[64..]);
            assert!(odd.iter().any(|&w| f64::from(w) == largest(bits)));
        }
        assert!((mean(&Tensor::from_slice(&[0.5f32, 2.0])) - 1.0).abs() < 1e-6);
    }
}
