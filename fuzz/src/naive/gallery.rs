//! Galleries: the stored form, by the page of `siamese_core::gallery::stored`, and what a
//! gallery answers, by the page of `siamese_core::gallery`.

use super::{Reader, crc};

/// An entry: all of its examples' sums.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is an entry for.
    pub label: u16,
    /// 0 for an exemplar.
    pub examples: u16,
    /// The sum of the examples, a coordinate each.
    pub sums: Vec<i64>,
}

impl Entry {
    /// The point that is compared: the mean, halves upwards.
    #[must_use]
    pub fn point(&self) -> Vec<i64> {
        let count = i64::from(self.examples.max(1));
        let mean = |&sum: &i64| (2 * sum + count).div_euclid(2 * count);
        self.sums.iter().map(mean).collect()
    }

    /// The squared distance from a point.
    #[must_use]
    pub fn distance_squared(&self, point: &[i16]) -> u64 {
        let pairs = self.point().into_iter().zip(point);
        pairs.map(|(a, &b)| (a - i64::from(b)).pow(2) as u64).sum()
    }
}

/// A record of generation 0 that lists all entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gallery {
    /// Coordinates of an embedding.
    pub dim: u16,
    /// The model's.
    pub fingerprint: u32,
    /// The user's thresholds: for prototypes, and for pairs.
    pub user: [Option<u64>; 2],
    /// The entries.
    pub entries: Vec<Entry>,
}

/// Reads a whole record of generation 0; `None` if it must be refused.
#[must_use]
pub fn read(bytes: &[u8]) -> Option<Gallery> {
    let (content, checksum) = bytes.split_at(bytes.len().checked_sub(4)?);
    let mut reader = Reader(content);
    let right = reader.take(4)? == b"SGAL"
        && reader.number(1)? == 2
        && reader.number(4)? == bytes.len() as u64
        && crc(content).to_le_bytes() == checksum;
    if !right {
        return None;
    }
    let flags = reader.number(1)?;
    let dim = reader.number(2)?;
    let fingerprint = reader.number(4)? as u32;
    let generation = reader.number(8)?;
    let thresholds = [reader.number(8)?, reader.number(8)?];
    let (entries, first) = (reader.number(4)?, reader.number(4)?);
    if flags > 3 || dim == 0 || generation != 0 || first != 0 {
        return None;
    }
    let mut user = [None; 2];
    for (bit, (user, value)) in user.iter_mut().zip(thresholds).enumerate() {
        match flags >> bit & 1 {
            1 => *user = Some(value),
            _ if value != 0 => return None,
            _ => {}
        }
    }
    let mut found = Vec::new();
    while !reader.0.is_empty() {
        found.push(read_entry(&mut reader, dim as usize)?);
    }
    let mut prototypes: Vec<u16> = found
        .iter()
        .filter(|e| e.examples > 0)
        .map(|e| e.label)
        .collect();
    prototypes.sort_unstable();
    let all = prototypes.len();
    prototypes.dedup();
    let right = found.len() as u64 == entries && prototypes.len() == all;
    right.then_some(Gallery {
        dim: dim as u16,
        fingerprint,
        user,
        entries: found,
    })
}

fn read_entry(reader: &mut Reader<'_>, dim: usize) -> Option<Entry> {
    let label = reader.number(2)? as u16;
    let examples = reader.number(2)? as u16;
    let mut signed = || {
        reader
            .number(2)
            .map(|number| i64::from(number as u16 as i16))
    };
    let means: Vec<i64> = (0..dim).map(|_| signed()).collect::<Option<_>>()?;
    let remainders: Vec<i64> = (0..dim).map(|_| signed()).collect::<Option<_>>()?;
    let count = i64::from(examples.max(1));
    let sums = means
        .iter()
        .zip(&remainders)
        .map(|(mean, rest)| mean * count + rest);
    let entry = Entry {
        label,
        examples,
        sums: sums.collect(),
    };
    let range = -32768 * count..=32767 * count;
    let possible = entry.sums.iter().all(|sum| range.contains(sum))
        && entry.point() == means
        && (examples > 0 || remainders.iter().all(|&rest| rest == 0));
    possible.then_some(entry)
}

/// What a distance says by a threshold: 0 accepted, 1 rejected, 2 nothing.
#[must_use]
pub const fn decision(distance: u64, threshold: Option<u64>) -> u8 {
    match threshold {
        None => 2,
        Some(threshold) => (distance > threshold) as u8,
    }
}

impl Gallery {
    /// Takes an example into the prototype of its label; the examples in it, or `None` if it
    /// can't be.
    pub fn enrol(&mut self, label: u16, point: &[i16], room: usize) -> Option<u16> {
        self.take_in(
            &Entry {
                label,
                examples: 1,
                sums: point.iter().map(|&x| i64::from(x)).collect(),
            },
            room,
        )
    }

    /// Takes in an entry; the examples in it then.
    pub fn take_in(&mut self, entry: &Entry, room: usize) -> Option<u16> {
        let mut there = self.entries.iter_mut();
        let twin = there
            .find(|there| there.label == entry.label && there.examples > 0 && entry.examples > 0);
        if let Some(there) = twin {
            there.examples = there.examples.checked_add(entry.examples)?;
            let sums = there.sums.iter_mut().zip(&entry.sums);
            sums.for_each(|(sum, more)| *sum += more);
            return Some(there.examples);
        }
        if self.entries.len() == room {
            return None;
        }
        self.entries.push(entry.clone());
        Some(entry.examples.max(1))
    }

    /// All entries as (distance, label, place, decision), nearest first, ties to the lower
    /// label, then to the one that was enrolled first. Without an allowance.
    #[must_use]
    pub fn ranked(&self, point: &[i16]) -> Vec<(u64, u16, usize, u8)> {
        let ranked = self.entries.iter().enumerate().map(|(place, entry)| {
            let distance = entry.distance_squared(point);
            let threshold = self.user[usize::from(entry.examples == 0)];
            (distance, entry.label, place, decision(distance, threshold))
        });
        let mut ranked: Vec<_> = ranked.collect();
        ranked.sort_unstable();
        ranked
    }
}
