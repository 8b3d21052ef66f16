//! Networks as Python writes them, made here without Python.

use half::{bf16, f16};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::tensor::{Dtype, TensorView};
use siamese_core::image::{Input, Pooling};

use super::*;
use crate::train::float_network::{FloatNetwork, Linear};

const INPUT: Input = Input {
    width: 6,
    height: 5,
    pooling: Pooling::None,
    deskew: false,
};
const SIZES: [usize; 4] = [30, 24, 16, 3];
const EPSILON: f64 = 1e-3;
const NORMALISED: InputRange = InputRange {
    white: 1.0,
    mean: 0.13,
    deviation: 0.31,
};

/// How a number is written.
type Bytes<'a> = &'a dyn Fn(f32) -> Vec<u8>;
/// A tensor in the making.
type Entry = (String, Vec<usize>, Vec<f32>);

/// Layers 0, 3, 6 of a `Sequential` with batch norms 1 and 4, the first layer
/// without a bias.
fn entries() -> Vec<Entry> {
    let mut generator = ChaCha8Rng::seed_from_u64(3);
    let mut entries = Vec::new();
    for (layer, index) in [0, 3, 6].into_iter().zip(0..) {
        let (inputs, outputs) = (SIZES[index], SIZES[index + 1]);
        let mut add = |name: String, shape: Vec<usize>, low: f32, high: f32| {
            let count = shape.iter().product();
            let values = (0..count).map(|_| generator.random_range(low..high));
            entries.push((name, shape, values.collect()));
        };
        let limit = (3.0 / inputs as f32).sqrt();
        add(
            format!("{layer}.weight"),
            vec![outputs, inputs],
            -limit,
            limit,
        );
        if index > 0 {
            add(format!("{layer}.bias"), vec![outputs], -0.3, 0.3);
        }
        if index < 2 {
            let norm = layer + 1;
            add(format!("{norm}.weight"), vec![outputs], 0.5, 1.5);
            add(format!("{norm}.bias"), vec![outputs], -0.4, 0.4);
            add(format!("{norm}.running_mean"), vec![outputs], -0.5, 0.5);
            add(format!("{norm}.running_var"), vec![outputs], 0.2, 2.0);
        }
    }
    entries
}

/// The file of these tensors, each number written by `bytes`, with the counter
/// that PyTorch puts beside a batch norm.
fn file(entries: &[Entry], kind: Dtype, bytes: impl Fn(f32) -> Vec<u8>) -> Vec<u8> {
    let data: Vec<Vec<u8>> = entries
        .iter()
        .map(|(_, _, values)| values.iter().flat_map(|&value| bytes(value)).collect())
        .collect();
    let counter = 7i64.to_le_bytes();
    let views = entries.iter().zip(&data).map(|((name, shape, _), data)| {
        let view = TensorView::new(kind, shape.clone(), data).unwrap();
        (name.as_str(), view)
    });
    let counter = TensorView::new(Dtype::I64, vec![], &counter).unwrap();
    let views = views.chain([("1.num_batches_tracked", counter)]);
    safetensors::serialize(views, None).unwrap()
}

fn single(entries: &[Entry]) -> Weights {
    Weights::parse(&file(entries, Dtype::F32, |value| {
        value.to_le_bytes().into()
    }))
    .unwrap()
}

fn pixels(count: usize) -> Vec<u8> {
    let mut generator = ChaCha8Rng::seed_from_u64(4);
    let dark = |generator: &mut ChaCha8Rng| generator.random_range(0..3) > 0;
    (0..count * 30)
        .map(|_| {
            if dark(&mut generator) {
                0
            } else {
                generator.random()
            }
        })
        .collect()
}

/// What the layers as they are in the file give for an image, step by step.
fn naive(entries: &[Entry], place: NormPlace, pixels: &[u8]) -> Vec<f64> {
    let find = |name: String| entries.iter().find(|entry| entry.0 == name);
    let mut values: Vec<f64> = pixels
        .iter()
        .map(|&pixel| (f64::from(pixel) / 255.0 - NORMALISED.mean) / NORMALISED.deviation)
        .collect();
    for layer in [0, 3, 6] {
        let weight = &find(format!("{layer}.weight")).unwrap().2;
        let bias = find(format!("{layer}.bias"));
        let rows = weight.chunks_exact(values.len()).enumerate();
        values = rows
            .map(|(unit, row)| {
                let products = row.iter().zip(&values);
                products
                    .map(|(&w, value)| f64::from(w) * value)
                    .sum::<f64>()
                    + bias.map_or(0.0, |bias| f64::from(bias.2[unit]))
            })
            .collect();
        let norm = |values: &mut [f64]| {
            let part = |part: &str| &find(format!("{}.{part}", layer + 1)).unwrap().2;
            for (unit, value) in values.iter_mut().enumerate() {
                let number = |name: &str| f64::from(part(name)[unit]);
                *value = (*value - number("running_mean"))
                    / (number("running_var") + EPSILON).sqrt()
                    * number("weight")
                    + number("bias");
            }
        };
        let relu = |values: &mut [f64]| values.iter_mut().for_each(|value| *value = value.max(0.0));
        match (layer, place) {
            (6, _) => {}
            (_, NormPlace::BeforeRelu) => {
                norm(&mut values);
                relu(&mut values);
            }
            (_, NormPlace::AfterRelu) => {
                relu(&mut values);
                norm(&mut values);
            }
        }
    }
    values
}

