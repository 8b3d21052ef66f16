//! A run's claim on its files: nobody else writes them meanwhile, it may write
//! them itself, and no finished model is lost.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use siamese_train::pipeline::Files;

/// Holds a name in a folder until it is dropped.
#[derive(Debug)]
pub struct Claim {
    path: PathBuf,
    /// The lock ends with the file, also where the program is killed.
    _file: File,
}

impl Claim {
    /// Claims `files`, and checks that everything can be written there.
    ///
    /// # Errors
    /// If another run holds them, or the folder can't be written.
    pub fn on(files: &Files) -> Result<Self> {
        let path = files.lock();
        let folder = path.parent().unwrap_or(Path::new("."));
        for folder in [folder, &files.pictures()] {
            let try_out = || -> std::io::Result<()> {
                fs::create_dir_all(folder)?;
                tempfile::tempfile_in(folder).map(drop)
            };
            try_out().with_context(|| {
                format!(
                    "can't write to the folder {}; choose another --out",
                    folder.display()
                )
            })?;
        }
        for file in [
            files.model(),
            files.checkpoint(),
            files.golden(),
            files.report(),
        ] {
            ensure!(
                !file.is_dir(),
                "{} is a folder, and a file of that name is to be written; choose another --out",
                file.display()
            );
        }
        loop {
            let file = File::create(&path)
                .with_context(|| format!("can't write {}; choose another --out", path.display()))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => bail!(
                    "another run is training {} in {} right now; wait for its end, or choose \
                     another --out or --name",
                    files.name(),
                    folder.display()
                ),
                Err(TryLockError::Error(error)) => {
                    return Err(error).with_context(|| format!("can't lock {}", path.display()));
                }
            }
            // The run before may have removed the file after it was opened here: then
            // the lock is on a file that nobody else would find.
            if is_at(&file, &path) {
                return Ok(Self { path, _file: file });
            }
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Left where it can't be removed: an old lock file locks nothing.
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether `file` is still the one that `path` leads to.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let (Ok(open), Ok(there)) = (file.metadata(), fs::metadata(path)) else {
        return false;
    };
    (open.dev(), open.ino()) == (there.dev(), there.ino())
}

/// An open file can't be removed here.
#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> bool {
    true
}

/// Refuses to replace a finished model by a run that begins.
///
/// # Errors
/// If there is one, and `fresh` doesn't allow it.
pub fn check_nothing_is_lost(files: &Files, fresh: bool) -> Result<()> {
    let model = files.model();
    ensure!(
        fresh || files.partial().exists() || !model.exists(),
        "{} is there already; choose another --out, or --fresh to train it anew and replace it",
        model.display()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_claimed_once_at_a_time_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::new(folder.path(), "m");
        let first = Claim::on(&files).unwrap();
        let error = format!("{:#}", Claim::on(&files).unwrap_err());
        assert!(error.contains("another run"), "{error}");
        // Another name is another run.
        drop(Claim::on(&Files::new(folder.path(), "n")).unwrap());
        drop(first);
        drop(Claim::on(&files).unwrap());
        assert!(!files.lock().exists());
        // What a killed run left behind locks nothing.
        fs::write(files.lock(), "").unwrap();
        drop(Claim::on(&files).unwrap());
    }

    #[test]
    fn folders_that_can_t_be_written_are_noticed_first() {
        let folder = tempfile::tempdir().unwrap();
        let in_the_way = folder.path().join("file");
        fs::write(&in_the_way, "").unwrap();
        let error = format!(
            "{:#}",
            Claim::on(&Files::new(&in_the_way, "m")).unwrap_err()
        );
        assert!(error.contains("--out"), "{error}");
        let files = Files::new(folder.path(), "n");
        fs::create_dir(files.model()).unwrap();
        assert!(Claim::on(&files).is_err());
    }

    #[test]
    fn finished_models_stay_unless_told_otherwise() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::new(folder.path(), "m");
        check_nothing_is_lost(&files, false).unwrap();
        fs::write(files.model(), "").unwrap();
        let error = check_nothing_is_lost(&files, false)
            .unwrap_err()
            .to_string();
        assert!(error.contains("--fresh"), "{error}");
        check_nothing_is_lost(&files, true).unwrap();
        // An interrupted run that was allowed to goes on.
        fs::write(files.partial(), "").unwrap();
        check_nothing_is_lost(&files, false).unwrap();
    }
}
