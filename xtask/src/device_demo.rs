//! A device that learns: an emulated board is shown digits that its network was
//! never trained on, and knows them from then on, also after the power failed.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::json;
use siamese_core::gallery::{Decision, Gallery, Identified};
use siamese_core::{Embedding, Model};
use siamese_device::firmware::{Abi, Board, model_of_elf};
use siamese_device::{Device, Emulator, Reference, mean_instructions};

use crate::setup::{self, Need};
use crate::shell;
use crate::workspace::Workspace;
use crate::{firmware, images};

/// What `cargo xtask device-demo --help` says in the end.
pub const HELP: &str = "\
The network was trained on the digits 0 to 6 alone. On an emulated Cortex-M4 it is first shown five
examples of each of them, and test images of all ten: 7, 8 and 9 should be unknown. Then it is shown
five examples each of 7, 8 and 9, and the same test images. The gallery is saved, the power goes, and
the board boots again with what it has learnt. This machine goes through the same session, and every
answer must be the same: label, distance, runner-up and whether it is known.

Leaves target/device-demo/report.json.";

/// How to demonstrate.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Test images to identify
    #[arg(long, value_name = "N", default_value_t = 2000)]
    images: usize,
    /// Examples of each digit
    #[arg(long, value_name = "N", default_value_t = 5)]
    shots: usize,
}

impl Args {
    /// For a quick look, as the tests take it.
    pub const QUICK: Self = Self {
        images: 300,
        shots: 5,
    };
}

const BOARD: Board = Board::Mps2An386;
const MODEL: &str = "model/small-fewshot-without-789.siam";
/// The digits that the network was not trained on.
const NEW: [u8; 3] = [7, 8, 9];
/// Coordinates of the model's embeddings.
const DIM: usize = 64;

/// This machine's gallery, at least as large as a device's.
type Here = Gallery<DIM, 32>;

/// Sets up what is missing, and shows it.
pub fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    ensure!(args.images > 0, "--images must be at least 1");
    ensure!(args.shots > 0, "--shots must be at least 1");
    setup::run(workspace, Need::DEMO)?;
    shell::step("Data", "MNIST's digits, to be shown to the board", || {
        workspace.build_trainer()?;
        workspace.trainer(["data", "--dataset", "mnist"]).run()
    })?;
    show(workspace, args)
}

/// Shows it, on a machine that has MNIST and what firmware needs.
pub fn show(workspace: &Workspace, args: &Args) -> Result<()> {
    let digits = Digits::read(workspace, args)?;
    let elf = firmware::build(
        workspace,
        &workspace.root().join(MODEL),
        BOARD,
        Abi::Soft,
        &[],
        None,
    )?;
    let folder = workspace.target().join("device-demo");
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("can't remove {}", folder.display()))?;
    }
    fs::create_dir_all(&folder)
        .with_context(|| format!("can't make the folder {}", folder.display()))?;
    let session = Session::play(&elf, &folder, &digits)?;
    let report = session.report(&digits);
    let path = folder.join("report.json");
    fs::write(&path, format!("{report:#}\n"))
        .with_context(|| format!("can't write {}", path.display()))?;
    shell::ready("Report", &workspace.short(&path).display().to_string());
    if session.differing > 0 {
        bail!("{} answers differ from this machine's", session.differing);
    }
    if session.before_power_cycle != session.after {
        bail!("the board answers otherwise after the power failed");
    }
    Ok(())
}

/// What is shown to the board.
struct Digits {
    /// Examples and their digit: those that were trained first.
    examples: Vec<(u8, Vec<u8>)>,
    images: Vec<Vec<u8>>,
    labels: Vec<u8>,
}

