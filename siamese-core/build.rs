//! Chooses the kernels that are compiled, by the target alone.

use std::env;

/// A cfg for each kernel, and the targets that have its instructions, by the
/// start of their name. Rust's own `target_feature` can't tell: on stable it
/// doesn't know DSP and Helium.
const KERNELS: [(&str, &[&str]); 5] = [
    (
        "kernel_thumb",
        &["thumbv6m-", "thumbv7m-", "thumbv8m.base-"],
    ),
    // Of those, the ones with multiply-accumulate.
    ("kernel_thumb_mla", &["thumbv7m-"]),
    ("kernel_dsp", &["thumbv7em-", "thumbv8m.main-"]),
    // Compiled in for every core of that target, used where there is Helium.
    ("kernel_helium", &["thumbv8m.main-"]),
    ("kernel_x86", &["x86_64-"]),
];
/// The environment variable that leaves all but the portable kernel out.
const CHOICE: &str = "SIAMESE_KERNEL";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={CHOICE}");
    let target = env::var("TARGET").unwrap_or_default();
    let portable = match env::var(CHOICE).as_deref() {
        Ok("portable") => true,
        Ok("") | Err(_) => false,
        Ok(other) => {
            println!("cargo::error={CHOICE} is '{other}'; it can only be 'portable'");
            return;
        }
    };
    for (kernel, targets) in KERNELS {
        println!("cargo::rustc-check-cfg=cfg({kernel})");
        if !portable && targets.iter().any(|start| target.starts_with(start)) {
            println!("cargo::rustc-cfg={kernel}");
        }
    }
}
