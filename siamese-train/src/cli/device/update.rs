//! A new model for a board in the field.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use siamese_build::OwnedModel;
use siamese_core::model::Layout;
use siamese_device::firmware::Board;
use siamese_device::updates::{HEADER_LEN, Header, Other, Running, Status, vector_len};
use siamese_device::{Device, Release};
use siamese_train::embed::ModelFile;
use siamese_train::files::hex;
use siamese_train::release::WARNING;

use super::connect::Connected;
use super::is_unsupported;
use crate::cli::Output;
use crate::cli::sign::{GoldenArgs, signed};

/// The beginning of a model file.
const MODEL: &[u8] = b"SIAMESE\x1A";

/// Which model.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
FILE is an update file of `sign`, or a model: then --key signs it for this board, as --version, or one
above what the board runs. The board checks signature, board, core, size and version before it erases
anything; the model that it runs answers all the time. Then it restarts with the new model on trial:
that must give the integers of its golden vectors, on the board itself and, asked from here, over the
line. Only then it is confirmed. Whatever goes wrong before, the next restart brings back the old one.

What the board has learnt is a gallery of the old model: it is kept, and not used by the new one, until
`device save` or `device enrol` writes another. Pull it first if you want to go back.

Without FILE it says where the board stands.

Examples:
  siamese-train device update
  siamese-train device update small-2.upd
  siamese-train device update mine/small.siam --key fleet.pem
  siamese-train device update --emulate pico --flash board mine/small.siam --key development")]
pub struct Args {
    /// An update file, or a model to be signed
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// The secret key for a model, or `development`
    #[arg(long, value_name = "FILE.pem")]
    key: Option<PathBuf>,
    /// The version of a model [default: one above what the board runs]
    #[arg(long = "as-version", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    version: Option<u32>,
    #[command(flatten)]
    golden: GoldenArgs,
    /// Leave the new model on trial: the next restart gives it up, unless --confirm comes first
    #[arg(long, conflicts_with = "confirm")]
    trial: bool,
    /// Keep the model that is on trial
    #[arg(long, conflicts_with = "file")]
    confirm: bool,
}

pub fn run(connected: &mut Connected, args: &Args, output: Output) -> Result<()> {
    let status = status(&mut connected.device)?;
    if status.development_key {
        output.note(&format!("{}: {WARNING}", connected.info.board));
    }
    if args.confirm {
        connected.device.confirm_update()?;
    }
    match &args.file {
        Some(file) => {
            let file = update_file(connected, args, file, &status, output)?;
            install(connected, &file, args.trial, output)
        }
        None => report(connected, "", output),
    }
}

/// Where the board stands, or why it takes no updates.
fn status(device: &mut Device) -> Result<Status> {
    match device.update_status() {
        Err(error) if is_unsupported(&error) => bail!(
            "this board's firmware takes no updates: build it by `cargo xtask firmware --updates \
             KEY.pub` for a board that has room for them"
        ),
        status => Ok(status?),
    }
}

/// The bytes of the update, signed now if it is a model.
fn update_file(
    connected: &Connected,
    args: &Args,
    path: &PathBuf,
    status: &Status,
    output: Output,
) -> Result<Vec<u8>> {
    let bytes = fs::read(path)
        .with_context(|| format!("cannot open {}; check the path", path.display()))?;
    if !bytes.starts_with(MODEL) {
        ensure!(
            args.key.is_none() && args.version.is_none(),
            "{} is signed already, or no model: --key and --as-version are for models",
            path.display()
        );
        return Ok(bytes);
    }
    let Some(key) = &args.key else {
        bail!(
            "{} is a model, and a board takes only what is signed: name the secret key with --key, \
             or sign it elsewhere by `siamese-train sign`",
            path.display()
        );
    };
    let layout = Layout::ALL
        .into_iter()
        .find(|layout| layout.number() == status.layout);
    let release = Release {
        board: connected.info.board.parse::<Board>().ok(),
        layout: layout.context("the board wants an order of the weights that is unknown here")?,
        version: args.version.unwrap_or(status.floor.saturating_add(1)),
        over: 0,
    };
    let model = ModelFile::read(path)?;
    signed(&model, &args.golden, &release, key, output)
}

