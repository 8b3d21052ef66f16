//! What isn't taken, each with its own error, and the old model still answers.

mod common;

use common::{
    BOARD, Device, SEED, golden, header, model, payload, points, policy, sealed, sized_model,
    update,
};
use siamese_update::{
    DEVELOPMENT_KEY, HEADER_LEN, Header, ModelUpdates, Other, Policy, Rejection, Running,
    UpdateError,
};

type Small = Device<4, 4, 1024, 4096>;

/// A device that runs version 5.
fn device() -> Small {
    let mut device = Small::new();
    device.install(&update(1, 5)).unwrap();
    device
}

/// It answers as before, now and after a restart.
fn still_answers(mut device: Small) {
    let expected = points(&model(1));
    assert_eq!(device.points(), Some(expected.clone()));
    device.restart();
    assert_eq!(device.points(), Some(expected));
    assert_eq!(device.status().version, 5);
}

/// What a device says to an update whose header was changed before it was signed.
fn refused(change: impl Fn(&mut Header)) -> UpdateError {
    let model = model(2);
    let payload = payload(&model, &golden(&model));
    let mut header = header(&model, &payload, 6);
    change(&mut header);
    let file = sealed(&header, &payload, SEED);
    let mut device = device();
    let error = device.install(&file).unwrap_err();
    still_answers(device);
    error
}

#[test]
fn forged_updates_are_refused_before_anything_is_erased() {
    let good = update(2, 6);
    let mut device = device();
    let erased = |device: &Small| device.flash.borrow().counts().units_erased;
    let before = erased(&device);
    // Every bit of what is signed and of the signature, and another key.
    for byte in 0..HEADER_LEN {
        for bit in 0..8 {
            let mut file = good.clone();
            file[byte] ^= 1 << bit;
            let error = device.updates.begin(&file).unwrap_err();
            match byte {
                0..8 => assert_eq!(error, UpdateError::NotAnUpdate),
                8 => assert!(matches!(error, UpdateError::FormatVersion { .. })),
                _ => assert_eq!(error, UpdateError::Signature, "byte {byte}"),
            }
        }
    }
    let model = model(2);
    let payload = payload(&model, &golden(&model));
    let other = sealed(&header(&model, &payload, 6), &payload, [8; 32]);
    assert_eq!(device.updates.begin(&other), Err(UpdateError::Signature));
    assert_eq!(device.updates.begin(&[]), Err(UpdateError::NotAnUpdate));
    assert_eq!(erased(&device), before);
    still_answers(device);
}

#[test]
fn a_payload_that_was_changed_is_refused_at_every_byte() {
    let good = update(2, 6);
    let mut device = device();
    for byte in (HEADER_LEN..good.len()).step_by(7) {
        let mut file = good.clone();
        file[byte] ^= 0x10;
        device.send(&file).unwrap();
        assert_eq!(
            device.updates.switch(),
            Err(UpdateError::Digest),
            "byte {byte}"
        );
    }
    still_answers(device);
}

#[test]
fn what_is_cut_short_or_out_of_order_is_refused() {
    let file = update(2, 6);
    let mut device = device();
    assert_eq!(device.updates.switch(), Err(UpdateError::NotBegun));
    assert_eq!(device.updates.write(0, &[0; 4]), Err(UpdateError::NotBegun));
    device.updates.begin(&file).unwrap();
    let payload = &file[HEADER_LEN..];
    let expected = payload.len() as u32;
    let error = device.updates.write(4, &payload[4..8]);
    assert_eq!(error, Err(UpdateError::Order { expected: 0 }));
    // Not whole words of the flash, nothing, and more than there is.
    assert_eq!(
        device.updates.write(0, &payload[..3]),
        Err(UpdateError::Part)
    );
    assert_eq!(device.updates.write(0, &[]), Err(UpdateError::Part));
    let long = [payload, &[0; 4]].concat();
    assert_eq!(device.updates.write(0, &long), Err(UpdateError::Part));
    assert_eq!(device.updates.write(0, &payload[..64]), Ok(64));
    let error = device.updates.switch();
    let received = 64;
    assert_eq!(error, Err(UpdateError::Truncated { received, expected }));
    // And it may be begun again.
    device.install(&file).unwrap();
    assert_eq!(device.points(), Some(points(&model(2))));
}

