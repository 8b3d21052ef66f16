//! The server over `embedded-io-async`.

use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;

use embedded_hal_async::delay::DelayNs;
use embedded_io_async::{Read, Write};
use siamese_core::gallery::Gallery;
use siamese_core::{Embedder, SizeError};

use super::{Core, End, FAILURES, Platform, SILENCE_MS, Step};
use crate::store::AsyncStore;

/// Bytes that are read at once, if there are so many.
const CHUNK: usize = 64;

/// A server whose line and flash are asynchronous. An embedding is computed at one
/// go, between two `await`s.
pub struct AsyncServer<
    'm,
    'f,
    P,
    S,
    const D: usize,
    const SHARED: usize,
    const HIDDEN1: usize,
    const N: usize,
> {
    core: Core<'m, 'f, P, D, SHARED, HIDDEN1, N>,
    store: S,
}

impl<
    'm,
    'f,
    P: Platform,
    S: AsyncStore,
    const D: usize,
    const SHARED: usize,
    const HIDDEN1: usize,
    const N: usize,
> AsyncServer<'m, 'f, P, S, D, SHARED, HIDDEN1, N>
{
    /// As [`Server::new`](crate::Server::new).
    ///
    /// # Errors
    /// As [`Server::new`](crate::Server::new).
    pub async fn new(
        embedder: &'m mut Embedder<'f, D, SHARED, HIDDEN1>,
        gallery: &'m mut Gallery<D, N>,
        buffer: &'m mut [u8],
        mut store: S,
        platform: P,
    ) -> Result<Self, SizeError> {
        let mut core = Core::new(embedder, gallery, buffer, platform)?;
        let result = store.load(core.gallery_mut()).await;
        core.loaded(store.can_save(), result)?;
        Ok(Self { core, store })
    }

    /// Answers requests until the host asks for a restart or the line is closed.
    /// `delay` tells how long a half frame has been silent; the read that is
    /// waited for is then dropped, and begun anew.
    ///
    /// # Errors
    /// The line's, if it fails again and again.
    pub async fn run<U: Read + Write>(
        &mut self,
        line: &mut U,
        delay: &mut impl DelayNs,
    ) -> Result<End, U::Error> {
        self.core.start();
        let mut result = send(line, self.core.outgoing()).await;
        let mut failures = 0;
        loop {
            match result {
                Ok(()) => {}
                Err(error) if failures == FAILURES => return Err(error),
                // The frame is damaged, which its checksum tells.
                Err(_) => failures += 1,
            }
            let mut chunk = [0; CHUNK];
            let read = if self.core.is_receiving() {
                first(line.read(&mut chunk), delay.delay_ms(SILENCE_MS)).await
            } else {
                Some(line.read(&mut chunk).await)
            };
            result = match read {
                Some(Ok(0)) => return Ok(End::Closed),
                Some(Ok(count)) => {
                    failures = 0;
                    match self.take(line, chunk.get(..count).unwrap_or(&chunk)).await {
                        Ok(Some(end)) => return Ok(end),
                        Ok(None) => Ok(()),
                        Err(error) => Err(error),
                    }
                }
                None => {
                    self.core.give_up();
                    send(line, self.core.outgoing()).await
                }
                Some(Err(error)) => Err(error),
            };
        }
    }

    /// Takes bytes, and answers the requests that end in them; why the server
    /// ends, if it does.
    async fn take<U: Write>(
        &mut self,
        line: &mut U,
        bytes: &[u8],
    ) -> Result<Option<End>, U::Error> {
        let mut result = Ok(None);
        for &byte in bytes {
            let step = self.core.push(byte);
            if step == Step::Receive {
                continue;
            }
            if step == Step::Save {
                let saved = self.store.save(self.core.gallery()).await;
                self.core.saved(saved);
            }
            let sent = send(line, self.core.outgoing()).await;
            if step == Step::Restart {
                // Whether the host was told or not: it will ask.
                return Ok(Some(End::Restart));
            }
            if let Err(error) = sent {
                // The bytes that are left are requests, too.
                result = Err(error);
            }
        }
        result
    }
}

/// Sends a frame.
async fn send<U: Write>(line: &mut U, frame: &[u8]) -> Result<(), U::Error> {
    let mut rest = frame;
    while !rest.is_empty() {
        let count = line.write(rest).await?;
        // None would go on for ever.
        rest = rest.get(count.max(1)..).unwrap_or_default();
    }
    line.flush().await
}

/// What `wanted` comes to, or `None` if `limit` ends before it does.
async fn first<T>(wanted: impl Future<Output = T>, limit: impl Future<Output = ()>) -> Option<T> {
    let (mut wanted, mut limit) = (pin!(wanted), pin!(limit));
    poll_fn(|context| match wanted.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => limit.as_mut().poll(context).map(|()| None),
    })
    .await
}
