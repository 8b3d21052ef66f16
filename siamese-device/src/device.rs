//! Requests and answers over any byte stream.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use siamese_core::link::{
    Embedded, LINK_VERSION, Memory, Request, Response, frame_capacity, read_frame, write_frame,
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
}

/// A device, at the other end of a [`Transport`].
///
/// Two threads move the bytes, so that neither a device that doesn't read nor
/// one that doesn't answer can block the caller for longer than the timeout.
pub struct Device {
    outgoing: Sender<Vec<u8>>,
    incoming: Receiver<Vec<u8>>,
    closed: Arc<AtomicBool>,
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
        let reader_closed = Arc::clone(&closed);
        thread::spawn(move || receive_all(reader, &received, &reader_closed));
        Ok(Self {
            outgoing,
            incoming,
            closed,
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

    /// The embeddings of many images, in their order. Further requests are on
    /// the way while the device computes, if the transport allows it.
    /// `progress` is called with each embedding's index as it arrives.
    ///
    /// # Errors
    /// As [`embed`](Self::embed), for the first image that fails.
    pub fn embed_all<I>(
        &mut self,
        images: impl IntoIterator<Item = I>,
        mut progress: impl FnMut(usize, &Embedded),
    ) -> Result<Vec<Embedded>, Error>
    where
        I: AsRef<[u8]>,
    {
        let mut images = images.into_iter();
        let mut embeddings = Vec::with_capacity(images.size_hint().0);
        let window = self.transport.in_flight().max(1);
        let mut failure = None;
        loop {
            while failure.is_none() && self.pending < window {
                let Some(image) = images.next() else { break };
                let request = Request::Embed {
                    pixels: image.as_ref(),
                };
                if let Err(error) = self.request(&request) {
                    failure = Some(error);
                }
            }
            if self.pending == 0 {
                return failure.map_or(Ok(embeddings), Err);
            }
            // After a refusal, the answers that are still due are taken from
            // the link, so that it stays usable.
            match embedded(&mut self.answer()?) {
                Ok(embedding) if failure.is_none() => {
                    progress(embeddings.len(), &embedding);
                    embeddings.push(embedding);
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
    /// [`siamese_core::link::read_frame`] decodes it.
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
            Request::Embed { pixels } => pixels.len(),
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

/// Cuts what comes in at the zeros, until either end closes.
fn receive_all(mut reader: impl Read, frames: &Sender<Vec<u8>>, closed: &AtomicBool) {
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
            } else if !frame.is_empty() && frames.send(std::mem::take(&mut frame)).is_err() {
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
