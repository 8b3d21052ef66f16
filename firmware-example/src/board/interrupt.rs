//! Sleeping until a peripheral has something, without a handler.

use cortex_m::asm::wfi;
use cortex_m::interrupt::{InterruptNumber, free};
use cortex_m::peripheral::NVIC;

/// An interrupt line, by its number in the board's table.
#[derive(Debug, Clone, Copy)]
pub struct Line(pub u16);

// SAFETY: a Cortex-M0 has 32 lines, the others up to 240 or 480; the boards'
// numbers are below that.
unsafe impl InterruptNumber for Line {
    fn number(self) -> u16 {
        self.0
    }
}

/// Sleeps until the line is raised, unless `ready` already. May wake early.
///
/// The line is enabled only in here, where interrupts are masked: one that is
/// raised wakes the processor and is never taken.
pub fn sleep_until(line: Line, ready: impl FnOnce() -> bool) {
    free(|_| {
        NVIC::unpend(line);
        // SAFETY: no critical section counts on this line being masked, and it
        // is masked again before interrupts are taken.
        unsafe { NVIC::unmask(line) };
        if !ready() {
            wfi();
        }
        NVIC::mask(line);
    });
}
