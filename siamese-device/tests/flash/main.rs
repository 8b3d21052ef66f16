//! The flash of boards that nothing emulates: the example firmware's drivers on this machine,
//! against models of the chips' controllers. A model is made from the chip's reference manual,
//! and panics where the manual forbids something; no chip has confirmed it.

#![allow(
    clippy::duplicate_mod,
    reason = "each chip has the firmware's files for itself, with its own constants"
)]

/// The constants that the firmware's build takes from the table of boards.
macro_rules! facts {
    ($board:expr) => {
        mod facts {
            use siamese_build::{Board, Region, Store};

            pub const BOARD: Board = $board;
            const TABLE: Store = BOARD.store();
            const REGION: Region = TABLE.region.unwrap();
            pub const FLASH: usize = BOARD.flash().origin as usize;
            pub const STORE: core::ops::Range<u32> = {
                let start = REGION.origin - BOARD.flash().origin;
                start..start + REGION.bytes
            };
            pub const UNIT: u32 = TABLE.unit;
        }
    };
}

mod chip;
mod nrf;
mod stm32f4;
mod stm32l4;

use embedded_storage::nor_flash::NorFlash;
use siamese_core::gallery::names::Names;
use siamese_core::gallery::{GalleryStore, NameStore};
use siamese_core::{Embedding, Gallery};

use chip::{Chip, Memory, Rig, Tear};

/// What the firmware's drivers need of its processor.
mod arch {
    /// This machine writes what it is told to, in this order.
    pub fn synchronise() {}
}

type Small = Gallery<2, 8>;

/// A gallery after so many changes.
fn gallery(changes: u32) -> Small {
    let mut gallery = Small::for_fingerprint(1);
    for change in 0..8.min(changes) {
        // Those before have given way to it.
        let change = change + 8 * ((changes - 1 - change) / 8);
        let seen = Embedding([change as i16, -(change as i16)]);
        gallery.enrol((change % 8) as u16, &seen).unwrap();
    }
    gallery
}

fn save<F: NorFlash>(flash: F, rig: &Rig<impl Chip>, changes: u32) {
    let mut store = GalleryStore::new(flash, 0..rig.gallery).unwrap();
    // What it says counts for nothing where the power goes meanwhile.
    let saved = store.save(&gallery(changes));
    assert!(saved.is_ok() || rig.is_off(), "{saved:?}");
}

fn load<F: NorFlash>(flash: F, rig: &Rig<impl Chip>) -> Option<Small> {
    let mut found = Small::for_fingerprint(1);
    let mut store = GalleryStore::new(flash, 0..rig.gallery).unwrap();
    store.load(&mut found).unwrap().then_some(found)
}

/// What was read, then erased, then written is read as it is now; and all is locked again.
fn erases<C: Chip, F: NorFlash>(rig: &Rig<C>, open: fn() -> Option<F>) {
    let mut flash = open().unwrap();
    let word: Vec<u8> = (1..=F::WRITE_SIZE as u8).collect();
    for unit in (0..rig.gallery + rig.names).step_by(rig.unit as usize) {
        let mut bytes = vec![0; rig.unit as usize];
        flash.read(unit, &mut bytes).unwrap();
        assert!(bytes.iter().any(|&byte| byte != 0xFF), "it is erased");
        flash.erase(unit, unit + rig.unit).unwrap();
        flash.read(unit, &mut bytes).unwrap();
        assert!(bytes.iter().all(|&byte| byte == 0xFF), "{unit:#x}");
        flash.write(unit + rig.unit / 2, &word).unwrap();
        flash.read(unit, &mut bytes).unwrap();
        let (before, rest) = bytes.split_at(rig.unit as usize / 2);
        let (written, after) = rest.split_at(word.len());
        assert_eq!(written, word);
        assert!(before.iter().chain(after).all(|&byte| byte == 0xFF));
        assert!(rig.is_locked());
    }
}

