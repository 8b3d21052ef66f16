//! Receives requests and sends answers, both in one buffer: a request is
//! decoded where it came in, and its answer is written over it.

use siamese_link::{Fault, Request, Response, read_frame, write_frame};

use crate::board::Uart;

/// Says that the device is ready: a zero, which is an empty frame, and ends
/// whatever the line has carried before. QEMU's UART doesn't wake its sender
/// when a firmware enables it, so a host that sent earlier could wait for ever.
pub fn start(uart: &mut Uart) {
    uart.write(0);
}

/// Waits for the next frame and decodes it in place. Bytes up to the next zero
/// belong to one frame, whatever they are, so after noise it is at most one
/// frame that is refused. Empty frames are passed over.
#[inline(never)]
pub fn receive<'b>(uart: &mut Uart, buffer: &'b mut [u8]) -> Result<Request<'b>, Fault> {
    let length = loop {
        match receive_frame(uart, buffer)? {
            0 => {}
            length => break length,
        }
    };
    read_frame(&mut buffer[..length]).map_err(Fault::Frame)
}

/// Reads up to the next zero; the length of what came before it.
fn receive_frame(uart: &mut Uart, buffer: &mut [u8]) -> Result<usize, Fault> {
    let mut length = 0;
    loop {
        let byte = uart.read();
        if byte == 0 {
            break;
        }
        if let Some(slot) = buffer.get_mut(length) {
            *slot = byte;
        }
        // Saturates for whoever sends 4 GiB without a zero.
        length = length.saturating_add(1);
    }
    if length <= buffer.len() {
        Ok(length)
    } else {
        Err(Fault::TooLong)
    }
}

/// Sends an answer.
#[inline(never)]
pub fn send(uart: &mut Uart, response: &Response<'_>, buffer: &mut [u8]) {
    match write_frame(response, buffer) {
        Ok(frame) => frame.iter().for_each(|&byte| uart.write(byte)),
        Err(error) => panic!("an answer can't be sent: {error}"),
    }
}
