//! Training from the command line: what is said before it begins, what ends it, and
//! what it leaves alone.

#![cfg(feature = "torch")]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use siamese_tests::{fail, model_path, siamese_train, succeed, write_dataset};
use siamese_train::dataset::{Class, Dataset, Images};
use siamese_train::embed::ModelFile;
use siamese_train::recipe::{Plan, RecipeName};
use siamese_train::train::checkpoint::Checkpoint;

/// Images of 10x10 pixels: a bright spot at a place that the class decides.
fn spots(labels: &[Class]) -> Dataset {
    let mut generator = ChaCha8Rng::seed_from_u64(1);
    let mut pixels = Vec::new();
    for &label in labels {
        let mut image: Vec<u8> = (0..100).map(|_| generator.random_range(0..60)).collect();
        let place = usize::from(label) * 7 % 88;
        for at in [place, place + 1, place + 10, place + 11] {
            image[at] = 255;
        }
        pixels.extend(image);
    }
    Dataset::new(Images::new(10, 10, pixels).unwrap(), labels.to_vec()).unwrap()
}

fn labels(classes: Class, each: usize) -> Vec<Class> {
    (0..classes).flat_map(|class| vec![class; each]).collect()
}

/// A run of `steps` on spots, tested with `test`.
fn train(folder: &Path, steps: &str, test: &Dataset) -> Command {
    let data = folder.join("data");
    fs::create_dir_all(&data).unwrap();
    let [images, image_labels] = write_dataset(&data, "train", &spots(&labels(6, 20)));
    let [test_images, test_labels] = write_dataset(&data, "test", test);
    let mut command = siamese_train();
    command.args([
        "train",
        "--name",
        "m",
        "--steps",
        steps,
        "--batch",
        "64",
        "--threads",
        "1",
    ]);
    command.arg("--out").arg(folder);
    command
        .arg("--images")
        .arg(images)
        .arg("--labels")
        .arg(image_labels);
    command
        .arg("--test-images")
        .arg(test_images)
        .arg("--test-labels")
        .arg(test_labels);
    command
}

fn usual() -> Dataset {
    spots(&labels(6, 5))
}

/// Starts a run and waits until it has begun to train.
fn begin(command: &mut Command) -> (std::process::Child, impl Iterator<Item = String> + use<>) {
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap())
        .lines()
        .map(Result::unwrap);
    assert!(said.any(|line| line.contains("epoch")), "it never trains");
    (child, said)
}

/// Undoes what `nohup` does to all that it starts: to ignore SIGHUP.
#[cfg(unix)]
fn heed_hangups(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    // SAFETY: between fork and exec only `signal` is called, which may be called there.
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGHUP, libc::SIG_DFL);
            Ok(())
        });
    }
}

#[cfg(unix)]
fn send(signal: &str, child: &std::process::Child) {
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args([signal, &pid])
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn the_committed_models_are_what_their_presets_would_train() {
    for name in [
        "tiny",
        "tiny-d16",
        "swift",
        "small",
        "small-d16",
        "medium",
        "reference",
    ] {
        let plan = Checkpoint::read(&model_path(&format!("{name}.safetensors")))
            .unwrap()
            .plan;
        let recipe = RecipeName::Default.recipe_for(plan.preset, plan.dim);
        let again = Plan {
            recipe: recipe.for_images(57_000),
            input: plan.preset.input(28, 28, plan.dim, true),
            ..plan.clone()
        };
        assert_eq!(again, plan, "{name}");
        let file = ModelFile::read(&model_path(&format!("{name}.siam"))).unwrap();
        assert_eq!(
            file.model().header().training_digest,
            again.digest(),
            "{name}"
        );
    }
}

#[test]
fn what_would_fail_after_training_fails_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let wrong_size = Dataset::new(
        Images::new(9, 9, vec![1; 81 * 4]).unwrap(),
        vec![0, 0, 1, 1],
    );
    for (test, words) in [
        (spots(&[3; 10]), "two classes"),
        (spots(&[1, 2]), "two images of one"),
        (wrong_size.unwrap(), "one size"),
    ] {
        // So many steps would take hours.
        let message = fail(&mut train(folder.path(), "100000000", &test));
        assert!(message.contains(words), "{message}");
    }
    let in_the_way = folder.path().join("file");
    fs::write(&in_the_way, "").unwrap();
    let message = fail(
        train(folder.path(), "100000000", &usual())
            .arg("--out")
            .arg(in_the_way),
    );
    assert!(message.contains("--out"), "{message}");
    for (knob, value) in [
        ("--weight-decay", "-5"),
        ("--clip", "-1"),
        ("--clip", "NaN"),
        ("--learning-rate", "inf"),
        ("--margin", "NaN"),
        ("--tail", "-2"),
        ("--sparsity", "inf"),
        ("--epochs", "NaN"),
    ] {
        let mut command = train(folder.path(), "5", &usual());
        if knob == "--epochs" {
            command = siamese_train();
            command.arg("train").arg("--out").arg(folder.path());
            command
                .arg("--images")
                .arg(folder.path().join("data/train-images"));
            command
                .arg("--labels")
                .arg(folder.path().join("data/train-labels"));
        }
        let message = fail(command.args([knob, value]));
        assert!(message.contains(knob), "{message}");
    }
}

