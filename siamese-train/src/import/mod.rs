//! Networks that were trained elsewhere: three fully connected layers with
//! ReLU between them, in a `safetensors` file as PyTorch's users write it.
//!
//! [`Weights`] holds the file's tensors, [`Roles`] says which of them is what
//! (by [`Weights::roles`], or by the user), and [`Weights::network`] makes a
//! [`FloatNetwork`] of them: batch normalisation and the normalisation of the
//! input are folded into the layers, so that what is left takes 0 for black and
//! 1 for white. [`convert()`] does the rest: integers, golden vectors, a report.

#[cfg(feature = "torch")]
mod convert;
mod fold;
mod roles;
mod weights;

#[cfg(feature = "torch")]
pub use convert::{Data, Report, SameClass, convert};
pub use fold::{InputRange, NormPlace};
pub use roles::Roles;
pub use weights::Weights;

#[cfg(doc)]
use crate::train::float_network::FloatNetwork;

#[cfg(test)]
mod tests;
