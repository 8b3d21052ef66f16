//! The IDX format: two zero bytes, the type of the items (8 = bytes), the
//! number of axes, each axis as a big-endian `u32`, then the items, and nothing
//! after them.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};
use flate2::bufread::GzDecoder;

use super::Images;
use crate::limit;

/// The type of the items that is read.
const BYTES: u8 = 8;
/// What a file packed by gzip starts with.
const GZIP: [u8; 2] = [0x1f, 0x8b];

impl Images {
    /// Reads an IDX file of images (three axes of bytes), raw or packed by
    /// gzip, whatever its name.
    ///
    /// # Errors
    /// One sentence that names the file: it is missing or unreadable, no IDX
    /// file of images, of an impossible size, cut off, or longer than its
    /// header says. No more memory is taken than the file has content, and [`limit`]
    /// says how much that may be.
    pub fn read(path: &Path) -> Result<Self> {
        let (file, length) = open(path)?;
        Self::parse(file, length).with_context(|| format!("cannot read {}", path.display()))
    }

    /// The same for the content of a file of this length.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn parse(file: impl BufRead, length: u64) -> Result<Self> {
        let ([count, height, width], pixels) = parse_idx::<3>(file, length, "images")?;
        ensure!(
            count > 0 && width > 0 && height > 0,
            "it states {count} images of {width}x{height} pixels; an empty set is of no use"
        );
        Self::new(width as usize, height as usize, pixels)
    }
}

/// Reads an IDX file of labels (one axis of bytes), raw or packed by gzip,
/// whatever its name: one class an image.
///
/// # Errors
/// As [`Images::read`].
pub fn read_labels(path: &Path) -> Result<Vec<u8>> {
    let (file, length) = open(path)?;
    parse_labels(file, length).with_context(|| format!("cannot read {}", path.display()))
}

/// [`read_labels`] for the content of a file of this length.
///
/// # Errors
/// As [`Images::read`].
pub fn parse_labels(file: impl BufRead, length: u64) -> Result<Vec<u8>> {
    let ([count], labels) = parse_idx::<1>(file, length, "labels")?;
    ensure!(count > 0, "it states no labels; an empty set is of no use");
    Ok(labels)
}

/// A file and its length.
fn open(path: &Path) -> Result<(BufReader<File>, u64)> {
    let file = File::open(path)
        .map_err(|error| anyhow!("cannot open {} ({error}); check the path", path.display()))?;
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    Ok((BufReader::new(file), length))
}

/// Reads an IDX file of bytes with `AXES` axes.
fn parse_idx<const AXES: usize>(
    mut file: impl BufRead,
    length: u64,
    what: &str,
) -> Result<([u32; AXES], Vec<u8>)> {
    let mut start = Vec::new();
    file.by_ref()
        .take(GZIP.len() as u64)
        .read_to_end(&mut start)?;
    let packed = start == GZIP;
    let file = Cursor::new(start).chain(file);
    if packed {
        parse_raw(Members::new(file), length, None, what)
    } else {
        // A pipe has no length.
        let content = Some(length).filter(|&length| length > 0);
        parse_raw(file, length, content, what)
    }
}

/// Reads the unpacked bytes of a file of this length; of one that isn't packed, `raw` is the
/// most that there can be.
fn parse_raw<const AXES: usize>(
    mut file: impl Read,
    length: u64,
    raw: Option<u64>,
    what: &str,
) -> Result<([u32; AXES], Vec<u8>)> {
    let mut magic = [0; 4];
    fill(&mut file, &mut magic)?;
    if magic != [0, 0, BYTES, AXES as u8] {
        bail!(
            "{}; expected were {what}, {}",
            described(magic),
            kind(BYTES, AXES as u8)
        );
    }
    let mut axes = [0; AXES];
    for axis in &mut axes {
        let mut bytes = [0; 4];
        fill(&mut file, &mut bytes)?;
        *axis = u32::from_be_bytes(bytes);
    }
    let expected = axes
        .iter()
        .try_fold(1u64, |product, &axis| product.checked_mul(axis.into()))
        .filter(|&items| isize::try_from(items).is_ok())
        .ok_or_else(|| anyhow!("its header states an impossible size, {}", by(&axes)))?;
    let room = match raw {
        // There is no more than that, whatever the header says.
        Some(content) => expected.min(content),
        None => {
            let judged = limit::check(expected, length);
            judged.with_context(|| format!("its header states {}", by(&axes)))?;
            expected
        }
    };
    // Without room to grow, which could be as much again.
    let mut items = Vec::new();
    items.try_reserve_exact(room as usize)?;
    // One byte more than expected, so that a longer file is noticed.
    file.take(expected + 1)
        .read_to_end(&mut items)
        .map_err(damaged)?;
    let found = items.len() as u64;
    if found < expected {
        bail!("it is cut off: {found} of {expected} bytes follow the header; get the file again");
    }
    ensure!(
        found == expected,
        "bytes follow the {expected} that its header announces ({}); get the file again",
        by(&axes)
    );
    Ok((axes, items))
}

