//! `siamese-train device`, with emulated boards, and with one at the end of a serial line.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use siamese_core::gallery::names;
use siamese_tests::{fail, model_path, siamese_train, succeed, write_folders};

/// What the digits of these tests are called.
fn name(digit: usize) -> String {
    ["zero", "one", "two", "three", "four"][digit].into()
}

/// The command, for a board that is emulated.
fn device(board: &str, flash: &Path) -> Command {
    let mut command = siamese_train();
    command
        .args(["device", "--emulate", board, "--json"])
        .arg("--flash")
        .arg(flash)
        .arg("--model")
        .arg(model_path("small-fewshot.siam"));
    command
}

fn json(command: &mut Command) -> Value {
    serde_json::from_str(&succeed(command)).unwrap()
}

/// A board is shown folders of pictures, and knows others of the same classes after the
/// power was off; its gallery travels to this machine and back.
#[test]
fn a_pico_learns_pictures_by_name_and_gives_its_gallery_away() {
    let folder = tempfile::tempdir().unwrap();
    let (flash, file) = (
        folder.path().join("flash"),
        folder.path().join("my.gallery"),
    );
    let examples = write_folders(&folder.path().join("examples"), &[1, 2, 3], 5, 0, name);
    let asked = write_folders(&folder.path().join("asked"), &[0, 1, 2, 3], 8, 5000, name);
    // Each of these calls starts the board anew.
    let on_board = |words: &[&str]| {
        let mut command = device("pico", &flash);
        command.args(words);
        command
    };

    let empty = fail(on_board(&["identify"]).arg(&asked));
    assert!(empty.contains("enrol something"), "{empty}");
    let enrolled = json(on_board(&["enrol"]).arg(&examples));
    assert_eq!(enrolled["examples"], 15);
    assert_eq!(enrolled["saved"], true);
    let info = json(&mut on_board(&["info"]));
    assert_eq!(
        (&info["board"], &info["model"]),
        (&"pico".into(), &"small-fewshot".into())
    );
    assert_eq!(info["entries"].as_array().unwrap().len(), 3);
    assert_eq!(info["entries"][1]["name"], "three");
    assert_eq!(info["entries"][1]["examples"], 5);

    let score = json(on_board(&["identify"]).arg(&asked));
    assert!(
        score["score"]["right"].as_u64() >= Some(22),
        "{}",
        score["score"]
    );
    // This machine gives the same answers by the same gallery.
    let pulled = json(on_board(&["gallery", "pull"]).arg(&file));
    assert_eq!(pulled["labels"][0]["name"], "one");
    let mut here = siamese_train();
    here.args(["identify", "--json", "--model"])
        .arg(model_path("small-fewshot.siam"))
        .arg("--gallery")
        .args([&file, &asked]);
    assert_eq!(json(&mut here), score);

    let unknown = fail(on_board(&["forget", "four"]).arg("--no-save"));
    assert!(
        unknown.contains("\"four\"") && unknown.contains("three"),
        "{unknown}"
    );
    let forgotten = json(&mut on_board(&["forget", "one", "three"]));
    assert_eq!(forgotten["forgotten"], serde_json::json!(["one", "three"]));
    let names = |info: &Value| -> Vec<String> {
        let entries = info["entries"].as_array().unwrap().iter();
        entries
            .map(|entry| entry["name"].as_str().unwrap().into())
            .collect()
    };
    assert_eq!(names(&json(&mut on_board(&["info"]))), ["two"]);
    // What isn't saved is back after the power was off.
    assert_eq!(
        json(&mut on_board(&["forget", "two", "--no-save"]))["saved"],
        false
    );
    assert_eq!(names(&json(&mut on_board(&["info"]))), ["two"]);

    let merged = json(on_board(&["gallery", "merge"]).arg(&file));
    assert_eq!(merged["entries"], 3);
    assert_eq!(
        names(&json(&mut on_board(&["info"]))),
        ["two", "one", "three"]
    );
    assert_eq!(
        json(on_board(&["gallery", "push"]).arg(&file))["entries"],
        3
    );
    let again = folder.path().join("again.gallery");
    json(on_board(&["gallery", "pull"]).arg(&again));
    assert_eq!(fs::read(&file).unwrap(), fs::read(&again).unwrap());
    // A file that is none, and a gallery of another model.
    let mut damaged = fs::read(&file).unwrap();
    let record = names::split(&damaged).unwrap().0.len();
    damaged[record / 2] ^= 1;
    fs::write(&again, damaged).unwrap();
    let refused = fail(on_board(&["gallery", "push"]).arg(&again));
    assert!(refused.contains("damaged"), "{refused}");
    assert_eq!(
        names(&json(&mut on_board(&["info"]))),
        ["one", "three", "two"]
    );
}

