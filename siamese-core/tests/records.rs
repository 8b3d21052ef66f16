//! Entries that travel one by one, and records of galleries of any model.

use proptest::prelude::*;
use siamese_core::Embedding;
use siamese_core::checksum::checksum;
use siamese_core::gallery::{
    Gallery, GalleryError, InsertError, LoadError, NoRoom, Record, Thresholds,
};

type Small = Gallery<2, 8>;
const FINGERPRINT: u32 = 0x1234_5678;

fn gallery() -> Small {
    let mut gallery = Small::for_fingerprint(FINGERPRINT);
    for step in 0..40i16 {
        let example = Embedding([step * 811 % 700 - 300, step * step - 900]);
        gallery.enrol((step % 5) as u16 * 100, &example).unwrap();
        if step % 20 == 3 {
            gallery.enrol_exemplar(300, &example).unwrap();
        }
    }
    gallery.set_user_thresholds(Thresholds {
        prototype: Some(u64::MAX),
        pair: Some(0),
    });
    gallery
}

fn stored(gallery: &Small) -> Vec<u8> {
    let mut buffer = [0; Small::STORED_MAX];
    gallery.to_bytes(&mut buffer).unwrap().to_vec()
}

fn entry(gallery: &Small, number: usize) -> Vec<u8> {
    let mut buffer = [0; Small::ENTRY_MAX];
    gallery
        .entry_to_bytes(number, &mut buffer)
        .unwrap()
        .to_vec()
}

/// With length and checksum made right again.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let (length, content) = (bytes.len() as u32, bytes.len() - 4);
    bytes[5..9].copy_from_slice(&length.to_le_bytes());
    let checksum = checksum(&bytes[..content]);
    bytes[content..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

#[test]
fn a_gallery_is_rebuilt_from_its_entries() {
    let here = gallery();
    let mut there = Small::for_fingerprint(FINGERPRINT);
    for number in 0..here.entries().len() {
        let bytes = entry(&here, number);
        assert_eq!(bytes.len(), Small::ENTRY_MAX);
        let record = Record::read(&bytes).unwrap();
        assert_eq!((record.dim(), record.fingerprint()), (2, FINGERPRINT));
        assert_eq!(record.user_thresholds(), here.user_thresholds());
        assert_eq!((record.entries(), record.first()), (7, number as u32));
        assert!(!record.is_whole());
        let listed: Vec<_> = record.listed().collect();
        let expected = &here.entries()[number];
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].label(), expected.label());
        assert_eq!(listed[0].examples(), expected.examples());
        assert_eq!(listed[0].is_exemplar(), expected.is_exemplar());
        assert_eq!(there.insert(&bytes), Ok(expected.examples()));
    }
    assert_ne!(there.user_thresholds(), here.user_thresholds());
    let mut damaged = entry(&here, 7);
    damaged[24] ^= 1;
    assert!(there.take_user_thresholds(&damaged).is_err());
    assert_ne!(there.user_thresholds(), here.user_thresholds());
    assert_eq!(there.take_user_thresholds(&entry(&here, 7)), Ok(()));
    assert_eq!(there, here);
    // Behind the last one there is nothing but the head.
    for number in [7, 8, usize::MAX] {
        let bytes = entry(&here, number);
        let record = Record::read(&bytes).unwrap();
        assert_eq!((record.entries(), record.first()), (7, 7));
        assert_eq!((bytes.len(), record.listed().count()), (52, 0));
        let none = InsertError::Record(LoadError::Contents);
        assert_eq!(there.insert(&bytes), Err(none));
    }
    let mut short = [0; Small::ENTRY_MAX - 1];
    let needed = Small::ENTRY_MAX;
    let error = here.entry_to_bytes(0, &mut short).unwrap_err();
    assert_eq!(error, NoRoom { needed });
    assert!(error.to_string().contains("needs 64 bytes"), "{error}");
}

/// Of as many coordinates as there are fields before them, and of others.
#[test]
fn records_of_any_number_of_coordinates_are_read() {
    let mut gallery = Gallery::<3, 2>::for_fingerprint(7);
    for example in [[1, 5, -7], [2, 6, -8]] {
        gallery.enrol(4, &Embedding(example)).unwrap();
    }
    let mut buffer = [0; Gallery::<3, 2>::STORED_MAX];
    let good = gallery.to_bytes(&mut buffer).unwrap().to_vec();
    let record = Record::read(&good).unwrap();
    assert_eq!((record.dim(), record.entries()), (3, 1));
    // Means of two examples leave a remainder of 0 or -1, here of -1 each.
    for coordinate in 0..3 {
        let mut bad = good.clone();
        let at = 48 + 4 + 2 * (3 + coordinate);
        assert_eq!(bad[at..at + 2], [0xFF, 0xFF]);
        bad[at] = 0xF0;
        assert_eq!(Record::read(&sealed(bad)).err(), Some(LoadError::Contents));
    }
    // None at all.
    let empty = Gallery::<3, 2>::for_fingerprint(7);
    let mut none = empty.to_bytes(&mut buffer).unwrap().to_vec();
    none[10] = 0;
    assert_eq!(Record::read(&sealed(none)).err(), Some(LoadError::Contents));
}

