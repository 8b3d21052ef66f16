//! Whether a file is whole: decoders make pictures of files that were cut off, too.

use image::ImageFormat;

/// Whether the file goes on to the end that its format marks. Formats without a mark are left
/// to their decoders, which miss what is missing.
pub fn is_whole(format: ImageFormat, bytes: &[u8]) -> bool {
    match format {
        ImageFormat::Jpeg => jpeg_ends(bytes).is_some(),
        ImageFormat::Png => png_ends(bytes).is_some(),
        ImageFormat::WebP => riff_fits(bytes).is_some(),
        _ => true,
    }
}

/// Goes from marker to marker up to the end of the image.
fn jpeg_ends(bytes: &[u8]) -> Option<()> {
    const END: u8 = 0xD9;
    // The thumbnail's own end lies inside a segment, which is skipped.
    let mut rest = bytes.get(2..)?;
    loop {
        // Between segments: a marker, perhaps after bytes that fill up.
        let at = rest.iter().position(|&byte| byte == 0xFF)?;
        rest = rest.get(at..)?;
        let at = rest.iter().position(|&byte| byte != 0xFF)?;
        let marker = *rest.get(at)?;
        rest = rest.get(at + 1..)?;
        match marker {
            END => return Some(()),
            // No markers: a stuffed zero, restarts, and a lone byte.
            0 | 0x01 | 0xD0..=0xD8 => continue,
            _ => {}
        }
        let length = rest
            .first_chunk()
            .map(|&length| u16::from_be_bytes(length))?;
        // Behind a scan's header come coded pixels: a marker among them is followed by 0 or a
        // restart's byte, which the loop passes over.
        rest = rest.get(usize::from(length).max(2)..)?;
    }
}

/// Goes from chunk to chunk up to the last.
fn png_ends(bytes: &[u8]) -> Option<()> {
    let mut rest = bytes.get(8..)?;
    loop {
        let length = rest
            .first_chunk()
            .map(|&length| u32::from_be_bytes(length))?;
        let kind = rest.get(4..8)?;
        // Length, kind and checksum.
        let all = usize::try_from(length).ok()?.checked_add(12)?;
        let next = rest.get(all..)?;
        if kind == b"IEND" {
            return Some(());
        }
        rest = next;
    }
}

/// The file is as long as its container says.
fn riff_fits(bytes: &[u8]) -> Option<()> {
    let length = bytes.get(4..)?.first_chunk()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    (bytes.len() >= length.checked_add(8)?).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file is whole, and with more behind it; but no shorter one is.
    fn ends_here(format: ImageFormat, bytes: &[u8]) {
        assert!(is_whole(format, bytes));
        assert!(is_whole(format, &[bytes, b"more"].concat()));
        for end in 0..bytes.len() {
            assert!(!is_whole(format, &bytes[..end]), "{format:?} {end}");
        }
    }

    #[test]
    fn a_jpeg_goes_to_its_own_end() {
        // A segment whose thumbnail has an end; bytes that fill up; a scan with a stuffed
        // zero and a restart among its pixels.
        ends_here(
            ImageFormat::Jpeg,
            b"\xFF\xD8\xFF\xE1\0\x04\xFF\xD9\xFF\xFF\xDB\0\x03\x07\
              \xFF\xDA\0\x02\x12\xFF\0\x34\xFF\xD7\x56\xFF\xD9",
        );
        // A restart and a lone byte have no length, which these bytes would be.
        for lone in [b"\0", b"\x01", b"\xD0", b"\xD8"] {
            let bytes = [&b"\xFF\xD8\xFF"[..], lone, b"\x40\x40\xFF\xD9"].concat();
            assert!(is_whole(ImageFormat::Jpeg, &bytes), "{lone:?}");
        }
    }

    #[test]
    fn a_png_goes_to_its_last_chunk() {
        ends_here(
            ImageFormat::Png,
            b"\x89PNG\r\n\x1a\n\0\0\0\x02IHDRabcrc1\0\0\0\0IDATcrc2\0\0\0\0IENDcrc3",
        );
    }

    #[test]
    fn a_webp_is_as_long_as_it_says() {
        ends_here(ImageFormat::WebP, b"RIFF\x06\0\0\0WEBPab");
    }

    #[test]
    fn what_marks_no_end_is_left_to_its_decoder() {
        assert!(is_whole(ImageFormat::Bmp, b"BM"));
    }
}
