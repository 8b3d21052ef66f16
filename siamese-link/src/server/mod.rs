//! The device's end: receives requests, has the embedder and the gallery carry
//! them out, and answers.
//!
//! [`Core`] does all of it but moving the bytes. [`Server`] moves them, over
//! `embedded-io` ([`Server::run`]) or `embedded-io-async` (`AsyncServer`, feature
//! `async`).

#[cfg(feature = "async")]
mod asynchronous;
mod blocking;
#[cfg(feature = "galleries")]
mod entry;
#[cfg(feature = "names")]
mod name;
#[cfg(feature = "pictures")]
mod picture;
#[cfg(feature = "updates")]
mod update;

use heapless::Vec;
use siamese_core::checksum::checksum;
use siamese_core::gallery::{Gallery, Label};
use siamese_core::{Embedder, Embedding, SizeError};

use crate::frame::{FrameError, Kind, LINK_VERSION, Receiver, Tag, write_frame};
use crate::message::{
    Embedded, Entries, Fault, Identification, Info, Listed, MAX_LISTED, Memory, Notice, Refused,
    Request, Response,
};
use crate::names::NameTable;
#[cfg(feature = "statistics")]
use crate::statistics::Statistics;

#[cfg(feature = "async")]
pub use asynchronous::AsyncServer;
pub use blocking::Server;
#[cfg(feature = "pictures")]
use picture::Incoming;

/// How long a half received frame may stay without another byte, in milliseconds:
/// then it is given up.
pub const SILENCE_MS: u32 = 500;
/// Reads or writes that may fail one after the other before a server ends: noise
/// makes a UART report an error now and then.
const FAILURES: u8 = 16;

/// What a server needs to know of its board.
pub trait Platform {
    /// The board's name.
    fn board(&self) -> &'static str;

    /// The CRC-32 at the end of the model file that the firmware was built with.
    fn model_crc(&self) -> u32;

    /// How often the clock ticks, in Hz.
    fn tick_hz(&self) -> u32;

    /// The clock: ticks since some time, modulo 2^32. It runs while an image is
    /// embedded and while a frame is received.
    fn ticks(&mut self) -> u32;

    /// The memory that was used so far; unknown unless this is overridden.
    fn memory(&self) -> Memory {
        Memory::default()
    }

    /// Memory for a grey picture that a host sends in parts, always the same: one byte a
    /// pixel. Without it, there is room for none. Nothing asks for it without the feature
    /// `pictures`.
    fn picture(&mut self) -> &mut [u8] {
        &mut []
    }

    /// The names of labels, always the same table. Without it, labels have none. Nothing
    /// asks for it without the feature `names`.
    fn names(&mut self) -> Option<&mut dyn NameTable> {
        None
    }

    /// How often the device has restarted since it got power; 0 if nobody counts. Nothing asks
    /// for it without the feature `statistics`.
    fn restarts(&self) -> u32 {
        0
    }

    /// The updates of the model, always the same. Without it, the device takes none.
    #[cfg(feature = "updates")]
    fn updates(&mut self) -> Option<&mut dyn siamese_update::ModelUpdates> {
        None
    }
}

/// Why a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum End {
    /// The host has asked for a restart, and was told that it comes: restart.
    Restart,
    /// The line was closed: its reader has nothing more to give.
    Closed,
}

/// What is to be done after a byte was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use]
#[non_exhaustive]
pub enum Step {
    /// Nothing: receive the next byte.
    Receive,
    /// Send [`Core::outgoing`].
    Send,
    /// Save [`Core::gallery`], tell [`Core::saved`] how it went, which saves the names
    /// if there are any, then send [`Core::outgoing`].
    Save,
    /// Send [`Core::outgoing`], and restart when it is sent.
    Restart,
}

/// A server without its line and its flash: bytes in, frames out.
///
/// All that is large lives in memory of the caller's, static memory as a rule:
/// embedder, gallery, and a buffer of [`frame_capacity`](crate::frame_capacity)
/// bytes, in which a request is received and decoded, and over which its answer
/// is written.
pub struct Core<
    'm,
    'f,
    P,
    const D: usize,
    const SHARED: usize,
    const HIDDEN1: usize,
    const N: usize,
