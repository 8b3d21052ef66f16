//! What the series of ST's STM32 have in common: how their registers are set, and how a
//! pin is connected to a peripheral.

use super::register::Register;

/// A register.
pub const fn register(address: usize) -> Register {
    // SAFETY: all callers name a register of ST's reference manuals, none of which starts a
    // transfer.
    unsafe { Register::at(address) }
}

/// Puts these bits in place of those of the mask.
pub fn change(register: &Register, mask: u32, bits: u32) {
    register.write(register.read() & !mask | bits);
}

/// Waits until the bits of the mask are these.
pub fn wait_for(register: &Register, mask: u32, bits: u32) {
    while register.read() & mask != bits {}
}

/// Switches a peripheral's clock on, by a bit of this register.
pub fn enable(clocks: &Register, bit: u32) {
    change(clocks, 0, 1 << bit);
    // The clock runs before this is read.
    let _ = clocks.read();
}

/// Connects a pin of the port at this address to a peripheral, by the number of its
/// alternate function. The port's clock must run.
pub fn connect(port: usize, pin: u32, function: u32) {
    const ALTERNATE: u32 = 0b10;
    let functions = register(port + 0x20 + 4 * (pin as usize / 8));
    let place = 4 * (pin % 8);
    change(&functions, 0b1111 << place, function << place);
    let modes = register(port);
    change(&modes, 0b11 << (2 * pin), ALTERNATE << (2 * pin));
}
