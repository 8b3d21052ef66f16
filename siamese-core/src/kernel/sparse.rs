//! What the kernels for Cortex-M share: a list of the activations that are not
//! zero, made once for a layer, over which every group of 8 rows then runs.

use core::mem::MaybeUninit;

use super::{Kernel, Portable};
use crate::model::{ALIGNMENT, Layer};

/// The rows of a group.
pub(super) const ROWS: usize = 8;
/// Entries of a list, 2 KiB of stack. What doesn't fit is listed again for each
/// group: slower, and as exact. Of a handwritten digit's 392 pixels, 75 are
/// not zero, or 50 of the 196 pairs of neighbours.
const CAPACITY: usize = 256;

/// The activations of one tile, not all zero, and where its weights are.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Entry {
    /// As the kernel multiplies them.
    pub activations: u32,
    /// Bytes to the tile: from the group's start if [`Tiles::ABSOLUTE`], else
    /// from the end of the previous entry's tile, or the group's start for the
    /// first.
    pub skip: u32,
}

/// One kernel's way to go through a list.
pub(super) trait Tiles: Kernel {
    /// Columns of a tile: 1, 2 or 4.
    const COLUMNS: usize;
    /// What the layout adds to every weight.
    const OFFSET: i32;
    /// What [`Entry::skip`] counts from.
    const ABSOLUTE: bool;
    /// Entries are handled so many at a time. A list is filled up with entries
    /// that look at a tile again, with activations 0.
    const UNROLL: usize;

    /// Activations as the kernel multiplies them, from a tile's columns in the
    /// bytes of a word.
    fn pack(columns: u32) -> u32;

    /// Adds the products of the entries with a group's weights to `sums`.
    ///
    /// # Safety
    /// The entries must lead to whole tiles within `group`, their number be a
    /// multiple of [`Self::UNROLL`] and above 0, and `group` be where a tile starts
    /// in aligned weights.
    unsafe fn run(entries: &[Entry], group: &[u8], sums: &mut [i32; ROWS]);
}

/// The list.
struct List {
    /// The first `count` are initialised. All of them would cost as many
    /// instructions as a tenth of an embedding.
    entries: [MaybeUninit<Entry>; CAPACITY],
    count: usize,
    /// The sum of all activations in it.
    sum: i32,
}

impl List {
    /// Lists the activations of the tiles from number `start` on, until there
    /// are no more or the list is full; the number of the first tile left out.
    fn fill<T: Tiles>(&mut self, inputs: &[u8], start: usize) -> usize {
        let bytes = (T::COLUMNS * ROWS) as u32;
        let tile_bits = 8 * T::COLUMNS as u32;
        self.count = 0;
        self.sum = 0;
        let mut tile = start as u32;
        // Where the kernel's pointer is, or always the start.
        let mut here = tile;
        let (words, rest) = inputs
            .get(start * T::COLUMNS..)
            .unwrap_or(&[])
            .as_chunks::<4>();
        let last = rest
            .iter()
            .rfold(0, |word, &activation| word << 8 | u32::from(activation));
        let words = words.iter().map(|&word| u32::from_le_bytes(word));
        let last = (!rest.is_empty()).then_some(last);
        // Four activations at once, since most are zero.
        for word in words.chain(last) {
            if word != 0 {
                // Room for those that fill up the list, too.
                if self.count + 4 + T::UNROLL > CAPACITY {
                    break;
                }
                for number in 0..4 / T::COLUMNS as u32 {
                    let columns = word >> (number * tile_bits) & (u32::MAX >> (32 - tile_bits));
                    if columns != 0 {
                        self.push(T::pack(columns), (tile + number - here) * bytes);
                        if !T::ABSOLUTE {
                            here = tile + number + 1;
                        }
                    }
                }
                if T::OFFSET != 0 {
                    let activations = word.to_le_bytes();
                    self.sum += activations.iter().map(|&a| i32::from(a)).sum::<i32>();
                }
            }
            tile += 4 / T::COLUMNS as u32;
        }
        let back = if T::ABSOLUTE { 0 } else { bytes.wrapping_neg() };
        while !self.count.is_multiple_of(T::UNROLL) {
            self.push(0, back);
        }
        tile as usize
    }

    fn push(&mut self, activations: u32, skip: u32) {
        if let Some(entry) = self.entries.get_mut(self.count) {
            entry.write(Entry { activations, skip });
            self.count += 1;
        }
    }

    fn entries(&self) -> &[Entry] {
        let entries = &raw const self.entries;
        // SAFETY: `push` has initialised the first `count` entries, of which
        // there are at most CAPACITY; `MaybeUninit` has its content's layout.
        unsafe { core::slice::from_raw_parts(entries.cast(), self.count) }
    }

    /// Adds the products of what is listed to `sums`; `group` are a group's
    /// weights from the list's first tile on.
    fn run<T: Tiles>(&self, group: &[u8], sums: &mut [i32; ROWS]) {
        if self.count == 0 {
            return;
        }
        // SAFETY: `fill` lists tiles of the inputs' columns, all of which the
        // group has as whole tiles, and a multiple of UNROLL of them. The
        // weights are aligned (`accumulate` checks it), and what is before the
        // group in them are whole tiles.
        unsafe { T::run(self.entries(), group, sums) };
        if T::OFFSET != 0 {
            let offset = self.sum.wrapping_mul(T::OFFSET);
            for sum in sums {
                *sum = sum.wrapping_sub(offset);
            }
        }
    }
}

/// [`Kernel::accumulate`] for kernels that go through lists.
#[inline(never)] // One list on the stack at a time.
pub(super) fn accumulate<T: Tiles>(
    layer: &Layer<'_>,
    inputs: &[u8],
    mut emit: impl FnMut(usize, &[i32]),
) {
    let aligned = layer.weights().as_ptr().addr().is_multiple_of(ALIGNMENT);
    if layer.layout() != T::LAYOUT || !aligned || !T::available() {
        return Portable::accumulate(layer, inputs, emit);
    }
    let inputs = inputs.get(..layer.inputs()).unwrap_or(inputs);
    let tiles = inputs.len().div_ceil(T::COLUMNS);
    let group_length = layer.inputs().next_multiple_of(T::COLUMNS) * ROWS;
    let mut list = List {
        entries: [MaybeUninit::uninit(); CAPACITY],
        count: 0,
        sum: 0,
    };
    let listed = list.fill::<T>(inputs, 0);
    let groups = layer.weights().chunks_exact(group_length);
    let biases = layer.biases().chunks(ROWS);
    for (first, (group, biases)) in (0..).step_by(ROWS).zip(groups.zip(biases)) {
        let mut sums = match biases.as_array() {
            Some(biases) => biases.map(i32::from_le_bytes),
            None => {
                core::array::from_fn(|row| biases.get(row).copied().map_or(0, i32::from_le_bytes))
            }
        };
        list.run::<T>(group, &mut sums);
        if listed < tiles {
            let mut next = listed;
            while next < tiles {
                let rest = group.get(next * T::COLUMNS * ROWS..).unwrap_or(&[]);
                next = list.fill::<T>(inputs, next);
                list.run::<T>(rest, &mut sums);
            }
            list.fill::<T>(inputs, 0);
        }
        emit(first, sums.get(..biases.len()).unwrap_or(&sums));
    }
}
