//! The request server: its core byte by byte, and its two loops over lines in memory.

#[cfg(not(any(feature = "galleries", feature = "names")))]
#[path = "common/frames.rs"]
mod description;

use std::collections::VecDeque;
use std::io::ErrorKind;

use embedded_io::{Read, ReadReady, Write};
use siamese_core::checksum::checksum;
use siamese_core::gallery::GalleryError;
use siamese_core::gallery::names::Names;
use siamese_core::image::Input;
use siamese_core::model::{Header, LAYERS, LayerParts, Precision, Scales, encode, encoded_len};
#[cfg(feature = "pictures")]
use siamese_core::preprocess::{Grey, Ink, PictureError, fit};
use siamese_core::requantise::Requantise;
use siamese_core::{Embedder, Gallery, Model};
use siamese_link::server::{Core, End, SILENCE_MS, Step};
use siamese_link::store::Store;
use siamese_link::{
    Entries, Fault, FrameError, Memory, NameTable, Notice, Platform, Refused, Request, Response,
    Server, Tag, frame_capacity, open_frame, read_frame, write_frame,
};

/// Entries of the galleries here: more than a list has at once.
const ENTRIES: usize = 70;
const PIXELS: usize = 16;

type Network = Embedder<'static, 2, 16, 8>;
type Entrants = Gallery<2, ENTRIES>;

/// A model of 4x4 pixels.
fn model() -> Model<'static> {
    let header = Header {
        name: "server",
        input: Input {
            width: 4,
            height: 4,
            ..Input::MNIST
        },
        sizes: [8, 4, 2],
        precision: Precision::INT8,
        scales: Scales {
            hidden: [0.01; 2],
            embedding: 0.001,
        },
        training_digest: [7; 32],
        quality: None,
        calibration: None,
    };
    let layers: [_; LAYERS] = core::array::from_fn(|layer| {
        let (inputs, outputs) = header.shapes()[layer];
        let weights: Vec<i8> = (0..inputs * outputs)
            .map(|index| (index * 37 % 201) as i8)
            .collect();
        let requantise = vec![Requantise::new(1 << 30, 37).unwrap(); outputs];
        (weights, vec![1000; outputs], requantise)
    });
    let parts = layers
        .each_ref()
        .map(|(weights, biases, requantise)| LayerParts {
            weights,
            biases,
            requantise,
        });
    let mut file = vec![0; encoded_len(&header).unwrap()];
    encode(&header, &parts, &mut file).unwrap();
    Model::parse(file.leak()).unwrap()
}

/// A clock that moves on by some ticks at each look.
struct Clock {
    now: u32,
    step: u32,
    picture: [u8; ROOM],
    names: Names<3, 8>,
}

/// Pixels of a picture that there is room for.
const ROOM: usize = 70;

impl Platform for Clock {
    fn board(&self) -> &'static str {
        "host"
    }

    fn model_crc(&self) -> u32 {
        0x1234_5678
    }

    fn tick_hz(&self) -> u32 {
        1000
    }

    fn ticks(&mut self) -> u32 {
        self.now = self.now.wrapping_add(self.step);
        self.now
    }

    fn picture(&mut self) -> &mut [u8] {
        &mut self.picture
    }

    fn names(&mut self) -> Option<&mut dyn NameTable> {
        Some(&mut self.names)
    }
}

const CLOCK: Clock = Clock {
    now: u32::MAX - 2,
    step: 5,
    picture: [0; ROOM],
    names: Names::new(),
};

/// The memory of a server, which a firmware has as a static.
struct Parts {
    embedder: Network,
    gallery: Entrants,
    buffer: Vec<u8>,
}

fn parts() -> Parts {
    Parts {
        embedder: Embedder::new(model()).unwrap(),
        gallery: Gallery::for_fingerprint(0),
        buffer: vec![0; frame_capacity(PIXELS)],
    }
}

type TestCore<'m> = Core<'m, 'static, Clock, 2, 16, 8, ENTRIES>;

fn core(parts: &mut Parts) -> TestCore<'_> {
    Core::new(
        &mut parts.embedder,
        &mut parts.gallery,
        &mut parts.buffer,
        CLOCK,
    )
    .unwrap()
}

const A: u32 = 0xA;

const fn tag(id: u32) -> Tag {
    Tag { session: A, id }
}

fn framed(tag: Tag, request: &Request<'_>) -> Vec<u8> {
    let mut buffer = vec![0; 5000];
    write_frame(tag, request, &mut buffer).unwrap().to_vec()
}

/// Feeds bytes; the step of the last.
fn feed(core: &mut TestCore<'_>, bytes: &[u8]) -> Step {
    let mut last = Step::Receive;
    for &byte in bytes {
        assert_eq!(last, Step::Receive);
        last = core.push(byte);
    }
    last
}

/// What is answered to a request.
fn ask(core: &mut TestCore<'_>, tag: Tag, request: &Request<'_>) -> Response<'static> {
    let step = feed(core, &framed(tag, request));
    match step {
        Step::Save => core.saved(Ok(())),
        Step::Send => {}
        other => panic!("{other:?}"),
    }
    answer(core, tag)
}

/// What is to be sent, which has to be an answer to that request.
fn answer(core: &TestCore<'_>, tag: Tag) -> Response<'static> {
    let (answered, response) = read_frame(core.outgoing(), vec![0; 500].leak()).unwrap();
    assert_eq!(answered, tag);
    response
}

/// The notice that is to be sent.
fn notice(core: &TestCore<'_>) -> Notice {
    let (tag, notice) = read_frame(core.outgoing(), &mut [0; 50]).unwrap();
    assert_eq!(tag, Tag::NONE);
    notice
}

const IMAGE: [u8; PIXELS] = [9; PIXELS];
const ENROL: Request<'_> = Request::Enrol {
    label: 3,
    exemplar: false,
    pixels: &IMAGE,
};

#[test]
fn a_change_is_carried_out_once_however_often_it_is_asked_for() {
    let mut parts = parts();
    let mut core = core(&mut parts);
    assert_eq!(ask(&mut core, tag(1), &Request::Open), Response::Opened);
    let enrolled = |examples| Response::Enrolled { examples };
    for _ in 0..3 {
        assert_eq!(ask(&mut core, tag(2), &ENROL), enrolled(1));
        // That others ask in between changes nothing.
        assert_eq!(ask(&mut core, tag(1), &Request::Open), Response::Opened);
        let other = Tag {
            session: 0xB,
            id: 9,
        };
        assert!(matches!(
            ask(&mut core, other, &Request::Info),
            Response::Info(_)
        ));
    }
    assert_eq!(ask(&mut core, tag(3), &ENROL), enrolled(2));
    // An older one again: neither done nor answered as if.
    let repeated = Response::Fault(Fault::Repeated);
    assert_eq!(ask(&mut core, tag(2), &ENROL), repeated);
    assert_eq!(core.gallery().entries()[0].examples(), 2);
    let forget = Request::Forget { label: 3 };
    let forgotten = Response::Forgotten { entries: 1 };
    assert_eq!(ask(&mut core, tag(8), &forget), forgotten);
    assert_eq!(ask(&mut core, tag(8), &forget), forgotten);
    assert_eq!(core.gallery().entries().len(), 0);
}

