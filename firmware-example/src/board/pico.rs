//! Raspberry Pi Pico and Pico 2, and other boards with an RP2040 and a flash of 2 MiB, or an
//! RP2350 and one of 4 MiB: UART0 on GP0 (TX) and GP1 (RX), 115,200 baud, the core at 125
//! or 150 MHz. rp2040js emulates the first.
//!
//! Addresses and bits are those of the chips' datasheets.

#[cfg_attr(board_uart = "rp2040", path = "rp2040.rs")]
#[cfg_attr(board_uart = "rp2350", path = "rp2350.rs")]
mod chip;

use core::ops::Range;

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};

use super::facts::{FLASH, STORE, TICK_HZ, UART, UNIT};
use super::register::Register;
use crate::arch;
use chip::{CLOCKS, CRYSTAL, PINS, PLL, RESETS};

/// A register.
const fn register(address: usize) -> Register {
    // SAFETY: all callers name a register of the datasheets', none of which starts a
    // transfer.
    unsafe { Register::at(address) }
}

/// Where writing sets the bits that are 1.
const SET: usize = 0x2000;
/// Where writing clears them.
const CLEAR: usize = 0x3000;

/// Waits until all of these bits are set.
fn wait_for(state: &Register, bits: u32) {
    while state.read() & bits != bits {}
}

/// From the ring oscillator to the PLL: the crystal's 12 MHz, times 125, through two dividers.
fn start_clocks() {
    const WANTED: u32 = chip::PLL_RESET | chip::OTHER_RESETS;
    const FROM_PLL: u32 = 1;
    let [reference, system] = [0x30, 0x3C].map(|at| register(CLOCKS + at));
    let [reference_is, system_is] = [0x38, 0x44].map(|at| register(CLOCKS + at));
    // Off the PLL, which may run already if a debugger has started the program.
    system.write(0);
    wait_for(&system_is, 1 << 0);

    // A millisecond for the crystal, in units of 256 periods.
    register(CRYSTAL + 0x0C).write(47);
    register(CRYSTAL).write(0x00FA_BAA0);
    wait_for(&register(CRYSTAL + 0x04), 1 << 31);
    reference.write(2);
    wait_for(&reference_is, 1 << 2);

    register(RESETS + SET).write(chip::PLL_RESET);
    register(RESETS + CLEAR).write(WANTED);
    wait_for(&register(RESETS + 0x08), WANTED);
    register(PLL).write(1);
    register(PLL + 0x08).write(125);
    // Power and the oscillator on; then, when it is locked, the dividers.
    register(PLL + 0x04 + CLEAR).write((1 << 0) | (1 << 5));
    wait_for(&register(PLL), 1 << 31);
    register(PLL + 0x0C).write(chip::DIVIDERS);
    register(PLL + 0x04 + CLEAR).write(1 << 3);
    system.write(FROM_PLL);
    wait_for(&system_is, 1 << FROM_PLL);
    // The peripherals' clock: the system's.
    register(CLOCKS + 0x48).write(1 << 11);
}

/// UART0, a PL011 with room for 32 bytes each way.
pub struct Uart {
    data: Register,
    flags: Register,
}

/// Flags: nothing was received.
const RX_EMPTY: u32 = 1 << 4;
/// Flags: there is no room for another byte.
const TX_FULL: u32 = 1 << 5;
/// Flags: bytes are being sent.
const BUSY: u32 = 1 << 3;
/// 64ths of clocks in a sixteenth of a bit, rounded.
const BAUD_DIVISOR: u32 = (TICK_HZ * 4 + 115_200 / 2) / 115_200;

impl Uart {
    /// Starts the clocks and the UART.
    pub fn new() -> Self {
        start_clocks();
        let at = |offset: usize| register(UART + offset);
        at(0x24).write(BAUD_DIVISOR / 64);
        at(0x28).write(BAUD_DIVISOR % 64);
        // 8 bits, with the room for more than one byte.
        at(0x2C).write(0b111 << 4);
        // An interrupt at 4 bytes, or when no more have come for a while.
        at(0x34).write(0);
        at(0x38).write((1 << 4) | (1 << 6));
        // On, to send and to receive.
        at(0x30).write((0b11 << 8) | 1);
        for pin in [0x04, 0x0C] {
            register(PINS + pin).write(2);
        }
        chip::connect_pads();
        Self {
            data: at(0),
            flags: at(0x18),
        }
    }

    /// Whether there is a byte to take.
    pub fn has_byte(&self) -> bool {
        self.flags.read() & RX_EMPTY == 0
    }

    /// Sleeps until there is one, or any interrupt.
    #[cfg(target_arch = "arm")]
    pub fn doze(&mut self) {
        use super::facts::UART_LINE;
        use super::interrupt::{Line, sleep_until};

        sleep_until(Line(UART_LINE), || self.has_byte());
    }

    /// Does nothing: a RISC-V core polls this UART.
    #[cfg(target_arch = "riscv32")]
    pub fn doze(&mut self) {}

    /// Takes a byte.
    pub fn take(&mut self) -> u8 {
        self.data.read() as u8
    }

