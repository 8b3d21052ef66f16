//! Requests and answers over any byte stream.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::iter;
use std::time::{Duration, Instant, SystemTime};

use siamese_core::gallery::{Label, Verified};
use siamese_core::preprocess::Ink;
use siamese_link::{
    Embedded, Entries, Fault, FrameError, Identification, Info, Kind, LINK_VERSION, Listed, Memory,
    Notice, Request, Response, Tag, frame_capacity, open_frame, write_frame,
};

use crate::error::Error;
use crate::line::{Line, Threaded};
use crate::transport::Transport;

/// How long a device may take for an answer if not said otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// A request is sent again after this part of the time-out without an answer, then
/// after twice as long, and so on.
const FIRST_PAUSE: u32 = 16;
/// The most times that a request is sent because something on the line was
/// damaged.
const SENDS: u32 = 8;
/// The most times that a list is begun, if the gallery changes meanwhile.
pub(crate) const LISTS: u32 = 8;
/// Bytes without a delimiter that no device sends, last words included: the rest
/// of them isn't kept.
const LONGEST_FRAME: usize = 4096;
/// Bytes for what a device's frame decodes to. A longer one is no answer.
type Decoded = [u8; LONGEST_FRAME];
/// Pixels of a picture in one request: the smallest buffer that a server has takes them.
const PART: usize = 240;
/// How often a device that shall restart is asked whether it has.
const ASK_EVERY: Duration = Duration::from_millis(5);

/// What a device says of itself.
pub type DeviceInfo = Info<String>;

/// A device, at the other end of a [`Transport`].
///
/// Each request has a number, and only its own answer is taken: whatever else
/// comes is dropped. A request that gets no answer, or that the device couldn't
/// read, is sent again a few times. Requests that change the device are carried
/// out once all the same: the device knows by the number what it has done.
///
/// After [`Error::Timeout`] the device can be asked further. Whether a request that
/// changes it was carried out isn't known then.
pub struct Device {
    line: Box<dyn Line>,
    /// What has arrived and wasn't looked at.
    incoming: VecDeque<u8>,
    /// The frame that is arriving.
    frame: Vec<u8>,
    /// This host's number.
    session: u32,
    /// Whether the device knows it.
    is_open: bool,
    /// The number of the request that was sent last.
    last_id: u32,
    timeout: Duration,
    traffic: Traffic,
}

/// Bytes on a device's line, of all that was sent and has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// To the device.
    pub sent: u64,
    /// From the device.
    pub received: u64,
}

/// Requests that are on the way.
struct Exchange {
    /// In the order in which they were sent last. A device answers in that order.
    pending: VecDeque<Pending>,
    /// When the exchange began or the last answer came.
    progress: Instant,
    /// When the oldest request is sent again, and after which pause.
    again: Instant,
    pause: Duration,
    timeout: Duration,
    /// How often any request was sent again.
    repeats: u32,
}

/// A request without an answer.
struct Pending {
    id: u32,
    /// Which one of the caller's requests it is.
    index: usize,
    frame: Vec<u8>,
    sends: u32,
}

impl Exchange {
    fn new(now: Instant, timeout: Duration) -> Self {
        let pause = timeout / FIRST_PAUSE;
        Self {
            pending: VecDeque::new(),
            progress: now,
            again: now + pause,
            pause,
            timeout,
            repeats: 0,
        }
    }

    /// An answer came: the device is there, and the next one gets its time.
    fn advance(&mut self, now: Instant) {
        self.pause = self.timeout / FIRST_PAUSE;
        self.again = now + self.pause;
        self.progress = now;
    }

    /// Where the request is to which an answer of this host's belongs.
    fn place_of(&self, tag: Tag) -> Option<usize> {
        self.pending.iter().position(|pending| pending.id == tag.id)
    }

    /// The oldest request's frame, to be sent again; the request is the youngest
    /// now.
    fn repeat_oldest(&mut self) -> Option<Vec<u8>> {
        let mut pending = self.pending.pop_front()?;
        pending.sends += 1;
        self.repeats += 1;
        let frame = pending.frame.clone();
        self.pending.push_back(pending);
        Some(frame)
    }

    /// As [`repeat_oldest`](Self::repeat_oldest), unless it was sent often enough:
    /// then time must tell.
    fn repeat_damaged(&mut self) -> Option<Vec<u8>> {
        self.pending.front().filter(|oldest| oldest.sends < SENDS)?;
        self.repeat_oldest()
    }
}

