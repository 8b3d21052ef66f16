//! Frames, by their description alone: what the link writes is compared with this.

use siamese_core::checksum::checksum;

/// A frame with this payload and its CRC-32, by the description of frames alone.
pub fn frame_of(payload: &[u8]) -> Vec<u8> {
    cobs(&[payload, &checksum(payload).to_le_bytes()].concat())
}

/// COBS with runs of zeros, between two delimiters.
pub fn cobs(bytes: &[u8]) -> Vec<u8> {
    let bytes = [bytes, &[0]].concat();
    let mut rest = &bytes[..];
    let mut frame = vec![0];
    while !rest.is_empty() {
        let end_of = |zeros| rest.iter().position(|&byte| (byte == 0) != zeros);
        let taken = match end_of(true).unwrap_or(rest.len()) {
            0 => {
                // The last byte is a zero, so there is one behind these.
                let length = end_of(false).unwrap().min(223);
                frame.push(length as u8 + 1);
                frame.extend(&rest[..length]);
                if length < 223 { length + 1 } else { length }
            }
            1 => {
                frame.push(1);
                1
            }
            zeros => {
                let run = zeros.min(32);
                frame.push((0xDF + run) as u8);
                run
            }
        };
        rest = &rest[taken..];
    }
    frame.push(0);
    frame
}

/// A frame as versions of the link before 4 wrote it.
#[allow(
    dead_code,
    reason = "not all tests that include this file know those versions"
)]
pub fn older_frame_of(payload: &[u8]) -> Vec<u8> {
    plain_cobs(&[payload, &checksum(payload).to_le_bytes()].concat())
}

/// COBS without runs, between two delimiters.
#[allow(dead_code, reason = "as above")]
pub fn plain_cobs(bytes: &[u8]) -> Vec<u8> {
    let mut frame = vec![0];
    for block in bytes.split(|&byte| byte == 0) {
        let mut longest = block.chunks_exact(254);
        for full in &mut longest {
            frame.push(255);
            frame.extend(full);
        }
        frame.push(longest.remainder().len() as u8 + 1);
        frame.extend(longest.remainder());
    }
    frame.push(0);
    frame
}
