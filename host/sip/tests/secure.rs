//! Calls under TLS: which Contact we show, and which connection requests go back by.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod peer;

use std::net::SocketAddr;

use callbox_sip::endpoint::{Destination, Protocol};
use peer::{Peer, SDP, Sent, sdp, to};

/// A peer under TLS at this address, and the connection that it is heard by.
fn secure(remote: &str) -> Peer {
    let mut peer = Peer::with(Protocol::Tls, |config| {
        config.listeners[0].advertised.set_port(5061);
    });
    peer.path.remote = remote.parse().unwrap();
    peer
}

fn is_way(sent: &Sent) -> bool {
    matches!(sent.to, Destination::Path(path) if path.connection.is_some())
}

/// We hang up a call to `uri` that was answered with these lines; gives INVITE, ACK and BYE.
fn called(peer: &mut Peer, uri: &str, lines: &[&str]) -> (Sent, Sent, Sent) {
    let (leg, invite) = peer.call(|request| request.uri = uri.into());
    let ack = peer.reply(&invite, "200 OK", "b1", lines, SDP)[0].clone();
    let (_, sent) = peer.act(|endpoint, now| endpoint.hangup(now, leg, None).unwrap());
    peer.reply(&sent[0], "200 OK", "", &[], "");
    peer.assert_quiescent();
    (invite, ack, sent[0].clone())
}

#[test]
fn a_contact_is_sips_where_the_peer_was_called_by_sips() {
    for (uri, contact) in [
        ("sips:alice@192.0.2.1", "<sips:192.0.2.9:5061>"),
        (
            "sip:alice@192.0.2.1;transport=tls",
            "<sip:192.0.2.9:5061;transport=tls>",
        ),
    ] {
        let mut peer = secure("192.0.2.1:5061");
        let scheme = uri.split(':').next().unwrap();
        let theirs = format!("Contact: <{scheme}:alice@192.0.2.1:5061;transport=tls>");
        let (invite, ..) = called(&mut peer, uri, &[&theirs]);
        assert_eq!(invite.to.protocol(), Protocol::Tls, "{uri}");
        assert_eq!(invite.addr(), "192.0.2.1:5061".parse::<SocketAddr>().unwrap());
        assert!(
            invite.header("Via").starts_with("SIP/2.0/TLS 192.0.2.9:5061;"),
            "{uri}"
        );
        assert_eq!(invite.header("Contact"), contact);
    }
    for (theirs, ours) in [
        ("sips:alice@192.0.2.1", "<sips:192.0.2.9:5061>"),
        (
            "sip:alice@192.0.2.1;transport=tls",
            "<sip:192.0.2.9:5061;transport=tls>",
        ),
    ] {
        let mut peer = secure("192.0.2.1:40000");
        peer.send("INVITE", &[&format!("Contact: <{theirs}>")], SDP);
        let leg = peer.incoming();
        let (_, sent) = peer.act(|endpoint, now| endpoint.answer(now, leg, &[], sdp()).unwrap());
        assert_eq!(sent[0].header("Contact"), ours);
        let tag = sent[0].to_tag();
        peer.send("ACK", &[&to(&tag)], "");
        let (_, sent) = peer.act(|endpoint, now| endpoint.hangup(now, leg, None).unwrap());
        peer.reply(&sent[0], "200 OK", "", &[], "");
        peer.assert_quiescent();
    }
}

/// It has proved its name there; a Contact that is an address would have to prove that.
#[test]
fn who_answers_is_reached_by_the_connection_that_it_answered_by() {
    for lines in [
        vec!["Contact: <sip:alice@192.0.2.1:5061;transport=tls>"],
        vec!["Contact: <sip:alice@192.0.2.1:49152;transport=tls>"],
        vec!["Contact: <sips:alice@192.0.2.1>"],
        vec![
            "Contact: <sip:alice@10.0.0.1;transport=udp>",
            "Record-Route: <sip:192.0.2.1:5061;transport=tls;lr>",
        ],
    ] {
        let mut peer = secure("192.0.2.1:5061");
        let (invite, ack, bye) = called(&mut peer, "sip:alice@peer.example;transport=tls", &lines);
        assert!(matches!(&invite.to, Destination::Name { .. }));
        assert!(
            is_way(&ack) && is_way(&bye),
            "{lines:?}: {:?} {:?}",
            ack.to,
            bye.to
        );
    }
}

#[test]
fn who_names_somebody_else_is_followed_there() {
    for (lines, expected) in [
        (
            ["Contact: <sip:alice@198.51.100.7:5061;transport=tls>"],
            "198.51.100.7:5061",
        ),
        (
            ["Contact: <sip:alice@192.0.2.1:5060;transport=tcp>"],
            "192.0.2.1:5060",
        ),
    ] {
        let mut peer = secure("192.0.2.1:5061");
        let (_, ack, bye) = called(&mut peer, "sip:alice@peer.example;transport=tls", &lines);
        for sent in [&ack, &bye] {
            assert!(!is_way(sent), "{lines:?}");
            assert_eq!(sent.addr(), expected.parse().unwrap());
        }
    }
    // A name has its own connection, which proves that name.
    let mut peer = secure("192.0.2.1:5061");
    let lines = ["Contact: <sip:alice@phone.example;transport=tls>"];
    let (_, _, bye) = called(&mut peer, "sip:alice@peer.example;transport=tls", &lines);
    assert!(matches!(&bye.to, Destination::Name { host, .. } if &**host == "phone.example"));
}

/// A proxy that has connected to us, and has no certificate for its address.
#[test]
fn a_caller_behind_a_proxy_is_reached_by_the_proxys_connection() {
    let mut peer = secure("192.0.2.1:40000");
    peer.send(
        "INVITE",
        &["Record-Route: <sip:192.0.2.1:5061;transport=tls;lr>"],
        SDP,
    );
    let leg = peer.incoming();
    let (_, sent) = peer.act(|endpoint, now| endpoint.answer(now, leg, &[], sdp()).unwrap());
    let tag = sent[0].to_tag();
    peer.send("ACK", &[&to(&tag)], "");
    let (_, sent) = peer.act(|endpoint, now| endpoint.hangup(now, leg, None).unwrap());
    let bye = sent[0].clone();
    assert!(is_way(&bye), "{:?}", bye.to);
    assert!(bye.header("Route").contains("192.0.2.1:5061"));
    peer.reply(&bye, "200 OK", "", &[], "");
    peer.assert_quiescent();
}
