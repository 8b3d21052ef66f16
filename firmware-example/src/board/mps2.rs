//! Arm MPS2 with the images AN385 (Cortex-M3), AN386 (M4) and AN500 (M7), as QEMU
//! emulates them. They differ in nothing but the core.

use core::panic::PanicInfo;

use cortex_m_semihosting::{debug, heprintln};

use super::interrupt::{Line, sleep_until};
use super::register::Register;

/// The board's name, which is also that of QEMU's machine.
pub const NAME: &str = if cfg!(feature = "mps2-an385") {
    "mps2-an385"
} else if cfg!(feature = "mps2-an500") {
    "mps2-an500"
} else {
    "mps2-an386"
};
/// The core's clock.
pub const TICK_HZ: u32 = 25_000_000;

/// UART0: the CMSDK APB UART, with one byte of buffer each way. Nothing is lost
/// between the emulator's host and it: QEMU hands over the next byte when the
/// last one was read.
pub struct Uart {
    data: Register,
    state: Register,
    interrupts: Register,
}

/// State: the transmit buffer is full.
const TX_FULL: u32 = 1 << 0;
/// State: a byte was received.
const RX_FULL: u32 = 1 << 1;
/// Control: transmitter and receiver on, and an interrupt for each byte received.
const CONTROL: u32 = 0b1011;
/// Interrupts: a byte was received; cleared by writing it.
const RX_INTERRUPT: u32 = 1 << 1;
/// The line of that interrupt.
const RX_LINE: Line = Line(0);
/// Clocks a bit, for 115,200 baud.
const BAUD_DIVISOR: u32 = TICK_HZ / 115_200;

impl Uart {
    /// Starts the UART.
    pub fn new() -> Self {
        const UART0: usize = 0x4000_4000;
        // SAFETY: Arm's application notes of the three place UART0 there, and the
        // CMSDK's manual the registers in it. It has no DMA.
        let (data, state, control, interrupts, divisor) = unsafe {
            (
                Register::at(UART0),
                Register::at(UART0 + 0x04),
                Register::at(UART0 + 0x08),
                Register::at(UART0 + 0x0C),
                Register::at(UART0 + 0x10),
            )
        };
        divisor.write(BAUD_DIVISOR);
        control.write(CONTROL);
        Self {
            data,
            state,
            interrupts,
        }
    }

    /// Waits for a byte. It sleeps meanwhile: besides the energy, an emulator
    /// that isn't asked for the state all the time receives 3 times faster.
    pub fn read(&mut self) -> u8 {
        while !self.has_byte() {
            self.interrupts.write(RX_INTERRUPT);
            sleep_until(RX_LINE, || self.has_byte());
        }
        self.data.read() as u8
    }

    /// Is there a byte to read?
    fn has_byte(&self) -> bool {
        self.state.read() & RX_FULL != 0
    }

    /// Waits until a byte can be sent, and sends it.
    pub fn write(&mut self, byte: u8) {
        while self.state.read() & TX_FULL != 0 {}
        self.data.write(byte.into());
    }
}

/// Reports to the emulator's standard error, and ends it with a failure.
pub fn die(info: &PanicInfo<'_>) -> ! {
    heprintln!("{info}");
    loop {
        debug::exit(debug::EXIT_FAILURE);
    }
}
