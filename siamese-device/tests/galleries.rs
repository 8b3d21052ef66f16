//! Galleries and names that a host fetches, brings and merges: against the server itself,
//! over a line that loses frames.

mod common;

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use siamese_core::gallery::names::{NameError, Names, split};
use siamese_core::gallery::{Gallery, GalleryError, LoadError, Thresholds};
use siamese_core::{Embedder, Embedding, Model};
use siamese_device::{Device, Error, Fault, Line};
use siamese_link::server::{Core, Step};
use siamese_link::{NameTable, Platform, Request, Tag, frame_capacity, write_frame};

use common::{Random, random_images, small_image_model};

const ENTRIES: usize = 12;

type Here = Gallery<2, ENTRIES>;
type Table = Names<4, 15>;

/// A board that keeps names, or none.
struct Board(Option<Table>);

impl Platform for Board {
    fn board(&self) -> &'static str {
        "local"
    }

    fn model_crc(&self) -> u32 {
        7
    }

    fn tick_hz(&self) -> u32 {
        1
    }

    fn ticks(&mut self) -> u32 {
        0
    }

    fn names(&mut self) -> Option<&mut dyn NameTable> {
        self.0.as_mut().map(|names| names as _)
    }
}

/// The server's core, at the other end of a line.
struct Far {
    core: Server,
    answers: VecDeque<u8>,
    now: Instant,
    random: Random,
    /// One frame in so many is lost, or comes twice; 0 for none.
    noise: u64,
    /// Frames that have come.
    frames: usize,
    /// What happens on the device after so many frames.
    later: VecDeque<(usize, Event)>,
}

type Server = Core<'static, 'static, Board, 2, 64, 16, ENTRIES>;

type Event = fn(&mut Server);

/// Another host opens a session with the device, and changes something.
fn another_host(server: &mut Server, id: u32, request: &Request<'_>) {
    let mut buffer = [0; frame_capacity(64)];
    for (id, request) in [(0, &Request::Open), (id, request)] {
        let frame = write_frame(Tag { session: 1, id }, request, &mut buffer);
        for &byte in &*frame.unwrap() {
            let _ = server.push(byte);
        }
    }
}

#[derive(Clone)]
struct Local(Arc<Mutex<Far>>);

impl Local {
    fn new(model: &[u8], names: Option<Table>) -> Self {
        let model = Model::parse(model.to_vec().leak()).unwrap();
        let embedder = Box::leak(Box::new(Embedder::new(model).unwrap()));
        let gallery = Box::leak(Box::new(Gallery::for_fingerprint(0)));
        let buffer = Box::leak(Box::new([0; frame_capacity(64)]));
        Self(Arc::new(Mutex::new(Far {
            core: Core::new(embedder, gallery, buffer, Board(names)).unwrap(),
            answers: VecDeque::new(),
            now: Instant::now(),
            random: Random::new(5),
            noise: 0,
            frames: 0,
            later: VecDeque::new(),
        })))
    }

    fn far(&self) -> MutexGuard<'_, Far> {
        self.0.lock().unwrap()
    }

    fn device(&self) -> Device {
        Device::over(self.clone())
    }

    fn gallery(&self) -> Here {
        self.far().core.gallery().clone()
    }

    fn set(&self, gallery: &Here) {
        *self.far().core.gallery_mut() = gallery.clone();
    }
}

impl Line for Local {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let far = &mut *self.far();
        far.frames += 1;
        if let Some((_, event)) = far.later.pop_front_if(|&mut (at, _)| at == far.frames) {
            event(&mut far.core);
        }
        let copies = match far.noise {
            0 => 1,
            one_in if far.random.below(one_in) > 0 => 1,
            _ => 2 * far.random.below(2),
        };
        for &byte in (0..copies).flat_map(|_| bytes) {
            let step = far.core.push(byte);
            if step == Step::Save {
                far.core.saved(Ok(()));
            }
            if step != Step::Receive && (far.noise == 0 || far.random.below(far.noise) > 0) {
                far.answers.extend(far.core.outgoing());
            }
        }
        Ok(())
    }

    fn receive(&mut self, bytes: &mut VecDeque<u8>, until: Instant) -> io::Result<()> {
        let mut far = self.far();
        if far.answers.is_empty() {
            far.now = far.now.max(until);
        }
        far.now += Duration::from_millis(1);
        bytes.append(&mut far.answers);
        Ok(())
    }

    fn now(&self) -> Instant {
        self.far().now
    }
}

