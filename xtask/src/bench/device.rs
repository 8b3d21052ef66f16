//! Instructions and memory on an emulated core.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use siamese_build::OwnedModel;
use siamese_core::model::Layout;
use siamese_device::firmware::{self, Board, Footprint, Program};
use siamese_device::{Device, Emulator, Reference, instructions_per_image};

use super::name;
use crate::shell;

/// The images that are embedded, at the least.
const IMAGES: usize = 500;
/// Flash that the firmware takes besides the model, at the most.
const CODE: u64 = 48 * 1024;

/// One row: a model on a board. `None` if the board's flash is too small for it.
pub fn measure(model: &Path, board: Board, images: &[Vec<u8>]) -> Result<Option<Value>> {
    let file = OwnedModel::read(model).with_context(|| format!("can't use {}", model.display()))?;
    if file.bytes().len() as u64 + CODE > board.flash_bytes() {
        shell::note(&format!(
            "{}: larger than the flash of {}",
            name(model),
            board.name()
        ));
        return Ok(None);
    }
    let footprint = |program| Footprint::of_elf(&firmware::build_program(model, board, program)?);
    let (alone, loader) = (
        footprint(Program::EmbedOnly)?,
        footprint(Program::LoadOnly)?,
    );
    let elf = firmware::build_program(model, board, Program::Link)?;
    let mut device = Device::new(Emulator::start(&elf, board)?)?;
    let info = device.info()?;
    let step = (images.len() / IMAGES).max(1);
    let sent: Vec<&Vec<u8>> = images.iter().step_by(step).collect();
    let answers = device.embed_all(&sent, |_, _| ())?;
    let memory = device.memory()?;

    let fast = file.for_this_machine()?;
    let differing = Reference::new(fast.model()).differing(&sent, &answers)?;
    let instructions = instructions_per_image(&answers, info.tick_hz);
    shell::note(&format!("{}: {instructions:.0} instructions", name(model)));
    let layout = file.for_core(board.core_name().parse()?)?.model().layout();
    Ok(Some(json!({
        "core": board.core(),
        "machine": board.name(),
        "model": name(model),
        "kernel": if layout == Layout::Rows { "portable" } else { layout.name() },
        "instructions_per_image": instructions.round() as u64,
        "images": answers.len(),
        "mismatches": differing.len(),
        "flash_code": alone.code_bytes.saturating_sub(loader.code_bytes),
        "flash_loader": loader.code_bytes,
        "flash_weights": alone.model_bytes,
        "ram_static": alone.ram_static,
        "ram_stack": memory.stack_peak,
    })))
}
