//! What a device's bytes travel over.

use std::io::{self, Read, Write};

/// The two directions of a byte stream; each is used by a thread of its own.
pub struct Halves {
    /// From the device. It may block, or return [`io::ErrorKind::TimedOut`] now
    /// and then; at the end of the stream it returns `Ok(0)` or an error.
    pub reader: Box<dyn Read + Send>,
    /// To the device.
    pub writer: Box<dyn Write + Send>,
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
    fn obituary(&mut self) -> String {
        "the connection was closed".into()
    }
}
