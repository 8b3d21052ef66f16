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
    const SCAN: u8 = 0xDA;
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
        rest = rest.get(usize::from(length).max(2)..)?;
        if marker == SCAN {
            // Coded pixels: a marker among them is followed by neither 0 nor a restart's byte,
            // which the loop passes over.
            continue;
        }
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
