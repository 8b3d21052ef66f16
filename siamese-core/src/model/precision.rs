//! How many bits a model's numbers have.

use serde::{Deserialize, Serialize};

use super::LAYERS;

/// Bits of the activations and of the weights, and how the layers are rounded.
///
/// Weights of fewer than 8 bits are odd numbers: with `b` bits from `-(2^b - 1)` to
/// `2^b - 1`, which is 2 to 16 levels, as many below 0 as above and as far from each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Precision {
    /// Of an input activation, 1 to 7: of fewer than 7 bits the upper ones of 7.
    pub input: u8,
    /// Of the hidden layers' activations, 1 to 7: they are at most `2^bits - 1`.
    pub hidden: [u8; LAYERS - 1],
    /// Of each layer's weights: 2, 3, 4 or 8.
    pub weights: [u8; LAYERS],
    /// How many bits are taken off the sums of each layer, 1 to 30, the same for all of
    /// its rows; 0 if every row has a multiplier and a shift of its own.
    pub shifts: [u8; LAYERS],
}

impl Precision {
    /// Activations of 7 bits, weights of 8, a multiplier and a shift for every row.
    pub const INT8: Self = Self {
        input: 7,
        hidden: [7; LAYERS - 1],
        weights: [8; LAYERS],
        shifts: [0; LAYERS],
    };
    /// The most bits that [`shifts`](Self::shifts) takes off.
    pub const MAX_SHIFT: u8 = 30;

    /// Whether every number is in its range.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        let activations = |bits: &u8| (1..=7).contains(bits);
        activations(&self.input)
            && self.hidden.iter().all(activations)
            && self
                .weights
                .iter()
                .all(|bits| matches!(bits, 2 | 3 | 4 | 8))
            && self.shifts.iter().all(|&shift| shift <= Self::MAX_SHIFT)
    }

    /// The largest activation that each layer takes.
    #[must_use]
    pub const fn largest_inputs(&self) -> [u8; LAYERS] {
        let [first, second] = self.hidden;
        [largest(self.input), largest(first), largest(second)]
    }
}

/// The largest activation of so many bits, at most 7.
const fn largest(bits: u8) -> u8 {
    (1u8 << (bits & 7)).wrapping_sub(1)
}
