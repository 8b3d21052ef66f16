//! What start-up costs: a line each on the emulator's console, with a name and
//! what the stopwatch says.
//!
//! | name | what was measured |
//! |---|---|
//! | `parse` | ticks of checking the whole model |
//! | `open` | ticks from the bytes of a model that was checked before to an empty gallery |
//! | `stack` | bytes of stack that loading and embedding took, at the deepest |

#![no_std]
#![no_main]

#[path = "../alone.rs"]
mod alone;
#[path = "../board/semihosting.rs"]
mod semihosting_board;

use core::hint::black_box;
use core::panic::PanicInfo;

use semihosting::{println, process};
use siamese_core::Model;
use siamese_core::gallery::Gallery;

use alone::{Memory, arch, model};

/// Entries of the gallery: its size has no part in the cost.
const ENTRIES: usize = 4;

/// Measures, and ends.
fn start(memory: &'static mut Memory) -> ! {
    let mut ticks = arch::Ticks::new(arch::start());
    let stack = work(memory);
    let parse = took(&mut ticks, || {
        Model::parse(black_box(model::bytes())).is_ok()
    });
    let open = took(&mut ticks, || {
        // SAFETY: `work` has parsed these very bytes, and flash doesn't change.
        let parsed = unsafe { Model::parse_trusted(black_box(model::bytes())) };
        let gallery = parsed.map(|parsed| Gallery::<{ model::DIM }, ENTRIES>::new(&parsed).is_ok());
        gallery.unwrap_or(false)
    });
    println!("parse {parse}");
    println!("open {open}");
    println!("stack {stack}");
    process::exit(0);
}

/// The ticks of work that has to succeed.
fn took(ticks: &mut arch::Ticks, work: impl FnOnce() -> bool) -> u32 {
    let start = ticks.now();
    let done = black_box(work());
    let end = ticks.now();
    assert!(done, "the model in flash can't be used");
    end.wrapping_sub(start)
}

/// Loads the model, and embeds an image: the bytes of stack that took.
#[inline(never)]
fn work(memory: &'static mut Memory) -> u32 {
    let image = model::bytes().get(..model::PIXELS).unwrap_or_default();
    if let Some(network) = memory.load() {
        let _ = black_box(network.embed(black_box(image)));
    }
    arch::stack::peak()
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    semihosting_board::die(info)
}
