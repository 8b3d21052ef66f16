//! The firmware on emulated boards gives the host's integers.

use siamese_core::checksum::checksum;
use siamese_device::firmware::{Board, Footprint, build};
use siamese_device::{Device, Emulator};
use siamese_tests::{golden_vectors, layers, model_path, test_images};
use siamese_train::embed::ModelFile;

/// Images of the default run; with `SIAMESE_FULL` set, all.
const IMAGES: usize = 1_000;
/// The memory that all of the firmware may take for `small`.
const RAM: u64 = 12 * 1024;

#[test]
fn a_cortex_m4_gives_the_hosts_integers_in_twelve_kibibytes() {
    compare(Board::Mps2An386, IMAGES);
}

#[test]
fn a_cortex_m3_gives_the_hosts_integers_too() {
    compare(Board::Mps2An385, IMAGES / 5);
}

#[test]
fn a_cortex_m7_gives_the_hosts_integers_too() {
    compare(Board::Mps2An500, IMAGES / 5);
}

#[test]
fn a_cortex_m0_gives_the_hosts_integers_too() {
    compare(Board::Microbit, IMAGES / 5);
}

/// The firmware of the Raspberry Pi Pico, from the second stage of its boot on.
#[test]
fn a_pico_gives_the_hosts_integers_too() {
    compare(Board::Pico, IMAGES);
}

#[test]
fn a_cortex_m33_gives_the_hosts_integers_too() {
    compare(Board::Mps2An505, IMAGES / 5);
}

#[test]
fn a_cortex_m55_gives_the_hosts_integers_too() {
    compare(Board::Mps3An547, IMAGES / 5);
}

#[test]
fn a_risc_v_gives_the_hosts_integers_too() {
    compare(Board::Virt, IMAGES / 5);
}

/// Embeds at least `count` test images on the board and here.
fn compare(board: Board, count: usize) {
    let file = ModelFile::read(&model_path("small.siam")).unwrap();
    let model = file.model();
    let elf = build(file.path(), board).unwrap();
    let mut device = Device::new(Emulator::start(&elf, board).unwrap()).unwrap();

    let info = device.info().unwrap();
    assert_eq!(info.model, model.header().name);
    assert_eq!(info.training_digest, model.header().training_digest);
    assert_eq!((info.pixels, usize::from(info.dim)), (784, model.dim()));

    let images = test_images().images;
    let step = if std::env::var_os("SIAMESE_FULL").is_some() {
        1
    } else {
        images.len() / count
    };
    let spread = images.iter().step_by(step).map(<[u8]>::to_vec);
    let golden = golden_vectors(&file).into_iter().map(|(pixels, _)| pixels);
    let sent: Vec<Vec<u8>> = spread.chain(golden).collect();
    assert!(sent.len() > count);
    let answers = device.embed_all(&sent, |_, _| ()).unwrap();
    assert_eq!(answers.len(), sent.len());
    for (index, (pixels, answer)) in sent.iter().zip(&answers).enumerate() {
        let expected = layers(&model, pixels);
        assert_eq!(answer.coordinates[..], expected.embedding, "image {index}");
        let hidden = [&expected.hidden1, &expected.hidden2].map(|layer| checksum(layer));
        assert_eq!(answer.hidden_crc, hidden, "image {index}");
        assert!(answer.ticks > 0);
    }

    let ticks = answers.iter().map(|answer| f64::from(answer.ticks));
    let ticks = ticks.sum::<f64>() / answers.len() as f64;
    let hz = info.tick_hz;
    println!(
        "{}: {ticks:.0} ticks an image, at {hz} a second",
        board.name()
    );
    let footprint = Footprint::of_elf(&elf).unwrap();
    let memory = device.memory().unwrap();
    let ram = footprint.ram_static + u64::from(memory.stack_peak);
    println!("{footprint:?}, {} bytes of stack", memory.stack_peak);
    assert!(memory.stack_peak > 100, "the stack is not measured");
    assert!(ram <= RAM, "the firmware takes {ram} bytes of RAM");
    assert!(footprint.model_bytes >= file.bytes().len() as u64);
}
