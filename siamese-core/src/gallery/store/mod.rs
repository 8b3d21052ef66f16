//! Galleries in flash, so that they survive a reset: `GalleryStore` over the
//! blocking traits of `embedded-storage` (feature `storage`), and
//! `AsyncGalleryStore` over those of `embedded-storage-async` (feature
//! `storage-async`). [Names](super::names) have stores of their own, `NameStore` and
//! `AsyncNameStore`.
//!
//! # In flash
//!
//! A store of a gallery has two *slots*, the halves of its range. Each is a log: whole [records],
//! one after the other from the slot's start, each padded with 0xFF to a multiple
//! of the larger of the flash's read and write sizes. The first lists all entries,
//! the others what has changed. In a log each record's generation is later than
//! that of the one before, by serial-number arithmetic: `a` is later than `b` if
//! `a - b`, wrapping, is positive as an `i64`. A log ends before the first thing
//! that is no such record. The slot whose log ends with the later generation holds
//! the gallery.
//!
//! A save adds a record to that log, and erases nothing while the log stays in
//! erase units that it has entered; a unit is erased when the log enters it. When
//! the slot has no more room, or what follows the log isn't erased, all entries go
//! to the start of the other slot, the units for them being erased before. So each
//! word is written at most once between erasures, the newest gallery is never in
//! what is erased, and an enrolment costs one small record. What was written is
//! read back; if it isn't there, the other slot is tried.
//!
//! A slot that can't be read, or not further, is one that ends there: on flash
//! with error correction a word that was torn by a power cut can fail to be read
//! until it is erased. A save reads such a slot twice. What it holds might be read
//! again one day, and be later than what is saved now: steps of generations go
//! beyond that, and a slot that can't be read at all is erased once the gallery is
//! in the other one. Where a record will end with an erase unit, what follows is
//! erased before if it can't be read, or would go on with the log: rot can cut a
//! log short, and leave later records behind it.
//!
//! A store of names has two halves as well, each with one table: a generation as above
//! (u64), the CRC-32 of generation and table (u32), and the table in its
//! [stored form](super::names#stored-form-version-1), padded likewise. The half with
//! the later generation counts. A save erases the other one and writes to it, if the
//! table isn't there already.
//!
//! The logic is a state machine without input or output; the two stores only
//! carry out what it asks for. Async functions that a blocking store polls would
//! need no second driver, but leave a panic in its code.
//!
//! `sequential-storage` isn't used, though it erases somewhat less: a word that
//! can't be read makes it fail to fetch all entries of that page, a save of several
//! entries isn't atomic, removing one needs words that are written twice, and its
//! code holds panics.
//!
//! [records]: super::stored

mod load;
mod log;
mod names;
mod save;

use core::fmt;
use core::ops::Range;

use self::load::Load;
use self::log::{Layout, LayoutError};
use self::save::{Failure, Save};
use super::names::NameError;
use super::{Gallery, LoadError};

/// Bytes on their way to or from the flash. Some drivers want them aligned.
#[repr(C, align(4))]
struct Block([u8; Self::SIZE]);

impl Block {
    /// The most that is read or written at once, and the largest unit of a flash.
    const SIZE: usize = 256;

    const fn new() -> Self {
        Self([0; Self::SIZE])
    }

    /// The first bytes of it.
    fn part(&mut self, length: usize) -> &mut [u8] {
        self.0.get_mut(..length).unwrap_or_default()
    }
}

/// What a job wants from the flash: addresses, and lengths in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    /// To read from an address to the block.
    Read(u32, usize),
    /// To write the block to an address.
    Write(u32, usize),
    /// To erase from an address to before another.
    Erase(u32, u32),
    /// Nothing more.
    Done,
}

/// Something to be done with a flash, step by step.
trait Job {
    /// What comes next, when the step before (if there was one) went well or
    /// didn't.
    fn next(&mut self, ok: bool) -> Op;

