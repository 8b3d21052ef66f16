//! The boards. For each there are here:
//!
//! - `NAME` and `TICK_HZ`, the frequency of the stopwatch's clock;
//! - `Port`, by which the board talks, with `new`, the traits of `embedded-io`, and
//!   `doze`, which sleeps until a byte comes. It is the UART: a driver has `Uart`, with
//!   `new`, `has_byte`, `take`, `doze`; `write`, which waits, and `flush`, which waits
//!   until everything is on the line. With the feature `usb` it is the USB;
//! - `reset`, which starts the processor anew;
//! - `Flash`, with `open`, for what has to survive that, and its parts `GALLERY` and
//!   `NAMES`; for a chip's own flash `nor` makes it of the chip's `controller`;
//! - with the feature `updates`: `Slots`, which `open_slots` gives, for updates of the model, at the
//!   address `SLOTS_AT`;
//! - `die`, which reports a panic as the board can and never returns;
//! - `log`, for a debug probe.
//!
//! A feature of `Cargo.toml` selects the board. What is known of it comes from
//! the table in `siamese-build`, by way of `build.rs`: the constants, and which of
//! the modules here are for it.

/// What the table says of the board.
mod facts {
    include!(concat!(env!("OUT_DIR"), "/board.rs"));
}

#[cfg(not(board_store))]
mod flash;
#[cfg(target_arch = "arm")]
mod interrupt;
pub mod log;
#[cfg(board_controller)]
mod nor;
mod register;
#[cfg(board_semihosting)]
mod semihosting;
#[cfg(all(feature = "updates", not(board_store)))]
mod slots;
#[cfg(any(board_uart = "stm32f4", board_uart = "stm32l4"))]
mod stm32;
#[cfg(any(board_uart = "stm32f4", board_uart = "stm32l4"))]
mod stm32_flash;
#[cfg(not(feature = "usb"))]
mod uart;
#[cfg(feature = "usb")]
mod usb;

#[cfg_attr(board_uart = "cmsdk", path = "mps.rs")]
#[cfg_attr(board_uart = "nrf", path = "nrf.rs")]
#[cfg_attr(board_uart = "stm32f4", path = "stm32f4.rs")]
#[cfg_attr(board_uart = "stm32l4", path = "stm32l4.rs")]
#[cfg_attr(board_uart = "ns16550", path = "virt.rs")]
#[cfg_attr(any(board_uart = "rp2040", board_uart = "rp2350"), path = "pico.rs")]
#[cfg_attr(
    feature = "usb",
    allow(dead_code, reason = "the UART has nothing to do")
)]
mod driver;

#[cfg(board_controller)]
#[cfg_attr(board_uart = "nrf", path = "nrf_flash.rs")]
#[cfg_attr(board_uart = "stm32f4", path = "stm32f4_flash.rs")]
#[cfg_attr(board_uart = "stm32l4", path = "stm32l4_flash.rs")]
mod controller;

#[cfg(not(feature = "usb"))]
pub use driver::Uart as Port;
#[cfg(feature = "names")]
pub use facts::NAMES;
pub use facts::{GALLERY, NAME, PICTURE_PIXELS, TICK_HZ};
#[cfg(feature = "updates")]
pub use facts::{MODEL_VERSION, SLOT, SLOTS_AT, UPDATE_KEY};

#[cfg(all(feature = "updates", board_store))]
pub use Flash as Slots;
#[cfg(board_controller)]
pub use controller::Flash;
#[cfg(all(board_store, not(board_controller)))]
pub use driver::Flash;
#[cfg(not(board_store))]
pub use flash::Flash;
#[cfg(board_semihosting)]
pub use semihosting::die;
#[cfg(all(feature = "updates", not(board_store)))]
pub use slots::Slots;
#[cfg(all(not(feature = "usb"), not(board_semihosting)))]
pub use uart::die;
#[cfg(feature = "usb")]
pub use usb::{Usb as Port, die};

/// The slots for updates of the model, if the flash can be changed.
#[cfg(feature = "updates")]
pub fn open_slots() -> Option<Slots> {
    #[cfg(board_store)]
    return Slots::of(facts::SLOTS);
    #[cfg(not(board_store))]
    Slots::open()
}

/// Starts the processor anew.
pub fn reset() -> ! {
    #[cfg(feature = "usb")]
    usb::let_the_host_read();
    #[cfg(board_reset)]
    driver::reset();
    #[cfg(not(board_reset))]
    cortex_m::peripheral::SCB::sys_reset()
}
