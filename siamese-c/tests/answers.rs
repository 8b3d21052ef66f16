//! What the functions answer is what siamese-core answers, in every family.

mod common;

use std::ptr::null_mut;

use siamese_c::Error;
use siamese_c::gallery::{
    siamese_entry, siamese_gallery_info, siamese_identified, siamese_neighbour, siamese_thresholds,
    siamese_verified,
};
use siamese_c::model::{siamese_embed, siamese_model_get_info, siamese_model_info};
use siamese_c::picture::{AUTO, BRIGHT, DARK, siamese_fitted, siamese_preprocess};
use siamese_core::embedder::{Buffers, embed_into};
use siamese_core::gallery::{Decision, Thresholds};
use siamese_core::preprocess::{Grey, Ink, fit};
use siamese_core::{Embedding, Gallery};

use common::{Loaded, Random};

/// The number of a decision in the header.
fn number(decision: Decision) -> i32 {
    match decision {
        Decision::Accepted => 1,
        Decision::Rejected => 2,
        Decision::Uncalibrated => 3,
    }
}

#[test]
fn embeddings_and_facts_are_the_cores() {
    for name in [
        "tiny",
        "tiny-d16",
        "swift",
        "small",
        "small-d16",
        "small-fewshot",
    ] {
        let rows = Loaded::trained(name);
        let fast = Loaded::new(rows.file.for_this_machine().unwrap());
        for loaded in [&rows, &fast] {
            let model = loaded.file.model();
            let (shared, hidden1) = model.buffer_sizes();
            // SAFETY: memory of all zeros is such a struct.
            let mut info: siamese_model_info = unsafe { std::mem::zeroed() };
            // SAFETY: both are there.
            let status = unsafe { siamese_model_get_info(loaded.pointer(), &mut info) };
            assert_eq!(status, 0);
            let expected = siamese_model_info {
                width: 28,
                height: 28,
                dim: model.dim() as u32,
                scratch: (shared + hidden1) as u32,
                fingerprint: model.fingerprint(),
                scale: model.header().scales.embedding,
            };
            assert_eq!(info, expected, "{name}");

            let mut random = Random(5);
            for _ in 0..20 {
                let pixels = random.image(784);
                let mut expected = vec![0; model.dim()];
                let (mut a, mut b) = (vec![0; shared], vec![0; hidden1]);
                let buffers = Buffers {
                    shared: &mut a,
                    hidden1: &mut b,
                };
                embed_into(&model, &pixels, buffers, &mut expected).unwrap();
                let mut point = vec![0; model.dim()];
                let mut scratch = vec![0xAA; info.scratch as usize];
                // SAFETY: all are there, as long as is said.
                let status = unsafe {
                    siamese_embed(
                        loaded.pointer(),
                        pixels.as_ptr(),
                        pixels.len(),
                        scratch.as_mut_ptr(),
                        scratch.len(),
                        point.as_mut_ptr(),
                        point.len(),
                    )
                };
                assert_eq!((status, &point), (0, &expected), "{name}");
            }
        }
    }
}

#[test]
fn pictures_become_the_cores_images() {
    let loaded = Loaded::trained("small");
    let (width, height) = (53, 41);
    for (paper, stroke, ink) in [(190, 30, AUTO), (20, 220, BRIGHT), (190, 30, DARK)] {
        let mut picture = vec![paper; width * height];
        for y in 8..33 {
            picture[y * width + 20..y * width + 26].fill(stroke);
        }
        let mut grey = Grey::new(width as u16, height as u16, &picture).unwrap();
        let told = [Ink::Auto, Ink::Bright, Ink::Dark][ink as usize];
        let mut expected = [0; 784];
        let found = fit(&mut grey, told, 28, 28, &mut expected).unwrap();

        let mut image = [0xAA; 784];
        // SAFETY: memory of all zeros is such a struct.
        let mut fitted: siamese_fitted = unsafe { std::mem::zeroed() };
        for place in [&raw mut fitted, null_mut()] {
            image.fill(0xAA);
            // SAFETY: all are there, as long as is said.
            let status = unsafe {
                siamese_preprocess(
                    loaded.pointer(),
                    picture.as_ptr(),
                    width as u16,
                    height as u16,
                    ink,
                    image.as_mut_ptr(),
                    image.len(),
                    place,
                )
            };
            assert_eq!((status, image), (0, expected));
        }
        let expected = siamese_fitted {
            ink: if found.ink == Ink::Dark { DARK } else { BRIGHT },
            left: 20,
            top: 8,
            width: 6,
            height: 25,
        };
        assert_eq!(fitted, expected);
        assert_eq!(found.ink == Ink::Dark, stroke < paper);
    }
}