/// Sends it, and keeps it if the board gives its integers.
fn install(connected: &mut Connected, file: &[u8], trial: bool, output: Output) -> Result<()> {
    let header = Header::unverified(file)?;
    let device = &mut connected.device;
    let payload = file.len() - HEADER_LEN;
    let bar = output.progress().bytes("update", Some(payload as u64));
    let sent = device.send_update(file, |bytes| bar.set_position(bytes as u64));
    bar.finish_and_clear();
    sent?;
    let bar = output.progress().waiting("update", "is verified and tried");
    device.switch_update()?;
    device.reset()?;
    bar.finish_and_clear();
    let status = device.update_status()?;
    if let Other::Rejected { reason, .. } = status.other {
        bail!("the board runs its old model again: {reason}");
    }
    ensure!(
        matches!(status.running, Running::Slot { on_trial: true, .. })
            && status.version == header.version,
        "the board didn't switch to the new model, and runs version {}",
        status.version
    );
    compare(device, &header, file)?;
    connected.info = device.info()?;
    let said = if trial {
        "on trial: `siamese-train device update --confirm` keeps it, a restart gives it up"
    } else {
        device.confirm_update()?;
        "confirmed"
    };
    report(connected, said, output)
}

/// Asks the board for the embeddings of the golden vectors.
fn compare(device: &mut Device, header: &Header, file: &[u8]) -> Result<()> {
    let payload = file.get(HEADER_LEN..).unwrap_or_default();
    let model = payload.get(..header.model as usize).unwrap_or_default();
    let model = OwnedModel::new(model)?;
    let (model, pixels) = (model.model(), model.model().header().input.pixels());
    let start = header.golden_start().unwrap_or(u32::MAX) as usize;
    let vectors = payload.get(start..).unwrap_or_default();
    for (number, vector) in vectors.chunks(vector_len(&model)).enumerate() {
        let (image, expected) = vector.split_at_checked(pixels).unwrap_or_default();
        let answer = device.embed(image)?;
        let coordinates = answer
            .coordinates
            .iter()
            .flat_map(|value| value.to_le_bytes());
        let layers = answer.hidden_crc.iter().flat_map(|crc| crc.to_le_bytes());
        ensure!(
            coordinates.chain(layers).eq(expected.iter().copied()),
            "the board gives other integers for golden vector {number} than the update says: it is \
             left on trial, and a restart brings back the old model"
        );
    }
    Ok(())
}

/// Where the board stands, and what comes next.
fn report(connected: &mut Connected, said: &str, output: Output) -> Result<()> {
    let status = connected.device.update_status()?;
    let info = &connected.info;
    let kind = match status.running {
        Running::Slot { slot, on_trial } => {
            let trial = if on_trial { ", on trial" } else { "" };
            format!("from slot {slot}{trial}")
        }
        _ => "built into the firmware".to_owned(),
    };
    let other = match status.other {
        Other::Waiting { version } => format!("version {version}, which the next restart tries"),
        Other::Previous { version } => format!("version {version}, which ran before"),
        Other::Rejected { version, reason } => format!("version {version}, given up: {reason}"),
        _ => "nothing".to_owned(),
    };
    let key = hex(&status.key);
    let mut human = format!(
        "{}, {}\n  model      {}, version {}, {kind}\n  other slot {other}\n  takes      updates \
         above version {}, of at most {} bytes, signed with the key {key}…\n",
        info.board, connected.place, info.model, status.version, status.floor, status.room
    );
    if !said.is_empty() {
        human += &format!("the new model runs, and is {said}\n");
    }
    if let Some(refused) = &info.refused {
        human += &format!(
            "what the board has learnt is kept, and not in use: {refused}\nnext: show it its \
             classes again, by `siamese-train device enrol FOLDER`\n"
        );
    }
    let json = json!({
        "board": info.board,
        "model": info.model,
        "model_crc": format!("{:08x}", info.model_crc),
        "version": status.version,
        "running": match status.running {
            Running::Slot { slot, .. } => format!("slot {slot}"),
            _ => "built in".to_owned(),
        },
        "on_trial": matches!(status.running, Running::Slot { on_trial: true, .. }),
        "other": other,
        "floor": status.floor,
        "room": status.room,
        "key": key,
        "development_key": status.development_key,
        "gallery_refused": info.refused.as_ref().map(ToString::to_string),
    });
    output.report(&human, &json)
}
