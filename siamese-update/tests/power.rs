//! Power cuts, torn words, failing reads and writes, and rot, at every step of an update: a
//! model always answers, with its own integers, and the update can be repeated.

mod common;

use common::{Device, model, points, update};
use siamese_core::gallery::test_flash::{Tear, TestFlash};
use siamese_update::{ModelUpdates, UpdateError};

const TEARS: [Tear; 6] = [
    Tear::Before,
    Tear::After,
    Tear::Half(1),
    Tear::Half(77),
    Tear::Bits(5),
    Tear::Bits(0xFFFF_1234),
];

/// The two models, and their updates.
struct Case {
    files: [Vec<u8>; 2],
    points: [Vec<[i16; 2]>; 2],
}

impl Case {
    fn new() -> Self {
        Self {
            files: [update(1, 1), update(2, 2)],
            points: [points(&model(1)), points(&model(2))],
        }
    }

    /// Which of the models answers; each must give its own integers, and there must be one.
    fn answering<const R: usize, const W: usize, const E: usize, const C: usize>(
        &self,
        device: &mut Device<R, W, E, C>,
    ) -> u32 {
        let found = device.points().expect("no model of a slot answers");
        let version = device.status().version;
        assert_eq!(
            found,
            self.points[version as usize - 1],
            "version {version}"
        );
        version
    }
}

/// A device that runs the old model.
fn with_old<const R: usize, const W: usize, const E: usize, const C: usize>(
    case: &Case,
) -> TestFlash<R, W, E, C> {
    let mut device = Device::<R, W, E, C>::new();
    device.install(&case.files[0]).unwrap();
    assert_eq!(case.answering(&mut device), 1);
    TestFlash::clone(&device.flash.borrow())
}

/// The words that are written and units that are erased.
fn steps<const R: usize, const W: usize, const E: usize, const C: usize>(
    flash: &TestFlash<R, W, E, C>,
) -> u32 {
    flash.counts().words_written + flash.counts().units_erased
}

/// Power cuts at every step, in every way.
fn power_cuts<const R: usize, const W: usize, const E: usize, const C: usize>(
    name: &str,
    ecc: bool,
) {
    let case = Case::new();
    let mut old = with_old::<R, W, E, C>(&case);
    old.set_ecc(ecc);
    let mut clean = Device::with(old.clone());
    let first = steps(&clean.flash.borrow());
    clean.send(&case.files[1]).unwrap();
    let sent = steps(&clean.flash.borrow()) - first;
    clean.updates.switch().unwrap();
    clean.restart_as_it_is();
    clean.updates.confirm().unwrap();
    let all = steps(&clean.flash.borrow()) - first;
    assert_eq!(case.answering(&mut clean), 2);

    let mut runs = 0;
    for step in 0..all {
        for tear in TEARS {
            let mut device = Device::with(old.clone());
            device.flash.borrow_mut().cut_power(step, tear);
            let result = device.install(&case.files[1]);
            assert!(result.is_err(), "{name}: step {step} of {all} never came");
            device.restart();
            let version = case.answering(&mut device);
            // Before the mark that switches is begun there is nothing to be tried.
            assert!(
                step >= sent || version == 1,
                "{name}: step {step}, {tear:?}"
            );
            // Nor does another start change that, except back to the old model.
            device.restart();
            let later = case.answering(&mut device);
            assert!(later <= version, "{name}: step {step}, {tear:?}");
            match device.install(&case.files[1]) {
                Ok(()) => {}
                Err(UpdateError::Running) => assert_eq!(later, 2),
                Err(error) => panic!("{name}: step {step}, {tear:?}: {error}"),
            }
            device.restart();
            assert_eq!(case.answering(&mut device), 2);
            runs += 1;
        }
    }
    println!("{name}: {all} steps, {runs} power cuts, 0 losses");
}

#[test]
fn cuts_on_the_flash_of_an_nrf51_with_a_cortex_m0() {
    power_cuts::<4, 4, 1024, 4096>("nRF51, Cortex-M0", false);
}

#[test]
fn cuts_on_the_flash_of_an_rp2040_with_a_cortex_m0_plus() {
    power_cuts::<1, 4, 4096, 8192>("RP2040, Cortex-M0+", false);
}

#[test]
fn cuts_on_the_flash_of_an_stm32l4_with_a_cortex_m4() {
    power_cuts::<4, 8, 2048, 8192>("STM32L4, Cortex-M4", true);
}

#[test]
fn cuts_on_the_flash_of_an_stm32f4_with_a_cortex_m4() {
    power_cuts::<4, 4, 16384, 32768>("STM32F4, Cortex-M4", false);
}

