//! The command line from end to end.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use siamese_core::image::Input;
use siamese_core::model::{Header, LayerParts, Precision, Scales, encode, encoded_len};
use siamese_core::requantise::Requantise;
use siamese_tests::{fail, layers, model_path, siamese_train, succeed, test_images, write_dataset};
use siamese_train::embed::ModelFile;

#[test]
fn every_command_explains_itself() {
    let help = succeed(siamese_train().arg("--help"));
    let mut commands = vec![
        "data",
        "train",
        "embed",
        "eval",
        "calibrate",
        "fewshot",
        "enrol",
        "identify",
        "gallery",
        "device",
        "inspect",
        "plot",
        "repack",
    ];
    if cfg!(feature = "torch") {
        commands.extend(["import", "study"]);
    }
    for command in commands {
        assert!(help.contains(command), "--help doesn't name {command}");
        let text = succeed(siamese_train().args([command, "--help"]));
        assert!(text.contains("Usage:"), "{command} --help: {text}");
    }
}

#[test]
fn a_repacked_model_gives_the_same_points_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let repack = |from: &Path, core: &str, to: &str| {
        let mut command = siamese_train();
        command.args(["repack", "--for", core, "--json", "--model"]);
        let report = succeed(command.arg(from).arg("--out").arg(path(to)));
        let report: Value = serde_json::from_str(&report).unwrap();
        report["layout"].as_str().unwrap().to_owned()
    };
    let stored = model_path("small.siam");
    for (core, layout) in [
        ("cortex-m0", "columns"),
        ("cortex-m4", "interleaved"),
        ("cortex-m55", "quads"),
        ("x86-64", "wide-tiles"),
        ("rv32imac", "columns"),
        ("any", "rows"),
    ] {
        assert_eq!(repack(&stored, core, "packed.siam"), layout);
        let packed = ModelFile::read(&path("packed.siam")).unwrap();
        assert_eq!(packed.stored().model().layout().name(), layout);
        let image = test_images().images.get(7).to_vec();
        let rows = ModelFile::read(&stored).unwrap();
        let expected = layers(&rows.model(), &image);
        let found = layers(&packed.stored().model(), &image);
        assert_eq!(found.embedding, expected.embedding);
        assert_eq!(repack(&path("packed.siam"), "any", "rows.siam"), "rows");
        let [rows, before] = [&path("rows.siam"), &stored].map(|path| fs::read(path).unwrap());
        assert!(rows == before, "{core}: other bytes come back");
    }
}

/// A model whose weights and biases are large: their sums don't fit the halves of a
/// word, in which one order adds two rows at once.
fn heavy_model() -> Vec<u8> {
    let header = Header {
        name: "heavy",
        input: Input::MNIST,
        sizes: [8, 8, 2],
        precision: Precision::INT8,
        scales: Scales {
            hidden: [0.01; 2],
            embedding: 0.001,
        },
        training_digest: [0; 32],
        quality: None,
        calibration: None,
    };
    let requantise = Requantise::new(1 << 30, 44).unwrap();
    let layers = header.shapes().map(|(inputs, outputs)| {
        let rows = (vec![1 << 29; outputs], vec![requantise; outputs]);
        (vec![127; inputs * outputs], rows)
    });
    let parts = layers
        .each_ref()
        .map(|(weights, (biases, requantise))| LayerParts {
            weights,
            biases,
            requantise,
        });
    let mut file = vec![0; encoded_len(&header).unwrap()];
    encode(&header, &parts, &mut file).unwrap();
    file
}

#[test]
fn weights_too_large_for_an_order_are_refused_and_stay_in_rows() {
    let folder = tempfile::tempdir().unwrap();
    let (heavy, packed) = (
        folder.path().join("heavy.siam"),
        folder.path().join("p.siam"),
    );
    fs::write(&heavy, heavy_model()).unwrap();
    let repack = |core: &str| {
        let mut command = siamese_train();
        command
            .args(["repack", "--for", core, "--model"])
            .arg(&heavy);
        command.arg("--out").arg(&packed);
        command
    };
    let message = fail(&mut repack("cortex-m4"));
    assert!(message.contains("too large for the order"), "{message}");
    assert!(
        message.contains("cortex-m4") && message.contains("interleaved"),
        "{message}"
    );
    assert!(!packed.exists());
    succeed(&mut repack("any"));
    let rows = fs::read(&packed).unwrap();
    assert!(rows == heavy_model(), "rows become other bytes");
}

