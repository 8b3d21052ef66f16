//! `key`, `sign` and `device update`, as a user calls them, with an emulated board.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn call(folder: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_siamese-train"));
    command.current_dir(folder).args(words);
    command.output().unwrap()
}

/// The JSON of a call that succeeds, and what it says besides.
fn succeed(folder: &Path, words: &[&str]) -> (Value, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = call(folder, &[words, &["--json"]].concat());
    let said = String::from_utf8(stderr).unwrap();
    assert!(status.success(), "{words:?}: {said}");
    (serde_json::from_slice(&stdout).unwrap(), said)
}

/// What a call says that fails.
fn fail(folder: &Path, words: &[&str]) -> String {
    let output = call(folder, words);
    assert!(!output.status.success(), "{words:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_model_is_signed_and_a_board_takes_it_from_the_right_hands() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../model");
    let model = |name: &str| models.join(name).to_str().unwrap().to_owned();
    let (tiny, small) = (model("tiny.siam"), model("small.siam"));

    let (made, _) = succeed(folder, &["key", "new", "--out", "fleet.pem"]);
    let (shown, _) = succeed(folder, &["key", "show", "--key", "fleet.pem"]);
    assert_eq!(made["key"], shown["key"]);
    let again = fail(folder, &["key", "new", "--out", "fleet.pem"]);
    assert!(again.contains("is there already"), "{again}");

    let sign = |key: &str, version: &str, board: &str, out: &str| {
        let words = ["sign", "--model", &tiny, "--key", key, "--out", out];
        let more = ["--version", version, "--board", board];
        succeed(folder, &[words.as_slice(), &more].concat())
    };
    let (_, said) = sign("fleet.pem", "2", "mps2-an386", "fleet.upd");
    assert_eq!(said, "");
    let (signed, said) = sign("development", "3", "mps2-an386", "good.upd");
    assert!(said.contains("WARNING"), "{said}");
    assert_eq!(signed["version"], 3);
    sign("development", "4", "pico", "pico.upd");

    let board = |words: &[&'static str]| {
        let connection = ["device", "--emulate", "mps2-an386", "--flash", "board"];
        let model: &str = small.as_str();
        let mut all: Vec<String> = connection.map(str::to_owned).to_vec();
        all.extend(["--model".to_owned(), model.to_owned(), "update".to_owned()]);
        all.extend(words.iter().map(|&word| word.to_owned()));
        all
    };
    let refused = |file: &'static str, expected: &str| {
        let words = board(&[file]);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let said = fail(folder, &words);
        assert!(said.contains(expected), "{said}");
    };
    refused("fleet.upd", "firmware's key");
    refused("pico.upd", "another board");
    refused("fleet.pem", "no update file");
    let taken = |words: &[&'static str]| {
        let words = board(words);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        succeed(folder, &words)
    };
    let (status, said) = taken(&[]);
    assert_eq!(
        (&status["version"], &status["running"]),
        (&0.into(), &"built in".into())
    );
    assert!(said.contains("development key"), "{said}");
    let (status, _) = taken(&["good.upd"]);
    assert_eq!(
        (&status["version"], &status["model"]),
        (&3.into(), &"tiny".into())
    );
    assert_eq!(status["on_trial"], false);
    // The power was off since.
    let (status, _) = taken(&[]);
    assert_eq!(
        (&status["version"], &status["model"]),
        (&3.into(), &"tiny".into())
    );
    refused("good.upd", "runs this update already");
}
