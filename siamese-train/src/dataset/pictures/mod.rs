//! Picture files, as people have them, to images of a network's size: one door for all
//! commands.
//!
//! What a file holds decides its format, not its name: PNG, JPEG, WebP, TIFF, BMP, PNM, or
//! the first picture of a GIF. It is turned as its camera says; where it is transparent, a
//! ground comes behind it that lets its ink be seen; colours become grey. Then it goes
//! through [`siamese_core::preprocess`], as on a device.
//!
//! A picture that has the network's size already, and is bright on a ground of exactly 0 (all
//! four corners or half of its border), stays as it is: so MNIST's pictures give the same
//! embedding as files as they give from IDX.

mod decode;
mod find;
mod whole;

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail, ensure};
use image::GrayImage;
use rayon::prelude::*;
use siamese_core::preprocess::{self, Grey, PictureError};

use crate::dataset::Images;
use crate::progress::Progress;

pub use find::{Found, class_folders, find};

/// The formats that are understood, for messages.
const FORMATS: &str = "PNG, JPEG, WebP, TIFF, BMP, PNM and GIF";
/// Files that one message names.
const NAMED: usize = 20;

/// What is ink in the pictures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Ink {
    /// Each picture's border tells
    #[default]
    Auto,
    /// Brighter than the ground
    Bright,
    /// Darker than the ground
    Dark,
}

impl From<Ink> for preprocess::Ink {
    fn from(ink: Ink) -> Self {
        match ink {
            Ink::Auto => Self::Auto,
            Ink::Bright => Self::Bright,
            Ink::Dark => Self::Dark,
        }
    }
}

/// How pictures are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// What is ink.
    pub ink: Ink,
    /// Whether to go on without the pictures that can't be used.
    pub skip_bad: bool,
    /// Whether it is shown how far one is.
    pub progress: Progress,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            ink: Ink::default(),
            skip_bad: false,
            progress: Progress::new(true),
        }
    }
}

/// Pictures that were read.
#[derive(Debug)]
pub struct Pictures {
    /// The usable ones, in the files' order: bright on 0.
    pub images: Images,
    /// The file of each of them.
    pub paths: Vec<PathBuf>,
    /// The files that can't be used, and why; none unless they may be skipped.
    pub bad: Vec<(PathBuf, String)>,
    /// How many were found to be dark on bright by themselves, and turned.
    pub turned: usize,
}

/// One picture in the network's frame.
struct Framed {
    pixels: Vec<u8>,
    turned: bool,
}

/// Reads picture files into images of `width` x `height` pixels; all files, also after one
/// that can't be used.
///
/// # Errors
/// If some can't be used and may not be skipped: one message that names them and says what is
/// wrong with each. If none of them can be used. If a side is 0 or above 65535.
pub fn read(files: &[PathBuf], width: usize, height: usize, options: &Options) -> Result<Pictures> {
    let side = |side: usize| {
        let side = u16::try_from(side).ok().filter(|&side| side > 0);
        side.ok_or_else(|| anyhow!("images of {width}x{height} pixels are not possible"))
    };
    let (columns, rows) = (side(width)?, side(height)?);
    let bar = options
        .progress
        .count("reading", "pictures", files.len() as u64);
    let framed: Vec<Result<Framed, String>> = files
        .par_iter()
        .map(|file| {
            let framed = frame_file(file, columns, rows, options.ink);
            bar.inc(1);
            framed
        })
        .collect();
    bar.finish_and_clear();
    let mut pixels = Vec::with_capacity(files.len() * width * height);
    let (mut paths, mut bad, mut turned) = (Vec::new(), Vec::new(), 0);
    for (file, framed) in files.iter().zip(framed) {
        match framed {
            Ok(framed) => {
                pixels.extend(framed.pixels);
                turned += usize::from(framed.turned);
                paths.push(file.clone());
            }
            Err(why) => bad.push((file.clone(), why)),
        }
    }
    if !bad.is_empty() && (paths.is_empty() || !options.skip_bad) {
        bail!(in_words(&bad, files.len(), options.skip_bad));
    }
    ensure!(!paths.is_empty(), "there are no pictures to read");
    Ok(Pictures {
        images: Images::new(width, height, pixels)?,
        paths,
        bad,
        turned,
    })
}

