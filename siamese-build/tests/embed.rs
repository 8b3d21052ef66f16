//! What a build script gets: a module that compiles, or a sentence.

use std::fs;
use std::path::Path;

use siamese_build::{BuildError, Core, EmbedModel, OwnedModel, embed_model};
use siamese_core::model::{Layout, Model};

const TINY: &str = "tests/tiny.siam";

fn model() -> EmbedModel {
    EmbedModel::new(TINY).target("thumbv7em-none-eabi")
}

/// The sentence that a build ends with.
fn failure(embed: &EmbedModel) -> String {
    let folder = tempfile::tempdir().unwrap();
    let error = embed.clone().out_dir(folder.path()).write().unwrap_err();
    let files = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(files, 0, "a failed build leaves files behind");
    let words = error.to_string();
    assert!(!words.contains('\n'), "Cargo shows one line: {words}");
    words
}

#[test]
fn the_module_states_what_the_model_has() {
    let folder = tempfile::tempdir().unwrap();
    let embed = model().section(".model").name("digits");
    embed.out_dir(folder.path()).write().unwrap();
    let text = fs::read_to_string(folder.path().join("digits.rs")).unwrap();
    let bytes = fs::read(folder.path().join("digits.siam")).unwrap();
    let packed = OwnedModel::new(&bytes).unwrap();
    assert_eq!(packed.model().layout(), Layout::Interleaved);

    let original = fs::read(TINY).unwrap();
    let model = Model::parse_any(&original).unwrap();
    let (shared, hidden1) = model.buffer_sizes();
    let crc = u32::from_le_bytes(*original.last_chunk().unwrap());
    for fact in [
        format!("PIXELS: usize = {};", model.header().input.pixels()),
        format!("DIM: usize = {};", model.dim()),
        format!("SHARED: usize = {shared};"),
        format!("HIDDEN1: usize = {hidden1};"),
        format!("LENGTH: usize = {};", bytes.len()),
        format!("CRC: u32 = {crc:#010x};"),
        "align(16)".into(),
        "link_section = \".model\"".into(),
    ] {
        assert!(text.contains(&fact), "{fact} is not in\n{text}");
    }
}

#[test]
fn the_layout_follows_from_the_core_or_the_target() {
    let layout = |embed: EmbedModel| {
        let folder = tempfile::tempdir().unwrap();
        embed.out_dir(folder.path()).write().unwrap();
        let bytes = fs::read(folder.path().join("model.siam")).unwrap();
        OwnedModel::new(&bytes).unwrap().model().layout()
    };
    let of = |target| layout(EmbedModel::new(TINY).target(target));
    assert_eq!(of("thumbv6m-none-eabi"), Layout::Columns);
    assert_eq!(of("thumbv7m-none-eabi"), Layout::Columns);
    assert_eq!(of("thumbv7em-none-eabi"), Layout::Interleaved);
    assert_eq!(of("thumbv7em-none-eabihf"), Layout::Interleaved);
    assert_eq!(of("riscv32imac-unknown-none-elf"), Layout::Columns);
    assert_eq!(of("xtensa-esp32-none-elf"), Layout::Rows);
    let armv8 = |core| {
        let model = EmbedModel::new(TINY).target("thumbv8m.main-none-eabihf");
        layout(model.core(core))
    };
    assert_eq!(armv8(Core::CortexM33), Layout::Interleaved);
    assert_eq!(armv8(Core::CortexM33NoDsp), Layout::Rows);
    assert_eq!(armv8(Core::CortexM55), Layout::Quads);
}

#[test]
fn whatever_is_wrong_is_said_in_a_sentence() {
    let words = failure(&EmbedModel::new("tests/no.siam").target("thumbv6m-none-eabi"));
    assert_eq!(words, "there is no model file tests/no.siam");

    let words = failure(&EmbedModel::new("Cargo.toml").target("thumbv6m-none-eabi"));
    assert!(words.starts_with("the model file Cargo.toml: "), "{words}");

    let words = failure(&model().core(Core::CortexM0));
    assert!(
        words.contains("cortex-m0 isn't a core of the target thumbv7em"),
        "{words}"
    );
    assert!(words.contains("--target thumbv6m-none-eabi"), "{words}");

    let words = failure(&EmbedModel::new(TINY).target("thumbv8m.main-none-eabi"));
    assert!(words.contains("cortex-m33, cortex-m33+nodsp, "), "{words}");

    let error = model().out_dir("tests/no/such/folder").write().unwrap_err();
    assert!(matches!(error, BuildError::Write { .. }), "{error}");
}

#[test]
fn outside_a_build_script_it_says_so() {
    // Cargo sets neither variable for tests.
    let error = embed_model(Path::new(TINY), None).unwrap_err();
    assert!(matches!(error, BuildError::NotCargo("TARGET")), "{error}");
}
