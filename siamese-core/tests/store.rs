//! Galleries in a flash that loses power, tears words, fails reads and rots.

mod common;

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::fixed_parts;
use common::flash::{
    CAPACITY, END, ERASE, SLOT, START, Small, TEARS, Words, empty, history, load, moments, save,
    works_again,
};
use embedded_storage::nor_flash::{NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};
use proptest::prelude::*;
use siamese_core::checksum::checksum;
use siamese_core::gallery::test_flash::{Fault, Tear, TestFlash};
use siamese_core::gallery::{
    AsyncGalleryStore, Gallery, GalleryStore, LoadError, Saved, StoreError, Thresholds,
};
use siamese_core::{Embedding, Model};

/// Power cuts at every word and every unit of every save of the history.
fn cuts<const W: usize>(start: &Words<W>, twice: bool) -> usize {
    let mut cases = 0;
    for ecc in [false, true] {
        for (moment, (before, old, new)) in moments(start.clone()).enumerate() {
            for tear in TEARS {
                for after in 0.. {
                    let mut flash = before.clone();
                    flash.set_ecc(ecc);
                    flash.cut_power(after, tear);
                    let saved = save(&mut flash, &new);
                    if !flash.is_off() {
                        assert!(saved.is_ok());
                        break;
                    }
                    cases += 1;
                    let context = format!("{W}, ecc {ecc}, save {moment}, {tear:?} after {after}");
                    flash.restore_power();
                    let found = load(&mut flash);
                    let found = found.unwrap_or_else(|error| panic!("{context}: {error}"));
                    assert!(
                        found == old || found.as_ref() == Some(&new),
                        "{context}: {found:?}"
                    );
                    works_again(flash.clone(), &new, &context);
                    if twice && tear != Tear::After {
                        cases += cut_again(&flash, &found, &new, &context);
                    }
                }
            }
        }
    }
    cases
}

/// Power cuts at every step of the save after the one that was cut.
fn cut_again<const W: usize>(
    before: &Words<W>,
    old: &Option<Small>,
    new: &Small,
    context: &str,
) -> usize {
    let mut cases = 0;
    for tear in [Tear::Before, Tear::Half(5), Tear::Bits(6)] {
        for after in 0.. {
            let mut flash = before.clone();
            flash.cut_power(after, tear);
            let saved = save(&mut flash, new);
            if !flash.is_off() {
                assert!(saved.is_ok());
                break;
            }
            cases += 1;
            flash.restore_power();
            let found = load(&mut flash).unwrap();
            assert!(
                found == *old || found.as_ref() == Some(new),
                "{context}, then {tear:?} after {after}: {found:?}"
            );
            works_again(flash, new, context);
        }
    }
    cases
}

/// All writes are at most one a word, since the test flash allows no more.
#[test]
#[cfg_attr(miri, ignore = "safe code, in so many cases that Miri takes hours")]
fn power_may_fail_at_every_word_and_every_unit() {
    let cases = [
        cuts(&Words::<1>::new(), false),
        cuts(&Words::<4>::new(), false),
        cuts(&Words::<8>::new(), false),
        cuts(&Words::<16>::new(), false),
        cuts(&Words::<32>::new(), true),
        cuts(&Words::<64>::new(), true),
    ];
    println!("power cuts with words of 1, 4, 8, 16, 32, 64 bytes: {cases:?}");
    assert!(cases.iter().sum::<usize>() > 30_000);
    assert!(cases.iter().all(|&cases| cases > 500), "{cases:?}");
}

#[test]
#[cfg_attr(miri, ignore = "safe code, in so many cases that Miri takes hours")]
fn a_range_that_others_have_used_is_empty() {
    let text: [u8; CAPACITY] = std::array::from_fn(|at| b"SGAL\x02what is this\xFF"[at % 18]);
    let noise: [u8; CAPACITY] = std::array::from_fn(|at| (at * at % 251) as u8);
    let mut cases = 0;
    for bytes in [[0; CAPACITY], text, noise] {
        let mut flash = Words::<8>::holding(bytes);
        assert_eq!(load(&mut flash), Ok(None));
        cases += cuts(&flash, false);
        works_again(flash, &history()[3], "others");
    }
    let mut unreadable = Words::<8>::new();
    unreadable.spoil(0..CAPACITY);
    assert_eq!(load(&mut unreadable), Ok(None));
    cases += cuts(&unreadable, false);
    works_again(unreadable, &history()[3], "unreadable");
    println!("power cuts on flash that others have used: {cases}");
    assert!(cases > 5_000);
}

/// A read that fails once, and one that fails until its unit is erased.
#[test]
#[cfg_attr(miri, ignore = "safe code, in so many cases that Miri takes hours")]
fn any_read_may_fail() {
    let mut cases = 0;
    for (moment, (before, old, new)) in moments(Words::<8>::new()).enumerate() {
        for after in 0.. {
            let mut flash = before.clone();
            flash.fail_read(after);
            let reads = flash.counts().reads;
            let saved = save(&mut flash, &new);
            if flash.counts().reads - reads <= after {
                break;
            }
            cases += 1;
            let context = format!("save {moment}, read {after}");
            let found = load(&mut flash).unwrap();
            match saved {
                Ok(_) => assert_eq!(found, Some(new.clone()), "{context}"),
                // It was written, and couldn't be read back.
                Err(error) => {
                    assert_eq!(error, StoreError::Flash(Fault::Unreadable));
                    assert!(found == old || found.as_ref() == Some(&new), "{context}");
                }
            }
            works_again(flash, &new, &context);
        }
        for after in 0.. {
            let mut flash = before.clone();
            flash.fail_read(after);
            let reads = flash.counts().reads;
            let found = load(&mut flash).unwrap();
            if flash.counts().reads - reads <= after {
                assert_eq!(found, old);
                break;
            }
            cases += 1;
            let known = found.as_ref().is_none_or(|found| history().contains(found));
            assert!(known, "load {moment}, read {after}: {found:?}");
            // What is there is still there.
            assert_eq!(load(&mut flash), Ok(old.clone()));
        }
        for word in (START..END).step_by(8) {
            let mut flash = before.clone();
            flash.spoil(word..word + 8);
            cases += 1;
            let found = load(&mut flash).unwrap();
            let known = found.as_ref().is_none_or(|found| history().contains(found));
            assert!(known, "spoilt at {word}: {found:?}");
            let context = format!("save {moment}, spoilt at {word}");
            works_again(flash, &new, &context);
        }
    }
    println!("failing reads: {cases}");
    assert!(cases > 3_000);
}

