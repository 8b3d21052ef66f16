//! `sign`: an update file of a model, for devices in the field.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde_json::json;
use siamese_build::{Board, Core};
use siamese_core::model::Layout;
use siamese_device::{Release, seal};
use siamese_train::embed::ModelFile;
use siamese_train::files::write_atomic;
use siamese_train::release::{
    VECTORS, WARNING, golden_vectors, is_development, public_digits, signing_key,
};

use super::Output;
use super::output::shown;

/// Make an update file of a model, signed, for devices in the field
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The file holds the model with its weights in the order of the device's core, its version, golden
vectors that the device checks before it keeps the model, and an Ed25519 signature. A device takes it
only with the signature of the key that its firmware was built with, and only if the version is
higher than that of the model that it runs. FORMAT.md has the form.

To go back to an older model, sign it with --over: the newest version that it may replace.

Examples:
  siamese-train sign --model mine/small.siam --key fleet.pem --board pico --version 2 --out small-2.upd
  siamese-train device update small-2.upd
  siamese-train sign --model old.siam --key fleet.pem --board pico --version 1 --over 2 --out back.upd")]
pub struct Args {
    /// The quantised model
    #[arg(long, value_name = "FILE.siam")]
    model: PathBuf,
    /// The secret key, or `development`
    #[arg(long, value_name = "FILE.pem")]
    key: PathBuf,
    /// The model's version: 1 or more, and higher for each release
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    version: u32,
    /// The board that it is for
    #[arg(long, value_parser = boards(), required_unless_present = "core", conflicts_with = "core")]
    board: Option<Board>,
    /// The core that it is for, on any board
    #[arg(long, value_parser = cores())]
    core: Option<Core>,
    /// It may also replace versions up to this one
    #[arg(long, value_name = "N", default_value_t = 0)]
    over: u32,
    #[command(flatten)]
    golden: GoldenArgs,
    /// Where the update file goes
    #[arg(long, value_name = "FILE.upd")]
    out: PathBuf,
}

/// Which golden vectors.
#[derive(Debug, clap::Args)]
pub struct GoldenArgs {
    /// The model's golden vectors [default: those beside it; if there are none, noise]
    #[arg(long, value_name = "FILE.golden.safetensors")]
    golden: Option<PathBuf>,
    /// So many of them
    #[arg(long, value_name = "N", default_value_t = VECTORS)]
    vectors: usize,
}

fn boards() -> impl TypedValueParser<Value = Board> {
    PossibleValuesParser::new(Board::ALL.map(Board::name)).try_map(|name| name.parse::<Board>())
}

fn cores() -> impl TypedValueParser<Value = Core> {
    PossibleValuesParser::new(Core::ALL.map(Core::name)).try_map(|name| name.parse::<Core>())
}

/// Signs a model; says so loudly if that protects nothing.
pub fn signed(
    model: &ModelFile,
    golden: &GoldenArgs,
    release: &Release,
    key: &Path,
    output: Output,
) -> Result<Vec<u8>> {
    let key = signing_key(key)?;
    if is_development(&key) {
        output.note(WARNING);
    }
    let (vectors, are_torchs) = golden_vectors(model, golden.golden.as_deref(), golden.vectors)?;
    if !are_torchs {
        output.note(&format!(
            "there are no golden vectors beside {}: those of the update are computed here, of noise",
            model.path().display()
        ));
    }
    seal(model.stored(), &vectors, release, &key)
        .with_context(|| format!("cannot sign {}", model.path().display()))
}

pub fn run(args: &Args, output: Output) -> Result<()> {
    let model = ModelFile::read(&args.model)?;
    let layout = match (args.board, args.core) {
        (Some(board), _) => board.core().layout(),
        (None, Some(core)) => core.layout(),
        (None, None) => Layout::Rows,
    };
    ensure!(
        args.over == 0 || args.over >= args.version,
        "--over is the newest version that it may replace, and not below its own"
    );
    let release = Release {
        board: args.board,
        layout,
        version: args.version,
        over: args.over,
    };
    let file = signed(&model, &args.golden, &release, &args.key, output)?;
    write_atomic(&args.out, |out| Ok(out.write_all(&file)?))?;
    let place = match (args.board, args.core) {
        (Some(board), _) => board.to_string(),
        (None, Some(core)) => format!("any board with the core {core}"),
        (None, None) => "any board".to_owned(),
    };
    let human = format!(
        "{}: version {} of {} for {place}, {} bytes\nnext: `siamese-train device update {}`",
        args.out.display(),
        args.version,
        args.model.display(),
        file.len(),
        args.out.display()
    );
    let json = json!({
        "out": shown(&args.out),
        "bytes": file.len(),
        "version": args.version,
        "over": args.over,
        "board": args.board.map(Board::name),
        "layout": layout.name(),
        "key": public_digits(&signing_key(&args.key)?),
    });
    output.report(&human, &json)
}
