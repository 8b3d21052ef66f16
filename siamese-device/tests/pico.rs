//! What is peculiar to the Raspberry Pi Pico: its file for flashing.

mod common;

use std::fs;

use siamese_device::firmware::Board;
use siamese_device::{Error, uf2};

use common::{ELF, build, random_images, start};

fn word(block: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(block[at..at + 4].try_into().unwrap())
}

#[test]
fn the_uf2_file_boots_and_answers_like_the_elf_file() {
    let elf = build(Board::Pico);
    let bytes = uf2(&elf, Board::Pico).unwrap().unwrap();
    assert!(bytes.len().is_multiple_of(512));
    let blocks: Vec<&[u8]> = bytes.chunks_exact(512).collect();
    let mut last = None;
    for (number, block) in blocks.iter().enumerate() {
        let magic = [word(block, 0), word(block, 4), word(block, 508)];
        assert_eq!(magic, [0x0A32_4655, 0x9E5D_5157, 0x0AB1_6F30]);
        assert_eq!((word(block, 8), word(block, 28)), (0x2000, 0xE48B_FF56));
        assert_eq!(word(block, 16), 256);
        assert_eq!(word(block, 20) as usize, number);
        assert_eq!(word(block, 24) as usize, blocks.len());
        assert!(block[32 + 256..508].iter().all(|&byte| byte == 0));
        let address = word(block, 12);
        assert!(address.is_multiple_of(256) && last < Some(address));
        last = Some(address);
    }
    // The second stage of booting, then the vectors: the stack, and where to start.
    assert_eq!(word(blocks[0], 12), 0x1000_0000);
    assert_eq!(word(blocks[1], 12), 0x1000_0100);
    let ram = Board::Pico.ram().range();
    assert!(ram.contains(&word(blocks[1], 32).into()));
    assert!(
        Board::Pico
            .program()
            .range()
            .contains(&word(blocks[1], 36).into())
    );

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("firmware.uf2");
    fs::write(&path, &bytes).unwrap();
    let (mut flashed, mut known) = (start(&path, Board::Pico), start(&elf, Board::Pico));
    let images = random_images(20, 784, 5);
    for image in &images {
        let (here, there) = (flashed.embed(image).unwrap(), known.embed(image).unwrap());
        assert_eq!(here.coordinates, there.coordinates);
        assert_eq!(here.hidden_crc, there.hidden_crc);
    }
}

#[test]
fn other_boards_and_other_programs_have_none() {
    assert!(uf2(&ELF, Board::default()).unwrap().is_none());
    let error = uf2(&ELF, Board::Pico).unwrap_err();
    assert!(matches!(error, Error::Elf { .. }), "{error:?}");
    assert!(error.to_string().contains("flash of pico"), "{error}");
}
