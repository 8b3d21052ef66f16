//! What builds the page of `siamese-train explore`, and the browser that tests it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::{debian, rp2040js};
use crate::shell::{self, Run, has_program};
use crate::workspace::Workspace;

/// The oldest Node.js that runs all of it.
const NODE: u32 = 18;
/// What npm notes of what it has installed.
const INSTALLED: &str = "node_modules/.package-lock.json";
/// Names that Chromium has, the first being Debian's.
const BROWSERS: [&str; 4] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
];

/// Installs what is not there.
pub fn prepare(workspace: &Workspace) -> Result<()> {
    programs(workspace)?;
    if browser().is_none() {
        shell::step(
            "Chromium",
            "the page is tested in it, without a screen",
            || debian::install("chromium", "the page's tests need a browser"),
        )?;
    }
    let Some(browser) = browser() else {
        bail!("chromium was installed but does not run; try `chromium --version`");
    };
    shell::ready("Page", &browser);
    Ok(())
}

/// The programs that npm brings.
pub fn programs(workspace: &Workspace) -> Result<()> {
    if rp2040js::node().is_none() || !has_program("npm") {
        shell::step(
            "Node.js",
            "the page is built by programs that run on it",
            || debian::install("npm", "building the page needs Node.js and npm"),
        )?;
    }
    let version = rp2040js::node().unwrap_or_default();
    ensure!(
        version >= NODE,
        "building the page needs Node.js {NODE} or later: get it from nodejs.org"
    );
    let folder = workspace.page();
    if !is_installed(&folder)? {
        shell::step("esbuild and others", "they build and test the page", || {
            Run::new("npm")
                .args(["ci", "--no-audit", "--no-fund", "--fetch-retries=1"])
                .dir(&folder)
                .run()
                .context("npm could not fetch them: look at network and proxy, and run this again")
        })?;
    }
    Ok(())
}

/// Whether what the lock file names is there, in these versions.
fn is_installed(folder: &Path) -> Result<bool> {
    let lock = folder.join("package-lock.json");
    let wanted = fs::metadata(&lock).with_context(|| format!("can't read {}", lock.display()))?;
    let there = fs::metadata(folder.join(INSTALLED));
    let times = there.and_then(|there| Ok((there.modified()?, wanted.modified()?)));
    Ok(times.is_ok_and(|(there, wanted)| there >= wanted))
}

/// What the browser says of itself.
fn browser() -> Option<String> {
    BROWSERS
        .iter()
        .find_map(|name| Run::new(name).arg("--version").ask())
}
