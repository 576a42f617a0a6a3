//! The addresses that a session description names for media, and whether a tenant may name them.
//!
//! Reads `c=` of session and streams (RFC 8866 §5.7), the address of `a=rtcp` (RFC 3605) and those of ICE candidates (RFC
//! 8839). What it reads is read by no parser of SDP but line by line, so that nothing hides from it in what is malformed
//! elsewhere; a body of several parts is read as if each line were SDP. Entry point: [`may_send`].

use std::net::IpAddr;

use super::policy::DialPolicy;

/// Whether a body of this type may be sent under this policy.
pub(super) fn may_send(policy: &dyn DialPolicy, content_type: &str, data: &[u8]) -> bool {
    if !policy.judges_media() {
        return true;
    }
    let mime = content_type.split(';').next().unwrap_or_default().trim();
    let describes = mime.eq_ignore_ascii_case("application/sdp")
        || mime
            .get(..10)
            .is_some_and(|kind| kind.eq_ignore_ascii_case("multipart/"));
    !describes || named(data).all(|address| policy.may_name(address))
}

/// Every address named; none for what is a name or no address. An address that stands for nobody (hold as it was before RFC
/// 3264) is left out.
fn named(data: &[u8]) -> impl Iterator<Item = Option<IpAddr>> + '_ {
    data.split(|byte| matches!(byte, b'\r' | b'\n'))
        .filter_map(|line| match line {
            [b'c' | b'C', b'=', rest @ ..] => Some(connection(rest)),
            [b'a' | b'A', b'=', rest @ ..] => attribute(rest),
            _ => None,
        })
        .map(address)
        .filter(|address| !address.is_some_and(|address| address.is_unspecified()))
}

/// `IN IP4 192.0.2.1`: the last word. A line without any is nothing that may pass.
fn connection(line: &[u8]) -> &[u8] {
    words(line).last().unwrap_or_default()
}

fn attribute(line: &[u8]) -> Option<&[u8]> {
    let at = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = (line.get(..at)?, line.get(at + 1..)?);
    if name.eq_ignore_ascii_case(b"rtcp") {
        // `53020 IN IP4 126.16.64.4`; the port alone names no address.
        return words(value).nth(3);
    }
    // `1 1 UDP 2130706431 192.0.2.1 8998 typ host`
    name.eq_ignore_ascii_case(b"candidate")
        .then(|| words(value).nth(4).unwrap_or_default())
}

fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
}

/// `224.2.1.1/127/3` is a group with its reach.
fn address(word: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(word).ok()?;
    text.split('/').next().unwrap_or_default().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::error::CallError;
    use super::super::policy::{DialGrant, DialRequest};
    use super::*;

    struct Only(&'static str);

    impl DialPolicy for Only {
        fn grant(&self, _: &DialRequest<'_>) -> Result<DialGrant, CallError> {
            Ok(DialGrant::direct("us".to_owned(), None))
        }

        fn judges_media(&self) -> bool {
            true
        }

        fn may_name(&self, media: Option<IpAddr>) -> bool {
            media.is_some_and(|address| address.to_string() == self.0)
        }
    }

    fn sdp(lines: &str) -> bool {
        let text = format!("v=0\r\no=- 1 1 IN IP4 10.9.9.9\r\ns=-\r\n{lines}\r\nt=0 0\r\n");
        may_send(&Only("192.0.2.1"), "application/sdp", text.as_bytes())
    }

    #[test]
    fn every_place_that_media_is_sent_to_is_judged() {
        for fine in [
            "c=IN IP4 192.0.2.1",
            "c=IN IP4 192.0.2.1/127",
            "c=IN IP4 0.0.0.0",
            "c=IN IP6 ::",
            "a=rtcp:53020",
            "a=rtcp:53020 IN IP4 192.0.2.1",
            "c=IN IP4 192.0.2.1\r\na=candidate:1 1 UDP 2130706431 192.0.2.1 8998 typ host",
            "",
        ] {
            assert!(sdp(fine), "{fine}");
        }
        for denied in [
            "c=IN IP4 192.0.2.2",
            "c=IN IP6 2001:db8::1",
            "c=IN IP4 media.example",
            "c=IN IP4 3221225985",
            "c=",
            "C=IN IP4 192.0.2.2",
            "c= IN  IP4\t192.0.2.2 ",
            "c=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP 0\r\nc=IN IP4 192.0.2.2",
            "c=IN IP4 192.0.2.1\nc=IN IP4 192.0.2.2",
            "a=rtcp:53020 IN IP4 192.0.2.2",
            "a=candidate:1 1 UDP 2130706431 192.0.2.2 8998 typ host",
            "a=candidate:1 1",
        ] {
            assert!(!sdp(denied), "{denied}");
        }
    }

    #[test]
    fn parts_are_read_and_other_bodies_are_not() {
        let data = b"--x\r\nContent-Type: application/sdp\r\n\r\nv=0\r\nc=IN IP4 192.0.2.2\r\n--x--\r\n";
        let policy = Only("192.0.2.1");
        assert!(!may_send(&policy, "multipart/mixed;boundary=x", data));
        assert!(!may_send(&policy, "Application/SDP ; charset=utf-8", data));
        assert!(may_send(&policy, "text/plain", data));
    }
}
