//! All that a firmware calls and that may not panic: the model, an embedding, a
//! gallery, its store, names, and the request server. `cargo xtask panics` looks for what
//! could panic in the program that the linker makes of it. It is never run.

#![no_std]
#![no_main]

#[path = "../model.rs"]
mod model;

use core::convert::Infallible;
use core::hint::black_box;
use core::panic::PanicInfo;

#[cfg(target_arch = "arm")]
use cortex_m_rt::entry;
use embedded_io::{Read, ReadReady, Write};
use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};
#[cfg(target_arch = "riscv32")]
use riscv_rt::entry;
use siamese_core::Model;
use siamese_core::gallery::names::{Names, split};
use siamese_core::gallery::{Gallery, GalleryStore, NameStore};
use siamese_core::preprocess::{Ink, Picture, fit};
use siamese_link::names::KeptNames;
use siamese_link::{Memory, NameTable, Platform, Server, frame_capacity};

/// Bytes for a picture.
const PICTURE: usize = 1024;
/// Entries of the gallery.
const ENTRIES: usize = 4;
/// Names of labels.
type Labels = Names<4, 15>;

#[entry]
fn boot() -> ! {
    let mut frame = [0; frame_capacity(model::PIXELS)];
    loop {
        // Whatever fails, the next round is another chance.
        let _ = black_box(round(&mut frame));
        #[cfg(feature = "panics")]
        planted();
    }
}

/// Every step, with what the compiler can't foresee. `None` if one fails.
#[inline(never)]
fn round(frame: &mut [u8; frame_capacity(model::PIXELS)]) -> Option<()> {
    let model = Model::parse(model::bytes()).ok()?;
    let mut network = model::Network::new(model).ok()?;
    let mut gallery = Gallery::<{ model::DIM }, ENTRIES>::new(&model).ok()?;
    direct(&mut network, &mut gallery);
    let store = GalleryStore::new(Ram([0xFF; SIZE]), 0..SIZE as u32).ok();
    let (mut names, mut scratch) = (Labels::new(), [0; Labels::SCRATCH]);
    tables(&mut names);
    let kept = NameStore::new(Ram([0xFF; SIZE]), 0..SIZE as u32).ok()?;
    let board = Board {
        picture: [0; PICTURE],
        names: KeptNames::load(&mut names, kept, &mut scratch),
        #[cfg(feature = "update-code")]
        updates: updates(&mut None),
    };
    let mut server = Server::new(&mut network, &mut gallery, frame, store, board).ok()?;
    black_box(server.run(&mut Line).ok()?);
    Some(())
}

/// The calls of a firmware without a server.
#[inline(never)]
fn direct(network: &mut model::Network, gallery: &mut Gallery<{ model::DIM }, ENTRIES>) {
    let mut picture = Picture::<PICTURE>::new();
    let mut pixels = [0; model::PIXELS];
    let (width, height) = black_box((28, 28));
    black_box(picture.begin(black_box(40), black_box(20)).is_ok());
    black_box(picture.push(black_box(&[7; 40])).is_ok());
    if let Ok(mut grey) = picture.grey() {
        let ink = black_box(Ink::Auto);
        black_box(fit(&mut grey, ink, width, height, &mut pixels).is_ok());
    }
    let image = black_box(model::bytes().get(..black_box(model::PIXELS)));
    if let Ok(embedding) = network.embed(image.unwrap_or_default()) {
        black_box(network.hidden());
        black_box(gallery.enrol(black_box(7), &embedding).is_ok());
        black_box(gallery.enrol_exemplar(black_box(8), &embedding).is_ok());
        black_box(gallery.identify(&embedding));
        black_box(gallery.identify_by_vote::<3>(&embedding));
        black_box(gallery.verify_pair(&embedding, &black_box(embedding)));
        black_box(gallery.verify(black_box(7), &embedding).is_ok());
        black_box(gallery.forget(black_box(7)));
        let mut record = [0; Gallery::<{ model::DIM }, ENTRIES>::ENTRY_MAX];
        if let Ok(record) = gallery.entry_to_bytes(black_box(0), &mut record) {
            black_box(gallery.insert(black_box(record)).is_ok());
            black_box(gallery.take_user_thresholds(black_box(record)).is_ok());
        }
    }
}

/// The calls of a firmware that names labels without a server.
#[inline(never)]
fn tables(names: &mut Labels) {
    black_box(names.set(black_box(7), black_box("seven")).is_ok());
    black_box(names.get(black_box(7)));
    black_box(names.label(black_box("seven")));
    black_box(names.remove(black_box(7)));
    let mut stored = [0; Labels::STORED_MAX];
    if let Ok(stored) = names.to_bytes(&mut stored) {
        black_box(split(black_box(stored)).is_ok());
        black_box(Labels::from_bytes(black_box(stored)).is_ok());
    }
}

