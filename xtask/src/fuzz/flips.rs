//! Every bit flipped.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{plain, report};
use crate::shell::{self, Run};
use crate::workspace::Workspace;

/// What `cargo xtask flips --help` says in the end.
pub const HELP: &str = "\
Flips every single bit, and a million pairs of bits at random, of model/tiny.siam, model/swift.siam
and a stored gallery with names, and gives each to their readers. None may be accepted; one that
is ends the command with an error. Some minutes on 2 cores.";

/// The models whose bits are flipped.
const MODELS: [&str; 2] = ["model/tiny.siam", "model/swift.siam"];

/// How many.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Pairs of bits, of each file
    #[arg(long, default_value_t = 1_000_000)]
    doubles: u64,
    /// Put the figures into docs/fuzz.json and docs/trust.md
    #[arg(long)]
    write: bool,
}

/// Flips them.
pub fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let program = plain::build(workspace)?;
    let text = shell::step("Flips", "none may be accepted", || {
        let call = Run::new(workspace.short(&program)).args(["flips", "--json", "--doubles"]);
        let call = call.arg(args.doubles.to_string()).args(MODELS);
        call.dir(workspace.root()).capture()
    })?;
    let rows: Value = serde_json::from_str(&text).context("the program of fuzz/ has no report")?;
    if args.write {
        report::write(
            workspace,
            "flips",
            json!({"date": report::today(), "rows": rows}),
        )?;
    }
    Ok(())
}
