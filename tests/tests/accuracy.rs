//! The committed models are as good as they claim.

use serde_json::Value;
use siamese_tests::{committed_models, model_path, siamese_train, succeed};

/// What `siamese-train eval --json` says of a committed model.
fn evaluated(file: &str) -> Value {
    let mut command = siamese_train();
    command
        .args(["--json", "eval", "--model"])
        .arg(model_path(file));
    serde_json::from_str(&succeed(&mut command)).expect("the report is JSON")
}

fn number(report: &Value, pointer: &str) -> f64 {
    report
        .pointer(pointer)
        .and_then(Value::as_f64)
        .unwrap_or_else(|| panic!("no {pointer}"))
}

#[test]
fn small_keeps_its_bar() {
    let report = evaluated("small.siam");
    assert_eq!(number(&report, "/images"), 10_000.0);
    let (knn25, eer) = (number(&report, "/knn25"), number(&report, "/eer"));
    assert!(knn25 >= 0.970, "knn25 is {knn25}");
    assert!(eer <= 0.045, "the equal error rate is {eer}");
}

#[test]
fn headers_and_reports_tell_the_truth() {
    for model in committed_models() {
        let name = model
            .path()
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap();
        let found = evaluated(name);
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
        let report = std::fs::read_to_string(model.path().with_extension("json")).unwrap();
        let report: Value = serde_json::from_str(&report).unwrap();
        assert_eq!(report["int8"], found, "{name}");
        assert_eq!(
            quality.float_knn25,
            number(&report, "/float/knn25") as f32,
            "{name}"
        );
    }
}

#[test]
fn integers_cost_at_most_three_tenths_of_a_point() {
    for model in committed_models() {
        let report = std::fs::read_to_string(model.path().with_extension("json")).unwrap();
        let report: Value = serde_json::from_str(&report).unwrap();
        for metric in ["knn25", "centroid", "eer"] {
            let float = number(&report, &format!("/float/{metric}"));
            let int8 = number(&report, &format!("/int8/{metric}"));
            assert!(
                (float - int8).abs() <= 0.003,
                "{metric}: {float} and {int8}"
            );
        }
    }
}