fn names(names: &[(u16, &str)]) -> Table {
    let mut table = Table::new();
    for (label, name) in names {
        table.set(*label, name).unwrap();
    }
    table
}

/// A gallery of a model with some of everything.
fn learnt(model: &[u8], labels: &[u16]) -> Here {
    let mut gallery = Here::new(&Model::parse(model).unwrap()).unwrap();
    for (step, &label) in (0..).zip(labels.iter().cycle().take(23)) {
        let point = Embedding([step * 977 % 800 - 300, step * 331 % 700 - 500]);
        gallery.enrol(label, &point).unwrap();
        if step % 11 == 5 {
            gallery.enrol_exemplar(label, &point).unwrap();
        }
    }
    gallery.set_user_thresholds(Thresholds {
        prototype: None,
        pair: Some(77),
    });
    gallery
}

/// A gallery's file.
fn file(gallery: &Here, names: &Table) -> Vec<u8> {
    let mut buffer = [0; Here::STORED_MAX];
    let mut bytes = gallery.to_bytes(&mut buffer).unwrap().to_vec();
    if names.iter().next().is_some() {
        let mut buffer = [0; Table::STORED_MAX];
        bytes.extend_from_slice(names.to_bytes(&mut buffer).unwrap());
    }
    bytes
}

fn model() -> Vec<u8> {
    small_image_model()
}

#[test]
fn names_are_given_listed_and_refused() {
    let local = Local::new(&model(), Some(Table::new()));
    let mut device = local.device();
    let given = [
        (65_535, "дверь"),
        (7, "Käse"),
        (0, "fifteen letters"),
        (8, "x"),
    ];
    for (label, name) in given {
        device.set_name(label, name).unwrap();
    }
    let mut expected = given.map(|(label, name)| (label, name.to_owned()));
    expected.sort();
    assert_eq!(device.names().unwrap(), expected);
    let long = "n".repeat(5000);
    for (label, name, fault) in [
        (9, "more", Fault::Name(NameError::Full { capacity: 4 })),
        (9, "x", Fault::Name(NameError::Taken { label: 8 })),
        (8, "a\nb", Fault::Name(NameError::Unusable)),
        (
            8,
            "sixteen letters!",
            Fault::Name(NameError::TooLong { most: 15 }),
        ),
        (8, &long, Fault::TooLong),
    ] {
        let error = device.set_name(label, name).unwrap_err();
        assert!(
            matches!(error, Error::Fault(found) if found == fault),
            "{error}"
        );
    }
    assert_eq!(device.names().unwrap(), expected);
    device.set_name(7, "").unwrap();
    device.set_name(9, "more").unwrap();
    assert_eq!(device.names().unwrap()[2], (9, "more".to_owned()));
}

#[test]
fn a_gallery_is_fetched_and_brought_bit_for_bit_over_a_line_that_loses_frames() {
    let model = model();
    let named = names(&[(0, "Käse"), (500, "cat"), (9, "door"), (77, "not enrolled")]);
    for noise in [0, 9, 4] {
        let here = Local::new(&model, Some(named.clone()));
        here.set(&learnt(&model, &[500, 0, 9, 30]));
        let expected = file(&here.gallery(), &named);
        here.far().noise = noise;
        let mut device = here.device();
        let fetched = device.pull_gallery().unwrap();
        assert_eq!(fetched, expected, "{noise}");

        // The other one has names that are the same, exchanged, and too many.
        let others = names(&[(0, "Käse"), (500, "door"), (9, "cat"), (1, "old")]);
        let there = Local::new(&model, Some(others));
        there.set(&learnt(&model, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]));
        there.far().noise = noise;
        let mut device = there.device();
        device.push_gallery(&fetched).unwrap();
        assert_eq!(there.gallery(), here.gallery(), "{noise}");
        assert_eq!(device.pull_gallery().unwrap(), expected, "{noise}");
        // Again, it is the same; and an empty one empties it.
        device.push_gallery(&fetched).unwrap();
        assert_eq!(device.pull_gallery().unwrap(), expected, "{noise}");
        let empty = Here::new(&Model::parse(&model).unwrap()).unwrap();
        let empty = file(&empty, &Table::new());
        device.push_gallery(&empty).unwrap();
        assert_eq!(device.pull_gallery().unwrap(), empty, "{noise}");
    }
}

