//! RISC-V.

use core::ptr;

use riscv::register::{mcause, mcountinhibit, mcycle, mepc};
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

/// Takes no interrupt from here on.
pub fn disable_interrupts() {
    riscv::interrupt::disable();
}

/// Does some work while no interrupt is taken.
pub fn undisturbed(work: impl FnOnce()) {
    riscv::interrupt::free(work);
}

/// Lets the processor see the code that it has written.
pub fn synchronise() {
    riscv::asm::fence_i();
}

/// A clock that counts cycles, each of which is an instruction in QEMU.
pub struct Ticks;

impl Ticks {
    /// Starts the clock, which stands still after reset where that saves energy.
    pub fn new(_: Peripherals) -> Self {
        // SAFETY: nothing else uses the counter.
        unsafe { mcountinhibit::clear_cy() };
        Self
    }

    /// The ticks so far, modulo 2^32.
    pub fn now(&self) -> u32 {
        mcycle::read() as u32
    }
}

/// A fault of the processor ends like a panic.
#[unsafe(export_name = "ExceptionHandler")] // SAFETY: riscv-rt calls it with this signature.
extern "C" fn exception(_: &TrapFrame) -> ! {
    let (cause, address) = (mcause::read().bits(), mepc::read());
    panic!("exception {cause} at address {address:#010x}");
}
