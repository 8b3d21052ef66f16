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