#[test]
fn any_write_or_erasure_may_fail() {
    let mut cases = 0;
    for (moment, (before, old, new)) in moments(Words::<4>::new()).enumerate() {
        for after in 0.. {
            let mut flash = before.clone();
            flash.fail_write(after);
            let saved = save(&mut flash, &new);
            let counts = (flash.counts(), before.counts());
            if counts.0.writes + counts.0.erases - counts.1.writes - counts.1.erases <= after {
                break;
            }
            cases += 1;
            let context = format!("save {moment}, write {after}");
            match saved {
                Ok(_) => assert_eq!(load(&mut flash), Ok(Some(new.clone())), "{context}"),
                Err(error) => {
                    assert_eq!(error, StoreError::Flash(Fault::NotErased));
                    assert_eq!(load(&mut flash), Ok(old.clone()), "{context}");
                }
            }
            works_again(flash, &new, &context);
        }
    }
    println!("failing writes and erasures: {cases}");
    assert!(cases > 20);
}

#[test]
#[cfg_attr(miri, ignore = "safe code, in so many cases that Miri takes hours")]
fn any_bit_may_rot() {
    let mut cases = 0;
    for (moment, (before, old, new)) in moments(Words::<8>::new()).enumerate() {
        let mut results = HashSet::new();
        for at in START..END {
            for bit in 0..8 {
                let mut flash = before.clone();
                flash.rot(at, 1 << bit);
                cases += 1;
                let found = load(&mut flash).unwrap();
                let known = found.as_ref().is_none_or(|found| history().contains(found));
                assert!(known, "bit {bit} of {at}: {found:?}");
                results.insert(found == old);
                if bit == at % 8 {
                    works_again(flash, &new, &format!("save {moment}, bit {bit} of {at}"));
                }
            }
        }
        // Some bits matter, and most don't.
        assert_eq!(results.len(), 1 + usize::from(moment > 0));
    }
    println!("rotten bits: {cases}");
    assert!(cases > 100_000);
}

#[test]
fn a_damaged_record_leaves_those_before_it() {
    let states = history();
    let mut flash = Words::<4>::new();
    let mut ends = Vec::new();
    for state in &states[..4] {
        save(&mut flash, state).unwrap();
        let used = flash.bytes()[START..END]
            .iter()
            .rposition(|&byte| byte != 0xFF);
        ends.push(START + used.unwrap());
    }
    for (number, &end) in ends.iter().enumerate() {
        // The checksum's last byte, or a word that can't be read.
        for spoil in [false, true] {
            let mut damaged = flash.clone();
            if spoil {
                damaged.spoil(end..end + 1);
            } else {
                damaged.rot(end, 1);
            }
            let left = number.checked_sub(1).map(|number| states[number].clone());
            assert_eq!(load(&mut damaged), Ok(left));
        }
    }
    // The first record of a slot is damaged: the other slot serves.
    let mut flash = Words::<4>::new();
    let mut last = 0;
    let mut turned = false;
    for (number, state) in states.iter().enumerate() {
        let saved = save(&mut flash, state).unwrap();
        if number > 0 && saved.erased > 0 && flash.bytes()[START + SLOT] != 0xFF {
            last = number;
            turned = true;
            break;
        }
    }
    assert!(turned);
    flash.rot(START + SLOT, 1);
    assert_eq!(load(&mut flash), Ok(Some(states[last - 1].clone())));
}

/// Records as the module of the stored form describes them, with a generation.
fn record(gallery: &Small, generation: u64) -> Vec<u8> {
    let mut buffer = [0; Small::STORED_MAX];
    let mut bytes = gallery.to_bytes(&mut buffer).unwrap().to_vec();
    bytes[16..24].copy_from_slice(&generation.to_le_bytes());
    reseal(&mut bytes);
    bytes
}

/// Makes length and checksum right.
fn reseal(bytes: &mut [u8]) {
    let body = bytes.len() - 4;
    let length = bytes.len() as u32;
    bytes[5..9].copy_from_slice(&length.to_le_bytes());
    let crc = checksum(&bytes[..body]);
    bytes[body..].copy_from_slice(&crc.to_le_bytes());
}

/// A flash that holds such records at the starts of its slots.
fn holding(slots: [&[u8]; 2]) -> Words<4> {
    let mut bytes = [0xFF; CAPACITY];
    for (slot, record) in slots.into_iter().enumerate() {
        bytes[START + slot * SLOT..][..record.len()].copy_from_slice(record);
    }
    Words::holding(bytes)
}