/// Saves until both halves of the gallery's part were erased and written twice; then names,
/// by which the gallery stays as it is. Of all other flash not a byte changes.
fn keeps<C: Chip, F: NorFlash>(rig: &Rig<C>, open: fn() -> Option<F>) {
    let before = rig.memory(|memory| memory.clone());
    let (erased, mut last) = (2 * rig.gallery / rig.unit, 0);
    while rig.memory(|memory| memory.erased.len()) < erased as usize {
        last += 1;
        save(open().unwrap(), rig, last);
        assert_eq!(load(open().unwrap(), rig), Some(gallery(last)), "{last}");
        assert!(last < 10_000, "it never erases");
    }
    assert!(last > 20 * erased, "a unit holds many saves");
    let mut scratch = [0; Names::<8, 15>::SCRATCH];
    let names_range = rig.gallery..rig.gallery + rig.names;
    for turn in 0..4 {
        let mut names = Names::<8, 15>::new();
        names.set(turn, &format!("turn {turn}")).unwrap();
        let mut store = NameStore::new(open().unwrap(), names_range.clone()).unwrap();
        store.save(&names, &mut scratch).unwrap();
        let mut found = Names::<8, 15>::new();
        assert!(store.load(&mut found, &mut scratch).unwrap());
        assert_eq!(found.get(turn), names.get(turn));
    }
    assert_eq!(load(open().unwrap(), rig), Some(gallery(last)));
    rig.memory(|memory| {
        for (at, (now, before)) in memory.bytes.iter().zip(&before.bytes).enumerate() {
            let own = rig.store.contains(&at);
            assert!(own || now == before, "byte {at:#x} has changed");
        }
    });
}

/// A power cut at every step of the save that goes to the second half, and of the one before:
/// what is loaded then is the gallery of before or that one, and the next save finds a whole
/// store.
fn survives<C: Chip, F: NorFlash>(rig: &Rig<C>, open: fn() -> Option<F>) {
    let second = rig.store.start + rig.gallery as usize / 2;
    let mut states = [Memory::default(), Memory::default()];
    let mut last = 0;
    while rig.memory(|memory| memory.erased.last().is_none_or(|&unit| unit < second)) {
        states.swap(0, 1);
        states[1] = rig.memory(|memory| memory.clone());
        last += 1;
        save(open().unwrap(), rig, last);
        assert!(last < 10_000, "it never turns");
    }
    let mut outcomes = [0; 2];
    for (changes, state) in [(last - 1, &states[0]), (last, &states[1])] {
        for tear in Tear::ALL {
            for after in 0.. {
                rig.restart();
                rig.memory(|memory| {
                    memory.clone_from(state);
                    memory.cut = Some((after, tear));
                });
                save(open().unwrap(), rig, changes);
                if !rig.is_off() {
                    // It was over before.
                    assert!(after > 4, "a save takes several steps");
                    break;
                }
                rig.restart();
                let found = load(open().unwrap(), rig);
                let is = |changes| found == Some(gallery(changes));
                let (old, new) = (is(changes - 1), is(changes));
                assert!(old || new, "{tear:?} after {after}: {found:?}");
                outcomes[usize::from(new)] += 1;
                save(open().unwrap(), rig, changes + 1);
                assert_eq!(load(open().unwrap(), rig), Some(gallery(changes + 1)));
            }
        }
    }
    assert!(outcomes.iter().all(|&count| count > 0), "{outcomes:?}");
}

/// What a controller refuses is an error, and the next save goes well.
fn recovers<C: Chip, F: NorFlash>(rig: &Rig<C>, open: fn() -> Option<F>) {
    save(open().unwrap(), rig, 1);
    rig.memory(|memory| memory.refuse = 2);
    let mut store = GalleryStore::new(open().unwrap(), 0..rig.gallery).unwrap();
    let refused = store.save(&gallery(2));
    assert!(refused.is_err(), "{refused:?}");
    assert_eq!(rig.memory(|memory| memory.refuse), 0);
    assert_eq!(load(open().unwrap(), rig), Some(gallery(1)));
    save(open().unwrap(), rig, 2);
    assert_eq!(load(open().unwrap(), rig), Some(gallery(2)));
}

#[test]
fn galleries_follow_each_other() {
    assert_ne!(gallery(1), gallery(2));
    assert_ne!(gallery(9), gallery(8));
    assert_eq!(gallery(20).entries().len(), 8);
}
