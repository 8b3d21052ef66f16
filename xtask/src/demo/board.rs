//! The emulated board answers for every test image, and is compared with this machine.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use siamese_core::model::Model;
use siamese_device::firmware::{Board, Footprint};
use siamese_device::{Device, Emulator, Reference, instructions_per_image};

use crate::{images, shell};

/// What the board answered, and what it took.
pub struct Outcome {
    /// The images that it embedded.
    pub images: u64,
    /// Those whose embedding, or a hidden layer behind it, differs from this machine's.
    pub mismatches: u64,
    /// All of the flash, the model included.
    pub flash_bytes: u64,
    /// Static data.
    pub ram_static: u64,
    /// The deepest that the stack was.
    pub ram_stack: u64,
    /// The mean over all images, from the image's pixels to the embedding.
    pub instructions_per_image: u64,
}

/// Boots `elf`, has it embed all images of the IDX file `images`, and compares each answer
/// with what `model` gives here.
pub fn run(elf: &Path, board: Board, model: &Path, images: &Path) -> Result<Outcome> {
    let file = fs::read(model).with_context(|| format!("can't read {}", model.display()))?;
    let parsed = Model::parse(&file)
        .map_err(|error| anyhow::anyhow!("can't use {}: {error}", model.display()))?;
    let images = images::read(images, parsed.header().input.pixels())?;

    let footprint = Footprint::of_elf(elf)?;
    let mut device = Device::new(Emulator::start(elf, board)?)?;
    let info = device.info()?;
    ensure!(
        info.model_crc == crc_of(&file),
        "the board runs another model than {}: is the firmware older?",
        model.display()
    );
    let mut said = Instant::now();
    let answers = device.embed_all(&images, |index, _| {
        if said.elapsed() >= Duration::from_secs(5) {
            said = Instant::now();
            shell::note(&format!("{} of {} images", index + 1, images.len()));
        }
    })?;
    // Asked last, so that the deepest stack is that of the work.
    let memory = device.memory()?;

    let differing = Reference::new(parsed)
        .differing(&images, &answers)
        .context("this machine can't embed an image")?;
    if let Some(first) = differing.first() {
        shell::note(&format!("image {first} is the first that differs"));
    }
    Ok(Outcome {
        images: answers.len() as u64,
        mismatches: differing.len() as u64,
        flash_bytes: footprint.flash_bytes,
        ram_static: footprint.ram_static,
        ram_stack: memory.stack_peak.into(),
        instructions_per_image: instructions_per_image(&answers, info.tick_hz).ceil() as u64,
    })
}

/// The CRC-32 at the end of a model file.
fn crc_of(file: &[u8]) -> u32 {
    file.last_chunk()
        .map_or(0, |bytes| u32::from_le_bytes(*bytes))
}