#[test]
fn generations_are_serial_numbers() {
    let states = history();
    let half = 1u64 << 63;
    for (old, new) in [
        (0, 1),
        (0, 1000),
        (7, 7 + half - 1),
        (u64::MAX, 0),
        (u64::MAX - 5, 1 << 40),
        (half - 1, half),
        (half + 5, 3),
    ] {
        let (older, newer) = (record(&states[0], old), record(&states[1], new));
        for slots in [[&older[..], &newer], [&newer, &older]] {
            let mut flash = holding(slots);
            let context = format!("{old} and {new}");
            assert_eq!(load(&mut flash), Ok(Some(states[1].clone())), "{context}");
            works_again(flash, &states[2], &context);
        }
    }
    // One slot alone, whatever its generation.
    for generation in [0, 1, half, half + 5, u64::MAX] {
        let record = record(&states[0], generation);
        for slots in [[&record[..], &[]], [&[], &record]] {
            let mut flash = holding(slots);
            assert_eq!(load(&mut flash), Ok(Some(states[0].clone())));
            works_again(flash, &states[2], "one slot");
        }
    }
    // Also within a slot: what isn't later was left by an earlier turn.
    for (first, second, is_later) in [
        (5u64, 6u64, true),
        (u64::MAX, 0, true),
        (5, 5 + (1 << 40), true),
        (5, 5, false),
        (6, 5, false),
        (0, u64::MAX, false),
    ] {
        let mut both = record(&states[0], first);
        assert!(both.len().is_multiple_of(4));
        both.extend(record(&states[1], second));
        let found = &states[usize::from(is_later)];
        let mut flash = holding([&both, &[]]);
        assert_eq!(load(&mut flash), Ok(Some(found.clone())));
        works_again(flash, &states[2], "a log");
    }
}

#[test]
fn many_turns_go_on_for_ever() {
    let mut flash = Words::<16>::new();
    // Shortly before the wrap, in the middle of the log.
    let states = history();
    let mut bytes = *flash.bytes();
    let first = record(&states[0], u64::MAX - 3 * (1 << 32));
    bytes[START..][..first.len()].copy_from_slice(&first);
    flash = Words::holding(bytes);
    let mut gallery = states[0].clone();
    for step in 0..500u32 {
        gallery
            .enrol((step % 3) as u16, &Embedding([step as i16, 1]))
            .unwrap();
        save(&mut flash, &gallery).unwrap();
        assert_eq!(load(&mut flash), Ok(Some(gallery.clone())), "{step}");
    }
}

#[test]
fn what_was_not_changed_is_not_written() {
    let mut flash = Words::<8>::new();
    for state in history() {
        let saved = save(&mut flash, &state).unwrap();
        assert!(saved.written > 0);
        let before = flash.clone();
        for _ in 0..3 {
            let unchanged = Saved {
                written: 0,
                erased: 0,
            };
            assert_eq!(save(&mut flash, &state), Ok(unchanged));
        }
        assert_eq!(flash.bytes(), before.bytes());
        assert_eq!(flash.counts().writes, before.counts().writes);
        assert_eq!(flash.counts().erases, before.counts().erases);
    }
    // An empty one is one, too.
    let mut flash = Words::<8>::new();
    assert!(save(&mut flash, &empty()).unwrap().written > 0);
    assert_eq!(save(&mut flash, &empty()).unwrap().written, 0);
    assert_eq!(load(&mut flash), Ok(Some(empty())));
}

#[test]
fn nothing_outside_the_range_is_touched() {
    let mut flash = Words::<8>::holding([0x5A; CAPACITY]);
    for state in history() {
        save(&mut flash, &state).unwrap();
        assert!(flash.bytes()[..START].iter().all(|&byte| byte == 0x5A));
        assert!(flash.bytes()[END..].iter().all(|&byte| byte == 0x5A));
    }
}

/// What is reported is what was done.
#[test]
fn a_save_reports_its_bytes() {
    let mut flash = Words::<8>::new();
    for state in history() {
        let before = flash.counts();
        let saved = save(&mut flash, &state).unwrap();
        let words = flash.counts().words_written - before.words_written;
        let units = flash.counts().units_erased - before.units_erased;
        assert_eq!(saved.written, 8 * words);
        assert_eq!(saved.erased, ERASE as u32 * units);
    }
}

/// Enrolments into a full gallery of 32 prototypes of 16 coordinates: erasures,
/// bytes written, and the largest save after the first.
fn enrolments<const W: usize, const E: usize, const C: usize>() -> (u32, u32, u32) {
    let mut flash = TestFlash::<1, W, E, C>::new();
    let mut gallery = Gallery::<16, 32>::for_fingerprint(1);
    for label in 0..32 {
        gallery
            .enrol(label, &Embedding([label as i16; 16]))
            .unwrap();
    }
    let mut store = GalleryStore::new(&mut flash, 0..C as u32).unwrap();
    store.save(&gallery).unwrap();
    let (mut erasing, mut written, mut small) = (0, 0, u32::MAX);
    for step in 0..1000i16 {
        gallery
            .enrol((step % 32) as u16, &Embedding([step; 16]))
            .unwrap();
        let saved = store.save(&gallery).unwrap();
        erasing += u32::from(saved.erased > 0);
        written += saved.written;
        small = small.min(saved.written);
    }
    let mut found = Gallery::<16, 32>::for_fingerprint(1);
    assert_eq!(store.load(&mut found), Ok(true));
    assert_eq!(found, gallery);
    let units = flash.counts().units_erased;
    println!(
        "{W}-byte words, {C} bytes in units of {E}: 1000 enrolments erase {units} units in \
         {erasing} saves and write {written} bytes, mostly {small} at once"
    );
    (units, erasing, small)
}

#[test]
#[cfg_attr(miri, ignore = "safe code, in so many cases that Miri takes hours")]
fn an_enrolment_is_one_small_write() {
    let (units, _, small) = enrolments::<8, 4096, 8192>();
    assert!(units < 70, "{units}");
    assert_eq!(small, 120);
    let (units, erasing, _) = enrolments::<8, 2048, 8192>();
    assert!(units < 140 && erasing < 100, "{units}, {erasing}");
    let (_, erasing, small) = enrolments::<32, 4096, 8192>();
    assert!(erasing < 80, "{erasing}");
    assert_eq!(small, 128);
    // With more room, fewer.
    let (units, _, _) = enrolments::<4, 4096, 65536>();
    assert!(units < 40, "{units}");
}

