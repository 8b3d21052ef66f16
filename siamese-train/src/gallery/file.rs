//! Galleries on the host: those of a device, for a model of any dimension, with
//! the names of their labels, in files.
//!
//! A file is what a device stores, and behind it, where labels have names, the
//! table of these ([`siamese_core::gallery::names`]).

use std::fs;
use std::panic::resume_unwind;
use std::path::Path;
use std::thread;

use anyhow::{Context, Result, anyhow};
use siamese_core::gallery::names::{self, Names};
use siamese_core::gallery::{Gallery, GalleryError, Identified, Label, LoadError, Thresholds};
use siamese_core::model::Model;
use siamese_core::{Embedding, SizeError};

use crate::dataset::ClassNames;
use crate::files::write_atomic;

/// The entries that a gallery on the host has room for: a thousand classes and
/// as many again.
pub const CAPACITY: usize = 2048;
/// The bytes of a name in a gallery's file. Devices take as many as they have
/// room for, 15 as a rule.
pub const MAX_CLASS_NAME: usize = 63;
/// The stack, in bytes, of a thread that moves galleries about. It is taken from
/// the system as far as it is used.
const STACK: usize = 64 << 20;

/// A [`Gallery`] whose number of coordinates is known at run time only.
/// Embeddings must have the coordinates of its model.
pub trait AnyGallery: Send {
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

    /// Label and point of each entry, in steps.
    fn points(&self) -> Vec<(Label, &[i16])>;

    /// As [`Gallery::merge`], with what a file of the same model holds.
    ///
    /// # Errors
    /// As there, and if the bytes are no gallery of this model.
    fn merge_bytes(
        &mut self,
        model: &Model<'_>,
        stored: &[u8],
        label: &(dyn Fn(Label) -> Label + Sync),
    ) -> Result<()>;

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

    fn points(&self) -> Vec<(Label, &[i16])> {
        let entries = Gallery::entries(self).iter();
        entries
            .map(|entry| (entry.label(), entry.coordinates().as_slice()))
            .collect()
    }

    fn merge_bytes(
        &mut self,
        model: &Model<'_>,
        stored: &[u8],
        label: &(dyn Fn(Label) -> Label + Sync),
    ) -> Result<()> {
        let other = with_room(|| Self::from_bytes(model, stored).map(Box::new))?;
        Ok(self.merge(&other, label)?)
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

/// Does what moves whole galleries about, of half a megabyte each: more than the
/// stack of every thread has room for.
fn with_room<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(STACK);
        let thread = thread.spawn_scoped(scope, work);
        match thread.expect("a thread can be started").join() {
            Ok(done) => done,
            Err(panic) => resume_unwind(panic),
        }
    })
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
    with_room(|| {
        open_for!(
            model.dim(), model, stored;
            1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32
            33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61
            62 63 64
        )
    })
}

/// A gallery and the names of its labels.
pub struct NamedGallery {
    /// What is enrolled.
    pub gallery: Box<dyn AnyGallery>,
    /// What the labels are called.
    pub names: ClassNames,
}

impl NamedGallery {
    /// An empty one for a model's embeddings.
    ///
    /// # Errors
    /// If the model has more coordinates than a gallery can have.
    pub fn new(model: &Model<'_>) -> Result<Self> {
        let gallery = any_gallery(model, None).context("cannot make a gallery for this model")?;
        Ok(Self {
            gallery,
            names: ClassNames::numbers(),
        })
    }

    /// Reads the gallery of a file, with the names if it has any.
    ///
    /// # Errors
    /// One sentence that names the file and says what is wrong with it, such as
    /// that another model made it.
    pub fn read(model: &Model<'_>, path: &Path) -> Result<Self> {
        let (gallery, stored_names) = parts(path)?;
        let unusable = |why: String| anyhow!("cannot use {}: {why}", path.display());
        let gallery = any_gallery(model, Some(&gallery));
        let gallery = gallery.map_err(|error| unusable(error.to_string()))?;
        let labels: Vec<Label> = gallery.entries().iter().map(|&(label, _)| label).collect();
        // A label without a name is called by its number, which no other may be.
        let mut names = ClassNames::numbers().of(&labels);
        for (label, name) in &stored_names {
            names
                .set(*label, name)
                .map_err(|error| unusable(error.to_string()))?;
        }
        Ok(Self { gallery, names })
    }

