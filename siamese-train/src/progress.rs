//! Progress bars of one common style, on stderr.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Whether progress is shown. Bars are hidden when stderr is no terminal, and
/// when the caller asks for silence; a hidden bar costs nothing and takes the
/// same calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    quiet: bool,
}

impl Progress {
    /// Progress for a command; `quiet` hides it even on a terminal.
    #[must_use]
    pub const fn new(quiet: bool) -> Self {
        Self { quiet }
    }

    /// A bar that counts `total` things, `unit` being their plural.
    #[must_use]
    pub fn count(self, title: &str, unit: &str, total: u64) -> ProgressBar {
        let template = format!(
            "{{prefix:>12.bold}} [{{bar:32.cyan/blue}}] {{human_pos}}/{{human_len}} {unit} {{eta:>4}} {{msg}}"
        );
        self.bar(title, Some(total), &template)
    }

    /// A bar for a transfer of `total` bytes, if their number is known.
    #[must_use]
    pub fn bytes(self, title: &str, total: Option<u64>) -> ProgressBar {
        let template = match total {
            Some(_) => {
                "{prefix:>12.bold} [{bar:32.cyan/blue}] {bytes}/{total_bytes} {bytes_per_sec} {eta:>4} {msg}"
            }
            None => "{prefix:>12.bold} {spinner} {bytes} {bytes_per_sec} {msg}",
        };
        self.bar(title, total, template)
    }

    /// A sign that something goes on, of which nobody knows how long it takes.
    #[must_use]
    pub fn waiting(self, title: &str, what: &'static str) -> ProgressBar {
        let bar = self.bar(title, None, "{prefix:>12.bold} {spinner} {msg} {elapsed}");
        bar.set_message(what);
        bar
    }

    fn bar(self, title: &str, total: Option<u64>, template: &str) -> ProgressBar {
        if self.quiet || !std::io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
        }
        bar.set_prefix(title.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    }
}
