//! Galleries in a flash to which two things happen, one after the other.

mod common;

use common::flash::{
    END, ERASE, START, Small, TEARS, Words, empty, history, load, moments, save, works_again,
};
use siamese_core::Embedding;

/// The reads of one save, each of which fails once; then what the save made of it.
fn failing_reads<const W: usize>(
    before: &Words<W>,
    new: &Small,
) -> impl Iterator<Item = (u32, Words<W>)> {
    let mut whole = before.clone();
    save(&mut whole, new).unwrap();
    let reads = whole.counts().reads - before.counts().reads;
    (0..reads).map(|read| {
        let mut flash = before.clone();
        flash.fail_read(read);
        (read, flash)
    })
}

#[test]
#[cfg_attr(miri, ignore = "safe code, in so many cases that Miri takes hours")]
fn a_read_may_fail_before_the_power_does() {
    let mut cases = 0;
    for (moment, (before, old, new)) in moments(Words::<8>::new()).enumerate() {
        for (read, failing) in failing_reads(&before, &new) {
            for tear in TEARS {
                for after in 0.. {
                    let mut flash = failing.clone();
                    flash.cut_power(after, tear);
                    let saved = save(&mut flash, &new);
                    let off = flash.is_off();
                    flash.restore_power();
                    let context = format!("save {moment}, read {read}, {tear:?} after {after}");
                    let found = load(&mut flash).unwrap();
                    // Nobody hears of a save during which the power went.
                    if saved.is_ok() && !off {
                        assert_eq!(found, Some(new.clone()), "{context}");
                    } else {
                        assert!(found == old || found.as_ref() == Some(&new), "{context}");
                    }
                    works_again(flash, &new, &context);
                    if !off {
                        break;
                    }
                    cases += 1;
                }
            }
        }
    }
    println!("failing reads, then power cuts: {cases}");
    assert!(cases > 5_000);
}

/// What a save did to get round a fault isn't taken for newer by those after it.
#[test]
#[cfg_attr(miri, ignore = "safe code, in so many cases that Miri takes hours")]
fn a_write_may_fail_before_a_read_of_the_next_save_does() {
    let states = history();
    let mut cases = 0;
    for (moment, (before, _, new)) in moments(Words::<8>::new()).enumerate() {
        for write in 0..6 {
            let mut flash = before.clone();
            flash.fail_write(write);
            if save(&mut flash, &new).is_err() {
                continue;
            }
            flash.restore_power();
            let next = states.get(moment + 1).unwrap_or(&states[0]);
            for (read, mut flash) in failing_reads(&flash, next) {
                let saved = save(&mut flash, next);
                flash.restore_power();
                let context = format!("save {moment}, write {write}, then read {read}");
                let found = load(&mut flash).unwrap();
                assert!(
                    found.as_ref() == Some(next) || saved.is_err() && found.as_ref() == Some(&new),
                    "{context}"
                );
                works_again(flash, next, &context);
                cases += 1;
            }
        }
    }
    println!("failing writes, then failing reads: {cases}");
    assert!(cases > 1_000);
}

/// A rotten first record hides those behind it. They lie where a new log ends at last.
#[test]
#[cfg_attr(miri, ignore = "safe code, in so many cases that Miri takes hours")]
fn what_rot_has_hidden_does_not_come_back() {
    let mut cases = 0;
    for start in [Words::<8>::new(), Words::<8>::holding([0; 6 * ERASE])] {
        for (before, ..) in moments(start) {
            for at in (START..END).step_by(8) {
                let mut flash = before.clone();
                flash.rot(at, 1);
                cases += 1;
                let mut gallery = empty();
                for step in 0..12 {
                    gallery.enrol(0, &Embedding([step, at as i16])).unwrap();
                    save(&mut flash, &gallery).unwrap();
                    let context = format!("rot at {at}, step {step}");
                    assert_eq!(load(&mut flash), Ok(Some(gallery.clone())), "{context}");
                }
            }
        }
    }
    println!("rotten records, then a new log: {cases}");
    assert!(cases > 2_000);
}

/// Nor if a read fails, too, when the log comes there.
#[test]
#[cfg_attr(miri, ignore = "safe code, in so many cases that Miri takes hours")]
fn what_rot_has_hidden_does_not_come_back_by_a_failing_read() {
    let mut cases = 0;
    for (before, ..) in moments(Words::<8>::new()) {
        let mut flash = before;
        flash.rot(START, 1);
        let mut gallery = empty();
        for step in 0..12 {
            gallery.enrol(0, &Embedding([step, 9])).unwrap();
            for (read, mut failing) in failing_reads(&flash, &gallery) {
                let saved = save(&mut failing, &gallery);
                failing.restore_power();
                let found = load(&mut failing).unwrap();
                if saved.is_ok() {
                    assert_eq!(found, Some(gallery.clone()), "step {step}, read {read}");
                }
                works_again(failing, &gallery, "rot and a failing read");
                cases += 1;
            }
            save(&mut flash, &gallery).unwrap();
        }
    }
    println!("rotten records, then failing reads: {cases}");
    assert!(cases > 2_000);
}
