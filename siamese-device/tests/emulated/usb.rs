//! The emulated Pico as a serial port on USB, which its emulator's host asks for its name and
//! opens. With `SIAMESE_FULL` alone: what drives the USB takes minutes to compile.

use std::path::PathBuf;

use siamese_device::firmware::{Board, Footprint};

use crate::common::{build_featured, random_model, start};
use crate::gallery::session_of;
use crate::link::{among_damaged_frames_of, compare, damaged_model_is_reported_by};

/// Whether this run takes its time.
fn is_full() -> bool {
    std::env::var_os("SIAMESE_FULL").is_some()
}

/// A firmware on USB with a model.
fn build(model: &[u8]) -> PathBuf {
    build_featured(model, Board::Pico, &["usb"])
}

#[test]
fn a_pico_on_usb_gives_the_hosts_integers() {
    if !is_full() {
        return;
    }
    let elf = build(&random_model(1));
    let mut device = start(&elf, Board::Pico);
    assert_eq!(device.info().unwrap().board, Board::Pico.name());
    compare(&mut device, &elf, 300);
    let (footprint, memory) = (Footprint::of_elf(&elf).unwrap(), device.memory().unwrap());
    println!("{footprint:?} {memory:?}");
    assert!(memory.stack_peak > 0 && memory.stack_peak < memory.stack_size / 2);
}

/// Also after a reset and a power cycle, each of which takes it off the bus.
#[test]
fn a_pico_on_usb_learns_and_remembers() {
    if is_full() {
        session_of(Board::Pico, build);
    }
}

#[test]
fn a_picos_answers_on_usb_are_right_among_damaged_frames() {
    if is_full() {
        among_damaged_frames_of(Board::Pico, 1_000, build);
    }
}

/// Of a panic before the USB was started, too.
#[test]
fn a_pico_on_usb_reports_a_damaged_model_in_words() {
    if is_full() {
        damaged_model_is_reported_by(Board::Pico, &build(&random_model(1)));
    }
}
