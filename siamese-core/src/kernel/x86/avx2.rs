//! AVX2: half a tile at a time, and three instructions for each product. The sum of
//! two products, at most 2 * 127 * 127, fits the 16 bits that it has in between.

use core::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_maddubs_epi16,
    _mm256_permute2x128_si256, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_setzero_si256,
    _mm256_storeu_si256, _mm256_unpackhi_epi16, _mm256_unpacklo_epi16,
};

use core_detect::is_x86_feature_detected;

use super::{CAPACITY, COLUMNS, LAYOUT, NonZeros, ROWS, Sums, TILE, Tiles};
use super::{accumulate_batch, accumulate_one};
use crate::kernel::{Kernel, Portable};
use crate::model::{Layer, Layout};

x86_kernel! {
    /// The kernel for AVX2.
    X86Avx2, "x86-avx2", "avx2",
    "avx2"
}

impl Tiles for X86Avx2 {
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn fill(index: &mut NonZeros, inputs: &[u8]) {
        let mut count = 0;
        let offsets = (0u32..).step_by(TILE);
        for (pair, offset) in inputs.chunks(COLUMNS).take(CAPACITY).zip(offsets) {
            let pair = match *pair {
                [first, second] => u16::from_le_bytes([first, second]),
                [last] => last.into(),
                _ => 0,
            };
            // Without a branch, which could not be foreseen.
            index.entries[count].write(u32::from(pair) << 16 | offset);
            count += usize::from(pair != 0);
        }
        index.end(count);
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn run<const G: usize>(
        index: &NonZeros,
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
            for (activations, [one, other]) in index.words() {
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