/// What the folded layers give for shares of white.
fn folded(network: &FloatNetwork, pixels: &[u8]) -> Vec<f64> {
    let mut values: Vec<f64> = pixels
        .iter()
        .map(|&pixel| f64::from(pixel) / 255.0)
        .collect();
    for (
        index,
        Linear {
            inputs,
            weight,
            bias,
            ..
        },
    ) in network.layers.iter().enumerate()
    {
        let rows = weight.chunks_exact(*inputs).zip(bias);
        values = rows
            .map(|(row, &bias)| {
                let products = row.iter().zip(&values);
                let sum: f64 = products.map(|(&w, value)| f64::from(w) * value).sum();
                let sum = sum + f64::from(bias);
                if index < 2 { sum.max(0.0) } else { sum }
            })
            .collect();
    }
    values
}

fn farthest(a: &[f64], b: &[f64]) -> f64 {
    a.iter()
        .zip(b)
        .fold(0.0, |most, (a, b)| f64::max(most, (a - b).abs()))
}

#[test]
fn folding_changes_nothing() {
    let entries = entries();
    let weights = single(&entries);
    let roles = weights.roles().unwrap();
    assert_eq!(roles.layers, ["0", "3", "6"]);
    assert_eq!(roles.norms, [Some("1".into()), Some("4".into()), None]);
    for place in [NormPlace::BeforeRelu, NormPlace::AfterRelu] {
        let network = weights
            .network(&roles, INPUT, NORMALISED, place, EPSILON)
            .unwrap();
        for image in pixels(20).chunks_exact(30) {
            let expected = naive(&entries, place, image);
            let difference = farthest(&expected, &folded(&network, image));
            assert!(difference < 1e-5, "{place:?}: {difference}");
        }
    }
}

#[test]
fn raw_bytes_as_the_input_are_the_same_network() {
    let weights = single(&entries());
    let roles = weights.roles().unwrap();
    let network = |range| {
        weights
            .network(&roles, INPUT, range, NormPlace::BeforeRelu, EPSILON)
            .unwrap()
    };
    let raw = InputRange {
        white: 255.0,
        mean: 255.0 * NORMALISED.mean,
        deviation: 255.0 * NORMALISED.deviation,
    };
    let image = &pixels(1);
    let difference = farthest(
        &folded(&network(raw), image),
        &folded(&network(NORMALISED), image),
    );
    assert!(difference < 1e-5, "{difference}");
}

