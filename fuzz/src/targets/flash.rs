//! Galleries and names in a flash that loses power, tears words, fails reads and rots.

use siamese_core::Embedding;
use siamese_core::gallery::names::Names;
use siamese_core::gallery::test_flash::{Fault, Tear, TestFlash};
use siamese_core::gallery::{Gallery, GalleryStore, NameStore, StoreError, Thresholds};

use crate::bytes::Bytes;

const ERASE: usize = 256;
const CAPACITY: usize = 6 * ERASE;
/// Two units a slot, and others' units on both sides.
const RANGE: std::ops::Range<u32> = 256..1280;

type Small = Gallery<2, 4>;
type SmallNames = Names<4, 11>;

/// What is kept in the flash: a gallery, or names.
trait Kept: Clone + PartialEq + std::fmt::Debug {
    fn empty() -> Self;
    fn change(&mut self, bytes: &mut Bytes<'_>);
    fn save<const W: usize>(&self, flash: &mut Words<W>) -> Result<(), StoreError<Fault>>;
    fn load<const W: usize>(flash: &mut Words<W>) -> Result<Option<Self>, StoreError<Fault>>;
}

type Words<const W: usize> = TestFlash<1, W, ERASE, CAPACITY>;

impl Kept for Small {
    fn empty() -> Self {
        Gallery::for_fingerprint(1)
    }

    fn change(&mut self, bytes: &mut Bytes<'_>) {
        let label = u16::from(bytes.u8() % 3);
        let point = Embedding([bytes.u16() as i16, bytes.u8().into()]);
        match bytes.below(5) {
            0 => drop(self.forget(label)),
            1 => drop(self.enrol_exemplar(label, &point)),
            2 => self.set_user_thresholds(Thresholds {
                prototype: bytes.flag().then(|| bytes.u16().into()),
                pair: None,
            }),
            _ => drop(self.enrol(label, &point)),
        }
    }

    fn save<const W: usize>(&self, flash: &mut Words<W>) -> Result<(), StoreError<Fault>> {
        GalleryStore::new(flash, RANGE)
            .unwrap()
            .save(self)
            .map(drop)
    }

    fn load<const W: usize>(flash: &mut Words<W>) -> Result<Option<Self>, StoreError<Fault>> {
        let mut found = Self::empty();
        found.enrol(77, &Embedding([7, 7])).unwrap();
        let there = GalleryStore::new(flash, RANGE).unwrap().load(&mut found)?;
        assert!(there || found == Self::empty());
        Ok(there.then_some(found))
    }
}

impl Kept for SmallNames {
    fn empty() -> Self {
        Self::new()
    }

    fn change(&mut self, bytes: &mut Bytes<'_>) {
        let label = u16::from(bytes.u8() % 5);
        match bytes.below(3) {
            0 => drop(self.remove(label)),
            _ => drop(self.set(label, &format!("name {}", bytes.u16()))),
        }
    }

    fn save<const W: usize>(&self, flash: &mut Words<W>) -> Result<(), StoreError<Fault>> {
        let mut scratch = [0; Self::SCRATCH];
        let mut store = NameStore::new(flash, RANGE).unwrap();
        store.save(self, &mut scratch).map(drop)
    }

