//! QEMU: the microcontroller for those who have none at hand.

use anyhow::{Result, bail};

use super::debian;
use crate::shell::{self, Run};

/// QEMU's programs, each with Debian's package.
const PROGRAMS: [(&str, &str); 2] = [
    ("qemu-system-arm", "qemu-system-arm"),
    ("qemu-system-riscv32", "qemu-system-misc"),
];

/// Installs QEMU if it is not there.
pub fn prepare() -> Result<()> {
    let mut found = String::new();
    for (program, package) in PROGRAMS {
        if version(program).is_none() {
            shell::step("QEMU", "it stands in for a board", || {
                debian::install(package, "the firmware needs QEMU to run without a board")
            })?;
        }
        let Some(version) = version(program) else {
            bail!("{package} was installed but does not run; try `{program} --version`");
        };
        found = version;
    }
    shell::ready("QEMU", &found);
    Ok(())
}

/// The first line of what a program says about itself.
fn version(program: &str) -> Option<String> {
    let text = Run::new(program).arg("--version").ask()?;
    text.lines().next().map(str::to_owned)
}
