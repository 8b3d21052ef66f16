//! The marks at a slot's end, which say what became of its update.

use siamese_core::checksum::checksum;

/// Bytes of a mark.
pub(crate) const MARK_LEN: usize = 16;
/// How many there are.
pub(crate) const MARKS: u32 = 4;

/// What a mark says. The numbers are those of their places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Switched = 0,
    Tried = 1,
    Confirmed = 2,
    Rejected = 3,
}

impl Kind {
    const fn letter(self) -> u8 {
        match self {
            Self::Switched => b'S',
            Self::Tried => b'T',
            Self::Confirmed => b'C',
            Self::Rejected => b'R',
        }
    }
}

/// A mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) kind: Kind,
    pub(crate) reason: u8,
    pub(crate) generation: u32,
    /// The CRC-32 of the header that it belongs to.
    pub(crate) header: u32,
}

/// What is found where a mark may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing: it is erased.
    Nothing,
    /// The mark.
    Mark(Mark),
    /// Something else, or what can't be read: a mark whose writing was cut short.
    Torn,
}

impl Mark {
    pub(crate) fn to_bytes(self) -> [u8; MARK_LEN] {
        let [g0, g1, g2, g3] = self.generation.to_le_bytes();
        let [h0, h1, h2, h3] = self.header.to_le_bytes();
        let letter = self.kind.letter();
        let body = [letter, self.reason, 0, 0, g0, g1, g2, g3, h0, h1, h2, h3];
        let [c0, c1, c2, c3] = crc(&body).to_le_bytes();
        let [b0, b1, b2, b3, ..] = body;
        [
            c0, c1, c2, c3, b0, b1, b2, b3, g0, g1, g2, g3, h0, h1, h2, h3,
        ]
    }

    /// The mark of a kind in these bytes, if it belongs to this header.
    pub(crate) fn of_bytes(bytes: &[u8; MARK_LEN], kind: Kind, header: u32) -> Found {
        if bytes.iter().all(|&byte| byte == 0xFF) {
            return Found::Nothing;
        }
        let [_, _, _, _, _, reason, _, _, g0, g1, g2, g3, ..] = *bytes;
        let mark = Self {
            kind,
            reason,
            generation: u32::from_le_bytes([g0, g1, g2, g3]),
            header,
        };
        if mark.to_bytes() == *bytes {
            Found::Mark(mark)
        } else {
            Found::Torn
        }
    }
}

/// The checksum of `SIAM` and a mark's other bytes: of a unit that is all zeros it isn't 0.
fn crc(body: &[u8; 12]) -> u32 {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = *body;
    checksum(&[b'S', b'I', b'A', b'M', a, b, c, d, e, f, g, h, i, j, k, l])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_only_as_what_it_is() {
        let mark = Mark {
            kind: Kind::Tried,
            reason: 0,
            generation: 7,
            header: 0xABCD,
        };
        let bytes = mark.to_bytes();
        let read = |kind, header| Mark::of_bytes(&bytes, kind, header);
        assert_eq!(read(Kind::Tried, 0xABCD), Found::Mark(mark));
        assert_eq!(read(Kind::Confirmed, 0xABCD), Found::Torn);
        assert_eq!(read(Kind::Tried, 0xABCE), Found::Torn);
        for byte in 0..MARK_LEN {
            for bit in 0..8 {
                let mut damaged = bytes;
                damaged[byte] ^= 1 << bit;
                let found = Mark::of_bytes(&damaged, Kind::Tried, 0xABCD);
                assert_eq!(found, Found::Torn, "byte {byte}, bit {bit}");
            }
        }
        let erased = Mark::of_bytes(&[0xFF; MARK_LEN], Kind::Tried, 0);
        assert_eq!(erased, Found::Nothing);
        assert_eq!(Mark::of_bytes(&[0; MARK_LEN], Kind::Tried, 0), Found::Torn);
    }
}
