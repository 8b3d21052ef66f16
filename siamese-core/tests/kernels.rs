//! Every backend against the plainest arithmetic: one set of tests for each
//! order of weights, on models and images made to break shortcuts, one by one and
//! in batches.

mod common;

use common::{Layer, Parts, any_parts, fixed_parts};
use proptest::prelude::*;
use siamese_build::{BatchEmbedder, OwnedModel};
use siamese_core::embedder::{Buffers, embed_batch_with, embed_into, embed_with};
use siamese_core::image::{Input, Pooling};
use siamese_core::kernel::{self, Backend, Kernel, Portable};
use siamese_core::model::{Layout, Model, Precision};
use siamese_core::{Requantise, SizeError};

/// What a backend makes of an image: both hidden layers and the coordinates.
type Layers = (Vec<u8>, Vec<u8>, Vec<i16>);

/// Runs an embedding in memory of the right size.
/// What an earlier image left behind must not matter.
fn run(model: &Model<'_>, embed: impl FnOnce(Buffers<'_>, &mut [i16])) -> Layers {
    let (shared_len, hidden1_len) = model.buffer_sizes();
    let (mut shared, mut hidden1) = (vec![0xFF; shared_len], vec![0xFF; hidden1_len]);
    let mut embedding = vec![-1; model.dim()];
    let buffers = Buffers {
        shared: &mut shared,
        hidden1: &mut hidden1,
    };
    embed(buffers, &mut embedding);
    let [_, second, _] = model.layers();
    shared.truncate(second.outputs());
    (hidden1, shared, embedding)
}

/// Compares a backend with the oracle, one image after the other and in batches
/// of several sizes, also of more images than there are.
fn agrees_by(kernel: impl Kernel, model: &Model<'_>, images: &[Vec<u8>], expected: &[Layers]) {
    let name = kernel.name();
    for (image, expected) in images.iter().zip(expected) {
        let found = run(model, |buffers, out| {
            embed_with(kernel, model, image, buffers, out).unwrap();
        });
        assert_eq!(found, *expected, "{name}");
    }
    let expected: Vec<i16> = expected.iter().flat_map(|(_, _, e)| e.clone()).collect();
    let (shared, hidden1) = model.buffer_sizes();
    for most in [1, 2, images.len() + 1] {
        let (mut shared, mut hidden1) = (vec![0xFF; shared * most], vec![0xFF; hidden1 * most]);
        let mut embeddings = vec![-1; expected.len()];
        let buffers = Buffers {
            shared: &mut shared,
            hidden1: &mut hidden1,
        };
        embed_batch_with(kernel, model, &images.concat(), buffers, &mut embeddings).unwrap();
        assert_eq!(embeddings, expected, "{name}, {most} at a time");
    }
}

/// Compares every backend of this processor on `layout` with the oracle; whether one
/// is made for it.
fn agrees(layout: Layout, parts: &Parts, images: &[Vec<u8>]) -> bool {
    let rows = OwnedModel::new(&parts.encode().unwrap()).unwrap();
    let Ok(packed) = rows.repacked(layout) else {
        // Only interleaved rows refuse weights, those that are too large for 24 bits.
        assert_eq!(layout, Layout::Interleaved);
        return false;
    };
    let model = packed.model();
    let expected: Vec<Layers> = images.iter().map(|image| parts.oracle(image)).collect();
    // Those for other layouts, too: they must leave this one to the portable.
    for backend in Backend::all() {
        agrees_by(backend, &model, images, &expected);
    }
    let image = &images[0];
    let into = run(&model, |buffers, out| {
        embed_into(&model, image, buffers, out).unwrap();
    });
    assert_eq!(into, expected[0]);
    kernel::runs(layout)
}

