//! Whole messages in the log, for who asks for it: `--log-level info,sip=trace`.
//!
//! What of a message is shown is for [`crate::pii`] to say. Entry point: [`tell`]. Invariant: while nobody asks it costs one look
//! at the log's level.

use callbox_sip::endpoint::Protocol;

use super::ladder::Peer;
use crate::pii::MessageLine;

/// Logs a message that came or goes.
#[inline]
pub(super) fn tell(sent: bool, protocol: Protocol, peer: &Peer<'_>, message: &[u8]) {
    if tracing::enabled!(target: "sip", tracing::Level::TRACE) {
        write(sent, protocol, peer, message);
    }
}

#[cold]
fn write(sent: bool, protocol: Protocol, peer: &Peer<'_>, message: &[u8]) {
    let (way, protocol) = (if sent { "sent to" } else { "came from" }, protocol.via_name());
    let line = MessageLine(message);
    match peer {
        Peer::Addr(address) => tracing::trace!(target: "sip", "{way} {protocol} {address}: {line}"),
        Peer::Name(host) => tracing::trace!(target: "sip", "{way} {protocol} {host}: {line}"),
    }
}
