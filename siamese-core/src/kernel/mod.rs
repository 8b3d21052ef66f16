//! The kernels: how the products of a layer are summed, and nothing else.
//!
//! Every back end fulfils one contract, [`Kernel`]; rounding, clamping and
//! buffers belong to the embedder, so a back end can't differ in them. This is
//! the only part of the crate with unsafe code and inline assembly.
//!
//! | back end | cores | weights | products |
//! |---|---|---|---|
//! | [`Portable`] | any | [rows](Layout::Rows) | the compiler's |
//! | `Thumb` | Cortex-M0, M0+, M23, M3 | [columns](Layout::Columns) | one at a time, of what is not zero |
//! | `ArmDsp` | Cortex-M4, M7, M33 | [pairs](Layout::Pairs) | four in three instructions |
//! | `Helium` | Cortex-M55, M85 | [quads](Layout::Quads) | 16 in one instruction |
//! | `X86` | 64-bit x86 with AVX2 or AVX-512 VNNI | [wide pairs](Layout::WidePairs) | 64 in one instruction |
//!
//! `build.rs` selects what is compiled by the target alone, and the layout of a
//! model's weights what runs, where the processor says that it can.
//! `SIAMESE_KERNEL=portable` in the environment of a build leaves all but the
//! first out.

#[cfg(kernel_dsp)]
#[allow(unsafe_code, reason = "inline assembly")]
mod arm_dsp;
#[cfg(kernel_helium)]
#[allow(
    unsafe_code,
    reason = "inline assembly, and registers of the processor"
)]
mod helium;
mod portable;
#[cfg(any(kernel_thumb, kernel_dsp))]
#[allow(unsafe_code, reason = "calls the inline assembly")]
mod sparse;
#[cfg(kernel_thumb)]
#[allow(unsafe_code, reason = "inline assembly")]
mod thumb;
#[cfg(kernel_x86)]
#[allow(unsafe_code, reason = "vector instructions")]
mod x86;

use crate::model::{Layer, Layout};

#[cfg(kernel_dsp)]
pub use arm_dsp::ArmDsp;
#[cfg(kernel_helium)]
pub use helium::Helium;
pub use portable::Portable;
#[cfg(kernel_thumb)]
pub use thumb::Thumb;
#[cfg(kernel_x86)]
pub use x86::{X86, X86Avx2, X86Vnni};

/// One back end.
pub trait Kernel {
    /// A short name, for reports.
    const NAME: &'static str;

    /// The layout that it is made for. [`Portable`] takes every other one.
    const LAYOUT: Layout;

    /// Whether this processor has the instructions.
    fn available() -> bool;

    /// Calls `emit(first, accs)` for groups of neighbouring rows, so that every
    /// row of the layer comes once, in order: for row `first + i`,
    /// `accs[i] = bias[row] + Σ weight[row][column] * inputs[column]`.
    ///
    /// - *Inputs*: `layer.inputs()` activations in `0..=127`; 0 is an exact
    ///   zero, so a back end may skip it. If the slice is shorter, the missing
    ///   activations count as 0; a longer slice's rest is left out.
    /// - *Layout*: the layer has [`Self::LAYOUT`], in which `FORMAT.md` tells
    ///   where each weight is, and was part of a model that
    ///   [`Model::parse`](crate::Model::parse) accepted: what fills up the
    ///   tiles is 0, and the layout's own bounds hold. A layer with another
    ///   layout goes to [`Portable`].
    /// - *Exactness*: all sums are those of 32-bit two's complement. A parsed
    ///   model can't overflow them for any activations in range, in whatever
    ///   order the products are added.
    /// - *Cost*: no memory beyond the stack; time in proportion to the weights.
    fn accumulate(layer: &Layer<'_>, inputs: &[u8], emit: impl FnMut(usize, &[i32]));

    /// [`accumulate`](Self::accumulate) for a batch of images, with the number
    /// of the image as the first argument of `emit`. `inputs` holds
    /// `layer.inputs()` activations an image, one image after the other; what
    /// is left in the end is no image.
    ///
    /// The rows of an image come in order; rows of other images may come
    /// between them, so that a back end can use weights for many images before
    /// it loads the next ones.
    #[inline]
    fn accumulate_batch(
        layer: &Layer<'_>,
        inputs: &[u8],
        mut emit: impl FnMut(usize, usize, &[i32]),
    ) {
        for (image, inputs) in inputs.chunks_exact(layer.inputs()).enumerate() {
            Self::accumulate(layer, inputs, |first, accs| emit(image, first, accs));
        }
    }
}

/// The back ends of this build, chosen by the layer's layout.
pub struct Active;

/// Whether this build, on this processor, has a back end for the layout.
#[must_use]
pub fn runs(layout: Layout) -> bool {
    match layout {
        Layout::Rows => true,
        #[cfg(kernel_thumb)]
        Layout::Columns => Thumb::available(),
        #[cfg(kernel_dsp)]
        Layout::Pairs => ArmDsp::available(),
        #[cfg(kernel_helium)]
        Layout::Quads => Helium::available(),
        #[cfg(kernel_x86)]
        Layout::WidePairs => X86::available(),
        _ => false,
    }
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

/// The name of the back end that runs a layout here, for reports.
#[must_use]
pub fn name(layout: Layout) -> &'static str {
    match layout {
        _ if !runs(layout) => Portable::NAME,
        #[cfg(kernel_thumb)]
        Layout::Columns => Thumb::NAME,
        #[cfg(kernel_dsp)]
        Layout::Pairs => ArmDsp::NAME,
        #[cfg(kernel_helium)]
        Layout::Quads => Helium::NAME,
        #[cfg(kernel_x86)]
        Layout::WidePairs => x86::way().unwrap_or(X86::NAME),
        _ => Portable::NAME,
    }
}

impl Kernel for Active {
    const NAME: &'static str = "active";
    const LAYOUT: Layout = Layout::Rows;

    fn available() -> bool {
        true
    }

    fn accumulate(layer: &Layer<'_>, inputs: &[u8], emit: impl FnMut(usize, &[i32])) {
        match layer.layout() {
            #[cfg(kernel_thumb)]
            Layout::Columns => Thumb::accumulate(layer, inputs, emit),
            #[cfg(kernel_dsp)]
            Layout::Pairs => ArmDsp::accumulate(layer, inputs, emit),
            #[cfg(kernel_helium)]
            Layout::Quads => Helium::accumulate(layer, inputs, emit),
            #[cfg(kernel_x86)]
            Layout::WidePairs => X86::accumulate(layer, inputs, emit),
            _ => Portable::accumulate(layer, inputs, emit),
        }
    }

    fn accumulate_batch(layer: &Layer<'_>, inputs: &[u8], emit: impl FnMut(usize, usize, &[i32])) {
        match layer.layout() {
            #[cfg(kernel_thumb)]
            Layout::Columns => Thumb::accumulate_batch(layer, inputs, emit),
            #[cfg(kernel_dsp)]
            Layout::Pairs => ArmDsp::accumulate_batch(layer, inputs, emit),
            #[cfg(kernel_helium)]
            Layout::Quads => Helium::accumulate_batch(layer, inputs, emit),
            #[cfg(kernel_x86)]
            Layout::WidePairs => X86::accumulate_batch(layer, inputs, emit),
            _ => Portable::accumulate_batch(layer, inputs, emit),
        }
    }
}
