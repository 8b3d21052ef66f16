//! What is refused: every wrong argument is an error of its own, and nothing is written then.

mod common;

use std::ptr::{null, null_mut};

use siamese_c::Error;
use siamese_c::gallery::{
    d2, d3, siamese_entry, siamese_gallery_info, siamese_identified, siamese_thresholds,
    siamese_verified,
};
use siamese_c::model::{
    siamese_embed, siamese_model, siamese_model_get_info, siamese_model_info, siamese_model_init,
};
use siamese_c::picture::{AUTO, siamese_fitted, siamese_preprocess};

use common::{Loaded, small_model};

const OK: i32 = 0;

#[track_caller]
fn refused(status: i32, expected: Error) {
    assert_eq!(Error::of_number(status), Some(expected), "{status}");
}

/// Everything that calls take, all of it right.
struct World {
    loaded: Loaded,
    gallery: Box<d2::siamese_gallery>,
    /// A model file, and a byte more than is told of, as all memory of bytes has it here.
    file: Vec<u8>,
    pixels: [u8; 17],
    scratch: [u8; 33],
    point: [i16; 2],
    info: siamese_model_info,
    facts: siamese_gallery_info,
    entry: siamese_entry,
    found: siamese_identified,
    verified: siamese_verified,
    thresholds: siamese_thresholds,
    record: [u8; d2::STORED_MAX + 1],
    length: usize,
}

impl World {
    fn new() -> Self {
        let loaded = Loaded::of_dim(2);
        let mut gallery = Box::new(d2::siamese_gallery::NEW);
        // SAFETY: both are there, and memory of all zeros is each of these structs.
        unsafe {
            assert_eq!(d2::gallery_init(&mut *gallery, loaded.pointer()), OK);
            assert_eq!(d2::enrol(&mut *gallery, 7, [3, 4].as_ptr()), OK);
            Self {
                loaded,
                gallery,
                file: [small_model(2, 1), vec![0]].concat(),
                pixels: [9; 17],
                scratch: [0; 33],
                point: [-77; 2],
                info: std::mem::zeroed(),
                facts: std::mem::zeroed(),
                entry: std::mem::zeroed(),
                found: std::mem::zeroed(),
                verified: std::mem::zeroed(),
                thresholds: siamese_thresholds {
                    prototype: 1,
                    pair: 1,
                },
                record: [0; _],
                length: 0,
            }
        }
    }

    /// Every call, with the pointers that it takes; `spoil` makes one of them wrong, by its
    /// number among all.
    fn calls(&mut self, spoil: &dyn Fn(usize, usize) -> usize) -> Vec<i32> {
        let mut count = 0;
        // Each pointer goes through here.
        macro_rules! p {
            (at $pointer:expr) => {{
                count += 1;
                $pointer.map_addr(|address| spoil(count - 1, address))
            }};
            ($place:expr) => {
                p!(at(&raw mut $place))
            };
        }
        let mut other = siamese_model::NEW;
        let length = self.file.len() - 1;
        // SAFETY: where a pointer isn't right it is null or misaligned, and nothing is read.
        unsafe {
            vec![
                siamese_model_init(p!(other), p!(at self.file.as_mut_ptr()), length),
                siamese_model_get_info(p!(*self.loaded.model), p!(self.info)),
                siamese_embed(
                    p!(*self.loaded.model),
                    p!(self.pixels).cast(),
                    16,
                    p!(self.scratch).cast(),
                    32,
                    p!(self.point).cast(),
                    2,
                ),
                d2::gallery_init(p!(*self.gallery), p!(*self.loaded.model)),
                d2::enrol(p!(*self.gallery), 7, p!(self.point).cast()),
                d2::enrol_exemplar(p!(*self.gallery), 7, p!(self.point).cast()),
                d2::gallery_set_thresholds(p!(*self.gallery), p!(self.thresholds)),
                d2::gallery_get_info(p!(*self.gallery), p!(self.facts)),
                d2::gallery_get_entry(p!(*self.gallery), 0, p!(self.entry)),
                d2::identify(p!(*self.gallery), p!(self.point).cast(), p!(self.found)),
                d2::verify(
                    p!(*self.gallery),
                    7,
                    p!(self.point).cast(),
                    p!(self.verified),
                ),
                d2::verify_pair(
                    p!(*self.gallery),
                    p!(self.point).cast(),
                    p!(self.point).cast(),
                    p!(self.verified),
                ),
                d2::save(
                    p!(*self.gallery),
                    p!(self.record).cast(),
                    d2::STORED_MAX,
                    p!(self.length),
                ),
                d2::load(
                    p!(*self.gallery),
                    p!(*self.loaded.model),
                    p!(self.record).cast(),
                    d2::STORED_MAX,
                ),
                d2::forget(p!(*self.gallery), 7),
            ]
        }
    }
}

