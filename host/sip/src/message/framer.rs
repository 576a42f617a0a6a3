//! Cutting a byte stream into messages (RFC 3261 §18.3, RFC 5626 §4.4.1).
//!
//! It knows no socket. Feed it with [`StreamFramer::push`] and call [`StreamFramer::next_frame`] until it returns
//! `None` after each push: then the buffer never holds more than one incomplete message (at most
//! [`MessageLimits::max_message`]) plus one push. No octet is scanned twice, however small the pushes.

use bytes::{Buf, Bytes, BytesMut};

use super::{
    Framing, HeaderName, Malformed, Message, MessageLimits, Reject,
    peek::header_lines,
    scan::{self, cut, rest},
};

/// What came out of a stream.
#[derive(Debug)]
pub enum Frame {
    /// One whole message, copied out of the buffer.
    Message(Bytes),
    /// CRLF CRLF: a keep-alive, to be answered with one CRLF.
    Ping,
    /// One CRLF: the answer to a keep-alive of ours, or the first half of a peer's.
    Pong,
    /// The stream cannot be read any further. Send the answer, if there is one, and close.
    Fatal(Box<Malformed>),
}

/// Collects a stream and yields its messages.
#[derive(Debug)]
pub struct StreamFramer {
    buffer: BytesMut,
    limits: MessageLimits,
    state: State,
    /// A single CRLF came just before: another one makes it a ping.
    half_ping: bool,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Looking for the empty line; this many octets have been searched.
    Head { searched: usize },
    /// The head is whole, the message has this many octets.
    Body { length: usize },
    /// After a fatal error nothing is read.
    Dead,
}

impl StreamFramer {
    /// An empty framer.
    #[must_use]
    pub fn new(limits: MessageLimits) -> Self {
        Self {
            buffer: BytesMut::new(),
            limits,
            state: State::Head { searched: 0 },
            half_ping: false,
        }
    }

    /// Takes what was read from the stream.
    pub fn push(&mut self, data: &[u8]) {
        if !matches!(self.state, State::Dead) {
            self.buffer.extend_from_slice(data);
        }
    }

    /// How many octets wait for their message to become whole. Not 0 means that the peer is in the middle of one.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// The next frame, or `None` until more is pushed.
    pub fn next_frame(&mut self) -> Option<Frame> {
        loop {
            match self.state {
                State::Dead => return None,
                State::Head { searched: 0 } if matches!(self.buffer.first(), Some(b'\r' | b'\n')) => {
                    match self.line_ends() {
                        LineEnds::Frame(frame) => return Some(frame),
                        LineEnds::Skipped => {}
                        LineEnds::Wait => return None,
                    }
                }
                State::Head { searched } => match end_of_head(&self.buffer, searched) {
                    Some(head) => match self.length(head) {
                        Ok(length) => self.state = State::Body { length },
                        Err(fatal) => return Some(self.fatal(fatal)),
                    },
                    None if self.buffer.len() > self.limits.max_message => {
                        let fatal = self.judge(self.buffer.len(), Reject::TooLarge);
                        return Some(self.fatal(fatal));
                    }
                    None => {
                        self.state = State::Head {
                            searched: self.buffer.len(),
                        };
                        return None;
                    }
                },
                State::Body { length } if self.buffer.len() < length => return None,
                State::Body { length } => {
                    let message = Bytes::copy_from_slice(cut(&self.buffer, 0, length));
                    self.buffer.advance(length);
                    if self.buffer.is_empty() {
                        // An idle connection keeps no buffer.
                        self.buffer = BytesMut::new();
                    }
                    self.state = State::Head { searched: 0 };
                    self.half_ping = false;
                    return Some(Frame::Message(message));
                }
            }
        }
    }

    /// Line ends between messages.
    fn line_ends(&mut self) -> LineEnds {
        let b: &[u8] = &self.buffer;
        let (used, result) = match b {
            [b'\r', b'\n', b'\r', b'\n', ..] => (4, LineEnds::Frame(Frame::Ping)),
            [b'\r'] | [b'\r', b'\n', b'\r'] => return LineEnds::Wait,
            [b'\r', b'\n', ..] if self.half_ping => (2, LineEnds::Frame(Frame::Ping)),
            [b'\r', b'\n'] => {
                self.buffer.advance(2);
                self.half_ping = true;
                return LineEnds::Frame(Frame::Pong);
            }
            [b'\r', b'\n', ..] => (2, LineEnds::Skipped),
            _ => (1, LineEnds::Skipped),
        };
        self.buffer.advance(used);
        self.half_ping = false;
        result
    }

    /// The length of the message whose head has `head` octets.
    fn length(&self, head: usize) -> Result<usize, Malformed> {
        let mut found = None;
        for (name, value) in header_lines(cut(&self.buffer, 0, head)) {
            if name != HeaderName::ContentLength {
                continue;
            }
            match (found, scan::digits(value)) {
                (None, Some(n)) => found = Some(n),
                // Parsing the head finds the same fault and says it better.
                _ => return Err(self.judge(head, Reject::ContentLength("is not one number"))),
            }
        }
        let Some(body) = found else {
            return Err(self.judge(head, Reject::ContentLength("is missing on a stream")));
        };
        let length = usize::try_from(body).ok().and_then(|n| n.checked_add(head));
        length
            .filter(|n| *n <= self.limits.max_message)
            .ok_or_else(|| self.judge(head, Reject::TooLarge))
    }

    /// Reads the first `n` octets as a message to say what is wrong and to whom; `reason` is what the framer found.
    fn judge(&self, n: usize, reason: Reject) -> Malformed {
        let head = Bytes::copy_from_slice(cut(&self.buffer, 0, n));
        match Message::parse(head, Framing::Datagram, &self.limits) {
            Ok(message) => super::parse::malformed(reason, message),
            Err(found) => {
                // A body that is not there yet is no fault, its size is.
                let keep = matches!(found.reason, Reject::ContentLength(_)) && reason == Reject::TooLarge;
                Malformed {
                    reason: if keep { reason } else { found.reason },
                    reply: found.reply,
                }
            }
        }
    }

    fn fatal(&mut self, malformed: Malformed) -> Frame {
        self.state = State::Dead;
        self.buffer = BytesMut::new();
        Frame::Fatal(Box::new(malformed))
    }
}

enum LineEnds {
    Frame(Frame),
    Skipped,
    Wait,
}

/// The length of the head with its empty line, when that is in the buffer. The first `searched` octets were searched
/// before; the empty line may have begun in the last three of them.
fn end_of_head(b: &[u8], searched: usize) -> Option<usize> {
    let from = searched.saturating_sub(3);
    memchr::memchr_iter(b'\n', rest(b, from)).find_map(|i| match rest(b, from + i + 1) {
        [b'\n', ..] => Some(from + i + 2),
        [b'\r', b'\n', ..] => Some(from + i + 3),
        _ => None,
    })
}
