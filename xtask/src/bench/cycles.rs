//! Cycles on a core whose emulator counts them.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};
use siamese_device::firmware::{Board, Build};

use super::device::{Embedded, add, kernel, read, whole_device, work};
use super::name;
use crate::shell;

/// One row: a model on a board. `None` if the board's flash is too small for it.
pub fn measure(model: &Path, board: Board, images: &[Vec<u8>]) -> Result<Option<Value>> {
    let Some(file) = read(model, board)? else {
        return Ok(None);
    };
    let embedded = Embedded::measure(&Build::new(model, board).run()?, board, &file, images)?;
    let sum: u64 = embedded.ticks.iter().copied().map(u64::from).sum();
    let cycles = sum as f64 / embedded.ticks.len() as f64;
    shell::note(&format!("{}: {cycles:.0} cycles", name(model)));
    let mut row = json!({
        "core": board.core().short_name(),
        "machine": board.name(),
        "model": name(model),
        "kernel": kernel(&file, board)?,
        "cycles_per_image": cycles.round() as u64,
        "cycles_worst_image": embedded.worst,
        "worst_image": embedded.worst_image,
        "images": embedded.ticks.len(),
        "mismatches": embedded.differing,
        "work": work(&embedded.work),
        "worst_work": work(&embedded.worst_work),
    });
    add(&mut row, whole_device(model, board, &file, images)?);
    Ok(Some(row))
}
