//! Galleries: their bytes, and what they answer after any sequence of operations.

use siamese_core::gallery::names::{self, Names};
use siamese_core::gallery::{Decision, Gallery, GalleryError, InsertError, Record, Thresholds};
use siamese_core::{Embedding, Model};

use crate::bytes::Bytes;
use crate::naive::gallery::Entry;
use crate::{model, naive};

/// Entries of the galleries here.
const ROOM: usize = 6;
/// Nearest entries that vote.
const VOTERS: usize = 3;

type Small = Gallery<2, ROOM>;
type SmallNames = Names<4, 15>;

/// Bytes as a gallery, as a record of any gallery, and as names: what is accepted is what the
/// naive reader accepts, and is written as it was.
pub fn stored(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let form = bytes.u8();
    let mut file = bytes.rest().to_vec();
    let model = model();
    if form & 1 == 0 {
        // Now and then of another version.
        mend(
            &mut file,
            &model,
            if form & 12 == 12 { form >> 4 } else { 2 },
        );
    }
    let expected = naive::gallery::read(&file);
    let fits = expected.as_ref().is_some_and(|expected| {
        (expected.dim, expected.fingerprint) == (2, model.fingerprint())
            && expected.entries.len() <= ROOM
    });
    match Small::from_bytes(&model, &file) {
        Ok(gallery) => {
            assert!(fits, "accepted, and the naive reader refuses it");
            same(&gallery, expected.as_ref().unwrap());
            let mut buffer = [0xAA; Small::STORED_MAX];
            assert_eq!(gallery.to_bytes(&mut buffer).unwrap(), file);
            let no_room = gallery.to_bytes(&mut buffer[..file.len() - 1]);
            assert!(no_room.is_err_and(|error| !error.to_string().is_empty()));
        }
        Err(error) => {
            assert!(!fits, "refused, and the naive reader accepts it: {error}");
        }
    }
    match Record::read(&file) {
        Ok(record) if record.is_whole() => {
            let expected = expected.expect("accepted, and the naive reader refuses it");
            assert_eq!(record.listed().count(), expected.entries.len());
            assert_eq!(
                (record.dim(), record.first(), record.entries() as usize),
                (expected.dim, 0, expected.entries.len())
            );
            let user = record.user_thresholds();
            assert_eq!([user.prototype, user.pair], expected.user);
            let examples = record.listed().map(|entry| entry.examples());
            let naive = expected.entries.iter().map(|entry| entry.examples.max(1));
            assert!(examples.eq(naive));
            let mut short = vec![0; file.len() - 1];
            assert!(record.to_bytes(&mut short).is_err());
            let mut buffer = vec![0xAA; record.stored_len()];
            assert_eq!(record.to_bytes(&mut buffer).unwrap(), file);
            let entries: Vec<u8> = record
                .listed()
                .flat_map(|entry| entry.bytes())
                .copied()
                .collect();
            assert_eq!(record.with_entries(&entries), Some(record));
        }
        Ok(record) => {
            assert!(record.entries() > 0 || record.first() > 0 || record.listed().count() == 0);
            let mut gallery = Small::for_fingerprint(record.fingerprint());
            if let Err(error) = gallery.insert(&file) {
                assert!(!error.to_string().is_empty());
                assert!(gallery.entries().is_empty());
            }
            let _ = gallery.take_user_thresholds(&file);
        }
        Err(error) => {
            assert_eq!(expected, None, "refused, and the naive reader accepts it");
            assert!(!error.to_string().is_empty());
        }
    }
    if let Ok((gallery, names)) = names::split(&file) {
        assert_eq!([gallery, names].concat(), file);
    }
    table(&mut file, form);
    naming(&mut Bytes::new(&data[data.len().min(1)..]));
}

