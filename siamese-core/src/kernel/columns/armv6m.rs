//! Cortex-M0, M0+, M1 and M23: a multiplication and an addition, and eight registers that can be
//! loaded.

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
