//! Files that people give to the host's tools.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::PathBuf;
use std::{env, fs, process, thread};

use siamese_core::image::{Input, Pooling};
use siamese_train::dataset::pictures::{Ink, image_of};
use siamese_train::dataset::{Images, parse_labels, read_labels};
use siamese_train::embed::golden::Golden;
use siamese_train::gallery::file::NamedGallery;
use siamese_train::import::{InputRange, NormPlace, Weights};
use siamese_train::train::checkpoint::{self, Checkpoint, network_tensors};

use crate::bytes::Bytes;
use crate::{model, naive};

/// IDX files: what is accepted is, but for the packing, what the file holds.
pub fn idx(data: &[u8]) {
    let length = data.len() as u64;
    let by_path = Path::seldom(data);
    if let Some(path) = &by_path {
        let read = Images::read(&path.0).is_ok();
        assert_eq!(read, Images::parse(Cursor::new(data), length).is_ok());
        let read = read_labels(&path.0).ok();
        assert_eq!(read, parse_labels(Cursor::new(data), length).ok());
    }
    if let Ok(images) = Images::parse(Cursor::new(data), length) {
        let mut file = vec![0, 0, 8, 3];
        for axis in [images.len(), images.height(), images.width()] {
            file.extend((axis as u32).to_be_bytes());
        }
        (0..images.len()).for_each(|number| file.extend(images.get(number)));
        assert!(is_packed(data) || file == data);
    }
    if let Ok(labels) = parse_labels(Cursor::new(data), length) {
        let mut file = vec![0, 0, 8, 1];
        file.extend((labels.len() as u32).to_be_bytes());
        file.extend(labels);
        assert!(is_packed(data) || file == data);
    }
}

/// A file that is there for as long as it is looked at.
struct Path(PathBuf);

impl Path {
    /// A file with these bytes, of few inputs: the rest is read from memory, which is faster.
    fn seldom(data: &[u8]) -> Option<Self> {
        naive::crc(data).is_multiple_of(32).then(|| Self::new(data))
    }