/// A start that chooses a model; the steps of an update are the server's.
#[cfg(feature = "update-code")]
#[inline(never)]
fn updates(network: &mut Option<model::Network>) -> Option<siamese_update::Updates<Ram>> {
    let policy = siamese_update::Policy {
        key: black_box(siamese_update::DEVELOPMENT_KEY),
        board: black_box("none"),
        layout: black_box(0),
        version: black_box(0),
        pixels: black_box(model::PIXELS),
        dim: black_box(model::DIM),
        buffers: black_box((model::SHARED, model::HIDDEN1)),
    };
    let half = black_box(SIZE as u32 / 2);
    let slots = [0..half, half..2 * half];
    let mut updates = siamese_update::Updates::new(Ram([0xFF; SIZE]), slots, policy).ok()?;
    black_box(updates.boot(network));
    black_box(updates.model_crc());
    Some(updates)
}

/// Can panic, to see that the check finds it.
#[cfg(feature = "panics")]
#[inline(never)]
fn planted() {
    black_box([1u8, 2, 3][black_box(2)]);
}

/// What the server needs to know of a board.
struct Board<'m> {
    picture: [u8; PICTURE],
    names: KeptNames<'m, Ram, 4, 15>,
    #[cfg(feature = "update-code")]
    updates: Option<siamese_update::Updates<Ram>>,
}

impl Platform for Board<'_> {
    fn board(&self) -> &'static str {
        black_box("none")
    }

    fn model_crc(&self) -> u32 {
        model::CRC
    }

    fn tick_hz(&self) -> u32 {
        black_box(1_000_000)
    }

    fn ticks(&mut self) -> u32 {
        black_box(0)
    }

    fn memory(&self) -> Memory {
        Memory {
            stack_peak: black_box(0),
            stack_size: black_box(0),
        }
    }

    fn picture(&mut self) -> &mut [u8] {
        black_box(&mut self.picture)
    }

    fn names(&mut self) -> Option<&mut dyn NameTable> {
        black_box(Some(&mut self.names))
    }

    #[cfg(feature = "update-code")]
    fn updates(&mut self) -> Option<&mut dyn siamese_update::ModelUpdates> {
        black_box(self.updates.as_mut().map(|updates| updates as _))
    }
}

/// A line that carries anything.
struct Line;

impl embedded_io::ErrorType for Line {
    type Error = Infallible;
}

impl Read for Line {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Infallible> {
        bytes.iter_mut().for_each(|byte| *byte = black_box(0));
        Ok(bytes.len())
    }
}

impl ReadReady for Line {
    fn read_ready(&mut self) -> Result<bool, Infallible> {
        Ok(black_box(true))
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        Ok(black_box(bytes).len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Bytes of the flash.
const SIZE: usize = 2048;

/// Flash, in memory.
struct Ram([u8; SIZE]);

impl Ram {
    fn part(&mut self, offset: u32, length: usize) -> Result<&mut [u8], NorFlashErrorKind> {
        let rest = self.0.get_mut(offset as usize..);
        let part = rest.and_then(|rest| rest.get_mut(..length));
        part.ok_or(NorFlashErrorKind::OutOfBounds)
    }
}

impl ErrorType for Ram {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Ram {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        let part = self.part(offset, bytes.len())?;
        bytes
            .iter_mut()
            .zip(part)
            .for_each(|(to, from)| *to = *from);
        Ok(())
    }

    fn capacity(&self) -> usize {
        SIZE
    }
}

impl NorFlash for Ram {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = 256;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        self.part(from, to.saturating_sub(from) as usize)?
            .fill(0xFF);
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        let part = self.part(offset, bytes.len())?;
        part.iter_mut()
            .zip(bytes)
            .for_each(|(to, from)| *to &= from);
        Ok(())
    }
}

#[cfg(feature = "update-code")]
impl siamese_update::Mapped<'static> for Ram {
    fn mapped(&self, range: core::ops::Range<u32>) -> Option<&'static [u8]> {
        model::bytes().get(range.start as usize..range.end as usize)
    }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    panic_handler_was_linked()
}

/// Is in the program only if something in it can panic, also where the panicking
/// functions of `core` are compiled into their callers.
#[unsafe(no_mangle)] // SAFETY: nothing else has this name.
#[inline(never)]
extern "C" fn panic_handler_was_linked() -> ! {
    loop {
        core::hint::spin_loop();
    }
}
