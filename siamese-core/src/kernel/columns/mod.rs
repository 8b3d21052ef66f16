//! Cortex-M0, M0+, M1, M23 and M3 and RISC-V of 32 bits, which multiply one number at a
//! time.
//!
//! A column at a time: its activation is multiplied with the weights of 8 rows,
//! whose sums stay in registers. Weights are stored plus 128, because the
//! smaller cores load bytes without a sign in one instruction and with a sign
//! in two; `sparse` takes 128 times the sum of the activations off again.
//!
//! This file has what the cores have in common; each of the others has the sums of 8 rows.

#[cfg(kernel_narrow)]
mod armv6m;
#[cfg(kernel_thumb_mla)]
mod armv7m;
#[cfg(kernel_riscv)]
mod riscv;

#[cfg(kernel_narrow)]
use armv6m::group;
#[cfg(kernel_thumb_mla)]
use armv7m::group;
#[cfg(kernel_riscv)]
use riscv::group;

use super::Kernel;
use super::sparse::{Entry, Groups, Tiles, accumulate};
use crate::model::{Layer, Layout};

/// The kernel for Cortex-M0, M0+, M1, M23 and M3, and for RISC-V of 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct OneByOne(());

impl OneByOne {
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

impl Kernel for OneByOne {
    fn name(self) -> &'static str {
        "one-by-one"
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
const _: () = assert!(matches!(OneByOne::LAYOUT.tile(), (8, 1)));

impl Tiles for OneByOne {
    const LAYOUT: Layout = Self::LAYOUT;
    const OFFSET: i32 = 128;
    const ABSOLUTE: bool = false;
    const UNROLL: usize = if cfg!(kernel_riscv) { 1 } else { 2 };

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
