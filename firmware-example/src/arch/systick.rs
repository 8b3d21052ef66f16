//! A clock on SysTick, which counts 24 bits; an interrupt counts the rest. It also
//! wakes a processor that sleeps: every 2^24 ticks.

use core::sync::atomic::{AtomicU32, Ordering};

use cortex_m::Peripherals;
use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m_rt::exception;

/// SysTick's 24 bits.
const BITS: u32 = 24;
/// Counting down from here makes one turn 2^24 ticks long.
const RELOAD: u32 = (1 << BITS) - 1;

/// Full turns of the counter.
static TURNS: AtomicU32 = AtomicU32::new(0);

/// Runs once every 2^24 ticks while the clock runs.
#[exception]
fn SysTick() {
    // Nobody else writes, and Armv6-M has no instruction that adds in memory.
    TURNS.store(
        TURNS.load(Ordering::Relaxed).wrapping_add(1),
        Ordering::Relaxed,
    );
}

/// The clock.
pub struct Ticks;

impl Ticks {
    /// Starts the clock.
    pub fn new(
        Peripherals {
            SYST: mut counter, ..
        }: Peripherals,
    ) -> Self {
        counter.set_clock_source(SystClkSource::Core);
        counter.set_reload(RELOAD);
        counter.clear_current();
        counter.enable_interrupt();
        counter.enable_counter();
        Self
    }

    /// The ticks so far, modulo 2^32.
    pub fn now(&self) -> u32 {
        loop {
            let turns = TURNS.load(Ordering::Relaxed);
            // The turn ends where the counter reaches 0, so 0 is its first tick.
            let ticks = SYST::get_current().wrapping_neg() & RELOAD;
            // If the counter turned in between, look again.
            if TURNS.load(Ordering::Relaxed) == turns {
                return (turns << BITS) | ticks;
            }
        }
    }
}
