//! What host and device say to each other.

use core::fmt;

use heapless::Vec;
use serde::{Deserialize, Serialize};
use siamese_core::gallery::names::NameError;
use siamese_core::gallery::{GalleryError, Identified, Label, LoadError, Verified};
use siamese_core::model::MAX_DIM;
use siamese_core::preprocess::{Ink, PictureError};
#[cfg(feature = "updates")]
use siamese_update::{Status, UpdateError};

use crate::frame::FrameError;
use crate::statistics::Statistics;

/// The most entries in one [`Response::Entries`]; a longer gallery takes several
/// requests.
pub const MAX_LISTED: usize = 32;

/// What the host asks.
///
/// [`Enrol`](Self::Enrol), [`Forget`](Self::Forget), [`Save`](Self::Save),
/// [`Reset`](Self::Reset), [`Insert`](Self::Insert),
/// [`SetThresholds`](Self::SetThresholds), [`Name`](Self::Name) and the steps of an update change
/// the device.
/// They need a session, which [`Open`](Self::Open) begins, and are carried out once,
/// however often their frame arrives. All others may be asked at any time and any
/// number of times.
///
/// [`Entry`](Self::Entry), [`Insert`](Self::Insert) and
/// [`SetThresholds`](Self::SetThresholds) need the feature `galleries` of this crate,
/// [`Name`](Self::Name) and [`NameFrom`](Self::NameFrom) the feature `names`: at both
/// ends, and without it neither they nor their answers can be written or read.
/// [`Statistics`](Self::Statistics) needs the feature `statistics`, and `Update` is there with the
/// feature `updates` alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Request<'a> {
    /// Who are you, and which model do you run? Answered by [`Response::Info`].
    Info,
    /// Embed an image. Answered by [`Response::Embedding`].
    Embed {
        /// Grey values, row-major, 0 = background.
        #[serde(serialize_with = "bytes")]
        pixels: &'a [u8],
    },
    /// How much memory was used so far? Answered by [`Response::Memory`].
    Memory,
    /// Enrol what the image shows. Answered by [`Response::Enrolled`].
    Enrol {
        /// What it shows.
        label: Label,
        /// Whether to keep it as an entry of its own, instead of taking it into
        /// the label's prototype.
        exemplar: bool,
        /// Grey values, row-major, 0 = background.
        #[serde(serialize_with = "bytes")]
        pixels: &'a [u8],
    },
    /// What does the image look like? Answered by [`Response::Identified`].
    Identify {
        /// Grey values, row-major, 0 = background.
        #[serde(serialize_with = "bytes")]
        pixels: &'a [u8],
    },
    /// Does the image show this? Answered by [`Response::Verified`].
    Verify {
        /// What it is said to show.
        label: Label,
        /// Grey values, row-major, 0 = background.
        #[serde(serialize_with = "bytes")]
        pixels: &'a [u8],
    },
    /// What is enrolled, from this entry on? Answered by [`Response::Entries`].
    List {
        /// The number of the first entry wanted; the gallery's first is 0.
        from: u32,
    },
    /// Remove a label from the gallery. Answered by [`Response::Forgotten`].
    Forget {
        /// What to forget.
        label: Label,
    },
    /// Save the gallery, and the names if the device has a place for them, so that
    /// they survive a reset. Answered by [`Response::Saved`].
    Save,
    /// Start anew, with the gallery that was saved last. Answered by
    /// [`Response::Resetting`] before it happens.
    Reset,
    /// Begin the session of the request's [`Tag`](crate::Tag). It ends when
    /// another one begins, and when the device restarts. Answered by
    /// [`Response::Opened`].
    Open,
    /// Begin a grey picture of any size that the device has room for; its pixels come
    /// in parts. What was there of another one is forgotten. Answered by
    /// [`Response::Picture`].
    Picture {
        /// Pixels in a row.
        width: u16,
        /// Rows.
        height: u16,
    },
    /// The next part of the picture: some rows, or a part of one. One that has come
    /// before changes nothing. Answered by [`Response::Picture`].
    PicturePart {
        /// The number of the first pixel; the picture's first is 0.
        from: u32,
        /// Grey values, row-major.
        #[serde(serialize_with = "bytes")]
        pixels: &'a [u8],
    },
    /// Bring the picture into the model's frame, by
    /// [`preprocess`](siamese_core::preprocess), and embed it; it stays. Answered by
    /// [`Response::Embedding`].
    EmbedPicture {
        /// What is ink in it.
        ink: Ink,
    },
    /// All that the gallery holds of one entry. Answered by [`Response::Entry`].
    #[cfg_attr(not(feature = "galleries"), serde(skip_serializing))]
    Entry {
        /// The entry's number; the gallery's first is 0. One that no entry has is
        /// answered, too, without an entry.
        number: u32,
    },
    /// Take in an entry of a gallery of the same model, as
    /// [`Gallery::merge`](siamese_core::Gallery::merge) would. Answered by
    /// [`Response::Inserted`].
    #[cfg_attr(not(feature = "galleries"), serde(skip_serializing))]
    Insert {
        /// A record of this one entry, as [`Response::Entry`] has it; its numbers and
        /// thresholds don't matter.
        #[serde(serialize_with = "bytes")]
        record: &'a [u8],
    },
    /// Set the user's own thresholds, or leave them to the model. Answered by
    /// [`Response::ThresholdsSet`].
    #[cfg_attr(not(feature = "galleries"), serde(skip_serializing))]
    SetThresholds {
        /// A record that has them, as [`Response::Entry`] has it, of the same model; its
        /// numbers and entries don't matter.
        #[serde(serialize_with = "bytes")]
        record: &'a [u8],
    },
    /// Name a label, or name it anew. Answered by [`Response::Named`].
    #[cfg_attr(not(feature = "names"), serde(skip_serializing))]
    Name {
        /// The label; nothing need be enrolled under it.
        label: Label,
        /// UTF-8; nothing takes the label's name away.
        #[serde(serialize_with = "bytes")]
        name: &'a [u8],
    },
    /// Which is the first label from this one on that has a name? Answered by
    /// [`Response::NameOf`].
    #[cfg_attr(not(feature = "names"), serde(skip_serializing))]
    NameFrom {
        /// The first label that may be meant.
        label: Label,
    },
    /// What has the device done since it started? Answered by [`Response::Statistics`].
    #[cfg_attr(not(feature = "statistics"), serde(skip_serializing))]
    Statistics,
    /// A step of an update of the model. Answered by [`Response::Updated`], or by
    /// [`Response::UpdateStatus`]. It stays the last: without the feature, no other variant's
    /// number may change.
    #[cfg(feature = "updates")]
    Update(UpdateStep<'a>),
}

