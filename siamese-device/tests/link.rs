//! What needs no device: streams that say nothing, end, or talk nonsense, and
//! files that are no firmware.

#[path = "../../siamese-link/tests/common/frames.rs"]
mod frames;

use std::io::{self, PipeReader, PipeWriter, Read, Write, pipe};
use std::path::Path;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use siamese_device::firmware::{self, Board, Footprint};
use siamese_device::{
    Device, Emulator, Error, Fault, Halves, Memory, SerialPort, Traffic, Transport,
};
use siamese_link::{
    Embedded, FrameError, Notice, Request, Response, Tag, frame_capacity, read_frame, write_frame,
};

use frames::{cobs, frame_of, older_frame_of};

/// A stream whose far ends the test keeps.
struct Pipes(Option<(PipeReader, PipeWriter)>);

impl Transport for Pipes {
    fn halves(&mut self) -> io::Result<Halves> {
        let (reader, writer) = self.0.take().ok_or(io::ErrorKind::NotConnected)?;
        Ok(Halves::polled(reader, writer))
    }

    fn in_flight(&self) -> usize {
        1000
    }
}

/// The device's side of a stream.
struct Far {
    reads: PipeReader,
    says: PipeWriter,
    /// The near ends, for a device that is opened again.
    near: (PipeReader, PipeWriter),
}

impl Far {
    /// The next frame that the host sends.
    fn frame(&mut self) -> Vec<u8> {
        let mut frame = Vec::new();
        loop {
            let mut byte = [0];
            self.reads.read_exact(&mut byte).unwrap();
            match byte {
                [0] if frame.is_empty() => {}
                [0] => return frame,
                [byte] => frame.push(byte),
            }
        }
    }

    /// The tag of the next request, whatever it asks.
    fn tag(&mut self) -> Tag {
        let decoded = &mut room();
        read_frame::<Request<'_>>(&self.frame(), decoded).unwrap().0
    }

    /// The tag of the next request to embed, and the image's first pixel.
    fn embed(&mut self) -> (Tag, u8) {
        match read_frame(&self.frame(), &mut room()).unwrap() {
            (tag, Request::Embed { pixels }) => (tag, pixels[0]),
            (_, other) => panic!("{other:?}"),
        }
    }

    fn answer(&mut self, tag: Tag, response: &Response<'_>) {
        self.says.write_all(&framed(tag, response)).unwrap();
    }

    /// Opens the line anew.
    fn open(&self) -> Device {
        let near = (self.near.0.try_clone(), self.near.1.try_clone());
        Device::new(Pipes(Some((near.0.unwrap(), near.1.unwrap())))).unwrap()
    }
}

/// Room for what a request decodes to.
fn room() -> [u8; frame_capacity(784)] {
    [0; _]
}

fn framed(tag: Tag, response: &Response<'_>) -> Vec<u8> {
    let mut buffer = [0; frame_capacity(0)];
    write_frame(tag, response, &mut buffer).unwrap().to_vec()
}

/// An embedding that tells which image it is of.
fn embedding(pixel: u8) -> Response<'static> {
    Response::Embedding(Embedded {
        coordinates: [i16::from(pixel)].into_iter().collect(),
        hidden_crc: [0; 2],
        ticks: 1,
    })
}

const MEMORY: Memory = Memory {
    stack_peak: 1,
    stack_size: 2,
};

/// A device, and its other side.
fn device() -> (Device, Far) {
    let (from_device, says) = pipe().unwrap();
    let (reads, to_device) = pipe().unwrap();
    let far = Far {
        reads,
        says,
        near: (from_device, to_device),
    };
    let mut device = far.open();
    device.set_timeout(Duration::from_secs(30));
    (device, far)
}

/// Runs the device's side beside the host's.
fn beside<A>(
    mut far: Far,
    there: impl FnOnce(&mut Far) + Send + 'static,
    here: impl FnOnce() -> A,
) -> (A, Far) {
    let there = thread::spawn(move || {
        there(&mut far);
        far
    });
    let answer = here();
    (answer, there.join().unwrap())
}

