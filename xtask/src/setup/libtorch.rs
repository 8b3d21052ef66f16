//! libtorch: the user's own, else what an earlier run prepared, else prepared now.
//!
//! Prepared means: the wheels that pip fetches from PyPI (and checks) are unpacked
//! into `target/libtorch.partial`, as far as `tch` needs them, and the folder gets its
//! name only when all of it is there. Wheels are for one Python each, but libtorch
//! inside them is the same, so any Python can fetch the one that is named here.

use std::env;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::debian;
use crate::shell::{self, Run};
use crate::workspace::Workspace;

/// The version that `tch` 0.26 is written for.
const VERSION: &str = "2.13.0";

/// What is fetched. `libtorch_cpu.so` does not load without the two CUDA libraries.
const WHEELS: [&str; 3] = [
    "torch==2.13.0",
    "nvidia-cuda-runtime==13.0.96",
    "nvidia-cuda-cupti==13.0.85",
];

/// The tags of these wheels: the oldest C library that each runs on.
const PLATFORMS: [&str; 4] = [
    "manylinux2014",
    "manylinux_2_17",
    "manylinux_2_25",
    "manylinux_2_28",
];

/// The wheels' size together, for the progress.
const WHEELS_MB: u64 = 540;

/// Lists what was prepared; written last.
const STAMP: &str = "prepared.txt";

/// What to do when it can't be prepared.
const OWN: &str = "or get libtorch 2.13.0 yourself (pytorch.org, C++, CPU), unpack it and set LIBTORCH to its folder";

/// Finds or prepares libtorch, and the compiler for its binding.
pub fn prepare(workspace: &Workspace) -> Result<()> {
    compiler()?;
    ensure!(
        env::var_os("LIBTORCH_USE_PYTORCH").is_none(),
        "LIBTORCH_USE_PYTORCH is set, but the trainer is linked to the folder that LIBTORCH names: unset the \
         former and set LIBTORCH to the folder `torch` of that Python's site-packages"
    );
    let prepared = workspace.prepared_libtorch();
    if let Some(folder) = workspace.own_libtorch() {
        let version = check(folder).with_context(|| {
            format!(
                "LIBTORCH={} can't be used; set it to a libtorch {VERSION}, or unset it and one is prepared",
                folder.display()
            )
        })?;
        shell::ready(
            "libtorch",
            &format!("{version}, your own in {}", folder.display()),
        );
        return Ok(());
    }
    let shown = workspace.short(&prepared).display();
    if prepared.is_symlink() {
        let version = check(&prepared)
            .with_context(|| format!("the link {shown} leads to no usable libtorch"))?;
        shell::ready("libtorch", &format!("{version}, through the link {shown}"));
        return Ok(());
    }
    if !is_complete(&prepared) {
        ensure!(
            cfg!(target_os = "linux"),
            "libtorch can only be prepared on Linux: get libtorch {VERSION} from pytorch.org, unpack it and set \
             LIBTORCH to its folder"
        );
        shell::step("libtorch", "training runs on it; 540 MB, this once", || {
            fs::create_dir_all(workspace.target())
                .with_context(|| format!("can't make {}", workspace.target().display()))?;
            let lock = workspace.target().join("libtorch.lock");
            let lock =
                File::create(&lock).with_context(|| format!("can't write {}", lock.display()))?;
            lock.lock()
                .context("can't wait for another run that prepares libtorch")?;
            // The other run may have done it all.
            if is_complete(&prepared) {
                Ok(())
            } else {
                fetch(workspace, &prepared)
            }
        })?;
    }
    shell::ready("libtorch", &format!("{VERSION}, prepared in {shown}"));
    Ok(())
}

/// `tch` compiles C++.
fn compiler() -> Result<()> {
    let named = env::var_os("CXX").filter(|name| !name.is_empty());
    // CXX may hold arguments, or a wrapper's name before the compiler's; cc copes with both.
    if named.is_some() || Run::new("c++").arg("--version").ask().is_some() {
        return Ok(());
    }
    shell::step(
        "C++",
        "libtorch's binding for Rust is compiled here",
        || debian::install("g++", "libtorch's binding needs a C++ compiler"),
    )
}

