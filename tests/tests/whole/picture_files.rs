//! Picture files as people have them: whatever form a drawing comes in, it gives the same
//! image; and what can't be used is named, in words.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use image::imageops::{flip_horizontal, flip_vertical, rotate90, rotate180, rotate270};
use image::{DynamicImage, GrayImage, ImageBuffer, ImageFormat, Luma, LumaA, Rgb, Rgba};
use siamese_tests::test_images;
use siamese_train::dataset::pictures::{Ink, Options, Pictures, class_folders, find, read};

const SIDE: usize = 28;

/// How much ink a drawing has at a place: a hook that no turn and no mirror leaves as it is.
fn ink(x: u32, y: u32) -> u8 {
    let long = (20..26).contains(&x) && (8..56).contains(&y);
    let short = (20..44).contains(&x) && (8..15).contains(&y);
    let dot = (36..42).contains(&x) && (20..28).contains(&y);
    if long || short || dot { 255 } else { 0 }
}

/// The drawing, bright on black.
fn drawing() -> GrayImage {
    GrayImage::from_fn(72, 64, |x, y| Luma([ink(x, y)]))
}

fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn png(picture: impl Into<DynamicImage>) -> Vec<u8> {
    encoded(&picture.into(), ImageFormat::Png)
}

fn jpeg(picture: &GrayImage) -> Vec<u8> {
    encoded(&picture.clone().into(), ImageFormat::Jpeg)
}

/// Writes a file and reads it as a picture.
fn read_as(name: &str, bytes: &[u8], ink: Ink) -> Result<Pictures, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    let options = Options {
        ink,
        ..Options::default()
    };
    read(&[path], SIDE, SIDE, &options).map_err(|error| format!("{error:#}"))
}

fn image_of(name: &str, bytes: &[u8]) -> Vec<u8> {
    let pictures = read_as(name, bytes, Ink::Auto).unwrap_or_else(|error| panic!("{error}"));
    pictures.images.get(0).to_vec()
}

/// The image that all forms of the drawing should give.
fn expected() -> Vec<u8> {
    image_of("a.png", &png(drawing()))
}

/// The mean difference of two images' grey values.
fn difference(a: &[u8], b: &[u8]) -> f64 {
    let sum: u32 = a
        .iter()
        .zip(b)
        .map(|(a, b)| u32::from(a.abs_diff(*b)))
        .sum();
    f64::from(sum) / a.len() as f64
}

#[test]
fn ink_on_a_transparent_ground_is_seen() {
    let rgba = |r, g, b| {
        let pixel = |x, y| Rgba([r, g, b, ink(x, y)]);
        png(ImageBuffer::from_fn(72, 64, pixel))
    };
    let la = |grey| {
        png(ImageBuffer::from_fn(72, 64, |x, y| {
            LumaA([grey, ink(x, y)])
        }))
    };
    for (what, bytes, turned) in [
        ("black", rgba(0, 0, 0), 1),
        ("blue", rgba(0, 0, 200), 1),
        ("white", rgba(255, 255, 255), 0),
        ("grey with alpha, black", la(0), 1),
        ("grey with alpha, white", la(255), 0),
    ] {
        let found = read_as("a.png", &bytes, Ink::Auto).unwrap();
        assert_eq!(found.images.get(0), expected(), "{what}");
        assert_eq!(found.turned, turned, "{what}");
    }
    let empty = png(ImageBuffer::from_fn(72, 64, |_, _| Rgba([9u8, 9, 9, 0])));
    let error = read_as("a.png", &empty, Ink::Auto).unwrap_err();
    assert!(error.ends_with("a.png is transparent all over"), "{error}");
}

#[test]
fn palettes_may_be_transparent() {
    // Two colours, the first transparent, with black or white ink.
    for ink_level in [0, 255] {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 72, 64);
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_depth(png::BitDepth::Eight);
        let other = [ink_level; 3];
        encoder.set_palette([other, other].concat());
        encoder.set_trns(vec![0, 255]);
        let indices: Vec<u8> = drawing().iter().map(|&p| u8::from(p > 0)).collect();
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(&indices).unwrap();
        writer.finish().unwrap();
        assert_eq!(image_of("a.png", &bytes), expected(), "{ink_level}");
    }
}

