//! From a picture of any size to the image that a model takes.

use siamese_core::preprocess::{Grey, Ink, fit};

use crate::Error;
use crate::error::status;
use crate::memory::{Part, check_apart};
use crate::model::siamese_model;

/// `siamese_fitted` of the header: what was found in a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
#[allow(non_camel_case_types, reason = "its name in C")]
pub struct siamese_fitted {
    /// [`BRIGHT`] or [`DARK`].
    pub ink: i32,
    /// The first column of the smallest rectangle that holds all ink, in pixels of the picture.
    pub left: u16,
    /// Its first row.
    pub top: u16,
    /// Its columns, 1 or more.
    pub width: u16,
    /// Its rows, 1 or more.
    pub height: u16,
}

const _: () = assert!(size_of::<siamese_fitted>() == 12);

/// `SIAMESE_INK_AUTO`: as the picture's border tells.
pub const AUTO: i32 = 0;
/// `SIAMESE_INK_BRIGHT`: the ink is brighter than the ground.
pub const BRIGHT: i32 = 1;
/// `SIAMESE_INK_DARK`: the ink is darker than the ground.
pub const DARK: i32 = 2;

/// Brings a picture into the image that a model takes.
///
/// # Safety
/// What the header says: memory is there where it is said to be.
#[unsafe(no_mangle)] // SAFETY: nothing else has this name.
pub unsafe extern "C" fn siamese_preprocess(
    model: *const siamese_model,
    picture: *const u8,
    width: u16,
    height: u16,
    ink: i32,
    pixels: *mut u8,
    pixel_count: usize,
    fitted: *mut siamese_fitted,
) -> i32 {
    status((|| {
        // On 16-bit machines the product could be too large; there are none here.
        let count = usize::from(width).checked_mul(height.into());
        let model = Part::one(model)?;
        let picture = Part::new(picture, count.ok_or(Error::Length)?)?;
        let pixels = Part::new(pixels, pixel_count)?;
        let fitted = Part::optional(fitted)?;
        let fitted_range = fitted.map_or(0..0, |fitted| fitted.range());
        check_apart(
            &[pixels.range(), fitted_range],
            &[model.range(), picture.range()],
        )?;
        let ink = match ink {
            AUTO => Ink::Auto,
            BRIGHT => Ink::Bright,
            DARK => Ink::Dark,
            _ => return Err(Error::Choice),
        };
        // SAFETY: the caller says that all are there, and they are apart.
        let (model, picture) = unsafe { (model.borrow(), picture.read()) };
        // SAFETY: likewise.
        let pixels = unsafe { pixels.write() };
        let input = model.get()?.header().input;
        if pixels.len() != input.pixels() {
            return Err(Error::Image);
        }
        let mut picture = Grey::new(width, height, picture)?;
        let found = fit(&mut picture, ink, input.width, input.height, pixels)?;
        if let Some(fitted) = fitted {
            let found = siamese_fitted {
                ink: if found.ink == Ink::Dark { DARK } else { BRIGHT },
                left: found.ink_box.left,
                top: found.ink_box.top,
                width: found.ink_box.width,
                height: found.ink_box.height,
            };
            // SAFETY: likewise.
            unsafe { fitted.put(found) };
        }
        Ok(())
    })())
}
