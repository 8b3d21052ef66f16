//! `device`: a board on a serial port, or one that is emulated.

mod connect;
mod gallery;
mod judge;
mod learn;
mod update;
mod watch;

use anyhow::Result;
use serde_json::json;
use siamese_device::Error;

use super::Output;
use connect::{Connected, Connection};

/// Talk to a board: on a serial port, or emulated
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The board runs `firmware-example`, or another firmware with the server of `siamese-link`. Without
--port, the only serial port that looks like a board's is taken. With --emulate, the firmware is built
for that board with --model inside, and its flash is forgotten in the end, unless --flash names a folder.

Examples:
  siamese-train device info
  siamese-train device enrol examples --port /dev/ttyACM0
  siamese-train device identify unknown
  siamese-train device gallery pull my.gallery
  siamese-train device regress --emulate pico
  siamese-train device update small-2.upd
  siamese-train device --emulate mps2-an386 --model m.siam --flash board measure")]
pub struct Args {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Say what it is, which model it runs, and what it has learnt
    Info,
    /// Compare its answers to the model's golden vectors, which libtorch has computed
    SelfTest,
    /// Embed images on it
    Embed(learn::EmbedArgs),
    /// Enrol the pictures of folders, each named by its class
    Enrol(learn::EnrolArgs),
    /// Ask it what pictures look like
    Identify(learn::IdentifyArgs),
    /// Have it forget classes
    Forget(learn::ForgetArgs),
    /// Fetch its gallery, bring it one, or merge one into it
    Gallery(gallery::Args),
    /// Compare its embeddings of all images to this machine's, bit for bit
    Regress(judge::ImagesArgs),
    /// Measure time and memory
    Measure(judge::ImagesArgs),
    /// Give it a new model, signed, or say which one it runs
    Update(update::Args),
    /// Watch what it does, and say when what it sees has changed
    Watch(watch::Args),
}

impl Command {
    /// Whether an emulated board has to have what a fleet's have: updates and statistics.
    const fn is_of_a_fleet(&self) -> bool {
        matches!(self, Self::Update(_) | Self::Watch(_))
    }
}

pub fn run(args: &Args, output: Output) -> Result<()> {
    let fleet = args.command.is_of_a_fleet();
    let mut connected = Connected::open(&args.connection, fleet, output)?;
    match &args.command {
        Command::Info => info(&mut connected, output),
        Command::SelfTest => judge::self_test(&mut connected, output),
        Command::Embed(args) => learn::embed(&mut connected, args, output),
        Command::Enrol(args) => learn::enrol(&mut connected, args, output),
        Command::Identify(args) => learn::identify(&mut connected, args, output),
        Command::Forget(args) => learn::forget(&mut connected, args, output),
        Command::Gallery(args) => gallery::run(&mut connected, args, output),
        Command::Regress(args) => judge::regress(&mut connected, args, output),
        Command::Measure(args) => judge::measure(&mut connected, args, output),
        Command::Update(args) => update::run(&mut connected, args, output),
        Command::Watch(args) => watch::run(&mut connected, args, output),
    }
}

fn info(connected: &mut Connected, output: Output) -> Result<()> {
    let entries = connected.device.entries()?;
    let names = connected.names()?;
    let info = &connected.info;
    let keeps_names = names.is_some();
    let names = names.unwrap_or_default();
    let mut human = format!(
        "{}, {}\n  model      {}, CRC-32 {:08x}: {} pixels to {} coordinates\n  clock      {:.3} MHz\n",
        info.board,
        connected.place,
        info.model,
        info.model_crc,
        info.pixels,
        info.dim,
        f64::from(info.tick_hz) / 1e6,
    );
    let kept = match (info.can_save, keeps_names) {
        (false, _) => "which it can't save",
        (true, false) => "saved without names",
        (true, true) => "saved with names",
    };
    human += &format!(
        "  gallery    {} of {} entries, {kept}\n",
        entries.len(),
        info.gallery_capacity
    );
    if let Some(refused) = &info.refused {
        human += &format!("  remark     what was saved isn't in use: {refused}\n");
    }
    for entry in &entries {
        let plural = if entry.examples == 1 { "" } else { "s" };
        human += &format!(
            "    {:<16} {:>5} example{plural}\n",
            names.get(entry.label),
            entry.examples
        );
    }
    let listed: Vec<_> = entries
        .iter()
        .map(|entry| {
            json!({
                "label": entry.label,
                "name": names.get(entry.label),
                "examples": entry.examples,
            })
        })
        .collect();
    let digest: String = info
        .training_digest
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let json = json!({
        "board": info.board,
        "place": connected.place,
        "model": info.model,
        "model_crc": format!("{:08x}", info.model_crc),
        "training_digest": digest,
        "pixels": info.pixels,
        "dim": info.dim,
        "tick_hz": info.tick_hz,
        "gallery_capacity": info.gallery_capacity,
        "can_save": info.can_save,
        "keeps_names": keeps_names,
        "refused": info.refused.as_ref().map(ToString::to_string),
        "entries": listed,
    });
    output.report(&human, &json)
}

/// Whether the firmware lacks what was asked for.
fn is_unsupported(error: &Error) -> bool {
    matches!(error, Error::Fault(siamese_device::Fault::Unsupported))
}