/// The version of a complete libtorch that is not this program's making.
fn check(folder: &Path) -> Result<String> {
    ensure!(folder.is_absolute(), "the path has to be absolute");
    ensure!(folder.is_dir(), "there is no such folder");
    let headers = folder.join("include/torch/csrc/api/include/torch");
    ensure!(
        headers.join("torch.h").is_file(),
        "it has no include/torch/csrc/api/include/torch/torch.h"
    );
    let has = |name: &str| {
        let library = |extension: &str| folder.join(format!("lib/lib{name}.{extension}")).exists();
        ["so", "dylib", "a"]
            .iter()
            .any(|extension| library(extension))
            || folder.join(format!("lib/{name}.lib")).exists()
    };
    for name in ["torch", "torch_cpu", "c10"] {
        ensure!(has(name), "it has no library {name} in lib/");
    }
    let named = fs::read_to_string(folder.join("build-version")).ok();
    let version = match &named {
        Some(text) => text.trim().to_owned(),
        None => [
            headers.join("version.h"),
            folder.join("include/torch/headeronly/version.h"),
        ]
        .iter()
        .filter_map(|header| fs::read_to_string(header).ok())
        .find_map(|text| version_in_header(&text))
        .context("it does not tell its version, neither in build-version nor in its headers")?,
    };
    let number = version.split('+').next().unwrap_or_default();
    let series = &VERSION[..=VERSION.rfind('.').unwrap_or(0)];
    ensure!(
        number.starts_with(series),
        "it is version {version}, and tch is written for {VERSION}"
    );
    // tch itself insists on the last digit, if it finds the file.
    ensure!(
        named.is_none()
            || number == VERSION
            || env::var_os("LIBTORCH_BYPASS_VERSION_CHECK").is_some(),
        "it is version {version}, and tch is written for {VERSION}; to try it all the same, set \
         LIBTORCH_BYPASS_VERSION_CHECK=1"
    );
    Ok(version)
}

/// The text after `#define TORCH_VERSION`.
fn version_in_header(header: &str) -> Option<String> {
    let after = header.split("#define TORCH_VERSION ").nth(1)?;
    after.split('"').nth(1).map(str::to_owned)
}

/// Whether every file of the list is there with its size.
fn is_complete(folder: &Path) -> bool {
    let Ok(stamp) = fs::read_to_string(folder.join(STAMP)) else {
        return false;
    };
    let mut lines = stamp.lines();
    lines.next() == Some(recipe().as_str())
        && lines.all(|line| {
            let Some((size, name)) = line.split_once(' ') else {
                return false;
            };
            fs::metadata(folder.join(name)).is_ok_and(|file| Ok(file.len()) == size.parse())
        })
}

/// What the stamp is about; another version of it is prepared anew.
fn recipe() -> String {
    format!("libtorch {VERSION} {}", env::consts::ARCH)
}

fn fetch(workspace: &Workspace, prepared: &Path) -> Result<()> {
    let partial = prepared.with_extension("partial");
    remove(&partial)?;
    remove(prepared)?;
    let wheels = partial.join("wheels");
    let temporary = partial.join("tmp");
    for folder in [&wheels, &temporary] {
        fs::create_dir_all(folder).with_context(|| format!("can't make {}", folder.display()))?;
    }
    download(workspace, &wheels, &temporary).with_context(|| {
        format!("libtorch could not be fetched from PyPI: look at network, proxy and disk space and run this again; {OWN}")
    })?;

    let files: Vec<PathBuf> = list(&wheels)?;
    let mut unpack = Run::new("python3")
        .arg("xtask/src/setup/unpack.py")
        .arg(workspace.short(&partial));
    unpack = unpack.args(files.iter().map(|file| workspace.short(file)));
    unpack.dir(workspace.root()).run().with_context(|| {
        format!("libtorch could not be unpacked: is the disk full, or the C library older than 2.28? Run this again, {OWN}")
    })?;
    for folder in [&wheels, &temporary] {
        remove(folder)?;
    }
    // What the linker looks for first. The wheel's own libtorch.so asks for CUDA.
    let write = |name: &str, text: &str| {
        let path = partial.join(name);
        fs::write(&path, text).with_context(|| format!("can't write {}", path.display()))
    };
    write("lib/libtorch.so", "INPUT(libtorch_cpu.so libc10.so)\n")?;
    write("build-version", &format!("{VERSION}\n"))?;
    check(&partial).context("PyPI's libtorch is not what it was")?;

    let mut stamp = format!("{}\n", recipe());
    for path in list(&partial.join("lib"))?.into_iter().chain([
        partial.join("build-version"),
        partial.join("include/torch/csrc/api/include/torch/torch.h"),
    ]) {
        let size = fs::metadata(&path)
            .with_context(|| format!("can't read {}", path.display()))?
            .len();
        let name = path.strip_prefix(&partial).unwrap_or(&path);
        stamp.push_str(&format!("{size} {}\n", name.display()));
    }
    write(STAMP, &stamp)?;
    fs::rename(&partial, prepared).with_context(|| format!("can't rename {}", partial.display()))
}

