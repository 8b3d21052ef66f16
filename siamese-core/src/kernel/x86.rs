//! 64-bit x86 with AVX-512 VNNI, or at least AVX2: the host's kernel.
//!
//! A tile of the layout [`WidePairs`](Layout::WidePairs) is one vector of 64
//! bytes: two columns of 32 rows. Pairs of activations that are both zero are
//! left out, whatever the columns of the others: the tiles of any two pairs,
//! interleaved, are four columns of 16 rows, twice. The two pairs are one word,
//! which is broadcast; `vpdpbusd` multiplies it with all 64 weights and adds up
//! the four products of each row. AVX2 takes two halves of a tile and three
//! instructions for each product; the sum of two, at most 2 * 127 * 127, fits
//! the 16 bits that it has in between.
//!
//! Of many images, each few rows' weights are used for all before the next
//! rows', so that they come from the nearest cache.

use core::arch::x86_64::{
    __m256i, __m512i, _mm256_add_epi32, _mm256_loadu_si256, _mm256_madd_epi16,
    _mm256_maddubs_epi16, _mm256_maskz_loadu_epi8, _mm256_permute2x128_si256, _mm256_set1_epi16,
    _mm256_set1_epi32, _mm256_setzero_si256, _mm256_storeu_si256, _mm256_unpackhi_epi16,
    _mm256_unpacklo_epi16, _mm512_add_epi32, _mm512_cvtepi32_epi16, _mm512_cvtepu16_epi32,
    _mm512_dpbusd_epi32, _mm512_loadu_si512, _mm512_maskz_compress_epi32,
    _mm512_permutex2var_epi64, _mm512_set1_epi32, _mm512_setr_epi32, _mm512_setr_epi64,
    _mm512_setzero_si512, _mm512_slli_epi32, _mm512_storeu_si512, _mm512_test_epi32_mask,
    _mm512_unpackhi_epi16, _mm512_unpacklo_epi16,
};

use core::mem::MaybeUninit;

use core_detect::is_x86_feature_detected;

use super::{Kernel, Portable};
use crate::model::{Layer, Layout};

/// The kernel for 64-bit x86: [`X86Vnni`] where the processor has that, else
/// [`X86Avx2`].
pub struct X86;

/// The kernel for AVX-512 with VNNI.
pub struct X86Vnni;

/// The kernel for AVX2.
pub struct X86Avx2;

impl Kernel for X86 {
    const NAME: &'static str = "x86";
    const LAYOUT: Layout = Layout::WidePairs;

    fn available() -> bool {
        X86Vnni::available() || X86Avx2::available()
    }

    #[inline]
    fn accumulate(layer: &Layer<'_>, inputs: &[u8], emit: impl FnMut(usize, &[i32])) {
        if X86Vnni::available() {
            X86Vnni::accumulate(layer, inputs, emit);
        } else {
            X86Avx2::accumulate(layer, inputs, emit);
        }
    }

    #[inline]
    fn accumulate_batch(layer: &Layer<'_>, inputs: &[u8], emit: impl FnMut(usize, usize, &[i32])) {
        if X86Vnni::available() {
            X86Vnni::accumulate_batch(layer, inputs, emit);
        } else {
            X86Avx2::accumulate_batch(layer, inputs, emit);
        }
    }
}

/// Which of the two ways this processor goes; `None` if neither.
pub(super) fn way() -> Option<&'static str> {
    if X86Vnni::available() {
        Some(X86Vnni::NAME)
    } else {
        X86Avx2::available().then_some(X86Avx2::NAME)
    }
}

impl Kernel for X86Vnni {
    const NAME: &'static str = "x86-avx512-vnni";
    const LAYOUT: Layout = Layout::WidePairs;

    fn available() -> bool {
        is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni")
    }

    #[inline]
    fn accumulate(layer: &Layer<'_>, inputs: &[u8], emit: impl FnMut(usize, &[i32])) {
        if layer.layout() == Self::LAYOUT && Self::available() {
            // SAFETY: the processor has what the function is compiled for.
            unsafe { one_by_vnni(layer, inputs, emit) }
        } else {
            Portable::accumulate(layer, inputs, emit);
        }
    }

