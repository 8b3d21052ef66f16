//! The link over the chip's own USB: a serial port (CDC-ACM), for which computers have a driver.
//! `bus` has what differs from chip to chip.
//!
//! The interrupt serves the host, also while an image is embedded. What the host sends is kept in
//! a buffer; when that is full, in the chip, and the host waits. What is sent while no program
//! has the port open is dropped, so that the firmware waits for nobody.
//!
//! **Vendor and product are for tests on your own desk.** A device that leaves it needs a pair
//! of its own.

use core::cell::RefCell;
use core::convert::Infallible;
use core::fmt;
use core::panic::PanicInfo;

use cortex_m::asm::{delay, wfi};
use cortex_m::interrupt::{Mutex, free};
use cortex_m::peripheral::NVIC;
use cortex_m_rt::exception;
use embedded_io::{ErrorType, Read, ReadReady, Write};
use usb_device::bus::UsbBusAllocator;
use usb_device::device::{
    StringDescriptors, UsbDevice, UsbDeviceBuilder, UsbDeviceState, UsbVidPid,
};
use usbd_serial::{SerialPort, USB_CLASS_CDC};

use super::facts::{TICK_HZ, USB_ID, USB_PRODUCT};
use super::interrupt::Line;

#[cfg_attr(board_uart = "nrf", path = "usb_nrf.rs")]
#[cfg_attr(board_uart = "rp2040", path = "usb_rp2040.rs")]
mod bus;

use bus::Bus;

/// Room for what the host has sent: more than the frame of an image of 28x28 pixels.
const RECEIVED: usize = 1024;
/// Room for what is sent to it.
const SENT: usize = 256;
/// Room for what is sent before any program has the port open.
const EARLY: usize = 32;

/// The device, as the host sees it.
struct Device {
    usb: UsbDevice<'static, Bus>,
    serial: SerialPort<'static, Bus, &'static mut [u8], &'static mut [u8]>,
    /// What was sent before the port was open for the first time, and how much that is: that the
    /// firmware is ready, as a rule.
    early: Option<([u8; EARLY], usize)>,
}

/// It is the interrupt's as well as the program's.
static DEVICE: Mutex<RefCell<Option<Device>>> = Mutex::new(RefCell::new(None));

impl Device {
    /// Enters the bus. `None` if it was entered before.
    fn start() -> Option<Self> {
        use cortex_m::singleton;

        let bus = singleton!(: UsbBusAllocator<Bus> = UsbBusAllocator::new(bus::start()))?;
        let received = singleton!(: [u8; RECEIVED] = [0; RECEIVED])?;
        let sent = singleton!(: [u8; SENT] = [0; SENT])?;
        let serial = SerialPort::new_with_store(bus, &mut received[..], &mut sent[..]);
        let [vendor, product] = USB_ID;
        let words = StringDescriptors::default().product(USB_PRODUCT);
        let usb = UsbDeviceBuilder::new(bus, UsbVidPid(vendor, product))
            .strings(&[words])
            .ok()?
            .max_packet_size_0(64)
            .ok()?
            .device_class(USB_CLASS_CDC)
            .build();
        bus::raise_interrupts();
        Some(Self {
            usb,
            serial,
            early: Some(([0; EARLY], 0)),
        })
    }

    /// Answers the host, and takes what it has sent if there is room.
    fn serve(&mut self) {
        self.usb.poll(&mut [&mut self.serial]);
        // Nothing is read out of the buffer by this.
        let _ = self.serial.read(&mut []);
        if self.is_open()
            && let Some((early, count)) = self.early.take()
        {
            let _ = self.serial.write(early.get(..count).unwrap_or_default());
        }
    }

    /// Sends bytes, and says how many; `None` if there is no room. While nobody listens they are
    /// dropped, but for the first few.
    fn send(&mut self, bytes: &[u8]) -> Option<usize> {
        if self.is_open() {
            return self.serial.write(bytes).ok();
        }
        if let Some((early, count)) = &mut self.early
            && let Some(room) = early
                .get_mut(*count..)
                .unwrap_or_default()
                .get_mut(..bytes.len())
        {
            room.copy_from_slice(bytes);
            *count += bytes.len();
        }
        Some(bytes.len())
    }