> {
    receiver: Receiver,
    buffer: &'m mut [u8],
    /// The length of the frame in `buffer` that is to be sent.
    outgoing: usize,
    device: Device<'m, 'f, P, D, SHARED, HIDDEN1, N>,
}

/// What carries requests out.
struct Device<'m, 'f, P, const D: usize, const SHARED: usize, const HIDDEN1: usize, const N: usize>
{
    embedder: &'m mut Embedder<'f, D, SHARED, HIDDEN1>,
    gallery: &'m mut Gallery<D, N>,
    platform: P,
    session: Option<Session>,
    changes: u32,
    can_save: bool,
    refused: Option<Refused>,
    #[cfg(feature = "pictures")]
    incoming: Incoming,
    #[cfg(feature = "statistics")]
    statistics: Statistics,
}

/// The session that is open.
#[derive(Clone, Copy)]
struct Session {
    number: u32,
    /// The last change, by the request's number, and how it was answered.
    last: Option<(u32, Done)>,
}

/// How a change was answered: kept, so that a request that comes again is answered
/// again and not carried out again.
#[derive(Clone, Copy)]
enum Done {
    Enrolled {
        examples: u16,
    },
    Forgotten {
        entries: u32,
    },
    Saved,
    Resetting,
    #[cfg(feature = "galleries")]
    Inserted {
        examples: u16,
    },
    #[cfg(feature = "galleries")]
    ThresholdsSet,
    #[cfg(feature = "names")]
    Named,
    #[cfg(feature = "updates")]
    Updated {
        next: u32,
    },
    Fault(Fault),
}

impl From<Done> for Response<'_> {
    fn from(done: Done) -> Self {
        match done {
            Done::Enrolled { examples } => Self::Enrolled { examples },
            Done::Forgotten { entries } => Self::Forgotten { entries },
            Done::Saved => Self::Saved,
            Done::Resetting => Self::Resetting,
            #[cfg(feature = "galleries")]
            Done::Inserted { examples } => Self::Inserted { examples },
            #[cfg(feature = "galleries")]
            Done::ThresholdsSet => Self::ThresholdsSet,
            #[cfg(feature = "names")]
            Done::Named => Self::Named,
            #[cfg(feature = "updates")]
            Done::Updated { next } => Self::Updated { next },
            Done::Fault(fault) => Self::Fault(fault),
        }
    }
}

