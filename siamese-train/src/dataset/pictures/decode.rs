//! From a file's bytes to an upright grey picture.

use std::io::Cursor;

use image::error::ImageError;
use image::metadata::Orientation;
use image::{
    DynamicImage, GrayAlphaImage, GrayImage, ImageDecoder, ImageFormat, ImageReader, Limits, Luma,
};

use super::{FORMATS, too_large, whole};

/// The longest side of a picture, in pixels.
pub const MOST_SIDE: u32 = 32_768;
/// The most memory that a picture may take, in bytes.
pub const MOST_BYTES: u64 = 512_000_000;
/// Alpha from which on a pixel counts as visible.
const VISIBLE: u8 = 128;
/// Visible grey values as far apart as this are more than ink alone.
const PICTURE_RANGE: u8 = 64;

/// Whether the first bytes are those of a picture, be it understood or not.
pub fn is_known(start: &[u8]) -> bool {
    image::guess_format(start).is_ok() || is_heif(start)
}

/// The format of many phones, and its kin.
fn is_heif(start: &[u8]) -> bool {
    start.get(4..8) == Some(b"ftyp")
        && matches!(
            start.get(8..12),
            Some(b"heic" | b"heix" | b"hevc" | b"heim" | b"heis" | b"mif1" | b"msf1" | b"avif")
        )
}

/// The grey picture that a file holds; what is wrong with it completes a sentence that begins
/// with the file's name.
pub fn grey(bytes: &[u8]) -> Result<GrayImage, String> {
    if bytes.is_empty() {
        return Err("is empty".to_owned());
    }
    if is_heif(bytes) {
        return Err(
            "is a HEIF or AVIF picture, which is not understood; save it as PNG".to_owned(),
        );
    }
    let unknown = || format!("is no picture that is understood; {FORMATS} are");
    let format = image::guess_format(bytes).map_err(|_| unknown())?;
    if !format.reading_enabled() {
        return Err(unknown());
    }
    let cut_off = || "is cut off or damaged; copy or save it again".to_owned();
    if !whole::is_whole(format, bytes) {
        return Err(cut_off());
    }
    let picture = upright(format, bytes).map_err(|error| match error {
        ImageError::Limits(_) => too_large(),
        ImageError::Unsupported(_) => {
            "is of a rare kind that is not understood; save it as PNG".to_owned()
        }
        _ => cut_off(),
    })?;
    if picture.color().has_alpha() {
        composite(&picture.into_luma_alpha8())
    } else {
        Ok(to_grey(picture))
    }
}

/// Decodes a picture, and turns it as its camera says.
fn upright(format: ImageFormat, bytes: &[u8]) -> Result<DynamicImage, ImageError> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(MOST_SIDE);
    limits.max_image_height = Some(MOST_SIDE);
    limits.max_alloc = Some(MOST_BYTES);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder()?;
    // Not all decoders look at the limits themselves.
    let (width, height) = decoder.dimensions();
    limits.check_dimensions(width, height)?;
    limits.reserve(decoder.total_bytes())?;
    // Damaged remarks on a picture leave it as it is.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder)?;
    picture.apply_orientation(orientation);
    Ok(picture)
}

/// Grey values of 8 bits. Cameras with 10 to 14 bits write them into 16 as they are: the
/// pictures would be nearly black.
fn to_grey(picture: DynamicImage) -> GrayImage {
    let wide = picture.color().bytes_per_pixel() / picture.color().channel_count() > 1;
    if !wide {
        return picture.into_luma8();
    }
    let grey = picture.into_luma16();
    let brightest = grey.iter().copied().max().unwrap_or(0);
    let bits = u16::BITS - brightest.leading_zeros();
    let shift = if (10..=14).contains(&bits) {
        bits - 8
    } else {
        8
    };
    let (width, height) = grey.dimensions();
    let pixels = grey.iter().map(|&pixel| (pixel >> shift) as u8).collect();
    GrayImage::from_raw(width, height, pixels).expect("as many pixels as before")
}

/// Puts a ground behind a picture that is transparent here and there.
///
/// Ink alone gets the ground that it stands out from: white behind dark ink, black behind
/// bright. A picture with its own ground, transparent at its edges, is continued with that.
fn composite(picture: &GrayAlphaImage) -> Result<GrayImage, String> {
    let mut histogram = [0u64; 256];
    let (mut sum, mut weight) = (0u64, 0u64);
    for pixel in picture.pixels() {
        let [grey, alpha] = pixel.0;
        sum += u64::from(grey) * u64::from(alpha);
        weight += u64::from(alpha);
        histogram[usize::from(grey)] += u64::from(alpha >= VISIBLE);
    }
    if weight == 0 {
        return Err("is transparent all over".to_owned());
    }
    let visible: u64 = histogram.iter().sum();
    let at = |place: u64| {
        let mut seen = 0;
        let mut reached = |&count: &u64| {
            seen += count;
            seen > place
        };
        histogram.iter().position(&mut reached).unwrap_or(0) as u8
    };
    let all = u64::from(picture.width()) * u64::from(picture.height());
    let rare = visible / 1024;
    let range = at(visible.saturating_sub(1 + rare)).saturating_sub(at(rare));
    let ground = if 2 * visible >= all && range >= PICTURE_RANGE {
        at(visible / 2)
    } else if 2 * sum < weight * 255 {
        255
    } else {
        0
    };
    let (width, height) = picture.dimensions();
    Ok(GrayImage::from_fn(width, height, |x, y| {
        let [grey, alpha] = picture.get_pixel(x, y).0.map(u32::from);
        let mixed = grey * alpha + u32::from(ground) * (255 - alpha);
        Luma([((mixed + 127) / 255) as u8])
    }))
}
