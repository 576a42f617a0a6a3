//! Replaces, both ways: RFC 3891.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod net;
mod peer;

use std::time::Duration;

use callbox_sip::endpoint::{EndpointError, Event, Header, LegEvent, Replaced, shard_of};
use callbox_sip::message::Replaces;
use net::{Net, Wire, invite_to};
use peer::{Peer, SDP, Sent, sdp};

/// An INVITE of another call with this Replaces.
fn replacing(peer: &mut Peer, value: &str, more: &str) -> Vec<Sent> {
    let line = format!("Replaces: {value}");
    let from = "From: <sip:carol@192.0.2.3>;tag=c1";
    let branches = peer.sent.len();
    let call_id = format!("Call-ID: other-{branches}@192.0.2.3");
    peer.send("INVITE", &[&line, from, &call_id, more], SDP)
}

fn replaced(peer: &Peer) -> Option<Replaced> {
    match peer.events.last() {
        Some(Event::Incoming { replaces, .. }) => *replaces,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_invite_that_replaces_an_answered_call_names_its_leg() {
    let mut peer = Peer::new();
    let (leg, tag) = peer.talking();
    peer.leg_events();
    let value = format!("call-1@192.0.2.1;to-tag={tag};from-tag=a1");
    assert!(replacing(&mut peer, &value, "Require: replaces").is_empty());
    assert_eq!(replaced(&peer), Some(Replaced::Leg(leg)));
    // Taking the place of the other is the host's work.
    let new = peer.incoming();
    assert_ne!(new, leg);
    let (_, sent) = peer.act(|endpoint, now| {
        endpoint.answer(now, new, &[], sdp()).unwrap();
        endpoint.hangup(now, leg, None).unwrap();
    });
    assert_eq!(
        sent.iter().map(Sent::method).collect::<Vec<_>>(),
        ["INVITE", "BYE"]
    );
    assert!(sent[0].header("Supported").contains("replaces"));
    // An INVITE without Replaces names nothing.
    let mut plain = Peer::new();
    plain.send("INVITE", &[], SDP);
    assert_eq!(replaced(&plain), None);
}

#[test]
fn what_cannot_be_replaced_is_refused_as_the_rfc_says() {
    let mut peer = Peer::new();
    let (leg, tag) = peer.talking();
    peer.leg_events();
    let good = format!("call-1@192.0.2.1;to-tag={tag};from-tag=a1");
    let table = [
        ("nobody@h;to-tag=1;from-tag=2".to_owned(), "", 481),
        (format!("call-1@192.0.2.1;to-tag=a1;from-tag={tag}"), "", 481),
        ("call-1@192.0.2.1;to-tag=1".to_owned(), "", 400),
        (format!("{good}\r\nReplaces: {good}"), "", 400),
        (good.clone(), "Join: x@h;to-tag=1;from-tag=2", 400),
    ];
    for (value, more, code) in table {
        let sent = replacing(&mut peer, &value, more);
        assert_eq!(
            sent.iter().map(Sent::code).collect::<Vec<_>>(),
            [code],
            "{value} {more}"
        );
        assert!(peer.events.is_empty());
    }
    // These two are the host's to refuse: who may know of the call is not known here.
    assert!(replacing(&mut peer, &format!("{good};early-only"), "").is_empty());
    assert_eq!(replaced(&peer), Some(Replaced::Kept { leg, code: 486 }));
    // Over, though our BYE has no answer yet.
    peer.act(|endpoint, now| endpoint.hangup(now, leg, None).unwrap());
    assert!(replacing(&mut peer, &good, "").is_empty());
    assert_eq!(replaced(&peer), Some(Replaced::Kept { leg, code: 603 }));
}

#[test]
fn a_call_that_rings_may_be_replaced_only_by_the_one_who_began_it() {
    let mut peer = Peer::new();
    peer.send("INVITE", &[], SDP);
    let leg = peer.incoming();
    let (_, sent) = peer.act(|endpoint, now| endpoint.progress(now, leg, 180, None, &[], None).unwrap());
    let value = format!("call-1@192.0.2.1;to-tag={};from-tag=a1", sent[0].to_tag());
    assert_eq!(replacing(&mut peer, &value, "")[0].code(), 481);

    let mut peer = Peer::new();
    let (leg, invite) = peer.call(|_| {});
    peer.reply(
        &invite,
        "180 Ringing",
        "r1",
        &["Contact: <sip:alice@192.0.2.1:5060>"],
        "",
    );
    let from = invite.header("From");
    let ours = from.split("tag=").nth(1).unwrap();
    let value = format!(
        "{};to-tag={ours};from-tag=r1;early-only",
        invite.header("Call-ID")
    );
    assert!(replacing(&mut peer, &value, "").is_empty());
    assert_eq!(replaced(&peer), Some(Replaced::Leg(leg)));
}

#[test]
fn a_call_of_another_shard_is_asked_for_there() {
    let shards = 4;
    let call_id = b"call-1@192.0.2.1";
    let home = shard_of(call_id, shards);
    let on = |shard| {
        Peer::with(callbox_sip::endpoint::Protocol::Udp, move |config| {
            (config.shard, config.shards) = (shard, shards);
        })
    };
    let mut other = on((home + 1) % shards);
    assert!(replacing(&mut other, "call-1@192.0.2.1;to-tag=b;from-tag=a1", "").is_empty());
    assert_eq!(replaced(&other), Some(Replaced::Elsewhere { shard: home }));
    let mut owner = on(home);
    let (leg, tag) = owner.talking();
    let ask = |to_tag: &str, early_only| {
        owner.endpoint.replaced(&Replaces {
            call_id,
            to_tag: to_tag.as_bytes(),
            from_tag: b"a1",
            early_only,
        })
    };
    assert_eq!(ask(&tag, false), Replaced::Leg(leg));
    assert_eq!(ask(&tag, true), Replaced::Kept { leg, code: 486 });
    assert_eq!(ask("b", false), Replaced::Unknown);
}

/// Bob (node 0) talks to Carol (2) and tells Alice (1) how to take his place.
#[test]
fn an_attended_transfer_between_three_endpoints() {
    let mut net = Net::new(3, net::seed(5), Wire::PERFECT);
    let call = |net: &mut Net, node: usize| {
        let request = invite_to(net.nodes[node].addr, sdp(), Duration::from_secs(60));
        let (leg, _) = net.act(0, |endpoint, now| endpoint.invite(now, request).unwrap());
        let happened = net.run(Duration::from_millis(20));
        let callee = happened.iter().find_map(|happened| match happened.event {
            Event::Incoming { leg, .. } => Some(leg),
            _ => None,
        });
        (leg, callee.expect("an INVITE"))
    };
    let (to_carol, carol) = call(&mut net, 2);
    assert!(matches!(
        net.nodes[0].endpoint.refer_to_replacing(to_carol),
        Err(EndpointError::WrongState(_))
    ));
    net.act(2, |endpoint, now| {
        endpoint.answer(now, carol, &[], sdp()).unwrap()
    });
    net.run(Duration::from_secs(1));
    let uri = net.nodes[0].endpoint.refer_to_replacing(to_carol).unwrap();
    assert!(
        uri.contains("?Replaces=") && uri.contains("%3Bto-tag%3D"),
        "{uri}"
    );
    // Alice's host does what the Refer-To says.
    let (target, value) = uri.split_once("?Replaces=").unwrap();
    let value = value.replace("%3B", ";").replace("%3D", "=").replace("%40", "@");
    assert_eq!(value, net.nodes[0].endpoint.replaces_value(to_carol).unwrap());
    let mut request = invite_to(net.nodes[2].addr, sdp(), Duration::from_secs(60));
    request.uri = target.to_owned();
    request.headers.push(Header {
        name: "Replaces".into(),
        value: value.into(),
    });
    net.act(1, |endpoint, now| endpoint.invite(now, request).unwrap());
    let happened = net.run(Duration::from_millis(20));
    let new = happened.iter().find_map(|happened| match happened.event {
        Event::Incoming { leg, replaces, .. } => Some((leg, replaces)),
        _ => None,
    });
    let (new, replaces) = new.expect("an INVITE");
    assert_eq!(replaces, Some(Replaced::Leg(carol)));
    net.act(2, |endpoint, now| {
        endpoint.answer(now, new, &[], sdp()).unwrap();
        endpoint.hangup(now, carol, None).unwrap();
    });
    let happened = net.run(Duration::from_secs(1));
    assert!(happened.iter().any(|h| h.node == 0
        && matches!(&h.event, Event::Leg { leg, event: LegEvent::Ended(_) } if *leg == to_carol)));
    assert!(happened.iter().any(|h| h.node == 1
        && matches!(
            &h.event,
            Event::Leg {
                event: LegEvent::Answered { .. },
                ..
            }
        )));
}
