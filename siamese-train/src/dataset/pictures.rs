//! Picture files as grey images of one size.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use image::imageops::{self, FilterType};

use super::Images;

/// Which is the ink, and which the ground.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Ink {
    /// What the picture's border says
    #[default]
    Auto,
    /// Bright on dark, as MNIST is
    Bright,
    /// Dark on bright, as paper is
    Dark,
}

/// How pictures are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Which is the ink.
    pub ink: Ink,
    /// Whether damaged files are passed over.
    pub skip_bad: bool,
}

/// The picture files of a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The files, in their order.
    pub files: Vec<PathBuf>,
    /// Files that are no pictures.
    pub passed_over: usize,
}

/// Pictures as they are given to a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pictures {
    /// The images, 0 = ground.
    pub images: Images,
    /// The file of each.
    pub paths: Vec<PathBuf>,
    /// Files that could not be read, and why.
    pub bad: Vec<(PathBuf, String)>,
    /// How many were dark on bright.
    pub turned: usize,
}

/// The pictures in a folder, or the file itself.
///
/// # Errors
/// If there is no such file or folder.
pub fn find(path: &Path) -> Result<Found> {
    if path.is_file() {
        return Ok(Found {
            files: vec![path.to_owned()],
            passed_over: 0,
        });
    }
    let mut found = Found {
        files: Vec::new(),
        passed_over: 0,
    };
    for entry in entries(path)?.into_iter().filter(|entry| entry.is_file()) {
        let hidden = name(&entry).starts_with('.');
        if !hidden && image::ImageFormat::from_path(&entry).is_ok() {
            found.files.push(entry);
        } else {
            found.passed_over += 1;
        }
    }
    Ok(found)
}

/// The folders in a folder, by name, numbers in their order.
///
/// # Errors
/// If it can't be opened.
pub fn class_folders(path: &Path) -> Result<Vec<(String, PathBuf)>> {
    let folders = entries(path)?.into_iter().filter(|entry| entry.is_dir());
    let named = folders.map(|folder| (name(&folder), folder));
    let system = |name: &str| name.starts_with('.') || name == "__MACOSX";
    let mut folders: Vec<_> = named.filter(|(name, _)| !system(name)).collect();
    folders.sort_by_key(|(name, _)| (name.parse().unwrap_or(u64::MAX), name.clone()));
    Ok(folders)
}

/// Reads pictures, each fitted into `width` x `height`.
///
/// # Errors
/// If one can't be read and `skip_bad` isn't set, or none can be.
pub fn read(files: &[PathBuf], width: usize, height: usize, options: &Options) -> Result<Pictures> {
    let mut pixels = Vec::with_capacity(files.len() * width * height);
    let (mut paths, mut bad, mut turned) = (Vec::new(), Vec::new(), 0);
    for path in files {
        let mut grey = match image::open(path) {
            Ok(image) => image.into_luma8(),
            Err(error) => {
                bad.push((path.clone(), error.to_string()));
                continue;
            }
        };
        let corner = grey.pixels().next().is_some_and(|pixel| pixel.0[0] > 127);
        if options.ink == Ink::Dark || options.ink == Ink::Auto && corner {
            imageops::invert(&mut grey);
            turned += 1;
        }
        let (width, height) = (width as u32, height as u32);
        if grey.dimensions() != (width, height) {
            grey = imageops::resize(&grey, width, height, FilterType::Triangle);
        }
        pixels.extend(grey.into_raw());
        paths.push(path.clone());
    }
    if let Some((path, why)) = bad.first().filter(|_| !options.skip_bad) {
        bail!("cannot read {}: {why}", path.display());
    }
    ensure!(!paths.is_empty(), "no picture could be read");
    Ok(Pictures {
        images: Images::new(width, height, pixels)?,
        paths,
        bad,
        turned,
    })
}

fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn entries(path: &Path) -> Result<Vec<PathBuf>> {
    let unreadable = || format!("cannot open {}; check the path", path.display());
    let mut entries = Vec::new();
    for entry in fs::read_dir(path).with_context(unreadable)? {
        entries.push(entry.with_context(unreadable)?.path());
    }
    entries.sort();
    Ok(entries)
}
