//! From octets to the index: where the start line, each header and the body are.
//!
//! What is checked here is what framing needs: the start line, the shape of header lines, the limits, Content-Length
//! and the version. What a header's value says is left to the typed accessors and to [`validate`](super::validate).
//! One pass over the head, one allocation for the index.

use bytes::Bytes;

use super::{
    Field, Framing, HeaderName, Malformed, Message, MessageLimits, Method, Reject, Span, Start, Via,
    scan::{self, cut, is_token_byte, rest, take_while, trim},
};

/// Room for this many headers is reserved at once: most messages have fewer and cost one allocation.
const USUAL_HEADERS: usize = 20;

impl Message {
    /// Indexes one message. `bytes` holds the whole of it; line ends before it are skipped, and so is what follows the
    /// body on a datagram (RFC 3261 §18.3).
    ///
    /// # Errors
    /// [`Malformed`] says why, and carries the readable part when an answer is due.
    pub fn parse(bytes: Bytes, framing: Framing, limits: &MessageLimits) -> Result<Self, Malformed> {
        let mut skipped = 0;
        while matches!(bytes.get(skipped), Some(b'\r' | b'\n')) {
            skipped += 1;
        }
        if skipped == bytes.len() {
            return Err(Reject::Empty.into());
        }
        // Spans are 32 bits wide.
        if bytes.len() > u32::MAX as usize {
            return Err(Reject::TooLarge.into());
        }
        let line = Line::at(&bytes, skipped);
        let line_end = line.end;
        let (start, version) = start_line(&bytes, line, limits)?;
        let mut head = Head {
            fields: Vec::with_capacity(USUAL_HEADERS),
            broken: version.err(),
        };
        let body_at = head.index(&bytes, line_end, limits);
        if bytes.len() - skipped > limits.max_message {
            head.fail(Reject::TooLarge);
        }
        let body = head.body(&bytes, body_at, framing);
        let Head { fields, broken } = head;
        let message = Self {
            bytes,
            start,
            fields,
            body,
        };
        match broken {
            None => Ok(message),
            Some(reason) => Err(malformed(reason, message)),
        }
    }
}

/// Decides whether an answer is possible: to a request other than ACK, when its top Via tells where to.
pub(super) fn malformed(reason: Reject, message: Message) -> Malformed {
    let answerable = match message.request() {
        Some(line) => *line.method != Method::Ack && message.top_via().is_ok(),
        None => false,
    };
    Malformed {
        reason,
        reply: answerable.then(|| Box::new(message)),
    }
}

/// One line with its folds, without its end.
struct Line {
    from: usize,
    to: usize,
    /// Where the next line begins; the length of the data when there is none.
    end: usize,
    /// Whether a line end was seen.
    closed: bool,
}

impl Line {
    /// The physical line at `from`.
    fn at(bytes: &[u8], from: usize) -> Self {
        match memchr::memchr(b'\n', rest(bytes, from)) {
            Some(n) => {
                let lf = from + n;
                let to = if n > 0 && bytes.get(lf - 1) == Some(&b'\r') {
                    lf - 1
                } else {
                    lf
                };
                Self {
                    from,
                    to,
                    end: lf + 1,
                    closed: true,
                }
            }
            None => Self {
                from,
                to: bytes.len(),
                end: bytes.len(),
                closed: false,
            },
        }
    }
}

type Version = Result<(), Reject>;

/// Reads the start line. The outer error allows no answer at all, the inner one does.
fn start_line(bytes: &[u8], line: Line, limits: &MessageLimits) -> Result<(Start, Version), Reject> {
    let text = cut(bytes, line.from, line.to);
    if text.len() >= 4 && cut(text, 0, 4).eq_ignore_ascii_case(b"SIP/") {
        return status_line(line.from, text).map(|start| (start, Ok(())));
    }
    let (method, after) = take_while(text, is_token_byte);
    let method = match after {
        [b' ' | b'\t', ..] => Method::parse(method).ok_or(Reject::NotSip)?,
        _ => return Err(Reject::NotSip),
    };
    // From here on it is a request, if a version of SIP stands at its end. Several spaces between the parts and
    // spaces at the end are read past (RFC 4475 §3.1.2.9, §3.1.2.10).
    let trimmed = scan::trim_end(after);
    let space = memchr::memrchr2(b' ', b'\t', trimmed).ok_or(Reject::NotSip)?;
    let version = rest(trimmed, space + 1);
    let version = match version {
        v if v.eq_ignore_ascii_case(b"SIP/2.0") => Ok(()),
        v if v.len() > 4 && cut(v, 0, 4).eq_ignore_ascii_case(b"SIP/") => Err(Reject::Version),
        _ => return Err(Reject::NotSip),
    };
    let uri = trim(cut(trimmed, 0, space));
    let version = match uri {
        _ if version.is_err() => version,
        [] => Err(Reject::StartLine("no Request-URI")),
        _ if uri.len() > limits.max_value => Err(Reject::UriTooLong),
        _ => Ok(()),
    };
    Ok((
        Start::Request {
            method,
            uri: Span::of(bytes, uri),
        },
        version,
    ))
}

