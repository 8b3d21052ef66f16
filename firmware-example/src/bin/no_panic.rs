//! All that a firmware calls and that may not panic: the model, an embedding, a
//! gallery, its store, and frames. `cargo xtask panics` looks for what could panic
//! in the program that the linker makes of it. It is never run.

#![no_std]
#![no_main]

#[path = "../model.rs"]
mod model;

use core::hint::black_box;
use core::panic::PanicInfo;

#[cfg(target_arch = "arm")]
use cortex_m_rt::entry;
use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};
#[cfg(target_arch = "riscv32")]
use riscv_rt::entry;
use siamese_core::gallery::{Gallery, GalleryStore};
use siamese_core::{Embedding, Model};
use siamese_link::{Embedded, Request, Response, frame_capacity, read_frame, write_frame};

#[entry]
fn boot() -> ! {
    let mut frame = [0; frame_capacity(model::PIXELS)];
    loop {
        // Whatever fails, the next round is another chance.
        let _ = black_box(round(&mut frame));
    }
}

/// Every step once, with what the compiler can't foresee. `None` if one fails.
fn round(frame: &mut [u8]) -> Option<()> {
    let model = Model::parse(model::bytes()).ok()?;
    let mut network = model::Network::new(model).ok()?;
    let mut gallery = Gallery::<{ model::DIM }, 4>::new(&model).ok()?;
    let mut store = GalleryStore::new(Ram([0xFF; SIZE]), 0..SIZE as u32).ok()?;
    // What can't be loaded is not the end.
    let _ = black_box(store.load(&mut gallery));

    let length = black_box(frame.len());
    let request = read_frame(frame.get_mut(..length)?).ok()?;
    let embedding = serve(request, &mut network, &mut gallery)?;
    store.save(&gallery).ok()?;
    let response = Response::Embedding(Embedded {
        coordinates: embedding.0.into_iter().collect(),
        hidden_crc: network.hidden().map(siamese_core::checksum::checksum),
        ticks: black_box(0),
    });
    black_box(write_frame(&response, frame).ok()?);
    #[cfg(feature = "panics")]
    planted();
    Some(())
}

/// Can panic, to see that the check finds it.
#[cfg(feature = "panics")]
#[inline(never)]
fn planted() {
    black_box([1u8, 2, 3][black_box(2)]);
}

/// Carries a request out.
fn serve(
    request: Request<'_>,
    network: &mut model::Network,
    gallery: &mut Gallery<{ model::DIM }, 4>,
) -> Option<Embedding<{ model::DIM }>> {
    match request {
        Request::Embed { pixels } => network.embed(pixels).ok(),
        Request::Enrol {
            label,
            exemplar,
            pixels,
        } => {
            let embedding = network.embed(pixels).ok()?;
            if exemplar {
                gallery.enrol_exemplar(label, &embedding).ok()?;
            } else {
                gallery.enrol(label, &embedding).ok()?;
            }
            Some(embedding)
        }
        Request::Identify { pixels } => {
            let embedding = network.embed(pixels).ok()?;
            black_box(gallery.identify(&embedding));
            Some(embedding)
        }
        Request::Verify { label, pixels } => {
            let embedding = network.embed(pixels).ok()?;
            black_box(gallery.verify(label, &embedding).ok()?);
            Some(embedding)
        }
        Request::Forget { label } => {
            black_box(gallery.forget(label));
            None
        }
        _ => None,
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
