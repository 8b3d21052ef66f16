//! Pictures of digits, larger than the network's frame, off their middle, on paper: the
//! committed `small` knows them nearly as well as MNIST's own.

use image::imageops::{FilterType, resize};
use image::{GrayImage, Luma};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};
use siamese_core::preprocess::{Grey, Ink, fit};
use siamese_tests::{model_path, root};
use siamese_train::dataset::{Class, Dataset, Images, Source, Split};
use siamese_train::embed::points::Points;
use siamese_train::embed::{ModelFile, embed_images};
use siamese_train::evaluate::Labelled;
use siamese_train::evaluate::neighbours::knn;

const SIDE: u16 = 28;
/// Test digits: enough to tell a point of a hundred.
const DIGITS: usize = 2000;
/// What the pictures may cost: a point.
const MOST_LOST: f64 = 0.01;

/// How a digit becomes a picture.
#[derive(Clone, Copy)]
struct Scene {
    /// Grey values of the ground, and of full ink.
    ground: (u8, u8),
    ink: (u8, u8),
    /// Standard deviation of the noise, in grey values.
    noise: f32,
    filter: FilterType,
}

impl Scene {
    /// The digit, 40 to 100 pixels high and wide, anywhere on a canvas of up to 128.
    fn picture(&self, digit: &[u8], generator: &mut ChaCha8Rng) -> GrayImage {
        let side = generator.random_range(40..=100u32);
        let source = GrayImage::from_raw(SIDE.into(), SIDE.into(), digit.to_vec()).unwrap();
        let large = resize(&source, side, side, self.filter);
        let mut between = |(low, high): (u8, u8)| f32::from(generator.random_range(low..=high));
        let (ground, ink) = (between(self.ground), between(self.ink));
        let mut room = || generator.random_range(0..=(128 - side).min(28));
        let [left, right, top, bottom] = [room(), room(), room(), room()];
        let (width, height) = (
            (side + left + right).min(128),
            (side + top + bottom).min(128),
        );
        let (left, top) = (left.min(width - side), top.min(height - side));
        let normal = Normal::new(0.0, self.noise).unwrap();
        GrayImage::from_fn(width, height, |x, y| {
            let inside = (left..left + side).contains(&x) && (top..top + side).contains(&y);
            let strength = match inside {
                true => f32::from(large.get_pixel(x - left, y - top).0[0]) / 255.0,
                false => 0.0,
            };
            let noise = match self.noise > 0.0 {
                true => normal.sample(generator),
                false => 0.0,
            };
            Luma([(ground + strength * (ink - ground) + noise + 0.5) as u8])
        })
    }
}

/// A gallery of all training images, and some test digits.
struct Bench {
    model: ModelFile,
    gallery: Points,
    labels: Vec<Class>,
    digits: Dataset,
}

impl Bench {
    fn new() -> Self {
        let load = |split| Dataset::load(&root().join("data"), Source::Mnist, split).unwrap();
        let (train, test) = (load(Split::Train), load(Split::Test));
        let model = ModelFile::read(&model_path("small.siam")).unwrap();
        let embedded = embed_images(&model.model(), &train.images).unwrap();
        // Every fifth: the test set's second half is easier than its first.
        let some: Vec<usize> = (0..test.len()).step_by(test.len() / DIGITS).collect();
        Self {
            gallery: embedded.to_points().unwrap(),
            labels: train.labels,
            digits: test.subset(&some),
            model,
        }
    }

    /// The share of digits that the 25 nearest training images are right about.
    fn knn25(&self, images: &Images) -> f64 {
        let queries = embed_images(&self.model.model(), images).unwrap();
        let queries = queries.to_points().unwrap();
        let gallery = Labelled::new(&self.gallery, &self.labels).unwrap();
        knn(
            gallery,
            Labelled::new(&queries, &self.digits.labels).unwrap(),
            &[25],
        )
        .unwrap()[0]
    }

    /// The same for pictures of the digits.
    fn knn25_of(&self, scene: Scene, ink: Ink) -> f64 {
        let mut generator = ChaCha8Rng::seed_from_u64(1);
        let mut pixels = Vec::new();
        for digit in &self.digits.images {
            let picture = scene.picture(digit, &mut generator);
            let (width, height) = (picture.width() as u16, picture.height() as u16);
            let mut rows = Grey::new(width, height, &picture).unwrap();
            let mut frame = [0; SIDE as usize * SIDE as usize];
            fit(&mut rows, ink, SIDE, SIDE, &mut frame).unwrap();
            pixels.extend(frame);
        }
        self.knn25(&Images::new(SIDE.into(), SIDE.into(), pixels).unwrap())
    }
}

#[test]
fn pictures_of_digits_lose_a_point_at_most() {
    let bench = Bench::new();
    let clean = bench.knn25(&bench.digits.images);
    let scene = |ground, ink, noise, filter| Scene {
        ground,
        ink,
        noise,
        filter,
    };
    let scenes = [
        (
            "bright on black, bilinear",
            scene((0, 0), (255, 255), 0.0, FilterType::Triangle),
        ),
        (
            "bright on black, Lanczos",
            scene((0, 0), (255, 255), 0.0, FilterType::Lanczos3),
        ),
        (
            "black on white",
            scene((255, 255), (0, 0), 0.0, FilterType::Triangle),
        ),
        (
            "pen on grey paper",
            scene((160, 230), (20, 90), 0.0, FilterType::Lanczos3),
        ),
        (
            "pen on grey paper, a little noise",
            scene((160, 230), (20, 90), 4.0, FilterType::Triangle),
        ),
        (
            "chalk on a grey board, a little noise",
            scene((40, 90), (180, 240), 4.0, FilterType::Lanczos3),
        ),
    ];
    println!("as they are: {clean:.4}");
    for (name, scene) in scenes {
        let found = bench.knn25_of(scene, Ink::Auto);
        println!("{name}: {found:.4}");
        assert!(
            found >= clean - MOST_LOST,
            "{name}: {found:.4} is more than a point below {clean:.4}"
        );
    }
}