/// The pointers of `calls`.
const POINTERS: usize = 37;

#[test]
fn each_null_pointer_is_noticed_by_its_own_call() {
    assert_eq!(World::new().calls(&|_, address| address), [OK; 15]);
    let mut seen = 0;
    for spoiled in 0..POINTERS {
        let statuses =
            World::new().calls(&|number, address| if number == spoiled { 0 } else { address });
        let null = Error::Null.number();
        assert!(statuses.contains(&null), "pointer {spoiled}: {statuses:?}");
        seen += 1;
    }
    let all = std::cell::Cell::new(0);
    World::new().calls(&|number, address| {
        all.set(number + 1);
        address
    });
    assert_eq!(all.get(), seen, "the pointers are others than were spoiled");

    // SAFETY: nothing is read where there is null.
    unsafe {
        let loaded = Loaded::of_dim(2);
        let (mut image, mut fitted) = ([0; 16], std::mem::zeroed::<siamese_fitted>());
        let mut call = |model, picture, image| {
            siamese_preprocess(model, picture, 4, 4, AUTO, image, 16, &mut fitted)
        };
        let (model, picture) = (loaded.pointer(), [0; 16].as_ptr());
        refused(call(null(), picture, image.as_mut_ptr()), Error::Null);
        refused(call(model, null(), image.as_mut_ptr()), Error::Null);
        refused(call(model, picture, null_mut()), Error::Null);
    }
}

#[test]
fn each_misaligned_pointer_is_noticed_or_needs_no_alignment() {
    let mut unaligned = Vec::new();
    for spoiled in 0..POINTERS {
        let statuses = World::new().calls(&|number, address| {
            if number == spoiled {
                address + 1
            } else {
                address
            }
        });
        let misaligned = Error::Misaligned.number();
        if !statuses.contains(&misaligned) {
            unaligned.push(spoiled);
        }
    }
    // The model file, an image, scratch memory, and a record that is written and read.
    assert_eq!(unaligned, [1, 5, 6, 31, 35]);
}

