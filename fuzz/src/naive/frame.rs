//! Frames, written by the page of `siamese_link`'s frames alone.

use super::crc;

/// The frame of a payload, which is kind, session, id and message, with both delimiters.
#[must_use]
pub fn write(payload: &[u8]) -> Vec<u8> {
    let mut bytes = payload.to_vec();
    bytes.extend(crc(payload).to_le_bytes());
    bytes.push(0);
    let mut frame = vec![0];
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let zeros = rest.iter().take_while(|&&byte| byte == 0).count().min(32);
        let others = rest.iter().take_while(|&&byte| byte != 0).count();
        if zeros > 1 {
            frame.push(0xDF + zeros as u8);
            rest = &rest[zeros..];
        } else if others >= 223 {
            frame.push(0xE0);
            frame.extend(&rest[..223]);
            rest = &rest[223..];
        } else {
            frame.push(others as u8 + 1);
            frame.extend(&rest[..others]);
            rest = &rest[others + 1..];
        }
    }
    frame.push(0);
    frame
}

/// What begins a payload: the kind's code, the session and the id.
#[must_use]
pub fn header(code: u8, session: u32, id: u32) -> Vec<u8> {
    let mut bytes = vec![code];
    bytes.extend(session.to_le_bytes());
    bytes.extend(id.to_le_bytes());
    bytes
}
