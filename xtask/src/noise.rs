//! A noisy line, for long.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use siamese_build::OwnedModel;
use siamese_device::firmware::{Board, Build, DESK_FEATURES};
use siamese_device::{Device, Emulator, Noisy, Reference, noisy};

use crate::firmware::boards;
use crate::fuzz;
use crate::setup::{self, Need};
use crate::shell;
use crate::workspace::Workspace;

/// What `cargo xtask noise --help` says in the end.
pub const HELP: &str = "\
A host and a device over a simulated line that flips, drops, doubles, merges and delays bytes and
frames: each answer must be that of its request, and each change be done once. It is the test
noise.rs of siamese-device, which `cargo xtask test` runs for 100,000 requests.

With --boards the device is a firmware on each emulated board: a damaged frame goes over its UART,
then a good request, which must get the host's integers; `cargo xtask test` sends 200 to each.";

/// How long.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Go on until so many frames were damaged; with --boards, on each [default: 1000000, or 5000
    /// on each board]
    #[arg(long)]
    frames: Option<u64>,
    /// Over the UARTs of emulated boards
    #[arg(long)]
    boards: bool,
    /// Only this board; may be given several times
    #[arg(long, value_name = "BOARD", requires = "boards", value_parser = boards())]
    board: Vec<Board>,
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

/// The same over the UARTs of emulated boards.
fn on_boards(workspace: &Workspace, args: &Args) -> Result<()> {
    setup::run(workspace, &[Need::Rust, Need::Qemu, Need::Rp2040js])?;
    let chosen: Vec<Board> = match args.board.is_empty() {
        true => Board::emulated().collect(),
        false => args.board.clone(),
    };
    let frames = args.frames.unwrap_or(5_000);
    let mut rows = Vec::new();
    for board in chosen {
        let why = format!("{frames} damaged frames over its UART, and a good request after each");
        let counts = shell::step(board.name(), &why, || on_board(workspace, board, frames))?;
        ensure!(
            counts.wrong == 0,
            "{board} has given {} wrong answers",
            counts.wrong
        );
        rows.push(json!({
            "board": board.name(),
            "requests": counts.requests,
            "damaged": counts.damaged,
            "wrong": counts.wrong,
        }));
    }
    if args.write {
        let part = json!({"date": fuzz::today(), "rows": rows});
        fuzz::write(workspace, "noisy_boards", part)?;
    }
    Ok(())
}

fn on_board(workspace: &Workspace, board: Board, frames: u64) -> Result<Noisy> {
    let path = workspace.model(Path::new("model/small.siam"))?;
    let file = OwnedModel::read(&path).context("the model can't be read")?;
    let pixels = file.model().header().input.pixels();
    let elf = Build::new(&path, board).features(DESK_FEATURES).run()?;
    let mut device = Device::new(Emulator::start(&elf, board)?)?;
    let fast = file.for_this_machine()?;
    let mut reference = Reference::new(fast.model());
    let told = |counts: Noisy| {
        if shell::is_watched() && counts.damaged.is_multiple_of(50) {
            eprint!("\r  {} of {frames}", counts.damaged);
        }
    };
    let counts = noisy(&mut device, &mut reference, pixels, frames, told)?;
    if shell::is_watched() {
        eprint!("\r");
    }
    Ok(counts)
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
