//! A noisy line, for long.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::fuzz;
use crate::shell;
use crate::workspace::Workspace;

/// What `cargo xtask noise --help` says in the end.
pub const HELP: &str = "\
A host and a device over a simulated line that flips, drops, doubles, merges and delays bytes and
frames: each answer must be that of its request, and each change be done once. It is the test
noise.rs of siamese-device, which `cargo xtask test` runs for 100,000 requests.";

/// How long.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Go on until so many frames were damaged
    #[arg(long, default_value_t = 1_000_000)]
    frames: u64,
    /// Put the figures into docs/fuzz.json and docs/trust.md
    #[arg(long)]
    write: bool,
}

/// Runs the test, and reads its count.
pub fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let mut found = None;
    shell::step("Noise", "every answer must be that of its request", || {
        let call = [
            "test",
            "--release",
            "--package=siamese-device",
            "--test=noise",
        ];
        let name = "every_answer_on_a_noisy_line_is_that_of_its_request";
        let call = workspace
            .cargo(call)
            .args(["--", "--nocapture", "--exact", name]);
        let call = call.env("SIAMESE_DAMAGED_FRAMES", args.frames.to_string());
        call.run_watching(|line| found = row(line).or(found.take()))
    })?;
    let row = found.context("the test has told no count")?;
    if args.write {
        fuzz::write(workspace, "noise", row)?;
    }
    Ok(())
}

/// The counts of `noise: 5 requests, 3 damaged frames, 0 wrong answers, …`.
fn row(line: &str) -> Option<Value> {
    let (_, counts) = line.split_once("noise: ")?;
    let mut numbers = counts
        .split(", ")
        .map(|count| count.split(' ').next()?.parse::<u64>().ok());
    let mut next = || numbers.next().flatten();
    Some(json!({
        "date": fuzz::today(),
        "requests": next()?,
        "damaged": next()?,
        "wrong": next()?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read() {
        let row = row("noise: 5 requests, 3 damaged frames, 0 wrong answers, in 1.0 s").unwrap();
        assert_eq!(
            (&row["requests"], &row["damaged"], &row["wrong"]),
            (&json!(5), &json!(3), &json!(0))
        );
        assert_eq!(super::row("running 1 test"), None);
    }
}
