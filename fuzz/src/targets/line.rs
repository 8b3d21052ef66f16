//! A device's server over a line of bytes.

use std::collections::VecDeque;

use siamese_core::gallery::GalleryStore;
use siamese_core::gallery::test_flash::TestFlash;
use siamese_core::{Embedder, Gallery};
use siamese_link::server::{End, Server};
use siamese_link::{Request, Tag};

use super::link::{BUFFER, Board, ROOM, any_tag, good_request, is_answer, request, written};
use crate::bytes::Bytes;
use crate::model;

/// A line that gives some bytes, and fails or is silent now and then.
struct Wire {
    incoming: VecDeque<u8>,
    /// One decision a read, then none.
    faults: Vec<u8>,
    sent: Vec<u8>,
}

impl Wire {
    fn fault(&mut self) -> u8 {
        self.faults.pop().unwrap_or(0)
    }
}

impl embedded_io::ErrorType for Wire {
    type Error = embedded_io::ErrorKind;
}

impl embedded_io::Read for Wire {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Self::Error> {
        let fault = self.fault();
        if fault & 0x83 == 0x83 {
            return Err(embedded_io::ErrorKind::Other);
        }
        let most = if fault & 4 == 4 { 1 } else { bytes.len() };
        let count = most.min(self.incoming.len());
        for (to, byte) in bytes.iter_mut().zip(self.incoming.drain(..count)) {
            *to = byte;
        }
        Ok(count)
    }
}

impl embedded_io::ReadReady for Wire {
    fn read_ready(&mut self) -> Result<bool, Self::Error> {
        match self.fault() {
            fault if fault & 0x8F == 0x8B => Err(embedded_io::ErrorKind::Other),
            // A silence, until the clock has ticked often enough.
            fault if fault & 0x88 == 0x88 => Ok(false),
            // At its end the line is closed, which is noticed by reading.
            _ => Ok(true),
        }
    }
}

impl embedded_io::Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        if self.fault() & 0x90 == 0x90 {
            return Err(embedded_io::ErrorKind::Other);
        }
        self.sent.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// A server over a line of bytes: it comes to an end when the line is closed, restarts when it is
/// asked to, and answers the next good request.
pub fn line(data: &[u8]) {
    type Flash = TestFlash<1, 4, 256, 1024>;
    let mut bytes = Bytes::new(data);
    let form = bytes.u8();
    let count = bytes.below(128);
    let faults = bytes.take(count).to_vec();
    let model = model();
    let mut embedder = Embedder::<2, 32, 16>::new(model).unwrap();
    let mut gallery = Gallery::<2, ROOM>::for_fingerprint(0);
    let mut buffer = [0; BUFFER];
    let mut flash = Flash::new();
    if form & 8 == 8 {
        flash.fail_write(u32::from(form >> 4));
    }
    let store = GalleryStore::new(flash, 0..1024).ok();
    let store = store.filter(|_| form & 16 == 0);
    let board = Board::new(form);
    let mut server = Server::new(&mut embedder, &mut gallery, &mut buffer, store, board).unwrap();
    let mut tag = Tag { session: 9, id: 0 };
    let mut incoming = VecDeque::from(written(tag, &Request::Open));
    while !bytes.is_empty() {
        tag.id += u32::from(bytes.below(4) > 0);
        match bytes.below(4) {
            0 => {
                let count = bytes.below(64);
                incoming.extend(bytes.take(count));
            }
            _ => {
                let tag = any_tag(&mut bytes, tag);
                incoming.extend(request(&mut bytes, tag));
            }
        }
    }
    let mut wire = Wire {
        incoming,
        faults,
        sent: Vec::new(),
    };
    // Each restart takes a request, and each failure a fault.
    while let Ok(End::Restart) | Err(_) = server.run_dozing(&mut wire, |_| ()) {}
    wire.faults.clear();
    wire.sent.clear();
    wire.incoming = [&[0], &*good_request()].concat().into();
    assert_eq!(server.run(&mut wire), Ok(End::Closed));
    let mut frames = wire.sent.split(|&byte| byte == 0);
    let last = frames.rfind(|frame| !frame.is_empty());
    let last = [&[0], last.expect("a good request isn't answered"), &[0]].concat();
    is_answer(&last);
}
