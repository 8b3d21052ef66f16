//! How much memory a file may take when it is read, whatever it holds.
//!
//! A packed file of 2 MB can unpack to 2 GB, and a picture of 1 KB can claim a thousand million
//! pixels. So every reader here asks before it takes memory: for [`TIMES`] times the file's
//! length, or [`LEAST`] if that is more. Files that people have stay far below that; for one
//! that doesn't, and is trusted, [`raise`] is what `--limit` calls.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, anyhow, ensure};

/// How many times its own length a file may take in memory.
pub const TIMES: u64 = 16;
/// What any file may take, in bytes.
pub const LEAST: u64 = 512_000_000;
/// What JSON takes at most, as values, for a byte of its text: lists of short lists and objects
/// are the worst, since each of these has room for a few values at once.
const JSON: u64 = 128;

/// What the user has set; 0 if nothing.
static RAISED: AtomicU64 = AtomicU64::new(0);

/// Sets what any file may take, in bytes, for the whole program: more than a file's length
/// allows, or less.
pub fn raise(bytes: u64) {
    RAISED.store(bytes.max(1), Ordering::Relaxed);
}

/// The bytes of memory that a file of this length may take.
#[must_use]
pub fn of(length: u64) -> u64 {
    match RAISED.load(Ordering::Relaxed) {
        0 => LEAST.max(length.saturating_mul(TIMES)),
        raised => raised,
    }
}

/// Refuses what would take more than a file of this length may.
///
/// # Errors
/// One sentence that says so, and what to do; it follows "cannot read FILE:".
pub fn check(needed: u64, length: u64) -> Result<()> {
    let most = of(length);
    ensure!(needed <= most, "{}", refusal(needed, most));
    Ok(())
}

/// Why a file is refused that would take so many bytes, of the most that it may.
#[must_use]
pub fn refusal(needed: u64, most: u64) -> String {
    let mb = |bytes: u64| bytes.div_ceil(1_000_000);
    format!(
        "it would take {} MB of memory, and a file of its size may take {} MB; if you trust it, \
         call again with --limit {}MB",
        mb(needed),
        mb(most),
        mb(needed)
    )
}

/// Refuses JSON of this length, in a file of that length, if its values would take too much.
///
/// # Errors
/// As [`check`].
pub fn check_json(json: u64, length: u64) -> Result<()> {
    check(json.saturating_mul(JSON), length)
}

/// All bytes of a file. Of a pipe or a device, which have no length, as many as a file may
/// take.
///
/// # Errors
/// Those of reading; [`std::io::ErrorKind::FileTooLarge`] if there are more.
pub fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let most = of(length);
    // What is known to be there is taken at once, without room to grow.
    let mut bytes = Vec::with_capacity(usize::try_from(length.min(most)).unwrap_or(0));
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let error = anyhow!("it has more than {most} bytes; raise that by --limit");
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, error));
    }
    Ok(bytes)
}

/// All bytes of a file of JSON.
///
/// # Errors
/// As [`read`], also if its values would take too much.
pub fn read_json(path: &Path) -> std::io::Result<Vec<u8>> {
    let bytes = read(path)?;
    let length = bytes.len() as u64;
    check_json(length, length)
        .map_err(|error| std::io::Error::new(std::io::ErrorKind::FileTooLarge, error))?;
    Ok(bytes)
}

/// Checks the header of a `safetensors` file, which is JSON behind its length.
///
/// # Errors
/// As [`check`].
pub fn check_safetensors(bytes: &[u8]) -> Result<()> {
    let length = bytes.len() as u64;
    match bytes.first_chunk() {
        // What is longer than the file is refused by its reader.
        Some(&header) => check_json(u64::from_le_bytes(header).min(length), length),
        None => Ok(()),
    }
}

/// Reads a size as people write it: `2GB`, `500 MB`, `1000000`.
///
/// # Errors
/// One sentence that shows how sizes are written.
pub fn parse(text: &str) -> Result<u64> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = match unit.trim().to_ascii_uppercase().as_str() {
        "" | "B" => 1,
        "K" | "KB" => 1_000,
        "M" | "MB" => 1_000_000,
        "G" | "GB" => 1_000_000_000,
        _ => 0,
    };
    let bytes = number.parse::<u64>().ok().and_then(|n| n.checked_mul(unit));
    bytes
        .filter(|&bytes| bytes > 0)
        .ok_or_else(|| anyhow!("{text:?} is no size; write it as 500MB or 2GB"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("7", 7),
            ("2GB", 2_000_000_000),
            (" 500 mb", 500_000_000),
            ("3k", 3000),
        ] {
            assert_eq!(parse(text).unwrap(), bytes, "{text}");
        }
        for text in ["", "GB", "-1", "0", "2 TB", "1.5GB", "99999999999GB"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_file_may_take_a_multiple_of_its_length() {
        assert_eq!(of(0), LEAST);
        assert_eq!(of(LEAST), TIMES * LEAST);
        check(LEAST, 5).unwrap();
        let error = check(LEAST + 1, 5).unwrap_err().to_string();
        assert!(
            error.contains("513 MB of memory") && error.ends_with("--limit 513MB"),
            "{error}"
        );
    }

    #[test]
    fn headers_are_judged_by_their_length() {
        let header = |length: u64| [&length.to_le_bytes()[..], &[b' '; 100]].concat();
        check_safetensors(&header(90)).unwrap();
        // It is no longer than the file.
        check_safetensors(&header(u64::MAX)).unwrap();
        check_safetensors(b"short").unwrap();
        let mut long = vec![b' '; 12_000_000];
        long[..8].copy_from_slice(&11_999_992u64.to_le_bytes());
        assert!(check_safetensors(&long).is_err());
    }

    #[test]
    fn whole_files_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, b"abc").unwrap();
        assert_eq!(read(&path).unwrap(), b"abc");
        assert_eq!(read_json(&path).unwrap(), b"abc");
        std::fs::write(&path, vec![b' '; 12_000_000]).unwrap();
        assert_eq!(read(&path).unwrap().len(), 12_000_000);
        assert!(read_json(&path).is_err());
        assert!(read(&folder.path().join("none")).is_err());
    }
}
