//! What needs no device: streams that say nothing, end, or talk nonsense, and
//! files that are no firmware.

use std::io::{self, PipeReader, PipeWriter, Write, pipe};
use std::path::Path;
use std::time::{Duration, Instant};

use siamese_device::firmware::{self, Board, Footprint};
use siamese_device::{Device, Emulator, Error, Halves, SerialPort, Transport};
use siamese_link::{Fault, FrameError, Response, frame_capacity, write_frame};

/// A stream whose far ends the test keeps.
struct Pipes(Option<(PipeReader, PipeWriter)>);

impl Transport for Pipes {
    fn halves(&mut self) -> io::Result<Halves> {
        let (reader, writer) = self.0.take().ok_or(io::ErrorKind::NotConnected)?;
        Ok(Halves {
            reader: Box::new(reader),
            writer: Box::new(writer),
        })
    }

    fn in_flight(&self) -> usize {
        1000
    }
}

/// A device, what it reads, and what it says.
fn device() -> (Device, PipeReader, PipeWriter) {
    let (from_device, says) = pipe().unwrap();
    let (reads, to_device) = pipe().unwrap();
    let mut device = Device::new(Pipes(Some((from_device, to_device)))).unwrap();
    device.set_timeout(Duration::from_millis(200));
    (device, reads, says)
}

#[test]
fn a_device_that_neither_reads_nor_answers_is_a_timeout() {
    let (mut device, _reads, _says) = device();
    let started = Instant::now();
    // Far more than a pipe holds.
    let images = std::iter::repeat_n(vec![1; 784], 2000);
    let error = device.embed_all(images, |_, _| {}).unwrap_err();
    assert!(matches!(error, Error::Timeout(_)), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(10));
    // A late answer must not pass for that of the next question.
    assert!(matches!(device.embed(&[0; 784]), Err(Error::Lost)));
}

#[test]
fn a_stream_that_ends_is_a_death() {
    let (mut device, reads, says) = device();
    drop((reads, says));
    assert!(matches!(device.info(), Err(Error::Died(_))));
}

#[test]
fn last_words_over_the_link_are_reported() {
    let (mut device, _reads, mut says) = device();
    says.write_all(b"\0panicked at src/main.rs:1:1:\nout of cheese\0")
        .unwrap();
    let error = device.info().unwrap_err().to_string();
    assert!(error.contains("out of cheese"), "{error}");
}

#[test]
fn damaged_and_wrong_answers_are_errors() {
    let (mut device, _reads, mut says) = device();
    says.write_all(b"nonsense\0").unwrap();
    assert!(matches!(device.memory(), Err(Error::Answer(_))));
    let mut buffer = [0; frame_capacity(0)];
    let fault = Response::Fault(Fault::Frame(FrameError::Cobs));
    says.write_all(write_frame(&fault, &mut buffer).unwrap())
        .unwrap();
    assert!(matches!(
        device.memory(),
        Err(Error::Fault(Fault::Frame(FrameError::Cobs)))
    ));
    let memory = Response::Memory(siamese_device::Memory {
        stack_peak: 1,
        stack_size: 2,
    });
    says.write_all(write_frame(&memory, &mut buffer).unwrap())
        .unwrap();
    assert!(matches!(device.info(), Err(Error::Unexpected)));
}

#[test]
fn what_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let names = |error: Error| {
        let words = error.to_string();
        assert!(words.contains("missing"), "{words}");
    };
    names(Emulator::start(&missing, Board::Mps2An386).err().unwrap());
    names(Footprint::of_elf(&missing).unwrap_err());
    names(firmware::build(&missing, Board::Mps2An386).unwrap_err());
    names(
        SerialPort::open(missing.to_str().unwrap(), 115_200)
            .err()
            .unwrap(),
    );
    let error = Footprint::of_elf(&Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"));
    assert!(error.unwrap_err().to_string().contains("is no firmware"));
}

#[test]
fn a_bad_model_is_not_built_in() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("bad.siam");
    std::fs::write(&model, "not a model").unwrap();
    let error = firmware::build(&model, Board::Mps2An386)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("bad.siam: this is no .siam model"),
        "{error}"
    );
}
