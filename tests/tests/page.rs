//! The page of `siamese-train explore`, used in Chromium as a visitor would. A script in
//! `siamese-web/page/test` drives it; here it is judged what it found.

use std::env;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;
use siamese_build::Core;
use siamese_build::cost::Work;
use siamese_core::Model;
use siamese_core::preprocess::{Grey, Ink, fit};
use siamese_tests::{
    fail, layers, model_path, root, siamese_train, succeed, test_images, write_dataset,
};
use siamese_train::dataset::{Dataset, Images, Source, Split};
use siamese_train::embed::{ModelFile, embed_images};
use siamese_train::gallery::file::NamedGallery;
use siamese_train::train::history::Film;
use siamese_web::Pad;

/// The model of the page: it learns best what it was not trained on.
const MODEL: &str = "small-fewshot.siam";
/// Points of the large map.
const LARGE: usize = 70_000;
/// Points of its film.
const FILMED: usize = 500;

/// What the script found, and where it left files.
struct Found {
    folder: PathBuf,
    page: Value,
    json: Value,
}

impl Found {
    fn text(&self, key: &str) -> &str {
        self.json[key].as_str().unwrap_or_default()
    }

    fn list(&self, key: &str) -> &[Value] {
        self.json[key].as_array().map_or(&[], Vec::as_slice)
    }
}

/// Makes the pages and uses them, once for all tests; `None` where there is no browser, which is
/// said loudly.
fn found() -> Option<&'static Found> {
    static FOUND: OnceLock<Option<Found>> = OnceLock::new();
    FOUND.get_or_init(use_pages).as_ref()
}

fn use_pages() -> Option<Found> {
    let scripts = root().join("siamese-web/page");
    let browser = browser();
    if browser.is_none() || !scripts.join("node_modules/playwright-core").exists() {
        assert!(
            env::var_os("SIAMESE_FULL").is_none(),
            "there is no Chromium, or no playwright-core: run `cargo xtask setup`"
        );
        // Not by a macro, whose words the test's harness would keep to itself.
        let _ = writeln!(
            io::stderr(),
            "\nSKIPPED: the page is not tested, as there is no Chromium, or no playwright-core; \
             `cargo xtask setup` installs both\n"
        );
        return None;
    }
    let folder = root().join("target/page");
    fs::create_dir_all(&folder).unwrap();
    let (page, large) = (folder.join("page.html"), folder.join("large.html"));
    let made = succeed(
        siamese_train()
            .args(["--json", "explore", "--model"])
            .arg(model_path(MODEL))
            .arg("--out")
            .arg(&page),
    );
    let [images, labels] = write_dataset(&folder, "all", &all_images());
    let mut command = siamese_train();
    command
        .args(["explore", "--model"])
        .arg(model_path("small.siam"));
    command
        .arg("--images")
        .arg(images)
        .arg("--labels")
        .arg(labels);
    let film = folder.join("film.safetensors");
    growing_film().write(&film).unwrap();
    command.arg("--film").arg(film);
    succeed(command.arg("--out").arg(&large));
    let [images, _] = write_dataset(&folder, "test", &test_images());
    let mut drive = Command::new("node");
    drive.arg(scripts.join("test/drive.mjs"));
    drive.args([&page, &large, &images, &folder]);
    drive.env("SIAMESE_BROWSER", browser.unwrap_or_default());
    succeed(&mut drive);
    let json = fs::read(folder.join("found.json")).unwrap();
    Some(Found {
        page: serde_json::from_str(&made).unwrap(),
        json: serde_json::from_slice(&json).unwrap(),
        folder,
    })
}

/// Chromium, by the names that it has.
fn browser() -> Option<String> {
    let names = [
        "chromium",
        "chromium-browser",
        "google-chrome",
        "google-chrome-stable",
    ];
    let paths = env::split_paths(&env::var_os("PATH")?).collect::<Vec<_>>();
    let find = |name: &str| {
        paths
            .iter()
            .map(|path| path.join(name))
            .find(|path| path.is_file())
    };
    let found = names.iter().find_map(|name| find(name))?;
    Some(found.display().to_string())
}

