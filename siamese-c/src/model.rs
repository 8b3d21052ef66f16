//! The model, and embedding with it.

use siamese_core::Model;
use siamese_core::embedder::{Buffers, embed_into};

use crate::Error;
use crate::error::status;
use crate::memory::{Held, Holder, Part, check_apart};

/// Words of [`siamese_model`] after its tag, where a pointer has so many bytes: as many as a
/// model has today, and two.
const fn words(pointer: usize) -> usize {
    if pointer == 4 { 38 } else { 52 }
}

/// `SIAMESE_MODEL_BYTES` of the header, where a pointer has so many bytes.
#[must_use]
pub const fn model_bytes(pointer: usize) -> usize {
    8 + 8 * words(pointer)
}

// The header's sizes, on every target that this is compiled for.
const _: () = {
    assert!(size_of::<siamese_model>() == model_bytes(size_of::<usize>()));
    assert!(align_of::<siamese_model>() == align_of::<u64>());
    assert!(size_of::<siamese_model_info>() == 24);
};

impl Held for Model<'static> {
    const TAG: u64 = u64::from_le_bytes(*b"SIAMODEL");
}

/// `siamese_model` of the header: a model that was checked. Its bytes stay where they are.
#[allow(non_camel_case_types, reason = "its name in C")]
pub type siamese_model = Holder<Model<'static>, { words(size_of::<usize>()) }>;

/// `siamese_model_info` of the header: what a model needs and gives.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C)]
#[allow(non_camel_case_types, reason = "its name in C")]
pub struct siamese_model_info {
    /// Columns of the image.
    pub width: u32,
    /// Rows of the image.
    pub height: u32,
    /// Coordinates of an embedding.
    pub dim: u32,
    /// Bytes of scratch memory that an embedding needs.
    pub scratch: u32,
    /// Two models of the same fingerprint give the same embeddings.
    pub fingerprint: u32,
    /// Real units in one step of a coordinate, for showing.
    pub scale: f32,
}

/// Checks a model file, and makes a model of it.
///
/// # Safety
/// What the header says: memory is there where it is said to be, and the bytes stay as they
/// are for as long as the model is used.
#[unsafe(no_mangle)] // SAFETY: nothing else has this name.
pub unsafe extern "C" fn siamese_model_init(
    model: *mut siamese_model,
    bytes: *const u8,
    length: usize,
) -> i32 {
    status((|| {
        let (model, bytes) = (Part::one(model)?, Part::new(bytes, length)?);
        check_apart(&[model.range()], &[bytes.range()])?;
        // SAFETY: the caller says that both are there, and they are apart.
        let (model, bytes) = unsafe { (model.borrow_mut(), bytes.read()) };
        model.clear();
        model.put(Model::parse(bytes)?);
        Ok(())
    })())
}

/// What a model needs and gives.
///
/// # Safety
/// What the header says: memory is there where it is said to be.
#[unsafe(no_mangle)] // SAFETY: nothing else has this name.
pub unsafe extern "C" fn siamese_model_get_info(
    model: *const siamese_model,
    info: *mut siamese_model_info,
) -> i32 {
    status((|| {
        let (model, info) = (Part::one(model)?, Part::one(info)?);
        check_apart(&[info.range()], &[model.range()])?;
        // SAFETY: the caller says that it is there.
        let model = unsafe { model.borrow() }.get()?;
        let (shared, hidden1) = model.buffer_sizes();
        let header = model.header();
        let found = siamese_model_info {
            width: header.input.width.into(),
            height: header.input.height.into(),
            dim: model.dim() as u32,
            // Two layers of at most 65,535 activations.
            scratch: (shared + hidden1) as u32,
            fingerprint: model.fingerprint(),
            scale: header.scales.embedding,
        };
        // SAFETY: the caller says that it is there, and it is apart from the model.
        unsafe { info.put(found) };
        Ok(())
    })())
}

/// Embeds an image.
///
/// # Safety
/// What the header says: memory is there where it is said to be.
#[unsafe(no_mangle)] // SAFETY: nothing else has this name.
pub unsafe extern "C" fn siamese_embed(
    model: *const siamese_model,
    pixels: *const u8,
    pixel_count: usize,
    scratch: *mut u8,
    scratch_length: usize,
    embedding: *mut i16,
    dim: usize,
) -> i32 {
    status((|| {
        let (model, pixels) = (Part::one(model)?, Part::new(pixels, pixel_count)?);
        let scratch = Part::new(scratch, scratch_length)?;
        let embedding = Part::new(embedding, dim)?;
        check_apart(
            &[scratch.range(), embedding.range()],
            &[model.range(), pixels.range()],
        )?;
        // SAFETY: the caller says that all are there, and they are apart.
        let (model, pixels) = unsafe { (model.borrow(), pixels.read()) };
        // SAFETY: likewise.
        let (scratch, embedding) = unsafe { (scratch.write(), embedding.write()) };
        let model = model.get()?;
        let (shared, _) = model.buffer_sizes();
        let parts = scratch.split_at_mut_checked(shared);
        let (shared, hidden1) = parts.ok_or(Error::Scratch)?;
        let buffers = Buffers { shared, hidden1 };
        embed_into(model, pixels, buffers, embedding)?;
        Ok(())
    })())
}
