//! The session description of a leg: kept for whoever asks again, never read.
//!
//! Does not know what a session description says. Entry: [`Endpoint::keep_sdp`].

use bytes::Bytes;

use crate::endpoint::{Body, Endpoint, LegId};
use crate::message::{HeaderName, Message};

impl Endpoint {
    /// Remembers the session description that we sent, for refreshes that the peer asks for.
    pub(crate) fn keep_sdp(&mut self, leg: LegId, body: Option<Body>) {
        let Some(body) = body.filter(|body| is_sdp(&body.content_type)) else {
            return;
        };
        if let Some(leg) = self.leg_mut(leg) {
            // Copied: the host's octets may be a small part of something large.
            leg.local_sdp = Some(Body {
                data: Bytes::copy_from_slice(&body.data),
                content_type: body.content_type,
            });
        }
    }
}

/// The body of a message as the host gets it; copied, so that the message can go.
pub(crate) fn body_of(message: &Message) -> Option<Body> {
    let data = message.body();
    if data.is_empty() {
        return None;
    }
    let content_type = String::from_utf8_lossy(message.header(HeaderName::ContentType).unwrap_or_default());
    Some(Body {
        content_type: content_type.into(),
        data: Bytes::copy_from_slice(data),
    })
}

pub(crate) fn is_sdp(content_type: &str) -> bool {
    crate::message::Value::parse(content_type.as_bytes()).is("application/sdp")
}
