//! How strongly images are distorted while a network trains.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// The strength of each distortion; all are drawn anew for each image.
///
/// Lengths are in pixels of an image of [`SIDE`] pixels a side. What an image of
/// another size gets is in proportion to its own sides: an 8x8 image is shifted by
/// 8/28 of `shift`. Pens, blur and noise reach from one pixel to the next; where
/// pixels are larger than in such an image they are weaker in the same proportion.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Augmentation {
    /// Shift in both directions, in pixels of [`SIDE`]: uniform up to ± this.
    pub shift: f32,
    /// Rotation in degrees: uniform up to ± this.
    pub rotation: f32,
    /// Relative change of size in each direction: uniform up to ± this.
    pub scale: f32,
    /// Horizontal shear: uniform up to ± this.
    pub shear: f32,
    /// Standard deviation of a smooth displacement field, in pixels of [`SIDE`].
    pub elastic: f32,
    /// The share of images whose strokes become thicker or thinner, by up to a
    /// pixel on each side.
    pub thickness: f32,
    /// The share of images that are blurred, by up to a 3x3 mean.
    pub blur: f32,
    /// The share of images with noise of a standard deviation of up to
    /// [`MAX_NOISE`] grey values.
    pub noise: f32,
    /// The share of images that are not moved or bent.
    pub clean: f32,
}

/// The side of the images that the lengths are meant for.
pub const SIDE: f32 = 28.0;

/// The strongest noise, as the standard deviation of a grey value.
pub const MAX_NOISE: f32 = 50.0;

impl Augmentation {
    /// Checks that every strength is possible.
    ///
    /// # Errors
    /// One sentence that names the strength which is not.
    pub fn check(&self) -> Result<()> {
        let lengths = [
            ("shift", self.shift),
            ("rotation", self.rotation),
            ("shear", self.shear),
            ("elastic", self.elastic),
        ];
        for (name, value) in lengths {
            ensure!(
                value.is_finite() && value >= 0.0,
                "the augmentation's {name} must be a number of at least 0, not {value}"
            );
        }
        ensure!(
            (0.0..1.0).contains(&self.scale),
            "the augmentation's scale must be at least 0 and below 1, not {}",
            self.scale
        );
        let shares = [
            ("thickness", self.thickness),
            ("blur", self.blur),
            ("noise", self.noise),
            ("clean", self.clean),
        ];
        for (name, value) in shares {
            ensure!(
                (0.0..=1.0).contains(&value),
                "the augmentation's {name} is a share of the images, 0 to 1, not {value}"
            );
        }
        Ok(())
    }

    /// Leaves every image as it is.
    pub const NONE: Self = Self {
        shift: 0.0,
        rotation: 0.0,
        scale: 0.0,
        shear: 0.0,
        elastic: 0.0,
        thickness: 0.0,
        blur: 0.0,
        noise: 0.0,
        clean: 1.0,
    };

    /// Distortions that a reader of the digit hardly notices.
    pub const LIGHT: Self = Self {
        shift: 1.0,
        rotation: 7.0,
        scale: 0.06,
        shear: 0.06,
        elastic: 0.6,
        thickness: 0.0,
        blur: 0.0,
        noise: 0.0,
        clean: 0.1,
    };

    /// Stronger, and with other pens and cameras: for images from a real device.
    pub const ROBUST: Self = Self {
        shift: 1.25,
        rotation: 10.0,
        scale: 0.08,
        shear: 0.08,
        elastic: 0.7,
        thickness: 0.2,
        blur: 0.1,
        noise: 0.2,
        clean: 0.1,
    };

    /// As strong as a reader of the digit can bear: for networks that are to
    /// tell apart what they were never shown.
    pub const STRONG: Self = Self {
        shift: 2.5,
        rotation: 20.0,
        scale: 0.2,
        shear: 0.3,
        elastic: 0.0,
        thickness: 0.0,
        blur: 0.0,
        noise: 0.0,
        clean: 0.0,
    };
}
