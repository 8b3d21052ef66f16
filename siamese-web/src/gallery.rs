//! Galleries for models whose number of coordinates is known at run time only.

use siamese_core::gallery::{Gallery, GalleryError, Identified, Label, LoadError, Thresholds};
use siamese_core::model::Model;
use siamese_core::{Embedding, SizeError};

/// Entries of a gallery: twice as many as a device has room for as a rule.
pub const CAPACITY: usize = 64;

/// A [`Gallery`] of as many coordinates as its model's embeddings have.
pub trait AnyGallery {
    /// As [`Gallery::enrol`].
    fn enrol(&mut self, label: Label, embedding: &[i16]) -> Result<u16, GalleryError>;

    /// As [`Gallery::forget`].
    fn forget(&mut self, label: Label) -> usize;

    /// As [`Gallery::identify`].
    fn identify(&self, embedding: &[i16]) -> Option<Identified>;

    /// As [`Gallery::set_user_thresholds`].
    fn set_user_thresholds(&mut self, thresholds: Thresholds);

    /// As [`Gallery::user_thresholds`].
    fn user_thresholds(&self) -> Thresholds;

    /// As [`Gallery::thresholds`].
    fn thresholds(&self) -> Thresholds;

    /// Label, examples and point of each entry.
    fn entries(&self) -> Vec<(Label, u16, &[i16])>;

    /// As [`Gallery::load`].
    fn load(&mut self, model: &Model<'_>, stored: &[u8]) -> Result<(), LoadError>;

    /// As [`Gallery::to_bytes`].
    fn to_bytes(&self) -> Vec<u8>;
}

impl<const D: usize> AnyGallery for Gallery<D, CAPACITY> {
    fn enrol(&mut self, label: Label, embedding: &[i16]) -> Result<u16, GalleryError> {
        self.enrol(label, &point(embedding))
    }

    fn forget(&mut self, label: Label) -> usize {
        self.forget(label)
    }

    fn identify(&self, embedding: &[i16]) -> Option<Identified> {
        self.identify(&point(embedding))
    }

    fn set_user_thresholds(&mut self, thresholds: Thresholds) {
        self.set_user_thresholds(thresholds);
    }

    fn user_thresholds(&self) -> Thresholds {
        self.user_thresholds()
    }

    fn thresholds(&self) -> Thresholds {
        self.thresholds()
    }

    fn entries(&self) -> Vec<(Label, u16, &[i16])> {
        let entries = Gallery::entries(self).iter();
        entries
            .map(|entry| (entry.label(), entry.examples(), &entry.coordinates()[..]))
            .collect()
    }

    fn load(&mut self, model: &Model<'_>, stored: &[u8]) -> Result<(), LoadError> {
        Gallery::load(self, model, stored)
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut buffer = vec![0; Self::STORED_MAX];
        // There is room for the largest.
        Gallery::to_bytes(self, &mut buffer)
            .map(|stored| stored.to_vec())
            .unwrap_or_default()
    }
}

/// An embedding of a known dimension; of another length, what is missing is 0.
fn point<const D: usize>(embedding: &[i16]) -> Embedding<D> {
    let mut coordinates = [0; D];
    let steps = coordinates.iter_mut().zip(embedding);
    steps.for_each(|(coordinate, &step)| *coordinate = step);
    Embedding(coordinates)
}

/// An empty gallery of a known dimension.
fn empty<const D: usize>(model: &Model<'_>) -> Result<Box<dyn AnyGallery>, SizeError> {
    let mut gallery = Box::new(Gallery::<D, CAPACITY>::for_fingerprint(0));
    gallery.reset_for(model)?;
    Ok(gallery)
}

/// Calls [`empty`] for the dimension among those listed.
macro_rules! empty_for {
    ($model:expr; $($dim:literal)*) => {
        match $model.dim() {
            $($dim => empty::<$dim>($model),)*
            found => Err(SizeError::Dimension { model: found, asked: 64 }),
        }
    };
}

/// An empty gallery for a model's embeddings, with the thresholds that it was calibrated for.
///
/// # Errors
/// If the model has more coordinates than any can have.
pub fn any_gallery(model: &Model<'_>) -> Result<Box<dyn AnyGallery>, SizeError> {
    empty_for!(model;
        1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32
        33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61
        62 63 64
    )
}
