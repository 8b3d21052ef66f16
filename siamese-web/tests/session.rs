//! The session, as the module exports it.

use std::fs;
use std::path::Path;

use siamese_core::embedder::{Buffers, embed_into};
use siamese_core::model::Model;
use siamese_web::Session;

fn bytes(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../model");
    fs::read(folder.join(name)).unwrap()
}

/// A session with a model.
fn opened(name: &str) -> Session {
    let mut session = Session::default();
    let model = bytes(name);
    put(&mut session, &model);
    assert_eq!(session.open(model.len()), Ok(0));
    session
}

fn put(session: &mut Session, bytes: &[u8]) {
    session.mailbox(bytes.len())[..bytes.len()].copy_from_slice(bytes);
}

fn answer(session: &mut Session, length: usize) -> Vec<u8> {
    session.mailbox(length)[..length].to_vec()
}

/// A frame whose pixels are a pattern of its own for each seed.
fn frame(seed: usize) -> Vec<u8> {
    (0..784)
        .map(|pixel| {
            if pixel * (seed + 3) % 7 < 2 {
                (pixel * seed % 256) as u8
            } else {
                0
            }
        })
        .collect()
}

/// The coordinates of a frame, as bytes.
fn point(session: &mut Session, seed: usize) -> Vec<u8> {
    put(session, &frame(seed));
    let length = session.embed().unwrap();
    let dim = 64;
    answer(session, length)[..2 * dim].to_vec()
}

#[test]
fn every_layer_is_that_of_the_core_for_every_model() {
    for name in [
        "tiny.siam",
        "swift.siam",
        "small.siam",
        "small-fewshot.siam",
    ] {
        let mut session = opened(name);
        let bytes = siamese_build::OwnedModel::new(&bytes(name)).unwrap();
        let model: Model<'_> = bytes.model();
        let (shared, hidden1) = model.buffer_sizes();
        let (mut shared, mut hidden1) = (vec![0; shared], vec![0; hidden1]);
        for seed in 1..20 {
            put(&mut session, &frame(seed));
            let length = session.embed().unwrap();
            let said = answer(&mut session, length);
            let mut embedding = vec![0; model.dim()];
            let buffers = Buffers {
                shared: &mut shared,
                hidden1: &mut hidden1,
            };
            embed_into(&model, &frame(seed), buffers, &mut embedding).unwrap();
            let steps: Vec<u8> = embedding
                .iter()
                .flat_map(|step| step.to_le_bytes())
                .collect();
            assert!(said.starts_with(&steps), "{name}");
            let [first, second, _] = model.layers();
            let hidden = [&hidden1[..first.outputs()], &shared[..second.outputs()]].concat();
            assert!(said.ends_with(&hidden), "{name}");
            assert_eq!(said.len(), steps.len() + first.inputs() + hidden.len());
        }
    }
}

#[test]
fn a_gallery_is_taught_saved_and_loaded() {
    let mut session = opened("small-fewshot.siam");
    let here = point(&mut session, 5);
    assert_eq!(session.identify(), Ok(0), "nothing is enrolled");
    for (label, seed) in [(10, 5), (11, 9)] {
        let point = point(&mut session, seed);
        put(&mut session, &point);
        assert_eq!(session.enrol(label), Ok(2));
        assert_eq!(answer(&mut session, 2), [1, 0]);
    }
    put(&mut session, "star".as_bytes());
    assert_eq!(session.name(10, 4), Ok(0));
    let ask = |session: &mut Session| {
        put(session, &here);
        let length = session.identify().unwrap();
        answer(session, length)
    };
    let known = ask(&mut session);
    assert_eq!(known.len(), 40);
    // Label 10, known, another one, and that is 11; at no distance at all.
    assert_eq!(known[..6], [10, 0, 0, 1, 11, 0]);
    assert_eq!(known[8..16], 0f64.to_le_bytes());

    let length = session.save().unwrap();
    let file = answer(&mut session, length);
    let mut other = opened("small-fewshot.siam");
    put(&mut other, &file);
    assert_eq!(other.load(file.len()), Ok(0));
    assert_eq!(ask(&mut other), known);
    let length = other.names().unwrap();
    assert_eq!(answer(&mut other, length), b"\x0a\x00\x04star");
    assert_eq!(other.forget(10), Ok(2));
    assert_eq!(ask(&mut other)[..4], [11, 0, 1, 0], "unknown now");
    assert_eq!(other.names(), Ok(0));

    // What can't be loaded leaves what is there.
    let mut damaged = file.clone();
    damaged[60] ^= 1;
    put(&mut other, &damaged);
    assert!(other.load(damaged.len()).unwrap_err().contains("damaged"));
    let mut stranger = opened("small.siam");
    put(&mut stranger, &file);
    assert!(stranger.load(file.len()).is_err());
    assert_eq!(ask(&mut other)[0], 11);
}

#[test]
fn the_users_threshold_counts() {
    let mut session = opened("small-fewshot.siam");
    let (one, other) = (point(&mut session, 5), point(&mut session, 6));
    put(&mut session, &one);
    session.enrol(3).unwrap();
    let decision = |session: &mut Session, threshold: f64| {
        session.threshold(threshold).unwrap();
        put(session, &other);
        let length = session.identify().unwrap();
        answer(session, length)[2]
    };
    assert_eq!(decision(&mut session, 0.0), 1);
    assert_eq!(decision(&mut session, 1e300), 0);
    let length = session.entries().unwrap();
    let entries = answer(&mut session, length);
    assert_eq!(entries[..8], (u64::MAX as f64).to_le_bytes());
    assert_eq!(entries[8..12], [3, 0, 1, 0]);
    assert_eq!(entries[12..], one);
}

#[test]
fn the_nearest_points_come_first_and_of_equals_the_first() {
    let mut session = opened("small.siam");
    let points: Vec<i16> = vec![10, 0, 3, 4, -3, -4, 0, 9];
    let bytes: Vec<u8> = points.iter().flat_map(|step| step.to_le_bytes()).collect();
    put(&mut session, &bytes);
    assert_eq!(session.points(bytes.len()), Ok(0));
    put(&mut session, &[0; 4]);
    let length = session.nearest(3).unwrap();
    let said = answer(&mut session, length);
    let found: Vec<(u32, f64)> = said
        .chunks(12)
        .map(|one| {
            (
                u32::from_le_bytes(one[..4].try_into().unwrap()),
                f64::from_le_bytes(one[4..].try_into().unwrap()),
            )
        })
        .collect();
    assert_eq!(found, [(1, 25.0), (2, 25.0), (3, 81.0)]);
}

/// A call of the session.
type Call = fn(&mut Session) -> Result<usize, String>;

#[test]
fn nothing_goes_without_a_model_and_errors_are_sentences() {
    let mut session = Session::default();
    put(&mut session, &[0; 200]);
    let calls: [Call; 6] = [
        Session::embed,
        Session::identify,
        Session::save,
        |session| session.enrol(1),
        |session| session.nearest(3),
        |session| session.fit(10, 10, 0),
    ];
    for call in calls {
        assert_eq!(call(&mut session), Err("no model is open yet".to_owned()));
    }
    let mut damaged = bytes("tiny.siam");
    damaged[4000] ^= 1;
    put(&mut session, &damaged);
    assert!(session.open(damaged.len()).unwrap_err().contains("damaged"));
    let mut session = opened("tiny.siam");
    put(&mut session, &[7; 10_000]);
    assert!(session.fit(100, 100, 0).unwrap_err().contains("blank"));
    assert!(
        session
            .fit(60_000, 60_000, 0)
            .unwrap_err()
            .contains("mailbox")
    );
}
