//! Credentials of a leg: answers to 401 and 407, on the INVITE and in the dialog (RFC 3261 §22).
//!
//! A thin layer over [`DigestClient`], which knows the arithmetic. Entry type: [`Login`].

use bytes::Bytes;

use crate::auth::{Credentials, DigestClient};
use crate::message::{Framing, Message, MessageLimits, Method};
use crate::rng::Token;

/// The digest state of one leg.
#[derive(Debug)]
pub(crate) struct Login(DigestClient);

impl Login {
    /// None without credentials: then a 401 is simply a refusal.
    pub(crate) fn new(credentials: Vec<Credentials>) -> Option<Self> {
        (!credentials.is_empty()).then(|| Self(DigestClient::new(credentials)))
    }

    /// Takes the challenges to `request`. True when sending it again makes sense.
    pub(crate) fn challenged(&mut self, request: &Bytes, response: &Message) -> bool {
        Message::parse(request.clone(), Framing::Datagram, &MessageLimits::default())
            .is_ok_and(|request| self.0.challenged(&request, response).is_ok())
    }

    /// Writes the Authorization and Proxy-Authorization lines that the next request needs.
    pub(crate) fn write_lines(
        &mut self,
        method: &Method,
        uri: &[u8],
        body: &[u8],
        cnonce: &Token,
        out: &mut Vec<u8>,
    ) {
        if self.0.is_empty() {
            return;
        }
        let cnonce = std::str::from_utf8(cnonce).unwrap_or_default();
        for answer in self.0.answers(method, uri, body, cnonce) {
            out.extend_from_slice(answer.name.as_str().as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(&answer.value);
            out.extend_from_slice(b"\r\n");
        }
    }
}
