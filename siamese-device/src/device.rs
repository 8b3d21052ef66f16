//! Requests and answers over any byte stream.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use siamese_core::gallery::{Identified, Label, LoadError, Verified};
use siamese_link::{
    Embedded, LINK_VERSION, Listed, Memory, Request, Response, frame_capacity, read_frame,
    write_frame,
};

use crate::error::Error;
use crate::transport::{Halves, Transport};

/// How long a device may take for an answer if not said otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes without a zero that no device sends: what is not a frame is not kept.
const LONGEST_FRAME: usize = 1 << 16;

/// What a device says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    /// The board.
    pub board: String,
    /// The model's name.
    pub model: String,
    /// The model's training digest.
    pub training_digest: [u8; 32],
    /// The CRC-32 at the end of the model in flash.
    pub model_crc: u32,
    /// The pixels that an image must have.
    pub pixels: usize,
    /// The coordinates of an embedding.
    pub dim: usize,
    /// How often the clock of [`Embedded::ticks`] ticks, in Hz.
    pub tick_hz: u32,
    /// The entries that the gallery has room for.
    pub gallery_capacity: usize,
    /// Whether the device can save its gallery.
    pub can_save: bool,
    /// Why the gallery that was saved last isn't in use.
    pub refused: Option<LoadError>,
}

/// A device's answer to "what does this look like?".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identification {
    /// What its gallery says; `None` if it is empty.
    pub answer: Option<Identified>,
    /// How long the comparison took, without the embedding, in ticks of the
    /// device's clock.
    pub ticks: u32,
}

/// A device, at the other end of a [`Transport`].
///
/// Two threads move the bytes, so that neither a device that doesn't read nor
/// one that doesn't answer can block the caller for longer than the timeout.
pub struct Device {
    outgoing: Sender<Vec<u8>>,
    incoming: Receiver<Vec<u8>>,
    closed: Arc<AtomicBool>,
    /// How often the device has started, as far as its stream tells.
    starts: Arc<AtomicUsize>,
    timeout: Duration,
    /// Requests that were sent and not yet answered.
    pending: usize,
    transport: Box<dyn Transport>,
}

impl Device {
    /// The device at the other end of `transport`.
    ///
    /// # Errors
    /// [`Error::Open`] if the stream can't be used.
    pub fn new(mut transport: impl Transport + 'static) -> Result<Self, Error> {
        let Halves { reader, writer } = transport.halves().map_err(|error| Error::Open {
            what: "the connection to the device".into(),
            error,
        })?;
        let (outgoing, to_send) = channel();
        let (received, incoming) = channel();
        let closed = Arc::new(AtomicBool::new(false));
        thread::spawn(move || send_all(writer, &to_send));
        let starts = Arc::new(AtomicUsize::new(0));
        let (reader_closed, reader_starts) = (Arc::clone(&closed), Arc::clone(&starts));
        thread::spawn(move || receive_all(reader, &received, &reader_starts, &reader_closed));
        Ok(Self {
            outgoing,
            incoming,
            closed,
            starts,
            timeout: DEFAULT_TIMEOUT,
            pending: 0,
            transport: Box::new(transport),
        })
    }

    /// Waits for at most this long for each answer.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// Who the device is and which model it runs.
    ///
    /// # Errors
    /// [`Error::LinkVersion`] if it speaks another version of the link; else as
    /// [`embed`](Self::embed).
    pub fn info(&mut self) -> Result<DeviceInfo, Error> {
        let mut frame = self.exchange(&Request::Info)?;
        let Response::Info(info) = decode(&mut frame)? else {
            return Err(Error::Unexpected);
        };
        if info.link_version != LINK_VERSION {
            return Err(Error::LinkVersion {
                found: info.link_version,
            });
        }
        Ok(DeviceInfo {
            board: info.board.into(),
            model: info.model.into(),
            training_digest: info.training_digest,
            model_crc: info.model_crc,
            pixels: info.pixels as usize,
            dim: info.dim.into(),
            tick_hz: info.tick_hz,
            gallery_capacity: info.gallery_capacity.into(),
            can_save: info.can_save,
            refused: info.refused,
        })
    }

