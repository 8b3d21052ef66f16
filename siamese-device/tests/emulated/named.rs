//! Names and whole galleries on emulated boards: kept through a reset and a power cycle,
//! and carried from one board to another.

use std::path::{Path, PathBuf};

use siamese_core::embedder::Embedder;
use siamese_core::gallery::Gallery;
use siamese_core::gallery::names::{NameError, Names, split};
use siamese_core::{Embedding, Model};
use siamese_device::firmware::{Board, Build, DESK_FEATURES, Footprint, model_of_elf};
use siamese_device::{Device, Emulator, Error, Fault};

use crate::common::{build, random_images, random_model, start};

/// A firmware with names and galleries, and without either.
fn firmware(board: Board) -> PathBuf {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("random.siam");
    std::fs::write(&path, random_model(1)).unwrap();
    let elf = Build::new(&path, board).features(DESK_FEATURES).run();
    elf.unwrap_or_else(|error| panic!("{error}"))
}

/// A device whose flash stays in a folder.
fn boot(folder: &Path, elf: &Path, board: Board) -> Device {
    Device::new(Emulator::start_in(folder, elf, board).unwrap()).unwrap()
}

fn words(names: &[(u16, &str)]) -> Vec<(u16, String)> {
    let words = names.iter().map(|&(label, name)| (label, name.to_owned()));
    words.collect()
}

/// Shows one board some labels, and carries what it has learnt to another one.
fn carries(from: Board, to: Board) {
    let elf = firmware(from);
    let bytes = model_of_elf(&elf).unwrap();
    let model = Model::parse(&bytes).unwrap();
    let mut embedder = Embedder::<2, 1024, 1024>::new(model).unwrap();
    let mut here = Gallery::<2, 32>::new(&model).unwrap();
    let images = random_images(40, model.header().input.pixels(), 17);

    let folder = tempfile::tempdir().unwrap();
    let mut device = boot(folder.path(), &elf, from);
    assert_eq!(device.names().unwrap(), []);
    let empty = device.pull_gallery().unwrap();
    assert_eq!(Gallery::from_bytes(&model, &empty).as_ref(), Ok(&here));
    for (index, image) in images.iter().take(24).enumerate() {
        let (label, exemplar) = ((index % 5) as u16 * 9, index % 5 == 4);
        let point: Embedding<2> = embedder.embed(image).unwrap();
        device.enrol(label, exemplar, image).unwrap();
        if exemplar {
            here.enrol_exemplar(label, &point).unwrap();
        } else {
            here.enrol(label, &point).unwrap();
        }
    }
    let named = [
        (0, "Käse"),
        (9, "front door"),
        (18, "fifteen letters"),
        (27, "x"),
    ];
    for (label, name) in named.iter().rev() {
        device.set_name(*label, name).unwrap();
    }
    let too_long = device.set_name(36, "sixteen letters!").unwrap_err();
    let expected = Fault::Name(NameError::TooLong { most: 15 });
    assert!(matches!(too_long, Error::Fault(fault) if fault == expected));
    assert_eq!(device.names().unwrap(), words(&named));
    device.save().unwrap();

    // The file is what the host makes of the same images.
    let file = device.pull_gallery().unwrap();
    let (gallery, table) = split(&file).unwrap();
    assert_eq!(Gallery::from_bytes(&model, gallery).as_ref(), Ok(&here));
    let mut names = Names::<32, 15>::new();
    for (label, name) in named {
        names.set(label, name).unwrap();
    }
    assert_eq!(Names::from_bytes(table), Ok(names));
    let answers = device.identify_all(&images, |_, _| ()).unwrap();
    let answers: Vec<_> = answers.iter().map(|found| found.answer).collect();

    // What isn't saved is lost with a reset, and nothing else.
    device.set_name(36, "lost").unwrap();
    device.set_name(0, "").unwrap();
    device.forget(9).unwrap();
    assert_ne!(device.pull_gallery().unwrap(), file);
    device.reset().unwrap();
    assert_eq!(device.pull_gallery().unwrap(), file);
    device.set_name(27, "y").unwrap();
    device.save().unwrap();
    drop(device);
    let mut device = boot(folder.path(), &elf, from);
    assert_eq!(device.names().unwrap()[3], (27, "y".to_owned()));
    device.set_name(27, "x").unwrap();
    assert_eq!(device.pull_gallery().unwrap(), file);

    // Another board of the same model, with something of its own.
    let elf = firmware(to);
    let folder = tempfile::tempdir().unwrap();
    let mut other = boot(folder.path(), &elf, to);
    other.enrol(1000, false, &images[30]).unwrap();
    other.set_name(1000, "x").unwrap();
    other.push_gallery(&file).unwrap();
    assert_eq!(other.pull_gallery().unwrap(), file);
    let found = other.identify_all(&images, |_, _| ()).unwrap();
    let found: Vec<_> = found.iter().map(|found| found.answer).collect();
    assert_eq!(found, answers);
    other.save().unwrap();
    drop(other);
    let mut other = boot(folder.path(), &elf, to);
    assert_eq!(other.pull_gallery().unwrap(), file);

    // Both learn, and the first takes in what the second has.
    other.enrol(45, false, &images[31]).unwrap();
    other.set_name(45, "new").unwrap();
    device.enrol(45, false, &images[32]).unwrap();
    let merged = device
        .merge_gallery(&other.pull_gallery().unwrap())
        .unwrap();
    assert_eq!(
        merged,
        [(0, 0), (9, 9), (18, 18), (27, 27), (36, 36), (45, 1)]
    );
    let names = device.names().unwrap();
    assert_eq!(names[1], (1, "new".to_owned()));
    for (entry, before) in device.entries().unwrap().iter().zip(here.entries()) {
        let expected = if entry.label == 36 { 1 } else { 2 };
        assert_eq!(entry.examples, expected * before.examples());
    }

    for device in [&mut device, &mut other] {
        let memory = device.memory().unwrap();
        println!("{}: {memory:?}", device.info().unwrap().board);
        assert!(memory.stack_peak > 0 && memory.stack_peak < memory.stack_size);
    }
}

#[test]
fn a_cortex_m4_teaches_a_cortex_m0() {
    carries(Board::Mps2An386, Board::Microbit);
}

#[test]
fn a_cortex_m0_teaches_a_risc_v() {
    carries(Board::Microbit, Board::Virt);
}

#[test]
fn a_firmware_without_them_says_so_and_is_smaller() {
    let plain = build(Board::Mps2An386);
    let mut device = start(&plain, Board::Mps2An386);
    let unsupported = |error: Error| assert!(matches!(error, Error::Fault(Fault::Unsupported)));
    unsupported(device.names().unwrap_err());
    unsupported(device.set_name(1, "one").unwrap_err());
    unsupported(device.pull_gallery().unwrap_err());
    let code = |elf: &Path| Footprint::of_elf(elf).unwrap().code_bytes;
    let (without, with) = (code(&plain), code(&firmware(Board::Mps2An386)));
    println!("code: {without} bytes, {with} with galleries and names");
    assert!((1_000..16_384).contains(&(with - without)));
}