/// MNIST's training and test images.
fn all_images() -> Dataset {
    let train = Dataset::load(&root().join("data"), Source::Mnist, Split::Train).unwrap();
    let test = test_images();
    let pixels = [train.images.pixels(), test.images.pixels()].concat();
    let labels = [train.labels, test.labels].concat();
    Dataset::new(Images::new(28, 28, pixels).unwrap(), labels).unwrap()
}

/// A film of three pictures, in which some test images grow from the middle to their points.
fn growing_film() -> Film {
    let (file, test) = (
        ModelFile::read(&model_path("small.siam")).unwrap(),
        test_images(),
    );
    let some = test.images.subset(&(0..FILMED).collect::<Vec<_>>());
    let embeddings = embed_images(&file.model(), &some).unwrap();
    let steps = embeddings.steps.iter();
    let points: Vec<f32> = steps
        .map(|&step| f32::from(step) * embeddings.scale)
        .collect();
    let grown = |share: f32| points.iter().map(|coordinate| coordinate * share).collect();
    Film {
        labels: test.labels[..FILMED].to_vec(),
        frames: [0.25, 0.5, 1.0].map(grown).to_vec(),
    }
}

fn integers(value: &Value) -> Vec<i64> {
    let values = value.as_array().map_or(&[][..], Vec::as_slice);
    values.iter().filter_map(Value::as_i64).collect()
}

fn widened<T: Into<i64> + Copy>(values: &[T]) -> Vec<i64> {
    values.iter().map(|&value| value.into()).collect()
}

fn model() -> ModelFile {
    ModelFile::read(&model_path(MODEL)).unwrap()
}

#[test]
fn every_image_has_the_integers_of_the_host_and_the_costs_of_the_bench() {
    let Some(found) = found() else { return };
    let (file, test) = (model(), test_images());
    let stored = file.stored().model();
    let cores = [Core::CortexM0, Core::CortexM4, Core::CortexM55, Core::Rv32];
    let embedded = found.list("embedded");
    assert_eq!(embedded.len(), 1000);
    for (index, there) in embedded.iter().enumerate() {
        let pixels = test.images.get(index);
        let here = layers(&file.model(), pixels);
        assert_eq!(
            integers(&there["point"]),
            widened(&here.embedding),
            "image {index}"
        );
        assert_eq!(
            integers(&there["hidden"][0]),
            widened(&here.hidden1),
            "image {index}"
        );
        assert_eq!(
            integers(&there["hidden"][1]),
            widened(&here.hidden2),
            "image {index}"
        );
        let work = Work::of(&stored, [pixels]).unwrap().unwrap();
        let costs = cores.map(|core| core.measured().unwrap().instructions(&work).round() as i64);
        assert_eq!(integers(&there["costs"]), costs, "image {index}");
    }
}

#[test]
fn strokes_end_at_the_same_point_on_every_screen_and_here() {
    let Some(found) = found() else { return };
    let file = model();
    let drawings = found.list("strokes");
    assert_eq!(drawings.len(), 30);
    for drawing in drawings {
        let mut pad = Pad::default();
        for stroke in drawing["strokes"].as_array().unwrap() {
            let places = integers(stroke);
            let places: Vec<(i32, i32)> = places
                .as_chunks::<2>()
                .0
                .iter()
                .map(|&[x, y]| (x as i32, y as i32))
                .collect();
            pad.line(places[0], places[0]);
            places.windows(2).for_each(|two| pad.line(two[0], two[1]));
        }
        let frame = framed(&file.model(), &pad);
        assert_eq!(integers(&drawing["frame"]), widened(&frame));
        let here = widened(&layers(&file.model(), &frame).embedding);
        assert_eq!(integers(&drawing["point"]), here);
        assert_eq!(integers(&drawing["elsewhere"]), here);
    }
}

/// The pad's drawing in the model's frame.
fn framed(model: &Model<'_>, pad: &Pad) -> Vec<u8> {
    let input = model.header().input;
    let mut frame = vec![0; input.pixels()];
    let mut picture = Grey::new(siamese_web::SIDE, siamese_web::SIDE, pad.pixels()).unwrap();
    fit(
        &mut picture,
        Ink::Bright,
        input.width,
        input.height,
        &mut frame,
    )
    .unwrap();
    frame
}

