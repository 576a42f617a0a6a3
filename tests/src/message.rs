//! A SIP message as a peer sees it: a start line, headers in order, a body. Deliberately naive and independent of
//! callbox's parser, so that the two cannot share a fault.

use std::fmt;

/// One message.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    text: String,
}

impl Message {
    /// Takes what came off the wire.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self {
            text: String::from_utf8_lossy(bytes).into_owned(),
        }
    }

    /// The first line.
    pub fn start_line(&self) -> &str {
        self.text.lines().next().unwrap_or_default()
    }

    /// The status code of a response.
    pub fn status(&self) -> Option<u16> {
        self.start_line().strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
    }

    /// The method of a request.
    pub fn method(&self) -> Option<&str> {
        let line = self.start_line();
        line.ends_with(" SIP/2.0")
            .then(|| line.split(' ').next().unwrap_or_default())
    }

    /// The URI of a request.
    pub fn request_uri(&self) -> &str {
        self.start_line().split(' ').nth(1).unwrap_or_default()
    }

    /// Every value of a header, one a field, by its long name.
    pub fn headers(&self, name: &str) -> Vec<&str> {
        let head = self.text.split("\r\n\r\n").next().unwrap_or_default();
        let named = |line: &&str| {
            line.split(':')
                .next()
                .is_some_and(|it| it.trim().eq_ignore_ascii_case(name))
        };
        head.lines()
            .skip(1)
            .filter(named)
            .map(|line| line.split_once(':').map_or("", |(_, it)| it.trim()))
            .collect()
    }

    /// The first value of a header; empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers(name).first().copied().unwrap_or_default()
    }

    /// The method that CSeq names.
    pub fn cseq_method(&self) -> &str {
        self.header("CSeq").split_whitespace().nth(1).unwrap_or_default()
    }

    /// The number that CSeq names.
    pub fn cseq_number(&self) -> u32 {
        self.header("CSeq")
            .split_whitespace()
            .next()
            .and_then(|it| it.parse().ok())
            .unwrap_or_default()
    }

    /// The tag of To.
    pub fn to_tag(&self) -> Option<&str> {
        self.header("To")
            .split(";tag=")
            .nth(1)
            .map(|rest| rest.split([';', '>', ' ']).next().unwrap_or_default())
    }

    /// The URI between angle brackets of Contact.
    pub fn contact_uri(&self) -> &str {
        self.header("Contact")
            .split('<')
            .nth(1)
            .and_then(|rest| rest.split('>').next())
            .unwrap_or_default()
    }

    /// What follows the empty line.
    pub fn body(&self) -> &str {
        self.text.split_once("\r\n\r\n").map_or("", |(_, body)| body)
    }

    /// The whole message.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text.replace('\r', ""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_needs() {
        let message = Message::from_bytes(
            b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a\r\nto: <sip:x@y>;tag=7;z\r\nCSeq: 3 INVITE\r\nContact: <sip:a@b>\r\n\r\nv=0\r\n",
        );
        assert_eq!((message.status(), message.method()), (Some(200), None));
        assert_eq!(
            (message.to_tag(), message.cseq_method(), message.cseq_number()),
            (Some("7"), "INVITE", 3)
        );
        assert_eq!((message.contact_uri(), message.body()), ("sip:a@b", "v=0\r\n"));
        let request = Message::from_bytes(b"BYE sip:a@b SIP/2.0\r\n\r\n");
        assert_eq!(
            (request.method(), request.request_uri(), request.status()),
            (Some("BYE"), "sip:a@b", None)
        );
    }
}
