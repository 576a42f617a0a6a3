//! One element of a Via header (RFC 3261 §20.42, RFC 3581).

use std::net::IpAddr;

use super::{
    HeaderError, HeaderName,
    params::Params,
    scan::{self, cut, is_token_byte, rest, take_while, trim, trim_start},
    uri::Host,
};

/// One hop. White space may stand round every separator; any token is a transport.
#[derive(Debug, Clone, Copy)]
pub struct Via<'a> {
    /// The whole element as written.
    pub raw: &'a [u8],
    /// The version as written. Validation wants `2.0`; a 505 has to find its way back without it.
    pub version: &'a [u8],
    /// The transport as written: `UDP`, `TLS-SCTP`, …
    pub transport: &'a [u8],
    /// Host of the sent-by.
    pub host: Host<'a>,
    /// Port of the sent-by, when written.
    pub port: Option<u16>,
    /// All parameters.
    pub params: Params<'a>,
}

/// The `rport` parameter (RFC 3581 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rport {
    /// Not there.
    Absent,
    /// There without a value: the client asks for the source port.
    Asked,
    /// Filled by a server.
    Port(u16),
}

impl<'a> Via<'a> {
    /// Reads one element of a Via list.
    ///
    /// # Errors
    /// [`HeaderError::Malformed`] when protocol, version, transport or sent-by cannot be read.
    pub fn parse(raw: &'a [u8]) -> Result<Self, HeaderError> {
        const fn bad(why: &'static str) -> HeaderError {
            HeaderError::malformed(HeaderName::Via, why)
        }
        fn slash(b: &[u8]) -> Option<&[u8]> {
            trim_start(b).strip_prefix(b"/").map(trim_start)
        }
        let raw = trim(raw);
        let (protocol, b) = take_while(raw, is_token_byte);
        let (version, b) = take_while(slash(b).ok_or(bad("no protocol"))?, is_token_byte);
        if !protocol.eq_ignore_ascii_case(b"SIP") || version.is_empty() {
            return Err(bad("protocol is not SIP"));
        }
        let (transport, b) = take_while(slash(b).ok_or(bad("no transport"))?, is_token_byte);
        let sent_by = trim_start(b);
        if transport.is_empty() || sent_by.len() == b.len() {
            return Err(bad("no transport"));
        }
        let end = memchr::memchr(b';', sent_by).unwrap_or(sent_by.len());
        let (host, port) = Host::parse_with_port(trim(cut(sent_by, 0, end))).map_err(|_| bad("sent-by"))?;
        Ok(Self {
            raw,
            version,
            transport,
            host,
            port,
            params: Params::new(rest(sent_by, end)),
        })
    }

    /// The branch; `None` when it is missing or empty (RFC 2543 peers).
    #[must_use]
    pub fn branch(&self) -> Option<&'a [u8]> {
        self.params.value("branch").filter(|b| !b.is_empty())
    }

    /// The `received` address, with or without brackets (RFC 5118 §4.5). `None` also when it is no address.
    #[must_use]
    pub fn received(&self) -> Option<IpAddr> {
        let value = self.params.value("received")?;
        let inner = value
            .strip_prefix(b"[")
            .and_then(|v| v.strip_suffix(b"]"))
            .unwrap_or(value);
        std::str::from_utf8(inner).ok()?.parse().ok()
    }

    /// The `maddr` parameter as written.
    #[must_use]
    pub fn maddr(&self) -> Option<&'a [u8]> {
        self.params.value("maddr")
    }

    /// The `rport` parameter. A value that is no port counts as absent.
    #[must_use]
    pub fn rport(&self) -> Rport {
        match self.params.get("rport") {
            None => Rport::Absent,
            Some(p) => match p.value {
                None | Some([]) => Rport::Asked,
                Some(v) => match scan::digits(v).and_then(|n| u16::try_from(n).ok()) {
                    Some(port) => Rport::Port(port),
                    None => Rport::Absent,
                },
            },
        }
    }

    /// Strict reading of the parameters, for validation.
    pub(crate) fn check(&self) -> Result<(), HeaderError> {
        let bad = |why| HeaderError::malformed(HeaderName::Via, why);
        if self.version != b"2.0" {
            return Err(bad("version is not 2.0"));
        }
        // `rport=` without a value comes from real peers and reads as `rport`.
        match self.params.check() {
            Err("parameter without a value after `=`") => Ok(()),
            other => other.map_err(bad),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn folds_and_spaces_round_every_separator() {
        let v = Via::parse(b"SIP  / 2.0\r\n /UDP\r\n\t192.0.2.2 : 5061 ;\r\n  branch  =   390skdjuw ; rport")
            .unwrap();
        assert_eq!(v.transport, b"UDP");
        assert_eq!((v.host.to_string().as_str(), v.port), ("192.0.2.2", Some(5061)));
        assert_eq!(v.branch(), Some(&b"390skdjuw"[..]));
        assert_eq!(v.rport(), Rport::Asked);
    }

    #[test]
    fn received_with_ipv6_before_the_branch() {
        for text in ["received=[2001:db8::9:255]", "received=2001:db8::9:255"] {
            let raw = format!("SIP/2.0/UDP [2001:db8::9:1];{text};branch=z9hG4bKas3-111;rport=4321");
            let v = Via::parse(raw.as_bytes()).unwrap();
            assert_eq!(v.received(), Some("2001:db8::9:255".parse().unwrap()));
            assert_eq!(v.branch(), Some(&b"z9hG4bKas3-111"[..]));
            assert_eq!(v.rport(), Rport::Port(4321));
        }
    }

    #[test]
    fn malformed() {
        for bad in [
            &b""[..],
            b"SIP/2.0/UDP",
            b"SIP/2.0/UDP ",
            b"SIP//UDP h",
            b"HTTP/2.0/UDP h",
            b"SIP/2.0 h",
            b"SIP/2.0/ h",
            b"SIP/2.0/UDP ;branch=x",
            b"SIP/2.0/UDP h:x",
            b"SIP/2.0/UDP 2001:db8::1;branch=x",
            b";",
            b"SIP/2.0/UDPh",
        ] {
            assert!(Via::parse(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }
}
