//! From a picture of any size to the frame that a network was trained on, as MNIST
//! was made: the ground becomes exactly 0 and the ink full, the ink's bounding box is
//! scaled to 5/7 of the frame with its aspect kept, and its centre of mass moves to the
//! frame's middle.
//!
//! Integers only, no division by zero, no overflow: every sum has its bound beside it.
//! FORMAT.md states the arithmetic, so that all devices and hosts agree bit for bit.
//!
//! [`fit`] reads a picture several times, row by row, from any [`Rows`]: [`Grey`] is a
//! picture in memory, and [`Picture`] collects one from a camera's lines.
//!
//! ```
//! use siamese_core::preprocess::{Grey, Ink, fit};
//!
//! // A dark stroke on grey paper, 60x40 pixels.
//! let mut paper = [180; 60 * 40];
//! for y in 10..30 {
//!     paper[y * 60 + 12..y * 60 + 16].fill(40);
//! }
//! let mut frame = [0; 28 * 28];
//! let fitted = fit(&mut Grey::new(60, 40, &paper)?, Ink::Auto, 28, 28, &mut frame)?;
//! assert_eq!(fitted.ink, Ink::Dark);
//! // 20 rows high now, bright on exactly 0, in the middle.
//! assert_eq!(frame[14 * 28 + 14], 255);
//! assert_eq!(frame.iter().filter(|&&pixel| pixel > 0).count(), 4 * 20);
//! # Ok::<(), siamese_core::preprocess::PictureError>(())
//! ```

mod levels;
mod picture;
mod place;
mod scale;

use core::fmt;

use serde::{Deserialize, Serialize};

pub use picture::{Grey, Picture, Rows};

use levels::Levels;

/// What is ink, and what is ground.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Ink {
    /// As the border tells: the ground is what most of it is, and the ink lies on the
    /// side of it that reaches farther.
    #[default]
    Auto,
    /// The ink is brighter than the ground, as in MNIST.
    Bright,
    /// The ink is darker than the ground, as on paper.
    Dark,
}

/// What [`fit`] found in a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Fitted {
    /// [`Ink::Bright`] or [`Ink::Dark`]: what was told, or what the border tells.
    pub ink: Ink,
    /// The bounding box of the ink in the picture.
    pub ink_box: InkBox,
}

/// The smallest rectangle that holds all ink, in pixels of the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct InkBox {
    /// The first column.
    pub left: u16,
    /// The first row.
    pub top: u16,
    /// Columns, 1 or more.
    pub width: u16,
    /// Rows, 1 or more.
    pub height: u16,
}

/// Why a picture gives no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum PictureError {
    /// Nothing in the picture stands out from its ground.
    Blank,
    /// A side of the picture or of the frame is zero.
    Empty,
    /// The pixels are not as many as the sides say.
    Pixels {
        /// The pixels that the sides ask for.
        expected: u32,
        /// The pixels that were given; [`u32::MAX`] if they are more than that.
        found: u32,
    },
    /// The picture has more pixels than there is room for.
    TooLarge {
        /// The picture's pixels.
        pixels: u32,
        /// The pixels that there is room for.
        room: u32,
    },
}

impl fmt::Display for PictureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blank => f.write_str("the picture is blank: nothing stands out from its ground"),
            Self::Empty => f.write_str("a picture and a frame have at least one pixel"),
            Self::Pixels { expected, found } => {
                write!(f, "the picture should have {expected} pixels, not {found}")
            }
            Self::TooLarge { pixels, room } => write!(
                f,
                "the picture has {pixels} pixels and there is room for {room}"
            ),
        }
    }
}

impl core::error::Error for PictureError {}

/// Brings a picture into a frame of `width` x `height` pixels; `frame` has so many bytes.
/// What was in it doesn't matter, and is gone also if there is an error.
///
/// The stack needs about 1.5 KiB. Every row is read four times, the rows at the edges
/// five times; a frame wider than 44 pixels needs further readings.
///
/// # Errors
/// [`PictureError::Blank`] if nothing stands out from the ground, [`PictureError::Empty`]
/// if a side is zero, and [`PictureError::Pixels`] if `frame` has another length.
#[inline(never)] // Its tables leave the stack before the frame is embedded.
pub fn fit(
    rows: &mut impl Rows,
    ink: Ink,
    width: u16,
    height: u16,
    frame: &mut [u8],
) -> Result<Fitted, PictureError> {
    if width == 0 || height == 0 || rows.width() == 0 || rows.height() == 0 {
        return Err(PictureError::Empty);
    }
    check_pixels(width, height, frame.len())?;
    let levels = Levels::measure(rows, ink)?;
    let ink_box = levels.ink_box(rows).ok_or(PictureError::Blank)?;
    let target = scale::target(ink_box, width, height);
    frame.fill(0);
    scale::average(rows, &levels, ink_box, target, usize::from(width), frame);
    place::stretch(frame);
    place::centre(frame, (width, height), target).ok_or(PictureError::Blank)?;
    Ok(Fitted {
        ink: levels.ink(),
        ink_box,
    })
}

/// Whether `found` is the number of pixels that the sides ask for.
fn check_pixels(width: u16, height: u16, found: usize) -> Result<(), PictureError> {
    // At most 65535 * 65535, which 32 bits hold.
    let expected = u32::from(width) * u32::from(height);
    match u32::try_from(found) {
        Ok(found) if found == expected => Ok(()),
        found => Err(PictureError::Pixels {
            expected,
            found: found.unwrap_or(u32::MAX),
        }),
    }
}
