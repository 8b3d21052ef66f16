//! The one checksum of model files, stored galleries and link frames: CRC-32
//! (ISO-HDLC), as in zlib, gzip and Ethernet.

use crc::{CRC_32_ISO_HDLC, Crc, Table};

/// The algorithm, with its table of 1 KiB, which a firmware has once.
pub static CRC32: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&CRC_32_ISO_HDLC);

/// The CRC-32 of some bytes.
///
/// ```
/// assert_eq!(siamese_core::checksum::checksum(b"123456789"), 0xCBF4_3926);
/// ```
#[must_use]
pub fn checksum(bytes: &[u8]) -> u32 {
    CRC32.checksum(bytes)
}

/// The same of bytes that come one by one, between other work: it stays in a register,
/// where the crate's own digest takes a call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Running {
    value: u32,
    /// Here, so that loops keep its address.
    table: &'static [u32; 256],
}

impl Running {
    pub(crate) const fn new() -> Self {
        let [table] = CRC32.table();
        Self {
            value: CRC_32_ISO_HDLC.init,
            table,
        }
    }

    #[inline(always)]
    pub(crate) fn push(&mut self, byte: u8) {
        let [low, ..] = self.value.to_le_bytes();
        self.value = self.value >> 8 ^ self.table[usize::from(low ^ byte)];
    }

    #[inline(never)] // One copy of the loop.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.push(byte));
    }

    pub(crate) const fn finish(self) -> u32 {
        self.value ^ CRC_32_ISO_HDLC.xorout
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_by_byte_is_the_same() {
        let bytes: [u8; 300] = core::array::from_fn(|i| (i * 89) as u8);
        for length in [0, 1, 2, 299, 300] {
            let mut running = Running::new();
            running.update(&bytes[..length]);
            assert_eq!(running.finish(), checksum(&bytes[..length]));
        }
    }
}