#[test]
fn a_refused_change_is_refused_again() {
    let mut parts = parts();
    let mut core = core(&mut parts);
    ask(&mut core, tag(1), &Request::Open);
    for id in 0..ENTRIES as u32 {
        let exemplar = Request::Enrol {
            label: id as u16,
            exemplar: true,
            pixels: &IMAGE,
        };
        let enrolled = Response::Enrolled { examples: 1 };
        assert_eq!(ask(&mut core, tag(10 + id), &exemplar), enrolled);
    }
    let new = Request::Enrol {
        label: 1000,
        exemplar: false,
        pixels: &IMAGE,
    };
    let full = GalleryError::Full { capacity: ENTRIES };
    let full = Response::Fault(Fault::Gallery(full));
    assert_eq!(ask(&mut core, tag(100), &new), full);
    let forget = Request::Forget { label: 0 };
    ask(&mut core, tag(99), &forget);
    assert_eq!(ask(&mut core, tag(100), &new), full);
    ask(&mut core, tag(101), &forget);
    let enrolled = Response::Enrolled { examples: 1 };
    assert_eq!(ask(&mut core, tag(102), &new), enrolled);
}

#[test]
fn changes_need_the_session_that_is_open() {
    let mut parts = parts();
    let mut core = core(&mut parts);
    let refused = |fault| Response::Fault(fault);
    for change in [
        ENROL,
        Request::Forget { label: 3 },
        Request::Save,
        Request::Reset,
        #[cfg(feature = "galleries")]
        Request::Insert { record: &[] },
        #[cfg(feature = "galleries")]
        Request::SetThresholds { record: &[] },
        #[cfg(feature = "names")]
        Request::Name {
            label: 3,
            name: b"three",
        },
    ] {
        assert!(change.is_change());
        assert_eq!(ask(&mut core, tag(2), &change), refused(Fault::NoSession));
    }
    ask(&mut core, tag(3), &Request::Open);
    ask(&mut core, tag(4), &ENROL);
    // Another host.
    let other = |id| Tag { session: 0xB, id };
    let taken = refused(Fault::OtherSession);
    assert_eq!(ask(&mut core, other(5), &ENROL), taken);
    ask(&mut core, other(6), &Request::Open);
    assert_eq!(ask(&mut core, tag(7), &ENROL), taken);
    let Response::Info(info) = ask(&mut core, tag(8), &Request::Info) else {
        panic!();
    };
    assert_eq!(info.session, Some(0xB));
    // The same number in another session is another request.
    let enrolled = Response::Enrolled { examples: 2 };
    assert_eq!(ask(&mut core, other(4), &ENROL), enrolled);
}

#[test]
fn saving_is_told_as_it_went_and_not_repeated() {
    let mut parts = parts();
    let mut core = core(&mut parts);
    ask(&mut core, tag(1), &Request::Open);
    let failed = Response::Fault(Fault::Storage);
    assert_eq!(feed(&mut core, &framed(tag(2), &Request::Save)), Step::Save);
    core.saved(Err(Fault::Storage));
    assert_eq!(answer(&core, tag(2)), failed);
    assert_eq!(feed(&mut core, &framed(tag(2), &Request::Save)), Step::Send);
    assert_eq!(answer(&core, tag(2)), failed);
    assert_eq!(feed(&mut core, &framed(tag(3), &Request::Save)), Step::Save);
    // Before it is known, it isn't said to be saved.
    assert_eq!(feed(&mut core, &framed(tag(3), &Request::Save)), Step::Send);
    assert_eq!(answer(&core, tag(3)), failed);
    assert_eq!(feed(&mut core, &framed(tag(4), &Request::Save)), Step::Save);
    core.saved(Ok(()));
    assert_eq!(answer(&core, tag(4)), Response::Saved);
    assert_eq!(feed(&mut core, &framed(tag(4), &Request::Save)), Step::Send);
    assert_eq!(answer(&core, tag(4)), Response::Saved);
}

#[test]
fn a_long_gallery_is_listed_in_parts_that_belong_together() {
    let mut parts = parts();
    let mut core = core(&mut parts);
    ask(&mut core, tag(1), &Request::Open);
    for id in 0..ENTRIES as u32 {
        let exemplar = Request::Enrol {
            label: 1000 + id as u16,
            exemplar: true,
            pixels: &IMAGE,
        };
        ask(&mut core, tag(10 + id), &exemplar);
    }
    let list = |core: &mut TestCore<'_>, from| match ask(core, tag(5), &Request::List { from }) {
        Response::Entries(entries) => entries,
        other => panic!("{other:?}"),
    };
    let mut labels = Vec::new();
    for (from, length) in [(0, 32), (32, 32), (64, 6), (70, 0), (u32::MAX, 0)] {
        let Entries {
            total,
            changes,
            entries,
        } = list(&mut core, from);
        assert_eq!((total, changes, entries.len()), (70, 70, length));
        labels.extend(entries.iter().map(|entry| entry.label));
    }
    assert_eq!(labels, (1000..1070).collect::<Vec<u16>>());
    ask(&mut core, tag(100), &Request::Forget { label: 1001 });
    let after = list(&mut core, 0);
    assert_eq!((after.total, after.changes), (69, 71));
    assert_eq!(after.entries[1].label, 1002);
}

#[test]
fn what_cannot_be_read_is_refused_and_the_next_request_is_answered() {
    let mut parts = parts();
    let mut core = core(&mut parts);
    let good = framed(tag(1), &Request::Memory);
    let memory = Response::Memory(Memory::default());
    let end = good.len() - 1;
    let refused = [
        (vec![5, 1, 2, 0], FrameError::Cobs),
        (vec![3, 1, 2, 0], FrameError::Checksum),
        // Two frames whose delimiters were lost.
        ([&good[..end], &good[1..]].concat(), FrameError::Checksum),
        // Noise before a frame is ended by the frame's own delimiter.
        (vec![7, 7, 7, 7, 7, 7, 7, 0], FrameError::Checksum),
        (
            vec![9; 70_000].into_iter().chain([0]).collect(),
            FrameError::Cobs,
        ),
    ];
    for (bytes, error) in refused {
        assert_eq!(feed(&mut core, &bytes), Step::Send);
        assert_eq!(notice(&core), Notice::Refused(error));
        assert_eq!(ask(&mut core, tag(1), &Request::Memory), memory);
    }
    // Nobody is told of empty frames, and nobody answered who says what a device
    // says.
    assert_eq!(feed(&mut core, &[0; 100]), Step::Receive);
    let mut buffer = [0; 300];
    let saved = write_frame(tag(1), &Response::Saved, &mut buffer).unwrap();
    assert_eq!(feed(&mut core, saved), Step::Receive);
    let ready = write_frame(Tag::NONE, &Notice::Ready, &mut buffer).unwrap();
    assert_eq!(feed(&mut core, ready), Step::Receive);
    assert_eq!(ask(&mut core, tag(1), &Request::Memory), memory);
    // A half frame.
    assert_eq!(feed(&mut core, &good[..end]), Step::Receive);
    assert!(core.is_receiving());
    core.give_up();
    assert!(!core.is_receiving());
    assert_eq!(notice(&core), Notice::Refused(FrameError::Silence));
    assert_eq!(ask(&mut core, tag(1), &Request::Memory), memory);
}

#[test]
fn whole_frames_are_refused_by_name() {
    let mut parts = parts();
    let mut core = core(&mut parts);
    let fault = |core: &mut TestCore<'_>, pixels: usize| {
        let pixels = &vec![7; pixels];
        ask(core, tag(4), &Request::Embed { pixels })
    };
    for found in [0, 1, PIXELS - 1, PIXELS + 1, 200] {
        let size = Fault::ImageSize {
            expected: PIXELS as u32,
            found: found as u32,
        };
        assert_eq!(fault(&mut core, found), Response::Fault(size));
    }
    // Kind, tag, the request's number, two bytes of length, and the CRC-32: the
    // longest payload that the buffer holds, and one byte more.
    let longest = frame_capacity(PIXELS) - (9 + 1 + 2 + 4);
    let size = Fault::ImageSize {
        expected: PIXELS as u32,
        found: longest as u32,
    };
    assert_eq!(fault(&mut core, longest), Response::Fault(size));
    for found in [longest + 1, frame_capacity(PIXELS), 1000, 4000] {
        assert_eq!(fault(&mut core, found), Response::Fault(Fault::TooLong));
    }
    assert!(matches!(fault(&mut core, PIXELS), Response::Embedding(_)));
}

