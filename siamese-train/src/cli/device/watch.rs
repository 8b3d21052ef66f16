//! What a board does in the field, and whether what it sees has changed.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use siamese_device::Statistics;
use siamese_train::drift::{Counts, Drift, LEAST, LIMIT, Seen, WINDOW, Watch};
use siamese_train::files::write_atomic;

use super::connect::Connected;
use super::is_unsupported;
use crate::cli::Output;

/// How to watch.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Asks the board now and then what it has done since it started. Of the images that it has identified,
the first --window are the baseline; each later window is compared with it. Two things are told: when
the distances of what is accepted have grown (rank-sum test), and when more is rejected (test of two
proportions), each if the difference is above 3.29 standard deviations. Of a board that nothing has
happened to, 1 window in about 1,000 is told all the same. A baseline in a file outlives this program;
one belongs to one gallery, and ends with it.

Examples:
  siamese-train device watch --port /dev/ttyACM0
  siamese-train device watch --once --json
  siamese-train device watch --baseline front-door.json --every 60")]
pub struct Args {
    /// Ask once, and say what there is
    #[arg(long)]
    once: bool,
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    every: f32,
    /// Identified images of a window
    #[arg(long, value_name = "N", default_value_t = WINDOW, value_parser = clap::value_parser!(u64).range(LEAST..))]
    window: u64,
    /// The file of the baseline: read if it is there, else written
    #[arg(long, value_name = "FILE.json")]
    baseline: Option<PathBuf>,
}

pub fn run(connected: &mut Connected, args: &Args, output: Output) -> Result<()> {
    ensure!(
        args.every > 0.0 && args.every <= 86_400.0,
        "--every is a number of seconds, more than 0 and at most a day"
    );
    let kept = args.baseline.as_ref().filter(|file| file.is_file());
    let kept = kept.map(|file| {
        let text = fs::read_to_string(file)?;
        Ok::<Counts, anyhow::Error>(serde_json::from_str(&text)?)
    });
    let kept = kept
        .transpose()
        .context("the file of --baseline is none: name another one, or take it away")?;
    let mut watch = Watch::new(args.window, kept);
    loop {
        let statistics = match connected.device.statistics() {
            Err(error) if is_unsupported(&error) => bail!(
                "this board's firmware doesn't count what it does: build it with the feature \
                 `statistics`, as `cargo xtask firmware --updates KEY.pub` does"
            ),
            statistics => statistics?,
        };
        let seen = watch.look(&statistics);
        if let (Seen::Baseline(counts), Some(file)) = (&seen, &args.baseline) {
            let text = serde_json::to_string_pretty(counts)?;
            write_atomic(file, |out| Ok(out.write_all(text.as_bytes())?))?;
        }
        let (human, json) = told(connected, &statistics, &seen);
        output.report(&human, &json)?;
        if args.once {
            return Ok(());
        }
        thread::sleep(Duration::from_secs_f32(args.every));
    }
}

/// A look, for people and for programs.
fn told(connected: &Connected, statistics: &Statistics, seen: &Seen) -> (String, Value) {
    let seconds = f64::from(statistics.slowest) / f64::from(connected.info.tick_hz.max(1));
    let mut human = format!(
        "{}: {} embedded (at most {:.2} ms), {} identified, {} unknown; {} refused, {} frames \
         damaged, {} restarts, {} bytes of stack",
        connected.info.board,
        statistics.embeddings,
        1e3 * seconds,
        statistics.identified,
        statistics.unknown,
        statistics.faults,
        statistics.damaged,
        statistics.restarts,
        statistics.stack_peak,
    );
    let mut json = json!({
        "board": connected.info.board,
        "embeddings": statistics.embeddings,
        "identified": statistics.identified,
        "unknown": statistics.unknown,
        "accepted": statistics.accepted,
        "faults": statistics.faults,
        "damaged_frames": statistics.damaged,
        "restarts": statistics.restarts,
        "stack_peak": statistics.stack_peak,
        "slowest_ms": 1e3 * seconds,
    });
    let (words, state) = words(seen);
    human += &format!("\n  {words}");
    if let Value::Object(fields) = &mut json {
        fields.insert("state".into(), state.into());
        if let Seen::Window(_, drift) = seen {
            fields.insert("drift".into(), json!(drift));
        }
    }
    (human, json)
}

/// What a look says, in words and as a word.
fn words(seen: &Seen) -> (String, &'static str) {
    match seen {
        Seen::Waiting { missing } => (
            format!("{missing} more images until there is something to compare"),
            "waiting",
        ),
        Seen::Baseline(counts) => (
            format!(
                "baseline: {} images, {:.1} % unknown, mean squared distance {:.2} of the threshold's",
                counts.identified,
                100.0 * counts.unknown_share(),
                counts.mean_distance()
            ),
            "baseline",
        ),
        Seen::Changed => (
            "the gallery has changed: what comes now is a new baseline".to_owned(),
            "gallery changed",
        ),
        Seen::Window(counts, drift) => verdict(counts, drift),
    }
}

fn verdict(counts: &Counts, drift: &Drift) -> (String, &'static str) {
    let now = format!(
        "{:.1} % unknown, mean squared distance {:.2} of the threshold's",
        100.0 * counts.unknown_share(),
        counts.mean_distance()
    );
    match (drift.is_farther(), drift.is_stranger()) {
        (false, false) => (format!("as at the baseline ({now})"), "steady"),
        (true, is_stranger) => {
            let also = if is_stranger {
                ", and more is unknown"
            } else {
                ""
            };
            (
                format!(
                    "DRIFT: what is accepted lies farther from what was enrolled than at the \
                     baseline, by {:.1} standard deviations (limit {LIMIT}){also}: {now}. Look at the \
                     camera, the light and the lens, or enrol again",
                    drift.distances
                ),
                "drift",
            )
        }
        (false, true) => (
            format!(
                "DRIFT: more is unknown than at the baseline, by {:.1} standard deviations (limit \
                 {LIMIT}): {now}. Something new is in front of it, or the picture has changed",
                drift.unknown
            ),
            "drift",
        ),
    }
}
