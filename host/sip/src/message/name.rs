//! Header names: the table of those that have a meaning here, with their compact forms.
//!
//! It knows names only, not what their values look like. A name outside the table is [`HeaderName::Other`] and stays
//! reachable through [`Message::headers_named`](super::Message::headers_named). The table is ordered by length, so
//! that a lookup compares a name with the few entries of the same length and first letter.

use std::fmt;

macro_rules! header_names {
    ($($variant:ident $text:literal $rfc:literal,)*) => {
        /// A header that this crate knows by name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum HeaderName {
            $(#[doc = concat!("`", $text, "` (", $rfc, ").")] $variant,)*
            /// Any name that is not in the table.
            Other,
        }

        /// Every known name in the order of the enum, shortest first.
        const TABLE: &[(&str, HeaderName)] = &[$(($text, HeaderName::$variant),)*];

        impl HeaderName {
            /// The name as this crate writes it; empty for [`HeaderName::Other`].
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(HeaderName::$variant => $text,)*
                    HeaderName::Other => "",
                }
            }
        }
    };
}

header_names! {
    To "To" "RFC 3261 §20.39",
    Via "Via" "RFC 3261 §20.42",
    From "From" "RFC 3261 §20.20",
    CSeq "CSeq" "RFC 3261 §20.16",
    RSeq "RSeq" "RFC 3262 §7.1",
    RAck "RAck" "RFC 3262 §7.2",
    Date "Date" "RFC 3261 §20.17",
    Path "Path" "RFC 3327 §4",
    Join "Join" "RFC 3911 §7.1",
    Allow "Allow" "RFC 3261 §20.5",
    Route "Route" "RFC 3261 §20.34",
    Event "Event" "RFC 6665 §8.2.1",
    Accept "Accept" "RFC 3261 §20.1",
    Reason "Reason" "RFC 3326 §2",
    Server "Server" "RFC 3261 §20.35",
    MinSe "Min-SE" "RFC 4028 §5",
    CallId "Call-ID" "RFC 3261 §20.8",
    Contact "Contact" "RFC 3261 §20.10",
    Require "Require" "RFC 3261 §20.32",
    Expires "Expires" "RFC 3261 §20.19",
    Subject "Subject" "RFC 3261 §20.36",
    Warning "Warning" "RFC 3261 §20.43",
    Privacy "Privacy" "RFC 3323 §4.2",
    SipETag "SIP-ETag" "RFC 3903 §11.3.1",
    ReferTo "Refer-To" "RFC 3515 §2.1",
    Priority "Priority" "RFC 3261 §20.26",
    ReplyTo "Reply-To" "RFC 3261 §20.31",
    Replaces "Replaces" "RFC 3891 §6.1",
    Identity "Identity" "RFC 8224 §4",
    CallInfo "Call-Info" "RFC 3261 §20.9",
    ReferSub "Refer-Sub" "RFC 4488 §4",
    Timestamp "Timestamp" "RFC 3261 §20.38",
    Supported "Supported" "RFC 3261 §20.37",
    Diversion "Diversion" "RFC 5806 §6",
    RecvInfo "Recv-Info" "RFC 6086 §7.2",
    AlertInfo "Alert-Info" "RFC 3261 §20.4",
    UserAgent "User-Agent" "RFC 3261 §20.41",
    ErrorInfo "Error-Info" "RFC 3261 §20.18",
    InReplyTo "In-Reply-To" "RFC 3261 §20.21",
    ReferredBy "Referred-By" "RFC 3892 §3",
    MinExpires "Min-Expires" "RFC 3261 §20.23",
    RetryAfter "Retry-After" "RFC 3261 §20.33",
    Unsupported "Unsupported" "RFC 3261 §20.40",
    SipIfMatch "SIP-If-Match" "RFC 3903 §11.3.2",
    HistoryInfo "History-Info" "RFC 7044 §5",
    ContentType "Content-Type" "RFC 3261 §20.15",
    MimeVersion "MIME-Version" "RFC 3261 §20.24",
    MaxForwards "Max-Forwards" "RFC 3261 §20.22",
    RecordRoute "Record-Route" "RFC 3261 §20.30",
    Organization "Organization" "RFC 3261 §20.25",
    InfoPackage "Info-Package" "RFC 6086 §7.2",
    AllowEvents "Allow-Events" "RFC 6665 §8.2.2",
    ProxyRequire "Proxy-Require" "RFC 3261 §20.29",
    Authorization "Authorization" "RFC 3261 §20.7",
    ServiceRoute "Service-Route" "RFC 3608 §5",
    AcceptContact "Accept-Contact" "RFC 3841 §9.2",
    RejectContact "Reject-Contact" "RFC 3841 §9.2",
    ContentLength "Content-Length" "RFC 3261 §20.14",
    AcceptEncoding "Accept-Encoding" "RFC 3261 §20.2",
    AcceptLanguage "Accept-Language" "RFC 3261 §20.3",
    SessionExpires "Session-Expires" "RFC 4028 §4",
    RemotePartyId "Remote-Party-ID" "draft-ietf-sip-privacy-04",
    ContentEncoding "Content-Encoding" "RFC 3261 §20.12",
    ContentLanguage "Content-Language" "RFC 3261 §20.13",
    WwwAuthenticate "WWW-Authenticate" "RFC 3261 §20.44",
    SubscriptionState "Subscription-State" "RFC 6665 §8.2.3",
    ProxyAuthenticate "Proxy-Authenticate" "RFC 3261 §20.27",
    RequestDisposition "Request-Disposition" "RFC 3841 §9.1",
    AuthenticationInfo "Authentication-Info" "RFC 3261 §20.6",
    ContentDisposition "Content-Disposition" "RFC 3261 §20.11",
    PAssertedIdentity "P-Asserted-Identity" "RFC 3325 §9.1",
    ProxyAuthorization "Proxy-Authorization" "RFC 3261 §20.28",
    PPreferredIdentity "P-Preferred-Identity" "RFC 3325 §9.2",
}