    /// Takes the gallery of another file of the same model in: labels of one
    /// name are one, and a name that is new here gets a label of its own.
    ///
    /// # Errors
    /// As [`read`](Self::read), and if there is no room.
    pub fn merge(&mut self, model: &Model<'_>, path: &Path) -> Result<()> {
        let other = Self::read(model, path)?;
        let context = || format!("cannot take in {}", path.display());
        let (labels, called): (Vec<Label>, Vec<&str>) = other.names.iter().unzip();
        let here = self.names.label_all(&called).with_context(context)?;
        let (stored, _) = parts(path)?;
        let place = |label: Label| labels.binary_search(&label).map(|place| here[place]);
        self.gallery
            .merge_bytes(model, &stored, &|label| place(label).unwrap_or(label))
            .with_context(context)
    }

    /// Writes the file; its length.
    ///
    /// # Errors
    /// If it can't be written, or a name is too long for it.
    pub fn write(&self, path: &Path) -> Result<usize> {
        let mut bytes = self.gallery.to_bytes();
        let mut table = Box::new(Names::<CAPACITY, MAX_CLASS_NAME>::new());
        for (label, _) in self.gallery.entries() {
            if self.names.is_named(label) {
                let name = self.names.get(label);
                table
                    .set(label, &name)
                    .map_err(|error| anyhow!("cannot store the name {name:?}: {error}"))?;
            }
        }
        if table.iter().next().is_some() {
            let mut buffer = vec![0; Names::<CAPACITY, MAX_CLASS_NAME>::STORED_MAX];
            bytes.extend_from_slice(table.to_bytes(&mut buffer)?);
        }
        write_atomic(path, |out| Ok(out.write_all(&bytes)?))?;
        Ok(bytes.len())
    }

    /// The labels, ascending.
    #[must_use]
    pub fn labels(&self) -> Vec<Label> {
        let entries = self.gallery.entries();
        let mut labels: Vec<Label> = entries.iter().map(|&(label, _)| label).collect();
        labels.sort_unstable();
        labels.dedup();
        labels
    }

    /// Pairs of labels whose points are the very same: no image can be told to
    /// be one of them and not the other.
    #[must_use]
    pub fn identical(&self) -> Vec<(Label, Label)> {
        let mut points = self.gallery.points();
        points.sort_by(|(a, first), (b, second)| first.cmp(second).then(a.cmp(b)));
        let pairs = points.windows(2);
        pairs
            .filter(|pair| pair[0].1 == pair[1].1 && pair[0].0 != pair[1].0)
            .map(|pair| (pair[0].0, pair[1].0))
            .collect()
    }
}

/// Labels and their names, as a file holds them.
type StoredNames = Vec<(Label, String)>;

/// The stored gallery of a file, and its names by label.
fn parts(path: &Path) -> Result<(Vec<u8>, StoredNames)> {
    let bytes = fs::read(path)
        .map_err(|error| anyhow!("cannot open {} ({error}); check the path", path.display()))?;
    let unusable = |why: String| anyhow!("cannot use {}: {why}", path.display());
    let (gallery, rest) = names::split(&bytes).map_err(|error| unusable(error.to_string()))?;
    if rest.is_empty() {
        return Ok((gallery.to_vec(), Vec::new()));
    }
    let table = Names::<CAPACITY, MAX_CLASS_NAME>::from_bytes(rest);
    let table = table.map_err(|error| unusable(error.to_string()))?;
    let names = table.iter().map(|(label, name)| (label, name.to_owned()));
    Ok((gallery.to_vec(), names.collect()))
}