#[test]
fn paper_with_transparent_corners_stays_paper() {
    let paper = ImageBuffer::from_fn(72, 64, |x, y| {
        let corner = !(4..68).contains(&x) && !(4..60).contains(&y);
        Rgba(
            [
                [255 - ink(x, y); 3].as_slice(),
                &[if corner { 0 } else { 255 }],
            ]
            .concat()
            .try_into()
            .unwrap(),
        )
    });
    assert_eq!(image_of("a.png", &png(paper)), expected());
}

/// A JPEG with a remark that says how its camera was held.
fn held(upright: &GrayImage, orientation: u8) -> Vec<u8> {
    let stored = match orientation {
        1 => upright.clone(),
        2 => flip_horizontal(upright),
        3 => rotate180(upright),
        4 => flip_vertical(upright),
        5 => flip_horizontal(&rotate90(upright)),
        6 => rotate270(upright),
        7 => flip_horizontal(&rotate270(upright)),
        _ => rotate90(upright),
    };
    let mut exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let plain = jpeg(&stored);
    let mut bytes = plain[..2].to_vec();
    bytes.extend([0xFF, 0xE1]);
    bytes.extend((exif.len() as u16 + 2).to_be_bytes());
    bytes.extend(exif);
    bytes.extend(&plain[2..]);
    bytes
}

#[test]
fn pictures_are_turned_as_the_camera_was_held() {
    let upright = image_of("a.jpg", &jpeg(&drawing()));
    assert!(difference(&upright, &expected()) < 4.0);
    for orientation in 1..=8 {
        let found = image_of("a.jpg", &held(&drawing(), orientation));
        let off = difference(&found, &upright);
        assert!(off < 4.0, "{orientation}: {off}");
    }
    let lying = difference(&image_of("a.jpg", &jpeg(&rotate270(&drawing()))), &upright);
    assert!(lying > 20.0, "{lying}");
}

#[test]
fn the_content_says_the_format() {
    let picture = DynamicImage::from(drawing());
    let colour = DynamicImage::from(picture.to_rgb8());
    for (name, bytes) in [
        ("webp.webp", encoded(&colour, ImageFormat::WebP)),
        ("tiff.tif", encoded(&picture, ImageFormat::Tiff)),
        ("bmp.bmp", encoded(&colour, ImageFormat::Bmp)),
        ("pnm.pgm", encoded(&picture, ImageFormat::Pnm)),
        (
            "gif.gif",
            encoded(&DynamicImage::from(picture.to_rgba8()), ImageFormat::Gif),
        ),
        ("tiff.png", encoded(&picture, ImageFormat::Tiff)),
        ("without-an-ending", png(drawing())),
    ] {
        assert_eq!(image_of(name, &bytes), expected(), "{name}");
    }
    let found = image_of("jpeg.png", &jpeg(&drawing()));
    assert!(difference(&found, &expected()) < 4.0);
}

#[test]
fn sixteen_bits_are_as_good_as_eight() {
    let wide = |scale: fn(u16) -> u16| {
        let pixel = |x, y| Luma([scale(u16::from(ink(x, y)))]);
        png(DynamicImage::ImageLuma16(ImageBuffer::from_fn(
            72, 64, pixel,
        )))
    };
    assert_eq!(image_of("a.png", &wide(|p| p * 257)), expected());
    // A camera of 12 bits.
    assert_eq!(image_of("a.png", &wide(|p| p << 4)), expected());
    let colour = ImageBuffer::from_fn(72, 64, |x, y| Rgb([u16::from(ink(x, y)) * 257; 3]));
    assert_eq!(
        image_of("a.png", &png(DynamicImage::ImageRgb16(colour))),
        expected()
    );
}

