//! From a URI to a destination, and the lines that lead a request there.
//!
//! Knows no DNS: a name stays a name (RFC 3263 is the I/O layer's work).

use std::net::SocketAddr;

use bytes::Bytes;

use super::address::{Destination, ListenerId, Path, Protocol};
use super::command::{Body, Header};
use super::compose::{self, RequestParts};
use super::{Endpoint, face};
use crate::dialog::Dialog;
use crate::message::{Host, Uri};
use crate::rng::Token;
use crate::transaction::key::COOKIE;

/// Call-IDs tried until one hashes to our shard. With this many, missing has a probability below 10⁻⁶ for 64 shards.
const CALL_ID_TRIES: usize = 1_000;

/// Which of `shards` endpoints owns a Call-ID. The same for all parts of a program and all its versions.
#[must_use]
pub fn shard_of(call_id: &[u8], shards: u16) -> u16 {
    // FNV-1a, finished with a multiply so that the high bits depend on all octets.
    let hash = call_id.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mixed = (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    // The product of two 32-bit numbers, shifted back: a fair share for each shard without a division.
    ((mixed * u64::from(shards.max(1))) >> 32) as u16
}

impl Destination {
    /// Where a request to this URI goes when nothing says otherwise; none for what is no SIP URI.
    #[must_use]
    pub fn of_uri(uri: &[u8]) -> Option<Self> {
        Self::of_uri_hinted(uri, None)
    }

    /// The same with a protocol and a listener to stay with. A URI that names no transport keeps the protocol in use:
    /// RFC 3263 would choose UDP, which a peer that speaks to us over a stream may not even have.
    fn of_uri_hinted(uri: &[u8], hint: Option<(Protocol, Option<ListenerId>)>) -> Option<Self> {
        let Ok(Uri::Sip(sip)) = Uri::parse(uri) else {
            return None;
        };
        let named = sip.transport().and_then(protocol_named);
        let protocol = match (sip.secure, named, hint) {
            (true, Some(Protocol::Ws | Protocol::Wss), _) => Protocol::Wss,
            (true, ..) => Protocol::Tls,
            (false, Some(Protocol::Ws), Some((Protocol::Wss, _))) => Protocol::Wss,
            (false, Some(named), _) => named,
            (false, None, Some((hinted, _))) => hinted,
            (false, None, None) => Protocol::Udp,
        };
        let listener = hint
            .filter(|(hinted, _)| *hinted == protocol)
            .and_then(|(_, listener)| listener);
        let maddr = sip
            .params
            .value("maddr")
            .and_then(|maddr| Host::parse(maddr).ok());
        let host = maddr.unwrap_or(sip.host);
        Some(match host.ip() {
            Some(ip) => {
                let addr = SocketAddr::new(ip, sip.port.unwrap_or(protocol.default_port()));
                Destination::Addr {
                    protocol,
                    addr,
                    listener,
                    filter: None,
                }
            }
            None => Destination::Name {
                protocol,
                host: host.name()?.into(),
                port: sip.port,
                listener,
                filter: None,
            },
        })
    }
}

/// The way that a message of the peer came, before the destination that it names, where both lead to one address under TLS:
/// a Contact is seldom what a certificate says, and a peer that has connected to us has often none to show.
pub(crate) fn proved_way_first(named: Destination, way: Option<&Path>) -> (Destination, Option<Destination>) {
    match (&named, way) {
        (
            Destination::Addr {
                protocol: Protocol::Tls,
                addr,
                ..
            },
            Some(way),
        ) if way.protocol == Protocol::Tls && way.connection.is_some() && way.remote.ip() == addr.ip() => {
            (Destination::Path(*way), Some(named))
        }
        _ => (named, None),
    }
}

impl Endpoint {
    /// Where a request to `uri` goes. On a leg, its path says which protocol and listener to stay with.
    pub(crate) fn destination_of(&self, uri: &[u8], path: Option<&Path>) -> Option<Destination> {
        self.destination_hinted(uri, path.map(|path| (path.protocol, Some(path.listener))))
    }

    /// As [`Self::destination_of`], with protocol and listener named.
    pub(crate) fn destination_hinted(
        &self,
        uri: &[u8],
        hint: Option<(Protocol, Option<ListenerId>)>,
    ) -> Option<Destination> {
        Destination::of_uri_hinted(uri, hint)
    }

    /// Writes the Via line of a request of ours.
    pub(crate) fn write_via(&self, out: &mut Vec<u8>, to: &Destination, branch: &Token) {
        let local = match to {
            Destination::Path(path) => Some(path.local),
            _ => None,
        };
        let face = self.faces.toward(to).and_then(|index| self.faces.get(index));
        out.extend_from_slice(b"Via: SIP/2.0/");
        out.extend_from_slice(to.protocol().via_name().as_bytes());
        out.push(b' ');
        face::write_host_port(out, face, local);
        out.extend_from_slice(b";branch=");
        out.extend_from_slice(COOKIE);
        out.extend_from_slice(branch);
        out.extend_from_slice(b";rport\r\n");
    }

    /// Composes a request within a dialog. `extra` are whole lines.
    #[allow(clippy::too_many_arguments)] // All of it is what a request consists of; called from three places.
    pub(crate) fn compose_in_dialog(
        &mut self,
        dialog: &Dialog,
        method: &str,
        seq: u32,
        branch: &Token,
        extra: &[u8],
        headers: &[Header],
        body: Option<&Body>,
    ) -> Bytes {
        let mut lines = std::mem::take(&mut self.lines);
        lines.clear();
        self.write_via(&mut lines, &dialog.destination, branch);
        dialog.routes.write_lines(&dialog.target, &mut lines);
        lines.extend_from_slice(&dialog.head);
        lines.extend_from_slice(extra);
        lines.extend_from_slice(&self.agent_line);
        let uri = dialog.routes.request_uri(&dialog.target);
        let request = compose::request(
            &mut self.scratch,
            &RequestParts {
                method,
                uri,
                lines: &lines,
                seq,
                headers,
                body,
            },
        );
        self.lines = lines;
        request
    }

    /// The key under which responses find a request with this branch.
    pub(crate) fn client_key(&self, branch: &Token, method: &str) -> u128 {
        let mut full = [0_u8; COOKIE.len() + 16];
        for (slot, byte) in full.iter_mut().zip(COOKIE.iter().chain(branch)) {
            *slot = *byte;
        }
        self.keys.client(&full, method)
    }

    /// A Call-ID that hashes to this shard.
    pub(crate) fn fresh_call_id(&mut self) -> Token {
        let mut token = self.random.token();
        for _ in 0..CALL_ID_TRIES {
            if shard_of(&token, self.config.shards) == self.config.shard {
                break;
            }
            token = self.random.token();
        }
        token
    }
}

fn protocol_named(name: &[u8]) -> Option<Protocol> {
    let table: [(&[u8], Protocol); 4] = [
        (b"udp", Protocol::Udp),
        (b"tcp", Protocol::Tcp),
        (b"tls", Protocol::Tls),
        (b"ws", Protocol::Ws),
    ];
    table
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, protocol)| *protocol)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_share_call_ids_fairly_and_always_in_the_same_way() {
        let mut counts = [0_u32; 4];
        for n in 0..4_000 {
            let shard = shard_of(format!("{n}-25@192.0.2.1").as_bytes(), 4);
            if let Some(count) = counts.get_mut(usize::from(shard)) {
                *count += 1;
            }
        }
        assert!(
            counts.iter().all(|count| (800..1_200).contains(count)),
            "{counts:?}"
        );
        assert_eq!(shard_of(b"anything", 1), 0);
        assert_eq!(shard_of(b"anything", 0), 0);
    }
}
