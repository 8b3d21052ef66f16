//! The gallery and the flash that keeps it.

use embedded_storage::nor_flash::ReadNorFlash;
use siamese_core::gallery::{Entry, Gallery, GalleryStore, LoadError, StoreError};
use siamese_core::{Model, SizeError};
use siamese_link::{Fault, Listed, MAX_LISTED};

use crate::board::Flash;
use crate::model::DIM;

/// Memory for the gallery's entries, at the most.
const ENTRIES_BYTES: usize = 4096;
/// Entries of the gallery.
pub const ENTRIES: usize = {
    let room = ENTRIES_BYTES / size_of::<Entry<DIM>>();
    if room < MAX_LISTED { room } else { MAX_LISTED }
};

/// What the device was shown, and where that is kept.
pub struct Shelf {
    /// What it was shown.
    pub gallery: Gallery<DIM, ENTRIES>,
    store: Option<GalleryStore<Flash>>,
    /// Why the gallery that was saved last isn't in use.
    pub refused: Option<LoadError>,
}

impl Shelf {
    /// Before boot.
    pub const NEW: Self = Self {
        gallery: Gallery::for_fingerprint(0),
        store: None,
        refused: None,
    };

    /// Looks for a gallery in the flash.
    ///
    /// # Errors
    /// If the model's embeddings have other coordinates than the gallery's.
    #[inline(never)]
    pub fn open(&mut self, model: &Model<'_>) -> Result<(), SizeError> {
        self.gallery.reset_for(model)?;
        let flash = Flash::open();
        let store = flash.and_then(|flash| {
            let end = flash.capacity() as u32;
            GalleryStore::new(flash, 0..end).ok()
        });
        self.store = store;
        let Some(store) = &mut self.store else {
            return Ok(());
        };
        if let Err(error) = store.load(&mut self.gallery) {
            self.gallery.reset_for(model)?;
            if let StoreError::Load(error) = error {
                self.refused = Some(error);
            }
        }
        Ok(())
    }

    /// Whether the gallery can be saved.
    pub const fn can_save(&self) -> bool {
        self.store.is_some()
    }

    /// Saves the gallery.
    #[inline(never)]
    pub fn save(&mut self) -> Result<(), Fault> {
        let store = self.store.as_mut().ok_or(Fault::NoStorage)?;
        store.save(&self.gallery).map_err(|error| match error {
            StoreError::Size { needed, room } => Fault::StorageSize {
                needed: needed as u32,
                room: room as u32,
            },
            _ => Fault::Storage,
        })?;
        self.refused = None;
        Ok(())
    }

    /// All entries.
    pub fn list(&self) -> impl Iterator<Item = Listed> {
        self.gallery.entries().iter().map(|entry| Listed {
            label: entry.label(),
            examples: entry.examples(),
        })
    }
}
