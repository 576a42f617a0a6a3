//! Writing messages: one growing buffer, values of the request echoed as slices.
//!
//! Invariant: no value, name or URI that is passed in can end its line or start another header. CR, LF and NUL in a
//! value become spaces, a header whose name is no token is left out, and octets that would break the start line are
//! escaped. Callers that must report such input check it first with [`is_token`] and
//! [`is_field_value`](super::is_field_value). Values copied from a parsed message keep their folds.

use std::{
    fmt::{self, Write as _},
    net::{IpAddr, SocketAddr},
};

use bytes::Bytes;

use super::{
    HeaderName, Message, Method, Rport, reason_phrase,
    scan::{Elements, is_token, is_token_byte, quotes_are_closed, rest, trim_start},
    via::Via,
};

const LINE_END: &[u8] = b"\r\n";

/// A request or response being written. Headers appear in the order of the calls; Content-Length and the body come
/// with [`finish`](Self::finish).
#[derive(Debug)]
#[must_use = "a message is only built by `finish`"]
pub struct MessageBuilder<'b> {
    out: Vec<u8>,
    body: &'b [u8],
}

impl<'b> MessageBuilder<'b> {
    /// Starts a request. `uri` is written as it is, but for white space and control octets, which are escaped.
    pub fn request(method: &Method, uri: impl AsRef<[u8]>) -> Self {
        let uri = uri.as_ref();
        let mut out = Vec::with_capacity(512 + uri.len());
        out.extend(method.as_str().bytes().filter(|c| is_token_byte(*c)));
        out.push(b' ');
        for &c in uri {
            if c <= b' ' || c == 0x7f {
                write_to(&mut out, format_args!("%{c:02X}"));
            } else {
                out.push(c);
            }
        }
        out.extend_from_slice(b" SIP/2.0\r\n");
        Self { out, body: &[] }
    }

    /// Starts a response that belongs to no request at hand. `code` is clamped to 100..=699.
    pub fn response(code: u16, reason: Option<&str>) -> Self {
        Self::status_line(code, reason, 512)
    }

    /// Starts the response to `request`: echoes Via, From, To, Call-ID and CSeq octet by octet; Record-Route too where
    /// the code is 101 to 299 (RFC 3261 §12.1.1), Timestamp where it is 100 (§8.2.6.1). `to_tag` is added unless To
    /// has a tag.
    pub fn response_to(request: &Message, code: u16, reason: Option<&str>, to_tag: Option<&str>) -> Self {
        Self::answer(request, None, code, reason, to_tag)
    }

    /// As [`response_to`](Self::response_to), and writes what the server adds to the top Via of a request that came
    /// from `source`: `received` where sent-by is another address or `rport` was asked for, and the port in `rport`
    /// (RFC 3261 §18.2.1, RFC 3581 §4).
    pub fn response_from(
        request: &Message,
        source: SocketAddr,
        code: u16,
        reason: Option<&str>,
        to_tag: Option<&str>,
    ) -> Self {
        Self::answer(request, Some(source), code, reason, to_tag)
    }

    fn answer(
        request: &Message,
        source: Option<SocketAddr>,
        code: u16,
        reason: Option<&str>,
        to_tag: Option<&str>,
    ) -> Self {
        // The echoed headers are most of what a request holds beside its body; own headers take the rest.
        let room = request.bytes.len() - request.body().len() + 256;
        let mut b = Self::status_line(code, reason, room);
        let mut top = source;
        for f in &request.fields {
            let value = f.value.get(&request.bytes);
            match f.name {
                HeaderName::Via => {
                    b.open_known(f.name);
                    match top.take() {
                        Some(source) => b.top_via(value, source),
                        None => b.out.extend_from_slice(value),
                    }
                    b.close();
                }
                HeaderName::From | HeaderName::CallId | HeaderName::CSeq => b.echo(f.name, value),
                HeaderName::RecordRoute if (101..300).contains(&code) => b.echo(f.name, value),
                HeaderName::Timestamp if code == 100 => b.echo(f.name, value),
                HeaderName::To => {
                    b.open_known(f.name);
                    b.out.extend_from_slice(value);
                    if let Some(tag) = to_tag
                        && !request.to().is_ok_and(|to| to.tag().is_some())
                    {
                        b.out.extend_from_slice(b";tag=");
                        b.out.extend(tag.bytes().filter(|c| is_token_byte(*c)));
                    }
                    b.close();
                }
                _ => {}
            }
        }
        b
    }