/// Has pip fetch the wheels, for this machine but no matter which Python.
fn download(workspace: &Workspace, wheels: &Path, temporary: &Path) -> Result<()> {
    let python = python_with_pip(workspace)?;
    let arch = env::consts::ARCH;
    let mut call = Run::new(&python).dir(workspace.root());
    call = call.args(["-m", "pip", "download", "--no-deps", "--only-binary=:all:"]);
    call = call.args([
        "--implementation=cp",
        "--python-version=3.12",
        "--abi=cp312",
        "--abi=none",
    ]);
    call = call.args(PLATFORMS.map(|platform| format!("--platform={platform}_{arch}")));
    call = call.arg("--dest").arg(workspace.short(wheels));
    // A small /tmp in memory could not hold them, and pip is in nobody's environment here.
    call = call
        .quiet_env("TMPDIR", temporary)
        .quiet_env("PIP_REQUIRE_VIRTUALENV", "0");
    call = call
        .quiet_env("PIP_DISABLE_PIP_VERSION_CHECK", "1")
        .quiet_env("PIP_NO_INPUT", "1");
    if shell::is_watched() {
        return call.args(WHEELS).run();
    }
    let mut said = Instant::now();
    call.arg("--progress-bar=off")
        .args(WHEELS)
        .run_meanwhile(|| {
            if said.elapsed() >= Duration::from_secs(5) {
                said = Instant::now();
                // A wheel is written to the one, then copied to the other.
                let bytes = wheel_bytes(temporary).max(wheel_bytes(wheels));
                shell::note(&format!("{} of about {WHEELS_MB} MB", bytes / 1_000_000));
            }
        })
}

/// How much of the wheels is on disk already.
fn wheel_bytes(folder: &Path) -> u64 {
    let Ok(entries) = folder.read_dir() else {
        return 0;
    };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(data) if data.is_dir() => wheel_bytes(&entry.path()),
        Ok(data)
            if entry
                .path()
                .extension()
                .is_some_and(|extension| extension == "whl") =>
        {
            data.len()
        }
        _ => 0,
    };
    entries.flatten().map(size).sum()
}

/// A Python that has pip: the system's, else one in `target/`, which Debian's
/// python3-venv makes; else python3-pip is installed.
fn python_with_pip(workspace: &Workspace) -> Result<PathBuf> {
    let has_pip = |python: &Path| {
        Run::new(python)
            .args(["-m", "pip", "--version"])
            .ask()
            .is_some()
    };
    let system = PathBuf::from("python3");
    if has_pip(&system) {
        return Ok(system);
    }
    let folder = workspace.target().join("python");
    let own = folder.join("bin/python3");
    let make = || {
        Run::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&folder)
            .ask()
    };
    if has_pip(&own) || (make().is_some() && has_pip(&own)) {
        return Ok(own);
    }
    debian::install("python3-pip", "libtorch is fetched by Python's pip")?;
    ensure!(
        has_pip(&system),
        "python3-pip is installed, but `python3 -m pip --version` fails"
    );
    Ok(system)
}

fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = || -> io::Result<Vec<PathBuf>> {
        folder.read_dir()?.map(|entry| Ok(entry?.path())).collect()
    };
    let mut paths = read().with_context(|| format!("can't read {}", folder.display()))?;
    paths.sort();
    Ok(paths)
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            bail!("can't remove {}: {error}", folder.display())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_found_on_the_next_line() {
        let header = "#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION \\\n  \"2.13.0\"\n";
        assert_eq!(version_in_header(header).as_deref(), Some("2.13.0"));
        assert_eq!(version_in_header("nothing"), None);
    }

    /// A folder that looks like libtorch.
    fn pretended(version: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let headers = folder.path().join("include/torch/csrc/api/include/torch");
        fs::create_dir_all(&headers).unwrap();
        fs::create_dir(folder.path().join("lib")).unwrap();
        fs::write(headers.join("torch.h"), "").unwrap();
        fs::write(
            headers.join("version.h"),
            format!("#define TORCH_VERSION \\\n \"{version}\""),
        )
        .unwrap();
        for name in ["torch", "torch_cpu", "c10"] {
            fs::write(folder.path().join(format!("lib/lib{name}.so")), "").unwrap();
        }
        folder
    }

    #[test]
    fn the_users_folder_is_checked_for_what_it_lacks() {
        let folder = pretended("2.13.1");
        assert_eq!(check(folder.path()).unwrap(), "2.13.1");
        fs::remove_file(folder.path().join("lib/libc10.so")).unwrap();
        assert_eq!(
            check(folder.path()).unwrap_err().to_string(),
            "it has no library c10 in lib/"
        );
        let old = pretended("2.1.0");
        assert_eq!(
            check(old.path()).unwrap_err().to_string(),
            "it is version 2.1.0, and tch is written for 2.13.0"
        );
        assert!(
            check(Path::new("libtorch"))
                .unwrap_err()
                .to_string()
                .contains("absolute")
        );
    }

    #[test]
    fn only_a_folder_with_all_it_lists_is_complete() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("lib.so");
        fs::write(&file, "12345").unwrap();
        assert!(!is_complete(folder.path()), "without a stamp");
        fs::write(
            folder.path().join(STAMP),
            format!("{}\n5 lib.so\n", recipe()),
        )
        .unwrap();
        assert!(is_complete(folder.path()));
        fs::write(&file, "123").unwrap();
        assert!(!is_complete(folder.path()), "a file cut short");
        fs::remove_file(&file).unwrap();
        assert!(!is_complete(folder.path()), "a file missing");
        fs::write(folder.path().join(STAMP), "libtorch 1.0 pdp11\n").unwrap();
        assert!(!is_complete(folder.path()), "another recipe");
    }
}