/// Fills `buffer`, or says that the file is too short for its header.
fn fill(file: &mut impl Read, buffer: &mut [u8]) -> Result<()> {
    file.read_exact(buffer).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            anyhow!("it is cut off within its header; get the file again")
        }
        _ => damaged(error),
    })
}

/// A read that failed: most often a packed file that is damaged or cut off.
fn damaged(error: io::Error) -> anyhow::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            anyhow!("its gzip data is cut off, or something follows it; get the file again")
        }
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
            anyhow!("its gzip data is damaged ({error}); get the file again")
        }
        _ => error.into(),
    }
}

/// The axes as people write them: `60000 x 28 x 28`.
fn by(axes: &[u32]) -> String {
    axes.iter()
        .map(u32::to_string)
        .collect::<Vec<_>>()
        .join(" x ")
}

/// What a file is that starts so, and is not what was looked for.
fn described(magic: [u8; 4]) -> String {
    match magic {
        [0, 0, BYTES, 1] => "it is an IDX file of labels (bytes with one axis)".to_owned(),
        [0, 0, BYTES, 3] => "it is an IDX file of images (bytes with three axes)".to_owned(),
        [0, 0, items, axes] if item(items).is_some() && axes > 0 => {
            format!("it is an IDX file of {}", kind(items, axes))
        }
        [axes, items, 0, 0] if item(items).is_some() && axes > 0 => format!(
            "it is an IDX file of {} with its header's bytes in reverse order",
            kind(items, axes)
        ),
        [0x89, b'P', b'N', b'G'] | [0xff, 0xd8, ..] | [b'G', b'I', b'F', b'8'] | [b'B', b'M', ..] => {
            "it is a picture and no IDX file; pictures are given as a folder with one folder a class"
                .to_owned()
        }
        _ => format!(
            "it is no IDX file: it starts with {:08x}",
            u32::from_be_bytes(magic)
        ),
    }
}

/// Items of a type with a number of axes, in words.
fn kind(items: u8, axes: u8) -> String {
    let plural = if axes == 1 { "axis" } else { "axes" };
    format!("{} with {axes} {plural}", item(items).unwrap_or("items"))
}

/// The types of items that IDX has, in words.
const fn item(number: u8) -> Option<&'static str> {
    Some(match number {
        BYTES => "bytes",
        9 => "signed bytes",
        0x0b => "16-bit integers",
        0x0c => "32-bit integers",
        0x0d => "32-bit floats",
        0x0e => "64-bit floats",
        _ => return None,
    })
}

/// The unpacked content of a file packed by gzip: all of its members, one after
/// the other, and then nothing but zeros, with which some tools fill the last
/// block of a tape or an image.
struct Members<R>(Option<GzDecoder<R>>);

impl<R: BufRead> Members<R> {
    fn new(file: R) -> Self {
        Self(Some(GzDecoder::new(file)))
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(decoder) = &mut self.0 {
            let count = decoder.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            let file = self.0.take().map(GzDecoder::into_inner);
            self.0 = file.map(next_member).transpose()?.flatten();
        }
        Ok(0)
    }
}