#[test]
fn floats_of_every_width_are_read() {
    let entries = entries();
    let exact = single(&entries);
    let cases: [(Dtype, Bytes<'_>, f32); 3] = [
        (
            Dtype::F16,
            &|value| f16::from_f32(value).to_le_bytes().into(),
            1e-3,
        ),
        (
            Dtype::BF16,
            &|value| bf16::from_f32(value).to_le_bytes().into(),
            8e-3,
        ),
        (
            Dtype::F64,
            &|value| f64::from(value).to_le_bytes().into(),
            0.0,
        ),
    ];
    for (kind, bytes, share) in cases {
        let read = Weights::parse(&file(&entries, kind, bytes)).unwrap();
        assert_eq!(read.arrays.len(), exact.arrays.len());
        for (name, array) in &read.arrays {
            for (&value, &exact) in array.values.iter().zip(&exact.arrays[name].values) {
                assert!(
                    (value - exact).abs() <= share * exact.abs(),
                    "{kind:?} {name}"
                );
            }
        }
    }
}

#[test]
fn layers_are_found_by_shape_whatever_their_names() {
    let mut entries = entries();
    for (name, _, _) in &mut entries {
        let (group, part) = name.split_once('.').unwrap();
        let group = ["z", "n.1", "-", "a", "n.2", "-", "m"][group.parse::<usize>().unwrap()];
        *name = format!("{group}.{part}");
    }
    let roles = single(&entries).roles().unwrap();
    assert_eq!(roles.layers, ["z", "a", "m"]);
    assert_eq!(roles.norms, [Some("n.1".into()), Some("n.2".into()), None]);
}

#[test]
fn what_does_not_fit_is_told_with_what_the_file_holds() {
    let all = entries();
    let error = |entries: &[Entry]| format!("{:#}", single(entries).roles().unwrap_err());
    let without = |name: &str| -> Vec<Entry> {
        all.iter()
            .filter(|entry| entry.0 != name)
            .cloned()
            .collect()
    };
    let missing = error(&without("3.weight"));
    assert!(missing.contains("2 weight matrices") && missing.contains("0.weight [24, 30]"));
    assert!(missing.contains("--map"), "{missing}");

    let mut turned = all.clone();
    turned
        .iter_mut()
        .find(|entry| entry.0 == "3.weight")
        .unwrap()
        .1
        .reverse();
    assert!(error(&turned).contains("no order of the three layers"));

    let network = |entries: &[Entry], input| {
        let weights = single(entries);
        let roles = "layer1=0,layer2=3,layer3=6,norm1=1".parse().unwrap();
        let network = weights.network(&roles, input, NORMALISED, NormPlace::BeforeRelu, 1e-5);
        format!("{:#}", network.unwrap_err())
    };
    let large = Input { width: 9, ..INPUT };
    assert!(network(&all, large).contains("--input"));
    assert!(network(&without("1.running_var"), INPUT).contains("running_var"));
    assert!(network(&without("6.weight"), INPUT).contains("no tensor 6.weight"));

    let nothing = Weights::parse(b"not a file").unwrap_err().to_string();
    assert!(nothing.contains("save_file"), "{nothing}");
    let mut infinite = all.clone();
    infinite[0].2[0] = f32::INFINITY;
    let bytes = file(&infinite, Dtype::F32, |value| value.to_le_bytes().into());
    assert!(
        Weights::parse(&bytes)
            .unwrap_err()
            .to_string()
            .contains("0.weight")
    );
}

#[cfg(feature = "torch")]
#[test]
fn the_integers_follow_the_floats_of_the_file() {
    use crate::dataset::{ClassNames, Images};
    use crate::embed::{ModelFile, embed_images};
    use crate::pipeline::Files;

    let entries = entries();
    let weights = single(&entries);
    let roles = weights.roles().unwrap();
    let place = NormPlace::BeforeRelu;
    let network = weights
        .network(&roles, INPUT, NORMALISED, place, EPSILON)
        .unwrap();
    let images = Images::new(6, 5, pixels(3_000)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let files = Files::new(folder.path(), "mine");
    let data = Data::Images(&images);
    let names = ClassNames::numbers();
    let report = convert(&network, weights.digest(), data, &names, &files, |_| {}).unwrap();
    assert_eq!((report.sizes, report.images), ([24, 16, 3], 3_000));
    assert!(report.precision.iter().all(|layer| layer.weights_db > 35.0));
    assert!(files.golden().exists() && files.report().exists());
    assert!(files.pictures().join("embed.txt").exists());

    let model = ModelFile::read(&files.model()).unwrap();
    assert_eq!(model.model().header().training_digest, weights.digest());
    let points = embed_images(&model.model(), &images).unwrap();
    let (mut signal, mut noise) = (0.0, 0.0);
    for (index, image) in images.iter().enumerate() {
        for (float, &step) in naive(&entries, place, image).iter().zip(points.get(index)) {
            signal += float.powi(2);
            noise += (float - f64::from(step) * f64::from(points.scale)).powi(2);
        }
    }
    // Grey levels, weights and activations are each rounded to a hundredth or so.
    let measured = 10.0 * (signal / noise).log10();
    assert!(measured > 33.0, "{measured} dB");
    let told = report.precision[2].outputs_db;
    assert!(
        (measured - told).abs() < 0.1,
        "measured {measured} dB, told {told} dB"
    );
}

#[cfg(feature = "torch")]
#[test]
fn exact_inputs_are_those_of_the_core_before_rounding() {
    for (pooling, deskew) in Pooling::ALL
        .map(|pooling| [(pooling, false), (pooling, true)])
        .concat()
    {
        let input = Input {
            pooling,
            deskew,
            ..INPUT
        };
        let pixels = pixels(50);
        let exact = convert::exact_inputs(input, &pixels);
        let rounded = crate::batch::loader::inputs_of(input, 7, &pixels);
        assert_eq!(exact.len(), rounded.len());
        for (exact, rounded) in exact.iter().zip(rounded) {
            assert!((exact - rounded).abs() <= 1.01 / 127.0, "{exact} {rounded}");
        }
    }
}