#[test]
fn other_boards_and_cores_and_sizes_are_refused() {
    let board = |name| Header::board_of(name).unwrap();
    assert_eq!(
        refused(|header| header.board = board("pico")),
        UpdateError::Board
    );
    assert_eq!(
        refused(|header| header.layout = 2),
        UpdateError::Layout {
            expected: 0,
            found: 2
        }
    );
    let room = 2048 - 64;
    assert_eq!(
        refused(|header| header.payload = room),
        UpdateError::TooLarge {
            needed: room + 192,
            room
        }
    );
    assert_eq!(refused(|header| header.payload = 0), UpdateError::Header);
    assert_eq!(
        refused(|header| header.digest = [1; 64]),
        UpdateError::Digest
    );
    // Signed, and yet nothing to be run: that is for whoever holds the key to mend.
    assert_eq!(refused(|header| header.model -= 4), UpdateError::Model);
    let three = sized_model(3, 3);
    let payload = payload(&three, &[0; 16 + 6 + 8]);
    let file = sealed(&header(&three, &payload, 6), &payload, SEED);
    let mut device = device();
    assert_eq!(device.install(&file), Err(UpdateError::Size));
    still_answers(device);
}

#[test]
fn an_update_for_any_board_is_taken() {
    let model = model(2);
    let payload = payload(&model, &golden(&model));
    let mut header = header(&model, &payload, 6);
    header.board = [0; 32];
    let mut device = device();
    device.install(&sealed(&header, &payload, SEED)).unwrap();
    assert_eq!(device.points(), Some(points(&model)));
}

#[test]
fn golden_vectors_have_to_be_there_and_to_hold() {
    let model = model(2);
    let good = golden(&model);
    let mut device = device();
    for vectors in [&[][..], &good[..good.len() - 1]] {
        let payload = payload(&model, vectors);
        let file = sealed(&header(&model, &payload, 6), &payload, SEED);
        assert_eq!(device.install(&file), Err(UpdateError::Golden));
    }
    // A coordinate, and the checksum of each hidden layer, of the last vector.
    for (place, version) in [(12, 6), (8, 7), (1, 8)] {
        let mut wrong = good.clone();
        let at = wrong.len() - place;
        wrong[at] ^= 1;
        let payload = payload(&model, &wrong);
        let file = sealed(&header(&model, &payload, version), &payload, SEED);
        device.send(&file).unwrap();
        device.updates.switch().unwrap();
        assert_eq!(device.status().other, Other::Waiting { version });
        device.restart();
        let reason = Rejection::Golden;
        assert_eq!(device.status().other, Other::Rejected { version, reason });
    }
    still_answers(device);
}

#[test]
fn older_versions_are_refused_unless_the_signer_allows_it() {
    let mut device = device();
    for version in [1, 4, 5] {
        let error = device.updates.begin(&update(2, version));
        let installed = 5;
        let found = version;
        assert_eq!(error, Err(UpdateError::Older { found, installed }));
    }
    assert_eq!(
        device.updates.begin(&update(1, 5)),
        Err(UpdateError::Running)
    );
    // Back to version 3, over all up to 5.
    let model = model(2);
    let payload = payload(&model, &golden(&model));
    let mut back = header(&model, &payload, 3);
    back.over = 4;
    let error = device.updates.begin(&sealed(&back, &payload, SEED));
    assert!(matches!(error, Err(UpdateError::Older { .. })));
    back.over = 5;
    let back = sealed(&back, &payload, SEED);
    device.install(&back).unwrap();
    assert_eq!((device.status().version, device.status().floor), (3, 5));
    // What was skipped stays refused, and so does the way back once it is left.
    let error = device.updates.begin(&update(1, 5));
    assert!(matches!(error, Err(UpdateError::Older { .. })));
    device.install(&update(1, 6)).unwrap();
    let error = device.updates.begin(&back);
    assert!(matches!(error, Err(UpdateError::Older { .. })));
}