#[test]
fn every_single_flipped_bit_leaves_the_next_request_right() {
    let mut parts = parts();
    let mut core = core(&mut parts);
    ask(&mut core, tag(1), &Request::Open);
    let good = framed(tag(2), &ENROL);
    for bit in 0..8 * good.len() {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let mut notices = 0;
        // The next delimiter ends what has lost its own.
        for byte in bad.into_iter().chain([0]) {
            if core.push(byte) == Step::Send {
                assert!(matches!(notice(&core), Notice::Refused(_)));
                notices += 1;
            }
        }
        assert!((1..=2).contains(&notices), "bit {bit}");
        let id = 100 + bit as u32;
        let enrolled = Response::Enrolled {
            examples: bit as u16 + 1,
        };
        assert_eq!(ask(&mut core, tag(id), &ENROL), enrolled, "bit {bit}");
    }
}

/// A line whose far end has written everything already. `None` is a silence.
#[derive(Default)]
struct Script {
    reads: VecDeque<Option<Result<Vec<u8>, ErrorKind>>>,
    written: Vec<u8>,
    flushed: usize,
    dozes: usize,
    /// Writes that fail before one works.
    broken: usize,
}

#[derive(Debug, PartialEq)]
struct Broken(ErrorKind);

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Broken {}

impl embedded_io::Error for Broken {
    fn kind(&self) -> embedded_io::ErrorKind {
        embedded_io::ErrorKind::Other
    }
}

impl embedded_io::ErrorType for Script {
    type Error = Broken;
}

impl Read for Script {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Broken> {
        match self.reads.pop_front() {
            None => Ok(0),
            // It blocks until the silence is over.
            Some(None) => Read::read(self, bytes),
            Some(Some(Err(error))) => Err(Broken(error)),
            Some(Some(Ok(mut part))) => {
                let count = bytes.len().min(part.len());
                bytes[..count].copy_from_slice(&part[..count]);
                part.drain(..count);
                if !part.is_empty() {
                    self.reads.push_front(Some(Ok(part)));
                }
                Ok(count)
            }
        }
    }
}

impl ReadReady for Script {
    fn read_ready(&mut self) -> Result<bool, Broken> {
        Ok(self.reads.front() != Some(&None))
    }
}

impl Write for Script {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Broken> {
        if self.broken > 0 {
            self.broken -= 1;
            return Err(Broken(ErrorKind::BrokenPipe));
        }
        // A few at a time.
        let count = bytes.len().min(7);
        self.written.extend(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> Result<(), Broken> {
        self.flushed = self.written.len();
        Ok(())
    }
}

/// What was written, frame by frame, in words.
fn said(script: &Script) -> Vec<String> {
    let frames = script.written.split(|&byte| byte == 0);
    frames
        .filter(|frame| !frame.is_empty())
        .map(|frame| {
            let mut decoded = [0; 500];
            let payload = open_frame(frame, &mut decoded).unwrap();
            let message = payload.message::<Response<'_>>();
            let notice = payload.message::<Notice>();
            match (message, notice) {
                (Ok(response), _) => format!("{} {response:?}", payload.tag.id),
                (_, Ok(notice)) => format!("{notice:?}"),
                other => panic!("{other:?}"),
            }
        })
        .collect()
}

/// A store that counts, and fails if it is told to.
#[derive(Default)]
struct MemoryStore {
    saves: usize,
    refused: Option<Refused>,
}

impl Store for &mut MemoryStore {
    fn load<const D: usize, const N: usize>(
        &mut self,
        gallery: &mut Gallery<D, N>,
    ) -> Result<bool, Refused> {
        gallery.enrol(5, &siamese_core::Embedding([1; D])).unwrap();
        self.refused.map_or(Ok(true), Err)
    }