#[test]
fn boards_are_judged_by_golden_vectors_and_by_this_machine() {
    let folder = tempfile::tempdir().unwrap();
    for board in ["pico", "mps2-an386"] {
        let on_board = |words: &[&str]| {
            let mut command = device(board, folder.path());
            command.args(words);
            command
        };
        let test = json(&mut on_board(&["self-test"]));
        assert_eq!(
            (test["vectors"].as_u64(), test["differing"].as_u64()),
            (Some(128), Some(0))
        );
        // More on the board that people have.
        let count = if board == "pico" { 1000 } else { 300 };
        let all = json(&mut on_board(&["regress", "--count", &count.to_string()]));
        assert_eq!(
            (all["images"].as_u64(), all["differing"].as_u64()),
            (Some(count), Some(0))
        );
        // Four fifths of the 784 pixels are background.
        let sent = all["bytes_sent_per_image"].as_f64().unwrap();
        assert!((200.0..250.0).contains(&sent), "{sent}");
        let measured = json(&mut on_board(&["measure", "--count", "100"]));
        let unit = if board == "pico" {
            "cycles"
        } else {
            "instructions"
        };
        assert_eq!(measured["unit"], unit);
        let of = |key: &str| measured[key].as_f64().unwrap();
        assert!(of("worst") > of("mean") && of("mean") > 10_000.0);
        assert!(of("stack_peak") < of("stack_size") && of("flash_model") > 100_000.0);
        budget_agrees(board, &measured);

        let (there, here) = (
            folder.path().join("there.txt"),
            folder.path().join("here.txt"),
        );
        let pictures = write_folders(&folder.path().join(board), &[0, 4], 3, 0, name);
        let embedded = json(on_board(&["embed"]).arg(&pictures).arg("--out").arg(&there));
        assert_eq!(embedded["files"].as_array().unwrap().len(), 6);
        succeed(
            siamese_train()
                .args(["embed", "--model"])
                .arg(model_path("small-fewshot.siam"))
                .arg("--images")
                .arg(&pictures)
                .arg("--out")
                .arg(&here),
        );
        assert_eq!(fs::read(&there).unwrap(), fs::read(&here).unwrap());
    }
}

/// What `budget` says before anything is built is near to what was measured then. No
/// estimate was fitted to a board with this model by its cycles.
fn budget_agrees(board: &str, measured: &Value) {
    let mut command = siamese_train();
    command
        .args(["budget", "--json", "--board", board, "--model"])
        .arg(model_path("small-fewshot.siam"));
    let by_golden = json(&mut command);
    let images = siamese_tests::root().join("data/mnist/t10k-images-idx3-ubyte");
    let budget = json(command.arg("--images").arg(images));
    assert_eq!(
        (&by_golden["images"], &budget["images"]),
        (&112.into(), &10_000.into())
    );
    let near = |estimated: f64, key: &str, share: f64| {
        let off = estimated / measured[key].as_f64().unwrap() - 1.0;
        assert!(off.abs() <= share, "{board}: {key} is off by {off:.3}");
    };
    for budget in [by_golden, budget] {
        let of_board = &budget["boards"][0];
        let mean = |key: &str| of_board["mean"][key].as_f64().unwrap();
        // rp2040js waits for no flash.
        let mean = match measured["unit"].as_str() {
            Some("cycles") => mean("cycles") - mean("cycles_waiting_for_flash"),
            _ => mean("instructions"),
        };
        near(mean, "mean", 0.1);
        let device = |key: &str| of_board["device"][key].as_f64().unwrap();
        near(device("flash_code"), "flash_code", 0.02);
        near(device("ram_static"), "ram_static", 0.02);
        near(of_board["model"].as_f64().unwrap(), "flash_model", 0.001);
        assert!(device("ram_stack") >= measured["stack_peak"].as_f64().unwrap());
        assert_eq!(of_board["fits"], true);
    }
}

