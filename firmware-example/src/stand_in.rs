//! What stands in for the hardware of the examples, `sensor` and `interrupt`: a camera, and a
//! display. In the emulator they are a file and the console; on a board, the camera is yours
//! to write, and the display is the link's port.

#![allow(dead_code, reason = "not every example needs all of it")]

use core::fmt::Arguments;

#[cfg(not(board_semihosting))]
use crate::board::Port;

/// A camera that gives one grey value after the other.
pub struct Camera {
    /// Pictures, one right after the other, in the folder where the emulator was started.
    #[cfg(board_semihosting)]
    file: semihosting::fs::File,
}

impl Camera {
    /// Opens the file.
    #[cfg(board_semihosting)]
    pub fn start() -> Self {
        let Ok(file) = semihosting::fs::File::open(c"pictures.grey") else {
            panic!("there is no file pictures.grey to read");
        };
        Self { file }
    }

    /// The next grey values, if there are so many.
    #[cfg(board_semihosting)]
    pub fn fill(&mut self, line: &mut [u8]) -> Option<()> {
        semihosting::io::Read::read_exact(&mut self.file, line).ok()
    }

    /// Sets pins, clock and registers of a camera.
    #[cfg(not(board_semihosting))]
    pub fn start() -> Self {
        Self {}
    }

    /// The next grey values, if there is a camera.
    #[cfg(not(board_semihosting))]
    pub fn fill(&mut self, _line: &mut [u8]) -> Option<()> {
        None
    }
}

/// How fast the lines of a picture come, where nobody says otherwise: in the emulator a file
/// `lines.hz` can, with a number as text.
pub fn lines_a_second(usual: u32) -> u32 {
    #[cfg(board_semihosting)]
    if let Ok(mut file) = semihosting::fs::File::open(c"lines.hz") {
        let mut text = [0; 10];
        let length = semihosting::io::Read::read(&mut file, &mut text).unwrap_or(0);
        let number = text
            .get(..length)
            .and_then(|text| str::from_utf8(text).ok());
        let number = number.and_then(|number| number.trim().parse().ok());
        let Some(number @ 1..) = number else {
            panic!("there is no number in the file lines.hz");
        };
        return number;
    }
    usual
}

/// A display of lines.
pub struct Display {
    #[cfg(not(board_semihosting))]
    port: Port,
}

impl Display {
    /// The emulator's console, or the board's port.
    pub fn start() -> Self {
        Self {
            #[cfg(not(board_semihosting))]
            port: Port::new(),
        }
    }

    /// Shows a line.
    pub fn show(&mut self, line: Arguments<'_>) {
        #[cfg(board_semihosting)]
        semihosting::println!("{line}");
        // This port doesn't fail.
        #[cfg(not(board_semihosting))]
        let _ = embedded_io::Write::write_fmt(&mut self.port, format_args!("{line}\r\n"));
    }
}

/// Ends the emulator with the exit code 0; a board sleeps.
pub fn end() -> ! {
    #[cfg(board_semihosting)]
    semihosting::process::exit(0);
    #[cfg(not(board_semihosting))]
    loop {
        crate::arch::sleep();
    }
}
