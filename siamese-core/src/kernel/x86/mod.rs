//! 64-bit x86: the host's kernels.
//!
//! A tile of the layout [`WideTiles`](Layout::WideTiles) is one vector of 64
//! bytes: two columns of 32 rows. Pairs of activations that are both zero are
//! left out, whatever the columns of the others: the tiles of any two pairs,
//! interleaved, are four columns of 16 rows, twice. The two pairs are one word,
//! which is broadcast and multiplied with all 64 weights.
//!
//! Of many images, each few rows' weights are used for all before the next
//! rows', so that they come from the nearest cache.
//!
//! This file has the index of non-zeros and the order of the work; `avx512` and
//! `avx2` have what an instruction set does with a tile.

/// A kernel: its type, name, the features that its functions are compiled for, and
/// how each of them is called where it is looked for. What it does with a tile is
/// its [`Tiles`].
macro_rules! x86_kernel {
    ($(#[$doc:meta])* $kernel:ident, $name:literal, $enable:literal, $($feature:tt),+) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        pub struct $kernel(());

        impl $kernel {
            pub(in super::super) const LAYOUT: Layout = LAYOUT;

            /// The kernel, if the processor has the instructions.
            #[must_use]
            pub fn new() -> Option<Self> {
                let has = $(is_x86_feature_detected!($feature))&&+;
                has.then_some(Self(()))
            }

            /// The kernel, without asking.
            ///
            /// # Safety
            /// The processor must have the instructions, and the operating system
            /// save their registers.
            #[must_use]
            pub const unsafe fn new_unchecked() -> Self {
                Self(())
            }
        }

        impl Kernel for $kernel {
            fn name(self) -> &'static str {
                $name
            }

            fn layout(self) -> Layout {
                Self::LAYOUT
            }

            #[inline]
            fn accumulate(self, layer: &Layer<'_>, inputs: &[u8], emit: impl FnMut(usize, &[i32])) {
                if layer.layout() == Self::LAYOUT {
                    // SAFETY: `self` is the proof that the processor has the
                    // instructions.
                    unsafe { one(layer, inputs, emit) }
                } else {
                    Portable.accumulate(layer, inputs, emit);
                }
            }

            #[inline]
            fn accumulate_batch(
                self,
                layer: &Layer<'_>,
                inputs: &[u8],
                emit: impl FnMut(usize, usize, &[i32]),
            ) {
                if layer.layout() == Self::LAYOUT {
                    // SAFETY: as above.
                    unsafe { batch(layer, inputs, emit) }
                } else {
                    Portable.accumulate_batch(layer, inputs, emit);
                }
            }
        }

        #[target_feature(enable = $enable)]
        fn one(layer: &Layer<'_>, inputs: &[u8], emit: impl FnMut(usize, &[i32])) {
            // SAFETY: this function has the features.
            unsafe { accumulate_one::<$kernel>(layer, inputs, emit) }
        }

        #[target_feature(enable = $enable)]
        fn batch(layer: &Layer<'_>, inputs: &[u8], emit: impl FnMut(usize, usize, &[i32])) {
            // SAFETY: this function has the features.
            unsafe { accumulate_batch::<$kernel>(layer, inputs, emit) }
        }
    };
}

mod avx2;
mod avx512;

use core::mem::MaybeUninit;

use crate::model::{Layer, Layout};

pub use avx2::X86Avx2;
pub use avx512::X86Vnni;

/// The layout of both instruction sets.
const LAYOUT: Layout = Layout::WideTiles;
/// Rows of a group, which is a row of tiles.
const ROWS: usize = LAYOUT.tile().0;
/// Columns of a tile.
const COLUMNS: usize = LAYOUT.tile().1;
/// Bytes of a tile.
const TILE: usize = ROWS * COLUMNS;

// What the instructions are written for.
const _: () = assert!(ROWS == 32 && COLUMNS == 2);

