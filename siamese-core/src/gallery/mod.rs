//! What the device has been shown: embeddings with labels, to tell which of
//! them a new one looks like.
//!
//! A [`Gallery`] holds a fixed number of entries in memory of its own. An entry
//! is either a *prototype*, the mean of all examples that were enrolled under
//! its label, or an *exemplar*, one example kept as it was. All of it is
//! integers, so a device and a host that enrol the same images in the same
//! order hold the same bytes and give the same answers.
//!
//! ```
//! use siamese_core::Embedding;
//! use siamese_core::gallery::Gallery;
//!
//! let mut gallery = Gallery::<2, 8>::for_fingerprint(0);
//! gallery.enrol(7, &Embedding([100, 0]))?;
//! gallery.enrol(7, &Embedding([110, 3]))?;
//! gallery.enrol(9, &Embedding([-80, 60]))?;
//!
//! let found = gallery.identify(&Embedding([98, -4])).unwrap();
//! assert_eq!(found.nearest.label, 7);
//! assert_eq!(found.runner_up.unwrap().label, 9);
//! # Ok::<(), siamese_core::gallery::GalleryError>(())
//! ```
//!
//! Ties go to the lower label, and among one label's entries to the one that
//! was enrolled first.

#[cfg(feature = "storage")]
mod flash;
mod stored;

use core::fmt;

use heapless::Vec;
use serde::{Deserialize, Serialize};

use crate::embedding::Embedding;
use crate::error::SizeError;
use crate::model::Model;

#[cfg(feature = "storage")]
pub use flash::{GalleryStore, StoreError};
pub use stored::{LoadError, NoRoom};

/// What is enrolled, as a number; what it means is the application's.
pub type Label = u16;

/// One entry of a [`Gallery`].
///
/// The mean of the examples is kept exactly: `sum = mean * examples +
/// remainder` for each coordinate, `mean` being the nearest whole number, halves
/// upwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Entry<const D: usize> {
    label: Label,
    /// 0 for an exemplar, which takes no further examples.
    examples: u16,
    mean: [i16; D],
    remainder: [i16; D],
}

impl<const D: usize> Entry<D> {
    /// What it is an entry for.
    #[must_use]
    pub const fn label(&self) -> Label {
        self.label
    }

    /// The point that embeddings are compared with.
    #[must_use]
    pub const fn point(&self) -> Embedding<D> {
        Embedding(self.mean)
    }

    /// The examples that the point is the mean of; 1 for an exemplar.
    #[must_use]
    pub const fn examples(&self) -> u16 {
        if self.examples == 0 { 1 } else { self.examples }
    }

    /// Whether it is one example, kept as it was.
    #[must_use]
    pub const fn is_exemplar(&self) -> bool {
        self.examples == 0
    }

    /// Takes one more example into the mean.
    fn add(&mut self, example: &Embedding<D>) -> Result<(), GalleryError> {
        let count = self.examples.checked_add(1).ok_or(GalleryError::Examples)?;
        let (before, after) = (i32::from(self.examples), i32::from(count));
        let coordinates = self.mean.iter_mut().zip(&mut self.remainder);
        for ((mean, remainder), &coordinate) in coordinates.zip(&example.0) {
            // Below 2^31 in magnitude: at most 65,535 examples of -32,768.
            let sum = i32::from(*mean) * before + i32::from(*remainder) + i32::from(coordinate);
            let rounded = (sum + after / 2).div_euclid(after);
            // The mean is one of numbers in range; the remainder is at most half
            // of the count.
            *mean = rounded as i16;
            *remainder = (sum - rounded * after) as i16;
        }
        self.examples = count;
        Ok(())
    }
}

/// An entry near an embedding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Neighbour {
    /// The entry's label.
    pub label: Label,
    /// The squared distance to it, in squared steps of the embedding.
    pub distance_squared: u64,
}

impl Neighbour {
    /// The distance in steps, rounded down.
    #[must_use]
    pub const fn distance(&self) -> u32 {
        // Below 2^20: at most 64 coordinates, each at most 65,535 apart.
        self.distance_squared.isqrt() as u32
    }

    /// Whether it comes before another one; of equals, neither does.
    const fn before(&self, other: &Self) -> bool {
        self.distance_squared < other.distance_squared
            || self.distance_squared == other.distance_squared && self.label < other.label
    }
}

/// The answer to "what does this look like?".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Identified {
    /// The nearest entry.
    pub nearest: Neighbour,
    /// The nearest entry of any other label.
    pub runner_up: Option<Neighbour>,
    /// Whether the nearest is within the gallery's threshold. If not, this
    /// looks like nothing that was enrolled.
    pub known: bool,
}

