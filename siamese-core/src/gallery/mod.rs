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
//! use siamese_core::gallery::{Decision, Gallery, Thresholds};
//!
//! let mut gallery = Gallery::<2, 8>::for_fingerprint(0);
//! gallery.enrol(7, &Embedding([100, 0]))?;
//! gallery.enrol(7, &Embedding([110, 3]))?;
//! gallery.enrol(9, &Embedding([-80, 60]))?;
//!
//! let found = gallery.identify(&Embedding([98, -4])).unwrap();
//! assert_eq!(found.nearest.label, 7);
//! assert_eq!(found.runner_up.unwrap().label, 9);
//! // Nobody has said how near is near enough.
//! assert_eq!(found.decision, Decision::Uncalibrated);
//! assert_eq!(found.label(), None);
//!
//! gallery.set_user_thresholds(Thresholds {
//!     prototype: Some(400),
//!     ..Thresholds::NONE
//! });
//! assert_eq!(gallery.identify(&Embedding([98, -4])).unwrap().label(), Some(7));
//! # Ok::<(), siamese_core::gallery::GalleryError>(())
//! ```
//!
//! # Decisions
//!
//! A threshold turns a distance into a [`Decision`]. Prototypes are judged by the
//! threshold for prototypes and exemplars by that for pairs ([`Thresholds`]). Both
//! come from the model's calibration; a user's own threshold, where one is set,
//! counts instead. Where neither is, the answer is [`Decision::Uncalibrated`],
//! and no label is given.
//!
//! A model may be calibrated with an
//! [allowance](crate::model::Calibration::allowance): the farther from the origin an
//! embedding is, the farther from an entry it may be. What a threshold judges, the
//! user's as well, is the [`excess`] over it. Which entry is nearest, the distances
//! alone say.
//!
//! A label is accepted if *one* of its entries accepts, each by the threshold of
//! its kind; if none does, the decision is that of its nearest entry. The answer
//! is always about the label of the nearest entry: one that is farther never
//! takes the place of a nearer one that was rejected.
//!
//! Ties go to the lower label, and among one label's entries to the one that
//! was enrolled first.

mod answer;
pub mod names;
#[cfg(any(feature = "storage", feature = "storage-async"))]
pub mod store;
pub mod stored;
#[cfg(feature = "test-flash")]
pub mod test_flash;

use core::fmt;

use heapless::Vec;
use serde::{Deserialize, Serialize};

use crate::embedding::{Embedding, norm_squared};
use crate::error::SizeError;
use crate::model::Model;

pub use answer::{Decision, Identified, Neighbour, Thresholds, Verified, Voted, allowed, excess};
#[cfg(feature = "storage-async")]
pub use store::{AsyncGalleryStore, AsyncNameStore};
#[cfg(feature = "storage")]
pub use store::{GalleryStore, NameStore};
#[cfg(any(feature = "storage", feature = "storage-async"))]
pub use store::{Saved, StoreError};
pub use stored::{InsertError, LoadError, NoRoom, Record, RecordEntry};

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

    /// The point's coordinates, in steps.
    #[must_use]
    pub const fn coordinates(&self) -> &[i16; D] {
        &self.mean
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

    /// Takes all examples of another prototype into the mean.
    fn join(&mut self, other: &Self) -> Result<(), GalleryError> {
        let count = self.examples.checked_add(other.examples);
        // Never 0: those are exemplars, which have no mean.
        let count = count.filter(|&count| count > 0);
        let count = count.ok_or(GalleryError::Examples)?;
        let after = i32::from(count);
        let sum = |entry: &Self, mean: i16, remainder: i16| {
            i32::from(mean) * i32::from(entry.examples) + i32::from(remainder)
        };
        for axis in 0..D {
            // Below 2^31 in magnitude, as there.
            let both = sum(self, self.mean[axis], self.remainder[axis])
                + sum(other, other.mean[axis], other.remainder[axis]);
            let rounded = (both + after / 2).div_euclid(after);
            self.mean[axis] = rounded as i16;
            self.remainder[axis] = (both - rounded * after) as i16;
        }
        self.examples = count;
        Ok(())
    }
}

