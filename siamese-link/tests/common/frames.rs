//! Frames, by their description alone: what the link writes is compared with this.

use siamese_core::checksum::checksum;

/// A frame with this payload and its CRC-32, by the description of frames alone.
pub fn frame_of(payload: &[u8]) -> Vec<u8> {
    let mut bytes = payload.to_vec();
    bytes.extend(checksum(payload).to_le_bytes());
    cobs(&bytes)
}

/// COBS between two delimiters.
pub fn cobs(bytes: &[u8]) -> Vec<u8> {
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