#[test]
fn crops_and_grounds_make_no_difference() {
    // The hook begins at column 20, row 8, and is 24 x 48 pixels large.
    let place = |(width, height): (u32, u32), (left, top): (u32, u32), ground: u8, full: u8| {
        GrayImage::from_fn(width, height, |x, y| {
            let inside = x >= left && y >= top;
            let inked = inside && ink(x.saturating_sub(left) + 20, y.saturating_sub(top) + 8) > 0;
            Luma([if inked { full } else { ground }])
        })
    };
    for (what, size, at) in [
        ("tight", (26, 50), (1, 1)),
        ("wide", (300, 90), (200, 30)),
        ("tall", (60, 400), (10, 300)),
    ] {
        for (ground, full) in [(0, 255), (255, 0), (210, 60), (70, 200)] {
            let picture = place(size, at, ground, full);
            let found = image_of("a.png", &png(picture));
            assert_eq!(found, expected(), "{what} {ground} {full}");
        }
    }
}

#[test]
fn what_is_told_about_the_ink_is_used() {
    let mut dark = drawing();
    image::imageops::invert(&mut dark);
    let found = read_as("a.png", &png(dark.clone()), Ink::Dark).unwrap();
    assert_eq!((found.images.get(0), found.turned), (&expected()[..], 0));
    let error = read_as("a.png", &png(dark), Ink::Bright).unwrap_err();
    assert!(error.contains("--ink auto"), "{error}");
}

#[test]
fn pictures_of_the_networks_own_kind_stay_as_they_are() {
    let digits = test_images();
    for digit in digits.images.iter().take(300) {
        let picture = GrayImage::from_raw(28, 28, digit.to_vec()).unwrap();
        assert_eq!(image_of("a.png", &png(picture)), digit);
    }
    // And what is not, doesn't.
    let negative: Vec<u8> = digits.images.get(0).iter().map(|p| 255 - p).collect();
    let picture = GrayImage::from_raw(28, 28, negative).unwrap();
    let found = read_as("a.png", &png(picture), Ink::Auto).unwrap();
    assert_eq!(found.turned, 1);
    assert_eq!(found.images.get(0)[0], 0);
}

#[test]
fn cut_off_files_are_refused_wherever_they_end() {
    let picture = DynamicImage::from(drawing());
    let colour = DynamicImage::from(picture.to_rgb8());
    let rgba = DynamicImage::from(picture.to_rgba8());
    let with_thumbnail = held(&drawing(), 6);
    for (name, bytes) in [
        ("a.jpg", encoded(&colour, ImageFormat::Jpeg)),
        ("exif.jpg", with_thumbnail),
        ("a.png", png(drawing())),
        ("a.webp", encoded(&colour, ImageFormat::WebP)),
        ("a.gif", encoded(&rgba, ImageFormat::Gif)),
        ("a.bmp", encoded(&colour, ImageFormat::Bmp)),
        ("a.tif", encoded(&picture, ImageFormat::Tiff)),
        ("a.pgm", encoded(&picture, ImageFormat::Pnm)),
    ] {
        let mut ends: Vec<usize> = (1..20).map(|part| bytes.len() * part / 20).collect();
        if matches!(&name[name.len() - 3..], "jpg" | "png") {
            ends.extend([bytes.len() - 2, bytes.len() - 1]);
        }
        for end in ends {
            let error = read_as(name, &bytes[..end], Ink::Auto)
                .map(|_| format!("{name} was taken with {end} of {} bytes", bytes.len()))
                .unwrap_err();
            let in_words = error.ends_with("is cut off or damaged; copy or save it again")
                || error.contains("is no picture that is understood");
            assert!(in_words && error.contains(name), "{error}");
        }
    }
}

