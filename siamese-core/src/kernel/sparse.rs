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

    /// Writes the sums of a group's rows: what is at `start`, plus the products
    /// of the entries with the group's weights.
    ///
    /// # Safety
    /// The entries must lead to whole tiles within `group`, their number be a
    /// multiple of [`Self::UNROLL`] and above 0, and `group` be where a tile
    /// starts in aligned weights. At `start` are [`ROWS`] numbers, aligned to
    /// words, and there is room for as many at `sums`, which may be the same
    /// place.
    unsafe fn run(entries: &[Entry], group: &[u8], start: *const i32, sums: *mut i32);
}

/// The list, in memory of the caller's, which needs not be initialised: to do
/// so would cost as many instructions as a tenth of an embedding.
struct List<'l> {
    slots: &'l mut [MaybeUninit<Entry>],
    /// The entries in the first slots.
    count: usize,
    /// The sum of all activations in it.
    sum: i32,
}

impl List<'_> {
    /// Lists the activations of the tiles from number `start` on, until there
    /// are no more or the list is full; the number of the first tile left out.
    /// There is always an entry, if only with activations 0.
    fn fill<T: Tiles>(&mut self, inputs: &[u8], start: usize) -> usize {
        // Narrow tiles need much code each, and save nothing.
        if T::COLUMNS == 1 {
            self.fill_by::<T, 4>(inputs, start)
        } else {
            self.fill_by::<T, 8>(inputs, start)
        }
    }

    /// [`fill`](Self::fill), `STEP` activations at once, since most are zero; a
    /// multiple of 4.
    fn fill_by<T: Tiles, const STEP: usize>(&mut self, inputs: &[u8], start: usize) -> usize {
        let bytes = (T::COLUMNS * ROWS) as u32;
        let inputs = inputs.get(start * T::COLUMNS..).unwrap_or(&[]);
        let (chunks, rest) = inputs.as_chunks::<STEP>();
        let mut last = [0; STEP];
        for (last, &activation) in last.iter_mut().zip(rest) {
            *last = activation;
        }
        let room = self.slots.len();
        let mut slots = self.slots.iter_mut();
        let mut push = |activations, skip| {
            if let Some(slot) = slots.next() {
                slot.write(Entry { activations, skip });
            }
            slots.len()
        };
        let mut free = room;
        let mut sum = 0;
        // Bytes from the first tile on; where the kernel's pointer is, or always
        // the first tile.
        let (mut tile, mut here) = (0, 0);
        'full: for chunks in [chunks, &[last]] {
            for chunk in chunks {
                let (words, _) = chunk.as_chunks::<4>();
                let words = words.iter().map(|&word| u32::from_le_bytes(word));
                if words.clone().fold(0, |all, word| all | word) == 0 {
                    tile += (STEP / T::COLUMNS) as u32 * bytes;
                    continue;
                }
                // Room for those that fill up the list, too.
                if free < STEP + T::UNROLL {
                    break 'full;
                }
                for word in words {
                    for number in 0..4 / T::COLUMNS as u32 {
                        let bits = 8 * T::COLUMNS as u32;
                        let columns = word >> (number * bits) & (u32::MAX >> (32 - bits));
                        if columns != 0 {
                            free = push(T::pack(columns), tile - here);
                            here = if T::ABSOLUTE { 0 } else { tile + bytes };
                        }
                        tile += bytes;
                    }
                    if T::OFFSET != 0 {
                        let activations = word.to_le_bytes();
                        sum += activations.into_iter().map(i32::from).sum::<i32>();
                    }
                }
            }
        }
        if free == room {
            free = push(0, 0);
        }
        let back = if T::ABSOLUTE { 0 } else { bytes.wrapping_neg() };
        while !(room - free).is_multiple_of(T::UNROLL) {
            free = push(0, back);
        }
        (self.count, self.sum) = (room - free, sum);
        start + (tile / bytes) as usize
    }

    /// Writes what is at `start`, plus the products of what is listed with a
    /// group's weights from the list's first tile on.
    ///
    /// # Safety
    /// The weights must be aligned, have the columns that were listed, and be
    /// preceded by whole tiles; `start` and `sums` as for [`Tiles::run`].
    unsafe fn run<T: Tiles>(&self, group: &[u8], start: *const i32, sums: *mut [i32; ROWS]) {
        // SAFETY: `fill` has written the first `count` slots.
        let entries = unsafe { self.slots.get_unchecked(..self.count).assume_init_ref() };
        // SAFETY: `fill` lists a multiple of UNROLL of tiles of the inputs'
        // columns; the caller vouches for the rest.
        unsafe { T::run(entries, group, start, sums.cast()) };
        if T::OFFSET != 0 {
            let offset = self.sum.wrapping_mul(T::OFFSET);
            // SAFETY: `sums` may be written.
            for sum in unsafe { &mut *sums } {
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
    let aligned = |section: *const u8| section.addr().is_multiple_of(ALIGNMENT);
    let aligned = aligned(layer.weights().as_ptr()) && aligned(layer.biases().as_ptr().cast());
    if layer.layout() != T::LAYOUT || !aligned || !T::available() {
        return Portable::accumulate(layer, inputs, emit);
    }
    let inputs = inputs.get(..layer.inputs()).unwrap_or(inputs);
    let tiles = inputs.len().div_ceil(T::COLUMNS);
    let group_length = layer.inputs().next_multiple_of(T::COLUMNS) * ROWS;
    // Not `[MaybeUninit::uninit(); CAPACITY]`, which the compiler fills with zeros.
    let mut memory = MaybeUninit::<[Entry; CAPACITY]>::uninit();
    let mut list = List {
        slots: slots_of(&mut memory),
        count: 0,
        sum: 0,
    };
    let listed = list.fill::<T>(inputs, 0);
    let groups = layer.weights().chunks_exact(group_length);
    for (biases, (first, group)) in layer
        .biases()
        .chunks(ROWS)
        .zip((0..).step_by(ROWS).zip(groups))
    {
        let mut sums = [0; ROWS];
        let start = match biases.as_array::<ROWS>() {
            Some(biases) => biases.as_ptr().cast(),
            None => {
                for (sum, &bias) in sums.iter_mut().zip(biases) {
                    *sum = i32::from_le_bytes(bias);
                }
                (&raw const sums).cast()
            }
        };
        let (mut part, mut from, mut next) = (group, start, listed);
        loop {
            // SAFETY: `chunks_exact` cut whole groups out of aligned weights, and
            // the list is of their columns, from the first tile in `part` on.
            // `from` is at ROWS numbers: `sums`, or biases, each group of which
            // is as aligned as the first.
            unsafe { list.run::<T>(part, from, &raw mut sums) };
            if next >= tiles {
                break;
            }
            part = group.get(next * T::COLUMNS * ROWS..).unwrap_or(&[]);
            next = list.fill::<T>(inputs, next);
            from = (&raw const sums).cast();
        }
        if listed < tiles {
            list.fill::<T>(inputs, 0);
        }
        emit(first, sums.get(..biases.len()).unwrap_or(&sums));
    }
}

/// Memory for entries as a slice of slots.
fn slots_of(memory: &mut MaybeUninit<[Entry; CAPACITY]>) -> &mut [MaybeUninit<Entry>] {
    let first = memory.as_mut_ptr().cast();
    // SAFETY: the memory is borrowed, and has CAPACITY slots, which may be
    // uninitialised.
    unsafe { core::slice::from_raw_parts_mut(first, CAPACITY) }
}
