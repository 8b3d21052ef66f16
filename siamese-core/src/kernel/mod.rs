//! The kernels: how the products of a layer are summed, and nothing else.
//!
//! Every backend fulfils one contract, [`Kernel`]; rounding, clamping and
//! buffers belong to the embedder, so a backend can't differ in them. This is
//! the only part of the crate with unsafe code and inline assembly.
//!
//! `build.rs` selects by the target alone which backends are compiled; the
//! variants of [`Backend`] are those of this build. `SIAMESE_KERNEL=portable` in
//! the environment of a build leaves all but the first out.
//!
//! # Chosen once
//!
//! A backend is a *token*: a value of its type is the proof that this processor has
//! the instructions. Safe code gets it from `new`, which asks the processor; unsafe
//! code, which knows better, from `new_unchecked`. [`Model::parse`](crate::Model::parse)
//! makes the token and keeps it in the model, and embedding reads no register.
//!
//! Where the answer is in the target's name (Armv6-M, Armv7-M, RISC-V), `new` reads
//! nothing either. On Armv8-M with the main extension, DSP and Helium are optional,
//! and `new` reads the registers ID_ISAR3, MVFR1 and CPACR, which unprivileged code
//! must not: it gets no token there, whether it runs on Tock, Hubris or
//! FreeRTOS-MPU. Either privileged code parses the model and hands it over, or the
//! task vouches for the processor itself:
//!
//! ```
//! # fn task(bytes: &[u8]) -> Result<(), Box<dyn std::error::Error>> {
//! use siamese_core::kernel::Backend;
//! use siamese_core::model::{Layout, Model};
//!
//! // SAFETY: this firmware is for a Cortex-M55 with Helium, and enables it at boot.
//! let backend = unsafe { Backend::assume(Layout::Quads) }.ok_or("another target")?;
//! let model = Model::parse_with(bytes, backend)?;
//! # Ok(())
//! # }
//! ```
//!
//! # What an operating system must save
//!
//! The kernels for Thumb and DSP use the general registers alone, which every
//! system saves. Helium's uses vectors:
//!
//! - The coprocessors 10 and 11 are enabled in CPACR (and in NSACR, for code in the
//!   non-secure state) before the model is parsed, and stay so. Afterwards a kernel
//!   doesn't look again: with the coprocessors off, its first vector instruction
//!   raises the usage fault NOCP.
//! - The kernel overwrites q0 to q3, which are s0 to s15 of the floating-point unit,
//!   and the flags in FPSCR. Its first vector instruction sets CONTROL.FPCA, so that
//!   an interrupt makes the processor stack s0 to s15, FPSCR and VPR, at once or
//!   lazily, as FPCCR (ASPEN, LSPEN) says; both must be left as they are at reset, on.
//! - A system that switches tasks saves s16 to s31 (q4 to q7), too, of tasks whose
//!   EXC_RETURN has the bit FType clear, as for floating-point code. Most ports of
//!   FreeRTOS, Zephyr and others do that if they are built with the floating-point unit
//!   on; then this library may be built for `eabi` and for `eabihf`.
//! - The kernel doesn't use predication: VPR stays 0 of what it concerns.

use crate::model::{Layer, Layout};

#[cfg(kernel_dsp)]
mod arm_dsp;
#[cfg(kernel_armv8m)]
mod armv8m;
#[cfg(kernel_columns)]
mod columns;
#[cfg(kernel_helium)]
mod helium;
pub(crate) mod lanes;
mod portable;
#[cfg(any(kernel_columns, kernel_dsp))]
mod sparse;
#[cfg(kernel_x86)]
mod x86;

#[cfg(kernel_dsp)]
pub use arm_dsp::ArmDsp;
#[cfg(kernel_columns)]
pub use columns::OneByOne;
#[cfg(kernel_helium)]
pub use helium::Helium;
#[doc(hidden)]
pub use lanes::Adder;
pub use portable::Portable;
#[cfg(kernel_x86)]
pub use x86::{X86Avx2, X86Vnni};

