//! What the kernels for Cortex-M share: an index of the activations that are not
//! zero, made once for a layer, over which every group of 8 rows then runs.
//!
//! A layer of 6 inputs in tiles of one column; `.` is an activation of 0:
//!
//! ```text
//! activations     .   7   .   .   3   9
//! tile offset     0   8  16  24  32  40
//!
//! index          (7, skip 8)  (3, skip 16)  (9, skip 0)  (0, skip -8)
//!                     |            |             |            |
//! pointer     0 ----> 8 ..16 ----> 32 ..40 ----> 40 ..48 ---> 40 ..48
//!                                                             fills up
//! ```
//!
//! An entry has the activations of one tile and the bytes to skip before it. A
//! kernel goes through the index with a pointer to weights: it adds the skip, reads
//! the tile, which moves the pointer behind it, and multiplies. It takes a fixed
//! number of entries at a time ([`Tiles::UNROLL`]), so the index is filled up with
//! entries that look at the last tile again, with activations 0. Helium gathers
//! tiles, and has offsets from the group's start ([`Tiles::ABSOLUTE`]) instead of
//! skips.
//!
//! All groups of rows have the same columns, so one index serves them all; only
//! the pointer starts at each group's first tile:
//!
//! ```text
//! weights     | group of rows 0..8 | group of rows 8..16 | ...
//!             ^ index              ^ index again         ^ and again
//! ```
//!
//! If there are more activations than the index has room for, it is made again for
//! the later ones, and the sums go on from what they were.

use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::slice;

use super::{Kernel, Portable};
use crate::model::{ALIGNMENT, Layer, Layout};

/// The rows of a group.
pub(super) const ROWS: usize = 8;
/// Groups whose sums are handed on together.
const GROUPS: usize = 8;
/// Entries of an index, 2 KiB of stack. What doesn't fit is indexed again for each
/// few groups: slower, and as exact. Of a handwritten digit's 392 pixels, 75 are
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

/// How one kernel goes through an index.
pub(super) trait Tiles: Kernel {
    /// The layout whose tiles it reads.
    const LAYOUT: Layout;
    /// Columns of a tile: 1, 2 or 4.
    const COLUMNS: usize = Self::LAYOUT.tile().1;
    /// Bytes of a tile.
    const BYTES: u32 = {
        assert!(Self::LAYOUT.tile().0 == ROWS);
        assert!(matches!(Self::COLUMNS, 1 | 2 | 4));
        (ROWS * Self::COLUMNS) as u32
    };
    /// What the layout adds to every weight.
    const OFFSET: i32;
    /// What [`Entry::skip`] counts from.
    const ABSOLUTE: bool;
    /// Entries that are handled at a time.
    const UNROLL: usize;

    /// Activations as the kernel multiplies them, from a tile's columns in the
    /// bytes of a word.
    fn pack(columns: u32) -> u32;

    /// Writes the sums of all rows of the groups: what is at their start, plus
    /// the products of the entries with each group's weights.
    ///
    /// # Safety
    /// The processor must have the kernel's instructions, for which a value of its
    /// type is the proof. The number of entries must be a multiple of
    /// [`Self::UNROLL`] and above 0, and they must lead to whole tiles within each
    /// of the groups, which must be as [`Groups`] says.
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
    #[cfg(any(kernel_columns, kernel_helium))]
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

/// The index of the activations that are not zero, in memory of the caller's, which
/// needs not be initialised: to do so would cost as many instructions as a tenth of
/// an embedding.
struct NonZeros<'i> {
    slots: &'i mut [MaybeUninit<Entry>],
    /// The entries in the first slots.
    count: usize,
    /// The sum of all activations in it.
    sum: i32,
}

/// Where an index is being written, and the tile that is being looked at.
struct Cursor<'i, T> {
    /// The slots that are free.
    slots: slice::IterMut<'i, MaybeUninit<Entry>>,
    /// The tile, in bytes from the first one.
    tile: u32,
    /// What the next entry's skip counts from: the end of the tile before.
    base: u32,
    kernel: PhantomData<T>,
}

impl<'i, T: Tiles> Cursor<'i, T> {
    fn new(slots: &'i mut [MaybeUninit<Entry>]) -> Self {
        Self {
            slots: slots.iter_mut(),
            tile: 0,
            base: 0,
            kernel: PhantomData,
        }
    }

