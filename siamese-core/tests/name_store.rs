//! Names in a flash that loses power, tears words, fails reads and rots.

use std::collections::HashSet;

use embedded_storage::nor_flash::{ErrorType, NorFlash, ReadNorFlash};
use siamese_core::checksum::checksum;
use siamese_core::gallery::names::{NameError, Names};
use siamese_core::gallery::test_flash::{Fault, Tear, TestFlash};
use siamese_core::gallery::{AsyncNameStore, NameStore, Saved, StoreError};

const ERASE: usize = 64;
const CAPACITY: usize = 6 * ERASE;
/// The store's range: two halves of two units, with a unit of others on each side.
const START: usize = ERASE;
const END: usize = 5 * ERASE;
const HALF: usize = (END - START) / 2;

type Table = Names<4, 8>;
/// A flash with words of `W` bytes.
type Words<const W: usize> = TestFlash<1, W, ERASE, CAPACITY>;

const TEARS: [Tear; 6] = [
    Tear::Before,
    Tear::After,
    Tear::Half(1),
    Tear::Half(2),
    Tear::Bits(3),
    Tear::Bits(4),
];
const NOTHING: Saved = Saved {
    written: 0,
    erased: 0,
};

/// Tables as they follow each other on a device: names given, changed and taken away.
fn history() -> Vec<Table> {
    let mut names = Table::new();
    let mut states = Vec::new();
    for (label, name) in [
        (7, "cat"),
        (300, "Käse"),
        (0, "12345678"),
        (9, "abcdefgh"),
        (7, "12345"),
        (300, ""),
        (0, ""),
        (7, ""),
        (9, ""),
        (65_535, "x"),
    ] {
        match name {
            "" => assert!(names.remove(label)),
            _ => names.set(label, name).unwrap(),
        }
        states.push(names.clone());
    }
    states
}

fn save<const W: usize>(flash: &mut Words<W>, names: &Table) -> Result<Saved, StoreError<Fault>> {
    let mut store = NameStore::new(flash, START as u32..END as u32).unwrap();
    // What is in the buffer doesn't matter.
    store.save(names, &mut [0x5A; Table::SCRATCH])
}

fn load<const W: usize>(flash: &mut Words<W>) -> Result<Option<Table>, StoreError<Fault>> {
    // Something that must go.
    let mut found = Table::new();
    found.set(77, "gone").unwrap();
    let mut store = NameStore::new(flash, START as u32..END as u32).unwrap();
    let there = store.load(&mut found, &mut [0x5A; Table::SCRATCH])?;
    if !there {
        assert_eq!(found, Table::new());
    }
    Ok(there.then_some(found))
}

/// The flash before each save of the history, the table that it then holds, and the
/// one to be saved.
fn moments<const W: usize>(
    mut flash: Words<W>,
) -> impl Iterator<Item = (Words<W>, Option<Table>, Table)> {
    let mut old = None;
    history().into_iter().map(move |new| {
        let before = flash.clone();
        save(&mut flash, &new).unwrap();
        assert_eq!(load(&mut flash), Ok(Some(new.clone())));
        (before, old.replace(new.clone()), new)
    })
}

/// Whatever has happened, saving works again, and what was saved is loaded.
fn works_again<const W: usize>(mut flash: Words<W>, new: &Table, context: &str) {
    let mut other = Table::new();
    other.set(1, "other").unwrap();
    for names in [new, &other, new] {
        let saved = save(&mut flash, names);
        assert!(saved.is_ok(), "{context}: {saved:?}");
        assert_eq!(load(&mut flash), Ok(Some(names.clone())), "{context}");
    }
    assert_eq!(save(&mut flash, new), Ok(NOTHING), "{context}");
    assert_eq!(flash.counts().overwrites, 0, "{context}");
    assert_eq!(load(&mut flash), Ok(Some(new.clone())), "{context}");
    // Nobody else's bytes.
    let outside = [&flash.bytes()[..START], &flash.bytes()[END..]].concat();
    assert!(
        outside.iter().all(|&byte| byte == outside[0]),
        "{context}: outside"
    );
}

/// Power cuts at every word and every unit of every save of the history; and, if a table
/// is some words only, at every one of the save after that.
fn cuts<const W: usize>(start: &Words<W>) -> usize {
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
                    if W > 1 && tear != Tear::After {
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
    old: &Option<Table>,
    new: &Table,
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
        cuts(&Words::<1>::new()),
        cuts(&Words::<4>::new()),
        cuts(&Words::<8>::new()),
        cuts(&Words::<16>::new()),
        cuts(&Words::<32>::new()),
    ];
    println!("power cuts with words of 1, 4, 8, 16, 32 bytes: {cases:?}");
    assert!(cases.iter().sum::<usize>() > 75_000);
    assert!(cases.iter().all(|&cases| cases > 1_000), "{cases:?}");
}

