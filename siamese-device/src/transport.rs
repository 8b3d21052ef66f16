//! What a device's bytes travel over.

use std::io::{self, Read, Write};
#[cfg(unix)]
use std::os::fd::AsFd;

#[cfg(unix)]
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// The two directions of a byte stream; each is used by a thread of its own.
pub struct Halves {
    /// From the device. At the end of the stream it returns `Ok(0)` or an error.
    ///
    /// If the stream doesn't end when its [`Transport`] is dropped, reads should
    /// return [`io::ErrorKind::TimedOut`] at least twice a second: a reader that
    /// blocks would take the next bytes from whoever opens the stream anew, and
    /// their request would have to be sent again. [`Halves::polled`] sees to that
    /// for pipes, sockets and other files.
    pub reader: Box<dyn Read + Send>,
    /// To the device.
    pub writer: Box<dyn Write + Send>,
}

#[cfg(unix)]
impl Halves {
    /// The halves of a stream whose reads block: they are made to return now and
    /// then.
    pub fn polled(
        reader: impl Read + AsFd + Send + 'static,
        writer: impl Write + Send + 'static,
    ) -> Self {
        Self {
            reader: Box::new(Polled(reader)),
            writer: Box::new(writer),
        }
    }
}

/// A reader that looks whether there is anything before it reads.
#[cfg(unix)]
struct Polled<R>(R);

#[cfg(unix)]
impl<R: Read + AsFd> Read for Polled<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        /// How long it waits.
        const LOOK: Timespec = Timespec {
            tv_sec: 0,
            tv_nsec: 100_000_000,
        };
        let mut wanted = [PollFd::new(&self.0, PollFlags::IN)];
        if poll(&mut wanted, Some(&LOOK))? == 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.0.read(bytes)
    }
}

/// A byte stream to a device. It lives as long as the [`Device`](crate::Device)
/// that uses it; dropping it should end the stream.
pub trait Transport: Send {
    /// The stream's two halves; called once.
    ///
    /// # Errors
    /// Whatever keeps the stream from being used.
    fn halves(&mut self) -> io::Result<Halves>;

    /// How many requests may be on the way at once. More than 1 only if the
    /// stream holds back bytes for which the device has no room, as pipes do
    /// and a bare serial line does not.
    fn in_flight(&self) -> usize {
        1
    }

    /// What is known about the stream's end, after it ended.
    fn close_reason(&mut self) -> String {
        "the connection was closed".into()
    }
}