#[test]
fn embed_writes_the_cores_points_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let data = test_images().subset(&(0..300).collect::<Vec<_>>());
    let [images, _] = write_dataset(folder.path(), "some", &data);
    let out = folder.path().join("embed.txt");
    let model = model_path("small.siam");
    succeed(
        siamese_train()
            .arg("embed")
            .arg("--model")
            .arg(&model)
            .arg("--images")
            .arg(&images)
            .arg("--out")
            .arg(&out),
    );
    let file = ModelFile::read(&model).unwrap();
    let scale = file.model().header().scales.embedding;
    let text = fs::read_to_string(out).unwrap();
    assert_eq!(text.lines().count(), 300);
    for (line, pixels) in text.lines().zip(&data.images) {
        let found: Vec<f32> = line
            .split(' ')
            .map(|number| number.parse().unwrap())
            .collect();
        let steps = layers(&file.model(), pixels).embedding;
        let expected: Vec<f32> = steps.iter().map(|&step| f32::from(step) * scale).collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn gzipped_images_are_the_same_images() {
    let folder = tempfile::tempdir().unwrap();
    let data = test_images().subset(&[3, 1, 4]);
    let [images, _] = write_dataset(folder.path(), "some", &data);
    let embed = |images: &Path| {
        let out = folder.path().join("embed.txt");
        let mut command = siamese_train();
        command
            .arg("embed")
            .arg("--model")
            .arg(model_path("small.siam"));
        succeed(command.arg("--images").arg(images).arg("--out").arg(&out));
        fs::read_to_string(out).unwrap()
    };
    let raw = embed(&images);
    let status = std::process::Command::new("gzip")
        .arg(&images)
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(embed(&images.with_extension("gz")), raw);
}

#[test]
fn eval_reports_the_agreed_keys_for_files_too() {
    let folder = tempfile::tempdir().unwrap();
    let all = test_images();
    let gallery = all.subset(&(0..1000).collect::<Vec<_>>());
    let queries = all.subset(&(1000..1400).collect::<Vec<_>>());
    let [gallery_images, gallery_labels] = write_dataset(folder.path(), "gallery", &gallery);
    let [images, labels] = write_dataset(folder.path(), "query", &queries);
    let mut command = siamese_train();
    command
        .args(["eval", "--json", "--model"])
        .arg(model_path("small.siam"));
    command.arg("--gallery-images").arg(gallery_images);
    command.arg("--gallery-labels").arg(gallery_labels);
    command
        .arg("--images")
        .arg(images)
        .arg("--labels")
        .arg(labels);
    let report: Value = serde_json::from_str(&succeed(&mut command)).unwrap();
    let mut keys: Vec<&str> = report
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    keys.sort_unstable();
    let expected = [
        "auc",
        "centroid",
        "eer",
        "images",
        "knn1",
        "knn25",
        "knn5",
        "silhouette",
        "tar_at_far_1e3",
    ];
    assert_eq!(keys, expected);
    assert_eq!(report["images"], 400);
    let auc = report["auc"].as_f64().unwrap();
    assert!((0.95..=1.0).contains(&auc), "{auc}");
}

#[test]
fn inspect_tells_the_sizes() {
    let mut command = siamese_train();
    command
        .args(["--json", "inspect", "--model"])
        .arg(model_path("small.siam"));
    let text = succeed(&mut command);
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["macs"], 392 * 128 + 128 * 64 + 64 * 2, "{text}");
}

#[test]
fn inspect_accounts_for_every_byte() {
    for name in ["tiny.siam", "swift.siam", "small-d16.siam"] {
        let path = model_path(name);
        let mut command = siamese_train();
        let text = succeed(command.args(["--json", "inspect", "--model"]).arg(&path));
        let report: Value = serde_json::from_str(&text).unwrap();
        let flash = fs::metadata(&path).unwrap().len();
        assert_eq!(report["flash_bytes"], flash, "{text}");
        let layers = report["layers"].as_array().unwrap();
        let bytes = |layer: &Value| layer["bytes"].as_u64().unwrap();
        // What is no layer is the header, the prefix and the checksum.
        let rest = flash - layers.iter().map(bytes).sum::<u64>();
        assert!((64..1024).contains(&rest), "{name}: {rest} of {flash}");
    }
}