/// Groups at a time, whose sums stay in registers.
const GROUPS: usize = 4;
/// Bytes of weights at a time in a batch, unless two groups are more: they are
/// still there for the next image.
const BLOCK: usize = 64 * 1024;
/// Images of a batch whose indices are kept at the same time.
const IMAGES: usize = 64;
/// Entries of an index: 1024 columns. More are indexed anew for each few groups.
const CAPACITY: usize = 512;

/// What an index has room for: vectors are written whole, and a zero behind all.
const ROOM: usize = CAPACITY + 16;

/// The index of non-zeros: pairs of activations, not both zero, each in the upper half of
/// an entry, and the offset of its tile in a group, in bytes, in the lower half.
///
/// The first `count` are initialised, and `count` is even. To clear all would take a tenth
/// of an embedding's time.
struct NonZeros {
    entries: [MaybeUninit<u32>; ROOM],
    count: usize,
}

// The last tile's offset.
const _: () = assert!((CAPACITY - 1) * TILE <= u16::MAX as usize);

/// The sums of neighbouring groups.
type Sums = [[i32; ROWS]; GROUPS];

/// What an instruction set does with tiles.
trait Tiles {
    /// Indexes the pairs that are not zero, of at most `CAPACITY * COLUMNS`
    /// activations.
    ///
    /// # Safety
    /// The processor must have the instructions.
    unsafe fn fill(index: &mut NonZeros, inputs: &[u8]);

    /// Adds the products to the sums of the first `G` groups: `to` becomes
    /// their sum with `from`.
    ///
    /// # Safety
    /// The processor must have the instructions, and every entry's tile be
    /// within `group_length` bytes, of which `G` are at `weights`; the last one
    /// may be shorter by what comes before `weights` in a group.
    unsafe fn run<const G: usize>(
        index: &NonZeros,
        weights: *const u8,
        group_length: usize,
        from: &Sums,
        to: &mut Sums,
    );
}

/// One image.
///
/// # Safety
/// As [`accumulate`].
#[inline(always)] // Into the functions that have the instructions.
unsafe fn accumulate_one<T: Tiles>(
    layer: &Layer<'_>,
    inputs: &[u8],
    mut emit: impl FnMut(usize, &[i32]),
) {
    let inputs = inputs.get(..layer.inputs()).unwrap_or(inputs);
    let mut memory = [const { MaybeUninit::uninit() }];
    let emit = |_, first, sums: &[i32]| emit(first, sums);
    // SAFETY: the caller vouches for it.
    unsafe { accumulate::<T>(layer, GROUPS, 1, |_| inputs, &mut memory, emit) }
}

/// A batch.
///
/// # Safety
/// As [`accumulate`].
#[inline(always)] // Into the functions that have the instructions.
unsafe fn accumulate_batch<T: Tiles>(
    layer: &Layer<'_>,
    inputs: &[u8],
    mut emit: impl FnMut(usize, usize, &[i32]),
) {
    // A parsed layer has inputs.
    let columns = layer.inputs().max(1);
    let groups = if GROUPS * group_length(layer) <= BLOCK {
        GROUPS
    } else {
        2
    };
    let mut memory = [const { MaybeUninit::uninit() }; IMAGES];
    for (part, inputs) in inputs.chunks(IMAGES * columns).enumerate() {
        let count = inputs.len() / columns;
        let image = |index: usize| inputs.get(index * columns..).unwrap_or_default();
        let image = |index| image(index).get(..columns).unwrap_or_default();
        let emit = |index, first, sums: &[i32]| emit(part * IMAGES + index, first, sums);
        // SAFETY: the caller vouches for it.
        unsafe { accumulate::<T>(layer, groups, count, image, &mut memory, emit) }
    }
}

/// Bytes of a group.
fn group_length(layer: &Layer<'_>) -> usize {
    layer.inputs().div_ceil(COLUMNS) * TILE
}