impl Identified {
    /// The label, or `None` for what looks like nothing enrolled.
    #[must_use]
    pub fn label(&self) -> Option<Label> {
        self.known.then_some(self.nearest.label)
    }

    /// How much farther the runner-up is, in steps: near 0, the answer could as
    /// well be the other. `None` if there is only one label.
    #[must_use]
    pub fn margin(&self) -> Option<u32> {
        let second = self.runner_up?;
        Some(second.distance() - self.nearest.distance())
    }
}

/// The answer to "is this that?".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Verified {
    /// The squared distance to the label's nearest entry, in squared steps.
    pub distance_squared: u64,
    /// Whether it is within the gallery's threshold.
    pub accepted: bool,
}

/// Entries to compare embeddings with: at most `N`, of `D` coordinates.
///
/// *Memory*: `4 * D + 4` bytes an entry, and a few more; see
/// [`RAM`](Self::RAM). *Time*: an identification goes through all entries once,
/// at about five instructions a coordinate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gallery<const D: usize, const N: usize> {
    fingerprint: u32,
    threshold: u64,
    entries: Vec<Entry<D>, N>,
}

impl<const D: usize, const N: usize> Gallery<D, N> {
    /// The bytes of RAM that a gallery takes.
    pub const RAM: usize = size_of::<Self>();

    /// An empty gallery for embeddings of this model, with the threshold that
    /// it was calibrated for; [`u64::MAX`], which knows everything, if it
    /// wasn't.
    ///
    /// # Errors
    /// [`SizeError::Dimension`] if the model's embedding has not `D` coordinates.
    pub fn new(model: &Model<'_>) -> Result<Self, SizeError> {
        let mut gallery = Self::for_fingerprint(0);
        gallery.reset_for(model)?;
        Ok(gallery)
    }

    /// Empties the gallery and makes it one for this model, as
    /// [`new`](Self::new) would: in place, where the memory is scarce.
    ///
    /// # Errors
    /// As [`new`](Self::new); the gallery stays as it was then.
    pub fn reset_for(&mut self, model: &Model<'_>) -> Result<(), SizeError> {
        if model.dim() != D {
            return Err(SizeError::Dimension {
                model: model.dim(),
                asked: D,
            });
        }
        self.entries.clear();
        self.fingerprint = model.fingerprint();
        let calibration = model.header().calibration;
        self.threshold = calibration.map_or(u64::MAX, |found| found.prototype_threshold);
        Ok(())
    }

    /// An empty gallery for embeddings of whatever has this
    /// [fingerprint](Model::fingerprint), without a threshold.
    #[must_use]
    pub const fn for_fingerprint(fingerprint: u32) -> Self {
        Self {
            fingerprint,
            threshold: u64::MAX,
            entries: Vec::new(),
        }
    }

    /// The fingerprint of the model whose embeddings are in it.
    #[must_use]
    pub const fn fingerprint(&self) -> u32 {
        self.fingerprint
    }

    /// The largest squared distance, in squared steps, of what is known.
    #[must_use]
    pub const fn threshold(&self) -> u64 {
        self.threshold
    }

    /// Sets the largest squared distance of what is known: lower to be surer,
    /// higher to refuse less.
    pub const fn set_threshold(&mut self, squared_steps: u64) {
        self.threshold = squared_steps;
    }

    /// The entries, in the order in which they were enrolled.
    #[must_use]
    pub fn entries(&self) -> &[Entry<D>] {
        &self.entries
    }

    /// Takes an example into the prototype of its label, which becomes the mean
    /// of all of them; the number of examples in it.
    ///
    /// # Errors
    /// [`GalleryError::Full`] if the label is new and no entry is free,
    /// [`GalleryError::Examples`] if the prototype has 65,535 examples already.
    /// Nothing changes then.
    pub fn enrol(&mut self, label: Label, example: &Embedding<D>) -> Result<u16, GalleryError> {
        let mut entries = self.entries.iter_mut();
        if let Some(entry) = entries.find(|entry| entry.label == label && !entry.is_exemplar()) {
            entry.add(example)?;
            return Ok(entry.examples);
        }
        self.push(label, 1, example)?;
        Ok(1)
    }

    /// Keeps an example as an entry of its own, beside any others of its label:
    /// for labels whose examples are too different to be averaged.
    ///
    /// # Errors
    /// [`GalleryError::Full`] if no entry is free.
    pub fn enrol_exemplar(
        &mut self,
        label: Label,
        example: &Embedding<D>,
    ) -> Result<(), GalleryError> {
        self.push(label, 0, example)
    }

