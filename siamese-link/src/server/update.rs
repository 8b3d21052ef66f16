//! Updates of the model, step by step.

use siamese_update::{ModelUpdates, Status};

use super::{Device, Done, Platform};
use crate::message::{Fault, UpdateKind, UpdateStep};

impl<P: Platform, const D: usize, const SHARED: usize, const HIDDEN1: usize, const N: usize>
    Device<'_, '_, P, D, SHARED, HIDDEN1, N>
{
    fn updates(&mut self) -> Result<&mut dyn ModelUpdates, Fault> {
        self.platform.updates().ok_or(Fault::Unsupported)
    }

    /// Where the device stands.
    #[inline(never)]
    pub(super) fn update_status(&mut self) -> Result<Status, Fault> {
        Ok(self.updates()?.status())
    }

    /// Takes a step.
    #[inline(never)]
    pub(super) fn update(&mut self, step: &UpdateStep<'_>) -> Result<Done, Fault> {
        let updates = self.updates()?;
        let UpdateStep { kind, from, bytes } = *step;
        let next = match kind {
            UpdateKind::Begin => updates.begin(bytes).map(|()| 0),
            UpdateKind::Write => updates.write(from, bytes),
            UpdateKind::Switch => updates.switch().map(|()| 0),
            UpdateKind::Confirm => updates.confirm().map(|()| 0),
            UpdateKind::Status => Ok(0),
        };
        let next = next.map_err(Fault::Update)?;
        Ok(Done::Updated { next })
    }
}