/// Images of that many pixels that shortcuts might trip over.
fn adversarial(input: Input) -> Vec<Vec<u8>> {
    let (width, pixels) = (usize::from(input.width), input.pixels());
    let of = |pixel: &dyn Fn(usize) -> u8| (0..pixels).map(pixel).collect::<Vec<_>>();
    let mut images = vec![
        of(&|_| 0),
        of(&|_| 255),
        of(&|_| 1),
        of(&|i| {
            if (i / width + i % width) % 2 == 0 {
                255
            } else {
                0
            }
        }),
        of(&|i| {
            if (i / width + i % width) % 2 == 1 {
                255
            } else {
                0
            }
        }),
        of(&|i| (i * 89 % 256) as u8),
    ];
    for lit in [0, 1, width, pixels / 2, pixels - 1] {
        images.push(of(&|i| if i == lit { 255 } else { 0 }));
    }
    if cfg!(miri) {
        images = images.into_iter().step_by(4).collect();
    }
    images
}

/// A model in which all weights are `weight(layer, row, column)`.
fn model_of(input: Input, sizes: [usize; 3], weight: impl Fn(usize, usize, usize) -> i8) -> Parts {
    let mut inputs = input.activations();
    let layers = std::array::from_fn(|layer| {
        let outputs = sizes[layer];
        let made = Layer {
            weights: (0..outputs * inputs)
                .map(|i| weight(layer, i / inputs, i % inputs))
                .collect(),
            biases: (0..outputs).map(|row| row as i32 * 77 - 500).collect(),
            requantise: vec![Requantise::new(1 << 30, 41).unwrap(); outputs],
        };
        inputs = outputs;
        made
    });
    Parts {
        input,
        precision: Precision::INT8,
        layers,
    }
}

fn digits(pooling: Pooling) -> Input {
    Input {
        width: 28,
        height: 28,
        pooling,
        deskew: false,
    }
}

/// The adversarial models: the usual sizes and odd ones, all weights extreme.
fn models() -> Vec<Parts> {
    let odd = Input {
        width: 13,
        height: 7,
        pooling: Pooling::None,
        deskew: false,
    };
    // More than 1024 inputs: an index that doesn't hold all.
    let large = Input {
        width: 37,
        height: 31,
        pooling: Pooling::None,
        deskew: false,
    };
    let mut models = Vec::new();
    let mut all = vec![
        (odd, [17, 9, 3]),
        (odd, [1, 1, 1]),
        (digits(Pooling::None), [128, 64, 2]),
        (digits(Pooling::Checkerboard), [128, 64, 16]),
        (large, [33, 70, 5]),
    ];
    // Miri takes a thousand times as long: for it one model, with few images.
    all.truncate(if cfg!(miri) { 1 } else { all.len() });
    for (input, sizes) in all {
        models.push(model_of(input, sizes, |_, _, _| 127));
        models.push(model_of(input, sizes, |_, _, _| -127));
        models.push(model_of(input, sizes, |_, row, column| {
            if (row + column) % 2 == 0 { 127 } else { -127 }
        }));
        // Small enough for interleaved rows, whatever the image.
        models.push(model_of(input, sizes, |layer, row, column| {
            ((row * 31 + column * 7 + layer) % 63) as i8 - 31
        }));
    }
    models
}

/// The tests of one order of weights.
macro_rules! agrees {
    ($($name:ident: $layout:expr;)*) => {$(
        mod $name {
            use super::*;

            #[test]
            fn on_adversarial_models_and_images() {
                let ran = models()
                    .iter()
                    .filter(|parts| agrees($layout, parts, &adversarial(parts.input)))
                    .count();
                let name = Backend::detect($layout).unwrap_or(Backend::PORTABLE).name();
                println!("{}: {name} on {ran} models", stringify!($name));
                assert!(ran > 0 || !kernel::runs($layout));
            }

            proptest! {
                #[test]
                fn on_random_models_and_images(
                    (parts, images) in any_parts().prop_flat_map(|parts| {
                        let image = prop::collection::vec(
                            prop_oneof![3 => Just(0u8), 1 => any::<u8>()],
                            parts.input.pixels(),
                        );
                        (Just(parts), prop::collection::vec(image, 3))
                    })
                ) {
                    agrees($layout, &parts, &images);
                }
            }
        }
    )*};
}

agrees! {
    rows: Layout::Rows;
    columns: Layout::Columns;
    interleaved: Layout::Interleaved;
    quads: Layout::Quads;
    wide_tiles: Layout::WideTiles;
}

#[test]
fn the_preferred_layout_runs() {
    assert!(kernel::runs(kernel::preferred()));
}

