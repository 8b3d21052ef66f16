//! The whole way, once: MNIST, training, quantisation, and the emulated board.

mod board;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use siamese_device::firmware::{Abi, Board};

use crate::firmware;
use crate::images::TEST_IMAGES;
use crate::pages;
use crate::setup::{self, Need};
use crate::shell;
use crate::workspace::Workspace;

/// What `cargo xtask demo --help` says in the end.
pub const HELP: &str = "\
Sets up what is missing, fetches MNIST, trains the network `small` on its 60,000 training images,
quantises it, builds the firmware with the new model inside, boots that on an emulated Cortex-M4,
sends it all 10,000 test images over its UART and compares each answer, bit for bit, with this
machine's. Everything is left in target/demo/: the model, the pictures, report.json, and
explore.html, a page for any browser in which the new network learns what you draw.

A second run trains no more: it goes on with the model that is there. Ctrl-C while it trains
loses nothing: the same command goes on from there.";

/// How to demonstrate.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Forget the model that an earlier run trained (not what was set up or downloaded)
    #[arg(long)]
    fresh: bool,
    /// Put what was measured into docs/demo.json and the pages
    #[arg(long)]
    write: bool,
}

const BOARD: Board = Board::Mps2An386;
const PRESET: &str = "small";
/// The page to look at in a browser.
const PAGE: &str = "explore.html";

/// Shows the whole way.
pub fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let start = Instant::now();
    setup::run(workspace, Need::DEMO)?;
    let demo = Demo::new(workspace);
    if args.fresh && demo.folder.exists() {
        fs::remove_dir_all(&demo.folder)
            .with_context(|| format!("can't remove {}", demo.folder.display()))?;
    }
    fs::create_dir_all(&demo.folder)
        .with_context(|| format!("can't make the folder {}", demo.folder.display()))?;

    shell::step("Trainer", "from images to a model file", || {
        workspace.build_trainer()
    })?;
    shell::step(
        "Data",
        "MNIST: 70,000 handwritten digits of 28x28 pixels, with labels",
        || workspace.trainer(["data", "--dataset", "mnist"]).run(),
    )?;
    demo.train()?;
    let quality = demo.evaluate()?;
    demo.draw()?;
    let device = demo.on_the_board()?;
    let report = demo.report(&quality, &device)?;
    if args.write {
        pages::write_demo(workspace.root(), &report)?;
    }
    shell::ready("Done", &format!("in {}", shell::elapsed(start.elapsed())));
    if device.mismatches > 0 {
        bail!(
            "{} of {} answers differ from this machine's",
            device.mismatches,
            device.images
        );
    }
    Ok(())
}

/// How well a network tells digits apart.
struct Quality {
    float_knn25: f64,
    int8_knn25: f64,
}

/// The demonstration's files.
struct Demo<'a> {
    workspace: &'a Workspace,
    folder: PathBuf,
}

