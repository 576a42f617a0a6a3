//! Reading challenges: WWW-Authenticate and Proxy-Authenticate (RFC 7616 §3.3).

use crate::message::{HeaderName, Message};

use super::Hash;

/// So many challenges of one response are read. More than every algorithm for a few realms is no honest server.
const MAX_CHALLENGES: usize = 16;

/// Which kinds of protection a challenge offers (`qop`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Qop {
    /// None named: the old form of RFC 2069.
    Absent,
    /// `auth`, also where `auth-int` is offered with it: middle boxes rewrite bodies.
    Auth,
    /// Only `auth-int`.
    AuthInt,
}

/// A digest challenge that this client can answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// Proxy-Authenticate (407) rather than WWW-Authenticate (401).
    pub proxy: bool,
    /// The realm as written between the quotes.
    pub realm: Vec<u8>,
    /// The nonce as written between the quotes.
    pub nonce: Vec<u8>,
    /// To be given back unchanged.
    pub opaque: Option<Vec<u8>>,
    /// The hash function.
    pub hash: Hash,
    /// The `-sess` variant of the algorithm.
    pub session: bool,
    /// Whether the challenge names its algorithm; MD5 is the default.
    pub names_algorithm: bool,
    /// What to protect.
    pub qop: Qop,
    /// The nonce of the request was too old, the credentials were not at fault.
    pub stale: bool,
}

impl Challenge {
    /// Every digest challenge of a response that this client can answer, strongest first, in the server's order where
    /// equal. Other schemes, unknown algorithms and unknown `qop` are left out.
    #[must_use]
    pub fn parse_all(response: &Message) -> Vec<Self> {
        let www = response.headers(HeaderName::WwwAuthenticate).map(|v| (false, v));
        let proxy = response.headers(HeaderName::ProxyAuthenticate).map(|v| (true, v));
        let mut all: Vec<Self> = www
            .chain(proxy)
            .flat_map(|(proxy, v)| Self::parse(v, proxy))
            .take(MAX_CHALLENGES)
            .collect();
        all.sort_by_key(|c| std::cmp::Reverse((c.hash, c.session)));
        all
    }

    /// The challenges in one header value. SIP wants one a field; several in a line are read too.
    fn parse(value: &[u8], proxy: bool) -> Vec<Self> {
        let mut all = Vec::new();
        let mut current: Option<Parts<'_>> = None;
        for (scheme, name, text) in pairs(value) {
            if let Some(scheme) = scheme {
                all.extend(current.take().and_then(|p| p.challenge(proxy)));
                current = scheme.eq_ignore_ascii_case(b"Digest").then(Parts::default);
            }
            if let Some(parts) = &mut current {
                parts.set(name, text);
            }
            if all.len() >= MAX_CHALLENGES {
                return all;
            }
        }
        all.extend(current.and_then(|p| p.challenge(proxy)));
        all
    }
}

/// The parameters of `Digest a=b, c="d"`: a scheme where one stands before the name, name, and value without quotes
/// (backslashes stay: RFC 7616 §1 hashes what stands between the quotes).
pub(super) fn pairs(value: &[u8]) -> impl Iterator<Item = (Option<&[u8]>, &[u8], &[u8])> {
    crate::message::list_elements(value)
        .filter(|e| !e.is_empty())
        .map(|element| {
            let eq = memchr::memchr(b'=', element).unwrap_or(element.len());
            let (left, right) = element.split_at_checked(eq).unwrap_or((element, &[]));
            let left = left.trim_ascii();
            let (scheme, name) = match left.iter().position(u8::is_ascii_whitespace) {
                Some(i) => {
                    let (scheme, name) = left.split_at_checked(i).unwrap_or((left, &[]));
                    (Some(scheme), name.trim_ascii())
                }
                None => (None, left),
            };
            let text = right.strip_prefix(b"=").unwrap_or_default().trim_ascii();
            let text = text
                .strip_prefix(b"\"")
                .and_then(|t| t.strip_suffix(b"\""))
                .unwrap_or(text);
            (scheme, name, text)
        })
}

/// The parameters of one challenge; the first of a name counts.
#[derive(Default)]
struct Parts<'a> {
    realm: Option<&'a [u8]>,
    nonce: Option<&'a [u8]>,
    opaque: Option<&'a [u8]>,
    algorithm: Option<&'a [u8]>,
    qop: Option<&'a [u8]>,
    stale: bool,
}

impl<'a> Parts<'a> {
    fn set(&mut self, name: &[u8], text: &'a [u8]) {
        let slot = match name.to_ascii_lowercase().as_slice() {
            b"realm" => &mut self.realm,
            b"nonce" => &mut self.nonce,
            b"opaque" => &mut self.opaque,
            b"algorithm" => &mut self.algorithm,
            b"qop" => &mut self.qop,
            b"stale" => {
                self.stale = text.eq_ignore_ascii_case(b"true");
                return;
            }
            _ => return,
        };
        slot.get_or_insert(text);
    }

    fn challenge(self, proxy: bool) -> Option<Challenge> {
        let (hash, session) = match self.algorithm.unwrap_or(b"MD5").to_ascii_lowercase().as_slice() {
            b"md5" => (Hash::Md5, false),
            b"md5-sess" => (Hash::Md5, true),
            b"sha-256" => (Hash::Sha256, false),
            b"sha-256-sess" => (Hash::Sha256, true),
            b"sha-512-256" => (Hash::Sha512_256, false),
            b"sha-512-256-sess" => (Hash::Sha512_256, true),
            _ => return None,
        };
        let offers = |qop: &[u8], kind: &[u8]| {
            qop.split(|c| *c == b',')
                .any(|q| q.trim_ascii().eq_ignore_ascii_case(kind))
        };
        let qop = match self.qop {
            None => Qop::Absent,
            Some(q) if q.trim_ascii().is_empty() => Qop::Absent,
            Some(q) if offers(q, b"auth") => Qop::Auth,
            Some(q) if offers(q, b"auth-int") => Qop::AuthInt,
            Some(_) => return None,
        };
        Some(Challenge {
            proxy,
            realm: self.realm?.to_vec(),
            nonce: self.nonce?.to_vec(),
            opaque: self.opaque.map(<[u8]>::to_vec),
            hash,
            session,
            names_algorithm: self.algorithm.is_some(),
            qop,
            stale: self.stale,
        })
    }
}