#[test]
fn memory_that_overlaps_is_noticed() {
    let loaded = Loaded::of_dim(2);
    let mut gallery = d2::siamese_gallery::NEW;
    let mut memory = [0u64; 64];
    let start = memory.as_mut_ptr();
    let bytes: *mut u8 = start.cast();
    let (pixels, scratch) = ([0u8; 16], [0u8; 32]);
    let mut scratch = scratch;
    // SAFETY: all memory is there.
    unsafe {
        let model = loaded.pointer();
        let embed =
            |pixels, scratch, point| siamese_embed(model, pixels, 16, scratch, 32, point, 2);
        let point: *mut i16 = start.add(40).cast();
        // Scratch memory begins in the image, ends in it, or holds the point.
        refused(embed(bytes, bytes.add(15), point), Error::Overlap);
        refused(embed(bytes.add(31), bytes, point), Error::Overlap);
        refused(
            embed(pixels.as_ptr(), bytes, bytes.add(28).cast()),
            Error::Overlap,
        );
        refused(
            embed(bytes, scratch.as_mut_ptr(), bytes.cast()),
            Error::Overlap,
        );
        // Side by side is apart.
        assert_eq!(embed(bytes, bytes.add(16), point), OK);
        assert_eq!(embed(bytes.add(32), bytes, bytes.add(48).cast()), OK);

        let scratch: *mut u8 = model.cast_mut().cast();
        refused(embed(pixels.as_ptr(), scratch, point), Error::Overlap);
        refused(
            siamese_model_get_info(model, scratch.cast()),
            Error::Overlap,
        );
        refused(
            siamese_preprocess(model, bytes, 4, 4, AUTO, bytes.add(8), 16, null_mut()),
            Error::Overlap,
        );
        refused(
            siamese_preprocess(
                model,
                bytes,
                4,
                4,
                AUTO,
                bytes.add(16),
                16,
                bytes.add(28).cast(),
            ),
            Error::Overlap,
        );
        let inside: *mut u8 = (&raw mut gallery).cast();
        refused(
            d2::gallery_init(inside.cast(), inside.cast()),
            Error::Overlap,
        );
        assert_eq!(d2::gallery_init(&mut gallery, model), OK);
        let (info, length) = (inside.cast(), start.cast());
        refused(d2::gallery_get_info(&gallery, info), Error::Overlap);
        refused(d2::save(&gallery, inside, 100, length), Error::Overlap);
        refused(d2::save(&gallery, bytes, 100, length), Error::Overlap);
        refused(d2::load(&mut gallery, model, inside, 100), Error::Overlap);
    }
}

#[test]
fn impossible_lengths_are_noticed() {
    let loaded = Loaded::of_dim(2);
    let (mut byte, mut point) = (0u8, [0i16; 2]);
    let byte = &raw mut byte;
    let mut model = siamese_model::NEW;
    // SAFETY: nothing is read where a length is impossible.
    unsafe {
        for length in [
            usize::MAX,
            isize::MAX as usize + 1,
            usize::MAX - byte.addr(),
        ] {
            let embed = |pixels, scratch| {
                let point = point.as_ptr().cast_mut();
                siamese_embed(
                    loaded.pointer(),
                    byte,
                    pixels,
                    byte.add(1),
                    scratch,
                    point,
                    2,
                )
            };
            refused(embed(length, 0), Error::Length);
            refused(embed(0, length), Error::Length);
            refused(siamese_model_init(&mut model, byte, length), Error::Length);
        }
        // Two bytes each: the length in bytes has no number.
        let status = siamese_embed(
            loaded.pointer(),
            byte,
            0,
            byte,
            0,
            point.as_mut_ptr(),
            isize::MAX as usize,
        );
        refused(status, Error::Length);
    }
}

#[test]
fn what_was_not_initialised_is_noticed() {
    let loaded = Loaded::of_dim(2);
    let (nothing, mut gallery) = (siamese_model::NEW, d2::siamese_gallery::NEW);
    let (mut point, mut scratch) = ([0i16; 3], [0u8; 32]);
    // SAFETY: all memory is there, and all zero or initialised.
    unsafe {
        let mut info = std::mem::zeroed();
        refused(
            siamese_model_get_info(&nothing, &mut info),
            Error::NotInitialised,
        );
        refused(
            d2::gallery_init(&mut gallery, &nothing),
            Error::NotInitialised,
        );
        refused(
            d2::enrol(&mut gallery, 1, point.as_ptr()),
            Error::NotInitialised,
        );
        refused(d2::forget(&mut gallery, 1), Error::NotInitialised);
        let status = siamese_embed(
            &nothing,
            [0; 16].as_ptr(),
            16,
            scratch.as_mut_ptr(),
            32,
            point.as_mut_ptr(),
            2,
        );
        refused(status, Error::NotInitialised);

        // A gallery of another family is none of this one.
        let three = Loaded::of_dim(3);
        let mut wide = d3::siamese_gallery::NEW;
        assert_eq!(d3::gallery_init(&mut wide, three.pointer()), OK);
        let narrow = (&raw mut wide).cast::<d2::siamese_gallery>();
        refused(d2::enrol(narrow, 1, point.as_ptr()), Error::NotInitialised);

        // An initialisation that fails leaves nothing behind.
        assert_eq!(d2::gallery_init(&mut gallery, loaded.pointer()), OK);
        refused(
            d2::gallery_init(&mut gallery, three.pointer()),
            Error::Dimension,
        );
        refused(
            d2::enrol(&mut gallery, 1, point.as_ptr()),
            Error::NotInitialised,
        );
        assert_eq!(d2::gallery_init(&mut gallery, loaded.pointer()), OK);
        let record = [0; 64];
        let load = d2::load(&mut gallery, three.pointer(), record.as_ptr(), 64);
        refused(load, Error::Dimension);
        refused(
            d2::enrol(&mut gallery, 1, point.as_ptr()),
            Error::NotInitialised,
        );
    }
}

