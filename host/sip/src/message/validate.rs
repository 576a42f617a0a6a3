//! Whether a message may be processed: what RFC 3261 §8.1.1, §16.3 and RFC 4475 ask of its headers.
//!
//! [`Message::parse`] has judged framing before. These checks are grammar and presence only; what depends on what the
//! receiver supports (methods, extensions, media types) is the endpoint's, with [`unsupported`] as help.
//! Requests that fail are answered with [`Reject::status`], responses that fail are dropped without an answer.

use super::{
    Contact, HeaderError, HeaderName, Malformed, Message, NameAddr, Reject, Uri, UriError, Via,
    delta_seconds, parse, scan::Elements,
};

/// Checks a request. On failure the message comes back in [`Malformed::reply`] where an answer is due.
///
/// # Errors
/// The first thing that is wrong.
pub fn request(message: Message) -> Result<Message, Malformed> {
    match check_request(&message) {
        Ok(()) => Ok(message),
        Err(reason) => Err(parse::malformed(reason, message)),
    }
}

/// Checks a response: the headers by which it finds its transaction, and their numbers.
///
/// # Errors
/// The first thing that is wrong. No answer is ever sent to it.
pub fn response(message: &Message) -> Result<(), Reject> {
    common(message)
}

/// As [`request`], by reference and without the answer.
///
/// # Errors
/// The first thing that is wrong.
pub fn check_request(message: &Message) -> Result<(), Reject> {
    let Some(line) = message.request() else {
        return Err(Reject::NotSip);
    };
    common(message)?;
    match Uri::parse(line.uri) {
        Ok(Uri::Sip(uri)) if uri.headers.is_some() => return Err(Reject::RequestUri(UriError::Headers)),
        Ok(Uri::Sip(_) | Uri::Tel(_)) => {}
        // `urn:service:sos` (RFC 5031) is called like a number.
        Ok(Uri::Other { scheme, .. }) if scheme.eq_ignore_ascii_case(b"urn") => {}
        Ok(Uri::Other { .. }) => return Err(Reject::UriScheme),
        Err(e) => return Err(Reject::RequestUri(e)),
    }
    if message.cseq()?.method != *line.method {
        return Err(Reject::CSeqMethod);
    }
    Ok(())
}

/// One pass over the fields: each is read by the grammar of its header.
fn common(message: &Message) -> Result<(), Reject> {
    // One bit a header of which there may be one; the enum has fewer than 128 variants (checked by a test).
    let mut seen = 0u128;
    for (name, value) in message.known_headers() {
        let bit = 1u128 << (name as u8 & 127);
        if seen & bit != 0 && name.is_single() {
            return Err(Reject::Repeated(name));
        }
        seen |= bit;
        field(name, value).map_err(|why| Reject::Header(why.of(name)))?;
    }
    for name in [
        HeaderName::Via,
        HeaderName::From,
        HeaderName::To,
        HeaderName::CallId,
        HeaderName::CSeq,
    ] {
        if seen & (1u128 << (name as u8 & 127)) == 0 {
            return Err(Reject::Header(HeaderError::Missing(name)));
        }
    }
    if message.call_id().is_none() {
        return Err(Reject::Header(HeaderError::malformed(
            HeaderName::CallId,
            "empty",
        )));
    }
    message.cseq()?;
    message.max_forwards()?;
    message.rseq()?;
    message.rack()?;
    message.session_expires()?;
    Ok(())
}

/// What is wrong with one field.
enum Fault {
    Why(&'static str),
    Header(HeaderError),
}

impl Fault {
    fn of(self, name: HeaderName) -> HeaderError {
        match self {
            Self::Why(why) => HeaderError::malformed(name, why),
            Self::Header(e) => e,
        }
    }
}

impl From<&'static str> for Fault {
    fn from(why: &'static str) -> Self {
        Self::Why(why)
    }
}

impl From<HeaderError> for Fault {
    fn from(e: HeaderError) -> Self {
        Self::Header(e)
    }
}

fn field(name: HeaderName, value: &[u8]) -> Result<(), Fault> {
    match name {
        HeaderName::Via => {
            for element in Elements::new(value) {
                Via::parse(element)?.check()?;
            }
        }
        HeaderName::From | HeaderName::To | HeaderName::ReferTo | HeaderName::ReferredBy => {
            NameAddr::parse(value)?.check()?;
        }
        HeaderName::Contact => {
            for element in Elements::new(value) {
                if let Contact::Addr(addr) = Contact::parse(element)? {
                    addr.check()?;
                    if let Some(expires) = addr.param("expires") {
                        delta_seconds(expires)?;
                    }
                }
            }
        }
        HeaderName::Route | HeaderName::RecordRoute | HeaderName::Path | HeaderName::ServiceRoute => {
            for element in Elements::new(value) {
                NameAddr::parse(element)?.check()?;
            }
        }
        HeaderName::Expires | HeaderName::MinExpires => {
            delta_seconds(value)?;
        }
        _ => {}
    }
    Ok(())
}

/// The option tags of Require (and Proxy-Require where `proxy`) that are not in `known`, for a 420 and its Unsupported
/// header (RFC 3261 §8.2.2.3).
pub fn unsupported<'a>(
    message: &'a Message,
    name: HeaderName,
    known: &'a [&str],
) -> impl Iterator<Item = &'a [u8]> {
    message
        .values(name)
        .filter(move |tag| !known.iter().any(|k| tag.eq_ignore_ascii_case(k.as_bytes())))
}
