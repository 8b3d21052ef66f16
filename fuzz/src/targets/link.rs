//! Both ends of the link: a device that hears anything, and a host that is answered anything.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use siamese_core::gallery::GalleryStore;
use siamese_core::gallery::names::Names;
use siamese_core::gallery::test_flash::TestFlash;
use siamese_core::preprocess::Ink;
use siamese_core::{Embedder, Gallery};
use siamese_device::{Device, Line, Reference};
use siamese_link::names::NameTable;
use siamese_link::server::{Core, End, Platform, Server, Step};
use siamese_link::{
    Embedded, FrameError, Notice, Request, Response, Tag, UpdateKind, UpdateStep, frame_capacity,
    open_frame, read_frame, write_frame,
};
use siamese_update::{HEADER_LEN, ModelUpdates, Updates};

use super::galleries::record;
use super::update;
use crate::bytes::Bytes;
use crate::naive::gallery::Entry;
use crate::{model, naive};

/// The pixels of the model's images.
const PIXELS: usize = 16;
/// Entries of the device's gallery.
const ROOM: usize = 5;
/// What a frame and its answer need.
const BUFFER: usize = frame_capacity(PIXELS);
/// The first byte of a request's payload, and of an answer's.
const REQUEST: u8 = 0x84;
const RESPONSE: u8 = 0xC4;

/// A device whose clock ticks at each look at it.
struct Board {
    picture: [u8; 64],
    names: Names<4, 11>,
    ticks: u32,
    updates: Option<Updates<update::Shared>>,
}

impl Board {
    fn new(form: u8) -> Self {
        Self {
            picture: [0; 64],
            names: Names::new(),
            ticks: 0,
            updates: (form & 1 == 0).then(update::device),
        }
    }
}

impl Platform for Board {
    fn board(&self) -> &'static str {
        "fuzzed"
    }

    fn model_crc(&self) -> u32 {
        7
    }

    fn tick_hz(&self) -> u32 {
        1
    }

    fn ticks(&mut self) -> u32 {
        self.ticks = self.ticks.wrapping_add(1);
        self.ticks
    }

    fn picture(&mut self) -> &mut [u8] {
        &mut self.picture
    }

    fn names(&mut self) -> Option<&mut dyn NameTable> {
        Some(&mut self.names)
    }

    fn updates(&mut self) -> Option<&mut dyn ModelUpdates> {
        let updates = self.updates.as_mut()?;
        Some(updates)
    }
}

/// Anything on a device's line: it answers, refuses or waits; and after a delimiter the next
/// good request is answered right.
pub fn server(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let model = model();
    let mut embedder = Embedder::<2, 32, 16>::new(model).unwrap();
    let mut gallery = Gallery::<2, ROOM>::for_fingerprint(0);
    let mut buffer = [0; BUFFER];
    let form = bytes.u8();
    let board = Board::new(form);
    let mut core = Core::new(&mut embedder, &mut gallery, &mut buffer, board).unwrap();
    core.start();
    // No board is here: this session's number is as good as another.
    let mut tag = Tag { session: 9, id: 0 };
    if form & 6 != 0 {
        // Without an open session most requests are refused.
        for byte in written(tag, &Request::Open) {
            hear(&mut core, byte, false);
        }
    }
    while !bytes.is_empty() {
        tag.id = tag.id.wrapping_add(u32::from(bytes.below(4) > 0));
        let sent = match bytes.below(5) {
            0 => {
                let count = bytes.below(64);
                bytes.take(count).to_vec()
            }
            1 => {
                let count = bytes.below(64);
                let mut payload = naive::frame::header(REQUEST, tag.session, tag.id);
                payload.extend(bytes.take(count));
                naive::frame::write(&payload)
            }
            2 => {
                core.give_up();
                Vec::new()
            }
            _ => {
                let tag = any_tag(&mut bytes, tag);
                request(&mut bytes, tag)
            }
        };
        let saves = bytes.flag();
        for byte in sent {
            hear(&mut core, byte, saves);
        }
    }
    // A delimiter ends whatever was there.
    hear(&mut core, 0, true);
    let frame = good_request();
    let mut steps = frame
        .iter()
        .map(|&byte| core.push(byte))
        .filter(|step| *step != Step::Receive);
    assert_eq!(
        steps.next(),
        Some(Step::Send),
        "a good request isn't answered"
    );
    assert_eq!(steps.next(), None);
    is_answer(core.outgoing());
}

