//! Pictures that come in parts.

use siamese_core::preprocess::{Grey, Ink, PictureError, fit};

use super::{Device, Outcome, Platform};
use crate::message::{Fault, Response};

/// How much has come of a picture whose pixels lie in the platform's memory.
#[derive(Clone, Copy)]
pub struct Incoming {
    width: u16,
    height: u16,
    filled: u32,
}

impl Incoming {
    /// No picture.
    pub const NONE: Self = Self {
        width: 0,
        height: 0,
        filled: 0,
    };

    /// The pixels of the whole picture: at most 65535 * 65535, which 32 bits hold.
    fn pixels(self) -> u32 {
        u32::from(self.width) * u32::from(self.height)
    }
}

impl<'f, P: Platform, const D: usize, const SHARED: usize, const HIDDEN1: usize, const N: usize>
    Device<'_, 'f, P, D, SHARED, HIDDEN1, N>
{
    /// Begins a picture.
    pub(super) fn begin_picture(&mut self, width: u16, height: u16) -> Result<Response<'f>, Fault> {
        let incoming = Incoming {
            width,
            height,
            filled: 0,
        };
        self.incoming = Incoming::NONE;
        let pixels = incoming.pixels();
        let room = u32::try_from(self.platform.picture().len()).unwrap_or(u32::MAX);
        if pixels == 0 {
            return Err(Fault::Picture(PictureError::Empty));
        }
        if pixels > room {
            return Err(Fault::Picture(PictureError::TooLarge { pixels, room }));
        }
        self.incoming = incoming;
        Ok(Response::Picture { filled: 0 })
    }

    /// Takes a part of a picture, unless it has come before.
    pub(super) fn take_part(&mut self, from: u32, part: &[u8]) -> Result<Response<'f>, Fault> {
        let Incoming { filled, .. } = self.incoming;
        let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
        let end = from.saturating_add(length);
        let wrong = Fault::Picture(PictureError::Pixels {
            expected: self.incoming.pixels(),
            found: end,
        });
        if end > self.incoming.pixels() || from > filled {
            return Err(wrong);
        }
        if end > filled {
            let rest = self.platform.picture().get_mut(from as usize..);
            let room = rest.and_then(|rest| rest.get_mut(..part.len()));
            let room = room.ok_or(wrong)?;
            room.iter_mut().zip(part).for_each(|(to, &from)| *to = from);
            self.incoming.filled = end;
        }
        Ok(Response::Picture {
            filled: self.incoming.filled,
        })
    }

    /// Brings the picture into the model's frame, which `buffer` has room for, and embeds it.
    #[inline(never)]
    pub(super) fn embed_picture(
        &mut self,
        ink: Ink,
        buffer: &mut [u8],
    ) -> Result<Outcome<'f>, Fault> {
        let input = self.embedder.model().header().input;
        let frame = buffer.get_mut(..input.pixels()).ok_or(Fault::TooLong)?;
        let Incoming {
            width,
            height,
            filled,
        } = self.incoming;
        let pixels = self.platform.picture().get(..filled as usize);
        let picture = Grey::new(width, height, pixels.unwrap_or_default());
        picture
            .and_then(|mut picture| fit(&mut picture, ink, input.width, input.height, frame))
            .map_err(Fault::Picture)?;
        self.embedded(frame)
            .map(|embedded| Outcome::Answer(Response::Embedding(embedded)))
    }
}
