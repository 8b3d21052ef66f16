//! Lanes by Thumb's instructions: pixels are listed, words summed, rows rounded. Compilers keep a
//! third of the sums in memory.
//!
//! With `s`, the sum of two words of 3 bits a lane, `E = Σ (s & 0x0F0F0F0F)` has the even lanes'
//! sums in bytes, and `T = Σ (s >> 4)` the odd ones', `O`, between which the even ones stand:
//! `T = O + 16 * (E >> 8)`, all of it modulo 2^32.
//!
//! The inputs' pointers are moved two words on, so that one loop serves all words.

use core::arch::asm;

use super::{BYTES, Halves, LISTED, Lists, NIBBLES, ROWS};
use crate::image::{Input, Pooling};

// What the assembly is written for.
const _: () = assert!(NIBBLES == 0x0F0F_0F0F && BYTES == 0x00FF_00FF && ROWS == 8);

/// Adds the next two words of all inputs, times `twice`, to the sums; the pointers are moved two
/// words on. What is added must fit bytes.
#[inline(always)]
pub(super) fn add_two(starts: &mut [[*const u32; 4]], twice: u32, sums: &mut [Halves; 2]) {
    if !starts.is_empty() {
        // SAFETY: there is an input, and two more words of each, as `super::at` has it.
        unsafe { add(starts, twice, sums) };
    }
}

/// [`add_two`].
///
/// # Safety
/// `starts` isn't empty, and each leads to two words.
#[cfg(kernel_thumb2)]
#[inline(always)]
unsafe fn add(starts: &mut [[*const u32; 4]], twice: u32, sums: &mut [Halves; 2]) {
    /// Adds the words at two pointers.
    macro_rules! two {
        ($a:literal, $b:literal) => {
            concat!(
                "ldrd r6, r7, [",
                $a,
                "], #8\n",
                "ldrd r8, lr, [",
                $b,
                "], #8\n",
                "add r6, r8\n",
                "add r7, lr\n",
                "and r8, r6, #0x0F0F0F0F\n",
                "and lr, r7, #0x0F0F0F0F\n",
                "add r9, r8\n",
                "add r10, lr\n",
                "add r11, r11, r6, lsr #4\n",
                "add r12, r12, r7, lsr #4\n",
            )
        };
    }
    /// Adds the bytes of a word, times `r1`, to the sums at `r0`.
    macro_rules! halves {
        ($even:literal, $shifted:literal) => {
            concat!(
                "lsr r6, ",
                $even,
                ", #8\n",
                "sub ",
                $shifted,
                ", ",
                $shifted,
                ", r6, lsl #4\n",
                "ldm r0, {{r2, r3, r4, r5}}\n",
                "and r6, r6, #0x00FF00FF\n",
                "mla r4, r6, r1, r4\n",
                "and r6, ",
                $even,
                ", #0x00FF00FF\n",
                "mla r2, r6, r1, r2\n",
                "and r6, ",
                $shifted,
                ", #0x00FF00FF\n",
                "mla r3, r6, r1, r3\n",
                "lsr r6, ",
                $shifted,
                ", #8\n",
                "and r6, r6, #0x00FF00FF\n",
                "mla r5, r6, r1, r5\n",
                "stm r0!, {{r2, r3, r4, r5}}\n",
            )
        };
    }
    let range = starts.as_mut_ptr_range();
    // SAFETY: the caller vouches for the words; the pointers and the sums are written where
    // they were read. r6 and r7, which can't be operands, are restored, and so is the stack
    // pointer.
    unsafe {
        asm!(
            "push {{r4, r5, r6, r7}}",
            "mov r9, #0", "mov r10, #0", "mov r11, #0", "mov r12, #0",
            "2:",
            "ldm r0, {{r2, r3, r4, r5}}",
            two!("r2", "r3"),
            two!("r4", "r5"),
            "stm r0!, {{r2, r3, r4, r5}}",
            "cmp r0, r1",
            "bne 2b",
            // The weight, and the sums.
            "pop {{r0, r1}}",
            halves!("r9", "r11"),
            halves!("r10", "r12"),
            "pop {{r6, r7}}",
            inout("r0") range.start => _,
            inout("r1") range.end => _,
            out("r2") _, out("r3") _,
            inout("r4") sums => _,
            inout("r5") twice => _,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _, out("r12") _, out("lr") _,
        );
    }
}

