//! What the functions of all families do.
//!
//! All are unsafe in one way: memory must be there where the caller says that it is.

use siamese_core::gallery::stored::stated_len;
use siamese_core::{Embedding, Gallery, Model};

use super::types::{
    siamese_entry, siamese_gallery_info, siamese_identified, siamese_thresholds, siamese_verified,
};
use crate::Error;
use crate::memory::{Holder, Part, check_apart};
use crate::model::siamese_model;

/// A gallery in a caller's memory.
type Held<const D: usize, const N: usize, const W: usize> = Holder<Gallery<D, N>, W>;

/// Empties a gallery, and makes it one for a model.
pub(super) unsafe fn gallery_init<const D: usize, const N: usize, const W: usize>(
    gallery: *mut Held<D, N, W>,
    model: *const siamese_model,
) -> Result<(), Error> {
    let (gallery, model) = (Part::one(gallery)?, Part::one(model)?);
    check_apart(&[gallery.range()], &[model.range()])?;
    // SAFETY: the caller says that both are there, and they are apart.
    let (gallery, model) = unsafe { (gallery.borrow_mut(), model.borrow()) };
    empty(gallery, model)?;
    Ok(())
}

/// What a gallery holds.
pub(super) unsafe fn gallery_get_info<const D: usize, const N: usize, const W: usize>(
    gallery: *const Held<D, N, W>,
    info: *mut siamese_gallery_info,
) -> Result<(), Error> {
    // SAFETY: the caller says that both are there.
    unsafe {
        ask(gallery, info, |gallery| {
            Ok(siamese_gallery_info {
                entries: gallery.entries().len() as u32,
                fingerprint: gallery.fingerprint(),
                thresholds: gallery.thresholds().into(),
            })
        })
    }
}

/// One entry.
pub(super) unsafe fn gallery_get_entry<const D: usize, const N: usize, const W: usize>(
    gallery: *const Held<D, N, W>,
    number: u32,
    entry: *mut siamese_entry,
) -> Result<(), Error> {
    // SAFETY: the caller says that both are there.
    unsafe {
        ask(gallery, entry, |gallery| {
            let entry = gallery.entries().get(number as usize);
            let entry = entry.ok_or(Error::Entry)?;
            Ok(siamese_entry {
                label: entry.label(),
                examples: entry.examples(),
                is_exemplar: entry.is_exemplar().into(),
            })
        })
    }
}

/// Sets the user's own thresholds.
pub(super) unsafe fn gallery_set_thresholds<const D: usize, const N: usize, const W: usize>(
    gallery: *mut Held<D, N, W>,
    thresholds: *const siamese_thresholds,
) -> Result<(), Error> {
    let (gallery, thresholds) = (Part::one(gallery)?, Part::one(thresholds)?);
    // SAFETY: the caller says that both are there. One is copied before the other is borrowed.
    let thresholds = unsafe { *thresholds.borrow() };
    // SAFETY: likewise.
    let gallery = unsafe { gallery.borrow_mut() }.get_mut()?;
    gallery.set_user_thresholds(thresholds.into());
    Ok(())
}

/// Takes an example into the prototype of its label.
pub(super) unsafe fn enrol<const D: usize, const N: usize, const W: usize>(
    gallery: *mut Held<D, N, W>,
    label: u16,
    embedding: *const i16,
) -> Result<(), Error> {
    // SAFETY: the caller says that both are there.
    let (gallery, embedding) = unsafe { change(gallery, embedding) }?;
    gallery.enrol(label, &embedding)?;
    Ok(())
}

/// Keeps an example as an entry of its own.
pub(super) unsafe fn enrol_exemplar<const D: usize, const N: usize, const W: usize>(
    gallery: *mut Held<D, N, W>,
    label: u16,
    embedding: *const i16,
) -> Result<(), Error> {
    // SAFETY: the caller says that both are there.
    let (gallery, embedding) = unsafe { change(gallery, embedding) }?;
    gallery.enrol_exemplar(label, &embedding)?;
    Ok(())
}

/// Removes all entries of a label.
pub(super) unsafe fn forget<const D: usize, const N: usize, const W: usize>(
    gallery: *mut Held<D, N, W>,
    label: u16,
) -> Result<(), Error> {
    // SAFETY: the caller says that it is there.
    let gallery = unsafe { Part::one(gallery)?.borrow_mut() }.get_mut()?;
    match gallery.forget(label) {
        0 => Err(Error::NotEnrolled),
        _ => Ok(()),
    }
}

/// What an embedding looks like.
pub(super) unsafe fn identify<const D: usize, const N: usize, const W: usize>(
    gallery: *const Held<D, N, W>,
    embedding: *const i16,
    found: *mut siamese_identified,
) -> Result<(), Error> {
    // SAFETY: the caller says that all are there.
    unsafe {
        ask(gallery, found, |gallery| {
            let found = gallery.identify(&embedding_at(embedding)?);
            Ok(found.ok_or(Error::Empty)?.into())
        })
    }
}

