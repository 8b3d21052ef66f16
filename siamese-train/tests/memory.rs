//! No file takes more memory than [`limit`] says, whatever it holds: each is read by a process
//! of its own, which tells how far its memory has grown.
#![cfg(target_os = "linux")]

use std::env;
use std::fs::{self, File};
use std::io::{BufWriter, Cursor, Write};
use std::path::Path;
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;
use image::{DynamicImage, ImageFormat};
use siamese_core::Model;
use siamese_train::dataset::pictures::{Ink, image_of};
use siamese_train::dataset::{ClassNames, Images, read_labels};
use siamese_train::embed::ModelFile;
use siamese_train::embed::golden::Golden;
use siamese_train::embed::points::Points;
use siamese_train::gallery::file::NamedGallery;
use siamese_train::import::Weights;
use siamese_train::limit;
use siamese_train::record::Record;
use siamese_train::train::checkpoint::Checkpoint;

/// Names the reader in the process that is to read.
const READER: &str = "SIAMESE_MEMORY_READER";
/// Names its file.
const FILE: &str = "SIAMESE_MEMORY_FILE";
/// What any process takes more in the meantime.
const SLACK: u64 = 16_000_000;

/// The model beside which reports are.
fn model() -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tiny.siam")).unwrap()
}

/// Reads a file; what is wrong with it.
fn read(reader: &str, path: &Path) -> Result<(), String> {
    let said = |error: anyhow::Error| format!("{error:#}");
    match reader {
        "images" => Images::read(path).map(drop).map_err(said),
        "labels" => read_labels(path).map(drop).map_err(said),
        "picture" => {
            let bytes = limit::read(path).map_err(|error| error.to_string())?;
            image_of(&bytes, 28, 28, Ink::Auto).map(drop)
        }
        "checkpoint" => Checkpoint::read(path).map(drop).map_err(said),
        "weights" => Weights::read(path).map(drop).map_err(said),
        "golden" => Golden::read(path).map(drop).map_err(said),
        "names" => ClassNames::read(path).map(drop).map_err(said),
        "points" => Points::read(path).map(drop).map_err(said),
        "model" => ModelFile::read(path).map(drop).map_err(said),
        "gallery" => {
            let bytes = model();
            let model = Model::parse_any(&bytes).unwrap();
            NamedGallery::read(&model, path).map(drop).map_err(said)
        }
        "record" => {
            let bytes = model();
            let model = Model::parse_any(&bytes).unwrap();
            // It has no sentence: what can't be read isn't there.
            Record::beside(path, &model)
                .map(drop)
                .ok_or_else(String::new)
        }
        other => panic!("there is no reader {other}"),
    }
}

/// The most memory that this process has had, in bytes.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.unwrap() * 1024
}

/// What the other process does; nothing in this one.
#[test]
fn one_file_is_read() {
    let (Some(reader), Some(path)) = (env::var_os(READER), env::var_os(FILE)) else {
        return;
    };
    let before = peak();
    let result = read(reader.to_str().unwrap(), Path::new(&path));
    let grown = peak() - before;
    println!(
        "grown {grown} {}",
        result.map_or_else(|error| error.replace('\n', " "), |()| "fine".into())
    );
}

/// Has another process read a file; how far its memory grew, and what it said.
fn grown(reader: &str, path: &Path) -> (u64, String) {
    let output = Command::new(env::current_exe().unwrap())
        .args([
            "one_file_is_read",
            "--exact",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(READER, reader)
        .env(FILE, path)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text
        .lines()
        .find_map(|line| line.split_once("grown ").map(|(_, rest)| rest));
    let line = line.unwrap_or_else(|| panic!("{reader} has ended: {output:?}"));
    let (bytes, said) = line.split_once(' ').unwrap();
    (bytes.parse().unwrap(), said.to_owned())
}

/// Reads a file within what its length allows; what was said.
fn within(reader: &str, name: &str, content: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    within_of(reader, &path)
}

fn within_of(reader: &str, path: &Path) -> String {
    let length = fs::metadata(path).unwrap().len();
    let (grown, said) = grown(reader, path);
    println!(
        "{reader}, {}: {length} bytes, {} MB: {said}",
        path.display(),
        grown / 1_000_000
    );
    assert!(
        grown <= limit::of(length) + SLACK,
        "{grown} bytes for {length}: {said}"
    );
    said
}

/// Zeros behind a start, packed by gzip.
fn packed(start: &[u8], zeros: usize) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(start).unwrap();
    let block = vec![0; 1 << 20];
    let mut left = zeros;
    while left > 0 {
        let count = left.min(block.len());
        encoder.write_all(&block[..count]).unwrap();
        left -= count;
    }
    encoder.finish().unwrap()
}

fn idx(axes: &[u32]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, axes.len() as u8];
    bytes.extend(axes.iter().flat_map(|axis| axis.to_be_bytes()));
    bytes
}

const REFUSED: &str = "of memory, and a file of its size may take 512 MB; if you trust it";