    /// Whether there is a byte to read.
    fn has_byte(&mut self) -> bool {
        self.serial.read(&mut []).is_ok()
    }

    /// Whether a program on the host has the port open.
    fn is_open(&self) -> bool {
        self.usb.state() == UsbDeviceState::Configured && self.serial.dtr()
    }
}

/// Serves the host: no other interrupt is ever taken.
#[exception]
unsafe fn DefaultHandler(_: i16) {
    bus::acknowledge();
    free(|token| {
        if let Some(device) = DEVICE.borrow(token).borrow_mut().as_mut() {
            device.serve();
        }
    });
    // For what there is no room it would come again at once.
    if bus::is_full() {
        NVIC::mask(Line(bus::LINE));
    }
}

/// The serial port.
pub struct Usb;

impl Usb {
    /// Enters the bus. The host is served from here on.
    pub fn new() -> Self {
        let device = Device::start();
        free(|token| *DEVICE.borrow(token).borrow_mut() = device);
        Self
    }

    /// Sleeps until there is a byte, or any interrupt.
    pub fn doze(&mut self) {
        Self::look(|device| device.has_byte().then_some(()));
    }

    /// Sleeps until something is found.
    fn wait<T>(mut find: impl FnMut(&mut Device) -> Option<T>) -> T {
        loop {
            if let Some(found) = Self::look(&mut find) {
                return found;
            }
        }
    }

    /// Looks for something. If it isn't there, sleeps until the next interrupt, which has been
    /// served then.
    fn look<T>(find: impl FnOnce(&mut Device) -> Option<T>) -> Option<T> {
        free(|token| {
            let found = DEVICE.borrow(token).borrow_mut().as_mut().and_then(find);
            // SAFETY: no critical section counts on this line being masked.
            unsafe { NVIC::unmask(Line(bus::LINE)) };
            if found.is_none() {
                // Wakes though interrupts are masked, and they are taken afterwards.
                wfi();
            }
            found
        })
    }
}

impl ErrorType for Usb {
    type Error = Infallible;
}

impl Read for Usb {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Infallible> {
        Ok(Self::wait(|device| device.serial.read(bytes).ok()))
    }
}

impl ReadReady for Usb {
    fn read_ready(&mut self) -> Result<bool, Infallible> {
        Ok(free(|token| {
            let mut device = DEVICE.borrow(token).borrow_mut();
            device.as_mut().is_some_and(Device::has_byte)
        }))
    }
}

impl Write for Usb {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        Ok(Self::wait(|device| device.send(bytes)))
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Self::wait(|device| (!device.is_open() || device.serial.flush().is_ok()).then_some(()));
        Ok(())
    }
}

/// Leaves the host the time to fetch what was sent last, before the board leaves the bus by a reset.
pub fn let_the_host_read() {
    delay(TICK_HZ / 50);
}

/// Reports over USB, as text between two zeros, which no frame is; then answers the host and does
/// nothing else.
pub fn die(info: &PanicInfo<'_>) -> ! {
    struct Text<'a>(&'a mut Device);

    impl fmt::Write for Text<'_> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let mut rest = text.as_bytes();
            while !rest.is_empty() {
                self.0.serve();
                // Waits for a host that wants to know.
                if self.0.is_open() {
                    let count = self.0.serial.write(rest).unwrap_or(0);
                    rest = rest.get(count..).unwrap_or_default();
                }
            }
            Ok(())
        }
    }

    super::log::died(info);
    free(|token| {
        // If it is in use, it is what has failed.
        if let Ok(mut device) = DEVICE.borrow(token).try_borrow_mut()
            && let Some(device) = device.take().or_else(Device::start).as_mut()
        {
            // Writing doesn't fail.
            let _ = fmt::Write::write_fmt(&mut Text(device), format_args!("\0{info}\0"));
            loop {
                device.serve();
            }
        }
        loop {
            crate::arch::sleep();
        }
    })
}