/// As many prototypes as there are labels, and many exemplars: looking for twins one by one
/// would take minutes.
#[test]
fn the_largest_records_are_read_at_once() {
    let entries = 65_536 + 200_000;
    let mut bytes = b"SGAL\x02".to_vec();
    bytes.extend((48 + 8 * entries as u32 + 4).to_le_bytes());
    bytes.push(0);
    bytes.extend(1u16.to_le_bytes());
    bytes.extend([0; 28]);
    bytes.extend((entries as u32).to_le_bytes());
    bytes.extend(0u32.to_le_bytes());
    for number in 0..entries {
        bytes.extend((number as u16).to_le_bytes());
        bytes.extend(u16::from(number < 65_536).to_le_bytes());
        bytes.extend([0; 4]);
    }
    bytes.extend([0; 4]);
    let good = sealed(bytes.clone());
    let record = Record::read(&good).unwrap();
    assert_eq!(record.listed().count(), entries);
    // The last one becomes a prototype, and so a twin.
    let at = bytes.len() - 4 - 6;
    bytes[at] = 1;
    assert_eq!(
        Record::read(&sealed(bytes)).err(),
        Some(LoadError::Contents)
    );
}

#[test]
fn what_is_inserted_is_merged() {
    let here = gallery();
    let mut merged = here.clone();
    merged.forget(0);
    let mut inserted = merged.clone();
    let mut others = Small::for_fingerprint(FINGERPRINT);
    for label in [0, 100, 200, 300] {
        others.enrol(label, &Embedding([7, -9])).unwrap();
    }
    others.enrol_exemplar(300, &Embedding([5, 5])).unwrap();
    merged.merge(&others, |label| label).unwrap();
    let examples: Vec<_> = (0..others.entries().len())
        .map(|number| inserted.insert(&entry(&others, number)).unwrap())
        .collect();
    assert_eq!(inserted, merged);
    assert_eq!(examples, [1, 9, 9, 9, 1]);

    // The gallery is full for what is new, and for nothing else.
    let full = InsertError::Gallery(GalleryError::Full { capacity: 8 });
    assert_eq!(inserted.insert(&entry(&others, 4)), Err(full));
    assert_eq!(inserted, merged);
    assert_eq!(inserted.insert(&entry(&others, 1)), Ok(10));
    assert!(full.to_string().contains("8 entries"), "{full}");
    // A prototype counts no more examples than 16 bits.
    let mut many = Gallery::<1, 1>::for_fingerprint(0);
    for _ in 0..40_000 {
        many.enrol(0, &Embedding([9])).unwrap();
    }
    let mut buffer = [0; Gallery::<1, 1>::ENTRY_MAX];
    let bytes = many.entry_to_bytes(0, &mut buffer).unwrap();
    let examples = InsertError::Gallery(GalleryError::Examples);
    assert_eq!(many.insert(bytes), Err(examples));
}

