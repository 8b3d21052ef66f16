//! QEMU's `virt`, a RISC-V computer that is nowhere but there: an RV32 core and a
//! 16550 UART.

use super::facts::UART;
use super::register::Register;

/// The UART, which holds 16 bytes each way.
pub struct Uart {
    data: Register<u8>,
    state: Register<u8>,
}

/// State: a byte was received.
const RECEIVED: u8 = 1 << 0;
/// State: the next byte can be written.
const CAN_SEND: u8 = 1 << 5;
/// State: everything was sent.
const ALL_SENT: u8 = 1 << 6;
/// Line control: 8 bits, no parity, 1 stop bit.
const LINE_8N1: u8 = 0b11;
/// FIFO control: on.
const FIFO_ON: u8 = 1;

impl Uart {
    /// Starts the UART.
    pub fn new() -> Self {
        // SAFETY: QEMU's documentation of the machine places the UART there, and
        // the 16550's data sheet the registers in it. It has no DMA.
        let [data, fifo, line, state] =
            [0, 2, 3, 5].map(|offset| unsafe { Register::at(UART + offset) });
        line.write(LINE_8N1);
        fifo.write(FIFO_ON);
        Self { data, state }
    }

    /// Whether there is a byte to take.
    pub fn has_byte(&self) -> bool {
        self.state.read() & RECEIVED != 0
    }

    /// Does nothing: this UART is polled.
    pub fn doze(&mut self) {}

    /// Takes a byte.
    pub fn take(&mut self) -> u8 {
        self.data.read()
    }

    /// Waits until a byte can be sent, and sends it.
    pub fn write(&mut self, byte: u8) {
        while self.state.read() & CAN_SEND == 0 {}
        self.data.write(byte);
    }

    /// Waits until all bytes are sent.
    pub fn flush(&mut self) {
        while self.state.read() & ALL_SENT == 0 {}
    }
}

/// Starts the machine anew.
pub fn reset() -> ! {
    /// The device that ends or restarts the machine, and the word for the latter.
    const FINISHER: usize = 0x10_0000;
    const RESTART: u32 = 0x7777;
    // SAFETY: QEMU's documentation of the machine places it there.
    unsafe { Register::at(FINISHER) }.write(RESTART);
    loop {
        crate::arch::sleep();
    }
}
