//! Flipped bits: every single one, and pairs at random. A CRC-32 finds all of one and of two in
//! files of these lengths; this shows that nothing is accepted on the way to it.

use std::num::NonZero;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use siamese_build::OwnedModel;
use siamese_core::Embedding;
use siamese_core::gallery::names::{Names, split};
use siamese_core::gallery::{Gallery, Record, Thresholds};

use crate::model;
use crate::random::Random;

/// Cases that a thread takes at a time.
const SLICE: u64 = 4096;

/// What was flipped, and what was accepted all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flipped {
    /// Single bits, all of them or fewer.
    pub singles: u64,
    /// Pairs of different bits.
    pub doubles: u64,
    /// Of both, how many were accepted.
    pub accepted: u64,
}

/// Whether these bytes are accepted as a model.
#[must_use]
pub fn is_model(bytes: &[u8]) -> bool {
    OwnedModel::new(bytes).is_ok()
}

/// Whether these bytes are accepted as a gallery with names, by any of its readers.
#[must_use]
pub fn is_gallery(bytes: &[u8]) -> bool {
    let (gallery, names) = split(bytes).unwrap_or((bytes, &[]));
    let named = Names::<16, 15>::from_bytes(names).is_ok();
    let record = Record::read(gallery).is_ok();
    let loaded = Gallery::<2, 16>::from_bytes(&model(), gallery).is_ok();
    // Each part has a checksum of its own.
    (record || loaded) && named
}

/// A stored gallery: ten prototypes of several examples, two exemplars, thresholds, names.
///
/// # Panics
/// Never: it is the same gallery every time.
#[must_use]
pub fn gallery() -> Vec<u8> {
    let mut gallery = Gallery::<2, 16>::new(&model()).expect("the model has two coordinates");
    let mut names = Names::<16, 15>::new();
    let mut random = Random::new(1);
    for label in 0..10 {
        for _ in 0..=label {
            let point = [random.next() as i16, random.next() as i16];
            gallery
                .enrol(label, &Embedding(point))
                .expect("there is room");
        }
        names
            .set(label, &format!("thing {label}"))
            .expect("the name is new");
    }
    for label in 0..2 {
        gallery
            .enrol_exemplar(label, &Embedding([7, -7]))
            .expect("there is room");
    }
    gallery.set_user_thresholds(Thresholds {
        prototype: Some(123_456),
        pair: Some(654_321),
    });
    let mut buffer = [0; Gallery::<2, 16>::STORED_MAX];
    let mut bytes = gallery
        .to_bytes(&mut buffer)
        .expect("there is room")
        .to_vec();
    let mut buffer = [0; Names::<16, 15>::STORED_MAX];
    bytes.extend_from_slice(names.to_bytes(&mut buffer).expect("there is room"));
    bytes
}

/// Flips every `step`-th bit, and `doubles` pairs, on all processors. `progress` is told how many
/// cases are done.
pub fn flip(
    bytes: &[u8],
    accepts: fn(&[u8]) -> bool,
    step: u64,
    doubles: u64,
    progress: impl Fn(u64) + Sync,
) -> Flipped {
    let bits = bytes.len() as u64 * 8;
    let singles = bits.div_ceil(step.max(1));
    let all = singles + doubles;
    let (next, accepted) = (AtomicU64::new(0), AtomicU64::new(0));
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let work = || {
        let mut bytes = bytes.to_vec();
        loop {
            let start = next.fetch_add(SLICE, Ordering::Relaxed);
            if start >= all {
                break;
            }
            let slice = start..all.min(start + SLICE);
            let count = slice.end - start;
            let found = some(&mut bytes, accepts, slice, singles, step.max(1));
            accepted.fetch_add(found, Ordering::Relaxed);
            progress(count);
        }
    };
    thread::scope(|scope| {
        (0..threads).for_each(|_| drop(scope.spawn(work)));
    });
    Flipped {
        singles,
        doubles,
        accepted: accepted.into_inner(),
    }
}

/// Some of the cases, by their numbers: single bits, then pairs.
fn some(
    bytes: &mut [u8],
    accepts: fn(&[u8]) -> bool,
    cases: Range<u64>,
    singles: u64,
    step: u64,
) -> u64 {
    let bits = bytes.len() * 8;
    let mut accepted = 0;
    for case in cases {
        let (first, second) = if case < singles {
            ((case * step) as usize, None)
        } else {
            let mut random = Random::new(case);
            let first = random.below(bits);
            // Another one.
            (first, Some((first + 1 + random.below(bits - 1)) % bits))
        };
        for bit in [Some(first), second].into_iter().flatten() {
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        accepted += u64::from(accepts(bytes));
        for bit in [Some(first), second].into_iter().flatten() {
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
    accepted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_whole_is_accepted() {
        let gallery = gallery();
        assert!(is_gallery(&gallery));
        assert!(!is_gallery(&gallery[1..]));
        assert!(!is_model(&gallery));
    }

    #[test]
    fn a_reader_that_looks_at_less_is_found_out() {
        // It ignores the lowest bit of each byte.
        fn careless(bytes: &[u8]) -> bool {
            bytes.iter().all(|byte| byte & !1 == 0x40)
        }
        let bytes = [0x40; 16];
        let found = flip(&bytes, careless, 1, 0, |_| {});
        assert_eq!(
            found,
            Flipped {
                singles: 128,
                doubles: 0,
                accepted: 16
            }
        );
        let found = flip(&bytes, careless, 8, 1000, |_| {});
        assert_eq!((found.singles, found.doubles), (16, 1000));
        // Pairs of 16 of 128 bits: 16 * 15 of 128 * 127, 1.5 %.
        assert!((17..60).contains(&found.accepted), "{found:?}");
    }
}
