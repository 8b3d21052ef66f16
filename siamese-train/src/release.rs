//! Releases of a model for devices in the field: keys, golden vectors, and the update file.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey, KeypairBytes};
use rand::TryRngCore;
use rand::rngs::OsRng;
use siamese_device::updates::DEVELOPMENT_SEED;
use siamese_device::{GoldenVector, Reference};

use crate::embed::ModelFile;
use crate::embed::golden::Golden;
use crate::files::{hex, write_atomic};

/// What stands for the development key where a key's file is wanted.
pub const DEVELOPMENT: &str = "development";
/// What is said wherever the development key signs or is trusted.
pub const WARNING: &str = "\
WARNING: this is the development key. Everybody has it, so it protects nothing: before a device
leaves your desk, make a key with `siamese-train key new` and build its firmware with that one.";
/// Golden vectors in an update, if not said otherwise.
pub const VECTORS: usize = 4;

/// A key to sign with, from a file in PKCS#8 PEM, as `key new` and OpenSSL write it; or the
/// development key.
///
/// # Errors
/// If there is no such file, or no such key in it.
pub fn signing_key(named: &Path) -> Result<SigningKey> {
    if named == Path::new(DEVELOPMENT) {
        return Ok(SigningKey::from_bytes(&DEVELOPMENT_SEED));
    }
    let text = fs::read_to_string(named).map_err(|error| {
        anyhow!(
            "cannot open {} ({error}): `siamese-train key new` makes a key, and --key {DEVELOPMENT} \
             is one for your own desk",
            named.display()
        )
    })?;
    SigningKey::from_pkcs8_pem(&text).map_err(|_| {
        anyhow!(
            "{} has no secret Ed25519 key in PEM: `siamese-train key new` writes one",
            named.display()
        )
    })
}

/// Whether it is the development key.
#[must_use]
pub fn is_development(key: &SigningKey) -> bool {
    key.to_bytes() == DEVELOPMENT_SEED
}

/// The public key in 64 hexadecimal digits, as a firmware's build takes it.
#[must_use]
pub fn public_digits(key: &SigningKey) -> String {
    hex(key.verifying_key().as_bytes())
}

/// Draws a new key from the operating system, and writes the secret one to `path`, for its owner's
/// eyes, and the public one beside it, as `.pub`.
///
/// # Errors
/// If one of the files is there already, or can't be written.
pub fn new_key(path: &Path) -> Result<SigningKey> {
    let public = path.with_extension("pub");
    for file in [path, &public] {
        ensure!(
            !file.exists(),
            "{} is there already: whoever loses a key can't update the devices that trust it. Name \
             another file, or take this one away first",
            file.display()
        );
    }
    let mut seed = [0; 32];
    OsRng
        .try_fill_bytes(&mut seed)
        .context("the operating system gives no random numbers")?;
    let key = SigningKey::from_bytes(&seed);
    // Without the public key, which OpenSSL 3.0 doesn't want there.
    let secret = KeypairBytes {
        secret_key: key.to_bytes(),
        public_key: None,
    };
    let pem = secret
        .to_pkcs8_pem(LineEnding::LF)
        .map_err(|error| anyhow!("the key can't be written: {error}"))?;
    write_secret(path, pem.as_bytes())?;
    let digits = public_digits(&key) + "\n";
    write_atomic(&public, |out| Ok(out.write_all(digits.as_bytes())?))?;
    Ok(key)
}

/// Writes a file that nobody else may read, from its first moment on.
fn write_secret(path: &Path, bytes: &[u8]) -> Result<()> {
    use std::io::Write;

    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options
        .open(path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .with_context(|| format!("cannot write {}", path.display()))
}

/// So many golden vectors for a model: of the file beside it that libtorch has computed, or, if
/// there is none, of images that strain the arithmetic, computed here. Whether they are libtorch's.
///
/// # Errors
/// If a file is named and can't be read, or isn't of this model.
pub fn golden_vectors(
    model: &ModelFile,
    named: Option<&Path>,
    count: usize,
) -> Result<(Vec<GoldenVector>, bool)> {
    ensure!(count > 0, "an update needs at least one golden vector");
    let beside = model.path().with_extension("golden.safetensors");
    if named.is_none() && !beside.is_file() {
        return Ok((computed(model, count)?, false));
    }
    let golden = Golden::read(named.unwrap_or(&beside))?;
    let typical = golden.typical().count().max(1);
    // Spread over the test images, of which there is one of each class at least.
    let vectors = (0..count.min(golden.len())).filter_map(|number| {
        let vector = golden.iter().nth(number * typical / count)?;
        Some(GoldenVector {
            pixels: vector.pixels.to_vec(),
            coordinates: vector.embedding.to_vec(),
            hidden_crc: vector.hidden_crc,
        })
    });
    Ok((vectors.collect(), true))
}

/// Vectors of noise, each with another share of background.
fn computed(model: &ModelFile, count: usize) -> Result<Vec<GoldenVector>> {
    let model = model.model();
    let pixels = model.header().input.pixels();
    let mut reference = Reference::new(model);
    (1..=count as u32)
        .map(|number| {
            // The high byte of a multiplicative hash of the position.
            let value = |position: u32| {
                let hash = (position + 7919 * number).wrapping_mul(2_654_435_761);
                let [.., middle, high] = hash.to_le_bytes();
                if u32::from(middle) % (number + 1) == 0 {
                    high
                } else {
                    0
                }
            };
            let pixels: Vec<u8> = (0..pixels as u32).map(value).collect();
            let Ok((coordinates, hidden_crc)) = reference.embed(&pixels) else {
                bail!("the model takes images of another size than it says");
            };
            let coordinates = coordinates.to_vec();
            Ok(GoldenVector {
                pixels,
                coordinates,
                hidden_crc,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_written_once_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fleet.pem");
        let key = new_key(&path).unwrap();
        assert_eq!(signing_key(&path).unwrap(), key);
        let digits = fs::read_to_string(folder.path().join("fleet.pub")).unwrap();
        assert_eq!(digits.trim(), public_digits(&key));
        assert_eq!(digits.trim().len(), 64);
        assert!(!is_development(&key));
        let again = new_key(&path).unwrap_err().to_string();
        assert!(again.contains("is there already"), "{again}");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;

            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0);
        }
    }

    #[test]
    fn what_is_no_key_is_refused_in_words() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("no.pem");
        let missing = signing_key(&path).unwrap_err().to_string();
        assert!(missing.contains("key new"), "{missing}");
        fs::write(&path, "-----BEGIN NONSENSE-----\n").unwrap();
        let wrong = signing_key(&path).unwrap_err().to_string();
        assert!(wrong.contains("no secret Ed25519 key"), "{wrong}");
        let development = signing_key(Path::new(DEVELOPMENT)).unwrap();
        assert!(is_development(&development));
    }
}