#[test]
#[cfg_attr(miri, ignore = "safe code, in so many cases that Miri takes hours")]
fn a_range_that_others_have_used_is_empty() {
    let mut cases = 0;
    for bytes in [0x00, 0x53, 0xA5] {
        let mut flash = Words::<8>::holding([bytes; CAPACITY]);
        assert_eq!(load(&mut flash), Ok(None));
        cases += cuts(&flash);
        works_again(flash, &history()[3], "others");
    }
    let mut unreadable = Words::<8>::new();
    unreadable.spoil(START..END);
    assert_eq!(load(&mut unreadable), Ok(None));
    cases += cuts(&unreadable);
    works_again(unreadable, &history()[3], "unreadable");
    println!("power cuts on flash that others have used: {cases}");
    assert!(cases > 5_000);
}

/// A read that fails once, and words that can't be read until they are erased.
fn reads<const W: usize>() -> usize {
    let mut cases = 0;
    for (moment, (before, old, new)) in moments(Words::<W>::new()).enumerate() {
        // A new table is saved, or the one that is there once more, or the one before it,
        // which the other half has.
        let before_old = moment
            .checked_sub(2)
            .map(|number| history()[number].clone());
        let targets = [Some(&new), old.as_ref(), before_old.as_ref()];
        for target in targets.into_iter().flatten() {
            for after in 0.. {
                let mut flash = before.clone();
                flash.fail_read(after);
                let reads = flash.counts().reads;
                let saved = save(&mut flash, target);
                if flash.counts().reads - reads <= after {
                    break;
                }
                cases += 1;
                let context = format!("{W}, save {moment}, read {after}");
                let found = load(&mut flash).unwrap();
                match saved {
                    Ok(_) => assert_eq!(found.as_ref(), Some(target), "{context}"),
                    // It was written, and couldn't be read back.
                    Err(error) => {
                        assert_eq!(error, StoreError::Flash(Fault::Unreadable));
                        assert!(found == old || found.as_ref() == Some(target), "{context}");
                    }
                }
                works_again(flash, &new, &context);
            }
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
        for word in (START..END).step_by(W) {
            let mut flash = before.clone();
            flash.spoil(word..word + W);
            cases += 1;
            let found = load(&mut flash).unwrap();
            let known = found.as_ref().is_none_or(|found| history().contains(found));
            assert!(known, "spoilt at {word}: {found:?}");
            let context = format!("{W}, save {moment}, spoilt at {word}");
            works_again(flash, &new, &context);
        }
    }
    cases
}

#[test]
#[cfg_attr(miri, ignore = "safe code, in so many cases that Miri takes hours")]
fn any_read_may_fail() {
    let cases = [
        reads::<1>(),
        reads::<4>(),
        reads::<8>(),
        reads::<16>(),
        reads::<32>(),
    ];
    println!("failing reads with words of 1, 4, 8, 16, 32 bytes: {cases:?}");
    assert!(cases.iter().sum::<usize>() > 3_000, "{cases:?}");
}

/// A read fails once, and then the power goes: what is loaded is one that was saved, and
/// one of the last two unless the newest couldn't be read.
#[test]
fn a_read_may_fail_before_the_power_does() {
    let mut cases = 0;
    let mut kept = 0;
    for (before, old, new) in moments(Words::<8>::new()) {
        for read in 0..8 {
            for after in 0.. {
                let mut flash = before.clone();
                flash.fail_read(read);
                flash.cut_power(after, Tear::Half(7));
                let _ = save(&mut flash, &new);
                if !flash.is_off() {
                    break;
                }
                cases += 1;
                flash.restore_power();
                let found = load(&mut flash).unwrap();
                kept += usize::from(found == old || found.as_ref() == Some(&new));
                let known = found.as_ref().is_none_or(|found| history().contains(found));
                assert!(known, "{found:?}");
                works_again(flash, &new, "read, then power");
            }
        }
    }
    println!("failing reads before power cuts: {cases}, the last two kept in {kept}");
    assert!(cases > 500 && kept > cases / 2);
}

fn writes<const W: usize>() -> usize {
    let mut cases = 0;
    for (moment, (before, old, new)) in moments(Words::<W>::new()).enumerate() {
        for after in 0.. {
            let mut flash = before.clone();
            flash.fail_write(after);
            let saved = save(&mut flash, &new);
            let counts = (flash.counts(), before.counts());
            if counts.0.writes + counts.0.erases - counts.1.writes - counts.1.erases <= after {
                break;
            }
            cases += 1;
            let context = format!("{W}, save {moment}, write {after}");
            match saved {
                // Nothing was there, and the other half served.
                Ok(_) => {
                    assert_eq!(old, None, "{context}");
                    assert_eq!(load(&mut flash), Ok(Some(new.clone())), "{context}");
                }
                Err(error) => {
                    assert_eq!(error, StoreError::Flash(Fault::NotErased));
                    assert_eq!(load(&mut flash), Ok(old.clone()), "{context}");
                }
            }
            works_again(flash, &new, &context);
        }
    }
    cases
}

#[test]
fn any_write_or_erasure_may_fail() {
    let cases = [
        writes::<1>(),
        writes::<4>(),
        writes::<8>(),
        writes::<16>(),
        writes::<32>(),
    ];
    println!("failing writes and erasures with words of 1, 4, 8, 16, 32 bytes: {cases:?}");
    assert!(cases.iter().all(|&cases| cases >= 20), "{cases:?}");
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
                works_again(flash, &new, &format!("save {moment}, bit {bit} of {at}"));
            }
        }
        // Some bits matter, and most don't.
        assert_eq!(results.len(), 1 + usize::from(moment > 0));
    }
    println!("rotten bits: {cases}");
    assert!(cases > 20_000);
}

