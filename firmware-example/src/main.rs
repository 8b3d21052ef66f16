//! A firmware that embeds images: requests come over the board's UART, answers
//! go back the same way, and the model stays in flash.
//!
//! `arch` knows the processor and `board` what is around it, `link` receives and
//! answers frames, `model` is the flash section of the model; this file boots and
//! carries the requests out. Anything that can be computed without a board is in
//! `siamese-core`.

#![no_std]
#![no_main]

mod arch;
mod board;
mod link;
mod model;

use core::panic::PanicInfo;

use siamese_core::link::{
    Embedded, Fault, Info, LINK_VERSION, Memory as Used, Request, Response, checksum,
    frame_capacity,
};
use siamese_core::{Embedder, Model, SizeError};

use crate::arch::{Ticks, stack};
use crate::board::Uart;

/// The embedder of exactly the model that is built in.
type Network = Embedder<'static, { model::DIM }, { model::SHARED }, { model::HIDDEN1 }>;

/// All that is large, and lives as long as the program.
struct Memory {
    frame: [u8; frame_capacity(model::PIXELS)],
    network: Option<Network>,
}

impl Memory {
    /// Before boot.
    const NEW: Self = Self {
        frame: [0; _],
        network: None,
    };
}

/// Answers requests for ever.
fn start(memory: &'static mut Memory) -> ! {
    let peripherals = arch::start();
    let mut uart = Uart::new();
    let mut ticks = Ticks::new(peripherals);
    let network = memory.network.insert(boot());
    link::start(&mut uart);

    loop {
        let response = match link::receive(&mut uart, &mut memory.frame) {
            Ok(request) => answer(request, network, &mut ticks),
            Err(fault) => Response::Fault(fault),
        };
        link::send(&mut uart, &response, &mut memory.frame);
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

/// Carries out one request.
fn answer(request: Request<'_>, network: &mut Network, ticks: &mut Ticks) -> Response<'static> {
    match request {
        Request::Info => Response::Info(info(network.model())),
        Request::Embed { pixels } => match embed(pixels, network, ticks) {
            Ok(embedded) => Response::Embedding(embedded),
            Err(fault) => Response::Fault(fault),
        },
        Request::Memory => Response::Memory(Used {
            stack_peak: stack::peak(),
            stack_size: stack::size(),
        }),
        // A later link version's request, which this firmware's decoder does
        // not know: it was refused before.
        _ => Response::Fault(Fault::Frame(siamese_core::link::FrameError::Message)),
    }
}

/// What this device is.
fn info(model: &Model<'static>) -> Info<'static> {
    let header = model.header();
    Info {
        link_version: LINK_VERSION,
        board: board::NAME,
        model: header.name,
        training_digest: header.training_digest,
        model_crc: model::CRC,
        pixels: model::PIXELS as u32,
        dim: model::DIM as u16,
        tick_hz: board::TICK_HZ,
    }
}

/// Embeds an image; the ticks are those of the embedding alone.
fn embed(pixels: &[u8], network: &mut Network, ticks: &mut Ticks) -> Result<Embedded, Fault> {
    let (embedding, ticks) = ticks.measure(|| network.embed(pixels));
    let embedding = embedding.map_err(|error| match error {
        SizeError::Image { expected, found } => Fault::ImageSize {
            expected: expected as u32,
            found: found as u32,
        },
        other => panic!("the embedder was checked at boot, and now: {other}"),
    })?;
    Ok(Embedded {
        coordinates: embedding.0.into_iter().collect(),
        hidden_crc: network.hidden().map(checksum),
        ticks,
    })
}

/// Reports the message as the board can, and ends.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    board::die(info)
}