#[test]
fn every_byte_on_the_line_is_counted() {
    let (mut device, far) = device();
    // Nothing is sent twice.
    device.set_timeout(Duration::from_secs(600));
    assert_eq!(device.traffic(), Traffic::default());
    let (tell, told) = channel();
    let (traffic, _) = beside(
        far,
        move |far| {
            let mut traffic = Traffic::default();
            for _ in 0..2 {
                let request = far.frame();
                let decoded = &mut room();
                let (tag, _) = read_frame::<Request<'_>>(&request, decoded).unwrap();
                let answer = framed(tag, &Response::Memory(MEMORY));
                far.says.write_all(&answer).unwrap();
                // The request's delimiters were taken off.
                traffic.sent += request.len() as u64 + 2;
                traffic.received += answer.len() as u64;
            }
            tell.send(traffic).unwrap();
        },
        || {
            device.memory().unwrap();
            device.memory().unwrap();
            device.traffic()
        },
    );
    assert_eq!(traffic, told.recv().unwrap());
}

#[test]
fn a_device_that_neither_reads_nor_answers_is_a_timeout() {
    let (mut device, far) = device();
    device.set_timeout(Duration::from_millis(200));
    let started = Instant::now();
    // Far more than a pipe holds.
    let images = std::iter::repeat_n(vec![1; 784], 2000);
    let error = device.embed_all(images, |_, _| {}).unwrap_err();
    assert!(matches!(error, Error::Timeout(_)), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(10));
    drop(far);
}

#[test]
fn late_answers_are_dropped_and_the_next_are_right() {
    let (mut device, far) = device();
    device.set_timeout(Duration::from_millis(50));
    let error = device.embed(&[1; 16]).unwrap_err();
    assert!(matches!(error, Error::Timeout(_)), "{error:?}");
    device.set_timeout(Duration::from_secs(30));
    let (answers, _) = beside(
        far,
        |far| {
            let late = far.embed();
            assert_eq!(late.1, 1);
            // All of them at once, and each of the new ones twice.
            far.answer(late.0, &embedding(1));
            far.answer(late.0, &embedding(1));
            let mut answered = 0;
            while answered < 4 {
                let (tag, pixel) = far.embed();
                far.answer(tag, &embedding(pixel));
                far.answer(tag, &embedding(pixel));
                answered += usize::from(pixel > 1);
            }
        },
        || {
            let mut answers = device.embed_all([[10; 16], [11; 16], [12; 16]], |_, _| {});
            if let Ok(answers) = &mut answers {
                answers.push(device.embed(&[3; 16]).unwrap());
            }
            answers.unwrap()
        },
    );
    let answers: Vec<i16> = answers.iter().map(|found| found.coordinates[0]).collect();
    assert_eq!(answers, [10, 11, 12, 3]);
}

#[test]
fn only_the_answer_with_the_request_s_own_tag_is_taken() {
    let (mut device, far) = device();
    let (answer, _) = beside(
        far,
        |far| {
            let (tag, pixel) = far.embed();
            for (session, id) in [(1, 0), (0, 1), (0, u32::MAX)] {
                let other = Tag {
                    session: tag.session.wrapping_add(session),
                    id: tag.id.wrapping_add(id),
                };
                far.answer(other, &embedding(99));
            }
            far.answer(Tag::NONE, &embedding(98));
            // The host's own request, come back.
            let mut buffer = [0; 400];
            let request = Request::Embed { pixels: &[97] };
            let echo = write_frame(tag, &request, &mut buffer).unwrap();
            far.says.write_all(echo).unwrap();
            far.answer(tag, &embedding(pixel));
        },
        || device.embed(&[5; 16]).unwrap(),
    );
    assert_eq!(answer.coordinates[0], 5);
}

#[test]
fn answers_of_many_go_to_their_own_images_in_any_order() {
    let (mut device, far) = device();
    let images: Vec<[u8; 16]> = (0..50).map(|pixel| [pixel; 16]).collect();
    let mut order = Vec::new();
    let (answers, _) = beside(
        far,
        |far| {
            let asked: Vec<_> = (0..50).map(|_| far.embed()).collect();
            for (tag, pixel) in asked.iter().rev() {
                far.answer(*tag, &embedding(*pixel));
            }
        },
        || device.embed_all(&images, |index, _| order.push(index)),
    );
    let answers = answers.unwrap();
    for (pixel, answer) in answers.iter().enumerate() {
        assert_eq!(usize::from(answer.coordinates[0].unsigned_abs()), pixel);
    }
    assert_eq!(order, (0..50).collect::<Vec<_>>());
}

