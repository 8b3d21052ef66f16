//! The pointer boundary: memory that a caller from C names.
//!
//! What numbers can tell of a pointer is checked, and told apart by errors: null, alignment,
//! a length beyond the last address, memory that overlaps. Only then it is borrowed. That the
//! memory is there, and as long as the caller says, is what nobody but the caller knows: the
//! header asks for it.

use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ops::Range;

use crate::Error;

/// `count` elements that begin at `start`: checked as far as numbers tell, not yet borrowed.
///
/// In C all bytes have a value, so that memory from there can be borrowed before anything
/// was written to it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part<T> {
    start: *mut T,
    count: usize,
}

impl<T> Part<T> {
    /// Memory for `count` elements.
    ///
    /// # Errors
    /// [`Error::Null`], [`Error::Misaligned`] and [`Error::Length`].
    pub(crate) fn new(start: *const T, count: usize) -> Result<Self, Error> {
        if start.is_null() {
            return Err(Error::Null);
        }
        if !start.is_aligned() {
            return Err(Error::Misaligned);
        }
        let bytes = count.checked_mul(size_of::<T>());
        let bytes = bytes.filter(|&bytes| isize::try_from(bytes).is_ok());
        let end = bytes.and_then(|bytes| start.addr().checked_add(bytes));
        end.ok_or(Error::Length)?;
        Ok(Self {
            start: start.cast_mut(),
            count,
        })
    }

    /// Memory for one element.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(crate) fn one(start: *const T) -> Result<Self, Error> {
        Self::new(start, 1)
    }

    /// Memory for one element, or `None` for a null pointer, where a caller may leave it out.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(crate) fn optional(start: *const T) -> Result<Option<Self>, Error> {
        if start.is_null() {
            return Ok(None);
        }
        Self::one(start).map(Some)
    }

    /// Its addresses.
    pub(crate) fn range(&self) -> Range<usize> {
        let start = self.start.addr();
        // The sum was checked.
        start..start.wrapping_add(self.count.wrapping_mul(size_of::<T>()))
    }

    /// Borrows it for reading.
    ///
    /// # Safety
    /// The memory is there, holds values of its type, and nothing writes to it for `'a`.
    pub(crate) unsafe fn read<'a>(self) -> &'a [T] {
        // SAFETY: not null, aligned and of a possible length, as was checked; the rest is
        // the caller's promise.
        unsafe { core::slice::from_raw_parts(self.start, self.count) }
    }

    /// Borrows it for writing.
    ///
    /// # Safety
    /// The memory is there, holds values of its type, and nothing else reads it or writes to
    /// it for `'a`.
    pub(crate) unsafe fn write<'a>(self) -> &'a mut [T] {
        // SAFETY: as in `read`.
        unsafe { core::slice::from_raw_parts_mut(self.start, self.count) }
    }

    /// Borrows its first element for reading. There is one: [`one`](Self::one) was asked.
    ///
    /// # Safety
    /// As [`read`](Self::read).
    pub(crate) unsafe fn borrow<'a>(self) -> &'a T {
        // SAFETY: not null and aligned, as was checked; the rest is the caller's promise.
        unsafe { &*self.start }
    }

    /// Borrows its first element for writing, likewise.
    ///
    /// # Safety
    /// As [`write`](Self::write).
    pub(crate) unsafe fn borrow_mut<'a>(self) -> &'a mut T {
        // SAFETY: as in `borrow`.
        unsafe { &mut *self.start }
    }

    /// Puts a value at its start.
    ///
    /// # Safety
    /// The memory is there, and nothing else reads it or writes to it.
    pub(crate) unsafe fn put(self, value: T) {
        // SAFETY: not null and aligned, as was checked; the rest is the caller's promise.
        unsafe { self.start.write(value) }
    }
}

/// Whether memory that is written is apart from all other memory of a call.
///
/// # Errors
/// [`Error::Overlap`] if it is not.
pub(crate) fn check_apart(written: &[Range<usize>], read: &[Range<usize>]) -> Result<(), Error> {
    let mut rest = written;
    while let Some((one, others)) = rest.split_first() {
        let overlaps = |other: &Range<usize>| one.start < other.end && other.start < one.end;
        if others.iter().chain(read).any(overlaps) {
            return Err(Error::Overlap);
        }
        rest = others;
    }
    Ok(())
}

/// A type that a [`Holder`] can hold.
pub trait Held {
    /// What stands before a value of the type, and before no other.
    const TAG: u64;
}

/// Memory that a caller owns for a value: a tag that says whether there is one, and `WORDS * 8`
/// bytes. So its size is the header's, whatever size the compiler gives the value.
#[repr(C)]
#[derive(Debug)]
pub struct Holder<T, const WORDS: usize> {
    tag: u64,
    words: [MaybeUninit<u64>; WORDS],
    value: PhantomData<T>,
}

impl<T: Held, const WORDS: usize> Holder<T, WORDS> {
    /// Memory without a value, as static memory is that is all zero.
    pub const NEW: Self = {
        assert!(
            size_of::<T>() <= WORDS * 8,
            "the header has too little room"
        );
        assert!(align_of::<T>() <= align_of::<Self>());
        Self {
            tag: 0,
            words: [MaybeUninit::zeroed(); WORDS],
            value: PhantomData,
        }
    };

    /// The value.
    ///
    /// # Errors
    /// [`Error::NotInitialised`] if there is none.
    pub(crate) fn get(&self) -> Result<&T, Error> {
        if self.tag != T::TAG {
            return Err(Error::NotInitialised);
        }
        // SAFETY: only `put` sets the tag, after it has written a value that fits.
        Ok(unsafe { &*self.words.as_ptr().cast::<T>() })
    }

    /// The value, to change it.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub(crate) fn get_mut(&mut self) -> Result<&mut T, Error> {
        if self.tag != T::TAG {
            return Err(Error::NotInitialised);
        }
        // SAFETY: as in `get`.
        Ok(unsafe { &mut *self.words.as_mut_ptr().cast::<T>() })
    }

    /// Leaves no value.
    pub(crate) fn clear(&mut self) {
        self.tag = 0;
    }

    /// Puts a value there.
    #[inline(always)] // So that it is made where it stays.
    pub(crate) fn put(&mut self, value: T) -> &mut T {
        // A value that doesn't fit is not compiled.
        const { assert!(size_of::<T>() <= WORDS * 8 && align_of::<T>() <= align_of::<Self>()) };
        let place = self.words.as_mut_ptr().cast::<T>();
        // SAFETY: there is room, as was asserted, and a word's alignment is enough.
        unsafe { place.write(value) };
        self.tag = T::TAG;
        // SAFETY: it was just written.
        unsafe { &mut *place }
    }
}