#[test]
fn only_units_that_are_needed_are_erased() {
    let mut flash = TestFlash::<1, 4, 256, 65536>::new();
    let mut store = GalleryStore::new(&mut flash, 0..65536).unwrap();
    for state in history() {
        assert!(store.save(&state).unwrap().erased <= 256);
    }
    assert!(store.release().counts().units_erased <= 8);
}

#[test]
fn another_models_gallery_is_refused_and_replaced() {
    let file = fixed_parts().encode().unwrap();
    let model = Model::parse(&file).unwrap();
    let mut parts = fixed_parts();
    parts.layers[1].biases[0] += 1;
    let other = parts.encode().unwrap();
    let other = Model::parse(&other).unwrap();
    let mut flash = Words::<8>::new();
    let mut store = GalleryStore::new(&mut flash, START as u32..END as u32).unwrap();
    let mut theirs = Small::new(&other).unwrap();
    theirs.enrol(1, &Embedding([1, 2])).unwrap();
    theirs.set_user_thresholds(Thresholds {
        prototype: Some(5),
        pair: Some(6),
    });
    store.save(&theirs).unwrap();
    let (expected, found) = (model.fingerprint(), other.fingerprint());
    let error = StoreError::Load(LoadError::OtherModel { expected, found });
    let mut here = Small::new(&model).unwrap();
    here.enrol(3, &Embedding([4, 5])).unwrap();
    let mut loaded = here.clone();
    assert_eq!(store.load(&mut loaded), Err(error));
    assert!(loaded.entries().is_empty());
    assert_eq!(loaded.user_thresholds(), Thresholds::NONE);
    assert!(error.to_string().contains("another model"), "{error}");

    // It is replaced, also in the same log, and the other way round; also by the same
    // entries.
    let mut same = Small::new(&other).unwrap();
    same.enrol(3, &Embedding([4, 5])).unwrap();
    for gallery in [&here, &theirs, &here, &theirs, &theirs, &here, &same, &here] {
        store.save(gallery).unwrap();
        let mut loaded = gallery.clone();
        loaded.forget(1);
        assert_eq!(store.load(&mut loaded), Ok(true));
        assert_eq!(loaded, *gallery);
    }
}

#[test]
fn a_gallery_of_another_size_is_refused_and_replaced() {
    let mut flash = TestFlash::<1, 4, 512, 2048>::new();
    let mut store = GalleryStore::new(&mut flash, 0..2048).unwrap();
    let mut large = Gallery::<2, 8>::for_fingerprint(1);
    for label in 0..8 {
        large.enrol(label, &Embedding([1, 2])).unwrap();
    }
    store.save(&large).unwrap();
    let error = LoadError::Capacity {
        found: 8,
        capacity: 4,
    };
    assert_eq!(store.load(&mut empty()), Err(StoreError::Load(error)));
    let mut wide = Gallery::<3, 4>::for_fingerprint(1);
    wide.enrol(1, &Embedding([1, 2, 3])).unwrap();
    let error = LoadError::Dimension {
        found: 2,
        expected: 3,
    };
    assert_eq!(store.load(&mut wide.clone()), Err(StoreError::Load(error)));

    // A smaller one that goes on where it was, and one of other coordinates.
    let small = history()[1].clone();
    store.save(&small).unwrap();
    let mut found = empty();
    assert_eq!(store.load(&mut found), Ok(true));
    assert_eq!(found, small);
    store.save(&wide).unwrap();
    let mut found = Gallery::<3, 4>::for_fingerprint(1);
    assert_eq!(store.load(&mut found), Ok(true));
    assert_eq!(found, wide);
    // The other one is no longer what is there.
    store.save(&small).unwrap();
    let mut found = empty();
    assert_eq!(store.load(&mut found), Ok(true));
    assert_eq!(found, small);
}

#[test]
fn what_a_version_has_stored_is_refused_by_its_number() {
    // Version 1, from before.
    let old = b"SGAL\x01\x1C\0\0\0fourfourtens".to_vec();
    let mut old = [&old[..], &[0; 7]].concat();
    reseal(&mut old);
    let mut flash = holding([&old, &[]]);
    let error = LoadError::Version { found: 1 };
    assert_eq!(load(&mut flash), Err(StoreError::Load(error)));
    assert!(error.to_string().contains("version 1"), "{error}");
    works_again(flash, &history()[2], "version 1");
    // What is there in this version counts.
    let record = record(&history()[1], 3);
    let mut flash = holding([&old, &record]);
    assert_eq!(load(&mut flash), Ok(Some(history()[1].clone())));
    // Damaged, it is nothing.
    old[12] ^= 1;
    assert_eq!(load(&mut holding([&old, &[]])), Ok(None));
}

