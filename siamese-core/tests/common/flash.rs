//! A flash with a gallery's store in it, and what is saved there one after the other.

use siamese_core::Embedding;
use siamese_core::gallery::test_flash::{Fault, Tear, TestFlash};
use siamese_core::gallery::{Gallery, GalleryStore, Saved, StoreError, Thresholds};

pub const ERASE: usize = 256;
pub const CAPACITY: usize = 6 * ERASE;
/// The store's range: two slots of two units, with a unit of others on each side.
pub const START: usize = ERASE;
pub const END: usize = 5 * ERASE;
pub const SLOT: usize = (END - START) / 2;

pub type Small = Gallery<2, 4>;
/// A flash with words of `W` bytes.
pub type Words<const W: usize> = TestFlash<1, W, ERASE, CAPACITY>;

pub const TEARS: [Tear; 6] = [
    Tear::Before,
    Tear::After,
    Tear::Half(1),
    Tear::Half(2),
    Tear::Bits(3),
    Tear::Bits(4),
];

pub fn empty() -> Small {
    Gallery::for_fingerprint(1)
}

/// Galleries as they follow each other on a device: enrolments, exemplars, a
/// label forgotten, a threshold set.
pub fn history() -> Vec<Small> {
    let mut gallery = empty();
    let mut states = Vec::new();
    for step in 0..22i16 {
        let example = Embedding([step * 100, -step]);
        match step {
            5 | 12 => assert_eq!(gallery.forget(0), 1),
            7 | 17 => gallery.set_user_thresholds(Thresholds {
                prototype: Some(step as u64),
                pair: None,
            }),
            2 | 14 => gallery.enrol_exemplar(9, &example).unwrap(),
            // The gallery loses its exemplars, and gets the first label back.
            10 => assert!(gallery.forget(9) > 0),
            _ => drop(gallery.enrol((step % 3) as u16, &example).unwrap()),
        }
        states.push(gallery.clone());
    }
    states
}

pub fn save<const W: usize>(
    flash: &mut Words<W>,
    gallery: &Small,
) -> Result<Saved, StoreError<Fault>> {
    GalleryStore::new(flash, START as u32..END as u32)
        .unwrap()
        .save(gallery)
}

pub fn load<const W: usize>(flash: &mut Words<W>) -> Result<Option<Small>, StoreError<Fault>> {
    // Something that must go.
    let mut found = empty();
    found.enrol(77, &Embedding([7, 7])).unwrap();
    let mut store = GalleryStore::new(flash, START as u32..END as u32).unwrap();
    let there = store.load(&mut found)?;
    if !there {
        assert_eq!(found, empty());
    }
    Ok(there.then_some(found))
}

/// The flash before each save of the history, the gallery that it then holds,
/// and the one to be saved.
pub fn moments<const W: usize>(
    mut flash: Words<W>,
) -> impl Iterator<Item = (Words<W>, Option<Small>, Small)> {
    let mut old = None;
    history().into_iter().map(move |new| {
        let before = flash.clone();
        save(&mut flash, &new).unwrap();
        assert_eq!(load(&mut flash), Ok(Some(new.clone())));
        (before, old.replace(new.clone()), new)
    })
}

/// Whatever has happened, saving works again, and what was saved is loaded.
pub fn works_again<const W: usize>(mut flash: Words<W>, new: &Small, context: &str) {
    let mut other = new.clone();
    other.forget(1);
    other.enrol_exemplar(1, &Embedding([-9, 9])).unwrap();
    for gallery in [new, &other, new] {
        let saved = save(&mut flash, gallery);
        assert!(saved.is_ok(), "{context}: {saved:?}");
        assert_eq!(load(&mut flash), Ok(Some(gallery.clone())), "{context}");
    }
    // What can't be read may be mended once.
    save(&mut flash, new).unwrap();
    let unchanged = Ok(Saved {
        written: 0,
        erased: 0,
    });
    assert_eq!(save(&mut flash, new), unchanged, "{context}");
    assert_eq!(flash.counts().overwrites, 0, "{context}");
    assert_eq!(load(&mut flash), Ok(Some(new.clone())), "{context}");
}
