//! What is wrong with the input is said in one sentence that names the file;
//! nothing panics, and nothing half-written takes a good file's place.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use siamese_tests::{fail, model_path, siamese_train, test_images, write_dataset, write_idx};

fn embed(model: &Path, images: &Path, out: &Path) -> Command {
    let mut command = siamese_train();
    command
        .arg("embed")
        .arg("--model")
        .arg(model)
        .arg("--images")
        .arg(images)
        .arg("--out")
        .arg(out);
    command
}

/// Embeds the given image file, and expects a message with its name and `words`.
fn refused_images(folder: &Path, images: &Path, words: &[&str]) {
    let out = folder.join("embed.txt");
    fs::write(&out, "good").unwrap();
    let message = fail(&mut embed(&model_path("small.siam"), images, &out));
    let name = images.file_name().unwrap().to_str().unwrap();
    for word in words.iter().chain([&name]) {
        assert!(message.contains(word), "no '{word}' in: {message}");
    }
    assert_eq!(
        fs::read_to_string(&out).unwrap(),
        "good",
        "the old file is gone"
    );
    let leftovers = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let partial: Vec<_> = leftovers
        .filter(|name| name.to_string_lossy().contains("partial"))
        .collect();
    assert!(partial.is_empty(), "{partial:?} was left behind");
}

#[test]
fn unusable_image_files() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let file = |name: &str, bytes: &[u8]| -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    refused_images(folder, &folder.join("missing-idx"), &[]);
    refused_images(folder, &file("empty-idx", &[]), &[]);
    refused_images(
        folder,
        &file("magic-idx", &[1, 2, 3, 4, 5, 6, 7, 8, 9]),
        &[],
    );
    refused_images(folder, folder, &[]);

    let short = folder.join("short-idx");
    write_idx(&short, &[2, 28, 28], &[0; 2 * 784 - 1]);
    refused_images(folder, &short, &[]);
    let long = folder.join("long-idx");
    write_idx(&long, &[2, 28, 28], &[0; 2 * 784 + 1]);
    refused_images(folder, &long, &[]);
    let absurd = folder.join("absurd-idx");
    write_idx(&absurd, &[u32::MAX, u32::MAX, u32::MAX], &[0; 784]);
    refused_images(folder, &absurd, &[]);
    let none = folder.join("none-idx");
    write_idx(&none, &[1, 0, 28], &[]);
    refused_images(folder, &none, &[]);
    let labels = folder.join("labels-idx");
    write_idx(&labels, &[784], &[0; 784]);
    refused_images(folder, &labels, &[]);
    refused_images(
        folder,
        &file("broken.gz", &[0x1f, 0x8b, 8, 0, 1, 2, 3]),
        &[],
    );
}

#[test]
fn images_of_another_size_than_the_models() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images-idx");
    write_idx(&images, &[1, 27, 28], &[0; 27 * 28]);
    let out = folder.path().join("embed.txt");
    let message = fail(&mut embed(&model_path("small.siam"), &images, &out));
    assert!(
        message.contains("28x27") && message.contains("28x28"),
        "{message}"
    );
    assert!(!out.exists());
}

#[test]
fn unusable_models() {
    let folder = tempfile::tempdir().unwrap();
    let [images, _] = write_dataset(folder.path(), "some", &test_images().subset(&[0]));
    let good = fs::read(model_path("small.siam")).unwrap();
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        bytes
    };
    let cases: [(&str, Vec<u8>, &str); 6] = [
        ("cut.siam", good[..good.len() / 2].to_vec(), "cut off"),
        (
            "flipped.siam",
            changed(&|bytes| bytes[5000] ^= 4),
            "damaged",
        ),
        (
            "version.siam",
            changed(&|bytes| bytes[8] = 200),
            "version 200",
        ),
        (
            "tail.siam",
            changed(&|bytes| bytes.push(0)),
            "follow the end",
        ),
        (
            "text.siam",
            b"hello, I am a model".to_vec(),
            "no .siam model",
        ),
        ("empty.siam", Vec::new(), "no .siam model"),
    ];
    for (name, bytes, words) in cases {
        let model = folder.path().join(name);
        fs::write(&model, bytes).unwrap();
        let out = folder.path().join("embed.txt");
        for command in ["embed", "inspect", "eval"] {
            let mut call = siamese_train();
            call.arg(command).arg("--model").arg(&model);
            if command == "embed" {
                call.arg("--images").arg(&images).arg("--out").arg(&out);
            }
            let message = fail(&mut call);
            assert!(
                message.contains(name) && message.contains(words),
                "{message}"
            );
        }
        assert!(!out.exists());
    }
    let message = fail(siamese_train().args(["inspect", "--model", "no/such.siam"]));
    assert!(message.contains("no/such.siam"), "{message}");
}

