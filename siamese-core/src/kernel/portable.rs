//! Plain Rust for any target.

use super::Kernel;
use crate::model::{Layer, Layout};

/// The plain kernel: two rows at a time, and only where activations are not
/// zero, which with strokes on a black background is about a quarter of the
/// image.
pub struct Portable;

/// Neighbouring columns that are skipped, or not, together. Larger blocks hold
/// a stroke more often; smaller ones take longer to go through. Processors of
/// 64 bits have vector units, which compilers use for 16 columns at a time.
const BLOCK: usize = if usize::BITS >= 64 { 16 } else { 4 };
/// Blocks that are looked at for skipping, those of the first 1024 columns;
/// each takes a byte of stack.
const LISTED: usize = 1024 / BLOCK;

/// The activations of one block, or one row's weights for it.
type Block = [u8; BLOCK];

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
        let inputs = inputs.get(..layer.inputs()).unwrap_or(inputs);
        let (blocks, tail) = inputs.as_chunks::<BLOCK>();
        let (near, far) = blocks.split_at(blocks.len().min(LISTED));
        let mut list = [0; LISTED];
        let list = list_active(near, &mut list);

        let mut rows = layer.weights().chunks_exact(layer.inputs()).enumerate();
        while let Some((index, first)) = rows.next() {
            let second = rows.next();
            // The last of an odd number of rows keeps itself company.
            let pair = [first, second.map_or(first, |(_, row)| row)];
            let mut accs = [layer.bias(index), layer.bias(index + 1)];
            let [a, b] = pair.map(|row| row.as_chunks::<BLOCK>().0);
            for &block in list {
                let block = usize::from(block);
                if let (Some(x), Some(a), Some(b)) = (near.get(block), a.get(block), b.get(block)) {
                    add(&mut accs, x, [a, b]);
                }
            }
            for (x, (a, b)) in far.iter().zip(a.iter().zip(b).skip(LISTED)) {
                add(&mut accs, x, [a, b]);
            }
            let start = inputs.len() - tail.len();
            for (acc, row) in accs.iter_mut().zip(pair) {
                let products = row.iter().skip(start).zip(tail);
                *acc = products
                    .map(|(&weight, &input)| product(weight, input))
                    .fold(*acc, i32::wrapping_add);
            }
            let [alone, _] = &accs;
            match second {
                Some(_) => emit(index, &accs),
                None => emit(index, core::slice::from_ref(alone)),
            }
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

/// Lists the blocks that hold anything but zeros.
fn list_active<'l>(blocks: &[Block], list: &'l mut [u8; LISTED]) -> &'l [u8] {
    let mut count = 0;
    for (number, block) in (0..=u8::MAX).zip(blocks) {
        if *block != [0; BLOCK]
            && let Some(place) = list.get_mut(count)
        {
            *place = number;
            count += 1;
        }
    }
    &list[..count]
}

/// Adds the products of one block to both rows' sums.
#[inline]
fn add(accs: &mut [i32; 2], inputs: &Block, weights: [&Block; 2]) {
    for (acc, weights) in accs.iter_mut().zip(weights) {
        let products = weights.iter().zip(inputs);
        *acc = products
            .map(|(&weight, &input)| product(weight, input))
            .fold(*acc, i32::wrapping_add);
    }
}

/// A weight in two's complement times an activation.
#[inline]
fn product(weight: u8, input: u8) -> i32 {
    i32::from(weight as i8) * i32::from(input)
}