/// The first test images as a set of one's own.
fn some_images(folder: &Path, name: &str, range: std::ops::Range<usize>) -> [PathBuf; 2] {
    write_dataset(
        folder,
        name,
        &test_images().subset(&range.collect::<Vec<_>>()),
    )
}

#[test]
fn calibrate_measures_on_new_classes_and_inspect_tells() {
    let folder = tempfile::tempdir().unwrap();
    let [images, labels] = some_images(folder.path(), "some", 0..3000);
    let out = folder.path().join("calibrated.siam");
    let calibrate = |new: &str| {
        let mut command = siamese_train();
        command.args(["--json", "calibrate", "--far", "0.05", "--draws", "5"]);
        command.arg("--model");
        command.arg(model_path("small-fewshot-without-789.siam"));
        command
            .arg("--images")
            .arg(&images)
            .arg("--labels")
            .arg(&labels);
        command.arg("--out").arg(&out);
        if !new.is_empty() {
            command.args(["--new", new]);
        }
        let report: Value = serde_json::from_str(&succeed(&mut command)).unwrap();
        report
    };
    let new = calibrate("7,8,9");
    assert_eq!(
        (&new["strangers"], &new["labels"]),
        (&"new".into(), &7.into())
    );
    // About 450 images of new classes measure it.
    let accepted = new["expected"]["prototype"]["false_accept"]
        .as_f64()
        .unwrap();
    assert!((0.02..0.1).contains(&accepted), "{accepted}");

    let mut inspect = siamese_train();
    let text = succeed(inspect.args(["inspect", "--model"]).arg(&out));
    assert!(
        text.contains("5.00 % of what nobody enrolled was wanted"),
        "{text}"
    );
    assert!(
        text.contains("of classes that training never saw"),
        "{text}"
    );
    let mut inspect = siamese_train();
    let text = succeed(inspect.args(["--json", "inspect", "--model"]).arg(&out));
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        report["measured"]["measured"]["prototype"]["false_accept"],
        new["expected"]["prototype"]["false_accept"]
    );
    assert_eq!(
        report["calibration"]["prototype_threshold"],
        new["prototype_threshold"]
    );
    assert_ne!(new["prototype_threshold"], new["pair_threshold"]);
    // The embeddings are the same.
    let fingerprint = |path: &Path| ModelFile::read(path).unwrap().model().fingerprint();
    assert_eq!(
        fingerprint(&out),
        fingerprint(&model_path("small-fewshot-without-789.siam"))
    );
    // Classes that training has seen are told apart better, and the promise for
    // them lets more new ones in.
    let each = calibrate("");
    assert_eq!(each["strangers"], "each-in-turn");
}

#[test]
fn fewshot_tells_whether_training_has_seen_the_classes() {
    let folder = tempfile::tempdir().unwrap();
    let [images, labels] = some_images(folder.path(), "train", 0..1000);
    let [test_images, test_labels] = some_images(folder.path(), "test", 1000..1500);
    let fewshot = |model: &Path, held_out: &str| {
        let mut command = siamese_train();
        command.args([
            "fewshot",
            "--shots",
            "5",
            "--draws",
            "2",
            "--held-out",
            held_out,
        ]);
        command.arg("--model").arg(model);
        command
            .arg("--images")
            .arg(&images)
            .arg("--labels")
            .arg(&labels);
        command.arg("--test-images").arg(&test_images);
        command.arg("--test-labels").arg(&test_labels);
        succeed(&mut command)
    };
    let model = model_path("small-fewshot-without-789.siam");
    let text = fewshot(&model, "7,8,9");
    assert!(text.contains("7, 8, 9: never seen in training"), "{text}");
    let text = fewshot(&model, "6,7");
    assert!(text.contains("6: SEEN IN TRAINING"), "{text}");
    assert!(text.contains("7: never seen"), "{text}");
    // Without its report beside it, nobody knows.
    let alone = folder.path().join("alone.siam");
    fs::copy(&model, &alone).unwrap();
    let text = fewshot(&alone, "7,8,9");
    assert!(text.contains("not recorded"), "{text}");
    // Nor by the report of another model.
    let other = model_path("small-fewshot.json");
    fs::copy(other, folder.path().join("alone.json")).unwrap();
    assert!(fewshot(&alone, "7,8,9").contains("not recorded"));
}

