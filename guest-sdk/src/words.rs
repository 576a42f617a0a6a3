//! Constructors and readings of the small records of the contract, and the conversion of times.

use std::fmt;
use std::time::Duration;

use crate::wit::callbox::flow::types::{Body, Denial, HangupInfo, Header, Party, Status};

/// The contract counts in milliseconds of 32 bits: longer times are cut to 49 days, and a time that is not zero
/// does not become zero, because zero means "do not wait".
pub(crate) fn millis(time: Duration) -> u32 {
    match u32::try_from(time.as_millis()) {
        Ok(0) if !time.is_zero() => 1,
        Ok(ms) => ms,
        Err(_) => u32::MAX,
    }
}

/// Whole seconds, for what SIP counts in seconds; rounded up.
pub(crate) fn seconds(time: Duration) -> u32 {
    let whole = time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0));
    u32::try_from(whole).unwrap_or(u32::MAX)
}

impl Body {
    /// A body of any type.
    pub fn new(content_type: &str, data: impl Into<Vec<u8>>) -> Self {
        Self {
            content_type: content_type.into(),
            data: data.into(),
        }
    }

    /// A session description (`application/sdp`). Lines may end in LF alone: the host sends CRLF.
    pub fn sdp(text: impl Into<String>) -> Self {
        Self::new("application/sdp", text.into())
    }

    /// Plain text.
    pub fn plain(text: impl Into<String>) -> Self {
        Self::new("text/plain;charset=utf-8", text.into())
    }

    /// The data as text; bytes that are not UTF-8 become U+FFFD.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.data).into_owned()
    }

    /// Is it of this MIME type? Parameters and case are ignored.
    pub fn is(&self, content_type: &str) -> bool {
        let bare = self.content_type.split(';').next().unwrap_or_default();
        bare.trim().eq_ignore_ascii_case(content_type)
    }
}

/// Text is taken for a session description, as the seed's `sdp` parameter.
impl From<&str> for Body {
    fn from(text: &str) -> Self {
        Self::sdp(text)
    }
}

/// Text is taken for a session description, as the seed's `sdp` parameter.
impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::sdp(text)
    }
}

impl Header {
    /// One header field.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
        }
    }
}

/// A status with its usual reason phrase.
impl From<u16> for Status {
    fn from(code: u16) -> Self {
        Self {
            code,
            reason: String::new(),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.reason)
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "this flow",
            Self::Remote => "the peer",
            Self::Host => "the host",
        })
    }
}

impl fmt::Display for HangupInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ended the call", self.by)?;
        if let Some(status) = &self.status {
            write!(f, " with {status}")?;
        }
        if let Some(cause) = self.q850 {
            write!(f, ", cause {cause}")?;
        }
        if let Some(text) = &self.text {
            write!(f, ": {text}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Destination => f.write_str("the dial rules do not allow this destination"),
            Self::Capability(what) => write!(f, "{what}"),
            Self::Limit(which) => write!(f, "over the limit {which}"),
            Self::Header(which) => write!(f, "header {which} may not be set so"),
            Self::Identity => f.write_str("this caller id is not the tenant's"),
            Self::Draining => f.write_str("the host is shutting down"),
            Self::Other(what) => f.write_str(what),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_cut_not_wrapped_and_never_become_zero() {
        assert_eq!(millis(Duration::ZERO), 0);
        assert_eq!(millis(Duration::from_micros(1)), 1);
        assert_eq!(millis(Duration::from_millis(1_500)), 1_500);
        assert_eq!(millis(Duration::from_secs(u64::MAX)), u32::MAX);
        assert_eq!(seconds(Duration::from_millis(1_001)), 2);
        assert_eq!(seconds(Duration::from_secs(u64::MAX)), u32::MAX);
    }

    #[test]
    fn content_types_compare_without_parameters_and_case() {
        let body = Body::new("Application/SDP ; charset=utf-8", "v=0");
        assert!(body.is("application/sdp"));
        assert!(!body.is("application/sdp-ish"));
        assert!(Body::from("v=0").is("application/sdp"));
    }

    #[test]
    fn a_hangup_reads_as_a_sentence() {
        let info = HangupInfo {
            by: Party::Remote,
            status: Some(Status {
                code: 487,
                reason: "Request Terminated".into(),
            }),
            q850: Some(16),
            text: Some("bye".into()),
        };
        assert_eq!(
            info.to_string(),
            "the peer ended the call with 487 Request Terminated, cause 16: bye"
        );
    }
}
