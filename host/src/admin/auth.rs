//! The token of the TCP address (RFC 6750): `Authorization: Bearer TOKEN`.
//!
//! Tokens are compared by their digests, all bytes of them whatever differs, so that how long it takes tells nothing of how
//! much of a guess was right.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use super::problem::Problem;
use crate::config::Secret;

/// The digest of the token.
#[derive(Clone)]
pub(super) struct Token(Arc<[u8; 32]>);

impl Token {
    pub(super) fn new(secret: &Secret) -> Self {
        Self(Arc::new(Sha256::digest(secret.expose()).into()))
    }

    fn is(&self, shown: &[u8]) -> bool {
        let shown: [u8; 32] = Sha256::digest(shown).into();
        let differs = self
            .0
            .iter()
            .zip(&shown)
            .fold(0, |all, (own, other)| all | (own ^ other));
        differs == 0
    }
}

/// Lets through who shows the token.
pub(super) async fn check(State(token): State<Token>, request: Request, next: Next) -> Response {
    let shown = request
        .headers()
        .get(header::AUTHORIZATION)
        .map(HeaderValue::as_bytes);
    if shown.and_then(bearer).is_some_and(|shown| token.is(shown)) {
        return next.run(request).await;
    }
    let detail = "send the header Authorization: Bearer TOKEN, with the token of the host's [admin]";
    let problem = Problem::new(StatusCode::UNAUTHORIZED, "token", "A token is needed", detail);
    let mut response = problem.into_response();
    let challenge = HeaderValue::from_static("Bearer realm=\"callbox\"");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    response
}

/// What follows the scheme, whose name has no case (RFC 9110 §11.1).
fn bearer(header: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = header.split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_token_is_that_token_and_no_other() {
        assert_eq!(bearer(b"Bearer abc"), Some(&b"abc"[..]));
        assert_eq!(bearer(b"bearer  abc "), Some(&b"abc"[..]));
        for wrong in [&b""[..], b"abc", b"Basic abc", b"Bearer"] {
            assert_eq!(bearer(wrong), None);
        }
        let token = Token(Arc::new(Sha256::digest("secret").into()));
        assert!(token.is(b"secret"));
        assert!(!token.is(b"secre") && !token.is(b"secrets") && !token.is(b""));
    }
}
