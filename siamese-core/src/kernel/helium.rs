//! Cortex-M55 and M85: Helium, vectors of 16 bytes.
//!
//! A tile of the layout [`Quads`](Layout::Quads) has four columns in each word,
//! and a word for each of 8 rows. Four entries of the index are handled at once,
//! wherever their tiles are: for each row, one instruction gathers the four
//! tiles' words into a vector, and `vmladava.s8` multiplies its 16 weights with
//! the 16 activations and adds all products to the row's sum.

use core::arch::asm;

use super::sparse::{Entry, Groups, Tiles, accumulate};
use super::{Adder, Kernel};
use crate::model::{Layer, Layout};

/// The kernel for Cortex-M55 and M85.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Helium(());

impl Helium {
    pub(super) const LAYOUT: Layout = Layout::Quads;

    /// The kernel, if the processor has Helium and lets all code use it: a firmware
    /// must have enabled the coprocessors 10 and 11 in CPACR. The code has to be
    /// privileged to ask.
    #[must_use]
    pub fn new() -> Option<Self> {
        super::armv8m::has_helium().then_some(Self(()))
    }

    /// The kernel, without asking.
    ///
    /// # Safety
    /// The processor must have Helium's integer instructions, and they must be
    /// enabled for the caller.
    #[must_use]
    pub const unsafe fn new_unchecked() -> Self {
        Self(())
    }
}

impl Kernel for Helium {
    fn name(self) -> &'static str {
        "helium"
    }

    fn layout(self) -> Layout {
        Self::LAYOUT
    }

    #[inline]
    fn adder(self) -> Adder {
        Adder::Helium(self)
    }

    #[inline]
    fn accumulate(self, layer: &Layer<'_>, inputs: &[u8], emit: impl FnMut(usize, &[i32])) {
        accumulate(self, layer, inputs, emit);
    }
}

// What the assembly is written for.
const _: () = assert!(matches!(Helium::LAYOUT.tile(), (8, 4)));

impl Tiles for Helium {
    const LAYOUT: Layout = Self::LAYOUT;
    const OFFSET: i32 = 0;
    const ABSOLUTE: bool = true;
    const UNROLL: usize = 4;

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
#[inline(always)]
unsafe fn group(entries: &[Entry], weights: *const u8, start: *const i32, sums: *mut i32) {
    let range = entries.as_ptr_range();
    // SAFETY: the caller keeps the tiles within the group, so every read is
    // of `entries`, `weights` or `start`, all aligned to words. Only `sums` and
    // the stack are written. r6, which can't be an operand, is restored, and
    // so is the stack pointer. The instructions are there, as the caller says.
    unsafe {
        asm!(
            // The target doesn't imply the extension.
            ".cpu cortex-m55",
            "push {{r6}}",
            // Sums of vectors can only go to even registers.
            "ldrd r0, r2, [r9]", "ldrd r4, r6, [r9, #8]",
            "ldrd r8, r10, [r9, #16]", "ldrd r12, lr, [r9, #24]",
            "2:",
            // The activations of four entries, and where their tiles are.
            "vld20.32 {{q0, q1}}, [r1]",
            "vld21.32 {{q0, q1}}, [r1]!",
            "vadd.i32 q1, q1, r5",
            "vldrw.u32 q2, [q1]",
            "vldrw.u32 q3, [q1, #4]",
            "vmladava.s8 r0, q0, q2",
            "vldrw.u32 q2, [q1, #8]",
            "vmladava.s8 r2, q0, q3",
            "vldrw.u32 q3, [q1, #12]",
            "vmladava.s8 r4, q0, q2",
            "vldrw.u32 q2, [q1, #16]",
            "vmladava.s8 r6, q0, q3",
            "vldrw.u32 q3, [q1, #20]",
            "vmladava.s8 r8, q0, q2",
            "vldrw.u32 q2, [q1, #24]",
            "vmladava.s8 r10, q0, q3",
            "vldrw.u32 q3, [q1, #28]",
            "vmladava.s8 r12, q0, q2",
            "vmladava.s8 lr, q0, q3",
            "cmp r1, r3",
            "bne 2b",
            "strd r0, r2, [r11]", "strd r4, r6, [r11, #8]",
            "strd r8, r10, [r11, #16]", "strd r12, lr, [r11, #24]",
            "pop {{r6}}",
            out("r0") _,
            inout("r1") range.start => _,
            out("r2") _,
            in("r3") range.end,
            out("r4") _,
            in("r5") weights,
            out("r8") _,
            in("r9") start,
            out("r10") _,
            in("r11") sums,
            out("r12") _, out("lr") _,
            // With hard floats, the compiler keeps values in them.
            out("q0") _, out("q1") _, out("q2") _, out("q3") _,
        );
    }
}
