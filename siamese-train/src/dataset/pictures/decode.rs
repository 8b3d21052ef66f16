//! From a file's bytes to an upright grey picture.

use std::io::Cursor;
use std::panic::{self, UnwindSafe};

use image::error::ImageError;
use image::metadata::Orientation;
use image::{
    DynamicImage, GrayAlphaImage, GrayImage, ImageDecoder, ImageFormat, ImageReader, Limits, Luma,
};

use super::{FORMATS, too_large, whole};
use crate::limit;

/// The longest side of a picture, in pixels.
pub const MOST_SIDE: u32 = 32_768;
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
    let decoded = unless_it_panics(|| upright(format, bytes)).ok_or_else(cut_off)?;
    let picture = decoded.map_err(|error| match error {
        ImageError::Limits(_) => too_large(bytes.len()),
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

/// What a decoder gives. They are other people's work: one that panics must not end the reading
/// of a folder.
fn unless_it_panics<T>(decode: impl FnOnce() -> T + UnwindSafe) -> Option<T> {
    panic::catch_unwind(decode).ok()
}

/// Decodes a picture, and turns it as its camera says.
fn upright(format: ImageFormat, bytes: &[u8]) -> Result<DynamicImage, ImageError> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(MOST_SIDE);
    limits.max_image_height = Some(MOST_SIDE);
    limits.max_alloc = Some(limit::of(bytes.len() as u64));
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder()?;
    // Not all decoders look at the limits themselves.
    let (width, height) = decoder.dimensions();
    limits.check_dimensions(width, height)?;
    limits.reserve(needed(&decoder))?;
    // Damaged remarks on a picture leave it as it is.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder)?;
    picture.apply_orientation(orientation);
    Ok(picture)
}

/// The bytes that a picture takes until it is grey: its pixels, as much again for its decoder or
/// to turn it, and grey values of 16 bits with their alpha.
fn needed(decoder: &impl ImageDecoder) -> u64 {
    let (width, height) = decoder.dimensions();
    let grey = u64::from(width) * u64::from(height) * 4;
    decoder.total_bytes().saturating_mul(2).saturating_add(grey)
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

#[cfg(test)]
mod tests {
    use image::{ImageBuffer, Rgb};

    use super::*;

    /// A picture of grey values and their alpha, put on a ground.
    fn on_ground(width: u32, pixels: &[[u8; 2]]) -> Vec<u8> {
        let height = pixels.len() as u32 / width;
        let picture = GrayAlphaImage::from_raw(width, height, pixels.concat()).unwrap();
        composite(&picture).unwrap().into_raw()
    }

    #[test]
    fn a_decoder_that_panics_gives_nothing() {
        assert_eq!(unless_it_panics(|| 7), Some(7));
        assert_eq!(
            unless_it_panics(|| panic!("too many coefficients")),
            None::<u8>
        );
    }

    #[test]
    fn the_first_bytes_tell_pictures_from_all_else() {
        for known in [
            &b"\x89PNG\r\n\x1a\n"[..],
            b"P5\n1 1\n",
            b"\0\0\0\x18ftypheic\0\0",
            b"\0\0\0\x18ftypavif\0\0",
        ] {
            assert!(is_known(known), "{known:?}");
        }
        // A film, a text about pictures, and half a start.
        for unknown in [
            &b"\0\0\0\x18ftypisom\0\0"[..],
            b"\0\0\0\x18 is heic\0\0",
            b"\0\0\0\x18ftyp",
            b"",
        ] {
            assert!(!is_known(unknown), "{unknown:?}");
        }
    }

    #[test]
    fn ink_alone_gets_the_ground_that_it_stands_out_from() {
        // Dark ink, once opaque and once not: 20 * 100 + 255 * 155 is 163.3 * 255.
        let mut pixels = [[90, 0]; 8];
        (pixels[2], pixels[5]) = ([20, 255], [20, 100]);
        let expected = [255, 255, 20, 255, 255, 163, 255, 255];
        assert_eq!(on_ground(4, &pixels), expected);
        // Bright ink: 200 * 100 is 78.4 * 255.
        (pixels[2], pixels[5]) = ([200, 255], [200, 100]);
        assert_eq!(on_ground(4, &pixels), [0, 0, 200, 0, 0, 78, 0, 0]);
        // 200 * 101 is 79.2 * 255, and 200 * 103 is 80.8 * 255: to the nearest.
        (pixels[2], pixels[5]) = ([200, 101], [200, 103]);
        assert_eq!(on_ground(4, &pixels), [0, 0, 79, 0, 0, 81, 0, 0]);
        // Ink counts as much as it is visible: 40 pixels' worth of dark against 2 of bright.
        let pixels = [[255, 2], [255, 2], [0, 40], [7, 0], [7, 0]];
        assert_eq!(on_ground(5, &pixels), [255, 255, 215, 255, 255]);
        // Neither dark nor bright in the mean.
        let pixels = [[0, 255], [255, 255], [7, 0], [7, 0], [7, 0]];
        assert_eq!(on_ground(5, &pixels), [0, 255, 0, 0, 0]);
        // Ink of two greys that covers less than half: 0, 0 and 200.
        let mut pixels = [[7, 0]; 8];
        pixels[..3].copy_from_slice(&[[0, 255], [0, 255], [200, 255]]);
        assert_eq!(on_ground(4, &pixels)[3..], [255; 5]);
    }

    #[test]
    fn a_picture_with_a_ground_of_its_own_is_continued_with_that() {
        // Paper of 200 with ink of 50, on five of eight pixels.
        let mut pixels = [[0, 0]; 8];
        pixels[..5].fill([200, 255]);
        pixels[1] = [50, 255];
        let expected = [200, 50, 200, 200, 200, 200, 200, 200];
        assert_eq!(on_ground(4, &pixels), expected);
        // On half of the pixels, and of two greys as often: the brighter.
        let mut pixels = [[0, 0]; 8];
        pixels[..4].copy_from_slice(&[[50, 255], [50, 255], [200, 255], [200, 255]]);
        assert_eq!(on_ground(4, &pixels)[4..], [200; 4]);
        // Greys 64 apart are a picture, those 63 apart ink alone.
        for (other, ground) in [(84, 20), (83, 255)] {
            let pixels = [[20, 255], [20, 255], [other, 255], [0, 0]];
            assert_eq!(on_ground(4, &pixels)[3], ground, "{other}");
        }
        // An alpha of 128 is visible, one of 127 is not: three of four pixels or one.
        for (alpha, ground) in [(128, 20), (127, 255)] {
            let pixels = [[20, 255], [20, alpha], [84, alpha], [0, 0]];
            assert_eq!(on_ground(4, &pixels)[3], ground, "{alpha}");
        }
    }

    #[test]
    fn specks_make_no_ground() {
        // Of 2048 visible pixels, two at either end of the greys are passed over.
        for (black, white, ground) in [(2, 2, 255), (3, 2, 100), (2, 3, 100)] {
            let mut pixels = [[0, 0]; 2560];
            pixels[..2048].fill([100, 255]);
            pixels[..black].fill([0, 255]);
            pixels[2048 - white..2048].fill([255, 255]);
            assert_eq!(on_ground(64, &pixels)[2559], ground, "{black} {white}");
        }
    }

    #[test]
    fn what_is_transparent_all_over_is_refused() {
        let error = composite(&GrayAlphaImage::new(3, 2)).unwrap_err();
        assert_eq!(error, "is transparent all over");
    }

    #[test]
    fn the_bits_of_a_camera_are_brought_to_eight() {
        let grey = |pixels: &[u16]| {
            let picture = ImageBuffer::from_raw(pixels.len() as u32, 1, pixels.to_vec()).unwrap();
            to_grey(DynamicImage::ImageLuma16(picture)).into_raw()
        };
        // 10, 12 and 14 bits; 9 and 15 are no camera's.
        assert_eq!(grey(&[1023, 512, 7, 0]), [255, 128, 1, 0]);
        assert_eq!(grey(&[4095, 160, 15, 0]), [255, 10, 0, 0]);
        assert_eq!(grey(&[16_383, 640, 63, 0]), [255, 10, 0, 0]);
        assert_eq!(grey(&[511, 255]), [1, 0]);
        assert_eq!(grey(&[32_767, 256]), [127, 1]);
        assert_eq!(grey(&[65_535, 300]), [255, 1]);
    }

    #[test]
    fn eight_bits_stay_however_dark() {
        let dark = GrayImage::from_raw(3, 1, vec![0, 1, 40]).unwrap();
        assert_eq!(to_grey(dark.into()).into_raw(), [0, 1, 40]);
        let colours = ImageBuffer::from_fn(2, 1, |x, _| Rgb([30 * x as u8; 3]));
        assert_eq!(
            to_grey(DynamicImage::ImageRgb8(colours)).into_raw(),
            [0, 30]
        );
    }

    #[test]
    fn what_can_t_be_decoded_has_its_sentence() {
        // A TIFF of one pixel that is said to be a mask.
        let mut mask = b"II*\0\x08\0\0\0\x08\0".to_vec();
        for (tag, value) in [
            (256u16, 1u32),
            (257, 1),
            (258, 8),
            (259, 1),
            (262, 4),
            (273, 8),
            (278, 1),
            (279, 1),
        ] {
            mask.extend(tag.to_le_bytes());
            mask.extend([4, 0, 1, 0, 0, 0]);
            mask.extend(value.to_le_bytes());
        }
        mask.extend([0; 4]);
        for (bytes, sentence) in [
            (
                &mask[..],
                "is of a rare kind that is not understood; save it as PNG",
            ),
            (
                b"P5\n32769 1\n255\n",
                "is too large: pictures have at most 32768x32768 pixels, and one in a file of its \
                 size may take 512 MB; make it smaller, or raise that by --limit",
            ),
            (
                b"P5\n9 9\n255\n",
                "is cut off or damaged; copy or save it again",
            ),
            (
                b"\0\0\0\x18ftypheic\0\0",
                "is a HEIF or AVIF picture, which is not understood; save it as PNG",
            ),
            (b"", "is empty"),
        ] {
            assert_eq!(grey(bytes).unwrap_err(), sentence);
        }
        assert_eq!(grey(b"P5\n2 1\n255\n\x07\x09").unwrap().into_raw(), [7, 9]);
    }
}