/// A half as the module of the store describes it.
fn half(names: &Table, generation: u64) -> Vec<u8> {
    let mut buffer = [0; Table::STORED_MAX];
    sealed(generation, names.to_bytes(&mut buffer).unwrap())
}

fn sealed(generation: u64, table: &[u8]) -> Vec<u8> {
    let generation = generation.to_le_bytes();
    let crc = checksum(&[&generation, table].concat()).to_le_bytes();
    [&generation[..], &crc, table].concat()
}

/// A flash that holds such halves.
fn holding(halves: [&[u8]; 2]) -> Words<4> {
    let mut bytes = [0xFF; CAPACITY];
    for (number, half) in halves.into_iter().enumerate() {
        bytes[START + number * HALF..][..half.len()].copy_from_slice(half);
    }
    Words::holding(bytes)
}

#[test]
fn halves_are_as_described() {
    let states = history();
    let mut flash = Words::<4>::new();
    for (number, state) in states.iter().enumerate() {
        let expected = half(state, number as u64 + 1);
        let stored = expected.len().next_multiple_of(4) as u32;
        let saved = save(&mut flash, state).unwrap();
        let erased = stored.next_multiple_of(ERASE as u32);
        let (written, first) = (stored, START + number % 2 * HALF);
        assert_eq!(saved, Saved { written, erased });
        assert_eq!(flash.bytes()[first..][..expected.len()], expected);
        // Again, nothing is done.
        assert_eq!(save(&mut flash, state), Ok(NOTHING));
    }
}

/// The first save leaves alone what can't be read now, as that may be all that there is;
/// should its own half fail, it takes the other one.
#[test]
fn the_first_save_chooses_its_half() {
    let names = &history()[0];
    let (first, second) = (START, START + HALF);
    for (spoilt, half) in [
        (&[][..], first),
        (&[first][..], second),
        (&[second][..], first),
        (&[first, second][..], first),
    ] {
        for fails in [false, true] {
            let mut flash = Words::<4>::new();
            for &at in spoilt {
                flash.spoil(at..at + 1);
            }
            if fails {
                flash.fail_write(1);
            }
            save(&mut flash, names).unwrap();
            assert_eq!(load(&mut flash), Ok(Some(names.clone())));
            let used = if fails { first + second - half } else { half };
            let blank = |at: usize| flash.bytes()[at..][..HALF].iter().all(|&byte| byte == 0xFF);
            assert!(
                !blank(used) && blank(first + second - used),
                "{spoilt:?}, {fails}"
            );
        }
    }
}