#[test]
fn a_gallery_that_changes_meanwhile_is_fetched_again() {
    let model = model();
    let local = Local::new(&model, Some(names(&[(0, "zero"), (1, "one")])));
    local.set(&learnt(&model, &[0, 1, 2]));
    let whole = {
        let mut device = local.device();
        device.pull_gallery().unwrap();
        local.far().frames
    };
    // At every frame of the fetching, another host removes something.
    for at in 1..=whole {
        let local = Local::new(&model, Some(names(&[(0, "zero"), (1, "one")])));
        local.set(&learnt(&model, &[0, 1, 2]));
        let forget: Event = |server| another_host(server, 2, &Request::Forget { label: 1 });
        local.far().later.push_back((at, forget));
        let fetched = local.device().pull_gallery().unwrap();
        let left = names(&[(0, "zero"), (1, "one")]);
        assert_eq!(fetched, file(&local.gallery(), &left), "{at}");
    }
    println!("changes at each of {whole} frames");
    // A device that never stands still.
    let local = Local::new(&model, None);
    let change: Event = |server| {
        let enrol = Request::Enrol {
            label: 1,
            exemplar: true,
            pixels: &[9; 64],
        };
        another_host(server, server.gallery().entries().len() as u32 + 1, &enrol);
    };
    let all = (1..200).map(|at| (at, change));
    local.far().later.extend(all.filter(|(at, _)| at % 2 == 0));
    let error = local.device().pull_gallery().unwrap_err();
    assert!(matches!(error, Error::Unexpected), "{error}");
}

/// Another host, in between: what this one has seen no longer holds, and it is told.
#[test]
fn a_host_that_comes_in_between_is_noticed() {
    let model = model();
    let gallery = learnt(&model, &[0, 1]);
    let other = file(&learnt(&model, &[5, 6]), &Table::new());
    let forget: Event = |server| another_host(server, 2, &Request::Forget { label: 1 });
    for at in 2..12 {
        let local = Local::new(&model, None);
        local.set(&gallery);
        local.far().later.push_back((at, forget));
        let merged = local.device().merge_gallery(&other);
        let error = merged.unwrap_err();
        let lost = matches!(error, Error::Fault(Fault::OtherSession));
        assert!(lost, "{at}: {error}");
    }
}

/// The error of bringing or merging a file, which changes nothing.
fn refused(local: &Local, file: &[u8]) -> Error {
    let before = local.gallery();
    let names = local.device().names().ok();
    let pushed = local.device().push_gallery(file).unwrap_err();
    let merged = local.device().merge_gallery(file).unwrap_err();
    assert_eq!(local.gallery(), before);
    assert_eq!(local.device().names().ok(), names);
    assert_eq!(pushed.to_string(), merged.to_string());
    pushed
}

