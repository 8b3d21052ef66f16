//! The example for embassy, `examples/embassy-pico`, on the emulated Pico's USB. With
//! `SIAMESE_FULL` alone: embassy takes minutes to compile.

use std::path::{Path, PathBuf};
use std::process::Command;

use siamese_core::gallery::Gallery;
use siamese_core::{Embedder, Embedding, Model};
use siamese_device::firmware::Board;
use siamese_device::{Device, Emulator, Reference};
use siamese_link::{FrameError, Notice, Request, Tag, frame_capacity, read_frame, write_frame};

use crate::common::random_images;
use crate::usb::answers_of_all_lengths_arrive;

/// Builds the example; its ELF file.
fn build() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/embassy-pico");
    let mut cargo = Command::new("cargo");
    // What cargo tells a test would change what another cargo builds.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name == "RUSTFLAGS" || name.starts_with("CARGO_") && name != "CARGO_HOME" {
            cargo.env_remove(&*name);
        }
    }
    let target = folder.join("target");
    let built = cargo
        .current_dir(&folder)
        .args(["build", "--release", "--locked", "--target-dir"])
        .arg(&target)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{said}");
    target.join("thumbv6m-none-eabi/release/embassy-pico")
}

/// The host's integers, a gallery that survives a reset and a power cycle, and a half frame that
/// is given up by the timer.
#[test]
fn an_embassy_firmware_embeds_learns_and_remembers() {
    if std::env::var_os("SIAMESE_FULL").is_none() {
        return;
    }
    let elf = build();
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/small.siam");
    let bytes = siamese_build::OwnedModel::read(&model).unwrap();
    let model = Model::parse(bytes.bytes()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let boot = || Device::new(Emulator::start_in(folder.path(), &elf, Board::Pico).unwrap());
    let mut device = boot().unwrap();
    assert!(device.info().unwrap().can_save);
    answers_of_all_lengths_arrive(&mut device);

    let images = random_images(300, 784, 19);
    let mut reference = Reference::new(model);
    let answers = device.embed_all(&images, |_, _| {}).unwrap();
    for (image, answer) in images.iter().zip(&answers) {
        let (coordinates, hidden_crc) = reference.embed(image).unwrap();
        assert_eq!(answer.coordinates[..], *coordinates);
        assert_eq!(answer.hidden_crc, hidden_crc);
    }

    let mut embedder = Embedder::<2, 1024, 1024>::new(model).unwrap();
    let points: Vec<Embedding<2>> = images.iter().map(|i| embedder.embed(i).unwrap()).collect();
    let mut here = Gallery::<2, 32>::new(&model).unwrap();
    for (index, (image, point)) in images.iter().zip(&points).take(30).enumerate() {
        let label = (index % 6) as u16;
        let examples = device.enrol(label, false, image).unwrap();
        assert_eq!(here.enrol(label, point), Ok(examples));
    }
    device.save().unwrap();
    let check = |device: &mut Device| {
        let found = device.identify_all(&images, |_, _| ()).unwrap();
        for (point, found) in points.iter().zip(&found) {
            assert_eq!(found.answer, here.identify(point));
        }
    };
    check(&mut device);
    device.forget(3).unwrap();
    device.reset().unwrap();
    check(&mut device);
    drop(device);
    let mut device = boot().unwrap();
    check(&mut device);

    let mut buffer = [0; frame_capacity(784)];
    let request = Request::Embed { pixels: &images[0] };
    let frame = write_frame(Tag { session: 1, id: 1 }, &request, &mut buffer).unwrap();
    device.send_bytes(&frame[..frame.len() / 2]).unwrap();
    let frame = device.receive_frame().unwrap();
    let silence = Notice::Refused(FrameError::Silence);
    let mut decoded = [0; 64];
    assert_eq!(read_frame(&frame, &mut decoded), Ok((Tag::NONE, silence)));
    check(&mut device);
}