#[test]
fn a_finished_model_is_replaced_only_when_asked_to() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.jsonl");
    let text = succeed(
        train(folder.path(), "60", &usual())
            .arg("--json")
            .arg("--log")
            .arg(&log),
    );
    let report: Value = serde_json::from_str(&text).unwrap();
    let lines: Vec<Value> = fs::read_to_string(&log)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), report["history"].as_array().unwrap().len());
    assert_eq!(lines.last().unwrap()["step"], 60);
    assert!(
        lines
            .iter()
            .all(|line| line["loss"].is_number() && line["seconds"].is_number())
    );

    let model = folder.path().join("m.siam");
    let before = fs::read(&model).unwrap();
    let message = fail(train(folder.path(), "60", &usual()).args(["--seed", "2"]));
    assert!(message.contains("--fresh"), "{message}");
    assert!(fs::read(&model).unwrap() == before);
    succeed(train(folder.path(), "60", &usual()).args(["--seed", "2", "--fresh"]));
    assert!(fs::read(&model).unwrap() != before);
    let left: Vec<PathBuf> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension().is_some_and(|ending| ending == "lock")
                || path.to_string_lossy().contains("partial")
        })
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn two_runs_don_t_write_the_same_files() {
    let folder = tempfile::tempdir().unwrap();
    let (mut first, _said) = begin(&mut train(folder.path(), "100000000", &usual()));
    let message = fail(train(folder.path(), "10", &usual()).args(["--seed", "2"]));
    assert!(message.contains("another run"), "{message}");
    send("-KILL", &first);
    first.wait().unwrap();
    // A killed run locks nothing.
    succeed(train(folder.path(), "10", &usual()).args(["--seed", "2", "--fresh"]));
}

#[cfg(unix)]
#[test]
fn every_signal_that_ends_programs_saves_the_run() {
    for signal in ["-INT", "-TERM", "-HUP"] {
        let folder = tempfile::tempdir().unwrap();
        let mut command = train(folder.path(), "100000000", &usual());
        heed_hangups(&mut command);
        let (mut child, said) = begin(&mut command);
        send(signal, &child);
        let said: Vec<String> = said.collect();
        assert_eq!(
            child.wait().unwrap().code(),
            Some(130),
            "{signal}: {said:?}"
        );
        let saved = Checkpoint::read(&folder.path().join("m.partial.safetensors")).unwrap();
        assert!(saved.progress.unwrap().step > 0);
    }
}

#[cfg(unix)]
#[test]
fn the_second_signal_ends_it_at_once_and_without_a_crash() {
    for _ in 0..4 {
        let folder = tempfile::tempdir().unwrap();
        let (mut child, said) = begin(&mut train(folder.path(), "100000000", &usual()));
        send("-INT", &child);
        send("-INT", &child);
        let said: Vec<String> = said.collect();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{said:?}");
    }
}

#[test]
fn nobody_has_to_listen() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = train(folder.path(), "60", &usual());
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // As `2>&1 | head` ends.
    let mut one = [0];
    child.stderr.take().unwrap().read_exact(&mut one).unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(folder.path().join("m.siam").is_file());
}
