//! 64-bit x86 with AVX-512 VNNI, or at least AVX2: the host's kernel.
//!
//! A tile of the layout [`WideQuads`](Layout::WideQuads) is one vector of 64
//! bytes: four columns of 16 rows. Four activations, which are one word, are
//! broadcast; `vpdpbusd` multiplies them with all 64 weights and adds up the
//! four products of each row. Words of four zeros are left out. AVX2 takes two
//! halves of a tile and three instructions each; the sum of two products, at
//! most 2 * 127 * 127, fits the 16 bits that it has in between.

use core::arch::x86_64::{
    __m256i, __m512i, _mm256_add_epi32, _mm256_loadu_si256, _mm256_madd_epi16,
    _mm256_maddubs_epi16, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_setzero_si256,
    _mm256_storeu_si256, _mm512_add_epi32, _mm512_dpbusd_epi32, _mm512_loadu_si512,
    _mm512_maskz_compress_epi32, _mm512_maskz_loadu_epi32, _mm512_set1_epi32, _mm512_setr_epi32,
    _mm512_setzero_si512, _mm512_slli_epi32, _mm512_storeu_si512, _mm512_test_epi32_mask,
};

use core::mem::MaybeUninit;

use core_detect::is_x86_feature_detected;

use super::{Kernel, Portable};
use crate::model::{Layer, Layout};

/// The kernel for 64-bit x86.
pub struct X86;

/// Whether the processor has AVX-512 with VNNI.
fn has_vnni() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vnni")
}

/// Whether the processor has AVX2.
fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2")
}

impl Kernel for X86 {
    const NAME: &'static str = "x86";
    const LAYOUT: Layout = Layout::WideQuads;

    fn available() -> bool {
        has_vnni() || has_avx2()
    }

    #[inline]
    fn accumulate(layer: &Layer<'_>, inputs: &[u8], emit: impl FnMut(usize, &[i32])) {
        if layer.layout() != Self::LAYOUT {
            Portable::accumulate(layer, inputs, emit);
        } else if has_vnni() {
            // SAFETY: the processor has what the function is compiled for.
            unsafe { accumulate_vnni(layer, inputs, emit) }
        } else if has_avx2() {
            // SAFETY: as above.
            unsafe { accumulate_avx2(layer, inputs, emit) }
        } else {
            Portable::accumulate(layer, inputs, emit);
        }
    }
}

