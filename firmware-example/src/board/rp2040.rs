//! What the RP2040 has by itself, of all that `pico` uses. Addresses and bits are those of
//! its datasheet.

use super::Register;

/// The second stage of booting, which the ROM copies to RAM and runs: it lets the
/// processor read the flash by four lines.
#[unsafe(link_section = ".boot")]
#[used]
static SECOND_STAGE: [u8; 256] = rp2040_boot2::BOOT_LOADER_W25Q080;

pub const CLOCKS: usize = 0x4000_8000;
pub const RESETS: usize = 0x4000_C000;
pub const PINS: usize = 0x4001_4000;
pub const CRYSTAL: usize = 0x4002_4000;
pub const PLL: usize = 0x4002_8000;
pub const WATCHDOG: usize = 0x4005_8000;

/// The PLL in the reset controller.
pub const PLL_RESET: u32 = 1 << 12;
/// Pins, pads and UART0 there.
pub const OTHER_RESETS: u32 = (1 << 5) | (1 << 8) | (1 << 22);
/// From the PLL's 1500 MHz to 125 MHz: through 6 and 2.
pub const DIVIDERS: u32 = (6 << 16) | (2 << 12);

/// Where it is chosen what the watchdog resets, and all of that but the oscillators.
pub const WATCHED: (usize, u32) = (0x4001_0008, 0x0001_FFFC);

/// Nothing to do: pins are connected to their pads.
pub const fn connect_pads() {}

/// The address of a function of the ROM, by its two letters; 0 if there is none.
pub fn function(letters: [u8; 2]) -> usize {
    type Lookup = extern "C" fn(*const u16, u32) -> usize;
    // SAFETY: the ROM has, at 0x14 and 0x18, the addresses of its table of functions and
    // of a function that looks them up.
    let (table, lookup) = unsafe {
        let [table, lookup] = [0x14, 0x18].map(|at| Register::<u16>::at(at).read());
        let lookup = core::ptr::without_provenance::<()>(lookup.into());
        (table, core::mem::transmute::<*const (), Lookup>(lookup))
    };
    let table = core::ptr::without_provenance(table.into());
    lookup(table, u16::from_le_bytes(letters).into())
}

/// The code that lets the processor read the flash again: the second stage, which returns
/// to its caller if it has one.
pub fn code_for_reading() -> [u32; 64] {
    let mut code = [0; 64];
    let words = SECOND_STAGE.chunks_exact(4);
    for (word, bytes) in code.iter_mut().zip(words) {
        *word = u32::from_le_bytes(bytes.try_into().unwrap_or_default());
    }
    code
}
