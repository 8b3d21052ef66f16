//! The model file: what goes in comes out, and nothing else gets through.

mod common;

use common::aligned::Aligned;
use common::{Layer, Parts, any_parts, fixed_parts, survives};
use proptest::prelude::*;
use siamese_build::OwnedModel;
use siamese_core::image::Pooling;
use siamese_core::kernel::{Backend, Kernel};
use siamese_core::model::{
    self, ALIGNMENT, Calibration, Header, Layout, MAX_DIM, MAX_NAME, Model, Precision, Quality,
};
use siamese_core::{EncodeError, ModelError, Requantise};

/// Makes the checksum right again, so that the checks behind it are reached.
fn seal(bytes: &mut [u8]) {
    let end = bytes.len() - 4;
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(&bytes[..end]);
    bytes[end..].copy_from_slice(&crc.to_le_bytes());
}

fn error(bytes: &[u8]) -> ModelError {
    Model::parse(bytes).expect_err("the model must be refused")
}

#[test]
fn every_truncation_is_refused_as_such() {
    let bytes = fixed_parts().encode().unwrap();
    assert_eq!(error(&[]), ModelError::NotAModel);
    for length in 1..bytes.len() {
        // Until the length is told, at least what every file has.
        let expected = if length < 16 { 16 + 8 } else { bytes.len() };
        let found = length;
        assert_eq!(
            error(&bytes[..length]),
            ModelError::Truncated { expected, found }
        );
    }
}

#[test]
fn every_flipped_bit_is_refused() {
    let bytes = fixed_parts().encode().unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let error = error(&damaged);
        let expected = match bit / 8 {
            0..8 => matches!(error, ModelError::NotAModel),
            8 => matches!(error, ModelError::Version { .. }),
            12..16 => matches!(
                error,
                ModelError::Truncated { .. } | ModelError::TrailingBytes { .. }
            ),
            _ => matches!(error, ModelError::Checksum { .. }),
        };
        assert!(expected, "bit {bit}: {error}");
    }
}

#[test]
fn trailing_bytes_are_refused() {
    let mut bytes = fixed_parts().encode().unwrap().to_vec();
    let expected = bytes.len();
    bytes.push(0);
    assert_eq!(
        error(&bytes),
        ModelError::TrailingBytes {
            expected,
            found: expected + 1
        }
    );
}

#[test]
fn a_length_below_the_prefix_is_refused() {
    for stated in 0..20u32 {
        let mut bytes = fixed_parts().encode().unwrap()[..stated.max(16) as usize].to_vec();
        bytes[12..16].copy_from_slice(&stated.to_le_bytes());
        Model::parse(&bytes).unwrap_err();
    }
}

/// Where the sections of `fixed_parts` begin and end, from the format alone.
fn weights_start(bytes: &[u8]) -> usize {
    let header = usize::from(u16::from_le_bytes([bytes[10], bytes[11]]));
    16 + header.next_multiple_of(ALIGNMENT)
}

#[test]
fn weights_outside_their_range_are_refused() {
    let mut bytes = fixed_parts().encode().unwrap();
    let start = weights_start(&bytes);
    bytes[start + 16] = i8::MIN as u8;
    seal(&mut bytes);
    assert_eq!(error(&bytes), ModelError::Weight { layer: 0, row: 1 });
}

#[test]
fn padding_must_be_zero() {
    let mut bytes = fixed_parts().encode().unwrap();
    // 48 weights fill three blocks; 3 biases leave 4 bytes of padding.
    let padding = weights_start(&bytes) + 48 + 12;
    bytes[padding] = 1;
    seal(&mut bytes);
    assert_eq!(error(&bytes), ModelError::Padding);
}

#[test]
fn roundings_out_of_range_are_refused() {
    let multipliers = weights_start(&fixed_parts().encode().unwrap()) + 48 + 16;
    let shifts = multipliers + 16;
    for (position, value) in [(multipliers + 3, 0x80), (shifts, 0), (shifts, 63)] {
        let mut bytes = fixed_parts().encode().unwrap();
        bytes[position] = value;
        seal(&mut bytes);
        assert_eq!(error(&bytes), ModelError::Requantise { layer: 0, row: 0 });
    }
}

#[test]
fn sums_that_could_overflow_are_refused() {
    let mut parts = fixed_parts();
    parts.layers[0].weights[..16].fill(127);
    let room = i32::MAX - 127 * 127 * 16;
    parts.layers[0].biases[0] = room;
    assert!(survives(&parts.encode().unwrap()).is_some());
    parts.layers[0].biases[0] = room + 1;
    let refused = EncodeError::Invalid(ModelError::Overflow { layer: 0, row: 0 });
    assert_eq!(parts.encode().unwrap_err(), refused);
    parts.layers[0].biases[0] = i32::MIN;
    assert_eq!(parts.encode().unwrap_err(), refused);
}