/// Which of the two ways this processor goes; `None` if neither.
pub(super) fn way() -> Option<&'static str> {
    if has_vnni() {
        Some("x86-avx512-vnni")
    } else {
        has_avx2().then_some("x86-avx2")
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn accumulate_vnni(layer: &Layer<'_>, inputs: &[u8], emit: impl FnMut(usize, &[i32])) {
    // SAFETY: this function has the features.
    unsafe { accumulate::<Vnni>(layer, inputs, emit) }
}

#[target_feature(enable = "avx2")]
fn accumulate_avx2(layer: &Layer<'_>, inputs: &[u8], emit: impl FnMut(usize, &[i32])) {
    // SAFETY: this function has the features.
    unsafe { accumulate::<Avx2>(layer, inputs, emit) }
}

/// Rows of a group, which is a row of tiles.
const ROWS: usize = 16;
/// Columns of a tile.
const COLUMNS: usize = 4;
/// Bytes of a tile.
const TILE: usize = ROWS * COLUMNS;
/// Groups at a time, whose sums stay in registers.
const GROUPS: usize = 8;
/// Entries of a list: 1024 columns. More are listed anew for each few groups.
const CAPACITY: usize = 256;

/// What a list has room for: vectors are written whole.
const ROOM: usize = CAPACITY + 16;

/// Words of four activations, not all zero, and each one's tile's place in a
/// group, in bytes.
///
/// The first `count` of both are initialised. To clear all would take a tenth
/// of an embedding's time.
struct List {
    words: [MaybeUninit<u32>; ROOM],
    places: [MaybeUninit<u32>; ROOM],
    count: usize,
}

/// The sums of neighbouring groups.
type Sums = [[i32; ROWS]; GROUPS];

/// How the products of a list with some groups are added up.
trait Way {
    /// Lists the words that are not zero; `start` is the first one's number. At
    /// most CAPACITY words.
    ///
    /// # Safety
    /// The processor must have the instructions.
    unsafe fn fill(list: &mut List, words: &[[u8; COLUMNS]], start: usize);

    /// Adds the products to the sums of the first `G` groups.
    ///
    /// # Safety
    /// The processor must have the instructions, and every entry's tile be
    /// within `group_length` bytes, of which `G` are at `weights`.
    unsafe fn run<const G: usize>(
        list: &List,
        weights: *const u8,
        group_length: usize,
        sums: &mut Sums,
    );
}

struct Vnni;

impl Way for Vnni {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn fill(list: &mut List, words: &[[u8; COLUMNS]], start: usize) {
        let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        list.count = 0;
        for (number, chunk) in words.chunks(16).take(CAPACITY / 16).enumerate() {
            let present = u16::MAX >> (16 - chunk.len());
            let first = ((start + number * 16) * TILE) as u32;
            // SAFETY: only the words of the chunk are read. There are at most
            // CAPACITY entries before, so a whole vector has room behind them.
            unsafe {
                let words = _mm512_maskz_loadu_epi32(present, chunk.as_ptr().cast());
                let active = _mm512_test_epi32_mask(words, words);
                let places = _mm512_add_epi32(
                    _mm512_set1_epi32(first.cast_signed()),
                    _mm512_slli_epi32::<{ TILE.ilog2() }>(lanes),
                );
                let words = _mm512_maskz_compress_epi32(active, words);
                let places = _mm512_maskz_compress_epi32(active, places);
                let (to, to_places) = (list.words.as_mut_ptr(), list.places.as_mut_ptr());
                _mm512_storeu_si512(to.add(list.count).cast(), words);
                _mm512_storeu_si512(to_places.add(list.count).cast(), places);
                list.count += active.count_ones() as usize;
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn run<const G: usize>(
        list: &List,
        weights: *const u8,
        group_length: usize,
        sums: &mut Sums,
    ) {
        let mut accs = [_mm512_setzero_si512(); G];
        for (acc, sums) in accs.iter_mut().zip(&*sums) {
            // SAFETY: the sums of a group are 64 bytes.
            *acc = unsafe { _mm512_loadu_si512(sums.as_ptr().cast::<__m512i>()) };
        }
        for (&activations, &place) in list.iter() {
            let activations = _mm512_set1_epi32(activations.cast_signed());
            for (group, acc) in accs.iter_mut().enumerate() {
                // SAFETY: the caller vouches for the tile.
                let tile = unsafe {
                    let tile = weights.add(group * group_length + place as usize);
                    _mm512_loadu_si512(tile.cast::<__m512i>())
                };
                *acc = _mm512_dpbusd_epi32(*acc, activations, tile);
            }
        }
        for (acc, sums) in accs.iter().zip(sums) {
            // SAFETY: as above.
            unsafe { _mm512_storeu_si512(sums.as_mut_ptr().cast::<__m512i>(), *acc) };
        }
    }
}

struct Avx2;

impl Way for Avx2 {
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn fill(list: &mut List, words: &[[u8; COLUMNS]], start: usize) {
        list.count = 0;
        for (number, &word) in words.iter().take(CAPACITY).enumerate() {
            let word = u32::from_le_bytes(word);
            // Without a branch, which could not be foreseen.
            list.words[list.count].write(word);
            list.places[list.count].write(((start + number) * TILE) as u32);
            list.count += usize::from(word != 0);
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn run<const G: usize>(
        list: &List,
        weights: *const u8,
        group_length: usize,
        sums: &mut Sums,
    ) {
        let ones = _mm256_set1_epi16(1);
        for (half, offset) in [0, ROWS / 2].into_iter().enumerate() {
            let mut accs = [_mm256_setzero_si256(); G];
            for (acc, sums) in accs.iter_mut().zip(&*sums) {
                // SAFETY: half of a group's sums is 32 bytes.
                *acc = unsafe { _mm256_loadu_si256(sums[offset..].as_ptr().cast::<__m256i>()) };
            }
            for (&activations, &place) in list.iter() {
                let activations = _mm256_set1_epi32(activations.cast_signed());
                for (group, acc) in accs.iter_mut().enumerate() {
                    // SAFETY: the caller vouches for the tile.
                    let tile = unsafe {
                        let tile = weights.add(group * group_length + place as usize);
                        _mm256_loadu_si256(tile.add(half * TILE / 2).cast::<__m256i>())
                    };
                    let pairs = _mm256_maddubs_epi16(activations, tile);
                    *acc = _mm256_add_epi32(*acc, _mm256_madd_epi16(pairs, ones));
                }
            }
            for (acc, sums) in accs.iter().zip(&mut *sums) {
                // SAFETY: as above.
                unsafe {
                    let sums = sums[offset..].as_mut_ptr();
                    _mm256_storeu_si256(sums.cast::<__m256i>(), *acc);
                }
            }
        }
    }
}

/// Goes through all groups.
///
/// # Safety
/// The processor must have the instructions of `W`; the layout must be
/// [`Layout::WideQuads`].
#[inline(always)] // Into the functions that have the instructions.
unsafe fn accumulate<W: Way>(
    layer: &Layer<'_>,
    inputs: &[u8],
    mut emit: impl FnMut(usize, &[i32]),
) {
    let inputs = inputs.get(..layer.inputs()).unwrap_or(inputs);
    let tiles = inputs.len().div_ceil(COLUMNS);
    let (words, rest) = inputs.as_chunks::<COLUMNS>();
    let mut last = [0; COLUMNS];
    last[..rest.len()].copy_from_slice(rest);
    let group_length = layer.inputs().div_ceil(COLUMNS) * TILE;
    let mut memory = MaybeUninit::<List>::uninit();
    // SAFETY: the count is written, and all else of it need not be initialised.
    let list = unsafe {
        (&raw mut (*memory.as_mut_ptr()).count).write(0);
        memory.assume_init_mut()
    };
    // Only if all fits one list.
    let fits = rest.is_empty() && tiles <= CAPACITY;
    if fits {
        // SAFETY: the caller vouches for the instructions.
        unsafe { W::fill(list, words, 0) };
    }
    let mut weights = layer.weights();
    let mut biases = layer.biases();
    let mut first = 0;
    while !biases.is_empty() {
        let groups = match weights.len() / group_length {
            GROUPS.. => GROUPS,
            4.. => 4,
            2.. => 2,
            1 => 1,
            // A parsed model has groups for all rows.
            0 => return,
        };
        let mut sums: Sums = [[0; ROWS]; GROUPS];
        let (now, later) = biases.split_at(biases.len().min(groups * ROWS));
        for (sum, &bias) in sums.as_flattened_mut().iter_mut().zip(now) {
            *sum = i32::from_le_bytes(bias);
        }
        let weights_now = weights.as_ptr();
        let mut run = |list: &List| {
            // SAFETY: the list is of the layer's columns, and there are as many
            // groups; the caller vouches for the instructions.
            unsafe {
                match groups {
                    GROUPS => W::run::<GROUPS>(list, weights_now, group_length, &mut sums),
                    4 => W::run::<4>(list, weights_now, group_length, &mut sums),
                    2 => W::run::<2>(list, weights_now, group_length, &mut sums),
                    _ => W::run::<1>(list, weights_now, group_length, &mut sums),
                }
            }
        };
        if fits {
            run(list);
        } else {
            let parts = words.chunks(CAPACITY).zip((0..).step_by(CAPACITY));
            for (part, start) in parts.chain([(&[last][..], words.len())]) {
                // SAFETY: the caller vouches for the instructions.
                unsafe { W::fill(list, part, start) };
                run(list);
            }
        }
        emit(first, &sums.as_flattened()[..now.len()]);
        first += now.len();
        biases = later;
        weights = weights.get(groups * group_length..).unwrap_or_default();
    }
}

impl List {
    /// Words and places.
    #[inline]
    fn iter(&self) -> impl Iterator<Item = (&u32, &u32)> {
        // SAFETY: the first `count` are initialised.
        let (words, places) = unsafe {
            (
                self.words.get_unchecked(..self.count).assume_init_ref(),
                self.places.get_unchecked(..self.count).assume_init_ref(),
            )
        };
        words.iter().zip(places)
    }
}