/// A step of an update of the model; see [`siamese_update::ModelUpdates`].
#[cfg(feature = "updates")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct UpdateStep<'a> {
    /// Which one.
    pub kind: UpdateKind,
    /// The number of the payload's byte that [`bytes`](Self::bytes) begin with.
    pub from: u32,
    /// What is to be written.
    #[serde(serialize_with = "bytes")]
    pub bytes: &'a [u8],
}

/// Which step of an update. All are of one form, which takes a device less code.
#[cfg(feature = "updates")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum UpdateKind {
    /// Where does the device stand? The only step that changes nothing.
    Status,
    /// Begin with the first [`HEADER_LEN`](siamese_update::HEADER_LEN) bytes of the file.
    Begin,
    /// Write the next part of the payload.
    Write,
    /// Verify, and let the next start try it.
    Switch,
    /// Keep the model that is on trial.
    Confirm,
}

#[cfg(feature = "updates")]
impl UpdateStep<'_> {
    /// A step that writes nothing.
    #[must_use]
    pub const fn of(kind: UpdateKind) -> Self {
        Self {
            kind,
            from: 0,
            bytes: &[],
        }
    }
}

impl Request<'_> {
    /// Whether it changes the device: it needs a session, and is carried out once.
    #[must_use]
    pub const fn is_change(&self) -> bool {
        #[cfg(feature = "updates")]
        if let Self::Update(step) = self {
            return !matches!(step.kind, UpdateKind::Status);
        }
        matches!(
            self,
            Self::Enrol { .. }
                | Self::Forget { .. }
                | Self::Save
                | Self::Reset
                | Self::Insert { .. }
                | Self::SetThresholds { .. }
                | Self::Name { .. }
        )
    }
}