/// Any names for labels, against a naive table; they are read as they were written.
fn naming(bytes: &mut Bytes<'_>) {
    let mut names = SmallNames::new();
    let mut naive: Vec<(u16, String)> = Vec::new();
    for _ in 0..bytes.below(12) {
        let label = bytes.u8().into();
        let count = bytes.below(18);
        let text = String::from_utf8_lossy(bytes.take(count)).into_owned();
        if bytes.below(4) == 0 {
            assert_eq!(
                names.remove(label),
                naive.iter().any(|entry| entry.0 == label)
            );
            naive.retain(|entry| entry.0 != label);
            continue;
        }
        let usable = !text.is_empty() && !text.chars().any(char::is_control);
        let taken = naive
            .iter()
            .any(|entry| entry.1 == text && entry.0 != label);
        let places = naive.len();
        let there = naive.iter_mut().find(|entry| entry.0 == label);
        match names.set(label, &text) {
            Ok(()) => {
                assert!(usable && text.len() <= 15 && !taken);
                match there {
                    Some(there) => there.1 = text,
                    None => naive.push((label, text)),
                }
            }
            Err(error) => {
                let full = there.is_none() && places == 4;
                assert!(!usable || text.len() > 15 || taken || full, "{error}");
                assert!(!error.to_string().is_empty());
            }
        }
    }
    naive.sort();
    let found = names.iter().map(|(label, name)| (label, name.to_owned()));
    assert!(found.eq(naive));
    for label in 0..=u8::MAX {
        let next = names.first_from(label.into());
        assert_eq!(next, names.iter().find(|&(other, _)| other >= label.into()));
    }
    let mut buffer = [0xAA; SmallNames::STORED_MAX];
    let mut file = names.to_bytes(&mut buffer).unwrap().to_vec();
    assert_eq!(SmallNames::from_bytes(&file).as_ref(), Ok(&names));
    // One byte is another, and the checksum is right.
    let at = usize::from(bytes.u8()) % file.len();
    file[at] ^= bytes.u8();
    reseal(&mut file);
    table(&mut file, 0);
}

/// Bytes as a table of names.
fn table(file: &mut Vec<u8>, form: u8) {
    if form & 2 != 0 {
        if file.len() < 13 {
            file.resize(13, 0);
        }
        let length = file.len();
        file[..5].copy_from_slice(b"SNAM\x01");
        file[5..9].copy_from_slice(&(length as u32).to_le_bytes());
        reseal(file);
    }
    if let Err(error) = SmallNames::from_bytes(file) {
        assert!(!error.to_string().is_empty());
    }
    if let Ok(names) = SmallNames::from_bytes(file) {
        let mut buffer = [0xAA; SmallNames::STORED_MAX];
        assert_eq!(names.to_bytes(&mut buffer).unwrap(), file);
        assert!(names.to_bytes(&mut buffer[..file.len() - 1]).is_err());
        let labels: Vec<_> = names.iter().map(|(label, _)| label).collect();
        assert!(labels.is_sorted() && labels.len() <= 4);
        for (label, name) in names.iter() {
            assert_eq!(
                (names.get(label), names.label(name)),
                (Some(name), Some(label))
            );
        }
    }
}

fn mend(file: &mut Vec<u8>, model: &Model<'_>, version: u8) {
    if file.len() < 52 {
        file.resize(52, 0);
    }
    let length = file.len();
    file[..4].copy_from_slice(b"SGAL");
    file[4] = version;
    file[5..9].copy_from_slice(&(length as u32).to_le_bytes());
    file[12..16].copy_from_slice(&model.fingerprint().to_le_bytes());
    reseal(file);
}

fn reseal(file: &mut [u8]) {
    let end = file.len() - 4;
    let checksum = naive::crc(&file[..end]);
    file[end..].copy_from_slice(&checksum.to_le_bytes());
}

/// Whether a gallery holds what the naive one does.
fn same(gallery: &Small, naive: &naive::gallery::Gallery) {
    let user = gallery.user_thresholds();
    assert_eq!([user.prototype, user.pair], naive.user);
    assert_eq!(gallery.entries().len(), naive.entries.len());
    for (entry, naive) in gallery.entries().iter().zip(&naive.entries) {
        assert_eq!(
            (entry.label(), entry.is_exemplar()),
            (naive.label, naive.examples == 0)
        );
        assert_eq!(entry.examples(), naive.examples.max(1));
        assert_eq!(entry.coordinates().map(i64::from)[..], naive.point());
    }
}