#[test]
fn plot_draws_pictures_that_are_no_blanks() {
    let folder = tempfile::tempdir().unwrap();
    let data = test_images().subset(&(0..500).collect::<Vec<_>>());
    let [images, labels] = write_dataset(folder.path(), "some", &data);
    let out = folder.path().join("embed.txt");
    let mut embed = siamese_train();
    embed
        .arg("embed")
        .arg("--model")
        .arg(model_path("small.siam"));
    succeed(embed.arg("--images").arg(&images).arg("--out").arg(&out));
    let mut plot = siamese_train();
    plot.arg("plot")
        .arg("--embeddings")
        .arg(&out)
        .arg("--images")
        .arg(&images);
    succeed(
        plot.arg("--labels")
            .arg(&labels)
            .arg("--out-dir")
            .arg(folder.path()),
    );
    for picture in ["embed.png", "embed_preview.png"] {
        let bytes = fs::read(folder.path().join(picture)).unwrap();
        assert!(bytes.starts_with(b"\x89PNG"), "{picture}");
        assert!(
            bytes.len() > 20_000,
            "{picture} has only {} bytes",
            bytes.len()
        );
    }
    let svg = fs::read_to_string(folder.path().join("embed.svg")).unwrap();
    assert!(svg.contains("<svg"));
}

#[test]
fn plot_compares_models() {
    let folder = tempfile::tempdir().unwrap();
    let data = test_images().subset(&(0..300).collect::<Vec<_>>());
    let [images, labels] = write_dataset(folder.path(), "some", &data);
    let mut plot = siamese_train();
    plot.arg("plot").arg("--compare");
    plot.args(["tiny.siam", "small.siam"].map(model_path));
    plot.arg("--images").arg(images).arg("--labels").arg(labels);
    succeed(plot.arg("--out-dir").arg(folder.path()));
    let svg = fs::read_to_string(folder.path().join("maps.svg")).unwrap();
    assert!(svg.contains(">tiny<") && svg.contains(">small<"));
    assert!(folder.path().join("maps.png").is_file());
}

#[cfg(feature = "torch")]
mod train {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    use super::*;

    /// A run on 2,000 images: 20 steps an epoch.
    fn train(folder: &Path, seed: &str, name: &str, epochs: &str) -> Command {
        let all = test_images();
        let data = folder.join("data");
        fs::create_dir_all(&data).unwrap();
        let [images, labels] =
            write_dataset(&data, "train", &all.subset(&(0..2000).collect::<Vec<_>>()));
        let [test_images, test_labels] = write_dataset(
            &data,
            "test",
            &all.subset(&(2000..2500).collect::<Vec<_>>()),
        );
        let mut command = siamese_train();
        command.args([
            "train", "--preset", "tiny", "--batch", "100", "--epochs", epochs,
        ]);
        command.args(["--seed", seed, "--threads", "1", "--name", name]);
        command.arg("--out").arg(folder);
        command
            .arg("--images")
            .arg(images)
            .arg("--labels")
            .arg(labels);
        command
            .arg("--test-images")
            .arg(test_images)
            .arg("--test-labels")
            .arg(test_labels);
        command
    }

    /// Starts a run, stops it as ctrl-C does once it says `word`, and returns
    /// what it said after that.
    fn interrupt_at(word: &str, command: &mut Command) -> Vec<String> {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
        let said = stderr.find(|line| line.as_ref().unwrap().contains(word));
        assert!(said.is_some(), "the run never says '{word}'");
        let pid = child.id().to_string();
        let kill = Command::new("kill").args(["-INT", &pid]).status().unwrap();
        assert!(kill.success());
        let said: Vec<String> = stderr.map(Result::unwrap).collect();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{said:?}");
        said
    }

