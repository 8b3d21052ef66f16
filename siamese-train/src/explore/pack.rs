//! How bytes travel in a page: packed, and as text.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::DeflateEncoder;

use crate::dataset::Images;

/// Bytes as text: deflated, in base 64.
pub fn packed(bytes: &[u8]) -> std::io::Result<String> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    Ok(STANDARD.encode(encoder.finish()?))
}

/// Numbers of 16 bits, the upper bytes of all first: neighbours resemble each other there.
pub fn halves(numbers: impl Iterator<Item = u16> + Clone) -> Vec<u8> {
    let bytes = |byte: usize| {
        numbers
            .clone()
            .map(move |number| number.to_be_bytes()[byte])
    };
    bytes(0).chain(bytes(1)).collect()
}

/// Images in so many grey levels, 2, 4, 8 or 16, with as many bits a pixel as 2, 4 or 16 need: the
/// first pixel in the lowest bits of a byte.
pub fn thumbs(images: &Images, levels: u8) -> Vec<u8> {
    let bits = match levels {
        ..=2 => 1,
        3..=4 => 2,
        _ => 4,
    };
    let most = f32::from(levels - 1);
    let level = |pixel: u8| (f32::from(pixel) * most / 255.0).round() as u8;
    let bytes = images.pixels().chunks(8 / bits);
    bytes
        .map(|pixels| {
            let pixels = pixels.iter().zip((0..).step_by(bits));
            pixels.fold(0, |byte, (&pixel, shift)| byte | level(pixel) << shift)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upper_bytes_come_first() {
        let numbers = [0x0102, 0xA0B0, 0x0304].into_iter();
        assert_eq!(halves(numbers), [1, 0xA0, 3, 2, 0xB0, 4]);
    }

    #[test]
    fn pixels_keep_their_order_and_their_ends() {
        let images = Images::new(3, 1, vec![0, 255, 128, 17, 0, 255]).unwrap();
        assert_eq!(thumbs(&images, 16), [0xF0, 0x18, 0xF0]);
        assert_eq!(thumbs(&images, 8), [0x70, 0x04, 0x70]);
        assert_eq!(thumbs(&images, 4), [0b00_10_11_00, 0b11_00]);
        assert_eq!(thumbs(&images, 2), [0b10_0110]);
    }

    #[test]
    fn what_is_packed_can_be_unpacked() {
        let bytes: Vec<u8> = (0..5000u32).map(|i| (i * i % 251) as u8).collect();
        let text = packed(&bytes).unwrap();
        let deflated = STANDARD.decode(text).unwrap();
        let mut decoder = flate2::read::DeflateDecoder::new(&deflated[..]);
        let mut read = Vec::new();
        std::io::Read::read_to_end(&mut decoder, &mut read).unwrap();
        assert_eq!(read, bytes);
    }
}
