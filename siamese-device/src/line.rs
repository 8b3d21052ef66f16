//! A line to a device, and the two threads that move the bytes of a [`Transport`].

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::transport::{Halves, Transport};

/// Bytes that are kept besides the answers that may be on the way; of more, the
/// oldest are dropped.
const SPARE_BYTES: usize = 1 << 16;
/// The bytes of an answer, at most.
const ANSWER_BYTES: usize = 512;
/// How long a dropped line waits for its threads. A stream whose reads neither
/// return nor end keeps its thread, which takes one more read from it at most.
const GRACE: Duration = Duration::from_secs(1);
/// How often it looks meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// What a [`Device`](crate::Device) asks of its line. A [`Transport`] is simpler to
/// provide; this is for lines with a clock of their own, simulated ones for example.
pub trait Line: Send {
    /// Sends bytes, without waiting for them to arrive.
    ///
    /// # Errors
    /// If the line has ended.
    fn send(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Adds the bytes that have arrived to `bytes`; waits for some until that time
    /// at most.
    ///
    /// # Errors
    /// If the line has ended, and all that came before was received.
    fn receive(&mut self, bytes: &mut VecDeque<u8>, until: Instant) -> io::Result<()>;

    /// The time.
    fn now(&self) -> Instant {
        Instant::now()
    }

    /// As [`Transport::in_flight`].
    fn in_flight(&self) -> usize {
        1
    }

    /// As [`Transport::close_reason`].
    fn close_reason(&mut self) -> String {
        "the connection was closed".into()
    }
}

/// A line over a transport. Neither a device that doesn't read nor one that doesn't
/// answer blocks its user.
pub struct Threaded {
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
    /// The most bytes that are kept.
    room: usize,
}

struct State {
    bytes: VecDeque<u8>,
    ended: bool,
}

impl Threaded {
    /// Opens the line.
    pub fn new(mut transport: Box<dyn Transport>) -> io::Result<Self> {
        let Halves { reader, writer } = transport.halves()?;
        let incoming = Arc::new(Incoming {
            state: Mutex::new(State {
                bytes: VecDeque::new(),
                ended: false,
            }),
            changed: Condvar::new(),
            closed: AtomicBool::new(false),
            room: SPARE_BYTES.saturating_add(transport.in_flight().saturating_mul(ANSWER_BYTES)),
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
}

impl Line for Threaded {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let ended = || io::Error::from(io::ErrorKind::BrokenPipe);
        let outgoing = self.outgoing.as_ref().ok_or_else(ended)?;
        outgoing.send(bytes.to_vec()).map_err(|_| ended())
    }

    fn receive(&mut self, bytes: &mut VecDeque<u8>, until: Instant) -> io::Result<()> {
        let mut state = self.incoming.lock();
        loop {
            if !state.bytes.is_empty() {
                bytes.append(&mut state.bytes);
                return Ok(());
            }
            if state.ended {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            let waited = self.incoming.changed.wait_timeout(state, left);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn in_flight(&self) -> usize {
        let transport = self.transport.as_ref();
        transport.map_or(1, |transport| transport.in_flight())
    }

    fn close_reason(&mut self) -> String {
        let transport = self.transport.as_mut();
        transport.map_or_else(String::new, |transport| transport.close_reason())
    }
}

impl Drop for Threaded {
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
        // Whoever panicked has left the bytes whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, bytes: &[u8]) {
        let mut state = self.lock();
        state.bytes.extend(bytes);
        let excess = state.bytes.len().saturating_sub(self.room);
        state.bytes.drain(..excess);
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

/// Keeps what comes in, until either end closes.
fn receive_all(mut reader: impl Read, incoming: &Incoming) {
    let mut bytes = [0; 4096];
    while !incoming.closed.load(Ordering::Relaxed) {
        match reader.read(&mut bytes) {
            Ok(0) => return,
            Ok(count) => incoming.push(bytes.get(..count).unwrap_or(&bytes)),
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted | io::ErrorKind::TimedOut => {}
                io::ErrorKind::WouldBlock => thread::sleep(LOOK_EVERY),
                _ => return,
            },
        }
    }
}
