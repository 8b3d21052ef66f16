//! The firmware on an emulated board, against the core on the host.
//!
//! `SIAMESE_FIRMWARE` names an ELF file for mps2-an386 to test; without it, one
//! is built with a random model. QEMU and the bare-metal target are needed:
//! without them these tests fail, and say so.

mod common;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use object::{Object, ObjectSection};
use siamese_core::Model;
use siamese_device::firmware::{Board, Core, Footprint, model_of_elf, model_range};
use siamese_device::{Device, Error, Reference};
use siamese_link::{Fault, FrameError, Request, Response, frame_capacity, read_frame, write_frame};

use common::{ELF, Random, build, build_with, extreme_model, random_images, random_model, start};

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
fn compare(device: &mut Device, elf: &Path, count: usize) {
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
    for board in Board::ALL {
        for model in [random_model(1), extreme_model()] {
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
    for board in Board::ALL {
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
    assert_eq!(info.pixels, model.header().input.pixels());
    assert_eq!(info.dim, model.dim());
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

/// The next answer, which has to be a fault.
fn fault(device: &mut Device) -> Fault {
    let mut frame = device
        .receive_frame()
        .unwrap_or_else(|error| panic!("{error}"));
    match read_frame(&mut frame) {
        Ok(Response::Fault(fault)) => fault,
        other => panic!("expected a fault and got {other:?}"),
    }
}

/// The next answer, which has to be that a frame was damaged.
fn frame_fault(device: &mut Device) {
    let fault = fault(device);
    assert!(matches!(fault, Fault::Frame(_)), "{fault:?}");
}

/// The frame of an image.
fn image_frame(pixels: &[u8]) -> Vec<u8> {
    let mut buffer = vec![0; frame_capacity(pixels.len())];
    write_frame(&Request::Embed { pixels }, &mut buffer)
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
    let good = image_frame(&image);
    let mut device = device();
    let works = |device: &mut Device| {
        assert_eq!(device.embed(&image).unwrap().coordinates[..], expected);
    };
    works(&mut device);

    // One byte changed, anywhere: COBS or checksum notices. A zero ends the
    // frame early, and makes two of it.
    let mut random = Random::new(5);
    for _ in 0..20 {
        let mut damaged = good.clone();
        let at = random.below(damaged.len() as u64 - 1) as usize;
        damaged[at] = match damaged[at] ^ (1 + random.below(255) as u8) {
            0 => damaged[at] ^ 0xFF,
            other => other,
        };
        if damaged[at] == 0 {
            continue;
        }
        device.send_bytes(&damaged).unwrap();
        frame_fault(&mut device);
        works(&mut device);
    }
    // Cut off in the middle.
    device.send_bytes(&good[..good.len() / 2]).unwrap();
    device.send_bytes(&[0]).unwrap();
    frame_fault(&mut device);
    works(&mut device);
    // Noise without a zero, then a good frame: one fault for both, which are
    // longer than the buffer if the noise is long.
    for length in [5, 100] {
        let noise: Vec<u8> = (0..length).map(|_| 1 + random.below(255) as u8).collect();
        device.send_bytes(&noise).unwrap();
        device.send_bytes(&good).unwrap();
        fault(&mut device);
        works(&mut device);
    }
    // Empty frames are passed over.
    device.send_bytes(&[0; 10]).unwrap();
    works(&mut device);
    // Longer than the buffer.
    let mut long = vec![0xAA; 100_000];
    long.push(0);
    device.send_bytes(&long).unwrap();
    assert_eq!(fault(&mut device), Fault::TooLong);
    works(&mut device);
    // An unknown request with a right checksum.
    let mut buffer = [0; 64];
    let unknown = write_frame(&77u8, &mut buffer).unwrap();
    device.send_bytes(unknown).unwrap();
    assert_eq!(fault(&mut device), Fault::Frame(FrameError::Message));
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
    let folder = tempfile::tempdir().unwrap();
    for board in Board::ALL {
        let whole = if board == Board::Mps2An386 {
            ELF.clone()
        } else {
            build(board)
        };
        let mut elf = fs::read(&whole).unwrap();
        let range = model_range(&whole).unwrap();
        elf[range.start + range.len() / 2] ^= 0x10;
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
}

#[test]
fn no_answer_is_a_timeout() {
    let mut device = device();
    device.set_timeout(Duration::from_millis(300));
    // Half a frame: the device waits for the rest.
    device.send_bytes(&[1, 2, 3]).unwrap();
    let started = Instant::now();
    assert!(matches!(device.receive_frame(), Err(Error::Timeout(_))));
    assert!(started.elapsed() < Duration::from_secs(10));
}
