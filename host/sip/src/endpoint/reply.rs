//! Where a response goes and how it begins (RFC 3261 §8.2.6, §18.2; RFC 3581).
//!
//! A response repeats Via, From, To, Call-ID and CSeq of its request octet by octet; [`head`] writes them once a
//! transaction, with the top Via completed (`received`, `rport`) and our tag in To. Entry functions: [`path`], [`head`].

use std::net::{IpAddr, SocketAddr};

use super::address::{Path, Protocol};
use super::scope;
use crate::message::{HeaderName, Message, Rport, Via};

/// The path that responses to a request take: §18.2.2, with `rport` of RFC 3581. A `maddr` that its sender may not name
/// ([`scope`]) is passed over, a group's always: nobody gets responses to what he did not ask for.
pub(crate) fn path(via: Option<&Via<'_>>, from: &Path) -> Path {
    let mut to = *from;
    let Some(via) = via else { return to };
    let sent_by_port = via.port.unwrap_or(from.protocol.default_port());
    if from.protocol == Protocol::Udp {
        let maddr = via.maddr().and_then(literal);
        if let Some(ip) = maddr.filter(|ip| scope::may_name(from.remote.ip(), *ip)) {
            to.remote = SocketAddr::new(ip, sent_by_port);
        } else if via.rport() == Rport::Absent {
            to.remote.set_port(sent_by_port);
        }
    }
    to
}

fn literal(text: &[u8]) -> Option<IpAddr> {
    let inner = text
        .strip_prefix(b"[")
        .and_then(|t| t.strip_suffix(b"]"))
        .unwrap_or(text);
    std::str::from_utf8(inner).ok()?.parse().ok()
}

/// The lines that every response to `request` begins with. What is missing in the request is left out.
pub(crate) fn head(request: &Message, from: &Path, tag: &[u8], out: &mut Vec<u8>) {
    let mut first = true;
    for value in request.headers(HeaderName::Via) {
        out.extend_from_slice(b"Via: ");
        match request.top_via() {
            Ok(via) if first => top_via(value, &via, from, out),
            _ => out.extend_from_slice(value),
        }
        out.extend_from_slice(b"\r\n");
        first = false;
    }
    if let Some(value) = request.header(HeaderName::From) {
        line(out, b"From: ", value);
    }
    if let Some(value) = request.header(HeaderName::To) {
        out.extend_from_slice(b"To: ");
        out.extend_from_slice(value);
        if request.to().is_ok_and(|to| to.tag().is_none()) {
            out.extend_from_slice(b";tag=");
            out.extend_from_slice(tag);
        }
        out.extend_from_slice(b"\r\n");
    }
    if let Some(value) = request.header(HeaderName::CallId) {
        line(out, b"Call-ID: ", value);
    }
    if let Some(value) = request.header(HeaderName::CSeq) {
        line(out, b"CSeq: ", value);
    }
}

/// Writes the first Via field with `rport` filled and `received` added to its first element.
fn top_via(field: &[u8], via: &Via<'_>, from: &Path, out: &mut Vec<u8>) {
    // `via.raw` is a part of `field`: what follows it are further elements of the list.
    let start = (via.raw.as_ptr() as usize).saturating_sub(field.as_ptr() as usize);
    let end = (start + via.raw.len()).min(field.len());
    let rport = match via.rport() {
        Rport::Asked => via.params.get("rport"),
        _ => None,
    };
    match rport {
        Some(param) => {
            let name_end =
                (param.name.as_ptr() as usize + param.name.len()).saturating_sub(via.raw.as_ptr() as usize);
            out.extend_from_slice(via.raw.get(..name_end).unwrap_or(via.raw));
            out.push(b'=');
            out.extend_from_slice(from.remote.port().to_string().as_bytes());
            let rest = via.raw.get(name_end..).unwrap_or_default();
            // `rport=` without a value comes from real peers; its `=` is ours already.
            out.extend_from_slice(rest.strip_prefix(b"=").unwrap_or(rest));
        }
        None => out.extend_from_slice(via.raw),
    }
    let source = from.remote.ip().to_canonical();
    let differs = via.host.ip().is_none_or(|ip| ip.to_canonical() != source);
    if (differs || rport.is_some()) && !via.params.has("received") {
        out.extend_from_slice(b";received=");
        out.extend_from_slice(source.to_string().as_bytes());
    }
    out.extend_from_slice(field.get(end..).unwrap_or_default());
}

fn line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}
