//! A device that is emulated.

use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use siamese_link::Embedded;
use tempfile::TempDir;

use crate::error::Error;
use crate::firmware::{Board, Emulation};
use crate::transport::{Halves, Transport};
use crate::{qemu, rp2040js};

/// How fast an emulated processor runs, in its own time: one instruction a
/// nanosecond. So a tick of a 25 MHz clock is 40 instructions, every time.
pub const INSTRUCTIONS_PER_SECOND: u64 = 1_000_000_000;

/// The mean of the instructions that an emulated device took for each of its
/// answers, from what they took by its clock of `tick_hz`; 0 if there are none.
#[must_use]
pub fn mean_instructions(ticks: impl IntoIterator<Item = u32>, tick_hz: u32) -> f64 {
    let (mut sum, mut count) = (0u64, 0u64);
    for ticks in ticks {
        sum += u64::from(ticks);
        count += 1;
    }
    let per_tick = INSTRUCTIONS_PER_SECOND as f64 / f64::from(tick_hz.max(1));
    sum as f64 * per_tick / count.max(1) as f64
}

/// The mean of the instructions that an emulated device took for an image, by
/// its clock of `tick_hz`; 0 if there are no answers.
#[must_use]
pub fn instructions_per_image(answers: &[Embedded], tick_hz: u32) -> f64 {
    mean_instructions(answers.iter().map(|answer| answer.ticks), tick_hz)
}

/// Requests on the way at once: enough that the next is always there, and few
/// enough that little is lost with a device that dies.
const IN_FLIGHT: usize = 8;

/// How long an emulator may take to end after its stream has ended.
const GRACE: Duration = Duration::from_secs(2);

/// A running emulator with a firmware; ended when dropped.
pub struct Emulator {
    child: Child,
    kind: Emulation,
    /// Collects what the emulator and the firmware say on standard error.
    words: Option<JoinHandle<String>>,
    /// The folder of the board's flash, if nobody else keeps it.
    _folder: Option<TempDir>,
}

impl Emulator {
    /// Starts the firmware of an ELF file on an emulated board, whose flash is
    /// blank, and gone in the end.
    ///
    /// # Errors
    /// [`Error::NotEmulated`] if the board has no emulator, [`Error::NoEmulator`] if it is
    /// not installed, [`Error::File`] if there
    /// is no such ELF file, [`Error::Open`] if the emulator can't be started.
    pub fn start(elf: &Path, board: Board) -> Result<Self, Error> {
        let what = "a temporary folder".into();
        let folder = tempfile::tempdir().map_err(|error| Error::Open { what, error })?;
        let mut emulator = Self::start_in(folder.path(), elf, board)?;
        emulator._folder = Some(folder);
        Ok(emulator)
    }

    /// As [`start`](Self::start), with the board's flash in a file of this
    /// folder: a later emulator that is started there finds it.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_in(folder: &Path, elf: &Path, board: Board) -> Result<Self, Error> {
        let kind = board.emulation().ok_or(Error::NotEmulated { board })?;
        let mut command = match kind {
            Emulation::Rp2040js => rp2040js::command(elf, board)?,
            _ => qemu::command(elf, board)?,
        };
        if uses_escapes(kind) {
            command
                // The UART at our pipes. A multiplexed character device has a
                // buffer, which a UART of one byte lacks, and which makes it twice
                // as fast. It also has an escape character: the one that a frame
                // has only once.
                .args(["-chardev", "stdio,id=link,mux=on,signal=off"])
                .args(["-serial", "chardev:link", "-echr", "0"]);
        }
        let mut child = command
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| qemu::not_started(board, error))?;
        let words = child.stderr.take().map(|mut stderr| {
            thread::spawn(move || {
                let mut words = Vec::new();
                // What came before an error is what there is to tell.
                let _ = stderr.read_to_end(&mut words);
                String::from_utf8_lossy(&words).trim().to_owned()
            })
        });
        Ok(Self {
            child,
            kind,
            words,
            _folder: None,
        })
    }

    /// Waits a little for the process to end, then ends it; how it ended.
    fn end(&mut self) -> String {
        let deadline = Instant::now() + GRACE;
        while Instant::now() < deadline {
            match self.child.try_wait() {
                Ok(Some(status)) => return status.to_string(),
                Ok(None) => thread::sleep(Duration::from_millis(5)),
                Err(_) => break,
            }
        }
        self.kill();
        "ended from here".into()
    }

    /// Ends the process, if it hasn't ended already.
    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Transport for Emulator {
    fn halves(&mut self) -> io::Result<Halves> {
        match (self.child.stdout.take(), self.child.stdin.take()) {
            (Some(stdout), Some(stdin)) if !uses_escapes(self.kind) => Ok(Halves {
                reader: Box::new(stdout),
                writer: Box::new(stdin),
            }),
            (Some(stdout), Some(stdin)) => {
                let (awake, ready) = channel();
                Ok(Halves {
                    reader: Box::new(Announcing {
                        stdout,
                        awake: Some(awake),
                    }),
                    writer: Box::new(Escaping {
                        stdin,
                        ready: Some(ready),
                    }),
                })
            }
            _ => Err(io::Error::other("the emulator is in use")),
        }
    }

    fn in_flight(&self) -> usize {
        IN_FLIGHT
    }

    fn close_reason(&mut self) -> String {
        let status = self.end();
        let words = self.words.take().and_then(|words| words.join().ok());
        match words {
            Some(words) if !words.is_empty() => words,
            _ => format!("the emulator said nothing ({status})"),
        }
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether its stream has an escape character.
const fn uses_escapes(kind: Emulation) -> bool {
    matches!(kind, Emulation::Qemu { .. })
}

/// Reads, and tells the writer when the first bytes arrive or the stream ends.
struct Announcing {
    stdout: ChildStdout,
    awake: Option<Sender<()>>,
}

impl Read for Announcing {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.stdout.read(bytes);
        // Closing the channel is the message.
        self.awake = None;
        count
    }
}

/// Holds back everything until the firmware has said that it is ready: QEMU
/// doesn't deliver what comes before the firmware has enabled its UART.
///
/// Then writes each zero twice, which is how a multiplexed character device is
/// told that its escape character is meant as data.
struct Escaping {
    stdin: ChildStdin,
    ready: Option<Receiver<()>>,
}

impl Write for Escaping {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(ready) = self.ready.take() {
            // Nothing is ever sent: this ends when the other end is dropped.
            let _ = ready.recv();
        }
        let mut escaped = Vec::with_capacity(bytes.len() + 8);
        for &byte in bytes {
            escaped.push(byte);
            if byte == 0 {
                escaped.push(byte);
            }
        }
        self.stdin.write_all(&escaped)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stdin.flush()
    }
}
