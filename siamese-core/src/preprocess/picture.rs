//! Where a picture's rows come from.

use super::{PictureError, check_pixels};

/// A picture that can be read row by row, more than once.
///
/// A row that is shorter than the picture's width counts as that much shorter; one that
/// is longer is cut off.
pub trait Rows {
    /// Pixels in a row.
    fn width(&self) -> u16;

    /// Rows.
    fn height(&self) -> u16;

    /// The grey values of row `y`, which is below [`height`](Self::height).
    fn row(&mut self, y: u16) -> &[u8];
}

/// A grey picture in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grey<'a> {
    width: u16,
    height: u16,
    pixels: &'a [u8],
}

impl<'a> Grey<'a> {
    /// A picture from its `width * height` grey values, row-major.
    ///
    /// # Errors
    /// [`PictureError::Empty`] if a side is zero; [`PictureError::Pixels`] if `pixels` has
    /// another length.
    pub fn new(width: u16, height: u16, pixels: &'a [u8]) -> Result<Self, PictureError> {
        if width == 0 || height == 0 {
            return Err(PictureError::Empty);
        }
        check_pixels(width, height, pixels.len())?;
        Ok(Self {
            width,
            height,
            pixels,
        })
    }
}

impl Rows for Grey<'_> {
    fn width(&self) -> u16 {
        self.width
    }

    fn height(&self) -> u16 {
        self.height
    }

    fn row(&mut self, y: u16) -> &[u8] {
        let width = usize::from(self.width);
        let rest = usize::from(y)
            .checked_mul(width)
            .and_then(|start| self.pixels.get(start..));
        rest.and_then(|rest| rest.get(..width)).unwrap_or_default()
    }
}

/// A buffer of `N` bytes for a picture that comes in parts, as the lines of a camera or
/// messages bring it: any picture of at most `N` pixels.
///
/// ```
/// use siamese_core::preprocess::{Picture, PictureError};
///
/// let mut picture = Picture::<1024>::new();
/// picture.begin(32, 2)?;
/// picture.push(&[0; 32])?;
/// assert!(picture.grey().is_err()); // half of it is missing
/// picture.push(&[9; 32])?;
/// assert!(picture.grey().is_ok());
/// # Ok::<(), PictureError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Picture<const N: usize> {
    width: u16,
    height: u16,
    filled: usize,
    pixels: [u8; N],
}

impl<const N: usize> Picture<N> {
    /// An empty buffer.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            width: 0,
            height: 0,
            filled: 0,
            pixels: [0; N],
        }
    }

    /// Forgets what there is, and begins a picture of this size.
    ///
    /// # Errors
    /// [`PictureError::Empty`] if a side is zero, and [`PictureError::TooLarge`] if there are
    /// more than `N` pixels; the buffer is empty then.
    pub fn begin(&mut self, width: u16, height: u16) -> Result<(), PictureError> {
        (self.width, self.height, self.filled) = (0, 0, 0);
        if width == 0 || height == 0 {
            return Err(PictureError::Empty);
        }
        // At most 65535 * 65535, which 32 bits hold.
        let pixels = u32::from(width) * u32::from(height);
        let room = u32::try_from(N).unwrap_or(u32::MAX);
        if pixels > room {
            return Err(PictureError::TooLarge { pixels, room });
        }
        (self.width, self.height) = (width, height);
        Ok(())
    }

    /// Takes the next grey values, a row, a part of one, or several rows.
    ///
    /// # Errors
    /// [`PictureError::Pixels`] if they are more than are missing: none is taken.
    pub fn push(&mut self, pixels: &[u8]) -> Result<(), PictureError> {
        let expected = self.expected();
        let end = self.filled.saturating_add(pixels.len());
        let free = self.pixels.get_mut(self.filled..end);
        match free {
            Some(free) if end <= expected => {
                free.iter_mut()
                    .zip(pixels)
                    .for_each(|(to, &from)| *to = from);
                self.filled = end;
                Ok(())
            }
            _ => Err(PictureError::Pixels {
                expected: u32::try_from(expected).unwrap_or(u32::MAX),
                found: u32::try_from(end).unwrap_or(u32::MAX),
            }),
        }
    }

    /// The pixels that have come.
    #[must_use]
    pub const fn filled(&self) -> usize {
        self.filled
    }

    /// The picture, if all of it has come.
    ///
    /// # Errors
    /// [`PictureError::Empty`] if none was begun; [`PictureError::Pixels`] if pixels are
    /// missing.
    pub fn grey(&self) -> Result<Grey<'_>, PictureError> {
        let pixels = self.pixels.get(..self.filled).unwrap_or_default();
        Grey::new(self.width, self.height, pixels)
    }

    /// The pixels of the picture that was begun; at most `N`.
    fn expected(&self) -> usize {
        usize::from(self.width).saturating_mul(self.height.into())
    }
}

impl<const N: usize> Default for Picture<N> {
    fn default() -> Self {
        Self::new()
    }
}
