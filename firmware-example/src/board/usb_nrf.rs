//! The USB of the nRF52840, by the driver `nrf-usbd`. Addresses and bits are those of the product
//! specification.
//!
//! It waits at boot for the cable. When the cable was pulled out while the board has power by
//! another one, it has to be reset.

use nrf_usbd::{UsbPeripheral, Usbd};

use crate::board::driver::{start_cache, start_crystal};
use crate::board::register::Register;

/// The driver of the controller.
pub type Bus = Usbd<Controller>;

/// The interrupt line.
pub const LINE: u16 = 39;

/// The controller's registers.
const CONTROLLER: usize = 0x4002_7000;

/// The controller.
pub struct Controller;

// SAFETY: its registers are there, and nothing else in this program writes those that the driver
// does.
unsafe impl UsbPeripheral for Controller {
    const REGISTERS: *const () = core::ptr::without_provenance(CONTROLLER);
}

/// A register.
fn register(address: usize) -> Register {
    // SAFETY: all callers name a register of the specification's, none of which starts a transfer.
    unsafe { Register::at(address) }
}

/// Starts the crystal, without which there is no USB, and waits for the cable and its voltage.
pub fn start() -> Bus {
    /// The voltage is there, and so is what the chip makes of it.
    const POWERED: u32 = 0b11;
    start_crystal();
    start_cache();
    while register(0x4000_0438).read() & POWERED != POWERED {}
    Usbd::new(Controller)
}

/// Lets the controller, which runs, interrupt the processor.
pub fn raise_interrupts() {
    /// At a reset, a part of a control transfer, a frame's start (the driver watches the time by
    /// it), other events of the bus, a request, data.
    const WANTED: u32 = (1 << 0) | (1 << 10) | (0b1111 << 21);
    register(CONTROLLER + 0x304).write(WANTED);
}

/// Ends the interrupt for data, which the driver leaves as it is.
pub fn acknowledge() {
    register(CONTROLLER + 0x160).write(0);
}

/// Never: data that are left in the controller are told of once.
pub const fn is_full() -> bool {
    false
}
