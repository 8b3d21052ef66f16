//! Files that are never half written.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};

/// Writes a file as a whole or not at all.
///
/// The content goes to a temporary file in the same folder, is flushed to the
/// disk, and is then renamed to `path`; readers see the old content or the new
/// one. Missing folders on the way are made. If anything fails, a full disk
/// included, the temporary file is removed and a file that was at `path` stays
/// as it was.
///
/// # Errors
/// One sentence that names `path`: the folder can't be written, the disk is
/// full, or what `write` itself returned.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// let path = folder.path().join("report.txt");
/// siamese_train::files::write_atomic(&path, |out| Ok(writeln!(out, "knn25 0.984")?))?;
/// assert_eq!(std::fs::read_to_string(path)?, "knn25 0.984\n");
/// # anyhow::Ok(())
/// ```
pub fn write_atomic(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    if is_special(path) {
        return write_through(path, write);
    }
    // The rename must replace what a link points to, not the link.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = folder_of(&target);
    fs::create_dir_all(&folder).map_err(|error| {
        anyhow!(
            "cannot create the folder {} ({error}); choose a folder that you may write to",
            folder.display()
        )
    })?;
    let mut file = temporary(&folder).map_err(|error| {
        anyhow!(
            "cannot write {} ({error}); choose a folder that you may write to",
            path.display()
        )
    })?;
    fill(file.as_file_mut(), write)
        .with_context(|| format!("cannot write {}, whose old content stays", path.display()))?;
    file.persist(&target).map_err(|error| {
        anyhow!(
            "cannot replace {} ({}); choose another name or check its permissions",
            path.display(),
            error.error
        )
    })?;
    Ok(())
}

/// A temporary file with the permissions of an ordinary new file.
fn temporary(folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".siamese-").suffix(".partial");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

/// Whether `path` is a device or a pipe, which can't be replaced by renaming.
fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir())
}

/// Writes to a device or a pipe, such as `/dev/stdout`.
fn write_through(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let attempt = || -> Result<()> {
        let mut out = BufWriter::new(fs::OpenOptions::new().write(true).open(path)?);
        write(&mut out)?;
        out.flush()?;
        Ok(())
    };
    attempt().with_context(|| format!("cannot write to {}", path.display()))
}

/// Writes everything and hands it to the disk; the temporary file removes
/// itself when this fails.
fn fill(file: &mut File, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let mut out = BufWriter::with_capacity(1 << 16, &mut *file);
    write(&mut out)?;
    out.flush()?;
    drop(out);
    file.sync_all()?;
    Ok(())
}

/// The folder that holds `path`.
fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Bytes in hexadecimal, as digests are written.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn a_failure_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("good.txt");
        write_atomic(&path, |out| Ok(out.write_all(b"good")?)).unwrap();
        let error = write_atomic(&path, |out| {
            out.write_all(&[b'x'; 1 << 20])?;
            bail!("no space left on device")
        })
        .unwrap_err();
        assert!(format!("{error:#}").contains("good.txt"), "{error:#}");
        assert!(format!("{error:#}").contains("no space left"), "{error:#}");
        assert_eq!(fs::read(&path).unwrap(), b"good");
        assert_eq!(names(folder.path()), ["good.txt"]);
    }

    #[test]
    fn missing_folders_are_made_and_impossible_ones_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/c.txt");
        write_atomic(&path, |out| Ok(out.write_all(b"1")?)).unwrap();
        write_atomic(&path, |out| Ok(out.write_all(b"2")?)).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"2");

        let below_a_file = path.join("d.txt");
        let error = write_atomic(&below_a_file, |_| Ok(())).unwrap_err();
        assert!(format!("{error:#}").contains("c.txt"), "{error:#}");
        let error = write_atomic(&folder.path().join("a"), |_| Ok(())).unwrap_err();
        assert!(format!("{error:#}").contains("another name"), "{error:#}");
        assert_eq!(names(folder.path()), ["a"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_a_link_and_a_device_a_device() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        fs::write(&target, "old").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        write_atomic(&link, |out| Ok(out.write_all(b"new")?)).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&target).unwrap(), b"new");

        write_atomic(Path::new("/dev/null"), |out| Ok(out.write_all(b"x")?)).unwrap();
        assert!(is_special(Path::new("/dev/null")));
        let full = Path::new("/dev/full");
        if is_special(full) {
            let error = write_atomic(full, |out| Ok(out.write_all(b"x")?)).unwrap_err();
            assert!(format!("{error:#}").contains("/dev/full"), "{error:#}");
        }
    }
}
