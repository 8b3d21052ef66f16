//! Ed25519, of RFC 8032: whether a signature is that of a key.
//!
//! The group is `curve25519-dalek`'s, and the hash `sha2`'s. Between them is only the equation,
//! because `ed25519-dalek` has it by tables that take 3 KiB more of stack, and with indices that
//! can panic. Nothing here is secret, so nothing has to take the same time.

use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use sha2::{Digest, Sha512};

/// A public key.
pub type PublicKey = [u8; 32];

/// The seed of the development key. It stands here for all to read, so a signature of that key
/// says nothing: it is for tests and for one's own desk.
pub const DEVELOPMENT_SEED: [u8; 32] = *b"siamese DEVELOPMENT key, secret?";

/// The public key of [`DEVELOPMENT_SEED`].
pub const DEVELOPMENT_KEY: PublicKey = [
    0x1d, 0x52, 0x9a, 0x99, 0x28, 0x5a, 0x74, 0x0e, 0x3b, 0x31, 0xea, 0x54, 0x04, 0x79, 0xc8, 0xcc,
    0x18, 0x88, 0xea, 0xc8, 0x8f, 0x2a, 0xea, 0xf2, 0x80, 0x81, 0x9f, 0xf5, 0x0e, 0xdb, 0x2f, 0xf8,
];

/// Whether the signature is that of the key for these bytes.
///
/// Of an encoding with a scalar that isn't reduced, and of one with another point than the
/// equation gives, none is taken: a signature has one form.
#[must_use]
#[inline(never)] // Compiled here, for size, and off the stack of whoever calls.
pub fn is_signed_by(key: &PublicKey, bytes: &[u8], signature: &[u8; 64]) -> bool {
    check(key, bytes, signature).is_some()
}

fn check(key: &PublicKey, bytes: &[u8], signature: &[u8; 64]) -> Option<()> {
    let (r, s) = signature.split_first_chunk::<32>()?;
    let s = canonical(s)?;
    let challenge = challenge(r, key, bytes);
    let minus_a = -CompressedEdwardsY(*key).decompress()?;
    let found = times(&challenge, &minus_a) + times(&s, &ED25519_BASEPOINT_POINT);
    (found.compress().as_bytes() == r).then_some(())
}

/// The hash of all that the signature binds.
#[inline(never)] // Off the stack while points are multiplied.
fn challenge(r: &[u8], key: &PublicKey, bytes: &[u8]) -> Scalar {
    let mut hash = Sha512::new();
    for part in [r, key, bytes] {
        absorb(&mut hash, part);
    }
    reduced(&hash.finalize().into())
}

/// A scalar that is written in its one form. Reduced like a hash, it stays as it is; the library's
/// own check would bring a second way to reduce.
fn canonical(bytes: &[u8]) -> Option<Scalar> {
    let mut wide = [0; 64];
    for (to, &byte) in wide.iter_mut().zip(bytes) {
        *to = byte;
    }
    let scalar = reduced(&wide);
    (scalar.as_bytes() == bytes).then_some(scalar)
}

#[inline(never)]
fn reduced(wide: &[u8; 64]) -> Scalar {
    Scalar::from_bytes_mod_order_wide(wide)
}

/// One copy of what fills blocks, which is as long as the hash itself.
#[inline(never)]
pub(crate) fn absorb(hash: &mut Sha512, bytes: &[u8]) {
    hash.update(bytes);
}

/// One after the other, each with its table of 1.3 KiB on the stack.
#[inline(never)]
fn times(scalar: &Scalar, point: &EdwardsPoint) -> EdwardsPoint {
    scalar * point
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_development_key_is_that_of_its_seed() {
        let key = SigningKey::from_bytes(&DEVELOPMENT_SEED).verifying_key();
        assert_eq!(key.to_bytes(), DEVELOPMENT_KEY, "{:?}", key.to_bytes());
    }

    /// The third test of RFC 8032, section 7.1.
    #[test]
    fn the_standards_example_holds() {
        let hex = |text: &str| -> std::vec::Vec<u8> {
            (0..text.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
                .collect()
        };
        let key = hex("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025");
        let signature = hex(
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac\
             18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        );
        let (key, signature) = (key.try_into().unwrap(), signature.try_into().unwrap());
        assert!(is_signed_by(&key, &[0xAF, 0x82], &signature));
        assert!(!is_signed_by(&key, &[0xAF, 0x83], &signature));
    }

    /// The group's order, added to the scalar: the equation holds, and yet it is refused.
    #[test]
    fn a_scalar_that_is_not_reduced_is_refused() {
        const ORDER: [u8; 32] = [
            0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9,
            0xde, 0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
        ];
        let key = SigningKey::from_bytes(&[3; 32]);
        let mut signature = key.sign(b"bytes").to_bytes();
        let public = key.verifying_key().to_bytes();
        assert!(is_signed_by(&public, b"bytes", &signature));
        let mut carry = 0;
        for (byte, order) in signature[32..].iter_mut().zip(ORDER) {
            carry += u16::from(*byte) + u16::from(order);
            *byte = carry as u8;
            carry >>= 8;
        }
        assert!(!is_signed_by(&public, b"bytes", &signature));
    }

    proptest! {
        /// The same as `ed25519-dalek` says, of good signatures and damaged ones.
        #[test]
        fn it_agrees_with_another_reader(
            seed: [u8; 32], bytes: std::vec::Vec<u8>, at in 0usize..96, flip: u8,
        ) {
            let key = SigningKey::from_bytes(&seed);
            let mut public = key.verifying_key().to_bytes();
            let mut signature = key.sign(&bytes).to_bytes();
            prop_assert!(is_signed_by(&public, &bytes, &signature));
            match at.checked_sub(64) {
                Some(at) => public[at] ^= flip,
                None => signature[at] ^= flip,
            }
            let other = VerifyingKey::from_bytes(&public);
            let expected = other.is_ok_and(|key| {
                key.verify_strict(&bytes, &ed25519_dalek::Signature::from_bytes(&signature)).is_ok()
            });
            prop_assert_eq!(is_signed_by(&public, &bytes, &signature), expected);
        }
    }
}
