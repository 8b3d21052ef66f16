//! The connection: to which board, and with which model.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use siamese_device::firmware::{Board, Build, DESK_FEATURES, Emulation, UPDATES};
use siamese_device::{Device, DeviceInfo, Emulator, SerialPort, ports};
use siamese_train::dataset::ClassNames;
use siamese_train::embed::ModelFile;

use super::is_unsupported;
use crate::cli::Output;

/// The model of an emulated board, if no other is named.
const DEFAULT_MODEL: &str = "model/small.siam";
/// Where the model of a real one is looked for.
const MODELS: &str = "model";
/// The file of an emulated board's flash that holds its updates.
const UPDATED: &str = "model.flash";

/// Which board.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Board")]
pub struct Connection {
    /// Its serial port [default: the one that there is]
    #[arg(long, value_name = "PORT", global = true, conflicts_with = "emulate")]
    port: Option<String>,
    /// Bits a second on that port
    #[arg(long, value_name = "BAUD", global = true, default_value_t = 115_200)]
    baud: u32,
    /// Emulate this board instead
    #[arg(long, value_name = "BOARD", global = true, value_parser = boards())]
    emulate: Option<Board>,
    /// The model: of an emulated board, to be put in [default: model/small.siam]; of a real one,
    /// to compare with [default: the file in model/ that it runs]
    #[arg(long, value_name = "FILE.siam", global = true)]
    model: Option<PathBuf>,
    /// The folder that keeps an emulated board's flash
    #[arg(long, value_name = "FOLDER", global = true)]
    flash: Option<PathBuf>,
    /// Seconds to wait for an answer
    #[arg(long, value_name = "SECONDS", global = true, default_value_t = 10.0)]
    timeout: f32,
}

fn boards() -> impl TypedValueParser<Value = Board> {
    let names: Vec<&str> = Board::emulated().map(Board::name).collect();
    PossibleValuesParser::new(names).try_map(|name| name.parse::<Board>())
}

/// A board that has answered.
pub struct Connected {
    pub device: Device,
    pub info: DeviceInfo,
    /// Where it is, for people.
    pub place: String,
    /// The board and its firmware, if it is emulated.
    pub emulated: Option<(Board, PathBuf)>,
    /// The model that was named for it.
    named: Option<ModelFile>,
}

impl Connected {
    /// Connects, and asks the board who it is. If `fleet`, an emulated one takes updates and counts
    /// what it does, and so does one whose flash has held an update.
    pub fn open(connection: &Connection, fleet: bool, output: Output) -> Result<Self> {
        ensure!(
            connection.timeout > 0.0 && connection.timeout <= 3600.0,
            "--timeout is a number of seconds, more than 0 and at most 3600"
        );
        ensure!(
            connection.flash.is_none() || connection.emulate.is_some(),
            "--flash goes with --emulate; a real board keeps its own flash"
        );
        let read = |path: &PathBuf| ModelFile::read(path);
        let (mut device, place, emulated, named) = match connection.emulate {
            Some(board) => {
                let default = PathBuf::from(DEFAULT_MODEL);
                let path = connection.model.as_ref().unwrap_or(&default);
                ensure!(
                    path.is_file(),
                    "there is no model file {}; name one with --model",
                    path.display()
                );
                let file = read(path)?;
                let updated = |folder: &PathBuf| folder.join(UPDATED).is_file();
                let fleet = fleet || connection.flash.as_ref().is_some_and(updated);
                let elf = built(path, board, fleet, output)?;
                let running = match &connection.flash {
                    Some(folder) => {
                        fs::create_dir_all(folder)
                            .with_context(|| format!("can't make {}", folder.display()))?;
                        Emulator::start_in(folder, &elf, board)?
                    }
                    None => Emulator::start(&elf, board)?,
                };
                let emulator = board.emulation().map_or("nothing", Emulation::name);
                let place = format!("emulated by {emulator}");
                let device = Device::new(running)?;
                (device, place, Some((board, elf)), Some(file))
            }
            None => {
                let named = connection.model.as_ref().map(read).transpose()?;
                let port = match &connection.port {
                    Some(port) => port.clone(),
                    None => only_port(output)?,
                };
                let device = Device::new(SerialPort::open(&port, connection.baud)?)?;
                (device, format!("on {port}"), None, named)
            }
        };
        device.set_timeout(Duration::from_secs_f32(connection.timeout));
        let info = device.info().with_context(|| {
            format!(
                "no board answers {place}: is the firmware of this project on it, and is --baud {} \
                 its speed?",
                connection.baud
            )
        })?;
        // An emulated board may run an update in place of the model that was put in.
        let named =
            named.filter(|file| emulated.is_none() || crc(file.bytes()) == Some(info.model_crc));
        if let Some(file) = &named {
            ensure!(
                crc(file.bytes()) == Some(info.model_crc),
                "the board runs {} with CRC-32 {:08x}, and {} is another model: name the board's, or \
                 flash the firmware with this one",
                info.model,
                info.model_crc,
                file.path().display()
            );
        }
        Ok(Self {
            device,
            info,
            place,
            emulated,
            named,
        })
    }

