//! Requests and answers over the UART, whole and damaged.
//!
//! `SIAMESE_FIRMWARE` names an ELF file for mps2-an386 to test; without it, one
//! is built with a random model.

#[path = "../../../siamese-link/tests/common/frames.rs"]
mod frames;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use object::{Object, ObjectSection};
use siamese_build::UartKind;
use siamese_core::Model;
use siamese_device::firmware::{Board, Core, Footprint, model_of_elf, model_range};
use siamese_device::{Device, Error, Reference};
use siamese_link::{
    Fault, FrameError, Notice, Request, Response, Tag, frame_capacity, read_frame, write_frame,
};

use crate::common::{
    ELF, Random, build, build_with, extreme_model, lanes_model, random_images, random_model,
    small_image_model, start,
};
use frames::{cobs, frame_of, older_frame_of};

/// The bar for static data and the deepest stack together, `small`'s sizes.
const RAM_BAR: u64 = 12 * 1024;

fn device() -> Device {
    start(&ELF, Board::Mps2An386)
}

/// What the host's integer path makes of an image: coordinates and the hidden
/// layers' checksums.
fn on_host(model: &Model<'_>, pixels: &[u8]) -> (Vec<i16>, [u32; 2]) {
    let mut reference = Reference::new(*model);
    let (coordinates, hidden_crc) = reference.embed(pixels).unwrap();
    (coordinates.to_vec(), hidden_crc)
}

/// Embeds images on the device and here, and compares every integer.
pub fn compare(device: &mut Device, elf: &Path, count: usize) {
    let bytes = model_of_elf(elf).unwrap();
    let model = Model::parse(&bytes).unwrap();
    let images = random_images(count, model.header().input.pixels(), 2);
    let started = Instant::now();
    let mut seen = 0;
    let embeddings = device
        .embed_all(&images, |index, _| {
            assert_eq!(index, seen);
            seen += 1;
        })
        .unwrap_or_else(|error| panic!("{error}"));
    let seconds = started.elapsed().as_secs_f64();
    assert_eq!((seen, embeddings.len()), (count, count));
    for (image, embedded) in images.iter().zip(&embeddings) {
        let (coordinates, hidden_crc) = on_host(&model, image);
        assert_eq!(embedded.coordinates[..], coordinates);
        assert_eq!(embedded.hidden_crc, hidden_crc);
    }
    let distinct: std::collections::HashSet<_> =
        embeddings.iter().map(|e| e.coordinates.to_vec()).collect();
    // Black is one, and so is each image with a single pixel.
    assert!(
        distinct.len() > count / 4,
        "the comparison is void: most embeddings are equal"
    );
    println!("{:.0} images a second", count as f64 / seconds);
}

#[test]
fn device_and_host_agree_on_every_integer() {
    let mut device = device();
    compare(&mut device, &ELF, 300);
}

#[test]
fn all_boards_agree_on_random_and_adversarial_models() {
    for board in Board::emulated() {
        for model in [random_model(1), extreme_model(), lanes_model()] {
            let elf = build_with(&model, board);
            let mut device = start(&elf, board);
            assert_eq!(device.info().unwrap().board, board.name());
            compare(&mut device, &elf, 20);
        }
    }
}

/// The kernel that is meant for the core is the one that was built in.
#[test]
fn cores_use_the_instructions_that_they_have() {
    for board in Board::emulated() {
        let elf = build(board);
        let (smlad, vmladava) = (count(&elf, is_smlad), count(&elf, is_vmladava));
        println!("{}: {smlad} smlad, {vmladava} vmladava", board.name());
        match board.core() {
            Core::CortexM4 | Core::CortexM7 => assert!(smlad >= 16 && vmladava == 0),
            // One target, so one code for both, which asks the processor.
            Core::CortexM33 | Core::CortexM55 => assert!(smlad >= 16 && vmladava >= 8),
            // Another instruction set: what looks like one isn't.
            Core::Rv32 => {}
            // Now and then a constant looks like one.
            _ => assert!(smlad < 4 && vmladava < 4),
        }
    }
}

