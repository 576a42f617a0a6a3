//! Why a message cannot be processed, and with which status that is said.

use super::{HeaderName, Message, uri::UriError};

/// A header that is missing or cannot be read. The typed accessors return it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The message has no such header.
    #[error("{0} is missing")]
    Missing(HeaderName),
    /// The value does not follow the header's grammar.
    #[error("{name}: {why}")]
    Malformed {
        /// Which header.
        name: HeaderName,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl HeaderError {
    pub(crate) const fn malformed(name: HeaderName, why: &'static str) -> Self {
        Self::Malformed { name, why }
    }
}

/// Why a message was rejected. [`Reject::status`] is the code for the answer, the text serves its reason phrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reject {
    /// Nothing but line ends: a keep-alive, no message.
    #[error("no message, only line ends")]
    Empty,
    /// The start line is not one of SIP.
    #[error("not a SIP start line")]
    NotSip,
    /// A start line of SIP with a part that cannot be read.
    #[error("start line: {0}")]
    StartLine(&'static str),
    /// Another version than SIP/2.0.
    #[error("SIP version is not 2.0")]
    Version,
    /// A header line without a colon, or with a name that is no token.
    #[error("a header line is not `name: value`")]
    HeaderLine,
    /// A CR that does not belong to a line end.
    #[error("a CR stands alone")]
    BareCr,
    /// The data end before the empty line that ends the headers.
    #[error("the headers do not end")]
    Truncated,
    /// The message is larger than [`MessageLimits::max_message`](super::MessageLimits).
    #[error("message too large")]
    TooLarge,
    /// More header lines than [`MessageLimits::max_headers`](super::MessageLimits).
    #[error("too many headers")]
    TooManyHeaders,
    /// A value longer than [`MessageLimits::max_value`](super::MessageLimits).
    #[error("{0} too long")]
    ValueTooLong(HeaderName),
    /// A Request-URI longer than [`MessageLimits::max_value`](super::MessageLimits).
    #[error("Request-URI too long")]
    UriTooLong,
    /// Content-Length is not one number, or promises more than came, or is missing on a stream.
    #[error("Content-Length {0}")]
    ContentLength(&'static str),
    /// The Request-URI does not parse.
    #[error("Request-URI: {0}")]
    RequestUri(UriError),
    /// The Request-URI has a scheme that cannot be called.
    #[error("Request-URI scheme is not supported")]
    UriScheme,
    /// A header of which there must be one came twice.
    #[error("{0} stands more than once")]
    Repeated(HeaderName),
    /// The CSeq names another method than the start line.
    #[error("CSeq names another method")]
    CSeqMethod,
    /// A header that the request needs is missing or cannot be read.
    #[error(transparent)]
    Header(#[from] HeaderError),
}

impl Reject {
    /// The status code of the answer, where one may be sent at all (see [`Malformed::reply`]).
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::TooLarge => 413,
            Self::UriTooLong => 414,
            Self::UriScheme => 416,
            Self::Version => 505,
            _ => 400,
        }
    }
}

/// A message that cannot be processed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{reason}")]
pub struct Malformed {
    /// What is wrong.
    pub reason: Reject,
    /// The readable part of the request, when an answer can and may be sent: it is a request other than ACK and its
    /// top Via says where to. From, To, Call-ID and CSeq may be missing in it. Answer with [`Reject::status`]. `None`
    /// means silence.
    pub reply: Option<Box<Message>>,
}

impl From<Reject> for Malformed {
    fn from(reason: Reject) -> Self {
        Self { reason, reply: None }
    }
}
