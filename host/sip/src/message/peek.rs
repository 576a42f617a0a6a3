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
    use super::peek_call_id;

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
