//! The embedder's contract; `kernels.rs` compares the numbers.

mod common;

use common::fixed_parts;
use siamese_build::OwnedModel;
use siamese_core::{Embedder, Model, SizeError};

/// Random, black, white, checkered and single-pixel images.
fn images(pixels: usize, seed: u64) -> Vec<Vec<u8>> {
    let noise = |i: usize| (seed.wrapping_mul(2 * i as u64 + 1) >> 32) as u8;
    vec![
        (0..pixels).map(noise).collect(),
        (0..pixels)
            .map(|i| if noise(i) < 200 { 0 } else { noise(i + pixels) })
            .collect(),
        vec![0; pixels],
        vec![255; pixels],
        (0..pixels)
            .map(|i| if i % 2 == 0 { 255 } else { 0 })
            .collect(),
        (0..pixels)
            .map(|i| if i == seed as usize % pixels { 255 } else { 0 })
            .collect(),
    ]
}

#[test]
fn the_static_embedder_gives_the_same() {
    let parts = fixed_parts();
    let bytes = parts.encode().unwrap();
    let mut embedder: Embedder<'_, 2, 16, 3> =
        Embedder::new(Model::parse(&bytes).unwrap()).unwrap();
    for pixels in images(16, 99) {
        let (hidden1, hidden2, expected) = parts.oracle(&pixels);
        assert_eq!(embedder.embed(&pixels).unwrap().0[..], expected[..]);
        assert_eq!(embedder.hidden(), [&hidden1[..], &hidden2[..]]);
    }
}

#[test]
fn larger_buffers_serve_as_well() {
    let parts = fixed_parts();
    let bytes = parts.encode().unwrap();
    let mut embedder: Embedder<'_, 2, 99, 50> =
        Embedder::new(Model::parse(&bytes).unwrap()).unwrap();
    let (_, _, expected) = parts.oracle(&[200; 16]);
    assert_eq!(embedder.embed(&[200; 16]).unwrap().0[..], expected[..]);
}

#[test]
fn wrong_sizes_are_refused_in_words() {
    let bytes = fixed_parts().encode().unwrap();
    let model = Model::parse(&bytes).unwrap();
    let error = Embedder::<3, 16, 3>::new(model).unwrap_err();
    assert_eq!(error, SizeError::Dimension { model: 2, asked: 3 });
    let error = Embedder::<2, 15, 3>::new(model).unwrap_err();
    assert_eq!(
        error,
        SizeError::Buffers {
            needed: (16, 3),
            found: (15, 3)
        }
    );
    let mut embedder: Embedder<'_, 2, 16, 3> = Embedder::new(model).unwrap();
    let error = embedder.embed(&[0; 15]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the image has 15 pixels and the model takes 16"
    );
}

#[test]
fn ram_is_the_buffers_and_a_small_view() {
    type Small<'m> = siamese_core::preset::Small<'m>;
    let view = size_of::<Model<'_>>();
    assert!(Small::RAM >= 392 + 128 + view);
    assert!(Small::RAM < 392 + 128 + view + 8);
    // On a 64-bit host; 32-bit devices need about half.
    assert!(view <= 400, "{view}");
}

/// Each committed model, and the preset that fits it exactly.
#[test]
#[cfg_attr(miri, ignore = "large models, for which Miri takes hours")]
fn presets_fit_the_models_of_the_repository() {
    use siamese_core::preset::{
        Medium, Reference, Small, SmallD16, SmallFewshot, Swift, Tiny, TinyD16,
    };

    /// The number of coordinates and the buffers of a preset.
    trait Sizes {
        const SIZES: (usize, (usize, usize));
    }

    impl<const D: usize, const SHARED: usize, const HIDDEN1: usize> Sizes
        for Embedder<'_, D, SHARED, HIDDEN1>
    {
        const SIZES: (usize, (usize, usize)) = (D, (SHARED, HIDDEN1));
    }

    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../model");
    let mut models = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "siam") {
            continue;
        }
        let file = OwnedModel::read(&path).unwrap();
        let model = file.model();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let preset = match name {
            "tiny" => <Tiny<'_> as Sizes>::SIZES,
            "tiny-d16" => <TinyD16<'_> as Sizes>::SIZES,
            "swift" => <Swift<'_> as Sizes>::SIZES,
            "small" => <Small<'_> as Sizes>::SIZES,
            "small-d16" => <SmallD16<'_> as Sizes>::SIZES,
            "small-fewshot" | "small-fewshot-without-789" => <SmallFewshot<'_> as Sizes>::SIZES,
            "medium" => <Medium<'_> as Sizes>::SIZES,
            "reference" => <Reference<'_> as Sizes>::SIZES,
            other => panic!("{other} has no preset"),
        };
        let (shared, hidden1) = model.buffer_sizes();
        // One preset has two shapes, and the buffers of both.
        let shared = if name.starts_with("tiny") {
            196.max(shared)
        } else {
            shared
        };
        assert_eq!(preset, (model.dim(), (shared, hidden1)), "{name}");
        models += 1;
    }
    assert_eq!(models, 9);
}

#[test]
fn included_models_are_aligned() {
    let bytes: &'static [u8] = siamese_core::include_model!("../../model/tiny.siam");
    assert!(bytes.as_ptr().addr().is_multiple_of(16));
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../model/tiny.siam");
    assert_eq!(bytes, std::fs::read(path).unwrap());
}