fn number(decision: Decision) -> u8 {
    match decision {
        Decision::Accepted => 0,
        Decision::Rejected => 1,
        Decision::Uncalibrated => 2,
    }
}

fn point(bytes: &mut Bytes<'_>) -> [i16; 2] {
    let far = [i16::MIN, i16::MAX, 0, 1];
    std::array::from_fn(|_| match bytes.below(4) {
        0 => bytes.one_of(&far),
        1 => bytes.u16() as i16,
        _ => i16::from(bytes.u8() as i8),
    })
}

/// Any sequence of operations, each compared with a gallery that keeps sums and sorts.
pub fn operations(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let mut gallery = Small::for_fingerprint(7);
    let mut naive = naive::gallery::Gallery {
        dim: 2,
        fingerprint: 7,
        user: [None; 2],
        entries: Vec::new(),
    };
    while !bytes.is_empty() {
        let label = u16::from(bytes.u8() % 5);
        match bytes.below(9) {
            0 | 1 => {
                let point = point(&mut bytes);
                let before = naive.clone();
                let expected = naive.enrol(label, &point, ROOM);
                let found = gallery.enrol(label, &Embedding(point));
                assert_eq!(found.as_ref().ok(), expected.as_ref(), "{before:?}");
            }
            2 => {
                let point = point(&mut bytes);
                let entry = Entry {
                    label,
                    examples: 0,
                    sums: point.map(i64::from).to_vec(),
                };
                let expected = naive.take_in(&entry, ROOM);
                let found = gallery.enrol_exemplar(label, &Embedding(point));
                assert_eq!(found.is_ok(), expected.is_some());
            }
            3 => {
                let before = naive.entries.len();
                naive.entries.retain(|entry| entry.label != label);
                assert_eq!(gallery.forget(label), before - naive.entries.len());
            }
            4 => {
                naive.user =
                    std::array::from_fn(|_| bytes.flag().then(|| bytes.u64() >> bytes.below(64)));
                let [prototype, pair] = naive.user;
                gallery.set_user_thresholds(Thresholds { prototype, pair });
            }
            5 => {
                // Many examples at once: up to the most, and beyond.
                let entry = Entry {
                    label,
                    examples: 1 | bytes.u16(),
                    sums: Vec::new(),
                };
                let count = i64::from(entry.examples);
                let sums = point(&mut bytes).map(|x| i64::from(x) * count);
                let entry = Entry {
                    sums: sums.to_vec(),
                    ..entry
                };
                let expected = naive.take_in(&entry, ROOM);
                let found = gallery.insert(&record(&entry, 7));
                match &found {
                    Err(InsertError::Record(error)) => panic!("{error}"),
                    found => assert_eq!(found.as_ref().ok(), expected.as_ref()),
                }
            }
            6 => {
                // Through the stored form, and all labels but one again from another gallery.
                let mut buffer = [0xAA; Small::STORED_MAX];
                let stored = gallery.to_bytes(&mut buffer).unwrap();
                assert_eq!(naive::gallery::read(stored).as_ref(), Some(&naive));
                let other = gallery.clone();
                let merged = gallery.merge(&other, |there| there.wrapping_add(label));
                let mut done = true;
                for entry in naive.entries.clone() {
                    let label = entry.label.wrapping_add(label);
                    done = done && naive.take_in(&Entry { label, ..entry }, ROOM).is_some();
                }
                assert_eq!(merged.is_ok(), done);
            }
            _ => answers(&gallery, &naive, label, point(&mut bytes)),
        }
        same(&gallery, &naive);
    }
}

