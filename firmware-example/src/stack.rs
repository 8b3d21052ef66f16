//! How deep the stack has been: `cortex-m-rt` paints it before `main`, and what
//! is no longer paint was used.

use core::ptr;

use cortex_m_rt::STACK_PAINT_VALUE;

unsafe extern "C" {
    /// The stack's lowest word, by the linker.
    static _stack_end: u32;
    /// Just above its highest word.
    static _stack_start: u32;
}

/// The stack's room, in bytes.
pub fn size() -> u32 {
    (&raw const _stack_start as u32) - (&raw const _stack_end as u32)
}

/// The deepest that the stack has been, in bytes.
pub fn peak() -> u32 {
    let lowest = &raw const _stack_end;
    let words = size() / 4;
    let untouched = (0..words)
        .take_while(|&word| {
            // SAFETY: the linker reserves these words for the stack, so they are
            // readable and aligned, and nothing else lives there; the read is
            // volatile because the program's own pushes change them.
            unsafe { ptr::read_volatile(lowest.add(word as usize)) == STACK_PAINT_VALUE }
        })
        .count() as u32;
    4 * (words - untouched)
}
