//! The model: a section of flash of its own, and the sizes that it was built with.

use core::hint::black_box;

/// The sizes and the checksum.
#[allow(dead_code, reason = "not every program needs all of them")]
mod facts {
    include!(concat!(env!("OUT_DIR"), "/model.rs"));
}

pub use facts::*;

/// The alignment that the model's sections count on.
#[repr(C, align(16))]
struct Aligned([u8; LENGTH]);

/// The model file, as it is. Nothing of it is ever copied to RAM.
#[used]
#[unsafe(link_section = ".model")] // SAFETY: the section exists in memory.x, in flash, for this alone.
static MODEL: Aligned = Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/model.siam")));

/// The model file in flash. The compiler may not foresee its contents: flash
/// can wear out, and a model can be written there later.
pub fn bytes() -> &'static [u8] {
    &black_box(&MODEL).0
}
