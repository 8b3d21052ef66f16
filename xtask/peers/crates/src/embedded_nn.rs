//! embedded-nn's dense layers, with a rounding for each row.

use embedded_nn::fully_connected::fully_connected_per_channel_s8;
use embedded_nn::types::{Activation, Dims, FcParams, PerChannelQuantParams};

use crate::layers::*;
use crate::sizes::*;

const LONGEST: usize = if INPUTS > HIDDEN2 { INPUTS } else { HIDDEN2 };

/// Activations: of the input and then of the second layer, and of the first.
pub struct Peer {
    shared: [i8; LONGEST],
    hidden1: [i8; HIDDEN1],
    embedding: [i8; DIM],
}

/// A layer's weights, biases, multipliers and shifts.
type Layer = (
    &'static [i8],
    &'static [i32],
    &'static [i32],
    &'static [i32],
);

/// A dense layer, all of whose zero points are 0.
fn dense(layer: Layer, [min, max]: [i32; 2], from: &[i8], to: &mut [i8]) {
    let (weights, biases, multiplier, shift) = layer;
    let parameters = FcParams {
        input_offset: 0,
        filter_offset: 0,
        output_offset: 0,
        activation: Activation { min, max },
    };
    let (inputs, outputs) = (from.len() as i32, to.len() as i32);
    let done = fully_connected_per_channel_s8(
        &parameters,
        &PerChannelQuantParams { multiplier, shift },
        &Dims::new(1, 1, 1, inputs),
        from,
        &Dims::new(inputs, 1, 1, outputs),
        weights,
        Some(biases),
        &Dims::new(1, 1, 1, outputs),
        to,
    );
    debug_assert!(done.is_ok());
}

impl Peer {
    pub const NEW: Self = Self {
        shared: [0; LONGEST],
        hidden1: [0; HIDDEN1],
        embedding: [0; DIM],
    };

    pub fn embed(&mut self, image: &[u8; IMAGE_PIXELS]) {
        if let Some(input) = self.shared.first_chunk_mut() {
            crate::input_of(image, input);
        }
        let (shared, hidden1) = (&mut self.shared, &mut self.hidden1);
        let layer: Layer = (&WEIGHTS1, &BIASES1, &MULTIPLIERS1, &SHIFTS1);
        dense(layer, [0, LARGEST1 as i32], &shared[..INPUTS], hidden1);
        let layer: Layer = (&WEIGHTS2, &BIASES2, &MULTIPLIERS2, &SHIFTS2);
        dense(layer, [0, LARGEST2 as i32], hidden1, &mut shared[..HIDDEN2]);
        let layer: Layer = (&WEIGHTS3, &BIASES3, &MULTIPLIERS3, &SHIFTS3);
        dense(layer, [-128, 127], &shared[..HIDDEN2], &mut self.embedding);
    }

    pub fn coordinate(&self, axis: usize) -> i32 {
        self.embedding.get(axis).map_or(0, |&value| value.into())
    }
}
