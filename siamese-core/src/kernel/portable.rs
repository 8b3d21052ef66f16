//! Plain Rust for any target.

use super::Kernel;
use crate::model::Layer;

/// The plain kernel: one row after the other, one product at a time.
pub struct Portable;

impl Kernel for Portable {
    const NAME: &'static str = "portable";

    fn accumulate(layer: &Layer<'_>, inputs: &[u8], mut emit: impl FnMut(usize, i32)) {
        for (index, row) in layer.rows().enumerate() {
            let products = row.weights.iter().zip(inputs);
            let acc = products
                .map(|(&weight, &input)| i32::from(weight as i8) * i32::from(input))
                .fold(row.bias, i32::wrapping_add);
            emit(index, acc);
        }
    }
}
