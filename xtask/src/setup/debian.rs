//! Packages of Debian and its relatives.

use anyhow::{Context, Result, bail};

use crate::shell::{self, Run, has_program};

/// Installs a package, or says in one sentence what the user has to install.
pub fn install(package: &str, why: &str) -> Result<()> {
    let by_hand =
        format!("{why}: install {package} (Debian, Ubuntu: `sudo apt-get install {package}`)");
    if !has_program("apt-get") {
        bail!("{by_hand}");
    }
    let Some(rights) = rights() else {
        bail!(
            "{by_hand}; it can't be done for you, as you are not root and sudo asks for a password"
        );
    };
    let apt = |args: &[&str]| {
        let call = rights.iter().copied().chain([
            "env",
            "DEBIAN_FRONTEND=noninteractive",
            "apt-get",
            "-q",
        ]);
        let mut call = call.chain(args.iter().copied());
        Run::new(call.next().unwrap_or("env")).args(call).run()
    };
    // One repository of many may be out of reach; the package may come from another.
    if let Err(error) = apt(&["update"]) {
        shell::note(&format!("{error}; going on with the lists that are there"));
    }
    apt(&["install", "-y", "--no-install-recommends", package]).context(by_hand)
}

/// The words before a call that make it root's, if there are any.
fn rights() -> Option<&'static [&'static str]> {
    if Run::new("id").arg("-u").ask()? == "0" {
        return Some(&[]);
    }
    Run::new("sudo")
        .args(["-n", "true"])
        .ask()
        .map(|_| ["sudo", "-n"].as_slice())
}
