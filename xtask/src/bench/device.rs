//! Instructions and memory on an emulated core.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use siamese_build::OwnedModel;
use siamese_build::cost::{self, Work};
use siamese_core::model::Layout;
use siamese_device::firmware::{self, Board, Build, DESK_FEATURES, Footprint, Program};
use siamese_device::{Device, Emulator, Reference, mean_instructions};

use super::{mix, name, worst};
use crate::shell;

/// The images that are embedded, at the least.
const IMAGES: usize = 500;
/// Flash that the firmware takes besides the model, at the most.
const CODE: u32 = 48 * 1024;
/// How long the emulator may take for what a board does in a second or two.
const PATIENCE: Duration = Duration::from_secs(300);

/// One row: a model on a board. `None` if the board's flash is too small for it.
pub fn measure(model: &Path, board: Board, images: &[Vec<u8>]) -> Result<Option<Value>> {
    let Some(file) = read(model, board)? else {
        return Ok(None);
    };
    let build = |program| Build::new(model, board).program(program).run();
    let embed_only = build(Program::EmbedOnly)?;
    let alone = Footprint::of_elf(&embed_only)?;
    let loader = Footprint::of_elf(&build(Program::LoadOnly)?)?;
    let costs = Costs::measure(&build(Program::Costs)?, board)?;

    let embedded = Embedded::measure(&build(Program::Link)?, board, &file, images)?;
    let hz = embedded.hz;
    let instructions = mean_instructions(embedded.ticks.iter().copied(), hz);
    shell::note(&format!("{}: {instructions:.0} instructions", name(model)));
    let whole = |ticks| mean_instructions([ticks], hz).round() as u64;
    let [buffers, _] = cost::data_of(&file.model());
    let mut row = json!({
        "core": board.core().short_name(),
        "machine": board.name(),
        "model": name(model),
        "kernel": kernel(&file, board)?,
        "instructions_per_image": instructions.round() as u64,
        "instructions_worst_image": whole(embedded.worst),
        "worst_image": embedded.worst_image,
        "instructions_parse": whole(costs.parse),
        "instructions_open": whole(costs.open),
        "images": embedded.ticks.len(),
        "mismatches": embedded.differing,
        "work": work(&embedded.work),
        "worst_work": work(&embedded.worst_work),
        "embedding_data": alone.ram_static - u64::from(buffers),
        "flash_code": alone.code_bytes.saturating_sub(loader.code_bytes),
        "flash_loader": loader.code_bytes,
        "flash_weights": alone.model_bytes,
        "ram_static": alone.ram_static,
        "ram_stack": costs.stack,
        "ram_total": alone.ram_static + u64::from(costs.stack),
    });
    // A mix is of use where the instructions have known timings.
    if board.core().timing().is_some() {
        let mix = mix::measure(&embed_only, board)?;
        let mix = json!({
            "memory": mix.memory,
            "runs": mix.runs,
            "words": mix.words,
            "taken": mix.taken,
        });
        add(&mut row, json!({ "mix": mix }));
    }
    add(&mut row, whole_device(model, board, &file, images)?);
    Ok(Some(row))
}

/// A model, if the board's flash isn't too small for it.
pub fn read(model: &Path, board: Board) -> Result<Option<OwnedModel>> {
    let file = OwnedModel::read(model).with_context(|| format!("can't use {}", model.display()))?;
    if file.bytes().len() as u64 + u64::from(CODE) <= u64::from(board.flash().bytes) {
        return Ok(Some(file));
    }
    let name = name(model);
    shell::note(&format!("{name}: larger than the flash of {board}"));
    Ok(None)
}

/// The name of the kernel that runs a model on a board.
pub fn kernel(file: &OwnedModel, board: Board) -> Result<&'static str> {
    let layout = file.for_core(board.core())?.model().layout();
    Ok(if layout == Layout::Rows {
        "portable"
    } else {
        layout.name()
    })
}

/// What images make a kernel do, for a report.
pub fn work(work: &Work) -> Value {
    let hundredths = |number: f64| (number * 100.0).round() / 100.0;
    json!({
        "active": hundredths(work.active),
        "products": hundredths(work.products),
        "outputs": work.outputs,
        "words": hundredths(work.words),
        "multiplied": hundredths(work.multiplied),
    })
}

/// Adds keys to a row.
pub fn add(row: &mut Value, more: Value) {
    if let (Value::Object(row), Value::Object(more)) = (row, more) {
        row.extend(more);
    }
}

