//! What a command says, and where: the report on stdout, all else on stderr.

use std::fmt::Display;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::exit;

use anyhow::Result;
use serde::Serialize;
use siamese_train::progress::Progress;

/// How the user wants to be told.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    json: bool,
    quiet: bool,
}

impl Output {
    pub const fn new(json: bool, quiet: bool) -> Self {
        Self { json, quiet }
    }

    /// Progress bars, hidden where they would disturb.
    pub const fn progress(self) -> Progress {
        Progress::new(self.quiet || self.json)
    }

    /// A remark about what is going on.
    pub fn note(self, text: &str) {
        if !self.quiet {
            say(text);
        }
    }

    /// The command's result: `human` as it is, or `json` as one line.
    pub fn report(self, human: &str, json: &impl Serialize) -> Result<()> {
        let text = if self.json {
            serde_json::to_string(json)?
        } else {
            human.trim_end().to_owned()
        };
        let mut stdout = std::io::stdout().lock();
        match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
            // The reader has seen enough, as `head` does.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => exit(0),
            result => Ok(result?),
        }
    }

    /// An error with its causes, in one sentence.
    pub fn error(self, error: &anyhow::Error) {
        say(format_args!("error: {error:#}"));
    }
}

/// Writes a line to stderr. Where nobody listens, as after `2>&1 | head` or on a
/// full disk, the work goes on: what it leaves is worth more than what it says.
fn say(text: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// A path for a report: text, whatever bytes its name has.
pub fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// A number for JSON with the digits that an `f32` has, and no others.
pub fn digits(value: f32) -> f64 {
    value.to_string().parse().unwrap_or_else(|_| value.into())
}

/// What follows a distance of a threshold with an allowance, in 256ths of a squared
/// norm.
pub fn farther_out(allowance: u8) -> String {
    match allowance {
        0 => String::new(),
        allowance => format!(
            " (squared: and {:.2} of the squared distance from the origin more)",
            f64::from(allowance) / 256.0
        ),
    }
}