    fn interrupt(command: &mut Command) -> Vec<String> {
        interrupt_at("training ", command)
    }

    #[test]
    fn train_leaves_a_model_that_learned_something_and_all_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let text = succeed(train(folder.path(), "5", "mine", "20").arg("--json"));
        let report: Value = serde_json::from_str(&text).unwrap();
        let knn25 = report["int8"]["knn25"].as_f64().unwrap();
        assert!(knn25 > 0.6, "2,000 images and 400 steps gave {knn25}");
        let there = ["safetensors", "siam", "golden.safetensors", "json"]
            .map(|ending| format!("mine.{ending}"));
        let pictures = ["embed.txt", "embed.png", "embed.svg", "embed_preview.png"]
            .into_iter()
            .chain(["curves.png", "film.gif"])
            .map(|file| format!("mine/{file}"));
        for file in there.into_iter().chain(pictures) {
            assert!(folder.path().join(&file).is_file(), "{file} is missing");
        }
        assert!(!folder.path().join("mine.partial.safetensors").exists());
        assert!(
            !folder
                .path()
                .join("without-0.mine.partial.safetensors")
                .exists()
        );
        // It is calibrated, by classes that were left out.
        let record = &report["calibration"];
        assert_eq!(record["wanted"], 0.01);
        assert_eq!(record["strangers"], "left-out");
        let measured = record["measured"]["prototype"]["false_accept"].as_f64();
        assert!(
            measured.is_some_and(|rate| (0.0..0.1).contains(&rate)),
            "{record}"
        );
        let mut inspect = siamese_train();
        let text = succeed(
            inspect
                .args(["inspect", "--model"])
                .arg(folder.path().join("mine.siam")),
        );
        assert!(
            text.contains("measured, of classes that were left out"),
            "{text}"
        );
        let file = ModelFile::read(&folder.path().join("mine.siam")).unwrap();
        for (pixels, expected) in siamese_tests::golden_vectors(&file) {
            assert_eq!(layers(&file.model(), &pixels), expected);
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
        let folder = tempfile::tempdir().unwrap();
        let model = |seed: &str, name: &str| {
            let mut command = train(&folder.path().join(name), seed, "m", "3");
            succeed(&mut command);
            fs::read(folder.path().join(name).join("m.siam")).unwrap()
        };
        let first = model("5", "first");
        assert!(first == model("5", "second"));
        assert!(first != model("6", "third"));
    }

    /// Replaces the images of some digits in the run's own training and test
    /// files by noise.
    fn spoil(folder: &Path, digits: [u16; 3]) {
        for (name, range) in [("train", 0..2000), ("test", 2000..2500)] {
            let mut set = test_images().subset(&range.collect::<Vec<_>>());
            let mut pixels = set.images.pixels().to_vec();
            for (image, label) in pixels.chunks_exact_mut(784).zip(&set.labels) {
                if digits.contains(label) {
                    for (place, pixel) in image.iter_mut().enumerate() {
                        *pixel = (place * 89 % 251) as u8;
                    }
                }
            }
            set.images = siamese_train::dataset::Images::new(28, 28, pixels).unwrap();
            write_dataset(&folder.join("data"), name, &set);
        }
    }

    #[test]
    fn classes_that_are_left_out_are_never_seen() {
        let folder = tempfile::tempdir().unwrap();
        let run = |name: &str, without: &str, spoils: bool| {
            let folder = folder.path().join(name);
            let mut command = train(&folder, "5", "m", "3");
            if spoils {
                spoil(&folder, [7, 8, 9]);
            }
            succeed(command.args(["--recipe", "few-shot", "--without", without]));
            ["m.siam", "m.safetensors", "m.golden.safetensors"]
                .map(|file| fs::read(folder.join(file)).unwrap())
        };
        let clean = run("clean", "7,8,9", false);
        assert!(
            clean == run("spoilt", "7,8,9", true),
            "what was left out matters"
        );
        // The noise would have been noticed.
        assert!(run("two", "7,8", false) != run("spoilt-two", "7,8", true));
    }

    #[test]
    fn an_interrupted_run_goes_on_and_loses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let whole = folder.path().join("whole");
        succeed(&mut train(&whole, "5", "m", "150"));

