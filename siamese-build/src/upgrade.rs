//! Model files of the format before this one.

use std::borrow::Cow;

use siamese_core::checksum::checksum;
use siamese_core::model::{MAGIC, Precision};

/// The version that can be upgraded.
const OLD: u8 = 3;
/// Bytes before the header.
const PREFIX: usize = 16;

/// A model file of format version 3 as one of version 4, and any other bytes as they are.
///
/// Version 4 says how many bits the numbers have, and 3 had one answer to that: all else is
/// the same, the fingerprint, too. What isn't a model stays none: whoever parses it is told
/// why.
#[must_use]
pub fn upgraded(bytes: &[u8]) -> Cow<'_, [u8]> {
    match upgrade(bytes) {
        Some(new) => Cow::Owned(new),
        None => Cow::Borrowed(bytes),
    }
}

fn upgrade(bytes: &[u8]) -> Option<Vec<u8>> {
    let rest = bytes.strip_prefix(&MAGIC)?;
    let &[version, layout, h0, h1, ..] = rest else {
        return None;
    };
    let (body, stated) = bytes.split_last_chunk()?;
    if version != OLD || checksum(body) != u32::from_le_bytes(*stated) {
        return None;
    }
    let header_len = usize::from(u16::from_le_bytes([h0, h1]));
    let header = body.get(PREFIX..PREFIX + header_len)?;
    let sections = body.get((PREFIX + header_len).next_multiple_of(16)..)?;

    // After the name, whose length is one byte, the input's three numbers and the three
    // sizes.
    let mut precision_at = 1 + usize::from(*header.first()?);
    for _ in 0..6 {
        let varint = header.get(precision_at..)?;
        precision_at += 1 + varint.iter().position(|byte| byte & 0x80 == 0)?;
    }
    let Precision {
        input,
        hidden,
        weights,
        shifts,
    } = Precision::INT8;
    let (before, after) = header.split_at_checked(precision_at)?;
    let header = [before, &[input], &hidden, &weights, &shifts, after].concat();

    let mut new = bytes[..PREFIX].to_vec();
    new[8] = siamese_core::model::VERSION;
    new[9] = layout;
    new[10..12].copy_from_slice(&u16::try_from(header.len()).ok()?.to_le_bytes());
    new.extend(&header);
    new.resize(new.len().next_multiple_of(16), 0);
    new.extend(sections);
    let length = u32::try_from(new.len() + 4).ok()?;
    new[12..PREFIX].copy_from_slice(&length.to_le_bytes());
    let checksum = checksum(&new);
    new.extend(checksum.to_le_bytes());
    Some(new)
}

#[cfg(test)]
mod tests {
    use siamese_core::Model;

    use super::*;

    /// The file of version 3 that a file of version 4 without few bits was before.
    fn downgraded(new: &[u8]) -> Vec<u8> {
        let header_len = usize::from(u16::from_le_bytes([new[10], new[11]]));
        let header = &new[PREFIX..PREFIX + header_len];
        let at = header
            .windows(9)
            .position(|bytes| bytes == [7, 7, 7, 8, 8, 8, 0, 0, 0])
            .unwrap();
        let header = [&header[..at], &header[at + 9..]].concat();
        let mut old = new[..PREFIX].to_vec();
        old[8] = OLD;
        old[10..12].copy_from_slice(&(header.len() as u16).to_le_bytes());
        old.extend(header);
        old.resize(old.len().next_multiple_of(16), 0);
        old.extend(&new[(PREFIX + header_len).next_multiple_of(16)..new.len() - 4]);
        let length = old.len() as u32 + 4;
        old[12..16].copy_from_slice(&length.to_le_bytes());
        let sum = checksum(&old);
        old.extend(sum.to_le_bytes());
        old
    }

    #[test]
    fn version_3_becomes_version_4_and_nothing_else_changes() {
        for name in ["tiny", "small-fewshot"] {
            let path = format!("{}/../model/{name}.siam", env!("CARGO_MANIFEST_DIR"));
            let new = std::fs::read(path).unwrap();
            let old = downgraded(&new);
            assert!(Model::parse_any(&old).is_err());
            assert!(*upgraded(&old) == new, "{name}");
            assert!(matches!(upgraded(&new), Cow::Borrowed(bytes) if bytes == new));
        }
    }

    #[test]
    fn what_is_damaged_stays_as_it_is() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../model/tiny.siam");
        let old = downgraded(&std::fs::read(path).unwrap());
        for length in (0..40).chain([old.len() - 1]) {
            assert!(*upgraded(&old[..length]) == old[..length]);
        }
        for byte in [0, 8, 9, 10, 16, 100, old.len() - 1] {
            let mut damaged = old.clone();
            damaged[byte] ^= 0x40;
            assert!(*upgraded(&damaged) == damaged, "byte {byte}");
        }
    }
}