#[test]
fn bytes_that_are_no_model_are_refused_each_for_its_reason() {
    let file = small_model(2, 1);
    let length = file.len();
    let mut model = siamese_model::NEW;
    let mut init = |bytes: &[u8]| {
        // SAFETY: the bytes are there; the model isn't used afterwards.
        unsafe {
            let status = siamese_model_init(&mut model, bytes.as_ptr(), bytes.len());
            let mut info = std::mem::zeroed();
            let usable = siamese_model_get_info(&model, &mut info);
            // After an error there is no model, though there was one before.
            assert_eq!(usable == OK, status == OK);
            status
        }
    };
    let with = |place: usize, value: u8| {
        let mut bytes = file.clone();
        bytes[place] = value;
        bytes
    };
    assert_eq!(init(&file), OK);
    refused(init(&with(0, 0)), Error::ModelMagic);
    assert_eq!(init(&file), OK);
    refused(init(&with(8, 9)), Error::ModelVersion);
    refused(init(&file[..length - 1]), Error::ModelTruncated);
    refused(init(&[&file[..], &[0]].concat()), Error::ModelTrailingBytes);
    refused(init(&with(40, !file[40])), Error::ModelChecksum);
    refused(init(&[]), Error::ModelMagic);
}

#[test]
fn sizes_that_do_not_suit_are_noticed_and_nothing_is_written() {
    let loaded = Loaded::of_dim(2);
    // The image and then the second layer, and the first one.
    let needed = 16 + 6;
    let embed = |pixels: usize, scratch: usize, dim: usize| {
        let image = vec![200; pixels];
        let mut memory = vec![0xAA; scratch];
        let mut point = vec![-77; dim];
        // SAFETY: all are there, as long as is said.
        let status = unsafe {
            siamese_embed(
                loaded.pointer(),
                image.as_ptr(),
                pixels,
                memory.as_mut_ptr(),
                scratch,
                point.as_mut_ptr(),
                dim,
            )
        };
        let untouched = memory.iter().all(|&byte| byte == 0xAA) && point.iter().all(|&c| c == -77);
        assert_eq!(untouched, status != OK);
        status
    };
    assert_eq!(embed(16, needed, 2), OK);
    assert_eq!(embed(16, needed + 100, 2), OK);
    for scratch in 0..needed {
        refused(embed(16, scratch, 2), Error::Scratch);
    }
    for pixels in [0, 15, 17, 784] {
        refused(embed(pixels, needed, 2), Error::Image);
    }
    for dim in [0, 1, 3, 64] {
        refused(embed(16, needed, dim), Error::Dimension);
    }
}

