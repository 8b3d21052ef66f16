use anyhow::Result;

use super::Output;

/// To do
#[derive(Debug, clap::Args)]
pub struct Args {}

pub fn run(_args: &Args, _output: Output) -> Result<()> {
    Ok(())
}
