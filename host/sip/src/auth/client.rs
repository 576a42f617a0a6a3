//! The client that answers: which challenge, with which credentials, how often.

use std::fmt;

use crate::message::{HeaderName, Message, Method};

use super::{Challenge, Hash, Qop, challenge::pairs};

/// Realms for which a client keeps a nonce. A call passes few proxies; the oldest one makes room.
const MAX_SPACES: usize = 8;

/// So often in a row a fresh nonce may be called stale before the server is believed to be broken.
const MAX_STALE: u8 = 3;

/// A name and password, for one realm or for all.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user name.
    pub username: String,
    /// The password.
    pub password: String,
    /// The realm they are for; `None` fits any realm that no other credentials name.
    pub realm: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the password: this ends in logs.
        f.debug_struct("Credentials")
            .field("username", &self.username)
            .field("realm", &self.realm)
            .finish_non_exhaustive()
    }
}

/// Why a 401 or 407 is final.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// The response has no digest challenge with an algorithm and `qop` known here.
    #[error("the peer offers no digest challenge that can be answered")]
    NoChallenge,
    /// There are no credentials for the realm.
    #[error("no credentials for realm {0:?}: add them to the call or registration")]
    NoCredentials(String),
    /// The peer refused the answer to a fresh nonce.
    #[error("realm {0:?} refuses the user name or password")]
    Refused(String),
    /// The peer calls every nonce stale.
    #[error("realm {0:?} calls every new nonce stale")]
    AlwaysStale(String),
}

/// A header to add to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Authorization or Proxy-Authorization.
    pub name: HeaderName,
    /// Its value.
    pub value: Vec<u8>,
}

/// The state of one realm.
#[derive(Debug)]
struct Space {
    challenge: Challenge,
    credentials: usize,
    /// How often the nonce was used: the last `nc`.
    used: u32,
    /// The client nonce that goes with this nonce. It stays, because `-sess` hashes the first one for good.
    cnonce: Option<String>,
    /// Fresh nonces called stale in a row.
    stale: u8,
}

/// Answers the challenges of the servers and proxies on one path. Keep one a dialog or registration: later requests then
/// carry their answers at once, with `nc` counted up.
#[derive(Debug, Default)]
pub struct DigestClient {
    credentials: Vec<Credentials>,
    spaces: Vec<Space>,
}

impl DigestClient {
    /// A client that has seen no challenge yet.
    #[must_use]
    pub const fn new(credentials: Vec<Credentials>) -> Self {
        Self {
            credentials,
            spaces: Vec::new(),
        }
    }

    /// Takes the challenges of a 401 or 407 to `request`, the request as it was sent. After `Ok`, send it again with
    /// [`answers`](Self::answers), a new branch and the next CSeq.
    ///
    /// # Errors
    /// [`AuthError`]: asking again would not help.
    pub fn challenged(&mut self, request: &Message, response: &Message) -> Result<(), AuthError> {
        let challenges = Challenge::parse_all(response);
        let mut taken: Vec<(bool, &[u8])> = Vec::new();
        let mut lacking = None;
        for challenge in &challenges {
            // Strongest first: weaker ones for the same realm are alternatives.
            if taken.contains(&(challenge.proxy, &challenge.realm)) {
                continue;
            }
            let Some(credentials) = self.credentials_for(&challenge.realm) else {
                lacking.get_or_insert_with(|| text(&challenge.realm));
                continue;
            };
            let stale = self.judge(request, challenge)?;
            self.remember(challenge.clone(), credentials, stale);
            taken.push((challenge.proxy, &challenge.realm));
        }
        match (taken.is_empty(), lacking) {
            (false, _) => Ok(()),
            (true, Some(realm)) => Err(AuthError::NoCredentials(realm)),
            (true, None) => Err(AuthError::NoChallenge),
        }
    }