    /// The part of the block to be read to or written from.
    fn block(&mut self, length: usize) -> &mut [u8];
}

/// What a save has done to the flash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Saved {
    /// The bytes that were written; 0 if the gallery or the names were there already.
    pub written: u32,
    /// The bytes that were erased.
    pub erased: u32,
}

/// The outcome of a load as its caller sees it.
fn loaded<E>(outcome: Result<bool, LoadError>) -> Result<bool, StoreError<E>> {
    outcome.map_err(StoreError::Load)
}

/// The outcome of a save as its caller sees it. `error` is the last one that
/// the flash has reported, `needed` the bytes that are needed.
fn saved<E>(
    outcome: Result<Saved, Failure>,
    error: Option<E>,
    needed: u32,
    layout: &Layout,
) -> Result<Saved, StoreError<E>> {
    outcome.map_err(|failure| match (failure, error) {
        (Failure::Size, _) => StoreError::Size {
            needed: needed as usize,
            room: layout.slot as usize,
        },
        (Failure::Flash, Some(error)) => StoreError::Flash(error),
        (Failure::Flash, None) => StoreError::Verify,
    })
}

impl<E> From<LayoutError> for StoreError<E> {
    fn from(error: LayoutError) -> Self {
        match error {
            LayoutError::Units => Self::Units,
            LayoutError::Range => Self::Range,
        }
    }
}

#[cfg(feature = "storage")]
mod blocking {
    use embedded_storage::nor_flash::NorFlash;

    use super::{
        Gallery, Job, Layout, Load, Op, Range, Save, Saved, StoreError, loaded, names, saved,
    };
    use crate::gallery::names::Names;

    /// A gallery's place in flash. It survives power cuts at any time: what is
    /// loaded is the gallery that was saved last, or the one before if its save
    /// was cut short.
    ///
    /// *Memory*: for a gallery of 32 entries of 16 coordinates on a Cortex-M0, a
    /// load needs about 1.4 KiB of stack and a save 1.8 KiB, without what the
    /// flash needs. It grows by 1 byte an entry and about 8 a coordinate.
    #[derive(Debug)]
    pub struct GalleryStore<F> {
        flash: F,
        layout: Layout,
    }

    impl<F: NorFlash> GalleryStore<F> {
        /// A store in these bytes of the flash, which it then owns: half of them
        /// for each slot. What is in them need not be a store.
        ///
        /// # Errors
        /// [`StoreError::Range`] if the halves aren't made of whole erase units or
        /// lie outside the flash, [`StoreError::Units`] if it is read or written
        /// in units of an unsupported size.
        pub fn new(flash: F, range: Range<u32>) -> Result<Self, StoreError<F::Error>> {
            let units = (F::READ_SIZE, F::WRITE_SIZE, F::ERASE_SIZE);
            let layout = Layout::new(&range, flash.capacity(), units)?;
            Ok(Self { flash, layout })
        }

        /// Gives the flash back.
        pub fn release(self) -> F {
            self.flash
        }

        /// Puts what was saved last in place of what is in the gallery; whether
        /// there was something. If not, or if it fails, the gallery is empty, and
        /// has no thresholds of the user.
        ///
        /// Flash that can't be read counts as empty: what was saved before it is
        /// loaded, if there is something.
        ///
        /// # Errors
        /// [`StoreError::Load`] if what was saved doesn't suit the gallery's model
        /// or size.
        #[inline(never)]
        pub fn load<const D: usize, const N: usize>(
            &mut self,
            gallery: &mut Gallery<D, N>,
        ) -> Result<bool, StoreError<F::Error>> {
            let mut load = Load::new(self.layout, gallery);
            carry_out(&mut self.flash, &mut load);
            loaded(load.outcome())
        }

