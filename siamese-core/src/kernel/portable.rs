//! Plain Rust for any target.

use super::Kernel;
use crate::model::{Layer, Layout};

/// The plain kernel: lists the columns whose activations are not zero, once for
/// a layer, and then goes through the list for two rows at a time. Of a
/// handwritten digit's 784 pixels, 150 are not zero.
pub struct Portable;

/// Columns that fit the list, 2 KiB of stack. If there are more, every column
/// is multiplied.
const CAPACITY: usize = 512;

/// An activation that is not zero, and its column.
#[derive(Clone, Copy, Default)]
struct Entry {
    activation: u16,
    column: u16,
}

impl Kernel for Portable {
    const NAME: &'static str = "portable";
    const LAYOUT: Layout = Layout::Rows;

    fn available() -> bool {
        true
    }

    fn accumulate(layer: &Layer<'_>, inputs: &[u8], mut emit: impl FnMut(usize, &[i32])) {
        if layer.layout() != Layout::Rows {
            return one_by_one(layer, inputs, emit);
        }
        let columns = layer.inputs();
        let inputs = inputs.get(..columns).unwrap_or(inputs);
        let mut list = [Entry::default(); CAPACITY];
        let list = list_active(inputs, &mut list);
        let rows = layer.weights().chunks(2 * columns);
        let biases = layer.biases().chunks(2);
        for (index, (rows, biases)) in rows.zip(biases).enumerate() {
            // The last of an odd number of rows keeps itself company.
            let (first, second) = rows.split_at(columns);
            let second = second.get(..columns).unwrap_or(first);
            let sums = match list {
                Some(list) => sparse([first, second], list),
                None => [first, second].map(|row| dense(row, inputs)),
            };
            let mut accs = [0; 2];
            for (acc, (sum, &bias)) in accs.iter_mut().zip(sums.into_iter().zip(biases)) {
                *acc = sum.wrapping_add(i32::from_le_bytes(bias));
            }
            emit(2 * index, accs.get(..biases.len()).unwrap_or(&accs));
        }
    }
}

/// Any layout, weight by weight: slow, for tools that look at a model which is
/// meant for another core.
fn one_by_one(layer: &Layer<'_>, inputs: &[u8], mut emit: impl FnMut(usize, &[i32])) {
    for row in 0..layer.outputs() {
        let products = layer.row(row).zip(inputs);
        let sum = products
            .map(|(weight, &input)| i32::from(weight) * i32::from(input))
            .fold(layer.bias(row), i32::wrapping_add);
        emit(row, &[sum]);
    }
}

/// Lists the columns that hold anything but zero; `None` if they are too many.
fn list_active<'l>(inputs: &[u8], list: &'l mut [Entry; CAPACITY]) -> Option<&'l [Entry]> {
    let mut count = 0;
    for (column, &activation) in (0..=u16::MAX).zip(inputs) {
        if activation != 0 {
            *list.get_mut(count)? = Entry {
                activation: activation.into(),
                column,
            };
            count += 1;
        }
    }
    list.get(..count)
}

/// The sums of two rows' products with what is listed.
fn sparse(rows: [&[u8]; 2], list: &[Entry]) -> [i32; 2] {
    let mut sums = [0i32; 2];
    for entry in list {
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
