//! Chooses the kernels that are compiled, by the target alone.

use std::env;

#[path = "src/table.rs"]
mod table;

/// The environment variable that leaves all but the portable kernel out.
const CHOICE: &str = "SIAMESE_KERNEL";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/table.rs");
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
    for (kernel, targets) in table::KERNEL_TARGETS {
        println!("cargo::rustc-check-cfg=cfg({kernel})");
        if !portable && targets.iter().any(|start| target.starts_with(start)) {
            println!("cargo::rustc-cfg={kernel}");
        }
    }
}
