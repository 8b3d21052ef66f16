//! How many bits the numbers of a trained model have.

use anyhow::ensure;
use serde::{Deserialize, Serialize};
use siamese_core::model::{LAYERS, Precision};

/// Bits of grey levels, weights and activations. The same as [`Precision`], but for the
/// shifts, which follow from the training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bits {
    /// Of an input activation, 1 to 7.
    pub grey: u8,
    /// Of each layer's weights: 2, 3, 4 or 8; of the last layer's 8. A hidden layer of fewer
    /// than 8 bits takes off the same number of bits from the sums of all rows.
    pub weights: [u8; LAYERS],
    /// Of the hidden layers' activations, 1 to 7.
    pub hidden: [u8; LAYERS - 1],
}

impl Bits {
    /// Activations of 7 bits, weights of 8.
    pub const INT8: Self = Self {
        grey: 7,
        weights: [8; LAYERS],
        hidden: [7; LAYERS - 1],
    };

    /// Whether it is [`INT8`](Self::INT8), which leaves it out of a plan's JSON.
    #[must_use]
    pub fn is_int8(&self) -> bool {
        *self == Self::INT8
    }

    /// Whether any layer has weights of fewer than 8 bits.
    #[must_use]
    pub fn has_few(&self) -> bool {
        self.weights.iter().any(|&bits| bits < 8)
    }

    /// The precision of a model whose layers take off so many bits.
    #[must_use]
    pub const fn precision(&self, shifts: [u8; LAYERS]) -> Precision {
        Precision {
            input: self.grey,
            hidden: self.hidden,
            weights: self.weights,
            shifts,
        }
    }

    /// Checks all ranges.
    ///
    /// # Errors
    /// One sentence that names the option that is out of range.
    pub fn check(&self) -> anyhow::Result<()> {
        let activations = |bits: u8| (1..=7).contains(&bits);
        ensure!(
            activations(self.grey),
            "--grey-bits must be 1 to 7, not {}",
            self.grey
        );
        ensure!(
            self.hidden.into_iter().all(activations),
            "--hidden-bits must be 1 to 7 for each hidden layer, such as 7,7"
        );
        ensure!(
            self.weights
                .iter()
                .all(|bits| matches!(bits, 2 | 3 | 4 | 8)),
            "--weight-bits must be 2, 3, 4 or 8 for each layer, such as 3,3,8"
        );
        ensure!(
            self.weights[LAYERS - 1] == 8,
            "the last layer's weights have 8 bits, as they place the point: give \
             --weight-bits that end with 8, such as 3,3,8"
        );
        Ok(())
    }
}

impl Default for Bits {
    fn default() -> Self {
        Self::INT8
    }
}

/// The largest number of so many bits, at most 8, without a sign.
#[must_use]
pub fn largest(bits: u8) -> f64 {
    f64::from(bits).exp2() - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_model_cannot_hold_is_named() {
        let with = |change: fn(&mut Bits)| {
            let mut bits = Bits::INT8;
            change(&mut bits);
            (bits, bits.check().err().map(|error| error.to_string()))
        };
        type Change = fn(&mut Bits);
        let wrong: [(&str, Change); 5] = [
            ("--grey-bits", |bits| bits.grey = 0),
            ("--grey-bits", |bits| bits.grey = 8),
            ("--hidden-bits", |bits| bits.hidden[1] = 8),
            ("--weight-bits", |bits| bits.weights[0] = 5),
            ("--weight-bits", |bits| bits.weights[2] = 4),
        ];
        for (name, change) in wrong {
            let (bits, error) = with(change);
            assert!(error.is_some_and(|error| error.contains(name)), "{bits:?}");
        }
        let right: [Change; 3] = [
            |bits| bits.grey = 1,
            |bits| bits.hidden = [1, 3],
            |bits| bits.weights = [2, 4, 8],
        ];
        for change in right {
            let (bits, error) = with(change);
            assert_eq!(error, None);
            assert!(bits.precision([0, 0, 0]).is_valid());
        }
        assert_eq!(Bits::INT8.precision([0; 3]), Precision::INT8);
        assert_eq!([1, 2, 7].map(largest), [1.0, 3.0, 127.0]);
    }
}
