//! Nucleo-L432KC, with ST's STM32L432: USART2 on PA2 (TX) and PA15 (RX), which are the USB
//! interface's serial port, 115,200 baud, the core at 80 MHz by the internal oscillator.
//!
//! Addresses and bits are those of ST's reference manual RM0394.

use super::facts::{TICK_HZ, UART, UART_LINE, UART_PINS};
use super::interrupt::{Line, sleep_until};
use super::register::Register;
use super::stm32::{change, connect, enable, register, wait_for};

/// Resets and clocks.
const RCC: usize = 0x4002_1000;
/// How the flash is accessed.
const FLASH_ACCESS: usize = 0x4002_2000;

/// From the oscillator that runs after reset to another one of 16 MHz, and by the PLL to
/// its tenfold, divided by 2.
fn start_pll() {
    const FROM_PLL: u32 = 3;
    const OSCILLATOR: u32 = 2;
    /// The fields for the source, its divider, the factor, and the output for the core.
    const FIELDS: u32 = 0b11 | (0b111 << 4) | (0x7F << 8) | (1 << 24) | (0b11 << 25);
    const _: () = assert!(TICK_HZ == 16_000_000 * 10 / 2);
    let [control, choice, pll] = [0x00, 0x08, 0x0C].map(|at| register(RCC + at));
    if choice.read() >> 2 & 0b11 == FROM_PLL {
        // It runs, and can't be set meanwhile.
        return;
    }
    change(&control, 0, 1 << 8);
    wait_for(&control, 1 << 10, 1 << 10);
    change(&pll, FIELDS, OSCILLATOR | (10 << 8) | (1 << 24));
    change(&control, 0, 1 << 24);
    wait_for(&control, 1 << 25, 1 << 25);
    // Four wait states before the clock gets faster; the caches are on after reset.
    let access = register(FLASH_ACCESS);
    change(&access, 0b111, 4);
    wait_for(&access, 0b111, 4);
    change(&choice, 0b11, FROM_PLL);
    wait_for(&choice, 0b11 << 2, FROM_PLL << 2);
}

/// USART2. It holds one byte: a host must wait for an answer before it sends the next
/// request.
pub struct Uart {
    status: Register,
    received: Register,
    sent: Register,
}

/// Status: a byte was received.
const RXNE: u32 = 1 << 5;
/// Status: everything was sent.
const TC: u32 = 1 << 6;
/// Status: the next byte can be written.
const TXE: u32 = 1 << 7;
/// Control 1: USART, receiver and transmitter on, and an interrupt for each byte received.
const CONTROL1: u32 = 1 | (1 << 2) | (1 << 3) | (1 << 5);
/// Control 3: a byte that nobody has taken gives way to the next. The frame's checksum
/// tells, and no flag has to be cleared.
const CONTROL3: u32 = 1 << 12;
/// Clocks a bit, rounded; the UART's bus runs as fast as the core.
const BAUD_DIVISOR: u32 = (TICK_HZ + 115_200 / 2) / 115_200;

impl Uart {
    /// Starts the clock and the UART.
    pub fn new() -> Self {
        const GPIOA: usize = 0x4800_0000;
        /// USART2 on PA2, and on PA15.
        const FUNCTIONS: [u32; 2] = [7, 3];
        start_pll();
        enable(&register(RCC + 0x4C), 0);
        enable(&register(RCC + 0x58), 17);
        for (pin, function) in UART_PINS.into_iter().zip(FUNCTIONS) {
            connect(GPIOA, pin, function);
        }
        // Receiving by DMA is off.
        let at = |offset: usize| register(UART + offset);
        // The rest can be set while it is off.
        at(0x00).write(0);
        at(0x08).write(CONTROL3);
        at(0x0C).write(BAUD_DIVISOR);
        at(0x00).write(CONTROL1);
        Self {
            status: at(0x1C),
            received: at(0x24),
            sent: at(0x28),
        }
    }

    /// Whether there is a byte to take.
    pub fn has_byte(&self) -> bool {
        self.status.read() & RXNE != 0
    }

    /// Sleeps until there is one, or any interrupt.
    pub fn doze(&mut self) {
        sleep_until(Line(UART_LINE), || self.has_byte());
    }

    /// Takes a byte.
    pub fn take(&mut self) -> u8 {
        self.received.read() as u8
    }

    /// Waits until a byte can be sent, and sends it.
    pub fn write(&mut self, byte: u8) {
        while self.status.read() & TXE == 0 {}
        self.sent.write(byte.into());
    }

    /// Waits until all bytes are sent.
    pub fn flush(&mut self) {
        while self.status.read() & TC == 0 {}
    }
}