    /// How much memory the device has used so far.
    ///
    /// # Errors
    /// As [`embed`](Self::embed).
    pub fn memory(&mut self) -> Result<Memory, Error> {
        match decode(&mut self.exchange(&Request::Memory)?)? {
            Response::Memory(memory) => Ok(memory),
            _ => Err(Error::Unexpected),
        }
    }

    /// The embedding of one image: 8-bit grey values, row-major, 0 = background.
    ///
    /// # Errors
    /// [`Error::Fault`] if the device refuses, [`Error::Died`] if it is gone,
    /// [`Error::Timeout`] if it says nothing, and [`Error::Answer`] if its
    /// answer is damaged.
    pub fn embed(&mut self, pixels: &[u8]) -> Result<Embedded, Error> {
        embedded(&mut self.exchange(&Request::Embed { pixels })?)
    }

    /// Enrols what an image shows, in the label's prototype, or as an exemplar
    /// of its own; the examples in that entry now.
    ///
    /// # Errors
    /// [`Error::Fault`] if the gallery is full; else as [`embed`](Self::embed).
    pub fn enrol(&mut self, label: Label, exemplar: bool, pixels: &[u8]) -> Result<u16, Error> {
        let request = Request::Enrol {
            label,
            exemplar,
            pixels,
        };
        match decode(&mut self.exchange(&request)?)? {
            Response::Enrolled { examples } => Ok(examples),
            _ => Err(Error::Unexpected),
        }
    }

    /// What an image looks like.
    ///
    /// # Errors
    /// As [`embed`](Self::embed).
    pub fn identify(&mut self, pixels: &[u8]) -> Result<Identification, Error> {
        identification(&mut self.exchange(&Request::Identify { pixels })?)
    }

    /// Whether an image shows what it is said to show.
    ///
    /// # Errors
    /// [`Error::Fault`] if nothing is enrolled under the label; else as
    /// [`embed`](Self::embed).
    pub fn verify(&mut self, label: Label, pixels: &[u8]) -> Result<Verified, Error> {
        match decode(&mut self.exchange(&Request::Verify { label, pixels })?)? {
            Response::Verified(verified) => Ok(verified),
            _ => Err(Error::Unexpected),
        }
    }

    /// What is enrolled, in the gallery's order.
    ///
    /// # Errors
    /// As [`embed`](Self::embed).
    pub fn entries(&mut self) -> Result<Vec<Listed>, Error> {
        match decode(&mut self.exchange(&Request::List)?)? {
            Response::Entries(entries) => Ok(entries.to_vec()),
            _ => Err(Error::Unexpected),
        }
    }

    /// Removes a label from the gallery; how many entries it had.
    ///
    /// # Errors
    /// As [`embed`](Self::embed).
    pub fn forget(&mut self, label: Label) -> Result<u16, Error> {
        match decode(&mut self.exchange(&Request::Forget { label })?)? {
            Response::Forgotten { entries } => Ok(entries),
            _ => Err(Error::Unexpected),
        }
    }

    /// Has the device save its gallery.
    ///
    /// # Errors
    /// [`Error::Fault`] if it can't; else as [`embed`](Self::embed).
    pub fn save(&mut self) -> Result<(), Error> {
        match decode(&mut self.exchange(&Request::Save)?)? {
            Response::Saved => Ok(()),
            _ => Err(Error::Unexpected),
        }
    }

