//! Digest access authentication for clients (RFC 2617, RFC 7616, RFC 8760): answers to 401 and 407.
//!
//! Entry: [`DigestClient`]. It reads challenges from a response, chooses the strongest algorithm of each realm, and
//! writes the headers for the next request and those after it. It knows no transaction and draws no randomness: the
//! client nonce is passed in. Verifying answers (the server's side) is not here.
//!
//! Invariants: an answer that was refused is not given twice; what is kept is bounded by the number of realms.

mod challenge;
mod client;
mod hash;
#[cfg(test)]
mod tests;

pub use challenge::{Challenge, Qop};
pub use client::{Answer, AuthError, Credentials, DigestClient};
pub use hash::Hash;
