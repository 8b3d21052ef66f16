//! Which files and folders are meant, and which the system put there.

use std::cmp::Ordering;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use image::ImageFormat;

use super::{FORMATS, decode};

/// Names that systems give to files and folders of their own; those that begin with a dot or
/// with `__MACOSX` come on top.
const OF_SYSTEMS: [&str; 6] = [
    "thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "$recycle.bin",
    "system volume information",
    "@eadir",
];
/// Bytes at the start of a file that tell what it is.
const START: u64 = 64;

/// The picture files of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The files, sorted as people sort numbers.
    pub files: Vec<PathBuf>,
    /// Other files in the folder: of systems, hidden, or no pictures.
    pub passed_over: usize,
}

/// The picture files in a folder, or the file itself. Folders in it are not looked into.
///
/// # Errors
/// If there is no such file or folder, or the folder has no pictures.
pub fn find(path: &Path) -> Result<Found> {
    if !path.is_dir() {
        ensure!(
            path.is_file(),
            "cannot open {}; check the path",
            path.display()
        );
        let files = vec![path.to_owned()];
        return Ok(Found {
            files,
            passed_over: 0,
        });
    }
    let (mut files, mut passed_over) = (Vec::new(), 0);
    for entry in entries(path)? {
        if entry.is_dir() {
            continue;
        }
        if is_of_system(&entry) || !looks_like_picture(&entry) {
            passed_over += 1;
        } else {
            files.push(entry);
        }
    }
    ensure!(
        !files.is_empty(),
        "{} holds no pictures; {FORMATS} are understood",
        path.display()
    );
    Ok(Found { files, passed_over })
}

/// The folders in a folder, by name, sorted as people sort numbers: `2` before `10`. Hidden
/// ones and those of systems are passed over. A folder of pictures alone holds none.
///
/// # Errors
/// If the folder can't be opened, or if two names differ only in what is no text.
pub fn class_folders(path: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut folders: Vec<(String, PathBuf)> = Vec::new();
    for entry in entries(path)? {
        if !entry.is_dir() || is_of_system(&entry) {
            continue;
        }
        let name = name(&entry).to_string_lossy().into_owned();
        if let Some((_, other)) = folders.iter().find(|(other, _)| *other == name) {
            bail!(
                "the names of {} and another folder beside it can't be told apart; rename one",
                other.display()
            );
        }
        folders.push((name, entry));
    }
    Ok(folders)
}

/// What is in a folder, sorted as people sort numbers.
fn entries(path: &Path) -> Result<Vec<PathBuf>> {
    let unreadable = || format!("cannot open {}; check the path", path.display());
    let mut entries = Vec::new();
    for entry in fs::read_dir(path).with_context(unreadable)? {
        entries.push(entry.with_context(unreadable)?.path());
    }
    entries.sort_by(|a, b| {
        let names = [a, b].map(|path| name(path).as_encoded_bytes());
        as_people_sort(names[0], names[1])
    });
    Ok(entries)
}

fn name(path: &Path) -> &OsStr {
    path.file_name().unwrap_or_default()
}

fn is_of_system(path: &Path) -> bool {
    let name = name(path).to_string_lossy().to_lowercase();
    name.starts_with('.') || name.starts_with("__macosx") || OF_SYSTEMS.contains(&&*name)
}

/// Whether a file is a picture by its name or by its first bytes. What claims to be one by its
/// name alone is taken, so that damage is reported and not passed over.
fn looks_like_picture(path: &Path) -> bool {
    let start = || {
        let mut start = Vec::new();
        let read = File::open(path).and_then(|file| file.take(START).read_to_end(&mut start));
        read.map(|_| start).unwrap_or_default()
    };
    ImageFormat::from_path(path).is_ok() || decode::is_known(&start())
}

/// Compares runs of digits by their number, all else by bytes. Names that differ in zeros in
/// front of numbers only are ordered by bytes.
fn as_people_sort(a: &[u8], b: &[u8]) -> Ordering {
    let (mut left, mut right) = (a, b);
    while let ([first, ..], [other, ..]) = (left, right) {
        let ordering = if first.is_ascii_digit() && other.is_ascii_digit() {
            let ((one, rest), (two, other_rest)) = (number(left), number(right));
            (left, right) = (rest, other_rest);
            one.len().cmp(&two.len()).then(one.cmp(two))
        } else {
            (left, right) = (&left[1..], &right[1..]);
            first.cmp(other)
        };
        if ordering.is_ne() {
            return ordering;
        }
    }
    left.len().cmp(&right.len()).then_with(|| a.cmp(b))
}

/// The digits at the start, without zeros in front, and what follows them.
fn number(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !byte.is_ascii_digit());
    let (digits, rest) = text.split_at(end.unwrap_or(text.len()));
    let zeros = digits.iter().take_while(|&&digit| digit == b'0').count();
    (&digits[zeros..], rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_sort_as_people_sort_them() {
        let mut names = [
            "10", "9", "a10", "a9", "a09b", "7", "07", "x", "", "9a", "a",
        ];
        names.sort_by(|a, b| as_people_sort(a.as_bytes(), b.as_bytes()));
        let expected = [
            "", "07", "7", "9", "9a", "10", "a", "a9", "a09b", "a10", "x",
        ];
        assert_eq!(names, expected);
    }
}