#[test]
fn generations_are_serial_numbers() {
    let states = history();
    let far = 1u64 << 63;
    for (old, new) in [
        (0, 1),
        (0, 1000),
        (7, 7 + far - 1),
        (u64::MAX, 0),
        (u64::MAX - 5, 1 << 40),
        (far - 1, far),
        (far + 5, 3),
    ] {
        let (older, newer) = (half(&states[0], old), half(&states[1], new));
        for halves in [[&older[..], &newer], [&newer, &older]] {
            let mut flash = holding(halves);
            let context = format!("{old} and {new}");
            assert_eq!(load(&mut flash), Ok(Some(states[1].clone())), "{context}");
            save(&mut flash, &states[2]).unwrap();
            assert_eq!(load(&mut flash), Ok(Some(states[2].clone())), "{context}");
            let next = half(&states[2], new.wrapping_add(1));
            let found = flash.bytes().windows(next.len()).any(|at| at == next);
            assert!(found, "{context}");
        }
    }
    // The generation of one table doesn't go with another one.
    let mut mixed = half(&states[0], 9);
    mixed[..8].copy_from_slice(&11u64.to_le_bytes());
    let newer = half(&states[1], 10);
    let mut flash = holding([&mixed, &newer]);
    assert_eq!(load(&mut flash), Ok(Some(states[1].clone())));
}

#[test]
fn what_does_not_suit_the_table_is_told() {
    let refused = |bytes: &[u8]| load(&mut holding([bytes, &[]])).map(drop);
    let mut large = Names::<6, 8>::new();
    for label in 0..5 {
        large.set(label, &format!("n{label}")).unwrap();
    }
    let mut buffer = [0; 200];
    let many = sealed(1, large.to_bytes(&mut buffer).unwrap());
    let full = StoreError::Names(NameError::Full { capacity: 4 });
    assert_eq!(refused(&many), Err(full));
    let mut long = Names::<1, 60>::new();
    long.set(1, "a name of more than eight bytes").unwrap();
    let long = sealed(1, long.to_bytes(&mut buffer).unwrap());
    let too_long = StoreError::Names(NameError::TooLong { most: 8 });
    assert_eq!(refused(&long), Err(too_long));
    assert!(too_long.to_string().contains("8 bytes"), "{too_long}");
    let mut longer = Names::<1, 90>::new();
    longer.set(1, &"x".repeat(90)).unwrap();
    let longer = sealed(1, longer.to_bytes(&mut buffer).unwrap());
    let no_room = NameError::NoRoom { needed: 118 };
    assert_eq!(refused(&longer), Err(StoreError::Names(no_room)));
    // Of a later version, and of lengths that none has.
    let mut later = half(&history()[0], 1)[12..].to_vec();
    later[4] = 2;
    let no_table = StoreError::Names(NameError::NoTable);
    assert_eq!(refused(&sealed(1, &later)), Err(no_table));
    for length in [0, 1, 9, 12, 4_000, u32::MAX - 11, u32::MAX] {
        let mut other = half(&history()[0], 1)[12..].to_vec();
        other[5..9].copy_from_slice(&length.to_le_bytes());
        assert_eq!(load(&mut holding([&sealed(1, &other), &[]])), Ok(None));
    }
    // A save replaces any of them.
    for bytes in [many, long, longer, sealed(1, &later)] {
        let mut bytes = [bytes, vec![0xFF; HALF]].concat();
        bytes.truncate(HALF);
        let mut flash = holding([&bytes, &[]]);
        save(&mut flash, &history()[1]).unwrap();
        assert_eq!(load(&mut flash), Ok(Some(history()[1].clone())));
        works_again(flash, &history()[2], "unsuited");
    }
}

#[test]
fn ranges_buffers_and_halves_are_refused_in_words() {
    for (start, end) in [(1, 257), (0, 64), (0, 192), (128, 128), (0, 1024)] {
        let error = NameStore::new(Words::<4>::new(), start..end).map(drop);
        assert_eq!(error.unwrap_err(), StoreError::Range, "{start}..{end}");
    }
    let flash = TestFlash::<1, 3, 64, 384>::new();
    let error = NameStore::new(flash, 0..384).map(drop).unwrap_err();
    assert_eq!(error, StoreError::Units);

    let states = history();
    let mut store = NameStore::new(Words::<4>::new(), 0..128).unwrap();
    let mut scratch = [0; Table::SCRATCH];
    store.save(&states[1], &mut scratch).unwrap();
    let mut full = Table::new();
    for label in 0..4 {
        full.set(label, &format!("{label:08}")).unwrap();
    }
    let (needed, room) = (72, 64);
    let size = StoreError::Size { needed, room };
    assert_eq!(store.save(&full, &mut scratch), Err(size));
    assert!(size.to_string().contains("72 bytes"), "{size}");
    let stored = half(&full, 1).len();
    assert_eq!(stored, Table::SCRATCH);
    for length in [0, 5, 12, stored - 1] {
        let needed = stored;
        let no_room = StoreError::Names(NameError::NoRoom { needed });
        let saved = store.save(&full, &mut scratch[..length]);
        assert_eq!(saved, Err(no_room), "{length}");
    }
    let mut found = Table::new();
    assert_eq!(store.load(&mut found, &mut scratch), Ok(true));
    assert_eq!(found, states[1]);
    let no_room = store.load(&mut found, &mut scratch[..20]).unwrap_err();
    let needed = half(&states[1], 1).len();
    assert_eq!(no_room, StoreError::Names(NameError::NoRoom { needed }));
    assert_eq!(found, Table::new());
    assert_eq!(store.release().counts().overwrites, 0);
}

