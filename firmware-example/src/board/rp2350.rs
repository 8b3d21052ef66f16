//! What the RP2350 has by itself, of all that `pico` uses: with its Arm cores, or with
//! those for RISC-V. Addresses and bits are those of its datasheet.

use super::Register;
use super::register;
use crate::board::facts::FLASH;

/// The image's definition, which the ROM looks for in the first 4 KiB of the flash: what
/// the program is for, and where it begins, which is after this.
#[unsafe(link_section = ".boot")]
#[used]
static IMAGE: [u32; WORDS] = {
    const PROGRAM: u32 = (FLASH + 4 * WORDS) as u32;
    // Each item begins with its kind and the number of its words. That of a program: for
    // the secure state of the chip's Arm cores, whose vectors come first.
    #[cfg(target_arch = "arm")]
    const ITEMS: [u32; 3] = [0x1021_0142, 0x0203, PROGRAM];
    // For its RISC-V cores: where to start, with which stack, until start-up has its own.
    #[cfg(target_arch = "riscv32")]
    const ITEMS: [u32; 4] = [0x1101_0142, 0x0344, PROGRAM, 0x2008_2000];
    let mut words = [0; WORDS];
    let (head, rest) = words.split_at_mut(1);
    let (items, tail) = rest.split_at_mut(ITEMS.len());
    head[0] = 0xFFFF_DED3;
    items.copy_from_slice(&ITEMS);
    // The items' end with the number of their words. The next definition is this one.
    tail[0] = 0xFF | (ITEMS.len() as u32) << 8;
    tail[2] = 0xAB12_3579;
    words
};

/// Words of flash before the program.
const WORDS: usize = 512;

pub const CLOCKS: usize = 0x4001_0000;
pub const RESETS: usize = 0x4002_0000;
pub const PINS: usize = 0x4002_8000;
pub const CRYSTAL: usize = 0x4004_8000;
pub const PLL: usize = 0x4005_0000;
pub const WATCHDOG: usize = 0x400D_8000;

/// The PLL in the reset controller.
pub const PLL_RESET: u32 = 1 << 14;
/// Pins, pads and UART0 there.
pub const OTHER_RESETS: u32 = (1 << 6) | (1 << 9) | (1 << 26);
/// From the PLL's 1500 MHz to 150 MHz: through 5 and 2.
pub const DIVIDERS: u32 = (5 << 16) | (2 << 12);

/// Where it is chosen what the watchdog resets, and all of that but the oscillators.
pub const WATCHED: (usize, u32) = (0x4001_8008, 0x01FF_FFF3);

/// Connects the UART's pins to their pads, which are isolated after reset, and pulls them
/// up: held down, they would stay at half of the voltage (erratum E9).
pub fn connect_pads() {
    /// Input on, pulled up, with hysteresis.
    const PAD: u32 = (1 << 6) | (1 << 4) | (1 << 3) | (1 << 1);
    for pad in [0x4003_8004, 0x4003_8008] {
        register(pad).write(PAD);
    }
}

/// The address of a function of the ROM, by its two letters; 0 if there is none.
pub fn function(letters: [u8; 2]) -> usize {
    type Lookup = extern "C" fn(u32, u32) -> usize;
    /// Where the ROM has the address of the function that looks others up, and which kind
    /// of them is asked for.
    #[cfg(target_arch = "arm")]
    const LOOKUP: (usize, u32) = (0x16, 1 << 2);
    #[cfg(target_arch = "riscv32")]
    const LOOKUP: (usize, u32) = (0x7DFA, 1 << 0);
    // SAFETY: the ROM has it there.
    let lookup = unsafe {
        let lookup = Register::<u16>::at(LOOKUP.0).read();
        let lookup = core::ptr::without_provenance::<()>(lookup.into());
        core::mem::transmute::<*const (), Lookup>(lookup)
    };
    lookup(u16::from_le_bytes(letters).into(), LOOKUP.1)
}

/// The code that lets the processor read the flash again, as it did after booting: the ROM
/// leaves it in a memory where nothing can run.
pub fn code_for_reading() -> [u32; 64] {
    const BOOT_RAM: usize = 0x400E_0000;
    core::array::from_fn(|word| register(BOOT_RAM + 4 * word).read())
}
