//! The first bytes of an update file, by `FORMAT.md`.

use sha2::{Digest, Sha512};

use crate::error::UpdateError;
use crate::signature::{PublicKey, is_signed_by};

/// Bytes before the payload.
pub const HEADER_LEN: usize = 192;
/// Bytes of them that are signed, before the signature.
pub const SIGNED_LEN: usize = 128;
/// The most bytes of a board's name.
pub const BOARD_LEN: usize = 32;
/// What the model is padded to, in bytes: golden vectors follow.
pub const PAYLOAD_ALIGN: u32 = 16;

const MAGIC: [u8; 8] = *b"SIAMUPD\x1A";
const VERSION: u8 = 1;

/// What an update says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The order of the model's weights: its byte 9.
    pub layout: u8,
    /// Bytes of the payload.
    pub payload: u32,
    /// Bytes of the model, with which the payload begins.
    pub model: u32,
    /// The model's own version, 1 or more.
    pub version: u32,
    /// It may also replace versions up to this one.
    pub over: u32,
    /// The CRC-32 at the end of the model's file with its weights in rows, by which hosts know it.
    pub rows_crc: u32,
    /// The board's name, then zeros; all zeros for any board.
    pub board: [u8; BOARD_LEN],
    /// The SHA-512 of the payload.
    pub digest: [u8; 64],
}

impl Header {
    /// The bytes that are to be signed.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; SIGNED_LEN] {
        let fields: [&[u8]; 10] = [
            &MAGIC,
            &[VERSION, self.layout],
            &[0; 2],
            &self.payload.to_le_bytes(),
            &self.model.to_le_bytes(),
            &self.version.to_le_bytes(),
            &self.over.to_le_bytes(),
            &self.rows_crc.to_le_bytes(),
            &self.board,
            &self.digest,
        ];
        let mut bytes = [0; SIGNED_LEN];
        for (byte, &field) in bytes.iter_mut().zip(fields.iter().copied().flatten()) {
            *byte = field;
        }
        bytes
    }

    /// A board's name as a header has it; `None` if it is too long.
    #[must_use]
    pub fn board_of(name: &str) -> Option<[u8; BOARD_LEN]> {
        let mut board = [0; BOARD_LEN];
        let room = board.get_mut(..name.len())?;
        for (byte, &letter) in room.iter_mut().zip(name.as_bytes()) {
            *byte = letter;
        }
        Some(board)
    }

    /// Reads a header whose signature is that of `key`.
    ///
    /// # Errors
    /// [`UpdateError::NotAnUpdate`], [`UpdateError::FormatVersion`],
    /// [`UpdateError::Signature`] or [`UpdateError::Header`].
    pub fn verified(bytes: &[u8], key: &PublicKey) -> Result<Self, UpdateError> {
        let (signed, signature) = begun(bytes)?;
        if !is_signed_by(key, signed, signature) {
            return Err(UpdateError::Signature);
        }
        Self::read(signed).ok_or(UpdateError::Header)
    }

    /// Reads a header without a look at its signature, as a host does for a report.
    ///
    /// # Errors
    /// [`UpdateError::NotAnUpdate`], [`UpdateError::FormatVersion`] or
    /// [`UpdateError::Header`].
    pub fn unverified(bytes: &[u8]) -> Result<Self, UpdateError> {
        let (signed, _) = begun(bytes)?;
        Self::read(signed).ok_or(UpdateError::Header)
    }

    /// The fields, if they make sense.
    #[inline(never)]
    fn read(signed: &[u8; SIGNED_LEN]) -> Option<Self> {
        let mut rest = signed.get(9..)?;
        let [layout, zero @ ..] = take::<3>(&mut rest)?;
        let [payload, model, version, over, rows_crc] = [
            number(&mut rest)?,
            number(&mut rest)?,
            number(&mut rest)?,
            number(&mut rest)?,
            number(&mut rest)?,
        ];
        let header = Self {
            layout,
            payload,
            model,
            version,
            over,
            rows_crc,
            board: take(&mut rest)?,
            digest: take(&mut rest)?,
        };
        let sound = zero == [0; 2] && model > 0 && model <= payload && version > 0;
        sound.then_some(header)
    }

    /// Where the golden vectors begin in the payload; `None` if that is beyond what can be
    /// counted.
    #[must_use]
    pub const fn golden_start(&self) -> Option<u32> {
        self.model.checked_next_multiple_of(PAYLOAD_ALIGN)
    }

    /// Versions up to this one are older than the update, once it is installed.
    #[must_use]
    pub fn floor(&self) -> u32 {
        self.version.max(self.over)
    }

    /// Whether it may replace what has this [`floor`](Self::floor).
    #[must_use]
    pub const fn may_replace(&self, floor: u32) -> bool {
        self.version > floor || self.over >= floor && self.over > 0
    }
}