    fn save<const D: usize, const N: usize>(&mut self, _: &Gallery<D, N>) -> Result<(), Fault> {
        self.saves += 1;
        Ok(())
    }
}

const OK: &str = "Memory(Memory { stack_peak: 0, stack_size: 0 })";

/// A session that meets everything on its way.
fn script() -> Script {
    let memory = |id| framed(tag(id), &Request::Memory);
    let half = memory(2)[..6].to_vec();
    let reads = [
        Some(Ok([memory(1), memory(2)].concat())),
        // A UART reports an overrun; a byte is lost.
        Some(Ok(half.clone())),
        Some(Err(ErrorKind::Other)),
        Some(Ok(memory(3))),
        // A host vanishes inside a frame.
        Some(Ok(half)),
        None,
        Some(Ok(framed(tag(4), &Request::Open))),
        Some(Ok(framed(tag(5), &Request::Save))),
        Some(Ok(framed(tag(5), &Request::Save))),
        Some(Ok(framed(tag(6), &Request::List { from: 0 }))),
        Some(Ok(framed(tag(7), &Request::Reset))),
        Some(Ok(memory(8))),
    ];
    Script {
        reads: reads.into(),
        ..Script::default()
    }
}

fn as_scripted(script: &Script, store: &MemoryStore) {
    let listed =
        "Entries(Entries { total: 1, changes: 0, entries: [Listed { label: 5, examples: 1 }] })";
    let expected = [
        "Ready".to_owned(),
        format!("1 {OK}"),
        format!("2 {OK}"),
        "Refused(Cobs)".into(),
        format!("3 {OK}"),
        "Refused(Silence)".into(),
        "4 Opened".into(),
        "5 Saved".into(),
        "5 Saved".into(),
        format!("6 {listed}"),
        "7 Resetting".into(),
    ];
    assert_eq!(said(script), expected);
    assert_eq!(store.saves, 1);
    assert_eq!(script.flushed, script.written.len());
    // The request after the one to restart is the next start's.
    assert_eq!(script.reads.len(), 1);
}

#[test]
fn the_blocking_server_answers_until_it_is_to_restart() {
    let (mut parts, mut store, mut script) = (parts(), MemoryStore::default(), script());
    let Parts {
        embedder,
        gallery,
        buffer,
    } = &mut parts;
    let mut server = Server::new(embedder, gallery, buffer, &mut store, CLOCK).unwrap();
    // The silence ends after some time, which `doze` lets pass.
    let doze = |script: &mut Script| script.dozes += 1;
    assert_eq!(server.run_dozing(&mut script, doze), Ok(End::Restart));
    as_scripted(&script, &store);
    // The first look at the clock is no time yet: 5 ms each from then on.
    assert_eq!(script.dozes as u32, SILENCE_MS / 5 + 1);
}

#[test]
fn a_gallery_that_cannot_be_loaded_is_empty_and_the_reason_is_told() {
    let (mut parts, mut script) = (parts(), Script::default());
    let mut store = MemoryStore {
        refused: Some(Refused::Flash),
        ..MemoryStore::default()
    };
    for request in [Request::Info, Request::Open, Request::Save, Request::Info] {
        let id = script.reads.len() as u32 + 1;
        script.reads.push_back(Some(Ok(framed(tag(id), &request))));
    }
    let Parts {
        embedder,
        gallery,
        buffer,
    } = &mut parts;
    let mut server = Server::new(embedder, gallery, buffer, &mut store, CLOCK).unwrap();
    assert_eq!(server.run(&mut script), Ok(End::Closed));
    assert_eq!(parts.gallery.entries().len(), 0);
    assert_eq!(parts.gallery.fingerprint(), model().fingerprint());
    let said = said(&script);
    assert!(said[1].contains("refused: Some(Flash)"), "{}", said[1]);
    assert!(said[1].contains("can_save: true"), "{}", said[1]);
    assert_eq!(said[3], "3 Saved");
    assert!(said[4].contains("refused: None"), "{}", said[4]);
}

#[test]
fn a_store_may_be_missing() {
    let mut gallery = Gallery::<2, 4>::for_fingerprint(0);
    let mut none = siamese_link::NoStore;
    assert!(!none.can_save());
    assert_eq!(none.load(&mut gallery), Ok(false));
    assert_eq!(none.save(&gallery), Err(Fault::NoStorage));
    let mut missing = None::<&mut MemoryStore>;
    assert!(!missing.can_save());
    assert_eq!(missing.load(&mut gallery), Ok(false));
    assert_eq!(missing.save(&gallery), Err(Fault::NoStorage));

    let mut memory = MemoryStore::default();
    let mut there = Some(&mut memory);
    assert!(there.can_save());
    assert_eq!(there.load(&mut gallery), Ok(true));
    assert_eq!(there.save(&gallery), Ok(()));
    assert_eq!((memory.saves, gallery.entries().len()), (1, 1));
    let refused = Refused::Flash;
    memory.refused = Some(refused);
    assert_eq!(Some(&mut memory).load(&mut gallery), Err(refused));
    assert!(!Some(siamese_link::NoStore).can_save());
}

#[cfg(feature = "storage")]
#[test]
fn a_gallery_in_flash_says_why_it_is_refused() {
    use siamese_core::gallery::GalleryStore;
    use siamese_core::gallery::test_flash::TestFlash;

    let point = siamese_core::Embedding([1, 2]);
    let mut gallery = Gallery::<2, 64>::for_fingerprint(1);
    gallery.enrol(5, &point).unwrap();
    let mut flash = GalleryStore::new(TestFlash::<1, 4, 256, 512>::new(), 0..512).unwrap();
    assert!(Store::can_save(&flash));
    assert_eq!(Store::load(&mut flash, &mut gallery), Ok(false));
    gallery.enrol(5, &point).unwrap();
    assert_eq!(Store::save(&mut flash, &gallery), Ok(()));
    let mut other = Gallery::<2, 64>::for_fingerprint(2);
    let refused = Store::load(&mut flash, &mut other);
    assert!(matches!(refused, Err(Refused::Load(_))), "{refused:?}");
    for label in 0..64 {
        let _ = gallery.enrol(label, &point);
    }
    let full = Store::save(&mut flash, &gallery);
    assert!(
        matches!(full, Err(Fault::StorageSize { needed, room: 256 }) if needed > 256),
        "{full:?}"
    );
}

#[test]
fn a_line_that_fails_again_and_again_ends_the_server() {
    let mut parts = parts();
    let Parts {
        embedder,
        gallery,
        buffer,
    } = &mut parts;
    let store = siamese_link::NoStore;
    let mut server = Server::new(embedder, gallery, buffer, store, CLOCK).unwrap();
    let memory = |id| Some(Ok(framed(tag(id), &Request::Memory)));
    // Now and then is no matter.
    let mut script = Script {
        broken: 1,
        ..Script::default()
    };
    for id in 0..100 {
        script.reads.push_back(Some(Err(ErrorKind::Other)));
        script.reads.push_back(memory(id));
    }
    assert_eq!(server.run(&mut script), Ok(End::Closed));
    assert_eq!(said(&script).len(), 100);
    let mut script = Script::default();
    script
        .reads
        .extend((0..100).map(|_| Some(Err(ErrorKind::NotConnected))));
    let ended = server.run(&mut script);
    assert_eq!(ended, Err(Broken(ErrorKind::NotConnected)));
    assert!((80..90).contains(&script.reads.len()));
}

#[test]
fn facts_about_the_device_are_told() {
    let mut parts = parts();
    let mut core = core(&mut parts);
    core.start();
    assert_eq!(notice(&core), Notice::Ready);
    let Response::Info(info) = ask(&mut core, tag(1), &Request::Info) else {
        panic!();
    };
    assert_eq!(
        (info.link_version, info.board, info.model),
        (4, "host", "server")
    );
    assert_eq!(
        (info.training_digest, info.model_crc),
        ([7; 32], 0x1234_5678)
    );
    assert_eq!((info.pixels, info.dim, info.tick_hz), (16, 2, 1000));
    assert_eq!(
        (info.gallery_capacity, info.can_save),
        (ENTRIES as u32, false)
    );
    assert_eq!((info.refused, info.session), (None, None));
    let mut embedder = Network::new(model()).unwrap();
    let expected = embedder.embed(&IMAGE).unwrap();
    let Response::Embedding(found) = ask(&mut core, tag(1), &Request::Embed { pixels: &IMAGE })
    else {
        panic!();
    };
    assert_eq!(found.coordinates[..], expected.0);
    assert_eq!(found.hidden_crc, embedder.hidden().map(checksum));
    // Two looks at a clock that wraps in between.
    assert_eq!(found.ticks, 5);
}

#[test]
fn identifying_and_verifying_give_the_gallerys_answers() {
    let mut here = Entrants::new(&model()).unwrap();
    let mut embedder = Network::new(model()).unwrap();
    let (dark, bright) = ([9; PIXELS], [200; PIXELS]);
    let [dark_point, bright_point] = [&dark, &bright].map(|image| embedder.embed(image).unwrap());
    assert_ne!(dark_point, bright_point);
    here.enrol(3, &dark_point).unwrap();
    here.enrol_exemplar(4, &bright_point).unwrap();

    let mut parts = parts();
    let mut core = core(&mut parts);
    let nothing = ask(&mut core, tag(1), &Request::Identify { pixels: &dark });
    assert!(matches!(nothing, Response::Identified(found) if found.answer.is_none()));
    assert_eq!(ask(&mut core, tag(2), &Request::Open), Response::Opened);
    ask(&mut core, tag(3), &ENROL);
    let exemplar = Request::Enrol {
        label: 4,
        exemplar: true,
        pixels: &bright,
    };
    ask(&mut core, tag(4), &exemplar);
    for (pixels, point) in [(&dark, dark_point), (&bright, bright_point)] {
        let found = ask(&mut core, tag(5), &Request::Identify { pixels });
        let Response::Identified(found) = found else {
            panic!("{found:?}");
        };
        assert_eq!((found.answer, found.ticks), (here.identify(&point), 5));
        for label in [3, 4, 5] {
            let expected = match here.verify(label, &point) {
                Ok(verified) => Response::Verified(verified),
                Err(error) => Response::Fault(Fault::Gallery(error)),
            };
            let request = Request::Verify { label, pixels };
            assert_eq!(ask(&mut core, tag(6), &request), expected);
        }
    }
}

#[test]
fn refusals_are_told_in_words() {
    use siamese_core::gallery::LoadError;
    let load = LoadError::Checksum;
    assert_eq!(Refused::Load(load).to_string(), load.to_string());
    assert!(Refused::Flash.to_string().contains("flash"));
}

#[cfg(feature = "async")]
mod asynchronous {
    use core::future::{Future, pending};
    use core::pin::pin;
    use core::task::{Context, Poll, Waker};

    use embedded_hal_async::delay::DelayNs;
    use siamese_link::server::AsyncServer;
    use siamese_link::store::Blocking;

    use super::*;

