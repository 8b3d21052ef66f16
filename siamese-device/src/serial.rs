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