/// What is signed and the signature of bytes that begin as an update file does.
#[inline(never)]
fn begun(bytes: &[u8]) -> Result<(&[u8; SIGNED_LEN], &[u8; 64]), UpdateError> {
    let (signed, rest) = bytes
        .split_first_chunk::<SIGNED_LEN>()
        .ok_or(UpdateError::NotAnUpdate)?;
    let signature = rest.first_chunk().ok_or(UpdateError::NotAnUpdate)?;
    match signed.strip_prefix(&MAGIC) {
        Some([VERSION, ..]) => Ok((signed, signature)),
        Some(&[found, ..]) => Err(UpdateError::FormatVersion { found }),
        _ => Err(UpdateError::NotAnUpdate),
    }
}

/// The next bytes.
fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, later) = rest.split_first_chunk::<N>()?;
    *rest = later;
    Some(*taken)
}

/// The next number.
fn number(rest: &mut &[u8]) -> Option<u32> {
    take(rest).map(u32::from_le_bytes)
}

/// The digest of a payload.
#[must_use]
pub fn digest(payload: &[u8]) -> [u8; 64] {
    Sha512::digest(payload).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            layout: 2,
            payload: 0x0102_0304,
            model: 0x0102,
            version: 7,
            over: 0,
            rows_crc: 3,
            board: Header::board_of("mps2-an386").unwrap(),
            digest: [9; 64],
        }
    }

    fn signed(header: &Header) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..SIGNED_LEN].copy_from_slice(&header.to_bytes());
        bytes
    }

    #[test]
    fn what_is_written_is_read() {
        let header = header();
        let bytes = signed(&header);
        assert_eq!(Header::unverified(&bytes), Ok(header));
        assert_eq!(&bytes[12..16], &[4, 3, 2, 1]);
        assert_eq!(&bytes[32..42], b"mps2-an386");
    }

    #[test]
    fn other_bytes_are_refused_each_with_its_error() {
        let good = signed(&header());
        let with = |at: usize, value: u8| {
            let mut bytes = good;
            bytes[at] = value;
            Header::unverified(&bytes).unwrap_err()
        };
        assert_eq!(with(7, 0x1B), UpdateError::NotAnUpdate);
        assert_eq!(with(8, 2), UpdateError::FormatVersion { found: 2 });
        assert_eq!(with(10, 1), UpdateError::Header);
        // A model that is longer than the payload, and a version of 0.
        assert_eq!(with(19, 2), UpdateError::Header);
        assert_eq!(with(20, 0), UpdateError::Header);
        let short = Header::unverified(&good[..HEADER_LEN - 1]);
        assert_eq!(short, Err(UpdateError::NotAnUpdate));
    }

    #[test]
    fn only_what_is_newer_or_allowed_replaces() {
        let header = Header {
            version: 5,
            ..header()
        };
        assert!(header.may_replace(4) && !header.may_replace(5) && !header.may_replace(6));
        let allowed = Header { over: 7, ..header };
        assert!(allowed.may_replace(7) && !allowed.may_replace(8));
        assert_eq!((header.floor(), allowed.floor()), (5, 7));
    }
}