/// Whether an embedding is of a label.
pub(super) unsafe fn verify<const D: usize, const N: usize, const W: usize>(
    gallery: *const Held<D, N, W>,
    label: u16,
    embedding: *const i16,
    found: *mut siamese_verified,
) -> Result<(), Error> {
    // SAFETY: the caller says that all are there.
    unsafe {
        ask(gallery, found, |gallery| {
            Ok(gallery.verify(label, &embedding_at(embedding)?)?.into())
        })
    }
}

/// Whether two embeddings are of the same.
pub(super) unsafe fn verify_pair<const D: usize, const N: usize, const W: usize>(
    gallery: *const Held<D, N, W>,
    one: *const i16,
    other: *const i16,
    found: *mut siamese_verified,
) -> Result<(), Error> {
    // SAFETY: the caller says that all are there.
    unsafe {
        ask(gallery, found, |gallery| {
            let (one, other) = (embedding_at(one)?, embedding_at(other)?);
            Ok(gallery.verify_pair(&one, &other).into())
        })
    }
}

/// Writes a gallery to a buffer.
pub(super) unsafe fn save<const D: usize, const N: usize, const W: usize>(
    gallery: *const Held<D, N, W>,
    buffer: *mut u8,
    capacity: usize,
    length: *mut usize,
) -> Result<(), Error> {
    let (gallery, buffer) = (Part::one(gallery)?, Part::new(buffer, capacity)?);
    let length = Part::one(length)?;
    check_apart(&[buffer.range(), length.range()], &[gallery.range()])?;
    // SAFETY: the caller says that all are there, and they are apart.
    let (gallery, buffer) = unsafe { (gallery.borrow(), buffer.write()) };
    let stored = gallery.get()?.to_bytes(buffer)?;
    // SAFETY: likewise.
    unsafe { length.put(stored.len()) };
    Ok(())
}

/// Makes a gallery what was saved.
pub(super) unsafe fn load<const D: usize, const N: usize, const W: usize>(
    gallery: *mut Held<D, N, W>,
    model: *const siamese_model,
    bytes: *const u8,
    length: usize,
) -> Result<(), Error> {
    let (gallery, model) = (Part::one(gallery)?, Part::one(model)?);
    let bytes = Part::new(bytes, length)?;
    check_apart(&[gallery.range()], &[model.range(), bytes.range()])?;
    // SAFETY: the caller says that all are there, and they are apart.
    let (gallery, model) = unsafe { (gallery.borrow_mut(), model.borrow()) };
    // SAFETY: likewise.
    let bytes = unsafe { bytes.read() };
    let (gallery, model) = empty(gallery, model)?;
    // What follows is another's.
    let stated = stated_len(bytes)? as usize;
    let stored = bytes.get(..stated).unwrap_or(bytes);
    gallery.load(model, stored)?;
    Ok(())
}

/// An empty gallery for a model, in memory that may hold another; not initialised if the model
/// is not one for it.
fn empty<'a, const D: usize, const N: usize, const W: usize>(
    gallery: &'a mut Held<D, N, W>,
    model: &'a siamese_model,
) -> Result<(&'a mut Gallery<D, N>, &'a Model<'static>), Error> {
    gallery.clear();
    let model = model.get()?;
    if model.dim() != D {
        return Err(Error::Dimension);
    }
    let empty = gallery.put(Gallery::for_fingerprint(0));
    empty.reset_for(model)?;
    Ok((empty, model))
}

/// An embedding of `D` coordinates.
///
/// # Safety
/// They are there.
unsafe fn embedding_at<const D: usize>(start: *const i16) -> Result<Embedding<D>, Error> {
    let coordinates = Part::one(start.cast::<[i16; D]>())?;
    // SAFETY: the caller says that they are there.
    Ok(Embedding(unsafe { *coordinates.borrow() }))
}

/// A gallery to change, and an embedding.
///
/// # Safety
/// Both are there, and nothing else uses the gallery.
unsafe fn change<'a, const D: usize, const N: usize, const W: usize>(
    gallery: *mut Held<D, N, W>,
    embedding: *const i16,
) -> Result<(&'a mut Gallery<D, N>, Embedding<D>), Error> {
    let gallery = Part::one(gallery)?;
    // SAFETY: the caller says that both are there. One is copied before the other is borrowed.
    let embedding = unsafe { embedding_at(embedding) }?;
    // SAFETY: likewise.
    let gallery = unsafe { gallery.borrow_mut() }.get_mut()?;
    Ok((gallery, embedding))
}

/// Writes what a gallery answers to a place that is apart from it.
///
/// # Safety
/// Both are there, and nothing else writes to them.
unsafe fn ask<T, const D: usize, const N: usize, const W: usize>(
    gallery: *const Held<D, N, W>,
    place: *mut T,
    answer: impl FnOnce(&Gallery<D, N>) -> Result<T, Error>,
) -> Result<(), Error> {
    let (gallery, place) = (Part::one(gallery)?, Part::one(place)?);
    check_apart(&[place.range()], &[gallery.range()])?;
    // SAFETY: the caller says that it is there.
    let answer = answer(unsafe { gallery.borrow() }.get()?)?;
    // SAFETY: likewise, and nothing is borrowed any more.
    unsafe { place.put(answer) };
    Ok(())
}
