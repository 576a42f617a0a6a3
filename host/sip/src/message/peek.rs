//! Finding the Call-ID without parsing: enough to choose a shard.

use super::{
    HeaderName,
    scan::{self, cut, is_token_byte, rest, take_while},
};

/// The value of the first Call-ID header in the head of a message, as [`Message::call_id`](super::Message::call_id)
/// would give it, or `None`. Linear, without allocation; says nothing of whether the message is well-formed.
#[must_use]
pub fn peek_call_id(bytes: &[u8]) -> Option<&[u8]> {
    header_lines(bytes)
        .find(|(name, _)| *name == HeaderName::CallId)
        .map(|(_, value)| value)
        .filter(|v| !v.is_empty())
}

/// The start line, the Call-ID and the CSeq of a message: what tells it from others in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outline<'a> {
    /// Without its line end.
    pub start_line: &'a [u8],
    /// As [`peek_call_id`] gives it.
    pub call_id: &'a [u8],
    /// Empty when there is none.
    pub cseq: &'a [u8],
}

/// The outline of a message, or `None` when it has no Call-ID. Linear, without allocation, and stops when it has all; says
/// nothing of whether the message is well-formed.
#[must_use]
pub fn peek_outline(bytes: &[u8]) -> Option<Outline<'_>> {
    let lead = bytes.iter().take_while(|c| matches!(c, b'\r' | b'\n')).count();
    let start_line = rest(bytes, lead);
    let start_line = cut(start_line, 0, memchr::memchr(b'\n', start_line)?).trim_ascii_end();
    let (mut call_id, mut cseq): (&[u8], &[u8]) = (&[], &[]);
    for (name, value) in header_lines(bytes) {
        match name {
            HeaderName::CallId if call_id.is_empty() => call_id = value,
            HeaderName::CSeq if cseq.is_empty() => cseq = value,
            _ => continue,
        }
        if !call_id.is_empty() && !cseq.is_empty() {
            break;
        }
    }
    (!call_id.is_empty()).then_some(Outline {
        start_line,
        call_id,
        cseq,
    })
}

/// Names and trimmed values of the header lines, folds intact, up to the empty line. Lines that are no headers are
/// passed over.
pub(super) fn header_lines(bytes: &[u8]) -> impl Iterator<Item = (HeaderName, &[u8])> {
    let lead = bytes.iter().take_while(|c| matches!(c, b'\r' | b'\n')).count();
    let mut tail = rest(bytes, lead);
    // The start line has no folds.
    tail = memchr::memchr(b'\n', tail).map_or(&[], |lf| rest(tail, lf + 1));
    std::iter::from_fn(move || {
        loop {
            let mut end = memchr::memchr(b'\n', tail)?;
            if matches!(cut(tail, 0, end), [] | [b'\r']) {
                return None;
            }
            while let Some(b' ' | b'\t') = tail.get(end + 1) {
                end += 1 + memchr::memchr(b'\n', rest(tail, end + 1))?;
            }
            let line = cut(tail, 0, end);
            tail = rest(tail, end + 1);
            let (name, after) = take_while(line, is_token_byte);
            if let [b':', value @ ..] = scan::trim_start(after)
                && !name.is_empty()
            {
                return Some((HeaderName::lookup(name), scan::trim(value)));
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::{Outline, peek_call_id, peek_outline};

    #[test]
    fn an_outline_is_what_a_list_of_messages_needs() {
        let message =
            b"\r\nINVITE sip:a@b SIP/2.0\r\nVia: x\r\nCSeq: 1 INVITE\r\ni: abc@h\r\nCSeq: 2 BYE\r\n\r\nbody";
        let outline = Outline {
            start_line: b"INVITE sip:a@b SIP/2.0",
            call_id: b"abc@h",
            cseq: b"1 INVITE",
        };
        assert_eq!(peek_outline(message), Some(outline));
        assert_eq!(peek_outline(b"INVITE sip:a@b SIP/2.0\r\nVia: x\r\n\r\n"), None);
        assert_eq!(peek_outline(b"\r\n"), None);
    }

    #[test]
    fn finds_it_in_every_form() {
        for (head, id) in [
            (
                "INVITE sip:a@b SIP/2.0\r\nVia: x\r\nCall-ID: abc@h\r\n\r\n",
                Some("abc@h"),
            ),
            (
                "\r\n\r\nINVITE sip:a@b SIP/2.0\ncALL-id  :\n  abc@h \n\n",
                Some("abc@h"),
            ),
            (
                "SIP/2.0 200 OK\r\nX: 1\r\n Call-ID: no\r\ni:yes\r\n\r\n",
                Some("yes"),
            ),
            (
                "BYE sip:a@b SIP/2.0\r\nrubbish\r\nI: yes\r\nCall-ID: later\r\n\r\n",
                Some("yes"),
            ),
            ("BYE sip:a@b SIP/2.0\r\nX: 1\r\n\r\nCall-ID: body", None),
            ("BYE sip:a@b SIP/2.0\r\nCall-ID:\r\n\r\n", None),
            ("BYE sip:a@b SIP/2.0\r\nCall-ID: cut", None),
            ("", None),
            ("\r\n\r\n", None),
        ] {
            assert_eq!(peek_call_id(head.as_bytes()), id.map(str::as_bytes), "{head:?}");
        }
    }
}