    fn status_line(code: u16, reason: Option<&str>, room: usize) -> Self {
        let code = code.clamp(100, 699);
        let mut out = Vec::with_capacity(room);
        out.extend_from_slice(b"SIP/2.0 ");
        write_number(&mut out, usize::from(code));
        out.push(b' ');
        let mut b = Self { out, body: &[] };
        let from = b.out.len();
        b.out
            .extend_from_slice(reason.unwrap_or(reason_phrase(code)).as_bytes());
        b.one_line(from);
        b.close();
        b
    }

    /// Writes the value of the first Via with its first element completed.
    fn top_via(&mut self, value: &[u8], source: SocketAddr) {
        let first = Elements::new(value).next().unwrap_or_default();
        let Ok(via) = Via::parse(first) else {
            self.out.extend_from_slice(value);
            return;
        };
        let ip = canonical(source.ip());
        let asked = via.rport() != Rport::Absent;
        let same = !asked && via.host.ip().map(canonical) == Some(ip);
        // Behind an open quote nothing can be added; validation rejects such a Via, the answer echoes it.
        if same || !quotes_are_closed(via.params.raw()) {
            self.out.extend_from_slice(value);
            return;
        }
        let head = via.raw.len() - via.params.raw().len();
        self.out
            .extend_from_slice(super::scan::trim_end(super::scan::cut(via.raw, 0, head)));
        for p in via.params.iter() {
            // What a client claims to have been received from is not echoed.
            if p.name.eq_ignore_ascii_case(b"received") || p.name.eq_ignore_ascii_case(b"rport") {
                continue;
            }
            self.out.push(b';');
            self.out.extend_from_slice(p.name);
            if let Some(v) = p.value {
                self.out.push(b'=');
                self.out.extend_from_slice(v);
            }
        }
        self.out.extend_from_slice(b";received=");
        write_ip(&mut self.out, ip);
        if asked {
            self.out.extend_from_slice(b";rport=");
            write_number(&mut self.out, usize::from(source.port()));
        }
        // `Elements` hands out trimmed parts: what follows the first begins with its comma.
        let lead = value.len() - trim_start(value).len();
        self.out
            .extend_from_slice(trim_start(rest(value, lead + first.len())));
    }

    /// Adds a header. Content-Length is ignored, `finish` writes it.
    pub fn header(mut self, name: impl AsRef<str>, value: impl AsRef<[u8]>) -> Self {
        self.push_header(name, value);
        self
    }

    /// As [`header`](Self::header), for loops.
    pub fn push_header(&mut self, name: impl AsRef<str>, value: impl AsRef<[u8]>) {
        if self.open(name.as_ref()) {
            let from = self.out.len();
            self.out.extend_from_slice(value.as_ref());
            self.one_line(from);
            self.close();
        }
    }

    /// Adds a header whose value is formatted in place: `.header_fmt(HeaderName::CSeq, format_args!("{n} BYE"))`.
    pub fn header_fmt(mut self, name: impl AsRef<str>, value: fmt::Arguments<'_>) -> Self {
        if self.open(name.as_ref()) {
            let from = self.out.len();
            write_to(&mut self.out, value);
            self.one_line(from);
            self.close();
        }
        self
    }