/// Longest known name, octets.
const LONGEST: usize = 20;

/// `STARTS[n]` is the index in `TABLE` of the first name with at least `n` octets.
const STARTS: [usize; LONGEST + 2] = {
    let mut starts = [TABLE.len(); LONGEST + 2];
    let mut i = TABLE.len();
    // Indices of constant tables, bounded by the loops' own conditions and checked by the compiler.
    #[allow(clippy::indexing_slicing)]
    while i > 0 {
        i -= 1;
        let mut n = 0;
        while n <= TABLE[i].0.len() {
            starts[n] = i;
            n += 1;
        }
    }
    starts
};

impl HeaderName {
    /// Finds a name, compact forms included, in any letter case.
    #[must_use]
    pub fn lookup(name: &[u8]) -> Self {
        if let [letter] = name {
            return Self::compact(*letter);
        }
        let n = name.len();
        let (Some(&from), Some(&to), Some(first)) = (STARTS.get(n), STARTS.get(n + 1), name.first()) else {
            return Self::Other;
        };
        let first = first.to_ascii_lowercase();
        for (text, known) in TABLE.get(from..to).unwrap_or_default() {
            let text = text.as_bytes();
            if text.first().is_some_and(|c| c.to_ascii_lowercase() == first)
                && text.eq_ignore_ascii_case(name)
            {
                return *known;
            }
        }
        Self::Other
    }

    /// The header of a one-letter compact form (RFC 3261 §7.3.3 and the RFCs that add to it).
    const fn compact(letter: u8) -> Self {
        match letter.to_ascii_lowercase() {
            b'a' => Self::AcceptContact,
            b'b' => Self::ReferredBy,
            b'c' => Self::ContentType,
            b'd' => Self::RequestDisposition,
            b'e' => Self::ContentEncoding,
            b'f' => Self::From,
            b'i' => Self::CallId,
            b'j' => Self::RejectContact,
            b'k' => Self::Supported,
            b'l' => Self::ContentLength,
            b'm' => Self::Contact,
            b'o' => Self::Event,
            b'r' => Self::ReferTo,
            b's' => Self::Subject,
            b't' => Self::To,
            b'u' => Self::AllowEvents,
            b'v' => Self::Via,
            b'x' => Self::SessionExpires,
            b'y' => Self::Identity,
            _ => Self::Other,
        }
    }

    /// Whether several fields of this name, or a comma list in one, may stand in a message. The headers for which
    /// this is `false` and that steer the protocol are rejected when they come twice (RFC 4475 §3.3.8).
    #[must_use]
    pub const fn is_single(self) -> bool {
        matches!(
            self,
            Self::To
                | Self::From
                | Self::CallId
                | Self::CSeq
                | Self::MaxForwards
                | Self::ContentLength
                | Self::ContentType
                | Self::Expires
                | Self::MinExpires
                | Self::RAck
                | Self::RSeq
                | Self::Event
                | Self::SubscriptionState
                | Self::SessionExpires
                | Self::MinSe
                | Self::ReferTo
                | Self::ReferredBy
                | Self::ReferSub
                | Self::Replaces
                | Self::Date
                | Self::Timestamp
        )
    }
}

impl AsRef<str> for HeaderName {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Other => "unknown header",
            known => known.as_str(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_ordered_by_length_and_each_name_finds_itself() {
        assert!(TABLE.is_sorted_by_key(|(text, _)| text.len()));
        assert_eq!(TABLE.last().map(|(text, _)| text.len()), Some(LONGEST));
        for (text, known) in TABLE {
            assert_eq!(HeaderName::lookup(text.as_bytes()), *known, "{text}");
            assert_eq!(HeaderName::lookup(text.to_ascii_uppercase().as_bytes()), *known);
            assert_eq!(HeaderName::lookup(text.to_ascii_lowercase().as_bytes()), *known);
            assert_eq!(known.as_str(), *text);
        }
    }

    #[test]
    fn compact_forms() {
        for (short, long) in [
            ("v", HeaderName::Via),
            ("F", HeaderName::From),
            ("t", HeaderName::To),
            ("i", HeaderName::CallId),
            ("m", HeaderName::Contact),
            ("L", HeaderName::ContentLength),
            ("c", HeaderName::ContentType),
            ("k", HeaderName::Supported),
            ("x", HeaderName::SessionExpires),
            ("r", HeaderName::ReferTo),
            ("o", HeaderName::Event),
            ("z", HeaderName::Other),
        ] {
            assert_eq!(HeaderName::lookup(short.as_bytes()), long);
        }
    }

    #[test]
    fn what_is_not_in_the_table_is_other() {
        for name in [
            "",
            "X-Via",
            "Vib",
            "Contakt",
            "A-Name-Longer-Than-Every-Name-In-The-Table",
        ] {
            assert_eq!(HeaderName::lookup(name.as_bytes()), HeaderName::Other);
        }
    }
}
