//! Models to test with, and the library through Rust's eyes.

#![allow(dead_code, reason = "each test program uses its own part")]

use std::path::PathBuf;

use siamese_build::OwnedModel;
use siamese_c::model::{siamese_model, siamese_model_init};
use siamese_core::Requantise;
use siamese_core::image::{Input, Pooling};
use siamese_core::model::{
    Calibration, Header, LayerParts, Precision, Scales, encode, encoded_len,
};

/// A file of the repository.
pub fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(path)
}

/// A file of the repository, as text.
pub fn text(path: &str) -> String {
    let path = repository(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A model in C's memory, with the file that it borrows.
pub struct Loaded {
    pub file: OwnedModel,
    pub model: Box<siamese_model>,
}

impl Loaded {
    pub fn new(file: OwnedModel) -> Self {
        let mut model = Box::new(siamese_model::NEW);
        let bytes = file.bytes();
        // SAFETY: the file lives as long as the model, in memory that doesn't move.
        let status = unsafe { siamese_model_init(&mut *model, bytes.as_ptr(), bytes.len()) };
        assert_eq!(status, 0);
        Self { file, model }
    }

    /// One of the models that were trained.
    pub fn trained(name: &str) -> Self {
        let path = repository(&format!("model/{name}.siam"));
        Self::new(OwnedModel::read(&path).unwrap())
    }

    /// A small one of so many coordinates, with thresholds.
    pub fn of_dim(dim: usize) -> Self {
        Self::new(OwnedModel::new(&small_model(dim, 1)).unwrap())
    }

    pub fn pointer(&self) -> *const siamese_model {
        &*self.model
    }
}

/// A model of 4x4 images; another seed is another model.
pub fn small_model(dim: usize, seed: u32) -> Vec<u8> {
    let header = Header {
        name: "test",
        input: Input {
            width: 4,
            height: 4,
            pooling: Pooling::None,
            deskew: false,
        },
        sizes: [6, 5, dim as u16],
        precision: Precision::INT8,
        scales: Scales {
            hidden: [0.5, 0.25],
            embedding: 0.001,
        },
        training_digest: [7; 32],
        quality: None,
        calibration: Some(Calibration {
            false_accept_rate: 0.01,
            false_reject_rate: 0.02,
            prototype_threshold: 900,
            pair_threshold: 400,
            spread: 100,
            allowance: 3,
        }),
    };
    let mut random = Random(seed);
    let layers = header.shapes().map(|(inputs, outputs)| {
        let weights: Vec<i8> = (0..inputs * outputs)
            .map(|_| (random.below(255) as i32 - 127) as i8)
            .collect();
        let biases: Vec<i32> = (0..outputs)
            .map(|_| random.below(2_001) as i32 - 1_000)
            .collect();
        let requantise = vec![Requantise::new(1 << 30, 36).unwrap(); outputs];
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

/// Numbers that look random: a linear congruence.
pub struct Random(pub u32);

impl Random {
    pub fn below(&mut self, limit: u32) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) % limit
    }

    /// An image with a good deal of background.
    pub fn image(&mut self, pixels: usize) -> Vec<u8> {
        let pixel = |_| match self.below(3) {
            0 => self.below(256) as u8,
            _ => 0,
        };
        (0..pixels).map(pixel).collect()
    }
}
