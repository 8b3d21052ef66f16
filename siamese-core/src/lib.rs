#![doc = include_str!("../README.md")]
#![no_std]
#![deny(missing_docs)]
#![deny(unsafe_code)]

#[cfg(test)]
extern crate std;

#[macro_use]
mod table;

pub mod checksum;
pub mod embedder;
pub mod embedding;
pub mod error;
pub mod gallery;
pub mod image;
#[allow(
    unsafe_code,
    reason = "vector instructions, inline assembly, registers of the processor"
)]
pub mod kernel;
pub mod model;
pub mod preprocess;
pub mod preset;
pub mod requantise;

pub use embedder::Embedder;
pub use embedding::Embedding;
pub use error::{EncodeError, ModelError, SizeError};
pub use gallery::Gallery;
pub use model::Model;
pub use requantise::Requantise;

/// The bytes of a model file, as `include_bytes!` gives them, but at an address that
/// is a multiple of 16, as repacked models need it.
///
/// The path is relative to the file that the macro is called in.
///
/// ```
/// let bytes: &'static [u8] = siamese_core::include_model!("../model/small.siam");
/// assert!(bytes.as_ptr().addr().is_multiple_of(16));
/// ```
#[macro_export]
macro_rules! include_model {
    ($path:expr $(,)?) => {{
        #[repr(C, align(16))]
        struct Aligned<B: ?Sized>(B);
        const _: () = assert!(align_of::<Aligned<u8>>() == $crate::model::ALIGNMENT);
        static MODEL: &Aligned<[u8]> = &Aligned(*include_bytes!($path));
        &MODEL.0
    }};
}
