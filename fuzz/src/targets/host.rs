//! The host's end of the link: it is answered anything.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use siamese_core::Gallery;
use siamese_device::{Device, Line};
use siamese_link::{Embedded, FrameError, Notice, Request, Response, Tag, read_frame, write_frame};

use super::link::PIXELS;
use crate::bytes::Bytes;
use crate::naive;

/// The first byte of an answer's payload.
const RESPONSE: u8 = 0xC4;

/// A line on which anything is answered, in a time of its own.
struct Answers {
    bytes: Vec<u8>,
    at: usize,
    now: Instant,
    tag: Tag,
}

impl Line for Answers {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut decoded = vec![0; 4096];
        if let Ok((tag, _)) = read_frame::<Request<'_>>(bytes, &mut decoded) {
            self.tag = tag;
        }
        Ok(())
    }

    fn receive(&mut self, incoming: &mut VecDeque<u8>, until: Instant) -> io::Result<()> {
        let mut bytes = Bytes::new(&self.bytes[self.at..]);
        match bytes.below(6) {
            _ if bytes.is_empty() => self.now = self.now.max(until),
            0 => {
                let count = bytes.below(64);
                incoming.extend(bytes.take(count));
            }
            1 => {
                let count = bytes.below(200);
                let mut payload = naive::frame::header(RESPONSE, self.tag.session, self.tag.id);
                payload.extend(bytes.take(count));
                incoming.extend(naive::frame::write(&payload));
            }
            2 if bytes.below(16) == 0 => return Err(io::ErrorKind::BrokenPipe.into()),
            2 => self.now = self.now.max(until),
            _ => incoming.extend(response(&mut bytes, self.tag)),
        }
        self.at = self.bytes.len() - bytes.rest().len();
        self.now += Duration::from_millis(1);
        Ok(())
    }

    fn now(&self) -> Instant {
        self.now
    }
}

/// An answer that the link can write, or a notice.
fn response(bytes: &mut Bytes<'_>, tag: Tag) -> Vec<u8> {
    let mut buffer = [0; 1024];
    let count = bytes.below(96);
    let record = bytes.clone().take(count);
    let response = match bytes.below(10) {
        0 => Response::Opened,
        1 => Response::Saved,
        2 => Response::Enrolled {
            examples: bytes.u16(),
        },
        3 => Response::Entry {
            changes: u32::from(bytes.u8() & 1),
            record,
        },
        4 => {
            let total = bytes.below(12) as u32;
            let listed = (0..bytes.below(8)).map(|_| siamese_link::Listed {
                label: bytes.u8().into(),
                examples: bytes.u16(),
            });
            Response::Entries(siamese_link::Entries {
                total,
                changes: 0,
                entries: listed.collect(),
            })
        }
        5 => Response::NameOf(match bytes.below(3) {
            0 => None,
            _ => Some((bytes.u8().into(), "a name")),
        }),
        6 => Response::Embedding(Embedded {
            coordinates: (0..bytes.below(64)).map(|_| bytes.u8().into()).collect(),
            hidden_crc: [1, 2],
            ticks: bytes.u32(),
        }),
        7 => Response::Resetting,
        8 => Response::Picture {
            filled: bytes.u8().into(),
        },
        _ => {
            let refused = Notice::Refused(FrameError::Checksum);
            let notice = if bytes.flag() { Notice::Ready } else { refused };
            return write_frame(Tag::NONE, &notice, &mut buffer)
                .unwrap()
                .to_vec();
        }
    };
    let frame = write_frame(tag, &response, &mut buffer);
    frame.map_or_else(|_| Vec::new(), |frame| frame.to_vec())
}

/// A host that is answered anything: it gives an answer or an error, and comes to an end.
pub fn host(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let asks: Vec<u8> = bytes.take(4).to_vec();
    let start = Instant::now();
    let line = Answers {
        bytes: bytes.rest().to_vec(),
        at: 0,
        now: start,
        tag: Tag { session: 0, id: 0 },
    };
    let mut device = Device::over(line);
    device.set_timeout(Duration::from_secs(1));
    let image = [9; PIXELS];
    let mut empty = [0; Gallery::<2, 4>::STORED_MAX];
    let empty = Gallery::<2, 4>::for_fingerprint(9)
        .to_bytes(&mut empty)
        .unwrap()
        .to_vec();
    for ask in asks {
        // What comes back is no matter: it is damaged, or made up with a right checksum.
        match ask % 15 {
            0 => drop(device.info()),
            1 => drop(device.embed(&image)),
            2 => drop(device.entries()),
            3 => drop(device.pull_gallery()),
            4 => drop(device.names()),
            5 => drop(device.enrol(3, false, &image)),
            6 => drop(device.identify(&image)),
            7 => drop(device.verify(3, &image)),
            8 => drop(device.save()),
            9 => drop(device.reset()),
            10 => drop(device.push_gallery(&empty)),
            11 => drop(device.embed_all([image; 3], |_, _| {})),
            12 => drop(device.memory()),
            13 => drop(device.set_name(3, "three")),
            _ => drop(device.merge_gallery(&empty)),
        }
    }
}
