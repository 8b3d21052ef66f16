//! The server over `embedded-io`.

use core::hint::spin_loop;

use embedded_io::{Read, ReadReady, Write};
use siamese_core::gallery::Gallery;
use siamese_core::{Embedder, SizeError};

use super::{Core, End, FAILURES, Platform, SILENCE_MS, Step};
use crate::store::Store;

/// Bytes that are read at once, if there are so many.
const CHUNK: usize = 32;

/// A server whose line and flash block.
///
/// Between frames it waits in [`Read::read`], which may sleep. Inside a frame it
/// asks [`ReadReady`] for the next byte, so that it can give a half frame up.
pub struct Server<
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
    S: Store,
    const D: usize,
    const SHARED: usize,
    const HIDDEN1: usize,
    const N: usize,
> Server<'m, 'f, P, S, D, SHARED, HIDDEN1, N>
{
    /// A server with the gallery that was saved last, or an empty one; whatever
    /// was in `gallery` is gone. `buffer` should have
    /// [`frame_capacity`](crate::frame_capacity) bytes for the model's images.
    ///
    /// # Errors
    /// [`SizeError::Dimension`] if the model's embeddings have not `D` coordinates.
    pub fn new(
        embedder: &'m mut Embedder<'f, D, SHARED, HIDDEN1>,
        gallery: &'m mut Gallery<D, N>,
        buffer: &'m mut [u8],
        mut store: S,
        platform: P,
    ) -> Result<Self, SizeError> {
        let mut core = Core::new(embedder, gallery, buffer, platform)?;
        let result = store.load(core.gallery_mut());
        core.loaded(store.can_save(), result)?;
        Ok(Self { core, store })
    }

    /// Answers requests until the host asks for a restart or the line is closed.
    /// Inside a frame it polls; [`run_dozing`](Self::run_dozing) can sleep there.
    ///
    /// # Errors
    /// The line's, if it fails again and again.
    pub fn run<U: Read + ReadReady + Write>(&mut self, line: &mut U) -> Result<End, U::Error> {
        self.run_dozing(line, |_| spin_loop())
    }

    /// As [`run`](Self::run). `doze` is called when the line has no byte inside a
    /// frame: it may sleep until there is one, but wakes now and then, by a
    /// timer's interrupt for example, because only then is a silence noticed. It
    /// may also wake early.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_dozing<U: Read + ReadReady + Write>(
        &mut self,
        line: &mut U,
        mut doze: impl FnMut(&mut U),
    ) -> Result<End, U::Error> {
        self.core.start();
        let mut result = send(line, self.core.outgoing());
        let mut failures = 0;
        loop {
            match result {
                Ok(()) => {}
                Err(error) if failures == FAILURES => return Err(error),
                // The frame is damaged, which its checksum tells.
                Err(_) => failures += 1,
            }
            let mut chunk = [0; CHUNK];
            result = match self.read(line, &mut doze, &mut chunk) {
                Ok(Some(0)) => return Ok(End::Closed),
                Ok(Some(count)) => {
                    failures = 0;
                    match self.take(line, chunk.get(..count).unwrap_or(&chunk)) {
                        Ok(Some(end)) => return Ok(end),
                        Ok(None) => Ok(()),
                        Err(error) => Err(error),
                    }
                }
                Ok(None) => {
                    self.core.give_up();
                    send(line, self.core.outgoing())
                }
                Err(error) => Err(error),
            };
        }
    }

    /// Reads what there is; `None` if a half frame isn't followed by anything.
    fn read<U: Read + ReadReady>(
        &mut self,
        line: &mut U,
        doze: &mut impl FnMut(&mut U),
        chunk: &mut [u8],
    ) -> Result<Option<usize>, U::Error> {
        if self.core.is_receiving() {
            let platform = self.core.platform_mut();
            let silence = u64::from(platform.tick_hz()) * u64::from(SILENCE_MS);
            let mut waited = 0;
            let mut last = None;
            while !line.read_ready()? {
                // Two looks at the clock are needed before any time has passed;
                // a byte that comes at once costs none.
                doze(line);
                if !line.read_ready()? {
                    let now = platform.ticks();
                    waited += u64::from(now.wrapping_sub(*last.get_or_insert(now)));
                    last = Some(now);
                    if waited * 1000 >= silence {
                        return Ok(None);
                    }
                }
            }
        }
        line.read(chunk).map(Some)
    }

    /// Takes bytes, and answers the requests that end in them; why the server
    /// ends, if it does.
    fn take<U: Write>(&mut self, line: &mut U, bytes: &[u8]) -> Result<Option<End>, U::Error> {
        let mut result = Ok(None);
        for &byte in bytes {
            let step = self.core.push(byte);
            if step == Step::Receive {
                continue;
            }
            if step == Step::Save {
                let saved = self.store.save(self.core.gallery());
                self.core.saved(saved);
            }
            let sent = send(line, self.core.outgoing());
            if step == Step::Restart {
                // Whether the host was told or not: it will ask.
                let _ = sent.and_then(|()| line.flush());
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
#[inline(never)]
fn send<U: Write>(line: &mut U, frame: &[u8]) -> Result<(), U::Error> {
    let mut rest = frame;
    while !rest.is_empty() {
        let count = line.write(rest)?;
        // None is against the trait's contract, and would go on for ever.
        rest = rest.get(count.max(1)..).unwrap_or_default();
    }
    line.flush()
}
