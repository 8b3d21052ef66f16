//! Labelled images: from folders of pictures, from IDX files, or from a public set
//! that is known by name.
//!
//! An IDX file is what MNIST comes in: a small header and raw bytes, often
//! packed by gzip. [`Images::read`] and [`read_labels`] take both forms.

mod fetch;
mod folders;
mod idx;
mod names;
pub mod pictures;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

pub use fetch::{Fetched, fetch};
pub use folders::Folders;
pub use idx::{parse_labels, read_labels};
pub use names::ClassNames;

/// The number of a class. Its name is in [`ClassNames`].
pub type Class = u16;

/// The length of a table that has a place for each of these classes by its
/// number: the largest, plus one.
#[must_use]
pub fn class_slots(labels: &[Class]) -> usize {
    labels
        .iter()
        .max()
        .map_or(0, |&class| usize::from(class) + 1)
}

/// Grey images of one size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Images {
    /// Images of `width` x `height` from their grey values: row-major, one
    /// image after the other, 0 = background.
    ///
    /// # Errors
    /// If a side is zero or `pixels` is not a whole number of images.
    pub fn new(width: usize, height: usize, pixels: Vec<u8>) -> Result<Self> {
        let size = width.checked_mul(height).unwrap_or(0);
        ensure!(
            size > 0,
            "images of {width}x{height} pixels are not possible"
        );
        ensure!(
            pixels.len().is_multiple_of(size),
            "{} bytes are no whole number of {width}x{height} images",
            pixels.len()
        );
        Ok(Self {
            width,
            height,
            pixels,
        })
    }

    /// Pixels in a row.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.width
    }

    /// Rows of an image.
    #[must_use]
    pub const fn height(&self) -> usize {
        self.height
    }

    /// Pixels of an image: `width * height`.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.width * self.height
    }

    /// The number of images.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.pixels.len() / self.size()
    }

    /// Whether there is no image.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.pixels.is_empty()
    }

    /// The `width * height` grey values of image `index`.
    ///
    /// # Panics
    /// If there is no such image.
    #[must_use]
    pub fn get(&self, index: usize) -> &[u8] {
        &self.pixels[index * self.size()..][..self.size()]
    }

    /// The images in order, each as its `width * height` grey values.
    pub fn iter(&self) -> std::slice::ChunksExact<'_, u8> {
        self.pixels.chunks_exact(self.size())
    }

    /// All grey values, image after image.
    #[must_use]
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The images of these indices, in this order.
    ///
    /// # Panics
    /// If an index is too large.
    #[must_use]
    pub fn subset(&self, indices: &[usize]) -> Self {
        let mut pixels = Vec::with_capacity(indices.len() * self.size());
        for &index in indices {
            pixels.extend_from_slice(self.get(index));
        }
        Self { pixels, ..*self }
    }
}

impl<'a> IntoIterator for &'a Images {
    type Item = &'a [u8];
    type IntoIter = std::slice::ChunksExact<'a, u8>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Images and the class of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dataset {
    /// The images.
    pub images: Images,
    /// One class an image, in the images' order.
    pub labels: Vec<Class>,
    /// What the classes are called.
    pub names: ClassNames,
}

impl Dataset {
    /// Joins images and labels; the classes are called by their numbers.
    ///
    /// # Errors
    /// If their numbers differ.
    pub fn new(images: Images, labels: Vec<Class>) -> Result<Self> {
        ensure!(
            images.len() == labels.len(),
            "there are {} images and {} labels",
            images.len(),
            labels.len()
        );
        Ok(Self {
            images,
            labels,
            names: ClassNames::numbers(),
        })
    }

    /// The same with names for the classes.
    #[must_use]
    pub fn with_names(self, names: ClassNames) -> Self {
        Self { names, ..self }
    }

