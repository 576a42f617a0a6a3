//! Where a peer may have us send: Contact, Record-Route and `maddr` of whoever calls or notifies.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod peer;

use std::net::SocketAddr;
use std::time::Duration;

use callbox_sip::endpoint::{AddressFilter, Destination, PartyAddress, Protocol, SubscribeRequest};
use peer::{Peer, SDP, Sent, sdp, to};

/// None of these may be named from 192.0.2.1.
const NEARER: [&str; 9] = [
    "127.0.0.1:8080",
    "[::1]:8080",
    "169.254.169.254:80",
    "10.0.0.1:25",
    "192.168.1.7:5060",
    "[fd00::1]:5060",
    "224.0.1.75:5060",
    "255.255.255.255:5060",
    "0.0.0.0:5060",
];

fn source() -> SocketAddr {
    "192.0.2.1:5060".parse().unwrap()
}

/// A call that comes with these lines and is answered; gives our BYE.
fn bye_after(mut peer: Peer, lines: &[&str], source: &str) -> Sent {
    peer.path.remote = source.parse().unwrap();
    peer.send("INVITE", lines, SDP);
    let leg = peer.incoming();
    let (_, sent) = peer.act(|endpoint, now| endpoint.answer(now, leg, &[], sdp()).unwrap());
    let tag = sent[0].to_tag();
    peer.send("ACK", &[&to(&tag)], "");
    let (_, sent) = peer.act(|endpoint, now| endpoint.hangup(now, leg, None).unwrap());
    let bye = sent.into_iter().find(|sent| sent.method() == "BYE").unwrap();
    peer.reply(&bye, "200 OK", "", &[], "");
    peer.assert_quiescent();
    bye
}

#[test]
fn a_caller_names_nothing_that_is_nearer_to_us_than_itself() {
    for named in NEARER {
        for lines in [
            vec![format!("Contact: <sip:alice@{named}>")],
            vec![format!("Record-Route: <sip:{named};lr>")],
        ] {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let bye = bye_after(Peer::new(), &lines, "192.0.2.1:5060");
            assert_eq!(bye.addr(), source(), "{lines:?}");
            assert!(matches!(bye.to, Destination::Path(_)), "the way it came");
        }
    }
    // What it asked for still stands in the request: whoever is there may need it.
    let bye = bye_after(Peer::new(), &["Contact: <sip:alice@10.0.0.1>"], "192.0.2.1:40000");
    assert_eq!(
        (bye.uri().as_str(), bye.addr().port()),
        ("sip:alice@10.0.0.1", 40_000)
    );
}

#[test]
fn a_caller_names_what_is_as_near_as_itself_or_farther() {
    for (source, named) in [
        ("192.0.2.1:5060", "198.51.100.7:5070"),
        ("10.0.0.1:5060", "10.9.9.9:5070"),
        ("10.0.0.1:5060", "198.51.100.7:5070"),
        ("127.0.0.1:5060", "127.0.0.1:5070"),
        ("127.0.0.1:5060", "10.9.9.9:5070"),
    ] {
        let contact = format!("Contact: <sip:alice@{named}>");
        let bye = bye_after(Peer::new(), &[&contact], source);
        assert_eq!(bye.addr(), named.parse().unwrap(), "from {source}");
        let route = format!("Record-Route: <sip:{named};lr>");
        let bye = bye_after(Peer::new(), &[&route], source);
        assert_eq!(bye.addr(), named.parse().unwrap(), "from {source}");
    }
}

/// What a name resolves to is judged by the same rule, where it is resolved.
#[test]
fn a_name_takes_the_rule_along() {
    let bye = bye_after(
        Peer::new(),
        &["Contact: <sip:alice@inside.example>"],
        "192.0.2.1:5060",
    );
    let Destination::Name {
        filter: Some(filter), ..
    } = &bye.to
    else {
        panic!("{:?}", bye.to)
    };
    for named in NEARER {
        assert!(
            !filter.admits(named.parse::<SocketAddr>().unwrap().ip()),
            "{named}"
        );
    }
    assert!(filter.admits("198.51.100.7".parse().unwrap()));
}

