//! A device's gallery against one on the host: the same answers, before and
//! after a reset and a power cycle.

use std::path::{Path, PathBuf};

use siamese_core::embedder::Embedder;
use siamese_core::gallery::{Gallery, GalleryError};
use siamese_core::{Embedding, Model};
use siamese_device::firmware::{Board, model_of_elf};
use siamese_device::{Device, Emulator, Error, Fault, Listed, mean_instructions};

use crate::common::{ELF, build, build_with, extreme_model, random_images, random_model, start};

/// The host's gallery, with the device's capacity or more.
type Here<const D: usize> = Gallery<D, 32>;

/// A device whose flash stays in a folder.
fn boot(folder: &Path, elf: &Path, board: Board) -> Device {
    Device::new(Emulator::start_in(folder, elf, board).unwrap()).unwrap()
}

fn session(board: Board) {
    session_of(board, |model| build_with(model, board));
}

/// The same, of a board with what is built with a model.
pub fn session_of(board: Board, build: impl Fn(&[u8]) -> PathBuf) {
    let elf = build(&random_model(1));
    let bytes = model_of_elf(&elf).unwrap();
    let model = Model::parse(&bytes).unwrap();
    let mut embedder = Embedder::<2, 1024, 1024>::new(model).unwrap();
    let mut here = Here::<2>::new(&model).unwrap();
    let images = random_images(60, model.header().input.pixels(), 7);
    let points: Vec<Embedding<2>> = images.iter().map(|i| embedder.embed(i).unwrap()).collect();

    let folder = tempfile::tempdir().unwrap();
    let mut device = boot(folder.path(), &elf, board);
    let info = device.info().unwrap();
    assert_eq!((info.refused, info.gallery_capacity), (None, 32));
    assert_eq!(device.identify(&images[0]).unwrap().answer, None);

    // Six labels of five examples, one of them as exemplars.
    for (index, (image, point)) in images.iter().zip(&points).take(30).enumerate() {
        let (label, exemplar) = ((index % 6) as u16, index % 6 == 5);
        let examples = device.enrol(label, exemplar, image).unwrap();
        if exemplar {
            here.enrol_exemplar(label, point).unwrap();
            assert_eq!(examples, 1);
        } else {
            assert_eq!(here.enrol(label, point), Ok(examples));
        }
    }
    let check = |device: &mut Device, here: &Here<2>| {
        let found = device.identify_all(&images, |_, _| ()).unwrap();
        for (point, found) in points.iter().zip(&found) {
            assert_eq!(found.answer, here.identify(point));
            assert!(found.ticks > 0 || board != Board::Virt);
        }
        for label in 0..6 {
            let expected = here.verify(label, &points[40]).map_err(Fault::Gallery);
            match device.verify(label, &images[40]) {
                Ok(verified) => assert_eq!(Ok(verified), expected),
                Err(Error::Fault(fault)) => assert_eq!(Err(fault), expected),
                Err(error) => panic!("{error}"),
            }
        }
        let listed: Vec<Listed> = here
            .entries()
            .iter()
            .map(|entry| Listed {
                label: entry.label(),
                examples: entry.examples(),
            })
            .collect();
        assert_eq!(device.entries().unwrap(), listed);
    };
    check(&mut device, &here);
    assert!(device.info().unwrap().can_save);
    device.save().unwrap();

    // What isn't saved is lost with a reset, and nothing else.
    assert_eq!(device.forget(3).unwrap(), 1);
    assert_eq!(device.forget(3).unwrap(), 0);
    device.reset().unwrap();
    check(&mut device, &here);

    device.forget(5).unwrap();
    here.forget(5);
    device.save().unwrap();
    // The power goes.
    drop(device);
    let mut device = boot(folder.path(), &elf, board);
    check(&mut device, &here);

    // A firmware with another model refuses it, in words.
    drop(device);
    let other = build(&extreme_model());
    let mut device = boot(folder.path(), &other, board);
    let refused = device.info().unwrap().refused.unwrap();
    let words = refused.to_string();
    assert!(
        words.contains("another model") || words.contains("coordinates"),
        "{words}"
    );
    assert_eq!(device.entries().unwrap(), []);
}

/// QEMU's Netduino Plus 2 has no controller of the flash: the firmware notices, and learns
/// until the power goes.
#[test]
fn a_board_without_its_flash_learns_and_says_that_it_forgets() {
    let board = Board::Netduinoplus2;
    let mut device = start(&build(board), board);
    assert!(!device.info().unwrap().can_save);
    let image = &random_images(1, 784, 4)[0];
    device.enrol(7, false, image).unwrap();
    let found = device.identify(image).unwrap().answer.unwrap();
    assert_eq!(found.nearest.label, 7);
    let error = device.save().unwrap_err();
    assert!(matches!(error, Error::Fault(Fault::NoStorage)), "{error}");
}

#[test]
fn a_cortex_m4_learns_and_remembers() {
    session(Board::Mps2An386);
}

#[test]
fn a_cortex_m0_learns_and_remembers() {
    session(Board::Microbit);
}

#[test]
fn a_cortex_m55_learns_and_remembers() {
    session(Board::Mps3An547);
}

/// Its gallery is in the chip's own flash, which the program leaves alone meanwhile.
#[test]
fn a_pico_learns_and_remembers() {
    session(Board::Pico);
}

#[test]
fn a_risc_v_learns_and_remembers() {
    session(Board::Virt);
}

#[test]
fn identifying_among_32_prototypes_of_16_coordinates_is_cheap() {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/small-d16.siam");
    let elf = siamese_device::firmware::build(&model, Board::Mps2An386).unwrap();
    let mut device = start(&elf, Board::Mps2An386);
    let info = device.info().unwrap();
    let images = random_images(132, info.pixels as usize, 11);
    for (label, image) in images.iter().take(32).enumerate() {
        device.enrol(label as u16, false, image).unwrap();
    }
    let found = device.identify_all(&images, |_, _| ()).unwrap();
    let instructions = mean_instructions(found.iter().map(|found| found.ticks), info.tick_hz);
    println!("{instructions:.0} instructions to identify");
    // Counted, not timed: the same on every machine.
    assert!((1_000.0..4_000.0).contains(&instructions), "{instructions}");
}

#[test]
fn a_full_gallery_and_an_unknown_label_are_faults() {
    let mut device = start(&ELF, Board::default());
    let images = random_images(1, device.info().unwrap().pixels as usize, 3);
    for label in 0..32 {
        device.enrol(label, true, &images[0]).unwrap();
    }
    let full = device.enrol(40, false, &images[0]).unwrap_err();
    let capacity = 32;
    assert!(
        matches!(full, Error::Fault(Fault::Gallery(GalleryError::Full { capacity: c })) if c == capacity),
        "{full}"
    );
    let unknown = device.verify(99, &images[0]).unwrap_err().to_string();
    assert!(unknown.contains("label 99"), "{unknown}");
    // The link is fine.
    assert_eq!(device.entries().unwrap().len(), 32);
}
