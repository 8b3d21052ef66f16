//! A shaky hand, a bad camera, another pen: the committed `small` still knows
//! most digits. The gallery is of clean training images.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};
use siamese_tests::{model_path, root};
use siamese_train::dataset::{Dataset, Images, Source, Split};
use siamese_train::embed::{ModelFile, embed_images};
use siamese_train::evaluate::Labelled;
use siamese_train::evaluate::neighbours::knn;

const SIDE: usize = 28;

type Image = [f32; SIDE * SIDE];

/// The grey value at a position between pixels; black outside.
fn at(image: &Image, x: f32, y: f32) -> f32 {
    let pixel = |x: f32, y: f32| {
        let inside = (0.0..SIDE as f32).contains(&x) && (0.0..SIDE as f32).contains(&y);
        if inside {
            image[y as usize * SIDE + x as usize]
        } else {
            0.0
        }
    };
    let (left, top) = (x.floor(), y.floor());
    let (fx, fy) = (x - left, y - top);
    (1.0 - fy) * ((1.0 - fx) * pixel(left, top) + fx * pixel(left + 1.0, top))
        + fy * ((1.0 - fx) * pixel(left, top + 1.0) + fx * pixel(left + 1.0, top + 1.0))
}

/// Every pixel of the new image from its position.
fn each(value: impl Fn(f32, f32) -> f32) -> Image {
    std::array::from_fn(|i| value((i % SIDE) as f32, (i / SIDE) as f32))
}

fn shifted(image: &Image, pixels: f32, generator: &mut ChaCha8Rng) -> Image {
    let (dy, dx) = (generator.random::<f32>() * std::f32::consts::TAU).sin_cos();
    each(|x, y| at(image, x + pixels * dx, y + pixels * dy))
}

fn rotated(image: &Image, degrees: f32, generator: &mut ChaCha8Rng) -> Image {
    let sign = if generator.random() { 1.0 } else { -1.0 };
    let (sin, cos) = (sign * degrees).to_radians().sin_cos();
    let middle = (SIDE - 1) as f32 / 2.0;
    each(|x, y| {
        let (x, y) = (x - middle, y - middle);
        at(
            image,
            cos * x - sin * y + middle,
            sin * x + cos * y + middle,
        )
    })
}

/// What `combine` makes of a pixel and its neighbours in the given directions.
fn filtered(image: &Image, directions: &[(f32, f32)], combine: fn(&[f32]) -> f32) -> Image {
    each(|x, y| {
        let near: Vec<f32> = directions
            .iter()
            .map(|(dx, dy)| at(image, x + dx, y + dy))
            .collect();
        combine(&near)
    })
}

const CROSS: [(f32, f32); 5] = [(0.0, 0.0), (1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0)];

fn blurred(image: &Image) -> Image {
    let square: Vec<(f32, f32)> = (0..9)
        .map(|i| ((i % 3) as f32 - 1.0, (i / 3) as f32 - 1.0))
        .collect();
    filtered(image, &square, |near| near.iter().sum::<f32>() / 9.0)
}

fn thicker(image: &Image) -> Image {
    filtered(image, &CROSS, |near| {
        near.iter().copied().fold(0.0, f32::max)
    })
}

/// Halfway to an erosion: a whole one leaves nothing of many digits.
fn thinner(image: &Image) -> Image {
    let eroded = filtered(image, &CROSS, |near| {
        near.iter().copied().fold(255.0, f32::min)
    });
    std::array::from_fn(|i| (image[i] + eroded[i]) / 2.0)
}

fn noisy(image: &Image, deviation: f32, generator: &mut ChaCha8Rng) -> Image {
    let normal = Normal::new(0.0, deviation).unwrap();
    image.map(|pixel| pixel + normal.sample(generator))
}

#[test]
fn small_bears_a_shaky_hand() {
    let load = |split| Dataset::load(&root().join("data"), Source::Mnist, split).unwrap();
    let (train, test) = (load(Split::Train), load(Split::Test));
    let file = ModelFile::read(&model_path("small.siam")).unwrap();
    let gallery = embed_images(&file.model(), &train.images)
        .unwrap()
        .to_points()
        .unwrap();
    let accuracy = |distort: &mut dyn FnMut(&Image) -> Image| {
        let mut pixels = Vec::with_capacity(test.images.pixels().len());
        for source in &test.images {
            let image = distort(&std::array::from_fn(|i| f32::from(source[i])));
            pixels.extend(image.map(|pixel| (pixel + 0.5) as u8));
        }
        let images = Images::new(SIDE, SIDE, pixels).unwrap();
        let queries = embed_images(&file.model(), &images)
            .unwrap()
            .to_points()
            .unwrap();
        let gallery = Labelled::new(&gallery, &train.labels).unwrap();
        knn(
            gallery,
            Labelled::new(&queries, &test.labels).unwrap(),
            &[25],
        )
        .unwrap()[0]
    };
    let mut generator = ChaCha8Rng::seed_from_u64(1);
    let clean = accuracy(&mut |image| *image);
    let cases: [(&str, f64, f64); 8] = [
        (
            "shifted by 1 pixel",
            0.01,
            accuracy(&mut |i| shifted(i, 1.0, &mut generator)),
        ),
        (
            "shifted by 2.5 pixels",
            0.05,
            accuracy(&mut |i| shifted(i, 2.5, &mut generator)),
        ),
        (
            "rotated by 10 degrees",
            0.015,
            accuracy(&mut |i| rotated(i, 10.0, &mut generator)),
        ),
        (
            "rotated by 20 degrees",
            0.05,
            accuracy(&mut |i| rotated(i, 20.0, &mut generator)),
        ),
        ("blurred", 0.015, accuracy(&mut |i| blurred(i))),
        (
            "noise of 40",
            0.015,
            accuracy(&mut |i| noisy(i, 40.0, &mut generator)),
        ),
        ("thicker", 0.025, accuracy(&mut |i| thicker(i))),
        ("thinner", 0.015, accuracy(&mut |i| thinner(i))),
    ];
    println!("clean: {clean:.4}");
    for (name, _, found) in cases {
        println!("{name}: {found:.4}");
    }
    for (name, loss, found) in cases {
        assert!(found >= clean - loss, "{name}: {found} instead of {clean}");
    }
}