/// [`add_two`].
///
/// # Safety
/// `starts` isn't empty, and each leads to two words.
#[cfg(kernel_narrow)]
#[inline(always)]
unsafe fn add(starts: &mut [[*const u32; 4]], twice: u32, sums: &mut [Halves; 2]) {
    /// Adds the words at the next two pointers.
    macro_rules! two {
        () => {
            "
            ldr r0, [r5, #0]
            ldr r1, [r5, #4]
            ldm r0!, {{r6, r7}}
            ldm r1!, {{r3, r4}}
            stm r5!, {{r0, r1}}
            adds r6, r3
            adds r7, r4
            lsrs r3, r6, #4
            lsrs r4, r7, #4
            add r10, r3
            add r11, r4
            ands r6, r2
            ands r7, r2
            add r8, r6
            add r9, r7
            "
        };
    }
    /// Adds the bytes of a word, times `r6`, to the sums at `r5`; the mask is in `r7`.
    macro_rules! halves {
        ($even:literal, $shifted:literal) => {
            concat!(
                "mov r0, ",
                $even,
                "\n",
                "lsrs r2, r0, #8\n",
                "mov r1, ",
                $shifted,
                "\n",
                "lsls r3, r2, #4\n",
                "subs r1, r1, r3\n",
                "lsrs r3, r1, #8\n",
                "ands r0, r7\n",
                "ands r1, r7\n",
                "ands r2, r7\n",
                "ands r3, r7\n",
                "muls r0, r6, r0\n",
                "muls r1, r6, r1\n",
                "muls r2, r6, r2\n",
                "muls r3, r6, r3\n",
                "ldr r4, [r5, #0]\n",
                "adds r0, r0, r4\n",
                "ldr r4, [r5, #4]\n",
                "adds r1, r1, r4\n",
                "ldr r4, [r5, #8]\n",
                "adds r2, r2, r4\n",
                "ldr r4, [r5, #12]\n",
                "adds r3, r3, r4\n",
                "stm r5!, {{r0, r1, r2, r3}}\n",
            )
        };
    }
    let range = starts.as_mut_ptr_range();
    // SAFETY: as above.
    unsafe {
        asm!(
            "push {{r3, r4, r6, r7}}",
            // Only clobbers can be above r7.
            "mov r12, r1",
            "movs r0, #0",
            "mov r8, r0", "mov r9, r0", "mov r10, r0", "mov r11, r0",
            "2:",
            two!(),
            two!(),
            "cmp r5, r12",
            "bne 2b",
            // The sums, and the weight.
            "pop {{r5, r6}}",
            "movs r7, #0xFF", "lsls r0, r7, #16", "orrs r7, r0",
            halves!("r8", "r10"),
            halves!("r9", "r11"),
            "pop {{r6, r7}}",
            out("r0") _,
            inout("r1") range.end => _,
            inout("r2") NIBBLES => _,
            inout("r3") sums => _,
            inout("r4") twice => _,
            inout("r5") range.start => _,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _, out("r12") _,
        );
    }
}

/// Writes the outputs of words' rows: `clamp((base + bias + sum) >> shift, 0, 127)`, as many as
/// there are sums, biases and outputs.
#[inline(always)]
pub(super) fn finish(
    base: i32,
    shift: u32,
    biases: &[[i32; ROWS]],
    sums: &[Halves],
    outputs: &mut [[u8; ROWS]],
) {
    if let Some(sums) = sums.get(..biases.len().min(outputs.len()).min(sums.len()))
        && !sums.is_empty()
    {
        // SAFETY: as many are there of all.
        unsafe { finish_rows(base, shift, biases.as_ptr(), sums, outputs.as_mut_ptr()) }
    }
}

/// [`finish`].
///
/// # Safety
/// There must be sums, and as many biases and outputs.
#[cfg(kernel_thumb2)]
#[inline(always)]
unsafe fn finish_rows(
    base: i32,
    shift: u32,
    biases: *const [i32; ROWS],
    sums: &[Halves],
    outputs: *mut [u8; ROWS],
) {
    /// A row of the lower half and one of the upper half.
    macro_rules! two {
        () => {
            "
            ldr r3, [r2], #4
            ldr r5, [r1, #16]
            ldr r4, [r1], #4
            uxth r9, r3
            add r5, r8
            add r4, r8
            add r5, r5, r3, lsr #16
            add r4, r9
            asr r5, r5, r12
            asr r4, r4, r12
            usat r5, #7, r5
            usat r4, #7, r4
            strb r5, [r0, #4]
            strb r4, [r0], #1
            "
        };
    }
    let range = sums.as_ptr_range();
    // SAFETY: the caller vouches for it.
    unsafe {
        asm!(
            "2:",
            two!(), two!(), two!(), two!(),
            "add r0, #4",
            "add r1, #16",
            "cmp r2, lr",
            "bne 2b",
            inout("r0") outputs => _,
            inout("r1") biases => _,
            inout("r2") range.start => _,
            in("lr") range.end,
            in("r8") base,
            in("r12") shift,
            out("r3") _, out("r4") _, out("r5") _, out("r9") _,
            options(nostack),
        );
    }
}

/// [`finish`].
///
/// # Safety
/// There must be sums, and as many biases and outputs.
#[cfg(kernel_narrow)]
#[inline(always)]
unsafe fn finish_rows(
    base: i32,
    shift: u32,
    biases: *const [i32; ROWS],
    sums: &[Halves],
    outputs: *mut [u8; ROWS],
) {
    /// Rounds `r6` and stores it, clamped; most rows are silent.
    macro_rules! round {
        ($to:literal) => {
            concat!(
                "adds r6, r6, r7\n",
                "add r6, r8\n",
                "asrs r6, r4\n",
                "ble 3f\n",
                "cmp r6, #127\n",
                "bls 2f\n",
                "movs r6, #127\n",
                "2:\n",
                "strb r6, ",
                $to,
                "\n",
                "b 4f\n",
                "3:\n",
                "strb r5, ",
                $to,
                "\n",
                "4:\n",
            )
        };
    }
    /// A row of the upper half and one of the lower half.
    macro_rules! two {
        () => {
            concat!(
                "ldm r2!, {{r3}}\n",
                "ldr r7, [r1, #16]\n",
                "lsrs r6, r3, #16\n",
                round!("[r0, #4]"),
                "ldm r1!, {{r7}}\n",
                "uxth r6, r3\n",
                round!("[r0]"),
                "adds r0, #1\n",
            )
        };
    }
    let range = sums.as_ptr_range();
    // SAFETY: the caller vouches for it. r6 and r7 are restored.
    unsafe {
        asm!(
            "push {{r6, r7}}",
            "mov r8, r5",
            "mov r12, r3",
            "movs r5, #0",
            "1:",
            two!(), two!(), two!(), two!(),
            "adds r0, #4",
            "adds r1, #16",
            "cmp r2, r12",
            "bne 1b",
            "pop {{r6, r7}}",
            inout("r0") outputs => _,
            inout("r1") biases => _,
            inout("r2") range.start => _,
            inout("r3") range.end => _,
            in("r4") shift,
            inout("r5") base => _,
            out("r8") _, out("r12") _,
        );
    }
}

/// What [`list`] starts with, and where it ends.
#[repr(C)]
struct Listing {
    /// Where the next pointer goes, of the levels 1, 3 and 2.
    ends: [*mut *const u32; 3],
    /// How far they may be at the beginning of two rows of pixels.
    limits: [*mut *const u32; 3],
    /// Where the pixels end.
    end: *const u8,
    /// The pixels of a row.
    row: usize,
    /// The words of the fourth input.
    fourth: *const u32,
    /// Bytes from the words of an input to those of the fourth after it.
    four_on: usize,
    /// And to those of the one before it.
    one_back: usize,
}

/// Lists the inputs of each level, 1 to 3, of a checkerboard whose rows are whole words; whether
/// there was room for all. `None` for other images, and then nothing is listed.
pub(super) fn list_levels(
    first: *const u32,
    width: usize,
    input: &Input,
    bits: u8,
    pixels: &[u8],
    lists: &mut Lists,
) -> Option<bool> {
    let row = usize::from(input.width);
    let aligned = cfg!(kernel_unaligned) || pixels.as_ptr().addr().is_multiple_of(4);
    // So that no list becomes full.
    let room = LISTED.checked_sub(row + 1)?;
    // Whole pairs of rows; an image has as many pixels.
    let pixels = pixels.get(..usize::from(input.height & !1) * row)?;
    let whole = !pixels.is_empty() && row.is_multiple_of(4);
    let plain = input.pooling == Pooling::Checkerboard && !input.deskew;
    if bits != 2 || !plain || !whole || !aligned {
        return None;
    }
    let end = pixels.as_ptr_range().end;
    let stride = width * size_of::<u32>();
    let [one, two, three, _] = lists;
    let starts = [one.as_mut_ptr(), three.as_mut_ptr(), two.as_mut_ptr()];
    let mut listing = Listing {
        ends: starts,
        limits: starts.map(|start| start.wrapping_add(room)),
        end,
        row,
        fourth: first.wrapping_add(3 * width),
        four_on: 4 * stride,
        one_back: stride.wrapping_neg(),
    };
    // SAFETY: the pixels are whole pairs of rows, at words where the core needs that. A list
    // has room for two rows of pixels, which are one of inputs, wherever it may be before them.
    let reached = unsafe { list(pixels.as_ptr(), &mut listing) };
    for ((list, start), end) in [one, three, two].into_iter().zip(starts).zip(listing.ends) {
        let bytes = end.addr() - start.addr();
        // SAFETY: so many pointers were written, no more than there was room for.
        unsafe { list.set_len(bytes / size_of::<*const u32>()) };
    }
    Some(reached == end)
}

/// Lists pixels until they end or a list is too long; where it ended.
///
/// # Safety
/// There are whole pairs of rows of whole words up to the listing's end, at least one. What is
/// listed may be written from the ends on, up to a row's pixels beyond the limits.
unsafe fn list(pixels: *const u8, listing: &mut Listing) -> *const u8 {
    /// Takes a pixel, in the upper bits of `r4`, whose words are at `r5`.
    macro_rules! pixel {
        () => {
            "
            lsls r4, r4, #1
            bcs 3f
            bpl 5f
            stm r2!, {{r5}}
            b 5f
            3:
            bpl 4f
            stm r3!, {{r5}}
            b 5f
            4:
            mov r12, r3
            mov r3, r10
            stm r3!, {{r5}}
            mov r10, r3
            mov r3, r12
            5:
            "
        };
    }
    let mut at = pixels;
    // SAFETY: the caller vouches for it. r6 and r7 are restored, and so is the stack pointer.
    unsafe {
        asm!(
            "push {{r1, r6, r7}}",
            "ldr r2, [r1, #0]",
            "ldr r3, [r1, #4]",
            "ldr r4, [r1, #8]", "mov r10, r4",
            "ldr r4, [r1, #32]", "mov r8, r4",
            "ldr r4, [r1, #36]", "mov r11, r4",
            "ldr r4, [r1, #40]", "mov lr, r4",
            // The bits that count: 0x00C000C0 of the upper row, 0xC000C000 of the lower one.
            "movs r6, #0xC0", "lsls r7, r6, #16", "orrs r6, r7", "lsls r7, r6, #8",
            "1:",
            "ldr r1, [sp]",
            "ldr r4, [r1, #12]", "cmp r2, r4", "bhi 9f",
            "ldr r4, [r1, #16]", "cmp r3, r4", "bhi 9f",
            "ldr r4, [r1, #20]", "cmp r10, r4", "bhi 9f",
            "ldr r4, [r1, #28]",
            "adds r1, r0, r4",
            "mov r9, r1",
            "2:",
            #[cfg(kernel_narrow)]
            "ldm r0!, {{r4}}
             ldm r1!, {{r5}}",
            #[cfg(not(kernel_narrow))]
            "ldr r4, [r0], #4
             ldr r5, [r1], #4",
            "ands r4, r6",
            "ands r5, r7",
            "orrs r4, r5",
            "bne 7f",
            "6:",
            "add r8, r11",
            "cmp r0, r9",
            "bne 2b",
            "mov r0, r1",
            "ldr r4, [sp]",
            "ldr r4, [r4, #24]",
            "cmp r0, r4",
            "bne 1b",
            "b 9f",
            "7:",
            "mov r5, r8",
            pixel!(), "add r5, lr", "lsls r4, r4, #7",
            pixel!(), "add r5, lr", "lsls r4, r4, #7",
            pixel!(), "add r5, lr", "lsls r4, r4, #7",
            pixel!(),
            "b 6b",
            "9:",
            "pop {{r1, r6, r7}}",
            "str r2, [r1, #0]",
            "str r3, [r1, #4]",
            "mov r4, r10", "str r4, [r1, #8]",
            inout("r0") at,
            inout("r1") &raw mut *listing => _,
            out("r2") _, out("r3") _, out("r4") _, out("r5") _,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _, out("r12") _, out("lr") _,
        );
    }
    at
}