#[test]
fn a_stream_that_ends_is_a_death() {
    let (mut device, far) = device();
    let (Far { near, .. }, error) = {
        let Far { near, reads, says } = far;
        drop((reads, says));
        let (reads, says) = (near.0.try_clone().unwrap(), near.1.try_clone().unwrap());
        (Far { reads, says, near }, device.info().unwrap_err())
    };
    drop(near);
    assert!(matches!(error, Error::Died(_)), "{error:?}");
}

#[test]
fn panic_message_over_the_link_are_reported() {
    let (mut device, mut far) = device();
    far.says
        .write_all(b"\0panicked at src/main.rs:1:1:\nout of cheese\0")
        .unwrap();
    let error = device.info().unwrap_err().to_string();
    assert!(error.contains("out of cheese"), "{error}");
}

#[test]
fn damage_on_either_way_makes_the_host_ask_again_with_the_same_tag() {
    let (mut device, far) = device();
    let (answers, _) = beside(
        far,
        |far| {
            // The answer is damaged, then the request was.
            let first = far.tag();
            let mut damaged = framed(first, &Response::Memory(MEMORY));
            damaged[5] ^= 0x20;
            far.says.write_all(&damaged).unwrap();
            assert_eq!(far.tag(), first);
            let mut buffer = [0; frame_capacity(0)];
            let notice = Notice::Refused(FrameError::Checksum);
            let notice = write_frame(Tag::NONE, &notice, &mut buffer).unwrap();
            far.says.write_all(notice).unwrap();
            assert_eq!(far.tag(), first);
            far.answer(first, &Response::Memory(MEMORY));
            // A line that is always damaged is not sent to for ever.
            let second = far.tag();
            far.says.write_all(&b"nonsense\0".repeat(1000)).unwrap();
            for _ in 1..8 {
                assert_eq!(far.tag(), second);
            }
            far.answer(second, &Response::Memory(MEMORY));
            assert_ne!(far.tag(), second);
        },
        || {
            let answers = [device.memory(), device.memory()];
            device.set_timeout(Duration::from_millis(1));
            assert!(device.memory().is_err());
            answers
        },
    );
    for answer in answers {
        assert_eq!(answer.unwrap(), MEMORY);
    }
}

#[test]
fn a_whole_answer_of_another_kind_is_an_error() {
    let (mut device, far) = device();
    let (answers, _) = beside(
        far,
        |far| {
            let tag = far.tag();
            far.answer(tag, &Response::Memory(MEMORY));
            let tag = far.tag();
            far.answer(tag, &Response::Fault(Fault::Unsupported));
            // An answer of a later firmware.
            let tag = far.tag();
            let (session, id) = (tag.session.to_le_bytes(), tag.id.to_le_bytes());
            let unknown = frame_of(&[&[0xC4], &session[..], &id[..], &[99]].concat());
            far.says.write_all(&unknown).unwrap();
            // What version 2 says to a frame that it can't read.
            far.tag();
            far.says.write_all(&frame_of(&[3, 0, 1])).unwrap();
        },
        || {
            let info = device.info().map(drop);
            [info, device.save(), device.save(), device.save()]
        },
    );
    let [kind, fault, unknown, version] = answers.map(Result::unwrap_err);
    assert!(matches!(kind, Error::Unexpected), "{kind:?}");
    assert!(
        matches!(fault, Error::Fault(Fault::Unsupported)),
        "{fault:?}"
    );
    assert!(
        matches!(unknown, Error::Answer(FrameError::Message)),
        "{unknown:?}"
    );
    assert!(
        matches!(version, Error::LinkVersion { found: 2 }),
        "{version:?}"
    );
}

/// It can't read what the host sends, and the host couldn't read what it says to that.
#[test]
fn a_firmware_of_version_3_is_told_from_one_that_is_silent() {
    // That it is ready, and that a frame is no COBS, or has a wrong checksum.
    for body in [&[0][..], &[1, 0], &[1, 1]] {
        let (mut device, far) = device();
        let notice = older_frame_of(&[&[0xE3], &[0; 8][..], body].concat());
        let (answer, _) = beside(
            far,
            move |far| {
                far.tag();
                far.says.write_all(&notice).unwrap();
            },
            || device.info(),
        );
        let error = answer.unwrap_err();
        assert!(
            matches!(error, Error::LinkVersion { found: 3 }),
            "{error:?}"
        );
        let words = error.to_string();
        assert!(words.contains("version 3"), "{words}");
    }
}

