//! Pictures of any size on emulated boards, against this machine: `preprocess` and the
//! embedding, bit for bit.

use siamese_core::Model;
use siamese_core::preprocess::{Grey, Ink, PictureError, fit};
use siamese_device::firmware::{Board, Build, model_of_elf};
use siamese_device::{Device, Error, Reference};
use siamese_link::Fault;

use crate::common::{Random, build, random_model, start};

/// Pictures of each board whose embeddings are compared; blank ones come besides.
/// An emulated UART is slow: all of the bar's 1,000 are for those who have the time.
fn pictures() -> usize {
    if std::env::var_os("SIAMESE_FULL").is_some() {
        1000
    } else {
        300
    }
}

/// A board with room for pictures, and the model that it runs.
fn board_with_room(board: Board) -> (Device, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("random.siam");
    std::fs::write(&path, random_model(1)).unwrap();
    let elf = Build::new(&path, board).feature("pictures").run();
    let elf = elf.unwrap_or_else(|error| panic!("{error}"));
    (start(&elf, board), model_of_elf(&elf).unwrap())
}

/// A picture of 40 to 100 pixels a side, and at most `room` in all: some strokes on a ground
/// with some noise, dark or bright.
fn picture(random: &mut Random, room: usize) -> (u16, u16, Vec<u8>) {
    let mut between = |low: u64, high: u64| low + random.below(high - low + 1);
    let (width, mut height) = (between(40, 100) as usize, between(40, 100) as usize);
    height = height.min(room / width);
    let (ground, noise) = (between(0, 255) as u8, between(1, 24) as u8);
    let strokes: Vec<[usize; 5]> = (0..between(1, 5))
        .map(|_| {
            let (left, top) = (between(0, 80) as usize, between(0, 80) as usize);
            let (wide, high) = (between(2, 40) as usize, between(2, 40) as usize);
            [left, top, left + wide, top + high, between(0, 255) as usize]
        })
        .collect();
    let mut pixels = Vec::with_capacity(width * height);
    for y in 0..height {
        for x in 0..width {
            let inside = |s: &&[usize; 5]| x >= s[0] && x < s[2] && y >= s[1] && y < s[3];
            let level = strokes.iter().find(inside).map_or(ground, |s| s[4] as u8);
            pixels.push(level.saturating_add(between(0, noise.into()) as u8));
        }
    }
    (width as u16, height as u16, pixels)
}

/// Sends pictures to a board and compares every answer.
fn agrees(board: Board, room: usize) {
    let (mut device, model) = board_with_room(board);
    let model = Model::parse(&model).unwrap();
    let mut reference = Reference::new(model);
    let mut random = Random::new(3);
    let (mut embedded, mut blank) = (0, 0);
    while embedded < pictures() {
        let number = embedded + blank;
        let (width, height, pixels) = picture(&mut random, room);
        let ink = [Ink::Auto, Ink::Auto, Ink::Bright, Ink::Dark][number % 4];
        let found = device.embed_picture(width, height, &pixels, ink);
        let mut frame = [0; 784];
        let mut rows = Grey::new(width, height, &pixels).unwrap();
        match (fit(&mut rows, ink, 28, 28, &mut frame), found) {
            (Ok(_), Ok(found)) => {
                let (coordinates, hidden_crc) = reference.embed(&frame).unwrap();
                assert_eq!(found.coordinates, coordinates, "{number}");
                assert_eq!(found.hidden_crc, hidden_crc, "{number}");
                embedded += 1;
            }
            (Err(error), Err(Error::Fault(fault))) => {
                assert_eq!(fault, Fault::Picture(error), "{number}");
                blank += 1;
            }
            (expected, found) => panic!("{number}: {expected:?} here, {found:?} there"),
        }
    }
    assert!(blank > 0, "no picture is blank");
    let memory = device.memory().unwrap();
    println!("{board}: {embedded} embedded, {blank} blank, {memory:?}");
    assert!(memory.stack_peak > 0 && memory.stack_peak < memory.stack_size);
    // Refused in words, and the device goes on.
    let large = device.embed_picture(1000, 1000, &[0; 10], Ink::Auto);
    let error = PictureError::TooLarge {
        pixels: 1_000_000,
        room: room as u32,
    };
    match large {
        Err(Error::Fault(fault)) => assert_eq!(fault, Fault::Picture(error)),
        other => panic!("{other:?}"),
    }
    // Pixels that are missing, and pixels too many.
    for count in [99, 101] {
        let wrong = device.embed_picture(10, 10, &vec![5; count], Ink::Auto);
        let expected = PictureError::Pixels {
            expected: 100,
            found: count as u32,
        };
        match wrong {
            Err(Error::Fault(fault)) => assert_eq!(fault, Fault::Picture(expected)),
            other => panic!("{other:?}"),
        }
    }
    assert!(device.info().is_ok());
}

#[test]
fn a_cortex_m0_sees_what_the_host_sees() {
    agrees(Board::Microbit, 8192);
}

#[test]
fn a_cortex_m4_sees_what_the_host_sees() {
    agrees(Board::Mps2An386, 128 * 128);
}

#[test]
fn a_firmware_without_pictures_says_so() {
    let mut device = start(&build(Board::Mps2An386), Board::Mps2An386);
    match device.embed_picture(40, 40, &[0; 1600], Ink::Auto) {
        Err(Error::Fault(Fault::Unsupported)) => {}
        other => panic!("{other:?}"),
    }
}
