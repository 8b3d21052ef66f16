//! What labels are called.

use siamese_core::gallery::Label;
use siamese_core::gallery::names::NameError;

use super::{Core, Device, Done, Platform};
use crate::frame::Tag;
use crate::message::{Fault, Response};

impl<P: Platform, const D: usize, const SHARED: usize, const HIDDEN1: usize, const N: usize>
    Core<'_, '_, P, D, SHARED, HIDDEN1, N>
{
    /// Answers with the first name of a label from this one on, written over the request.
    #[inline(never)]
    pub(super) fn send_name(&mut self, tag: Tag, label: Label) {
        let names = self.device.platform.names();
        let response = names.map_or(Response::Fault(Fault::Unsupported), |names| {
            Response::NameOf(names.first_from(label))
        });
        self.outgoing = super::write(tag, &response, self.buffer);
    }
}

impl<P: Platform, const D: usize, const SHARED: usize, const HIDDEN1: usize, const N: usize>
    Device<'_, '_, P, D, SHARED, HIDDEN1, N>
{
    /// Names a label, or takes its name away.
    #[inline(never)]
    pub(super) fn name(&mut self, label: Label, name: &[u8]) -> Result<Done, Fault> {
        let names = self.platform.names().ok_or(Fault::Unsupported)?;
        let name = core::str::from_utf8(name).map_err(|_| Fault::Name(NameError::Unusable))?;
        names.set(label, name).map_err(Fault::Name)?;
        self.changed();
        Ok(Done::Named)
    }

    /// Saves the names, if there is a place for them.
    pub(super) fn save_names(&mut self) -> Result<(), Fault> {
        self.platform.names().map_or(Ok(()), |names| names.save())
    }
}
