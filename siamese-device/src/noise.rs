//! A line that damages frames, to test what both ends make of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use siamese_link::{Request, Tag, frame_capacity, write_frame};

use crate::device::Device;
use crate::error::Error;
use crate::reference::Reference;

/// What one direction of a noisy line does to the frames that it carries: bits flip, bytes are
/// lost or come twice, frames are lost, late, doubled or run together. The same seed does the
/// same.
#[derive(Debug)]
pub struct Damage {
    state: u64,
    /// One frame in so many is damaged.
    one_in: u64,
    noisy: Arc<AtomicBool>,
    /// A frame that is late: it comes before the next one.
    late: Vec<u8>,
    damaged: u64,
}

impl Damage {
    /// A direction that damages one frame in `one_in`, at random, as long as `noisy` is set.
    #[must_use]
    pub fn new(seed: u64, one_in: u64, noisy: &Arc<AtomicBool>) -> Self {
        Self {
            state: seed,
            one_in,
            noisy: Arc::clone(noisy),
            late: Vec::new(),
            damaged: 0,
        }
    }

    /// How many frames were damaged.
    #[must_use]
    pub const fn damaged(&self) -> u64 {
        self.damaged
    }

    /// A number below a limit, by SplitMix64.
    fn below(&mut self, limit: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit.max(1)
    }

    /// What arrives when a frame is sent, with its delimiters.
    pub fn carry(&mut self, frame: &[u8]) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.late);
        if !self.noisy.load(Ordering::SeqCst) || frame.is_empty() || self.below(self.one_in) > 0 {
            bytes.extend(frame);
            return bytes;
        }
        self.damaged += 1;
        let mut frame = frame.to_vec();
        let at = self.below(frame.len() as u64) as usize;
        let end = (at + 1 + self.below(20) as usize).min(frame.len());
        match self.below(12) {
            0 => frame[at] ^= 1 << self.below(8),
            // One bit that ends the frame early, if there is one.
            1 => {
                if let Some(byte) = frame[at..].iter_mut().find(|byte| byte.is_power_of_two()) {
                    *byte = 0;
                }
            }
            2 => frame.drain(at..end).for_each(drop),
            3 => {
                let twice = frame[at..end].to_vec();
                frame.splice(at..at, twice);
            }
            // Delimiters are lost.
            4 => drop(frame.pop()),
            5 => frame = frame[1..].to_vec(),
            6 => {
                let last = frame.len() - 1;
                frame[last] = 1 << self.below(8);
            }
            // Delimiters, or the whole frame, come twice.
            7 => frame.extend([0; 3]),
            8 => frame.extend(frame.clone()),
            // The frame is lost, or late.
            9 => frame.clear(),
            10 => self.late = std::mem::take(&mut frame),
            _ => frame.splice(at..at, (0..10).map(|_| 0xA5)).for_each(drop),
        }
        bytes.extend(frame);
        bytes
    }
}

/// What came of damaged frames on a device's line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Noisy {
    /// Good requests, one after each damaged frame.
    pub requests: u64,
    /// Frames that were damaged.
    pub damaged: u64,
    /// Requests that weren't answered, or not with the host's integers.
    pub wrong: u64,
}

/// Sends so many damaged frames over a device's line, and a good request after each. `progress`
/// hears of each.
///
/// # Errors
/// If the device is gone.
pub fn noisy(
    device: &mut Device,
    reference: &mut Reference<'_>,
    pixels: usize,
    frames: u64,
    mut progress: impl FnMut(Noisy),
) -> Result<Noisy, Error> {
    let mut damage = Damage::new(7, 1, &Arc::new(AtomicBool::new(true)));
    let mut counts = Noisy::default();
    let mut buffer = vec![0; frame_capacity(pixels)];
    while counts.damaged < frames {
        let number = counts.requests as u32;
        let image = image(number, pixels);
        // Nobody's session: what arrives whole for all that is answered, and nobody waits for it.
        let tag = Tag {
            session: 0,
            id: number,
        };
        let asked = Request::Embed { pixels: &image };
        let frame = write_frame(tag, &asked, &mut buffer).map_err(|_| Error::TooLong)?;
        device.send_bytes(&damage.carry(frame))?;
        let is_right = match device.embed(&image) {
            Err(error @ Error::Died(_)) => return Err(error),
            Err(_) => false,
            Ok(answer) => reference.embed(&image).is_ok_and(|(point, hidden_crc)| {
                answer.coordinates[..] == *point && answer.hidden_crc == hidden_crc
            }),
        };
        counts.requests += 1;
        counts.damaged = damage.damaged();
        counts.wrong += u64::from(!is_right);
        progress(counts);
    }
    Ok(counts)
}

/// An image with as much ink as a digit has, another one for each number.
fn image(number: u32, pixels: usize) -> Vec<u8> {
    let step = number.wrapping_mul(0x9e37_79b1) | 1;
    let grey = |pixel: u32| {
        let mixed = pixel.wrapping_mul(step).wrapping_add(number) >> 13;
        if mixed.is_multiple_of(4) {
            (mixed >> 4) as u8
        } else {
            0
        }
    };
    (0..pixels as u32).map(grey).collect()
}
