//! RISC-V of 32 bits, in plain Rust: a load, a multiplication and an addition make a product,
//! and there are registers enough.

use crate::kernel::sparse::{Entry, ROWS};

/// [`Tiles::run`](crate::kernel::sparse::Tiles::run) for one group.
///
/// # Safety
/// As there.
#[inline(always)]
pub(super) unsafe fn group(
    entries: &[Entry],
    weights: *const u8,
    start: *const i32,
    sums: *mut i32,
) {
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
}
