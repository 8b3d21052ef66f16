//! Inputs made of other inputs, without knowledge of what the target does with them. libFuzzer
//! knows which inputs reach something new; this runs wherever Rust does.

use crate::random::Random;

/// Numbers at the edges of ranges.
const EDGES: [u64; 14] = [
    0,
    1,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x7FFF_FFFF,
    0x8000_0000,
    0xFFFF_FFFF,
    0x7FFF_FFFF_FFFF_FFFF,
    0x8000_0000_0000_0000,
    u64::MAX,
];

/// An input: one of the seeds, or nothing, changed a few times, at most `longest` bytes.
#[must_use]
pub fn input(seeds: &[Vec<u8>], longest: usize, random: &mut Random) -> Vec<u8> {
    let mut bytes = match seeds {
        // Bytes that follow no form are soon refused, but should be tried.
        seeds if seeds.is_empty() || random.below(16) == 0 => {
            let length = random.below(longest.min(256)) + 1;
            (0..length).map(|_| random.next() as u8).collect()
        }
        seeds => seeds[random.below(seeds.len())].clone(),
    };
    // Often a few changes, seldom many.
    let changes = 1 << random.below(6);
    for _ in 0..random.below(changes) + 1 {
        change(&mut bytes, seeds, random);
    }
    bytes.truncate(longest);
    bytes
}

fn change(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Random) {
    let length = bytes.len();
    let at = random.below(length);
    let end = at + random.below(32.min(length - at)) + usize::from(length > 0);
    let range = at.min(length)..end.min(length);
    match random.below(11) {
        0 if length > 0 => bytes[at] ^= 1 << random.below(8),
        1 if length > 0 => bytes[at] = random.next() as u8,
        2 if length > 0 => {
            bytes[at] = bytes[at]
                .wrapping_add(random.below(33) as u8)
                .wrapping_sub(16)
        }
        3 => {
            let width = 1 << random.below(4);
            let edge = EDGES[random.below(EDGES.len())].to_le_bytes();
            let width = width.min(length - at);
            bytes[at..at + width].copy_from_slice(&edge[..width]);
        }
        4 => drop(bytes.drain(range)),
        5 => {
            let twice = bytes[range].to_vec();
            bytes.splice(at..at, twice);
        }
        6 => {
            let count = random.below(16) + 1;
            let new: Vec<u8> = (0..count).map(|_| random.next() as u8).collect();
            bytes.splice(at..at, new);
        }
        7 => bytes.truncate(at),
        8 => {
            let value = [0, 0xFF, random.next() as u8][random.below(3)];
            bytes[range].fill(value);
        }
        9 if !seeds.is_empty() => {
            // The end of another seed.
            let other = &seeds[random.below(seeds.len())];
            let from = random.below(other.len());
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from..]);
        }
        _ if length > 1 => {
            let other = random.below(length);
            bytes.swap(at, other);
        }
        _ => bytes.push(random.next() as u8),
    }
}
