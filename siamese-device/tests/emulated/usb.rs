//! The emulated Pico as a serial port on USB, which its emulator's host asks for its name and
//! opens. With `SIAMESE_FULL` alone: what drives the USB takes minutes to compile.

use std::path::PathBuf;

use siamese_device::Device;
use siamese_device::firmware::{Board, Footprint};
use siamese_link::{Notice, Tag, read_frame};

use crate::common::{build_featured, random_images, random_model, start};
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

/// Lists galleries, each longer by a byte or two than another: a host takes no notice of a packet
/// of 64 bytes before a shorter one follows.
pub fn answers_of_all_lengths_arrive(device: &mut Device) {
    let image = &random_images(1, 784, 23)[0];
    for small in 0..3 {
        // Numbers below 128 take one byte.
        let labels: Vec<u16> = (0..small).chain(300..325).collect();
        for (before, &label) in labels.iter().enumerate() {
            device.enrol(label, false, image).unwrap();
            assert_eq!(device.entries().unwrap().len(), before + 1);
        }
        for label in labels {
            device.forget(label).unwrap();
        }
    }
}

#[test]
fn a_pico_on_usb_gives_the_hosts_integers() {
    if !is_full() {
        return;
    }
    let elf = build(&random_model(1));
    let mut device = start(&elf, Board::Pico);
    // Said before the port was open.
    let (frame, mut decoded) = (device.receive_frame().unwrap(), [0; 64]);
    let ready = read_frame(&frame, &mut decoded);
    assert_eq!(ready, Ok((Tag::NONE, Notice::Ready)));
    assert_eq!(device.info().unwrap().board, Board::Pico.name());
    compare(&mut device, &elf, 300);
    answers_of_all_lengths_arrive(&mut device);
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
