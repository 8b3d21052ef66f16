//! Cortex-M3: a multiplication and an addition are one instruction.

use core::arch::asm;

use crate::kernel::sparse::Entry;

/// [`Tiles::run`](crate::kernel::sparse::Tiles::run) for one group.
///
/// # Safety
/// As there.
#[inline(always)]
pub(super) unsafe fn group(
    entries: &[Entry],
    weights: *const u8,
    start: *const i32,
    sums: *mut i32,
) {
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
    // SAFETY: the caller keeps the entries within the group, so every read
    // is of `entries`, which are aligned to words, or `weights`. Only `sums`
    // is written. r6 and r7, which can't be operands, are restored, and so
    // is the stack pointer.
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
