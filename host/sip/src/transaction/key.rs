//! Which transaction or dialog a message belongs to, as one number.
//!
//! A key is a 128-bit SipHash, keyed at random, of the fields that RFC 3261 compares: one look-up a message, no strings
//! kept, and a peer that does not know the key cannot make two transactions collide. Entry type: [`Keys`].
//!
//! Invariant: two messages get the same key exactly when §17.1.3 (client), §17.2.3 (server, with the RFC 2543 rules when
//! the branch has no cookie), §8.2.2.2 (merged) or §12 (dialog) calls them equal.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use siphasher::sip128::{Hasher128, SipHasher13};

use crate::message::{HeaderName, Host, Message, Via};

/// The magic cookie of RFC 3261 §8.1.1.7.
pub(crate) const COOKIE: &[u8] = b"z9hG4bK";

/// A map by key. The key is a hash already.
pub(crate) type KeyMap<V> = HashMap<u128, V, BuildHasherDefault<KeyHasher>>;

/// Takes the low half of a key as its hash.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 << 8) | u64::from(*byte);
        }
    }

    fn write_u128(&mut self, key: u128) {
        self.0 = key as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Makes keys.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    seed: (u64, u64),
}

/// Fields hashed one after another, each with its length, so that none runs into the next.
struct Fields(SipHasher13);

impl Fields {
    fn put(mut self, field: &[u8]) -> Self {
        self.0.write_u32(field.len() as u32);
        self.0.write(field);
        self
    }

    fn number(mut self, number: u64) -> Self {
        self.0.write_u64(number);
        self
    }

    fn done(self) -> u128 {
        self.0.finish128().as_u128()
    }
}

impl Keys {
    pub(crate) fn new(seed: (u64, u64)) -> Self {
        Self { seed }
    }

    fn fields(&self, domain: u8) -> Fields {
        let mut hasher = SipHasher13::new_with_keys(self.seed.0, self.seed.1);
        hasher.write_u8(domain);
        Fields(hasher)
    }

    /// A client transaction: branch and method of the CSeq (§17.1.3).
    pub(crate) fn client(&self, branch: &[u8], method: &str) -> u128 {
        self.fields(0).put(branch).put(method.as_bytes()).done()
    }

    /// A server transaction (§17.2.3). `method` is INVITE for an ACK, and for a CANCEL that looks for its INVITE.
    pub(crate) fn server(&self, message: &Message, via: &Via<'_>, method: &str) -> u128 {
        match via.branch() {
            Some(branch) if is_rfc3261_branch(branch) => {
                let fields = self
                    .fields(1)
                    .put(branch)
                    .put(method.as_bytes())
                    .number(u64::from(via.port.unwrap_or(0)));
                match via.host {
                    Host::Name(name) => fields.put(name),
                    Host::V4(ip) => fields.put(&ip.octets()),
                    Host::V6(ip) => fields.put(&ip.octets()),
                }
                .done()
            }
            // RFC 2543: Request-URI, From tag, Call-ID, CSeq and top Via. The To tag is left out so that an ACK, whose
            // To tag is ours, finds its INVITE; the other fields cannot be equal for two requests of one peer.
            _ => self
                .fields(2)
                .put(message.request().map(|line| line.uri).unwrap_or_default())
                .put(from_tag(message))
                .put(message.call_id().unwrap_or_default())
                .number(message.cseq().map(|cseq| u64::from(cseq.seq)).unwrap_or(0))
                .put(via.raw)
                .put(method.as_bytes())
                .done(),
        }
    }

    /// Requests that came on two ways but were one when sent (§8.2.2.2).
    pub(crate) fn merged(&self, message: &Message, method: &str) -> u128 {
        self.fields(3)
            .put(from_tag(message))
            .put(message.call_id().unwrap_or_default())
            .number(message.cseq().map(|cseq| u64::from(cseq.seq)).unwrap_or(0))
            .put(method.as_bytes())
            .done()
    }

    /// A dialog (§12): Call-ID, local tag, remote tag. An absent remote tag (RFC 2543) is empty.
    pub(crate) fn dialog(&self, call_id: &[u8], local_tag: &[u8], remote_tag: &[u8]) -> u128 {
        self.fields(4).put(call_id).put(local_tag).put(remote_tag).done()
    }

    /// The To tag of a response without a transaction: the same for each copy of the request (§8.2.7).
    pub(crate) fn stateless_tag(&self, message: &Message, via: &Via<'_>) -> u128 {
        self.fields(5)
            .put(via.branch().unwrap_or_default())
            .put(from_tag(message))
            .put(message.call_id().unwrap_or_default())
            .put(message.header(HeaderName::CSeq).unwrap_or_default())
            .done()
    }
}

/// Whether a branch is unique by RFC 3261. The bare cookie identifies nothing (RFC 4475 §3.2.1).
pub(crate) fn is_rfc3261_branch(branch: &[u8]) -> bool {
    branch.len() > COOKIE.len()
        && branch
            .get(..COOKIE.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(COOKIE))
}

fn from_tag(message: &Message) -> &[u8] {
    message
        .from()
        .ok()
        .and_then(|from| from.tag())
        .unwrap_or_default()
}