#[test]
fn a_change_is_made_in_a_session_and_asked_for_again_under_its_number() {
    let (mut device, far) = device();
    let (answers, _) = beside(
        far,
        |far| {
            let (open, request) = {
                let decoded = &mut room();
                let (tag, request) = read_frame::<Request<'_>>(&far.frame(), decoded).unwrap();
                (tag, request == Request::Open)
            };
            assert!(request);
            far.answer(open, &Response::Opened);
            let tag = far.tag();
            assert_eq!(tag.session, open.session);
            assert!(tag.id > open.id);
            // No answer comes.
            assert_eq!(far.tag(), tag);
            far.answer(tag, &Response::Enrolled { examples: 4 });
            let mut forget = far.tag();
            if forget == tag {
                forget = far.tag();
            }
            // It has restarted: what was enrolled is gone, and the host hears it.
            far.answer(forget, &Response::Fault(Fault::NoSession));
            let anew = far.tag();
            assert_ne!(anew.session, open.session);
            far.answer(anew, &Response::Opened);
            let tag = far.tag();
            far.answer(tag, &Response::Forgotten { entries: 2 });
        },
        || {
            device.set_timeout(Duration::from_secs(8));
            let enrolled = device.enrol(1, false, &[1; 16]).unwrap();
            device.set_timeout(Duration::from_secs(60));
            (enrolled, device.forget(1), device.forget(1))
        },
    );
    let (enrolled, restarted, forgotten) = answers;
    assert_eq!(enrolled, 4);
    let error = restarted.unwrap_err();
    assert!(matches!(error, Error::Fault(Fault::NoSession)), "{error:?}");
    assert_eq!(forgotten.unwrap(), 2);
}

#[test]
fn stray_zeros_are_no_restart() {
    let (mut device, far) = device();
    let (answer, _) = beside(
        far,
        |far| {
            let open = far.tag();
            far.answer(open, &Response::Opened);
            let reset = far.tag();
            far.says.write_all(&[0; 20]).unwrap();
            far.answer(reset, &Response::Resetting);
            far.says.write_all(&[0; 20]).unwrap();
            // It still knows the session, so it hasn't restarted.
            let info = info(Some(open.session));
            loop {
                match read_frame::<Request<'_>>(&far.frame(), &mut room()) {
                    Ok((tag, Request::Info)) => far.answer(tag, &info),
                    Ok((_, Request::Embed { .. })) => break,
                    _ => {}
                }
            }
        },
        || {
            device.set_timeout(Duration::from_millis(300));
            let reset = device.reset();
            let _ = device.embed(&[0]);
            reset
        },
    );
    let error = answer.unwrap_err();
    assert!(matches!(error, Error::Timeout(_)), "{error:?}");
}

/// What a device says of itself in a session.
fn info(session: Option<u32>) -> Response<'static> {
    // Its postcard form, by hand: the type can grow.
    let mut body = vec![0, 4, 1, b'b', 1, b'm'];
    body.extend([0; 32]);
    body.extend([0, 0, 0, 0, 0, 0, 0]);
    match session {
        None => body.push(0),
        Some(mut session) => {
            body.push(1);
            while session > 127 {
                body.push(session as u8 | 128);
                session >>= 7;
            }
            body.push(session as u8);
        }
    }
    let frame = frame_of(&[&[0xC4, 0, 0, 0, 0, 0, 0, 0, 0], &body[..]].concat());
    read_frame(&frame, vec![0; 100].leak()).unwrap().1
}

#[test]
fn a_restart_is_one_when_the_device_no_longer_knows_the_session() {
    let (mut device, far) = device();
    let (answer, _) = beside(
        far,
        |far| {
            let open = far.tag();
            far.answer(open, &Response::Opened);
            let reset = far.tag();
            far.answer(reset, &Response::Resetting);
            // That it is ready gets lost.
            let decoded = &mut room();
            let (tag, request) = read_frame::<Request<'_>>(&far.frame(), decoded).unwrap();
            assert_eq!(request, Request::Info);
            far.answer(tag, &info(None));
        },
        || {
            device.set_timeout(Duration::from_secs(4));
            device.reset()
        },
    );
    answer.unwrap();
}