/// The embeddings of `count` images, given as one batch.
fn batch(model: &Model<'_>, images: &[Vec<u8>], count: usize) -> Vec<i16> {
    let images: Vec<_> = images.iter().cycle().take(count).cloned().collect();
    let mut embeddings = vec![-1; count * model.dim()];
    let mut embedder = BatchEmbedder::new(*model);
    embedder.embed(&images.concat(), &mut embeddings).unwrap();
    embeddings
}

#[test]
fn batches_of_any_size_give_what_single_images_give() {
    for parts in models() {
        let rows = OwnedModel::new(&parts.encode().unwrap()).unwrap();
        let fast = rows.for_this_machine().unwrap();
        let images = adversarial(parts.input);
        let expected: Vec<_> = images.iter().map(|image| parts.oracle(image).2).collect();
        let counts = [0, 1, 2, 7, 63, 64, 65, 1000];
        for &count in &counts[..if cfg!(miri) { 4 } else { 8 }] {
            let expected = expected.iter().cycle().take(count).flatten().copied();
            let found = batch(&fast.model(), &images, count);
            assert_eq!(found, expected.collect::<Vec<_>>(), "{count} images");
        }
    }
}

proptest! {
    #[test]
    fn random_batches_give_what_single_images_give(
        (parts, images) in any_parts().prop_flat_map(|parts| {
            let image = prop::collection::vec(
                prop_oneof![3 => Just(0u8), 1 => any::<u8>()],
                parts.input.pixels(),
            );
            (Just(parts), prop::collection::vec(image, 1..10))
        }),
        count in prop_oneof![Just(1usize), Just(2), Just(7), Just(64), Just(1000), 0usize..200],
    ) {
        let rows = OwnedModel::new(&parts.encode().unwrap()).unwrap();
        let fast = rows.for_this_machine().unwrap();
        let expected: Vec<_> = images.iter().map(|image| parts.oracle(image).2).collect();
        let expected: Vec<i16> = expected.iter().cycle().take(count).flatten().copied().collect();
        prop_assert_eq!(batch(&fast.model(), &images, count), expected);
    }
}

#[test]
#[cfg_attr(miri, ignore = "large models, for which Miri takes hours")]
fn the_models_of_the_repository_embed_alike_in_batches() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../model");
    for name in [
        "tiny",
        "tiny-d16",
        "swift",
        "small",
        "small-d16",
        "medium",
        "reference",
    ] {
        let rows = OwnedModel::read(&folder.join(name).with_extension("siam")).unwrap();
        let fast = rows.for_this_machine().unwrap();
        let (rows, fast) = (rows.model(), fast.model());
        // Blots of some size, at some place, on black.
        let mut images = adversarial(rows.header().input);
        for number in 0..90 {
            let (x, y, size) = (number % 19, number * 7 % 23, 3 + number % 11);
            images.push(
                (0..28 * 28)
                    .map(|i| match (i % 28, i / 28) {
                        (u, v) if (x..x + size).contains(&u) && (y..y + size).contains(&v) => {
                            (i * number * 37 % 256) as u8
                        }
                        _ => 0,
                    })
                    .collect(),
            );
        }
        let expected: Vec<i16> = images
            .iter()
            .flat_map(|image| {
                run(&rows, |buffers, out| {
                    embed_with(Portable, &rows, image, buffers, out).unwrap();
                })
                .2
            })
            .collect();
        assert_eq!(batch(&fast, &images, images.len()), expected, "{name}");
    }
}

#[test]
fn batches_of_wrong_sizes_are_refused() {
    let parts = fixed_parts();
    let file = OwnedModel::new(&parts.encode().unwrap()).unwrap();
    let mut embedder = BatchEmbedder::new(file.model());
    let mut embeddings = [7; 4];
    let error = embedder.embed(&[0; 31], &mut embeddings).unwrap_err();
    let (expected, found) = (16, 15);
    assert_eq!(error, SizeError::Image { expected, found });
    let error = embedder.embed(&[0; 48], &mut embeddings).unwrap_err();
    assert_eq!(error, SizeError::Dimension { model: 6, asked: 4 });
    assert_eq!(embeddings, [7; 4]);
    embedder.embed(&[0; 32], &mut embeddings).unwrap();
}
