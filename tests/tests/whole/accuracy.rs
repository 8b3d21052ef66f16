//! The committed models are as good as they claim.

use serde_json::Value;
use siamese_tests::{committed_models, model_path, siamese_train, succeed};
use siamese_train::embed::ModelFile;

/// What `siamese-train eval --json` says of a committed model, by the classes that
/// it was trained on.
fn evaluated(model: &ModelFile) -> Value {
    let mut command = siamese_train();
    command
        .args(["--json", "eval", "--model"])
        .arg(model.path());
    if let Some(classes) = report(model).pointer("/plan/without") {
        let classes: Vec<u8> = serde_json::from_value(classes.clone()).unwrap();
        let classes: Vec<String> = classes.iter().map(u8::to_string).collect();
        command.arg("--without").arg(classes.join(","));
    }
    serde_json::from_str(&succeed(&mut command)).expect("the report is JSON")
}

fn number(report: &Value, pointer: &str) -> f64 {
    report
        .pointer(pointer)
        .and_then(Value::as_f64)
        .unwrap_or_else(|| panic!("no {pointer}"))
}

/// What training wrote beside a committed model.
fn report(model: &ModelFile) -> Value {
    let text = std::fs::read_to_string(model.path().with_extension("json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn the_presets_keep_their_bars() {
    // Lowest knn25 and highest equal error rate, as measured by the reports,
    // which the next test holds against `eval`.
    let bars = [
        ("tiny.siam", 0.9795, 0.018),
        ("tiny-d16.siam", 0.9865, 0.011),
        ("swift.siam", 0.983, 0.0175),
        ("small.siam", 0.9855, 0.0145),
        ("medium.siam", 0.990, 0.0115),
        ("reference.siam", 0.991, 0.0095),
        ("small-d16.siam", 0.992, 0.0065),
    ];
    for (name, knn25, eer) in bars {
        let report = report(&ModelFile::read(&model_path(name)).unwrap());
        let found = number(&report, "/int8/knn25");
        assert!(found >= knn25, "{name}: knn25 is {found}");
        let found = number(&report, "/int8/eer");
        assert!(found <= eer, "{name}: the equal error rate is {found}");
    }
}

#[test]
fn headers_and_reports_tell_the_truth() {
    for model in committed_models() {
        let name = model
            .path()
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap();
        let found = evaluated(&model);
        let quality = model
            .model()
            .header()
            .quality
            .expect("a committed model was measured");
        assert_eq!(
            quality.int8_knn25,
            number(&found, "/knn25") as f32,
            "{name}"
        );
        assert_eq!(quality.int8_eer, number(&found, "/eer") as f32, "{name}");
        let report = report(&model);
        assert_eq!(report["int8"], found, "{name}");
        assert_eq!(
            quality.float_knn25,
            number(&report, "/float/knn25") as f32,
            "{name}"
        );
    }
}

#[test]
fn integers_are_as_good_as_floats() {
    for model in committed_models() {
        let report = report(&model);
        let (float, int8) = (
            number(&report, "/float/knn25"),
            number(&report, "/int8/knn25"),
        );
        let name = model.model().header().name.to_owned();
        // Rows of few bits share one unit of their activations, where those of 8 bits have a
        // multiplier each: that costs a twentieth of a point more.
        let lost = if model.stored().model().has_lanes() {
            0.001
        } else {
            0.0005
        };
        assert!(int8 > float - lost, "{name}: {float} and {int8}");
    }
}

#[test]
fn classes_that_training_never_saw_are_known_from_a_few_examples() {
    let model = ModelFile::read(&model_path("small-fewshot-without-789.siam")).unwrap();
    assert_eq!(
        report(&model)["plan"]["without"],
        serde_json::json!([7, 8, 9])
    );
    let mut command = siamese_train();
    command.args([
        "--json",
        "fewshot",
        "--held-out",
        "7,8,9",
        "--shots",
        "5,20",
    ]);
    command.arg("--model").arg(model.path());
    let found: Value = serde_json::from_str(&succeed(&mut command)).unwrap();
    // Of five examples: all, the new ones, known against unknown; of twenty: all.
    for (pointer, bar) in [
        ("/shots/0/all/mean", 0.925),
        ("/shots/0/new/mean", 0.78),
        ("/shots/0/open_set_auc/mean", 0.9),
        ("/shots/1/all/mean", 0.94),
    ] {
        let share = number(&found, pointer);
        assert!((bar..1.0).contains(&share), "{pointer}: {share}");
    }
}