#[test]
fn impossible_sizes_are_refused() {
    let mut parts = fixed_parts();
    parts.layers[2].weights = vec![1; 3 * (MAX_DIM + 1)];
    parts.layers[2].biases = vec![0; MAX_DIM + 1];
    parts.layers[2].requantise = vec![Requantise::new(1, 1).unwrap(); MAX_DIM + 1];
    assert_eq!(
        parts.encode().unwrap_err(),
        EncodeError::Invalid(ModelError::Sizes)
    );

    // A layer without outputs, and then one without inputs, whose sections are empty.
    let mut parts = fixed_parts();
    let middle = &mut parts.layers[1];
    (middle.weights, middle.biases, middle.requantise) = (Vec::new(), Vec::new(), Vec::new());
    parts.layers[2].weights.clear();
    assert_eq!(
        parts.encode().unwrap_err(),
        EncodeError::Invalid(ModelError::Sizes)
    );

    let mut parts = fixed_parts();
    parts.layers[1].weights.pop();
    assert_eq!(
        parts.encode().unwrap_err(),
        EncodeError::Lengths { layer: 1 }
    );
}

#[test]
fn errors_say_what_is_wrong() {
    let mut bytes = fixed_parts().encode().unwrap();
    bytes[8] = 9;
    let text = error(&bytes).to_string();
    assert!(
        text.contains("version 9") && text.contains("version 4"),
        "{text}"
    );
}