/// The record of one entry of a model with this fingerprint, written by the page.
pub(super) fn record(entry: &Entry, fingerprint: u32) -> Vec<u8> {
    let mut bytes = b"SGAL\x02".to_vec();
    bytes.extend(64u32.to_le_bytes());
    bytes.push(0);
    bytes.extend(2u16.to_le_bytes());
    bytes.extend(fingerprint.to_le_bytes());
    bytes.extend([0; 24]);
    bytes.extend(1u32.to_le_bytes());
    bytes.extend(0u32.to_le_bytes());
    bytes.extend(entry.label.to_le_bytes());
    bytes.extend(entry.examples.to_le_bytes());
    let point = entry.point();
    let count = i64::from(entry.examples.max(1));
    let remainders = entry
        .sums
        .iter()
        .zip(&point)
        .map(|(sum, mean)| sum - mean * count);
    for number in point.iter().copied().chain(remainders) {
        bytes.extend((number as i16).to_le_bytes());
    }
    bytes.extend([0; 4]);
    reseal(&mut bytes);
    bytes
}

/// Every question, by the naive ranking.
fn answers(gallery: &Small, naive: &naive::gallery::Gallery, label: u16, point: [i16; 2]) {
    let embedding = Embedding(point);
    let ranked = naive.ranked(&point);
    let of = |label: u16| ranked.iter().filter(move |entry| entry.1 == label);
    // A label is accepted if one of its entries accepts; else its nearest one decides.
    let decided = |label: u16| {
        let accepted = of(label).any(|entry| entry.3 == 0);
        of(label)
            .next()
            .map(|nearest| if accepted { 0 } else { nearest.3 })
    };
    match gallery.identify(&embedding) {
        None => assert!(ranked.is_empty()),
        Some(found) => {
            let first = ranked[0];
            let nearest = found.nearest;
            assert_eq!(
                (nearest.distance_squared, nearest.label),
                (first.0, first.1)
            );
            assert_eq!(number(nearest.decision), first.3);
            assert_eq!(Some(number(found.decision)), decided(first.1));
            let second = ranked.iter().find(|entry| entry.1 != first.1);
            let runner_up = found.runner_up.map(|second| {
                (
                    second.distance_squared,
                    second.label,
                    number(second.decision),
                )
            });
            assert_eq!(
                runner_up,
                second.map(|second| (second.0, second.1, second.3))
            );
            assert_eq!(
                found.label(),
                (decided(first.1) == Some(0)).then_some(first.1)
            );
        }
    }
    match gallery.verify(label, &embedding) {
        Err(error) => {
            assert_eq!(error, GalleryError::NotEnrolled { label });
            assert_eq!(of(label).count(), 0);
        }
        Ok(found) => {
            assert_eq!(
                Some(found.distance_squared),
                of(label).next().map(|entry| entry.0)
            );
            assert_eq!(Some(number(found.decision)), decided(label));
        }
    }
    let nearest = gallery.nearest::<VOTERS>(&embedding);
    let expected = ranked.iter().take(VOTERS);
    assert!(
        nearest
            .iter()
            .map(|entry| (entry.distance_squared, entry.label))
            .eq(expected.map(|entry| (entry.0, entry.1)))
    );
    let voted = gallery.identify_by_vote::<VOTERS>(&embedding);
    assert_eq!(voted.is_some(), !ranked.is_empty());
    if let Some(voted) = voted {
        let voters = &ranked[..VOTERS.min(ranked.len())];
        let decision = [0, 2]
            .into_iter()
            .find(|&decision| voters.iter().any(|entry| entry.3 == decision));
        assert_eq!(number(voted.decision), decision.unwrap_or(1));
        let votes = |label: u16| {
            voters
                .iter()
                .filter(|entry| entry.1 == label && Some(entry.3) == decision)
                .count()
        };
        let most = voters.iter().map(|entry| votes(entry.1)).max();
        assert_eq!(Some(usize::from(voted.votes)), most);
        // Of labels with as many votes, the one whose vote is nearest; without any, the nearest.
        let mut voting = voters
            .iter()
            .filter(|entry| decision.is_none_or(|decision| entry.3 == decision));
        let winner = voting.find(|entry| Some(votes(entry.1)) == most);
        assert_eq!(Some(voted.winner), winner.map(|entry| entry.1));
    }
    let pair = gallery.verify_pair(&embedding, &Embedding([0, 0]));
    assert_eq!(
        number(pair.decision),
        naive::gallery::decision(pair.distance_squared, naive.user[1])
    );
}
