//! A device's updates without its flash: what is chosen, what is on its way, and what is taken.

use siamese_core::Model;
use siamese_core::checksum::checksum;

use crate::error::{Rejection, UpdateError};
use crate::golden;
use crate::header::{HEADER_LEN, Header};
use crate::mark::{Kind, Mark};
use crate::signature::DEVELOPMENT_KEY;
use crate::slots::{Content, Flash, Slots, State};
use crate::status::{Other, Running, Status};
use crate::updates::Policy;

/// The model that was chosen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chosen {
    pub(crate) slot: usize,
    pub(crate) content: Content,
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

/// All but the flash.
pub(crate) struct Device {
    slots: Slots,
    policy: Policy,
    chosen: Option<Chosen>,
    incoming: Option<Incoming>,
}

impl Device {
    pub(crate) const fn new(slots: Slots, policy: Policy) -> Self {
        Self {
            slots,
            policy,
            chosen: None,
            incoming: None,
        }
    }

    /// The model that runs, if it is a slot's.
    pub(crate) const fn chosen(&self) -> Option<&Chosen> {
        self.chosen.as_ref()
    }

    /// This one runs from now on.
    pub(crate) const fn choose(&mut self, chosen: Chosen) {
        self.chosen = Some(chosen);
    }

    /// What may run after a start, the latest first.
    #[inline(never)]
    pub(crate) fn candidates(&mut self, flash: &mut dyn Flash<'_>) -> [Option<Chosen>; 2] {
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
    pub(crate) fn prepare<'f>(
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
    pub(crate) fn reject(&self, flash: &mut dyn Flash<'_>, chosen: &Chosen, reason: Rejection) {
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
    pub(crate) fn status(&self, flash: &mut dyn Flash<'_>) -> Status {
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
    pub(crate) fn begin(
        &mut self,
        flash: &mut dyn Flash<'_>,
        bytes: &[u8],
    ) -> Result<(), UpdateError> {
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
    pub(crate) fn write(
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
    pub(crate) fn switch(&mut self, flash: &mut dyn Flash<'_>) -> Result<(), UpdateError> {
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
    pub(crate) fn confirm(&mut self, flash: &mut dyn Flash<'_>) -> Result<(), UpdateError> {
        let chosen = self.chosen.filter(|_| self.is_on_trial());
        let mut chosen = chosen.ok_or(UpdateError::NothingToConfirm)?;
        self.set(flash, &chosen, Kind::Confirmed, 0)?;
        chosen.content.state = State::Confirmed;
        self.chosen = Some(chosen);
        Ok(())
    }
}