impl Device {
    /// The device at the other end of `transport`.
    ///
    /// # Errors
    /// [`Error::Open`] if the stream can't be used.
    pub fn new(transport: impl Transport + 'static) -> Result<Self, Error> {
        let line = Threaded::new(Box::new(transport)).map_err(|error| Error::Open {
            what: "the connection to the device".into(),
            error,
        })?;
        Ok(Self::over(line))
    }

    /// The device at the other end of `line`.
    pub fn over(line: impl Line + 'static) -> Self {
        Self {
            line: Box::new(line),
            incoming: VecDeque::new(),
            frame: Vec::new(),
            session: draw_session(),
            is_open: false,
            last_id: 0,
            timeout: DEFAULT_TIMEOUT,
            traffic: Traffic::default(),
        }
    }

    /// Waits for at most this long for each answer, repetitions included.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// What has gone over the line so far.
    #[must_use]
    pub const fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// Who the device is and which model it runs.
    ///
    /// # Errors
    /// [`Error::LinkVersion`] if it speaks another version of the link; else as
    /// [`embed`](Self::embed).
    pub fn info(&mut self) -> Result<DeviceInfo, Error> {
        let info = self.ask(&Request::Info, |response| match response {
            Response::Info(info) => Some(info.with_texts(String::from)),
            _ => None,
        })?;
        if info.link_version == LINK_VERSION {
            Ok(info)
        } else {
            Err(Error::LinkVersion {
                found: info.link_version,
            })
        }
    }

    /// How much memory the device has used so far.
    ///
    /// # Errors
    /// As [`embed`](Self::embed).
    pub fn memory(&mut self) -> Result<Memory, Error> {
        self.ask(&Request::Memory, |response| match response {
            Response::Memory(memory) => Some(memory),
            _ => None,
        })
    }

    /// The embedding of one image: 8-bit grey values, row-major, 0 = background.
    ///
    /// # Errors
    /// [`Error::Fault`] if the device refuses, [`Error::Died`] if it is gone,
    /// [`Error::Timeout`] if no answer comes, and [`Error::LinkVersion`] if it
    /// speaks another version of the link.
    pub fn embed(&mut self, pixels: &[u8]) -> Result<Embedded, Error> {
        self.ask(&Request::Embed { pixels }, embedded)
    }

