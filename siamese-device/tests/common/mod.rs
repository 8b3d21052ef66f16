//! A firmware to test: a random model, built in, and the same model here.

#![allow(dead_code, reason = "not every test needs all of it")]

use std::env;
use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use siamese_core::image::{Input, Pooling};
use siamese_core::model::{Header, LAYERS, LayerParts, Precision, Scales, encode, encoded_len};
use siamese_core::requantise::Requantise;
use siamese_device::{Device, Emulator, firmware};

/// The firmware of `SIAMESE_FIRMWARE`, or one that is built here with a random model.
pub static ELF: LazyLock<PathBuf> = LazyLock::new(|| match env::var_os("SIAMESE_FIRMWARE") {
    Some(path) => path.into(),
    None => build(firmware::Board::default()),
});

/// A firmware with the random model.
pub fn build(board: firmware::Board) -> PathBuf {
    build_with(&random_model(1), board)
}

/// A firmware with a model.
pub fn build_with(model: &[u8], board: firmware::Board) -> PathBuf {
    build_featured(model, board, &[])
}

/// A firmware with a model and features.
pub fn build_featured(model: &[u8], board: firmware::Board, features: &[&str]) -> PathBuf {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("random.siam");
    fs::write(&path, model).unwrap();
    let build = firmware::Build::new(&path, board);
    let build = features
        .iter()
        .fold(build, |build, feature| build.feature(feature));
    build.run().unwrap_or_else(|error| panic!("{error}"))
}

/// The board of `ELF` on QEMU.
pub fn start(elf: &std::path::Path, board: firmware::Board) -> Device {
    let emulator = Emulator::start(elf, board).unwrap_or_else(|error| panic!("{error}"));
    Device::new(emulator).unwrap()
}

/// A model of the sizes of `small` with random numbers, scaled so that
/// activations and coordinates use their range and are clamped now and then.
pub fn random_model(seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    model(Input::MNIST, [128, 64, 2], [41, 41, 36], |_, _| {
        (random.below(255) as i32 - 127) as i8
    })
}

/// A model of odd sizes all of whose weights are 127 or -127: no layout has room
/// to spare, and no group of rows or columns is whole.
pub fn extreme_model() -> Vec<u8> {
    let input = Input {
        pooling: Pooling::Checkerboard,
        ..Input::MNIST
    };
    model(input, [61, 35, 3], [44, 42, 40], |row, column| {
        if (row * 7 + column) % 3 == 0 {
            -127
        } else {
            127
        }
    })
}

/// A model of small images, for tests of the link.
pub fn small_image_model() -> Vec<u8> {
    small_image_model_of(21)
}

/// One of several such models.
pub fn small_image_model_of(seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let input = Input {
        width: 8,
        height: 8,
        ..Input::MNIST
    };
    model(input, [16, 8, 2], [39, 38, 33], |_, _| {
        (random.below(255) as i32 - 127) as i8
    })
}

/// A model of odd sizes with weights of 3 and 2 bits and four grey levels: what is added, of
/// levels and of bits, and what is multiplied; whole words of rows and a part of one; outputs
/// of 4 bits and of 7.
pub fn lanes_model() -> Vec<u8> {
    let input = Input {
        pooling: Pooling::Checkerboard,
        ..Input::MNIST
    };
    let precision = Precision {
        input: 2,
        hidden: [4, 7],
        weights: [3, 3, 2],
        shifts: [6, 4, 0],
    };
    let mut random = Random::new(3);
    let mut levels = |bits: u8| 2 * random.below(1 << bits) as i32 - (1 << bits) + 1;
    model_of(precision, input, [189, 70, 3], [0, 0, 33], |layer, _, _| {
        levels(precision.weights[layer]) as i8
    })
}

/// A model of weights of 8 bits, which are what a function says of row and column.
fn model(
    input: Input,
    sizes: [u16; LAYERS],
    shifts: [u8; LAYERS],
    mut weight: impl FnMut(usize, usize) -> i8,
) -> Vec<u8> {
    model_of(Precision::INT8, input, sizes, shifts, |_, row, column| {
        weight(row, column)
    })
}

/// A model whose weights are what a function says of layer, row and column; `shifts` go with
/// the multipliers of layers that have them.
fn model_of(
    precision: Precision,
    input: Input,
    sizes: [u16; LAYERS],
    shifts: [u8; LAYERS],
    mut weight: impl FnMut(usize, usize, usize) -> i8,
) -> Vec<u8> {
    let header = Header {
        name: "random",
        input,
        sizes,
        precision,
        scales: Scales {
            hidden: [0.01; 2],
            embedding: 0.001,
        },
        training_digest: [7; 32],
        quality: None,
        calibration: None,
    };
    let mut random = Random::new(9);
    let layers: [_; LAYERS] = core::array::from_fn(|layer| {
        let (inputs, outputs) = header.shapes()[layer];
        let weights: Vec<i8> = (0..inputs * outputs)
            .map(|index| weight(layer, index / inputs, index % inputs))
            .collect();
        let biases: Vec<i32> = (0..outputs)
            .map(|_| random.below(20_001) as i32 - 10_000)
            .map(|bias| {
                if precision.weights[layer] < 8 {
                    bias / 50
                } else {
                    bias
                }
            })
            .collect();
        let requantise: Vec<Requantise> = (0..outputs)
            .map(|_| (1 << 30) + random.below(1 << 30) as u32)
            .map(|multiplier| match precision.shifts[layer] {
                0 => Requantise::new(multiplier, shifts[layer]).unwrap(),
                shift => Requantise::new(1, shift).unwrap(),
            })
            .collect();
        (weights, biases, requantise)
    });
    let parts = layers
        .each_ref()
        .map(|(weights, biases, requantise)| LayerParts {
            weights,
            biases,
            requantise,
        });
    let mut file = vec![0; encoded_len(&header).unwrap()];
    encode(&header, &parts, &mut file).unwrap();
    file
}

/// Images: empty, full, the squares of either colour of a chessboard, single
/// pixels; most with a digit's share of background.
pub fn random_images(count: usize, pixels: usize, seed: u64) -> Vec<Vec<u8>> {
    let mut random = Random::new(seed);
    (0..count)
        .map(|index| match index {
            0 => vec![0; pixels],
            1 => vec![255; pixels],
            2 | 3 => (0..pixels)
                .map(|pixel| {
                    if (pixel / 28 + pixel) % 2 == index % 2 {
                        255
                    } else {
                        0
                    }
                })
                .collect(),
            4..8 => (0..pixels)
                .map(|pixel| {
                    if pixel == [0, 1, pixels / 2, pixels - 1][index - 4] {
                        255
                    } else {
                        0
                    }
                })
                .collect(),
            _ => (0..pixels)
                .map(|_| {
                    if random.below(5) == 0 {
                        random.below(256) as u8
                    } else {
                        0
                    }
                })
                .collect(),
        })
        .collect()
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}
