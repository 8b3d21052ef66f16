//! The example with interrupts on an emulated board, against this machine, answer by answer:
//! with pictures that come slowly, and with some that come faster than they are looked at. The
//! emulator counts time in instructions, so what is missed is the same in every run.

use std::fs;
use std::path::Path;
use std::time::Duration;

use siamese_build::OwnedModel;
use siamese_core::preprocess::{Grey, Ink, fit};
use siamese_core::preset::SmallFewshot;
use siamese_core::{Embedding, Gallery, Model};
use siamese_device::Error;
use siamese_device::firmware::{Board, Build, Program, run_in};

use crate::sensor::{ASKED, LEARNED, MODEL, RIGHT, SIDE, pictures, read, root};

/// Before this digit, after all from which it learns, there comes a sheet without any.
const BLANK: [usize; 1] = [LEARNED + 3];

/// What is said of a picture that was missed.
fn missed(number: usize) -> String {
    format!("{number}: missed, both buffers were in use")
}

/// What is said of each picture if it was missed or not, and how many are named rightly.
struct Answers {
    model: Vec<u8>,
    pictures: Vec<Vec<u8>>,
    shown: Vec<Option<u8>>,
}

impl Answers {
    fn expected(&self, is_missed: impl Fn(usize) -> bool) -> (Vec<String>, usize) {
        let file = OwnedModel::new(&self.model).unwrap();
        let model: Model<'_> = file.model();
        let mut network = SmallFewshot::new(model).unwrap();
        let mut gallery = Gallery::<64, 10>::new(&model).unwrap();
        let mut right = 0;
        let lines = self.pictures.iter().enumerate().map(|(number, pixels)| {
            if is_missed(number) {
                return missed(number);
            }
            let Some(seen) = embed(pixels, &mut network) else {
                assert_eq!(self.shown[number], None);
                return format!("{number}: nothing to be seen");
            };
            if number < LEARNED {
                let label = number % 10;
                gallery.enrol(label as u16, &seen).unwrap();
                return format!("{number}: learned as {label}");
            }
            let found = gallery.identify(&seen).unwrap();
            let (nearest, steps) = (found.nearest.label, found.nearest.distance());
            right += usize::from(self.shown[number] == Some(nearest as u8));
            match found.label() {
                Some(label) => format!("{number}: {label}, at {steps}"),
                None => format!("{number}: unknown, and most like {nearest}, at {steps}"),
            }
        });
        (lines.collect(), right)
    }
}

fn embed(pixels: &[u8], network: &mut SmallFewshot<'_>) -> Option<Embedding<64>> {
    let mut rows = Grey::new(SIDE as u16, SIDE as u16, pixels).unwrap();
    let mut frame = [0; 784];
    fit(&mut rows, Ink::Dark, 28, 28, &mut frame).ok()?;
    Some(network.embed(&frame).unwrap())
}

/// What the example says of pictures whose lines come so fast, or as it likes.
fn said(elf: &Path, board: Board, pictures: &[u8], hz: Option<&str>) -> Result<String, Error> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("pictures.grey"), pictures).unwrap();
    if let Some(hz) = hz {
        fs::write(folder.path().join("lines.hz"), hz).unwrap();
    }
    run_in(folder.path(), elf, board, Duration::from_secs(120))
}

#[test]
fn pictures_that_come_meanwhile_are_named_as_here_and_missed_ones_are_told() {
    let (pictures, shown) = pictures(&BLANK);
    let all = pictures.concat();
    let model = read(MODEL);
    let answers = Answers {
        model,
        pictures,
        shown,
    };
    let (whole, right) = answers.expected(|_| false);
    assert!(right >= RIGHT, "{right} of {ASKED} are right");
    for board in [Board::Mps2An386, Board::Mps2An505] {
        let build = Build::new(&root().join(MODEL), board)
            .program(Program::Interrupt)
            .run();
        let elf = build.unwrap_or_else(|error| panic!("{error}"));
        let say = |hz| {
            let said = said(&elf, board, &all, hz);
            said.unwrap_or_else(|error| panic!("{board}, {hz:?}: {error}"))
        };
        // At the example's own speed, and where a picture takes little longer than the work.
        for hz in [None, Some("150000\n")] {
            let said = say(hz);
            assert_eq!(said.lines().collect::<Vec<_>>(), whole, "{board}, {hz:?}");
        }

        // The work takes longer than a picture, and less than two: while it is at work on one,
        // the next one comes and is kept, and the one after that is missed.
        let fast = say(Some("400000"));
        let lines: Vec<&str> = fast.lines().collect();
        let is_missed = |number: usize| {
            lines
                .get(number)
                .is_some_and(|line| *line == missed(number))
        };
        let (expected, _) = answers.expected(is_missed);
        assert_eq!(lines, expected, "{board}");
        let count = |pattern: [bool; 3]| {
            let numbers = 0..lines.len() - 2;
            let is = |number: &usize| [0, 1, 2].map(|more| is_missed(number + more)) == pattern;
            numbers.filter(is).count()
        };
        println!(
            "{board}: {} missed of {}",
            lines.iter().filter(|line| line.contains("missed")).count(),
            lines.len()
        );
        assert!(count([false, false, true]) >= 10, "{fast}");
        assert!(count([true, false, false]) >= 10, "{fast}");

        // A number that is none, and no camera.
        let error = said(&elf, board, &all, Some("fast"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("lines.hz"), "{error}");
        let empty = tempfile::tempdir().unwrap();
        let error = run_in(empty.path(), &elf, board, Duration::from_secs(120));
        let error = error.unwrap_err().to_string();
        assert!(error.contains("pictures.grey"), "{error}");
    }
}
