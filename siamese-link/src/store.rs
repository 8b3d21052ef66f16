//! Where a server saves its gallery.

use siamese_core::gallery::Gallery;
#[cfg(any(feature = "storage", feature = "storage-async"))]
use siamese_core::gallery::StoreError;

use crate::message::{Fault, Refused};

/// A place to save a gallery in.
pub trait Store {
    /// Whether anything can be saved.
    fn can_save(&self) -> bool {
        true
    }

    /// Puts what was saved last in place of what is in the gallery; whether there
    /// was something.
    ///
    /// # Errors
    /// [`Refused`] if it can't be used; what is in the gallery then doesn't matter.
    fn load<const D: usize, const N: usize>(
        &mut self,
        gallery: &mut Gallery<D, N>,
    ) -> Result<bool, Refused>;

    /// Saves the gallery.
    ///
    /// # Errors
    /// The [`Fault`] that the host is told. What was saved before is still there.
    fn save<const D: usize, const N: usize>(
        &mut self,
        gallery: &Gallery<D, N>,
    ) -> Result<(), Fault>;
}

/// No place to save a gallery in.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoStore;

impl Store for NoStore {
    fn can_save(&self) -> bool {
        false
    }

    fn load<const D: usize, const N: usize>(
        &mut self,
        _: &mut Gallery<D, N>,
    ) -> Result<bool, Refused> {
        Ok(false)
    }

    fn save<const D: usize, const N: usize>(&mut self, _: &Gallery<D, N>) -> Result<(), Fault> {
        Err(Fault::NoStorage)
    }
}

/// A store that may be missing: `None` is [`NoStore`].
impl<S: Store> Store for Option<S> {
    fn can_save(&self) -> bool {
        self.as_ref().is_some_and(S::can_save)
    }

    fn load<const D: usize, const N: usize>(
        &mut self,
        gallery: &mut Gallery<D, N>,
    ) -> Result<bool, Refused> {
        self.as_mut().map_or(Ok(false), |store| store.load(gallery))
    }

    fn save<const D: usize, const N: usize>(
        &mut self,
        gallery: &Gallery<D, N>,
    ) -> Result<(), Fault> {
        let store = self.as_mut().ok_or(Fault::NoStorage)?;
        store.save(gallery)
    }
}

/// What a host is told of a saved gallery that can't be used.
#[cfg(any(feature = "storage", feature = "storage-async"))]
fn refused<E>(error: StoreError<E>) -> Refused {
    match error {
        StoreError::Load(error) => Refused::Load(error),
        _ => Refused::Flash,
    }
}

/// What a host is told of a gallery or of names that can't be saved.
#[cfg(any(feature = "storage", feature = "storage-async"))]
pub(crate) fn fault<E>(error: StoreError<E>) -> Fault {
    match error {
        StoreError::Size { needed, room } => Fault::StorageSize {
            needed: needed as u32,
            room: room as u32,
        },
        _ => Fault::Storage,
    }
}

#[cfg(feature = "storage")]
impl<F: embedded_storage::nor_flash::NorFlash> Store for siamese_core::gallery::GalleryStore<F> {
    fn load<const D: usize, const N: usize>(
        &mut self,
        gallery: &mut Gallery<D, N>,
    ) -> Result<bool, Refused> {
        Self::load(self, gallery).map_err(refused)
    }

    #[inline(never)] // Its buffers are off the stack while images are embedded.
    fn save<const D: usize, const N: usize>(
        &mut self,
        gallery: &Gallery<D, N>,
    ) -> Result<(), Fault> {
        Self::save(self, gallery).map(drop).map_err(fault)
    }
}

#[cfg(feature = "async")]
pub use asynchronous::{AsyncStore, Blocking};

#[cfg(feature = "async")]
mod asynchronous {
    use siamese_core::gallery::Gallery;

    use super::{NoStore, Store};
    use crate::message::{Fault, Refused};

    /// As [`Store`], for flash whose driver is asynchronous.
    #[allow(async_fn_in_trait, reason = "executors of one thread need no Send")]
    pub trait AsyncStore {
        /// As [`Store::can_save`].
        fn can_save(&self) -> bool {
            true
        }

        /// As [`Store::load`].
        ///
        /// # Errors
        /// As [`Store::load`].
        async fn load<const D: usize, const N: usize>(
            &mut self,
            gallery: &mut Gallery<D, N>,
        ) -> Result<bool, Refused>;

        /// As [`Store::save`].
        ///
        /// # Errors
        /// As [`Store::save`].
        async fn save<const D: usize, const N: usize>(
            &mut self,
            gallery: &Gallery<D, N>,
        ) -> Result<(), Fault>;
    }

    /// A blocking store for an asynchronous server: nothing else runs meanwhile.
    #[derive(Debug, Clone, Copy, Default)]
    pub struct Blocking<S>(pub S);

    impl<S: Store> AsyncStore for Blocking<S> {
        fn can_save(&self) -> bool {
            self.0.can_save()
        }

        async fn load<const D: usize, const N: usize>(
            &mut self,
            gallery: &mut Gallery<D, N>,
        ) -> Result<bool, Refused> {
            self.0.load(gallery)
        }

        async fn save<const D: usize, const N: usize>(
            &mut self,
            gallery: &Gallery<D, N>,
        ) -> Result<(), Fault> {
            self.0.save(gallery)
        }
    }

    impl AsyncStore for NoStore {
        fn can_save(&self) -> bool {
            false
        }

        async fn load<const D: usize, const N: usize>(
            &mut self,
            _: &mut Gallery<D, N>,
        ) -> Result<bool, Refused> {
            Ok(false)
        }

        async fn save<const D: usize, const N: usize>(
            &mut self,
            _: &Gallery<D, N>,
        ) -> Result<(), Fault> {
            Err(Fault::NoStorage)
        }
    }

    #[cfg(feature = "storage-async")]
    impl<F> AsyncStore for siamese_core::gallery::AsyncGalleryStore<F>
    where
        F: embedded_storage_async::nor_flash::NorFlash,
    {
        async fn load<const D: usize, const N: usize>(
            &mut self,
            gallery: &mut Gallery<D, N>,
        ) -> Result<bool, Refused> {
            Self::load(self, gallery).await.map_err(super::refused)
        }

        async fn save<const D: usize, const N: usize>(
            &mut self,
            gallery: &Gallery<D, N>,
        ) -> Result<(), Fault> {
            Self::save(self, gallery)
                .await
                .map(drop)
                .map_err(super::fault)
        }
    }
}