#[test]
fn five_drawings_each_teach_it_three_symbols() {
    let Some(found) = found() else { return };
    let taught: Vec<&str> = found
        .list("taught")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(taught[0], "Remembered: 1 of 5. Draw it again.");
    assert_eq!(
        taught[14],
        "Remembered. Now draw it once more, or another symbol."
    );
    assert!(
        found.text("twice").contains("already"),
        "{}",
        found.text("twice")
    );
    assert_eq!(found.json["untaught"]["kind"], "");
    for key in ["recognised", "before", "after"] {
        let answers = found.list(key);
        let right = answers
            .iter()
            .filter(|one| one["kind"] == "known" && one["verdict"] == one["name"]);
        assert_eq!(
            (right.count(), answers.len()),
            (15, 15),
            "{key}: {answers:?}"
        );
    }
    // The same distances and margins, too, after the gallery went out and in again.
    assert_eq!(found.json["before"], found.json["after"]);
}

#[test]
fn digits_are_unknown_to_a_gallery_of_symbols_and_the_slider_says_how_many() {
    let Some(found) = found() else { return };
    let known = |value: &Value| value.as_u64().unwrap();
    let [strict, start, generous] = [
        known(&found.json["strictest"]["strangers"]),
        known(&found.json["strangers"]),
        known(&found.json["mostGenerous"]["strangers"]),
    ];
    assert!(
        strict < start && start < generous,
        "{strict}, {start}, {generous} of 1000"
    );
    assert!(start < 50, "{start} of 1000 digits are taken for symbols");
    let rates = found.text("rates");
    assert!(
        rates.starts_with("It takes 2.0 %") && rates.contains("It refuses"),
        "{rates}"
    );
    let said = |key: &str| found.json[key]["rates"].as_str().unwrap().to_owned();
    assert!(said("strictest").starts_with("It takes 0.1 %"));
    assert!(said("mostGenerous").starts_with("It takes 10 %"));
}

#[test]
fn what_it_learned_is_a_file_for_boards() {
    let Some(found) = found() else { return };
    let file = model();
    let gallery = NamedGallery::read(&file.model(), &found.folder.join("my.gallery")).unwrap();
    let names: Vec<String> = gallery
        .labels()
        .iter()
        .map(|&label| gallery.names.get(label))
        .collect();
    assert_eq!(names, ["star", "house", "heart"]);
    assert!(gallery.gallery.entries().iter().all(|entry| entry.1 == 5));
    // A held-out drawing, here.
    let drawing = &found.list("strokes")[27];
    let point: Vec<i16> = integers(&drawing["point"])
        .iter()
        .map(|&step| step as i16)
        .collect();
    let answer = gallery.gallery.identify(&point).unwrap();
    assert_eq!(
        answer
            .label()
            .map(|label| gallery.names.get(label))
            .as_deref(),
        Some("heart")
    );
    assert_eq!(found.json["reloaded"], 0);
    assert_eq!(
        found.json["loaded"],
        serde_json::json!(["star", "house", "heart"])
    );
    assert!(
        found.text("damaged").contains("can't be loaded"),
        "{}",
        found.text("damaged")
    );
    assert_eq!(found.json["keptAfterDamage"], 3);
    assert_eq!(
        found.json["forgotten"],
        serde_json::json!(["house", "heart"])
    );
}

#[test]
fn hands_keys_and_files_draw() {
    let Some(found) = found() else { return };
    for key in ["byMouse", "byKeys", "byFile"] {
        let said = found.text(key);
        assert!(
            said.contains("nearest pictures on the map are “1”"),
            "{key}: {said}"
        );
    }
    assert_eq!(found.text("wiped"), "");
}