/// `smlad`: 0xFB2n, then the accumulator's register, which is not 15, the
/// destination's, 0, and the second factor's.
fn is_smlad(code: [u16; 2]) -> bool {
    code[0] & 0xFFF0 == 0xFB20 && code[1] & 0xF0 == 0 && code[1] >> 12 != 15
}

/// `vmladava.s8` with vector registers 0 to 7.
fn is_vmladava(code: [u16; 2]) -> bool {
    code[0] & 0xFFF1 == 0xEEF0 && code[1] & 0x1FD1 == 0x0F00
}

/// How many instructions of four bytes in the code are of a kind.
fn count(elf: &Path, is: fn([u16; 2]) -> bool) -> usize {
    let bytes = fs::read(elf).unwrap();
    let file = object::File::parse(&*bytes).unwrap();
    let code = file.section_by_name(".text").unwrap().data().unwrap();
    let halves: Vec<u16> = code
        .chunks_exact(2)
        .map(|half| u16::from_le_bytes([half[0], half[1]]))
        .collect();
    halves
        .windows(2)
        .filter(|pair| is([pair[0], pair[1]]))
        .count()
}

#[test]
fn it_says_which_model_it_runs() {
    let bytes = model_of_elf(&ELF).unwrap();
    let model = Model::parse(&bytes).unwrap();
    let info = device().info().unwrap();
    assert_eq!(info.board, Board::Mps2An386.name());
    assert_eq!(info.model, model.header().name);
    assert_eq!(info.training_digest, model.header().training_digest);
    assert_eq!(info.model_crc.to_le_bytes(), bytes[bytes.len() - 4..]);
    assert_eq!(info.pixels as usize, model.header().input.pixels());
    assert_eq!(usize::from(info.dim), model.dim());
    assert_eq!(info.tick_hz, 25_000_000);
}

#[test]
fn ticks_repeat() {
    let image = &random_images(3, 784, 3)[2];
    let mut first = device();
    let ticks = first.embed(image).unwrap().ticks;
    assert!(ticks > 0);
    let mut second = device();
    second.memory().unwrap();
    second.embed(&[0; 784]).unwrap();
    let again = second.embed(image).unwrap().ticks;
    // A start between two ticks can move the count by one.
    assert!(ticks.abs_diff(again) <= 1, "{ticks} and {again}");
    println!("{} instructions an image", 40 * u64::from(ticks));
}

/// A device that has said so.
fn ready() -> Device {
    let mut device = device();
    let frame = device.receive_frame().unwrap();
    let notice = read_frame(&frame, &mut [0; 50]);
    assert_eq!(notice, Ok((Tag::NONE, Notice::Ready)));
    device
}

/// What the device says next, which has to be that it can't read something.
fn refused(device: &mut Device) -> FrameError {
    let frame = device
        .receive_frame()
        .unwrap_or_else(|error| panic!("{error}"));
    match read_frame(&frame, &mut [0; 50]) {
        Ok((Tag::NONE, Notice::Refused(error))) => error,
        other => panic!("expected a notice and got {other:?}"),
    }
}

/// A tag that no `Device` uses.
const STRANGER: Tag = Tag {
    session: Tag::NONE.session,
    id: 7,
};

/// The frame of a request.
fn framed(request: &Request<'_>) -> Vec<u8> {
    let mut buffer = vec![0; frame_capacity(2000)];
    write_frame(STRANGER, request, &mut buffer)
        .unwrap()
        .to_vec()
}

