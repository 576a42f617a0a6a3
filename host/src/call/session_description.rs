//! The two things that this layer reads in an SDP (RFC 8866): which way media flows, and how to turn it round.
//!
//! Everything else of a body passes through as bytes. Lines are taken apart only where `hold` and `resume` must write
//! them anew.

use super::text::Body;

/// Which way media flows, from the side that wrote the SDP (RFC 3264 §5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    SendRecv,
    SendOnly,
    RecvOnly,
    Inactive,
}

impl Direction {
    fn of(line: &str) -> Option<Self> {
        Some(match line {
            "a=sendrecv" => Self::SendRecv,
            "a=sendonly" => Self::SendOnly,
            "a=recvonly" => Self::RecvOnly,
            "a=inactive" => Self::Inactive,
            _ => return None,
        })
    }

    fn line(self) -> &'static str {
        match self {
            Self::SendRecv => "a=sendrecv",
            Self::SendOnly => "a=sendonly",
            Self::RecvOnly => "a=recvonly",
            Self::Inactive => "a=inactive",
        }
    }

    /// RFC 3264 §8.4: what was received is no longer; and back.
    fn turned(self, hold: bool) -> Self {
        match (self, hold) {
            (Self::SendRecv, true) => Self::SendOnly,
            (Self::RecvOnly, true) => Self::Inactive,
            (Self::SendOnly, false) => Self::SendRecv,
            (Self::Inactive, false) => Self::RecvOnly,
            (same, _) => same,
        }
    }
}

fn text(body: &Body) -> Option<&str> {
    let mime = body.content_type().split(';').next().unwrap_or_default().trim();
    let sdp = mime.eq_ignore_ascii_case("application/sdp");
    std::str::from_utf8(body.data())
        .ok()
        .filter(|text| sdp && text.starts_with("v="))
}

/// The direction of the first stream; what the session says where the stream says nothing. None for what is no SDP.
pub(super) fn direction(body: &Body) -> Option<Direction> {
    let text = text(body)?;
    let (mut session, mut stream, mut in_stream) = (Direction::SendRecv, None, false);
    for line in text.lines() {
        if line.starts_with("m=") {
            if in_stream {
                break;
            }
            in_stream = true;
        } else if line.starts_with("c=") && line.ends_with(" 0.0.0.0") {
            // Hold as it was before RFC 3264.
            stream = Some(Direction::Inactive);
        } else if let Some(direction) = Direction::of(line) {
            if in_stream {
                stream = Some(direction);
            } else {
                session = direction;
            }
        }
    }
    Some(stream.unwrap_or(session))
}

/// The same session with its streams on hold, or off it, and the next version in `o=` (RFC 3264 §8). None for what is no
/// SDP.
pub(super) fn turned(body: &Body, hold: bool) -> Option<Body> {
    let text = text(body)?;
    let session = text
        .lines()
        .take_while(|line| !line.starts_with("m="))
        .find_map(Direction::of)
        .unwrap_or(Direction::SendRecv);
    let mut out = String::with_capacity(text.len() + 64);
    let mut add = |line: &str| {
        out.push_str(line);
        out.push_str("\r\n");
    };
    let mut lines = text.lines().filter(|line| !line.is_empty()).peekable();
    while let Some(line) = lines.next_if(|line| !line.starts_with("m=")) {
        if let Some(rest) = line.strip_prefix("o=") {
            add(&format!("o={}", next_version(rest)));
        } else if Direction::of(line).is_none() {
            add(line);
        }
    }
    while let Some(media) = lines.next() {
        add(media);
        let mut direction = session;
        while let Some(line) = lines.next_if(|line| !line.starts_with("m=")) {
            match Direction::of(line) {
                Some(own) => direction = own,
                None => add(line),
            }
        }
        add(direction.turned(hold).line());
    }
    Some(body.with_data(out.into_bytes().into()))
}

/// `user id version …` with the version counted on; left alone where it is no number.
fn next_version(origin: &str) -> String {
    let fields: Vec<&str> = origin.split(' ').collect();
    let Some(version) = fields.get(2).and_then(|version| version.parse::<u64>().ok()) else {
        return origin.to_owned();
    };
    let next = version.wrapping_add(1).to_string();
    let counted = fields
        .iter()
        .enumerate()
        .map(|(at, field)| if at == 2 { next.as_str() } else { field });
    counted.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn body(text: &str) -> Body {
        Body::received(b"application/sdp", text.to_owned().into())
    }

    fn lines(body: &Body) -> Vec<String> {
        std::str::from_utf8(body.data())
            .unwrap()
            .split_terminator("\r\n")
            .map(str::to_owned)
            .collect()
    }

    const TWO_STREAMS: &str = "v=0\r\no=a 1 7 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
                               m=audio 4000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n\
                               m=video 4002 RTP/AVP 96\r\na=recvonly\r\na=rtpmap:96 VP8/90000\r\n";

    #[test]
    fn hold_and_resume_turn_every_stream_and_count_the_version() {
        let held = turned(&body(TWO_STREAMS), true).unwrap();
        assert_eq!(
            lines(&held),
            [
                "v=0",
                "o=a 1 8 IN IP4 192.0.2.1",
                "s=-",
                "c=IN IP4 192.0.2.1",
                "t=0 0",
                "m=audio 4000 RTP/AVP 0",
                "a=rtpmap:0 PCMU/8000",
                "a=sendonly",
                "m=video 4002 RTP/AVP 96",
                "a=rtpmap:96 VP8/90000",
                "a=inactive",
            ]
        );
        let back = turned(&held, false).unwrap();
        assert!(lines(&back).contains(&"o=a 1 9 IN IP4 192.0.2.1".to_owned()));
        assert!(lines(&back).contains(&"a=sendrecv".to_owned()));
        assert!(lines(&back).contains(&"a=recvonly".to_owned()));
    }

    #[test]
    fn the_direction_of_the_session_holds_for_streams_without_one() {
        let session = "v=0\r\no=a 1 1 IN IP4 h\r\ns=-\r\na=sendonly\r\nt=0 0\r\nm=audio 1 RTP/AVP 0\r\n";
        assert_eq!(direction(&body(session)), Some(Direction::SendOnly));
        assert_eq!(
            direction(&turned(&body(session), false).unwrap()),
            Some(Direction::SendRecv)
        );
        assert_eq!(direction(&body(TWO_STREAMS)), Some(Direction::SendRecv));
        let old = "v=0\r\no=a 1 1 IN IP4 h\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\nm=audio 1 RTP/AVP 0\r\n";
        assert_eq!(direction(&body(old)), Some(Direction::Inactive));
    }

    #[test]
    fn what_is_no_sdp_is_left_alone() {
        let other = Body::received(b"text/plain", "v=0".into());
        assert_eq!((direction(&other), turned(&other, true)), (None, None));
        assert_eq!(turned(&body("hello"), true), None);
    }
}
