//! A flash that a device and a target reach, and whose bytes are read in place.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;
use std::sync::{Mutex, OnceLock, PoisonError};

use embedded_storage::nor_flash::{ErrorType, NorFlash, ReadNorFlash};
use siamese_core::gallery::test_flash::{Fault, TestFlash};
use siamese_update::Mapped;

/// Two slots of 2 KiB, written in words of 8 bytes and erased in units of 512.
pub(super) type Flash = TestFlash<4, 8, 512, 4096>;

/// A flash that the device and this target reach.
pub(super) struct Shared(pub(super) Rc<RefCell<Flash>>);

impl ErrorType for Shared {
    type Error = Fault;
}

impl ReadNorFlash for Shared {
    const READ_SIZE: usize = 4;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Fault> {
        self.0.borrow_mut().read(offset, bytes)
    }

    fn capacity(&self) -> usize {
        self.0.borrow().capacity()
    }
}

impl NorFlash for Shared {
    const WRITE_SIZE: usize = 8;
    const ERASE_SIZE: usize = 512;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Fault> {
        self.0.borrow_mut().erase(from, to)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Fault> {
        self.0.borrow_mut().write(offset, bytes)
    }
}

impl Mapped<'static> for Shared {
    fn mapped(&self, range: Range<u32>) -> Option<&'static [u8]> {
        // A processor faults at a word that can't be read: who comes here must have read it.
        let mut probe = self.0.borrow().clone();
        probe.restore_power();
        let whole = range.start..range.end.next_multiple_of(4);
        let mut bytes = vec![0; whole.len()];
        let read = probe.read(whole.start, &mut bytes);
        read.expect("a fault of the processor");
        bytes.truncate(range.len());
        Some(kept(&bytes))
    }
}

/// The same bytes for as long as the program runs. Only what was signed is asked for, which are
/// few payloads, so that this isn't much.
fn kept(bytes: &[u8]) -> &'static [u8] {
    static ALL: OnceLock<Mutex<HashMap<Vec<u8>, &'static [u8]>>> = OnceLock::new();
    let mut all = ALL
        .get_or_init(Mutex::default)
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    if let Some(kept) = all.get(bytes) {
        return kept;
    }
    assert!(all.len() < 100, "something unsigned is looked at");
    // A model is at a multiple of 16.
    let room = vec![0; bytes.len() + 16].leak();
    let start = room.as_ptr().addr().next_multiple_of(16) - room.as_ptr().addr();
    let kept = &mut room[start..][..bytes.len()];
    kept.copy_from_slice(bytes);
    all.insert(bytes.to_vec(), kept);
    kept
}
