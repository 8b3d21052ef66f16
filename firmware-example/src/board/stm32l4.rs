//! Nucleo-L432KC, with ST's STM32L432: USART2 on PA2 (TX) and PA15 (RX), which are the USB
//! interface's serial port, 115,200 baud, the core at 80 MHz by the internal oscillator.
//!
//! Addresses and bits are those of ST's reference manual RM0394.

use core::ops::Range;
use core::sync::atomic::{AtomicU8, Ordering};

use cortex_m_rt::exception;
use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};

use super::facts::{FLASH, STORE, TICK_HZ, UART, UART_LINE, UART_PINS};
use super::interrupt::{Line, sleep_until};
use super::register::Register;
use super::stm32::{change, connect, enable, register, wait_for};
use crate::arch;

/// Resets and clocks.
const RCC: usize = 0x4002_1000;
/// The flash's controller.
const CONTROLLER: usize = 0x4002_2000;

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
    let access = register(CONTROLLER);
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

/// The part of the flash that programs leave free, at its end. The processor stands still
/// while it is changed.
///
/// Eight bytes have a code that corrects one bit. It is written with them: they are
/// written at once, and once between erasures, which is what the stores do.
pub struct Flash;

/// Bytes that are erased at once.
const PAGE: u32 = 2048;
/// Control: writing; erasing; starting that; no access.
const PROGRAM: u32 = 1 << 0;
const ERASE: u32 = 1 << 1;
const START: u32 = 1 << 16;
const LOCKED: u32 = 1 << 31;
/// Status: all errors of writing and erasing, which are cleared by writing them.
const ERRORS: u32 = 0xC3FA;
/// Status: at work.
const BUSY: u32 = 1 << 16;

/// No read of the store is under way.
const IDLE: u8 = 0;
/// One is, and went well so far.
const READING: u8 = 1;
/// One is, of bytes that can't be read.
const FAILED: u8 = 2;
/// How reading the store goes.
static READ: AtomicU8 = AtomicU8::new(IDLE);

/// Eight bytes with more than one wrong bit were read, as a power cut can leave them. In
/// the store that is an error; a program with such bytes can't go on.
#[exception]
unsafe fn NonMaskableInt() {
    const UNCORRECTABLE: u32 = 1 << 31;
    let codes = register(CONTROLLER + 0x18);
    let wrong = codes.read() & UNCORRECTABLE != 0;
    assert!(
        wrong && READ.load(Ordering::Relaxed) != IDLE,
        "the flash can't be read, or the clock has failed"
    );
    // The bit is cleared by writing it.
    codes.write(UNCORRECTABLE);
    let _ = codes.read();
    READ.store(FAILED, Ordering::Relaxed);
}

/// A word of the store.
const fn word(offset: u32) -> Register {
    // No part of the program refers to this part of the flash.
    register(FLASH + (STORE.start + offset) as usize)
}

/// Does some work while the flash can be changed in this way; whether it went well.
fn unlocked(way: u32, work: impl FnOnce(&Register)) -> Result<(), NorFlashErrorKind> {
    let [key, status, control] = [0x08, 0x10, 0x14].map(|at| register(CONTROLLER + at));
    wait_for(&status, BUSY, 0);
    if control.read() & LOCKED != 0 {
        key.write(0x4567_0123);
        key.write(0xCDEF_89AB);
    }
    // Those of before would prevent it.
    status.write(ERRORS);
    control.write(way);
    work(&control);
    wait_for(&status, BUSY, 0);
    let errors = status.read() & ERRORS;
    control.write(LOCKED);
    empty_cache();
    if errors == 0 {
        Ok(())
    } else {
        Err(NorFlashErrorKind::Other)
    }
}

/// Forgets what the cache for data has of the flash: it can be emptied while it is off.
fn empty_cache() {
    const ON: u32 = 1 << 10;
    const EMPTY: u32 = 1 << 12;
    let access = register(CONTROLLER);
    change(&access, ON, 0);
    change(&access, 0, EMPTY);
    change(&access, EMPTY, 0);
    change(&access, 0, ON);
}

impl Flash {
    /// The gallery's part of it.
    pub const GALLERY: Range<u32> = 0..8 * PAGE;
    /// The part of the labels' names.
    #[cfg(feature = "names")]
    pub const NAMES: Range<u32> = Self::GALLERY.end..10 * PAGE;

    /// The flash.
    pub const fn open() -> Option<Self> {
        Some(Self)
    }
}

impl ErrorType for Flash {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 4;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        check_read(self, offset, bytes.len())?;
        READ.store(READING, Ordering::SeqCst);
        let (words, _) = bytes.as_chunks_mut();
        for (at, four) in (offset..).step_by(4).zip(words) {
            *four = word(at).read().to_le_bytes();
        }
        // The interrupt for the last of them comes before this is over.
        arch::synchronise();
        if READ.swap(IDLE, Ordering::SeqCst) == READING {
            Ok(())
        } else {
            Err(NorFlashErrorKind::Other)
        }
    }

    fn capacity(&self) -> usize {
        STORE.len()
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = 8;
    const ERASE_SIZE: usize = PAGE as usize;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        check_erase(self, from, to)?;
        for at in (from..to).step_by(PAGE as usize) {
            let page = ERASE | (((STORE.start + at) / PAGE) << 3);
            unlocked(page, |control| control.write(page | START))?;
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        check_write(self, offset, bytes.len())?;
        let (words, _) = bytes.as_chunks();
        let (pairs, _) = words.as_chunks::<2>();
        for (at, &[low, high]) in (offset..).step_by(8).zip(pairs) {
            unlocked(PROGRAM, |_| {
                word(at).write(u32::from_le_bytes(low));
                arch::synchronise();
                word(at + 4).write(u32::from_le_bytes(high));
                arch::synchronise();
            })?;
        }
        Ok(())
    }
}
