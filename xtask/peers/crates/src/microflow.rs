//! microflow's operator for dense layers, called as its macro for `.tflite` files calls it: one
//! scale for all rows of a layer, and a floating-point factor.

use microflow::activation::FusedActivation;
use microflow::ops::{FullyConnectedOptions, fully_connected};
use microflow::tensor::Tensor2D;
use nalgebra::{ArrayStorage, SMatrix};

use crate::layers::*;
use crate::sizes::*;

/// The embedding.
pub struct Peer([i8; DIM]);

/// A layer's weights: a row of the network is a column of the matrix.
macro_rules! weights {
    ($name:ident, $of:ident, $inputs:expr, $outputs:expr) => {
        static $name: Tensor2D<i8, { $inputs }, { $outputs }, 1> = Tensor2D {
            buffer: SMatrix::from_array_storage(ArrayStorage(
                // SAFETY: an array of arrays of bytes is as one of all the bytes.
                unsafe {
                    core::mem::transmute::<[i8; $inputs * $outputs], [[i8; $inputs]; $outputs]>($of)
                },
            )),
            scale: [1.0],
            zero_point: [0],
        };
    };
}

weights!(FIRST, WEIGHTS1, INPUTS, HIDDEN1);
weights!(SECOND, WEIGHTS2, HIDDEN1, HIDDEN2);
weights!(THIRD, WEIGHTS3, HIDDEN2, DIM);

/// A dense layer, all of whose zero points are 0; its biases are in steps of its outputs.
fn dense<const I: usize, const O: usize>(
    input: Tensor2D<i8, 1, I, 1>,
    weights: &Tensor2D<i8, I, O, 1>,
    biases: &[f32; O],
    factor: f32,
    fused_activation: FusedActivation,
) -> Tensor2D<i8, 1, O, 1> {
    let biases = SMatrix::from_array_storage(ArrayStorage([*biases]));
    let options = FullyConnectedOptions { fused_activation };
    let constants = (biases, factor, SMatrix::zeros(), 0);
    fully_connected(input, weights, [1.0], [0], options, constants)
}

impl Peer {
    pub const NEW: Self = Self([0; DIM]);

    pub fn embed(&mut self, image: &[u8; IMAGE_PIXELS]) {
        let mut input = [0; INPUTS];
        crate::input_of(image, &mut input);
        let input = Tensor2D::new(SMatrix::from(input).transpose(), [1.0], [0]);
        let hidden = dense(input, &FIRST, &BIASES1, FACTOR1[0], FusedActivation::Relu);
        let hidden = dense(hidden, &SECOND, &BIASES2, FACTOR2[0], FusedActivation::Relu);
        let output = dense(hidden, &THIRD, &BIASES3, FACTOR3[0], FusedActivation::None);
        for (to, &from) in self.0.iter_mut().zip(output.buffer.iter()) {
            *to = from;
        }
    }

    pub fn coordinate(&self, axis: usize) -> i32 {
        self.0.get(axis).map_or(0, |&value| value.into())
    }
}
