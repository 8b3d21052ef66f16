//! What becomes of an update: it is written, verified, switched to, tried, confirmed; or the
//! model before it comes back.

use core::ops::Range;

use embedded_storage::nor_flash::NorFlash;
use siamese_core::checksum::checksum;
use siamese_core::{Embedder, Model};

use crate::error::{Rejection, UpdateError};
use crate::golden;
use crate::header::{HEADER_LEN, Header};
use crate::mark::{Kind, Mark};
use crate::signature::{DEVELOPMENT_KEY, PublicKey};
use crate::slots::{Content, Flash, Mapped, Slots, State};
use crate::status::{Other, Running, Status};

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

    /// Begins with a file's first [`HEADER_LEN`] bytes: checks them, and erases a slot.
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

/// The model that was chosen.
#[derive(Debug, Clone, Copy)]
struct Chosen {
    slot: usize,
    content: Content,
}

/// An update on its way.
#[derive(Debug, Clone, Copy)]
struct Incoming {
    slot: usize,
    header: Header,
    crc: u32,
    next: u32,
    /// Nothing of it can be written any more.
    is_over: bool,
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

/// All but the flash.
struct Device {
    slots: Slots,
    policy: Policy,
    chosen: Option<Chosen>,
    incoming: Option<Incoming>,
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
            device: Device {
                slots,
                policy,
                chosen: None,
                incoming: None,
            },
        })
    }

    /// The CRC-32 at the end of the model's file with its weights in rows, as its signer has said;
    /// `None` if the model that is built in runs.
    pub fn model_crc(&self) -> Option<u32> {
        self.device
            .chosen
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
                device.chosen = Some(chosen);
                return true;
            }
            device.reject(flash, &chosen, Rejection::Golden);
        }
        *network = None;
        false
    }
}

impl Device {
    /// What may run after a start, the latest first.
    #[inline(never)]
    fn candidates(&mut self, flash: &mut dyn Flash<'_>) -> [Option<Chosen>; 2] {
        self.chosen = None;
        self.incoming = None;
        let [first, second] = [0, 1].map(|slot| {
            let content = self.slots.content(flash, slot)?;
            // A firmware that was flashed since then may bring a later model.
            let is_late = self.policy.version <= content.header.floor();
            is_late.then_some(Chosen { slot, content })
        });
        let generation = |chosen: Option<Chosen>| chosen.map(|chosen| chosen.content.generation);
        if generation(second) > generation(first) {
            [second, first]
        } else {
            [first, second]
        }
    }