/// All that is wrong, in one message.
fn in_words(bad: &[(PathBuf, String)], files: usize, skipped: bool) -> String {
    if let ([(path, why)], 1) = (bad, files) {
        return format!("{} {why}", path.display());
    }
    let mut text = format!("{} of {files} pictures can't be used:", bad.len());
    for (path, why) in bad.iter().take(NAMED) {
        let _ = write!(text, "\n  {} {why}", path.display());
    }
    if bad.len() > NAMED {
        let _ = write!(text, "\n  and {} more", bad.len() - NAMED);
    }
    if !skipped && bad.len() < files {
        text.push_str("\nmend or remove them, or go on without them by --skip-bad");
    }
    text
}

/// Reads one file; what is wrong with it completes a sentence that begins with its name.
fn frame_file(path: &Path, width: u16, height: u16, ink: Ink) -> Result<Framed, String> {
    let bytes = fs::read(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "is not there; check the path".to_owned(),
        std::io::ErrorKind::PermissionDenied => "may not be read; check who owns it".to_owned(),
        std::io::ErrorKind::IsADirectory => "is a folder".to_owned(),
        _ => format!("can't be opened ({error})"),
    })?;
    frame(&decode::grey(&bytes)?, width, height, ink)
}

/// Brings a picture into the frame.
fn frame(picture: &GrayImage, width: u16, height: u16, ink: Ink) -> Result<Framed, String> {
    if stays(picture, width, height, ink) {
        return Ok(Framed {
            pixels: picture.as_raw().clone(),
            turned: false,
        });
    }
    let side = |side: u32| u16::try_from(side).map_err(|_| too_large());
    let (columns, rows) = (side(picture.width())?, side(picture.height())?);
    let mut pixels = vec![0; usize::from(width) * usize::from(height)];
    let fitted = Grey::new(columns, rows, picture.as_raw()).and_then(|mut picture| {
        preprocess::fit(&mut picture, ink.into(), width, height, &mut pixels)
    });
    let fitted = fitted.map_err(|error| match error {
        PictureError::Blank if ink == Ink::Auto => {
            "is blank: nothing stands out from its ground".to_owned()
        }
        PictureError::Blank => {
            "shows nothing of the ink that --ink says; --ink auto finds out by itself".to_owned()
        }
        error => format!("can't be used: {error}"),
    })?;
    Ok(Framed {
        pixels,
        turned: ink == Ink::Auto && fitted.ink == preprocess::Ink::Dark,
    })
}

/// Whether a picture is as the network's own training images are.
fn stays(picture: &GrayImage, width: u16, height: u16, ink: Ink) -> bool {
    if picture.dimensions() != (width.into(), height.into()) || ink == Ink::Dark {
        return false;
    }
    let (right, bottom) = (u32::from(width) - 1, u32::from(height) - 1);
    let (mut dark, mut border, mut corners, mut inked) = (0, 0, 0, false);
    for (x, y, pixel) in picture.enumerate_pixels() {
        let (side, edge) = (x == 0 || x == right, y == 0 || y == bottom);
        let black = pixel.0[0] == 0;
        inked |= !black;
        border += u32::from(side || edge);
        dark += u32::from((side || edge) && black);
        corners += u32::from(side && edge && !black);
    }
    inked && (corners == 0 || 2 * dark >= border)
}

/// Why a picture with too many pixels is refused.
fn too_large() -> String {
    format!(
        "is too large: pictures have at most {0}x{0} pixels and take {1} MB",
        decode::MOST_SIDE,
        decode::MOST_BYTES / 1_000_000
    )
}