#[test]
fn records_that_no_save_writes_are_refused() {
    let states = history();
    let refused = |bytes: &[u8]| load(&mut holding([bytes, &[]]));
    let contents = Err(StoreError::Load(LoadError::Contents));
    // A first record that lists its entry beyond a gap.
    let mut gap = record(&states[0], 1);
    gap[40] = 2;
    gap[44] = 1;
    reseal(&mut gap);
    assert_eq!(refused(&gap), contents);
    // One whose number of entries is not reached.
    let mut few = record(&states[0], 1);
    few[40] = 2;
    reseal(&mut few);
    assert_eq!(refused(&few), contents);
    // A second prototype of a label, in a record of its own.
    let mut twins = record(&states[0], 1);
    let mut second = record(&states[0], 2);
    second[40] = 2;
    second[44] = 1;
    reseal(&mut second);
    twins.extend(second);
    assert_eq!(refused(&twins), contents);
    works_again(holding([&twins, &[]]), &states[2], "twins");
    // The same as an exemplar is what a save writes.
    let mut pair = record(&states[0], 1);
    let mut second = record(&states[0], 2);
    second[40] = 2;
    second[44] = 1;
    second[50] = 0;
    reseal(&mut second);
    pair.extend(second);
    let mut expected = states[0].clone();
    let entry = expected.entries()[0];
    expected
        .enrol_exemplar(entry.label(), &entry.point())
        .unwrap();
    assert_eq!(refused(&pair), Ok(Some(expected)));
    // A mean that is none of its examples, in one of two entries: both are written.
    let two = &states[1];
    assert_eq!(two.entries().len(), 2);
    let mut impossible = record(two, 1);
    impossible[48 + 12 + 4 + 4] ^= 0x40;
    reseal(&mut impossible);
    let mut flash = Words::<4>::new();
    flash.write(START as u32, &impossible).unwrap();
    assert_eq!(load(&mut flash), contents);
    save(&mut flash, two).unwrap();
    assert_eq!(load(&mut flash), Ok(Some(two.clone())));
    // One that builds upon nothing, later than a whole one of the other slot.
    let mut orphan = record(&empty(), 2);
    orphan[40] = 1;
    orphan[44] = 1;
    reseal(&mut orphan);
    let mut flash = holding([&orphan, &record(&states[0], 1)]);
    assert_eq!(load(&mut flash), contents);
    works_again(flash, &states[0], "upon nothing");
}

#[test]
fn ranges_and_units_are_refused_in_words() {
    for (start, end) in [
        (1, 513),
        (0, 256),
        (0, 768),
        (128, 640),
        (256, 256),
        (512, 256),
        (0, 0),
        (1024, 2048),
        (0, u32::MAX),
        (u32::MAX, 0),
    ] {
        let flash = Words::<4>::new();
        let error = GalleryStore::new(flash, start..end)
            .map(|_| ())
            .unwrap_err();
        assert_eq!(error, StoreError::Range, "{start}..{end}");
        assert!(error.to_string().contains("two halves"), "{error}");
    }
    fn opens<const R: usize, const W: usize, const E: usize>() -> Result<(), StoreError<Fault>> {
        let flash = TestFlash::<R, W, E, 4096>::new();
        let mut store = GalleryStore::new(flash, 0..4096)?;
        let states = history();
        let mut appended = 0;
        for state in &states {
            let saved = store.save(state)?;
            appended += usize::from(saved.erased == 0);
            let mut found = empty();
            assert_eq!(store.load(&mut found), Ok(true));
            assert_eq!(&found, state);
        }
        assert!(appended > 0 || E < 128 || E < 2 * W, "{R}, {W}, {E}");
        assert_eq!(store.release().counts().overwrites, 0);
        Ok(())
    }
    assert_eq!(opens::<1, 1, 16>(), Ok(()));
    assert_eq!(opens::<1, 2, 64>(), Ok(()));
    assert_eq!(opens::<4, 1, 64>(), Ok(()));
    assert_eq!(opens::<4, 4, 4>(), Ok(()));
    assert_eq!(opens::<16, 4, 512>(), Ok(()));
    assert_eq!(opens::<1, 64, 1024>(), Ok(()));
    assert_eq!(opens::<1, 128, 2048>(), Ok(()));
    assert_eq!(opens::<1, 256, 1024>(), Ok(()));
    assert_eq!(opens::<256, 1, 2048>(), Ok(()));
    for units in [
        opens::<1, 512, 2048>(),
        opens::<512, 1, 2048>(),
        opens::<1, 3, 2048>(),
        opens::<3, 1, 2048>(),
        opens::<1, 24, 2048>(),
    ] {
        assert_eq!(units, Err(StoreError::Units));
    }
    let words = StoreError::<Fault>::Units.to_string();
    assert!(words.contains("256 bytes"), "{words}");
    // Half of the range is less than a unit, or a unit less than a word.
    assert_eq!(opens::<1, 4, 4096>(), Err(StoreError::Range));
    assert_eq!(opens::<1, 64, 32>(), Err(StoreError::Range));
    assert_eq!(opens::<1, 4, 96>(), Err(StoreError::Range));
}

#[test]
fn a_slot_that_is_too_small_is_refused_in_words() {
    let mut flash = TestFlash::<1, 4, 64, 512>::new();
    let mut store = GalleryStore::new(&mut flash, 0..256).unwrap();
    let mut large = Gallery::<2, 8>::for_fingerprint(1);
    for label in 0..6 {
        large.enrol(label, &Embedding([1000; 2])).unwrap();
        store.save(&large).unwrap();
    }
    let kept = large.clone();
    large.enrol(6, &Embedding([1; 2])).unwrap();
    let error = StoreError::Size {
        needed: 136,
        room: 128,
    };
    assert_eq!(store.save(&large), Err(error));
    assert!(error.to_string().contains("136 bytes"), "{error}");
    let mut found = Gallery::<2, 8>::for_fingerprint(1);
    assert_eq!(store.load(&mut found), Ok(true));
    assert_eq!(found, kept);
}

/// A flash whose writes and erasures do nothing.
#[derive(Debug)]
struct Protected(Words<4>);

impl embedded_storage::nor_flash::ErrorType for Protected {
    type Error = Fault;
}

impl ReadNorFlash for Protected {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Fault> {
        self.0.read(offset, bytes)
    }

    fn capacity(&self) -> usize {
        self.0.capacity()
    }
}

impl NorFlash for Protected {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = 256;

    fn erase(&mut self, _: u32, _: u32) -> Result<(), Fault> {
        Ok(())
    }

    fn write(&mut self, _: u32, _: &[u8]) -> Result<(), Fault> {
        Ok(())
    }
}

