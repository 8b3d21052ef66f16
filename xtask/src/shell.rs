//! Child processes and what the user sees of them.
//!
//! Narration goes to stderr, where cargo's also goes; what a child prints on stdout,
//! and results, go to stdout. Colours only on a terminal, and not with `NO_COLOR`.

use std::env;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, IsTerminal, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, bail, ensure};

/// Whether ctrl-C was pressed.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Leaves ctrl-C to the child that runs, which gets it too and may have something to save;
/// no other child is started afterwards.
pub fn catch_ctrl_c() -> Result<()> {
    ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::Relaxed)).context("can't catch ctrl-C")
}

/// Whether people watch stderr.
pub fn is_watched() -> bool {
    io::stderr().is_terminal()
}

fn styled(code: &str, text: &str) -> String {
    static PLAIN: OnceLock<bool> = OnceLock::new();
    let plain = *PLAIN
        .get_or_init(|| !is_watched() || env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty()));
    if plain {
        text.to_owned()
    } else {
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// One line about what happens.
pub fn note(text: &str) {
    eprintln!("  {text}");
}

/// One line about what was found or made.
pub fn ready(what: &str, text: &str) {
    eprintln!("{} {text}", styled("1;32", &format!("{what:>12}")));
}

/// The one line that says why nothing more happens, and its causes; the exit code.
pub fn error(error: &Error) -> u8 {
    if INTERRUPTED.load(Ordering::Relaxed) {
        // What the children then failed at is nobody's fault.
        eprintln!("{}", styled("1;31", "interrupted"));
        return 130;
    }
    eprintln!("{} {error:#}", styled("1;31", "error:"));
    1
}

/// Runs a step: says what it does and why, and how long it took.
pub fn step<T>(title: &str, why: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    eprintln!("\n{}: {why}", styled("1", title));
    let start = Instant::now();
    let value = work()?;
    note(&styled(
        "2",
        &format!("{title}: done in {}", elapsed(start.elapsed())),
    ));
    Ok(value)
}

/// A duration for people: `0.4 s`, `2 min 05 s`.
pub fn elapsed(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 60 {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        format!("{} min {:02} s", seconds / 60, seconds % 60)
    }
}

/// A child process: the call, and how it is shown.
#[derive(Debug)]
pub struct Run {
    command: Command,
    shown_env: String,
    folder: Option<PathBuf>,
}

impl Run {
    /// A call of `program`, a name to look up or a path.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            command: Command::new(program),
            shown_env: String::new(),
            folder: None,
        }
    }

    /// Adds arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    /// Adds one argument.
    pub fn arg(self, arg: impl AsRef<OsStr>) -> Self {
        self.args([arg])
    }

    /// Sets a variable, and shows it: a call repeated by hand needs it too.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        let _ = write!(self.shown_env, "{name}={} ", quoted(value.as_ref()));
        self.command.env(name, value);
        self
    }

    /// Sets a variable that only matters to this program, and is not shown.
    pub fn quiet_env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Takes a variable away.
    pub fn env_remove(mut self, name: &OsStr) -> Self {
        self.command.env_remove(name);
        self
    }

    /// The folder to run in.
    pub fn dir(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self.folder = Some(folder.to_path_buf());
        self
    }

    /// Runs it in the open; an unsuccessful end is an error that names the call.
    pub fn run(mut self) -> Result<()> {
        self.announce()?;
        let status = self.command.status();
        self.judge(status)
    }

    /// Runs it with its stdout passed on line by line, which `look` sees too.
    pub fn run_watching(mut self, mut look: impl FnMut(&str)) -> Result<()> {
        self.announce()?;
        let mut child = match self.command.stdout(Stdio::piped()).spawn() {
            Ok(child) => child,
            Err(error) => return self.judge(Err(error)),
        };
        if let Some(stdout) = child.stdout.take() {
            let mut stdout = BufReader::new(stdout);
            let mut line = Vec::new();
            while stdout
                .read_until(b'\n', &mut line)
                .context("can't read what a child prints")?
                > 0
            {
                // Nobody reading stdout any more is no reason to stop a child.
                let _ = io::stdout().write_all(&line);
                look(String::from_utf8_lossy(&line).trim_end());
                line.clear();
            }
        }
        let status = child.wait();
        self.judge(status)
    }

    /// Runs it with its stdout kept; stderr passes.
    pub fn capture(mut self) -> Result<String> {
        self.announce()?;
        let output = self.command.stderr(Stdio::inherit()).output();
        let (status, stdout) = match output {
            Ok(output) => (Ok(output.status), output.stdout),
            Err(error) => (Err(error), Vec::new()),
        };
        if let Ok(status) = &status
            && !status.success()
        {
            // A report that ends badly may still say why.
            let _ = io::stdout().write_all(&stdout);
        }
        self.judge(status)?;
        String::from_utf8(stdout).context("a child printed something that is no UTF-8")
    }

    /// Runs it in the open until it ends, with `meanwhile` called several times a second.
    pub fn run_meanwhile(mut self, mut meanwhile: impl FnMut()) -> Result<()> {
        self.announce()?;
        let mut child = match self.command.spawn() {
            Ok(child) => child,
            Err(error) => return self.judge(Err(error)),
        };
        loop {
            match child.try_wait() {
                Ok(Some(status)) => return self.judge(Ok(status)),
                Ok(None) => std::thread::sleep(Duration::from_millis(100)),
                Err(error) => return self.judge(Err(error)),
            }
            meanwhile();
        }
    }

    /// Asks without a word: what it printed on stdout, if it could run and succeeded.
    pub fn ask(mut self) -> Option<String> {
        let output = self.command.stdin(Stdio::null()).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success().then_some(text)
    }

    /// Runs it without a word if it succeeds; else shows the call and what it printed.
    pub fn quietly(mut self) -> Result<()> {
        let output = match self.command.output() {
            Ok(output) => output,
            Err(error) => return self.judge(Err(error)),
        };
        if !output.status.success() {
            self.announce()?;
            // What it printed says why; that nobody reads stderr is no other error.
            let _ = io::stderr().write_all(&output.stderr);
        }
        self.judge(Ok(output.status))
    }

    /// Only shows the call, for one that a library makes.
    pub fn show(self) -> Result<()> {
        self.announce()
    }

    /// Shows the call as it would be typed in the root of the repository.
    fn announce(&self) -> Result<()> {
        ensure!(
            !INTERRUPTED.load(Ordering::Relaxed),
            "interrupted before `{self}`"
        );
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
        let inside = self
            .folder
            .as_deref()
            .filter(|folder| Some(*folder) != root);
        let call = format!("{}{self}", self.shown_env);
        let call = match inside {
            Some(folder) => {
                let short = root
                    .and_then(|root| folder.strip_prefix(root).ok())
                    .unwrap_or(folder);
                format!("(cd {} && {call})", quoted(short.as_os_str()))
            }
            None => call,
        };
        eprintln!("{}", styled("2", &format!("$ {call}")));
        Ok(())
    }

    fn judge(&self, status: io::Result<ExitStatus>) -> Result<()> {
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => match status.code() {
                Some(code) => bail!("`{self}` failed with exit code {code}"),
                None => bail!("`{self}` was ended by a signal"),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                bail!(
                    "`{self}` can't be run: there is no {}",
                    self.command.get_program().display()
                )
            }
            Err(error) => Err(error).with_context(|| format!("`{self}` can't be run")),
        }
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&quoted(self.command.get_program()))?;
        self.command
            .get_args()
            .try_for_each(|arg| write!(f, " {}", quoted(arg)))
    }
}