        let broken = folder.path().join("broken");
        let said = interrupt(&mut train(&broken, "5", "m", "150"));
        assert!(
            said.iter().any(|line| line.contains("goes on from")),
            "{said:?}"
        );
        assert!(broken.join("m.partial.safetensors").is_file());
        assert!(!broken.join("m.siam").exists());

        succeed(&mut train(&broken, "5", "m", "150"));
        let [whole, broken] =
            [whole, broken].map(|folder| fs::read(folder.join("m.siam")).unwrap());
        assert!(whole == broken, "the resumed run gave another model");
    }

    #[test]
    fn a_run_interrupted_among_integers_goes_on_and_loses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let run = |name: &str| {
            let mut command = train(&folder.path().join(name), "5", "m", "60");
            command.args(["--qat", "0.5", "--patience", "50", "--json"]);
            command
        };
        let history = |text: &str| -> Value {
            serde_json::from_str::<Value>(text).unwrap()["history"].clone()
        };
        let whole = history(&succeed(&mut run("whole")));
        interrupt_at("integers", &mut run("broken"));
        let broken = history(&succeed(&mut run("broken")));
        assert_eq!(whole, broken);
        let [whole, broken] =
            ["whole", "broken"].map(|name| fs::read(folder.path().join(name).join("m.siam")));
        assert!(whole.unwrap() == broken.unwrap(), "another model");
        let films = ["whole", "broken"]
            .map(|name| fs::read(folder.path().join(name).join("m/film.gif")).unwrap());
        assert!(films[0] == films[1], "another film");
    }

    #[test]
    fn the_study_runs_every_arm_once_and_remembers() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        fs::create_dir_all(&data).unwrap();
        for (part, range) in [("train", 0..600), ("t10k", 600..800)] {
            let set = test_images().subset(&range.collect::<Vec<_>>());
            let [images, labels] = write_dataset(&data, part, &set);
            fs::rename(images, data.join(format!("{part}-images-idx3-ubyte"))).unwrap();
            fs::rename(labels, data.join(format!("{part}-labels-idx1-ubyte"))).unwrap();
        }
        let out = folder.path().join("study");
        let study = || {
            let mut command = siamese_train();
            command.args(["study", "--steps", "2", "--seeds", "2", "--json"]);
            command.arg("--data").arg(&data).arg("--out").arg(&out);
            succeed(&mut command)
        };
        let text = study();
        let report: Value = serde_json::from_str(&text).unwrap();
        let runs = report["runs"].as_array().unwrap();
        assert_eq!(runs.len(), 2 * 12);
        assert!(runs.iter().all(|run| run["steps"] == 2));
        assert_ne!(runs[0]["knn25"], runs[1]["knn25"], "two seeds");
        assert!(out.join("maps.png").is_file() && out.join("study.json").is_file());

        let left = out.join("runs/adam-random-1.json");
        let before = fs::metadata(&left).unwrap().modified().unwrap();
        assert_eq!(study(), text);
        assert_eq!(fs::metadata(&left).unwrap().modified().unwrap(), before);
    }

    #[test]
    fn a_run_that_gets_no_better_stops() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = train(folder.path(), "5", "m", "300");
        command.args(["--patience", "2", "--qat", "0.01", "--json"]);
        let text = succeed(command.args(["--learning-rate", "1e-9", "--ema", "0"]));
        let report: Value = serde_json::from_str(&text).unwrap();
        let history = report["history"].as_array().unwrap();
        let floats = history.iter().filter(|epoch| epoch["integers"] == false);
        // Batch normalisation alone still learns for some epochs.
        assert!(floats.count() < 60, "{} epochs", history.len());
        assert!(history.last().unwrap()["integers"] == true);
    }

    #[test]
    fn an_interrupted_run_of_another_preset_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        interrupt(&mut train(folder.path(), "5", "m", "500"));

        let message = fail(train(folder.path(), "5", "m", "500").args(["--dim", "3"]));
        assert!(
            message.contains("m.partial.safetensors") && message.contains("--fresh"),
            "{message}"
        );
        let message = fail(train(folder.path(), "5", "m", "499").args(["--margin", "4"]));
        assert!(message.contains("--fresh"), "{message}");
    }
}
