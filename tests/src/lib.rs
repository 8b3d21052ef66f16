//! What the regression tests share: the committed models, their golden
//! vectors, the data, and the built `siamese-train` program.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use safetensors::SafeTensors;
use siamese_core::Model;
use siamese_core::embedder::{Buffers, embed_into};
use siamese_train::dataset::{Dataset, Source, Split};
use siamese_train::embed::ModelFile;

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests lie in the repository")
}

/// A file of the committed models.
pub fn model_path(file: &str) -> PathBuf {
    root().join("model").join(file)
}

/// All committed models.
///
/// # Panics
/// If there is none.
pub fn committed_models() -> Vec<ModelFile> {
    let entries = std::fs::read_dir(root().join("model")).expect("model/ is there");
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("model/ is readable").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "siam"))
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "model/ holds no model");
    paths
        .iter()
        .map(|path| ModelFile::read(path).expect("a committed model is valid"))
        .collect()
}

/// MNIST's test images.
///
/// # Panics
/// If they are not there.
pub fn test_images() -> Dataset {
    Dataset::load(&root().join("data"), Source::Mnist, Split::Test)
        .expect("MNIST is there; `cargo xtask test` fetches it")
}

/// Every layer's outputs for one image, by the core.
#[derive(Debug, PartialEq, Eq)]
pub struct Layers {
    /// The first hidden layer.
    pub hidden1: Vec<u8>,
    /// The second hidden layer.
    pub hidden2: Vec<u8>,
    /// The embedding.
    pub embedding: Vec<i16>,
}

/// Embeds one image by the core and keeps every layer's outputs.
///
/// # Panics
/// If the image is not of the model's size.
pub fn layers(model: &Model<'_>, pixels: &[u8]) -> Layers {
    let (shared, hidden1) = model.buffer_sizes();
    let (mut shared, mut hidden1) = (vec![0xFF; shared], vec![0xFF; hidden1]);
    let mut embedding = vec![0; model.dim()];
    let buffers = Buffers {
        shared: &mut shared,
        hidden1: &mut hidden1,
    };
    embed_into(model, pixels, buffers, &mut embedding).expect("the image fits the model");
    shared.truncate(model.layers()[1].outputs());
    hidden1.truncate(model.layers()[0].outputs());
    Layers {
        hidden1,
        hidden2: shared,
        embedding,
    }
}

/// The golden vectors of a committed model: images and every layer's outputs.
///
/// # Panics
/// If the file is missing or of another form.
pub fn golden_vectors(model: &ModelFile) -> Vec<(Vec<u8>, Layers)> {
    let path = model.path().with_extension("golden.safetensors");
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let tensors = SafeTensors::deserialize(&bytes).expect("golden vectors are safetensors");
    let rows = |name: &str| -> Vec<Vec<u8>> {
        let tensor = tensors.tensor(name).expect("the tensor is there");
        let row = tensor.data().len() / tensor.shape()[0];
        tensor
            .data()
            .chunks_exact(row)
            .map(<[u8]>::to_vec)
            .collect()
    };
    let embeddings = rows("embedding").into_iter().map(|row| {
        let (coordinates, _) = row.as_chunks::<2>();
        coordinates
            .iter()
            .map(|&bytes| i16::from_le_bytes(bytes))
            .collect()
    });
    rows("pixels")
        .into_iter()
        .zip(rows("hidden1"))
        .zip(rows("hidden2"))
        .zip(embeddings)
        .map(|(((pixels, hidden1), hidden2), embedding)| {
            (
                pixels,
                Layers {
                    hidden1,
                    hidden2,
                    embedding,
                },
            )
        })
        .collect()
}

/// The built `siamese-train` program: the one that `SIAMESE_TRAINER` names, which
/// `cargo xtask test` has built beside the tests, or one that is built now.
///
/// # Panics
/// If it can't be built.
pub fn siamese_train() -> Command {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let program = PROGRAM.get_or_init(|| {
        env::var_os("SIAMESE_TRAINER").map_or_else(build_siamese_train, PathBuf::from)
    });
    let mut command = Command::new(program);
    command.current_dir(root());
    command
}