/// Of the weights as a device has them: this machine may keep a byte for each.
#[test]
fn a_budget_counts_words_of_few_bits() {
    let of = |model: &str| {
        let mut command = siamese_train();
        command
            .args(["budget", "--json", "--board", "mps2-an386", "--model"])
            .arg(model_path(model));
        let budget = json(&mut command);
        let mean = budget["boards"][0]["mean"]["instructions"].as_f64();
        (budget["work"]["words"].as_f64().unwrap(), mean.unwrap())
    };
    let ((words, swift), (none, small)) = (of("swift.siam"), of("small.siam"));
    assert!(words > 0.0 && none == 0.0);
    assert!((0.4..0.6).contains(&(swift / small)), "{swift}, {small}");
}

#[test]
fn what_can_t_be_done_is_told_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let told = |words: &[&str]| fail(siamese_train().arg("device").args(words));
    let says = |words: &[&str], what: &str| {
        let message = told(words);
        assert!(message.contains(what), "{words:?}: {message}");
    };
    says(&["info", "--emulate", "pica"], "pica");
    says(&["info", "--port", "/dev/nothing-there"], "No such file");
    says(&["info", "--port", "/dev/null"], "/dev/null");
    says(&["info", "--flash", "somewhere"], "--emulate");
    says(
        &["info", "--timeout", "0", "--emulate", "pico"],
        "--timeout",
    );
    fn on_board<'a>(words: &[&'a str]) -> Vec<&'a str> {
        [&["--emulate", "mps2-an386"], words].concat()
    }
    says(
        &on_board(&["--model", "nowhere.siam", "info"]),
        "nowhere.siam",
    );
    says(&on_board(&["regress", "--data", "nowhere"]), "--images");
    says(&on_board(&["regress", "--count", "0"]), "--count");
    // A model without golden vectors beside it, and images of another size.
    let model = folder.path().join("alone.siam");
    fs::copy(model_path("small.siam"), &model).unwrap();
    let model = model.to_str().unwrap();
    says(
        &on_board(&["--model", model, "self-test"]),
        "alone.golden.safetensors",
    );
    let small = folder.path().join("small-images");
    siamese_tests::write_idx(&small, &[1, 8, 8], &[0; 64]);
    let small = small.to_str().unwrap();
    says(&on_board(&["regress", "--images", small]), "784");
    // Too large for the board's flash.
    let large = model_path("reference.siam");
    let large = [
        "--emulate",
        "microbit",
        "--model",
        large.to_str().unwrap(),
        "info",
    ];
    says(&large, "doesn't fit microbit");
    // Which could have been known before.
    let mut budget = siamese_train();
    budget
        .args(["budget", "--json", "--board", "microbit", "--model"])
        .arg(model_path("reference.siam"));
    let budget = json(&mut budget);
    assert_eq!(budget["boards"][0]["fits"], false);
    let why = budget["boards"][0]["why_not"].as_str().unwrap();
    assert!(why.contains("doesn't fit microbit"), "{why}");
}

/// Over a pseudo-terminal, which is what a serial port is to a program.
#[cfg(unix)]
mod on_a_port {
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::fd::OwnedFd;
    use std::process::Stdio;
    use std::thread;
    use std::time::Duration;

    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
    use siamese_device::firmware::{Board, build};
    use siamese_device::{Emulator, Halves, Transport};

