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
