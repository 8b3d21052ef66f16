//! The committed inputs: `corpus/TARGET/`. An input that once failed stays there, so that all
//! ways of running a target try it first.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::Target;

/// The folder of a target's inputs.
#[must_use]
pub fn folder(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target.name)
}

/// The inputs, by the names of their files.
///
/// # Errors
/// If the folder can't be read.
pub fn read(target: &Target) -> Result<Vec<Vec<u8>>> {
    read_folder(&folder(target))
}

/// The files of a folder, by their names.
///
/// # Errors
/// If they can't be read.
pub fn read_folder(folder: &Path) -> Result<Vec<Vec<u8>>> {
    let names = fs::read_dir(folder).with_context(|| format!("can't read {}", folder.display()))?;
    let mut paths = names
        .map(|name| Ok(name?.path()))
        .collect::<Result<Vec<_>>>()?;
    paths.sort();
    let read =
        |path: &PathBuf| fs::read(path).with_context(|| format!("can't read {}", path.display()));
    paths.iter().map(read).collect()
}