/// Not later either, nor after a first Contact that was not followed, whatever carries the messages.
#[test]
fn a_caller_that_moves_names_nothing_nearer() {
    for first in ["192.0.2.1:5060", "127.0.0.1:8080"] {
        for method in ["UPDATE", "INVITE"] {
            let mut peer = Peer::new();
            let contact = format!("Contact: <sip:alice@{first}>");
            peer.send("INVITE", &[&contact], SDP);
            let leg = peer.incoming();
            let (_, sent) = peer.act(|endpoint, now| endpoint.answer(now, leg, &[], sdp()).unwrap());
            let tag = sent[0].to_tag();
            peer.send("ACK", &[&to(&tag)], "");
            let moved = [
                "Contact: <sip:alice@127.0.0.1:9999>",
                &format!("CSeq: 2 {method}"),
                &to(&tag),
            ]
            .map(String::from);
            let moved: Vec<&str> = moved.iter().map(String::as_str).collect();
            assert_eq!(peer.send(method, &moved, SDP).last().unwrap().code(), 200);
            if method == "INVITE" {
                peer.send("ACK", &["CSeq: 2 ACK", &to(&tag)], "");
            }
            let (_, sent) = peer.act(|endpoint, now| endpoint.hangup(now, leg, None).unwrap());
            assert_eq!(sent[0].addr(), source(), "{first} {method}");
            peer.reply(&sent[0], "200 OK", "", &[], "");
            peer.assert_quiescent();
        }
    }
}

#[test]
fn a_stream_that_is_gone_leads_to_its_peer_and_nowhere_nearer() {
    let peer = Peer::with(Protocol::Tcp, |_| {});
    let bye = bye_after(
        peer,
        &["Contact: <sip:alice@127.0.0.1:8080;transport=tcp>"],
        "192.0.2.1:40000",
    );
    assert!(matches!(bye.to, Destination::Path(path) if path.connection.is_some()));
}

#[test]
fn responses_go_to_no_maddr_that_is_nearer_or_a_group() {
    for (maddr, to) in [
        ("127.0.0.1", "192.0.2.1:5060"),
        ("10.0.0.1", "192.0.2.1:5060"),
        ("224.0.1.75", "192.0.2.1:5060"),
        ("198.51.100.7", "198.51.100.7:5060"),
    ] {
        let mut peer = Peer::new();
        let via = format!("Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKm;maddr={maddr}");
        let sent = peer.send("OPTIONS", &[&via], "");
        let everywhere: Vec<SocketAddr> = sent.iter().map(Sent::addr).collect();
        assert!(!everywhere.is_empty());
        assert!(
            everywhere.iter().all(|it| *it == to.parse().unwrap()),
            "{maddr}: {everywhere:?}"
        );
    }
}

/// Nor does who is called.
#[test]
fn who_answers_names_nothing_that_is_nearer_to_us_than_itself() {
    for (contact, goes_to) in [
        ("127.0.0.1:8080", "192.0.2.1:5060"),
        ("10.0.0.1:5060", "192.0.2.1:5060"),
        ("198.51.100.7:5070", "198.51.100.7:5070"),
    ] {
        let mut peer = Peer::new();
        let (leg, invite) = peer.call(|_| {});
        let contact = format!("Contact: <sip:alice@{contact}>");
        let ack = peer.reply(&invite, "200 OK", "b1", &[&contact], SDP);
        let (_, bye) = peer.act(|endpoint, now| endpoint.hangup(now, leg, None).unwrap());
        for sent in [&ack[0], &bye[0]] {
            assert_eq!(sent.addr(), goes_to.parse().unwrap(), "{contact}");
        }
        peer.reply(&bye[0], "200 OK", "", &[], "");
        peer.assert_quiescent();
    }
}