/// What every backend does. A value of a type that implements it is the proof that
/// this processor has the instructions.
pub trait Kernel: Copy {
    /// A short name, for reports.
    fn name(self) -> &'static str;

    /// The layout that it is made for. [`Portable`] takes every other one.
    fn layout(self) -> Layout;

    /// How it adds the words of weights of few bits.
    #[doc(hidden)]
    #[inline]
    fn adder(self) -> Adder {
        Adder::Words
    }

    /// Calls `emit(first, accs)` for groups of neighbouring rows, so that every
    /// row of the layer comes once, in order: for row `first + i`,
    /// `accs[i] = bias[row] + Σ weight[row][column] * inputs[column]`.
    ///
    /// - *Inputs*: `layer.inputs()` activations in `0..=127`; 0 is an exact
    ///   zero, so a backend may skip it. If the slice is shorter, the missing
    ///   activations count as 0; a longer slice's rest is left out.
    /// - *Layout*: the layer has [`Self::layout`], in which `FORMAT.md` tells
    ///   where each weight is, and was part of a model that
    ///   [`Model::parse`](crate::Model::parse) accepted: what fills up the
    ///   tiles is 0, and the layout's own bounds hold. A layer with another
    ///   layout goes to [`Portable`].
    /// - *Exactness*: all sums are those of 32-bit two's complement. A parsed
    ///   model can't overflow them for any activations in range, in whatever
    ///   order the products are added.
    /// - *Cost*: no memory beyond the stack; time in proportion to the weights.
    fn accumulate(self, layer: &Layer<'_>, inputs: &[u8], emit: impl FnMut(usize, &[i32]));

    /// [`accumulate`](Self::accumulate) for a batch of images, with the number
    /// of the image as the first argument of `emit`. `inputs` holds
    /// `layer.inputs()` activations an image, one image after the other; what
    /// is left in the end is no image.
    ///
    /// The rows of an image come in order; rows of other images may come
    /// between them, so that a backend can use weights for many images before
    /// it loads the next ones.
    #[inline]
    fn accumulate_batch(
        self,
        layer: &Layer<'_>,
        mut inputs: &[u8],
        mut emit: impl FnMut(usize, usize, &[i32]),
    ) {
        // A parsed layer has inputs.
        let columns = layer.inputs().max(1);
        let mut image = 0;
        while let Some((these, later)) = inputs.split_at_checked(columns) {
            self.accumulate(layer, these, |first, accs| emit(image, first, accs));
            inputs = later;
            image += 1;
        }
    }
}

/// Defines [`Backend`] by the table in `table.rs`.
macro_rules! define_backend {
    ($($(#[$doc:meta])* $kernel:ident, $cfg:ident, $layout:ident;)*) => {
        /// The backends of this build. Each value is the proof that this processor
        /// has the instructions, and can be copied and sent to other tasks of it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        #[non_exhaustive]
        pub enum Backend {
            /// Any core: plain Rust.
            Portable(Portable),
            $($(#[$doc])* #[cfg($cfg)] $kernel($kernel),)*
        }

        impl Backend {
            /// All backends of this build whose instructions this processor has, and
            /// lets the caller use.
            pub fn all() -> impl Iterator<Item = Self> {
                let all = [
                    Some(Self::PORTABLE),
                    $(#[cfg($cfg)] $kernel::new().map(Self::$kernel),)*
                ];
                all.into_iter().flatten()
            }

            /// The fastest backend for a layout, if this build has one whose
            /// instructions this processor has, and lets the caller use.
            #[must_use]
            #[allow(unused_mut, unused_assignments, reason = "depends on the target")]
            pub fn detect(layout: Layout) -> Option<Self> {
                let mut found = match layout {
                    Layout::Rows => Some(Self::PORTABLE),
                    _ => None,
                };
                $(
                    #[cfg($cfg)]
                    if layout == Layout::$layout && let Some(kernel) = $kernel::new() {
                        found = Some(Self::$kernel(kernel));
                    }
                )*
                found
            }

            /// The fastest backend that this build has for a layout. The processor
            /// isn't asked, and no register is read.
            ///
            /// # Safety
            /// The processor must have the instructions, and they must be enabled
            /// for the caller, for as long as the backend is in use.
            #[must_use]
            #[allow(unused_mut, unused_assignments, reason = "depends on the target")]
            pub const unsafe fn assume(layout: Layout) -> Option<Self> {
                let mut found = match layout {
                    Layout::Rows => Some(Self::PORTABLE),
                    _ => None,
                };
                $(
                    #[cfg($cfg)]
                    if matches!(layout, Layout::$layout) {
                        // SAFETY: the caller vouches for the instructions.
                        found = Some(Self::$kernel(unsafe { $kernel::new_unchecked() }));
                    }
                )*
                found
            }

            /// Whether this build has a backend for a layout, on whatever
            /// processor.
            #[must_use]
            pub const fn compiled(layout: Layout) -> bool {
                match layout {
                    Layout::Rows => true,
                    $(
                        #[cfg($cfg)]
                        #[allow(unreachable_patterns, reason = "two backends for a layout")]
                        Layout::$layout => true,
                    )*
                    #[allow(unreachable_patterns, reason = "a build with all backends")]
                    _ => false,
                }
            }
        }

        impl Kernel for Backend {
            #[inline]
            fn name(self) -> &'static str {
                match self {
                    Self::Portable(kernel) => kernel.name(),
                    $(#[cfg($cfg)] Self::$kernel(kernel) => kernel.name(),)*
                }
            }

            #[inline]
            fn layout(self) -> Layout {
                match self {
                    Self::Portable(kernel) => kernel.layout(),
                    $(#[cfg($cfg)] Self::$kernel(_) => Layout::$layout,)*
                }
            }

            #[inline]
            fn adder(self) -> Adder {
                match self {
                    Self::Portable(kernel) => kernel.adder(),
                    $(#[cfg($cfg)] Self::$kernel(kernel) => kernel.adder(),)*
                }
            }

            fn accumulate(self, layer: &Layer<'_>, inputs: &[u8], emit: impl FnMut(usize, &[i32])) {
                match self {
                    Self::Portable(kernel) => kernel.accumulate(layer, inputs, emit),
                    $(#[cfg($cfg)] Self::$kernel(kernel) => kernel.accumulate(layer, inputs, emit),)*
                }
            }

            fn accumulate_batch(
                self,
                layer: &Layer<'_>,
                inputs: &[u8],
                emit: impl FnMut(usize, usize, &[i32]),
            ) {
                match self {
                    Self::Portable(kernel) => kernel.accumulate_batch(layer, inputs, emit),
                    $(#[cfg($cfg)]
                    Self::$kernel(kernel) => kernel.accumulate_batch(layer, inputs, emit),)*
                }
            }
        }

        // Each backend's own layout is the table's.
        $(#[cfg($cfg)] const _: () = assert!(matches!($kernel::LAYOUT, Layout::$layout));)*
    };
}

backends!(define_backend);

impl Backend {
    /// The backend that every build and every processor has.
    pub const PORTABLE: Self = Self::Portable(Portable);
}

/// Whether this build, on this processor, has a backend for the layout.
#[must_use]
pub fn runs(layout: Layout) -> bool {
    Backend::detect(layout).is_some()
}

/// The layout that this build on this processor is fastest with.
#[must_use]
pub fn preferred() -> Layout {
    Layout::ALL
        .into_iter()
        .rev()
        .find(|&layout| runs(layout))
        .unwrap_or_default()
}

/// Whether this code may read the registers that tell of the instructions, as far
/// as that matters here.
pub(crate) fn privileged() -> bool {
    #[cfg(kernel_armv8m)]
    return armv8m::privileged();
    #[cfg(not(kernel_armv8m))]
    true
}