#[test]
fn cuts_on_the_flash_of_an_nrf52_with_a_cortex_m4() {
    power_cuts::<4, 4, 4096, 16384>("nRF52, Cortex-M4", false);
}

#[test]
fn cuts_on_a_flash_that_is_written_in_64_bytes() {
    power_cuts::<16, 64, 512, 4096>("64 bytes a word", true);
}

/// The power goes again while the device comes back from the first time.
#[test]
fn a_second_cut_while_the_first_is_mended_loses_nothing() {
    let case = Case::new();
    let old = with_old::<4, 8, 2048, 8192>(&case);
    let mut clean = Device::with(old.clone());
    let first = steps(&clean.flash.borrow());
    clean.install(&case.files[1]).unwrap();
    let all = steps(&clean.flash.borrow()) - first;
    let mut runs = 0;
    for step in 0..all {
        for second in (0..all).filter(|second| (second + step) % 9 == 0 || second + 4 > all) {
            let mut device = Device::with(old.clone());
            device.flash.borrow_mut().set_ecc(true);
            device.flash.borrow_mut().cut_power(step, Tear::Bits(step));
            device.install(&case.files[1]).unwrap_err();
            device.flash.borrow_mut().restore_power();
            device
                .flash
                .borrow_mut()
                .cut_power(second, Tear::Half(second));
            device.restart_as_it_is();
            let _ = device.install(&case.files[1]);
            device.restart();
            case.answering(&mut device);
            runs += 1;
        }
    }
    println!("{runs} pairs of power cuts, 0 losses");
}

/// One read fails, at every place, and one write: the device says so or goes on, and what it
/// answers is right.
#[test]
fn a_failing_read_or_write_at_every_step_loses_nothing() {
    let case = Case::new();
    let old = with_old::<4, 8, 2048, 8192>(&case);
    let mut clean = Device::with(old.clone());
    let before = clean.flash.borrow().counts();
    clean.install(&case.files[1]).unwrap();
    let after = clean.flash.borrow().counts();
    let reads = after.reads - before.reads;
    for failing in 0..reads {
        let mut device = Device::with(old.clone());
        device.flash.borrow_mut().fail_read(failing);
        device.install(&case.files[1]).unwrap();
        assert_eq!(case.answering(&mut device), 2, "read {failing}");
    }
    let writes = after.writes - before.writes + after.erases - before.erases;
    for failing in 0..writes {
        let mut device = Device::with(old.clone());
        device.flash.borrow_mut().fail_write(failing);
        device.install(&case.files[1]).unwrap_err();
        device.restart();
        case.answering(&mut device);
        // The new model may be on trial, if the mark that it was tried is what failed.
        device.restart();
        match device.install(&case.files[1]) {
            Ok(()) => {}
            Err(UpdateError::Running) => assert_eq!(device.status().version, 2),
            Err(error) => panic!("write {failing}: {error}"),
        }
    }
    println!("{reads} failing reads, {writes} failing writes, 0 losses");
}

/// A word of the new model's slot that can't be read any more, at every place, before its first
/// start: the old model answers, if the new one doesn't. Later: one of the two.
#[test]
fn a_word_that_becomes_unreadable_brings_back_the_old_model() {
    let case = Case::new();
    let old = with_old::<4, 8, 2048, 8192>(&case);
    let mut switched = Device::with(old.clone());
    switched.send(&case.files[1]).unwrap();
    switched.updates.switch().unwrap();
    let switched = switched.flash.borrow().clone();
    let mut confirmed = Device::with(old);
    confirmed.install(&case.files[1]).unwrap();
    let confirmed = confirmed.flash.borrow().clone();
    let mut words = 0;
    for flash in [switched, confirmed] {
        for word in (4096..8192).step_by(8) {
            let mut flash = flash.clone();
            flash.spoil(word..word + 8);
            let mut device = Device::with(flash);
            case.answering(&mut device);
            words += 1;
        }
    }
    println!("{words} unreadable words, 0 losses");
}

/// Every bit of the new model's slot, once it is confirmed: no other integers than one of the
/// models has.
#[test]
fn rot_never_gives_other_integers() {
    let case = Case::new();
    let mut device = Device::with(with_old::<4, 8, 2048, 8192>(&case));
    device.install(&case.files[1]).unwrap();
    let flash = device.flash.borrow().clone();
    let (mut kept, mut back) = (0, 0);
    let used = (4096..4096 + case.files[1].len()).chain(8192 - 64..8192);
    for byte in used {
        for bit in 0..8 {
            let mut flash = flash.clone();
            flash.rot(byte, 1 << bit);
            match case.answering(&mut Device::with(flash)) {
                2 => kept += 1,
                _ => back += 1,
            }
        }
    }
    println!("{kept} bits leave the new model, {back} bring back the old one");
    assert!(back > kept);
}