    /// Whether there is any challenge to answer.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.spaces.is_empty()
    }

    /// The headers for a request with this method, Request-URI (as it stands in the start line) and body. `cnonce` is
    /// fresh randomness, used where a nonce has no client nonce yet; only its token characters count.
    pub fn answers(&mut self, method: &Method, uri: &[u8], body: &[u8], cnonce: &str) -> Vec<Answer> {
        // A nonce whose counter is used up is forgotten; the server will send a new one.
        self.spaces.retain(|s| s.used < u32::MAX);
        let credentials = &self.credentials;
        let answer = |space: &mut Space| {
            let value = space.answer(credentials.get(space.credentials)?, method, uri, body, cnonce);
            let name = if space.challenge.proxy {
                HeaderName::ProxyAuthorization
            } else {
                HeaderName::Authorization
            };
            Some(Answer { name, value })
        };
        self.spaces.iter_mut().filter_map(answer).collect()
    }

    /// Those that name the realm, else those that name none.
    fn credentials_for(&self, realm: &[u8]) -> Option<usize> {
        let named = |c: &Credentials| c.realm.as_ref().is_some_and(|r| r.as_bytes() == realm);
        let find = |fits: &dyn Fn(&Credentials) -> bool| self.credentials.iter().position(fits);
        find(&named).or_else(|| find(&|c| c.realm.is_none()))
    }

    /// Whether answering makes sense; the number of stale fresh nonces in a row.
    fn judge(&self, request: &Message, challenge: &Challenge) -> Result<u8, AuthError> {
        let Some(nonce) = answered_nonce(request, challenge) else {
            return Ok(0);
        };
        let space = self.spaces.iter().find(|s| s.is_for(challenge));
        // A nonce that was used once came with the challenge before: what failed is the answer itself. One that was
        // used more often has run out, whether or not the server says so.
        let fresh = space.is_some_and(|s| s.challenge.nonce == nonce && s.used <= 1);
        if !challenge.stale && (fresh || challenge.nonce == nonce) {
            return Err(AuthError::Refused(text(&challenge.realm)));
        }
        match space {
            Some(s) if fresh && s.stale >= MAX_STALE => Err(AuthError::AlwaysStale(text(&challenge.realm))),
            Some(s) if fresh => Ok(s.stale + 1),
            _ => Ok(0),
        }
    }

    fn remember(&mut self, challenge: Challenge, credentials: usize, stale: u8) {
        match self.spaces.iter_mut().find(|s| s.is_for(&challenge)) {
            // Two requests may have met the same challenge: the counter of its nonce goes on.
            Some(space)
                if space.challenge.nonce == challenge.nonce && space.challenge.hash == challenge.hash =>
            {
                space.stale = stale;
            }
            Some(space) => {
                *space = Space {
                    challenge,
                    credentials,
                    used: 0,
                    cnonce: None,
                    stale,
                }
            }
            None => {
                if self.spaces.len() >= MAX_SPACES {
                    self.spaces.remove(0);
                }
                self.spaces.push(Space {
                    challenge,
                    credentials,
                    used: 0,
                    cnonce: None,
                    stale,
                });
            }
        }
    }
}

impl Space {
    fn is_for(&self, challenge: &Challenge) -> bool {
        self.challenge.proxy == challenge.proxy && self.challenge.realm == challenge.realm
    }

