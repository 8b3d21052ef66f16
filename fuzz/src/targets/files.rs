//! Files that people give to the host's tools.

use std::io::Cursor;

use siamese_train::dataset::pictures::{Ink, image_of};
use siamese_train::dataset::{Images, parse_labels};
use siamese_train::embed::golden::Golden;
use siamese_train::gallery::file::NamedGallery;
use siamese_train::import::Weights;
use siamese_train::train::checkpoint::Checkpoint;

use crate::bytes::Bytes;
use crate::{model, naive};

/// IDX files: what is accepted is, but for the packing, what the file holds.
pub fn idx(data: &[u8]) {
    let length = data.len() as u64;
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

fn is_packed(data: &[u8]) -> bool {
    data.starts_with(&[0x1F, 0x8B])
}

/// Picture files: an image comes out, or a sentence.
pub fn picture(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let ink = bytes.one_of(&[Ink::Auto, Ink::Bright, Ink::Dark]);
    let side = 1 + bytes.below(40) as u16;
    match image_of(bytes.rest(), side, side, ink) {
        Ok(image) => assert_eq!(image.len(), usize::from(side) * usize::from(side)),
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
    let _ = Checkpoint::parse(&file);
    let _ = Weights::parse(&file);
    if let Ok(golden) = Golden::parse(&file) {
        // Every vector can be looked at.
        assert_eq!(golden.iter().count(), golden.len());
        let _ = golden.typical().count();
    }
}
