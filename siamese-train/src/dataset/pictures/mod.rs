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
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail, ensure};
use image::GrayImage;
use rayon::prelude::*;
use siamese_core::preprocess::{self, Grey, PictureError};

use crate::dataset::Images;
use crate::limit;
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
    let bytes = limit::read(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "is not there; check the path".to_owned(),
        std::io::ErrorKind::PermissionDenied => "may not be read; check who owns it".to_owned(),
        std::io::ErrorKind::IsADirectory => "is a folder".to_owned(),
        _ => format!("can't be opened ({error})"),
    })?;
    frame(&decode::grey(&bytes)?, width, height, ink)
}

/// The image of `width` x `height` pixels that is made of a picture file's bytes, as [`read`]
/// makes it.
///
/// # Errors
/// What is wrong with the picture; it completes a sentence that begins with the file's name.
pub fn image_of(bytes: &[u8], width: u16, height: u16, ink: Ink) -> Result<Vec<u8>, String> {
    frame(&decode::grey(bytes)?, width, height, ink).map(|framed| framed.pixels)
}

/// Brings a picture into the frame.
fn frame(picture: &GrayImage, width: u16, height: u16, ink: Ink) -> Result<Framed, String> {
    if stays(picture, width, height, ink) {
        return Ok(Framed {
            pixels: picture.as_raw().clone(),
            turned: false,
        });
    }
    let side = |side: u32| u16::try_from(side).map_err(|_| too_large(0));
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

/// Why a picture with too many pixels is refused, in a file of this length.
fn too_large(length: usize) -> String {
    format!(
        "is too large: pictures have at most {0}x{0} pixels, and one in a file of its size may \
         take {1} MB; make it smaller, or raise that by --limit",
        decode::MOST_SIDE,
        limit::of(length as u64) / 1_000_000
    )
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const QUIET: Options = Options {
        ink: Ink::Auto,
        skip_bad: false,
        progress: Progress::new(true),
    };

    /// A picture of 4 columns and 3 rows.
    fn four_by_three(pixels: [[u8; 4]; 3]) -> GrayImage {
        GrayImage::from_raw(4, 3, pixels.concat()).unwrap()
    }

    /// Writes a PGM of a bar, bright on black or the other way round.
    fn bar(path: &Path, ground: u8, ink: u8) {
        let mut bytes = b"P5\n20 20\n255\n".to_vec();
        bytes.extend((0..400).map(|i| {
            if (45..250).contains(&i) && i % 20 == 7 {
                ink
            } else {
                ground
            }
        }));
        fs::write(path, bytes).unwrap();
    }

    #[test]
    fn the_ink_is_the_devices() {
        let all = [Ink::Auto, Ink::Bright, Ink::Dark].map(preprocess::Ink::from);
        let expected = [
            preprocess::Ink::Auto,
            preprocess::Ink::Bright,
            preprocess::Ink::Dark,
        ];
        assert_eq!(all, expected);
    }

    #[test]
    fn a_picture_like_the_trainings_stays() {
        let stays = |pixels, ink| stays(&four_by_three(pixels), 4, 3, ink);
        let inked = [[0, 9, 9, 0], [9, 9, 9, 9], [0, 9, 9, 0]];
        assert!(stays(inked, Ink::Auto) && stays(inked, Ink::Bright));
        assert!(!stays(inked, Ink::Dark));
        // Nothing is in it.
        assert!(!stays([[0; 4]; 3], Ink::Auto));
        // One corner is lit, and of the border of ten pixels five are black, or four: the
        // two in the middle don't count.
        let half = [[9, 9, 9, 0], [9, 0, 0, 9], [0, 0, 0, 0]];
        for (x, y) in [(0, 0), (3, 0), (0, 2), (3, 2)] {
            let mut pixels = half;
            // Mirrored, so that the lit corner is this one.
            if x == 3 {
                pixels.iter_mut().for_each(|row| row.reverse());
            }
            if y == 2 {
                pixels.reverse();
            }
            assert_eq!(pixels[y][x], 9);
            assert!(stays(pixels, Ink::Auto), "{x} {y}");
            pixels[2 - y][1] = 9;
            assert!(!stays(pixels, Ink::Auto), "{x} {y}");
        }
        // Not that size: too high, or too wide.
        let all = [[9, 0, 0, 0], [0, 9, 9, 0], [0, 0, 0, 0]];
        assert!(stays(all, Ink::Auto));
        let all = four_by_three(all);
        for (width, height) in [(4, 2), (3, 3), (3, 4)] {
            assert!(!super::stays(&all, width, height, Ink::Auto));
        }
    }

    #[test]
    fn a_frame_says_whether_it_was_turned() {
        let picture = |ground, ink| {
            GrayImage::from_fn(20, 20, |x, y| {
                let inked = x == 7 && (3..15).contains(&y);
                image::Luma([if inked { ink } else { ground }])
            })
        };
        let framed = |ground, ink, option| frame(&picture(ground, ink), 8, 8, option);
        let [bright, dark] = [framed(0, 255, Ink::Auto), framed(255, 0, Ink::Auto)];
        let (bright, dark) = (bright.unwrap(), dark.unwrap());
        assert_eq!((bright.turned, dark.turned), (false, true));
        assert_eq!(bright.pixels, dark.pixels);
        let told = framed(255, 0, Ink::Dark).unwrap();
        assert_eq!((told.turned, told.pixels), (false, dark.pixels));
        // Nothing to see, or not with what was told.
        let blank = |ground, ink, option| framed(ground, ink, option).err().unwrap();
        assert_eq!(
            blank(80, 80, Ink::Auto),
            "is blank: nothing stands out from its ground"
        );
        assert_eq!(
            blank(255, 0, Ink::Bright),
            "shows nothing of the ink that --ink says; --ink auto finds out by itself"
        );
        let error = frame(&GrayImage::new(0, 3), 8, 8, Ink::Auto).err().unwrap();
        assert!(error.starts_with("can't be used: "), "{error}");
        // Wider than a device counts.
        let error = frame(&GrayImage::new(65_536, 1), 8, 8, Ink::Auto).err();
        let sentence = "is too large: pictures have at most 32768x32768 pixels, ";
        assert!(error.unwrap().starts_with(sentence));
    }

    #[test]
    fn what_is_turned_is_counted_and_what_is_bad_kept_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        bar(&path("a.pgm"), 255, 0);
        bar(&path("b.pgm"), 0, 255);
        bar(&path("c.pgm"), 255, 0);
        let files = ["a.pgm", "b.pgm", "c.pgm"].map(path);
        let found = read(&files, 8, 8, &QUIET).unwrap();
        assert_eq!((found.images.len(), found.turned), (3, 2));
        assert_eq!((&found.paths[..], found.bad.len()), (&files[..], 0));

        let skipping = Options {
            skip_bad: true,
            ..QUIET
        };
        let files = ["a.pgm", "", "none.pgm"].map(path);
        let found = read(&files, 8, 8, &skipping).unwrap();
        assert_eq!((&found.paths[..], found.turned), (&files[..1], 1));
        let why = |error: &str| error.to_owned();
        assert_eq!(
            found.bad,
            [
                (path(""), why("is a folder")),
                (path("none.pgm"), why("is not there; check the path"))
            ]
        );
        let error =
            |files: &[PathBuf], options| read(files, 8, 8, options).unwrap_err().to_string();
        assert!(error(&files, &QUIET).starts_with("2 of 3 pictures can't be used:"));
        // With none left, skipping doesn't help.
        assert!(error(&files[1..], &skipping).starts_with("2 of 2 pictures can't be used:"));
        assert_eq!(error(&[], &QUIET), "there are no pictures to read");
        for (width, height) in [(0, 8), (8, 0), (65_536, 8)] {
            let error = read(&files[..1], width, height, &QUIET).unwrap_err();
            let sentence = format!("images of {width}x{height} pixels are not possible");
            assert_eq!(error.to_string(), sentence);
        }
    }

    #[test]
    fn all_that_is_wrong_is_told_in_one_message() {
        let bad: Vec<_> = (1..=22)
            .map(|number| {
                (
                    PathBuf::from(format!("{number}.png")),
                    "is empty".to_owned(),
                )
            })
            .collect();
        assert_eq!(in_words(&bad[..1], 1, false), "1.png is empty");
        assert_eq!(
            in_words(&bad[..1], 2, true),
            "1 of 2 pictures can't be used:\n  1.png is empty"
        );
        let two = "2 of 2 pictures can't be used:\n  1.png is empty\n  2.png is empty";
        assert_eq!(in_words(&bad[..2], 2, false), two);
        let hint = "\nmend or remove them, or go on without them by --skip-bad";
        let of_three = two.replacen("2 of 2", "2 of 3", 1);
        assert_eq!(in_words(&bad[..2], 3, true), of_three);
        assert_eq!(in_words(&bad[..2], 3, false), of_three + hint);
        // Twenty are named.
        let twenty = in_words(&bad[..20], 20, true);
        assert!(twenty.ends_with("\n  20.png is empty"), "{twenty}");
        let more = in_words(&bad, 22, true);
        assert!(
            more.ends_with("\n  20.png is empty\n  and 2 more"),
            "{more}"
        );
    }
}