#[test]
fn after_every_bad_frame_the_next_good_one_works() {
    let bytes = model_of_elf(&ELF).unwrap();
    let model = Model::parse(&bytes).unwrap();
    let pixels = model.header().input.pixels();
    let image = random_images(3, pixels, 4).remove(2);
    let (expected, _) = on_host(&model, &image);
    let good = framed(&Request::Embed { pixels: &image });
    let mut device = ready();
    let works = |device: &mut Device| {
        assert_eq!(device.embed(&image).unwrap().coordinates[..], expected);
    };
    works(&mut device);

    let mut random = Random::new(5);
    // Noise, then a good frame: its first delimiter ends the noise, and it is
    // answered.
    for length in [5, 100, 5000] {
        let mut noise: Vec<u8> = (0..length).map(|_| 1 + random.below(255) as u8).collect();
        noise.extend(&good);
        device.send_bytes(&noise).unwrap();
        refused(&mut device);
        let answer = device.receive_frame().unwrap();
        let decoded = &mut [0; frame_capacity(0)];
        let (tag, answer) = read_frame(&answer, decoded).unwrap();
        assert!(matches!(answer, Response::Embedding(_)), "{answer:?}");
        assert_eq!(tag, STRANGER);
        works(&mut device);
    }
    // Nobody is told of empty frames.
    device.send_bytes(&[0; 10]).unwrap();
    works(&mut device);
    // Frames of version 2 and 3, and what a device has said itself.
    device.send_bytes(&frame_of(&[0])).unwrap();
    assert_eq!(refused(&mut device), FrameError::Version { found: 2 });
    let info = older_frame_of(&[0x83, 1, 2, 3, 4, 1, 0, 0, 0, 0]);
    device.send_bytes(&info).unwrap();
    assert_eq!(refused(&mut device), FrameError::Cobs);
    let mut buffer = [0; frame_capacity(0)];
    let echo = write_frame(STRANGER, &Response::Saved, &mut buffer).unwrap();
    device.send_bytes(echo).unwrap();
    works(&mut device);
    // An unknown request in a whole frame is refused by name.
    let mut unknown = vec![0x84, 1, 2, 3, 4, 5, 6, 7, 8];
    unknown.push(77);
    device.send_bytes(&frame_of(&unknown)).unwrap();
    let tag = Tag {
        session: 0x0403_0201,
        id: 0x0807_0605,
    };
    let answer = device.receive_frame().unwrap();
    let decoded = &mut [0; frame_capacity(0)];
    let fault = Response::Fault(Fault::Unsupported);
    assert_eq!(read_frame(&answer, decoded), Ok((tag, fault)));
    // So is one that is longer than the buffer.
    let long = device.embed(&[9; 20_000]);
    assert!(
        matches!(long, Err(Error::Fault(Fault::TooLong))),
        "{long:?}"
    );
    works(&mut device);
    // Images of other sizes.
    for found in [0, 1, pixels - 1, pixels + 1] {
        match device.embed(&vec![9; found]) {
            Err(Error::Fault(Fault::ImageSize {
                expected,
                found: stated,
            })) => {
                assert_eq!((expected as usize, stated as usize), (pixels, found));
            }
            other => panic!("{other:?}"),
        }
        works(&mut device);
    }
    // One of them in the middle of many.
    let many = [&image[..], &[1, 2, 3], &image[..]];
    assert!(matches!(
        device.embed_all(many, |_, _| {}),
        Err(Error::Fault(_))
    ));
    works(&mut device);
    // A host that vanishes inside a frame: the device gives it up, and says so.
    device.send_bytes(&good[..good.len() / 2]).unwrap();
    assert_eq!(refused(&mut device), FrameError::Silence);
    works(&mut device);
}