    /// The number of free slots.
    #[inline]
    fn free(&self) -> usize {
        self.slots.len()
    }

    /// Goes on by some tiles.
    #[inline]
    fn advance(&mut self, tiles: usize) {
        self.tile += tiles as u32 * T::BYTES;
    }

    /// Writes an entry for the tile, if there is room.
    #[inline]
    fn push(&mut self, activations: u32) {
        let skip = self.tile.wrapping_sub(self.base);
        if let Some(slot) = self.slots.next() {
            slot.write(Entry { activations, skip });
        }
        if !T::ABSOLUTE {
            self.base = self.tile.wrapping_add(T::BYTES);
        }
    }

    /// Takes the activations in some words, adding them to `sum` if the layout needs it; false
    /// if there isn't room for all of them and for those that fill up the index.
    #[inline(always)]
    fn take(&mut self, words: impl Iterator<Item = u32> + Clone, sum: &mut i32) -> bool {
        let count = 4 * words.clone().count();
        if words.clone().fold(0, |all, word| all | word) == 0 {
            self.advance(count / T::COLUMNS);
            return true;
        }
        if self.free() < count + T::UNROLL {
            return false;
        }
        for word in words {
            for number in 0..4 / T::COLUMNS as u32 {
                let bits = 8 * T::COLUMNS as u32;
                let columns = word >> (number * bits) & (u32::MAX >> (32 - bits));
                if columns != 0 {
                    self.push(T::pack(columns));
                    if T::OFFSET != 0 {
                        let activations = columns.to_le_bytes();
                        *sum += activations.into_iter().map(i32::from).sum::<i32>();
                    }
                }
                self.advance(1);
            }
        }
        true
    }

    /// Goes back to the tile of the last entry, or the first tile: where an entry
    /// that only fills up the index may look.
    fn go_back(&mut self, empty: bool) {
        self.tile = match empty || T::ABSOLUTE {
            true => self.base,
            false => self.base.wrapping_sub(T::BYTES),
        };
    }
}