/// The tag of the request that must be answered.
const LAST: Tag = Tag {
    session: 9,
    id: u32::MAX - 1,
};

fn last_image() -> [u8; PIXELS] {
    std::array::from_fn(|i| (i * 37) as u8)
}

/// A request that must be answered, whatever was before.
fn good_request() -> Vec<u8> {
    let pixels = &last_image();
    written(LAST, &Request::Embed { pixels })
}

/// Whether a frame is the right answer to it.
fn is_answer(frame: &[u8]) {
    let mut decoded = [0; BUFFER];
    let (answered, response) = read_frame::<Response<'_>>(frame, &mut decoded).unwrap();
    let mut reference = Reference::new(model());
    let (coordinates, hidden_crc) = reference.embed(&last_image()).unwrap();
    assert_eq!(answered, LAST);
    let Response::Embedding(Embedded {
        coordinates: found,
        hidden_crc: crc,
        ..
    }) = response
    else {
        panic!("another answer: {response:?}");
    };
    assert_eq!((&found[..], crc), (coordinates, hidden_crc));
}

fn written(tag: Tag, request: &Request<'_>) -> Vec<u8> {
    let mut buffer = [0; 2 * BUFFER];
    write_frame(tag, request, &mut buffer).unwrap().to_vec()
}

/// Gives a byte to the device, and does what it asks for. What it sends is a frame.
fn hear(core: &mut Core<'_, '_, Board, 2, 32, 16, ROOM>, byte: u8, saves: bool) {
    let step = core.push(byte);
    match step {
        Step::Receive => return,
        Step::Save => core.saved(match saves {
            true => Ok(()),
            false => Err(siamese_link::Fault::Storage),
        }),
        _ => {}
    }
    let mut decoded = [0; BUFFER];
    let sent = core.outgoing();
    if sent.is_empty() {
        return;
    }
    let answered = read_frame::<Response<'_>>(sent, &mut decoded).is_ok();
    let mut decoded = [0; BUFFER];
    assert!(
        answered || open_frame(sent, &mut decoded).is_ok(),
        "no frame: {sent:?}"
    );
    if step == Step::Restart {
        core.start();
    }
}

/// A request's tag, seldom that of another session or of an earlier request.
fn any_tag(bytes: &mut Bytes<'_>, tag: Tag) -> Tag {
    let Tag { session, id } = tag;
    match bytes.below(16) {
        0 => Tag { session: 8, id },
        1 => Tag {
            session,
            id: id.wrapping_sub(2),
        },
        _ => tag,
    }
}

