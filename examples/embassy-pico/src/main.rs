//! A firmware on embassy, to start your own from: the server of `siamese-link` on the USB of a
//! Raspberry Pi Pico. Computers see a serial port; `siamese-train device` talks to it.
//!
//! 1. `build.rs` names the model; all sizes follow from it.
//! 2. `USB_ID` is for tests on your own desk. **A device that leaves it needs its own.**
//! 3. `main` joins two futures, the USB's and the server's: add yours there.
//!
//! What needs the network without a host calls it as `siamese-core` says, between two `await`s.

#![no_std]
#![no_main]

use core::ops::Range;
use core::panic::PanicInfo;

use embassy_executor::Spawner;
use embassy_futures::join::join;
use embassy_rp::Peri;
use embassy_rp::bind_interrupts;
use embassy_rp::flash::{Blocking as BlockingFlash, Flash};
use embassy_rp::peripherals::{FLASH, USB};
use embassy_rp::usb::{Driver, InterruptHandler};
use embassy_rp::watchdog::Watchdog;
use embassy_time::{Delay, Instant, Timer};
use embassy_usb::class::cdc_acm::{BufferedReceiver, CdcAcmClass, CdcAcmError, Sender, State};
use embassy_usb::{Builder, Config, UsbDevice};
use embedded_io_async::{ErrorType, Read, Write};
use siamese_core::gallery::GalleryStore;
use siamese_core::{Gallery, Model};
use siamese_link::server::{AsyncServer, End};
use siamese_link::store::Blocking;
use siamese_link::{Platform, frame_capacity};
use static_cell::{ConstStaticCell, StaticCell};

/// The model in flash, and its sizes.
#[allow(dead_code, reason = "not all of it is needed")]
mod model {
    include!(concat!(env!("OUT_DIR"), "/model.rs"));
}

/// Vendor and product: pid.codes keeps them for tests.
const USB_ID: [u16; 2] = [0x1209, 0x0001];
/// The most bytes of a packet on USB.
const PACKET: usize = 64;
/// Bytes of the flash.
const FLASH_BYTES: usize = 2 * 1024 * 1024;
/// The gallery's part of it, which `build.rs` keeps free: whole sectors.
const GALLERY: Range<u32> = 0x1F_A000..0x1F_E000;
/// Entries of the gallery.
const ENTRIES: usize = 32;

bind_interrupts!(struct Interrupts {
    USBCTRL_IRQ => InterruptHandler<USB>;
});

/// The USB of this chip.
type Bus = Driver<'static, USB>;

#[embassy_executor::main]
async fn main(_spawner: Spawner) {
    let chip = embassy_rp::init(Default::default());
    let (mut usb, port) = on_usb(chip.USB);
    let flash = Flash::new_blocking(chip.FLASH);
    join(usb.run(), serve(port, flash, Watchdog::new(chip.WATCHDOG))).await;
}

/// Answers requests until the host wants a restart, then restarts.
async fn serve(
    mut port: Port,
    flash: Flash<'static, FLASH, BlockingFlash, FLASH_BYTES>,
    mut watchdog: Watchdog,
) {
    static NETWORK: StaticCell<model::Network> = StaticCell::new();
    static ENROLLED: ConstStaticCell<Gallery<{ model::DIM }, ENTRIES>> =
        ConstStaticCell::new(Gallery::for_fingerprint(0));
    static FRAME: ConstStaticCell<[u8; frame_capacity(model::PIXELS)]> =
        ConstStaticCell::new([0; _]);

    let parsed = Model::parse(model::bytes()).expect("the model is checked when it is built in");
    let network = model::Network::new(parsed).expect("its sizes are those of the model");
    let (network, gallery, frame) = (NETWORK.init(network), ENROLLED.take(), FRAME.take());
    // The chip can read nothing while its flash is written, so that nothing is lost by blocking.
    let store = Blocking(GalleryStore::new(flash, GALLERY).ok());
    let server = AsyncServer::new(network, gallery, frame, store, Board).await;
    let mut server = server.expect("the gallery's size is that of the model");
    loop {
        port.receiver.wait_connection().await;
        // An error is a host that has gone.
        if let Ok(End::Restart) = server.run(&mut port, &mut Delay).await {
            // The host fetches the answer, before the board leaves the bus.
            Timer::after_millis(20).await;
            watchdog.trigger_reset();
        }
    }
}

/// What the server needs to know of the board.
struct Board;

impl Platform for Board {
    fn board(&self) -> &'static str {
        "pico"
    }

    fn model_crc(&self) -> u32 {
        model::CRC
    }

    fn tick_hz(&self) -> u32 {
        embassy_time::TICK_HZ as u32
    }

    fn ticks(&mut self) -> u32 {
        Instant::now().as_ticks() as u32
    }
}

/// The serial port.
struct Port {
    sender: Sender<'static, Bus>,
    receiver: BufferedReceiver<'static, Bus>,
    /// Whether the last packet was full: then the host waits for another.
    is_full: bool,
}

/// Makes the board a serial port. Nothing happens before the device is run.
fn on_usb(usb: Peri<'static, USB>) -> (UsbDevice<'static, Bus>, Port) {
    static CONFIGURATION: ConstStaticCell<[u8; 128]> = ConstStaticCell::new([0; _]);
    static CAPABILITIES: ConstStaticCell<[u8; 16]> = ConstStaticCell::new([0; _]);
    static CONTROL: ConstStaticCell<[u8; PACKET]> = ConstStaticCell::new([0; _]);
    static RECEIVED: ConstStaticCell<[u8; PACKET]> = ConstStaticCell::new([0; _]);
    static STATE: StaticCell<State<'static>> = StaticCell::new();

    let [vendor, product] = USB_ID;
    let mut config = Config::new(vendor, product);
    config.product = Some("Siamese");
    let mut builder = Builder::new(
        Driver::new(usb, Interrupts),
        config,
        CONFIGURATION.take(),
        CAPABILITIES.take(),
        &mut [],
        CONTROL.take(),
    );
    let class = CdcAcmClass::new(&mut builder, STATE.init(State::new()), PACKET as u16);
    let (sender, receiver) = class.split();
    let port = Port {
        sender,
        receiver: receiver.into_buffered(RECEIVED.take()),
        is_full: false,
    };
    (builder.build(), port)
}

impl ErrorType for Port {
    type Error = CdcAcmError;
}

impl Read for Port {
    async fn read(&mut self, bytes: &mut [u8]) -> Result<usize, CdcAcmError> {
        loop {
            // A packet may be empty, which is not the end.
            match self.receiver.read(bytes).await {
                Ok(0) => {}
                read => return read,
            }
        }
    }
}

impl Write for Port {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, CdcAcmError> {
        let count = self.sender.write(bytes).await?;
        self.is_full = count == PACKET;
        Ok(count)
    }

    async fn flush(&mut self) -> Result<(), CdcAcmError> {
        if core::mem::take(&mut self.is_full) {
            self.sender.write(&[]).await?;
        }
        Ok(())
    }
}

/// Halts, where a debugger finds it.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
