//! Numbers and words of errors: in the library, the header, the page, and the core.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CStr;

use siamese_c::Error;
use siamese_c::error::siamese_error_text;
use siamese_core::gallery::{GalleryError, LoadError, NoRoom};
use siamese_core::model::Layout;
use siamese_core::preprocess::PictureError;
use siamese_core::{ModelError, SizeError};

use common::text;

/// `SIAMESE_ERROR_NOT_INITIALISED` of `NotInitialised`.
fn name_in_c(error: Error) -> String {
    let mut name = String::from("SIAMESE_ERROR");
    for letter in format!("{error:?}").chars() {
        if letter.is_uppercase() {
            name.push('_');
        }
        name.extend(letter.to_uppercase());
    }
    name
}

/// Names and numbers of all errors.
fn all() -> BTreeMap<String, i32> {
    let all = Error::ALL
        .iter()
        .map(|&error| (name_in_c(error), error.number()));
    all.collect()
}

#[test]
fn the_header_has_every_error_with_its_number() {
    let header = text("siamese-c/include/siamese.h");
    let found: BTreeMap<String, i32> = header
        .lines()
        .filter_map(|line| {
            let (name, rest) = line.trim().split_once(" = ")?;
            let number = rest.split(|c: char| !c.is_ascii_digit()).next()?;
            name.starts_with("SIAMESE_ERROR_")
                .then(|| (name.into(), number.parse().unwrap()))
        })
        .collect();
    assert_eq!(found, all());
    assert!(header.contains("    SIAMESE_OK = 0,\n"));
}

#[test]
fn the_page_has_every_error_with_its_number_and_words() {
    let page = text("docs/c-and-cpp.md");
    let rows: Vec<&str> = page
        .lines()
        .filter(|line| line.contains("`SIAMESE_ERROR_"))
        .filter(|line| line.starts_with('|'))
        .collect();
    let expected: Vec<String> = Error::ALL
        .iter()
        .map(|&error| format!("| {} | `{}` | {error} |", error.number(), name_in_c(error)))
        .collect();
    assert_eq!(rows, expected, "\n{}\n", expected.join("\n"));
}

#[test]
fn every_number_has_words_of_its_own() {
    let words = |number: i32| {
        // SAFETY: the function's promise: a string, whatever the number.
        let text = unsafe { CStr::from_ptr(siamese_error_text(number)) };
        text.to_str().unwrap()
    };
    let mut seen = BTreeSet::new();
    for &error in Error::ALL {
        assert_eq!(words(error.number()), error.to_string());
        assert_eq!(Error::of_number(error.number()), Some(error));
        assert!(error.number() > 0 && seen.insert(words(error.number())));
        assert!(words(error.number()).is_ascii());
    }
    assert_eq!(words(0), "no error");
    for unknown in [-1, 8, 1000, i32::MIN, i32::MAX] {
        assert_eq!(words(unknown), "there is no error of this number");
        assert_eq!(Error::of_number(unknown), None);
    }
}

/// The numbers of all kinds of one enum, if the list names each kind once.
fn numbers<E: Copy + Into<Error> + std::fmt::Debug>(
    file: &str,
    name: &str,
    kinds: &[E],
) -> Vec<i32> {
    let source = text(file);
    let (_, after) = source.split_once(&format!("pub enum {name} {{\n")).unwrap();
    let (body, _) = after.split_once("\n}").unwrap();
    let variants: BTreeSet<&str> = body
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()))
        .map(|line| {
            line.split(|c: char| !c.is_alphanumeric())
                .next()
                .unwrap_or("")
        })
        .collect();
    let words: Vec<String> = kinds.iter().map(|kind| format!("{kind:?}")).collect();
    let listed: BTreeSet<&str> = words
        .iter()
        .map(|word| {
            word.split(|c: char| !c.is_alphanumeric())
                .next()
                .unwrap_or("")
        })
        .collect();
    assert_eq!(variants, listed, "the kinds of {name}");
    assert_eq!(kinds.len(), variants.len(), "{name}");
    kinds.iter().map(|&kind| kind.into().number()).collect()
}

#[test]
fn no_two_kinds_of_the_core_have_the_same_number() {
    let (layer, row, expected, found) = (0, 0, 0, 0);
    let model = [
        ModelError::NotAModel,
        ModelError::Version { found: 1 },
        ModelError::UnknownLayout { found: 9 },
        ModelError::Truncated { expected, found },
        ModelError::TrailingBytes { expected, found },
        ModelError::Checksum {
            expected: 0,
            found: 0,
        },
        ModelError::Header,
        ModelError::Sizes,
        ModelError::Padding,
        ModelError::Weight { layer, row },
        ModelError::Requantise { layer, row },
        ModelError::Overflow { layer, row },
        ModelError::Packing { layer, row },
        ModelError::Layout {
            found: Layout::Quads,
        },
        ModelError::Misaligned,
        ModelError::Fingerprint {
            expected: 0,
            found: 0,
        },
        ModelError::Unprivileged,
        ModelError::WeightBits { found: 3 },
    ];
    let size = [
        SizeError::Image { expected, found },
        SizeError::Dimension { model: 0, asked: 0 },
        SizeError::Buffers {
            needed: (0, 0),
            found: (0, 0),
        },
    ];
    let gallery = [
        GalleryError::Full { capacity: 0 },
        GalleryError::Examples,
        GalleryError::NotEnrolled { label: 0 },
        GalleryError::OtherModel,
    ];
    let capacity = 0;
    let load = [
        LoadError::NotAGallery,
        LoadError::Version { found: 1 },
        LoadError::Truncated { expected, found },
        LoadError::TrailingBytes { expected, found },
        LoadError::Checksum,
        LoadError::Contents,
        LoadError::Dimension { found: 0, expected },
        LoadError::OtherModel {
            expected: 0,
            found: 0,
        },
        LoadError::Capacity { found, capacity },
    ];
    let picture = [
        PictureError::Blank,
        PictureError::Empty,
        PictureError::Pixels {
            expected: 0,
            found: 0,
        },
        PictureError::TooLarge { pixels: 0, room: 0 },
    ];
    let core = "siamese-core/src";
    let mut all = vec![Error::from(NoRoom { needed: 0 }).number()];
    all.extend(numbers(&format!("{core}/error.rs"), "ModelError", &model));
    all.extend(numbers(&format!("{core}/error.rs"), "SizeError", &size));
    let file = format!("{core}/gallery/mod.rs");
    all.extend(numbers(&file, "GalleryError", &gallery));
    let file = format!("{core}/gallery/stored.rs");
    all.extend(numbers(&file, "LoadError", &load));
    let file = format!("{core}/preprocess/mod.rs");
    all.extend(numbers(&file, "PictureError", &picture));
    let distinct: BTreeSet<i32> = all.iter().copied().collect();
    assert_eq!(distinct.len(), all.len(), "{all:?}");
    assert!(!distinct.contains(&Error::Other.number()));
}
