//! Hostile bytes for every reader of the project.
//!
//! A [`Target`] is a plain function of some bytes, which panics if something is wrong. It is
//! run in three ways: by a loop of this crate's own that needs nothing but Rust, by libFuzzer,
//! which looks for inputs that reach new code, and by the tests, on the committed inputs of
//! `corpus/`. `cargo xtask fuzz` starts the first two.
//!
//! | module | what it holds |
//! |---|---|
//! | [`targets`] | what is run, and what must hold |
//! | [`naive`] | the project's forms once more, written from their pages alone, to compare with |
//! | [`made`] | models made from bytes |
//! | [`bytes`] | decisions from bytes |
//! | [`mutate`], [`random`] | inputs from other inputs |
//! | [`corpus`] | the committed inputs |
//! | [`plain`] | the loop |
//! | [`flips`] | every bit flipped |

#![deny(unsafe_code)]

pub mod bytes;
pub mod corpus;
pub mod flips;
pub mod made;
pub mod mutate;
pub mod naive;
pub mod plain;
pub mod random;
pub mod targets;

use siamese_core::Model;

/// Something to give bytes to.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, and that of its folder in `corpus/`.
    pub name: &'static str,
    /// What is attacked, in a few words.
    pub what: &'static str,
    /// Takes any bytes, and panics if something is wrong.
    pub run: fn(&[u8]),
    /// The longest input that is worth trying.
    pub longest: usize,
}

/// A small model for targets that need one: 4x4 pixels, 9-5-2.
///
/// # Panics
/// Never: it is the same model every time.
#[must_use]
pub fn model() -> Model<'static> {
    use std::sync::OnceLock;
    static FILE: OnceLock<siamese_build::OwnedModel> = OnceLock::new();
    let file = FILE.get_or_init(|| {
        // 4x4 pixels in rows; weights of 8 bits.
        let seed = [0, 2, 2, 2, 8, 4, 1, 1, 0, 0, 0];
        let file = made::model(&mut bytes::Bytes::new(&seed)).expect("the seed makes a model");
        siamese_build::OwnedModel::new(&file).expect("the encoder wrote a model")
    });
    file.model()
}