    impl embedded_io_async::Read for Script {
        async fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Broken> {
            if self.reads.front() == Some(&None) {
                // Until this read is given up.
                self.reads.pop_front();
                return pending().await;
            }
            Read::read(self, bytes)
        }
    }

    impl embedded_io_async::Write for Script {
        async fn write(&mut self, bytes: &[u8]) -> Result<usize, Broken> {
            Write::write(self, bytes)
        }

        async fn flush(&mut self) -> Result<(), Broken> {
            Write::flush(self)
        }
    }

    /// Time passes at once.
    struct Delays(Vec<u32>);

    impl DelayNs for Delays {
        async fn delay_ns(&mut self, ns: u32) {
            self.0.push(ns);
        }

        async fn delay_ms(&mut self, ms: u32) {
            self.0.push(ms);
        }
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..1000 {
            if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
                return value;
            }
        }
        panic!("it waits for ever");
    }

    #[test]
    fn the_asynchronous_server_says_the_same() {
        let (mut parts, mut store, mut script) = (parts(), MemoryStore::default(), script());
        let Parts {
            embedder,
            gallery,
            buffer,
        } = &mut parts;
        let mut delays = Delays(Vec::new());
        let blocking = Blocking(&mut store);
        let end = block_on(async {
            let server = AsyncServer::new(embedder, gallery, buffer, blocking, CLOCK);
            server.await.unwrap().run(&mut script, &mut delays).await
        });
        assert_eq!(end, Ok(End::Restart));
        as_scripted(&script, &store);
        assert_eq!(delays.0, [SILENCE_MS]);
    }

    #[test]
    fn a_line_that_fails_again_and_again_ends_it() {
        let mut parts = parts();
        let Parts {
            embedder,
            gallery,
            buffer,
        } = &mut parts;
        let mut script = Script::default();
        script
            .reads
            .extend((0..100).map(|_| Some(Err(ErrorKind::NotConnected))));
        let mut delays = Delays(Vec::new());
        let ended = block_on(async {
            let server = AsyncServer::new(embedder, gallery, buffer, siamese_link::NoStore, CLOCK);
            server.await.unwrap().run(&mut script, &mut delays).await
        });
        assert_eq!(ended, Err(Broken(ErrorKind::NotConnected)));
        assert!((80..90).contains(&script.reads.len()));
    }

    #[test]
    fn asynchronous_stores_say_what_the_blocking_ones_do() {
        use siamese_link::NoStore;
        use siamese_link::store::AsyncStore;

        let mut gallery = Gallery::<2, 4>::for_fingerprint(0);
        let mut none = NoStore;
        assert!(!AsyncStore::can_save(&none));
        assert_eq!(
            block_on(AsyncStore::load(&mut none, &mut gallery)),
            Ok(false)
        );
        let saved = block_on(AsyncStore::save(&mut none, &gallery));
        assert_eq!(saved, Err(Fault::NoStorage));
        assert!(!Blocking(NoStore).can_save());

        let mut memory = MemoryStore::default();
        let mut blocking = Blocking(&mut memory);
        assert!(blocking.can_save());
        assert_eq!(block_on(blocking.load(&mut gallery)), Ok(true));
        assert_eq!(block_on(blocking.save(&gallery)), Ok(()));
        assert_eq!((memory.saves, gallery.entries().len()), (1, 1));
    }

    #[cfg(feature = "storage-async")]
    #[test]
    fn a_gallery_in_flash_says_why_it_is_refused() {
        use siamese_core::gallery::AsyncGalleryStore;
        use siamese_core::gallery::test_flash::TestFlash;
        use siamese_link::store::AsyncStore;

        let point = siamese_core::Embedding([1, 2]);
        let mut gallery = Gallery::<2, 64>::for_fingerprint(1);
        let flash = TestFlash::<1, 4, 256, 512>::new();
        let mut store = AsyncGalleryStore::new(flash, 0..512).unwrap();
        assert!(AsyncStore::can_save(&store));
        let loaded = block_on(AsyncStore::load(&mut store, &mut gallery));
        assert_eq!(loaded, Ok(false));
        gallery.enrol(5, &point).unwrap();
        assert_eq!(block_on(AsyncStore::save(&mut store, &gallery)), Ok(()));
        let mut found = Gallery::<2, 64>::for_fingerprint(1);
        let loaded = block_on(AsyncStore::load(&mut store, &mut found));
        assert_eq!((loaded, found.entries().len()), (Ok(true), 1));
        let mut other = Gallery::<2, 64>::for_fingerprint(2);
        let refused = block_on(AsyncStore::load(&mut store, &mut other));
        assert!(matches!(refused, Err(Refused::Load(_))), "{refused:?}");
        for label in 0..64 {
            let _ = gallery.enrol(label, &point);
        }
        let full = block_on(AsyncStore::save(&mut store, &gallery));
        assert!(
            matches!(full, Err(Fault::StorageSize { needed, room: 256 }) if needed > 256),
            "{full:?}"
        );
    }
}

#[cfg(feature = "pictures")]
#[test]
fn a_picture_comes_in_parts_that_may_come_twice() {
    let mut parts = parts();
    let mut core = core(&mut parts);
    // A dark hook on paper, 10x7.
    let mut pixels = [200u8; 70];
    for y in 2..5 {
        pixels[y * 10 + 3] = 20;
    }
    pixels[43..47].fill(20);
    let mut id = 0;
    let mut asked = |core: &mut TestCore<'_>, request: Request<'_>| {
        id += 1;
        ask(core, tag(id), &request)
    };
    let picture = |filled| Response::Picture { filled };
    let refused = |error| Response::Fault(Fault::Picture(error));
    let part = |from: u32, to: usize| Request::PicturePart {
        from,
        pixels: &pixels[from as usize..to],
    };
    let embed = Request::EmbedPicture { ink: Ink::Auto };
    let begin = |width, height| Request::Picture { width, height };

    // Nothing was begun, or is begun.
    let none = asked(&mut core, embed.clone());
    assert_eq!(none, refused(PictureError::Empty));
    let sizes = PictureError::TooLarge {
        pixels: 77,
        room: 70,
    };
    assert_eq!(asked(&mut core, begin(11, 7)), refused(sizes));
    assert_eq!(asked(&mut core, begin(0, 7)), refused(PictureError::Empty));
    let no_picture = asked(&mut core, part(0, 30));
    let (expected, found) = (0, 30);
    assert_eq!(
        no_picture,
        refused(PictureError::Pixels { expected, found })
    );

    assert_eq!(asked(&mut core, begin(10, 7)), picture(0));
    assert_eq!(asked(&mut core, part(0, 30)), picture(30));
    // Again, in other pieces, and with a gap.
    assert_eq!(asked(&mut core, part(10, 20)), picture(30));
    let gap = asked(&mut core, part(31, 40));
    let (expected, found) = (70, 40);
    assert_eq!(gap, refused(PictureError::Pixels { expected, found }));
    let half = asked(&mut core, embed.clone());
    let (expected, found) = (70, 30);
    assert_eq!(half, refused(PictureError::Pixels { expected, found }));
    assert_eq!(asked(&mut core, part(20, 70)), picture(70));
    // What has come stays as it is, up to its last byte, whatever comes in its place.
    let other = Request::PicturePart {
        from: 60,
        pixels: &[20; 10],
    };
    assert_eq!(asked(&mut core, other), picture(70));
    let more = Request::PicturePart {
        from: 70,
        pixels: &[1],
    };
    let (expected, found) = (70, 71);
    let too_many = refused(PictureError::Pixels { expected, found });
    assert_eq!(asked(&mut core, more), too_many);

    // As this machine does it, and again: the picture stays.
    let mut frame = [0; PIXELS];
    fit(
        &mut Grey::new(10, 7, &pixels).unwrap(),
        Ink::Auto,
        4,
        4,
        &mut frame,
    )
    .unwrap();
    let mut embedder = Network::new(model()).unwrap();
    let expected = embedder.embed(&frame).unwrap();
    for _ in 0..2 {
        match asked(&mut core, embed.clone()) {
            Response::Embedding(found) => assert_eq!(found.coordinates, expected.0),
            other => panic!("{other:?}"),
        }
    }
    let wrong = asked(&mut core, Request::EmbedPicture { ink: Ink::Bright });
    assert_eq!(wrong, refused(PictureError::Blank));
    // A new one forgets the old one, also if it is refused.
    asked(&mut core, begin(70, 2));
    assert_eq!(
        asked(&mut core, embed.clone()),
        refused(PictureError::Empty)
    );
}

#[cfg(feature = "galleries")]
mod galleries {
    use siamese_core::gallery::{LoadError, Record, Thresholds};

