//! The board's UART by the traits of `embedded-io`; and the last words of a board that
//! has no other way to say them.

use core::convert::Infallible;

use embedded_io::{ErrorType, Read, ReadReady, Write};

use super::driver::Uart;

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

/// Reports over the UART, as text between two zeros, which no frame is; then halts.
#[cfg(not(board_semihosting))]
pub fn die(info: &core::panic::PanicInfo<'_>) -> ! {
    use core::fmt::{self, Write};

    struct Text(Uart);

    impl Write for Text {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            text.bytes().for_each(|byte| self.0.write(byte));
            Ok(())
        }
    }

    super::log::died(info);
    crate::arch::disable_interrupts();
    // Writing doesn't fail.
    let _ = write!(Text(Uart::new()), "\0{info}\0");
    loop {
        crate::arch::sleep();
    }
}