    /// Reads an IDX file of images and the one of their labels, raw or `.gz`.
    ///
    /// # Errors
    /// As [`Images::read`] and [`read_labels`], and if the counts differ.
    pub fn read(images: &Path, labels: &Path) -> Result<Self> {
        let images_read = Images::read(images)?;
        let labels_read: Vec<Class> = read_labels(labels)?.into_iter().map(Class::from).collect();
        ensure!(
            images_read.len() == labels_read.len(),
            "{} holds {} images and {} holds {} labels; give the two files of one set",
            images.display(),
            images_read.len(),
            labels.display(),
            labels_read.len()
        );
        Self::new(images_read, labels_read)
    }

    /// Loads one part of a known set. The files are looked for in
    /// `dir/<source>/` and then in `dir` itself, each raw and then `.gz`, and
    /// under its other usual name, `train-images.idx3-ubyte`.
    ///
    /// # Errors
    /// As [`read`](Self::read); a missing file's message says how to get it.
    pub fn load(dir: &Path, source: Source, split: Split) -> Result<Self> {
        let [images, labels] = source.files(split);
        let set = Self::read(&find(dir, source, images)?, &find(dir, source, labels)?)?;
        Ok(set.with_names(source.into()))
    }

    /// The number of images.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The images and labels of these indices, in this order.
    ///
    /// # Panics
    /// If an index is too large.
    #[must_use]
    pub fn subset(&self, indices: &[usize]) -> Self {
        Self {
            images: self.images.subset(indices),
            labels: indices.iter().map(|&index| self.labels[index]).collect(),
            names: self.names.clone(),
        }
    }

    /// The images of all classes but these.
    #[must_use]
    pub fn without(&self, classes: &BTreeSet<Class>) -> Self {
        let others: Vec<usize> = (0..self.len())
            .filter(|&index| !classes.contains(&self.labels[index]))
            .collect();
        self.subset(&others)
    }

    /// Holds out `fraction` of the images, drawn by `seed`: the others, and
    /// those held out, each in their order here.
    #[must_use]
    pub fn hold_out(&self, fraction: f64, seed: u64) -> (Self, Self) {
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        let (held_out, others) = order.split_at_mut(self.held_out(fraction));
        held_out.sort_unstable();
        others.sort_unstable();
        (self.subset(others), self.subset(held_out))
    }

    /// The number of images that [`hold_out`](Self::hold_out) holds out.
    #[must_use]
    pub fn held_out(&self, fraction: f64) -> usize {
        (self.len() as f64 * fraction) as usize
    }

    /// The classes that occur, ascending.
    #[must_use]
    pub fn classes(&self) -> Vec<Class> {
        let present: BTreeSet<Class> = self.labels.iter().copied().collect();
        present.into_iter().collect()
    }
}

/// Where a file of a known set is.
fn find(dir: &Path, source: Source, name: &str) -> Result<PathBuf> {
    let folder = dir.join(source.name());
    let dotted = name.replace("-idx", ".idx");
    for place in [folder.as_path(), dir] {
        for name in [name, &dotted] {
            for file in [place.join(name), place.join(format!("{name}.gz"))] {
                if file.is_file() {
                    return Ok(file);
                }
            }
        }
    }
    bail!(
        "{} is missing; get it with `siamese-train data --dataset {source} --dir {}`",
        folder.join(name).display(),
        dir.display()
    )
}

/// A public set that is known by name: 28x28 images of ten classes, 60,000 to
/// train and 10,000 to test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// Handwritten digits.
    Mnist,
    /// Photographs of clothes, in the form of MNIST.
    FashionMnist,
}

impl Source {
    /// All known sets.
    pub const ALL: [Self; 2] = [Self::Mnist, Self::FashionMnist];

