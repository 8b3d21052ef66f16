//! A board on a serial port.

use std::io;
use std::time::Duration;

use crate::error::Error;
use crate::transport::{Halves, Transport};

/// How often a waiting reader looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(100);

/// An open serial port.
pub struct SerialPort(Box<dyn serialport::SerialPort>);

impl SerialPort {
    /// Opens a port, `/dev/ttyACM0` for example: 8 data bits, no parity, one
    /// stop bit, no flow control. The boards use 115,200 baud.
    ///
    /// # Errors
    /// [`Error::Open`] if there is no such port, or it is not ours to use.
    pub fn open(path: &str, baud: u32) -> Result<Self, Error> {
        serialport::new(path, baud)
            .timeout(LOOK)
            .open()
            .map(Self)
            .map_err(|error| Error::Open {
                what: path.into(),
                error: error.into(),
            })
    }
}

/// The ports that may be a board's, sorted: those on USB, if there are any.
///
/// # Errors
/// [`Error::Open`] if the ports can't be listed.
pub fn ports() -> Result<Vec<String>, Error> {
    let found = serialport::available_ports().map_err(|error| Error::Open {
        what: "the list of serial ports".into(),
        error: error.into(),
    })?;
    let boards = found
        .into_iter()
        .filter(|port| may_be_a_board(&port.port_name, &port.port_type));
    let mut names: Vec<String> = boards.map(|port| port.port_name).collect();
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

/// Whether a port is on USB, as far as can be told.
fn may_be_a_board(name: &str, kind: &serialport::SerialPortType) -> bool {
    // On macOS each has a twin, opening which waits for a modem.
    let name = name.rsplit('/').next().unwrap_or(name);
    let by_name = ["ttyACM", "ttyUSB", "cu.usb"]
        .iter()
        .any(|start| name.starts_with(start));
    by_name || matches!(kind, serialport::SerialPortType::UsbPort(_)) && !name.starts_with("tty.")
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
    use serialport::{SerialPortType, UsbPortInfo};

    use super::*;

    #[test]
    fn ports_on_usb_may_be_boards() {
        let usb = SerialPortType::UsbPort(UsbPortInfo {
            vid: 0x2E8A,
            pid: 0x000A,
            serial_number: None,
            manufacturer: None,
            product: None,
        });
        let unknown = SerialPortType::Unknown;
        assert!(may_be_a_board("/dev/ttyACM0", &unknown));
        assert!(may_be_a_board("/dev/ttyUSB1", &usb));
        assert!(may_be_a_board("COM7", &usb));
        assert!(may_be_a_board("/dev/cu.usbmodem1101", &usb));
        assert!(!may_be_a_board("/dev/tty.usbmodem1101", &usb));
        assert!(!may_be_a_board("/dev/ttyS0", &unknown));
        assert!(!may_be_a_board("/dev/ttyS0", &SerialPortType::PciPort));
    }
}
