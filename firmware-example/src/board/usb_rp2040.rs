//! The USB of the RP2040, by the chip's own hardware library.

use rp2040_hal::clocks::init_clocks_and_plls;
use rp2040_hal::pac::Peripherals;
pub use rp2040_hal::usb::UsbBus as Bus;
use rp2040_hal::watchdog::Watchdog;

use crate::board::register::Register;

/// The interrupt line.
pub const LINE: u16 = 5;

/// The crystal's frequency, in hertz.
const CRYSTAL_HZ: u32 = 12_000_000;

/// Starts the clocks, that of the core at 125 MHz, and the controller.
pub fn start() -> Bus {
    let Some(mut chip) = Peripherals::take() else {
        panic!("the chip's peripherals are taken at boot");
    };
    let mut watchdog = Watchdog::new(chip.WATCHDOG);
    let clocks = init_clocks_and_plls(
        CRYSTAL_HZ,
        chip.XOSC,
        chip.CLOCKS,
        chip.PLL_SYS,
        chip.PLL_USB,
        &mut chip.RESETS,
        &mut watchdog,
    );
    let Ok(clocks) = clocks else {
        panic!("the clocks don't start");
    };
    let (controller, memory) = (chip.USBCTRL_REGS, chip.USBCTRL_DPRAM);
    Bus::new(controller, memory, clocks.usb_clock, true, &mut chip.RESETS)
}

/// Does nothing: the library has done it.
pub const fn raise_interrupts() {}

/// Does nothing: an interrupt ends when it is served.
pub const fn acknowledge() {}

/// Whether packets of the host's are left in the controller.
pub fn is_full() -> bool {
    /// Buffers of all endpoints from the host but the first, where it controls the device.
    const FROM_HOST: u32 = 0xAAAA_AAA8;
    // SAFETY: the datasheet places the state of the buffers there.
    let buffers = unsafe { Register::<u32>::at(0x5011_0058) };
    buffers.read() & FROM_HOST != 0
}
