//! AVX-512 with VNNI: `vpdpbusd` multiplies a word of four activations with 64
//! weights and adds up the four products of each row.

use core::arch::x86_64::{
    __m512i, _mm256_maskz_loadu_epi8, _mm512_add_epi32, _mm512_cvtepu16_epi32, _mm512_dpbusd_epi32,
    _mm512_loadu_si512, _mm512_maskz_compress_epi32, _mm512_or_si512, _mm512_permutex2var_epi64,
    _mm512_set1_epi32, _mm512_setr_epi32, _mm512_setr_epi64, _mm512_setzero_si512,
    _mm512_slli_epi32, _mm512_storeu_si512, _mm512_test_epi32_mask, _mm512_unpackhi_epi16,
    _mm512_unpacklo_epi16,
};

use core_detect::is_x86_feature_detected;

use super::{CAPACITY, COLUMNS, LAYOUT, NonZeros, ROWS, Sums, TILE, Tiles};
use super::{accumulate_batch, accumulate_one};
use crate::kernel::{Kernel, Portable};
use crate::model::{Layer, Layout};

x86_kernel! {
    /// The kernel for AVX-512 with VNNI.
    X86Vnni, "x86-avx512-vnni", "avx512f,avx512bw,avx512vl,avx512vnni,popcnt",
    "avx512f", "avx512bw", "avx512vl", "avx512vnni", "popcnt"
}

impl Tiles for X86Vnni {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,popcnt")]
    unsafe fn fill(index: &mut NonZeros, inputs: &[u8]) {
        /// Entries of a vector.
        const LANES: usize = 16;
        let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        let mut offsets = _mm512_slli_epi32::<{ TILE.ilog2() }>(lanes);
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
                let entries = _mm512_or_si512(_mm512_slli_epi32::<16>(pairs), offsets);
                let entries = _mm512_maskz_compress_epi32(active, entries);
                let to = index.entries.as_mut_ptr().add(count);
                _mm512_storeu_si512(to.cast(), entries);
                count += active.count_ones() as usize;
            }
            offsets = _mm512_add_epi32(offsets, step);
        }
        index.end(count);
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,popcnt")]
    unsafe fn run<const G: usize>(
        index: &NonZeros,
        weights: *const u8,
        group_length: usize,
        from: &Sums,
        to: &mut Sums,
    ) {
        // Interleaving takes four rows for `low` and four for `high`, in turns.
        let mut low = [_mm512_setzero_si512(); G];
        let mut high = [_mm512_setzero_si512(); G];
        for (activations, [one, other]) in index.words() {
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