/// Bytes that are no request to embed, but look like one or used to be.
fn damaged(random: &mut Random, pixels: usize) -> Vec<u8> {
    let below = |random: &mut Random, limit: usize| random.below(limit as u64) as usize;
    let image: Vec<u8> = (0..pixels)
        .map(|_| match random.below(4) {
            0 => random.below(256) as u8,
            _ => 0,
        })
        .collect();
    let mut frame = framed(&match random.below(4) {
        0 => Request::Embed { pixels: &image },
        1 => Request::Verify {
            label: random.below(65_536) as u16,
            pixels: &image,
        },
        2 => Request::Identify { pixels: &image },
        _ => Request::Memory,
    });
    let flip = |random: &mut Random, frame: &mut [u8]| {
        let bit = random.below(8 * frame.len() as u64) as usize;
        frame[bit / 8] ^= 1 << (bit % 8);
    };
    let header = [0x84, 1, 1, 1, 1, 1, 1, 1, 1];
    match random.below(14) {
        0 => flip(random, &mut frame),
        1 => (0..2 + random.below(20)).for_each(|_| flip(random, &mut frame)),
        // One bit, such that the frame ends early.
        2 => {
            let powers = 1..frame.len() - 1;
            if let Some(at) = powers.rev().find(|&at| frame[at].is_power_of_two()) {
                frame[at] = 0;
            }
        }
        3 => frame.truncate(below(random, frame.len())),
        4 => frame.drain(..below(random, frame.len())).for_each(drop),
        // Two that were merged.
        5 => {
            frame.pop();
            frame.extend(&framed(&Request::Info)[1..]);
        }
        6 => {
            let last = frame.len() - 1;
            frame[last] = 1 << random.below(8);
            frame.extend(&framed(&Request::List { from: 0 })[1..]);
        }
        7 => frame = vec![0; 1 + below(random, 500)],
        8 => {
            let length = 500 + below(random, 3000);
            frame = (0..length).map(|_| 1 + random.below(255) as u8).collect();
        }
        // Right checksums: an unknown request, one with bytes to spare, and one
        // with a padded number.
        9 => frame = frame_of(&[&header[..], &[14 + random.below(100) as u8, 3, 3]].concat()),
        10 => frame = frame_of(&[&header[..], &[2, 0]].concat()),
        11 => frame = frame_of(&[&header[..], &[0x82, 0]].concat()),
        // Bytes after the checksum.
        12 => {
            let payload = [&header[..], &[2]].concat();
            let crc = siamese_core::checksum::checksum(&payload).to_le_bytes();
            let extra: Vec<u8> = (0..1 + random.below(300))
                .map(|_| random.below(256) as u8)
                .collect();
            frame = cobs(&[&payload[..], &crc, &extra].concat());
        }
        _ => {
            let length = 1 + below(random, 500);
            frame = (0..length).map(|_| random.below(256) as u8).collect();
        }
    }
    frame
}

#[test]
fn five_thousand_answers_are_right_among_damaged_frames() {
    among_damaged_frames(Board::Mps2An386, 5_000);
}

#[test]
fn a_picos_answers_are_right_among_damaged_frames() {
    among_damaged_frames(Board::Pico, 5_000);
}

/// A board of each other kind of UART; as many with `SIAMESE_FULL`.
#[test]
fn other_uarts_answers_are_right_among_damaged_frames() {
    let full = std::env::var_os("SIAMESE_FULL").is_some();
    let requests = if full { 5_000 } else { 250 };
    let seen = [Board::Mps2An386, Board::Pico].map(|board| board.uart().kind);
    let mut kinds = seen.to_vec();
    for board in Board::emulated() {
        let kind = board.uart().kind;
        if !kinds.contains(&kind) {
            kinds.push(kind);
            among_damaged_frames(board, requests);
        }
    }
    let not_emulated = [UartKind::Rp2350, UartKind::Stm32L4];
    assert!(
        UartKind::ALL
            .into_iter()
            .all(|kind| { kinds.contains(&kind) != not_emulated.contains(&kind) })
    );
}

/// Goes on until so many frames were damaged: `cargo xtask noise --boards` sets it.
const DAMAGED: &str = "SIAMESE_DAMAGED_FRAMES";

/// Asks a board so often, each time after a frame that is damaged in one way or another.
fn among_damaged_frames(board: Board, wanted: usize) {
    among_damaged_frames_of(board, wanted, |model| build_with(model, board));
}