#[test]
fn the_test_flash_tells_its_faults() {
    let mut flash = Words::<8>::new();
    let end = CAPACITY as u32;
    for (fault, kind, words, found) in [
        (
            Fault::NotAligned,
            NorFlashErrorKind::NotAligned,
            "multiple of the unit",
            [flash.write(4, &[0; 8]), flash.erase(8, end)],
        ),
        (
            Fault::OutOfBounds,
            NorFlashErrorKind::OutOfBounds,
            "outside",
            [flash.write(end, &[0; 8]), flash.erase(0, 2 * end)],
        ),
    ] {
        assert_eq!(found, [Err(fault), Err(fault)]);
        assert_eq!(fault.kind(), kind);
        assert!(fault.to_string().contains(words), "{fault}");
    }
    // What a power cut has torn can't be read on flash with error correction.
    for ecc in [false, true] {
        let mut flash = Words::<8>::new();
        flash.set_ecc(ecc);
        flash.cut_power(0, Tear::Half(1));
        assert_eq!(flash.write(0, &[0; 8]), Err(Fault::PowerLost));
        assert_eq!(flash.read(0, &mut [0]), Err(Fault::PowerLost));
        assert_eq!(Fault::PowerLost.kind(), NorFlashErrorKind::Other);
        flash.restore_power();
        let read = if ecc { Err(Fault::Unreadable) } else { Ok(()) };
        assert_eq!(flash.read(0, &mut [0]), read);
    }
}

#[test]
fn what_a_flash_holds_is_written_though_it_looks_erased() {
    let mut flash = Words::<8>::holding([0xFF; CAPACITY]);
    assert_eq!(flash.write(0, &[1; 8]), Err(Fault::NotErased));
    flash.erase(0, ERASE as u32).unwrap();
    assert_eq!(flash.write(0, &[1; 8]), Ok(()));
}

#[test]
fn a_flash_that_keeps_nothing_is_found_out() {
    let states = history();
    let older = [record(&states[0], 1), record(&states[1], 2)];
    let [first, second] = [&older[0], &older[1]].map(Vec::as_slice);
    // Whole records that are read back instead of the new one, too.
    for slots in [
        [&[][..], &[]],
        [first, &[]],
        [first, second],
        [second, first],
    ] {
        let flash = Protected(holding(slots));
        let mut store = GalleryStore::new(flash, START as u32..END as u32).unwrap();
        let error = store.save(&states[2]).unwrap_err();
        assert_eq!(error, StoreError::Verify);
        assert!(error.to_string().contains("doesn't hold"), "{error}");
    }
}

/// Waits for a future.
fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
}

static POLLED: AtomicUsize = AtomicUsize::new(0);

/// Polls a future so many times and drops it then; what it gave, if it was ready.
fn drop_after<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    for _ in 0..polls {
        POLLED.fetch_add(1, Ordering::Relaxed);
        if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return Some(value);
        }
    }
    None
}

#[test]
fn the_async_store_does_the_same() {
    let range = START as u32..END as u32;
    let mut cases = 0;
    for ecc in [false, true] {
        for (before, old, new) in moments(Words::<16>::new()) {
            for tear in TEARS {
                for after in 0.. {
                    let mut here = before.clone();
                    here.set_ecc(ecc);
                    here.cut_power(after, tear);
                    let mut there = here.clone();
                    let blocking = save(&mut here, &new);
                    let mut store = AsyncGalleryStore::new(&mut there, range.clone()).unwrap();
                    assert_eq!(wait(store.save(&new)), blocking);
                    assert_eq!(here.bytes(), there.bytes());
                    assert_eq!(here.counts(), there.counts());
                    there.restore_power();
                    let mut found = empty();
                    let mut store = AsyncGalleryStore::new(&mut there, range.clone()).unwrap();
                    let loaded = wait(store.load(&mut found)).unwrap().then_some(found);
                    assert!(loaded == old || loaded.as_ref() == Some(&new));
                    cases += 1;
                    if !here.is_off() {
                        break;
                    }
                }
            }
        }
    }
    println!("async against blocking: {cases}");
    assert!(cases > 1_000);
}

#[test]
fn an_async_save_may_be_dropped_at_any_time() {
    let range = START as u32..END as u32;
    let mut cases = 0;
    for (before, old, new) in moments(Words::<8>::new()) {
        for polls in 0.. {
            let mut flash = before.clone();
            let mut store = AsyncGalleryStore::new(&mut flash, range.clone()).unwrap();
            let saved = drop_after(polls, store.save(&new));
            let found = load(&mut flash).unwrap();
            if let Some(saved) = saved {
                assert!(saved.is_ok());
                assert_eq!(found, Some(new));
                break;
            }
            cases += 1;
            assert!(found == old || found.as_ref() == Some(&new));
            works_again(flash, &new, "dropped");
        }
    }
    println!("dropped futures: {cases}");
    assert!(cases > 200 && POLLED.load(Ordering::Relaxed) > cases);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Any enrolments, saves and power cuts: what is loaded is what was saved.
    #[test]
    fn save_then_load_is_the_identity(
        steps in proptest::collection::vec(
            (0u16..4, any::<[i16; 2]>(), 0u8..8, proptest::option::of((0u32..40, 0usize..6))),
            1..40,
        ),
        ecc in any::<bool>(),
    ) {
        let mut flash = Words::<8>::new();
        flash.set_ecc(ecc);
        let mut gallery = empty();
        let mut saved: Option<Small> = None;
        for (label, at, action, cut) in steps {
            match action {
                0 => drop(gallery.forget(label)),
                1 => drop(gallery.enrol_exemplar(label, &Embedding(at))),
                2 => gallery.set_user_thresholds(Thresholds {
                    prototype: (at[0] > 0).then_some(u64::from(at[1].unsigned_abs())),
                    pair: (at[1] > 0).then_some(3),
                }),
                _ => drop(gallery.enrol(label, &Embedding(at))),
            }
            if let Some((after, tear)) = cut {
                flash.cut_power(after, TEARS[tear]);
            }
            let result = save(&mut flash, &gallery);
            flash.restore_power();
            let found = load(&mut flash).unwrap();
            match result {
                Ok(_) => prop_assert_eq!(found.as_ref(), Some(&gallery)),
                Err(_) => prop_assert!(found == saved || found.as_ref() == Some(&gallery)),
            }
            saved = found;
        }
        prop_assert!(save(&mut flash, &gallery).is_ok());
        prop_assert_eq!(load(&mut flash).unwrap(), Some(gallery));
    }

    #[test]
    fn no_flash_contents_can_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        seal in any::<bool>(),
    ) {
        let mut record = b"SGAL\x02".to_vec();
        record.extend(&bytes);
        if seal && record.len() > 13 {
            record[10] = 2;
            record[11] = 0;
            reseal(&mut record);
        }
        let mut flash = holding([&record, &[]]);
        let _ = load(&mut flash);
        let new = history()[1].clone();
        prop_assert!(save(&mut flash, &new).is_ok());
        prop_assert_eq!(load(&mut flash), Ok(Some(new)));
    }
}