/// A flash of larger units than a table.
#[test]
fn reads_and_words_may_be_large() {
    fn opens<const R: usize, const W: usize>() {
        let flash = TestFlash::<R, W, 1024, 2048>::new();
        let mut store = NameStore::new(flash, 0..2048).unwrap();
        let mut names = Names::<20, 40>::new();
        for label in 0..20 {
            names.set(label, &format!("{label:040}")).unwrap();
            let mut scratch = [0; Names::<20, 40>::SCRATCH];
            store.save(&names, &mut scratch).unwrap();
            let mut found = Names::new();
            assert_eq!(store.load(&mut found, &mut scratch), Ok(true));
            assert_eq!(found, names);
        }
        assert_eq!(store.release().counts().overwrites, 0);
    }
    opens::<1, 1>();
    opens::<4, 16>();
    opens::<256, 1>();
    opens::<1, 256>();
}

/// A flash whose writes do nothing.
#[derive(Debug)]
struct Protected;

impl ErrorType for Protected {
    type Error = Fault;
}

impl ReadNorFlash for Protected {
    const READ_SIZE: usize = 1;

    fn read(&mut self, _: u32, bytes: &mut [u8]) -> Result<(), Fault> {
        bytes.fill(0xFF);
        Ok(())
    }

    fn capacity(&self) -> usize {
        1024
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
fn a_flash_that_keeps_nothing_is_found_out() {
    let mut store = NameStore::new(Protected, 0..1024).unwrap();
    let saved = store.save(&history()[0], &mut [0; Table::SCRATCH]);
    assert_eq!(saved, Err(StoreError::Verify));
}

/// Polls a future so many times and drops it then; what it gave, if it was ready.
fn drop_after<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    for _ in 0..polls {
        if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return Some(value);
        }
    }
    None
}

/// Waits for a future.
fn wait<T>(future: impl Future<Output = T>) -> T {
    drop_after(usize::MAX, future).unwrap()
}

#[test]
fn the_async_store_does_the_same_and_may_be_dropped_at_any_time() {
    let range = START as u32..END as u32;
    let (mut same, mut dropped) = (0, 0);
    for (before, old, new) in moments(Words::<16>::new()) {
        for tear in TEARS {
            for after in 0.. {
                let mut here = before.clone();
                here.cut_power(after, tear);
                let mut there = here.clone();
                let blocking = save(&mut here, &new);
                let mut scratch = [0; Table::SCRATCH];
                let mut store = AsyncNameStore::new(&mut there, range.clone()).unwrap();
                assert_eq!(wait(store.save(&new, &mut scratch)), blocking);
                assert_eq!(here.bytes(), there.bytes());
                assert_eq!(here.counts(), there.counts());
                there.restore_power();
                let mut found = Table::new();
                let mut store = AsyncNameStore::new(&mut there, range.clone()).unwrap();
                let loaded = wait(store.load(&mut found, &mut scratch)).unwrap();
                let loaded = loaded.then_some(found);
                assert!(loaded == old || loaded.as_ref() == Some(&new));
                same += 1;
                if !here.is_off() {
                    break;
                }
            }
        }
        for polls in 0.. {
            let mut flash = before.clone();
            let mut scratch = [0; Table::SCRATCH];
            let mut store = AsyncNameStore::new(&mut flash, range.clone()).unwrap();
            let saved = drop_after(polls, store.save(&new, &mut scratch));
            let found = load(&mut flash).unwrap();
            if let Some(saved) = saved {
                assert!(saved.is_ok());
                assert_eq!(found, Some(new));
                break;
            }
            dropped += 1;
            assert!(found == old || found.as_ref() == Some(&new));
            works_again(flash, &new, "dropped");
        }
    }
    println!("async against blocking: {same}; dropped futures: {dropped}");
    assert!(same > 200 && dropped > 40);
}