/// Entries to compare embeddings with: at most `N`, of `D` coordinates.
///
/// *Memory*: `4 * D + 4` bytes an entry, and less than 100 more; see
/// [`RAM`](Self::RAM). *Time*: an identification goes through all entries once,
/// at about five instructions a coordinate.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Gallery<const D: usize, const N: usize> {
    fingerprint: u32,
    model: Thresholds,
    user: Thresholds,
    allowance: u8,
    entries: Vec<Entry<D>, N>,
}

impl<const D: usize, const N: usize> Gallery<D, N> {
    /// The bytes of RAM that a gallery takes.
    pub const RAM: usize = size_of::<Self>();

    /// An empty gallery for embeddings of this model, with the thresholds that
    /// it was calibrated for, if it was.
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
    /// The user's thresholds stay if the model has the same
    /// [fingerprint](Model::fingerprint), whether it was calibrated anew or not.
    /// They are steps of that model's embeddings, and go with another one.
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
        let fingerprint = model.fingerprint();
        if self.fingerprint != fingerprint {
            self.user = Thresholds::NONE;
        }
        self.entries.clear();
        self.fingerprint = fingerprint;
        self.model = Thresholds::of_model(model);
        let calibration = model.header().calibration;
        self.allowance = calibration.map_or(0, |found| found.allowance);
        Ok(())
    }

    /// An empty gallery for embeddings of whatever has this
    /// [fingerprint](Model::fingerprint), without thresholds.
    #[must_use]
    pub const fn for_fingerprint(fingerprint: u32) -> Self {
        Self {
            fingerprint,
            model: Thresholds::NONE,
            user: Thresholds::NONE,
            allowance: 0,
            entries: Vec::new(),
        }
    }

    /// The fingerprint of the model whose embeddings are in it.
    #[must_use]
    pub const fn fingerprint(&self) -> u32 {
        self.fingerprint
    }

    /// The thresholds that decide: the user's, and the model's where the user
    /// has set none.
    #[must_use]
    pub const fn thresholds(&self) -> Thresholds {
        self.user.or(self.model)
    }

    /// The thresholds that the model was calibrated for. They are never stored:
    /// a stored gallery gets those of the model that it is loaded for.
    #[must_use]
    pub const fn model_thresholds(&self) -> Thresholds {
        self.model
    }

    /// The model's [allowance](crate::model::Calibration::allowance), in 256ths of a
    /// squared norm: 0 if it has none.
    #[must_use]
    pub const fn allowance(&self) -> u8 {
        self.allowance
    }

    /// The thresholds that the user has set.
    #[must_use]
    pub const fn user_thresholds(&self) -> Thresholds {
        self.user
    }

    /// Sets the user's own thresholds: lower to be surer, higher to refuse less,
    /// `None` to leave it to the model. They are stored with the gallery.
    pub const fn set_user_thresholds(&mut self, thresholds: Thresholds) {
        self.user = thresholds;
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

    /// Takes the entries of another gallery of the same model in, each under the
    /// label that `label` gives for its own. Prototypes of one label become the
    /// mean of the examples of both, exactly as if all had been enrolled here;
    /// exemplars are appended. The other's own thresholds are left alone.
    ///
    /// # Errors
    /// [`GalleryError::OtherModel`] if the other's entries are embeddings of
    /// another model: nothing changes then. [`GalleryError::Full`] and
    /// [`GalleryError::Examples`] as [`enrol`](Self::enrol): what was taken in
    /// until then stays.
    pub fn merge<const M: usize>(
        &mut self,
        other: &Gallery<D, M>,
        label: impl Fn(Label) -> Label,
    ) -> Result<(), GalleryError> {
        if other.fingerprint != self.fingerprint {
            return Err(GalleryError::OtherModel);
        }
        for entry in &other.entries {
            self.take_in(Entry {
                label: label(entry.label),
                ..*entry
            })?;
        }
        Ok(())
    }

    /// Takes in one entry of the same model, as [`merge`](Self::merge) tells; the
    /// examples in its entry now.
    fn take_in(&mut self, entry: Entry<D>) -> Result<u16, GalleryError> {
        let mut there = self.entries.iter_mut();
        let twin = |there: &&mut Entry<D>| {
            there.label == entry.label && !there.is_exemplar() && !entry.is_exemplar()
        };
        if let Some(there) = there.find(twin) {
            there.join(&entry)?;
            return Ok(there.examples());
        }
        let full = GalleryError::Full { capacity: N };
        self.entries.push(entry).map_err(|_| full)?;
        Ok(entry.examples())
    }

    /// Removes all entries of a label; how many there were. The order of the
    /// others stays.
    pub fn forget(&mut self, label: Label) -> usize {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.label != label);
        before - self.entries.len()
    }

    /// The nearest entry, and the nearest one of another label; `None` if the
    /// gallery is empty. The module's page tells how it is [decided](self#decisions).
    #[must_use]
    pub fn identify(&self, embedding: &Embedding<D>) -> Option<Identified> {
        let mut candidates = self.candidates(embedding);
        let mut nearest = candidates.next()?;
        let mut runner_up: Option<Candidate<'_, D>> = None;
        for candidate in candidates {
            let other_label = candidate.entry.label != nearest.entry.label;
            if candidate.before(&nearest) {
                if other_label {
                    runner_up = Some(nearest);
                }
                nearest = candidate;
            } else if other_label && runner_up.is_none_or(|second| candidate.before(&second)) {
                runner_up = Some(candidate);
            }
        }
        let norm_squared = self.norm_squared(embedding);
        let nearest = self.decided(nearest, norm_squared);
        let runner_up = runner_up.map(|second| self.decided(second, norm_squared));
        let decision = if nearest.decision.is_accepted() {
            Decision::Accepted
        } else {
            // Another entry of the label may accept.
            let verified = self.verify(nearest.label, embedding);
            verified.map_or(nearest.decision, |verified| verified.decision)
        };
        Some(Identified {
            nearest,
            runner_up,
            decision,
        })
    }

    /// The `K` nearest entries, nearest first; fewer if there are fewer. Each
    /// says what the threshold of its own kind decides.
    #[must_use]
    pub fn nearest<const K: usize>(&self, embedding: &Embedding<D>) -> Vec<Neighbour, K> {
        let mut nearest: Vec<Neighbour, K> = Vec::new();
        for neighbour in self.neighbours(embedding) {
            let rank = nearest.iter().position(|other| neighbour.before(other));
            let rank = rank.unwrap_or(nearest.len());
            if rank < K {
                if nearest.is_full() {
                    nearest.pop();
                }
                // There is room, and the rank is at most at the end.
                let _ = nearest.insert(rank, neighbour);
            }
        }
        nearest
    }

    /// The label of most of the `K` nearest entries, by exact k-nearest
    /// neighbours; of labels with as many votes, the one whose nearest vote is
    /// nearer. Only entries that accept have a vote; [`Voted::decision`] tells
    /// what happens if none does. `None` if the gallery is empty, or `K` is 0.
    #[must_use]
    pub fn identify_by_vote<const K: usize>(&self, embedding: &Embedding<D>) -> Option<Voted> {
        let nearest = self.nearest::<K>(embedding);
        let first = nearest.first()?;
        let any = |decision| nearest.iter().any(|entry| entry.decision == decision);
        let decision = if any(Decision::Accepted) {
            Decision::Accepted
        } else if any(Decision::Uncalibrated) {
            Decision::Uncalibrated
        } else {
            return Some(Voted {
                winner: first.label,
                votes: 0,
                decision: Decision::Rejected,
            });
        };
        let voters = || nearest.iter().filter(|entry| entry.decision == decision);
        let votes = |label| voters().filter(|voter| voter.label == label).count();
        let mut winner = Voted {
            winner: first.label,
            votes: 0,
            decision,
        };
        for voter in voters() {
            let votes = u16::try_from(votes(voter.label)).unwrap_or(u16::MAX);
            if votes > winner.votes {
                winner.winner = voter.label;
                winner.votes = votes;
            }
        }
        Some(winner)
    }

    /// Whether an embedding is near enough to one of a label's entries, each by
    /// the threshold of its kind; if it is to none, what the nearest one's says.
    ///
    /// # Errors
    /// [`GalleryError::NotEnrolled`] if nothing has the label.
    pub fn verify(&self, label: Label, embedding: &Embedding<D>) -> Result<Verified, GalleryError> {
        let mut nearest: Option<Verified> = None;
        for neighbour in self.neighbours(embedding) {
            if neighbour.label != label {
                continue;
            }
            let found = Verified {
                distance_squared: neighbour.distance_squared,
                decision: neighbour.decision,
            };
            let Some(best) = &mut nearest else {
                nearest = Some(found);
                continue;
            };
            let accepted = best.decision.is_accepted() || found.decision.is_accepted();
            if found.distance_squared < best.distance_squared {
                *best = found;
            }
            if accepted {
                best.decision = Decision::Accepted;
            }
        }
        nearest.ok_or(GalleryError::NotEnrolled { label })
    }

    /// Whether two embeddings are of the same, by the threshold for pairs.
    #[must_use]
    pub fn verify_pair(&self, a: &Embedding<D>, b: &Embedding<D>) -> Verified {
        let distance_squared = a.distance_squared(b);
        let norm_squared = u64::midpoint(self.norm_squared(a), self.norm_squared(b));
        let excess = excess(distance_squared, norm_squared, self.allowance);
        Verified {
            distance_squared,
            decision: Decision::of(excess, self.thresholds().pair),
        }
    }

    /// Leaves nothing that was enrolled or set by the user.
    fn clear(&mut self) {
        self.entries.clear();
        self.user = Thresholds::NONE;
    }

    /// All entries, with their distances and decisions.
    fn neighbours(&self, embedding: &Embedding<D>) -> impl Iterator<Item = Neighbour> {
        let norm_squared = self.norm_squared(embedding);
        self.candidates(embedding)
            .map(move |candidate| self.decided(candidate, norm_squared))
    }

    /// All entries, with their distances.
    fn candidates(&self, embedding: &Embedding<D>) -> impl Iterator<Item = Candidate<'_, D>> {
        self.entries.iter().map(|entry| Candidate {
            entry,
            distance_squared: crate::embedding::distance_squared(&entry.mean, &embedding.0),
        })
    }

    /// The squared norm of an embedding, if the allowance asks for it.
    fn norm_squared(&self, embedding: &Embedding<D>) -> u64 {
        match self.allowance {
            0 => 0,
            _ => norm_squared(&embedding.0),
        }
    }

    /// A candidate for an embedding of this norm with what the threshold of its kind
    /// says.
    fn decided(&self, candidate: Candidate<'_, D>, norm_squared: u64) -> Neighbour {
        let Candidate {
            entry,
            distance_squared,
        } = candidate;
        let thresholds = self.thresholds();
        let (threshold, norm_squared) = if entry.is_exemplar() {
            let own = self.norm_squared(&Embedding(entry.mean));
            (thresholds.pair, u64::midpoint(norm_squared, own))
        } else {
            (thresholds.prototype, norm_squared)
        };
        let excess = excess(distance_squared, norm_squared, self.allowance);
        Neighbour {
            label: entry.label,
            distance_squared,
            decision: Decision::of(excess, threshold),
        }
    }
}

/// An entry that may be the nearest: what it decides is looked at in the end, for
/// the one that is.
#[derive(Clone, Copy)]
struct Candidate<'g, const D: usize> {
    entry: &'g Entry<D>,
    distance_squared: u64,
}

impl<const D: usize> Candidate<'_, D> {
    /// As [`Neighbour::before`].
    fn before(&self, other: &Self) -> bool {
        answer::comes_before(
            (self.distance_squared, self.entry.label),
            (other.distance_squared, other.entry.label),
        )
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
    /// The other gallery's entries are embeddings of another model.
    OtherModel,
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
            Self::OtherModel => f.write_str(
                "the other gallery was made with another model, whose embeddings mean nothing to \
                 this one",
            ),
        }
    }
}

impl core::error::Error for GalleryError {}
