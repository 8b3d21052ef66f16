//! A firmware that embeds images, and learns what they show: requests come over
//! the board's UART, answers go back the same way, and the model stays in flash.
//!
//! `arch` knows the processor and `board` what is around it, `link` receives and
//! answers frames, `model` is the flash section of the model, `shelf` keeps the
//! gallery; this file boots and carries the requests out. Anything that can be computed without a board is in
//! `siamese-core`.

#![no_std]
#![no_main]

mod arch;
mod board;
mod link;
mod model;
mod shelf;

use core::panic::PanicInfo;

use siamese_core::checksum::checksum;
use siamese_core::gallery::Label;
use siamese_core::{Embedding, Model, SizeError};
use siamese_link::{
    Embedded, Fault, Info, LINK_VERSION, Memory as Used, Request, Response, frame_capacity,
};

use crate::arch::{Ticks, stack};
use crate::board::Uart;
use crate::shelf::Shelf;

/// The embedder of exactly the model that is built in.
type Network = model::Network;

/// All that is large, and lives as long as the program.
struct Memory {
    frame: [u8; frame_capacity(model::PIXELS)],
    network: Option<Network>,
    shelf: Shelf,
}

impl Memory {
    /// Before boot.
    const NEW: Self = Self {
        frame: [0; _],
        network: None,
        shelf: Shelf::NEW,
    };
}

/// Answers requests for ever.
fn start(memory: &'static mut Memory) -> ! {
    let mut device = Device {
        ticks: Ticks::new(arch::start()),
        network: memory.network.insert(boot()),
        shelf: &mut memory.shelf,
    };
    board::log::booted(device.network.model());
    let mut uart = Uart::new();
    if let Err(error) = device.shelf.open(device.network.model()) {
        panic!("the gallery doesn't suit the model: {error}");
    }
    link::start(&mut uart);

    loop {
        let response = match link::receive(&mut uart, &mut memory.frame) {
            Ok(request) => device.answer(request).unwrap_or_else(Response::Fault),
            Err(fault) => Response::Fault(fault),
        };
        link::send(&mut uart, &response, &mut memory.frame);
        if response == Response::Resetting {
            uart.flush();
            board::reset();
        }
    }
}

/// The network of the model in flash.
#[inline(never)] // Its copies of the network leave the stack before the first request.
fn boot() -> Network {
    let parsed = match Model::parse(model::bytes()) {
        Ok(parsed) => parsed,
        Err(error) => panic!("the model in flash can't be used: {error}"),
    };
    match Network::new(parsed) {
        Ok(network) => network,
        Err(error) => panic!("the model in flash doesn't fit the firmware: {error}"),
    }
}

/// What carries requests out.
struct Device {
    ticks: Ticks,
    network: &'static mut Network,
    shelf: &'static mut Shelf,
}

impl Device {
    /// Carries out one request.
    #[inline(never)]
    fn answer(&mut self, request: Request<'_>) -> Result<Response<'static>, Fault> {
        Ok(match request {
            Request::Info => Response::Info(self.info()),
            Request::Embed { pixels } => Response::Embedding(self.embedded(pixels)?),
            Request::Memory => Response::Memory(Used {
                stack_peak: stack::peak(),
                stack_size: stack::size(),
            }),
            Request::Enrol {
                label,
                exemplar,
                pixels,
            } => Response::Enrolled {
                examples: self.enrol(label, exemplar, pixels)?,
            },
            Request::Identify { pixels } => {
                let (embedding, _) = self.embed(pixels)?;
                let gallery = &self.shelf.gallery;
                let (answer, ticks) = self.ticks.measure(|| gallery.identify(&embedding));
                Response::Identified { answer, ticks }
            }
            Request::Verify { label, pixels } => {
                let (embedding, _) = self.embed(pixels)?;
                let verified = self.shelf.gallery.verify(label, &embedding);
                Response::Verified(verified.map_err(Fault::Gallery)?)
            }
            Request::List => Response::Entries(self.shelf.list().collect()),
            Request::Forget { label } => Response::Forgotten {
                entries: self.shelf.gallery.forget(label) as u16,
            },
            Request::Save => {
                self.shelf.save()?;
                Response::Saved
            }
            Request::Reset => Response::Resetting,
            // A later link version's request, which this firmware's decoder does
            // not know: it was refused before.
            _ => Response::Fault(Fault::Frame(siamese_link::FrameError::Message)),
        })
    }

    /// What this device is.
    fn info(&self) -> Info<'static> {
        let header = self.network.model().header();
        Info {
            link_version: LINK_VERSION,
            board: board::NAME,
            model: header.name,
            training_digest: header.training_digest,
            model_crc: model::CRC,
            pixels: model::PIXELS as u32,
            dim: model::DIM as u16,
            tick_hz: board::TICK_HZ,
            gallery_capacity: shelf::ENTRIES as u16,
            can_save: self.shelf.can_save(),
            refused: self.shelf.refused,
        }
    }

    /// Embeds an image; the ticks are those of the embedding alone.
    fn embed(&mut self, pixels: &[u8]) -> Result<(Embedding<{ model::DIM }>, u32), Fault> {
        let (embedding, ticks) = self.ticks.measure(|| self.network.embed(pixels));
        let embedding = embedding.map_err(|error| match error {
            SizeError::Image { expected, found } => Fault::ImageSize {
                expected: expected as u32,
                found: found as u32,
            },
            other => panic!("the embedder was checked at boot, and now: {other}"),
        })?;
        Ok((embedding, ticks))
    }

    /// Embeds an image, and reports all layers.
    fn embedded(&mut self, pixels: &[u8]) -> Result<Embedded, Fault> {
        let (embedding, ticks) = self.embed(pixels)?;
        Ok(Embedded {
            coordinates: embedding.0.into_iter().collect(),
            hidden_crc: self.network.hidden().map(checksum),
            ticks,
        })
    }

    /// Enrols what an image shows; the examples in its entry now.
    fn enrol(&mut self, label: Label, exemplar: bool, pixels: &[u8]) -> Result<u16, Fault> {
        let (embedding, _) = self.embed(pixels)?;
        let gallery = &mut self.shelf.gallery;
        let enrolled = if exemplar {
            gallery.enrol_exemplar(label, &embedding).map(|()| 1)
        } else {
            gallery.enrol(label, &embedding)
        };
        enrolled.map_err(Fault::Gallery)
    }
}

/// Reports the message as the board can, and ends.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    board::die(info)
}