        /// Saves a gallery. Nothing is written or erased if it is there already.
        ///
        /// # Errors
        /// [`StoreError::Size`] if a slot is too small for it,
        /// [`StoreError::Flash`] if the flash can't be erased or written, and
        /// [`StoreError::Verify`] if it doesn't hold what was written. The gallery
        /// that was saved before is still there then, and saving may be tried
        /// again.
        #[inline(never)]
        pub fn save<const D: usize, const N: usize>(
            &mut self,
            gallery: &Gallery<D, N>,
        ) -> Result<Saved, StoreError<F::Error>> {
            let mut save = Save::new(self.layout, gallery);
            let error = carry_out(&mut self.flash, &mut save);
            let needed = self.layout.padded(gallery.stored_len());
            saved(save.outcome(), error, needed, &self.layout)
        }
    }

    /// A place in flash for the names of labels, beside that of the gallery. It
    /// survives power cuts at any time: what is loaded is the table that was saved
    /// last, or the one before if its save was cut short.
    ///
    /// ```
    /// use siamese_core::gallery::NameStore;
    /// use siamese_core::gallery::names::Names;
    /// use siamese_core::gallery::test_flash::TestFlash;
    ///
    /// let mut scratch = [0; Names::<8, 15>::SCRATCH];
    /// let mut store = NameStore::new(TestFlash::<1, 4, 256, 512>::new(), 0..512).unwrap();
    /// let mut names = Names::<8, 15>::new();
    /// names.set(7, "front door")?;
    /// store.save(&names, &mut scratch).unwrap();
    ///
    /// let mut found = Names::<8, 15>::new();
    /// assert_eq!(store.load(&mut found, &mut scratch), Ok(true));
    /// assert_eq!(found.get(7), Some("front door"));
    /// # Ok::<(), siamese_core::gallery::names::NameError>(())
    /// ```
    ///
    /// *Memory*: less than 800 bytes of stack on a Cortex-M0, without what the flash
    /// needs; and the buffer that the caller gives.
    #[derive(Debug)]
    pub struct NameStore<F> {
        flash: F,
        layout: Layout,
    }

    impl<F: NorFlash> NameStore<F> {
        /// A store in these bytes of the flash, which it then owns: half of them
        /// for each of two tables. What is in them need not be a store.
        ///
        /// # Errors
        /// As [`GalleryStore::new`].
        pub fn new(flash: F, range: Range<u32>) -> Result<Self, StoreError<F::Error>> {
            let units = (F::READ_SIZE, F::WRITE_SIZE, F::ERASE_SIZE);
            let layout = Layout::new(&range, flash.capacity(), units)?;
            Ok(Self { flash, layout })
        }

        /// Gives the flash back.
        pub fn release(self) -> F {
            self.flash
        }

        /// Puts what was saved last in place of what is in the table; whether
        /// there was something. If not, or if it fails, the table is empty.
        ///
        /// `scratch` has [`Names::SCRATCH`] bytes; what is in it doesn't matter. A
        /// half that can't be read counts as empty.
        ///
        /// # Errors
        /// [`StoreError::Names`] if what was saved doesn't suit the table:
        /// [`NameError::Full`](crate::gallery::names::NameError::Full),
        /// [`TooLong`](crate::gallery::names::NameError::TooLong), or
        /// [`NoTable`](crate::gallery::names::NameError::NoTable) for one of another
        /// version; [`NoRoom`](crate::gallery::names::NameError::NoRoom) if `scratch`
        /// is too short.
        #[inline(never)]
        pub fn load<const N: usize, const B: usize>(
            &mut self,
            names: &mut Names<N, B>,
            scratch: &mut [u8],
        ) -> Result<bool, StoreError<F::Error>> {
            let mut load = names::Load::new(self.layout, scratch);
            carry_out(&mut self.flash, &mut load);
            load.finish(names).map_err(StoreError::Names)
        }

