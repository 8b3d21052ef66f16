//! Boards with Nordic's nRF51 and nRF52 series: BBC micro:bit, as QEMU emulates it, its
//! second version, and the nRF52840 DK.
//!
//! The real nRF51 has no SysTick, which the stopwatch counts with; the emulated one
//! does. Addresses and bits are those of the product specifications.

use super::facts::{UART, UART_LINE, UART_PINS};
use super::interrupt::{Line, sleep_until};
use super::register::Register;

/// UART0 of the nRF51 series, which the nRF52 series still has.
pub struct Uart {
    received: Register,
    sent: Register,
    receive: Register,
    send: Register,
}

/// Interrupts: one for each byte received.
const RECEIVED: u32 = 1 << 2;
/// Enable: on.
const ON: u32 = 4;
/// Baud rate: 115,200, by the reference manual's table.
const BAUD_115200: u32 = 0x01D7_E000;

impl Uart {
    /// Starts the UART.
    pub fn new() -> Self {
        #[cfg(board_store)]
        {
            start_crystal();
            start_cache();
        }
        connect_pins();
        // SAFETY: the reference manuals place UART0 and its registers there. It has no
        // DMA.
        let at = |offset: usize| unsafe { Register::at(UART + offset) };
        let [start_receiving, start_sending] = [0x000, 0x008].map(at);
        let [interrupts, enable, baud] = [0x304, 0x500, 0x524].map(at);
        let [send_pin, receive_pin] = [0x50C, 0x514].map(at);
        send_pin.write(UART_PINS[0]);
        receive_pin.write(UART_PINS[1]);
        baud.write(BAUD_115200);
        enable.write(ON);
        interrupts.write(RECEIVED);
        start_receiving.write(1);
        start_sending.write(1);
        let [received, sent, receive, send] = [0x108, 0x11C, 0x518, 0x51C].map(at);
        Self {
            received,
            sent,
            receive,
            send,
        }
    }

    /// Whether there is a byte to take.
    pub fn has_byte(&self) -> bool {
        self.received.read() != 0
    }

    /// Sleeps until there is one, or any interrupt.
    pub fn doze(&mut self) {
        sleep_until(Line(UART_LINE), || self.has_byte());
    }

    /// Takes a byte.
    pub fn take(&mut self) -> u8 {
        // Taking the byte out may announce the next one.
        self.received.write(0);
        self.receive.read() as u8
    }

    /// Sends a byte, and waits until it is sent.
    pub fn write(&mut self, byte: u8) {
        self.sent.write(0);
        self.send.write(byte.into());
        while self.sent.read() == 0 {}
    }

    /// Nothing to do: `write` has waited.
    pub fn flush(&mut self) {}
}

/// Lets the UART have its pins: an output, which is 1 before the UART is on, and an input,
/// which a pull-up keeps at 1 if nothing is connected.
fn connect_pins() {
    const PORTS: usize = 0x5000_0000;
    /// Output, its input off; and input, pulled up.
    const MODES: [u32; 2] = [0b11, 0b11 << 2];
    for (pin, mode) in UART_PINS.into_iter().zip(MODES) {
        let (port, pin) = (PORTS + 0x300 * (pin as usize / 32), pin % 32);
        // SAFETY: the reference manuals place the ports and their registers there. The
        // first is for setting pins to 1.
        let [set, setting] =
            [0x508, 0x700 + 4 * pin as usize].map(|at| unsafe { Register::<u32>::at(port + at) });
        set.write(1 << pin);
        setting.write(mode);
    }
}

/// From the oscillator that runs after reset, which is too inexact for a UART, to the
/// crystal. The processor runs at 64 MHz by either.
#[cfg(board_store)]
pub fn start_crystal() {
    const CLOCK: usize = 0x4000_0000;
    // SAFETY: the clock's task and event, which do nothing else.
    let [start, started] = [0x000, 0x100].map(|at| unsafe { Register::<u32>::at(CLOCK + at) });
    start.write(1);
    while started.read() == 0 {}
}

/// Keeps the instructions that were read from flash, which is slower than the core.
#[cfg(board_store)]
pub fn start_cache() {
    // SAFETY: the flash controller's setting for this alone.
    unsafe { Register::<u32>::at(0x4001_E540) }.write(1);
}
