//! A firmware with plain interrupts, to start your own from: no operating system, no executor,
//! no `unsafe`. A timer's interrupt takes line after line from a camera; the main loop sleeps
//! until a picture is whole, and says what it shows while the next one already comes.
//!
//! There are two buffers, each with one owner: the interrupt, which fills it, or the main loop,
//! which reads it. They hand references over, in critical sections of a few instructions: no
//! picture is copied, and none is seen half filled. A camera doesn't wait. If both buffers are
//! in use where a picture begins, all of it is missed; pictures have numbers, so the main loop
//! notices, and says so.
//!
//! 1. `Filling::take_line` is yours to write: SysTick stands in for the interrupt of your
//!    camera, DMA channel or UART, which is an `#[interrupt]` of your chip's crate.
//! 2. `SIDE`, `INK` say what pictures are like; `THINGS`, `ROUNDS`, what is learned.
//! 3. `answer` has every answer: switch something there.
//!
//! SysTick is Arm's: on a RISC-V this program only says so.

#![no_std]
#![no_main]
#![cfg_attr(not(target_arch = "arm"), allow(dead_code, reason = "no SysTick"))]

// Of `arch` what is needed: its clock uses SysTick too.
#[cfg_attr(target_arch = "arm", path = "../arch/cortex_m.rs")]
#[cfg_attr(
    target_arch = "arm",
    allow(dead_code, reason = "not all of it is needed")
)]
#[cfg_attr(not(target_arch = "arm"), path = "../arch/mod.rs")]
mod arch;
#[allow(dead_code, unused_imports, reason = "not all of it is needed")]
#[path = "../board/mod.rs"]
mod board;
#[path = "../model.rs"]
mod model;
#[path = "../stand_in.rs"]
mod stand_in;

use core::cell::RefCell;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU32, Ordering};

use critical_section::Mutex;
use heapless::Deque;
use siamese_core::preprocess::{Ink, Picture, fit};
use siamese_core::{Embedding, Gallery, Model};

use arch::Peripherals;
use model::{DIM, Network, PIXELS};
use stand_in::{Camera, Display};

/// Pixels of a line, and lines of a picture.
const SIDE: u16 = 96;
/// Dark on bright, as on paper; [`Ink::Auto`] would look at each picture's border.
const INK: Ink = Ink::Dark;
/// Things to learn, each with a label: a number, 0 for the first.
const THINGS: u32 = 10;
/// Pictures to learn each of them from: all things are shown in turn, then all again.
const ROUNDS: u32 = 5;
/// Lines a second: about a hundred pictures.
const LINES_HZ: u32 = 10_000;

/// Room for a picture.
type Pixels = Picture<{ SIDE as usize * SIDE as usize }>;
/// What was learned.
type Known = Gallery<DIM, { THINGS as usize }>;

/// A buffer, and which of all pictures is in it, 0 for the first.
struct Shot {
    picture: Pixels,
    number: u32,
}

/// Buffers on their way to their next owner: both, at the most.
type Way = Mutex<RefCell<Deque<&'static mut Shot, 2>>>;

/// To the interrupt: to be filled.
static EMPTY: Way = Mutex::new(RefCell::new(Deque::new()));
/// To the main loop: whole pictures.
static FULL: Way = Mutex::new(RefCell::new(Deque::new()));
/// The pictures that there were, if the camera has ended, which yours won't.
static ENDED: AtomicU32 = AtomicU32::new(NOT_YET);
const NOT_YET: u32 = u32::MAX;

fn put(way: &Way, shot: &'static mut Shot) {
    // There is room for both.
    let _ = critical_section::with(|token| way.borrow_ref_mut(token).push_back(shot));
}

fn take(way: &Way) -> Option<&'static mut Shot> {
    critical_section::with(|token| way.borrow_ref_mut(token).pop_front())
}

/// Runs for every line. The static is this handler's alone.
#[cfg(target_arch = "arm")]
#[cortex_m_rt::exception]
fn SysTick() {
    static mut FILLING: Option<Filling> = None;
    FILLING.get_or_insert_with(Filling::start).take_line();
}

/// What the interrupt keeps from one line to the next.
struct Filling {
    camera: Camera,
    /// The picture that comes, and the lines of it that were there.
    number: u32,
    lines: u16,
    /// Where it goes; `None` if it is missed.
    shot: Option<&'static mut Shot>,
}

impl Filling {
    fn start() -> Self {
        Self {
            camera: Camera::start(),
            number: 0,
            lines: 0,
            shot: None,
        }
    }