/// Goes through all groups, at most so many at a time, and with each few of
/// them through as many images as there is memory for indices.
///
/// # Safety
/// The processor must have the instructions of `T`; the layout must be
/// [`LAYOUT`]; no image may have more activations than the layer
/// has inputs.
#[inline(always)] // Into the functions that have the instructions.
unsafe fn accumulate<'i, T: Tiles>(
    layer: &Layer<'_>,
    most_groups: usize,
    count: usize,
    image: impl Fn(usize) -> &'i [u8],
    memory: &mut [MaybeUninit<NonZeros>],
    mut emit: impl FnMut(usize, usize, &[i32]),
) {
    /// Activations of an index.
    const PART: usize = CAPACITY * COLUMNS;
    let group_length = group_length(layer);
    let fits = layer.inputs() <= PART;
    if fits {
        for (index, memory) in memory.iter_mut().take(count).enumerate() {
            // SAFETY: the caller vouches for the instructions.
            unsafe { T::fill(NonZeros::empty_in(memory), image(index)) };
        }
    }
    let mut weights = layer.weights();
    let mut biases = layer.biases();
    let mut first = 0;
    let mut sums: Sums = [[0; ROWS]; GROUPS];
    while !biases.is_empty() {
        let groups = match weights
            .len()
            .checked_div(group_length)
            .unwrap_or(0)
            .min(most_groups)
        {
            GROUPS.. => GROUPS,
            2.. => 2,
            1 => 1,
            // A parsed model has groups for all rows.
            0 => return,
        };
        let mut start: Sums = [[0; ROWS]; GROUPS];
        let (now, later) = biases
            .split_at_checked(groups * ROWS)
            .unwrap_or((biases, &[]));
        for (sum, &bias) in start.as_flattened_mut().iter_mut().zip(now) {
            *sum = i32::from_le_bytes(bias);
        }
        // SAFETY, for all calls: the index is of the layer's columns from
        // `column` on, and there are as many groups; the caller vouches for the
        // instructions.
        let run = |entries: &NonZeros, column: usize, from: &Sums, to: &mut Sums| unsafe {
            let weights = weights.as_ptr().add(column / COLUMNS * TILE);
            match groups {
                GROUPS => T::run::<GROUPS>(entries, weights, group_length, from, to),
                2 => T::run::<2>(entries, weights, group_length, from, to),
                _ => T::run::<1>(entries, weights, group_length, from, to),
            }
        };
        for (index, memory) in memory.iter_mut().take(count).enumerate() {
            if fits {
                // SAFETY: it was filled above.
                run(unsafe { memory.assume_init_ref() }, 0, &start, &mut sums);
            } else {
                sums = start;
                let entries = NonZeros::empty_in(memory);
                let columns = (0..).step_by(PART);
                for (part, column) in image(index).chunks(PART).zip(columns) {
                    // SAFETY: the caller vouches for the instructions.
                    unsafe { T::fill(entries, part) };
                    let from = sums;
                    run(entries, column, &from, &mut sums);
                }
            }
            emit(
                index,
                first,
                sums.as_flattened().get(..now.len()).unwrap_or_default(),
            );
        }
        first += now.len();
        biases = later;
        weights = weights.get(groups * group_length..).unwrap_or_default();
    }
}

impl NonZeros {
    /// An empty index in that memory.
    #[inline]
    fn empty_in(memory: &mut MaybeUninit<Self>) -> &mut Self {
        // SAFETY: the count is written, and all else need not be initialised.
        unsafe {
            (&raw mut (*memory.as_mut_ptr()).count).write(0);
            memory.assume_init_mut()
        }
    }

    /// Ends an index whose first `count` entries, at most [`CAPACITY`], are
    /// written, with a zero if it takes one to make their number even.
    #[inline]
    fn end(&mut self, count: usize) {
        self.entries[count].write(0);
        self.count = count.next_multiple_of(2);
    }

    /// Two pairs at a time, as one word, and their offsets.
    #[inline]
    fn words(&self) -> impl Iterator<Item = (u32, [usize; 2])> {
        // SAFETY: the first `count` are initialised.
        let entries = unsafe { self.entries.get_unchecked(..self.count).assume_init_ref() };
        let (entries, _) = entries.as_chunks::<2>();
        entries.iter().map(|&[one, other]| {
            let word = one >> 16 | other & 0xFFFF_0000;
            (word, [one, other].map(|entry| entry as u16 as usize))
        })
    }
}