#[test]
fn keys_reach_the_map_and_mistakes_are_shown() {
    let Some(found) = found() else { return };
    assert!(
        found.text("picked").starts_with("A “"),
        "{}",
        found.text("picked")
    );
    let near = found.list("neighbours");
    assert_eq!(near.len(), 8);
    assert!(
        near.iter()
            .all(|one| one.as_str().is_some_and(|text| text.contains("” at ")))
    );
    let mistakes = found.page["mistakes"].as_u64().unwrap();
    assert!(
        found
            .text("mistakes")
            .starts_with(&format!("{mistakes} of 10,000")),
        "{}",
        found.text("mistakes")
    );
    assert!(
        found.text("mistake").contains("lies among"),
        "{}",
        found.text("mistake")
    );
}

#[test]
fn the_film_goes_from_step_to_step() {
    let Some(found) = found() else { return };
    let film = found.list("film");
    let said: Vec<&str> = film.iter().filter_map(|one| one["said"].as_str()).collect();
    assert_eq!(
        said,
        ["trained", "picture 1 of 3", "picture 2 of 3", "trained"]
    );
    let points: Vec<u64> = film
        .iter()
        .filter_map(|one| one["points"].as_u64())
        .collect();
    assert_eq!(points, [0, FILMED as u64, FILMED as u64, 0]);
    let far = |step: usize| film[step]["farthest"].as_f64().unwrap();
    assert!((far(2) / far(1) - 2.0).abs() < 0.01, "{film:?}");
}

#[test]
fn it_is_one_small_file_that_asks_for_nothing_and_complains_of_nothing() {
    let Some(found) = found() else { return };
    assert!(
        found.page["bytes"].as_u64().unwrap() <= 3_000_000,
        "{}",
        found.page
    );
    assert_eq!(found.page["points"], 10_000);
    assert_eq!(found.json["errors"], serde_json::json!([]));
    let asked = found.list("requests").iter().filter_map(Value::as_str);
    for request in asked {
        assert!(
            request.starts_with("file:") && request.ends_with(".html"),
            "it asks for {request}"
        );
    }
}

#[test]
fn everybody_can_use_it() {
    let Some(found) = found() else { return };
    for (view, violations) in found.json["violations"].as_object().unwrap() {
        assert_eq!(violations, &serde_json::json!([]), "{view}");
    }
    assert_eq!(
        found.json["overflow"], 0,
        "it scrolls sideways at 360 pixels"
    );
}

/// Times are told, not judged: a test must not fail because a machine is busy.
#[test]
fn times_are_told() {
    let Some(found) = found() else { return };
    let mut frames: Vec<f64> = found
        .list("frames")
        .iter()
        .filter_map(Value::as_f64)
        .collect();
    frames.sort_by(f64::total_cmp);
    assert_eq!(
        (frames.len(), found.json["large"].as_u64()),
        (60, Some(LARGE as u64))
    );
    println!(
        "{}: first point after {:.0} ms; {:.0} µs an embedding; {:.1} ms a frame of {LARGE} \
         points, {:.1} at most",
        found.text("browser"),
        found.json["mapAfter"].as_f64().unwrap(),
        found.json["microseconds"].as_f64().unwrap(),
        frames[frames.len() / 2],
        frames[frames.len() - 1],
    );
}

#[test]
fn no_page_is_made_of_a_damaged_model() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.siam");
    let mut bytes = fs::read(model_path(MODEL)).unwrap();
    bytes[5000] ^= 4;
    fs::write(&path, bytes).unwrap();
    let page = folder.path().join("page.html");
    let said = fail(
        siamese_train()
            .args(["explore", "--model"])
            .arg(&path)
            .arg("--out")
            .arg(&page),
    );
    assert!(
        said.contains("damaged.siam") && said.contains("export the model again"),
        "{said}"
    );
    assert!(!Path::new(&page).exists());
}

#[test]
fn the_page_in_the_docs_is_the_one_that_is_built() {
    let read = |path: &str| fs::read_to_string(root().join(path)).unwrap();
    let built = read("siamese-train/explore/page.html");
    let (before, after) = built.split_once("<!-- siamese:data -->").unwrap();
    let (_, before) = before.split_once("<!-- siamese:title -->").unwrap();
    let shown = read("docs/explore/index.html");
    assert!(
        shown.contains(before) && shown.ends_with(after),
        "docs/explore/index.html is old: run `siamese-train explore --model model/{MODEL} --out \
         docs/explore/index.html`"
    );
}
