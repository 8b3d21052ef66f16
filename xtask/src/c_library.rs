//! What a firmware in C or C++ takes, in a folder.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use siamese_build::Core;
use siamese_device::CLibrary;
use siamese_device::firmware::Abi;

use crate::firmware::abi;
use crate::setup::{self, Need};
use crate::shell;
use crate::workspace::Workspace;

/// What `cargo xtask c-library --help` says in the end.
pub const HELP: &str = "\
Writes siamese.h, libsiamese_c.a, the model as siamese_model.h and siamese_model.c, and, where
golden vectors lie beside the model, siamese_golden.h. docs/c-and-cpp.md says what to do with them.
Needs neither libtorch nor a compiler for C. Examples:
  cargo xtask c-library --core cortex-m4 --hard-float --out ../my-firmware/siamese
  cargo xtask c-library --core cortex-m0plus --model parts-model/small.siam --out siamese";

/// Which model, for which core, and where to.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The core that will run it
    #[arg(long, value_parser = cores())]
    core: Core,
    /// Pass floats in registers of the floating-point unit, as the firmware's other code does
    #[arg(long)]
    hard_float: bool,
    /// The model
    #[arg(long, value_name = "FILE.siam", default_value = "model/small.siam")]
    model: PathBuf,
    /// The folder to write to
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
}

/// The cores that there is a target of Rust for.
fn cores() -> impl TypedValueParser<Value = Core> {
    let cores = Core::ALL.into_iter();
    let cores = cores.filter(|core| core.target(Abi::Soft).is_some());
    PossibleValuesParser::new(cores.map(Core::name)).try_map(|name| name.parse::<Core>())
}

/// Writes the folder, and says what is in it.
pub fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    setup::run(workspace, &[Need::Rust])?;
    let model = workspace.model(&args.model)?;
    let abi = abi(args.hard_float);
    let why = "compiled for the core, with the model as C beside it";
    shell::step("Library for C", why, || {
        let library = CLibrary::new(args.core).abi(abi);
        library
            .write(&model, &args.out)
            .with_context(|| format!("can't make the library for {}", args.core))
    })?;
    println!("\n  {}", args.out.display());
    let mut files: Vec<_> = std::fs::read_dir(&args.out)
        .and_then(Iterator::collect)
        .with_context(|| format!("can't read {}", args.out.display()))?;
    files.sort_by_key(std::fs::DirEntry::file_name);
    for file in files {
        println!("    {}", file.file_name().display());
    }
    Ok(())
}
