//! An emulated board that is watched: what it identifies as before is called steady, and what the
//! camera shows in another place is called drift.

use std::path::Path;

use siamese_device::firmware::{Board, Build};
use siamese_device::{Device, Emulator};
use siamese_train::dataset::{Dataset, Source, Split};
use siamese_train::drift::{Seen, Watch};

/// Images of a window here: the emulator is slow.
const WINDOW: usize = 150;

/// An image whose picture is so many columns to the right: digits have a margin.
fn shifted(image: &[u8], columns: usize) -> Vec<u8> {
    let rows = image.chunks(28).flat_map(|row| {
        let (kept, _) = row.split_at(28 - columns);
        vec![0; columns].into_iter().chain(kept.iter().copied())
    });
    rows.collect()
}

#[test]
fn shifted_images_are_drift_and_others_are_not() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let Ok(test) = Dataset::load(&root.join("data"), Source::Mnist, Split::Test) else {
        panic!("this test wants MNIST: `cargo xtask test` fetches it");
    };
    let board = Board::Mps2An386;
    let model = root.join("model/small-d16.siam");
    let elf = Build::new(&model, board)
        .feature("statistics")
        .run()
        .unwrap();
    let mut device = Device::new(Emulator::start(&elf, board).unwrap()).unwrap();
    for digit in 0..10 {
        let of_digit = (0..test.labels.len()).filter(|&image| test.labels[image] == digit);
        for image in of_digit.take(8) {
            let pixels = test.images.get(image);
            device.enrol(digit, false, pixels).unwrap();
        }
    }
    // A restart is counted, and takes the other counts and what wasn't saved.
    device.save().unwrap();
    device.reset().unwrap();
    let mut watch = Watch::new(WINDOW as u64, None);
    let mut next = 1000;
    let mut look = |columns: usize| {
        let images = (next..next + WINDOW).map(|image| shifted(test.images.get(image), columns));
        next += WINDOW;
        device.identify_all(images, |_, _| ()).unwrap();
        let statistics = device.statistics().unwrap();
        assert!(statistics.stack_peak > 0 && statistics.slowest > 0);
        assert_eq!(statistics.restarts, 1);
        watch.look(&statistics)
    };
    assert!(matches!(look(0), Seen::Baseline(_)));
    for _ in 0..3 {
        let Seen::Window(_, drift) = look(0) else {
            panic!("the window is full");
        };
        assert!(!drift.is_farther() && !drift.is_stranger(), "{drift:?}");
    }
    let Seen::Window(counts, drift) = look(2) else {
        panic!("the window is full");
    };
    println!("{counts:?} {drift:?}");
    assert!(drift.is_farther(), "{drift:?}");
}
