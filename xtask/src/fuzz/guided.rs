//! libFuzzer, which knows which inputs reach new code.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::{Target, crashes, failed, folder};
use crate::shell::{self, Run, has_program};
use crate::workspace::Workspace;

/// What has the compiler count edges and tell comparisons to libFuzzer.
const FLAGS: [&str; 6] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
];
/// An execution that takes more seconds hangs.
const HANG: u64 = 20;
/// The memory that the program may take, in MB.
const MEMORY: u64 = 2048;

/// Builds the program; `None`, and a word about why, if it can't be built here.
pub fn build(workspace: &Workspace) -> Option<PathBuf> {
    if !["c++", "g++", "clang++"].into_iter().any(has_program) {
        shell::note("there is no C++ compiler for libFuzzer: going on by the plain loop");
        return None;
    }
    let host = Run::new("rustc")
        .args(["-vV"])
        .dir(workspace.root())
        .ask()?;
    let host = host
        .lines()
        .find_map(|line| line.strip_prefix("host: "))?
        .to_owned();
    let built = folder(workspace).join("guided");
    let why = "libFuzzer, and every target with its edges counted";
    let build = shell::step("Guided", why, || {
        let call = [
            "build",
            "--profile=fuzz",
            "--package=siamese-fuzz",
            "--features=guided",
            "--bin=guided",
            // Build scripts then are compiled without the flags.
            "--target",
            &host,
            "--target-dir",
        ];
        let call = workspace.cargo(call).arg(&built);
        call.env("RUSTFLAGS", FLAGS.join(" ")).run()
    });
    match build {
        Ok(()) => Some(built.join(host).join("fuzz/guided")),
        Err(error) => {
            shell::note(&format!("{error}: going on by the plain loop"));
            None
        }
    }
}

/// What libFuzzer has said so far.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    executions: u64,
    edges: u64,
    inputs: u64,
    artifact: Option<PathBuf>,
}

impl Said {
    /// Takes `#2048 pulse cov: 445 ft: 972 corp: 123/6098b …` and the last words.
    fn see(&mut self, line: &str) {
        if let Some((_, path)) = line.split_once("Test unit written to ") {
            self.artifact = Some(path.trim().into());
        }
        if let Some(number) = line.strip_prefix("stat::number_of_executed_units:") {
            self.executions = number.trim().parse().unwrap_or(self.executions);
        }
        let Some(rest) = line.strip_prefix('#') else {
            return;
        };
        let mut words = rest.split_whitespace();
        if let Some(number) = words.next().and_then(|word| word.parse().ok()) {
            self.executions = number;
        }
        while let Some(word) = words.next() {
            let number = match word {
                "cov:" => &mut self.edges,
                "corp:" => &mut self.inputs,
                _ => continue,
            };
            let text = words.next().unwrap_or_default();
            let digits = text.split('/').next().unwrap_or_default();
            *number = digits.parse().unwrap_or(*number);
        }
    }
}

/// Runs a target for so many seconds: a row of the report.
pub fn turn(workspace: &Workspace, program: &Path, target: &Target, seconds: u64) -> Result<Value> {
    let name = &target.name;
    let kept = folder(workspace).join("corpus").join(name);
    let crashes = crashes(workspace);
    for folder in [&kept, &crashes] {
        fs::create_dir_all(folder).with_context(|| format!("can't make {}", folder.display()))?;
    }
    let mut call = Command::new(program);
    call.current_dir(workspace.root())
        .env("SIAMESE_FUZZ_TARGET", name)
        .args([workspace.short(&kept), &Path::new("fuzz/corpus").join(name)])
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={}", target.longest))
        .arg(format!("-timeout={HANG}"))
        .arg(format!("-rss_limit_mb={MEMORY}"))
        .arg(format!(
            "-artifact_prefix={}/{name}-",
            workspace.short(&crashes).display()
        ))
        .args(["-print_final_stats=1", "-use_value_profile=1"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = call.spawn().context("libFuzzer's program can't be run")?;
    let mut said = Said::default();
    let mut last: Vec<String> = Vec::new();
    let stderr = child.stderr.take().context("libFuzzer has no stderr")?;
    for line in BufReader::new(stderr).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        said.see(&line);
        if shell::is_watched() && line.starts_with('#') {
            eprint!(
                "\r{name:>12} {} executions, {} edges   ",
                said.executions, said.edges
            );
            let _ = std::io::stderr().flush();
        }
        if !line.starts_with('#') {
            last.push(line);
            // What it says at a failure is short.
            last.drain(..last.len().saturating_sub(60));
        }
    }
    if shell::is_watched() {
        eprint!("\r{:70}\r", "");
    }
    if !child.wait()?.success() {
        last.iter().for_each(|line| eprintln!("{line}"));
        match said.artifact {
            Some(input) => return Err(failed(name, &input)),
            None => bail!("{name} was ended before its time; what it said is above"),
        }
    }
    shell::note(&format!(
        "{name}: {} executions, {} edges, {} inputs kept",
        said.executions, said.edges, said.inputs
    ));
    Ok(json!({
        "target": name,
        "runner": "libFuzzer",
        "executions": said.executions,
        "seconds": seconds,
        "edges": said.edges,
        "inputs": said.inputs,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libfuzzer_says_is_understood() {
        let mut said = Said::default();
        said.see("INFO: Seed: 2163537347");
        said.see("#2048\tpulse  cov: 445 ft: 972 corp: 123/6098b lim: 4096 exec/s: 1024 rss: 45Mb");
        assert_eq!((said.executions, said.edges, said.inputs), (2048, 445, 123));
        said.see("#4096\tDONE   cov: 446 ft: 972 corp: 124/6098b lim: 4096 exec/s: 1024 rss: 45Mb");
        said.see("stat::number_of_executed_units: 4099");
        assert_eq!((said.executions, said.edges, said.inputs), (4099, 446, 124));
        said.see("artifact_prefix='x/'; Test unit written to x/model-crash-12");
        assert_eq!(said.artifact, Some("x/model-crash-12".into()));
    }
}