    use super::*;

    /// A serial line with something at its other end.
    struct Port {
        name: String,
        master: File,
        /// Keeps the line up while no program has it open.
        _held: File,
    }

    impl Port {
        fn new() -> Self {
            let master: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
            grantpt(&master).unwrap();
            unlockpt(&master).unwrap();
            let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
            let held = File::options().read(true).write(true).open(&name).unwrap();
            let mut settings = tcgetattr(&held).unwrap();
            settings.make_raw();
            tcsetattr(&held, OptionalActions::Now, &settings).unwrap();
            Self {
                name,
                master: master.into(),
                _held: held,
            }
        }

        /// Puts a board with a model at its end.
        fn with_board(&self, model: &str) -> Emulator {
            let elf = build(&model_path(model), Board::Pico).unwrap();
            let mut board = Emulator::start(&elf, Board::Pico).unwrap();
            let mut from_host = self.master.try_clone().unwrap();
            let mut to_host = self.master.try_clone().unwrap();
            let Halves {
                mut reader,
                mut writer,
            } = board.halves().unwrap();
            thread::spawn(move || pass(&mut from_host, &mut writer));
            thread::spawn(move || pass(&mut reader, &mut to_host));
            board
        }

        fn command(&self) -> Command {
            let mut command = siamese_train();
            command.args(["device", "--json", "--timeout", "2", "--port", &self.name]);
            command
        }
    }

    fn pass(from: &mut impl Read, to: &mut impl Write) {
        let mut bytes = [0; 256];
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            if to
                .write_all(&bytes[..count])
                .and_then(|()| to.flush())
                .is_err()
            {
                return;
            }
        }
    }

    #[test]
    fn the_model_is_found_by_what_the_board_says() {
        let (port, pictures) = (Port::new(), tempfile::tempdir().unwrap());
        let _board = port.with_board("small.siam");
        let info = json(port.command().arg("info"));
        assert_eq!(
            (&info["board"], &info["model"]),
            (&"pico".into(), &"small".into())
        );
        let all = json(port.command().args(["regress", "--count", "100"]));
        assert_eq!(
            (all["images"].as_u64(), all["differing"].as_u64()),
            (Some(100), Some(0))
        );
        let other = model_path("tiny.siam");
        let refused = fail(port.command().arg("info").arg("--model").arg(other));
        assert!(
            refused.contains("small") && refused.contains("tiny.siam"),
            "{refused}"
        );
        // The firmware of these tests keeps no names.
        let examples = write_folders(&pictures.path().join("words"), &[1], 1, 0, name);
        let refused = fail(port.command().arg("enrol").arg(examples));
        assert!(refused.contains("feature `names`"), "{refused}");
        let numbers = write_folders(&pictures.path().join("numbers"), &[1], 2, 0, |d| {
            d.to_string()
        });
        let enrolled = json(port.command().arg("enrol").arg(numbers));
        assert_eq!(enrolled["classes"], serde_json::json!(["1"]));
    }

    #[test]
    fn nobody_there_and_a_board_that_goes_are_told() {
        let port = Port::new();
        let silent = fail(port.command().arg("info"));
        assert!(
            silent.contains("no board answers") && silent.contains("115200"),
            "{silent}"
        );
        // Something else talks.
        let mut noise = port.master.try_clone().unwrap();
        thread::spawn(move || {
            while noise.write_all(b"temperature 21.5\r\n").is_ok() {
                thread::sleep(Duration::from_millis(20));
            }
        });
        let other = fail(port.command().arg("info"));
        assert!(other.contains("no board answers"), "{other}");

        let port = Port::new();
        let board = port.with_board("small.siam");
        json(port.command().arg("info"));
        let regress = port
            .command()
            .args(["regress", "--count", "10000"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        thread::sleep(Duration::from_secs(2));
        drop(board);
        let ended = regress.wait_with_output().unwrap();
        let message = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(1), "{message}");
        assert!(message.contains("of 10000 images"), "{message}");
    }
}