impl NonZeros<'_> {
    /// Indexes the activations of the tiles from number `start` on, until there
    /// are no more or the index is full; the number of the first tile left out.
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
        let inputs = inputs.get(start * T::COLUMNS..).unwrap_or(&[]);
        let (chunks, rest) = inputs.as_chunks::<STEP>();
        let mut last = [0; STEP];
        for (last, &activation) in last.iter_mut().zip(rest) {
            *last = activation;
        }
        let room = self.slots.len();
        let mut cursor = Cursor::<T>::new(self.slots);
        let mut sum = 0;
        // Cores that read words at multiples of four alone would read byte by byte.
        if !cfg!(kernel_unaligned)
            && STEP == 4
            && let Ok(words) = bytemuck::try_cast_slice::<_, u32>(chunks.as_flattened())
        {
            let (last, _) = last.as_chunks().0.split_first().unwrap_or((&[0; 4], &[]));
            for words in [words, &[u32::from_ne_bytes(*last)]] {
                let mut words = words.iter();
                if !words.all(|&word| cursor.take([u32::from_le(word)].into_iter(), &mut sum)) {
                    break;
                }
            }
        } else {
            for chunks in [chunks, &[last]] {
                let taken = chunks.iter().all(|chunk| {
                    let (words, _) = chunk.as_chunks::<4>();
                    cursor.take(words.iter().map(|&word| u32::from_le_bytes(word)), &mut sum)
                });
                if !taken {
                    break;
                }
            }
        }
        let next = start + (cursor.tile / T::BYTES) as usize;
        cursor.go_back(cursor.free() == room);
        if cursor.free() == room {
            cursor.push(0);
            cursor.go_back(false);
        }
        while !(room - cursor.free()).is_multiple_of(T::UNROLL) {
            cursor.push(0);
        }
        (self.count, self.sum) = (room - cursor.free(), sum);
        next
    }

    /// Writes what is at the groups' start, plus the products of what is indexed
    /// with their weights from the index's first tile on.
    ///
    /// # Safety
    /// The processor must have the kernel's instructions. The groups must be as
    /// [`Groups`] says and have the columns that were indexed.
    unsafe fn run<T: Tiles>(&self, groups: Groups) {
        // SAFETY: `fill` has written the first `count` slots.
        let entries = unsafe { self.slots.get_unchecked(..self.count).assume_init_ref() };
        // SAFETY: `fill` indexes a multiple of UNROLL of tiles of the inputs'
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

/// [`Kernel::accumulate`] for kernels that go through an index. The kernel, a value
/// of its type, is the proof that the processor has its instructions.
#[inline(never)] // One index on the stack at a time.
pub(super) fn accumulate<T: Tiles>(
    _kernel: T,
    layer: &Layer<'_>,
    inputs: &[u8],
    mut emit: impl FnMut(usize, &[i32]),
) {
    let aligned = |section: *const u8| section.addr().is_multiple_of(ALIGNMENT);
    let aligned = aligned(layer.weights().as_ptr()) && aligned(layer.biases().as_ptr().cast());
    if layer.layout() != T::LAYOUT || !aligned {
        return Portable.accumulate(layer, inputs, emit);
    }
    let inputs = inputs.get(..layer.inputs()).unwrap_or(inputs);
    let tiles = inputs.len().div_ceil(T::COLUMNS);
    let group_length = layer.inputs().next_multiple_of(T::COLUMNS) * ROWS;
    // Not `[MaybeUninit::uninit(); CAPACITY]`, which the compiler fills with zeros.
    let mut memory = MaybeUninit::<[Entry; CAPACITY]>::uninit();
    let mut index = NonZeros {
        slots: slots_of(&mut memory),
        count: 0,
        sum: 0,
    };
    let indexed = index.fill::<T>(inputs, 0);
    let mut memory = MaybeUninit::<[[i32; ROWS]; GROUPS]>::uninit();
    let mut weights = layer.weights();
    let mut later = layer.biases();
    let mut first = 0;
    while !later.is_empty() {
        let biases;
        (biases, later) = later
            .split_at_checked(GROUPS * ROWS)
            .unwrap_or((later, &[]));
        let whole = Groups {
            weights: weights.as_ptr(),
            length: group_length,
            count: biases.len() / ROWS,
            start: biases.as_ptr().cast(),
            sums: memory.as_mut_ptr().cast(),
        };
        let mut run = |groups: Groups| {
            // SAFETY: a parsed layer has a group of weights for every ROWS rows
            // or less, and the index is of their columns. Groups of rows are as
            // aligned as the first. There is room for the sums of GROUPS groups.
            // The kernel that was handed over is the proof of the instructions.
            unsafe {
                index.run::<T>(groups);
                if indexed < tiles {
                    run_later_tiles::<T>(&mut index, inputs, indexed, groups);
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
        first += biases.len();
        weights = weights.get(GROUPS * group_length..).unwrap_or_default();
    }
}

/// Adds the products of the tiles from number `next` on, for which the index had no
/// room, to the groups' sums; then indexes the first ones again.
///
/// # Safety
/// As for [`NonZeros::run`]; the sums are what came before.
#[cold]
#[inline(never)]
unsafe fn run_later_tiles<T: Tiles>(
    index: &mut NonZeros<'_>,
    inputs: &[u8],
    mut next: usize,
    groups: Groups,
) {
    while next * T::COLUMNS < inputs.len() {
        // SAFETY: there are as many tiles in a group.
        let weights = unsafe { groups.weights.add(next * T::COLUMNS * ROWS) };
        next = index.fill::<T>(inputs, next);
        // SAFETY: the index is of the tiles from the first at `weights` on; the
        // caller vouches for the rest.
        unsafe {
            index.run::<T>(Groups {
                weights,
                start: groups.sums,
                ..groups
            });
        }
    }
    index.fill::<T>(inputs, 0);
}

/// Memory for entries as a slice of slots.
fn slots_of(memory: &mut MaybeUninit<[Entry; CAPACITY]>) -> &mut [MaybeUninit<Entry>] {
    let first = memory.as_mut_ptr().cast();
    // SAFETY: the memory is borrowed, and has CAPACITY slots, which may be
    // uninitialised.
    unsafe { slice::from_raw_parts_mut(first, CAPACITY) }
}
