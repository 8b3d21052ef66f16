//! Model files: what is accepted, and what is made of it by every kernel, alone and in batches.

use siamese_build::OwnedModel;
use siamese_core::embedder::{Buffers, embed_batch_with, embed_with};
use siamese_core::kernel::{Backend, Kernel};
use siamese_core::model::{Layout, repack, rewrite, rewritten_len};
use siamese_core::{Model, ModelError};

use crate::bytes::Bytes;
use crate::{made, naive};

/// Above so many products an image, a model is only looked at: time is better spent on others.
const MOST_MACS: u64 = 200_000;

/// Bytes that are mended to a model file, or a model that is damaged and mended: reader and
/// naive reader accept the same, and embed the same.
pub fn model(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let form = bytes.u8();
    let mut file = if form & 1 == 0 {
        bytes.clone().rest().to_vec()
    } else {
        let Some(mut file) = made::model(&mut bytes) else {
            return;
        };
        for _ in 0..bytes.below(4) {
            let at = usize::from(bytes.u16()) % file.len();
            file[at] ^= bytes.u8();
        }
        file
    };
    if form & 2 == 0 {
        naive::model::mend(&mut file);
    }
    let expected = naive::model::read(&file);
    let Ok(owned) = OwnedModel::new(&file) else {
        assert_eq!(expected, None, "refused, and the naive reader accepts it");
        let error = Model::parse(&file).expect_err("refused by one reader alone");
        assert!(!error.to_string().is_empty());
        return;
    };
    let expected = expected.expect("accepted, and the naive reader refuses it");
    // Byte for byte what the writer makes of it.
    let parsed = owned.model();
    let mut again = vec![0xAA; file.len()];
    assert_eq!(repack(&parsed, parsed.layout(), &mut again).unwrap(), file);
    assert_eq!(rewritten_len(&parsed, parsed.header()), Some(file.len()));
    assert_eq!(rewrite(&parsed, parsed.header(), &mut again).unwrap(), file);
    entries(&owned);
    agree(&owned, &expected, &mut bytes);
}

/// What is accepted at any address is accepted at the right ones, by the backends of its layout,
/// and without a look at its contents by who trusts it.
#[allow(unsafe_code, reason = "the bytes were accepted before")]
fn entries(owned: &OwnedModel) {
    let (bytes, layout) = (owned.bytes(), owned.model().layout());
    let told = |parsed: Result<Model<'_>, ModelError>| {
        parsed.map(|model| (model.fingerprint(), model.layout()))
    };
    let right = Ok((owned.model().fingerprint(), layout));
    for backend in Backend::all() {
        let expected = match backend.layout() == layout {
            true => right,
            false => Err(ModelError::Layout { found: layout }),
        };
        assert_eq!(told(Model::parse_with(bytes, backend)), expected);
        // SAFETY: `OwnedModel` has had these bytes accepted, and nobody changes them.
        let trusted = unsafe { Model::parse_trusted_with(bytes, backend) };
        assert_eq!(told(trusted), expected);
    }
    let parsed = told(Model::parse(bytes));
    // SAFETY: as above.
    assert_eq!(told(unsafe { Model::parse_trusted(bytes) }), parsed);
    // At an odd address.
    let mut moved = vec![0; bytes.len() + 1];
    let odd = (moved.as_ptr().addr() + 1) % 2;
    moved[odd..][..bytes.len()].copy_from_slice(bytes);
    let moved = &moved[odd..][..bytes.len()];
    assert_eq!(told(Model::parse_any(moved)), right);
    let needs_alignment = layout != Layout::Rows || owned.model().has_lanes();
    match told(Model::parse(moved)) {
        Ok(found) => assert!(!needs_alignment && right == Ok(found)),
        Err(error) => assert!(parsed == Err(error) || error == ModelError::Misaligned),
    }
}

/// A model that is made, in every order of weights and back.
pub fn orders(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let Some(file) = made::model(&mut bytes) else {
        return;
    };
    let owned = OwnedModel::new(&file).unwrap();
    let rows = naive::model::read(&file).expect("the encoder wrote what no reader takes");
    for layout in Layout::ALL {
        let Ok(packed) = owned.repacked(layout) else {
            // Only interleaved rows refuse weights, those that are too large for 24 bits.
            assert_eq!(layout, Layout::Interleaved);
            continue;
        };
        let read = naive::model::read(packed.bytes()).expect("repacked, and no model");
        assert_eq!((&read.layers, read.order), (&rows.layers, layout.number()));
        assert_eq!(packed.repacked(Layout::Rows).unwrap().bytes(), file);
        agree(&packed, &read, &mut bytes.clone());
    }
    let fast = owned.for_this_machine().unwrap();
    let read = naive::model::read(fast.bytes()).expect("repacked, and no model");
    agree(&fast, &read, &mut bytes);
}

/// Every backend, alone and in batches, against the naive model.
fn agree(owned: &OwnedModel, naive: &naive::model::Model, bytes: &mut Bytes<'_>) {
    let model = owned.model();
    let header = model.header();
    assert_eq!(header.name, naive.name);
    assert_eq!(model.fingerprint(), naive.fingerprint());
    if header.macs() > MOST_MACS {
        return;
    }
    let images = made::images(bytes, &header.input);
    let expected: Vec<_> = images.iter().map(|image| naive.embed(image)).collect();
    for kernel in Backend::all() {
        for (image, expected) in images.iter().zip(&expected) {
            assert_eq!(one(kernel, &model, image), *expected, "{}", kernel.name());
        }
        let expected: Vec<i64> = expected
            .iter()
            .flat_map(|layers| layers[2].clone())
            .collect();
        for most in [1, 2, images.len() + 1] {
            let found = batch(kernel, &model, &images, most);
            assert_eq!(found, expected, "{}, {most} at a time", kernel.name());
        }
    }
}

/// All layers of an image. What an earlier image left behind must not matter.
fn one(kernel: impl Kernel, model: &Model<'_>, image: &[u8]) -> [Vec<i64>; 3] {
    let (shared, hidden1) = model.buffer_sizes();
    let (mut shared, mut hidden1) = (vec![0xFF; shared], vec![0xFF; hidden1]);
    let mut embedding = vec![-1; model.dim()];
    let buffers = Buffers {
        shared: &mut shared,
        hidden1: &mut hidden1,
    };
    embed_with(kernel, model, image, buffers, &mut embedding).unwrap();
    let [_, second, _] = model.layers();
    let wide = |bytes: &[u8]| bytes.iter().map(|&byte| byte.into()).collect();
    [
        wide(&hidden1),
        wide(&shared[..second.outputs()]),
        embedding.iter().map(|&x| x.into()).collect(),
    ]
}

/// The embeddings of some images, so many at a time.
fn batch(kernel: impl Kernel, model: &Model<'_>, images: &[Vec<u8>], most: usize) -> Vec<i64> {
    let (shared, hidden1) = model.buffer_sizes();
    let (mut shared, mut hidden1) = (vec![0xFF; shared * most], vec![0xFF; hidden1 * most]);
    let mut embeddings = vec![-1; images.len() * model.dim()];
    let buffers = Buffers {
        shared: &mut shared,
        hidden1: &mut hidden1,
    };
    embed_batch_with(kernel, model, &images.concat(), buffers, &mut embeddings).unwrap();
    embeddings.iter().map(|&x| x.into()).collect()
}
