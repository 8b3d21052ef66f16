//! C: the compiler for bare metal, and what builds the example.

use anyhow::{Result, bail};

use super::debian;
use crate::shell::{self, Run};

/// Programs, each with Debian's package.
const PROGRAMS: [(&str, &str); 3] = [
    ("arm-none-eabi-gcc", "gcc-arm-none-eabi"),
    ("cmake", "cmake"),
    ("make", "make"),
];

/// Installs what is not there.
pub fn prepare() -> Result<()> {
    for (program, package) in PROGRAMS {
        if version(program).is_none() {
            shell::step(
                "C",
                "the library for C is tested in a firmware of C",
                || {
                    debian::install(
                        package,
                        &format!("the example in C needs {program} to be built"),
                    )
                },
            )?;
        }
        if version(program).is_none() {
            bail!("{package} was installed but does not run; try `{program} --version`");
        }
    }
    let [(compiler, _), ..] = PROGRAMS;
    shell::ready("C", &version(compiler).unwrap_or_default());
    Ok(())
}

/// The first line of what a program says about itself.
fn version(program: &str) -> Option<String> {
    let text = Run::new(program).arg("--version").ask()?;
    text.lines().next().map(str::to_owned)
}
