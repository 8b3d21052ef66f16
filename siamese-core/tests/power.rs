//! The power goes, a word tears, a read or a write fails: at every step of every save, on the
//! flash of real microcontrollers. `cargo xtask power-cuts` runs this file and reads its lines.

use siamese_core::Embedding;
use siamese_core::gallery::test_flash::{Fault, Tear, TestFlash};
use siamese_core::gallery::{Gallery, GalleryStore, Saved, StoreError};

type Small = Gallery<12, 8>;

const TEARS: [Tear; 5] = [
    Tear::Before,
    Tear::After,
    Tear::Half(1),
    Tear::Bits(2),
    Tear::Bits(3),
];

/// A flash of four units: words of `W` bytes, units of `E`, `C` bytes in all.
struct Flash<const W: usize, const E: usize, const C: usize>(TestFlash<1, W, E, C>);

/// What was tried.
#[derive(Default)]
struct Steps {
    cuts: u64,
    reads: u64,
    writes: u64,
    saves: u64,
}

impl<const W: usize, const E: usize, const C: usize> Flash<W, E, C> {
    fn store(&mut self) -> GalleryStore<&mut TestFlash<1, W, E, C>> {
        GalleryStore::new(&mut self.0, 0..C as u32).unwrap()
    }

    fn save(&mut self, gallery: &Small) -> Result<Saved, StoreError<Fault>> {
        self.store().save(gallery)
    }

    fn load(&mut self) -> Option<Small> {
        let mut found = Small::for_fingerprint(1);
        let there = self.store().load(&mut found).unwrap();
        there.then_some(found)
    }

    /// After a fault, what was saved before or what was to be saved is there, and saving works.
    fn ends_sound(mut self, old: Option<&Small>, new: &Small, context: &str) {
        self.0.restore_power();
        let found = self.load();
        assert!(
            found.as_ref() == old || found.as_ref() == Some(new),
            "{context}: lost"
        );
        self.save(new)
            .unwrap_or_else(|error| panic!("{context}: {error}"));
        assert_eq!(self.load().as_ref(), Some(new), "{context}");
    }

    /// Every step of a save upon this flash.
    fn try_all(&self, ecc: bool, old: Option<&Small>, new: &Small, steps: &mut Steps) {
        steps.saves += 1;
        let fresh = || {
            let mut flash = self.0.clone();
            flash.set_ecc(ecc);
            Self(flash)
        };
        for tear in TEARS {
            for after in 0.. {
                let mut flash = fresh();
                flash.0.cut_power(after, tear);
                let saved = flash.save(new);
                if !flash.0.is_off() {
                    assert!(saved.is_ok());
                    break;
                }
                steps.cuts += 1;
                flash.ends_sound(old, new, &format!("{tear:?} after {after}"));
            }
        }
        for after in 0.. {
            let mut flash = fresh();
            flash.0.fail_read(after);
            let before = flash.0.counts().reads;
            let _ = flash.save(new);
            if flash.0.counts().reads - before <= after {
                break;
            }
            steps.reads += 1;
            flash.ends_sound(old, new, &format!("failing read {after}"));
        }
        for after in 0.. {
            let mut flash = fresh();
            flash.0.fail_write(after);
            let before = flash.0.counts();
            let _ = flash.save(new);
            let counts = flash.0.counts();
            if counts.writes + counts.erases - before.writes - before.erases <= after {
                break;
            }
            steps.writes += 1;
            flash.ends_sound(old, new, &format!("failing write {after}"));
        }
    }
}

/// Saves until the log has begun anew, with every fault at every step of each save.
fn every_step<const W: usize, const E: usize, const C: usize>(name: &str, ecc: bool) {
    let mut flash = Flash(TestFlash::<1, W, E, C>::new());
    flash.0.set_ecc(ecc);
    let mut gallery = Small::for_fingerprint(1);
    let (mut old, mut steps) = (None, Steps::default());
    let mut erased = 0;
    for number in 0u16.. {
        let example = Embedding([number as i16 * 91; 12]);
        // Labels come and go, so that whole galleries are saved, too.
        match number % 7 {
            6 => drop(gallery.forget(number % 4)),
            _ => drop(gallery.enrol(number % 5, &example)),
        }
        flash.try_all(ecc, old.as_ref(), &gallery, &mut steps);
        erased += flash.save(&gallery).unwrap().erased;
        old = Some(gallery.clone());
        if erased as usize > C {
            break;
        }
    }
    let Steps {
        cuts,
        reads,
        writes,
        saves,
    } = steps;
    println!(
        "steps: {name}: {saves} saves, {cuts} power cuts, {reads} failing reads, {writes} failing writes, 0 lost"
    );
    assert!(cuts > 300 && reads > 100 && writes > 30, "the test is void");
}

#[test]
#[cfg_attr(miri, ignore = "safe code, in so many cases that Miri takes hours")]
fn nrf51_m0() {
    every_step::<4, 1024, 4096>("M0, nRF51822, words of 4 in units of 1024 bytes", false);
}

#[test]
#[cfg_attr(miri, ignore = "safe code, in so many cases that Miri takes hours")]
fn rp2040_m0plus() {
    every_step::<256, 4096, 16384>("M0+, RP2040, pages of 256 in units of 4096 bytes", false);
}

#[test]
#[cfg_attr(miri, ignore = "safe code, in so many cases that Miri takes hours")]
fn nrf52_m4() {
    every_step::<4, 4096, 16384>("M4, nRF52840, words of 4 in units of 4096 bytes", false);
}

#[test]
#[cfg_attr(miri, ignore = "safe code, in so many cases that Miri takes hours")]
fn stm32l4_m4() {
    every_step::<8, 2048, 8192>(
        "M4, STM32L4 with ECC, words of 8 in units of 2048 bytes",
        true,
    );
}
