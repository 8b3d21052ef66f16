//! Where a server keeps what labels are called.

use siamese_core::gallery::Label;
use siamese_core::gallery::names::{NameError, Names};

use crate::message::Fault;

/// A table of names, as a server uses it: [`Names`] of any size, or `KeptNames` (feature
/// `storage`), which keeps them in flash.
pub trait NameTable {
    /// The first label from this one on that has a name, and the name.
    fn first_from(&self, label: Label) -> Option<(Label, &str)>;

    /// Names a label, or names it anew; nothing takes its name away.
    ///
    /// # Errors
    /// As [`Names::set`]. Nothing changes then.
    fn set(&mut self, label: Label, name: &str) -> Result<(), NameError>;

    /// Saves the table, right after the gallery was saved. Does nothing, unless this is
    /// overridden, because there is no place to save it in.
    ///
    /// # Errors
    /// The [`Fault`] that the host is told. The table that was saved before is still
    /// there.
    fn save(&mut self) -> Result<(), Fault> {
        Ok(())
    }
}

/// A table that is gone with the next reset.
impl<const N: usize, const B: usize> NameTable for Names<N, B> {
    fn first_from(&self, label: Label) -> Option<(Label, &str)> {
        Self::first_from(self, label)
    }

    fn set(&mut self, label: Label, name: &str) -> Result<(), NameError> {
        if name.is_empty() {
            self.remove(label);
            return Ok(());
        }
        Self::set(self, label, name)
    }
}

#[cfg(feature = "storage")]
pub use kept::KeptNames;

#[cfg(feature = "storage")]
mod kept {
    use embedded_storage::nor_flash::NorFlash;
    use siamese_core::gallery::names::{NameError, Names};
    use siamese_core::gallery::{Label, NameStore, StoreError};

    use super::NameTable;
    use crate::message::Fault;

    /// A table that survives a reset: it is saved with the gallery.
    #[derive(Debug)]
    pub struct KeptNames<'m, F, const N: usize, const B: usize> {
        names: &'m mut Names<N, B>,
        store: NameStore<F>,
        scratch: &'m mut [u8],
    }

    impl<'m, F: NorFlash, const N: usize, const B: usize> KeptNames<'m, F, N, B> {
        /// The table that was saved last, or an empty one, also if what was saved can't
        /// be used: then the next save takes its place. Whatever was in `names` is gone.
        /// `scratch` has [`Names::SCRATCH`] bytes.
        pub fn load(
            names: &'m mut Names<N, B>,
            mut store: NameStore<F>,
            scratch: &'m mut [u8],
        ) -> Self {
            // The table is empty if it fails.
            let _ = store.load(names, scratch);
            Self {
                names,
                store,
                scratch,
            }
        }
    }

    impl<F: NorFlash, const N: usize, const B: usize> NameTable for KeptNames<'_, F, N, B> {
        fn first_from(&self, label: Label) -> Option<(Label, &str)> {
            self.names.first_from(label)
        }

        fn set(&mut self, label: Label, name: &str) -> Result<(), NameError> {
            NameTable::set(self.names, label, name)
        }

        fn save(&mut self) -> Result<(), Fault> {
            let saved = self.store.save(self.names, self.scratch);
            saved.map(drop).map_err(|error| match error {
                StoreError::Names(error) => Fault::Name(error),
                error => crate::store::fault(error),
            })
        }
    }
}