#[test]
fn pictures_that_give_no_image_are_refused_each_for_its_reason() {
    let loaded = Loaded::of_dim(2);
    let mut picture = [200u8; 64];
    let call = |picture: &[u8; 64], sides: (u16, u16), ink, pixels| {
        let mut image = [0; 32];
        // SAFETY: all are there: no sides are told that are longer than the picture.
        unsafe {
            siamese_preprocess(
                loaded.pointer(),
                picture.as_ptr(),
                sides.0,
                sides.1,
                ink,
                image.as_mut_ptr(),
                pixels,
                null_mut(),
            )
        }
    };
    refused(call(&picture, (8, 8), AUTO, 16), Error::PictureBlank);
    picture[27..29].fill(10);
    picture[35..37].fill(10);
    assert_eq!(call(&picture, (8, 8), AUTO, 16), OK);
    refused(call(&picture, (0, 8), AUTO, 16), Error::PictureEmpty);
    refused(call(&picture, (8, 0), AUTO, 16), Error::PictureEmpty);
    for ink in [-1, 3, i32::MAX] {
        refused(call(&picture, (8, 8), ink, 16), Error::Choice);
    }
    for pixels in [0, 15, 17] {
        refused(call(&picture, (8, 8), AUTO, pixels), Error::Image);
    }
}

#[test]
fn records_are_refused_each_for_its_reason_and_leave_an_empty_gallery() {
    let loaded = Loaded::of_dim(2);
    let mut gallery = d2::siamese_gallery::NEW;
    let mut record = vec![0; d2::STORED_MAX];
    let mut length = 0;
    // SAFETY: all memory is there, as long as is said.
    unsafe {
        assert_eq!(d2::gallery_init(&mut gallery, loaded.pointer()), OK);
        for label in 0..3 {
            assert_eq!(
                d2::enrol(&mut gallery, label, [label as i16; 2].as_ptr()),
                OK
            );
        }
        let start = record.as_mut_ptr();
        assert_eq!(d2::save(&gallery, start, d2::STORED_MAX, &mut length), OK);
        record.truncate(length);

        for capacity in 0..length {
            let (mut small, mut said) = (vec![0xAA; capacity], 5);
            let status = d2::save(&gallery, small.as_mut_ptr(), capacity, &mut said);
            refused(status, Error::Room);
            assert!(said == 5 && small.iter().all(|&byte| byte == 0xAA));
        }
    }
    let mut load = |loaded: &Loaded, bytes: &[u8]| {
        let model = loaded.pointer();
        // SAFETY: all memory is there, as long as is said.
        unsafe {
            assert_eq!(d2::enrol(&mut gallery, 9, [1, 1].as_ptr()), OK);
            let status = d2::load(&mut gallery, model, bytes.as_ptr(), bytes.len());
            let mut info: siamese_gallery_info = std::mem::zeroed();
            assert_eq!(d2::gallery_get_info(&gallery, &mut info), OK);
            assert_eq!(info.entries, if status == OK { 3 } else { 0 });
            assert_eq!(info.fingerprint, loaded.file.model().fingerprint());
            status
        }
    };
    let with = |place: usize, value: u8| {
        let mut bytes = record.clone();
        bytes[place] = value;
        bytes
    };
    assert_eq!(load(&loaded, &record), OK);
    refused(load(&loaded, &[]), Error::StoredMagic);
    refused(load(&loaded, &[0xFF; 64]), Error::StoredMagic);
    refused(load(&loaded, &with(4, 9)), Error::StoredVersion);
    for shorter in 5..record.len() {
        refused(load(&loaded, &record[..shorter]), Error::StoredTruncated);
    }
    for (place, &byte) in record.iter().enumerate().skip(10) {
        let damaged = with(place, byte ^ 1);
        refused(load(&loaded, &damaged), Error::StoredChecksum);
    }
    let other = siamese_build::OwnedModel::new(&small_model(2, 2)).unwrap();
    refused(load(&Loaded::new(other), &record), Error::StoredOtherModel);
    assert_eq!(load(&loaded, &record), OK);
}

#[test]
fn there_is_no_entry_beyond_the_last() {
    let mut world = World::new();
    // SAFETY: all memory is there.
    unsafe {
        for number in [1, u32::MAX] {
            let status = d2::gallery_get_entry(&*world.gallery, number, &mut world.entry);
            refused(status, Error::Entry);
        }
        let point = world.point.as_ptr();
        assert_eq!(d2::forget(&mut *world.gallery, 7), OK);
        let status = d2::identify(&*world.gallery, point, &mut world.found);
        refused(status, Error::Empty);
    }
}
