//! A device that hears anything, and frames of any bytes.

use siamese_core::gallery::names::Names;
use siamese_core::preprocess::Ink;
use siamese_core::{Embedder, Gallery};
use siamese_device::Reference;
use siamese_link::names::NameTable;
use siamese_link::server::{Core, Platform, Step};
use siamese_link::{
    Embedded, FrameError, Notice, Request, Response, Tag, UpdateKind, UpdateStep, frame_capacity,
    open_frame, read_frame, write_frame,
};
use siamese_update::{HEADER_LEN, ModelUpdates, Updates};

use super::galleries::record;
use super::mapped::Shared;
use super::update;
use crate::bytes::Bytes;
use crate::naive::gallery::Entry;
use crate::{model, naive};

/// The pixels of the model's images.
pub(super) const PIXELS: usize = 16;
/// Entries of the device's gallery.
pub(super) const ROOM: usize = 5;
/// What a frame and its answer need.
pub(super) const BUFFER: usize = frame_capacity(PIXELS);
/// The first byte of a request's payload.
const REQUEST: u8 = 0x84;

/// A device whose clock ticks at each look at it.
pub(super) struct Board {
    picture: [u8; 64],
    names: Names<4, 11>,
    ticks: u32,
    updates: Option<Updates<Shared>>,
}

impl Board {
    pub(super) fn new(form: u8) -> Self {
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
pub(super) fn good_request() -> Vec<u8> {
    let pixels = &last_image();
    written(LAST, &Request::Embed { pixels })
}

/// Whether a frame is the right answer to it.
pub(super) fn is_answer(frame: &[u8]) {
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

pub(super) fn written(tag: Tag, request: &Request<'_>) -> Vec<u8> {
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
pub(super) fn any_tag(bytes: &mut Bytes<'_>, tag: Tag) -> Tag {
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
pub(super) fn request(bytes: &mut Bytes<'_>, tag: Tag) -> Vec<u8> {
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
