//! RISC-V of 32 bits: one product at a time, of what is not zero, in plain Rust.
//!
//! A column at a time, as the kernel for Cortex-M0 does it: an activation is multiplied with the
//! weights of 8 rows, whose sums stay in registers, of which there are enough here. A load, a
//! multiplication and an addition make a product.

use super::Kernel;
use super::sparse::{Entry, Groups, ROWS, Tiles, accumulate};
use crate::model::{Layer, Layout};

/// The kernel for RISC-V of 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Riscv(());

impl Riscv {
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

impl Kernel for Riscv {
    fn name(self) -> &'static str {
        "riscv"
    }

    fn layout(self) -> Layout {
        Self::LAYOUT
    }

    #[inline]
    fn accumulate(self, layer: &Layer<'_>, inputs: &[u8], emit: impl FnMut(usize, &[i32])) {
        accumulate(self, layer, inputs, emit);
    }
}

impl Tiles for Riscv {
    const LAYOUT: Layout = Self::LAYOUT;
    const OFFSET: i32 = 128;
    const ABSOLUTE: bool = false;
    const UNROLL: usize = 1;

    #[inline]
    fn pack(columns: u32) -> u32 {
        columns
    }

    #[inline(never)] // One copy of the code for whole and partial groups.
    unsafe fn run(entries: &[Entry], groups: Groups) {
        let group = |weights: *const u8, start: *const i32, sums: *mut i32| {
            // SAFETY: the caller vouches for the numbers that a group starts with.
            let mut accs: [i32; ROWS] = unsafe { start.cast::<[i32; ROWS]>().read() };
            let mut tile = weights;
            for entry in entries {
                tile = tile.wrapping_add(entry.skip as usize);
                // SAFETY: the caller keeps the entries within the group.
                let weights: &[u8; ROWS] = unsafe { &*tile.cast() };
                for (acc, &weight) in accs.iter_mut().zip(weights) {
                    let product = u32::from(weight).wrapping_mul(entry.activations);
                    *acc = acc.wrapping_add(product.cast_signed());
                }
                tile = tile.wrapping_add(ROWS);
            }
            // SAFETY: the caller vouches for the room.
            unsafe { sums.cast::<[i32; ROWS]>().write(accs) };
        };
        // SAFETY: the caller vouches for the groups.
        unsafe { groups.each(group) }
    }
}
