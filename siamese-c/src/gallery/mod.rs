//! Galleries: for each number of coordinates a family of functions, so that a firmware has
//! the code of its own alone.
//!
//! In C the functions of the family for 2 coordinates are called `siamese_enrol_d2` and so on;
//! here they are in the module `d2`. What they do is in the private module `work`, once for all.

mod types;
mod work;

use siamese_core::Gallery;
use siamese_core::gallery::Entry;

use crate::error::status;
use crate::memory::{Held, Holder};
use crate::model::siamese_model;

pub use types::{
    siamese_entry, siamese_gallery_info, siamese_identified, siamese_neighbour, siamese_thresholds,
    siamese_verified,
};

/// Memory for the entries of a gallery, in bytes.
const ENTRIES_BYTES: usize = 4096;
/// The most entries of a gallery.
const MOST_ENTRIES: usize = 32;
/// Bytes of a gallery beside its entries, its tag left out.
const HEAD: usize = 84;

/// `SIAMESE_ENTRIES` of the header: the entries of a gallery of so many coordinates.
#[must_use]
pub const fn entries(dim: usize) -> usize {
    let room = ENTRIES_BYTES / entry_bytes(dim);
    if room < MOST_ENTRIES {
        room
    } else {
        MOST_ENTRIES
    }
}

/// Bytes of an entry.
const fn entry_bytes(dim: usize) -> usize {
    4 + 4 * dim
}

/// `SIAMESE_GALLERY_BYTES` of the header.
#[must_use]
pub const fn gallery_bytes(dim: usize) -> usize {
    8 + 8 * words(dim)
}

/// Words of a gallery after its tag.
const fn words(dim: usize) -> usize {
    (HEAD + entries(dim) * entry_bytes(dim)).div_ceil(8)
}

impl<const D: usize, const N: usize> Held for Gallery<D, N> {
    const TAG: u64 = {
        assert!(size_of::<Entry<D>>() == entry_bytes(D));
        u64::from_le_bytes(*b"SIAGAL\0\0") | (D as u64) << 56
    };
}

/// Defines the families of functions, each by its module and its number of coordinates.
macro_rules! families {
    ($($module:ident = $dim:literal;)*) => {
        /// The numbers of coordinates that there are families for.
        pub const DIMS: &[usize] = &[$($dim),*];

        $(
            #[doc = concat!("The functions for embeddings of ", $dim, " coordinates.")]
            pub mod $module {
                use super::*;

                /// Coordinates of an embedding.
                pub const DIM: usize = $dim;
                /// Entries of a gallery.
                pub const ENTRIES: usize = entries(DIM);
                /// Bytes of a stored gallery, at most.
                pub const STORED_MAX: usize = Gallery::<DIM, ENTRIES>::STORED_MAX;
                /// `siamese_gallery` of the header.
                #[allow(non_camel_case_types, reason = "its name in C")]
                pub type siamese_gallery = Holder<Gallery<DIM, ENTRIES>, { words(DIM) }>;

                const _: () = {
                    assert!(size_of::<siamese_gallery>() == gallery_bytes(DIM));
                    assert!(align_of::<siamese_gallery>() == align_of::<u64>());
                    assert!(STORED_MAX == 52 + ENTRIES * entry_bytes(DIM));
                };

                function!($dim, gallery_init(gallery: *mut siamese_gallery, model: *const siamese_model));
                function!($dim, gallery_get_info(gallery: *const siamese_gallery, info: *mut siamese_gallery_info));
                function!($dim, gallery_get_entry(gallery: *const siamese_gallery, number: u32, entry: *mut siamese_entry));
                function!($dim, gallery_set_thresholds(gallery: *mut siamese_gallery, thresholds: *const siamese_thresholds));
                function!($dim, enrol(gallery: *mut siamese_gallery, label: u16, embedding: *const i16));
                function!($dim, enrol_exemplar(gallery: *mut siamese_gallery, label: u16, embedding: *const i16));
                function!($dim, forget(gallery: *mut siamese_gallery, label: u16));
                function!($dim, identify(gallery: *const siamese_gallery, embedding: *const i16, found: *mut siamese_identified));
                function!($dim, verify(gallery: *const siamese_gallery, label: u16, embedding: *const i16, found: *mut siamese_verified));
                function!($dim, verify_pair(gallery: *const siamese_gallery, one: *const i16, other: *const i16, found: *mut siamese_verified));
                function!($dim, save(gallery: *const siamese_gallery, buffer: *mut u8, capacity: usize, length: *mut usize));
                function!($dim, load(gallery: *mut siamese_gallery, model: *const siamese_model, bytes: *const u8, length: usize));
            }
        )*
    };
}

/// One function of a family.
macro_rules! function {
    ($dim:literal, $name:ident($($argument:ident: $type:ty),*)) => {
        #[doc = concat!("`siamese_", stringify!($name), "` of the header.")]
        ///
        /// # Safety
        /// What the header says: memory is there where it is said to be.
        // SAFETY: nothing else has a name that ends so.
        #[unsafe(export_name = concat!("siamese_", stringify!($name), "_d", $dim))]
        pub unsafe extern "C" fn $name($($argument: $type),*) -> i32 {
            // SAFETY: what the header asks for is what the function asks for.
            status(unsafe { work::$name($($argument),*) })
        }
    };
}

// Another number of coordinates is another line here and in the header.
families! {
    d2 = 2;
    d3 = 3;
    d4 = 4;
    d8 = 8;
    d16 = 16;
    d32 = 32;
    d64 = 64;
}
