//! What is peculiar to the Raspberry Pi Pico and Pico 2: their files for flashing.

use std::fs;

use siamese_device::firmware::Board;
use siamese_device::{Error, uf2};

use crate::common::{ELF, build, random_images, start};

fn word(block: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(block[at..at + 4].try_into().unwrap())
}

/// The blocks of a UF2 file, after a check of all that is said in them.
fn blocks(bytes: &[u8], family: u32) -> Vec<&[u8]> {
    assert!(bytes.len().is_multiple_of(512));
    let blocks: Vec<&[u8]> = bytes.chunks_exact(512).collect();
    let mut last = None;
    for (number, block) in blocks.iter().enumerate() {
        let magic = [word(block, 0), word(block, 4), word(block, 508)];
        assert_eq!(magic, [0x0A32_4655, 0x9E5D_5157, 0x0AB1_6F30]);
        assert_eq!((word(block, 8), word(block, 28)), (0x2000, family));
        assert_eq!(word(block, 16), 256);
        assert_eq!(word(block, 20) as usize, number);
        assert_eq!(word(block, 24) as usize, blocks.len());
        assert!(block[32 + 256..508].iter().all(|&byte| byte == 0));
        let address = word(block, 12);
        assert!(address.is_multiple_of(256) && last < Some(address));
        last = Some(address);
    }
    blocks
}

#[test]
fn the_uf2_file_boots_and_answers_like_the_elf_file() {
    let elf = build(Board::Pico);
    let bytes = uf2(&elf, Board::Pico).unwrap().unwrap();
    let blocks = blocks(&bytes, 0xE48B_FF56);
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

/// The boot ROM of the RP2350 runs a program only as its definition says, so that is read
/// here as it is read there: from the first 4 KiB of the flash, item by item.
#[test]
fn a_pico_2_finds_out_what_its_program_is_for_and_where_it_begins() {
    for (board, family) in [
        (Board::Pico2, 0xE48B_FF59),
        (Board::Pico2Riscv, 0xE48B_FF5A),
    ] {
        let bytes = uf2(&build(board), board).unwrap().unwrap();
        let blocks = blocks(&bytes, family);
        // A sector of the flash is written as a whole.
        let sector = blocks.iter().take(16).zip((0x1000_0000..).step_by(256));
        let sector: Vec<u8> = sector
            .flat_map(|(block, address)| {
                assert_eq!(word(block, 12), address);
                &block[32..32 + 256]
            })
            .copied()
            .collect();
        assert_eq!(word(&sector, 0), 0xFFFF_DED3);
        let (mut at, mut items) = (4, Vec::new());
        while sector[at] != 0xFF {
            let bytes = 4 * usize::from(sector[at + 1]);
            items.push((sector[at], &sector[at..at + bytes]));
            at += bytes;
        }
        // Their words, an offset of 0 to the next definition, and the end.
        assert_eq!(word(&sector, at), 0xFF | (at as u32 / 4 - 1) << 8);
        assert_eq!(
            (word(&sector, at + 4), word(&sector, at + 8)),
            (0, 0xAB12_3579)
        );
        let [(0x42, kind), (start_kind, start)] = items[..] else {
            panic!("{items:x?}");
        };
        let (program, ram) = (board.program(), board.ram().range());
        assert_eq!(word(start, 4), program.origin);
        let first = program.origin as usize - 0x1000_0000;
        if board == Board::Pico2 {
            // Executable, secure, Arm, RP2350; then vectors: the stack, and where to start.
            assert_eq!((word(kind, 0) >> 16, start_kind), (0x1021, 0x03));
            assert!(ram.contains(&word(&sector, first).into()));
            let begin = word(&sector, first + 4);
            assert!(program.range().contains(&begin.into()) && begin % 2 == 1);
        } else {
            // Executable, RISC-V, RP2350; then the first instruction, and a stack.
            assert_eq!((word(kind, 0) >> 16, start_kind), (0x1101, 0x44));
            assert_eq!(u64::from(word(start, 8)), ram.end);
            // A jump, or what loads its address' upper part, and no vector.
            assert_eq!(word(&sector, first) & 0x7F, 0x37);
        }
    }
}

#[test]
fn other_boards_and_other_programs_have_none() {
    assert!(uf2(&ELF, Board::default()).unwrap().is_none());
    let error = uf2(&ELF, Board::Pico).unwrap_err();
    assert!(matches!(error, Error::Elf { .. }), "{error:?}");
    assert!(error.to_string().contains("flash of pico"), "{error}");
}