/// What follows a member: another one, or zeros up to the end.
fn next_member<R: BufRead>(mut file: R) -> io::Result<Option<GzDecoder<R>>> {
    let mut padded = false;
    loop {
        let rest = file.fill_buf()?;
        let zeros = rest.iter().take_while(|&&byte| byte == 0).count();
        match (rest.is_empty(), zeros == rest.len()) {
            (true, _) => return Ok(None),
            (_, true) => padded = true,
            _ if padded || zeros > 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            _ => return Ok(Some(GzDecoder::new(file))),
        }
        file.consume(zeros);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    /// An IDX file of bytes.
    fn idx(axes: &[u32], items: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, axes.len() as u8];
        bytes.extend(axes.iter().flat_map(|axis| axis.to_be_bytes()));
        bytes.extend(items);
        bytes
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn images(bytes: &[u8]) -> Result<Images> {
        let mut file = tempfile::NamedTempFile::with_prefix("images-").unwrap();
        file.write_all(bytes).unwrap();
        Images::read(file.path())
    }

    #[test]
    fn raw_and_packed_files_are_the_same() {
        let bytes = idx(&[2, 1, 3], &[1, 2, 3, 4, 5, 6]);
        let read = images(&bytes).unwrap();
        assert_eq!((read.len(), read.width(), read.height()), (2, 3, 1));
        assert_eq!(read.get(1), [4, 5, 6]);
        assert_eq!(images(&gzip(&bytes)).unwrap(), read);
        // A packed file may consist of several packed parts.
        let parts = [gzip(&bytes[..9]), gzip(&bytes[9..])].concat();
        assert_eq!(images(&parts).unwrap(), read);
        // Zeros that fill a last block are no content.
        for zeros in [1, 511, 100_000] {
            let padded = [gzip(&bytes), vec![0; zeros]].concat();
            assert_eq!(images(&padded).unwrap(), read);
        }
    }

    #[test]
    fn images_in_place_of_labels_are_named() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&idx(&[2, 1, 3], &[1, 2, 3, 4, 5, 6]))
            .unwrap();
        let error = format!("{:#}", read_labels(file.path()).unwrap_err());
        assert!(
            error.contains("an IDX file of images") && error.contains("expected were labels"),
            "{error}"
        );
    }

    #[test]
    fn every_bad_file_has_its_sentence() {
        let good = idx(&[2, 1, 3], &[1, 2, 3, 4, 5, 6]);
        let packed = gzip(&good);
        let longer = [good.as_slice(), &[0]].concat();
        let cases: &[(&str, Vec<u8>, &str)] = &[
            ("empty", vec![], "cut off within its header"),
            (
                "half a header",
                good[..9].to_vec(),
                "cut off within its header",
            ),
            (
                "labels",
                idx(&[3], &[0, 1, 2]),
                "it is an IDX file of labels",
            ),
            ("text", b"hello, world".to_vec(), "it is no IDX file"),
            (
                "16-bit",
                [&[0, 0, 0x0b, 3], &good[4..]].concat(),
                "16-bit integers with 3 axes; expected were images, bytes with 3 axes",
            ),
            (
                "floats",
                [&[0, 0, 0x0d, 1], &good[4..]].concat(),
                "32-bit floats with 1 axis",
            ),
            (
                "signed",
                [&[0, 0, 9, 3], &good[4..]].concat(),
                "signed bytes with 3 axes",
            ),
            (
                "colours",
                idx(&[2, 1, 1, 3], &[1, 2, 3, 4, 5, 6]),
                "bytes with 4 axes",
            ),
            (
                "reverse",
                [&[3, 8, 0, 0], &good[4..]].concat(),
                "in reverse order",
            ),
            ("picture", b"\x89PNG\r\n".to_vec(), "it is a picture"),
            (
                "packed, zeros, then rubbish",
                [packed.as_slice(), &[0, 0], b"rubbish"].concat(),
                "something follows",
            ),
            ("cut off", good[..good.len() - 1].to_vec(), "5 of 6 bytes"),
            ("too long", longer.clone(), "bytes follow the 6"),
            ("no images", idx(&[0, 28, 28], &[]), "an empty set"),
            ("no width", idx(&[2, 28, 0], &[]), "an empty set"),
            (
                "huge",
                idx(&[u32::MAX, u32::MAX, u32::MAX], &[]),
                "impossible size",
            ),
            (
                "large",
                idx(&[2_000_000, 28, 28], &[1]),
                "1 of 1568000000 bytes",
            ),
            (
                "packed and cut off",
                packed[..packed.len() - 9].to_vec(),
                "cut off",
            ),
            (
                "packed and damaged",
                [&packed[..10], &[0xff; 20]].concat(),
                "damaged",
            ),
            ("packed and too long", gzip(&longer), "bytes follow the 6"),
            (
                "packed, then rubbish",
                [packed.as_slice(), b"rubbish"].concat(),
                "something follows",
            ),
        ];
        for (name, bytes, sentence) in cases {
            let error = format!("{:#}", images(bytes).unwrap_err());
            assert!(error.contains(sentence), "{name}: {error}");
            assert!(
                error.contains("images-"),
                "{name} doesn't name the file: {error}"
            );
        }
    }

    #[test]
    fn a_bomb_is_not_unpacked() {
        let bomb = gzip(&idx(&[1, 2, 2], &vec![0; 50_000_000]));
        let error = format!("{:#}", images(&bomb).unwrap_err());
        assert!(error.contains("bytes follow the 4"), "{error}");
    }

    #[test]
    fn labels_are_read_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        let [i, l] = ["i.idx", "l.idx.gz"].map(|name| folder.path().join(name));
        std::fs::write(&i, idx(&[3, 1, 1], &[7, 8, 9])).unwrap();
        std::fs::write(&l, gzip(&idx(&[2], &[4, 2]))).unwrap();
        assert_eq!(read_labels(&l).unwrap(), [4, 2]);
        let error = format!("{:#}", super::super::Dataset::read(&i, &l).unwrap_err());
        assert!(
            error.contains("3 images") && error.contains("2 labels"),
            "{error}"
        );
        let error = read_labels(&folder.path().join("none")).unwrap_err();
        assert!(format!("{error:#}").contains("check the path"));
        assert!(read_labels(folder.path()).is_err());
    }
    #[test]
    fn axes_and_starts_are_told_in_words() {
        assert_eq!(by(&[60_000, 28, 28]), "60000 x 28 x 28");
        assert_eq!(by(&[5]), "5");
        for (magic, words) in [
            (
                [0, 0, 8, 1],
                "it is an IDX file of labels (bytes with one axis)",
            ),
            (
                [0, 0, 8, 3],
                "it is an IDX file of images (bytes with three axes)",
            ),
            ([0, 0, 8, 2], "it is an IDX file of bytes with 2 axes"),
            (
                [0, 0, 14, 1],
                "it is an IDX file of 64-bit floats with 1 axis",
            ),
            (
                [3, 12, 0, 0],
                "it is an IDX file of 32-bit integers with 3 axes with its header's bytes in \
                 reverse order",
            ),
            // No axes, or no type of items.
            ([0, 0, 8, 0], "it is no IDX file: it starts with 00000800"),
            ([0, 8, 0, 0], "it is no IDX file: it starts with 00080000"),
            ([0, 0, 7, 3], "it is no IDX file: it starts with 00000703"),
            ([3, 7, 0, 0], "it is no IDX file: it starts with 03070000"),
        ] {
            assert_eq!(described(magic), words);
        }
    }

    #[test]
    fn after_zeros_no_member_follows() {
        let member = gzip(b"abc");
        let read = |pieces: [&[u8]; 3]| {
            // Each piece fills the buffer anew.
            let file = pieces[0].chain(pieces[1]).chain(pieces[2]);
            let mut found = Vec::new();
            let read = Members::new(file).read_to_end(&mut found);
            read.map(|_| found).map_err(|error| error.kind())
        };
        let zeros = [0; 5];
        assert_eq!(read([&member, &member, b""]).unwrap(), b"abcabc");
        assert_eq!(read([&member, &zeros, &zeros]).unwrap(), b"abc");
        let refused = Err(io::ErrorKind::UnexpectedEof);
        assert_eq!(read([&member, &zeros, &member]), refused);
        let both = [&zeros[..], &member].concat();
        assert_eq!(read([&member, b"", &both]), refused);
    }
}