        /// Saves a table. Nothing is written or erased if it is there already.
        /// `scratch` as for [`load`](Self::load).
        ///
        /// # Errors
        /// [`StoreError::Size`] if a half is too small for it,
        /// [`StoreError::Flash`] if the flash can't be erased or written,
        /// [`StoreError::Verify`] if it doesn't hold what was written, and
        /// [`StoreError::Names`] if `scratch` is too short. The table that was saved
        /// before is still there then, and saving may be tried again.
        #[inline(never)]
        pub fn save<const N: usize, const B: usize>(
            &mut self,
            names: &Names<N, B>,
            scratch: &mut [u8],
        ) -> Result<Saved, StoreError<F::Error>> {
            let length = names::encode(names, scratch).map_err(StoreError::Names)?;
            let mut save = names::Save::new(self.layout, scratch, length);
            let error = carry_out(&mut self.flash, &mut save);
            saved(save.outcome(), error, save.stored_len(), &self.layout)
        }
    }

    /// Does what a job asks for; the last error of the flash.
    fn carry_out<F: NorFlash>(flash: &mut F, job: &mut impl Job) -> Option<F::Error> {
        let (mut ok, mut error) = (true, None);
        loop {
            let result = match job.next(ok) {
                Op::Read(at, length) => flash.read(at, job.block(length)),
                Op::Write(at, length) => flash.write(at, job.block(length)),
                Op::Erase(from, to) => flash.erase(from, to),
                Op::Done => return error,
            };
            ok = result.is_ok();
            error = result.err().or(error);
        }
    }
}

#[cfg(feature = "storage")]
pub use blocking::{GalleryStore, NameStore};

#[cfg(feature = "storage-async")]
mod asynchronous {
    use embedded_storage_async::nor_flash::NorFlash;

    use super::{
        Gallery, Job, Layout, Load, Op, Range, Save, Saved, StoreError, loaded, names, saved,
    };
    use crate::gallery::names::Names;

    /// As `GalleryStore`, over a flash that others need not
    /// wait for. Each reads what the other wrote.
    ///
    /// To drop a future before it is ready is like a power cut: the store is
    /// whole, with the old gallery or the new one.
    #[derive(Debug)]
    pub struct AsyncGalleryStore<F> {
        flash: F,
        layout: Layout,
    }

    impl<F: NorFlash> AsyncGalleryStore<F> {
        /// As `GalleryStore::new`.
        ///
        /// # Errors
        /// As there.
        pub fn new(flash: F, range: Range<u32>) -> Result<Self, StoreError<F::Error>> {
            let units = (F::READ_SIZE, F::WRITE_SIZE, F::ERASE_SIZE);
            let layout = Layout::new(&range, flash.capacity(), units)?;
            Ok(Self { flash, layout })
        }

        /// Gives the flash back.
        pub fn release(self) -> F {
            self.flash
        }

        /// As `GalleryStore::load`.
        ///
        /// # Errors
        /// As there.
        pub async fn load<const D: usize, const N: usize>(
            &mut self,
            gallery: &mut Gallery<D, N>,
        ) -> Result<bool, StoreError<F::Error>> {
            let mut load = Load::new(self.layout, gallery);
            carry_out(&mut self.flash, &mut load).await;
            loaded(load.outcome())
        }

        /// As `GalleryStore::save`.
        ///
        /// # Errors
        /// As there.
        pub async fn save<const D: usize, const N: usize>(
            &mut self,
            gallery: &Gallery<D, N>,
        ) -> Result<Saved, StoreError<F::Error>> {
            let mut save = Save::new(self.layout, gallery);
            let error = carry_out(&mut self.flash, &mut save).await;
            let needed = self.layout.padded(gallery.stored_len());
            saved(save.outcome(), error, needed, &self.layout)
        }
    }

    /// As `NameStore`, over a flash that others need not wait for. Each reads what the
    /// other wrote, and a future may be dropped at any time, as with
    /// [`AsyncGalleryStore`].
    #[derive(Debug)]
    pub struct AsyncNameStore<F> {
        flash: F,
        layout: Layout,
    }

