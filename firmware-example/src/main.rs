//! A firmware that embeds images, and learns what they show: requests come over
//! the board's UART or USB, answers go back the same way, and the model stays in flash.
//!
//! `arch` knows the processor, `board` what is around it, and `model` is the flash
//! section of the model. The server is `siamese-link`'s, and what it computes is in
//! `siamese-core`: this file boots and brings them together.

#![no_std]
#![no_main]

mod arch;
mod board;
mod model;
#[cfg(feature = "statistics")]
mod restarts;
#[cfg(feature = "updates")]
mod update;

use core::panic::PanicInfo;

use siamese_core::gallery::{Entry, GalleryStore};
use siamese_core::{Gallery, Model};
use siamese_link::{Memory as Used, Platform, Server, frame_capacity};

use crate::arch::{Ticks, stack};
use crate::board::{Flash, Port};

/// Memory for the gallery's entries, in bytes.
const ENTRIES_BYTES: usize = 4096;
/// The most entries of the gallery.
const MOST_ENTRIES: usize = 32;
/// Entries of the gallery.
const ENTRIES: usize = {
    let room = ENTRIES_BYTES / size_of::<Entry<{ model::DIM }>>();
    if room < MOST_ENTRIES {
        room
    } else {
        MOST_ENTRIES
    }
};

/// The names of at most 32 labels, of at most 15 bytes each.
#[cfg(feature = "names")]
type Names = siamese_core::gallery::names::Names<32, 15>;
/// The same, kept in flash.
#[cfg(feature = "names")]
type KeptNames = siamese_link::names::KeptNames<'static, Flash, 32, 15>;

/// All that is large, and lives as long as the program.
struct Memory {
    #[cfg(feature = "names")]
    names: (Names, [u8; Names::SCRATCH]),
    frame: [u8; frame_capacity(model::PIXELS)],
    picture: [u8; board::PICTURE_PIXELS],
    network: Option<model::Network>,
    gallery: Gallery<{ model::DIM }, ENTRIES>,
}

impl Memory {
    /// Before boot.
    const NEW: Self = Self {
        #[cfg(feature = "names")]
        names: (Names::new(), [0; _]),
        frame: [0; _],
        picture: [0; _],
        network: None,
        gallery: Gallery::for_fingerprint(0),
    };
}

/// Answers requests until the host wants a restart.
fn start(memory: &'static mut Memory) -> ! {
    let ticks = Ticks::new(arch::start());
    #[cfg(feature = "statistics")]
    restarts::count();
    #[cfg(feature = "updates")]
    let updates = update::start(&mut memory.network);
    let network = match &mut memory.network {
        Some(network) => network,
        none => none.insert(boot()),
    };
    board::log::booted(network.model());
    let board = Board {
        ticks,
        picture: &mut memory.picture,
        #[cfg(feature = "names")]
        names: names(&mut memory.names),
        #[cfg(feature = "updates")]
        updates,
    };
    let (gallery, frame) = (&mut memory.gallery, &mut memory.frame);
    let mut server = match Server::new(network, gallery, frame, store(), board) {
        Ok(server) => server,
        Err(error) => panic!("the gallery doesn't suit the model: {error}"),
    };
    let Ok(_) = server.run_dozing(&mut Port::new(), Port::doze);
    board::reset()
}

/// The network of the model in flash.
#[inline(never)] // Its copies of the network leave the stack before the first request.
fn boot() -> model::Network {
    let parsed = match Model::parse(model::bytes()) {
        Ok(parsed) => parsed,
        Err(error) => panic!("the model in flash can't be used: {error}"),
    };
    match model::Network::new(parsed) {
        Ok(network) => network,
        Err(error) => panic!("the model in flash doesn't fit the firmware: {error}"),
    }
}

/// The gallery's part of the board's flash, if there is any.
fn store() -> Option<GalleryStore<Flash>> {
    GalleryStore::new(Flash::open()?, board::GALLERY).ok()
}

/// The names in their part of the board's flash, if there is any.
#[cfg(feature = "names")]
fn names((names, scratch): &'static mut (Names, [u8; Names::SCRATCH])) -> Option<KeptNames> {
    let store = siamese_core::gallery::NameStore::new(Flash::open()?, board::NAMES).ok()?;
    Some(KeptNames::load(names, store, scratch))
}

/// What the server needs to know of the board.
struct Board {
    ticks: Ticks,
    picture: &'static mut [u8],
    #[cfg(feature = "names")]
    names: Option<KeptNames>,
    #[cfg(feature = "updates")]
    updates: Option<update::Updates>,
}

impl Platform for Board {
    fn board(&self) -> &'static str {
        board::NAME
    }

    fn model_crc(&self) -> u32 {
        #[cfg(feature = "updates")]
        if let Some(crc) = self.updates.as_ref().and_then(update::Updates::model_crc) {
            return crc;
        }
        model::CRC
    }

    fn tick_hz(&self) -> u32 {
        board::TICK_HZ
    }

    fn ticks(&mut self) -> u32 {
        self.ticks.now()
    }

    fn memory(&self) -> Used {
        Used {
            stack_peak: stack::peak(),
            stack_size: stack::size(),
        }
    }

    fn picture(&mut self) -> &mut [u8] {
        self.picture
    }

    #[cfg(feature = "names")]
    fn names(&mut self) -> Option<&mut dyn siamese_link::NameTable> {
        self.names.as_mut().map(|names| names as _)
    }

    #[cfg(feature = "statistics")]
    fn restarts(&self) -> u32 {
        restarts::number()
    }

    #[cfg(feature = "updates")]
    fn updates(&mut self) -> Option<&mut dyn siamese_update::ModelUpdates> {
        self.updates.as_mut().map(|updates| updates as _)
    }
}

/// Reports the message as the board can, and ends.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    board::die(info)
}
