//! Session descriptions for flows that signal but carry no media.
//!
//! callbox has no media plane of its own yet, and these descriptions say so: G.711 is agreed on, and the direction is
//! `inactive` (RFC 3264 §6.1), so that no peer sends sound to nowhere. `telephone-event` is never accepted, because nobody here
//! could hear it: phones then send DTMF as INFO, which flows do receive.

use crate::{Body, Call, IncomingOffer};

/// Answers the offer of an incoming call, or makes an offer if the call came without one. `None` when the offer has
/// nothing for us: reject with 488.
#[must_use]
pub fn answer_to(call: &Call) -> Option<Body> {
    match call.remote_offer() {
        Some(offer) => answer(&offer),
        None => Some(offer()),
    }
}

/// The same for a new offer within a call, or for the peer's wish for one.
#[must_use]
pub fn answer_to_offer(asked: &IncomingOffer) -> Option<Body> {
    match asked.body() {
        Some(offer) => answer(&offer),
        None => Some(offer()),
    }
}

/// An offer of G.711, without sound.
#[must_use]
pub fn offer() -> Body {
    let mut text = head("t=0 0");
    text.push_str("m=audio 9 RTP/AVP 0 8\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=inactive\r\n");
    Body::sdp(text)
}

/// The answer to an offer (RFC 3264 §6): its first G.711 stream is taken, every other stream is refused with port 0.
/// `None` if the body is not SDP or has no such stream.
#[must_use]
pub fn answer(offer: &Body) -> Option<Body> {
    if !offer.is("application/sdp") {
        return None;
    }
    let offer = offer.text();
    let lines = || offer.split(['\r', '\n']).filter(|line| !line.is_empty());
    // The times of an answer are those of the offer.
    let mut text = head(lines().find(|line| line.starts_with("t=")).unwrap_or("t=0 0"));
    let mut taken = false;
    for line in lines() {
        let Some(stream) = line.strip_prefix("m=").and_then(Stream::parse) else {
            continue;
        };
        match stream.g711() {
            Some(codec) if !taken => {
                taken = true;
                for part in [
                    "m=audio 9 RTP/AVP ",
                    codec.number,
                    "\r\na=rtpmap:",
                    codec.number,
                    " ",
                    codec.name,
                ] {
                    text.push_str(part);
                }
                text.push_str("/8000\r\na=inactive\r\n");
            }
            _ => {
                for part in [
                    "m=",
                    stream.media,
                    " 0 ",
                    stream.protocol,
                    " ",
                    stream.formats,
                    "\r\n",
                ] {
                    text.push_str(part);
                }
            }
        }
    }
    taken.then(|| Body::sdp(text))
}

fn head(times: &str) -> String {
    let mut text = String::from("v=0\r\no=callbox 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\n");
    text.push_str(times);
    text.push_str("\r\n");
    text
}

/// A codec with a number of its own (RFC 3551).
struct Codec {
    number: &'static str,
    name: &'static str,
}

const G711: [Codec; 2] = [
    Codec {
        number: "0",
        name: "PCMU",
    },
    Codec {
        number: "8",
        name: "PCMA",
    },
];

/// A media line: `audio 6000 RTP/AVP 0 8 101`.
struct Stream<'a> {
    media: &'a str,
    port: &'a str,
    protocol: &'a str,
    formats: &'a str,
}

impl<'a> Stream<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut parts = line.trim().splitn(4, ' ');
        Some(Self {
            media: parts.next()?,
            port: parts.next()?,
            protocol: parts.next()?,
            formats: parts.next()?,
        })
    }

    /// What we would take of it, in the offer's order of preference.
    fn g711(&self) -> Option<&'static Codec> {
        if self.media != "audio" || self.protocol != "RTP/AVP" || self.port == "0" {
            return None;
        }
        self.formats
            .split(' ')
            .find_map(|format| G711.iter().find(|codec| codec.number == format))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(offer: &str) -> Option<String> {
        answer(&Body::sdp(offer)).map(|body| body.text())
    }

    #[test]
    fn the_first_g711_stream_is_taken_and_the_rest_refused_in_order() {
        let text = answered(
            "v=0\no=a 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=10 20\n\
             m=video 7000 RTP/AVP 96\na=rtpmap:96 VP8/90000\n\
             m=audio 6000 RTP/AVP 101 8 0\na=rtpmap:101 telephone-event/8000\n\
             m=audio 6002 RTP/AVP 0\n",
        )
        .expect("has G.711");
        let media: Vec<_> = text.lines().filter(|l| l.starts_with("m=")).collect();
        assert_eq!(
            media,
            [
                "m=video 0 RTP/AVP 96",
                "m=audio 9 RTP/AVP 8",
                "m=audio 0 RTP/AVP 0"
            ]
        );
        assert!(text.contains("\r\nt=10 20\r\n"));
        assert!(text.contains("a=rtpmap:8 PCMA/8000\r\na=inactive\r\n"));
        assert!(!text.contains("telephone-event"));
        assert!(text.starts_with("v=0\r\n") && text.ends_with("\r\n"));
    }

    #[test]
    fn nothing_in_common_is_no_answer() {
        assert_eq!(answered("v=0\r\nm=audio 6000 RTP/AVP 18\r\n"), None);
        assert_eq!(answered("v=0\r\nm=audio 6000 RTP/SAVP 0\r\n"), None);
        assert_eq!(answered("v=0\r\nm=audio 0 RTP/AVP 0\r\n"), None);
        assert_eq!(answered("v=0\r\nm=audio\r\n"), None);
        assert_eq!(answered(""), None);
        assert_eq!(answer(&Body::new("text/plain", "m=audio 1 RTP/AVP 0")), None);
    }

    #[test]
    fn our_own_offer_can_be_answered() {
        assert!(answer(&offer()).is_some());
    }
}