    impl<F: NorFlash> AsyncNameStore<F> {
        /// As `NameStore::new`.
        ///
        /// # Errors
        /// As there.
        pub fn new(flash: F, range: Range<u32>) -> Result<Self, StoreError<F::Error>> {
            let units = (F::READ_SIZE, F::WRITE_SIZE, F::ERASE_SIZE);
            let layout = Layout::new(&range, flash.capacity(), units)?;
            Ok(Self { flash, layout })
        }

        /// Gives the flash back.
        pub fn release(self) -> F {
            self.flash
        }

        /// As `NameStore::load`.
        ///
        /// # Errors
        /// As there.
        pub async fn load<const N: usize, const B: usize>(
            &mut self,
            names: &mut Names<N, B>,
            scratch: &mut [u8],
        ) -> Result<bool, StoreError<F::Error>> {
            let mut load = names::Load::new(self.layout, scratch);
            carry_out(&mut self.flash, &mut load).await;
            load.finish(names).map_err(StoreError::Names)
        }

        /// As `NameStore::save`.
        ///
        /// # Errors
        /// As there.
        pub async fn save<const N: usize, const B: usize>(
            &mut self,
            names: &Names<N, B>,
            scratch: &mut [u8],
        ) -> Result<Saved, StoreError<F::Error>> {
            let length = names::encode(names, scratch).map_err(StoreError::Names)?;
            let mut save = names::Save::new(self.layout, scratch, length);
            let error = carry_out(&mut self.flash, &mut save).await;
            saved(save.outcome(), error, save.stored_len(), &self.layout)
        }
    }

    /// Does what a job asks for; the last error of the flash.
    async fn carry_out<F: NorFlash>(flash: &mut F, job: &mut impl Job) -> Option<F::Error> {
        let (mut ok, mut error) = (true, None);
        loop {
            let result = match job.next(ok) {
                Op::Read(at, length) => flash.read(at, job.block(length)).await,
                Op::Write(at, length) => flash.write(at, job.block(length)).await,
                Op::Erase(from, to) => flash.erase(from, to).await,
                Op::Done => return error,
            };
            ok = result.is_ok();
            error = result.err().or(error);
        }
    }
}

#[cfg(feature = "storage-async")]
pub use asynchronous::{AsyncGalleryStore, AsyncNameStore};

/// Why a gallery or names weren't saved or loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum StoreError<E> {
    /// The range isn't two slots of whole erase units within the flash.
    Range,
    /// The flash is read or written in units that aren't a power of two, or are
    /// larger than 256 bytes.
    Units,
    /// What is to be saved needs more bytes than half of the range has.
    Size {
        /// The bytes that it needs.
        needed: usize,
        /// The bytes that there are.
        room: usize,
    },
    /// What was saved can't be used.
    Load(LoadError),
    /// The names that were saved can't be used, or the buffer is too short for them.
    Names(NameError),
    /// The flash reports an error.
    Flash(E),
    /// The flash reports no error, and yet doesn't hold what was written: it is
    /// worn out, or protected.
    Verify,
}

impl<E: fmt::Debug> fmt::Display for StoreError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range => {
                f.write_str("a store must be two halves of whole erase units within the flash")
            }
            Self::Units => write!(
                f,
                "a store needs a flash that is read and written in units of a power of two, of \
                 {} bytes at most",
                Block::SIZE
            ),
            Self::Size { needed, room } => write!(
                f,
                "what is to be saved needs {needed} bytes of flash and there are {room}"
            ),
            Self::Load(error) => error.fmt(f),
            Self::Names(error) => error.fmt(f),
            Self::Flash(error) => write!(f, "the flash reports {error:?}"),
            Self::Verify => f.write_str("the flash doesn't hold what was written to it"),
        }
    }
}

impl<E: fmt::Debug> core::error::Error for StoreError<E> {}