    fn answer(
        &mut self,
        user: &Credentials,
        method: &Method,
        uri: &[u8],
        body: &[u8],
        cnonce: &str,
    ) -> Vec<u8> {
        self.used += 1;
        let cnonce = &*self.cnonce.get_or_insert_with(|| {
            cnonce
                .chars()
                .filter(|c| !matches!(c, '"' | '\\') && !c.is_control())
                .collect()
        });
        let c = &self.challenge;
        let username = quotable(&user.username);
        let nc = format!("{:08x}", self.used);
        let response = Digest {
            hash: c.hash,
            session: c.session,
            qop: c.qop,
            username: username.as_bytes(),
            realm: &c.realm,
            password: user.password.as_bytes(),
            nonce: &c.nonce,
            cnonce: cnonce.as_bytes(),
            nc: nc.as_bytes(),
            method: method.as_str().as_bytes(),
            uri,
            body,
        }
        .response();
        let mut out = Vec::with_capacity(320);
        let mut put = |parts: &[&[u8]]| parts.iter().for_each(|p| out.extend_from_slice(p));
        put(&[
            b"Digest username=\"",
            username.as_bytes(),
            b"\", realm=\"",
            &c.realm,
            b"\", nonce=\"",
            &c.nonce,
        ]);
        put(&[b"\", uri=\"", uri, b"\", response=\"", response.as_bytes(), b"\""]);
        if c.names_algorithm {
            put(&[b", algorithm=", algorithm(c.hash, c.session).as_bytes()]);
        }
        if let Some(opaque) = &c.opaque {
            put(&[b", opaque=\"", opaque, b"\""]);
        }
        match c.qop {
            Qop::Absent => {
                if c.session {
                    put(&[b", cnonce=\"", cnonce.as_bytes(), b"\""]);
                }
            }
            Qop::Auth => put(&[
                b", qop=auth, nc=",
                nc.as_bytes(),
                b", cnonce=\"",
                cnonce.as_bytes(),
                b"\"",
            ]),
            Qop::AuthInt => put(&[
                b", qop=auth-int, nc=",
                nc.as_bytes(),
                b", cnonce=\"",
                cnonce.as_bytes(),
                b"\"",
            ]),
        }
        out
    }
}

/// All that goes into a digest (RFC 7616 §3.4).
struct Digest<'a> {
    hash: Hash,
    session: bool,
    qop: Qop,
    username: &'a [u8],
    realm: &'a [u8],
    password: &'a [u8],
    nonce: &'a [u8],
    cnonce: &'a [u8],
    nc: &'a [u8],
    method: &'a [u8],
    uri: &'a [u8],
    body: &'a [u8],
}

impl Digest<'_> {
    fn response(&self) -> String {
        let hash = self.hash;
        let mut a1 = hash.hex(&[self.username, self.realm, self.password]);
        if self.session {
            a1 = hash.hex(&[a1.as_bytes(), self.nonce, self.cnonce]);
        }
        let a2 = match self.qop {
            Qop::AuthInt => hash.hex(&[self.method, self.uri, hash.hex(&[self.body]).as_bytes()]),
            Qop::Auth | Qop::Absent => hash.hex(&[self.method, self.uri]),
        };
        let qop: &[u8] = match self.qop {
            Qop::Absent => return hash.hex(&[a1.as_bytes(), self.nonce, a2.as_bytes()]),
            Qop::Auth => b"auth",
            Qop::AuthInt => b"auth-int",
        };
        hash.hex(&[
            a1.as_bytes(),
            self.nonce,
            self.nc,
            self.cnonce,
            qop,
            a2.as_bytes(),
        ])
    }
}

const fn algorithm(hash: Hash, session: bool) -> &'static str {
    match (hash, session) {
        (Hash::Md5, false) => "MD5",
        (Hash::Md5, true) => "MD5-sess",
        (Hash::Sha256, false) => "SHA-256",
        (Hash::Sha256, true) => "SHA-256-sess",
        (Hash::Sha512_256, false) => "SHA-512-256",
        (Hash::Sha512_256, true) => "SHA-512-256-sess",
    }
}

/// The nonce that `request` answered for the realm of `challenge`.
fn answered_nonce<'a>(request: &'a Message, challenge: &Challenge) -> Option<&'a [u8]> {
    let name = if challenge.proxy {
        HeaderName::ProxyAuthorization
    } else {
        HeaderName::Authorization
    };
    request.headers(name).find_map(|value| {
        let get = |wanted: &str| {
            pairs(value)
                .find(|(_, name, _)| name.eq_ignore_ascii_case(wanted.as_bytes()))
                .map(|(_, _, text)| text)
        };
        if get("realm")? == challenge.realm {
            get("nonce")
        } else {
            None
        }
    })
}

/// What stands between the quotes for a user name; it is hashed in this form (RFC 7616 §1, `unq`).
fn quotable(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars().filter(|c| !c.is_control()) {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn text(realm: &[u8]) -> String {
    String::from_utf8_lossy(realm).into_owned()
}
