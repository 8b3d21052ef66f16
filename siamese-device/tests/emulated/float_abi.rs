//! Both float ABIs give the host's integers: a firmware for `eabihf` runs with
//! the floating-point unit on, and its compiler uses registers that one for
//! soft floats never touches.

use siamese_core::Model;
use siamese_device::firmware::{Abi, Board, Build, model_of_elf};
use siamese_device::{Device, Emulator, Reference};

use crate::common::{extreme_model, random_images, random_model};

/// The first board of each core that has such a target.
fn boards() -> impl Iterator<Item = Board> {
    Board::one_a_core().filter(|board| board.target(Abi::Hard).is_some())
}

#[test]
fn hard_float_builds_agree_with_the_host_on_every_integer() {
    let cores: Vec<&str> = boards().map(|board| board.core().short_name()).collect();
    assert_eq!(cores, ["M4", "M7", "M33", "M55"]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.siam");
    for board in boards() {
        for model in [random_model(1), extreme_model()] {
            std::fs::write(&path, &model).unwrap();
            let build = Build::new(&path, board).abi(Abi::Hard);
            let elf = build.run().unwrap_or_else(|error| panic!("{error}"));
            let bytes = model_of_elf(&elf).unwrap();
            let model = Model::parse(&bytes).unwrap();
            let images = random_images(60, model.header().input.pixels(), 2);
            let emulator = Emulator::start(&elf, board).unwrap();
            let mut device = Device::new(emulator).unwrap();
            let answers = device
                .embed_all(&images, |_, _| ())
                .unwrap_or_else(|error| panic!("{board}: {error}"));
            assert_eq!(answers.len(), images.len());
            let differing = Reference::new(model).differing(&images, &answers).unwrap();
            assert!(differing.is_empty(), "{board}: images {differing:?} differ");
        }
    }
}

/// The code is for registers of the floating-point unit: otherwise the test
/// above compares the same build twice.
#[test]
fn hard_float_builds_are_other_builds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.siam");
    std::fs::write(&path, random_model(1)).unwrap();
    for abi in Abi::ALL {
        let build = Build::new(&path, Board::default()).abi(abi);
        let elf = build.run().unwrap_or_else(|error| panic!("{error}"));
        let bytes = std::fs::read(elf).unwrap();
        let file = object::File::parse(&*bytes).unwrap();
        let object::FileFlags::Elf { e_flags, .. } = object::Object::flags(&file) else {
            panic!("no ELF file");
        };
        let hard = e_flags & object::elf::EF_ARM_ABI_FLOAT_HARD != 0;
        assert_eq!(hard, abi == Abi::Hard, "{e_flags:#x}");
    }
    let build = Build::new(&path, Board::Microbit).abi(Abi::Hard);
    let error = build.run().unwrap_err();
    assert!(error.to_string().contains("cortex-m0"), "{error}");
}
