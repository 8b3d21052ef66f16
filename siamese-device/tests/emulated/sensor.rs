//! The examples to start a firmware from, on an emulated board, against this machine: pictures
//! of MNIST's digits as a camera sees them on paper, and a line of text about each.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use siamese_core::preprocess::{Grey, Ink, fit};
use siamese_core::preset::SmallFewshot;
use siamese_core::{Gallery, Model};
use siamese_device::firmware::{Board, Build, Program, run_in};

/// Pixels of a side of a picture.
pub const SIDE: usize = 96;
/// Digits that are shown to learn from: five of each.
pub const LEARNED: usize = 50;
/// Digits that are asked about.
pub const ASKED: usize = 30;
/// Of these, so many are to be named rightly at least, accepted or not.
pub const RIGHT: usize = 24;
/// The model.
pub const MODEL: &str = "model/small-fewshot.siam";
/// Before these digits there comes a sheet without any.
const BLANK: [usize; 2] = [7, LEARNED + 3];

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

pub fn read(path: &str) -> Vec<u8> {
    fs::read(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// MNIST's test images and what they show: first five rounds of 0 to 9, then any.
fn digits() -> Vec<(Vec<u8>, u8)> {
    let images = read("data/mnist/t10k-images-idx3-ubyte");
    let labels = read("data/mnist/t10k-labels-idx1-ubyte");
    let mut left: Vec<(&[u8], u8)> = images[16..]
        .chunks_exact(784)
        .zip(labels[8..].iter().copied())
        .take(1000)
        .collect();
    let learned = (0..LEARNED).map(|number| {
        let wanted = left
            .iter()
            .position(|&(_, label)| usize::from(label) == number % 10);
        left.remove(wanted.unwrap())
    });
    let mut all: Vec<_> = learned.collect();
    all.extend(left.into_iter().take(ASKED));
    let owned = all
        .into_iter()
        .map(|(image, label)| (image.to_vec(), label));
    owned.collect()
}

/// A digit on a sheet of grey paper, dark and not in the middle: `number` says where, how
/// large and how bright. Without a digit there is only the paper.
fn sheet(number: usize, digit: Option<&[u8]>) -> Vec<u8> {
    let side = 40 + number * 7 % 24;
    let free = SIDE - side - 2;
    let (left, top) = (1 + number * 13 % free, 1 + number * 29 % free);
    let paper = 150 + number * 11 % 80;
    let mut pixels = Vec::with_capacity(SIDE * SIDE);
    for y in 0..SIDE {
        for x in 0..SIDE {
            let inside = (left..left + side).contains(&x) && (top..top + side).contains(&y);
            let ink = match digit {
                Some(image) if inside => {
                    let (column, line) = ((x - left) * 28 / side, (y - top) * 28 / side);
                    usize::from(image[line * 28 + column])
                }
                _ => 0,
            };
            let grain = (x * 5 + y * 3) % 4;
            pixels.push((paper - ink * (paper - 30) / 255 + grain) as u8);
        }
    }
    pixels
}

/// The pictures, one after the other, and of each the digit that it shows: none before these.
pub fn pictures(blank: &[usize]) -> (Vec<Vec<u8>>, Vec<Option<u8>>) {
    let (mut pictures, mut shown) = (Vec::new(), Vec::new());
    for (number, (image, label)) in digits().into_iter().enumerate() {
        if blank.contains(&number) {
            pictures.push(sheet(number, None));
            shown.push(None);
        }
        pictures.push(sheet(number, Some(&image)));
        shown.push(Some(label));
    }
    (pictures, shown)
}

/// What the examples should say of these pictures, and how many digits are named rightly.
fn expected(model: &[u8], pictures: &[Vec<u8>], shown: &[Option<u8>]) -> (Vec<String>, usize) {
    let model = Model::parse(model).unwrap();
    let mut network = SmallFewshot::new(model).unwrap();
    let mut gallery = Gallery::<64, 10>::new(&model).unwrap();
    let (mut learned, mut lines, mut right) = (0, Vec::new(), 0);
    for (pixels, shown) in pictures.iter().zip(shown) {
        let mut rows = Grey::new(SIDE as u16, SIDE as u16, pixels).unwrap();
        let mut frame = [0; 784];
        let fitted = fit(&mut rows, Ink::Dark, 28, 28, &mut frame);
        assert_eq!(fitted.is_ok(), shown.is_some());
        if fitted.is_err() {
            lines.push("nothing to be seen".to_owned());
            continue;
        }
        let seen = network.embed(&frame).unwrap();
        if learned < LEARNED {
            gallery.enrol((learned % 10) as u16, &seen).unwrap();
            learned += 1;
            continue;
        }
        let found = gallery.identify(&seen).unwrap();
        let (nearest, steps) = (found.nearest.label, found.nearest.distance());
        right += usize::from(*shown == Some(nearest as u8));
        lines.push(match found.label() {
            Some(label) => format!("{label}, at {steps}"),
            None => format!("unknown, and most like {nearest}, at {steps}"),
        });
    }
    (lines, right)
}

/// Runs an example on a board, and compares all that it says.
fn agrees(program: Program, board: Board) {
    let (pictures, shown) = pictures(&BLANK);
    let (lines, right) = expected(
        siamese_build::OwnedModel::new(&read(MODEL))
            .unwrap()
            .bytes(),
        &pictures,
        &shown,
    );
    assert!(right >= RIGHT, "{right} of {ASKED} are right");
    let elf = Build::new(&root().join(MODEL), board)
        .program(program)
        .run();
    let elf = elf.unwrap_or_else(|error| panic!("{error}"));
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("pictures.grey"), pictures.concat()).unwrap();
    let said = run_in(folder.path(), &elf, board, Duration::from_secs(120));
    let said = said.unwrap_or_else(|error| panic!("{board}: {error}"));
    println!("{board}: {right} of {ASKED} right\n{said}");
    assert_eq!(said.lines().collect::<Vec<_>>(), lines, "{board}");
    // Without a camera it says so.
    let empty = tempfile::tempdir().unwrap();
    let error = run_in(empty.path(), &elf, board, Duration::from_secs(120));
    let error = error.unwrap_err().to_string();
    assert!(error.contains("pictures.grey"), "{error}");
}

#[test]
fn a_camera_s_pictures_are_named_as_here() {
    agrees(Program::Sensor, Board::Mps2An386);
}
