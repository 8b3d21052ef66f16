//! A firmware with a camera of 96x96 grey pixels, as an OV7670's luminance, to start your own
//! from. It learns from the first pictures, and says of each that follows what it shows.
//!
//! 1. `Sensor` is yours to write: `start` starts your camera, `next_line` waits for a line.
//!    In the emulator they are a file's, `pictures.grey`, by way of `stand_in`.
//! 2. `WIDTH`, `HEIGHT`, `INK` say what pictures are like; `THINGS`, `ROUNDS`, what is learned.
//! 3. `main_loop` has every answer: switch something there.

#![no_std]
#![no_main]

#[path = "../arch/mod.rs"]
mod arch;
#[allow(dead_code, unused_imports, reason = "not all of it is needed")]
#[path = "../board/mod.rs"]
mod board;
#[path = "../model.rs"]
mod model;
#[path = "../stand_in.rs"]
mod stand_in;

use core::panic::PanicInfo;

use siamese_core::preprocess::{Ink, Picture, fit};
use siamese_core::{Embedding, Gallery, Model};

use model::{DIM, Network, PIXELS};
use stand_in::{Camera, Display};

/// Pixels of a line, and lines of a picture.
const WIDTH: u16 = 96;
const HEIGHT: u16 = 96;
/// Dark on bright, as on paper; [`Ink::Auto`] would look at each picture's border.
const INK: Ink = Ink::Dark;
/// Things to learn, each with a label: a number, 0 for the first.
const THINGS: u16 = 10;
/// Pictures to learn each of them from: all things are shown in turn, then all again.
const ROUNDS: u16 = 5;

/// Room for a picture.
type Shot = Picture<{ WIDTH as usize * HEIGHT as usize }>;

/// All that is large: static, so that the linker says whether it fits.
struct Memory {
    shot: Shot,
    /// What the network looks at: 28x28 pixels, bright on black.
    frame: [u8; PIXELS],
    network: Option<Network>,
    gallery: Gallery<DIM, { THINGS as usize }>,
}

impl Memory {
    /// Before boot.
    const NEW: Self = Self {
        shot: Shot::new(),
        frame: [0; _],
        network: None,
        gallery: Gallery::for_fingerprint(0),
    };
}

/// Boots, and works until the sensor ends, which a camera doesn't.
fn start(memory: &'static mut Memory) -> ! {
    arch::start();
    match main_loop(memory) {
        Some(()) => stand_in::end(),
        None => panic!("the model in flash can't be used"),
    }
}

/// Learns, then answers. `None` if the model is not what this firmware was built for.
fn main_loop(memory: &mut Memory) -> Option<()> {
    let parsed = Model::parse(model::bytes()).ok()?;
    memory.gallery.reset_for(&parsed).ok()?;
    let network = memory.network.insert(Network::new(parsed).ok()?);
    let (gallery, frame) = (&mut memory.gallery, &mut memory.frame);
    let (mut sensor, mut display) = (Sensor::start(), Display::start());
    let mut learned = 0;
    while receive(&mut sensor, &mut memory.shot).is_some() {
        let Some(seen) = embed(&memory.shot, frame, network) else {
            display.show(format_args!("nothing to be seen"));
            continue;
        };
        if learned < THINGS * ROUNDS {
            // It has an entry for every label, so it is never full.
            let _ = gallery.enrol(learned % THINGS, &seen);
            learned += 1;
        } else if let Some(found) = gallery.identify(&seen) {
            let (nearest, steps) = (found.nearest.label, found.nearest.distance());
            // The network's file says how near is near enough.
            match found.label() {
                Some(label) => display.show(format_args!("{label}, at {steps}")),
                None => display.show(format_args!("unknown, and most like {nearest}, at {steps}")),
            }
        }
    }
    Some(())
}

/// Collects a picture from its lines. `None` if the sensor has ended.
fn receive(sensor: &mut Sensor, shot: &mut Shot) -> Option<()> {
    shot.begin(WIDTH, HEIGHT).ok()?;
    for _ in 0..HEIGHT {
        shot.push(sensor.next_line()?).ok()?;
    }
    Some(())
}

/// Embeds the ink, as large and central as in the training's images. `None` if there is none.
fn embed(shot: &Shot, frame: &mut [u8], network: &mut Network) -> Option<Embedding<DIM>> {
    let input = network.model().header().input;
    let mut rows = shot.grey().ok()?;
    fit(&mut rows, INK, input.width, input.height, frame).ok()?;
    network.embed(frame).ok()
}

/// The camera, with room for two lines: while the one that has come is read, the next comes
/// into the other. A DMA channel fills them in a circle.
struct Sensor {
    halves: [[u8; WIDTH as usize]; 2],
    second: bool,
    camera: Camera,
}

impl Sensor {
    /// Starts the camera and the DMA channel.
    fn start() -> Self {
        Self {
            halves: [[0; _]; 2],
            second: true,
            camera: Camera::start(),
        }
    }

    /// Waits for a line; it has to be read before the next one is complete.
    fn next_line(&mut self) -> Option<&[u8]> {
        self.second = !self.second;
        let [first, second] = &mut self.halves;
        let half = if self.second { second } else { first };
        // In place of this: `wfi` until the channel's interrupt says that this half is full.
        self.camera.fill(half)?;
        Some(half)
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    board::die(info)
}
