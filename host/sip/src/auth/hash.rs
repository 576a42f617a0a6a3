//! The hash functions of digest: MD5, SHA-256, SHA-512-256 (RFC 7616 §6.1, RFC 8760 §2.2).

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256, Sha512_256};

/// A hash function; greater is stronger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hash {
    /// RFC 1321. Still what most of SIP speaks.
    Md5,
    /// FIPS 180-4.
    Sha256,
    /// FIPS 180-4, SHA-512 with 256 bits and an initial value of its own.
    Sha512_256,
}

impl Hash {
    /// The lower-case hex digest of the parts joined by colons.
    pub(super) fn hex(self, parts: &[&[u8]]) -> String {
        match self {
            Self::Md5 => {
                let mut context = md5::Context::new();
                joined(parts, |b| context.consume(b));
                hex(&context.finalize().0)
            }
            Self::Sha256 => {
                let mut hasher = Sha256::new();
                joined(parts, |b| hasher.update(b));
                hex(&hasher.finalize())
            }
            Self::Sha512_256 => {
                let mut hasher = Sha512_256::new();
                joined(parts, |b| hasher.update(b));
                hex(&hasher.finalize())
            }
        }
    }
}

fn joined(parts: &[&[u8]], mut feed: impl FnMut(&[u8])) {
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            feed(b":");
        }
        feed(part);
    }
}

fn hex(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len() * 2);
    for b in octets {
        // Writing to a string cannot fail.
        let _ = write!(text, "{b:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::Hash;

    #[test]
    fn known_digests_of_abc() {
        assert_eq!(Hash::Md5.hex(&[b"abc"]), "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(
            Hash::Sha256.hex(&[b"abc"]),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(
            Hash::Sha512_256.hex(&[b"abc"]),
            "53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23"
        );
        assert_eq!(Hash::Md5.hex(&[b"a", b"b"]), Hash::Md5.hex(&[b"a:b"]));
    }
}
