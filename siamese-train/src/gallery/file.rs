//! Galleries on the host: those of a device, for a model of any dimension, in
//! files that a device can read.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};
use siamese_core::gallery::{Gallery, GalleryError, Identified, Label, LoadError, Thresholds};
use siamese_core::model::Model;
use siamese_core::{Embedding, SizeError};

use crate::dataset::pictures::{self, Options, Pictures};

/// The entries that a gallery on the host has room for.
pub const CAPACITY: usize = 256;

/// A [`Gallery`] whose number of coordinates is known at run time only.
/// Embeddings must have the coordinates of its model.
pub trait AnyGallery {
    /// As [`Gallery::enrol`].
    ///
    /// # Errors
    /// As there.
    fn enrol(&mut self, label: Label, embedding: &[i16]) -> Result<u16, GalleryError>;

    /// As [`Gallery::identify`].
    fn identify(&self, embedding: &[i16]) -> Option<Identified>;

    /// As [`Gallery::forget`].
    fn forget(&mut self, label: Label) -> usize;

    /// As [`Gallery::set_user_thresholds`].
    fn set_user_thresholds(&mut self, thresholds: Thresholds);

    /// As [`Gallery::user_thresholds`].
    fn user_thresholds(&self) -> Thresholds;

    /// As [`Gallery::thresholds`].
    fn thresholds(&self) -> Thresholds;

    /// Label and examples of each entry.
    fn entries(&self) -> Vec<(Label, u16)>;

    /// As [`Gallery::to_bytes`].
    fn to_bytes(&self) -> Vec<u8>;
}

impl<const D: usize> AnyGallery for Gallery<D, CAPACITY> {
    fn enrol(&mut self, label: Label, embedding: &[i16]) -> Result<u16, GalleryError> {
        self.enrol(label, &point(embedding))
    }

    fn identify(&self, embedding: &[i16]) -> Option<Identified> {
        self.identify(&point(embedding))
    }

    fn forget(&mut self, label: Label) -> usize {
        self.forget(label)
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

    fn entries(&self) -> Vec<(Label, u16)> {
        let entries = Gallery::entries(self).iter();
        entries
            .map(|entry| (entry.label(), entry.examples()))
            .collect()
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut buffer = vec![0; Self::STORED_MAX];
        let written = Gallery::to_bytes(self, &mut buffer);
        written.expect("the largest gallery fits").to_vec()
    }
}

/// An embedding of a known dimension.
fn point<const D: usize>(embedding: &[i16]) -> Embedding<D> {
    Embedding(
        embedding
            .try_into()
            .expect("an embedding of the gallery's model"),
    )
}

/// Either a new gallery, or one from bytes.
fn open<const D: usize>(
    model: &Model<'_>,
    stored: Option<&[u8]>,
) -> Result<Box<dyn AnyGallery>, LoadError> {
    let gallery = match stored {
        Some(bytes) => Gallery::<D, CAPACITY>::from_bytes(model, bytes)?,
        None => Gallery::new(model).map_err(|error| match error {
            SizeError::Dimension { model, .. } => LoadError::Dimension {
                found: model as u16,
                expected: D,
            },
            _ => LoadError::Contents,
        })?,
    };
    Ok(Box::new(gallery))
}

/// Calls [`open`] for the dimension among those listed.
macro_rules! open_for {
    ($dim:expr, $model:expr, $stored:expr; $($d:literal)*) => {
        match $dim {
            $($d => open::<$d>($model, $stored),)*
            found => Err(LoadError::Dimension { found: found as u16, expected: 64 }),
        }
    };
}

/// A gallery for the model's embeddings: an empty one, or the one that was
/// `stored`. The model's thresholds are those that it was calibrated for.
///
/// # Errors
/// If what was stored is damaged, or was made with another model.
pub fn any_gallery(
    model: &Model<'_>,
    stored: Option<&[u8]>,
) -> Result<Box<dyn AnyGallery>, LoadError> {
    open_for!(
        model.dim(), model, stored;
        1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32
        33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61
        62 63 64
    )
}

/// Reads the gallery of a file.
///
/// # Errors
/// One sentence that names the file and says what is wrong with it.
pub fn read_gallery(model: &Model<'_>, path: &Path) -> Result<Box<dyn AnyGallery>> {
    let bytes = fs::read(path)
        .map_err(|error| anyhow!("cannot open {} ({error}); check the path", path.display()))?;
    any_gallery(model, Some(&bytes))
        .map_err(|error| anyhow!("cannot use {}: {error}", path.display()))
}

/// The folders in a folder that are named by a label, such as `7`.
///
/// # Errors
/// If there are none, or one has another name.
pub fn label_folders(path: &Path) -> Result<Vec<(Label, PathBuf)>> {
    let mut folders = Vec::new();
    for (name, folder) in pictures::class_folders(path)? {
        let Ok(label) = name.parse() else {
            bail!(
                "{} is no label: name each folder by a number from 0 to 65535",
                folder.display()
            );
        };
        folders.push((label, folder));
    }
    Ok(folders)
}

/// Reads picture files into images of the model's size.
///
/// # Errors
/// As [`pictures::read`].
pub fn load_images(model: &Model<'_>, paths: &[PathBuf], options: &Options) -> Result<Pictures> {
    let input = model.header().input;
    pictures::read(paths, input.width.into(), input.height.into(), options)
}