proptest! {
    /// Whatever stands behind a right checksum is refused or runs: nothing
    /// panics, also with overflow checks on.
    #[test]
    fn damage_behind_a_right_checksum_never_panics(
        parts in any_parts(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = parts.encode().unwrap();
        for (index, value) in changes {
            let position = index.index(bytes.len() - 4);
            bytes[position] = value;
        }
        seal(&mut bytes);
        survives(&bytes);
    }

    /// Headers of random bytes: the parser's own checks, not the checksum's.
    #[test]
    fn random_headers_never_panic(header in prop::collection::vec(any::<u8>(), 0..96)) {
        let mut bytes = fixed_parts().encode().unwrap();
        let end = 16 + header.len();
        bytes[16..end].copy_from_slice(&header);
        seal(&mut bytes);
        survives(&bytes);
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(survives(&bytes).is_none());
    }

    #[test]
    fn repacking_moves_weights_and_changes_nothing(parts in any_parts()) {
        let bytes = parts.encode().unwrap();
        let model = Model::parse(&bytes).unwrap();
        for layout in Layout::ALL {
            let mut out = Aligned::filled(0xAA, model::repacked_len(&model, layout).unwrap());
            let repacked = match model::repack(&model, layout, &mut out) {
                Ok(repacked) => repacked,
                Err(error) => {
                    let heavy = |layer: &Layer| {
                        let inputs = layer.weights.len() / layer.biases.len();
                        let rows = layer.weights.chunks(inputs).zip(&layer.biases);
                        rows.skip(1).step_by(2).any(|(row, bias)| {
                            let sum: u64 = row.iter().map(|&w| u64::from(w.unsigned_abs())).sum();
                            sum * 127 + u64::from(bias.unsigned_abs()) >= 1 << 23
                        })
                    };
                    prop_assert_eq!(layout, Layout::Interleaved, "{}", error);
                    prop_assert!(parts.layers.iter().any(heavy), "{}", error);
                    continue;
                }
            };
            let there = Model::parse_any(repacked).unwrap();
            prop_assert_eq!(there.layout(), layout);
            prop_assert_eq!(there.header(), model.header());
            for (layer, expected) in there.layers().iter().zip(&parts.layers) {
                let rows = 0..layer.outputs();
                let weights: Vec<i8> = rows.flat_map(|row| layer.row(row)).collect();
                prop_assert_eq!(&weights, &expected.weights);
            }
            let mut back = Aligned::filled(0xAA, bytes.len());
            model::repack(&there, Layout::Rows, &mut back).unwrap();
            prop_assert_eq!(&back[..], &bytes[..]);
        }
    }

    #[test]
    fn with_a_byte_a_weight_it_is_the_same_model(parts in any_parts()) {
        let bytes = parts.encode().unwrap();
        let model = Model::parse(&bytes).unwrap();
        for layout in [Layout::Rows, Layout::WideTiles] {
            let mut out = Aligned::filled(0xAA, model::repacked_bytes_len(&model, layout).unwrap());
            let wide = Model::parse_any(model::repack_bytes(&model, layout, &mut out).unwrap());
            let wide = wide.unwrap();
            prop_assert!(!wide.has_lanes());
            prop_assert_eq!(wide.layout(), layout);
            prop_assert_eq!(wide.fingerprint(), model.fingerprint());
            for (layer, expected) in wide.layers().iter().zip(&parts.layers) {
                let rows = 0..layer.outputs();
                let weights: Vec<i8> = rows.flat_map(|row| layer.row(row)).collect();
                prop_assert_eq!(&weights, &expected.weights);
            }
        }
    }

    #[test]
    fn what_goes_in_comes_out(parts in any_parts()) {
        let bytes = parts.encode().unwrap();
        let model = Model::parse(&bytes).unwrap();
        prop_assert_eq!(model.header().input, parts.input);
        for (layer, expected) in model.layers().iter().zip(&parts.layers) {
            let rows = 0..layer.outputs();
            let weights: Vec<i8> = rows.clone().flat_map(|row| layer.row(row)).collect();
            let biases: Vec<i32> = rows.map(|row| layer.bias(row)).collect();
            prop_assert_eq!(&weights, &expected.weights);
            prop_assert_eq!(&biases, &expected.biases);
            for (row, requantise) in expected.requantise.iter().enumerate() {
                prop_assert_eq!(layer.requantise(row), Some(*requantise));
            }
            prop_assert_eq!(layer.requantise(layer.outputs()), None);
        }
    }
}

/// A model of 25x28 pixels, all of whose weights are 127, in all layouts but
/// the one that can't hold such rows.
#[test]
fn what_packed_sums_cannot_hold_is_refused() {
    let mut parts = fixed_parts();
    let rows = 4;
    (parts.input.width, parts.input.height) = (25, 28);
    let inputs = parts.input.activations();
    parts.layers[0].weights = vec![127; rows * inputs];
    parts.layers[0].biases = vec![0; rows];
    parts.layers[0].requantise = vec![parts.layers[0].requantise[0]; rows];
    parts.layers[1].weights = vec![1; rows * 3];
    let bytes = parts.encode().unwrap();
    let model = Model::parse(&bytes).unwrap();
    for layout in Layout::ALL {
        let mut out = Aligned::filled(0, model::repacked_len(&model, layout).unwrap());
        let result = model::repack(&model, layout, &mut out).map(<[u8]>::len);
        if layout == Layout::Interleaved {
            // 700 * 127 * 127 is more than 2^23, and row 1 is the first high half.
            let refused = ModelError::Packing { layer: 0, row: 1 };
            assert_eq!(result, Err(EncodeError::Invalid(refused)));
        } else {
            assert!(result.is_ok(), "{layout:?}");
        }
    }
}

#[test]
fn a_layout_without_a_kernel_here_is_refused() {
    let bytes = fixed_parts().encode().unwrap();
    let model = Model::parse(&bytes).unwrap();
    for layout in Layout::ALL {
        let mut out = Aligned::filled(0, model::repacked_len(&model, layout).unwrap());
        let repacked = model::repack(&model, layout, &mut out).unwrap();
        let error = Model::parse(repacked).err();
        if siamese_core::kernel::runs(layout) {
            assert_eq!(error, None, "{layout:?}");
        } else {
            assert_eq!(error, Some(ModelError::Layout { found: layout }));
        }
    }
    let mut unknown = bytes;
    unknown[9] = 200;
    seal(&mut unknown);
    let error = Model::parse(&unknown).unwrap_err();
    assert_eq!(error, ModelError::UnknownLayout { found: 200 });
}

/// Replaces the header of a model, padding and length included.
fn with_header(bytes: &[u8], header: &[u8]) -> Vec<u8> {
    let mut made = bytes[..16].to_vec();
    made[10..12].copy_from_slice(&(header.len() as u16).to_le_bytes());
    made.extend(header);
    made.resize(made.len().next_multiple_of(ALIGNMENT), 0);
    made.extend(&bytes[weights_start(bytes)..]);
    let length = made.len() as u32;
    made[12..16].copy_from_slice(&length.to_le_bytes());
    seal(&mut made);
    made
}

fn header_bytes(bytes: &[u8]) -> &[u8] {
    &bytes[16..][..usize::from(u16::from_le_bytes([bytes[10], bytes[11]]))]
}

/// The model with another header.
fn rewritten<'h>(
    model: &Model<'h>,
    change: impl FnOnce(&mut Header<'h>),
) -> Result<Vec<u8>, EncodeError> {
    let mut header = *model.header();
    change(&mut header);
    let mut out = vec![0; model::rewritten_len(model, &header).unwrap()];
    model::rewrite(model, &header, &mut out)?;
    Ok(out)
}

const QUALITY: Quality = Quality {
    float_knn25: 1.0,
    int8_knn25: 0.5,
    int8_eer: 0.0,
};
const CALIBRATION: Calibration = Calibration {
    false_accept_rate: 1.0,
    false_reject_rate: 0.0,
    prototype_threshold: 0,
    pair_threshold: u64::MAX,
    spread: 127,
    allowance: 64,
};

#[test]
fn a_header_has_one_form() {
    let bytes = fixed_parts().encode().unwrap();
    let model = Model::parse(&bytes).unwrap();
    let bytes = rewritten(&model, |header| {
        (header.quality, header.calibration) = (Some(QUALITY), Some(CALIBRATION));
    })
    .unwrap();
    let header = header_bytes(&bytes);
    assert_eq!(with_header(&bytes, header), bytes);
    // A zero in front of any varint: one byte more, the same number. Wherever else
    // one is put, other fields change, or nothing is left for the last.
    let mut accepted = 0;
    for at in 0..header.len() {
        let mut padded = header.to_vec();
        padded[at] |= 0x80;
        padded.insert(at + 1, 0);
        let padded = with_header(&bytes, &padded);
        if let Ok(model) = Model::parse(&padded) {
            let mut again = vec![0; model::repacked_len(&model, Layout::Rows).unwrap()];
            model::repack(&model, Layout::Rows, &mut again).unwrap();
            assert_eq!(again, padded, "byte {at}");
            accepted += 1;
        }
    }
    assert_eq!(accepted, 0);
    // Without an allowance, the form with one isn't allowed.
    let (&(1..=u8::MAX), plain) = header.split_last().unwrap() else {
        panic!("the allowance comes last");
    };
    error(&with_header(&bytes, &[plain, &[0]].concat()));
    for rest in [&[0][..], &[0x80], &[1, 2, 3]] {
        assert_eq!(
            error(&with_header(&bytes, &[header, rest].concat())),
            ModelError::Header
        );
    }
    for length in 0..header.len() {
        error(&with_header(&bytes, &header[..length]));
    }
}

#[test]
fn a_calibration_without_allowance_is_written_as_before_there_was_one() {
    let bytes = fixed_parts().encode().unwrap();
    let model = Model::parse(&bytes).unwrap();
    let with = |allowance| {
        let calibration = Calibration {
            allowance,
            ..CALIBRATION
        };
        rewritten(&model, |header| header.calibration = Some(calibration)).unwrap()
    };
    let (plain, allowing) = (with(0), with(64));
    for (bytes, allowance) in [(&plain, 0), (&allowing, 64)] {
        let read = Model::parse(bytes).unwrap().header().calibration.unwrap();
        assert_eq!(read.allowance, allowance);
        assert_eq!(read.pair_threshold, CALIBRATION.pair_threshold);
    }
    // One after the digest and no quality: the form; then the same numbers.
    let [plain, allowing] = [header_bytes(&plain), header_bytes(&allowing)];
    let at = plain.len() - (2 * 4 + 1 + 10 + 1) - 1;
    assert_eq!((plain[at], allowing[at]), (1, 2));
    assert_eq!(plain[at + 1..], allowing[at + 1..allowing.len() - 1]);
    assert_eq!(allowing.last(), Some(&64));
}

proptest! {
    /// Whatever header is accepted is what the encoder makes of it.
    #[test]
    fn what_is_accepted_is_canonical(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        inserted in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
    ) {
        let bytes = fixed_parts().encode().unwrap();
        let model = Model::parse(&bytes).unwrap();
        let bytes = rewritten(&model, |header| {
            (header.quality, header.calibration) = (Some(QUALITY), Some(CALIBRATION));
        }).unwrap();
        let mut header = header_bytes(&bytes).to_vec();
        for (index, value) in changes {
            let at = index.index(header.len());
            header[at] = value;
        }
        if let Some((index, value)) = inserted {
            header.insert(index.index(header.len()), value);
        }
        let bytes = with_header(&bytes, &header);
        if let Ok(model) = Model::parse(&bytes) {
            let mut again = vec![0; model::repacked_len(&model, Layout::Rows).unwrap()];
            model::repack(&model, Layout::Rows, &mut again).unwrap();
            prop_assert_eq!(again, bytes);
        }
    }
}

#[test]
fn numbers_outside_their_range_are_refused() {
    let bytes = fixed_parts().encode().unwrap();
    let model = Model::parse(&bytes).unwrap();
    let refused = |change: &dyn Fn(&mut Header<'_>)| {
        let mut header = *model.header();
        (header.quality, header.calibration) = (Some(QUALITY), Some(CALIBRATION));
        change(&mut header);
        let mut out = vec![0; model::rewritten_len(&model, &header).unwrap()];
        match model::rewrite(&model, &header, &mut out) {
            Ok(_) => false,
            Err(error) => {
                assert_eq!(error, EncodeError::Invalid(ModelError::Header));
                true
            }
        }
    };
    type Set = dyn Fn(&mut Header<'_>, f32);
    let set: [(&str, &Set); 8] = [
        ("hidden 0", &|header, value| header.scales.hidden[0] = value),
        ("hidden 1", &|header, value| header.scales.hidden[1] = value),
        ("embedding", &|header, value| {
            header.scales.embedding = value
        }),
        ("float", &|header, value| {
            header.quality.as_mut().unwrap().float_knn25 = value
        }),
        ("int8", &|header, value| {
            header.quality.as_mut().unwrap().int8_knn25 = value
        }),
        ("eer", &|header, value| {
            header.quality.as_mut().unwrap().int8_eer = value
        }),
        ("far", &|header, value| {
            header.calibration.as_mut().unwrap().false_accept_rate = value;
        }),
        ("frr", &|header, value| {
            header.calibration.as_mut().unwrap().false_reject_rate = value;
        }),
    ];
    let least = f32::from_bits(1);
    for (number, (name, set)) in set.into_iter().enumerate() {
        let is_scale = number < 3;
        for bad in [
            f32::NAN,
            -f32::NAN,
            f32::INFINITY,
            f32::NEG_INFINITY,
            -1.0,
            -least,
            -0.0,
        ] {
            assert!(refused(&|header| set(header, bad)), "{name}: {bad}");
        }
        for (value, is_bad) in [
            (0.0, is_scale),
            (least, false),
            (0.5, false),
            (1.0, false),
            (1.0f32.next_up(), !is_scale),
            (f32::MAX, !is_scale),
        ] {
            assert_eq!(
                refused(&|header| set(header, value)),
                is_bad,
                "{name}: {value}"
            );
        }
    }
    let long = "x".repeat(MAX_NAME + 1);
    assert!(refused(
        &|header| header.name = Box::leak(long.clone().into_boxed_str())
    ));
}

#[test]
fn names_up_to_the_longest_go_there_and_back() {
    let bytes = fixed_parts().encode().unwrap();
    let model = Model::parse(&bytes).unwrap();
    for name in ["", "a", "\u{e4}\u{1f642}", &"x".repeat(MAX_NAME)] {
        let made = rewritten(&model, |header| header.name = name.to_owned().leak()).unwrap();
        assert_eq!(Model::parse(&made).unwrap().header().name, name);
    }
    // One byte of a letter of two.
    let made = rewritten(&model, |header| header.name = "a").unwrap();
    let mut header = header_bytes(&made).to_vec();
    header[1] = 0xC3;
    assert_eq!(error(&with_header(&made, &header)), ModelError::Header);
}

/// Every byte of the first layer's weights is one of a weight, which the
/// fingerprint sees, or one that fills up a tile.
#[test]
fn what_fills_up_tiles_must_be_zero() {
    let mut odd = fixed_parts();
    (odd.input.width, odd.input.height) = (3, 1);
    odd.layers[0].weights = vec![1, -2, 3, -4, 5, -6, 7, -8, 9];
    for parts in [fixed_parts(), odd] {
        let rows = OwnedModel::new(&parts.encode().unwrap()).unwrap();
        for layout in Layout::ALL {
            let packed = rows.repacked(layout).unwrap();
            let bytes = packed.bytes();
            let start = weights_start(bytes);
            let (tile_rows, tile_columns) = layout.tile();
            let (inputs, outputs) = packed.model().header().shapes()[0];
            let length =
                outputs.next_multiple_of(tile_rows) * inputs.next_multiple_of(tile_columns);
            let mut filling = 0;
            for at in start..start + length {
                let mut changed = bytes.to_vec();
                changed[at] ^= 0x02;
                seal(&mut changed);
                match Model::parse_any(&changed) {
                    Err(ModelError::Fingerprint { .. } | ModelError::Weight { .. }) => {}
                    Err(ModelError::Padding) => filling += 1,
                    other => panic!("{layout:?}, byte {at}: {other:?}"),
                }
            }
            assert_eq!(filling, length - inputs * outputs, "{layout:?}");
        }
    }
}

#[test]
fn the_fingerprint_is_of_all_that_embeddings_follow_from() {
    let parts = fixed_parts();
    let fingerprint = |parts: &Parts| {
        Model::parse(&parts.encode().unwrap())
            .unwrap()
            .fingerprint()
    };
    let first = fingerprint(&parts);
    // As FORMAT.md has it.
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
    let mut digest = crc.digest();
    digest.update(&[4, 0, 4, 0, 0]);
    for layer in &parts.layers {
        digest.update(&(layer.biases.len() as u32).to_le_bytes());
        layer
            .weights
            .iter()
            .for_each(|weight| digest.update(&weight.to_le_bytes()));
        layer
            .biases
            .iter()
            .for_each(|bias| digest.update(&bias.to_le_bytes()));
        let rounding = &layer.requantise;
        rounding
            .iter()
            .for_each(|r| digest.update(&r.multiplier().to_le_bytes()));
        rounding.iter().for_each(|r| digest.update(&[r.shift()]));
    }
    assert_eq!(first, digest.finalize());

    let mut seen = vec![first];
    let mut differs = |change: &dyn Fn(&mut Parts)| {
        let mut parts = fixed_parts();
        change(&mut parts);
        let found = fingerprint(&parts);
        assert!(!seen.contains(&found), "{parts:?}");
        seen.push(found);
    };
    differs(&|parts| (parts.input.width, parts.input.height) = (2, 8));
    differs(&|parts| (parts.input.width, parts.input.height) = (8, 2));
    for layer in 0..3 {
        differs(&|parts| parts.layers[layer].weights[1] += 1);
        differs(&|parts| parts.layers[layer].weights.swap(0, 1));
        differs(&|parts| parts.layers[layer].biases[1] += 1);
        differs(&|parts| parts.layers[layer].requantise[1] = Requantise::new(1 << 29, 36).unwrap());
        differs(&|parts| parts.layers[layer].requantise[1] = Requantise::new(1 << 30, 35).unwrap());
    }
    // The same numbers on 8x4 pixels, by halves of them.
    differs(&|parts| {
        (parts.input.width, parts.input.height) = (8, 4);
        parts.input.pooling = Pooling::Checkerboard;
    });
    differs(&|parts| {
        (parts.input.width, parts.input.height) = (8, 8);
        parts.input.pooling = Pooling::Sum2x2;
    });
    differs(&|parts| {
        (parts.input.width, parts.input.height) = (8, 8);
        parts.input.pooling = Pooling::Checkerboard;
        parts.layers[0].weights = (0..96).map(|i| i as i8).collect();
    });
}

#[test]
fn a_wrong_fingerprint_is_refused() {
    let mut bytes = fixed_parts().encode().unwrap();
    let expected = Model::parse(&bytes).unwrap().fingerprint();
    let at = bytes.len() - 8;
    assert_eq!(bytes[at..at + 4], expected.to_le_bytes());
    bytes[at] ^= 1;
    seal(&mut bytes);
    let (stated, found) = (expected ^ 1, expected);
    let refused = ModelError::Fingerprint {
        expected: stated,
        found,
    };
    assert_eq!(error(&bytes), refused);
    assert_eq!(Model::parse_any(&bytes).unwrap_err(), refused);
}

#[test]
fn every_order_keeps_the_fingerprint() {
    let rows = OwnedModel::new(&fixed_parts().encode().unwrap()).unwrap();
    for layout in Layout::ALL {
        let packed = rows.repacked(layout).unwrap();
        assert_eq!(packed.model().fingerprint(), rows.model().fingerprint());
    }
}

#[test]
fn repacked_bytes_must_be_aligned_and_rows_need_not() {
    let rows = OwnedModel::new(&fixed_parts().encode().unwrap()).unwrap();
    for layout in Layout::ALL {
        let packed = rows.repacked(layout).unwrap();
        let mut memory = vec![0u8; packed.bytes().len() + 2 * ALIGNMENT];
        let aligned = memory.as_ptr().align_offset(ALIGNMENT);
        for offset in 0..ALIGNMENT {
            let bytes = &mut memory[aligned + offset..][..packed.bytes().len()];
            bytes.copy_from_slice(packed.bytes());
            let expected = match layout {
                Layout::Rows => None,
                _ if Backend::detect(layout).is_none() => {
                    Some(ModelError::Layout { found: layout })
                }
                _ if offset > 0 => Some(ModelError::Misaligned),
                _ => None,
            };
            assert_eq!(Model::parse(bytes).err(), expected, "{layout:?} {offset}");
            // SAFETY: the bytes are those of a model that was parsed.
            let trusted = unsafe { Model::parse_trusted(bytes) };
            assert_eq!(trusted.err(), expected, "{layout:?} {offset}");
            let any = Model::parse_any(bytes).unwrap();
            assert_eq!(any.layout(), layout);
            let portable = any.backend() == Backend::PORTABLE;
            assert_eq!(portable, layout == Layout::Rows || expected.is_some());
        }
    }
}

#[test]
fn a_model_runs_by_the_backend_it_is_parsed_with() {
    let rows = OwnedModel::new(&fixed_parts().encode().unwrap()).unwrap();
    for backend in Backend::all() {
        for layout in Layout::ALL {
            let packed = rows.repacked(layout).unwrap();
            let checked = Model::parse_with(packed.bytes(), backend);
            // SAFETY: the bytes are those of a model that was parsed.
            let trusted = unsafe { Model::parse_trusted_with(packed.bytes(), backend) };
            for model in [checked, trusted] {
                if backend.layout() == layout {
                    assert_eq!(model.unwrap().backend(), backend);
                } else {
                    let refused = ModelError::Layout { found: layout };
                    assert_eq!(model.unwrap_err(), refused, "{backend:?}");
                }
            }
        }
    }
    for layout in Layout::ALL {
        if let Some(backend) = Backend::detect(layout) {
            assert!(Backend::compiled(layout));
            assert_eq!(backend.layout(), layout);
            let packed = rows.repacked(layout).unwrap();
            assert_eq!(Model::parse(packed.bytes()).unwrap().backend(), backend);
        }
    }
}

#[test]
fn a_trusted_model_is_the_parsed_one() {
    let bytes = fixed_parts().encode().unwrap();
    let parsed = Model::parse(&bytes).unwrap();
    // SAFETY: the bytes were just parsed.
    let trusted = unsafe { Model::parse_trusted(&bytes) }.unwrap();
    assert_eq!(format!("{trusted:?}"), format!("{parsed:?}"));
    // What it looks at all the same.
    let short = &bytes[..bytes.len() - 1];
    // SAFETY: memory is safe whatever the bytes are; only contents are trusted.
    let error = unsafe { Model::parse_trusted(short) }.unwrap_err();
    assert!(matches!(error, ModelError::Truncated { .. }), "{error}");
}

#[test]
fn version_2_is_refused_in_words() {
    let mut bytes = fixed_parts().encode().unwrap();
    bytes[8] = 2;
    let text = error(&bytes).to_string();
    for words in ["version 2", "export it again", "version 4"] {
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn version_3_is_refused_with_the_way_out() {
    let mut bytes = fixed_parts().encode().unwrap();
    bytes[8] = 3;
    let text = error(&bytes).to_string();
    for words in ["version 3", "siamese-train repack", "version 4"] {
        assert!(text.contains(words), "{text}");
    }
}

/// A model of 1x2 pixels, 9-1-1, with weights of 3 bits in the first layer.
fn low_parts() -> Parts {
    let layer = |weights: Vec<i8>, outputs: usize, shift: u8| Layer {
        biases: vec![7; outputs],
        requantise: vec![Requantise::new(1, shift).unwrap(); outputs],
        weights,
    };
    let first: Vec<i8> = (0..9)
        .flat_map(|row| [row % 8 * 2 - 7, 7 - row % 8 * 2])
        .collect();
    let mut parts = fixed_parts();
    (parts.input.width, parts.input.height) = (2, 1);
    parts.precision = Precision {
        input: 2,
        hidden: [4, 7],
        weights: [3, 8, 8],
        shifts: [3, 0, 2],
    };
    parts.layers = [
        layer(first, 9, 3),
        layer(vec![1; 9], 1, 5),
        layer(vec![1], 1, 2),
    ];
    parts
}

/// Lanes, written out by hand from `FORMAT.md`.
#[test]
fn lanes_are_as_the_format_says() {
    let bytes = low_parts().encode().unwrap();
    let start = model::first_section(&bytes);
    // 9 rows are a block of two words: levels 0 to 7 of input 0 and that of row 8, which is as
    // row 0, then 7 to 0 of input 1.
    let words = [0x7654_3210u32, 0, 0x0123_4567, 7];
    let expected: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    assert_eq!(bytes[start..start + 16], expected);
    // No multipliers, no shifts: the biases are followed by the next layer's weights.
    let biases = start + 16;
    assert_eq!(bytes[biases..biases + 4], 7i32.to_le_bytes());
    assert_eq!(bytes[biases + 48..biases + 57], [1; 9]);
    let model = OwnedModel::new(&bytes).unwrap();
    let [first, ..] = *model.model().layers();
    assert_eq!((first.weight_bits(), first.largest_input()), (3, 3));
    assert_eq!(first.row(3).collect::<Vec<_>>(), [-1, 1]);
    assert_eq!(first.weight(8, 1), 7);
    assert_eq!(first.requantise(0), Requantise::new(1, 3));
}

/// Three lists of 144 inputs each for levels of 2 bits, or one for each bit.
#[test]
fn words_are_added_where_levels_and_inputs_are_few() {
    let adds = |grey: u8, bits: u8, layer: usize, activations: &[u8]| {
        let mut parts = low_parts();
        parts.precision.input = grey;
        parts.precision.weights[0] = bits;
        let bytes = parts.encode().unwrap();
        let file = OwnedModel::new(&bytes).unwrap();
        file.model().adds(layer, activations)
    };
    for grey in 1..=7 {
        assert_eq!(adds(grey, 3, 0, &[1; 143]), grey <= 4, "{grey}");
        assert!(!adds(grey, 3, 0, &[1; 144]), "{grey}");
        assert!(!adds(grey, 4, 0, &[1]), "{grey}");
    }
    let halves = |a: u8, b: u8| [[a; 80], [b; 80]].concat();
    // Three is a level of its own, and has the bit of one.
    assert!(adds(2, 3, 0, &halves(1, 3)) && adds(3, 3, 0, &halves(1, 2)));
    assert!(!adds(3, 3, 0, &halves(1, 3)));
    // A layer of 8 bits, and none.
    assert!(!adds(2, 3, 1, &[1]) && !adds(2, 3, 3, &[1]));
}

#[test]
fn lanes_that_hold_too_much_are_refused() {
    let bytes = low_parts().encode().unwrap();
    let start = model::first_section(&bytes);
    let changed = |offset: usize, byte: u8| {
        let mut changed = bytes.clone();
        changed[start + offset] = byte;
        seal(&mut changed);
        error(&changed)
    };
    // The lane of row 1 holds 8, where 3 bits end at 7.
    assert_eq!(changed(0, 0x80), ModelError::Weight { layer: 0, row: 1 });
    // The lane of row 9, which isn't there.
    assert_eq!(changed(4, 0x10), ModelError::Padding);
}

#[test]
fn what_few_bits_cannot_hold_is_not_written() {
    let refused = |change: &dyn Fn(&mut Parts)| {
        let mut parts = low_parts();
        change(&mut parts);
        parts.encode().unwrap_err()
    };
    let invalid = EncodeError::Invalid;
    for weight in [0, 2, -9, 9, 127] {
        let weight = refused(&|parts| parts.layers[0].weights[5] = weight);
        assert_eq!(weight, invalid(ModelError::Weight { layer: 0, row: 2 }));
    }
    let other = refused(&|parts| parts.layers[0].requantise[4] = Requantise::new(1, 4).unwrap());
    assert_eq!(other, invalid(ModelError::Requantise { layer: 0, row: 4 }));
    for change in [
        |precision: &mut Precision| precision.input = 0,
        |precision: &mut Precision| precision.input = 8,
        |precision: &mut Precision| precision.hidden[1] = 0,
        |precision: &mut Precision| precision.weights[2] = 5,
        |precision: &mut Precision| precision.weights[0] = 1,
        |precision: &mut Precision| precision.shifts[1] = 31,
    ] {
        let impossible = refused(&|parts| change(&mut parts.precision));
        assert_eq!(impossible, invalid(ModelError::Header));
    }
    // What a shift adds to round counts, too: 3 * 14 of the products, and 4.
    let bias = i32::MAX - 3 * 14 - 4;
    let mut parts = low_parts();
    parts.layers[0].biases[0] = bias;
    parts.encode().unwrap();
    let over = refused(&|parts| parts.layers[0].biases[0] = bias + 1);
    assert_eq!(over, invalid(ModelError::Overflow { layer: 0, row: 0 }));
}

#[test]
fn fewer_levels_are_another_model() {
    let fingerprint = |change: fn(&mut Precision)| {
        let mut parts = fixed_parts();
        change(&mut parts.precision);
        let model = OwnedModel::new(&parts.encode().unwrap()).unwrap();
        model.model().fingerprint()
    };
    let int8 = fingerprint(|_| ());
    assert_ne!(fingerprint(|precision| precision.input = 6), int8);
    assert_ne!(fingerprint(|precision| precision.hidden[0] = 6), int8);
    assert_ne!(fingerprint(|precision| precision.hidden[1] = 6), int8);
}

/// The table of layouts in `FORMAT.md` is the one that the code is made from.
#[test]
fn the_format_tells_the_same_layouts() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../FORMAT.md");
    let text = std::fs::read_to_string(path).unwrap();
    let stated: Vec<Vec<&str>> = text
        .lines()
        .skip_while(|line| !line.starts_with("| byte 9 |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let known: Vec<[String; 4]> = Layout::ALL
        .into_iter()
        .map(|layout| {
            let (rows, columns) = layout.tile();
            let tile = format!("{rows} x {columns}");
            [
                layout.number().to_string(),
                layout.name().into(),
                tile,
                layout.cores().into(),
            ]
        })
        .collect();
    assert_eq!(stated.len(), known.len());
    for (stated, [number, name, tile, cores]) in stated.iter().zip(&known) {
        assert_eq!(stated[..3], [number, name, tile]);
        assert_eq!(stated[4], cores);
    }
    assert!(text.contains(&format!("described here is **{}**", model::VERSION)));
}

/// Each layout's bytes, written out by hand from `FORMAT.md`.
#[test]
fn layouts_are_as_the_format_says() {
    let mut parts = fixed_parts();
    (parts.input.width, parts.input.height) = (3, 1);
    parts.layers[0].weights = vec![1, -2, 3, -4, 5, -6, 7, -8, 9];
    let rows = OwnedModel::new(&parts.encode().unwrap()).unwrap();
    let expected = |layout: Layout| -> Vec<u8> {
        let int8 = |weights: &[i8]| weights.iter().map(|&w| w as u8).collect::<Vec<_>>();
        let with_zeros = |mut bytes: Vec<u8>, length: usize| {
            bytes.resize(length, 0);
            bytes
        };
        match layout {
            Layout::Rows => int8(&[1, -2, 3, -4, 5, -6, 7, -8, 9]),
            Layout::Columns => [[1, -4, 7], [-2, 5, -8], [3, -6, 9]]
                .iter()
                .flat_map(|column| {
                    let mut weights = [0i8; 8];
                    weights[..3].copy_from_slice(column);
                    weights.map(|weight| (i16::from(weight) + 128) as u8)
                })
                .collect(),
            Layout::Interleaved => {
                let tile = |numbers: [i16; 4]| {
                    with_zeros(numbers.iter().flat_map(|n| n.to_le_bytes()).collect(), 16)
                };
                [
                    tile([1 - 4 * 256, -2 + 5 * 256, 7, -8]),
                    tile([3 - 6 * 256, 0, 9, 0]),
                ]
                .concat()
            }
            Layout::Quads => with_zeros(int8(&[1, -2, 3, 0, -4, 5, -6, 0, 7, -8, 9, 0]), 32),
            Layout::WideTiles => [
                with_zeros(int8(&[1, -2, -4, 5, 7, -8]), 64),
                with_zeros(int8(&[3, 0, -6, 0, 9, 0]), 64),
            ]
            .concat(),
            _ => panic!("a layout that this test doesn't know"),
        }
    };
    for layout in Layout::ALL {
        let packed = rows.repacked(layout).unwrap();
        let [first, ..] = packed
            .model()
            .layers()
            .map(|layer| layer.weights().to_vec());
        assert_eq!(first, expected(layout), "{layout:?}");
    }
}

/// The bound of the packed sums, to the last unit.
#[test]
fn packed_sums_are_refused_from_2_to_the_23_on() {
    let mut parts = fixed_parts();
    let rest: u32 = parts.layers[0].weights[16..32]
        .iter()
        .map(|w| u32::from(w.unsigned_abs()))
        .sum();
    for (bias, holds) in [
        ((1 << 23) - 1 - rest * 127, true),
        ((1 << 23) - rest * 127, false),
    ] {
        parts.layers[0].biases[1] = -(bias as i32);
        let rows = OwnedModel::new(&parts.encode().unwrap()).unwrap();
        let packed = rows.repacked(Layout::Interleaved).err();
        let refused = EncodeError::Invalid(ModelError::Packing { layer: 0, row: 1 });
        assert_eq!(packed, (!holds).then_some(refused));
    }
}

#[test]
fn lengths_beyond_any_memory_are_refused() {
    let mut bytes = fixed_parts().encode().unwrap();
    let found = bytes.len();
    for expected in [u32::MAX, u32::MAX - 15, 1 << 31, 1 << 16] {
        bytes[12..16].copy_from_slice(&expected.to_le_bytes());
        let expected = expected as usize;
        assert_eq!(error(&bytes), ModelError::Truncated { expected, found });
    }
    // Headers whose products don't fit 32 bits.
    let model = fixed_parts().encode().unwrap();
    let model = Model::parse(&model).unwrap();
    let mut header = *model.header();
    (header.input.width, header.input.height) = (u16::MAX, u16::MAX);
    header.sizes = [u16::MAX; 3];
    assert_eq!(header.macs(), 65_535u64.pow(3) + 2 * 65_535u64.pow(2));
    let mut out = [0; 100];
    let refused = EncodeError::Lengths { layer: 0 };
    assert_eq!(
        model::rewrite(&model, &header, &mut out).unwrap_err(),
        refused
    );
}

#[test]
fn the_first_section_is_where_the_weights_are() {
    for name in ["tiny", "small"] {
        let path = format!("{}/../model/{name}.siam", env!("CARGO_MANIFEST_DIR"));
        let bytes = std::fs::read(path).unwrap();
        let model = Model::parse_any(&bytes).unwrap();
        let weights = model.layers()[0].weights().as_ptr().addr();
        let offset = weights - bytes.as_ptr().addr();
        assert_eq!(model::first_section(&bytes), offset);
    }
    assert_eq!(model::first_section(&[]), 16);
}
