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

/// From the oscillator that runs after reset, which is too inexact for a UART, to the
/// crystal. The processor runs at 64 MHz by either.
#[cfg(board_store)]
fn start_crystal() {
    const CLOCK: usize = 0x4000_0000;
    // SAFETY: the clock's task and event, which do nothing else.
    let [start, started] = [0x000, 0x100].map(|at| unsafe { Register::<u32>::at(CLOCK + at) });
    start.write(1);
    while started.read() == 0 {}
}

/// Keeps the instructions that were read from flash, which is slower than the core.
#[cfg(board_store)]
fn start_cache() {
    // SAFETY: the flash controller's setting for this alone.
    unsafe { Register::<u32>::at(0x4001_E540) }.write(1);
}

#[cfg(board_store)]
pub use store::Flash;

/// The part of the flash that programs leave free, at its end. The processor stands still
/// while it is changed.
#[cfg(board_store)]
mod store {
    use core::ops::Range;

    use embedded_storage::nor_flash::{
        ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
    };

    use super::Register;
    use crate::board::facts::{FLASH, STORE};

    /// Bytes that are erased at once.
    const PAGE: u32 = 4096;

    /// The flash.
    pub struct Flash;

    /// The flash's controller.
    const CONTROLLER: usize = 0x4001_E000;
    /// What it lets the processor do.
    const READ: u32 = 0;
    const WRITE: u32 = 1;
    const ERASE: u32 = 2;

    /// A register of the controller's.
    const fn register(offset: usize) -> Register {
        // SAFETY: all callers name a register of the controller's, or a word of the
        // store, which no part of the program refers to.
        unsafe { Register::at(CONTROLLER + offset) }
    }

    /// A word of the store.
    const fn word(offset: u32) -> Register {
        // SAFETY: no part of the program refers to this part of the flash.
        unsafe { Register::at(FLASH + (STORE.start + offset) as usize) }
    }

    /// Waits until the controller is done.
    fn wait() {
        while register(0x400).read() & 1 == 0 {}
    }

    /// Lets the processor do something else.
    fn allow(what: u32) {
        register(0x504).write(what);
        wait();
    }

    impl Flash {
        /// The gallery's part of it.
        pub const GALLERY: Range<u32> = 0..4 * PAGE;
        /// The part of the labels' names.
        #[cfg(feature = "names")]
        pub const NAMES: Range<u32> = Self::GALLERY.end..6 * PAGE;

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
            for (at, four) in (offset..).step_by(4).zip(bytes.chunks_exact_mut(4)) {
                for (to, from) in four.iter_mut().zip(word(at).read().to_le_bytes()) {
                    *to = from;
                }
            }
            Ok(())
        }

        fn capacity(&self) -> usize {
            STORE.len()
        }
    }

    impl NorFlash for Flash {
        const WRITE_SIZE: usize = 4;
        const ERASE_SIZE: usize = PAGE as usize;

        fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
            check_erase(self, from, to)?;
            allow(ERASE);
            for page in (from..to).step_by(PAGE as usize) {
                register(0x508).write(FLASH as u32 + STORE.start + page);
                wait();
            }
            allow(READ);
            Ok(())
        }

        fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
            check_write(self, offset, bytes.len())?;
            allow(WRITE);
            let (words, _) = bytes.as_chunks();
            for (at, &four) in (offset..).step_by(4).zip(words) {
                word(at).write(u32::from_le_bytes(four));
                wait();
            }
            allow(READ);
            Ok(())
        }
    }
}