/// Called by a name: what it resolved to is where the answer comes from.
#[test]
fn who_is_called_by_name_names_nothing_nearer_than_it_answers_from() {
    for (source, named, followed) in [
        ("192.0.2.1:5060", "127.0.0.1:8080", false),
        ("192.0.2.1:5060", "10.0.0.1:5060", false),
        ("192.0.2.1:5060", "198.51.100.7:5070", true),
        ("10.0.0.1:5060", "10.9.9.9:5070", true),
        ("127.0.0.1:5060", "127.0.0.1:5070", true),
    ] {
        for early in [false, true] {
            let mut peer = Peer::new();
            peer.path.remote = source.parse().unwrap();
            let (leg, invite) = peer.call(|request| request.uri = "sip:alice@peer.example".into());
            let is_name =
                |sent: &Sent| matches!(&sent.to, Destination::Name { host, .. } if &**host == "peer.example");
            assert!(is_name(&invite), "{:?}", invite.to);
            let contact = format!("Contact: <sip:alice@{named}>");
            if early {
                peer.reply(&invite, "180 Ringing", "b1", &[&contact], "");
            }
            let ack = peer.reply(&invite, "200 OK", "b1", &[&contact], SDP);
            // And not by moving there later.
            let lines = [
                "From: <sip:alice@peer.example>;tag=b1".to_owned(),
                format!("To: {}", invite.header("From")),
                format!("Call-ID: {}", invite.header("Call-ID")),
                contact.clone(),
            ];
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            assert_eq!(peer.send("UPDATE", &lines, "").last().unwrap().code(), 200);
            let (_, bye) = peer.act(|endpoint, now| endpoint.hangup(now, leg, None).unwrap());
            for sent in [&ack[0], &bye[0]] {
                match followed {
                    true => assert_eq!(sent.addr(), named.parse().unwrap(), "{source}"),
                    false => assert!(is_name(sent), "{source} {named} {:?}", sent.to),
                }
            }
            peer.reply(&bye[0], "200 OK", "", &[], "");
            peer.assert_quiescent();
        }
    }
}

/// A notifier's Contact leads only where whoever subscribed may send, too.
#[test]
fn a_notifier_is_under_the_rule_of_who_subscribed() {
    for (contact, goes_to) in [
        ("198.51.100.7:5070", "198.51.100.7:5070"),
        ("203.0.113.9:5070", "192.0.2.1:5060"),
        ("127.0.0.1:5070", "192.0.2.1:5060"),
    ] {
        let mut peer = Peer::new();
        let filter = AddressFilter::new(|address| address != std::net::IpAddr::from([203, 0, 113, 9]));
        let next_hop = Destination::of_uri(b"sip:192.0.2.1")
            .unwrap()
            .under(Some(&filter));
        let request = SubscribeRequest {
            uri: "sip:alice@192.0.2.1".into(),
            from: PartyAddress::default(),
            event: "presence".into(),
            expires: 160,
            refresh: None,
            accept: vec![],
            body: None,
            headers: vec![],
            credentials: vec![],
            contact_user: None,
            next_hop,
            timeout: Duration::from_secs(15),
        };
        let (id, sent) = peer.act(|endpoint, now| endpoint.subscribe(now, request).unwrap());
        let first = sent[0].clone();
        peer.reply(&first, "200 OK", "n1", &["Expires: 160"], "");
        let lines = [
            "From: <sip:alice@192.0.2.1>;tag=n1".to_owned(),
            format!("To: {}", first.header("From")),
            format!("Call-ID: {}", first.header("Call-ID")),
            format!("Contact: <sip:alice@{contact}>"),
            "Event: presence".into(),
            "Subscription-State: active;expires=160".into(),
        ];
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert_eq!(peer.send("NOTIFY", &lines, "").last().unwrap().code(), 200);
        let (_, sent) = peer.act(|endpoint, now| endpoint.unsubscribe(now, id).unwrap());
        assert_eq!(sent[0].addr(), goes_to.parse().unwrap(), "{contact}");
        peer.reply(&sent[0], "481 Gone", "", &[], "");
        peer.assert_quiescent();
    }
}
