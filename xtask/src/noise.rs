//! A noisy line, for long.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::fuzz;
use crate::setup::{self, Need};
use crate::shell;
use crate::workspace::Workspace;

/// What `cargo xtask noise --help` says in the end.
pub const HELP: &str = "\
A host and a device over a simulated line that flips, drops, doubles, merges and delays bytes and
frames: each answer must be that of its request, and each change be done once. It is the test
noise.rs of siamese-device, which `cargo xtask test` runs for 100,000 requests.

With --boards the device is a firmware on an emulated board, one for each kind of UART: damaged
frames go over it, and after each of them requests, which must be answered right. `cargo xtask test`
runs it, too, with fewer.";

/// How long.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Go on until so many frames were damaged [default: 1000000, or 5000 on each board]
    #[arg(long)]
    frames: Option<u64>,
    /// Over the UARTs of emulated boards
    #[arg(long)]
    boards: bool,
    /// Put the figures into docs/fuzz.json and docs/trust.md
    #[arg(long)]
    write: bool,
}

/// Runs the test, and reads its count.
pub fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    if args.boards {
        return on_boards(workspace, args);
    }
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
        let call = call.env(
            "SIAMESE_DAMAGED_FRAMES",
            args.frames.unwrap_or(1_000_000).to_string(),
        );
        call.run_watching(|line| found = row(line).or(found.take()))
    })?;
    let row = found.context("the test has told no count")?;
    if args.write {
        fuzz::write(workspace, "noise", row)?;
    }
    Ok(())
}

/// Runs the tests that send damaged frames to emulated boards.
fn on_boards(workspace: &Workspace, args: &Args) -> Result<()> {
    setup::run(workspace, &[Need::Rust, Need::Qemu, Need::Rp2040js])?;
    let mut rows = Vec::new();
    let why = "each request after a damaged frame must be answered right";
    shell::step("Boards", why, || {
        let call = [
            "test",
            "--release",
            "--package=siamese-device",
            "--test=emulated",
            "--",
            "--nocapture",
            "among_damaged_frames",
        ];
        let frames = args.frames.unwrap_or(5_000).to_string();
        let call = workspace.cargo(call).env("SIAMESE_DAMAGED_FRAMES", frames);
        call.run_watching(|line| rows.extend(board_row(line)))
    })?;
    ensure!(!rows.is_empty(), "the tests have told no counts");
    if args.write {
        rows.sort_by_key(|row| row["board"].as_str().unwrap_or_default().to_owned());
        let part = json!({"date": fuzz::today(), "rows": rows});
        fuzz::write(workspace, "noisy_boards", part)?;
    }
    Ok(())
}

/// The counts of `line: board: 5 requests, 3 damaged frames, 0 wrong answers, …`.
fn board_row(line: &str) -> Option<Value> {
    let (_, told) = line.split_once("line: ")?;
    let (board, counts) = told.split_once(": ")?;
    let mut row = row(&format!("noise: {counts}"))?;
    row["board"] = board.into();
    Some(row)
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
        let told = "line: pico: 7 requests, 4 damaged frames, 0 wrong answers, in 1 s";
        let row = board_row(told).unwrap();
        assert_eq!(
            (&row["board"], &row["damaged"], &row["wrong"]),
            (&json!("pico"), &json!(4), &json!(0))
        );
        assert_eq!(board_row("line: pico: nothing"), None);
    }
}
