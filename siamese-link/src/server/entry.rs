//! Entries of a gallery that come and go whole.

use siamese_core::gallery::{InsertError, Record};

use super::{Core, Device, Done, Platform};
use crate::frame::Tag;
use crate::message::{Fault, Response};

impl<P: Platform, const D: usize, const SHARED: usize, const HIDDEN1: usize, const N: usize>
    Core<'_, '_, P, D, SHARED, HIDDEN1, N>
{
    /// Answers with an entry, written over the request.
    #[inline(never)] // Its record is off the stack while images are embedded.
    pub(super) fn send_entry(&mut self, tag: Tag, number: u32) {
        let mut buffer = [0; Record::ENTRY_MAX];
        let device = &self.device;
        let record = device.gallery.entry_to_bytes(number as usize, &mut buffer);
        let changes = device.changes;
        // No model has more coordinates than there is room for.
        let response = record.map_or(Response::Fault(Fault::TooLong), |record| Response::Entry {
            changes,
            record,
        });
        self.send(tag, &response);
    }
}

impl<P: Platform, const D: usize, const SHARED: usize, const HIDDEN1: usize, const N: usize>
    Device<'_, '_, P, D, SHARED, HIDDEN1, N>
{
    /// Takes in the entry of a record.
    #[inline(never)]
    pub(super) fn insert(&mut self, record: &[u8]) -> Result<Done, Fault> {
        let examples = self.gallery.insert(record).map_err(|error| match error {
            InsertError::Record(error) => Fault::Entry(error),
            InsertError::Gallery(error) => Fault::Gallery(error),
        })?;
        self.changed();
        Ok(Done::Inserted { examples })
    }

    /// Sets the user's thresholds to those of a record.
    #[inline(never)]
    pub(super) fn set_thresholds(&mut self, record: &[u8]) -> Result<Done, Fault> {
        let set = self.gallery.take_user_thresholds(record);
        set.map_err(Fault::Entry)?;
        self.changed();
        Ok(Done::ThresholdsSet)
    }
}
