//! Arm's FPGA boards MPS2 and MPS3 with their images, as QEMU emulates them. They
//! differ in the core, the clock, and where UART0 is.

use super::facts::{TICK_HZ, UART, UART_LINE};
use super::interrupt::{Line, sleep_until};
use super::register::Register;

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
/// Clocks a bit, for 115,200 baud.
const BAUD_DIVISOR: u32 = TICK_HZ / 115_200;

impl Uart {
    /// Starts the UART.
    pub fn new() -> Self {
        // SAFETY: Arm's application notes place UART0 there, and the
        // CMSDK's manual the registers in it. It has no DMA.
        let (data, state, control, interrupts, divisor) = unsafe {
            (
                Register::at(UART),
                Register::at(UART + 0x04),
                Register::at(UART + 0x08),
                Register::at(UART + 0x0C),
                Register::at(UART + 0x10),
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

    /// Whether there is a byte to take.
    pub fn has_byte(&self) -> bool {
        self.state.read() & RX_FULL != 0
    }

    /// Sleeps until there is one, or any interrupt. Besides the energy, an emulator
    /// that isn't asked for the state all the time receives 3 times faster.
    pub fn doze(&mut self) {
        self.interrupts.write(RX_INTERRUPT);
        sleep_until(Line(UART_LINE), || self.has_byte());
    }

    /// Takes a byte.
    pub fn take(&mut self) -> u8 {
        self.data.read() as u8
    }

    /// Waits until a byte can be sent, and sends it.
    pub fn write(&mut self, byte: u8) {
        self.flush();
        self.data.write(byte.into());
    }

    /// Waits until all bytes are sent.
    pub fn flush(&mut self) {
        while self.state.read() & TX_FULL != 0 {}
    }
}