#[test]
fn what_no_enrolment_makes_is_refused() {
    let here = gallery();
    let good = entry(&here, 1);
    let mut there = Small::for_fingerprint(FINGERPRINT);
    let mut refused = |bytes: Vec<u8>| {
        let before = there.clone();
        match there.insert(&bytes) {
            Err(InsertError::Record(error)) => {
                assert_eq!(there, before);
                error
            }
            other => panic!("{other:?}"),
        }
    };
    let with = |at: usize, bytes: &[u8]| {
        let mut changed = good.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        sealed(changed)
    };
    // Another model, another number of coordinates, a later version.
    let other = LoadError::OtherModel {
        expected: FINGERPRINT,
        found: 7,
    };
    assert_eq!(refused(with(12, &[7, 0, 0, 0])), other);
    let wrong = LoadError::Dimension {
        found: 3,
        expected: 2,
    };
    assert_eq!(refused(with(10, &[3, 0])), wrong);
    assert_eq!(refused(with(4, &[3])), LoadError::Version { found: 3 });
    // A generation; a number beyond the end; a flag without meaning.
    for (at, byte) in [(16, 1), (44, 7), (9, 8)] {
        assert_eq!(refused(with(at, &[byte])), LoadError::Contents, "{at}");
    }
    // Remainders that a mean of 8 examples doesn't leave, and one of an exemplar.
    for remainder in [4i16, -5, i16::MAX, i16::MIN] {
        let found = refused(with(56, &remainder.to_le_bytes()));
        assert_eq!(found, LoadError::Contents, "{remainder}");
    }
    assert_eq!(refused(with(50, &[0, 0])), LoadError::Contents);
    // A mean beyond the range of what it is the mean of.
    let beyond = [&8u16.to_le_bytes()[..], &i16::MAX.to_le_bytes()].concat();
    let mut beyond = with(50, &beyond);
    beyond[56..58].copy_from_slice(&1i16.to_le_bytes());
    assert_eq!(refused(sealed(beyond)), LoadError::Contents);
    // Two entries, half of one, none, and nothing like it.
    assert_eq!(refused(stored(&here)), LoadError::Contents);
    let mut half = good.clone();
    half.drain(50..52);
    assert_eq!(refused(sealed(half)), LoadError::Contents);
    assert_eq!(refused(vec![]), LoadError::NotAGallery);
    for length in 9..good.len() {
        let truncated = refused(good[..length].to_vec());
        assert!(matches!(truncated, LoadError::Truncated { .. }), "{length}");
    }
    for bit in 0..8 * good.len() {
        let mut flipped = good.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        refused(flipped);
    }
    assert_eq!(there.insert(&good), Ok(8));
}

#[test]
fn records_are_made_of_others() {
    let here = gallery();
    let bytes = stored(&here);
    let whole = Record::read(&bytes).unwrap();
    assert!(whole.is_whole());
    // From the entries' own records, as a host does it.
    let entries: Vec<Vec<u8>> = (0..7).map(|number| entry(&here, number)).collect();
    let joined: Vec<u8> = entries
        .iter()
        .flat_map(|entry| Record::read(entry).unwrap().listed())
        .flat_map(|entry| entry.bytes().to_vec())
        .collect();
    let head = Record::read(&entries[3]).unwrap();
    let record = head.with_entries(&joined).unwrap();
    assert_eq!((record, record.stored_len()), (whole, bytes.len()));
    let mut buffer = vec![0; record.stored_len()];
    assert_eq!(record.to_bytes(&mut buffer).unwrap(), bytes);
    let needed = bytes.len();
    let short = record.to_bytes(&mut buffer[1..]);
    assert_eq!(short, Err(NoRoom { needed }));
    assert_eq!(head.with_entries(&joined[1..]), None);
    let none = head.with_entries(&[]).unwrap();
    assert!(none.is_whole() && none.entries() == 0);
    assert_eq!(Record::ENTRY_MAX, 48 + 4 + 4 * 64 + 4);

    // Two prototypes of one label are no gallery.
    let first = whole.listed().next().unwrap().bytes();
    let twins = [first, first].concat();
    let twins = head.with_entries(&twins).unwrap();
    let mut buffer = vec![0; twins.stored_len()];
    let bytes = twins.to_bytes(&mut buffer).unwrap();
    assert_eq!(Record::read(bytes), Err(LoadError::Contents));
}

proptest! {
    /// A record is read without its model exactly if it is with it.
    #[test]
    fn any_record_is_judged_as_the_gallery_judges_it(
        changes in proptest::collection::vec((9usize..120, any::<u8>()), 0..3),
        seal in proptest::bool::weighted(0.9),
    ) {
        let mut bytes = stored(&gallery());
        for (at, byte) in changes {
            if !(10..16).contains(&at) && at < bytes.len() - 4 {
                bytes[at] = byte;
            }
        }
        if seal {
            bytes = sealed(bytes);
        }
        // Every entry by itself is what the device judges.
        match Record::read(&bytes) {
            Ok(record) => {
                let mut there = Small::for_fingerprint(FINGERPRINT);
                there.set_user_thresholds(record.user_thresholds());
                for listed in record.listed() {
                    let one = record.with_entries(listed.bytes()).unwrap();
                    let mut buffer = [0; Small::ENTRY_MAX];
                    let one = one.to_bytes(&mut buffer).unwrap();
                    prop_assert_eq!(there.insert(one), Ok(listed.examples()));
                }
                if record.is_whole() {
                    prop_assert_eq!(stored(&there), bytes);
                }
            }
            Err(error) => {
                prop_assert!(error == LoadError::Contents || !seal && error == LoadError::Checksum);
            }
        }
    }

    #[test]
    fn noise_never_panics(noise in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Record::read(&noise);
        let mut record = b"SGAL\x02".to_vec();
        record.extend(&noise);
        if record.len() > 60 {
            let record = sealed(record);
            let _ = Record::read(&record);
            let _ = gallery().insert(&record);
        }
    }
}
