//! RISC-V.

use core::ptr;

use riscv::register::{mcause, mepc, minstret};
use riscv_rt::{TrapFrame, entry};

use super::stack;
use crate::Memory;

/// What a clock needs: a register of the processor.
pub struct Peripherals;

/// Boots.
#[entry]
fn boot() -> ! {
    static mut MEMORY: Memory = Memory::NEW;
    paint_stack();
    let memory = &raw mut MEMORY;
    // SAFETY: this runs once, and nothing else names the static.
    crate::start(unsafe { &mut *memory })
}

/// Paints the stack below this function, so that its depth can be seen later.
#[inline(never)]
fn paint_stack() {
    let here = 0u32;
    // Some words for what this function itself keeps there.
    let top = (&raw const here).wrapping_sub(64).addr();
    let mut word = stack::lowest().cast_mut();
    while word.addr() < top {
        // SAFETY: these words are the stack's, and nothing is there yet.
        unsafe {
            ptr::write_volatile(word, stack::PAINT);
            word = word.add(1);
        }
    }
}

/// Nothing to do before anything else.
pub fn start() -> Peripherals {
    Peripherals
}

/// Waits for an interrupt.
pub fn sleep() {
    riscv::asm::wfi();
}

/// A clock that counts instructions.
pub struct Ticks;

impl Ticks {
    /// The clock.
    pub fn new(_: Peripherals) -> Self {
        Self
    }

    /// The ticks so far, modulo 2^32.
    pub fn now(&self) -> u32 {
        minstret::read() as u32
    }
}

/// A fault of the processor ends like a panic.
#[unsafe(export_name = "ExceptionHandler")] // SAFETY: riscv-rt calls it with this signature.
extern "C" fn exception(_: &TrapFrame) -> ! {
    let (cause, address) = (mcause::read().bits(), mepc::read());
    panic!("exception {cause} at address {address:#010x}");
}