/// The answers of one family.
macro_rules! answers {
    ($($module:ident)*) => { $(
        #[test]
        fn $module() {
            use siamese_c::gallery::$module::*;
            const D: usize = DIM;
            let loaded = Loaded::of_dim(D);
            let model = loaded.file.model();
            let mut core = Gallery::<D, ENTRIES>::new(&model).unwrap();
            let mut gallery = Box::new(siamese_gallery::NEW);
            let gallery: *mut siamese_gallery = &mut *gallery;
            // SAFETY: in all of this, memory is there where a pointer says.
            unsafe {
                assert_eq!(gallery_init(gallery, loaded.pointer()), 0);
                let mut random = Random(D as u32);
                let mut point = |spread: u32| -> [i16; D] {
                    std::array::from_fn(|_| random.below(spread) as i16)
                };
                for label in 0..3 {
                    for _ in 0..4 {
                        let example = point(60);
                        assert_eq!(enrol(gallery, label, example.as_ptr()), 0);
                        core.enrol(label, &Embedding(example)).unwrap();
                    }
                }
                let example = point(60);
                assert_eq!(enrol_exemplar(gallery, 2, example.as_ptr()), 0);
                core.enrol_exemplar(2, &Embedding(example)).unwrap();
                compare(gallery, &core, &mut point);

                let own = siamese_thresholds { prototype: 3_000, pair: u64::MAX };
                assert_eq!(gallery_set_thresholds(gallery, &own), 0);
                let own = Thresholds { prototype: Some(3_000), pair: None };
                core.set_user_thresholds(own);
                compare(gallery, &core, &mut point);

                assert_eq!(forget(gallery, 1), 0);
                assert_eq!(core.forget(1), 1);
                assert_eq!(forget(gallery, 1), Error::NotEnrolled.number());
                compare(gallery, &core, &mut point);

                while core.entries().len() < ENTRIES {
                    let example = point(60);
                    assert_eq!(enrol_exemplar(gallery, 5, example.as_ptr()), 0);
                    core.enrol_exemplar(5, &Embedding(example)).unwrap();
                }
                let one_more = point(60);
                assert_eq!(enrol(gallery, 6, one_more.as_ptr()), Error::Full.number());
                compare(gallery, &core, &mut point);
            }

            /// All that a gallery says is what the core's says.
            unsafe fn compare(
                gallery: *const siamese_gallery,
                core: &Gallery<D, ENTRIES>,
                point: &mut impl FnMut(u32) -> [i16; D],
            ) {
                // SAFETY: memory of all zeros is each of these structs, and is there.
                unsafe {
                    let mut info: siamese_gallery_info = std::mem::zeroed();
                    assert_eq!(gallery_get_info(gallery, &mut info), 0);
                    assert_eq!(info.entries as usize, core.entries().len());
                    assert_eq!(info.fingerprint, core.fingerprint());
                    assert_eq!(Thresholds::from(info.thresholds), core.thresholds());
                    for (number, known) in core.entries().iter().enumerate() {
                        let mut entry: siamese_entry = std::mem::zeroed();
                        assert_eq!(gallery_get_entry(gallery, number as u32, &mut entry), 0);
                        let expected = siamese_entry {
                            label: known.label(),
                            examples: known.examples(),
                            is_exemplar: known.is_exemplar().into(),
                        };
                        assert_eq!(entry, expected);
                    }
                    for spread in [60, 200, 30_000] {
                        let (one, other) = (point(spread), point(spread));
                        same_answers(gallery, core, one, other);
                    }
                }
            }

            unsafe fn same_answers(
                gallery: *const siamese_gallery,
                core: &Gallery<D, ENTRIES>,
                one: [i16; D],
                other: [i16; D],
            ) {
                // SAFETY: as above.
                unsafe {
                    let mut found: siamese_identified = std::mem::zeroed();
                    assert_eq!(identify(gallery, one.as_ptr(), &mut found), 0);
                    let known = core.identify(&Embedding(one)).unwrap();
                    let of = |neighbour: siamese_core::gallery::Neighbour| siamese_neighbour {
                        distance_squared: neighbour.distance_squared,
                        decision: number(neighbour.decision),
                        label: neighbour.label,
                    };
                    assert_eq!(found.nearest, of(known.nearest));
                    assert_eq!(found.has_runner_up, 1);
                    assert_eq!(found.runner_up, of(known.runner_up.unwrap()));
                    assert_eq!(found.decision, number(known.decision));

                    let mut verified: siamese_verified = std::mem::zeroed();
                    for label in [0, 2] {
                        assert_eq!(verify(gallery, label, one.as_ptr(), &mut verified), 0);
                        let known = core.verify(label, &Embedding(one)).unwrap();
                        let expected = (known.distance_squared, number(known.decision));
                        assert_eq!((verified.distance_squared, verified.decision), expected);
                    }
                    let missing = verify(gallery, 9, one.as_ptr(), &mut verified);
                    assert_eq!(missing, Error::NotEnrolled.number());
                    let status = verify_pair(gallery, one.as_ptr(), other.as_ptr(), &mut verified);
                    assert_eq!(status, 0);
                    let known = core.verify_pair(&Embedding(one), &Embedding(other));
                    let expected = (known.distance_squared, number(known.decision));
                    assert_eq!((verified.distance_squared, verified.decision), expected);
                }
            }
        }
    )* };
}

