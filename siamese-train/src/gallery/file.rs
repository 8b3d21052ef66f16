//! Galleries on the host: those of a device, for a model of any dimension, with
//! the names of their labels, in files.
//!
//! A file is what a device stores, and behind it, where labels have names, the
//! table of these ([`siamese_core::gallery::names`]).

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
use crate::limit;

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
        Self::parse(model, &bytes_of(path)?)
            .map_err(|error| anyhow!("cannot use {}: {error}", path.display()))
    }

    /// The same for a file's bytes.
    ///
    /// # Errors
    /// As [`read`](Self::read), without the file's name.
    pub fn parse(model: &Model<'_>, bytes: &[u8]) -> Result<Self> {
        let (gallery, stored_names) = parts(bytes)?;
        let gallery = any_gallery(model, Some(gallery))?;
        let labels: Vec<Label> = gallery.entries().iter().map(|&(label, _)| label).collect();
        // A label without a name is called by its number, which no other may be.
        let mut names = ClassNames::numbers().of(&labels);
        for (label, name) in &stored_names {
            names.set(*label, name)?;
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
        let bytes = bytes_of(path)?;
        let (stored, _) = parts(&bytes)?;
        let place = |label: Label| labels.binary_search(&label).map(|place| here[place]);
        self.gallery
            .merge_bytes(model, stored, &|label| place(label).unwrap_or(label))
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

fn bytes_of(path: &Path) -> Result<Vec<u8>> {
    limit::read(path)
        .map_err(|error| anyhow!("cannot open {} ({error}); check the path", path.display()))
}

/// The stored gallery of a file's bytes, and its names by label.
fn parts(bytes: &[u8]) -> Result<(&[u8], StoredNames)> {
    let (gallery, rest) = names::split(bytes)?;
    if rest.is_empty() {
        return Ok((gallery, Vec::new()));
    }
    let table = Names::<CAPACITY, MAX_CLASS_NAME>::from_bytes(rest)?;
    let names = table.iter().map(|(label, name)| (label, name.to_owned()));
    Ok((gallery, names.collect()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use siamese_core::Requantise;
    use siamese_core::image::{Input, Pooling};
    use siamese_core::model::{
        Calibration, Header, LayerParts, Precision, Scales, encode, encoded_len,
    };

    use super::*;

    /// A model of one weight value, with `dim` coordinates and thresholds of 100 and 50.
    fn model_bytes(dim: u16, weight: i8) -> Vec<u8> {
        let header = Header {
            name: "one",
            input: Input {
                width: 2,
                height: 1,
                pooling: Pooling::None,
                deskew: false,
            },
            sizes: [3, 2, dim],
            precision: Precision::INT8,
            scales: Scales {
                hidden: [1.0; 2],
                embedding: 1.0,
            },
            training_digest: [0; 32],
            quality: None,
            calibration: Some(Calibration {
                false_accept_rate: 0.01,
                false_reject_rate: 0.1,
                prototype_threshold: 100,
                pair_threshold: 50,
                spread: 10,
                allowance: 0,
            }),
        };
        let (weights, biases) = ([weight; 256], [0; 256]);
        let requantise = [Requantise::new(1, 1).unwrap(); 256];
        let layers = [0, 1, 2].map(|layer| {
            let (inputs, outputs) = header.shapes()[layer];
            LayerParts {
                weights: &weights[..inputs * outputs],
                biases: &biases[..outputs],
                requantise: &requantise[..outputs],
            }
        });
        let mut bytes = vec![0; encoded_len(&header).unwrap()];
        encode(&header, &layers, &mut bytes).unwrap();
        bytes
    }

    const MODELS: Thresholds = Thresholds {
        prototype: Some(100),
        pair: Some(50),
    };

    #[test]
    fn a_gallery_of_any_dimension_does_as_a_devices() {
        for dim in [1, 2, 33, 64] {
            let bytes = model_bytes(dim, 1);
            let model = Model::parse_any(&bytes).unwrap();
            let at = |first: i16| {
                let mut point = vec![-7; dim.into()];
                point[0] = first;
                point
            };
            let mut gallery = any_gallery(&model, None).unwrap();
            assert_eq!(gallery.identify(&at(0)), None);
            assert_eq!(gallery.enrol(3, &at(10)), Ok(1));
            assert_eq!(gallery.enrol(3, &at(20)), Ok(2));
            assert_eq!(gallery.enrol(1, &at(-40)), Ok(1));
            assert_eq!(gallery.entries(), [(3, 2), (1, 1)]);
            assert_eq!(gallery.points(), [(3, &at(15)[..]), (1, &at(-40))]);
            let found = gallery.identify(&at(-30)).unwrap();
            assert_eq!((found.nearest.label, found.label()), (1, Some(1)));
            // 11 squared is beyond the model's 100, and within the user's 121.
            assert_eq!(gallery.identify(&at(26)).unwrap().label(), None);
            assert_eq!(gallery.thresholds(), MODELS);
            assert_eq!(gallery.user_thresholds(), Thresholds::NONE);
            let own = Thresholds {
                prototype: Some(121),
                pair: None,
            };
            gallery.set_user_thresholds(own);
            assert_eq!(gallery.identify(&at(26)).unwrap().label(), Some(3));
            assert_eq!(gallery.user_thresholds(), own);
            assert_eq!(
                gallery.thresholds(),
                Thresholds {
                    pair: Some(50),
                    ..own
                }
            );

            let stored = gallery.to_bytes();
            let mut again = any_gallery(&model, Some(&stored)).unwrap();
            assert_eq!(again.points(), gallery.points());
            assert_eq!(again.entries(), gallery.entries());
            assert_eq!(again.user_thresholds(), own);
            assert_eq!((again.forget(3), again.forget(9)), (1, 0));
            assert_eq!(again.entries(), [(1, 1)]);
            // Two examples of 3 as 1, beside the one there: (10 + 20 - 40) / 3.
            again
                .merge_bytes(&model, &stored, &|label| label / 3)
                .unwrap();
            assert_eq!(again.entries(), [(1, 3), (0, 1)]);
            assert_eq!(again.points(), [(1, &at(-3)[..]), (0, &at(-40))]);
        }
    }

    #[test]
    fn what_another_model_made_is_refused() {
        let [bytes, other] = [model_bytes(2, 1), model_bytes(2, 2)];
        let [model, other] = [&bytes, &other].map(|bytes| Model::parse_any(bytes).unwrap());
        let mut gallery = any_gallery(&model, None).unwrap();
        gallery.enrol(3, &[1, 2]).unwrap();
        let stored = gallery.to_bytes();
        assert!(any_gallery(&other, Some(&stored)).is_err());
        let mut gallery = any_gallery(&other, None).unwrap();
        assert!(
            gallery
                .merge_bytes(&other, &stored, &|label| label)
                .is_err()
        );
        assert_eq!(gallery.entries(), []);
    }

    #[test]
    fn files_keep_galleries_and_names() {
        let bytes = model_bytes(2, 1);
        let model = Model::parse_any(&bytes).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let [plain, named] = ["plain", "named"].map(|name| folder.path().join(name));
        let mut one = NamedGallery::new(&model).unwrap();
        for (label, point) in [(7, [1, 2]), (2, [3, 4]), (7, [1, 2])] {
            one.gallery.enrol(label, &point).unwrap();
        }
        // Without names a file holds what a device stores.
        assert_eq!(one.write(&plain).unwrap(), one.gallery.to_bytes().len());
        assert_eq!(fs::read(&plain).unwrap(), one.gallery.to_bytes());
        let read = NamedGallery::read(&model, &plain).unwrap();
        assert_eq!(read.gallery.entries(), [(7, 2), (2, 1)]);
        assert_eq!(read.names.iter().collect::<Vec<_>>(), [(2, "2"), (7, "7")]);

        one.names.set(7, "cat").unwrap();
        let length = one.write(&named).unwrap();
        assert_eq!(fs::read(&named).unwrap().len(), length);
        assert!(length > one.gallery.to_bytes().len());
        let mut read = NamedGallery::read(&model, &named).unwrap();
        assert_eq!(read.gallery.points(), one.gallery.points());
        assert_eq!(
            read.names.iter().collect::<Vec<_>>(),
            [(2, "2"), (7, "cat")]
        );

        // `cat` is 0 in the other one, and `dog` is new; `dog` gets the lowest free label.
        let mut other = NamedGallery::new(&model).unwrap();
        other.names = ClassNames::new(["cat", "dog"]);
        other.gallery.enrol(0, &[4, 8]).unwrap();
        other.gallery.enrol(1, &[9, 9]).unwrap();
        other.write(&plain).unwrap();
        read.merge(&model, &plain).unwrap();
        assert_eq!(read.gallery.entries(), [(7, 3), (2, 1), (0, 1)]);
        assert_eq!(
            read.gallery.points(),
            [(7, &[2, 4][..]), (2, &[3, 4]), (0, &[9, 9])]
        );
        let names: Vec<_> = read.names.iter().collect();
        assert_eq!(names, [(0, "dog"), (2, "2"), (7, "cat")]);
        assert_eq!(read.labels(), [0, 2, 7]);

        let error = NamedGallery::read(&model, &folder.path().join("none"))
            .err()
            .unwrap();
        assert!(error.to_string().contains("check the path"), "{error}");
        fs::write(&plain, b"no gallery").unwrap();
        let error = NamedGallery::read(&model, &plain).err().unwrap();
        assert!(error.to_string().starts_with("cannot use "), "{error}");
    }

    #[test]
    fn labels_at_one_place_are_found() {
        let bytes = model_bytes(2, 1);
        let model = Model::parse_any(&bytes).unwrap();
        let mut named = NamedGallery::new(&model).unwrap();
        for (label, point) in [(5, [1, 2]), (9, [1, 3]), (4, [1, 2]), (6, [2, 2])] {
            named.gallery.enrol(label, &point).unwrap();
        }
        assert_eq!(named.identical(), [(4, 5)]);
        // Two examples that a device keeps apart are of one label, which is no wonder.
        let mut device = Gallery::<2, 8>::new(&model).unwrap();
        for label in [8, 8, 3] {
            let point = [i16::from(label == 3), 0];
            device.enrol_exemplar(label, &Embedding(point)).unwrap();
        }
        let mut buffer = [0; Gallery::<2, 8>::STORED_MAX];
        let stored = device.to_bytes(&mut buffer).unwrap();
        named.gallery = any_gallery(&model, Some(stored)).unwrap();
        assert_eq!(named.gallery.entries(), [(8, 1), (8, 1), (3, 1)]);
        assert_eq!((named.identical(), named.labels()), (vec![], vec![3, 8]));
    }
}