    /// Has the device start anew, and waits until it is ready.
    ///
    /// # Errors
    /// As [`embed`](Self::embed).
    pub fn reset(&mut self) -> Result<(), Error> {
        const LOOK_EVERY: Duration = Duration::from_millis(5);
        let before = self.starts.load(Ordering::Relaxed);
        match decode(&mut self.exchange(&Request::Reset)?)? {
            Response::Resetting => {}
            _ => return Err(Error::Unexpected),
        }
        let deadline = Instant::now() + self.timeout;
        while self.starts.load(Ordering::Relaxed) == before {
            if Instant::now() >= deadline {
                return Err(Error::Timeout(self.timeout));
            }
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// The embeddings of many images, in their order. Further requests are on
    /// the way while the device computes, if the transport allows it.
    /// `progress` is called with each embedding's index as it arrives.
    ///
    /// # Errors
    /// As [`embed`](Self::embed), for the first image that fails.
    pub fn embed_all<I>(
        &mut self,
        images: impl IntoIterator<Item = I>,
        progress: impl FnMut(usize, &Embedded),
    ) -> Result<Vec<Embedded>, Error>
    where
        I: AsRef<[u8]>,
    {
        self.ask_all(
            images,
            |pixels| Request::Embed { pixels },
            embedded,
            progress,
        )
    }

    /// What many images look like, in their order, as [`embed_all`](Self::embed_all).
    ///
    /// # Errors
    /// As [`embed`](Self::embed), for the first image that fails.
    pub fn identify_all<I>(
        &mut self,
        images: impl IntoIterator<Item = I>,
        progress: impl FnMut(usize, &Identification),
    ) -> Result<Vec<Identification>, Error>
    where
        I: AsRef<[u8]>,
    {
        self.ask_all(
            images,
            |pixels| Request::Identify { pixels },
            identification,
            progress,
        )
    }

    /// A request for each image, with several on the way at once.
    fn ask_all<I, A>(
        &mut self,
        images: impl IntoIterator<Item = I>,
        request: impl for<'p> Fn(&'p [u8]) -> Request<'p>,
        read: impl Fn(&mut [u8]) -> Result<A, Error>,
        mut progress: impl FnMut(usize, &A),
    ) -> Result<Vec<A>, Error>
    where
        I: AsRef<[u8]>,
    {
        let mut images = images.into_iter();
        let mut answers = Vec::with_capacity(images.size_hint().0);
        let window = self.transport.in_flight().max(1);
        let mut failure = None;
        loop {
            while failure.is_none() && self.pending < window {
                let Some(image) = images.next() else { break };
                if let Err(error) = self.request(&request(image.as_ref())) {
                    failure = Some(error);
                }
            }
            if self.pending == 0 {
                return failure.map_or(Ok(answers), Err);
            }
            // After a refusal, the answers that are still due are taken from
            // the link, so that it stays usable.
            match read(&mut self.answer()?) {
                Ok(answer) if failure.is_none() => {
                    progress(answers.len(), &answer);
                    answers.push(answer);
                }
                Ok(_) => {}
                Err(error) => {
                    failure.get_or_insert(error);
                }
            }
        }
    }

    /// Sends bytes as they are, for tests of damaged frames.
    ///
    /// # Errors
    /// [`Error::Died`] if the device is gone.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let sent = self.outgoing.send(bytes.to_vec());
        sent.map_err(|_| self.died())
    }

    /// The next frame that the device sends, without its terminating zero;
    /// [`siamese_link::read_frame`] decodes it.
    ///
    /// # Errors
    /// [`Error::Died`] or [`Error::Timeout`].
    pub fn receive_frame(&mut self) -> Result<Vec<u8>, Error> {
        match self.incoming.recv_timeout(self.timeout) {
            Ok(frame) => match last_words(&frame) {
                Some(words) => Err(Error::Died(words)),
                None => Ok(frame),
            },
            Err(RecvTimeoutError::Timeout) => Err(Error::Timeout(self.timeout)),
            Err(RecvTimeoutError::Disconnected) => Err(self.died()),
        }
    }