    #[inline]
    fn accumulate_batch(layer: &Layer<'_>, inputs: &[u8], emit: impl FnMut(usize, usize, &[i32])) {
        if layer.layout() == Self::LAYOUT && Self::available() {
            // SAFETY: the processor has what the function is compiled for.
            unsafe { batch_by_vnni(layer, inputs, emit) }
        } else {
            Portable::accumulate_batch(layer, inputs, emit);
        }
    }
}

impl Kernel for X86Avx2 {
    const NAME: &'static str = "x86-avx2";
    const LAYOUT: Layout = Layout::WidePairs;

    fn available() -> bool {
        is_x86_feature_detected!("avx2")
    }

    #[inline]
    fn accumulate(layer: &Layer<'_>, inputs: &[u8], emit: impl FnMut(usize, &[i32])) {
        if layer.layout() == Self::LAYOUT && Self::available() {
            // SAFETY: the processor has what the function is compiled for.
            unsafe { one_by_avx2(layer, inputs, emit) }
        } else {
            Portable::accumulate(layer, inputs, emit);
        }
    }

    #[inline]
    fn accumulate_batch(layer: &Layer<'_>, inputs: &[u8], emit: impl FnMut(usize, usize, &[i32])) {
        if layer.layout() == Self::LAYOUT && Self::available() {
            // SAFETY: the processor has what the function is compiled for.
            unsafe { batch_by_avx2(layer, inputs, emit) }
        } else {
            Portable::accumulate_batch(layer, inputs, emit);
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn one_by_vnni(layer: &Layer<'_>, inputs: &[u8], emit: impl FnMut(usize, &[i32])) {
    // SAFETY: this function has the features.
    unsafe { accumulate_one::<Vnni>(layer, inputs, emit) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn batch_by_vnni(layer: &Layer<'_>, inputs: &[u8], emit: impl FnMut(usize, usize, &[i32])) {
    // SAFETY: this function has the features.
    unsafe { accumulate_batch::<Vnni>(layer, inputs, emit) }
}

#[target_feature(enable = "avx2")]
fn one_by_avx2(layer: &Layer<'_>, inputs: &[u8], emit: impl FnMut(usize, &[i32])) {
    // SAFETY: this function has the features.
    unsafe { accumulate_one::<Avx2>(layer, inputs, emit) }
}

#[target_feature(enable = "avx2")]
fn batch_by_avx2(layer: &Layer<'_>, inputs: &[u8], emit: impl FnMut(usize, usize, &[i32])) {
    // SAFETY: this function has the features.
    unsafe { accumulate_batch::<Avx2>(layer, inputs, emit) }
}

/// Rows of a group, which is a row of tiles.
const ROWS: usize = 32;
/// Columns of a tile.
const COLUMNS: usize = 2;
/// Bytes of a tile.
const TILE: usize = ROWS * COLUMNS;
/// Groups at a time, whose sums stay in registers.
const GROUPS: usize = 4;
/// Bytes of weights at a time in a batch, unless two groups are more: they are
/// still there for the next image.
const BLOCK: usize = 64 * 1024;
/// Images of a batch whose lists are kept at the same time.
const IMAGES: usize = 64;
/// Entries of a list: 1024 columns. More are listed anew for each few groups.
const CAPACITY: usize = 512;

/// What a list has room for: vectors are written whole, and a zero behind all.
const ROOM: usize = CAPACITY + 16;

/// Pairs of activations, not both zero, and each one's tile's place in a group,
/// in bytes.
///
/// The first `count` of both are initialised, and `count` is even. To clear all
/// would take a tenth of an embedding's time.
struct List {
    pairs: [MaybeUninit<u16>; ROOM],
    places: [MaybeUninit<u16>; ROOM],
    count: usize,
}

// The last tile's place.
const _: () = assert!((CAPACITY - 1) * TILE <= u16::MAX as usize);

/// The sums of neighbouring groups.
type Sums = [[i32; ROWS]; GROUPS];

/// How the products of a list with some groups are added up.
trait Way {
    /// Lists the pairs that are not zero, of at most `CAPACITY * COLUMNS`
    /// activations.
    ///
    /// # Safety
    /// The processor must have the instructions.
    unsafe fn fill(list: &mut List, inputs: &[u8]);

    /// Adds the products to the sums of the first `G` groups: `to` becomes
    /// their sum with `from`.
    ///
    /// # Safety
    /// The processor must have the instructions, and every entry's tile be
    /// within `group_length` bytes, of which `G` are at `weights`; the last one
    /// may be shorter by what comes before `weights` in a group.
    unsafe fn run<const G: usize>(
        list: &List,
        weights: *const u8,
        group_length: usize,
        from: &Sums,
        to: &mut Sums,
    );
}

struct Vnni;

impl Way for Vnni {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn fill(list: &mut List, inputs: &[u8]) {
        /// Entries of a vector.
        const LANES: usize = 16;
        let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        let mut places = _mm512_slli_epi32::<{ TILE.ilog2() }>(lanes);
        let step = _mm512_set1_epi32((LANES * TILE) as i32);
        let mut count = 0;
        for chunk in inputs.chunks(LANES * COLUMNS).take(CAPACITY / LANES) {
            let present = u32::MAX >> (32 - chunk.len());
            // SAFETY: only the bytes of the chunk are read. There are at most
            // CAPACITY - LANES entries before, so there is room for a vector.
            unsafe {
                let pairs = _mm256_maskz_loadu_epi8(present, chunk.as_ptr().cast());
                let pairs = _mm512_cvtepu16_epi32(pairs);
                let active = _mm512_test_epi32_mask(pairs, pairs);
                let pairs = _mm512_maskz_compress_epi32(active, pairs);
                let of_pairs = _mm512_maskz_compress_epi32(active, places);
                let to = list.pairs.as_mut_ptr().add(count);
                _mm256_storeu_si256(to.cast(), _mm512_cvtepi32_epi16(pairs));
                let to = list.places.as_mut_ptr().add(count);
                _mm256_storeu_si256(to.cast(), _mm512_cvtepi32_epi16(of_pairs));
                count += active.count_ones() as usize;
            }
            places = _mm512_add_epi32(places, step);
        }
        list.end(count);
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn run<const G: usize>(
        list: &List,
        weights: *const u8,
        group_length: usize,
        from: &Sums,
        to: &mut Sums,
    ) {
        // Interleaving takes four rows for `low` and four for `high`, in turns.
        let mut low = [_mm512_setzero_si512(); G];
        let mut high = [_mm512_setzero_si512(); G];
        for (activations, [one, other]) in list.words() {
            let activations = _mm512_set1_epi32(activations.cast_signed());
            for group in 0..G {
                // SAFETY: the caller vouches for the tiles.
                let (one, other) = unsafe {
                    let tiles = weights.add(group * group_length);
                    (
                        _mm512_loadu_si512(tiles.add(one).cast::<__m512i>()),
                        _mm512_loadu_si512(tiles.add(other).cast::<__m512i>()),
                    )
                };
                let of_low = _mm512_unpacklo_epi16(one, other);
                let of_high = _mm512_unpackhi_epi16(one, other);
                low[group] = _mm512_dpbusd_epi32(low[group], activations, of_low);
                high[group] = _mm512_dpbusd_epi32(high[group], activations, of_high);
            }
        }
        let first = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
        let second = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
        let sums = low.into_iter().zip(high).zip(from.iter().zip(to));
        for ((low, high), (from, to)) in sums {
            for (half, order) in [first, second].into_iter().enumerate() {
                let sums = _mm512_permutex2var_epi64(low, order, high);
                // SAFETY: half of a group's sums is 64 bytes.
                unsafe {
                    let from = from.as_ptr().add(half * ROWS / 2);
                    let from = _mm512_loadu_si512(from.cast::<__m512i>());
                    let to = to.as_mut_ptr().add(half * ROWS / 2);
                    _mm512_storeu_si512(to.cast::<__m512i>(), _mm512_add_epi32(from, sums));
                }
            }
        }
    }
}

struct Avx2;

impl Way for Avx2 {
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn fill(list: &mut List, inputs: &[u8]) {
        let mut count = 0;
        let places = (0..).step_by(TILE);
        for (pair, place) in inputs.chunks(COLUMNS).take(CAPACITY).zip(places) {
            let pair = match *pair {
                [first, second] => u16::from_le_bytes([first, second]),
                [last] => last.into(),
                _ => 0,
            };
            // Without a branch, which could not be foreseen.
            list.pairs[count].write(pair);
            list.places[count].write(place);
            count += usize::from(pair != 0);
        }
        list.end(count);
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn run<const G: usize>(
        list: &List,
        weights: *const u8,
        group_length: usize,
        from: &Sums,
        to: &mut Sums,
    ) {
        let ones = _mm256_set1_epi16(1);
        for half in 0..2 {
            // Interleaving takes four rows for `low` and four for `high`, in turns.
            let mut low = [_mm256_setzero_si256(); G];
            let mut high = [_mm256_setzero_si256(); G];
            for (activations, [one, other]) in list.words() {
                let activations = _mm256_set1_epi32(activations.cast_signed());
                for group in 0..G {
                    // SAFETY: the caller vouches for the tiles.
                    let (one, other) = unsafe {
                        let tiles = weights.add(group * group_length + half * TILE / 2);
                        (
                            _mm256_loadu_si256(tiles.add(one).cast::<__m256i>()),
                            _mm256_loadu_si256(tiles.add(other).cast::<__m256i>()),
                        )
                    };
                    let add = |sums, weights| {
                        let products = _mm256_maddubs_epi16(activations, weights);
                        _mm256_add_epi32(sums, _mm256_madd_epi16(products, ones))
                    };
                    low[group] = add(low[group], _mm256_unpacklo_epi16(one, other));
                    high[group] = add(high[group], _mm256_unpackhi_epi16(one, other));
                }
            }
            let sums = low.into_iter().zip(high).zip(from.iter().zip(&mut *to));
            for ((low, high), (from, to)) in sums {
                let sums = [
                    _mm256_permute2x128_si256::<0x20>(low, high),
                    _mm256_permute2x128_si256::<0x31>(low, high),
                ];
                for (quarter, sums) in (2 * half..).zip(sums) {
                    // SAFETY: a quarter of a group's sums is 32 bytes.
                    unsafe {
                        let from = from.as_ptr().add(quarter * ROWS / 4);
                        let from = _mm256_loadu_si256(from.cast::<__m256i>());
                        let to = to.as_mut_ptr().add(quarter * ROWS / 4);
                        _mm256_storeu_si256(to.cast::<__m256i>(), _mm256_add_epi32(from, sums));
                    }
                }
            }
        }
    }
}

/// One image.
///
/// # Safety
/// As [`accumulate`].
#[inline(always)] // Into the functions that have the instructions.
unsafe fn accumulate_one<W: Way>(
    layer: &Layer<'_>,
    inputs: &[u8],
    mut emit: impl FnMut(usize, &[i32]),
) {
    let inputs = inputs.get(..layer.inputs()).unwrap_or(inputs);
    let mut memory = [const { MaybeUninit::uninit() }];
    let emit = |_, first, sums: &[i32]| emit(first, sums);
    // SAFETY: the caller vouches for it.
    unsafe { accumulate::<W>(layer, GROUPS, 1, |_| inputs, &mut memory, emit) }
}

/// A batch.
///
/// # Safety
/// As [`accumulate`].
#[inline(always)] // Into the functions that have the instructions.
unsafe fn accumulate_batch<W: Way>(
    layer: &Layer<'_>,
    inputs: &[u8],
    mut emit: impl FnMut(usize, usize, &[i32]),
) {
    let columns = layer.inputs();
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
        unsafe { accumulate::<W>(layer, groups, count, image, &mut memory, emit) }
    }
}

/// Bytes of a group.
fn group_length(layer: &Layer<'_>) -> usize {
    layer.inputs().div_ceil(COLUMNS) * TILE
}

/// Goes through all groups, at most so many at a time, and with each few of
/// them through as many images as there is memory for lists.
///
/// # Safety
/// The processor must have the instructions of `W`; the layout must be
/// [`Layout::WidePairs`]; no image may have more activations than the layer
/// has inputs.
#[inline(always)] // Into the functions that have the instructions.
unsafe fn accumulate<'i, W: Way>(
    layer: &Layer<'_>,
    most_groups: usize,
    count: usize,
    image: impl Fn(usize) -> &'i [u8],
    memory: &mut [MaybeUninit<List>],
    mut emit: impl FnMut(usize, usize, &[i32]),
) {
    /// Activations of a list.
    const PART: usize = CAPACITY * COLUMNS;
    let group_length = group_length(layer);
    let fits = layer.inputs() <= PART;
    if fits {
        for (index, memory) in memory.iter_mut().take(count).enumerate() {
            // SAFETY: the caller vouches for the instructions.
            unsafe { W::fill(List::empty_in(memory), image(index)) };
        }
    }
    let mut weights = layer.weights();
    let mut biases = layer.biases();
    let mut first = 0;
    let mut sums: Sums = [[0; ROWS]; GROUPS];
    while !biases.is_empty() {
        let groups = match (weights.len() / group_length).min(most_groups) {
            GROUPS.. => GROUPS,
            2.. => 2,
            1 => 1,
            // A parsed model has groups for all rows.
            0 => return,
        };
        let mut start: Sums = [[0; ROWS]; GROUPS];
        let (now, later) = biases.split_at(biases.len().min(groups * ROWS));
        for (sum, &bias) in start.as_flattened_mut().iter_mut().zip(now) {
            *sum = i32::from_le_bytes(bias);
        }
        // SAFETY, for all calls: the list is of the layer's columns from
        // `column` on, and there are as many groups; the caller vouches for the
        // instructions.
        let run = |list: &List, column: usize, from: &Sums, to: &mut Sums| unsafe {
            let weights = weights.as_ptr().add(column / COLUMNS * TILE);
            match groups {
                GROUPS => W::run::<GROUPS>(list, weights, group_length, from, to),
                2 => W::run::<2>(list, weights, group_length, from, to),
                _ => W::run::<1>(list, weights, group_length, from, to),
            }
        };
        for (index, memory) in memory.iter_mut().take(count).enumerate() {
            if fits {
                // SAFETY: it was filled above.
                run(unsafe { memory.assume_init_ref() }, 0, &start, &mut sums);
            } else {
                sums = start;
                let list = List::empty_in(memory);
                let columns = (0..).step_by(PART);
                for (part, column) in image(index).chunks(PART).zip(columns) {
                    // SAFETY: the caller vouches for the instructions.
                    unsafe { W::fill(list, part) };
                    let from = sums;
                    run(list, column, &from, &mut sums);
                }
            }
            emit(index, first, &sums.as_flattened()[..now.len()]);
        }
        first += now.len();
        biases = later;
        weights = weights.get(groups * group_length..).unwrap_or_default();
    }
}

impl List {
    /// An empty list in that memory.
    #[inline]
    fn empty_in(memory: &mut MaybeUninit<Self>) -> &mut Self {
        // SAFETY: the count is written, and all else need not be initialised.
        unsafe {
            (&raw mut (*memory.as_mut_ptr()).count).write(0);
            memory.assume_init_mut()
        }
    }

    /// Ends a list whose first `count` entries, at most [`CAPACITY`], are
    /// written, with a zero if it takes one to make their number even.
    #[inline]
    fn end(&mut self, count: usize) {
        self.pairs[count].write(0);
        self.places[count].write(0);
        self.count = count.next_multiple_of(2);
    }

    /// Two pairs at a time, as one word, and their places.
    #[inline]
    fn words(&self) -> impl Iterator<Item = (u32, [usize; 2])> {
        // SAFETY: the first `count` are initialised.
        let (pairs, places) = unsafe {
            (
                self.pairs.get_unchecked(..self.count).assume_init_ref(),
                self.places.get_unchecked(..self.count).assume_init_ref(),
            )
        };
        let (pairs, _) = pairs.as_chunks::<2>();
        let (places, _) = places.as_chunks::<2>();
        pairs.iter().zip(places).map(|(pairs, places)| {
            let word = u32::from(pairs[0]) | u32::from(pairs[1]) << 16;
            (word, places.map(usize::from))
        })
    }
}
