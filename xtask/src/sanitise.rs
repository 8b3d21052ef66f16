//! The tests on other machines and under stricter eyes: Miri, a big-endian host, a 32-bit host,
//! and AddressSanitizer where Miri can't go.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::fuzz;
use crate::setup::debian;
use crate::shell::{self, Run};
use crate::test::Tally;
use crate::workspace::Workspace;

/// What `cargo xtask sanitise --help` says in the end.
pub const HELP: &str = "\
Without an option: all four. Each prepares what it lacks: components and targets by rustup, and
Debian's packages of a C compiler for the target and of qemu-user.

  --miri        siamese-core and siamese-link by Miri, which finds undefined behaviour; needs a
                nightly toolchain. As on s390x, without any processor's own kernels, which are made
                of instructions that it doesn't know; with few cases of each property, and without
                tests that try all faults of a flash: long all the same
  --big-endian  siamese-core, siamese-link and siamese-build on s390x, emulated by qemu-user: no
                file, record or frame may depend on the host's byte order
  --i686        the same on x86 with 32 bits, where lengths can overflow
  --asan        siamese-core with x86's kernels, siamese-c and the committed inputs of fuzz/, with
                AddressSanitizer; needs a nightly toolchain

--write puts what passed into docs/fuzz.json and docs/trust.md.";

/// Which.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// By Miri
    #[arg(long)]
    miri: bool,
    /// On a big-endian host
    #[arg(long)]
    big_endian: bool,
    /// On a 32-bit host
    #[arg(long)]
    i686: bool,
    /// With AddressSanitizer
    #[arg(long)]
    asan: bool,
    /// Put what passed into docs/fuzz.json and docs/trust.md
    #[arg(long)]
    write: bool,
}

/// The crates whose bytes travel between machines.
const TRAVELLERS: [&str; 3] = [
    "--package=siamese-core",
    "--package=siamese-link",
    "--package=siamese-build",
];

/// A host whose programs run here.
struct Host {
    name: &'static str,
    target: &'static str,
    /// The C compiler that links, and Debian's packages of it.
    linker: &'static str,
    packages: [&'static str; 2],
    /// What runs its programs, and the package of that.
    runner: Option<(&'static str, &'static str)>,
}

const BIG_ENDIAN: Host = Host {
    name: "big-endian",
    target: "s390x-unknown-linux-gnu",
    linker: "s390x-linux-gnu-gcc",
    packages: ["gcc-s390x-linux-gnu", "libc6-dev-s390x-cross"],
    runner: Some(("qemu-s390x", "qemu-user")),
};

const I686: Host = Host {
    name: "32-bit",
    target: "i686-unknown-linux-gnu",
    linker: "i686-linux-gnu-gcc",
    packages: ["gcc-i686-linux-gnu", "libc6-dev-i386-cross"],
    runner: None,
};

/// Runs the tests.
pub fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let all = !(args.miri || args.big_endian || args.i686 || args.asan);
    let mut rows = Vec::new();
    if all || args.big_endian {
        rows.push(on(workspace, &BIG_ENDIAN)?);
    }
    if all || args.i686 {
        rows.push(on(workspace, &I686)?);
    }
    if all || args.asan {
        rows.push(asan(workspace)?);
    }
    if all || args.miri {
        rows.push(miri(workspace)?);
    }
    if args.write {
        fuzz::write_sanitised(workspace, rows)?;
    }
    Ok(())
}

/// The tests of the crates whose bytes travel, on another host.
fn on(workspace: &Workspace, host: &Host) -> Result<Value> {
    let why = format!("what runs on {}", host.target);
    shell::step("Set-up", &why, || prepare(workspace, host))?;
    let variable = |what: &str| {
        let target = host.target.to_uppercase().replace('-', "_");
        format!("CARGO_TARGET_{target}_{what}")
    };
    let mut call = workspace
        .cargo([
            "test",
            "--release",
            "--target",
            host.target,
            "--tests",
            "--all-features",
        ])
        .args(TRAVELLERS)
        .env(&variable("LINKER"), host.linker)
        // Nothing of the other host need be installed to run it.
        .env(&variable("RUSTFLAGS"), "-Ctarget-feature=+crt-static");
    if let Some((runner, _)) = host.runner {
        call = call.env(&variable("RUNNER"), runner);
    }
    watched(host.name, host.target, call)
}

