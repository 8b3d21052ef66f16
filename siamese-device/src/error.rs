//! What can go wrong between host and device.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use siamese_build::{Board, Misfit};
use siamese_core::gallery::LoadError;
use siamese_core::gallery::names::NameError;
use siamese_link::{Fault, FrameError, LINK_VERSION};

/// Why a device gave no answer, or a firmware could not be had.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The emulator of a board is not installed.
    NoEmulator {
        /// Its program.
        program: &'static str,
    },
    /// Nothing emulates the board that could be had.
    NotEmulated {
        /// The board.
        board: Board,
    },
    /// A program could not be started, or a port not be opened.
    Open {
        /// The program or port.
        what: String,
        /// The reason.
        error: io::Error,
    },
    /// No answer came in time, though the request was sent several times. The
    /// device can be asked further; whether it has carried this request out isn't
    /// known.
    Timeout(Duration),
    /// The device is gone; with what is known about why, a panic's message for
    /// example.
    Died(String),
    /// The device refused the request.
    Fault(Fault),
    /// The device's answer came whole, and the message in it is unknown.
    Answer(FrameError),
    /// The device answered another question.
    Unexpected,
    /// The request doesn't fit a frame.
    TooLong,
    /// The firmware speaks another version of the link.
    LinkVersion {
        /// The firmware's version; 2 stands for any before 3 too.
        found: u16,
    },
    /// What was to be brought to the device is no gallery, or none for this device; or
    /// the device has sent none.
    Gallery(LoadError),
    /// The names behind a gallery are damaged, or are too many for a file.
    Names(NameError),
    /// The gallery has names of labels, and the device keeps none.
    NoNames,
    /// A file could not be read or written.
    File {
        /// The file.
        path: PathBuf,
        /// The reason.
        error: io::Error,
    },
    /// The firmware could not be built; with what cargo said.
    Build(String),
    /// The firmware with its model is too large for the board.
    DoesNotFit(Misfit),
    /// A file is no ELF file of this firmware.
    Elf {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEmulator { program } => write!(
                f,
                "{program} is not installed: run `cargo xtask setup`, which installs it"
            ),
            Self::NotEmulated { board } => {
                let emulated: Vec<&str> = Board::emulated().map(Board::name).collect();
                write!(
                    f,
                    "{board} isn't emulated: flash a real one, or take one of {}",
                    emulated.join(", ")
                )
            }
            Self::Open { what, error } => write!(f, "can't open {what}: {error}"),
            Self::Timeout(waited) => write!(
                f,
                "the device didn't answer within {} seconds",
                waited.as_secs_f32()
            ),
            Self::Died(words) => write!(f, "the device died: {words}"),
            Self::Fault(fault) => write!(f, "the device refused the request: {fault}"),
            Self::Answer(error) => write!(f, "the device's answer is of no use: {error}"),
            Self::Unexpected => f.write_str("the device answered another question"),
            Self::TooLong => f.write_str("the request doesn't fit a frame"),
            Self::LinkVersion { found } => write!(
                f,
                "the firmware speaks version {found} of the link and this program version \
                 {LINK_VERSION}: build and flash the firmware again"
            ),
            Self::Gallery(error) => error.fmt(f),
            Self::Names(error) => error.fmt(f),
            Self::NoNames => f.write_str(
                "the gallery has names of labels, and this device keeps none: build its \
                 firmware with the feature `names`, or bring the gallery without names",
            ),
            Self::File { path, error } => write!(f, "{}: {error}", path.display()),
            Self::Build(output) => write!(f, "the firmware can't be built:\n{output}"),
            Self::DoesNotFit(misfit) => misfit.fmt(f),
            Self::Elf { path, reason } => {
                write!(f, "{} is no firmware: {reason}", path.display())
            }
        }
    }
}

/// The messages tell the causes.
impl std::error::Error for Error {}