/// Galleries that go back to what they were: what is compared must be all of the
/// log, or nothing.
#[test]
fn any_read_may_fail_while_a_change_is_undone() {
    let mut cases = 0;
    let states = history();
    let mut flash = Words::<8>::new();
    for (number, state) in states.iter().enumerate() {
        save(&mut flash, state).unwrap();
        let Some(undone) = number.checked_sub(1).map(|before| &states[before]) else {
            continue;
        };
        for after in 0.. {
            let mut flash = flash.clone();
            flash.fail_read(after);
            let reads = flash.counts().reads;
            let saved = save(&mut flash, undone);
            if flash.counts().reads - reads <= after {
                break;
            }
            cases += 1;
            let found = load(&mut flash).unwrap();
            let context = format!("save {number}, read {after}");
            match saved {
                Ok(_) => assert_eq!(found.as_ref(), Some(undone), "{context}"),
                Err(_) => assert!(found.is_some_and(|found| found == *undone || found == *state)),
            }
            works_again(flash, undone, &context);
        }
    }
    println!("failing reads while a change is undone: {cases}");
    assert!(cases > 200);
}

/// A log that leaves less of its slot than any record needs.
#[test]
fn a_full_slot_is_not_written_again_without_need() {
    let mut flash = Words::<4>::new();
    let mut gallery = empty();
    for label in 0..4 {
        gallery.enrol(label, &Embedding([1, 2])).unwrap();
    }
    let mut written = save(&mut flash, &gallery).unwrap().written;
    // From the first to the last entry that has changed.
    for last in [1, 1, 1, 1, 3] {
        for label in [0, last] {
            gallery.enrol(label, &Embedding([40, 50])).unwrap();
        }
        let saved = save(&mut flash, &gallery).unwrap();
        written += saved.written;
    }
    assert_eq!(written as usize, SLOT - 8);
    assert_eq!(save(&mut flash, &gallery).unwrap().written, 0);
    gallery.enrol(0, &Embedding([7, 7])).unwrap();
    let saved = save(&mut flash, &gallery).unwrap();
    assert_eq!((saved.written, saved.erased), (100, 256));
    works_again(flash, &gallery, "full");
}

#[test]
fn what_follows_a_log_is_mended_if_it_may_hide_something() {
    let mut gallery = empty();
    for label in 0..4 {
        gallery.enrol(label, &Embedding([1, 2])).unwrap();
    }
    // A unit that is full, and others' bytes in the next one: nothing is hidden.
    let mut flash = Words::<64>::holding([0x5A; CAPACITY]);
    for step in 0..3 {
        gallery.enrol(0, &Embedding([step, 2])).unwrap();
        save(&mut flash, &gallery).unwrap();
    }
    assert_ne!(flash.bytes()[START + ERASE - 64], 0xFF);
    assert_eq!(flash.bytes()[START + ERASE], 0x5A);
    assert_eq!(save(&mut flash, &gallery).unwrap().written, 0);
    // The log goes on there, whatever the unit holds, or if it can't be read.
    for spoil in [false, true] {
        let mut flash = flash.clone();
        if spoil {
            flash.spoil(START + ERASE..START + ERASE + 1);
        }
        gallery.enrol(0, &Embedding([3, 2])).unwrap();
        let saved = save(&mut flash, &gallery).unwrap();
        assert_eq!((saved.written, saved.erased), (64, 256));
        assert_eq!(load(&mut flash), Ok(Some(gallery.clone())));
    }

    // Something behind the log in its own unit: all goes to the other slot, once.
    let mut flash = Words::<64>::new();
    save(&mut flash, &gallery).unwrap();
    flash.rot(START + 128, 1);
    let saved = save(&mut flash, &gallery).unwrap();
    assert_eq!((saved.written, saved.erased), (128, 256));
    assert_eq!(save(&mut flash, &gallery).unwrap().written, 0);
    assert_eq!(load(&mut flash), Ok(Some(gallery.clone())));

    // The other slot can't be read: what may be there is left behind, once.
    let mut flash = Words::<64>::new();
    save(&mut flash, &gallery).unwrap();
    flash.spoil(START + SLOT..START + SLOT + 1);
    assert_eq!(save(&mut flash, &gallery).unwrap().written, 64);
    assert_eq!(save(&mut flash, &gallery).unwrap().written, 0);
    assert_eq!(load(&mut flash), Ok(Some(gallery.clone())));

    // Both slots can't be read: neither may come back with something later.
    flash.spoil(START..START + 1);
    flash.spoil(START + SLOT..START + SLOT + 1);
    let saved = save(&mut flash, &gallery).unwrap();
    assert_eq!((saved.written, saved.erased), (128, 512));
    assert_eq!(flash.bytes()[START + SLOT], 0xFF);
    assert_eq!(load(&mut flash), Ok(Some(gallery.clone())));

    // Behind the place of the next record nothing is read.
    let mut flash = Words::<4>::new();
    save(&mut flash, &gallery).unwrap();
    flash.spoil(START + 100 + 64..START + ERASE);
    gallery.enrol(0, &Embedding([5, 2])).unwrap();
    let saved = save(&mut flash, &gallery).unwrap();
    assert_eq!((saved.written, saved.erased), (64, 0));
    assert_eq!(load(&mut flash), Ok(Some(gallery.clone())));
}