impl Digits {
    /// The first examples of each digit among the training images, and test
    /// images spread over all of them.
    fn read(workspace: &Workspace, args: &Args) -> Result<Self> {
        const PIXELS: usize = 28 * 28;
        let read = |images: &str, labels: &str| -> Result<_> {
            let root = workspace.root();
            let images = images::read(&root.join(images), PIXELS)?;
            let labels = images::read_labels(&root.join(labels))?;
            ensure!(
                images.len() == labels.len(),
                "there are {} images and {} labels in data/mnist; remove the folder, and this \
                 command fetches it again",
                images.len(),
                labels.len()
            );
            Ok((images, labels))
        };
        let (training, digits) = read(images::TRAINING_IMAGES, images::TRAINING_LABELS)?;
        let examples = (0..10).flat_map(|digit| {
            let shown = training.iter().zip(&digits);
            let shown = shown.filter(move |(_, label)| **label == digit);
            shown
                .take(args.shots)
                .map(move |(image, _)| (digit, image.clone()))
        });
        let examples = examples.collect();
        let (images, labels) = read(images::TEST_IMAGES, images::TEST_LABELS)?;
        let step = images.len().div_ceil(args.images).max(1);
        Ok(Self {
            examples,
            images: images.into_iter().step_by(step).collect(),
            labels: labels.into_iter().step_by(step).collect(),
        })
    }

    /// The examples of the digits that were trained, or of the new ones.
    fn examples_of(&self, new: bool) -> impl Iterator<Item = &(u8, Vec<u8>)> {
        let examples = self.examples.iter();
        examples.filter(move |(digit, _)| NEW.contains(digit) == new)
    }
}

/// What the board said.
struct Session {
    /// With 0 to 6 enrolled.
    before: Vec<Option<Identified>>,
    /// With all ten enrolled.
    before_power_cycle: Vec<Option<Identified>>,
    /// The same after the power failed.
    after: Vec<Option<Identified>>,
    /// Answers that this machine doesn't give.
    differing: usize,
    /// Of one comparison with all prototypes.
    instructions: f64,
}

impl Session {
    fn play(elf: &Path, folder: &Path, digits: &Digits) -> Result<Self> {
        let bytes = model_of_elf(elf)?;
        let model = Model::parse(&bytes)
            .map_err(|error| anyhow!("the firmware's model can't be used: {error}"))?;
        let mut host = Host::new(model, digits)?;
        let boot = || Device::new(Emulator::start_in(folder, elf, BOARD)?);

        let mut device = boot()?;
        ensure!(
            device.entries()?.is_empty(),
            "the board's gallery isn't empty at first"
        );
        let show = |device: &mut Device, host: &mut Host, new: bool| -> Result<()> {
            for (digit, image) in digits.examples_of(new) {
                device.enrol((*digit).into(), false, image)?;
                host.enrol(*digit, image)?;
            }
            Ok(())
        };
        shell::step("First boot", "examples of 0 to 6 are enrolled", || {
            show(&mut device, &mut host, false)
        })?;
        let mut differing = 0;
        let mut instructions = 0.0;
        let mut ask = |device: &mut Device, host: &Host| -> Result<Vec<Option<Identified>>> {
            let hz = device.info()?.tick_hz;
            let found = device.identify_all(&digits.images, |_, _| ())?;
            instructions = mean_instructions(found.iter().map(|found| found.ticks), hz);
            let answers: Vec<_> = found.into_iter().map(|found| found.answer).collect();
            let expected = host.points.iter().map(|point| host.gallery.identify(point));
            differing += answers
                .iter()
                .zip(expected)
                .filter(|(a, b)| *a != b)
                .count();
            Ok(answers)
        };
        let before = shell::step("Asked", "what the test images show", || {
            ask(&mut device, &host)
        })?;
        let before_power_cycle = shell::step("Learning", "examples of 7, 8 and 9", || {
            show(&mut device, &mut host, true)?;
            device.save()?;
            ask(&mut device, &host)
        })?;
        drop(device);
        let after = shell::step("Power cycle", "the same questions again", || {
            ask(&mut boot()?, &host)
        })?;
        Ok(Self {
            before,
            before_power_cycle,
            after,
            differing,
            instructions,
        })
    }