impl<'a> Demo<'a> {
    fn new(workspace: &'a Workspace) -> Self {
        Self {
            workspace,
            folder: workspace.target().join("demo"),
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A path as an argument.
    fn shown(&self, name: &str) -> String {
        self.workspace.short(&self.file(name)).display().to_string()
    }

    fn model(&self) -> String {
        self.shown(&format!("{PRESET}.siam"))
    }

    /// Trains, unless the same call did so before.
    fn train(&self) -> Result<()> {
        let folder = self.shown("");
        let folder = folder.trim_end_matches('/');
        let call = self
            .workspace
            .trainer(["train", "--preset", PRESET, "--out", folder]);
        let trained = self.file("trained.txt");
        let made = [
            self.file(&format!("{PRESET}.siam")),
            self.file(&format!("{PRESET}.json")),
        ];
        let stamp = format!("{call}\n");
        if made.iter().all(|file| file.is_file())
            && fs::read_to_string(&trained).is_ok_and(|text| text == stamp)
        {
            shell::ready(
                "Trained",
                &format!("before, {} is there; --fresh trains again", self.model()),
            );
            return Ok(());
        }
        // Of another call: the trainer replaces no finished model by itself.
        if made[0].is_file() {
            fs::remove_file(&made[0])
                .with_context(|| format!("can't remove {}", made[0].display()))?;
        }
        shell::step(
            "Training",
            "same digits near each other, different ones apart; then to integers",
            || {
                call.run()
                    .context("ctrl-C loses nothing: the same command goes on from there")?;
                write(&trained, &stamp)
            },
        )
    }

    /// Judges the float network and the integers that it became.
    fn evaluate(&self) -> Result<Quality> {
        shell::step(
            "Accuracy",
            "each test digit named by its 25 nearest training digits",
            || {
                let report = self.file(&format!("{PRESET}.json"));
                let float = fs::read_to_string(&report)
                    .with_context(|| format!("can't read {}", report.display()))?;
                let int8 = self
                    .workspace
                    .trainer(["--json", "eval", "--model", &self.model()])
                    .capture()?;
                Ok(Quality {
                    float_knn25: number(&parse(&float, "the training's report")?, "/float/knn25")?,
                    int8_knn25: number(&parse(&int8, "the evaluation")?, "/knn25")?,
                })
            },
        )
    }

    /// Writes `embed.txt` and the pictures.
    fn draw(&self) -> Result<()> {
        shell::step(
            "Pictures",
            "where each of the 10,000 test digits went",
            || {
                let (model, points, folder) =
                    (self.model(), self.shown("embed.txt"), self.shown(""));
                self.workspace
                    .trainer([
                        "embed",
                        "--model",
                        &model,
                        "--images",
                        TEST_IMAGES,
                        "--out",
                        &points,
                    ])
                    .run()?;
                self.workspace
                    .trainer(["plot", "--model", &model, "--out-dir", &folder])
                    .run()?;
                let page = self.shown(PAGE);
                self.workspace
                    .trainer(["explore", "--model", &model, "--out", &page])
                    .run()
            },
        )
    }

    /// Has the emulated board embed every test image.
    fn on_the_board(&self) -> Result<board::Outcome> {
        let model = self.file(&format!("{PRESET}.siam"));
        let elf = firmware::build(self.workspace, &model, BOARD, Abi::Soft, &[], None)?;
        let images = self.workspace.root().join(TEST_IMAGES);
        let why = "all 10,000 test images over its UART, each answer compared bit for bit";
        shell::step("Emulated board", why, || {
            board::run(&elf, BOARD, &model, &images)
        })
    }

    /// One screen, and the same for programs, which is returned.
    fn report(&self, quality: &Quality, device: &board::Outcome) -> Result<Value> {
        let report = json!({
            "float_knn25": quality.float_knn25,
            "int8_knn25": quality.int8_knn25,
            "device_images": device.images,
            "device_mismatches": device.mismatches,
            "flash_bytes": device.flash_bytes,
            "ram_static": device.ram_static,
            "ram_stack": device.ram_stack,
            "instructions_per_image": device.instructions_per_image,
        });
        write(&self.file("report.json"), &format!("{report:#}\n"))?;
        // Equal integers are equally accurate.
        let on_device = if device.mismatches == 0 {
            percent(quality.int8_knn25)
        } else {
            "-".to_owned()
        };
        let lines = [
            ("accuracy, float", percent(quality.float_knn25)),
            ("accuracy, int8", percent(quality.int8_knn25)),
            ("accuracy, device", on_device),
            ("images on the device", device.images.to_string()),
            ("answers that differ", device.mismatches.to_string()),
            ("flash", format!("{:.1} KiB", kib(device.flash_bytes))),
            ("RAM, static", format!("{:.1} KiB", kib(device.ram_static))),
            (
                "RAM, peak of the stack",
                format!("{:.1} KiB", kib(device.ram_stack)),
            ),
            (
                "instructions per image",
                device.instructions_per_image.to_string(),
            ),
        ];
        println!("\n  {PRESET}, trained on MNIST, on an emulated Cortex-M4 (mps2-an386)\n");
        for (name, value) in lines {
            println!("  {name:<24}{value:>12}");
        }
        println!();
        for (name, file) in [
            ("by class", "embed.png"),
            ("the digits themselves", "embed_preview.png"),
            ("points as text", "embed.txt"),
            ("this, as JSON", "report.json"),
        ] {
            println!("  {name:<24}{}", self.shown(file));
        }
        println!(
            "\n  To draw, and to teach it, open {} in a browser",
            self.shown(PAGE)
        );
        println!();
        Ok(report)
    }
}

fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

fn kib(bytes: u64) -> f64 {
    bytes as f64 / 1024.0
}

fn parse(text: &str, what: &str) -> Result<Value> {
    serde_json::from_str(text).with_context(|| format!("{what} is no JSON"))
}

fn number(report: &Value, pointer: &str) -> Result<f64> {
    let value = report.pointer(pointer).and_then(Value::as_f64);
    value.with_context(|| format!("the report has no number at {pointer}"))
}

/// Writes a file that is there only when it is whole.
fn write(path: &Path, text: &str) -> Result<()> {
    let partial = path.with_extension("partial");
    fs::write(&partial, text)
        .and_then(|()| fs::rename(&partial, path))
        .with_context(|| format!("can't write {}", path.display()))
}
