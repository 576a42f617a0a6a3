//! The endpoint's randomness: tags, branches, Call-IDs, hash keys.
//!
//! Seeded by the caller, so that the same seed and the same inputs give the same messages. Entry type: [`Random`].
//! A token carries 80 random bits: a peer cannot guess one (RFC 3261 §19.3 asks for 32).

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// 16 characters of a base-32 alphabet.
pub(crate) type Token = [u8; 16];

/// A generator seeded by the caller.
#[derive(Debug)]
pub(crate) struct Random(ChaCha12Rng);

impl Random {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self(ChaCha12Rng::from_seed(seed))
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A fresh token of 80 random bits.
    pub(crate) fn token(&mut self) -> Token {
        let bits = (u128::from(self.next_u64()) << 64) | u128::from(self.next_u64());
        encode(bits)
    }
}

/// The low 80 bits in base 32.
pub(crate) fn encode(mut bits: u128) -> Token {
    let mut token = [b'a'; 16];
    for slot in &mut token {
        // Masked to five bits: always inside the alphabet.
        *slot = ALPHABET.get((bits & 31) as usize).copied().unwrap_or(b'a');
        bits >>= 5;
    }
    token
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_tokens_and_another_seed_others() {
        let (mut a, mut b, mut c) = (Random::new([1; 32]), Random::new([1; 32]), Random::new([2; 32]));
        let first = a.token();
        assert_eq!(first, b.token());
        assert_ne!(first, c.token());
        assert_ne!(first, a.token());
        assert!(first.iter().all(|c| ALPHABET.contains(c)));
    }
}