    /// The embedding of a grey picture of any size that the device has room for: it
    /// brings the picture into its model's frame by [`siamese_core::preprocess`]. `pixels`
    /// are `width * height` grey values, row-major.
    ///
    /// # Errors
    /// [`Error::Fault`] if the picture is too large for the device, is blank, or has
    /// another number of pixels; else as [`embed`](Self::embed).
    pub fn embed_picture(
        &mut self,
        width: u16,
        height: u16,
        pixels: &[u8],
        ink: Ink,
    ) -> Result<Embedded, Error> {
        let taken = |response: Response<'_>| match response {
            Response::Picture { filled } => Some(filled),
            _ => None,
        };
        self.ask(&Request::Picture { width, height }, taken)?;
        for (index, pixels) in pixels.chunks(PART).enumerate() {
            let from = (index * PART) as u32;
            self.ask(&Request::PicturePart { from, pixels }, taken)?;
        }
        self.ask(&Request::EmbedPicture { ink }, embedded)
    }

    /// Enrols what an image shows, in the label's prototype, or as an exemplar
    /// of its own; the examples in that entry now.
    ///
    /// # Errors
    /// [`Error::Fault`] if the gallery is full, or if the device has restarted or
    /// was taken over by another host since this one's last change: repeated, the
    /// call then works. Else as [`embed`](Self::embed).
    pub fn enrol(&mut self, label: Label, exemplar: bool, pixels: &[u8]) -> Result<u16, Error> {
        let request = Request::Enrol {
            label,
            exemplar,
            pixels,
        };
        self.change(&request, |response| match response {
            Response::Enrolled { examples } => Some(examples),
            _ => None,
        })
    }

    /// What an image looks like.
    ///
    /// # Errors
    /// As [`embed`](Self::embed).
    pub fn identify(&mut self, pixels: &[u8]) -> Result<Identification, Error> {
        self.ask(&Request::Identify { pixels }, identification)
    }

    /// Whether an image shows what it is said to show.
    ///
    /// # Errors
    /// [`Error::Fault`] if nothing is enrolled under the label; else as
    /// [`embed`](Self::embed).
    pub fn verify(&mut self, label: Label, pixels: &[u8]) -> Result<Verified, Error> {
        let request = Request::Verify { label, pixels };
        self.ask(&request, |response| match response {
            Response::Verified(verified) => Some(verified),
            _ => None,
        })
    }

    /// What is enrolled, in the gallery's order.
    ///
    /// # Errors
    /// [`Error::Unexpected`] if another host keeps changing the gallery meanwhile;
    /// else as [`embed`](Self::embed).
    pub fn entries(&mut self) -> Result<Vec<Listed>, Error> {
        for _ in 0..LISTS {
            let first = self.list(0)?;
            let total = first.total as usize;
            let mut entries = first.entries.to_vec();
            while entries.len() < total {
                let part = self.list(entries.len() as u32)?;
                if part.changes != first.changes || part.entries.is_empty() {
                    break;
                }
                entries.extend(part.entries);
            }
            if entries.len() == total {
                return Ok(entries);
            }
        }
        Err(Error::Unexpected)
    }

    /// A part of what is enrolled.
    fn list(&mut self, from: u32) -> Result<Entries, Error> {
        self.ask(&Request::List { from }, |response| match response {
            Response::Entries(entries) => Some(entries),
            _ => None,
        })
    }

    /// Removes a label from the gallery; how many entries it had.
    ///
    /// # Errors
    /// As [`enrol`](Self::enrol).
    pub fn forget(&mut self, label: Label) -> Result<u32, Error> {
        self.change(&Request::Forget { label }, |response| match response {
            Response::Forgotten { entries } => Some(entries),
            _ => None,
        })
    }

    /// Has the device save its gallery, and its names if it has a place for them.
    ///
    /// # Errors
    /// [`Error::Fault`] if it can't; else as [`enrol`](Self::enrol).
    pub fn save(&mut self) -> Result<(), Error> {
        self.change(&Request::Save, |response| {
            matches!(response, Response::Saved).then_some(())
        })
    }

    /// Has the device start anew, and waits until it says that it has: then it no
    /// longer knows the session that it was told to restart in.
    ///
    /// # Errors
    /// As [`enrol`](Self::enrol); [`Error::Timeout`] too if the device answers and
    /// doesn't restart.
    pub fn reset(&mut self) -> Result<(), Error> {
        self.open()?;
        let mut exchange = Exchange::new(self.line.now(), self.timeout);
        let answered = self.ask_in(&mut exchange, &Request::Reset, |response| {
            matches!(response, Response::Resetting).then_some(())
        });
        self.is_open = false;
        match answered {
            Ok(()) => {}
            // The answer to an earlier copy was lost, and the restart is over.
            Err(Error::Fault(Fault::NoSession)) if exchange.repeats > 0 => return Ok(()),
            Err(error) => return Err(error),
        }
        let deadline = self.line.now() + self.timeout;
        // Not all UARTs can be sent to before they are ready; but its saying so
        // can be lost.
        self.await_ready(self.line.now() + self.timeout / 4)?;
        loop {
            let info = self.info()?;
            if info.session != Some(self.session) {
                return Ok(());
            }
            if self.line.now() >= deadline {
                return Err(Error::Timeout(self.timeout));
            }
            let until = self.line.now() + ASK_EVERY;
            while self.receive_until(until)?.is_some() {}
        }
    }

    /// Waits until the device says that it is ready, but not longer than until
    /// then.
    fn await_ready(&mut self, until: Instant) -> Result<(), Error> {
        while let Some(frame) = self.receive_until(until)? {
            let mut decoded: Decoded = [0; _];
            let payload = open_frame(&frame, &mut decoded);
            if payload.is_ok_and(|payload| payload.message() == Ok(Notice::Ready)) {
                break;
            }
        }
        Ok(())
    }

    /// The embeddings of many images, in their order. Further requests are on
    /// the way while the device computes, if the transport allows it.
    /// `progress` is called with each embedding's index, in that order, as soon
    /// as it and all before it are there.
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

    /// Sends bytes as they are, for tests of damaged frames.
    ///
    /// # Errors
    /// [`Error::Died`] if the device is gone.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.send(bytes)
    }

    /// The next frame that the device sends, without its delimiters, whatever it
    /// is; [`siamese_link::read_frame`] decodes it.
    ///
    /// # Errors
    /// [`Error::Died`] or [`Error::Timeout`].
    pub fn receive_frame(&mut self) -> Result<Vec<u8>, Error> {
        let frame = self.receive_until(self.line.now() + self.timeout)?;
        frame.ok_or(Error::Timeout(self.timeout))
    }

    /// Begins this host's session, if the device doesn't know it yet.
    pub(crate) fn open(&mut self) -> Result<(), Error> {
        if !self.is_open {
            // A session that once ended is never opened again: what was asked in
            // it must not be carried out later.
            self.session = draw_session();
            self.ask(&Request::Open, |response| {
                matches!(response, Response::Opened).then_some(())
            })?;
            self.is_open = true;
        }
        Ok(())
    }

    /// A request that changes the device.
    pub(crate) fn change<A>(
        &mut self,
        request: &Request<'_>,
        read: impl Fn(Response<'_>) -> Option<A>,
    ) -> Result<A, Error> {
        self.open()?;
        let answer = self.ask(request, read);
        if let Err(Error::Fault(Fault::NoSession | Fault::OtherSession)) = answer {
            self.is_open = false;
        }
        answer
    }

    /// One request.
    pub(crate) fn ask<A>(
        &mut self,
        request: &Request<'_>,
        read: impl Fn(Response<'_>) -> Option<A>,
    ) -> Result<A, Error> {
        self.ask_in(
            &mut Exchange::new(self.line.now(), self.timeout),
            request,
            read,
        )
    }

    /// One request, in an exchange of the caller's.
    fn ask_in<A>(
        &mut self,
        exchange: &mut Exchange,
        request: &Request<'_>,
        read: impl Fn(Response<'_>) -> Option<A>,
    ) -> Result<A, Error> {
        self.begin(exchange, 0, request)?;
        let (_, answer) = self.answer(exchange, read)?;
        Ok(answer)
    }

    /// A request for each image, with several on the way at once.
    fn ask_all<I, A>(
        &mut self,
        images: impl IntoIterator<Item = I>,
        request: impl for<'p> Fn(&'p [u8]) -> Request<'p>,
        read: impl Fn(Response<'_>) -> Option<A>,
        mut progress: impl FnMut(usize, &A),
    ) -> Result<Vec<A>, Error>
    where
        I: AsRef<[u8]>,
    {
        let exchange = &mut Exchange::new(self.line.now(), self.timeout);
        let mut images = images.into_iter().enumerate();
        let window = self.line.in_flight().max(1);
        let mut answers = Vec::with_capacity(images.size_hint().0);
        // Answers that came before one of an earlier image.
        let mut early: VecDeque<Option<A>> = VecDeque::new();
        loop {
            // An image whose answer is missing holds back those far behind it.
            while early.len() + exchange.pending.len() < 2 * window
                && exchange.pending.len() < window
            {
                let Some((index, image)) = images.next() else {
                    break;
                };
                self.begin(exchange, index, &request(image.as_ref()))?;
            }
            if exchange.pending.is_empty() {
                return Ok(answers);
            }
            let (index, answer) = self.answer(exchange, &read)?;
            let place = index - answers.len();
            if early.len() <= place {
                early.extend(iter::repeat_with(|| None).take(place + 1 - early.len()));
            }
            if let Some(slot) = early.get_mut(place) {
                *slot = Some(answer);
            }
            while let Some(Some(_)) = early.front() {
                if let Some(answer) = early.pop_front().flatten() {
                    progress(answers.len(), &answer);
                    answers.push(answer);
                }
            }
        }
    }

    /// Sends a request for the first time.
    fn begin(
        &mut self,
        exchange: &mut Exchange,
        index: usize,
        request: &Request<'_>,
    ) -> Result<(), Error> {
        let pixels = match request {
            Request::Embed { pixels }
            | Request::Enrol { pixels, .. }
            | Request::Identify { pixels }
            | Request::Verify { pixels, .. }
            | Request::PicturePart { pixels, .. } => pixels.len(),
            Request::Insert { record } | Request::SetThresholds { record } => record.len(),
            Request::Name { name, .. } => name.len(),
            // A frame without an image has room for the parts of an update.
            _ => 0,
        };
        self.last_id = self.last_id.wrapping_add(1);
        let tag = Tag {
            session: self.session,
            id: self.last_id,
        };
        let mut frame = vec![0; frame_capacity(pixels)];
        let written = write_frame(tag, request, &mut frame);
        let length = written.map_err(|_| Error::TooLong)?.len();
        frame.truncate(length);
        if exchange.pending.is_empty() {
            exchange.advance(self.line.now());
        }
        self.send(&frame)?;
        exchange.pending.push_back(Pending {
            id: tag.id,
            index,
            frame,
            sends: 1,
        });
        Ok(())
    }

    /// The next answer to any of an exchange's requests, and which one's it is.
    /// Until it comes, requests are sent again.
    fn answer<A>(
        &mut self,
        exchange: &mut Exchange,
        read: impl Fn(Response<'_>) -> Option<A>,
    ) -> Result<(usize, A), Error> {
        loop {
            let now = self.line.now();
            let deadline = exchange.progress + self.timeout;
            if now >= deadline {
                return Err(Error::Timeout(self.timeout));
            }
            if now >= exchange.again {
                exchange.pause *= 2;
                exchange.again = now + exchange.pause;
                self.send_again(exchange.repeat_oldest())?;
            }
            let Some(frame) = self.receive_until(deadline.min(exchange.again))? else {
                continue;
            };
            let mut decoded: Decoded = [0; _];
            let payload = match open_frame(&frame, &mut decoded) {
                Ok(payload) => payload,
                Err(FrameError::Version { found }) => {
                    return Err(Error::LinkVersion {
                        found: found.into(),
                    });
                }
                // An answer, as likely as not: the oldest request's.
                Err(_) => {
                    self.send_again(exchange.repeat_damaged())?;
                    continue;
                }
            };
            if let Ok(Notice::Ready | Notice::Refused(_)) = payload.message() {
                // What came before was answered before: this is about the oldest.
                self.send_again(exchange.repeat_damaged())?;
                continue;
            }
            let place = exchange.place_of(payload.tag);
            // Else it is an answer to somebody else, or one that came twice, or
            // this host's own request that has come back.
            if payload.kind == Kind::Response
                && payload.tag.session == self.session
                && let Some(place) = place
            {
                // Those before it should have been answered before it.
                for _ in 0..place {
                    self.send_again(exchange.repeat_oldest())?;
                }
                let Some(answered) = exchange.pending.pop_front() else {
                    continue;
                };
                exchange.advance(self.line.now());
                return match payload.message().map_err(Error::Answer)? {
                    Response::Fault(fault) => Err(Error::Fault(fault)),
                    response => Ok((answered.index, read(response).ok_or(Error::Unexpected)?)),
                };
            }
        }
    }

    fn send_again(&mut self, frame: Option<Vec<u8>>) -> Result<(), Error> {
        frame.map_or(Ok(()), |frame| self.send(&frame))
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.traffic.sent += bytes.len() as u64;
        self.line.send(bytes).map_err(|_| self.died())
    }

    /// The next frame, unless none comes until then.
    fn receive_until(&mut self, until: Instant) -> Result<Option<Vec<u8>>, Error> {
        let mut is_late = false;
        loop {
            while let Some(byte) = self.incoming.pop_front() {
                if byte != 0 {
                    if self.frame.len() < LONGEST_FRAME {
                        self.frame.push(byte);
                    }
                } else if !self.frame.is_empty() {
                    let frame = std::mem::take(&mut self.frame);
                    return match panic_message(&frame) {
                        Some(words) => Err(Error::Died(words)),
                        None => Ok(Some(frame)),
                    };
                }
            }
            // A device that never ends a frame must not keep anybody here.
            if is_late {
                return Ok(None);
            }
            if self.line.receive(&mut self.incoming, until).is_err() {
                return Err(self.died());
            }
            // All that came before was taken.
            self.traffic.received += self.incoming.len() as u64;
            is_late = self.incoming.is_empty() || self.line.now() >= until;
        }
    }

    /// The error of a stream that has ended.
    fn died(&mut self) -> Error {
        Error::Died(self.line.close_reason())
    }
}

/// A session's number: any but that of a notice, which means none.
fn draw_session() -> u32 {
    loop {
        // The standard library draws its keys at random.
        let drawn = RandomState::new().hash_one(SystemTime::now()) as u32;
        if drawn != Tag::NONE.session {
            return drawn;
        }
    }
}

fn embedded(response: Response<'_>) -> Option<Embedded> {
    match response {
        Response::Embedding(embedded) => Some(embedded),
        _ => None,
    }
}

fn identification(response: Response<'_>) -> Option<Identification> {
    match response {
        Response::Identified(identification) => Some(identification),
        _ => None,
    }
}

/// A panic's message, which a board without another way to report it sends
/// between two delimiters like a frame.
fn panic_message(frame: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(frame).ok()?;
    text.starts_with("panicked at ")
        .then(|| text.trim_end().into())
}
