//! Lets the trainer find libtorch at run time without `LD_LIBRARY_PATH`, and
//! tell its version.

use std::path::Path;

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    if std::env::var_os("CARGO_FEATURE_TORCH").is_none() {
        return;
    }
    let libtorch = std::env::var_os("LIBTORCH").unwrap_or_default();
    let libtorch = Path::new(&libtorch);
    if !libtorch.as_os_str().is_empty() {
        let lib = libtorch.join("lib");
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}", lib.display());
    }
    let version = version(libtorch).unwrap_or_else(|| "of unknown version".into());
    println!("cargo:rustc-env=SIAMESE_LIBTORCH={version}");
}

/// What libtorch's headers say, major, minor and patch.
fn version(libtorch: &Path) -> Option<String> {
    let header = libtorch.join("include/torch/headeronly/version.h");
    let text = std::fs::read_to_string(header).ok()?;
    let part = |name: &str| {
        let line = text.lines().find(|line| line.contains(name))?;
        line.split_whitespace().last()?.parse::<u32>().ok()
    };
    let major = part("define TORCH_VERSION_MAJOR")?;
    let minor = part("define TORCH_VERSION_MINOR")?;
    let patch = part("define TORCH_VERSION_PATCH")?;
    Some(format!("{major}.{minor}.{patch}"))
}