mod families {
    use super::*;

    answers!(d2 d3 d4 d8 d16 d32 d64);
}

/// Saving and loading of one family.
macro_rules! stores {
    ($($module:ident)*) => { $(
        #[test]
        fn $module() {
            use siamese_c::gallery::$module::*;
            let loaded = Loaded::of_dim(DIM);
            let mut core = Gallery::<DIM, ENTRIES>::new(&loaded.file.model()).unwrap();
            let (mut from, mut to) = (siamese_gallery::NEW, siamese_gallery::NEW);
            let mut record = vec![0xAA; STORED_MAX + 9];
            // SAFETY: in all of this, memory is there where a pointer says.
            unsafe {
                assert_eq!(gallery_init(&mut from, loaded.pointer()), 0);
                for label in 0..ENTRIES as u16 {
                    let example = [label as i16 * 3 - 20; DIM];
                    assert_eq!(enrol(&mut from, label, example.as_ptr()), 0);
                    core.enrol(label, &Embedding(example)).unwrap();
                }
                let mut length = 0;
                let capacity = STORED_MAX;
                assert_eq!(save(&from, record.as_mut_ptr(), capacity, &mut length), 0);
                assert_eq!(length, STORED_MAX);
                let mut expected = vec![0; STORED_MAX];
                assert_eq!(core.to_bytes(&mut expected).unwrap(), &record[..length]);
                assert_eq!(record[length..], [0xAA; 9]);

                // Into memory that was never initialised, with something behind.
                let bytes = record.as_ptr();
                assert_eq!(load(&mut to, loaded.pointer(), bytes, record.len()), 0);
                let mut again = vec![0; STORED_MAX];
                assert_eq!(save(&to, again.as_mut_ptr(), again.len(), &mut length), 0);
                assert_eq!(again, record[..STORED_MAX]);
            }
        }
    )* };
}

mod records {
    use super::*;

    stores!(d2 d3 d4 d8 d16 d32 d64);
}