    /// Takes a line. It must be over before the next one comes.
    fn take_line(&mut self) {
        let mut line = [0; SIDE as usize];
        if self.camera.fill(&mut line).is_none() {
            ENDED.store(self.number, Ordering::Release);
            return;
        }
        if self.lines == 0 {
            self.shot = take(&EMPTY);
        }
        if let Some(shot) = &mut self.shot {
            if self.lines == 0 {
                shot.number = self.number;
                // There is room for a picture of this size, and for each of its lines.
                let _ = shot.picture.begin(SIDE, SIDE);
            }
            let _ = shot.picture.push(&line);
        }
        self.lines += 1;
        if self.lines == SIDE {
            (self.number, self.lines) = (self.number + 1, 0);
            if let Some(shot) = self.shot.take() {
                put(&FULL, shot);
            }
        }
    }
}

/// All that is large: static, so that the linker says whether it fits.
struct Memory {
    shots: [Shot; 2],
    /// What the network looks at: 28x28 pixels, bright on black.
    frame: [u8; PIXELS],
    network: Option<Network>,
    gallery: Known,
}

impl Memory {
    /// Before boot.
    const NEW: Self = Self {
        shots: [const {
            Shot {
                picture: Picture::new(),
                number: 0,
            }
        }; 2],
        frame: [0; _],
        network: None,
        gallery: Gallery::for_fingerprint(0),
    };
}

/// Boots, and works until the camera ends.
fn start(memory: &'static mut Memory) -> ! {
    match main_loop(memory, arch::start()) {
        Some(()) => stand_in::end(),
        None => panic!("the model in flash can't be used"),
    }
}

/// Looks at every picture, and sleeps in between. `None` if the model is not what this firmware
/// was built for.
fn main_loop(memory: &'static mut Memory, peripherals: Peripherals) -> Option<()> {
    let parsed = Model::parse(model::bytes()).ok()?;
    memory.gallery.reset_for(&parsed).ok()?;
    let network = memory.network.insert(Network::new(parsed).ok()?);
    let (gallery, frame) = (&mut memory.gallery, &mut memory.frame);
    let mut display = Display::start();
    memory.shots.iter_mut().for_each(|shot| put(&EMPTY, shot));
    start_timer(peripherals);
    let mut next = 0;
    loop {
        // First this: what was whole before the end is not forgotten.
        let ended = ENDED.load(Ordering::Acquire);
        let shot = take(&FULL);
        let number = shot.as_ref().map_or(ended, |shot| shot.number);
        if number == NOT_YET {
            doze();
            continue;
        }
        for missed in next..number {
            display.show(format_args!("{missed}: missed, both buffers were in use"));
        }
        let Some(shot) = shot else { return Some(()) };
        let seen = embed(&shot.picture, frame, network);
        put(&EMPTY, shot);
        answer(number, seen, gallery, &mut display);
        next = number + 1;
    }
}

/// Sleeps until an interrupt has come, if no picture is whole.
fn doze() {
    critical_section::with(|token| {
        // In one section: an interrupt between looking and sleeping would be slept through. One
        // that comes now wakes the processor, and is taken when the section ends.
        if FULL.borrow_ref(token).is_empty() {
            arch::sleep();
        }
    });
}

/// Embeds the ink, as large and central as in the training's images. `None` if there is none.
fn embed(picture: &Pixels, frame: &mut [u8], network: &mut Network) -> Option<Embedding<DIM>> {
    let input = network.model().header().input;
    let mut rows = picture.grey().ok()?;
    fit(&mut rows, INK, input.width, input.height, frame).ok()?;
    network.embed(frame).ok()
}

/// Learns from the first pictures, and says what the others show.
fn answer(number: u32, seen: Option<Embedding<DIM>>, gallery: &mut Known, display: &mut Display) {
    let Some(seen) = seen else {
        display.show(format_args!("{number}: nothing to be seen"));
        return;
    };
    if number < THINGS * ROUNDS {
        let label = number % THINGS;
        // It has an entry for every label, so it is never full.
        let _ = gallery.enrol(label as u16, &seen);
        display.show(format_args!("{number}: learned as {label}"));
    } else if let Some(found) = gallery.identify(&seen) {
        let (nearest, steps) = (found.nearest.label, found.nearest.distance());
        // The network's file says how near is near enough.
        match found.label() {
            Some(label) => display.show(format_args!("{number}: {label}, at {steps}")),
            None => display.show(format_args!(
                "{number}: unknown, and most like {nearest}, at {steps}"
            )),
        }
    } else {
        display.show(format_args!("{number}: nothing was learned before"));
    }
}

/// Starts the interrupts for the lines.
#[cfg(target_arch = "arm")]
fn start_timer(peripherals: Peripherals) {
    let mut timer = peripherals.SYST;
    timer.set_clock_source(cortex_m::peripheral::syst::SystClkSource::Core);
    timer.set_reload(board::TICK_HZ / stand_in::lines_a_second(LINES_HZ) - 1);
    timer.clear_current();
    timer.enable_interrupt();
    timer.enable_counter();
}

#[cfg(not(target_arch = "arm"))]
fn start_timer(_: Peripherals) {
    panic!("this program is for Arm's cores");
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    board::die(info)
}
