//! Updates of a device's model, and what the device says of its work.

use siamese_link::{Request, Response, Statistics, UpdateKind, UpdateStep};
use siamese_update::{HEADER_LEN, Status, UpdateError};

use crate::device::Device;
use crate::error::Error;

/// Bytes of a payload in one request: a multiple of whatever a flash writes at once.
const PART: usize = 192;

impl Device {
    /// Where the device stands with its updates.
    ///
    /// # Errors
    /// [`Error::Fault`] with [`Fault::Unsupported`](siamese_link::Fault::Unsupported) if it takes
    /// none; else as [`embed`](Self::embed).
    pub fn update_status(&mut self) -> Result<Status, Error> {
        let request = Request::Update(UpdateStep::of(UpdateKind::Status));
        self.ask(&request, |response| match response {
            Response::UpdateStatus(status) => Some(status),
            _ => None,
        })
    }

    /// Sends an update file. `progress` is called with the bytes of the payload that the device
    /// has. The model that runs answers on, and nothing is switched.
    ///
    /// # Errors
    /// [`Error::Fault`] with [`Fault::Update`](siamese_link::Fault::Update) if the device refuses
    /// it; else as [`enrol`](Self::enrol).
    pub fn send_update(
        &mut self,
        file: &[u8],
        mut progress: impl FnMut(usize),
    ) -> Result<(), Error> {
        let Some((header, payload)) = file.split_at_checked(HEADER_LEN) else {
            let error = UpdateError::NotAnUpdate;
            return Err(Error::Fault(siamese_link::Fault::Update(error)));
        };
        self.update_step(UpdateStep {
            bytes: header,
            ..UpdateStep::of(UpdateKind::Begin)
        })?;
        let mut from = 0;
        for bytes in payload.chunks(PART) {
            let kind = UpdateKind::Write;
            from = self.update_step(UpdateStep { kind, from, bytes })?;
            progress(from as usize);
        }
        Ok(())
    }

    /// Has the device verify what it was sent, and switch to it: the next
    /// [`reset`](Self::reset) tries it.
    ///
    /// # Errors
    /// As [`send_update`](Self::send_update).
    pub fn switch_update(&mut self) -> Result<(), Error> {
        self.update_step(UpdateStep::of(UpdateKind::Switch))
            .map(drop)
    }

    /// Has the device keep the model that is on trial.
    ///
    /// # Errors
    /// As [`send_update`](Self::send_update).
    pub fn confirm_update(&mut self) -> Result<(), Error> {
        self.update_step(UpdateStep::of(UpdateKind::Confirm))
            .map(drop)
    }

    /// What the device has done since it started.
    ///
    /// # Errors
    /// [`Error::Fault`] with [`Fault::Unsupported`](siamese_link::Fault::Unsupported) if it
    /// doesn't count; else as [`embed`](Self::embed).
    pub fn statistics(&mut self) -> Result<Statistics, Error> {
        self.ask(&Request::Statistics, |response| match response {
            Response::Statistics(statistics) => Some(statistics),
            _ => None,
        })
    }

    /// A step that changes the device; the byte of the payload that comes next.
    fn update_step(&mut self, step: UpdateStep<'_>) -> Result<u32, Error> {
        self.change(&Request::Update(step), |response| match response {
            Response::Updated { next } => Some(next),
            _ => None,
        })
    }
}