/// What a board took for images, by its own clock.
pub struct Embedded {
    /// The clock.
    pub hz: u32,
    /// What each of the test images took.
    pub ticks: Vec<u32>,
    /// What the dearest of all took, and which it was.
    pub worst: u32,
    pub worst_image: String,
    /// What that one makes a kernel do.
    pub worst_work: Work,
    /// Answers that are not this machine's.
    pub differing: usize,
    /// What the test images make a kernel do.
    pub work: Work,
}

impl Embedded {
    /// Has a firmware embed images spread over these, and some dear ones.
    pub fn measure(
        elf: &Path,
        board: Board,
        file: &OwnedModel,
        images: &[Vec<u8>],
    ) -> Result<Self> {
        let mut device = Device::new(Emulator::start(elf, board)?)?;
        let hz = device.info()?.tick_hz;
        let step = (images.len() / IMAGES).max(1);
        let sent: Vec<&Vec<u8>> = images.iter().step_by(step).collect();
        let answers = device.embed_all(&sent, |_, _| ())?;
        let fast = file.for_this_machine()?;
        let reference = || Reference::new(fast.model());
        let mut differing = reference().differing(&sent, &answers)?.len();
        let (names, dear): (Vec<String>, Vec<Vec<u8>>) =
            worst::candidates(&file.model())?.into_iter().unzip();
        let dear_answers = device.embed_all(&dear, |_, _| ())?;
        differing += reference().differing(&dear, &dear_answers)?.len();
        let of_test = (0..).map(|index| format!("test image {}", index * step));
        let (worst, worst_image, image) = of_test
            .zip(sent.iter().copied().zip(&answers))
            .chain(names.into_iter().zip(dear.iter().zip(&dear_answers)))
            .map(|(name, (image, answer))| (answer.ticks, name, image))
            .max()
            .context("there are no images")?;
        // As the device has the weights, and not as this machine has them.
        let worst_work = Work::of(&file.model(), [&image[..]])?;
        let work = Work::of(&file.model(), sent.iter().map(|image| &image[..]))?;
        Ok(Self {
            hz,
            ticks: answers.iter().map(|answer| answer.ticks).collect(),
            worst,
            worst_image,
            worst_work: worst_work.context("there are no images")?,
            differing,
            work: work.context("there are no images")?,
        })
    }
}

/// What the whole example firmware takes, as people flash it, besides what follows from
/// the model.
pub fn whole_device(
    model: &Path,
    board: Board,
    file: &OwnedModel,
    images: &[Vec<u8>],
) -> Result<Value> {
    let elf = Build::new(model, board).features(DESK_FEATURES).run()?;
    let footprint = Footprint::of_elf(&elf)?;
    let mut device = Device::new(Emulator::start(&elf, board)?)?;
    for (label, image) in (0..3).zip(images) {
        device.enrol(label, false, image)?;
        device.set_name(label, &format!("fifteen letter{label}"))?;
        device.identify(image)?;
    }
    device.save()?;
    let gallery = device.pull_gallery()?;
    device.merge_gallery(&gallery)?;
    let [buffers, more] = cost::data_of(&file.model());
    Ok(json!({
        "device_code": footprint.code_bytes,
        "device_data": footprint.ram_static - u64::from(buffers + more),
        "device_stack": device.memory()?.stack_peak,
    }))
}

/// What the program `costs` says.
struct Costs {
    /// Ticks.
    parse: u32,
    /// Ticks.
    open: u32,
    /// Bytes.
    stack: u32,
}

impl Costs {
    fn measure(elf: &Path, board: Board) -> Result<Self> {
        Self::read(&firmware::run(elf, board, PATIENCE)?)
    }

    /// Reads lines of a name and a number.
    fn read(said: &str) -> Result<Self> {
        let of = |name: &str| {
            said.lines()
                .filter_map(|line| line.split_once(' '))
                .find(|(found, _)| *found == name)
                .and_then(|(_, number)| number.trim().parse().ok())
                .with_context(|| format!("the program `costs` doesn't say '{name}', but: {said}"))
        };
        Ok(Self {
            parse: of("parse")?,
            open: of("open")?,
            stack: of("stack")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_read_by_their_names() {
        let costs = Costs::read("stack 2300\nparse 97000\nopen 12\n").unwrap();
        assert_eq!((costs.parse, costs.open, costs.stack), (97_000, 12, 2300));
        let error = Costs::read("stack 2300\nopen -\n").err().unwrap();
        assert!(error.to_string().contains("'parse'"), "{error}");
    }
}