/// An argument as one would type it.
fn quoted(arg: &OsStr) -> String {
    let text = arg.to_string_lossy();
    let plain = |c: char| c.is_alphanumeric() || "-_./=:,+@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// Whether a program of this name can be found in `PATH`.
pub fn has_program(name: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let file = format!("{name}{}", env::consts::EXE_SUFFIX);
    env::split_paths(&path).any(|folder| folder.join(&file).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_shown_as_it_would_be_typed() {
        let run = Run::new("cargo").args(["test", "-p", "a b", "it's", "--x=1", ""]);
        assert_eq!(run.to_string(), r"cargo test -p 'a b' 'it'\''s' --x=1 ''");
    }

    #[test]
    fn a_failure_names_the_call_and_its_exit_code() {
        let error = Run::new("sh").args(["-c", "exit 3"]).run().unwrap_err();
        assert_eq!(
            error.to_string(),
            "`sh -c 'exit 3'` failed with exit code 3"
        );
        let error = Run::new("no-such-program-here").run().unwrap_err();
        assert_eq!(
            error.to_string(),
            "`no-such-program-here` can't be run: there is no no-such-program-here"
        );
    }

    #[test]
    fn times_are_short() {
        assert_eq!(elapsed(Duration::from_millis(420)), "0.4 s");
        assert_eq!(elapsed(Duration::from_secs(125)), "2 min 05 s");
    }
}
