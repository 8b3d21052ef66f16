//! Every back end against the plainest arithmetic: one set of tests for each
//! order of weights, on models and images made to break shortcuts.

mod common;

use common::{Layer, Parts, any_parts};
use proptest::prelude::*;
use siamese_core::Requantise;
use siamese_core::embedder::{Buffers, embed_into, embed_with};
use siamese_core::host::OwnedModel;
use siamese_core::image::{Input, Pooling};
use siamese_core::kernel::{self, Portable};
use siamese_core::model::{Layout, Model};

/// What a back end makes of an image: both hidden layers and the coordinates.
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

/// Compares every back end that can run `layout` with the oracle; whether one
/// but the portable did.
fn agrees(layout: Layout, parts: &Parts, images: &[Vec<u8>]) -> bool {
    let rows = OwnedModel::new(&parts.encode().unwrap()).unwrap();
    let Ok(packed) = rows.repacked(layout) else {
        // Only pairs refuse weights, those that are too large for 24 bits.
        assert_eq!(layout, Layout::Pairs);
        return false;
    };
    let model = packed.model();
    for image in images {
        let expected = parts.oracle(image);
        let portable = run(&model, |buffers, out| {
            embed_with::<Portable>(&model, image, buffers, out).unwrap();
        });
        assert_eq!(portable, expected, "portable, {}", layout.name());
        let active = run(&model, |buffers, out| {
            embed_into(&model, image, buffers, out).unwrap();
        });
        assert_eq!(active, expected, "{}", kernel::name(layout));
    }
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
    Parts { input, layers }
}

fn digits(pooling: Pooling) -> Input {
    Input {
        width: 28,
        height: 28,
        pooling,
    }
}

/// The adversarial models: the usual sizes and odd ones, all weights extreme.
fn models() -> Vec<Parts> {
    let odd = Input {
        width: 13,
        height: 7,
        pooling: Pooling::None,
    };
    // More than 1024 inputs: lists that don't hold all.
    let large = Input {
        width: 37,
        height: 31,
        pooling: Pooling::None,
    };
    let mut models = Vec::new();
    for (input, sizes) in [
        (digits(Pooling::None), [128, 64, 2]),
        (digits(Pooling::Checkerboard), [128, 64, 16]),
        (odd, [17, 9, 3]),
        (odd, [1, 1, 1]),
        (large, [33, 70, 5]),
    ] {
        models.push(model_of(input, sizes, |_, _, _| 127));
        models.push(model_of(input, sizes, |_, _, _| -127));
        models.push(model_of(input, sizes, |_, row, column| {
            if (row + column) % 2 == 0 { 127 } else { -127 }
        }));
        // Small enough for pairs, whatever the image.
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
                println!("{}: {} on {ran} models", stringify!($name), kernel::name($layout));
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
    pairs: Layout::Pairs;
    quads: Layout::Quads;
    wide_quads: Layout::WideQuads;
}

#[test]
fn the_preferred_layout_runs() {
    assert!(kernel::runs(kernel::preferred()));
}
