//! What other libraries are built with: C's library for bare metal, clang, and C for RISC-V.

use anyhow::{Result, bail};

use super::debian;
use crate::shell::{self, Run};

/// What there has to be: a compiler, a file of its libraries if that is what is wanted, and
/// Debian's package.
const PARTS: [(&str, Option<&str>, &str); 4] = [
    (
        "arm-none-eabi-gcc",
        Some("libm.a"),
        "libnewlib-arm-none-eabi",
    ),
    ("clang", None, "clang"),
    ("riscv64-unknown-elf-gcc", None, "gcc-riscv64-unknown-elf"),
    (
        "riscv64-unknown-elf-gcc",
        Some("picolibc.specs"),
        "picolibc-riscv64-unknown-elf",
    ),
];

/// Installs what is not there.
pub fn prepare() -> Result<()> {
    for (program, file, package) in PARTS {
        if !is_there(program, file) {
            shell::step("C", "other libraries are measured with it", || {
                debian::install(
                    package,
                    &format!("other libraries need {package} to be built"),
                )
            })?;
        }
        if !is_there(program, file) {
            bail!("{package} was installed, but {program} doesn't run or find its files");
        }
    }
    Ok(())
}

/// Whether a compiler runs, and finds a file.
fn is_there(program: &str, file: Option<&str>) -> bool {
    let run = Run::new(program);
    match file {
        None => run.arg("--version").ask().is_some(),
        // It prints a path, or the bare name of what it doesn't find.
        Some(file) => {
            let found = run.arg(format!("-print-file-name={file}")).ask();
            found.is_some_and(|path| path.contains('/'))
        }
    }
}
