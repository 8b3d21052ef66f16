//! Cortex-M0, M0+, M1, M23 and M3, which multiply one number at a
//! time.
//!
//! A column at a time: its activation is multiplied with the weights of 8 rows,
//! whose sums stay in registers. Weights are stored plus 128, because the
//! smaller cores load bytes without a sign in one instruction and with a sign
//! in two; `sparse` takes 128 times the sum of the activations off again.

use core::arch::asm;

use super::Kernel;
use super::sparse::{Entry, Groups, Tiles, accumulate};
use crate::model::{Layer, Layout};

/// The kernel for Cortex-M0, M0+, M1, M23 and M3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Thumb(());

impl Thumb {
    pub(super) const LAYOUT: Layout = Layout::Columns;

    /// The kernel: every core of this target has its instructions.
    #[must_use]
    pub const fn new() -> Option<Self> {
        Some(Self(()))
    }

    /// The kernel, without asking, as the other kernels have it.
    ///
    /// # Safety
    /// Every core of this target has its instructions.
    #[must_use]
    pub const unsafe fn new_unchecked() -> Self {
        Self(())
    }
}

impl Kernel for Thumb {
    fn name(self) -> &'static str {
        "thumb"
    }

    fn layout(self) -> Layout {
        Self::LAYOUT
    }

    #[inline]
    fn accumulate(self, layer: &Layer<'_>, inputs: &[u8], emit: impl FnMut(usize, &[i32])) {
        accumulate(self, layer, inputs, emit);
    }
}

// What the assembly is written for.
const _: () = assert!(matches!(Thumb::LAYOUT.tile(), (8, 1)));

impl Tiles for Thumb {
    const LAYOUT: Layout = Self::LAYOUT;
    const OFFSET: i32 = 128;
    const ABSOLUTE: bool = false;
    const UNROLL: usize = 2;

    #[inline]
    fn pack(columns: u32) -> u32 {
        columns
    }

    #[inline(never)] // One copy of the code for whole and partial groups.
    unsafe fn run(entries: &[Entry], groups: Groups) {
        // SAFETY: the caller vouches for all of it.
        unsafe { groups.each(|weights, start, sums| group(entries, weights, start, sums)) }
    }
}

/// [`Tiles::run`] for one group.
///
/// # Safety
/// As there.
#[cfg(not(kernel_thumb_mla))]
#[inline(always)]
unsafe fn group(entries: &[Entry], weights: *const u8, start: *const i32, sums: *mut i32) {
    /// What one entry does: `r3` is at the entry, `r5` at the weights.
    macro_rules! entry {
        () => {
            "
                ldm r3!, {{r0, r1}}
                add r5, r1
                ldrb r1, [r5, #0]
                muls r1, r0, r1
                add r6, r1
                ldrb r1, [r5, #1]
                muls r1, r0, r1
                add r7, r1
                ldrb r1, [r5, #2]
                muls r1, r0, r1
                add r8, r1
                ldrb r1, [r5, #3]
                muls r1, r0, r1
                add r9, r1
                ldrb r1, [r5, #4]
                muls r1, r0, r1
                add r10, r1
                ldrb r1, [r5, #5]
                muls r1, r0, r1
                add r11, r1
                ldrb r1, [r5, #6]
                muls r1, r0, r1
                add r12, r1
                ldrb r1, [r5, #7]
                muls r1, r0, r1
                add lr, r1
                adds r5, #8
                "
        };
    }
    let range = entries.as_ptr_range();
    // SAFETY: the caller keeps the entries within the group, so every read
    // is of `entries`, which are aligned to words, or `weights`. Only `sums`
    // is written. r6 and r7, which can't be operands, are restored, and so
    // is the stack pointer.
    unsafe {
        asm!(
            "push {{r1, r6, r7}}",
            // The sums go to r6 to r12 and lr; only r0 to r7 can be loaded.
            "ldm r2!, {{r6, r7}}",
            "ldm r2!, {{r0, r1}}",
            "mov r8, r0", "mov r9, r1",
            "ldm r2!, {{r0, r1}}",
            "mov r10, r0", "mov r11, r1",
            "ldm r2!, {{r0, r1}}",
            "mov r12, r0", "mov lr, r1",
            "2:",
            entry!(),
            entry!(),
            "cmp r3, r4",
            "bne 2b",
            "pop {{r2}}",
            "mov r0, r8", "mov r1, r9",
            "str r6, [r2, #0]", "str r7, [r2, #4]",
            "str r0, [r2, #8]", "str r1, [r2, #12]",
            "mov r0, r10", "mov r1, r11",
            "str r0, [r2, #16]", "str r1, [r2, #20]",
            "mov r0, r12", "mov r1, lr",
            "str r0, [r2, #24]", "str r1, [r2, #28]",
            "pop {{r6, r7}}",
            out("r0") _,
            inout("r1") sums => _,
            inout("r2") start => _,
            inout("r3") range.start => _,
            in("r4") range.end,
            inout("r5") weights => _,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
            out("r12") _, out("lr") _,
        );
    }
}

/// [`Tiles::run`] for one group.
///
/// # Safety
/// As there.
#[cfg(kernel_thumb_mla)]
#[inline(always)]
unsafe fn group(entries: &[Entry], weights: *const u8, start: *const i32, sums: *mut i32) {
    /// What one entry does: `r1` is at the entry, `r3` at the weights.
    macro_rules! entry {
        () => {
            "
                ldrd r0, r12, [r1], #8
                add r3, r12
                ldrb r12, [r3], #1
                mla r4, r12, r0, r4
                ldrb r12, [r3], #1
                mla r5, r12, r0, r5
                ldrb r12, [r3], #1
                mla r6, r12, r0, r6
                ldrb r12, [r3], #1
                mla r7, r12, r0, r7
                ldrb r12, [r3], #1
                mla r8, r12, r0, r8
                ldrb r12, [r3], #1
                mla r9, r12, r0, r9
                ldrb r12, [r3], #1
                mla r10, r12, r0, r10
                ldrb r12, [r3], #1
                mla r11, r12, r0, r11
                "
        };
    }
    let range = entries.as_ptr_range();
    // SAFETY: as above.
    unsafe {
        asm!(
            "push {{r0, r6, r7}}",
            "ldm lr, {{r4, r5, r6, r7, r8, r9, r10, r11}}",
            "2:",
            entry!(),
            entry!(),
            "cmp r1, r2",
            "bne 2b",
            "pop {{r0}}",
            "stm r0, {{r4, r5, r6, r7, r8, r9, r10, r11}}",
            "pop {{r6, r7}}",
            inout("r0") sums => _,
            inout("r1") range.start => _,
            in("r2") range.end,
            inout("r3") weights => _,
            out("r4") _, out("r5") _, out("r8") _, out("r9") _,
            out("r10") _, out("r11") _, out("r12") _,
            in("lr") start,
        );
    }
}
