//! A firmware as a UF2 file, which a board with such a boot loader takes as a drive.
//!
//! The file is a list of blocks of 512 bytes, each with 256 bytes of flash and their
//! address, as its specification says: <https://github.com/microsoft/uf2>.

use std::collections::BTreeMap;
use std::path::Path;

use object::Endianness;
use object::elf::{FileHeader32, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader};
use siamese_build::Board;

use crate::error::Error;
use crate::firmware::{Flashing, read};

/// Bytes of flash in a block.
const PAGE: usize = 256;
/// Bytes of a block.
const BLOCK: usize = 512;
/// How a block begins and ends.
const MAGIC: [u32; 3] = [0x0A32_4655, 0x9E5D_5157, 0x0AB1_6F30];
/// The flag that says that the chip is named.
const HAS_FAMILY: u32 = 0x2000;

/// The UF2 file of an ELF file for a board; `None` if the board takes none.
///
/// # Errors
/// [`Error::File`] if the ELF file can't be read, [`Error::Elf`] if it is none of the
/// board's.
pub fn uf2(elf: &Path, board: Board) -> Result<Option<Vec<u8>>, Error> {
    let Flashing::Uf2 { family, .. } = board.flashing() else {
        return Ok(None);
    };
    let bytes = read(elf)?;
    let unusable = |reason: String| Error::Elf {
        path: elf.into(),
        reason,
    };
    let pages = pages(&bytes).map_err(|error| unusable(error.to_string()))?;
    let flash = board.flash().range();
    let is_inside = |&address: &u32| flash.contains(&address.into());
    if pages.is_empty() || !pages.keys().all(is_inside) {
        return Err(unusable(format!(
            "it isn't a program in the flash of {board}"
        )));
    }
    let count = pages.len() as u32;
    let blocks = pages.iter().zip(0u32..);
    Ok(Some(
        blocks
            .flat_map(|((&address, page), number)| {
                let head = [
                    MAGIC[0],
                    MAGIC[1],
                    HAS_FAMILY,
                    address,
                    PAGE as u32,
                    number,
                    count,
                    family,
                ];
                let mut block = head.map(u32::to_le_bytes).concat();
                block.extend(page);
                block.resize(BLOCK - 4, 0);
                block.extend(MAGIC[2].to_le_bytes());
                block
            })
            .collect(),
    ))
}

/// What an ELF file puts where, in whole pages.
fn pages(elf: &[u8]) -> object::Result<BTreeMap<u32, [u8; PAGE]>> {
    let header = FileHeader32::<Endianness>::parse(elf)?;
    let endian = header.endian()?;
    let mut pages = BTreeMap::new();
    for segment in header.program_headers(endian, elf)? {
        let data = segment.data(endian, elf).unwrap_or_default();
        if segment.p_type(endian) != PT_LOAD {
            continue;
        }
        // Where it is stored, which isn't where the program finds it if it is data.
        for (address, &byte) in (segment.p_paddr(endian)..).zip(data) {
            let at = address as usize % PAGE;
            let page = pages.entry(address - at as u32).or_insert([0xFF; PAGE]);
            page[at] = byte;
        }
    }
    Ok(pages)
}