    /// Prints the table, and gives it for programs.
    fn report(&self, digits: &Digits) -> serde_json::Value {
        let [before, after] =
            [&self.before, &self.after].map(|answers| Tally::new(digits, answers));
        println!(
            "\n  digit   images    0 to 6 enrolled: right  unknown    all enrolled: right  unknown"
        );
        let percent = |part: usize, all: usize| 100.0 * part as f64 / all.max(1) as f64;
        let line = |name: &str, of: &[u8]| {
            let [before, after] = [&before, &after].map(|tally| tally.sum(of));
            println!(
                "  {name:<8}{:>5}{:>24.1} %{:>7.1} %{:>21.1} %{:>7.1} %",
                before.images,
                percent(before.right, before.images),
                percent(before.unknown, before.images),
                percent(after.right, after.images),
                percent(after.unknown, after.images),
            );
        };
        for digit in 0..10 {
            line(&digit.to_string(), &[digit]);
        }
        line("0 to 6", &[0, 1, 2, 3, 4, 5, 6]);
        line("7 to 9", &NEW);
        line("all", &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        println!(
            "\n  right: the nearest prototype is the digit's; unknown: it is beyond the threshold\n\n  \
             answers that differ from this machine's   {:>6} of {}\n  \
             answers that the power cycle changed      {:>6} of {}\n  \
             instructions to compare with all          {:>6.0}\n",
            self.differing,
            3 * self.after.len(),
            self.changed(),
            self.after.len(),
            self.instructions,
        );
        let rows = |tally: &Tally| -> Vec<serde_json::Value> {
            let row = |digit: u8| {
                let row = tally.sum(&[digit]);
                json!({"digit": digit, "images": row.images, "right": row.right, "unknown": row.unknown})
            };
            (0..10).map(row).collect()
        };
        json!({
            "model": MODEL,
            "images": self.after.len(),
            "differing": self.differing,
            "changed_by_power_cycle": self.changed(),
            "instructions": self.instructions,
            "before": rows(&before),
            "after": rows(&after),
        })
    }

    fn changed(&self) -> usize {
        let pairs = self.before_power_cycle.iter().zip(&self.after);
        pairs.filter(|(before, after)| before != after).count()
    }
}

/// Answers, by digit.
#[derive(Default)]
struct Tally([Row; 10]);

/// Answers about some images.
#[derive(Debug, Default, Clone, Copy)]
struct Row {
    images: usize,
    right: usize,
    unknown: usize,
}

impl Tally {
    fn new(digits: &Digits, answers: &[Option<Identified>]) -> Self {
        let mut tally = Self::default();
        for (&digit, answer) in digits.labels.iter().zip(answers) {
            let row = &mut tally.0[usize::from(digit)];
            row.images += 1;
            row.right += usize::from(answer.is_some_and(|a| a.nearest.label == u16::from(digit)));
            row.unknown += usize::from(answer.is_none_or(|a| a.decision == Decision::Rejected));
        }
        tally
    }

    fn sum(&self, digits: &[u8]) -> Row {
        let rows = digits.iter().map(|&digit| self.0[usize::from(digit)]);
        rows.fold(Row::default(), |sum, row| Row {
            images: sum.images + row.images,
            right: sum.right + row.right,
            unknown: sum.unknown + row.unknown,
        })
    }
}

/// The same session on this machine.
struct Host<'m> {
    reference: Reference<'m>,
    gallery: Here,
    /// The embeddings of the test images.
    points: Vec<Embedding<DIM>>,
}

impl<'m> Host<'m> {
    fn new(model: Model<'m>, digits: &Digits) -> Result<Self> {
        let gallery = Here::new(&model).map_err(|error| anyhow!("{MODEL}: {error}"))?;
        let mut host = Self {
            reference: Reference::new(model),
            gallery,
            points: Vec::new(),
        };
        for image in &digits.images {
            let point = host.embed(image)?;
            host.points.push(point);
        }
        Ok(host)
    }

    fn embed(&mut self, image: &[u8]) -> Result<Embedding<DIM>> {
        let embedded = self.reference.embed(image);
        let (coordinates, _) = embedded.map_err(|error| anyhow!("{MODEL}: {error}"))?;
        Ok(Embedding(coordinates.try_into()?))
    }

    fn enrol(&mut self, digit: u8, image: &[u8]) -> Result<()> {
        let point = self.embed(image)?;
        self.gallery
            .enrol(digit.into(), &point)
            .map_err(|error| anyhow!("this machine's gallery: {error}"))?;
        Ok(())
    }
}