#[test]
fn a_slot_is_filled_to_its_last_word() {
    let mut gallery = empty();
    for label in 0..4 {
        gallery.enrol(label, &Embedding([1, 2])).unwrap();
    }
    let mut flash = Words::<64>::new();
    assert_eq!(save(&mut flash, &gallery).unwrap().written, 128);
    for step in 0..6 {
        gallery.enrol(0, &Embedding([step, 2])).unwrap();
        assert_eq!(save(&mut flash, &gallery).unwrap().written, 64);
    }
    assert_eq!(flash.counts().units_erased, 2);
    assert!(
        flash.bytes()[START + SLOT..]
            .iter()
            .all(|&byte| byte == 0xFF)
    );
    gallery.enrol(0, &Embedding([9, 2])).unwrap();
    assert_eq!(save(&mut flash, &gallery).unwrap().written, 128);
    assert_ne!(flash.bytes()[START + SLOT], 0xFF);
}

/// What is left of a unit is too short for a record's head, and others' bytes follow.
#[test]
fn a_log_goes_on_across_the_end_of_a_unit() {
    let mut flash = Words::<4>::holding([0x5A; CAPACITY]);
    let mut gallery = empty();
    for label in 0..4 {
        gallery.enrol(label, &Embedding([1, 2])).unwrap();
    }
    let mut saves = Vec::new();
    for step in 0..4 {
        gallery.enrol(0, &Embedding([step, 2])).unwrap();
        let saved = save(&mut flash, &gallery).unwrap();
        saves.push((saved.written, saved.erased));
        assert_eq!(load(&mut flash), Ok(Some(gallery.clone())));
    }
    assert_eq!(saves, [(100, 256), (64, 0), (64, 0), (64, 256)]);
    assert_ne!(flash.bytes()[START + ERASE], 0x5A);
    assert_eq!(flash.bytes()[START + SLOT], 0x5A);
}

#[test]
fn a_gallery_may_fill_a_slot() {
    let mut gallery = Gallery::<2, 38>::for_fingerprint(1);
    for label in 0..38 {
        gallery.enrol(label, &Embedding([1, 2])).unwrap();
    }
    let mut flash = Words::<64>::new();
    let mut store = GalleryStore::new(&mut flash, START as u32..END as u32).unwrap();
    for step in 0..3 {
        gallery.enrol(0, &Embedding([step, 9])).unwrap();
        assert_eq!(store.save(&gallery).unwrap().written as usize, SLOT);
        let mut found = Gallery::for_fingerprint(1);
        assert_eq!(store.load(&mut found), Ok(true));
        assert_eq!(found, gallery);
    }
}

/// The first save goes to the slot that can be read, and then erases what can't, so that
/// nothing later may come back from there.
#[test]
fn the_first_save_chooses_its_slot() {
    let gallery = &history()[0];
    let (first, second) = (START, START + SLOT);
    // What can't be read, the slot that is written, what is erased before the record is
    // written, and after it; and what is erased after it if it must go to the other slot.
    for (spoilt, slot, after, after_fallback) in [
        (&[][..], first, 0, 0),
        (&[first][..], second, 256, 0),
        (&[second][..], first, 256, 0),
        (&[first, second][..], first, 256, 256),
    ] {
        for fails in [false, true] {
            let mut flash = Words::<64>::new();
            for &at in spoilt {
                flash.spoil(at..at + 1);
            }
            let other = if slot == first { second } else { first };
            let used = if fails { other } else { slot };
            if fails {
                // The write after the erasure.
                flash.fail_write(1);
            }
            let saved = save(&mut flash, gallery).unwrap();
            let erased = match fails {
                false => 256 + after,
                true => 512 + after_fallback,
            };
            assert_eq!((saved.written, saved.erased), (64, erased));
            assert_eq!(load(&mut flash), Ok(Some(gallery.clone())));
            let blank = |at: usize| flash.bytes()[at..][..SLOT].iter().all(|&byte| byte == 0xFF);
            assert!(!blank(used) && blank(first + second - used));
        }
    }
}

/// What must be erased before a record is longer than what is read at once.
#[test]
fn a_long_record_is_appended() {
    let mut flash = TestFlash::<1, 4, 4096, 8192>::new();
    let mut gallery = Gallery::<2, 60>::for_fingerprint(1);
    for step in 0..2 {
        for label in 0..60 {
            gallery.enrol(label, &Embedding([step * 3, 1])).unwrap();
        }
        let mut store = GalleryStore::new(&mut flash, 0..8192).unwrap();
        let saved = store.save(&gallery).unwrap();
        assert_eq!(saved.written, 52 + 60 * 12);
        assert_eq!(saved.erased, if step == 0 { 4096 } else { 0 });
        let mut found = Gallery::for_fingerprint(1);
        assert_eq!(store.load(&mut found), Ok(true));
        assert_eq!(found, gallery);
    }
    // All of the place is looked at, to its last byte.
    gallery.enrol(0, &Embedding([7, 7])).unwrap();
    gallery.enrol(59, &Embedding([7, 7])).unwrap();
    flash.rot(3 * 772 - 4, 1);
    let mut store = GalleryStore::new(&mut flash, 0..8192).unwrap();
    let saved = store.save(&gallery);
    let mut found = Gallery::for_fingerprint(1);
    assert_eq!(store.load(&mut found), Ok(true));
    assert!(saved.is_ok() && found == gallery);
    assert_eq!(flash.counts().overwrites, 0);
}
