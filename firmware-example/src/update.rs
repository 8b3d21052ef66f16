//! Updates of the model: which one runs after a start, and which are taken.

use core::ops::Range;

use embedded_storage::nor_flash::{ErrorType, NorFlash, ReadNorFlash};
use siamese_update::{DEVELOPMENT_KEY, Mapped, Policy};

use crate::board::{self, SLOT, SLOTS_AT, Slots};
use crate::model;

/// The updates of this board.
pub type Updates = siamese_update::Updates<InPlace>;

/// What this firmware takes. The order of the weights is byte 9 of a model file.
fn policy() -> Policy {
    Policy {
        key: board::UPDATE_KEY.unwrap_or(DEVELOPMENT_KEY),
        board: board::NAME,
        layout: model::bytes().get(9).copied().unwrap_or_default(),
        version: board::MODEL_VERSION,
        pixels: model::PIXELS,
        dim: model::DIM,
        buffers: (model::SHARED, model::HIDDEN1),
    }
}

/// The slots, if the board's flash can be written, and in `network` the model of one of them, if
/// one is to run.
#[inline(never)] // What it puts on the stack is gone before the first request.
pub fn start(network: &mut Option<model::Network>) -> Option<Updates> {
    let slots = [0..SLOT, SLOT..2 * SLOT];
    let mut updates = Updates::new(InPlace(board::open_slots()?), slots, policy()).ok()?;
    updates.boot(network);
    Some(updates)
}

/// The slots, at their address.
pub struct InPlace(Slots);

impl Mapped<'static> for InPlace {
    fn mapped(&self, range: Range<u32>) -> Option<&'static [u8]> {
        let start = core::ptr::with_exposed_provenance::<u8>(SLOTS_AT + range.start as usize);
        let fits = range.end <= 2 * SLOT && range.start <= range.end;
        // SAFETY: this part of the flash is the slots'. What is read here isn't written while
        // anybody has it: `siamese_update` keeps only what is of the model that runs.
        fits.then(|| unsafe { core::slice::from_raw_parts(start, range.len()) })
    }
}

impl ErrorType for InPlace {
    type Error = <Slots as ErrorType>::Error;
}

impl ReadNorFlash for InPlace {
    const READ_SIZE: usize = Slots::READ_SIZE;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
        self.0.read(offset, bytes)
    }

    fn capacity(&self) -> usize {
        self.0.capacity()
    }
}

impl NorFlash for InPlace {
    const WRITE_SIZE: usize = Slots::WRITE_SIZE;
    const ERASE_SIZE: usize = Slots::ERASE_SIZE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Self::Error> {
        self.0.erase(from, to)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Self::Error> {
        self.0.write(offset, bytes)
    }
}
