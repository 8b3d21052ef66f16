//! Galleries in a flash that loses power.

mod common;

use common::fixed_parts;
use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};
use siamese_core::gallery::{Gallery, GalleryStore, LoadError, StoreError};
use siamese_core::{Embedding, Model};

const ERASE: usize = 256;
type Small = Gallery<2, 4>;

/// A flash that can only clear bits, erases whole units, and fails after so
/// many writes and erasures.
#[derive(Debug, Clone)]
struct Flash {
    bytes: Vec<u8>,
    left: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PowerLost;

impl NorFlashError for PowerLost {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

impl ErrorType for Flash {
    type Error = PowerLost;
}

impl Flash {
    fn new() -> Self {
        Self {
            bytes: vec![0x5A; 6 * ERASE],
            left: usize::MAX,
        }
    }

    fn spend(&mut self) -> Result<(), PowerLost> {
        self.left = self.left.checked_sub(1).ok_or(PowerLost)?;
        Ok(())
    }
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), PowerLost> {
        bytes.copy_from_slice(&self.bytes[offset as usize..][..bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = 8;
    const ERASE_SIZE: usize = ERASE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), PowerLost> {
        assert!((from as usize).is_multiple_of(ERASE) && (to as usize).is_multiple_of(ERASE));
        for unit in self.bytes[from as usize..to as usize].chunks_exact_mut(ERASE) {
            self.left = self.left.checked_sub(1).ok_or(PowerLost)?;
            unit.fill(0xFF);
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), PowerLost> {
        assert!((offset as usize).is_multiple_of(8) && bytes.len().is_multiple_of(8));
        for (number, &byte) in bytes.iter().enumerate() {
            if number.is_multiple_of(8) {
                self.spend()?;
            }
            let cell = &mut self.bytes[offset as usize + number];
            assert_eq!(*cell, 0xFF, "written without having been erased");
            *cell &= byte;
        }
        Ok(())
    }
}

fn gallery(model: &Model<'_>, labels: u16) -> Small {
    let mut gallery = Small::new(model).unwrap();
    for label in 0..labels {
        gallery
            .enrol(label, &Embedding([label as i16 * 300, -5]))
            .unwrap();
    }
    gallery
}

fn open(flash: Flash) -> GalleryStore<Flash> {
    GalleryStore::new(flash, ERASE as u32..5 * ERASE as u32).unwrap()
}

/// What a device finds in its flash when it starts.
fn load(flash: Flash, model: &Model<'_>) -> Result<Option<Small>, StoreError<PowerLost>> {
    let mut found = gallery(model, 1);
    Ok(open(flash).load(&mut found)?.then_some(found))
}

#[test]
fn the_last_one_saved_comes_back_after_a_reset() {
    let file = fixed_parts().encode().unwrap();
    let model = Model::parse(&file).unwrap();
    let mut flash = Flash::new();
    assert_eq!(load(flash.clone(), &model), Ok(None));
    for labels in [1, 4, 0, 2, 3] {
        let saved = gallery(&model, labels);
        let mut store = open(flash);
        store.save(&saved).unwrap();
        // A reset: only the flash is left.
        flash = store.release();
        assert_eq!(load(flash.clone(), &model), Ok(Some(saved)));
    }
    // Nothing outside its range was touched.
    assert!(flash.bytes[..ERASE].iter().all(|&byte| byte == 0x5A));
    assert!(flash.bytes[5 * ERASE..].iter().all(|&byte| byte == 0x5A));
}

#[test]
fn power_may_fail_at_any_write() {
    let file = fixed_parts().encode().unwrap();
    let model = Model::parse(&file).unwrap();
    let (old, new) = (gallery(&model, 2), gallery(&model, 4));
    let mut store = open(Flash::new());
    store.save(&gallery(&model, 1)).unwrap();
    store.save(&old).unwrap();
    let flash = store.release();
    let mut completed = false;
    for left in 0.. {
        let mut store = open(Flash {
            left,
            ..flash.clone()
        });
        let result = store.save(&new);
        let mut after = store.release();
        after.left = usize::MAX;
        let found = load(after, &model);
        if result.is_ok() {
            assert_eq!(found, Ok(Some(new)));
            completed = true;
            break;
        }
        assert_eq!(result, Err(StoreError::Flash(PowerLost)));
        assert_eq!(found, Ok(Some(old.clone())), "after {left} writes");
    }
    assert!(completed);
}

#[test]
fn another_models_gallery_is_refused() {
    let file = fixed_parts().encode().unwrap();
    let model = Model::parse(&file).unwrap();
    let mut parts = fixed_parts();
    parts.layers[1].biases[0] += 1;
    let other = parts.encode().unwrap();
    let other = Model::parse(&other).unwrap();
    let mut store = open(Flash::new());
    store.save(&gallery(&other, 2)).unwrap();
    let (expected, found) = (model.fingerprint(), other.fingerprint());
    let error = StoreError::Load(LoadError::OtherModel { expected, found });
    let mut here = gallery(&model, 3);
    assert_eq!(store.load(&mut here), Err(error));
    assert!(here.entries().is_empty());
    assert!(error.to_string().contains("another model"), "{error}");
}

#[test]
fn a_range_must_be_two_places() {
    for (start, end) in [
        (1, 513),
        (0, 256),
        (0, 768),
        (256, 256),
        (512, 256),
        (0, 2048),
    ] {
        let error = GalleryStore::new(Flash::new(), start..end).map(|_| ());
        assert_eq!(error, Err(StoreError::Range), "{start}..{end}");
    }
    let mut store = GalleryStore::new(Flash::new(), 0..512).unwrap();
    let mut large = Gallery::<64, 4>::for_fingerprint(1);
    for label in 0..4 {
        large.enrol(label, &Embedding([1000; 64])).unwrap();
    }
    let error = store.save(&large).unwrap_err();
    assert!(
        matches!(error, StoreError::Size { room: 256, .. }),
        "{error}"
    );
}