    use super::*;

    /// A core that was shown some images, as prototypes and as exemplars.
    fn shown(parts: &mut Parts) -> TestCore<'_> {
        let mut core = core(parts);
        ask(&mut core, tag(1), &Request::Open);
        for id in 2..22u32 {
            let pixels: Vec<u8> = (0..16).map(|pixel| (pixel * id % 250) as u8).collect();
            let request = Request::Enrol {
                label: id as u16 % 4,
                exemplar: id % 7 == 0,
                pixels: &pixels,
            };
            ask(&mut core, tag(id), &request);
        }
        core
    }

    /// Changes that were counted, and the record of one entry.
    fn entry(core: &mut TestCore<'_>, number: u32) -> (u32, Vec<u8>) {
        match ask(core, tag(999), &Request::Entry { number }) {
            Response::Entry { changes, record } => (changes, record.to_vec()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_gallery_goes_from_device_to_device_bit_for_bit() {
        let (mut first, mut second) = (parts(), parts());
        let mut there = core(&mut second);
        let mut here = shown(&mut first);
        ask(&mut there, tag(1), &Request::Open);
        let user = Thresholds {
            prototype: Some(u64::MAX),
            pair: None,
        };
        let mut other = Gallery::<2, 4>::for_fingerprint(model().fingerprint());
        other.set_user_thresholds(user);
        let mut buffer = [0; 100];
        let record = &*other.to_bytes(&mut buffer).unwrap();
        let set = Request::SetThresholds { record };
        assert_eq!(ask(&mut here, tag(30), &set), Response::ThresholdsSet);
        assert_eq!(here.gallery().user_thresholds(), user);
        let total = here.gallery().entries().len() as u32;
        assert_eq!(total, 4 + 3);
        for number in 0..total {
            let (changes, record) = entry(&mut here, number);
            assert_eq!(changes, 21);
            let examples = here.gallery().entries()[number as usize].examples();
            let insert = Request::Insert { record: &record };
            let inserted = Response::Inserted { examples };
            // Once, however often it comes.
            for _ in 0..3 {
                assert_eq!(ask(&mut there, tag(10 + number), &insert), inserted);
            }
            assert_eq!(entry(&mut there, 0).0, number + 1);
        }
        let head = entry(&mut there, total).1;
        let head = Record::read(&head).unwrap();
        let expected = (total, total, Thresholds::NONE);
        let found = (head.entries(), head.first(), head.user_thresholds());
        assert_eq!(found, expected);
        assert_eq!(head.fingerprint(), model().fingerprint());
        assert_eq!(ask(&mut there, tag(30), &set), Response::ThresholdsSet);
        assert_eq!(there.gallery(), here.gallery());
        // The same once more: prototypes count each example twice, exemplars come twice.
        let (_, record) = entry(&mut here, 0);
        let examples = 2 * here.gallery().entries()[0].examples();
        let inserted = Response::Inserted { examples };
        let insert = Request::Insert { record: &record };
        assert_eq!(ask(&mut there, tag(31), &insert), inserted);
        assert_eq!(ask(&mut there, tag(31), &insert), inserted);
    }

    #[test]
    fn what_is_no_entry_of_this_model_is_not_inserted() {
        let mut parts = parts();
        let mut core = shown(&mut parts);
        let before = core.gallery().clone();
        let (changes, good) = entry(&mut core, 1);
        let other = Gallery::<2, 4>::for_fingerprint(7);
        let expected = model().fingerprint();
        let mut others = other.clone();
        others.enrol(0, &siamese_core::Embedding([1, 2])).unwrap();
        let mut wide = Gallery::<3, 4>::for_fingerprint(expected);
        wide.enrol(0, &siamese_core::Embedding([1, 2, 3])).unwrap();
        let mut buffer = [0; 200];
        let others = others.to_bytes(&mut buffer).unwrap().to_vec();
        let wide = wide.to_bytes(&mut buffer).unwrap().to_vec();
        let none = entry(&mut core, 100).1;
        // A remainder that no mean leaves.
        let mut impossible = good.clone();
        let end = impossible.len() - 4;
        impossible[end - 1] = 0x7F;
        let crc = checksum(&impossible[..end]);
        impossible[end..].copy_from_slice(&crc.to_le_bytes());
        let mut damaged = good.clone();
        damaged[50] ^= 1;
        let cases = [
            (others, LoadError::OtherModel { expected, found: 7 }),
            (
                wide,
                LoadError::Dimension {
                    found: 3,
                    expected: 2,
                },
            ),
            (none, LoadError::Contents),
            (impossible, LoadError::Contents),
            (damaged, LoadError::Checksum),
            (vec![], LoadError::NotAGallery),
        ];
        for (number, (record, error)) in (0..).zip(&cases) {
            let insert = Request::Insert { record };
            let refused = Response::Fault(Fault::Entry(*error));
            for _ in 0..2 {
                assert_eq!(ask(&mut core, tag(40 + number), &insert), refused);
            }
        }
        assert_eq!(entry(&mut core, 0).0, changes);
        assert_eq!(core.gallery(), &before);
        // Thresholds are of one model, too.
        let record = &cases[0].0;
        let set = Request::SetThresholds { record };
        let refused = Response::Fault(Fault::Entry(cases[0].1));
        assert_eq!(
            ask(&mut core, tag(44), &set),
            Response::Fault(Fault::Repeated)
        );
        assert_eq!(ask(&mut core, tag(46), &set), refused);
        assert_eq!(entry(&mut core, 0).0, changes);
        // A refused change stays refused under its number, whatever comes.
        let insert = Request::Insert { record: &good };
        assert_eq!(ask(&mut core, tag(46), &insert), refused);
        // Full.
        for id in 0..ENTRIES as u32 {
            let exemplar = Request::Enrol {
                label: 9,
                exemplar: true,
                pixels: &IMAGE,
            };
            ask(&mut core, tag(100 + id), &exemplar);
        }
        let exemplar = entry(&mut core, 40).1;
        let insert = Request::Insert { record: &exemplar };
        let full = GalleryError::Full { capacity: ENTRIES };
        let full = Response::Fault(Fault::Gallery(full));
        assert_eq!(ask(&mut core, tag(300), &insert), full);
    }
}

#[cfg(not(any(feature = "galleries", feature = "names")))]
#[test]
fn a_server_without_the_features_says_so() {
    let mut parts = parts();
    let mut core = core(&mut parts);
    ask(&mut core, tag(1), &Request::Open);
    let bodies: [&[u8]; 5] = [&[14, 0], &[15, 0], &[16, 0], &[17, 3, 1, b'n'], &[18, 0]];
    for body in bodies {
        let header = [0x84, 0xA, 0, 0, 0, 2, 0, 0, 0];
        let frame = description::frame_of(&[&header, body].concat());
        assert_eq!(feed(&mut core, &frame), Step::Send);
        let unsupported = Response::Fault(Fault::Unsupported);
        assert_eq!(answer(&core, tag(2)), unsupported, "{body:?}");
    }
}

#[cfg(feature = "names")]
mod names {
    use siamese_core::gallery::names::NameError;

    use super::*;

    fn name<'a>(label: u16, name: &'a str) -> Request<'a> {
        let name = name.as_bytes();
        Request::Name { label, name }
    }

    /// Changes that were counted, and entries.
    fn changes(core: &mut TestCore<'_>) -> (u32, u32) {
        match ask(core, tag(999), &Request::List { from: 0 }) {
            Response::Entries(entries) => (entries.changes, entries.total),
            other => panic!("{other:?}"),
        }
    }

    /// All names, as a host lists them.
    fn listed(core: &mut TestCore<'_>) -> Vec<(u16, String)> {
        let mut names = Vec::new();
        let mut next = Some(0);
        while let Some(label) = next {
            let Response::NameOf(found) = ask(core, tag(999), &Request::NameFrom { label }) else {
                panic!();
            };
            next = found.and_then(|(label, _)| label.checked_add(1));
            names.extend(found.map(|(label, name)| (label, name.to_owned())));
        }
        names
    }

    #[test]
    fn labels_have_names_that_hosts_list_one_by_one() {
        let mut parts = parts();
        let mut core = core(&mut parts);
        ask(&mut core, tag(1), &Request::Open);
        assert_eq!(listed(&mut core), []);
        for (id, label, text) in [(2, 65_535, "last"), (3, 0, "Käse"), (4, 7, "cat")] {
            for _ in 0..2 {
                assert_eq!(ask(&mut core, tag(id), &name(label, text)), Response::Named);
            }
        }
        let all = [(0, "Käse"), (7, "cat"), (65_535, "last")];
        let all = all.map(|(label, name)| (label, name.to_owned()));
        assert_eq!(listed(&mut core), all);
        // Three changes, though each came twice; and a name is no entry.
        assert_eq!(changes(&mut core), (3, 0));
        // What is refused changes nothing, and is refused again.
        let refused = [
            (1, &b"a\tb"[..], NameError::Unusable),
            (1, b"\xFF", NameError::Unusable),
            (1, b"123456789", NameError::TooLong { most: 8 }),
            (1, b"cat", NameError::Taken { label: 7 }),
            (1, b"new", NameError::Full { capacity: 3 }),
        ];
        for (id, (label, name, error)) in (10..).zip(refused) {
            for _ in 0..2 {
                let found = ask(&mut core, tag(id), &Request::Name { label, name });
                assert_eq!(found, Response::Fault(Fault::Name(error)));
            }
        }
        assert_eq!(listed(&mut core), all);
        assert_eq!(changes(&mut core), (3, 0));
        // Nothing takes a name away, also where there is none.
        for (id, label) in [(20, 7), (21, 7), (22, 100)] {
            assert_eq!(ask(&mut core, tag(id), &name(label, "")), Response::Named);
        }
        assert_eq!(ask(&mut core, tag(23), &name(1, "cat")), Response::Named);
        assert_eq!(listed(&mut core)[1], (1, "cat".to_owned()));
    }

    /// A table that counts its savings, and fails if it is told to.
    struct Counted(Names<3, 8>, usize, Option<Fault>);

    impl NameTable for Counted {
        fn first_from(&self, label: u16) -> Option<(u16, &str)> {
            self.0.first_from(label)
        }

        fn set(&mut self, label: u16, name: &str) -> Result<(), NameError> {
            NameTable::set(&mut self.0, label, name)
        }

        fn save(&mut self) -> Result<(), Fault> {
            self.1 += 1;
            self.2.map_or(Ok(()), Err)
        }
    }

    struct Board<'n>(Option<&'n mut Counted>);