#[test]
fn labels_that_are_not_those_of_the_images() {
    let folder = tempfile::tempdir().unwrap();
    let data = test_images().subset(&[0, 1, 2, 3]);
    let [images, labels] = write_dataset(folder.path(), "some", &data);
    let few = folder.path().join("few-labels");
    write_idx(&few, &[3], &[1, 2, 3]);
    let eval = |gallery_labels: &Path| {
        let mut command = siamese_train();
        command
            .arg("eval")
            .arg("--model")
            .arg(model_path("small.siam"));
        command
            .arg("--gallery-images")
            .arg(&images)
            .arg("--gallery-labels")
            .arg(gallery_labels);
        command
            .arg("--images")
            .arg(&images)
            .arg("--labels")
            .arg(&labels);
        command
    };
    let message = fail(&mut eval(&few));
    assert!(
        message.contains("few-labels") && message.contains('4') && message.contains('3'),
        "{message}"
    );
    let message = fail(&mut eval(&images));
    assert!(message.contains("some-images"), "{message}");
}

#[test]
fn places_that_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let [images, _] = write_dataset(folder.path(), "some", &test_images().subset(&[0, 1]));
    let model = model_path("small.siam");
    // A file stands where a folder is needed: not even root can write there.
    let out = images.join("embed.txt");
    let message = fail(&mut embed(&model, &images, &out));
    assert!(message.contains("some-images"), "{message}");
    if cfg!(target_os = "linux") {
        let message = fail(&mut embed(&model, &images, Path::new("/dev/full")));
        assert!(message.contains("/dev/full"), "{message}");
    }
}

#[test]
fn no_network() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = siamese_train();
    command.args(["data", "--dir"]).arg(folder.path());
    // A proxy that is not there, and no package manager.
    for variable in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        command.env(variable, "http://127.0.0.1:9");
    }
    let message = fail(command.env("PATH", folder.path()));
    assert!(message.contains("train-images-idx3-ubyte"), "{message}");
    let files = fs::read_dir(folder.path()).unwrap().flatten();
    let left: Vec<_> = files
        .filter(|entry| entry.file_type().unwrap().is_file())
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn data_that_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = siamese_train();
    command
        .args(["eval", "--model"])
        .arg(model_path("small.siam"))
        .arg("--data")
        .arg(folder.path());
    let message = fail(&mut command);
    assert!(message.contains("siamese-train data"), "{message}");
}

#[cfg(feature = "torch")]
mod train {
    use super::*;

    fn train(folder: &Path, options: &[&str]) -> String {
        let mut command = siamese_train();
        command.arg("train").arg("--out").arg(folder).args(options);
        fail(&mut command)
    }

    #[test]
    fn options_out_of_range() {
        let folder = tempfile::tempdir().unwrap();
        for (options, words) in [
            (["--dim", "0"], "--dim"),
            (["--dim", "65"], "64"),
            (["--batch", "3"], "--batch"),
            (["--epochs", "0"], "--epochs"),
            (["--learning-rate", "0"], "--learning-rate"),
        ] {
            let message = train(folder.path(), &options);
            assert!(message.contains(words), "{message}");
        }
        let message = train(folder.path(), &["--pairing", "drawn"]);
        assert!(message.contains("--pairing all"), "{message}");
    }

    #[test]
    fn cuda_without_cuda() {
        if has_cuda() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let message = train(folder.path(), &["--device", "cuda"]);
        assert!(message.contains("--device cpu"), "{message}");
    }

    fn has_cuda() -> bool {
        Path::new("/dev/nvidia0").exists()
    }

    #[test]
    fn a_checkpoint_that_is_none() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("small.partial.safetensors"), "not one").unwrap();
        let message = train(folder.path(), &[]);
        assert!(message.contains("small.partial.safetensors"), "{message}");
    }
}
