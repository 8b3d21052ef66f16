//! Four words of many inputs at a time, on Cortex-M55 and M85.
//!
//! With `s`, the sums of two words of 3 bits a lane, `W = Σ s` are sums of numbers of 32 bits,
//! and `O = Σ (s >> 4)`, shifted byte by byte, the odd lanes' sums in bytes. `W - 16 * O` are
//! then the even ones'.

use core::arch::asm;
use core::mem::MaybeUninit;

use super::{Halves, ROWS};
use crate::kernel::Helium;

/// Words that are added at a time: those of a vector.
pub(super) const WORDS: usize = 4;

/// The sums of four words' rows, one of [`Halves`] after the other, each of all words.
pub(super) type Sums = [[u32; WORDS]; 4];

/// Adds the next four words of all inputs, times `twice`, to the sums; the pointers are moved
/// four words on. What is added must fit bytes.
#[inline]
pub(super) fn add_four(_: Helium, starts: &mut [[*const u32; 4]], twice: u32, sums: &mut Sums) {
    if !starts.is_empty() {
        // SAFETY: there is an input, and four more words of each, as `super::at` has it. The
        // kernel, a value of its type, is the proof that the processor has the instructions.
        unsafe { add(starts, twice, sums) }
    }
}

/// [`add_four`].
///
/// # Safety
/// The processor must have Helium. `starts` isn't empty, and each leads to four words.
#[inline(never)]
unsafe fn add(starts: &mut [[*const u32; 4]], twice: u32, sums: &mut Sums) {
    /// Adds the words at two pointers.
    macro_rules! two {
        ($a:literal, $b:literal) => {
            concat!(
                "vldrw.u32 q2, [",
                $a,
                "], #16\n",
                "vldrw.u32 q3, [",
                $b,
                "], #16\n",
                "vadd.i32 q2, q2, q3\n",
                "vadd.i32 q0, q0, q2\n",
                "vshr.u8 q2, q2, #4\n",
                "vadd.i8 q1, q1, q2\n",
            )
        };
    }
    /// Adds every other byte, times `twice`, to a vector of sums.
    macro_rules! halves {
        ($take:literal, $bytes:literal, $offset:literal) => {
            concat!(
                "vldrw.u32 q3, [r9, #",
                $offset,
                "]\n",
                $take,
                " q2, ",
                $bytes,
                "\n",
                "vmla.u16 q3, q2, r8\n",
                "vstrw.32 q3, [r9, #",
                $offset,
                "]\n",
            )
        };
    }
    let range = starts.as_mut_ptr_range();
    // SAFETY: the caller vouches for the words, and for the instructions; the pointers are
    // written where they were read, and the sums where they are.
    unsafe {
        asm!(
            ".cpu cortex-m55",
            "vmov.i32 q0, #0",
            "vmov.i32 q1, #0",
            "2:",
            "ldm r0, {{r2, r3, r4, r5}}",
            two!("r2", "r3"),
            two!("r4", "r5"),
            "stm r0!, {{r2, r3, r4, r5}}",
            "cmp r0, r1",
            "bne 2b",
            "vshl.i32 q2, q1, #4",
            "vsub.i32 q0, q0, q2",
            halves!("vmovlb.u8", "q0", "0"),
            halves!("vmovlb.u8", "q1", "16"),
            halves!("vmovlt.u8", "q0", "32"),
            halves!("vmovlt.u8", "q1", "48"),
            inout("r0") range.start => _,
            in("r1") range.end,
            out("r2") _, out("r3") _, out("r4") _, out("r5") _,
            in("r8") twice,
            in("r9") sums,
            // With hard floats, the compiler keeps values in them.
            out("q0") _, out("q1") _, out("q2") _, out("q3") _,
            options(nostack),
        );
    }
}

/// The same sums, word by word.
#[inline]
pub(super) fn by_words(sums: &Sums, words: &mut [MaybeUninit<Halves>; WORDS]) {
    let [a, b, c, d] = sums;
    for ((((word, a), b), c), d) in words.iter_mut().zip(a).zip(b).zip(c).zip(d) {
        word.write([*a, *b, *c, *d]);
    }
}

/// Writes the outputs of words' rows: `clamp((base + bias + sum) >> shift, 0, 127)`, as many as
/// there are sums, biases and outputs.
#[inline(always)]
pub(super) fn finish(
    _: Helium,
    base: i32,
    shift: u32,
    biases: &[[i32; ROWS]],
    sums: &[Halves],
    outputs: &mut [[u8; ROWS]],
) {
    /// Four rows: to clamp to 7 bits, they are moved to the upper end and back.
    macro_rules! four {
        ($take:literal, $offset:literal, $to:literal) => {
            concat!(
                $take,
                " q1, q0\n",
                "vldrw.u32 q2, [r1, #",
                $offset,
                "]\n",
                "vadd.i32 q1, q1, q2\n",
                "vadd.i32 q1, q1, r3\n",
                "vshl.s32 q1, r4\n",
                "vqshlu.s32 q1, q1, #25\n",
                "vshr.u32 q1, q1, #25\n",
                "vstrb.32 q1, [r0, #",
                $to,
                "]\n",
            )
        };
    }
    for ((biases, sums), outputs) in biases.iter().zip(sums).zip(outputs) {
        // SAFETY: all rows are there, and the instructions, of which the kernel is the proof.
        unsafe {
            asm!(
                ".cpu cortex-m55",
                "vldrw.u32 q0, [r2]",
                four!("vmovlb.u16", "0", "0"),
                four!("vmovlt.u16", "16", "4"),
                in("r0") outputs,
                in("r1") biases,
                in("r2") sums,
                in("r3") base,
                in("r4") shift.wrapping_neg(),
                out("q0") _, out("q1") _, out("q2") _,
                options(nostack),
            );
        }
    }
}
