//! The model file: what goes in comes out, and nothing else gets through.

mod common;

use common::{any_parts, fixed_parts, survives};
use proptest::prelude::*;
use siamese_core::model::{self, ALIGNMENT, Layout, MAX_DIM, Model};
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
        let error = error(&bytes[..length]);
        assert!(
            matches!(error, ModelError::Truncated { found, .. } if found == length),
            "{error}"
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
    let mut bytes = fixed_parts().encode().unwrap();
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
        text.contains("version 9") && text.contains("version 3"),
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
            let mut out = vec![0xAA; model::repacked_len(&model, layout).unwrap()];
            let repacked = match model::repack(&model, layout, &mut out) {
                Ok(repacked) => repacked,
                Err(error) => {
                    let heavy = |layer: &common::Layer| {
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
            let mut back = vec![0xAA; bytes.len()];
            model::repack(&there, Layout::Rows, &mut back).unwrap();
            prop_assert_eq!(&back, &bytes);
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
        let mut out = vec![0; model::repacked_len(&model, layout).unwrap()];
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
        let mut out = vec![0; model::repacked_len(&model, layout).unwrap()];
        let repacked = model::repack(&model, layout, &mut out).unwrap();
        let error = Model::parse(repacked).err();
        if siamese_core::kernel::runs(layout) {
            // A vector's memory is not always aligned.
            assert!(
                matches!(error, None | Some(ModelError::Misaligned)),
                "{layout:?}"
            );
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
