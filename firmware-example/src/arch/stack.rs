//! How deep the stack has been: it is painted before the program starts, and
//! what is no longer paint was used.

use core::ptr;

/// The paint.
#[cfg(target_arch = "arm")]
pub const PAINT: u32 = cortex_m_rt::STACK_PAINT_VALUE;
/// The paint.
#[cfg(target_arch = "riscv32")]
pub const PAINT: u32 = 0xCCCC_CCCC;

unsafe extern "C" {
    /// The stack's lowest word, by the linker.
    static _stack_end: u32;
    /// Just above its highest word.
    static _stack_start: u32;
}

/// Where the stack's room begins.
pub fn lowest() -> *const u32 {
    &raw const _stack_end
}

/// The stack's room, in bytes.
pub fn size() -> u32 {
    ((&raw const _stack_start).addr() - lowest().addr()) as u32
}

/// The deepest that the stack has been, in bytes.
pub fn peak() -> u32 {
    let lowest = lowest();
    let words = size() / 4;
    let untouched = (0..words)
        .take_while(|&word| {
            // SAFETY: the linker reserves these words for the stack, so they are
            // readable and aligned, and nothing else lives there; the read is
            // volatile because the program's own pushes change them.
            unsafe { ptr::read_volatile(lowest.add(word as usize)) == PAINT }
        })
        .count() as u32;
    4 * (words - untouched)
}