    impl Platform for Board<'_> {
        fn board(&self) -> &'static str {
            "named"
        }

        fn model_crc(&self) -> u32 {
            0
        }

        fn tick_hz(&self) -> u32 {
            1
        }

        fn ticks(&mut self) -> u32 {
            0
        }

        fn names(&mut self) -> Option<&mut dyn NameTable> {
            self.0.as_mut().map(|names| &mut **names as _)
        }
    }

    /// The answers to saving, twice under each number.
    fn saving(names: Option<&mut Counted>, gallery: Result<(), Fault>) -> Vec<Response<'static>> {
        let mut parts = parts();
        let Parts {
            embedder,
            gallery: entrants,
            buffer,
        } = &mut parts;
        let mut core = Core::new(embedder, entrants, buffer, Board(names)).unwrap();
        let mut answers = Vec::new();
        for (id, request) in [(1, Request::Open), (2, Request::Save), (2, Request::Save)] {
            for byte in framed(tag(id), &request) {
                if core.push(byte) == Step::Save {
                    core.saved(gallery);
                }
            }
            answers.push(read_frame(core.outgoing(), vec![0; 500].leak()).unwrap().1);
        }
        answers.split_off(1)
    }

    #[test]
    fn names_are_saved_once_and_after_the_gallery() {
        let mut counted = Counted(Names::new(), 0, None);
        let saved = [Response::Saved, Response::Saved];
        assert_eq!(saving(Some(&mut counted), Ok(())), saved);
        assert_eq!(counted.1, 1);
        // Without a table, the gallery is saved all the same.
        assert_eq!(saving(None, Ok(())), saved);
        counted.2 = Some(Fault::Storage);
        let failed = Response::Fault(Fault::Storage);
        let failed = [failed.clone(), failed];
        assert_eq!(saving(Some(&mut counted), Ok(())), failed);
        assert_eq!(counted.1, 2);
        // A gallery that can't be saved: no names are.
        let none = Response::Fault(Fault::NoStorage);
        let none = [none.clone(), none];
        assert_eq!(saving(Some(&mut counted), Err(Fault::NoStorage)), none);
        assert_eq!(counted.1, 2);
    }

    #[test]
    fn a_platform_without_a_table_knows_no_names() {
        let mut parts = parts();
        let Parts {
            embedder,
            gallery,
            buffer,
        } = &mut parts;
        let mut core = Core::new(embedder, gallery, buffer, Board(None)).unwrap();
        let requests = [
            (1, Request::Open, Response::Opened),
            (2, name(1, "one"), Response::Fault(Fault::Unsupported)),
            (
                3,
                Request::NameFrom { label: 0 },
                Response::Fault(Fault::Unsupported),
            ),
        ];
        for (id, request, expected) in requests {
            for byte in framed(tag(id), &request) {
                let _ = core.push(byte);
            }
            let decoded = &mut [0; 500];
            let answer = read_frame(core.outgoing(), decoded);
            assert_eq!(answer, Ok((tag(id), expected)));
        }
    }

    #[cfg(feature = "storage")]
    #[test]
    fn kept_names_are_there_after_a_reset() {
        use siamese_core::gallery::NameStore;
        use siamese_core::gallery::test_flash::TestFlash;
        use siamese_link::names::KeptNames;

        let mut flash = TestFlash::<1, 4, 64, 256>::new();
        let mut scratch = [0; Names::<3, 8>::SCRATCH];
        let mut table = Names::<3, 8>::new();
        table.set(1, "gone").unwrap();
        let store = NameStore::new(&mut flash, 0..256).unwrap();
        let mut kept = KeptNames::load(&mut table, store, &mut scratch);
        assert_eq!(kept.first_from(0), None);
        kept.set(7, "cat").unwrap();
        kept.set(8, "dog").unwrap();
        kept.set(7, "").unwrap();
        assert_eq!(kept.save(), Ok(()));
        kept.set(9, "lost").unwrap();
        let store = NameStore::new(&mut flash, 0..256).unwrap();
        let kept = KeptNames::load(&mut table, store, &mut scratch);
        assert_eq!(kept.first_from(0), Some((8, "dog")));
        assert_eq!(kept.first_from(9), None);

        // No room in flash, or in the buffer.
        let small = TestFlash::<1, 4, 32, 64>::new();
        let store = NameStore::new(small, 0..64).unwrap();
        let mut kept = KeptNames::load(&mut table, store, &mut scratch);
        kept.set(8, "12345678").unwrap();
        let (needed, room) = (36, 32);
        assert_eq!(kept.save(), Err(Fault::StorageSize { needed, room }));
        let store = NameStore::new(&mut flash, 0..256).unwrap();
        let mut kept = KeptNames::load(&mut table, store, &mut scratch[..20]);
        let no_room = NameError::NoRoom { needed: 25 };
        assert_eq!(kept.save(), Err(Fault::Name(no_room)));
        assert!(no_room.to_string().contains("25 bytes"));
    }
}