    /// Copies every field of that name from `message`, octet by octet.
    pub fn copy(mut self, message: &Message, name: HeaderName) -> Self {
        for value in message.headers(name) {
            self.echo(name, value);
        }
        self
    }

    /// Sets the body and writes Content-Type. A second call adds a second Content-Type: do not.
    pub fn body(self, content_type: impl AsRef<[u8]>, body: &'b [u8]) -> Self {
        let mut b = self.header(HeaderName::ContentType, content_type);
        b.body = body;
        b
    }

    /// Sets the body without a Content-Type, for one that was written as a header before.
    pub fn raw_body(mut self, body: &'b [u8]) -> Self {
        self.body = body;
        self
    }

    /// Ends the head with Content-Length and appends the body.
    #[must_use]
    pub fn finish(mut self) -> Bytes {
        self.out.extend_from_slice(b"Content-Length: ");
        write_number(&mut self.out, self.body.len());
        self.out.extend_from_slice(b"\r\n\r\n");
        self.out.extend_from_slice(self.body);
        Bytes::from(self.out)
    }

    /// Copies a value of a parsed message; nothing is written for [`HeaderName::Other`].
    fn echo(&mut self, name: HeaderName, value: &[u8]) {
        if name != HeaderName::Other && name != HeaderName::ContentLength {
            self.open_known(name);
            self.out.extend_from_slice(value);
            self.close();
        }
    }

    /// Writes `name: ` for a name that needs no check.
    fn open_known(&mut self, name: HeaderName) {
        self.out.extend_from_slice(name.as_str().as_bytes());
        self.out.extend_from_slice(b": ");
    }

    /// Writes `name: `; `false` when the field must not be written.
    fn open(&mut self, name: &str) -> bool {
        if !is_token(name.as_bytes())
            || name.eq_ignore_ascii_case("Content-Length")
            || name.eq_ignore_ascii_case("l")
        {
            return false;
        }
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b": ");
        true
    }

    fn close(&mut self) {
        self.out.extend_from_slice(LINE_END);
    }

    /// Keeps what was written since `from` on one line.
    fn one_line(&mut self, from: usize) {
        let written = self.out.get_mut(from..).unwrap_or_default();
        if memchr::memchr3(b'\r', b'\n', 0, written).is_some() {
            for c in written.iter_mut().filter(|c| matches!(c, b'\r' | b'\n' | 0)) {
                *c = b' ';
            }
        }
    }
}

/// An IPv4 peer seen through an IPv6 socket is an IPv4 peer.
fn canonical(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

/// Decimal digits, without the formatting machinery: every message holds a few numbers.
fn write_number(out: &mut Vec<u8>, mut n: usize) {
    let mut digits = [0u8; 20];
    let mut used = 0;
    for slot in digits.iter_mut().rev() {
        // A digit is below 10, so it fits.
        *slot = b'0' + (n % 10) as u8;
        n /= 10;
        used += 1;
        if n == 0 {
            break;
        }
    }
    out.extend_from_slice(rest(&digits, digits.len() - used));
}

fn write_ip(out: &mut Vec<u8>, ip: IpAddr) {
    match ip {
        IpAddr::V4(v4) => {
            for (i, part) in v4.octets().into_iter().enumerate() {
                if i > 0 {
                    out.push(b'.');
                }
                write_number(out, usize::from(part));
            }
        }
        IpAddr::V6(v6) => write_to(out, format_args!("{v6}")),
    }
}

fn write_to(out: &mut Vec<u8>, text: fmt::Arguments<'_>) {
    struct Octets<'v>(&'v mut Vec<u8>);
    impl fmt::Write for Octets<'_> {
        fn write_str(&mut self, s: &str) -> fmt::Result {
            self.0.extend_from_slice(s.as_bytes());
            Ok(())
        }
    }
    // Writing to a vector cannot fail; a `Display` that fails has written less, which stays one line.
    let _ = Octets(out).write_fmt(text);
}