    /// The model and the golden vectors of a slot, if it may run: if it is confirmed, or is to
    /// be tried, which is noted.
    #[inline(never)]
    fn prepare<'f>(
        &self,
        flash: &mut dyn Flash<'f>,
        chosen: &Chosen,
    ) -> Option<(Model<'f>, &'f [u8])> {
        let is_new = match chosen.content.state {
            State::Confirmed => false,
            State::Waiting => true,
            State::Tried(_) => return None,
        };
        if is_new && self.set(flash, chosen, Kind::Tried, 0).is_err() {
            return None;
        }
        let parts = self.parts(flash, chosen.slot, &chosen.content.header);
        if is_new && parts.is_err() {
            self.reject(flash, chosen, Rejection::Unusable);
        }
        parts.ok()
    }

    /// Notes why a model that was tried isn't to run.
    fn reject(&self, flash: &mut dyn Flash<'_>, chosen: &Chosen, reason: Rejection) {
        // It was noted that it was tried: without this mark too, it isn't tried again.
        let _ = self.set(flash, chosen, Kind::Rejected, reason.number());
    }

    fn set(
        &self,
        flash: &mut dyn Flash<'_>,
        chosen: &Chosen,
        kind: Kind,
        reason: u8,
    ) -> Result<(), UpdateError> {
        let mark = Mark {
            kind,
            reason,
            generation: chosen.content.generation,
            header: chosen.content.crc,
        };
        self.slots.set_mark(flash, chosen.slot, mark)
    }

    /// The model and the golden vectors of a slot, if the firmware can run the model.
    #[inline(never)]
    fn parts<'f>(
        &self,
        flash: &mut dyn Flash<'f>,
        slot: usize,
        header: &Header,
    ) -> Result<(Model<'f>, &'f [u8]), UpdateError> {
        if header.payload > self.payload_room() {
            return Err(UpdateError::Header);
        }
        if !self.slots.is_readable(flash, slot, header.payload) {
            return Err(UpdateError::Flash);
        }
        let payload = flash.mapped(self.slots.payload(slot, header.payload));
        let payload = payload.ok_or(UpdateError::Flash)?;
        let bytes = payload.get(..header.model as usize);
        let model = Model::parse(bytes.unwrap_or_default()).map_err(|_| UpdateError::Model)?;
        let Policy {
            pixels,
            dim,
            buffers,
            ..
        } = self.policy;
        let needed = model.buffer_sizes();
        if model.header().input.pixels() > pixels
            || model.dim() != dim
            || needed.0 > buffers.0
            || needed.1 > buffers.1
        {
            return Err(UpdateError::Size);
        }
        let start = header.golden_start().ok_or(UpdateError::Golden)?;
        let vectors = payload.get(start as usize..).unwrap_or_default();
        if golden::are_whole(&model, vectors) {
            Ok((model, vectors))
        } else {
            Err(UpdateError::Golden)
        }
    }

    /// The bytes that a payload may have.
    fn payload_room(&self) -> u32 {
        self.slots.room().saturating_sub(HEADER_LEN as u32)
    }

    /// What an update has to be newer than.
    fn floor(&self) -> u32 {
        self.chosen
            .map_or(self.policy.version, |chosen| chosen.content.header.floor())
    }

    /// Whether the model that runs is on trial.
    fn is_on_trial(&self) -> bool {
        self.chosen
            .is_some_and(|chosen| chosen.content.state != State::Confirmed)
    }

    /// The slot that the next update goes to.
    fn target(&self) -> usize {
        self.chosen.map_or(0, |chosen| 1 - chosen.slot.min(1))
    }

    /// Checks what a signed header asks for.
    fn admit(&self, header: &Header, crc: u32) -> Result<(), UpdateError> {
        let Policy { board, layout, .. } = self.policy;
        if header.board != [0; _] && Header::board_of(board) != Some(header.board) {
            return Err(UpdateError::Board);
        }
        if header.layout != layout {
            return Err(UpdateError::Layout {
                expected: layout,
                found: header.layout,
            });
        }
        let (needed, room) = (header.payload, self.payload_room());
        if needed > room {
            return Err(UpdateError::TooLarge {
                needed: needed.saturating_add(HEADER_LEN as u32),
                room: self.slots.room(),
            });
        }
        if self.chosen.is_some_and(|chosen| chosen.content.crc == crc) {
            return Err(UpdateError::Running);
        }
        let installed = self.floor();
        if header.may_replace(installed) {
            Ok(())
        } else {
            Err(UpdateError::Older {
                found: header.version,
                installed,
            })
        }
    }

    /// As [`ModelUpdates`] has it, and so are the next ones.
    #[inline(never)]
    fn status(&self, flash: &mut dyn Flash<'_>) -> Status {
        let other = match self.slots.content(flash, self.target()) {
            None => Other::Empty,
            Some(content) => {
                let version = content.header.version;
                match content.state {
                    State::Waiting => Other::Waiting { version },
                    State::Confirmed => Other::Previous { version },
                    State::Tried(reason) => Other::Rejected {
                        version,
                        reason: reason.map_or(Rejection::NotConfirmed, Rejection::of_number),
                    },
                }
            }
        };
        let [k0, k1, k2, k3, k4, k5, k6, k7, ..] = self.policy.key;
        Status {
            running: self
                .chosen
                .map_or(Running::BuiltIn, |chosen| Running::Slot {
                    slot: chosen.slot as u8,
                    on_trial: self.is_on_trial(),
                }),
            version: self
                .chosen
                .map_or(self.policy.version, |chosen| chosen.content.header.version),
            floor: self.floor(),
            other,
            received: self
                .incoming
                .map(|incoming| (incoming.next, incoming.header.payload)),
            room: self.slots.room(),
            unit: self.slots.unit() as u8,
            layout: self.policy.layout,
            key: [k0, k1, k2, k3, k4, k5, k6, k7],
            development_key: self.policy.key == DEVELOPMENT_KEY,
        }
    }

    #[inline(never)]
    fn begin(&mut self, flash: &mut dyn Flash<'_>, bytes: &[u8]) -> Result<(), UpdateError> {
        if self.is_on_trial() {
            return Err(UpdateError::OnTrial);
        }
        let bytes = bytes.get(..HEADER_LEN).ok_or(UpdateError::NotAnUpdate)?;
        let header = Header::verified(bytes, &self.policy.key)?;
        let crc = checksum(bytes);
        self.admit(&header, crc)?;
        let slot = self.target();
        self.incoming = None;
        let length = header.payload.saturating_add(HEADER_LEN as u32);
        self.slots.erase(flash, slot, length)?;
        self.slots.write(flash, slot, 0, bytes)?;
        self.incoming = Some(Incoming {
            slot,
            header,
            crc,
            next: 0,
            is_over: false,
        });
        Ok(())
    }

    #[inline(never)]
    fn write(
        &mut self,
        flash: &mut dyn Flash<'_>,
        at: u32,
        part: &[u8],
    ) -> Result<u32, UpdateError> {
        let unit = self.slots.unit();
        let incoming = self.incoming.as_mut().filter(|incoming| !incoming.is_over);
        let incoming = incoming.ok_or(UpdateError::NotBegun)?;
        if at != incoming.next {
            return Err(UpdateError::Order {
                expected: incoming.next,
            });
        }
        let end = at.saturating_add(part.len() as u32);
        let length = incoming.header.payload;
        let whole = unit > 0 && part.len().is_multiple_of(unit);
        if part.is_empty() || end > length || end < length && !whole {
            return Err(UpdateError::Part);
        }
        // Should it fail, some of it may be written, which can't be written twice.
        incoming.is_over = true;
        self.slots
            .write(flash, incoming.slot, HEADER_LEN as u32 + at, part)?;
        incoming.is_over = false;
        incoming.next = end;
        Ok(end)
    }

    #[inline(never)]
    fn switch(&mut self, flash: &mut dyn Flash<'_>) -> Result<(), UpdateError> {
        let incoming = self.incoming.filter(|incoming| !incoming.is_over);
        let Incoming {
            slot,
            header,
            crc,
            next,
            ..
        } = incoming.ok_or(UpdateError::NotBegun)?;
        if next != header.payload {
            return Err(UpdateError::Truncated {
                received: next,
                expected: header.payload,
            });
        }
        if self.slots.digest(flash, slot, header.payload)? != header.digest {
            return Err(UpdateError::Digest);
        }
        self.parts(flash, slot, &header)?;
        // Also one that can't be run at the moment.
        let other = self.slots.content(flash, 1 - slot.min(1));
        let latest = other.map_or(0, |content| content.generation);
        let mark = Mark {
            kind: Kind::Switched,
            reason: 0,
            generation: latest.wrapping_add(1).max(1),
            header: crc,
        };
        self.incoming = Some(Incoming {
            is_over: true,
            ..incoming.ok_or(UpdateError::NotBegun)?
        });
        self.slots.set_mark(flash, slot, mark)
    }

    #[inline(never)]
    fn confirm(&mut self, flash: &mut dyn Flash<'_>) -> Result<(), UpdateError> {
        let chosen = self.chosen.filter(|_| self.is_on_trial());
        let mut chosen = chosen.ok_or(UpdateError::NothingToConfirm)?;
        self.set(flash, &chosen, Kind::Confirmed, 0)?;
        chosen.content.state = State::Confirmed;
        self.chosen = Some(chosen);
        Ok(())
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
