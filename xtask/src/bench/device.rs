//! Instructions and memory on an emulated core.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use siamese_build::OwnedModel;
use siamese_core::model::Layout;
use siamese_device::firmware::{self, Board, Build, Footprint, Program};
use siamese_device::{Device, Emulator, Reference, instructions_per_image, mean_instructions};

use super::{name, worst};
use crate::shell;

/// The images that are embedded, at the least.
const IMAGES: usize = 500;
/// Flash that the firmware takes besides the model, at the most.
const CODE: u32 = 48 * 1024;
/// How long the emulator may take for what a board does in a second or two.
const PATIENCE: Duration = Duration::from_secs(300);

/// One row: a model on a board. `None` if the board's flash is too small for it.
pub fn measure(model: &Path, board: Board, images: &[Vec<u8>]) -> Result<Option<Value>> {
    let file = OwnedModel::read(model).with_context(|| format!("can't use {}", model.display()))?;
    if file.bytes().len() as u64 + u64::from(CODE) > u64::from(board.flash().bytes) {
        shell::note(&format!(
            "{}: larger than the flash of {}",
            name(model),
            board.name()
        ));
        return Ok(None);
    }
    let build = |program| Build::new(model, board).program(program).run();
    let alone = Footprint::of_elf(&build(Program::EmbedOnly)?)?;
    let loader = Footprint::of_elf(&build(Program::LoadOnly)?)?;
    let costs = Costs::measure(&build(Program::Costs)?, board)?;

    let mut device = Device::new(Emulator::start(&build(Program::Link)?, board)?)?;
    let hz = device.info()?.tick_hz;
    let step = (images.len() / IMAGES).max(1);
    let sent: Vec<&Vec<u8>> = images.iter().step_by(step).collect();
    let answers = device.embed_all(&sent, |_, _| ())?;
    let instructions = instructions_per_image(&answers, hz);

    let fast = file.for_this_machine()?;
    let reference = || Reference::new(fast.model());
    let mut differing = reference().differing(&sent, &answers)?.len();
    let (names, dear): (Vec<String>, Vec<Vec<u8>>) =
        worst::candidates(&fast.model())?.into_iter().unzip();
    let dear_answers = device.embed_all(&dear, |_, _| ())?;
    differing += reference().differing(&dear, &dear_answers)?.len();
    let of_test = (0..).map(|index| format!("test image {}", index * step));
    let (worst, worst_image) = of_test
        .zip(&answers)
        .chain(names.into_iter().zip(&dear_answers))
        .map(|(name, answer)| (answer.ticks, name))
        .max()
        .context("there are no images")?;

    shell::note(&format!("{}: {instructions:.0} instructions", name(model)));
    let layout = file.for_core(board.core())?.model().layout();
    let whole = |ticks| mean_instructions([ticks], hz).round() as u64;
    Ok(Some(json!({
        "core": board.core().short_name(),
        "machine": board.name(),
        "model": name(model),
        "kernel": if layout == Layout::Rows { "portable" } else { layout.name() },
        "instructions_per_image": instructions.round() as u64,
        "instructions_worst_image": whole(worst),
        "worst_image": worst_image,
        "instructions_parse": whole(costs.parse),
        "instructions_open": whole(costs.open),
        "images": answers.len(),
        "mismatches": differing,
        "flash_code": alone.code_bytes.saturating_sub(loader.code_bytes),
        "flash_loader": loader.code_bytes,
        "flash_weights": alone.model_bytes,
        "ram_static": alone.ram_static,
        "ram_stack": costs.stack,
        "ram_total": alone.ram_static + u64::from(costs.stack),
    })))
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