    fn load<const W: usize>(flash: &mut Words<W>) -> Result<Option<Self>, StoreError<Fault>> {
        let mut found = Self::new();
        let mut scratch = [0; Self::SCRATCH];
        let there = NameStore::new(flash, RANGE)
            .unwrap()
            .load(&mut found, &mut scratch)?;
        Ok(there.then_some(found))
    }
}

/// Saves and loads, with faults in between: what is loaded is what was saved last, or what a
/// save that failed since was to save.
pub fn store(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let form = bytes.u8();
    if form & 0xE0 == 0xE0 {
        return places(&mut bytes);
    }
    let names = form & 0x10 != 0;
    match (form % 5, names) {
        (0, false) => run::<Small, 1>(&mut bytes),
        (1, false) => run::<Small, 4>(&mut bytes),
        (2, false) => run::<Small, 8>(&mut bytes),
        (3, false) => run::<Small, 16>(&mut bytes),
        (_, false) => run::<Small, 32>(&mut bytes),
        (0 | 1, true) => run::<SmallNames, 4>(&mut bytes),
        (2 | 3, true) => run::<SmallNames, 8>(&mut bytes),
        (_, true) => run::<SmallNames, 32>(&mut bytes),
    }
}

/// Stores in any range of a flash with any units, which may be too small: a save is refused, or
/// what it saved is there.
fn places(bytes: &mut Bytes<'_>) {
    let start = u32::from(bytes.u8()) * 8;
    let end = start.wrapping_add(u32::from(bytes.u8()) * 16);
    let range = match bytes.below(4) {
        0 => start..end,
        1 => end..start,
        _ => start / 128 * 128..(start / 128 + 2 * bytes.below(5) as u32) * 128,
    };
    match bytes.below(5) {
        0 => place(TestFlash::<1, 4, 128, 1024>::new(), range, bytes),
        1 => place(TestFlash::<8, 4, 128, 1024>::new(), range, bytes),
        2 => place(TestFlash::<1, 3, 128, 1024>::new(), range, bytes),
        3 => place(TestFlash::<1, 512, 512, 1024>::new(), range, bytes),
        _ => place(TestFlash::<1, 128, 128, 1024>::new(), range, bytes),
    }
}

fn place<const R: usize, const W: usize, const E: usize, const C: usize>(
    mut flash: TestFlash<R, W, E, C>,
    range: std::ops::Range<u32>,
    bytes: &mut Bytes<'_>,
) {
    let refused = |error: &StoreError<Fault>| assert!(!error.to_string().is_empty());
    let mut gallery = Small::empty();
    let mut names = SmallNames::empty();
    for _ in 0..bytes.below(6) {
        gallery.change(bytes);
        names.change(bytes);
    }
    match GalleryStore::new(&mut flash, range.clone()) {
        Err(error) => refused(&error),
        Ok(mut store) => match store.save(&gallery) {
            Err(error) => refused(&error),
            Ok(_) => {
                let mut found = Small::empty();
                assert_eq!(store.load(&mut found), Ok(true));
                assert_eq!(found, gallery);
            }
        },
    }
    let Ok(mut store) = NameStore::new(&mut flash, range) else {
        return;
    };
    let mut scratch = vec![0; bytes.below(SmallNames::SCRATCH + 1)];
    match store.save(&names, &mut scratch) {
        Err(error) => refused(&error),
        Ok(_) => {
            let mut found = SmallNames::empty();
            let mut scratch = [0; SmallNames::SCRATCH];
            assert_eq!(store.load(&mut found, &mut scratch), Ok(true));
            assert_eq!(found, names);
            if let Err(error) = store.load(&mut found, &mut scratch[..12]) {
                refused(&error);
            }
        }
    }
}

/// A way in which a word or a unit is torn.
pub(super) fn tear(bytes: &mut Bytes<'_>) -> Tear {
    let number = bytes.u8().into();
    let tears = [
        Tear::Before,
        Tear::After,
        Tear::Half(number),
        Tear::Bits(number),
    ];
    bytes.one_of(&tears)
}

/// A flash, what it may hold, and what happened to it.
struct World<K, const W: usize> {
    flash: Words<W>,
    current: K,
    /// What a load may find.
    may: Vec<Option<K>>,
    /// Bits have flipped or words can't be read for good: what was saved may be lost, but
    /// nothing else may come.
    rotten: bool,
    /// All that was ever to be saved.
    ever: Vec<K>,
}

fn run<K: Kept, const W: usize>(bytes: &mut Bytes<'_>) {
    let mut world = World {
        flash: Words::<W>::new(),
        current: K::empty(),
        may: vec![None],
        rotten: false,
        ever: Vec::new(),
    };
    world.flash.set_ecc(bytes.flag());
    // Each step runs through the whole range several times.
    for _ in 0..64 {
        if bytes.is_empty() {
            break;
        }
        world.step(bytes);
    }
    // Whatever has happened, saving works again.
    world.flash.restore_power();
    for _ in 0..2 {
        world.current.change(&mut Bytes::new(&[1, 2, 3, 4, 4]));
        world.current.save(&mut world.flash).unwrap();
        assert_eq!(K::load(&mut world.flash), Ok(Some(world.current.clone())));
    }
    let touched = |part: &[u8]| part.iter().any(|&byte| byte != 0xFF);
    let (start, end) = (RANGE.start as usize, RANGE.end as usize);
    let all = world.flash.bytes();
    assert!(world.rotten || !touched(&all[..start]) && !touched(&all[end..]));
}

impl<K: Kept, const W: usize> World<K, W> {
    fn step(&mut self, bytes: &mut Bytes<'_>) {
        match bytes.below(10) {
            0..3 => self.current.change(bytes),
            3 => self.save(),
            4 | 5 => {
                let tear = tear(bytes);
                self.flash.cut_power(bytes.u8().into(), tear);
                self.save();
                self.flash.restore_power();
            }
            6 => {
                match bytes.flag() {
                    true => self.flash.fail_read(u32::from(bytes.u8()) * 4),
                    false => self.flash.fail_write(bytes.u8().into()),
                }
                self.save();
                self.flash.restore_power();
            }
            7 => {
                // A read that fails once: what was saved before may be found instead.
                self.flash.fail_read(u32::from(bytes.u8()) * 4);
                let _ = K::load(&mut self.flash).unwrap();
                self.flash.restore_power();
            }
            8 if bytes.below(4) == 0 => {
                self.rotten = true;
                let at = usize::from(bytes.u16()) % CAPACITY;
                match bytes.flag() {
                    true => self.flash.rot(at, 1 << bytes.below(8)),
                    false => self.flash.spoil(at..at + 1 + bytes.below(64)),
                }
            }
            _ => self.load(),
        }
    }

    fn save(&mut self) {
        let new = Some(self.current.clone());
        self.ever.push(self.current.clone());
        match self.current.save(&mut self.flash) {
            Ok(()) => self.may = vec![new],
            Err(_) => self.may.push(new),
        }
        if self.flash.is_off() {
            return;
        }
        self.load();
    }

    fn load(&mut self) {
        // Reads don't fail on their own.
        self.flash.restore_power();
        let found = K::load(&mut self.flash).unwrap();
        if self.rotten {
            assert!(found.is_none_or(|found| self.ever.contains(&found)));
            return;
        }
        assert!(self.may.contains(&found), "{found:?} of {:?}", self.may);
        // What was found once is there.
        self.may = vec![found];
    }
}
