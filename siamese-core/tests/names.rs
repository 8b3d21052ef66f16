//! Names beside a gallery, and galleries that are joined.

use siamese_core::Embedding;
use siamese_core::gallery::names::{NameError, Names, split};
use siamese_core::gallery::{Gallery, GalleryError};

type Table = Names<4, 8>;

fn table() -> Table {
    let mut names = Table::new();
    for (label, name) in [(300, "dog"), (0, "Käse"), (7, "cat")] {
        names.set(label, name).unwrap();
    }
    names
}

fn stored(names: &Table) -> Vec<u8> {
    let mut buffer = [0; Table::STORED_MAX];
    names.to_bytes(&mut buffer).unwrap().to_vec()
}

/// With its checksum made right again.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let content = bytes.len() - 4;
    let checksum = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(&bytes[..content]);
    bytes[content..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

#[test]
fn names_have_one_stored_form() {
    let names = table();
    let all: Vec<_> = names.iter().collect();
    assert_eq!(all, [(0, "Käse"), (7, "cat"), (300, "dog")]);
    let bytes = stored(&names);
    assert_eq!(bytes.len(), 9 + (3 + 5) + (3 + 3) + (3 + 3) + 4);
    assert_eq!(&bytes[..9], b"SNAM\x01\x21\0\0\0");
    assert_eq!(Table::from_bytes(&bytes), Ok(names));
    assert_eq!(stored(&Table::new()).len(), 13);
    let mut short = [0; 20];
    let error = table().to_bytes(&mut short).unwrap_err();
    assert_eq!(error, NameError::NoRoom { needed: 33 });
}

#[test]
fn every_changed_byte_is_noticed() {
    let bytes = stored(&table());
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 4;
        assert!(Table::from_bytes(&changed).is_err(), "byte {at}");
        assert!(Table::from_bytes(&bytes[..at]).is_err(), "{at} bytes");
        // With a right checksum it may be another table, but only in its one form.
        if let Ok(names) = Table::from_bytes(&sealed(changed.clone())) {
            assert_eq!(stored(&names), sealed(changed), "byte {at}");
        }
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert_eq!(Table::from_bytes(&longer), Err(NameError::Damaged));
}

#[test]
fn other_forms_are_refused() {
    let bytes = stored(&table());
    let with = |changes: &[(usize, u8)]| {
        let mut changed = bytes.clone();
        for &(at, byte) in changes {
            changed[at] = byte;
        }
        Table::from_bytes(&sealed(changed))
    };
    // The second label as the first.
    assert_eq!(with(&[(17, 0)]), Err(NameError::Damaged));
    // Two labels of one name.
    let twin = with(&[(26, b'c'), (27, b'a'), (28, b't')]);
    assert_eq!(twin, Err(NameError::Taken { label: 7 }));
    assert_eq!(with(&[(20, 0xFF)]), Err(NameError::Damaged));
    assert_eq!(with(&[(20, b'\n')]), Err(NameError::Unusable));
    assert_eq!(with(&[(25, 4)]), Err(NameError::Damaged));
    assert_eq!(with(&[(4, 2)]), Err(NameError::NoTable));
    // A length that is less than that of a table without names.
    let least = stored(&Table::new()).len() as u8;
    assert_eq!(with(&[(5, least)]), Err(NameError::Damaged));
    assert_eq!(with(&[(5, least - 1)]), Err(NameError::NoTable));
    // More than there is room for.
    assert_eq!(
        Names::<2, 8>::from_bytes(&bytes),
        Err(NameError::Full { capacity: 2 })
    );
    assert_eq!(
        Names::<4, 4>::from_bytes(&bytes),
        Err(NameError::TooLong { most: 4 })
    );
}

#[test]
fn what_is_refused_changes_nothing() {
    let mut names = table();
    for (label, name, error) in [
        (7, "dog", NameError::Taken { label: 300 }),
        (8, "", NameError::Unusable),
        (8, "a\tb", NameError::Unusable),
        (8, "123456789", NameError::TooLong { most: 8 }),
    ] {
        assert_eq!(names.set(label, name), Err(error), "{name}");
    }
    assert_eq!(names, table());
    names.set(7, "cat").unwrap();
    names.set(8, "12345678").unwrap();
    assert_eq!(names.set(9, "cow"), Err(NameError::Full { capacity: 4 }));
    names.set(8, "cow").unwrap();
    assert!(names.remove(8) && !names.remove(8));
    assert_eq!(names, table());
    assert_eq!((names.label("dog"), names.get(8)), (Some(300), None));
    let known = [0, 7, 300].map(|label| names.get(label));
    assert_eq!(known, [Some("Käse"), Some("cat"), Some("dog")]);
    let from = [0, 1, 7, 8, 300, 301].map(|label| names.first_from(label));
    let found = [(0, "Käse"), (7, "cat"), (300, "dog")].map(Some);
    let [zero, seven, last] = found;
    assert_eq!(from, [zero, seven, seven, last, last, None]);
}

#[test]
fn a_file_is_a_gallery_and_its_names() {
    let mut gallery = Gallery::<2, 4>::for_fingerprint(9);
    gallery.enrol(7, &Embedding([1, 2])).unwrap();
    let mut buffer = [0; Gallery::<2, 4>::STORED_MAX];
    let record = gallery.to_bytes(&mut buffer).unwrap().to_vec();
    let file = [record.as_slice(), &stored(&table())].concat();
    let (first, second) = split(&file).unwrap();
    assert_eq!((first, second), (record.as_slice(), &stored(&table())[..]));
    assert_eq!(split(&record).unwrap().1, []);
    assert!(split(&record[..record.len() - 1]).is_err());
    assert!(split(b"SNAM").is_err());
}

#[test]
fn joined_galleries_are_as_if_enrolled_in_one() {
    let point = |i: i16| Embedding([i * 31 % 97 - 40, i * 17 % 89 - 60]);
    let mut whole = Gallery::<2, 4>::for_fingerprint(9);
    let mut first = whole.clone();
    let mut second = whole.clone();
    for i in 0..40 {
        let label = i as u16 % 3;
        whole.enrol(label, &point(i)).unwrap();
        if i < 23 {
            first.enrol(label, &point(i)).unwrap();
        } else {
            // Called otherwise there.
            second.enrol(label + 10, &point(i)).unwrap();
        }
    }
    first.merge(&second, |label| label - 10).unwrap();
    assert_eq!(first, whole);

    second.enrol_exemplar(5, &point(1)).unwrap();
    first
        .merge(&second, |label| if label == 5 { 5 } else { label - 10 })
        .unwrap();
    let last = first.entries().last().unwrap();
    assert!(last.is_exemplar() && last.label() == 5);
    assert_eq!(first.entries()[0].examples(), 14 + 6);

    let full = first.merge(&second, |label| label);
    assert_eq!(full, Err(GalleryError::Full { capacity: 4 }));
    let other = Gallery::<2, 4>::for_fingerprint(8);
    let found = first.merge(&other, |label| label);
    assert_eq!(found, Err(GalleryError::OtherModel));
}

#[test]
fn a_mean_of_too_many_examples_is_refused() {
    let mut gallery = Gallery::<1, 1>::for_fingerprint(0);
    for _ in 0..40_000 {
        gallery.enrol(0, &Embedding([i16::MIN])).unwrap();
    }
    let before = gallery.clone();
    let error = gallery.merge(&before, |label| label).unwrap_err();
    assert_eq!((error, gallery), (GalleryError::Examples, before));
}