#[test]
fn a_trial_ends_with_a_restart_and_keeps_others_out() {
    let mut device = device();
    let (file, newer) = (update(2, 6), update(3, 7));
    device.send(&file).unwrap();
    device.updates.switch().unwrap();
    assert_eq!(device.updates.confirm(), Err(UpdateError::NothingToConfirm));
    device.restart();
    assert_eq!(device.points(), Some(points(&model(2))));
    let Running::Slot { on_trial: true, .. } = device.status().running else {
        panic!("{:?}", device.status());
    };
    assert_eq!(device.status().other, Other::Previous { version: 5 });
    assert_eq!(device.updates.begin(&newer), Err(UpdateError::OnTrial));
    device.restart();
    let reason = Rejection::NotConfirmed;
    let version = 6;
    assert_eq!(device.status().other, Other::Rejected { version, reason });
    assert_eq!(device.points(), Some(points(&model(1))));
    // The same may be tried again.
    device.install(&file).unwrap();
    device.install(&newer).unwrap();
    assert_eq!(device.points(), Some(points(&model(3))));
    assert_eq!(device.updates.confirm(), Err(UpdateError::NothingToConfirm));
}

#[test]
fn a_firmware_with_a_later_model_runs_its_own() {
    let device = device();
    let flash = device.flash.clone();
    let later = Policy {
        version: 6,
        ..policy()
    };
    let mut device = Small::boot(flash.clone(), later);
    assert_eq!((device.from_slot, device.status().version), (false, 6));
    let error = device.updates.begin(&update(2, 6));
    assert!(matches!(error, Err(UpdateError::Older { .. })));
    device.updates.begin(&update(2, 7)).unwrap();
    // Without that one, an update was begun in place of the first slot's.
    let same = Policy {
        version: 5,
        ..policy()
    };
    assert!(!Small::boot(flash, same).from_slot);
}

#[test]
fn the_status_says_which_key() {
    let mut device = device();
    let status = device.status();
    assert!(!status.development_key);
    assert_eq!(status.key, policy().key[..8]);
    assert_eq!((status.room, status.unit, status.layout), (2048 - 64, 4, 0));
    let loud = Policy {
        key: DEVELOPMENT_KEY,
        board: BOARD,
        ..policy()
    };
    let mut device = Small::boot(device.flash.clone(), loud);
    assert!(device.status().development_key);
}

#[test]
fn slots_that_are_none_are_refused() {
    use std::cell::RefCell;
    use std::rc::Rc;

    use common::Shared;
    use siamese_core::gallery::test_flash::TestFlash;
    use siamese_update::Updates;

    let refused = |slots| {
        let flash = Rc::new(RefCell::new(TestFlash::<4, 4, 1024, 4096>::new()));
        Updates::new(Shared(flash), slots, policy()).err()
    };
    assert_eq!(refused([0..2048, 2048..4096]), None);
    for slots in [
        [0..2048, 1024..4096],
        [0..2048, 2048..5120],
        [0..2000, 2048..4096],
        [0..0, 2048..4096],
    ] {
        assert_eq!(refused(slots), Some(UpdateError::Slots));
    }
    let flash = Rc::new(RefCell::new(TestFlash::<4, 128, 1024, 4096>::new()));
    let updates = Updates::new(Shared(flash), [0..2048, 2048..4096], policy());
    assert_eq!(updates.err(), Some(UpdateError::Slots));
}
