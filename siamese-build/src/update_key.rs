//! The public key that signed updates of a model are checked by, as people name it.

use std::error::Error;
use std::path::Path;

/// The public key that is named: 64 hexadecimal digits, or a file that has them, as
/// `siamese-train key new` writes it.
///
/// # Errors
/// One sentence, if it is neither; the file's error, if it can't be read.
pub fn update_key(named: &str) -> Result<[u8; 32], Box<dyn Error + Send + Sync>> {
    let digits = if Path::new(named).is_file() {
        std::fs::read_to_string(named)?
    } else {
        named.to_owned()
    };
    let digits = digits.trim();
    let bytes: Option<Vec<u8>> = (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok())
        .collect();
    let key = bytes.and_then(|bytes| bytes.try_into().ok());
    key.ok_or_else(|| {
        format!(
            "{named} is neither 64 hexadecimal digits nor a file that has them: `siamese-train key \
             new` writes one, FILE.pub"
        )
        .into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_and_files_are_read_and_all_else_is_refused() {
        let digits = "00ff".repeat(16);
        let key: Vec<u8> = [0x00, 0xFF].repeat(16);
        assert_eq!(update_key(&digits).unwrap().to_vec(), key);
        let file = std::env::temp_dir().join(format!("siamese-key-{}.pub", std::process::id()));
        std::fs::write(&file, format!("{digits}\n")).unwrap();
        let read = update_key(file.to_str().unwrap());
        std::fs::remove_file(&file).unwrap();
        assert_eq!(read.unwrap().to_vec(), key);
        for wrong in ["", "nowhere.pub", &digits[1..], &digits[2..], "é"] {
            let error = update_key(wrong).unwrap_err().to_string();
            assert!(error.contains("siamese-train key new"), "{error}");
        }
    }
}
