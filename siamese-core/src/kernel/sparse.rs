//! What the kernels for Cortex-M share: a list of the activations that are not
//! zero, made once for a layer, over which every group of 8 rows then runs.

use core::mem::MaybeUninit;
use core::slice;

use super::{Kernel, Portable};
use crate::model::{ALIGNMENT, Layer};

/// The rows of a group.
pub(super) const ROWS: usize = 8;
/// Groups whose sums are handed on together.
const GROUPS: usize = 8;
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

    /// Writes the sums of all rows of the groups: what is at their start, plus
    /// the products of the entries with each group's weights.
    ///
    /// # Safety
    /// The number of entries must be a multiple of [`Self::UNROLL`] and above 0,
    /// and they must lead to whole tiles within each of the groups, which must
    /// be as [`Groups`] says.
    unsafe fn run(entries: &[Entry], groups: Groups);
}

/// Some groups, one after the other; at least one. Where they begin is aligned
/// as weights are, or a whole number of tiles later.
#[derive(Clone, Copy)]
pub(super) struct Groups {
    /// The first one's weights.
    pub weights: *const u8,
    /// Bytes from one group to the next.
    pub length: usize,
    pub count: usize,
    /// What the sums start with, [`ROWS`] numbers a group.
    pub start: *const i32,
    /// Where the sums go, as many numbers; may be where `start` is.
    pub sums: *mut i32,
}

impl Groups {
    /// Calls `run(weights, start, sums)` for each group.
    ///
    /// # Safety
    /// All that the fields lead to must be there.
    #[cfg(any(kernel_thumb, kernel_helium))]
    #[inline]
    pub unsafe fn each(mut self, mut run: impl FnMut(*const u8, *const i32, *mut i32)) {
        // SAFETY: the pointers end behind the last group.
        let end = unsafe { self.sums.add(self.count * ROWS) };
        while self.sums != end {
            run(self.weights, self.start, self.sums);
            // SAFETY: as above.
            unsafe {
                self.weights = self.weights.add(self.length);
                self.start = self.start.add(ROWS);
                self.sums = self.sums.add(ROWS);
            }
        }
    }
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

    /// Writes what is at the groups' start, plus the products of what is listed
    /// with their weights from the list's first tile on.
    ///
    /// # Safety
    /// The groups must be as [`Groups`] says and have the columns that were
    /// listed.
    unsafe fn run<T: Tiles>(&self, groups: Groups) {
        // SAFETY: `fill` has written the first `count` slots.
        let entries = unsafe { self.slots.get_unchecked(..self.count).assume_init_ref() };
        // SAFETY: `fill` lists a multiple of UNROLL of tiles of the inputs'
        // columns; the caller vouches for the rest.
        unsafe { T::run(entries, groups) };
        if T::OFFSET != 0 {
            let offset = self.sum.wrapping_mul(T::OFFSET);
            // SAFETY: the kernel has written the sums, which nobody else holds.
            let sums: &mut [[i32; ROWS]] =
                unsafe { slice::from_raw_parts_mut(groups.sums.cast(), groups.count) };
            for sum in sums.as_flattened_mut() {
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
    let mut memory = MaybeUninit::<[[i32; ROWS]; GROUPS]>::uninit();
    let parts = layer.weights().chunks(GROUPS * group_length);
    let rows = layer.biases().chunks(GROUPS * ROWS);
    for (first, (weights, biases)) in (0..).step_by(GROUPS * ROWS).zip(parts.zip(rows)) {
        let whole = Groups {
            weights: weights.as_ptr(),
            length: group_length,
            count: biases.len() / ROWS,
            start: biases.as_ptr().cast(),
            sums: memory.as_mut_ptr().cast(),
        };
        let mut run = |groups: Groups| {
            // SAFETY: a parsed layer has a group of weights for every ROWS rows
            // or less, and the list is of their columns. Groups of rows are as
            // aligned as the first. There is room for the sums of GROUPS groups.
            unsafe {
                list.run::<T>(groups);
                if listed < tiles {
                    run_later_lists::<T>(&mut list, inputs, listed, groups);
                }
            }
        };
        if whole.count > 0 {
            run(whole);
        }
        let (_, rest) = biases.as_chunks::<ROWS>();
        if !rest.is_empty() {
            let mut start = [0; ROWS];
            for (start, &bias) in start.iter_mut().zip(rest) {
                *start = i32::from_le_bytes(bias);
            }
            // SAFETY: these weights and this room follow the whole groups'.
            let (weights, sums) = unsafe {
                (
                    whole.weights.add(whole.count * group_length),
                    whole.sums.add(whole.count * ROWS),
                )
            };
            run(Groups {
                weights,
                count: 1,
                start: (&raw const start).cast(),
                sums,
                ..whole
            });
        }
        // SAFETY: the kernel has written the sums of all these rows.
        let sums = unsafe { slice::from_raw_parts(memory.as_ptr().cast(), biases.len()) };
        emit(first, sums);
    }
}

/// Adds the products of the tiles from number `next` on, which were too many
/// for one list, to the groups' sums; then lists the first ones again.
///
/// # Safety
/// As for [`List::run`]; the sums are what came before.
#[cold]
#[inline(never)]
unsafe fn run_later_lists<T: Tiles>(
    list: &mut List<'_>,
    inputs: &[u8],
    mut next: usize,
    groups: Groups,
) {
    while next * T::COLUMNS < inputs.len() {
        // SAFETY: there are as many tiles in a group.
        let weights = unsafe { groups.weights.add(next * T::COLUMNS * ROWS) };
        next = list.fill::<T>(inputs, next);
        // SAFETY: the list is of the tiles from the first at `weights` on; the
        // caller vouches for the rest.
        unsafe {
            list.run::<T>(Groups {
                weights,
                start: groups.sums,
                ..groups
            });
        }
    }
    list.fill::<T>(inputs, 0);
}

/// Memory for entries as a slice of slots.
fn slots_of(memory: &mut MaybeUninit<[Entry; CAPACITY]>) -> &mut [MaybeUninit<Entry>] {
    let first = memory.as_mut_ptr().cast();
    // SAFETY: the memory is borrowed, and has CAPACITY slots, which may be
    // uninitialised.
    unsafe { slice::from_raw_parts_mut(first, CAPACITY) }
}
