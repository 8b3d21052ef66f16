//! A target that libFuzzer drives: it looks for inputs that reach new code. The target's name is
//! in `SIAMESE_FUZZ_TARGET`; the arguments are libFuzzer's. `cargo xtask fuzz` builds and calls
//! it.

#![no_main]

use std::env;
use std::sync::OnceLock;

use siamese_fuzz::{Target, targets};

libfuzzer_sys::fuzz_target!(|data: &[u8]| (target().run)(data));

fn target() -> &'static Target {
    static TARGET: OnceLock<&Target> = OnceLock::new();
    TARGET.get_or_init(|| {
        let name = env::var("SIAMESE_FUZZ_TARGET").unwrap_or_default();
        let names = || {
            targets::ALL
                .iter()
                .map(|target| target.name)
                .collect::<Vec<_>>()
        };
        targets::find(&name).unwrap_or_else(|| {
            panic!(
                "SIAMESE_FUZZ_TARGET is {name:?}; set it to one of {:?}",
                names()
            )
        })
    })
}