/// Writes a slice at once: the same bytes as one after the other.
fn bytes<S: serde::Serializer>(bytes: &&[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

/// What the device answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Response<'a> {
    /// The answer to [`Request::Info`].
    #[serde(borrow)]
    Info(Info<&'a str>),
    /// The answer to [`Request::Embed`].
    Embedding(Embedded),
    /// The answer to [`Request::Memory`].
    Memory(Memory),
    /// The request was not carried out; the next one is welcome.
    Fault(Fault),
    /// The answer to [`Request::Enrol`].
    Enrolled {
        /// The examples in the entry now.
        examples: u16,
    },
    /// The answer to [`Request::Identify`].
    Identified(Identification),
    /// The answer to [`Request::Verify`].
    Verified(Verified),
    /// The answer to [`Request::List`].
    Entries(Entries),
    /// The answer to [`Request::Forget`].
    Forgotten {
        /// The entries that were removed.
        entries: u32,
    },
    /// The answer to [`Request::Save`].
    Saved,
    /// The answer to [`Request::Reset`]; the device starts anew after it.
    Resetting,
    /// The answer to [`Request::Open`].
    Opened,
    /// The answer to [`Request::Picture`] and [`Request::PicturePart`].
    Picture {
        /// The pixels that have come.
        filled: u32,
    },
    /// The answer to [`Request::Entry`].
    #[cfg_attr(not(feature = "galleries"), serde(skip_serializing))]
    Entry {
        /// As [`Entries::changes`].
        changes: u32,
        /// The [record](siamese_core::gallery::stored) that lists the entry: with the
        /// model's fingerprint, the user's thresholds and the number of all entries. It
        /// lists none if no entry has the number.
        #[serde(serialize_with = "bytes")]
        record: &'a [u8],
    },
    /// The answer to [`Request::Insert`].
    #[cfg_attr(not(feature = "galleries"), serde(skip_serializing))]
    Inserted {
        /// The examples in the entry now.
        examples: u16,
    },
    /// The answer to [`Request::SetThresholds`].
    #[cfg_attr(not(feature = "galleries"), serde(skip_serializing))]
    ThresholdsSet,
    /// The answer to [`Request::Name`].
    #[cfg_attr(not(feature = "names"), serde(skip_serializing))]
    Named,
    /// The answer to [`Request::NameFrom`]: the label and its name, or nothing if no
    /// label from that one on has a name.
    #[serde(borrow)]
    #[cfg_attr(not(feature = "names"), serde(skip_serializing))]
    NameOf(Option<(Label, &'a str)>),
    /// The answer to [`Request::Statistics`].
    #[cfg_attr(not(feature = "statistics"), serde(skip_serializing))]
    Statistics(Statistics),
    /// A step of an update was taken.
    #[cfg(feature = "updates")]
    Updated {
        /// The byte of the payload that comes next.
        next: u32,
    },
    /// Where the device stands with its updates.
    #[cfg(feature = "updates")]
    UpdateStatus(Status),
}

/// What the device says without being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Notice {
    /// It has started, and is ready for requests.
    Ready,
    /// Bytes came that are no request. Whoever waits for an answer should ask
    /// again.
    Refused(FrameError),
}

/// What a device says of itself; `S` is the type of its texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Info<S> {
    /// [`LINK_VERSION`](crate::LINK_VERSION) of the firmware.
    pub link_version: u16,
    /// The board.
    pub board: S,
    /// The model's name.
    pub model: S,
    /// The model's training digest.
    pub training_digest: [u8; 32],
    /// The CRC-32 at the end of the model file.
    pub model_crc: u32,
    /// The pixels that an image must have.
    pub pixels: u32,
    /// The coordinates of an embedding.
    pub dim: u16,
    /// How often the clock of [`Embedded::ticks`] ticks, in Hz.
    pub tick_hz: u32,
    /// The entries that the gallery has room for.
    pub gallery_capacity: u32,
    /// Whether the device can save its gallery.
    pub can_save: bool,
    /// Why the gallery that was saved last isn't in use.
    pub refused: Option<Refused>,
    /// The session that is open; `None` after a start.
    pub session: Option<u32>,
}

impl<S> Info<S> {
    /// The same with texts of another type: owned ones, for example.
    #[must_use]
    pub fn with_texts<T>(self, mut text: impl FnMut(S) -> T) -> Info<T> {
        Info {
            link_version: self.link_version,
            board: text(self.board),
            model: text(self.model),
            training_digest: self.training_digest,
            model_crc: self.model_crc,
            pixels: self.pixels,
            dim: self.dim,
            tick_hz: self.tick_hz,
            gallery_capacity: self.gallery_capacity,
            can_save: self.can_save,
            refused: self.refused,
            session: self.session,
        }
    }
}

/// Why the gallery that was saved last isn't in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Refused {
    /// What was saved doesn't suit the model or the gallery, or is damaged.
    Load(LoadError),
    /// The flash could not be read.
    Flash,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(error) => error.fmt(f),
            Self::Flash => f.write_str("the flash could not be read"),
        }
    }
}

