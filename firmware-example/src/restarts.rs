//! How often the processor has restarted since it got power: in RAM that start-up leaves alone.

use core::sync::atomic::{AtomicU32, Ordering};

/// What the second word is beside the first: anything else is what RAM holds by chance.
const CHECK: u32 = 0x5A3C_96E1;

/// The restarts, and the check of them.
#[cfg_attr(
    target_arch = "arm",
    unsafe(link_section = ".uninit.restarts") // SAFETY: any bits are a number.
)]
static KEPT: [AtomicU32; 2] = [AtomicU32::new(0), AtomicU32::new(0)];

/// Counts this start; to be called once.
pub fn count() {
    let [restarts, check] = &KEPT;
    let known = restarts.load(Ordering::Relaxed);
    let now = if check.load(Ordering::Relaxed) == known ^ CHECK {
        known.saturating_add(1)
    } else {
        0
    };
    restarts.store(now, Ordering::Relaxed);
    check.store(now ^ CHECK, Ordering::Relaxed);
}

/// The restarts, without the first start. On RISC-V start-up clears them.
pub fn number() -> u32 {
    let [restarts, _] = &KEPT;
    restarts.load(Ordering::Relaxed)
}