#[cfg(feature = "statistics")]
#[test]
fn a_server_counts_what_it_does() {
    let mut parts = parts();
    let mut core = core(&mut parts);
    let counted = |core: &mut TestCore<'_>, id| {
        let Response::Statistics(counted) = ask(core, tag(id), &Request::Statistics) else {
            panic!("no statistics");
        };
        counted
    };
    assert_eq!(counted(&mut core, 1), siamese_link::Statistics::NONE);
    ask(&mut core, tag(2), &Request::Open);
    ask(&mut core, tag(3), &ENROL);
    let identify = Request::Identify { pixels: &IMAGE };
    ask(&mut core, tag(4), &identify);
    // The same request again is an embedding again, and a change isn't.
    ask(&mut core, tag(4), &identify);
    ask(&mut core, tag(3), &ENROL);
    let small = Request::Embed { pixels: &[0; 3] };
    let refused = ask(&mut core, tag(5), &small);
    assert!(matches!(refused, Response::Fault(_)));
    let forget = Request::Forget { label: 9 };
    let stranger = Tag {
        session: 0xB,
        id: 6,
    };
    let refused = ask(&mut core, stranger, &forget);
    assert_eq!(refused, Response::Fault(Fault::OtherSession));
    let mut frame = framed(tag(7), &identify);
    frame[9] ^= 1;
    assert_eq!(feed(&mut core, &frame), Step::Send);
    let found = counted(&mut core, 8);
    assert_eq!((found.embeddings, found.identified), (3, 2));
    assert_eq!((found.faults, found.damaged, found.changes), (2, 1, 1));
    // Without thresholds, nothing is accepted, and nothing unknown.
    assert_eq!((found.unknown, found.accepted), (0, [0; 16]));
    assert_eq!(found.slowest, 5);
}

#[cfg(feature = "updates")]
mod updates {
    use siamese_link::{UpdateKind, UpdateStep};
    use siamese_update::{ModelUpdates, Status, UpdateError};

    use super::*;

    /// Updates that note what they are asked.
    #[derive(Default)]
    struct Noted(Vec<String>);

    impl ModelUpdates for Noted {
        fn status(&mut self) -> Status {
            unreachable!("nobody asks for it here")
        }

        fn begin(&mut self, header: &[u8]) -> Result<(), UpdateError> {
            self.0.push(format!("begin {}", header.len()));
            Ok(())
        }

        fn write(&mut self, at: u32, part: &[u8]) -> Result<u32, UpdateError> {
            self.0.push(format!("write {at} {}", part.len()));
            Ok(at + part.len() as u32)
        }

        fn switch(&mut self) -> Result<(), UpdateError> {
            self.0.push("switch".into());
            Err(UpdateError::Digest)
        }

        fn confirm(&mut self) -> Result<(), UpdateError> {
            self.0.push("confirm".into());
            Ok(())
        }
    }

    struct Board(Option<Noted>);

    impl Platform for &mut Board {
        fn board(&self) -> &'static str {
            "updated"
        }

        fn model_crc(&self) -> u32 {
            0
        }

        fn tick_hz(&self) -> u32 {
            1
        }

        fn ticks(&mut self) -> u32 {
            0
        }

        fn updates(&mut self) -> Option<&mut dyn ModelUpdates> {
            self.0.as_mut().map(|updates| updates as _)
        }
    }

    /// The answers of a board to requests of one session, each sent twice.
    fn answers(board: &mut Board, requests: &[Request<'_>]) -> Vec<Response<'static>> {
        let mut parts = parts();
        let Parts {
            embedder,
            gallery,
            buffer,
        } = &mut parts;
        let mut core = Core::new(embedder, gallery, buffer, board).unwrap();
        let twice = (1..).zip(requests).flat_map(|request| [request; 2]);
        let answers = twice.map(|(id, request)| {
            for byte in framed(tag(id), request) {
                let _ = core.push(byte);
            }
            let (answered, answer) = read_frame(core.outgoing(), vec![0; 500].leak()).unwrap();
            assert_eq!(answered, tag(id));
            answer
        });
        answers.collect()
    }

    fn step(kind: UpdateKind, from: u32, bytes: &[u8]) -> Request<'_> {
        Request::Update(UpdateStep { kind, from, bytes })
    }

    #[test]
    fn each_step_is_taken_once_and_needs_a_session() {
        let mut board = Board(Some(Noted::default()));
        let begin = step(UpdateKind::Begin, 0, &[7; 192]);
        let refused = answers(&mut board, std::slice::from_ref(&begin));
        let no_session = Response::Fault(Fault::NoSession);
        assert_eq!(refused, [no_session.clone(), no_session]);
        let steps = [
            Request::Open,
            begin,
            step(UpdateKind::Write, 0, &[1; 192]),
            step(UpdateKind::Write, 192, &[2; 8]),
            step(UpdateKind::Switch, 0, &[]),
            step(UpdateKind::Confirm, 0, &[]),
        ];
        let found = answers(&mut board, &steps);
        let updated = |next| Response::Updated { next };
        let expected = [
            Response::Opened,
            updated(0),
            updated(192),
            updated(200),
            Response::Fault(Fault::Update(UpdateError::Digest)),
            updated(0),
        ];
        let expected = expected
            .into_iter()
            .flat_map(|answer| [answer.clone(), answer]);
        assert!(found.into_iter().eq(expected));
        let noted = board.0.unwrap().0;
        let expected = [
            "begin 192",
            "write 0 192",
            "write 192 8",
            "switch",
            "confirm",
        ];
        assert_eq!(noted, expected);
    }

    #[test]
    fn a_board_without_slots_says_that_it_does_not_know_updates() {
        let mut board = Board(None);
        let steps = [
            Request::Open,
            step(UpdateKind::Status, 0, &[]),
            step(UpdateKind::Confirm, 0, &[]),
        ];
        let found = answers(&mut board, &steps);
        let unsupported = Response::Fault(Fault::Unsupported);
        assert!(found[2..].iter().all(|answer| *answer == unsupported));
    }

    #[test]
    fn the_longest_step_fits_the_smallest_frame() {
        let step = step(UpdateKind::Write, u32::MAX, &[0xFF; 192]);
        let frame = framed(tag(u32::MAX), &step);
        assert!(frame.len() <= frame_capacity(0), "{}", frame.len());
    }
}