    /// A request and the frame of its answer.
    fn exchange(&mut self, request: &Request<'_>) -> Result<Vec<u8>, Error> {
        if self.pending > 0 {
            return Err(Error::Lost);
        }
        self.request(request)?;
        self.answer()
    }

    /// Sends a request.
    fn request(&mut self, request: &Request<'_>) -> Result<(), Error> {
        let pixels = match request {
            Request::Embed { pixels }
            | Request::Enrol { pixels, .. }
            | Request::Identify { pixels }
            | Request::Verify { pixels, .. } => pixels.len(),
            _ => 0,
        };
        let mut buffer = vec![0; frame_capacity(pixels)];
        let length = write_frame(request, &mut buffer)
            .map_err(|_| Error::TooLong)?
            .len();
        self.send_bytes(&buffer[..length])?;
        self.pending += 1;
        Ok(())
    }

    /// The frame of the next answer. A failure leaves the answer pending, so
    /// that it is not mistaken for a later one.
    fn answer(&mut self) -> Result<Vec<u8>, Error> {
        let frame = self.receive_frame()?;
        self.pending -= 1;
        Ok(frame)
    }

    /// The error of a stream that has ended.
    fn died(&mut self) -> Error {
        Error::Died(self.transport.obituary())
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // The threads end by themselves: the one when the channel closes, the
        // other when the transport does, or at its next look at this.
        self.closed.store(true, Ordering::Relaxed);
    }
}

/// The answer in a frame; a fault is an error.
fn decode(frame: &mut [u8]) -> Result<Response<'_>, Error> {
    match read_frame(frame).map_err(Error::Answer)? {
        Response::Fault(fault) => Err(Error::Fault(fault)),
        response => Ok(response),
    }
}

/// The embedding in a frame.
fn embedded(frame: &mut [u8]) -> Result<Embedded, Error> {
    match decode(frame)? {
        Response::Embedding(embedded) => Ok(embedded),
        _ => Err(Error::Unexpected),
    }
}

/// The identification in a frame.
fn identification(frame: &mut [u8]) -> Result<Identification, Error> {
    match decode(frame)? {
        Response::Identified { answer, ticks } => Ok(Identification { answer, ticks }),
        _ => Err(Error::Unexpected),
    }
}

/// A panic's message, which a board without another way to report it sends
/// between two zeros like a frame.
fn last_words(frame: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(frame).ok()?;
    text.starts_with("panicked at ")
        .then(|| text.trim_end().into())
}

/// Writes what comes through the channel until either end closes.
fn send_all(mut writer: impl Write, frames: &Receiver<Vec<u8>>) {
    for frame in frames {
        if writer
            .write_all(&frame)
            .and_then(|()| writer.flush())
            .is_err()
        {
            return;
        }
    }
}

/// Cuts what comes in at the zeros, until either end closes. A zero by itself is
/// what a device sends when it starts.
fn receive_all(
    mut reader: impl Read,
    frames: &Sender<Vec<u8>>,
    starts: &AtomicUsize,
    closed: &AtomicBool,
) {
    let mut frame = Vec::new();
    let mut bytes = [0; 4096];
    loop {
        let count = match reader.read(&mut bytes) {
            Ok(0) => return,
            Ok(count) => count,
            Err(error) if may_go_on(&error) => {
                if closed.load(Ordering::Relaxed) {
                    return;
                }
                continue;
            }
            Err(_) => return,
        };
        for &byte in &bytes[..count] {
            if byte != 0 {
                if frame.len() < LONGEST_FRAME {
                    frame.push(byte);
                }
            } else if frame.is_empty() {
                starts.fetch_add(1, Ordering::Relaxed);
            } else if frames.send(std::mem::take(&mut frame)).is_err() {
                return;
            }
        }
    }
}

/// Whether a read that failed may succeed the next time.
fn may_go_on(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), Interrupted | TimedOut | WouldBlock)
}