    fn new(data: &[u8]) -> Self {
        let name = format!(
            "siamese-fuzz-{}-{:?}",
            process::id(),
            thread::current().id()
        );
        let path = env::temp_dir().join(name);
        fs::write(&path, data).expect("the folder for temporary files takes one");
        Self(path)
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn is_packed(data: &[u8]) -> bool {
    data.starts_with(&[0x1F, 0x8B])
}

/// Picture files: an image comes out, or a sentence.
pub fn picture(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let ink = bytes.one_of(&[Ink::Auto, Ink::Bright, Ink::Dark]);
    let side = 1 + bytes.below(40) as u16;
    match image_of(bytes.rest(), side, side, ink) {
        Ok(image) => {
            assert_eq!(image.len(), usize::from(side) * usize::from(side));
        }
        Err(why) => assert!(!why.is_empty()),
    }
}

/// Files of galleries.
pub fn gallery(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let form = bytes.u8();
    let mut file = bytes.rest().to_vec();
    let model = model();
    if form & 1 == 0 && file.len() >= 52 {
        mend(&mut file, model.fingerprint());
    }
    if let Ok(found) = NamedGallery::parse(&model, &file) {
        let stored = found.gallery.to_bytes();
        assert!(file.starts_with(&stored));
        let labels = found.labels();
        assert!(labels.len() <= found.gallery.entries().len());
    }
}

/// Makes a gallery and the names behind it right where a mutation would be refused at once.
fn mend(file: &mut Vec<u8>, fingerprint: u32) {
    let reseal = |part: &mut [u8]| {
        if let Some((content, checksum)) = part.split_last_chunk_mut() {
            *checksum = naive::crc(content).to_le_bytes();
        }
    };
    file[..5].copy_from_slice(b"SGAL\x02");
    // Its length is a whole number of entries of two coordinates.
    let entries = usize::from(file[5]) % 4;
    let length = 52 + 12 * entries;
    if file.len() < length {
        file.resize(length, 0);
    }
    file[5..9].copy_from_slice(&(length as u32).to_le_bytes());
    file[10..12].copy_from_slice(&2u16.to_le_bytes());
    file[12..16].copy_from_slice(&fingerprint.to_le_bytes());
    file[40..44].copy_from_slice(&(entries as u32).to_le_bytes());
    let (gallery, names) = file.split_at_mut(length);
    reseal(gallery);
    if names.len() >= 13 {
        let length = names.len() as u32;
        names[..5].copy_from_slice(b"SNAM\x01");
        names[5..9].copy_from_slice(&length.to_le_bytes());
        reseal(names);
    }
}

/// Files of `safetensors`, with three readers.
pub fn tensors(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let form = bytes.u8();
    let mut file = bytes.rest().to_vec();
    if form & 1 == 0 {
        // The header's length, where there is an end of it to be seen.
        let end = file.iter().rposition(|&byte| byte == b'}');
        if let Some(header) = end.and_then(|end| (end + 1).checked_sub(8)) {
            file[..8].copy_from_slice(&(header as u64).to_le_bytes());
        }
    }
    if let Some(path) = Path::seldom(&file) {
        let read = [
            Checkpoint::read(&path.0).is_ok(),
            Weights::read(&path.0).is_ok(),
            Golden::read(&path.0).is_ok(),
        ];
        let parsed = [
            Checkpoint::parse(&file).is_ok(),
            Weights::parse(&file).is_ok(),
            Golden::parse(&file).is_ok(),
        ];
        assert_eq!(read, parsed);
    }
    if let Ok(checkpoint) = Checkpoint::parse(&file) {
        again(&checkpoint);
        if let Ok(network) = checkpoint.network() {
            let tensors = network_tensors(&network);
            assert!((6..=7).contains(&tensors.len()));
        }
    }
    if let Ok(weights) = Weights::parse(&file) {
        imported(&weights, form);
    }
    if let Ok(golden) = Golden::parse(&file) {
        // Every vector can be looked at.
        assert!(!golden.is_empty());
        assert_eq!(golden.iter().count(), golden.len());
        assert!(golden.typical().count() <= golden.len());
    }
}

/// What was read is written, and read again.
fn again(checkpoint: &Checkpoint) {
    let tensors = checkpoint.tensors.iter();
    let tensors: Vec<_> = tensors
        .map(|(name, (shape, values))| (name.clone(), shape.clone(), values.clone()))
        .collect();
    let path = Path::new(&[]);
    let progress = checkpoint.progress.as_ref();
    checkpoint::write(&path.0, &checkpoint.plan, progress, &tensors)
        .expect("what was read can't be written");
    let read = Checkpoint::read(&path.0).expect("what was written can't be read");
    let bits = |checkpoint: &Checkpoint| -> BTreeMap<String, (Vec<usize>, Vec<u32>)> {
        let tensors = checkpoint.tensors.iter();
        tensors
            .map(|(name, (shape, values))| {
                let bits = values.iter().map(|value| value.to_bits()).collect();
                (name.clone(), (shape.clone(), bits))
            })
            .collect()
    };
    assert_eq!(bits(&read), bits(checkpoint));
    // By their text, in which a number that is none is equal to itself.
    let told = |checkpoint: &Checkpoint| format!("{:?} {:?}", checkpoint.plan, checkpoint.progress);
    assert_eq!(told(&read), told(checkpoint));
}

/// The network of some weights, if they are one: it takes an image.
fn imported(weights: &Weights, form: u8) {
    let Ok(roles) = weights.roles() else {
        return;
    };
    let input = Input {
        width: 2,
        height: 2,
        pooling: Pooling::None,
        deskew: false,
    };
    let place = match form & 2 {
        0 => NormPlace::BeforeRelu,
        _ => NormPlace::AfterRelu,
    };
    if let Ok(network) = weights.network(&roles, input, InputRange::default(), place, 1e-5) {
        let [first, _, last] = &network.layers;
        assert_eq!(first.inputs, 4);
        assert_eq!(last.weight.len(), last.inputs * last.outputs);
    }
}
