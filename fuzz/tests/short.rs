//! A short run of every target, the same one each time: its committed inputs, and some made of
//! them.

use siamese_fuzz::plain::{Until, run};
use siamese_fuzz::{Target, corpus, flips, targets};

/// Inputs besides the committed ones: about a second of each target, optimised.
const EXECUTIONS: u64 = if cfg!(debug_assertions) { 300 } else { 3_000 };

fn short(name: &str) {
    let target: &'static Target = targets::find(name).unwrap();
    let crashes = tempfile::tempdir().unwrap();
    let outcome = run(
        target,
        7,
        Until::Executions(EXECUTIONS),
        crashes.path(),
        |_| {},
    )
    .unwrap();
    let committed = corpus::read(target).unwrap().len() as u64;
    if let Some(path) = outcome.crash {
        panic!("{name} fails on {:?}", std::fs::read(path).unwrap());
    }
    assert_eq!(outcome.executions, committed + EXECUTIONS);
    assert!(committed > 0, "{name} has no committed inputs");
}

macro_rules! short {
    ($($test:ident: $name:literal;)*) => {
        $(#[test]
        fn $test() {
            short($name);
        })*

        #[test]
        fn every_target_is_run_here() {
            let names: Vec<_> = targets::ALL.iter().map(|target| target.name).collect();
            assert_eq!(names, [$($name),*]);
        }
    };
}

short! {
    model: "model";
    orders: "orders";
    gallery: "gallery";
    operations: "operations";
    store: "store";
    server: "server";
    line: "line";
    update: "update";
    frames: "frames";
    host: "host";
    idx: "idx";
    picture: "picture";
    gallery_file: "gallery-file";
    tensors: "tensors";
}

/// `cargo xtask flips` flips all of them.
#[test]
fn some_flipped_bits_are_all_refused() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../model");
    for (name, step) in [("tiny", 61), ("swift", 201)] {
        let bytes = std::fs::read(folder.join(name).with_extension("siam")).unwrap();
        assert!(flips::is_model(&bytes));
        let found = flips::flip(&bytes, flips::is_model, step, 1000, |_| {});
        assert!(
            found.singles > 1000 && found.accepted == 0,
            "{name}: {found:?}"
        );
    }
    let bytes = flips::gallery();
    let found = flips::flip(&bytes, flips::is_gallery, 1, 20_000, |_| {});
    assert!(found.singles > 2000 && found.accepted == 0, "{found:?}");
}