    /// The name on the command line and of the folder: `mnist`, `fashion-mnist`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mnist => "mnist",
            Self::FashionMnist => "fashion-mnist",
        }
    }

    /// The name for people: `MNIST`, `Fashion-MNIST`.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Mnist => "MNIST",
            Self::FashionMnist => "Fashion-MNIST",
        }
    }

    /// The names of the ten classes, by label.
    #[must_use]
    pub const fn class_names(self) -> [&'static str; 10] {
        match self {
            Self::Mnist => ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
            Self::FashionMnist => [
                "T-shirt",
                "trousers",
                "pullover",
                "dress",
                "coat",
                "sandal",
                "shirt",
                "sneaker",
                "bag",
                "ankle boot",
            ],
        }
    }

    /// The file names of a part: images, labels.
    #[must_use]
    pub const fn files(self, split: Split) -> [&'static str; 2] {
        match split {
            Split::Train => ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"],
            Split::Test => ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"],
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A part of a known set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Split {
    /// The 60,000 images to train with.
    Train,
    /// The 10,000 images to measure with, and for nothing else.
    Test,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subsets_keep_images_and_labels_together() {
        let images = Images::new(2, 1, vec![0, 1, 10, 11, 20, 21]).unwrap();
        let set = Dataset::new(images, vec![5, 6, 5]).unwrap();
        assert_eq!(set.classes(), [5, 6]);
        let part = set.subset(&[2, 0, 2]);
        assert_eq!(part.labels, [5, 5, 5]);
        assert_eq!(part.images.pixels(), [20, 21, 0, 1, 20, 21]);
        assert_eq!(part.images.iter().count(), part.len());
        assert!(!part.is_empty() && set.subset(&[]).is_empty());
    }

    #[test]
    fn classes_can_be_left_out() {
        let images = Images::new(1, 1, vec![10, 11, 12, 13]).unwrap();
        let set = Dataset::new(images, vec![3, 1, 3, 2]).unwrap();
        let others = set.without(&[3, 7].into());
        assert_eq!(others.labels, [1, 2]);
        assert_eq!(others.images.pixels(), [11, 13]);
        assert_eq!(set.without(&BTreeSet::new()), set);
    }

    #[test]
    fn held_out_images_are_in_no_other_part() {
        let images = Images::new(1, 1, (0..100).collect()).unwrap();
        let set = Dataset::new(images, (0..100).collect()).unwrap();
        let (others, held_out) = set.hold_out(0.2, 3);
        assert_eq!((others.len(), held_out.len()), (80, 20));
        let mut all = [others.labels.clone(), held_out.labels.clone()].concat();
        all.sort_unstable();
        assert_eq!(all, set.labels);
        let pixels: Vec<Class> = held_out
            .images
            .pixels()
            .iter()
            .copied()
            .map(Class::from)
            .collect();
        assert_eq!(pixels, held_out.labels);
        assert_ne!(held_out, set.hold_out(0.2, 4).1);
        assert_eq!(set.hold_out(0.0, 3).0, set);
    }

    #[test]
    fn impossible_sets_are_refused() {
        assert!(Images::new(0, 3, vec![]).is_err());
        assert!(Images::new(usize::MAX, 2, vec![1]).is_err());
        assert!(Images::new(2, 2, vec![1; 5]).is_err());
        assert!(Dataset::new(Images::new(1, 1, vec![0]).unwrap(), vec![]).is_err());
    }

    #[test]
    fn a_set_is_found_under_both_of_its_names() {
        let folder = tempfile::tempdir().unwrap();
        let images = [0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 77];
        let labels = [0, 0, 8, 1, 0, 0, 0, 1, 5];
        std::fs::write(folder.path().join("t10k-images.idx3-ubyte"), images).unwrap();
        std::fs::write(folder.path().join("t10k-labels-idx1-ubyte"), labels).unwrap();
        let set = Dataset::load(folder.path(), Source::FashionMnist, Split::Test).unwrap();
        assert_eq!(
            (set.images.pixels(), set.labels.as_slice()),
            (&[77][..], &[5][..])
        );
        assert_eq!(set.names.get(5), "sandal");
        assert_eq!(set.subset(&[0]).names.get(5), "sandal");
    }

    #[test]
    fn a_missing_set_says_how_to_get_it() {
        let folder = tempfile::tempdir().unwrap();
        let error = Dataset::load(folder.path(), Source::FashionMnist, Split::Test).unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains("t10k-images-idx3-ubyte"), "{error}");
        assert!(
            error.contains("siamese-train data --dataset fashion-mnist"),
            "{error}"
        );
    }
}
