//! Classes by name, from folders of pictures to galleries, by the program.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use siamese_tests::{
    fail, model_path, siamese_train, succeed, test_images, write_dataset, write_folders,
    write_picture,
};
use siamese_train::dataset::Dataset;
use siamese_train::embed::ModelFile;

/// What digits are called in other words.
const WORDS: [&str; 10] = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
];

fn word(digit: usize) -> String {
    WORDS[digit].to_owned()
}

/// A command with the model that is calibrated for few examples.
fn command(name: &str) -> Command {
    let mut command = siamese_train();
    command
        .arg(name)
        .arg("--model")
        .arg(model_path("small-fewshot.siam"));
    command
}

fn json(command: &mut Command) -> Value {
    serde_json::from_str(&succeed(command.args(["--json", "--ink", "bright"]))).unwrap()
}

fn enrol(gallery: &Path, folder: &Path) -> Value {
    json(command("enrol").arg("--gallery").arg(gallery).arg(folder))
}

#[test]
fn folders_are_enrolled_and_identified_by_name_with_a_score() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let examples = write_folders(&path("examples"), &[0, 1, 2, 3], 5, 0, word);
    let unknown = write_folders(&path("unknown"), &[0, 1, 2, 3, 7], 20, 1000, word);
    let gallery = path("my.gallery");
    let report = enrol(&gallery, &examples);
    let labels = report["labels"].as_array().unwrap();
    let names: Vec<&str> = labels.iter().map(|l| l["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["one", "three", "two", "zero"]);
    assert!(labels.iter().all(|label| label["examples"] == 5));

    let identify = || {
        let mut identify = command("identify");
        identify
            .arg("--gallery")
            .arg(&gallery)
            .args(["--threshold", "1000000"]);
        identify
    };
    let report = json(identify().arg(&unknown));
    let score = &report["score"];
    assert_eq!(score["images"], 100);
    // Nothing is refused: all sevens are wrong, and of the others nearly none.
    assert_eq!(score["refused"], 0);
    let right = score["right"].as_u64().unwrap();
    assert!((72..=80).contains(&right), "{score}");
    let seven = score["classes"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (seven["name"].as_str(), seven["wrong"].as_u64()),
        (Some("seven"), Some(20))
    );
    assert_eq!(seven["enrolled"], false);
    let answers = report["answers"].as_array().unwrap();
    let agree = answers
        .iter()
        .filter(|answer| answer["name"] == answer["class"]);
    assert_eq!(agree.count() as u64, right);

    // At no distance everything is refused, which is right for the seven: if the model
    // has no allowance for what lies far out, as the same one has before it is calibrated.
    let plain = path("plain.siam");
    let model = ModelFile::read(&model_path("small-fewshot.siam")).unwrap();
    let allowance = model.model().header().calibration.unwrap().allowance;
    assert_eq!(allowance, 64);
    fs::write(&plain, model.stored().calibrated(None).unwrap().bytes()).unwrap();
    let strict = |model: &Path| {
        let mut strict = siamese_train();
        strict.arg("identify").arg("--model").arg(model);
        strict.arg("--gallery").arg(&gallery);
        let score = json(strict.args(["--threshold", "0"]).arg(&unknown))["score"].clone();
        [&score["right"], &score["refused"]].map(|count| count.as_u64().unwrap())
    };
    assert_eq!(strict(&plain), [20, 80]);
    let [right, refused] = strict(model.path());
    assert!(right > 20 && refused < 80, "{right} {refused}");

    let table = succeed(identify().arg(&unknown).args(["--ink", "bright"]));
    assert!(
        table.contains("seven") && table.contains(" % right"),
        "{table}"
    );
    // Plain files have a line each, with the name.
    let one = fs::read_dir(unknown.join("one"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let lines = succeed(identify().arg(&one).arg(&one).args(["--ink", "bright"]));
    assert_eq!(lines.lines().count(), 2, "{lines}");
    assert!(lines.contains("    one  at "), "{lines}");
}

#[test]
fn galleries_are_merged_as_if_enrolled_in_one_and_changed() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let whole = write_folders(&path("whole"), &[1, 2, 3], 8, 0, word);
    // The second half, where `two` has another label than in the first.
    let first = write_folders(&path("first"), &[2, 3], 8, 0, word);
    let second = write_folders(&path("second"), &[1], 8, 0, word);
    for file in fs::read_dir(first.join("two")).unwrap().flatten().take(3) {
        fs::create_dir_all(second.join("two")).unwrap();
        fs::rename(file.path(), second.join("two").join(file.file_name())).unwrap();
    }
    let galleries = ["whole", "first", "second"].map(|name| path(&format!("{name}.gallery")));
    for (gallery, folder) in galleries.iter().zip([&whole, &first, &second]) {
        enrol(gallery, folder);
    }
    let merged = path("merged.gallery");
    let gallery = |arguments: &[&str]| {
        let mut command = siamese_train();
        command.arg("gallery").args(arguments).arg("--json");
        command.arg("--model").arg(model_path("small-fewshot.siam"));
        command
    };
    let report: Value = serde_json::from_str(&succeed(
        gallery(&["merge"])
            .args(&galleries[1..])
            .arg("--out")
            .arg(&merged),
    ))
    .unwrap();
    let examples = |report: &Value| -> BTreeSet<(String, u64)> {
        let labels = report["labels"].as_array().unwrap().iter();
        labels
            .map(|l| {
                (
                    l["name"].as_str().unwrap().to_owned(),
                    l["examples"].as_u64().unwrap(),
                )
            })
            .collect()
    };
    let expected = ["one", "three", "two"].map(|name| (name.to_owned(), 8));
    assert_eq!(examples(&report), expected.into());
    let distances = |gallery: &Path| {
        let mut identify = command("identify");
        let report = json(identify.arg("--gallery").arg(gallery).arg(&whole));
        let answers = report["answers"].as_array().unwrap().iter();
        answers
            .map(|a| {
                (
                    a["nearest_name"].clone(),
                    a["distance_squared_steps"].clone(),
                )
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(distances(&merged), distances(&galleries[0]));

    let merged = merged.to_str().unwrap();
    let text = succeed(&mut gallery(&["rename", merged, "two", "pair"]));
    assert!(text.contains("pair") && !text.contains("two"), "{text}");
    let message = fail(&mut gallery(&["rename", merged, "pair", "ONE"]));
    assert!(message.contains("one"), "{message}");
    succeed(&mut gallery(&["forget", merged, "one"]));
    let shown: Value = serde_json::from_str(&succeed(&mut gallery(&["show", merged]))).unwrap();
    let left = ["pair", "three"].map(|name| (name.to_owned(), 8));
    assert_eq!(examples(&shown), left.into());
    let message = fail(&mut gallery(&["forget", merged, "one"]));
    assert!(message.contains("one"), "{message}");

    // Another model's points mean nothing.
    let mut show = siamese_train();
    show.args(["gallery", "show", merged, "--model"]);
    let message = fail(show.arg(model_path("small-fewshot-without-789.siam")));
    assert!(message.contains("another model"), "{message}");
}

#[test]
fn names_that_may_be_one_class_are_never_merged() {
    let folder = tempfile::tempdir().unwrap();
    let gallery = folder.path().join("my.gallery");
    for pair in [["7", "07"], ["7", "+7"], ["cat", "Cat"]] {
        let place = folder.path().join(pair[1]);
        write_folders(&place, &[7], 2, 0, |_| pair[0].to_owned());
        write_folders(&place, &[1], 2, 0, |_| pair[1].to_owned());
        let mut enrol = command("enrol");
        let message = fail(enrol.arg("--gallery").arg(&gallery).arg(&place));
        assert!(pair.iter().all(|name| message.contains(name)), "{message}");
        assert!(!gallery.exists());
    }
}

#[test]
fn numbers_as_names_keep_their_number() {
    let folder = tempfile::tempdir().unwrap();
    let gallery = folder.path().join("my.gallery");
    let examples = write_folders(&folder.path().join("e"), &[1, 7], 3, 0, |digit| {
        if digit == 1 {
            "one".to_owned()
        } else {
            "300".to_owned()
        }
    });
    let report = enrol(&gallery, &examples);
    assert_eq!(report["labels"][0]["label"], 300, "{report}");
    assert_eq!(report["labels"][1]["label"], 0);
}

#[test]
fn identical_prototypes_and_ties_get_a_remark() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    // The same pictures twice: somebody has copied a folder.
    let examples = write_folders(&path("examples"), &[3], 3, 0, |_| "a".to_owned());
    write_folders(&path("examples"), &[3], 3, 0, |_| "b".to_owned());
    write_folders(&path("examples"), &[5], 3, 0, |_| "c".to_owned());
    let gallery = path("my.gallery");
    let report = enrol(&gallery, &examples);
    assert_eq!(report["identical"], serde_json::json!([["a", "b"]]));
    let three = fs::read_dir(examples.join("a"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let mut identify = command("identify");
    identify.arg("--gallery").arg(&gallery).arg(&three);
    let text = succeed(identify.args(["--ink", "bright"]));
    assert!(text.contains("b is exactly as near"), "{text}");
    assert!(text.contains("a and b are the same point"), "{text}");
}

#[test]
fn a_threshold_is_a_distance() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let examples = write_folders(&path("examples"), &[1, 8], 3, 0, word);
    let asked = write_folders(&path("asked"), &[1, 8], 4, 100, |_| "asked".to_owned());
    let gallery = path("my.gallery");
    let small = |name: &str| {
        let mut command = siamese_train();
        command
            .args([name, "--model"])
            .arg(model_path("small.siam"))
            .arg("--gallery")
            .arg(&gallery);
        command
    };
    succeed(small("enrol").arg(&examples));
    let decisions = |threshold: f64| -> Vec<(f64, String)> {
        let threshold = threshold.to_string();
        let asked = asked.join("asked");
        let answers = json(
            small("identify")
                .arg(asked)
                .args(["--threshold", &threshold]),
        );
        let answers = answers.as_array().unwrap().iter();
        answers
            .map(|answer| {
                let decision = answer["decision"].as_str().unwrap().to_owned();
                (answer["distance"].as_f64().unwrap(), decision)
            })
            .collect()
    };
    let mut distances: Vec<f64> = decisions(1e3).into_iter().map(|found| found.0).collect();
    distances.sort_by(f64::total_cmp);
    let middle = (distances[3] + distances[4]) / 2.0;
    assert!(distances[3] < middle && middle < distances[4]);
    for (distance, decision) in decisions(middle) {
        let expected = if distance < middle {
            "accepted"
        } else {
            "rejected"
        };
        assert_eq!(decision, expected, "{distance} and {middle}");
    }
}

/// An option from before `--ink`, which scripts still use.
#[test]
fn invert_means_dark_ink() {
    let folder = tempfile::tempdir().unwrap();
    // Bright ink on a dark ground: who says otherwise is believed, and finds none.
    let pictures = write_folders(&folder.path().join("bright"), &[2, 7], 2, 0, word);
    let embed = |options: &[&str]| {
        let mut embed = siamese_train();
        embed
            .args(["embed", "--model"])
            .arg(model_path("small.siam"));
        embed.arg("--images").arg(&pictures).args(options);
        embed.arg("--out").arg(folder.path().join("embed.txt"));
        embed
    };
    succeed(&mut embed(&[]));
    for options in [&["--invert"][..], &["--ink", "dark"]] {
        let message = fail(&mut embed(options));
        assert!(message.contains("4 of 4 pictures"), "{message}");
    }
}

#[test]
fn more_than_256_classes_are_enrolled_and_known_again() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("many");
    let data = test_images();
    for index in 0..600 {
        let path = place.join(format!("image {index}")).join("it.pgm");
        write_picture(&path, data.images.get(index));
    }
    let gallery = folder.path().join("many.gallery");
    assert_eq!(
        enrol(&gallery, &place)["labels"].as_array().unwrap().len(),
        600
    );
    let report = json(
        command("identify")
            .arg("--gallery")
            .arg(&gallery)
            .arg(&place),
    );
    let right = report["score"]["right"].as_u64().unwrap();
    assert!(
        right > 580,
        "{right} of 600 at a distance of 0 from themselves"
    );
}

#[test]
fn eval_and_embed_and_calibrate_take_folders() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let known = write_folders(&path("known"), &[4, 6, 9], 30, 0, word);
    let asked = write_folders(&path("asked"), &[4, 6, 9], 20, 2000, word);
    let eval = |arguments: &[&str]| {
        let mut eval = command("eval");
        eval.arg("--gallery-images")
            .arg(&known)
            .arg("--images")
            .arg(&asked);
        json(eval.args(arguments))
    };
    let report = eval(&[]);
    assert_eq!(
        (report["images"].as_u64(), report["classes"]["0"].as_str()),
        (Some(60), Some("four"))
    );
    assert!(report["knn1"].as_f64().unwrap() > 0.9, "{report}");
    let report = eval(&["--without", "nine"]);
    assert_eq!(report["images"], 40);
    assert!(report["classes"].get("1").is_none(), "{report}");

    // The same images as IDX give the same numbers.
    let data = test_images();
    let all_labels = &data.labels;
    let idx = |name: &str, first: usize, count: usize| {
        let of_digit = |digit: u16| {
            let all = (first..data.len()).filter(move |&i| all_labels[i] == digit);
            all.take(count).collect::<Vec<_>>()
        };
        let mut files = [4, 6, 9].map(of_digit).concat();
        files.sort_unstable();
        write_dataset(folder.path(), name, &data.subset(&files))
    };
    let [[gi, gl], [qi, ql]] = [idx("g", 0, 30), idx("q", 2000, 20)];
    let names = path("names.txt");
    fs::write(&names, WORDS.join("\n")).unwrap();
    let mut eval = command("eval");
    eval.arg("--gallery-images")
        .arg(gi)
        .arg("--gallery-labels")
        .arg(gl);
    eval.arg("--images")
        .arg(qi)
        .arg("--labels")
        .arg(ql)
        .arg("--names")
        .arg(names);
    let by_idx = json(eval.args(["--without", "nine"]));
    assert_eq!(by_idx["knn25"], report["knn25"]);
    assert_eq!(
        by_idx["classes"],
        serde_json::json!({ "4": "four", "6": "six" })
    );

    let out = path("embed.txt");
    let report = json(
        command("embed")
            .arg("--images")
            .arg(&asked)
            .arg("--out")
            .arg(&out),
    );
    assert_eq!(report["files"].as_array().unwrap().len(), 60);
    assert_eq!(fs::read_to_string(&out).unwrap().lines().count(), 60);

    let calibrated = path("calibrated.siam");
    let mut calibrate = command("calibrate");
    calibrate
        .arg("--images")
        .arg(&known)
        .arg("--out")
        .arg(&calibrated);
    assert_eq!(json(&mut calibrate)["images"], 90);
    let message = fail(command("eval").arg("--images").arg(&asked));
    assert!(message.contains("--gallery-images"), "{message}");
}

#[cfg(unix)]
#[test]
fn names_of_any_bytes_are_shown_and_never_panic() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let folder = tempfile::tempdir().unwrap();
    let path = |name: &[u8]| folder.path().join(OsStr::from_bytes(name));
    let examples = write_folders(&path(b"examples\xff"), &[1, 2], 2, 0, word);
    let strange = examples.join(OsStr::from_bytes(b"three\xfe"));
    let data: Dataset = test_images().subset(&[18]);
    write_picture(
        &strange.join(OsStr::from_bytes(b"\xfd.pgm")),
        data.images.get(0),
    );
    let gallery = path(b"my\xff.gallery");
    enrol(&gallery, &examples);
    let report = json(
        command("identify")
            .arg("--gallery")
            .arg(&gallery)
            .arg(&examples),
    );
    assert_eq!(report["score"]["images"], 5);
    let out = path(b"out\xff.txt");
    json(
        command("embed")
            .arg("--images")
            .arg(&examples)
            .arg("--out")
            .arg(&out),
    );
    assert!(out.is_file());
    let out = path(b"out\xff.siam");
    let mut repack = command("repack");
    succeed(repack.args(["--for", "any", "--json", "--out"]).arg(&out));
    let mut plot = command("plot");
    plot.arg("--images")
        .arg(&examples)
        .arg("--out-dir")
        .arg(path(b"pictures\xff"));
    json(&mut plot);
    let mut calibrate = command("calibrate");
    let known = write_folders(&path(b"known\xff"), &[4, 6, 9], 30, 0, word);
    calibrate.arg("--images").arg(known).arg("--out").arg(&out);
    json(&mut calibrate);
}

#[test]
fn nobody_has_to_listen() {
    let folder = tempfile::tempdir().unwrap();
    let examples = write_folders(&folder.path().join("e"), &[1, 2], 2, 0, word);
    // Something to remark.
    fs::write(examples.join("one/notes.txt"), "no picture").unwrap();
    let gallery = folder.path().join("my.gallery");
    // A reader that has gone, on stderr and on stdout.
    let closed = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        writer
    };
    let mut enrol = command("enrol");
    enrol.arg("--gallery").arg(&gallery).arg(&examples);
    let status = enrol.stderr(closed()).stdout(closed()).status().unwrap();
    assert!(status.success(), "{status}");
    assert!(gallery.is_file());
    if let Ok(full) = fs::OpenOptions::new().write(true).open("/dev/full") {
        let status = enrol.stderr(full).stdout(Stdio::null()).status().unwrap();
        assert!(status.success(), "{status}");
        let full = fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let output = enrol.stderr(Stdio::piped()).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"));
    }
}

#[cfg(feature = "torch")]
#[test]
fn train_takes_folders_and_records_its_classes() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let images = write_folders(&path("train"), &[0, 1, 4, 7], 60, 0, word);
    let test = write_folders(&path("test"), &[0, 1, 4, 7], 15, 3000, word);
    let mut train = siamese_train();
    train.args([
        "train", "--preset", "tiny", "--epochs", "20", "--batch", "64", "--name", "m",
    ]);
    train.args(["--threads", "1", "--without", "four"]);
    train
        .arg("--images")
        .arg(&images)
        .arg("--test-images")
        .arg(&test);
    let report = json(train.arg("--out").arg(folder.path()));
    let seen = serde_json::json!({ "1": "one", "2": "seven", "3": "zero" });
    assert_eq!(report["classes"], seen);
    assert_eq!(report["left_out"], serde_json::json!({ "0": "four" }));

    // What training saw is known from beside the model.
    let few_shot = |held_out: &str, model: &Path| {
        let mut command = siamese_train();
        command.args([
            "fewshot",
            "--shots",
            "1",
            "--draws",
            "2",
            "--held-out",
            held_out,
        ]);
        command
            .arg("--model")
            .arg(model)
            .arg("--images")
            .arg(&images);
        command
            .arg("--test-images")
            .arg(&test)
            .args(["--ink", "bright"]);
        succeed(&mut command)
    };
    let model = path("m.siam");
    let text = few_shot("four,seven", &model);
    assert!(text.contains("four: never seen in training"), "{text}");
    assert!(text.contains("seven: SEEN IN TRAINING"), "{text}");
    let alone = path("alone.siam");
    fs::copy(&model, &alone).unwrap();
    let text = few_shot("four", &alone);
    assert!(text.contains("not recorded"), "{text}");
}