impl<'m, 'f, P: Platform, const D: usize, const SHARED: usize, const HIDDEN1: usize, const N: usize>
    Core<'m, 'f, P, D, SHARED, HIDDEN1, N>
{
    /// A core with an empty gallery for the embedder's model; whatever was in
    /// `gallery` is gone. [`Self::start`] comes next.
    ///
    /// # Errors
    /// [`SizeError::Dimension`] if the model's embeddings have not `D` coordinates.
    pub fn new(
        embedder: &'m mut Embedder<'f, D, SHARED, HIDDEN1>,
        gallery: &'m mut Gallery<D, N>,
        buffer: &'m mut [u8],
        platform: P,
    ) -> Result<Self, SizeError> {
        gallery.reset_for(embedder.model())?;
        Ok(Self {
            receiver: Receiver::new(),
            buffer,
            outgoing: 0,
            device: Device {
                embedder,
                gallery,
                platform,
                session: None,
                changes: 0,
                can_save: false,
                refused: None,
                #[cfg(feature = "pictures")]
                incoming: Incoming::NONE,
                #[cfg(feature = "statistics")]
                statistics: Statistics::NONE,
            },
        })
    }

    /// The gallery, to be loaded before the start.
    pub const fn gallery_mut(&mut self) -> &mut Gallery<D, N> {
        self.device.gallery
    }

    /// The gallery, to be saved.
    #[must_use]
    pub const fn gallery(&self) -> &Gallery<D, N> {
        self.device.gallery
    }

    /// The platform.
    pub const fn platform_mut(&mut self) -> &mut P {
        &mut self.device.platform
    }

    /// Takes note of how loading the gallery went, and whether it can be saved. If
    /// it went wrong, the gallery is empty.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn loaded(
        &mut self,
        can_save: bool,
        result: Result<bool, Refused>,
    ) -> Result<(), SizeError> {
        let device = &mut self.device;
        device.can_save = can_save;
        device.refused = result.err();
        if device.refused.is_some() {
            device.gallery.reset_for(device.embedder.model())?;
        }
        Ok(())
    }

    /// Says that the device is ready: [`Self::outgoing`] is to be sent.
    ///
    /// Its delimiter also ends whatever the line has carried before. QEMU's UARTs
    /// don't wake their sender when a firmware enables them, so a host should wait
    /// for this.
    pub fn start(&mut self) {
        self.receiver.give_up();
        self.notify(Notice::Ready);
    }

    /// Whether a frame has begun and not ended: if no byte follows for
    /// [`SILENCE_MS`], [`Self::give_up`] is to be called.
    #[must_use]
    pub const fn is_receiving(&self) -> bool {
        self.receiver.is_inside()
    }

    /// Gives up the frame that has begun; the host is told by [`Self::outgoing`],
    /// which is to be sent.
    pub fn give_up(&mut self) {
        self.receiver.give_up();
        self.notify(Notice::Refused(FrameError::Silence));
    }

    /// Takes a byte that was received.
    #[inline]
    pub fn push(&mut self, byte: u8) -> Step {
        if self.receiver.push(byte, self.buffer) {
            self.answer()
        } else {
            Step::Receive
        }
    }

    /// Takes note of how saving the gallery went. If it went well, the names are saved,
    /// too.
    #[inline(never)]
    pub fn saved(&mut self, result: Result<(), Fault>) {
        let device = &mut self.device;
        if result.is_ok() {
            device.refused = None;
        }
        #[cfg(feature = "names")]
        let result = result.and_then(|()| device.save_names());
        let done = result.map_or_else(Done::Fault, |()| Done::Saved);
        // What `carry_out` left there when it asked for the saving.
        if let Some(Session {
            number,
            last: Some((id, last)),
        }) = &mut device.session
        {
            *last = done;
            let tag = Tag {
                session: *number,
                id: *id,
            };
            self.send(tag, &done.into());
        }
    }

    /// The frame that is to be sent.
    #[must_use]
    pub fn outgoing(&self) -> &[u8] {
        self.buffer.get(..self.outgoing).unwrap_or_default()
    }

    /// Carries out the request whose frame has ended.
    #[inline(never)]
    fn answer(&mut self) -> Step {
        let (tag, outcome) = match self.receiver.finish(self.buffer) {
            Ok(received) if received.payload.kind != Kind::Request => {
                // What this device has said itself, come back: answering it could
                // go on for ever.
                return Step::Receive;
            }
            Ok(received) => {
                let tag = received.payload.tag;
                let outcome = if received.too_long {
                    Err(Fault::TooLong)
                } else {
                    match received.payload.message() {
                        // The request is over, so that its buffer takes the frame.
                        #[cfg(feature = "pictures")]
                        Ok(Request::EmbedPicture { ink }) => {
                            self.device.embed_picture(ink, self.buffer)
                        }
                        #[cfg(feature = "galleries")]
                        Ok(Request::Entry { number }) => {
                            self.send_entry(tag, number);
                            return Step::Send;
                        }
                        #[cfg(feature = "names")]
                        Ok(Request::NameFrom { label }) => {
                            self.send_name(tag, label);
                            return Step::Send;
                        }
                        Ok(request) => self.device.carry_out(tag, request),
                        Err(_) => Err(Fault::Unsupported),
                    }
                };
                (tag, outcome)
            }
            Err(error) => {
                #[cfg(feature = "statistics")]
                self.device.statistics.count_damaged();
                self.notify(Notice::Refused(error));
                return Step::Send;
            }
        };
        let response = match outcome {
            Ok(Outcome::Save) => return Step::Save,
            Ok(Outcome::Answer(response)) => response,
            Err(fault) => Response::Fault(fault),
        };
        #[cfg(feature = "statistics")]
        self.device.statistics.count_answer(&response);
        self.send(tag, &response);
        if response == Response::Resetting {
            Step::Restart
        } else {
            Step::Send
        }
    }

    fn send(&mut self, tag: Tag, response: &Response<'_>) {
        self.outgoing = write(tag, response, self.buffer);
    }

    #[inline(never)]
    fn notify(&mut self, notice: Notice) {
        let frame = write_frame(Tag::NONE, &notice, self.buffer);
        self.outgoing = frame.map_or(0, |frame| frame.len());
    }
}