/// A request that the link can write.
fn request(bytes: &mut Bytes<'_>, tag: Tag) -> Vec<u8> {
    let label = u16::from(bytes.u8() % 4);
    let mut image = [0; PIXELS + 1];
    let taken = bytes.take(bytes.clone().below(PIXELS + 2));
    image[..taken.len()].copy_from_slice(taken);
    let length = match bytes.below(8) {
        0 => bytes.below(PIXELS + 2),
        _ => PIXELS,
    };
    let pixels = &image[..length];
    let inks = [Ink::Auto, Ink::Bright, Ink::Dark];
    // A record of the model's galleries, most often.
    let entry = Entry {
        label,
        examples: bytes.u8().into(),
        sums: vec![i64::from(bytes.u8()), 3],
    };
    let mut record = record(&entry, model().fingerprint());
    if bytes.below(4) == 0 {
        let at = bytes.below(record.len());
        record[at] ^= bytes.u8();
    }
    let kinds = [
        UpdateKind::Status,
        UpdateKind::Begin,
        UpdateKind::Write,
        UpdateKind::Switch,
        UpdateKind::Confirm,
    ];
    let request = match bytes.below(20) {
        0 => Request::Info,
        1 => Request::Embed { pixels },
        2 => Request::Memory,
        3 => Request::Identify { pixels },
        4 => Request::Verify { label, pixels },
        5 => Request::List {
            from: bytes.below(4) as u32,
        },
        6 => Request::Forget { label },
        7 => Request::Save,
        8 => Request::Reset,
        9 => Request::Picture {
            width: bytes.below(10) as u16,
            height: bytes.below(10) as u16,
        },
        10 => Request::PicturePart {
            from: bytes.one_of(&[0, 1, 16, 32, 48, 200]),
            pixels,
        },
        11 => Request::EmbedPicture {
            ink: bytes.one_of(&inks),
        },
        12 => Request::Entry {
            number: bytes.below(4) as u32,
        },
        13 => Request::Insert { record: &record },
        14 => Request::Name {
            label,
            name: &pixels[..bytes.below(length + 1)],
        },
        15 => Request::NameFrom { label },
        16 => Request::SetThresholds { record: &record },
        17 => Request::Statistics,
        18 => {
            let file = &update::files()[bytes.below(2)].bytes;
            let kind = bytes.one_of(&kinds);
            let (header, payload) = file.split_at(HEADER_LEN);
            let from = bytes.one_of(&[0, 64, 65]);
            Request::Update(UpdateStep {
                kind,
                from: from as u32,
                bytes: match kind {
                    UpdateKind::Begin => header,
                    _ => &payload[from..from + 64],
                },
            })
        }
        _ if bytes.below(4) == 0 => Request::Open,
        _ => Request::Enrol {
            label,
            exemplar: bytes.flag(),
            pixels,
        },
    };
    let frame = written(tag, &request);
    // The same bytes by the naive writer.
    let mut decoded = [0; 2 * BUFFER];
    let payload = open_frame(&frame, &mut decoded).expect("what was written is a frame");
    assert_eq!(payload.tag, tag);
    assert!(payload.message::<Request<'_>>().is_ok());
    frame
}

/// A line that gives some bytes, and fails or is silent now and then.
struct Wire {
    incoming: VecDeque<u8>,
    /// One decision a read, then none.
    faults: Vec<u8>,
    sent: Vec<u8>,
}

impl Wire {
    fn fault(&mut self) -> u8 {
        self.faults.pop().unwrap_or(0)
    }
}

impl embedded_io::ErrorType for Wire {
    type Error = embedded_io::ErrorKind;
}

impl embedded_io::Read for Wire {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Self::Error> {
        let fault = self.fault();
        if fault & 0x83 == 0x83 {
            return Err(embedded_io::ErrorKind::Other);
        }
        let most = if fault & 4 == 4 { 1 } else { bytes.len() };
        let count = most.min(self.incoming.len());
        for (to, byte) in bytes.iter_mut().zip(self.incoming.drain(..count)) {
            *to = byte;
        }
        Ok(count)
    }
}

impl embedded_io::ReadReady for Wire {
    fn read_ready(&mut self) -> Result<bool, Self::Error> {
        match self.fault() {
            fault if fault & 0x8F == 0x8B => Err(embedded_io::ErrorKind::Other),
            // A silence, until the clock has ticked often enough.
            fault if fault & 0x88 == 0x88 => Ok(false),
            // At its end the line is closed, which is noticed by reading.
            _ => Ok(true),
        }
    }
}

impl embedded_io::Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        if self.fault() & 0x90 == 0x90 {
            return Err(embedded_io::ErrorKind::Other);
        }
        self.sent.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// A server over a line of bytes: it comes to an end when the line is closed, restarts when it is
/// asked to, and answers the next good request.
pub fn line(data: &[u8]) {
    type Flash = TestFlash<1, 4, 256, 1024>;
    let mut bytes = Bytes::new(data);
    let form = bytes.u8();
    let count = bytes.below(128);
    let faults = bytes.take(count).to_vec();
    let model = model();
    let mut embedder = Embedder::<2, 32, 16>::new(model).unwrap();
    let mut gallery = Gallery::<2, ROOM>::for_fingerprint(0);
    let mut buffer = [0; BUFFER];
    let mut flash = Flash::new();
    if form & 8 == 8 {
        flash.fail_write(u32::from(form >> 4));
    }
    let store = GalleryStore::new(flash, 0..1024).ok();
    let store = store.filter(|_| form & 16 == 0);
    let board = Board::new(form);
    let mut server = Server::new(&mut embedder, &mut gallery, &mut buffer, store, board).unwrap();
    let mut tag = Tag { session: 9, id: 0 };
    let mut incoming = VecDeque::from(written(tag, &Request::Open));
    while !bytes.is_empty() {
        tag.id += u32::from(bytes.below(4) > 0);
        match bytes.below(4) {
            0 => {
                let count = bytes.below(64);
                incoming.extend(bytes.take(count));
            }
            _ => {
                let tag = any_tag(&mut bytes, tag);
                incoming.extend(request(&mut bytes, tag));
            }
        }
    }
    let mut wire = Wire {
        incoming,
        faults,
        sent: Vec::new(),
    };
    // Each restart takes a request, and each failure a fault.
    while let Ok(End::Restart) | Err(_) = server.run_dozing(&mut wire, |_| ()) {}
    wire.faults.clear();
    wire.sent.clear();
    wire.incoming = [&[0], &*good_request()].concat().into();
    assert_eq!(server.run(&mut wire), Ok(End::Closed));
    let mut frames = wire.sent.split(|&byte| byte == 0);
    let last = frames.rfind(|frame| !frame.is_empty());
    let last = [&[0], last.expect("a good request isn't answered"), &[0]].concat();
    is_answer(&last);
}

/// Any bytes as a frame: what is accepted is what the naive writer makes of its payload.
pub fn frames(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let form = bytes.u8();
    let content = bytes.rest();
    let written = naive::frame::write(content);
    let frame = if form & 1 == 0 { content } else { &written };
    let mut decoded = [0; 4 * BUFFER];
    let fits = content.len() + 16 < decoded.len();
    match open_frame(frame, &mut decoded) {
        Ok(payload) => {
            let tag = payload.tag;
            let request = payload.message::<Request<'_>>().is_ok();
            let response = payload.message::<Response<'_>>().is_ok();
            let notice = payload.message::<Notice>().is_ok();
            assert!(u8::from(request) + u8::from(response) + u8::from(notice) <= 1);
            if let Ok(message) = payload.message::<Request<'_>>() {
                let mut buffer = [0; 8 * BUFFER];
                let again = write_frame(tag, &message, &mut buffer).unwrap();
                assert_eq!(bare(again), bare(frame), "two frames of one message");
            }
        }
        Err(FrameError::Cobs | FrameError::Checksum) if form & 1 == 1 && fits => {
            panic!("what the naive writer wrote is no frame");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Without delimiters.
fn bare(frame: &[u8]) -> &[u8] {
    let frame = frame.strip_prefix(&[0]).unwrap_or(frame);
    frame.strip_suffix(&[0]).unwrap_or(frame)
}

/// A line on which anything is answered, in a time of its own.
struct Answers {
    bytes: Vec<u8>,
    at: usize,
    now: Instant,
    tag: Tag,
}

impl Line for Answers {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut decoded = vec![0; 4096];
        if let Ok((tag, _)) = read_frame::<Request<'_>>(bytes, &mut decoded) {
            self.tag = tag;
        }
        Ok(())
    }

    fn receive(&mut self, incoming: &mut VecDeque<u8>, until: Instant) -> io::Result<()> {
        let mut bytes = Bytes::new(&self.bytes[self.at..]);
        match bytes.below(6) {
            _ if bytes.is_empty() => self.now = self.now.max(until),
            0 => {
                let count = bytes.below(64);
                incoming.extend(bytes.take(count));
            }
            1 => {
                let count = bytes.below(200);
                let mut payload = naive::frame::header(RESPONSE, self.tag.session, self.tag.id);
                payload.extend(bytes.take(count));
                incoming.extend(naive::frame::write(&payload));
            }
            2 if bytes.below(16) == 0 => return Err(io::ErrorKind::BrokenPipe.into()),
            2 => self.now = self.now.max(until),
            _ => incoming.extend(response(&mut bytes, self.tag)),
        }
        self.at = self.bytes.len() - bytes.rest().len();
        self.now += Duration::from_millis(1);
        Ok(())
    }

    fn now(&self) -> Instant {
        self.now
    }
}

/// An answer that the link can write, or a notice.
fn response(bytes: &mut Bytes<'_>, tag: Tag) -> Vec<u8> {
    let mut buffer = [0; 1024];
    let count = bytes.below(96);
    let record = bytes.clone().take(count);
    let response = match bytes.below(10) {
        0 => Response::Opened,
        1 => Response::Saved,
        2 => Response::Enrolled {
            examples: bytes.u16(),
        },
        3 => Response::Entry {
            changes: u32::from(bytes.u8() & 1),
            record,
        },
        4 => {
            let total = bytes.below(12) as u32;
            let listed = (0..bytes.below(8)).map(|_| siamese_link::Listed {
                label: bytes.u8().into(),
                examples: bytes.u16(),
            });
            Response::Entries(siamese_link::Entries {
                total,
                changes: 0,
                entries: listed.collect(),
            })
        }
        5 => Response::NameOf(match bytes.below(3) {
            0 => None,
            _ => Some((bytes.u8().into(), "a name")),
        }),
        6 => Response::Embedding(Embedded {
            coordinates: (0..bytes.below(64)).map(|_| bytes.u8().into()).collect(),
            hidden_crc: [1, 2],
            ticks: bytes.u32(),
        }),
        7 => Response::Resetting,
        8 => Response::Picture {
            filled: bytes.u8().into(),
        },
        _ => {
            let refused = Notice::Refused(FrameError::Checksum);
            let notice = if bytes.flag() { Notice::Ready } else { refused };
            return write_frame(Tag::NONE, &notice, &mut buffer)
                .unwrap()
                .to_vec();
        }
    };
    let frame = write_frame(tag, &response, &mut buffer);
    frame.map_or_else(|_| Vec::new(), |frame| frame.to_vec())
}

/// A host that is answered anything: it gives an answer or an error, and comes to an end.
pub fn host(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let asks: Vec<u8> = bytes.take(4).to_vec();
    let start = Instant::now();
    let line = Answers {
        bytes: bytes.rest().to_vec(),
        at: 0,
        now: start,
        tag: Tag { session: 0, id: 0 },
    };
    let mut device = Device::over(line);
    device.set_timeout(Duration::from_secs(1));
    let image = [9; PIXELS];
    let mut empty = [0; Gallery::<2, 4>::STORED_MAX];
    let empty = Gallery::<2, 4>::for_fingerprint(9)
        .to_bytes(&mut empty)
        .unwrap()
        .to_vec();
    for ask in asks {
        // What comes back is no matter: it is damaged, or made up with a right checksum.
        match ask % 15 {
            0 => drop(device.info()),
            1 => drop(device.embed(&image)),
            2 => drop(device.entries()),
            3 => drop(device.pull_gallery()),
            4 => drop(device.names()),
            5 => drop(device.enrol(3, false, &image)),
            6 => drop(device.identify(&image)),
            7 => drop(device.verify(3, &image)),
            8 => drop(device.save()),
            9 => drop(device.reset()),
            10 => drop(device.push_gallery(&empty)),
            11 => drop(device.embed_all([image; 3], |_, _| {})),
            12 => drop(device.memory()),
            13 => drop(device.set_name(3, "three")),
            _ => drop(device.merge_gallery(&empty)),
        }
    }
}
