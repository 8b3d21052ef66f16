//! The forms and rules of the project once more, in the plainest way, from their pages alone:
//! nothing here calls what it is compared with. Slow, and with a heap.

pub mod frame;
pub mod gallery;
pub mod model;

/// CRC-32 (ISO-HDLC), bit by bit.
#[must_use]
pub fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |value, &byte| {
        (0..8).fold(value ^ u32::from(byte), |value, _| {
            let carry = if value & 1 == 1 { 0xEDB8_8320 } else { 0 };
            value >> 1 ^ carry
        })
    })
}

/// A reader that stops where the bytes do.
#[derive(Debug, Clone)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// The next so many bytes.
    pub fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        if count > self.0.len() {
            return None;
        }
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        Some(taken)
    }

    /// A little-endian number of so many bytes, at most 8.
    pub fn number(&mut self, bytes: usize) -> Option<u64> {
        let taken = self.take(bytes)?;
        Some(
            taken
                .iter()
                .rev()
                .fold(0, |all, &byte| all << 8 | u64::from(byte)),
        )
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_check_value_is_right() {
        assert_eq!(super::crc(b"123456789"), 0xCBF4_3926);
    }
}