/// The same, of a board with what is built with a model.
pub fn among_damaged_frames_of(board: Board, wanted: usize, build: impl Fn(&[u8]) -> PathBuf) {
    // Small images: the line is what takes the time.
    let bytes = small_image_model();
    let model = Model::parse(&bytes).unwrap();
    let pixels = model.header().input.pixels();
    let images = random_images(64, pixels, 12);
    let expected: Vec<_> = images.iter().map(|image| on_host(&model, image)).collect();
    let elf = build(&bytes);
    let mut device = start(&elf, board);
    let mut random = Random::new(13);
    let (mut enrolled, mut requests, mut sent, started) = (0, 0, 0, Instant::now());
    let least = std::env::var(DAMAGED).map_or(0, |frames| frames.parse().unwrap());
    while requests < wanted || sent < least {
        sent += 1;
        device.send_bytes(&damaged(&mut random, pixels)).unwrap();
        let at = random.below(64) as usize;
        match requests % 4 {
            0 => {
                let found = device.embed(&images[at]).unwrap();
                assert_eq!((found.coordinates.to_vec(), found.hidden_crc), expected[at]);
                requests += 1;
            }
            // What changes the device: once each, whatever was sent again.
            1 if enrolled < 1000 => {
                enrolled += 1;
                assert_eq!(device.enrol(3, false, &images[at]).unwrap(), enrolled);
                requests += 1;
            }
            2 => {
                let images: Vec<_> = (at..at + 9).map(|at| &images[at % 64]).collect();
                let found = device.embed_all(images, |_, _| {}).unwrap();
                for (found, at) in found.iter().zip(at..) {
                    let found = (found.coordinates.to_vec(), found.hidden_crc);
                    assert_eq!(found, expected[at % 64]);
                }
                requests += 9;
            }
            _ => {
                assert_eq!(device.info().unwrap().pixels as usize, pixels);
                requests += 1;
            }
        }
    }
    let listed = device.entries().unwrap();
    assert_eq!((listed.len(), listed[0].examples), (1, enrolled));
    println!(
        "line: {board}: {requests} requests, {sent} damaged frames, 0 wrong answers, in {:.0} s",
        started.elapsed().as_secs_f64()
    );
}

#[test]
fn memory_is_within_the_bar() {
    let mut device = device();
    device.info().unwrap();
    device
        .embed_all(random_images(5, 784, 6), |_, _| {})
        .unwrap();
    assert!(device.embed(&[1]).is_err());
    let memory = device.memory().unwrap();
    let footprint = Footprint::of_elf(&ELF).unwrap();
    println!("{footprint:?} {memory:?}");
    assert!(memory.stack_peak > 0 && memory.stack_peak < memory.stack_size);
    assert!(footprint.ram_static + u64::from(memory.stack_peak) <= RAM_BAR);
    assert_eq!(
        footprint.flash_bytes,
        footprint.code_bytes + footprint.model_bytes
    );
    // The model is in flash once, and nowhere else; repacked, the last layer's
    // rows are filled up.
    let model = model_of_elf(&ELF).unwrap().len() as u64;
    assert!((model..model + 1024).contains(&footprint.model_bytes));
    assert!(footprint.code_bytes < 64 * 1024);
}

#[test]
fn a_damaged_model_is_reported_in_words() {
    for board in Board::emulated() {
        if board == Board::Mps2An386 {
            damaged_model_is_reported_by(board, &ELF);
        } else {
            damaged_model_is_reported_by(board, &build(board));
        }
    }
}

/// Damages the model of a firmware, and lets the board find that out.
pub fn damaged_model_is_reported_by(board: Board, whole: &Path) {
    let mut elf = fs::read(whole).unwrap();
    let range = model_range(whole).unwrap();
    elf[range.start + range.len() / 2] ^= 0x10;
    let folder = tempfile::tempdir().unwrap();
    let damaged = folder.path().join("damaged.elf");
    fs::write(&damaged, elf).unwrap();
    let error = start(&damaged, board).info().unwrap_err();
    assert!(matches!(error, Error::Died(_)), "{error:?}");
    let words = error.to_string();
    assert!(
        words.contains("the model in flash can't be used"),
        "{words}"
    );
    assert!(words.contains("CRC-32"), "{words}");
}

#[test]
fn no_answer_is_a_timeout() {
    let mut device = ready();
    device.set_timeout(Duration::from_millis(300));
    let started = Instant::now();
    assert!(matches!(device.receive_frame(), Err(Error::Timeout(_))));
    assert!(started.elapsed() < Duration::from_secs(10));
}
