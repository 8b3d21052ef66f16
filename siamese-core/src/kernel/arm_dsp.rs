//! Cortex-M4, M7, M33 and M35P: the DSP extension multiplies two pairs of 16 bits and
//! adds both products in one instruction.
//!
//! A 32-bit word of the layout [`Interleaved`](Layout::Interleaved) has two rows, `a` and
//! `b`, of two neighbouring columns: each half is `256 * b + a`. With `x`, the
//! two activations,
//!
//! - `smlad` of the word and `x` adds up `T = Σ (256 * b + a) * x`,
//! - `sxtb16` takes the low bytes, which are `a`, out of the word, and
//! - `smlad` of those and `x` adds up `A = Σ a * x`; in the end
//! - `B = Σ b * x = (T - A) >> 8`, exact while it needs no more than 24 bits,
//!   which the parser checks for the model's worst image. Both sums start with
//!   the rows' biases.
//!
//! So three instructions make four products, and nothing else is unpacked.

use core::arch::asm;

use super::Kernel;
use super::sparse::{Entry, Groups, ROWS, Tiles, accumulate};
use crate::model::{Layer, Layout};

/// The kernel for Cortex-M4, M7, M33 and M35P.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ArmDsp(());

impl ArmDsp {
    pub(super) const LAYOUT: Layout = Layout::Interleaved;

    /// The kernel, if the processor has the instructions: always on Cortex-M4 and
    /// M7; an Armv8-M processor is asked, and has to be privileged to answer.
    #[must_use]
    pub fn new() -> Option<Self> {
        #[cfg(kernel_armv8m)]
        let has = super::armv8m::has_dsp();
        #[cfg(not(kernel_armv8m))]
        let has = true;
        has.then_some(Self(()))
    }

    /// The kernel, without asking.
    ///
    /// # Safety
    /// The processor must have the DSP extension.
    #[must_use]
    pub const unsafe fn new_unchecked() -> Self {
        Self(())
    }
}

impl Kernel for ArmDsp {
    fn name(self) -> &'static str {
        "arm-dsp"
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
const _: () = assert!(matches!(ArmDsp::LAYOUT.tile(), (8, 2)));

impl Tiles for ArmDsp {
    const LAYOUT: Layout = Self::LAYOUT;
    const OFFSET: i32 = 0;
    const ABSOLUTE: bool = false;
    const UNROLL: usize = 2;

    #[inline]
    fn pack(columns: u32) -> u32 {
        (columns & 0xFF) | (columns & 0xFF00) << 8
    }

    #[inline(never)] // One copy of the code for whole and partial groups.
    unsafe fn run(entries: &[Entry], groups: Groups) {
        /// What one entry does: `r1` is at the entry, `r3` at the weights.
        macro_rules! entry {
            () => {
                "
                ldrd r0, r12, [r1], #8
                add r3, r12
                ldm r3!, {{r12, lr}}
                smlad r5, r12, r0, r5
                sxtb16 r12, r12
                smlad r4, r12, r0, r4
                smlad r7, lr, r0, r7
                sxtb16 lr, lr
                smlad r6, lr, r0, r6
                ldm r3!, {{r12, lr}}
                smlad r9, r12, r0, r9
                sxtb16 r12, r12
                smlad r8, r12, r0, r8
                smlad r11, lr, r0, r11
                sxtb16 lr, lr
                smlad r10, lr, r0, r10
                "
            };
        }
        let range = entries.as_ptr_range();
        // SAFETY: the caller keeps the entries within the groups, so every read
        // is of `entries`, the groups' weights or their start, all aligned to
        // words. Only the sums and the stack are written. r6 and r7, which can't
        // be operands, are restored, and so is the stack pointer.
        unsafe {
            asm!(
                // A target without a name for the core: the extension isn't implied.
                #[cfg(kernel_armv8m)]
                ".cpu cortex-m33",
                "push {{r6, r7}}",
                // From the stack pointer on: the start, entries, their end, the
                // weights, a group's length, the sums, their end.
                "push {{r0, r1, r2, r3, r4, r5, r8}}",
                // A group: A is in the even registers, from the start's even rows
                // on; T in the odd ones.
                "3:",
                "ldm sp, {{r0, r1, r2, r3}}",
                "ldm r0!, {{r4, r5, r6, r7, r8, r9, r10, r11}}",
                "str r0, [sp]",
                "add r5, r4, r5, lsl #8",
                "add r7, r6, r7, lsl #8",
                "add r9, r8, r9, lsl #8",
                "add r11, r10, r11, lsl #8",
                "2:",
                entry!(),
                entry!(),
                "cmp r1, r2",
                "bne 2b",
                "sub r5, r5, r4", "asr r5, r5, #8",
                "sub r7, r7, r6", "asr r7, r7, #8",
                "sub r9, r9, r8", "asr r9, r9, #8",
                "sub r11, r11, r10", "asr r11, r11, #8",
                "ldrd r2, r0, [sp, #12]",
                "add r2, r0",
                "str r2, [sp, #12]",
                "ldrd r0, r1, [sp, #20]",
                "stm r0!, {{r4, r5, r6, r7, r8, r9, r10, r11}}",
                "str r0, [sp, #20]",
                "cmp r0, r1",
                "bne 3b",
                "add sp, #28",
                "pop {{r6, r7}}",
                inout("r0") groups.start => _,
                inout("r1") range.start => _,
                inout("r2") range.end => _,
                inout("r3") groups.weights => _,
                inout("r4") groups.length => _,
                inout("r5") groups.sums => _,
                inout("r8") groups.sums.add(groups.count * ROWS) => _,
                out("r9") _, out("r10") _, out("r11") _, out("r12") _, out("lr") _,
            );
        }
    }
}