    fn push(
        &mut self,
        label: Label,
        examples: u16,
        example: &Embedding<D>,
    ) -> Result<(), GalleryError> {
        let entry = Entry {
            label,
            examples,
            mean: example.0,
            remainder: [0; D],
        };
        let full = GalleryError::Full { capacity: N };
        self.entries.push(entry).map_err(|_| full)
    }

    /// Removes all entries of a label; how many there were. The order of the
    /// others stays.
    pub fn forget(&mut self, label: Label) -> usize {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.label != label);
        before - self.entries.len()
    }

    /// The nearest entry, and the nearest one of another label; `None` if the
    /// gallery is empty.
    #[must_use]
    pub fn identify(&self, embedding: &Embedding<D>) -> Option<Identified> {
        let mut neighbours = self.neighbours(embedding);
        let mut nearest = neighbours.next()?;
        let mut runner_up: Option<Neighbour> = None;
        for neighbour in neighbours {
            if neighbour.before(&nearest) {
                if neighbour.label != nearest.label {
                    runner_up = Some(nearest);
                }
                nearest = neighbour;
            } else if neighbour.label != nearest.label
                && runner_up.is_none_or(|second| neighbour.before(&second))
            {
                runner_up = Some(neighbour);
            }
        }
        Some(Identified {
            nearest,
            runner_up,
            known: nearest.distance_squared <= self.threshold,
        })
    }

    /// The `K` nearest entries, nearest first; fewer if there are fewer.
    #[must_use]
    pub fn nearest<const K: usize>(&self, embedding: &Embedding<D>) -> Vec<Neighbour, K> {
        let mut nearest: Vec<Neighbour, K> = Vec::new();
        for neighbour in self.neighbours(embedding) {
            let place = nearest.iter().position(|other| neighbour.before(other));
            let place = place.unwrap_or(nearest.len());
            if place < K {
                if nearest.is_full() {
                    nearest.pop();
                }
                // There is room, and the place is at most at the end.
                let _ = nearest.insert(place, neighbour);
            }
        }
        nearest
    }

    /// The label of most of the `K` nearest entries, by exact k-nearest
    /// neighbours; of labels with as many, the one that comes first among the
    /// nearest. Only entries within the threshold have a vote: `None` if there
    /// are none.
    #[must_use]
    pub fn identify_by_vote<const K: usize>(&self, embedding: &Embedding<D>) -> Option<Label> {
        let nearest = self.nearest::<K>(embedding);
        let known = nearest.partition_point(|other| other.distance_squared <= self.threshold);
        let voters = nearest.get(..known).unwrap_or_default();
        let votes = |label| voters.iter().filter(|voter| voter.label == label).count();
        // `max_by_key` takes the last of equals, and the first is wanted.
        let labels = voters.iter().rev().map(|voter| voter.label);
        labels.max_by_key(|&label| votes(label))
    }

    /// Whether an embedding is near enough to a label's nearest entry.
    ///
    /// # Errors
    /// [`GalleryError::NotEnrolled`] if nothing has the label.
    pub fn verify(&self, label: Label, embedding: &Embedding<D>) -> Result<Verified, GalleryError> {
        let entries = self.entries.iter().filter(|entry| entry.label == label);
        let distance_squared = entries
            .map(|entry| embedding.distance_squared(&entry.point()))
            .min()
            .ok_or(GalleryError::NotEnrolled { label })?;
        Ok(Verified {
            distance_squared,
            accepted: distance_squared <= self.threshold,
        })
    }

    /// All entries, with their distances.
    fn neighbours(&self, embedding: &Embedding<D>) -> impl Iterator<Item = Neighbour> {
        self.entries.iter().map(|entry| Neighbour {
            label: entry.label,
            distance_squared: crate::embedding::distance_squared(&entry.mean, &embedding.0),
        })
    }
}

/// Why a gallery didn't do what it was asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum GalleryError {
    /// Every entry is taken.
    Full {
        /// The entries that there are.
        capacity: usize,
    },
    /// The prototype is the mean of 65,535 examples, and can't count more.
    Examples,
    /// Nothing was enrolled under the label.
    NotEnrolled {
        /// The label.
        label: Label,
    },
}

impl fmt::Display for GalleryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { capacity } => write!(
                f,
                "the gallery is full: all of its {capacity} entries are taken; forget a label first"
            ),
            Self::Examples => f.write_str(
                "the prototype is the mean of 65,535 examples, and one more would change nothing",
            ),
            Self::NotEnrolled { label } => write!(f, "nothing was enrolled under label {label}"),
        }
    }
}

impl core::error::Error for GalleryError {}
