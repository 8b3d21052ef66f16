//! Whether a model fits a board, and what it costs there, before anything is built.

use std::fmt;

use siamese_core::error::EncodeError;

use crate::cost::{self, Bytes, Work};
use crate::{Board, OwnedModel};

/// What a model takes of a board.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    /// The board.
    pub board: Board,
    /// Bytes of flash that the model takes, in the order of the board's core.
    pub model: u32,
    /// What else a program takes that embeds and does nothing else.
    pub embedding: Bytes,
    /// What else `firmware-example` takes, with a gallery, names and the link.
    pub device: Bytes,
    /// The most by which an estimate of instructions was off, as a share.
    pub within: f64,
    /// What an image costs in the mean.
    pub mean: Time,
    /// What the dearest image can cost at the most.
    pub most: Time,
}

/// What an image costs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Time {
    /// Instructions.
    pub instructions: f64,
    /// Cycles; `None` for a core whose timings aren't known.
    pub cycles: Option<f64>,
    /// The part of the cycles in which the core waits for the flash.
    pub waiting: f64,
}

impl Time {
    /// Milliseconds at the board's clock.
    #[must_use]
    pub fn milliseconds(&self, board: Board) -> Option<f64> {
        self.cycles
            .map(|cycles| cycles * 1000.0 / f64::from(board.clock_hz()))
    }
}

impl Budget {
    /// The budget of a model on a board, for images that make this work in the mean.
    /// `None` if nothing was measured on the board's core.
    ///
    /// # Errors
    /// As [`OwnedModel::for_core`].
    pub fn of(model: &OwnedModel, board: Board, work: &Work) -> Result<Option<Self>, EncodeError> {
        let Some(measured) = board.core().measured() else {
            return Ok(None);
        };
        let packed = model.for_core(board.core())?;
        let length = packed.bytes().len() as u32;
        let network = packed.model();
        let [buffers, more] = cost::data_of(&network);
        let time = |instructions: f64, work: &Work| {
            let waiting = board
                .flash_wait()
                .map_or(0.0, |wait| wait.cycles(work, length));
            Time {
                instructions,
                cycles: measured.cycles.map(|each| each * instructions + waiting),
                waiting,
            }
        };
        let lanes = if network.has_lanes() {
            measured.lanes
        } else {
            0
        };
        let most = Work::most(&network);
        let with = |bytes: Bytes, more: u32| Bytes {
            code: bytes.code + lanes,
            data: bytes.data + more,
            ..bytes
        };
        Ok(Some(Self {
            board,
            model: length,
            embedding: with(measured.embedding, buffers),
            device: with(measured.device, buffers + more),
            within: measured.within(work),
            mean: time(measured.instructions(work), work),
            most: time(measured.instructions(&most), &most),
        }))
    }

    /// What is too small for `firmware-example` with this model; `None` if it fits.
    #[must_use]
    pub fn misfit(&self) -> Option<Misfit> {
        let misfit = |memory, needed: u32, bytes| {
            (needed > bytes).then_some(Misfit {
                board: self.board,
                memory,
                needed: needed.into(),
                bytes,
            })
        };
        let Bytes { code, data, stack } = self.device;
        let ram = self.board.ram().bytes;
        // The stack has room of its own; what is deeper than that doesn't fit either.
        let stack = stack.max(self.board.stack_bytes());
        misfit("flash", code + self.model, self.board.program().bytes)
            .or_else(|| misfit("RAM", data + stack, ram))
    }
}

/// How a core waits for what it reads out of a board's flash: the weights, each of which is
/// read once an image. Code stays in a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlashWait {
    /// Bytes that are read at once.
    pub line: u32,
    /// Cycles that this takes longer than reading RAM.
    pub cycles: u32,
    /// Bytes of the cache that weights stay in from image to image, if all of the model fits.
    pub cache: u32,
}

impl FlashWait {
    /// The cycles of waiting, for work with a model of so many bytes.
    fn cycles(self, work: &Work, model: u32) -> f64 {
        if model <= self.cache {
            return 0.0;
        }
        // A word has four bytes.
        let bytes = work.products + 4.0 * work.all_words();
        bytes / f64::from(self.line) * f64::from(self.cycles)
    }
}

/// A memory of a board is too small for a firmware.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Misfit {
    /// The board.
    pub board: Board,
    /// The memory: flash or RAM.
    pub memory: &'static str,
    /// The bytes that the firmware needs.
    pub needed: u64,
    /// The bytes that there are for it.
    pub bytes: u32,
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            board,
            memory,
            needed,
            bytes,
        } = self;
        write!(
            f,
            "the firmware with this model doesn't fit {board}: it needs {needed} bytes of \
             {memory}, and there are {bytes}; take a smaller model or another board"
        )
    }
}

impl std::error::Error for Misfit {}