    /// The model that the board runs, from a file on this machine.
    pub fn model(&mut self) -> Result<ModelFile> {
        if let Some(file) = &self.named {
            return Ok(file.clone());
        }
        let files = fs::read_dir(MODELS).into_iter().flatten().flatten();
        let found = files
            .map(|entry| entry.path())
            .filter(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "siam")
            })
            .find(|path| {
                fs::read(path).is_ok_and(|bytes| crc(&bytes) == Some(self.info.model_crc))
            });
        let Some(path) = found else {
            bail!(
                "the board runs {} with CRC-32 {:08x}, which is not in {MODELS}/: name its file with \
                 --model",
                self.info.model,
                self.info.model_crc
            );
        };
        let file = ModelFile::read(&path)?;
        self.named = Some(file.clone());
        Ok(file)
    }

    /// What the board calls its labels; `None` if it keeps no names.
    pub fn names(&mut self) -> Result<Option<ClassNames>> {
        let listed = match self.device.names() {
            Ok(listed) => listed,
            Err(error) if is_unsupported(&error) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut names = ClassNames::numbers();
        for (label, name) in listed {
            names.set(label, &name)?;
        }
        Ok(Some(names))
    }

    /// Has the board save what it has learnt, if it can; what is to be said about that.
    pub fn save(&mut self) -> Result<&'static str> {
        if !self.info.can_save {
            return Ok("this board can't save it: it is gone with the power");
        }
        self.device
            .save()
            .context("the board has learnt it, and couldn't save it: it is gone with the power")?;
        Ok("saved")
    }
}

/// The CRC-32 that a model file ends with.
fn crc(bytes: &[u8]) -> Option<u32> {
    bytes.last_chunk().map(|&bytes| u32::from_le_bytes(bytes))
}

/// The firmware of a board with a model inside.
fn built(model: &Path, board: Board, fleet: bool, output: Output) -> Result<PathBuf> {
    let bar = output.progress().waiting("firmware", "is being built");
    let mut build = Build::new(model, board).features(DESK_FEATURES);
    if fleet {
        build = build.feature("statistics");
        if board.update_slots().is_some() {
            build = build.feature(UPDATES);
        }
    }
    let elf = build.run();
    bar.finish_and_clear();
    Ok(elf?)
}

/// The port of the one board that is connected.
fn only_port(output: Output) -> Result<String> {
    let found = ports()?;
    match found.as_slice() {
        [port] => {
            output.note(&format!("the board on {port}"));
            Ok(port.clone())
        }
        [] => bail!(
            "no serial port looks like a board's: connect one, name its port with --port, or try \
             --emulate {}",
            Board::default()
        ),
        several => bail!(
            "several serial ports may be the board's: choose one with --port, of {}",
            several.join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_file_ends_with_its_checksum() {
        assert_eq!(crc(&[1, 2, 0x78, 0x56, 0x34, 0x12]), Some(0x1234_5678));
        assert_eq!(crc(&[1, 2, 3]), None);
    }
}