/// `text` begins with `SIP/`.
fn status_line(from: usize, text: &[u8]) -> Result<Start, Reject> {
    let (version, after) = take_while(text, |c| c != b' ');
    if !version.eq_ignore_ascii_case(b"SIP/2.0") {
        return Err(Reject::Version);
    }
    let (code, after_code) = take_while(scan::trim_start(after), |c| c != b' ');
    let code = match code {
        [a @ b'1'..=b'6', b @ b'0'..=b'9', c @ b'0'..=b'9'] => {
            u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0')
        }
        _ => return Err(Reject::StartLine("status code")),
    };
    let reason = trim(after_code);
    let at = from + text.len() - after_code.len() + (after_code.len() - scan::trim_start(after_code).len());
    Ok(Start::Response {
        code,
        reason: Span::new(at, at + reason.len()),
    })
}

/// The index while it grows, and the first thing that was wrong.
struct Head {
    fields: Vec<Field>,
    broken: Option<Reject>,
}

impl Head {
    fn fail(&mut self, reason: Reject) {
        self.broken.get_or_insert(reason);
    }

    /// Indexes the header lines from `at` on; returns where the body begins. Goes on after an error, so that a reply
    /// can echo what is readable.
    fn index(&mut self, bytes: &[u8], mut at: usize, limits: &MessageLimits) -> usize {
        loop {
            let mut line = Line::at(bytes, at);
            if line.to == line.from {
                if !line.closed {
                    self.fail(Reject::Truncated);
                }
                return line.end;
            }
            while line.closed && matches!(bytes.get(line.end), Some(b' ' | b'\t')) {
                let fold = Line::at(bytes, line.end);
                line = Line {
                    from: line.from,
                    ..fold
                };
            }
            if !line.closed {
                self.fail(Reject::Truncated);
                return line.end;
            }
            if self.fields.len() >= limits.max_headers {
                self.fail(Reject::TooManyHeaders);
                // Where the body is does not matter any more.
                return bytes.len();
            }
            match field(bytes, &line, limits) {
                Ok(field) => self.fields.push(field),
                Err(reason) => self.fail(reason),
            }
            at = line.end;
        }
    }

    /// The span of the body, judged by Content-Length.
    fn body(&mut self, bytes: &[u8], at: usize, framing: Framing) -> Span {
        let have = bytes.len() - at;
        let nothing = Span::new(at, at);
        match (self.content_length(bytes), framing) {
            (Err(reason), _) => {
                self.fail(reason);
                nothing
            }
            (Ok(None), Framing::Datagram) => Span::new(at, bytes.len()),
            (Ok(None), Framing::Stream) => {
                self.fail(Reject::ContentLength("is missing on a stream"));
                nothing
            }
            (Ok(Some(n)), _) if n <= have as u64 => {
                // `n` is at most `have`, a usize.
                Span::new(at, at + usize::try_from(n).unwrap_or(have))
            }
            (Ok(Some(_)), _) => {
                self.fail(Reject::ContentLength("promises more than came"));
                nothing
            }
        }
    }

    fn content_length(&self, bytes: &[u8]) -> Result<Option<u64>, Reject> {
        let mut found = None;
        for f in self.fields.iter().filter(|f| f.name == HeaderName::ContentLength) {
            if found.is_some() {
                return Err(Reject::Repeated(HeaderName::ContentLength));
            }
            found = Some(scan::digits(f.value.get(bytes)).ok_or(Reject::ContentLength("is not a number"))?);
        }
        Ok(found)
    }
}

/// Reads `name: value`.
fn field(bytes: &[u8], line: &Line, limits: &MessageLimits) -> Result<Field, Reject> {
    let text = cut(bytes, line.from, line.to);
    let (name, after) = take_while(text, is_token_byte);
    let [b':', value @ ..] = scan::trim_start(after) else {
        return Err(Reject::HeaderLine);
    };
    if name.is_empty() {
        return Err(Reject::HeaderLine);
    }
    let known = HeaderName::lookup(name);
    let value = trim(value);
    if value.len() > limits.max_value {
        return Err(Reject::ValueTooLong(known));
    }
    if !line_ends_are_folds(value) {
        return Err(Reject::BareCr);
    }
    Ok(Field {
        name: known,
        written: Span::of(bytes, name),
        value: Span::of(bytes, value),
    })
}

/// Whether each CR stands before an LF. A lone one would end a line for some of those who read what we echo.
fn line_ends_are_folds(value: &[u8]) -> bool {
    memchr::memchr_iter(b'\r', value).all(|i| value.get(i + 1) == Some(&b'\n'))
}

/// The top Via of a message that was rejected decides where the answer goes.
pub(super) fn first_via(value: &[u8]) -> Result<Via<'_>, super::HeaderError> {
    Via::parse(scan::Elements::new(value).next().unwrap_or_default())
}
