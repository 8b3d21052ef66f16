//! The kernels: how the products of a layer are summed, and nothing else.
//!
//! Every back end fulfils one contract, [`Kernel`]; rounding, clamping and
//! buffers belong to the embedder, so a back end can't differ in them. This is
//! the only part of the crate where unsafe code would be allowed.

mod portable;

use crate::model::Layer;

pub use portable::Portable;

/// The back end that this build uses.
pub type Active = Portable;

/// One back end.
pub trait Kernel {
    /// A short name, for reports.
    const NAME: &'static str;

    /// Calls `emit(row, acc)` once for every row of the layer, rows ascending,
    /// with `acc = bias[row] + Σ weight[row][column] * inputs[column]`.
    ///
    /// - *Inputs*: `layer.inputs()` activations in `0..=127`; 0 is an exact
    ///   zero, so a back end may skip it. If the slice is shorter, the missing
    ///   activations count as 0; a longer slice's rest is left out.
    /// - *Layout*: weights are row-major and unaligned; see `FORMAT.md`.
    /// - *Exactness*: all sums are those of 32-bit two's complement. A parsed
    ///   model can't overflow them for any activations in range, in whatever
    ///   order the products are added.
    /// - *Cost*: no memory beyond the stack; time in proportion to the weights.
    fn accumulate(layer: &Layer<'_>, inputs: &[u8], emit: impl FnMut(usize, i32));
}