#[test]
fn all_bad_files_are_named_together_and_may_be_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    let good = png(drawing());
    write("1.png", &good);
    write("2.png", &good[..60]);
    write("3.png", b"<html>not found</html>");
    write("4.png", b"");
    write("5.png", &png(GrayImage::new(50, 50)));
    write("6.pgm", b"P5\n30000 30000\n255\n");
    write("7", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic");
    write("10.png", &good);
    let found = find(folder.path()).unwrap();
    assert_eq!((found.files.len(), found.passed_over), (8, 0));
    assert!(found.files[7].ends_with("10.png"));
    let options = |skip_bad| Options {
        skip_bad,
        ..Options::default()
    };
    let error = read(&found.files, SIDE, SIDE, &options(false)).unwrap_err();
    let error = error.to_string();
    for part in [
        "6 of 8 pictures can't be used",
        "2.png is cut off or damaged",
        "3.png is no picture that is understood; PNG, JPEG",
        "4.png is empty",
        "5.png is blank",
        "6.pgm is too large",
        "7 is a HEIF or AVIF picture",
        "--skip-bad",
    ] {
        assert!(error.contains(part), "{part} is not in {error}");
    }
    let pictures = read(&found.files, SIDE, SIDE, &options(true)).unwrap();
    assert_eq!((pictures.images.len(), pictures.bad.len()), (2, 6));
    assert_eq!(pictures.images.get(0), pictures.images.get(1));
    assert_eq!(
        pictures.paths,
        [&found.files[0], &found.files[7]].map(PathBuf::clone)
    );
    // Nothing but bad files is an error, skipped or not.
    assert!(read(&found.files[1..3], SIDE, SIDE, &options(true)).is_err());
}

#[test]
fn what_systems_leave_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let good = png(drawing());
    for name in ["10", "9", "__MACOSX", ".ipynb_checkpoints", "$RECYCLE.BIN"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    fs::write(folder.path().join("note.txt"), "a note").unwrap();
    let folders = class_folders(folder.path()).unwrap();
    let names: Vec<&str> = folders.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["9", "10"]);
    let inside = &folders[0].1;
    for (name, bytes) in [
        ("x.png", &good[..]),
        ("._x.png", b"\0\x05\x16\x07"),
        (".hidden.png", &good),
        (".DS_Store", b"\0\0\0\x01Bud1"),
        ("Thumbs.db", b"\xD0\xCF"),
        ("desktop.ini", b"[.ShellClassInfo]"),
        ("labels.csv", b"x.png,9"),
    ] {
        fs::write(inside.join(name), bytes).unwrap();
    }
    fs::create_dir(inside.join(".ipynb_checkpoints")).unwrap();
    let found = find(inside).unwrap();
    assert_eq!(
        (found.files, found.passed_over),
        (vec![inside.join("x.png")], 6)
    );
    let none = find(folder.path()).unwrap_err().to_string();
    assert!(none.contains("holds no pictures; PNG"), "{none}");
    assert!(
        find(Path::new("/nowhere"))
            .unwrap_err()
            .to_string()
            .contains("check the path")
    );
    assert!(class_folders(inside).unwrap().is_empty());
}

#[cfg(unix)]
#[test]
fn names_that_are_no_text_work() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let folder = tempfile::tempdir().unwrap();
    let class = folder.path().join(OsStr::from_bytes(b"caf\xE9"));
    fs::create_dir(&class).unwrap();
    let path: PathBuf = class.join(OsStr::from_bytes(b"pict\xFFre.png"));
    fs::write(&path, png(drawing())).unwrap();
    fs::write(class.join(OsStr::from_bytes(b"\xFE.png")), b"").unwrap();
    let folders = class_folders(folder.path()).unwrap();
    assert_eq!(folders, [("caf\u{FFFD}".to_owned(), class)]);
    let found = find(&folders[0].1).unwrap();
    assert_eq!(found.files.len(), 2);
    let options = Options {
        skip_bad: true,
        ..Options::default()
    };
    let pictures = read(&found.files, SIDE, SIDE, &options).unwrap();
    assert_eq!((pictures.paths, pictures.bad.len()), (vec![path], 1));
    assert_eq!(pictures.images.get(0), expected());
}
