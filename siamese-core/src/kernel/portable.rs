//! Plain Rust for any target.

use super::Kernel;
use crate::model::{Layer, Layout};

/// The plain kernel: makes an index of the activations that are not zero, once for
/// a layer, and goes through it for two rows at a time. Of a handwritten digit's
/// 784 pixels, 150 are not zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Portable;

/// Activations that fit the index, 2 KiB of stack. If there are more, every column
/// is multiplied.
const CAPACITY: usize = 512;

/// An activation that is not zero, and its column.
#[derive(Clone, Copy, Default)]
struct NonZero {
    activation: u16,
    column: u16,
}

impl Kernel for Portable {
    fn name(self) -> &'static str {
        "portable"
    }

    fn layout(self) -> Layout {
        Layout::Rows
    }

    fn accumulate(self, layer: &Layer<'_>, inputs: &[u8], mut emit: impl FnMut(usize, &[i32])) {
        if layer.layout() != Layout::Rows || layer.has_lanes() {
            return one_by_one(layer, inputs, emit);
        }
        let columns = layer.inputs();
        let inputs = inputs.get(..columns).unwrap_or(inputs);
        let mut memory = [NonZero::default(); CAPACITY];
        let index = index_of(inputs, &mut memory);
        let sums = |rows| match index {
            Some(index) => sparse(rows, index),
            None => rows.map(|row| dense(row, inputs)),
        };
        let mut weights = layer.weights();
        let (pairs, rest) = layer.biases().as_chunks::<2>();
        let mut first = 0;
        for biases in pairs {
            let Some((rows, later)) = two_rows(weights, columns) else {
                return;
            };
            let mut accs = sums(rows);
            for (acc, &bias) in accs.iter_mut().zip(biases) {
                *acc = acc.wrapping_add(i32::from_le_bytes(bias));
            }
            emit(first, &accs);
            weights = later;
            first += 2;
        }
        if let [bias] = rest {
            // The last of an odd number of rows is multiplied twice.
            let [acc, _] = sums([weights; 2]);
            emit(first, &[acc.wrapping_add(i32::from_le_bytes(*bias))]);
        }
    }
}

/// The next two rows of weights, and those that follow.
#[inline]
fn two_rows(weights: &[u8], columns: usize) -> Option<([&[u8]; 2], &[u8])> {
    let (first, rest) = weights.split_at_checked(columns)?;
    let (second, rest) = rest.split_at_checked(columns)?;
    Some(([first, second], rest))
}

/// Any layout, weight by weight: slow, for tools that look at a model which is
/// meant for another core.
pub(super) fn one_by_one(layer: &Layer<'_>, inputs: &[u8], mut emit: impl FnMut(usize, &[i32])) {
    for row in 0..layer.outputs() {
        let products = layer.row(row).zip(inputs);
        let sum = products
            .map(|(weight, &input)| i32::from(weight) * i32::from(input))
            .fold(layer.bias(row), i32::wrapping_add);
        emit(row, &[sum]);
    }
}

/// Makes the index of the activations that are not zero; `None` if they are too
/// many.
fn index_of<'i>(inputs: &[u8], memory: &'i mut [NonZero; CAPACITY]) -> Option<&'i [NonZero]> {
    let mut count = 0;
    for (column, &activation) in (0..=u16::MAX).zip(inputs) {
        if activation != 0 {
            *memory.get_mut(count)? = NonZero {
                activation: activation.into(),
                column,
            };
            count += 1;
        }
    }
    memory.get(..count)
}

/// The sums of two rows' products with the activations in the index.
fn sparse(rows: [&[u8]; 2], index: &[NonZero]) -> [i32; 2] {
    let mut sums = [0i32; 2];
    for entry in index {
        for (sum, row) in sums.iter_mut().zip(rows) {
            if let Some(&weight) = row.get(usize::from(entry.column)) {
                *sum = sum.wrapping_add(product(weight, entry.activation));
            }
        }
    }
    sums
}

/// The sum of all products of a row.
fn dense(row: &[u8], inputs: &[u8]) -> i32 {
    row.iter()
        .zip(inputs)
        .map(|(&weight, &activation)| product(weight, activation.into()))
        .fold(0, i32::wrapping_add)
}

/// A weight in two's complement times an activation.
#[inline]
fn product(weight: u8, activation: u16) -> i32 {
    i32::from(weight as i8) * i32::from(activation)
}