/// Writes an answer, or that it doesn't fit the buffer; its length.
#[inline(never)]
fn write(tag: Tag, response: &Response<'_>, buffer: &mut [u8]) -> usize {
    if let Ok(frame) = write_frame(tag, response, buffer) {
        return frame.len();
    }
    let fault = Response::Fault(Fault::TooLong);
    write_frame(tag, &fault, buffer).map_or(0, |frame| frame.len())
}

/// What a request leads to.
enum Outcome<'f> {
    /// This answer.
    Answer(Response<'f>),
    /// The gallery is to be saved.
    Save,
}

impl<'f, P: Platform, const D: usize, const SHARED: usize, const HIDDEN1: usize, const N: usize>
    Device<'_, 'f, P, D, SHARED, HIDDEN1, N>
{
    /// Carries out one request.
    #[inline(never)]
    fn carry_out(&mut self, tag: Tag, request: Request<'_>) -> Result<Outcome<'f>, Fault> {
        if request.is_change() {
            return self.change(tag, &request);
        }
        Ok(Outcome::Answer(match request {
            Request::Info => Response::Info(self.info()),
            Request::Embed { pixels } => Response::Embedding(self.embedded(pixels)?),
            Request::Memory => Response::Memory(self.platform.memory()),
            Request::Identify { pixels } => {
                let (embedding, _) = self.embed(pixels)?;
                let start = self.platform.ticks();
                let answer = self.gallery.identify(&embedding);
                let ticks = self.platform.ticks().wrapping_sub(start);
                #[cfg(feature = "statistics")]
                self.statistics.count(answer, self.gallery.thresholds());
                Response::Identified(Identification { answer, ticks })
            }
            Request::Verify { label, pixels } => {
                let (embedding, _) = self.embed(pixels)?;
                let verified = self.gallery.verify(label, &embedding);
                Response::Verified(verified.map_err(Fault::Gallery)?)
            }
            Request::List { from } => Response::Entries(self.list(from)),
            #[cfg(feature = "statistics")]
            Request::Statistics => Response::Statistics(Statistics {
                stack_peak: self.platform.memory().stack_peak,
                restarts: self.platform.restarts(),
                changes: self.changes,
                ..self.statistics
            }),
            #[cfg(feature = "updates")]
            Request::Update(_) => Response::UpdateStatus(self.update_status()?),
            #[cfg(feature = "pictures")]
            Request::Picture { width, height } => self.begin_picture(width, height)?,
            #[cfg(feature = "pictures")]
            Request::PicturePart { from, pixels } => self.take_part(from, pixels)?,
            Request::Open => {
                // Opened already, it stays as it is: the request came twice.
                if self.session.is_none_or(|open| open.number != tag.session) {
                    self.session = Some(Session {
                        number: tag.session,
                        last: None,
                    });
                }
                Response::Opened
            }
            _ => return Err(Fault::Unsupported),
        }))
    }

    /// Carries out a request that changes something, unless it was before.
    fn change(&mut self, tag: Tag, request: &Request<'_>) -> Result<Outcome<'f>, Fault> {
        let Session { number, last } = self.session.ok_or(Fault::NoSession)?;
        if number != tag.session {
            return Err(Fault::OtherSession);
        }
        match last {
            Some((id, done)) if id == tag.id => return Ok(Outcome::Answer(done.into())),
            Some((id, _)) if id > tag.id => return Err(Fault::Repeated),
            _ => {}
        }
        let done = match *request {
            Request::Enrol {
                label,
                exemplar,
                pixels,
            } => self
                .enrol(label, exemplar, pixels)
                .map(|examples| Done::Enrolled { examples }),
            Request::Forget { label } => Ok(self.forget(label)),
            // How it went is known later: `Core::saved` puts it here. Should that
            // never be called, it hasn't been saved.
            Request::Save => Err(Fault::Storage),
            Request::Reset => Ok(Done::Resetting),
            #[cfg(feature = "galleries")]
            Request::Insert { record } => self.insert(record),
            #[cfg(feature = "galleries")]
            Request::SetThresholds { record } => self.set_thresholds(record),
            #[cfg(feature = "names")]
            Request::Name { label, name } => self.name(label, name),
            #[cfg(feature = "updates")]
            Request::Update(ref step) => self.update(step),
            _ => Err(Fault::Unsupported),
        };
        let done = done.unwrap_or_else(Done::Fault);
        self.session = Some(Session {
            number,
            last: Some((tag.id, done)),
        });
        Ok(match request {
            Request::Save => Outcome::Save,
            _ => Outcome::Answer(done.into()),
        })
    }

    /// What this device is.
    #[inline(never)]
    fn info(&self) -> Info<&'f str> {
        let header = self.embedder.model().header();
        Info {
            link_version: LINK_VERSION,
            board: self.platform.board(),
            model: header.name,
            training_digest: header.training_digest,
            model_crc: self.platform.model_crc(),
            pixels: header.input.pixels() as u32,
            dim: D as u16,
            tick_hz: self.platform.tick_hz(),
            gallery_capacity: N as u32,
            can_save: self.can_save,
            refused: self.refused,
            session: self.session.map(|open| open.number),
        }
    }

    /// Embeds an image; the ticks are those of the embedding alone.
    #[inline(never)]
    fn embed(&mut self, pixels: &[u8]) -> Result<(Embedding<D>, u32), Fault> {
        let start = self.platform.ticks();
        let embedding = self.embedder.embed(pixels);
        let ticks = self.platform.ticks().wrapping_sub(start);
        // Of all sizes, the image's is the one that was not checked before.
        let embedding = embedding.map_err(|_| Fault::ImageSize {
            expected: self.embedder.model().header().input.pixels() as u32,
            found: pixels.len() as u32,
        })?;
        #[cfg(feature = "statistics")]
        self.statistics.count_embedding(ticks);
        Ok((embedding, ticks))
    }

    /// Embeds an image, and reports all layers.
    fn embedded(&mut self, pixels: &[u8]) -> Result<Embedded, Fault> {
        let (embedding, ticks) = self.embed(pixels)?;
        Ok(Embedded {
            // A model has at most as many as there is room for.
            coordinates: Vec::from_slice(&embedding.0).unwrap_or_default(),
            hidden_crc: self.embedder.hidden().map(checksum),
            ticks,
        })
    }

    /// Enrols what an image shows; the examples in its entry now.
    fn enrol(&mut self, label: Label, exemplar: bool, pixels: &[u8]) -> Result<u16, Fault> {
        let (embedding, _) = self.embed(pixels)?;
        let enrolled = if exemplar {
            self.gallery.enrol_exemplar(label, &embedding).map(|()| 1)
        } else {
            self.gallery.enrol(label, &embedding)
        };
        let examples = enrolled.map_err(Fault::Gallery)?;
        self.changed();
        Ok(examples)
    }

    /// Counts a change of the gallery or the names.
    const fn changed(&mut self) {
        self.changes = self.changes.wrapping_add(1);
    }

    /// Removes a label.
    fn forget(&mut self, label: Label) -> Done {
        let entries = self.gallery.forget(label) as u32;
        self.changed();
        Done::Forgotten { entries }
    }

    /// The entries from one on.
    fn list(&self, from: u32) -> Entries {
        let all = self.gallery.entries();
        let mut entries = Vec::new();
        for entry in all.iter().skip(from as usize).take(MAX_LISTED) {
            // There is room for as many as are taken.
            let _ = entries.push(Listed {
                label: entry.label(),
                examples: entry.examples(),
            });
        }
        Entries {
            total: all.len() as u32,
            changes: self.changes,
            entries,
        }
    }
}
