//! What becomes of an update: it is written, verified, switched to, tried, confirmed; or the
//! model before it comes back.

use core::ops::Range;

use embedded_storage::nor_flash::NorFlash;
use siamese_core::Embedder;

use crate::device::Device;
use crate::error::{Rejection, UpdateError};
use crate::golden;
use crate::signature::PublicKey;
use crate::slots::{Mapped, Slots, State};
use crate::status::Status;

/// Which updates a firmware takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// The key that they are signed with.
    pub key: PublicKey,
    /// The board's name.
    pub board: &'static str,
    /// The order of the weights, by its number in a model file: that of the model that is built
    /// in.
    pub layout: u8,
    /// The version of the model that is built in; 0 for one older than any update.
    pub version: u32,
    /// The most pixels of an image.
    pub pixels: usize,
    /// The coordinates of an embedding.
    pub dim: usize,
    /// Bytes of the embedder's buffers.
    pub buffers: (usize, usize),
}

/// The steps of an update, for a server.
pub trait ModelUpdates {
    /// Where the device stands.
    fn status(&mut self) -> Status;

    /// Begins with a file's first [`HEADER_LEN`](crate::HEADER_LEN) bytes: checks them, and erases a slot.
    ///
    /// # Errors
    /// [`UpdateError`]; nothing was erased then, except if it is [`UpdateError::Flash`].
    fn begin(&mut self, header: &[u8]) -> Result<(), UpdateError>;

    /// Writes the part of the payload that comes next; the byte that follows it.
    ///
    /// # Errors
    /// [`UpdateError::NotBegun`], [`UpdateError::Order`], [`UpdateError::Part`],
    /// [`UpdateError::Flash`].
    fn write(&mut self, at: u32, part: &[u8]) -> Result<u32, UpdateError>;

    /// Verifies the payload, and switches: the next start tries it.
    ///
    /// # Errors
    /// [`UpdateError`]; nothing was switched then.
    fn switch(&mut self) -> Result<(), UpdateError>;

    /// Keeps the model that is on trial.
    ///
    /// # Errors
    /// [`UpdateError::NothingToConfirm`], [`UpdateError::Flash`].
    fn confirm(&mut self) -> Result<(), UpdateError>;
}

/// A device's updates, in two slots of a flash that the processor reads in place.
///
/// [`boot`](Self::boot) chooses the model after a start; [`ModelUpdates`] takes the next one.
/// Power may go at any time: until the next model is confirmed, a start brings back the one
/// before, and until the switch it isn't even tried.
pub struct Updates<F> {
    flash: F,
    device: Device,
}

impl<'f, F: NorFlash + Mapped<'f>> Updates<F> {
    /// Updates in these two ranges of a flash. What is in them need not be updates.
    ///
    /// # Errors
    /// [`UpdateError::Slots`] if they aren't whole erase units apart from each other, or the
    /// flash has units of an unsupported size.
    pub fn new(flash: F, slots: [Range<u32>; 2], policy: Policy) -> Result<Self, UpdateError> {
        let units = (F::READ_SIZE, F::WRITE_SIZE, F::ERASE_SIZE);
        let slots = Slots::new(slots, flash.capacity(), units)?;
        Ok(Self {
            flash,
            device: Device::new(slots, policy),
        })
    }

    /// The CRC-32 at the end of the model's file with its weights in rows, as its signer has said;
    /// `None` if the model that is built in runs.
    pub fn model_crc(&self) -> Option<u32> {
        self.device
            .chosen()
            .map(|chosen| chosen.content.header.rows_crc)
    }

    /// Chooses the model after a start, and puts its network in `network`; whether there is
    /// one. If there is none, the model that is built in is to be used.
    ///
    /// The latest that was switched to and confirmed is taken. One that wasn't tried before is
    /// tried: it is noted first that it was, so that a start that fails isn't repeated, and
    /// then it must give the integers of its golden vectors.
    #[inline(never)]
    pub fn boot<const D: usize, const SHARED: usize, const HIDDEN1: usize>(
        &mut self,
        network: &mut Option<Embedder<'f, D, SHARED, HIDDEN1>>,
    ) -> bool {
        let Self { flash, device } = self;
        for chosen in device.candidates(flash).into_iter().flatten() {
            let Some((model, vectors)) = device.prepare(flash, &chosen) else {
                continue;
            };
            *network = Embedder::new(model).ok();
            let holds = network.as_mut().is_some_and(|network| {
                chosen.content.state == State::Confirmed || golden::hold(network, vectors)
            });
            if holds {
                device.choose(chosen);
                return true;
            }
            device.reject(flash, &chosen, Rejection::Golden);
        }
        *network = None;
        false
    }
}

impl<'f, F: NorFlash + Mapped<'f>> ModelUpdates for Updates<F> {
    fn status(&mut self) -> Status {
        self.device.status(&mut self.flash)
    }

    fn begin(&mut self, header: &[u8]) -> Result<(), UpdateError> {
        self.device.begin(&mut self.flash, header)
    }

    fn write(&mut self, at: u32, part: &[u8]) -> Result<u32, UpdateError> {
        self.device.write(&mut self.flash, at, part)
    }

    fn switch(&mut self) -> Result<(), UpdateError> {
        self.device.switch(&mut self.flash)
    }

    fn confirm(&mut self) -> Result<(), UpdateError> {
        self.device.confirm(&mut self.flash)
    }
}