impl core::error::Error for Refused {}

/// An embedding and how it came about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Embedded {
    /// The coordinates, in integer steps.
    pub coordinates: Vec<i16, MAX_DIM>,
    /// [`checksum`](siamese_core::checksum::checksum) of each hidden layer's activations, so that a host can
    /// compare every layer without moving it.
    pub hidden_crc: [u32; 2],
    /// How long the embedding took, in ticks of the device's clock.
    pub ticks: u32,
}

/// The answer to "what does this look like?".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Identification {
    /// What the gallery says; `None` if it is empty.
    pub answer: Option<Identified>,
    /// How long the comparison took, without the embedding, in ticks of the
    /// device's clock.
    pub ticks: u32,
}

/// A part of a device's gallery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Entries {
    /// The entries of the whole gallery.
    pub total: u32,
    /// How often the gallery, its thresholds or the names have changed since the
    /// start, modulo 2^32: parts that were listed at different numbers don't belong
    /// together.
    pub changes: u32,
    /// The entries from the one asked for on, in the gallery's order: as many as
    /// there are, and [`MAX_LISTED`] at most.
    pub entries: Vec<Listed, MAX_LISTED>,
}

/// One entry of a device's gallery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Listed {
    /// What it is an entry for.
    pub label: Label,
    /// The examples that it is the mean of.
    pub examples: u16,
}

/// Memory of the device, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Memory {
    /// The deepest that the stack has been since the start; 0 if it isn't known.
    pub stack_peak: u32,
    /// The stack's room; 0 if it isn't known.
    pub stack_size: u32,
}

/// Why a request was not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Fault {
    /// The frame came whole, and the device doesn't know what it asks for.
    Unsupported,
    /// The frame or its answer is longer than the device's buffer.
    TooLong,
    /// The image has another number of pixels than the model takes.
    ImageSize {
        /// The pixels that the model takes.
        expected: u32,
        /// The pixels that came.
        found: u32,
    },
    /// The gallery did not do what was asked.
    Gallery(GalleryError),
    /// The device has nothing to save a gallery in.
    NoStorage,
    /// The gallery or the names need more bytes than there are to save them in.
    StorageSize {
        /// The bytes that they need.
        needed: u32,
        /// The bytes that there are.
        room: u32,
    },
    /// The flash could not be written.
    Storage,
    /// No session is open: the device has restarted since this one began, or
    /// none ever did.
    NoSession,
    /// Another session was opened since.
    OtherSession,
    /// A change that is older than the last one came again. It was not carried
    /// out now; whether it was then isn't known any more.
    Repeated,
    /// The picture can't be taken or embedded.
    Picture(PictureError),
    /// What was to be inserted is no entry of a gallery of this model, or one that no
    /// enrolment makes.
    #[cfg_attr(not(feature = "galleries"), serde(skip_serializing))]
    Entry(LoadError),
    /// The label can't have this name, or the device's buffer is too short to save the
    /// names.
    #[cfg_attr(not(feature = "names"), serde(skip_serializing))]
    Name(NameError),
    /// The update, or this step of it, isn't taken.
    #[cfg(feature = "updates")]
    Update(UpdateError),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported => f.write_str("the device doesn't know this request"),
            Self::TooLong => f.write_str("the frame is longer than the device's buffer"),
            Self::ImageSize { expected, found } => {
                write!(
                    f,
                    "the image has {found} pixels and the model takes {expected}"
                )
            }
            Self::Gallery(error) => error.fmt(f),
            Self::NoStorage => f.write_str("the device has no flash to save a gallery in"),
            Self::StorageSize { needed, room } => write!(
                f,
                "what is to be saved needs {needed} bytes of flash and there are {room}"
            ),
            Self::Storage => f.write_str("the flash could not be written"),
            Self::NoSession => f.write_str(
                "the device has restarted since this session began, and what was not saved is gone",
            ),
            Self::OtherSession => {
                f.write_str("another host has opened a session with the device since")
            }
            Self::Repeated => f.write_str("an old request came again"),
            Self::Picture(error) => error.fmt(f),
            Self::Entry(error) => error.fmt(f),
            Self::Name(error) => error.fmt(f),
            #[cfg(feature = "updates")]
            Self::Update(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for Fault {}
