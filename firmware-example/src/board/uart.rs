//! The board's UART by the traits of `embedded-io`.

use core::convert::Infallible;

use embedded_io::{ErrorType, Read, ReadReady, Write};

use super::Uart;

impl ErrorType for Uart {
    type Error = Infallible;
}

impl Read for Uart {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Infallible> {
        let mut count = 0;
        for slot in bytes {
            // Waits for the first only.
            while count == 0 && !self.has_byte() {
                self.doze();
            }
            if !self.has_byte() {
                break;
            }
            *slot = self.take();
            count += 1;
        }
        Ok(count)
    }
}

impl ReadReady for Uart {
    fn read_ready(&mut self) -> Result<bool, Infallible> {
        Ok(self.has_byte())
    }
}

impl Write for Uart {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        for &byte in bytes {
            self.write(byte);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        self.flush();
        Ok(())
    }
}
