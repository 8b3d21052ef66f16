//! QEMU: the microcontroller for those who have none at hand.

use anyhow::{Result, bail};

use super::debian;
use crate::shell::{self, Run};

const PROGRAM: &str = "qemu-system-arm";

/// Installs QEMU if it is not there.
pub fn prepare() -> Result<()> {
    if version().is_none() {
        shell::step("QEMU", "it stands in for a board with a Cortex-M4", || {
            debian::install(PROGRAM, "the firmware needs QEMU to run without a board")
        })?;
    }
    let Some(version) = version() else {
        bail!("{PROGRAM} was installed but does not run; try `{PROGRAM} --version`");
    };
    shell::ready("QEMU", &version);
    Ok(())
}

/// The first line of what it says about itself.
fn version() -> Option<String> {
    let text = Run::new(PROGRAM).arg("--version").ask()?;
    text.lines().next().map(str::to_owned)
}