#[test]
fn a_host_that_opens_the_line_anew_gets_its_own_answers() {
    let (mut device, mut far) = device();
    device.set_timeout(Duration::from_millis(50));
    assert!(device.embed(&[1; 16]).is_err());
    let old = far.embed().0;
    drop(device);
    // A dropped device takes nothing more from the line.
    far.answer(old, &embedding(1));
    thread::sleep(Duration::from_millis(150));
    let mut unread = vec![0; framed(old, &embedding(1)).len()];
    far.near.0.read_exact(&mut unread).unwrap();
    assert_eq!(unread, framed(old, &embedding(1)));
    // Nor is what is left for the old one taken for the new one's.
    far.answer(old, &embedding(1));
    let mut device = far.open();
    let (answers, _) = beside(
        far,
        |far| {
            loop {
                let (tag, pixel) = far.embed();
                far.answer(tag, &embedding(pixel));
                if pixel == 4 {
                    break;
                }
            }
        },
        || [2, 3, 4].map(|pixel| device.embed(&[pixel; 16]).unwrap().coordinates[0]),
    );
    assert_eq!(answers, [2, 3, 4]);
}

#[test]
fn frames_that_nobody_asked_for_take_no_memory() {
    const FRAMES: usize = 3_000_000;
    let (mut device, far) = device();
    let before = resident_kib();
    let (_, far) = beside(
        far,
        |far| {
            let tag = Tag { session: 1, id: 1 };
            let flood = framed(tag, &Response::Saved).repeat(10_000);
            for _ in 0..FRAMES / 10_000 {
                far.says.write_all(&flood).unwrap();
            }
        },
        || (),
    );
    let grown = resident_kib().saturating_sub(before);
    println!("{grown} KiB more after {FRAMES} frames");
    assert!(grown < 16 * 1024, "{grown} KiB");
    let (memory, _) = beside(
        far,
        |far| {
            let tag = far.tag();
            far.answer(tag, &Response::Memory(MEMORY));
        },
        || device.memory(),
    );
    assert_eq!(memory.unwrap(), MEMORY);
}

/// The memory of this process, where the system tells it.
fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|kib| kib.parse().ok()).unwrap_or(0)
}

#[test]
fn a_frame_without_an_end_is_a_timeout() {
    let (mut device, far) = device();
    device.set_timeout(Duration::from_millis(300));
    let started = Instant::now();
    let (answer, _) = beside(
        far,
        |far| {
            let end = Instant::now() + Duration::from_secs(1);
            while Instant::now() < end {
                far.says.write_all(&[7; 10_000]).unwrap();
            }
        },
        || {
            let answer = device.memory();
            assert!(started.elapsed() < Duration::from_millis(900));
            answer
        },
    );
    assert!(matches!(answer, Err(Error::Timeout(_))), "{answer:?}");
}

#[test]
fn bytes_after_an_answer_s_checksum_make_it_none() {
    let (mut device, far) = device();
    device.set_timeout(Duration::from_millis(200));
    let (answer, _) = beside(
        far,
        |far| {
            let tag = far.tag();
            let (session, id) = (tag.session.to_le_bytes(), tag.id.to_le_bytes());
            let payload = [&[0xC4], &session[..], &id[..], &[2, 1, 2]].concat();
            let crc = siamese_core::checksum::checksum(&payload).to_le_bytes();
            let longer = cobs(&[&payload[..], &crc, &[0x78]].concat());
            far.says.write_all(&longer).unwrap();
        },
        || device.memory(),
    );
    assert!(matches!(answer, Err(Error::Timeout(_))), "{answer:?}");
}

#[test]
fn what_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let names = |error: Error| {
        let words = error.to_string();
        assert!(words.contains("missing"), "{words}");
    };
    names(Emulator::start(&missing, Board::Mps2An386).err().unwrap());
    names(Footprint::of_elf(&missing).unwrap_err());
    names(firmware::build(&missing, Board::Mps2An386).unwrap_err());
    names(
        SerialPort::open(missing.to_str().unwrap(), 115_200)
            .err()
            .unwrap(),
    );
    let error = Footprint::of_elf(&Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"));
    assert!(error.unwrap_err().to_string().contains("is no firmware"));
}

#[test]
fn a_bad_model_is_not_built_in() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("bad.siam");
    std::fs::write(&model, "not a model").unwrap();
    let error = firmware::build(&model, Board::Mps2An386)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("bad.siam: this is no .siam model"),
        "{error}"
    );
}