    /// Waits until a byte can be sent, and sends it.
    pub fn write(&mut self, byte: u8) {
        while self.flags.read() & TX_FULL != 0 {}
        self.data.write(byte.into());
    }

    /// Waits until all bytes are sent.
    pub fn flush(&mut self) {
        while self.flags.read() & BUSY != 0 {}
    }
}

/// Resets all of the chip but its oscillators, by the watchdog.
pub fn reset() -> ! {
    arch::disable_interrupts();
    let (choice, all) = chip::WATCHED;
    register(choice).write(all);
    register(chip::WATCHDOG + SET).write(1 << 31);
    loop {
        core::hint::spin_loop();
    }
}

/// A part of the flash that programs leave free.
pub struct Flash {
    rom: Rom,
    part: Range<u32>,
}

/// Bytes that are written at once.
const PAGE: usize = 256;

impl Flash {
    /// The store at the flash's end, if the chip's ROM can write it.
    pub fn open() -> Option<Self> {
        Self::of(STORE)
    }

    /// A part of the flash that begins so many bytes behind the flash's beginning, likewise.
    pub fn of(part: Range<u32>) -> Option<Self> {
        let rom = Rom::find()?;
        Some(Self { rom, part })
    }
}

/// Functions of the chip's ROM.
struct Rom {
    connect: extern "C" fn(),
    leave_reading: extern "C" fn(),
    erase: extern "C" fn(u32, u32, u32, u8),
    program: extern "C" fn(u32, *const [u8; PAGE], u32),
    empty_cache: extern "C" fn(),
}

impl Rom {
    /// Finds the functions.
    fn find() -> Option<Self> {
        macro_rules! function {
            ($letters:literal, $kind:ty) => {{
                let found = chip::function(*$letters);
                if found == 0 {
                    return None;
                }
                let address = core::ptr::without_provenance::<()>(found);
                // SAFETY: the function of these letters is of this kind.
                unsafe { core::mem::transmute::<*const (), $kind>(address) }
            }};
        }
        Some(Self {
            connect: function!(b"IF", extern "C" fn()),
            leave_reading: function!(b"EX", extern "C" fn()),
            erase: function!(b"RE", extern "C" fn(u32, u32, u32, u8)),
            program: function!(b"RP", extern "C" fn(u32, *const [u8; PAGE], u32)),
            empty_cache: function!(b"FC", extern "C" fn()),
        })
    }

    /// Changes the flash, which nobody can read meanwhile, not even the processor its
    /// program: this stands in RAM, and calls nothing that doesn't.
    #[unsafe(link_section = ".data.change")]
    #[inline(never)]
    fn change(&self, at: u32, change: &Change<'_>, restore: extern "C" fn()) {
        (self.connect)();
        (self.leave_reading)();
        match change {
            // A sector by its own command, 0x20; larger blocks by 0xD8.
            Change::Erase(bytes) => (self.erase)(at, *bytes, 1 << 16, 0xD8),
            Change::Program(page) => (self.program)(at, &raw const **page, PAGE as u32),
        }
        (self.empty_cache)();
        restore();
    }

    /// [`change`](Self::change), without interrupts, whose handlers are in flash.
    fn apply(&self, at: u32, change: &Change<'_>) {
        // The lowest bit says that it is Thumb code, of which there is none on a RISC-V.
        const THUMB: usize = cfg!(target_arch = "arm") as usize;
        let code = chip::code_for_reading();
        arch::synchronise();
        let code = code.as_ptr().wrapping_byte_add(THUMB);
        // SAFETY: it is code that returns to its caller, and finds all of its constants
        // beside it.
        let restore = unsafe { core::mem::transmute::<*const u32, extern "C" fn()>(code) };
        arch::undisturbed(|| self.change(at, change, restore));
    }
}

/// What is done to the flash.
enum Change<'a> {
    /// Erases so many bytes.
    Erase(u32),
    /// Clears the bits that are 0 in a page.
    Program(&'a [u8; PAGE]),
}

impl ErrorType for Flash {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        check_read(self, offset, bytes.len())?;
        let from = core::ptr::without_provenance::<u8>(FLASH + (self.part.start + offset) as usize);
        for (index, byte) in bytes.iter_mut().enumerate() {
            // SAFETY: this part of the flash is memory that nothing else refers to;
            // the read is volatile because `change` changes it.
            *byte = unsafe { from.wrapping_add(index).read_volatile() };
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.part.len()
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = UNIT as usize;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        check_erase(self, from, to)?;
        self.rom
            .apply(self.part.start + from, &Change::Erase(to - from));
        Ok(())
    }

    fn write(&mut self, offset: u32, mut bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        check_write(self, offset, bytes.len())?;
        let mut at = self.part.start + offset;
        while !bytes.is_empty() {
            // What isn't to be written stays as it is under ones.
            let mut page = [0xFF; PAGE];
            let from = at as usize % PAGE;
            let room = page.get_mut(from..).unwrap_or_default();
            let count = room.len().min(bytes.len());
            for (to, &byte) in room.iter_mut().zip(bytes) {
                *to = byte;
            }
            self.rom.apply(at - from as u32, &Change::Program(&page));
            bytes = bytes.get(count..).unwrap_or_default();
            at += count as u32;
        }
        Ok(())
    }
}