fn prepare(workspace: &Workspace, host: &Host) -> Result<()> {
    let why = "the tests for another host are linked by it";
    if !shell::has_program(host.linker) {
        host.packages
            .iter()
            .try_for_each(|package| debian::install(package, why))?;
    }
    if let Some((program, package)) = host.runner
        && !shell::has_program(program)
    {
        debian::install(package, "the tests for another processor are run by it")?;
    }
    let add = ["target", "add", host.target];
    Run::new("rustup").args(add).dir(workspace.root()).run()
}

/// Runs tests, and counts them: a row of the report.
fn watched(name: &str, what: &str, call: Run) -> Result<Value> {
    let mut tally = Tally::default();
    shell::step(name, what, || call.run_watching(|line| tally.see(line)))?;
    if tally.passed() == 0 {
        bail!("{name}: cargo succeeded, but ran no test");
    }
    Ok(json!({"date": fuzz::today(), "on": name, "what": what, "passed": tally.passed()}))
}

/// Whether there is a nightly toolchain, with a component.
fn nightly(components: &[&str]) -> Result<()> {
    let found = Run::new("cargo").args(["+nightly", "--version"]).ask();
    found.context(
        "there is no nightly toolchain; `rustup toolchain install nightly --profile minimal` adds \
         one",
    )?;
    let add = ["component", "add", "--toolchain", "nightly"];
    Run::new("rustup").args(add).args(components).run()
}

/// The committed inputs and the kernels, with AddressSanitizer.
fn asan(workspace: &Workspace) -> Result<Value> {
    shell::step("Set-up", "AddressSanitizer is nightly's", || {
        nightly(&["rust-src"])
    })?;
    let target = "x86_64-unknown-linux-gnu";
    let call = [
        "+nightly",
        "test",
        "--release",
        "--target",
        target,
        "--target-dir",
        "target/asan",
        "--lib",
        "--bins",
    ];
    let call = workspace
        .cargo(call)
        .args(["--package=siamese-core", "--package=siamese-fuzz"])
        .arg("--package=siamese-c")
        // Not those that build firmware, or look at what others' compilers say of a header.
        .args(ASAN_TESTS.map(|test| format!("--test={test}")))
        .env("RUSTFLAGS", "-Zsanitizer=address")
        // What lives as long as the program is no leak.
        .env("ASAN_OPTIONS", "detect_leaks=0");
    watched(
        "AddressSanitizer",
        "siamese-core, siamese-c, siamese-fuzz",
        call,
    )
}

/// The tests with AddressSanitizer, besides those inside the crates: of siamese-core those that reach
/// its unsafe code, of siamese-c those that run its functions here, and the fuzzer's short run.
const ASAN_TESTS: [&str; 11] = [
    // siamese-core
    "embedder",
    "gallery",
    "kernels",
    "model_file",
    "names",
    "preprocess",
    "records",
    // siamese-c
    "answers",
    "errors",
    "refusals",
    // siamese-fuzz
    "short",
];

/// The core and the link by Miri.
fn miri(workspace: &Workspace) -> Result<Value> {
    shell::step("Set-up", "Miri is nightly's", || {
        nightly(&["miri", "rust-src"])
    })?;
    let call = [
        "+nightly",
        "miri",
        "test",
        "--tests",
        "--all-features",
        "--target",
        BIG_ENDIAN.target,
        "--target-dir",
        "target/miri",
    ];
    let call = workspace
        .cargo(call)
        .args(["--package=siamese-core", "--package=siamese-link"])
        .env("MIRIFLAGS", "-Zmiri-disable-isolation")
        .env("PROPTEST_CASES", "3")
        .env("PROPTEST_MAX_SHRINK_ITERS", "0");
    watched("Miri", "siamese-core, siamese-link", call)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_row_tells_what_passed() {
        let call = Run::new("echo").arg("test result: ok. 5 passed; 0 failed; 1 ignored");
        let row = watched("here", "echo", call).unwrap();
        assert_eq!((&row["on"], &row["passed"]), (&json!("here"), &json!(5)));
        assert!(watched("here", "true", Run::new("true")).is_err());
    }
}
