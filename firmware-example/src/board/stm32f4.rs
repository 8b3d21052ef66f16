//! Boards with ST's STM32F4 series: Netduino Plus 2 (STM32F405), which QEMU emulates too,
//! and Nucleo-F411RE. 115,200 baud on pins of port A, by the internal oscillator.
//!
//! Addresses and bits are those of ST's reference manuals RM0090 (STM32F405) and RM0383
//! (STM32F411).

use super::facts::{TICK_HZ, UART, UART_LINE, UART_PINS};
use super::interrupt::{Line, sleep_until};
use super::register::Register;
use super::stm32::{change, connect, enable, register, wait_for};

/// Resets and clocks.
const RCC: usize = 0x4002_3800;
/// The oscillator that runs after reset, in hertz.
const OSCILLATOR_HZ: u32 = 16_000_000;
/// The clock that [`start_pll`] makes of it.
const PLL_HZ: u32 = 84_000_000;
/// Whether that is wanted.
const HAS_PLL: bool = TICK_HZ == PLL_HZ;
const _: () = assert!(HAS_PLL || TICK_HZ == OSCILLATOR_HZ);

/// From the oscillator's 16 MHz to the PLL's 84, on an STM32F411: an eighth, times 168,
/// divided by 4.
fn start_pll() {
    const FLASH_ACCESS: usize = 0x4002_3C00;
    const POWER: usize = 0x4000_7000;
    const FROM_PLL: u32 = 2;
    /// All fields of the PLL's, of which the last two are its source and the divider for
    /// USB.
    const FIELDS: u32 = 0x3F | (0x1FF << 6) | (0b11 << 16) | (1 << 22) | (0xF << 24);
    let [control, pll, choice] = [0x00, 0x04, 0x08].map(|at| register(RCC + at));
    if choice.read() >> 2 & 0b11 == FROM_PLL {
        // It runs, and can't be set meanwhile.
        return;
    }
    // Two wait states, and the caches, before the clock gets faster.
    const ACCESS: u32 = 2 | (0b111 << 8);
    let access = register(FLASH_ACCESS);
    access.write(ACCESS);
    wait_for(&access, 0b1111, 2);

    change(&pll, FIELDS, 8 | (168 << 6) | (0b01 << 16) | (7 << 24));
    change(&control, 0, 1 << 24);
    wait_for(&control, 1 << 25, 1 << 25);
    // With the PLL the core's voltage rises.
    enable(&register(RCC + 0x40), 28);
    wait_for(&register(POWER + 0x04), 1 << 14, 1 << 14);
    // The slower bus of the peripherals, which USART2 is on, at half the clock.
    change(&choice, 0b111 << 10, 0b100 << 10);
    change(&choice, 0b11, FROM_PLL);
    wait_for(&choice, 0b11 << 2, FROM_PLL << 2);
}

/// USART1 or USART2. It holds one byte: a host must wait for an answer before it sends
/// the next request.
pub struct Uart {
    status: Register,
    data: Register,
}

/// Whether it is USART1, on the faster bus, or USART2.
const IS_FIRST: bool = UART == 0x4001_1000;
const _: () = assert!(IS_FIRST || UART == 0x4000_4400);
/// Status: a byte was received.
const RXNE: u32 = 1 << 5;
/// Status: everything was sent.
const TC: u32 = 1 << 6;
/// Status: the next byte can be written.
const TXE: u32 = 1 << 7;
/// Control 1: USART, transmitter and receiver on, and an interrupt for each
/// byte received.
const CONTROL1: u32 = (1 << 13) | (1 << 5) | (1 << 3) | (1 << 2);
/// The clock of the bus that it is on.
const BUS_HZ: u32 = if HAS_PLL && !IS_FIRST {
    TICK_HZ / 2
} else {
    TICK_HZ
};
/// Clocks a bit, rounded.
const BAUD_DIVISOR: u32 = (BUS_HZ + 115_200 / 2) / 115_200;

impl Uart {
    /// Starts the UART: clocks, pins, then the UART itself.
    pub fn new() -> Self {
        const GPIOA: usize = 0x4002_0000;
        /// Both UARTs', on all of their pins.
        const FUNCTION: u32 = 7;
        if HAS_PLL {
            start_pll();
        }
        enable(&register(RCC + 0x30), 0);
        let (clocks, bit) = if IS_FIRST { (0x44, 4) } else { (0x40, 17) };
        enable(&register(RCC + clocks), bit);
        for pin in UART_PINS {
            connect(GPIOA, pin, FUNCTION);
        }
        // Receiving by DMA is off.
        let at = |offset: usize| register(UART + offset);
        at(0x08).write(BAUD_DIVISOR);
        at(0x0C).write(CONTROL1);
        Self {
            status: at(0),
            data: at(0x04),
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
        self.data.read() as u8
    }

    /// Waits until a byte can be sent, and sends it.
    pub fn write(&mut self, byte: u8) {
        while self.status.read() & TXE == 0 {}
        self.data.write(byte.into());
    }

    /// Waits until all bytes are sent.
    pub fn flush(&mut self) {
        while self.status.read() & TC == 0 {}
    }
}
