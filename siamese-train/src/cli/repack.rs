//! `repack`: a model with its weights in the order that a core is fastest with.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde_json::json;
use siamese_build::Core;
use siamese_train::embed::ModelFile;
use siamese_train::limit;

use super::Output;
use super::output::shown;

/// Put a model's weights in the order that a core is fastest with
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Training writes the weights row by row, which every core runs. The cores that have a kernel of
their own need fewer instructions with another order: the integers stay the same, and so does the
name. Any order can be made from any other; --for any gives rows again. Weights of 2, 3 or 4 bits
have one order for every core. A file of format version 3 becomes one of version 4. A firmware's
build.rs does the same in one line:
  OwnedModel::read(path)?.for_core(Core::CortexM4)?

Example:
  siamese-train repack --model model/small.siam --for cortex-m4 --out small.cortex-m4.siam")]
pub struct Args {
    /// The quantised model
    #[arg(long, value_name = "FILE.siam")]
    model: PathBuf,
    /// The core that will run it
    #[arg(long = "for", value_name = "CORE", value_parser = cores())]
    core: Core,
    /// Where the new model goes
    #[arg(long, value_name = "FILE.siam")]
    out: PathBuf,
}

/// The cores by name.
fn cores() -> impl TypedValueParser<Value = Core> {
    PossibleValuesParser::new(Core::ALL.map(Core::name)).try_map(|name| name.parse::<Core>())
}

pub fn run(args: &Args, output: Output) -> Result<()> {
    let bytes = limit::read(&args.model)
        .with_context(|| format!("cannot open {}", args.model.display()))?;
    let file = ModelFile::new(&args.model, &siamese_build::upgraded(&bytes))?;
    let packed = file
        .stored()
        .for_core(args.core)
        .with_context(|| format!("cannot repack {}", args.model.display()))?;
    let (layout, wanted) = (packed.model().layout(), args.core.layout());
    if layout != wanted {
        bail!(
            "the weights of {} are too large for the order that {} wants ({}); in rows, as they \
             are, they run there too",
            args.model.display(),
            args.core,
            wanted.name()
        );
    }
    std::fs::write(&args.out, packed.bytes())
        .with_context(|| format!("cannot write {}", args.out.display()))?;
    let human = format!(
        "{} bytes with the weights in {} in {}",
        packed.bytes().len(),
        layout.name(),
        args.out.display()
    );
    let json = json!({
        "core": args.core.name(),
        "layout": layout.name(),
        "bytes": packed.bytes().len(),
        "out": shown(&args.out),
    });
    output.report(&human, &json)
}