#[test]
fn what_is_no_gallery_of_the_device_changes_nothing() {
    let model = model();
    let local = Local::new(&model, Some(names(&[(3, "three")])));
    let gallery = learnt(&model, &[3, 4]);
    local.set(&gallery);
    let good = file(&gallery, &names(&[(3, "drei"), (4, "vier")]));
    let load = |file: &[u8]| match refused(&local, file) {
        Error::Gallery(error) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(load(b"SIAMESE"), LoadError::NotAGallery);
    assert!(matches!(load(&good[..50]), LoadError::Truncated { .. }));
    let mut damaged = good.clone();
    damaged[60] ^= 1;
    assert_eq!(load(&damaged), LoadError::Checksum);
    // Of another model, or of other sizes.
    let mut buffer = [0; 300];
    let mut other = Gallery::<2, 2>::for_fingerprint(5);
    other.enrol(3, &Embedding([1, 2])).unwrap();
    let expected = gallery.fingerprint();
    let error = LoadError::OtherModel { expected, found: 5 };
    assert_eq!(load(other.to_bytes(&mut buffer).unwrap()), error);
    let mut wide = Gallery::<3, 2>::for_fingerprint(expected);
    wide.enrol(3, &Embedding([1, 2, 3])).unwrap();
    let (found, expected) = (3, 2);
    let error = LoadError::Dimension { found, expected };
    assert_eq!(load(wide.to_bytes(&mut buffer).unwrap()), error);
    // A record of one entry is no gallery.
    let record = gallery.entry_to_bytes(1, &mut buffer).unwrap();
    assert_eq!(load(record), LoadError::Contents);
    // Damaged names.
    let mut damaged = good.clone();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    let error = refused(&local, &damaged);
    assert!(matches!(error, Error::Names(NameError::Damaged)), "{error}");
    // Names for a device that keeps none, which takes the gallery without them.
    let nameless = Local::new(&model, None);
    let error = refused(&nameless, &good);
    assert!(error.to_string().contains("keeps none"), "{error}");
    let (without, _) = split(&good).unwrap();
    nameless.device().push_gallery(without).unwrap();
    assert_eq!(nameless.device().pull_gallery().unwrap(), without);
    assert!(matches!(
        nameless.device().names(),
        Err(Error::Fault(Fault::Unsupported))
    ));
}

#[test]
fn too_many_entries_or_names_leave_the_device_as_it_was() {
    let model = model();
    let old = [(3, "three"), (4, "four"), (5, "five")];
    let local = Local::new(&model, Some(names(&old)));
    let gallery = learnt(&model, &[3, 4, 5]);
    local.set(&gallery);
    let before = local.device().pull_gallery().unwrap();

    // More entries than there are places.
    let mut large = Gallery::<2, 20>::for_fingerprint(gallery.fingerprint());
    for label in 100..113 {
        large.enrol(label, &Embedding([1, 2])).unwrap();
    }
    let mut buffer = [0; 1000];
    let large = large.to_bytes(&mut buffer).unwrap();
    let error = local.device().push_gallery(large).unwrap_err();
    let (found, capacity) = (13, ENTRIES);
    let expected = LoadError::Capacity { found, capacity };
    assert!(
        matches!(error, Error::Gallery(error) if error == expected),
        "{error}"
    );
    let error = local.device().merge_gallery(large).unwrap_err();
    let full = Fault::Gallery(GalleryError::Full { capacity });
    assert!(
        matches!(error, Error::Fault(error) if error == full),
        "{error}"
    );
    assert_eq!(local.device().pull_gallery().unwrap(), before);

    // More examples than a prototype counts.
    let mut many = Here::for_fingerprint(gallery.fingerprint());
    for _ in 0..65_530 {
        many.enrol(3, &Embedding([9, 9])).unwrap();
    }
    let error = local
        .device()
        .merge_gallery(&file(&many, &Table::new()))
        .unwrap_err();
    let examples = Fault::Gallery(GalleryError::Examples);
    assert!(
        matches!(error, Error::Fault(error) if error == examples),
        "{error}"
    );
    assert_eq!(local.device().pull_gallery().unwrap(), before);

    // More names, and a longer one: the old names are there again.
    let two = names(&[(6, "six"), (7, "seven")]);
    let mut five = Names::<5, 20>::new();
    for (label, name) in [(0, "a"), (1, "b"), (2, "three"), (3, "d"), (4, "e")] {
        five.set(label, name).unwrap();
    }
    let mut long = Names::<1, 40>::new();
    long.set(3, "a name of more than fifteen letters").unwrap();
    let mut buffer = [0; 200];
    let (gallery, _) = split(&before).unwrap();
    let five = [gallery, five.to_bytes(&mut buffer).unwrap()].concat();
    let long = [gallery, long.to_bytes(&mut buffer).unwrap()].concat();
    let too_many = Fault::Name(NameError::Full { capacity: 4 });
    let too_long = Fault::Name(NameError::TooLong { most: 15 });
    for (file, fault) in [(five, too_many), (long, too_long)] {
        let error = local.device().push_gallery(&file).unwrap_err();
        assert!(
            matches!(error, Error::Fault(found) if found == fault),
            "{error}"
        );
        assert_eq!(local.device().pull_gallery().unwrap(), before);
    }
    let merged = local
        .device()
        .merge_gallery(&file(&two_labels(&model), &two));
    let error = merged.unwrap_err();
    assert!(
        matches!(error, Error::Fault(found) if found == too_many),
        "{error}"
    );
    assert_eq!(local.device().pull_gallery().unwrap(), before);
}

/// Two labels.
fn two_labels(model: &[u8]) -> Here {
    learnt(model, &[6, 7])
}

/// Merging files: by names, by numbers, and with what is in the way.
#[test]
fn labels_of_one_name_are_one() {
    let model = model();
    let merge = |old: &[(u16, &str)], there: &[u16], new: &[(u16, &str)], theirs: &[u16]| {
        let local = Local::new(&model, Some(names(old)));
        local.set(&learnt(&model, there));
        let mut expected = local.gallery();
        let gallery = learnt(&model, theirs);
        let places = local
            .device()
            .merge_gallery(&file(&gallery, &names(new)))
            .unwrap();
        let place = |label| places.iter().find(|place| place.0 == label).unwrap().1;
        expected.merge(&gallery, place).unwrap();
        assert_eq!(local.gallery(), expected);
        let called = local.device().names().unwrap();
        let called: Vec<String> = called
            .into_iter()
            .map(|(label, name)| format!("{label} {name}"))
            .collect();
        (places, called.join(", "))
    };
    // The same name under another label; a new name whose label is free.
    assert_eq!(
        merge(&[(1, "cat")], &[1, 2], &[(5, "cat"), (6, "dog")], &[5, 6]),
        (vec![(5, 1), (6, 6)], "1 cat, 6 dog".into())
    );
    // A new name whose label is taken: by a name, by an entry, by one of the file's.
    assert_eq!(
        merge(
            &[(1, "cat")],
            &[0, 1],
            &[(0, "cow"), (1, "dog")],
            &[0, 1, 2]
        ),
        (vec![(0, 3), (1, 4), (2, 2)], "1 cat, 3 cow, 4 dog".into())
    );
    // Names that are exchanged.
    assert_eq!(
        merge(
            &[(0, "a"), (1, "b")],
            &[0, 1],
            &[(0, "b"), (1, "a")],
            &[0, 1]
        ),
        (vec![(0, 1), (1, 0)], "0 a, 1 b".into())
    );
    // Labels without names are numbers, unless they are called something there.
    assert_eq!(
        merge(&[(5, "cat")], &[5, 6], &[(3, "cat")], &[3, 5, 6]),
        (vec![(3, 5), (5, 0), (6, 6)], "5 cat".into())
    );
    assert_eq!(
        merge(&[(5, "cat")], &[5, 6], &[], &[5, 6]),
        (vec![(5, 5), (6, 6)], "5 cat".into())
    );
    // A name without an entry comes along.
    assert_eq!(
        merge(&[], &[5], &[(5, "five"), (9, "nine")], &[7]),
        (vec![(5, 0), (7, 7), (9, 9)], "0 five, 9 nine".into())
    );
}

#[test]
fn a_device_that_has_merged_identifies_as_one_that_was_shown_all() {
    let model = model();
    let images = random_images(40, 64, 8);
    let labels = |index: usize| (index % 3) as u16;
    let (first, second, whole) = (
        Local::new(&model, None),
        Local::new(&model, None),
        Local::new(&model, None),
    );
    for (index, image) in images.iter().enumerate() {
        let local = if index < 20 { &first } else { &second };
        local.device().enrol(labels(index), false, image).unwrap();
        whole.device().enrol(labels(index), false, image).unwrap();
    }
    let mut device = first.device();
    let file = second.device().pull_gallery().unwrap();
    second.far().noise = 3;
    let places = device.merge_gallery(&file).unwrap();
    assert_eq!(places, [(0, 0), (1, 1), (2, 2)]);
    assert_eq!(first.gallery().entries().len(), 3);
    let one = device.identify_all(&images, |_, _| ()).unwrap();
    let other = whole.device().identify_all(&images, |_, _| ()).unwrap();
    assert_eq!(one, other);
    assert_eq!(
        first.device().pull_gallery().unwrap().len(),
        48 + 3 * 12 + 4
    );
}
