//! The two threads that move a device's bytes, and what they have received.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::transport::{Halves, Transport};

/// Bytes without a delimiter that no device sends, last words included: the rest
/// of them isn't kept.
const LONGEST_FRAME: usize = 4096;
/// Frames that are kept besides the answers that may be on the way; of more, the
/// oldest are dropped.
const SPARE_FRAMES: usize = 64;
/// How long a dropped line waits for its threads. A stream whose reads neither
/// return nor end keeps its thread, which takes one more read from it at most.
const GRACE: Duration = Duration::from_secs(1);
/// How often it looks meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// An open line to a device. Neither a device that doesn't read nor one that
/// doesn't answer blocks its user.
pub struct Line {
    outgoing: Option<Sender<Vec<u8>>>,
    incoming: Arc<Incoming>,
    threads: Vec<JoinHandle<()>>,
    transport: Option<Box<dyn Transport>>,
}

/// What the reading thread and the line's user share.
struct Incoming {
    state: Mutex<State>,
    changed: Condvar,
    /// The line is no longer used.
    closed: AtomicBool,
    /// The most frames that are kept.
    room: usize,
}

struct State {
    frames: VecDeque<Vec<u8>>,
    ended: bool,
}

/// The stream has ended.
pub struct Ended;

impl Line {
    /// Opens the line.
    pub fn new(mut transport: Box<dyn Transport>) -> io::Result<Self> {
        let Halves { reader, writer } = transport.halves()?;
        let incoming = Arc::new(Incoming {
            state: Mutex::new(State {
                frames: VecDeque::new(),
                ended: false,
            }),
            changed: Condvar::new(),
            closed: AtomicBool::new(false),
            room: SPARE_FRAMES.saturating_add(transport.in_flight()),
        });
        let (outgoing, to_send) = channel();
        let shared = Arc::clone(&incoming);
        let threads = vec![
            thread::spawn(move || send_all(writer, &to_send)),
            thread::spawn(move || {
                receive_all(reader, &shared);
                shared.end();
            }),
        ];
        Ok(Self {
            outgoing: Some(outgoing),
            incoming,
            threads,
            transport: Some(transport),
        })
    }

    /// How many requests may be on the way at once.
    pub fn in_flight(&self) -> usize {
        let transport = self.transport.as_ref();
        transport.map_or(1, |transport| transport.in_flight().max(1))
    }

    /// Has bytes sent.
    pub fn send(&self, bytes: Vec<u8>) -> Result<(), Ended> {
        let outgoing = self.outgoing.as_ref().ok_or(Ended)?;
        outgoing.send(bytes).map_err(|_| Ended)
    }

    /// The next frame, without its delimiters; `None` if there is none until then.
    pub fn receive(&self, until: Instant) -> Result<Option<Vec<u8>>, Ended> {
        let mut state = self.incoming.lock();
        loop {
            if let Some(frame) = state.frames.pop_front() {
                return Ok(Some(frame));
            }
            if state.ended {
                return Err(Ended);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let waited = self.incoming.changed.wait_timeout(state, left);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// What is known about the stream's end.
    pub fn obituary(&mut self) -> String {
        let transport = self.transport.as_mut();
        transport.map_or_else(String::new, |transport| transport.obituary())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.incoming.closed.store(true, Ordering::Relaxed);
        // The writer ends with its channel, the reader with the stream or at its
        // next look.
        self.outgoing = None;
        self.transport = None;
        let deadline = Instant::now() + GRACE;
        while !self.threads.iter().all(JoinHandle::is_finished) && Instant::now() < deadline {
            thread::sleep(LOOK_EVERY);
        }
    }
}

impl Incoming {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Whoever panicked has left a whole frame or none.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, frame: Vec<u8>) {
        let mut state = self.lock();
        if state.frames.len() >= self.room {
            state.frames.pop_front();
        }
        state.frames.push_back(frame);
        self.changed.notify_one();
    }

    fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_one();
    }
}

/// Writes what comes through the channel until either end closes.
fn send_all(mut writer: impl Write, frames: &Receiver<Vec<u8>>) {
    for frame in frames {
        let sent = writer.write_all(&frame).and_then(|()| writer.flush());
        if sent.is_err() {
            return;
        }
    }
}

/// Cuts what comes in at the delimiters, until either end closes.
fn receive_all(mut reader: impl Read, incoming: &Incoming) {
    let mut frame = Vec::new();
    let mut bytes = [0; 4096];
    while !incoming.closed.load(Ordering::Relaxed) {
        let count = match reader.read(&mut bytes) {
            Ok(0) => return,
            Ok(count) => count,
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted | io::ErrorKind::TimedOut => continue,
                io::ErrorKind::WouldBlock => {
                    thread::sleep(LOOK_EVERY);
                    continue;
                }
                _ => return,
            },
        };
        for &byte in bytes.get(..count).unwrap_or(&bytes) {
            if byte != 0 {
                if frame.len() < LONGEST_FRAME {
                    frame.push(byte);
                }
            } else if !frame.is_empty() {
                incoming.push(std::mem::take(&mut frame));
            }
        }
    }
}
