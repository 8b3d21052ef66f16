//! Models made from bytes: nearly all of them are accepted, so that inputs reach what lies
//! behind the reader.

use siamese_core::Requantise;
use siamese_core::image::{Input, Pooling};
use siamese_core::model::{
    Calibration, Header, LAYERS, LayerParts, Precision, Quality, Scales, encode, encoded_len,
};

use crate::bytes::Bytes;
use crate::random::Random;

/// The file of a model, if the encoder takes it.
#[must_use]
pub fn model(bytes: &mut Bytes<'_>) -> Option<Vec<u8>> {
    let header = header(bytes);
    let layers = header.shapes().into_iter().zip(0..).map(|(shape, index)| {
        let Precision {
            weights, shifts, ..
        } = header.precision;
        layer(bytes, shape, weights[index], shifts[index])
    });
    let layers: Vec<_> = layers.collect();
    let parts: [LayerParts<'_>; LAYERS] = std::array::from_fn(|index| {
        let (weights, biases, requantise) = &layers[index];
        LayerParts {
            weights,
            biases,
            requantise,
        }
    });
    let mut file = vec![0xAA; encoded_len(&header)?];
    encode(&header, &parts, &mut file).ok()?;
    Some(file)
}

fn header(bytes: &mut Bytes<'_>) -> Header<'static> {
    let pooling = bytes.one_of(&Pooling::ALL);
    // Now and then layers large enough for what kernels treat apart.
    let (side, most) = bytes.one_of(&[(8, 9), (8, 20), (8, 40), (3, 150), (20, 4)]);
    // So that inner pixels are left.
    let least = 2 + 2 * pooling.border();
    let input = Input {
        width: (least + bytes.below(side)) as u16,
        height: (least + bytes.below(side)) as u16,
        pooling,
        deskew: bytes.flag(),
    };
    let sizes = [
        1 + bytes.below(most) as u16,
        1 + bytes.below(most) as u16,
        1 + bytes.below(5) as u16,
    ];
    let precision = if bytes.flag() {
        Precision::INT8
    } else {
        let bits = [2, 3, 4, 8];
        Precision {
            input: 1 + bytes.below(7) as u8,
            hidden: [1 + bytes.below(7) as u8, 1 + bytes.below(7) as u8],
            weights: [
                bytes.one_of(&bits),
                bytes.one_of(&bits),
                bytes.one_of(&bits),
            ],
            shifts: std::array::from_fn(|_| bytes.one_of(&[0, 1, 3, 6, 9, 12, 30])),
        }
    };
    let part = |bytes: &mut Bytes<'_>| f32::from(bytes.u8()) / 255.0;
    let quality = bytes.flag().then(|| Quality {
        float_knn25: part(bytes),
        int8_knn25: part(bytes),
        int8_eer: part(bytes),
    });
    let calibration = bytes.flag().then(|| Calibration {
        false_accept_rate: part(bytes),
        false_reject_rate: part(bytes),
        prototype_threshold: bytes.u64() >> bytes.below(64),
        pair_threshold: bytes.u64() >> bytes.below(64),
        spread: bytes.u32().into(),
        allowance: bytes.u8(),
    });
    Header {
        name: bytes.one_of(&["", "tiny", "ünïcode", "a name that has thirty-two bytes"]),
        input,
        sizes,
        precision,
        scales: Scales {
            hidden: [0.5, f32::MIN_POSITIVE],
            embedding: 1e-3,
        },
        training_digest: [bytes.u8(); 32],
        quality,
        calibration,
    }
}

type Layer = (Vec<i8>, Vec<i32>, Vec<Requantise>);

fn layer(bytes: &mut Bytes<'_>, (inputs, outputs): (usize, usize), bits: u8, shift: u8) -> Layer {
    let mut random = Random::new(bytes.u16().into());
    let largest = ((1i16 << bits) - 1).min(127);
    let form = bytes.below(6);
    let mut weight = || {
        let any = (random.next() % (2 * largest as u64 + 1)) as i16 - largest;
        let weight = match form {
            0 => -largest,
            1 => largest,
            // Small enough for interleaved rows, and with zeros.
            2 | 3 if bits == 8 => any % 32,
            _ => any,
        };
        (if bits < 8 { weight | 1 } else { weight }) as i8
    };
    let weights = (0..inputs * outputs).map(|_| weight()).collect();
    // What a bias may be at most, and a step beyond it.
    let room = i32::MAX - 127 * 127 * inputs as i32 - ((1i32 << shift) >> 1);
    let step = bytes.below(64) == 63;
    let biases = (0..outputs)
        .map(|_| match bytes.below(8) {
            0 => room + i32::from(step),
            1 => -room,
            2 => 0,
            _ => (random.next() % 40_001) as i32 - 20_000,
        })
        .collect();
    let rounding = (0..outputs)
        .map(|_| {
            let usual = (1 << 22 | random.next() as u32 >> 9, 31);
            let (multiplier, shift) = match (shift, bytes.below(8)) {
                (1.., _) => (1, shift),
                (_, 0) => (
                    1 + bytes.u32() % Requantise::MAX_MULTIPLIER,
                    1 + bytes.u8() % 62,
                ),
                (_, 1) => (Requantise::MAX_MULTIPLIER, Requantise::MAX_SHIFT),
                (_, 2) => (1, 1),
                _ => usual,
            };
            Requantise::new(multiplier, shift).expect("both are in range")
        })
        .collect();
    (weights, biases, rounding)
}

/// Images that shortcuts might trip over.
#[must_use]
pub fn images(bytes: &mut Bytes<'_>, input: &Input) -> Vec<Vec<u8>> {
    let pixels = input.pixels();
    let mut random = Random::new(bytes.u32().into());
    let lit = bytes.u16();
    (0..3)
        .map(|_| match bytes.below(6) {
            0 => vec![255; pixels],
            1 => (0..pixels)
                .map(|i| u8::from(i == usize::from(lit) % pixels) * 255)
                .collect(),
            2 => (0..pixels).map(|i| (i % 2) as u8 * 255).collect(),
            3 => vec![bytes.u8(); pixels],
            _ => (0..pixels)
                .map(|_| match random.below(4) {
                    0 => random.next() as u8,
                    _ => 0,
                })
                .collect(),
        })
        .collect()
}