#[test]
fn packed_sets_unpack_to_what_their_size_allows() {
    // 2 GB in 9 MB.
    let bomb = packed(&idx(&[2_000, 1_000, 1_000]), 2_000_000_000);
    let said = within("images", "bomb.gz", &bomb);
    assert!(
        said.contains(REFUSED) && said.contains("--limit 2000MB"),
        "{said}"
    );
    // What isn't announced isn't unpacked.
    let said = within("labels", "bomb.gz", &packed(&idx(&[7]), 600_000_000));
    assert!(said.contains("bytes follow"), "{said}");
    // Nearly all that is allowed.
    let said = within(
        "images",
        "much.gz",
        &packed(&idx(&[500, 1_000, 1_000]), 500_000_000),
    );
    assert_eq!(said, "fine");
    // A raw file can't hold more than it has.
    let raw = [idx(&[2_000_000, 28, 28]), vec![0; 1000]].concat();
    let said = within("images", "raw", &raw);
    assert!(said.contains("1000 of 1568000000 bytes"), "{said}");
}

/// A picture of one grey in a format, of that many pixels a side.
fn picture(picture: DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

#[test]
fn pictures_take_what_their_size_allows() {
    // A header that claims 1000 million pixels, with nothing behind it.
    let mut claim = picture(DynamicImage::new_luma8(8, 8), ImageFormat::Bmp);
    claim[18..22].copy_from_slice(&32_000u32.to_le_bytes());
    claim[22..26].copy_from_slice(&32_000u32.to_le_bytes());
    assert_ne!(within("picture", "claim.bmp", &claim), "fine");
    let large = picture(DynamicImage::new_luma8(12_000, 12_000), ImageFormat::Png);
    let said = within("picture", "large.png", &large);
    assert!(
        said.contains("may take 512 MB") && said.contains("--limit"),
        "{said}"
    );
    // Nearly all that is allowed: blank, so refused for that once they were decoded.
    let grey = || DynamicImage::new_luma8(9_000, 9_000);
    let colours = || DynamicImage::new_rgb8(7_000, 7_000);
    let deep = DynamicImage::new_rgba16(5_000, 5_000);
    for (name, content) in [
        ("grey.png", picture(grey(), ImageFormat::Png)),
        ("deep.png", picture(deep, ImageFormat::Png)),
        ("grey.jpg", picture(grey(), ImageFormat::Jpeg)),
        ("colours.jpg", picture(colours(), ImageFormat::Jpeg)),
        ("colours.webp", picture(colours(), ImageFormat::WebP)),
    ] {
        let said = within("picture", name, &content);
        assert!(
            said.contains("blank") || said.contains("transparent"),
            "{name}: {said}"
        );
    }
}

/// A file of `safetensors` whose header is this.
fn tensors(header: &str) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat()
}

#[test]
fn headers_of_tensors_take_what_the_files_size_allows() {
    let header = |names: usize| {
        let one = |number: usize| {
            format!(r#""{number:x}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#)
        };
        format!("{{{}}}", (0..names).map(one).collect::<Vec<_>>().join(","))
    };
    // 95 MB, of which serde would make gigabytes.
    let large = tensors(&header(1_900_000)[..]);
    assert!(large.len() > 90_000_000);
    let few = tensors(&header(60_000));
    for reader in ["checkpoint", "weights", "golden"] {
        let said = within(reader, "large.safetensors", &large);
        assert!(
            said.contains("of memory, and a file of its size"),
            "{reader}: {said}"
        );
        within(reader, "few.safetensors", &few);
    }
    let metadata = format!(
        r#"{{"__metadata__":{{{}"z":""}}}}"#,
        r#""a":"","#.repeat(500_000)
    );
    within("checkpoint", "metadata.safetensors", &tensors(&metadata));
}

#[test]
fn reports_take_what_their_size_allows() {
    let beside = |json: &str| {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("m.json"), json).unwrap();
        let path = folder.path().join("m.siam");
        fs::write(&path, vec![0; json.len()]).unwrap();
        within_of("record", &path);
    };
    let plan = |inside: &str, count: usize| {
        format!(
            r#"{{"training_digest":"","plan":[{}0]}}"#,
            inside.repeat(count)
        )
    };
    for inside in ["0,", "[],", "[0],", "[[]],", "[[0]],", "{\"\":0},"] {
        beside(&plan(inside, 3_900_000 / inside.len()));
        beside(&plan(inside, 60_000_000 / inside.len()));
    }
}

#[test]
fn texts_galleries_and_models_take_what_their_size_allows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lines");
    let mut file = BufWriter::new(File::create(&path).unwrap());
    (0..100).for_each(|_| file.write_all(&[b'\n'; 1_000_000]).unwrap());
    drop(file);
    let said = within_of("names", &path);
    assert!(said.contains("100000000 lines"), "{said}");
    within_of("points", &path);
    within_of("gallery", &path);
    within_of("model", &path);
    within("points", "ones", &b"1 ".repeat(20_000_000));
    // A gallery that claims to be long, and names behind one.
    let mut long = b"SGAL\x02\xFF\xFF\xFF\xFF".to_vec();
    long.resize(50_000_000, 0);
    within("gallery", "long", &long);
}

/// A pipe or a device has no length.
#[test]
fn endless_files_are_given_up() {
    for reader in ["model", "gallery", "weights", "picture", "names"] {
        let (grown, said) = grown(reader, Path::new("/dev/zero"));
        assert!(said.contains("raise that by --limit"), "{reader}: {said}");
        assert!(grown < limit::LEAST + SLACK, "{reader}: {grown}");
    }
}
