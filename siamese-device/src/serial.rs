//! A board on a serial port.

use std::io;
use std::time::Duration;

use serialport::{SerialPortInfo, SerialPortType};
use siamese_build::USB_ID;

use crate::error::Error;
use crate::transport::{Halves, Transport};

/// How often a waiting reader looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(100);

/// An open serial port.
pub struct SerialPort(Box<dyn serialport::SerialPort>);

impl SerialPort {
    /// Opens a port, `/dev/ttyACM0` for example: 8 data bits, no parity, one
    /// stop bit, no flow control. The boards use 115,200 baud; those that are on USB
    /// themselves take any. They are told that a program is there (DTR).
    ///
    /// # Errors
    /// [`Error::Open`] if there is no such port, or it is not ours to use.
    pub fn open(path: &str, baud: u32) -> Result<Self, Error> {
        serialport::new(path, baud)
            .timeout(LOOK)
            .dtr_on_open(true)
            .open()
            .map(Self)
            .map_err(|error| Error::Open {
                what: path.into(),
                error: error.into(),
            })
    }
}

/// The ports that may be a board's, sorted: those that say so, because the board itself is
/// on USB, if there are any; else those on USB.
///
/// # Errors
/// [`Error::Open`] if the ports can't be listed.
pub fn ports() -> Result<Vec<String>, Error> {
    let found = serialport::available_ports().map_err(|error| Error::Open {
        what: "the list of serial ports".into(),
        error: error.into(),
    })?;
    Ok(boards_of(found))
}

/// Those of the ports that may be a board's.
fn boards_of(mut ports: Vec<SerialPortInfo>) -> Vec<String> {
    ports.retain(|port| may_be_a_board(&port.port_name, &port.port_type));
    if ports.iter().any(|port| is_a_board(&port.port_type)) {
        ports.retain(|port| is_a_board(&port.port_type));
    }
    let mut names: Vec<String> = ports.into_iter().map(|port| port.port_name).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Whether a port is that of a board that is on USB itself.
fn is_a_board(kind: &SerialPortType) -> bool {
    matches!(kind, SerialPortType::UsbPort(usb) if [usb.vid, usb.pid] == USB_ID)
}

/// Whether a port is on USB, as far as can be told.
fn may_be_a_board(name: &str, kind: &SerialPortType) -> bool {
    // On macOS each has a twin, opening which waits for a modem.
    let name = name.rsplit('/').next().unwrap_or(name);
    let by_name = ["ttyACM", "ttyUSB", "cu.usb"]
        .iter()
        .any(|start| name.starts_with(start));
    by_name || matches!(kind, SerialPortType::UsbPort(_)) && !name.starts_with("tty.")
}

impl Transport for SerialPort {
    fn halves(&mut self) -> io::Result<Halves> {
        let writer = Box::new(self.0.try_clone()?);
        let reader = Box::new(self.0.try_clone()?);
        Ok(Halves { reader, writer })
    }

    fn close_reason(&mut self) -> String {
        "the serial port was closed: is the board still connected?".into()
    }
}

#[cfg(test)]
mod tests {
    use serialport::UsbPortInfo;

    use super::*;

    /// A port of something on USB.
    fn usb([vid, pid]: [u16; 2]) -> SerialPortType {
        SerialPortType::UsbPort(UsbPortInfo {
            vid,
            pid,
            serial_number: None,
            manufacturer: None,
            product: None,
        })
    }

    /// A debug probe.
    const PROBE: [u16; 2] = [0x2E8A, 0x000C];

    #[test]
    fn ports_on_usb_may_be_boards() {
        let usb = usb(PROBE);
        let unknown = SerialPortType::Unknown;
        assert!(may_be_a_board("/dev/ttyACM0", &unknown));
        assert!(may_be_a_board("/dev/ttyUSB1", &usb));
        assert!(may_be_a_board("COM7", &usb));
        assert!(may_be_a_board("/dev/cu.usbmodem1101", &usb));
        assert!(!may_be_a_board("/dev/tty.usbmodem1101", &usb));
        assert!(!may_be_a_board("/dev/ttyS0", &unknown));
        assert!(!may_be_a_board("/dev/ttyS0", &SerialPortType::PciPort));
    }

    #[test]
    fn a_board_that_says_so_is_found_among_others() {
        let port = |name: &str, kind| SerialPortInfo {
            port_name: name.into(),
            port_type: kind,
        };
        let mut ports = vec![
            port("/dev/ttyUSB0", usb(PROBE)),
            port("/dev/ttyS0", SerialPortType::Unknown),
            port("/dev/ttyACM1", usb(PROBE)),
        ];
        assert_eq!(boards_of(ports.clone()), ["/dev/ttyACM1", "/dev/ttyUSB0"]);
        ports.push(port("/dev/ttyACM0", usb(USB_ID)));
        assert_eq!(boards_of(ports.clone()), ["/dev/ttyACM0"]);
        // On macOS it has a twin.
        ports.push(port("/dev/tty.usbmodem1", usb(USB_ID)));
        assert_eq!(boards_of(ports), ["/dev/ttyACM0"]);
    }
}
