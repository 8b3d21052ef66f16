//! Netduino Plus 2 and other boards with an STM32F405: USART1 on PA9 (TX) and
//! PA10 (RX), 115,200 baud, the clock as it is after reset. QEMU emulates it too.

use core::ops::Range;

use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};

use super::facts::{TICK_HZ, UART, UART_LINE};
use super::interrupt::{Line, sleep_until};
use super::register::Register;

/// USART1. It holds one byte: a host must wait for an answer before it sends
/// the next request.
pub struct Uart {
    status: Register,
    data: Register,
}

/// Status: a byte was received.
const RXNE: u32 = 1 << 5;
/// Status: everything was sent.
const TC: u32 = 1 << 6;
/// Status: the next byte can be written.
const TXE: u32 = 1 << 7;
/// Control 1: USART, transmitter and receiver on, and an interrupt for each
/// byte received.
const CONTROL1: u32 = (1 << 13) | (1 << 5) | (1 << 3) | (1 << 2);
/// Clocks a bit, rounded; the pins' bus runs as fast as the core.
const BAUD_DIVISOR: u32 = (TICK_HZ + 115_200 / 2) / 115_200;

impl Uart {
    /// Starts the UART: clocks, pins, then the UART itself.
    pub fn new() -> Self {
        const GPIOA: usize = 0x4002_0000;
        const RCC: usize = 0x4002_3800;
        // SAFETY: these addresses are the ones of ST's reference manual RM0090
        // (RCC_AHB1ENR, RCC_APB2ENR, GPIOA_MODER, GPIOA_AFRH, USART1). Receiving
        // by DMA is off.
        let (ahb1_clocks, apb2_clocks, modes, functions, status, data, divisor, control1) = unsafe {
            (
                Register::<u32>::at(RCC + 0x30),
                Register::<u32>::at(RCC + 0x44),
                Register::<u32>::at(GPIOA),
                Register::<u32>::at(GPIOA + 0x24),
                Register::<u32>::at(UART),
                Register::<u32>::at(UART + 0x04),
                Register::<u32>::at(UART + 0x08),
                Register::<u32>::at(UART + 0x0C),
            )
        };
        ahb1_clocks.write(ahb1_clocks.read() | 1);
        apb2_clocks.write(apb2_clocks.read() | 1 << 4);
        // PA9 and PA10: alternate function 7, which is USART1.
        functions.write(functions.read() & !0xFF0 | 0x770);
        modes.write(modes.read() & !(0b1111 << 18) | 0b1010 << 18);
        divisor.write(BAUD_DIVISOR);
        control1.write(CONTROL1);
        Self { status, data }
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

/// Flash for a gallery, of which this example has none: the chip's own is taken
/// by the program, in large sectors.
pub enum Flash {}

impl Flash {
    /// There is none.
    pub const GALLERY: Range<u32> = 0..0;
    /// There is none.
    #[cfg(feature = "names")]
    pub const NAMES: Range<u32> = 0..0;

    /// There is none.
    pub const fn open() -> Option<Self> {
        None
    }
}

impl ErrorType for Flash {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, _: u32, _: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        match *self {}
    }

    fn capacity(&self) -> usize {
        match *self {}
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = 1;
    const ERASE_SIZE: usize = 1;

    fn erase(&mut self, _: u32, _: u32) -> Result<(), NorFlashErrorKind> {
        match *self {}
    }

    fn write(&mut self, _: u32, _: &[u8]) -> Result<(), NorFlashErrorKind> {
        match *self {}
    }
}