fn build_siamese_train() -> PathBuf {
    let mut build = Command::new("cargo");
    build
        .current_dir(root())
        .args(["build", "--quiet", "--release", "-p", "siamese-train"]);
    if cfg!(not(feature = "torch")) {
        build.arg("--no-default-features");
    }
    // What cargo tells a test about its own package, build scripts would take for a change
    // of theirs: half of the dependencies would be built anew.
    for (name, _) in env::vars_os() {
        let told =
            |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
        if name.to_str().is_some_and(told) {
            build.env_remove(name);
        }
    }
    let status = build.status().expect("cargo runs");
    assert!(status.success(), "siamese-train can't be built");
    let target = env::var_os("CARGO_TARGET_DIR").map_or(root().join("target"), PathBuf::from);
    target.join("release/siamese-train")
}

/// Runs the program and returns its output if it succeeded.
///
/// # Panics
/// If it failed.
pub fn succeed(command: &mut Command) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("the program starts");
    let stderr = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{command:?} failed: {stderr}");
    String::from_utf8(stdout).expect("reports are UTF-8")
}

/// Runs the program and returns its one-line error message if it failed as it
/// should: exit code 1, or 2 for the command line; no panic, nothing on standard
/// output.
///
/// # Panics
/// If it succeeded or failed in another way.
pub fn fail(command: &mut Command) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("the program starts");
    let stderr = String::from_utf8(stderr).expect("messages are UTF-8");
    assert!(
        matches!(status.code(), Some(1 | 2)),
        "{command:?}: {stderr}"
    );
    assert!(stdout.is_empty(), "{command:?} reported something");
    assert!(!stderr.contains("panicked"), "{stderr}");
    // What is wrong with the command line is followed by a hint at `--help`.
    let message = stderr.lines().rfind(|line| line.starts_with("error: "));
    message
        .unwrap_or_else(|| panic!("no message: {stderr}"))
        .to_owned()
}

/// Writes an IDX file: `shape` and then the bytes.
///
/// # Panics
/// If it can't be written.
pub fn write_idx(path: &Path, shape: &[u32], bytes: &[u8]) {
    let mut content = vec![0, 0, 8, shape.len() as u8];
    content.extend(shape.iter().flat_map(|size| size.to_be_bytes()));
    content.extend(bytes);
    std::fs::write(path, content).expect("the test's folder is writable");
}

/// Writes images and labels as `NAME-images` and `NAME-labels`.
///
/// # Panics
/// If they can't be written.
pub fn write_dataset(folder: &Path, name: &str, data: &Dataset) -> [PathBuf; 2] {
    let paths = ["images", "labels"].map(|kind| folder.join(format!("{name}-{kind}")));
    let images = &data.images;
    let shape = [images.len(), images.height(), images.width()].map(|size| size as u32);
    write_idx(&paths[0], &shape, images.pixels());
    let labels: Vec<u8> = data
        .labels
        .iter()
        .map(|&label| u8::try_from(label).expect("an IDX file holds a label in a byte"))
        .collect();
    write_idx(&paths[1], &shape[..1], &labels);
    paths
}

/// A picture file as it is, in the simplest form: PGM.
///
/// # Panics
/// If it can't be written.
pub fn write_picture(path: &Path, pixels: &[u8]) {
    std::fs::create_dir_all(path.parent().expect("it is in a folder"))
        .expect("the test's folder is writable");
    let mut bytes = b"P5\n28 28\n255\n".to_vec();
    bytes.extend(pixels);
    std::fs::write(path, bytes).expect("the test's folder is writable");
}

/// The test images of MNIST from `first` on, `count` of each digit of `digits`, in
/// folders.
///
/// # Panics
/// If they can't be written.
pub fn write_folders(
    folder: &Path,
    digits: &[usize],
    count: usize,
    first: usize,
    name: impl Fn(usize) -> String,
) -> PathBuf {
    let data = test_images();
    for &digit in digits {
        let of_digit = (first..data.len()).filter(|&i| usize::from(data.labels[i]) == digit);
        for index in of_digit.take(count) {
            let path = folder.join(name(digit)).join(format!("{index}.pgm"));
            write_picture(&path, data.images.get(index));
        }
    }
    folder.to_owned()
}

/// The examples of the README and of the pages, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
#[doc = include_str!("../../docs/getting-started.md")]
#[doc = include_str!("../../docs/learning-in-the-field.md")]
struct Pages;
