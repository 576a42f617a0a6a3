//! Registering, message by message: what RFC 3261 §10, §22 and RFC 5626 §4.5 ask of a client.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod peer;

use std::time::Duration;

use callbox_sip::auth::Credentials;
use callbox_sip::endpoint::{
    EndpointError, Event, Header, Protocol, RegisterRequest, RegistrationEvent, RegistrationFailure,
    RegistrationId, TransportFailure,
};
use peer::{Peer, Sent};

const OURS: &str = "sip:bob@192.0.2.9:5060";

fn request() -> RegisterRequest {
    RegisterRequest {
        registrar: "sip:192.0.2.1".into(),
        aor: "sip:bob@192.0.2.1".into(),
        contact_user: Some("bob".into()),
        contacts: vec![],
        expires: 300,
        headers: vec![],
        credentials: vec![],
        next_hop: None,
        timeout: Duration::from_secs(15),
    }
}

fn credentials(password: &str, realm: Option<&str>) -> Vec<Credentials> {
    vec![Credentials {
        username: "bob".into(),
        password: password.into(),
        realm: realm.map(Into::into),
    }]
}

fn register(peer: &mut Peer, tune: impl FnOnce(&mut RegisterRequest)) -> (RegistrationId, Sent) {
    let mut request = request();
    tune(&mut request);
    let (id, sent) = peer.act(|endpoint, now| endpoint.register(now, request).unwrap());
    (id, sent[0].clone())
}

/// The events of the one registration so far.
fn events(peer: &mut Peer) -> Vec<RegistrationEvent> {
    let event = |event| match event {
        Event::Registration { event, .. } => event,
        other => panic!("{other:?}"),
    };
    std::mem::take(&mut peer.events).into_iter().map(event).collect()
}

fn one_event(peer: &mut Peer) -> RegistrationEvent {
    let mut events = events(peer);
    assert_eq!(events.len(), 1, "{events:?}");
    events.remove(0)
}

/// The Contact without what tells this registration from others of the same name.
fn contact(request: &Sent) -> String {
    let whole = request.header("Contact");
    let (before, rest) = whole.split_once(";line=").expect("a contact of its own");
    let (line, after) = rest.split_once('>').expect("the end of the URI");
    assert_eq!(line.len(), 16, "{whole}");
    format!("{before}>{after}")
}

fn bound(expires: u32) -> String {
    format!("Contact: <{OURS}>;expires={expires}")
}

/// A registration in force for 300 s.
fn registered(peer: &mut Peer, tune: impl FnOnce(&mut RegisterRequest)) -> (RegistrationId, Sent) {
    let (id, sent) = register(peer, tune);
    peer.reply(&sent, "200 OK", "r", &[&bound(300)], "");
    assert!(matches!(one_event(peer), RegistrationEvent::Registered(_)));
    (id, sent)
}

fn seq(sent: &Sent) -> u32 {
    sent.message().cseq().unwrap().seq
}

fn methods(sent: &[Sent]) -> Vec<String> {
    sent.iter().map(Sent::method).collect()
}

fn status(failure: &RegistrationFailure) -> u16 {
    match failure {
        RegistrationFailure::Rejected(response) => response.code().unwrap(),
        _ => 0,
    }
}

fn unregister(peer: &mut Peer, id: RegistrationId) -> Vec<Sent> {
    peer.act(|endpoint, now| endpoint.unregister(now, id).unwrap()).1
}

/// Removes the binding, answers 200, and waits until nothing is left.
fn finish(peer: &mut Peer, id: RegistrationId) {
    let sent = unregister(peer, id);
    peer.reply(&sent[0], "200 OK", "r", &[], "");
    assert!(matches!(one_event(peer), RegistrationEvent::Unregistered(Ok(()))));
    peer.assert_quiescent();
}

#[test]
fn a_binding_is_made_renewed_at_90_percent_and_removed_under_one_call_id() {
    let mut peer = Peer::new();
    let (id, first) = register(&mut peer, |_| {});
    assert_eq!(first.uri(), "sip:192.0.2.1");
    assert_eq!(first.header("To"), "<sip:bob@192.0.2.1>");
    assert!(first.header("From").starts_with("<sip:bob@192.0.2.1>;tag="));
    assert_eq!(contact(&first), format!("<{OURS}>;expires=300"));
    assert_eq!(first.header("Expires"), "300");
    let others =
        "Contact: <sip:bob@192.0.2.77>;expires=17;q=0.1, \"B\" <sip:bob@192.0.2.9:5060>;q=0.7;expires=200";
    peer.reply(&first, "200 OK", "r", &[others], "");
    let RegistrationEvent::Registered(done) = one_event(&mut peer) else {
        panic!("not registered")
    };
    assert_eq!(done.expires, 200, "ours, not that of another binding");
    let listed: Vec<_> = done.bindings.iter().map(|b| (&*b.contact, b.expires)).collect();
    assert_eq!(listed, [("sip:bob@192.0.2.77", 17), (OURS, 200)]);
    assert_eq!(done.response.code(), Some(200));

    let renewal = peer.wait_ms(200_000 - 1);
    assert_eq!(
        (renewal[0].at, renewal[0].method().as_str()),
        (180_000, "REGISTER")
    );
    assert_eq!(renewal[0].header("Call-ID"), first.header("Call-ID"));
    assert_eq!(renewal[0].header("From"), first.header("From"));
    assert_eq!((seq(&first), seq(&renewal[0])), (1, 2));
    assert_ne!(renewal[0].header("Via"), first.header("Via"));
    peer.reply(&renewal[0], "200 OK", "r", &[&bound(300)], "");
    assert!(matches!(one_event(&mut peer), RegistrationEvent::Refreshed(done) if done.expires == 300));

    let removal = unregister(&mut peer, id);
    assert_eq!(removal.len(), 1);
    assert_eq!(
        removal[0].header("Contact"),
        first.header("Contact").replace("=300", "=0"),
        "ours, never `*`"
    );
    assert_eq!(
        (removal[0].header("Expires").as_str(), seq(&removal[0])),
        ("0", 3)
    );
    assert_eq!(removal[0].header("Call-ID"), first.header("Call-ID"));
    assert!(unregister(&mut peer, id).is_empty(), "idempotent");
    peer.reply(
        &removal[0],
        "200 OK",
        "r",
        &["Contact: <sip:bob@192.0.2.77>;expires=9"],
        "",
    );
    assert!(matches!(
        one_event(&mut peer),
        RegistrationEvent::Unregistered(Ok(()))
    ));
    let (again, _) = peer.act(|endpoint, now| endpoint.unregister(now, id));
    assert!(matches!(again, Err(EndpointError::WrongState(_))));
    peer.assert_quiescent();
}

#[test]
fn two_registrations_of_one_name_are_two_bindings() {
    let mut peer = Peer::new();
    let (one, first) = register(&mut peer, |_| {});
    let (two, second) = register(&mut peer, |_| {});
    assert_ne!(first.header("Contact"), second.header("Contact"));
    let uri = |request: &Sent| request.header("Contact").replace(";expires=300", "");
    let both = format!(
        "Contact: {};expires=100, {};expires=300",
        uri(&first),
        uri(&second)
    );
    for request in [&first, &second] {
        peer.reply(request, "200 OK", "r", &[&both], "");
    }
    let granted: Vec<u32> = events(&mut peer)
        .iter()
        .map(|event| match event {
            RegistrationEvent::Registered(done) => done.expires,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(granted, [100, 300], "each its own");
    let removal = unregister(&mut peer, one);
    assert_eq!(uri(&removal[0]).replace(";expires=0", ""), uri(&first));
    peer.reply(&removal[0], "200 OK", "r", &[], "");
    assert!(matches!(
        one_event(&mut peer),
        RegistrationEvent::Unregistered(Ok(()))
    ));
    finish(&mut peer, two);
}

#[test]
fn more_contacts_are_bound_and_removed_with_our_own_and_the_least_time_counts() {
    let mut peer = Peer::new();
    let (id, first) = register(&mut peer, |r| r.contacts = vec!["sip:desk@192.0.2.50".into()]);
    assert_eq!(
        contact(&first),
        format!("<{OURS}>;expires=300, <sip:desk@192.0.2.50>;expires=300")
    );
    peer.reply(
        &first,
        "200 OK",
        "r",
        &[&bound(300), "Contact: <sip:desk@192.0.2.50>;expires=60"],
        "",
    );
    assert!(matches!(one_event(&mut peer), RegistrationEvent::Registered(done) if done.expires == 60));
    let removal = unregister(&mut peer, id);
    assert!(
        removal[0]
            .header("Contact")
            .ends_with("<sip:desk@192.0.2.50>;expires=0")
    );
    peer.reply(&removal[0], "200 OK", "r", &[], "");
    peer.assert_quiescent();
}

#[test]
fn what_is_granted_is_found_in_every_form_that_registrars_use() {
    // (lines of the 2xx, granted; 0: refused)
    let table: [(&[&str], u32); 9] = [
        (&["Contact: <sip:bob@192.0.2.9:5060>;expires=100"], 100),
        (&["Contact: <sip:bob@192.0.2.9:5060>", "Expires: 90"], 90),
        (&["Contact: <sip:bob@192.0.2.9:5060>"], 300),
        (&["Contact: <sip:bob@192.0.2.9:5060;ob>;expires=80"], 80),
        (
            &["Contact: <sip:bob@192.0.2.9:5060;transport=udp>;expires=70"],
            70,
        ),
        (&["Expires: 60"], 60),
        (&[], 300),
        // A border controller rewrote it.
        (&["Contact: <sip:x77@198.51.100.1>;expires=50"], 50),
        (&["Contact: <sip:bob@192.0.2.9:5060>;expires=0"], 0),
    ];
    for (lines, expires) in table {
        let mut peer = Peer::new();
        let (id, sent) = register(&mut peer, |_| {});
        peer.reply(&sent, "200 OK", "r", lines, "");
        match one_event(&mut peer) {
            RegistrationEvent::Registered(done) => {
                assert_eq!(done.expires, expires, "{lines:?}");
                finish(&mut peer, id);
            }
            RegistrationEvent::Failed(failure) => {
                assert_eq!((expires, status(&failure)), (0, 200), "{lines:?}");
                peer.assert_quiescent();
            }
            other => panic!("{other:?}"),
        }
    }
}

const CHALLENGE: &str = "WWW-Authenticate: Digest realm=\"r1\", nonce=\"n1\", qop=\"auth\"";

#[test]
fn challenges_of_registrar_and_proxy_are_answered_and_the_nonce_is_used_again() {
    let mut peer = Peer::new();
    let (id, first) = register(&mut peer, |r| r.credentials = credentials("secret", None));
    assert_eq!(first.header("Authorization"), "");
    let proxy = "Proxy-Authenticate: Digest realm=\"p\", nonce=\"pn\"";
    let second = peer.reply(&first, "407 Proxy Authentication Required", "r", &[proxy], "");
    assert!(second[0].header("Proxy-Authorization").contains("realm=\"p\""));
    let weak = "WWW-Authenticate: Digest realm=\"r1\", nonce=\"n0\", algorithm=MD5";
    let strong = "WWW-Authenticate: Digest realm=\"r1\", nonce=\"n1\", algorithm=SHA-256, qop=\"auth\"";
    let third = peer.reply(&second[0], "401 Unauthorized", "r", &[weak, strong], "");
    let answer = third[0].header("Authorization");
    assert!(answer.contains("nonce=\"n1\"") && answer.contains("SHA-256") && answer.contains("nc=00000001"));
    assert!(answer.contains("uri=\"sip:192.0.2.1\""), "{answer}");
    assert!(third[0].header("Proxy-Authorization").contains("realm=\"p\""));
    assert_eq!(
        (seq(&third[0]), third[0].header("Call-ID")),
        (3, first.header("Call-ID"))
    );
    peer.reply(&third[0], "200 OK", "r", &[&bound(300)], "");
    assert!(matches!(one_event(&mut peer), RegistrationEvent::Registered(_)));

    let renewal = peer.wait_ms(270_000);
    let answer = renewal[0].header("Authorization");
    assert!(
        answer.contains("nonce=\"n1\"") && answer.contains("nc=00000002"),
        "{answer}"
    );
    // The nonce has grown old meanwhile.
    let stale =
        "WWW-Authenticate: Digest realm=\"r1\", nonce=\"n2\", algorithm=SHA-256, qop=\"auth\", stale=true";
    let again = peer.reply(&renewal[0], "401 Unauthorized", "r", &[stale], "");
    let answer = again[0].header("Authorization");
    assert!(
        answer.contains("nonce=\"n2\"") && answer.contains("nc=00000001"),
        "{answer}"
    );
    peer.reply(&again[0], "200 OK", "r", &[&bound(300)], "");
    assert!(matches!(one_event(&mut peer), RegistrationEvent::Refreshed(_)));
    finish(&mut peer, id);
}

#[test]
fn a_wrong_password_or_an_unknown_realm_is_rejected_with_the_status() {
    for nonce in ["n1", "n2"] {
        let mut peer = Peer::new();
        let (_, first) = register(&mut peer, |r| r.credentials = credentials("wrong", Some("r1")));
        let second = peer.reply(&first, "401 Unauthorized", "r", &[CHALLENGE], "");
        assert_eq!(second.len(), 1);
        let challenge = CHALLENGE.replace("n1", nonce);
        assert!(
            peer.reply(&second[0], "401 Unauthorized", "r", &[&challenge], "")
                .is_empty()
        );
        assert!(matches!(one_event(&mut peer), RegistrationEvent::Failed(f) if status(&f) == 401));
        peer.assert_quiescent();
    }
    for credentials in [vec![], credentials("secret", Some("elsewhere"))] {
        let mut peer = Peer::new();
        let (_, first) = register(&mut peer, |r| r.credentials = credentials);
        assert!(
            peer.reply(&first, "401 Unauthorized", "r", &[CHALLENGE], "")
                .is_empty()
        );
        assert!(matches!(one_event(&mut peer), RegistrationEvent::Failed(f) if status(&f) == 401));
        peer.assert_quiescent();
    }
}

#[test]
fn an_interval_too_brief_is_raised_once() {
    let mut peer = Peer::new();
    let (id, first) = register(&mut peer, |r| r.expires = 30);
    let second = peer.reply(&first, "423 Interval Too Brief", "r", &["Min-Expires: 120"], "");
    assert_eq!(
        (second[0].header("Expires").as_str(), seq(&second[0])),
        ("120", 2)
    );
    peer.reply(&second[0], "200 OK", "r", &[&bound(120)], "");
    assert!(matches!(one_event(&mut peer), RegistrationEvent::Registered(done) if done.expires == 120));
    let renewal = peer.wait_ms(108_000);
    assert_eq!(renewal[0].header("Expires"), "120", "it stays raised");
    peer.reply(&renewal[0], "200 OK", "r", &[&bound(120)], "");
    peer.events.clear();
    finish(&mut peer, id);

    for second_min in ["Min-Expires: 500", "Min-Expires: 10", "X-None: y"] {
        let mut peer = Peer::new();
        let (_, first) = register(&mut peer, |_| {});
        let second = peer.reply(&first, "423 Interval Too Brief", "r", &["Min-Expires: 400"], "");
        assert!(
            peer.reply(&second[0], "423 Interval Too Brief", "r", &[second_min], "")
                .is_empty()
        );
        assert!(matches!(one_event(&mut peer), RegistrationEvent::Failed(f) if status(&f) == 423));
        peer.assert_quiescent();
    }
    // A 423 that asks for no more than we asked for.
    let mut peer = Peer::new();
    let (_, first) = register(&mut peer, |_| {});
    assert!(
        peer.reply(&first, "423 Interval Too Brief", "r", &["Min-Expires: 300"], "")
            .is_empty()
    );
    assert!(matches!(one_event(&mut peer), RegistrationEvent::Failed(f) if status(&f) == 423));
    peer.assert_quiescent();
}

#[test]
fn a_first_register_without_an_answer_fails_at_the_hosts_time_out() {
    let mut peer = Peer::new();
    let (id, _) = register(&mut peer, |_| {});
    peer.wait_ms(15_000);
    assert!(matches!(
        one_event(&mut peer),
        RegistrationEvent::Failed(RegistrationFailure::Timeout)
    ));
    let (over, _) = peer.act(|endpoint, now| endpoint.unregister(now, id));
    assert!(over.is_err());
    peer.assert_quiescent();
    assert!(peer.events.is_empty(), "the end is told once");
}

#[test]
fn a_2xx_after_the_hosts_time_out_is_undone_in_silence() {
    let mut peer = Peer::new();
    let (_, first) = register(&mut peer, |_| {});
    peer.wait_ms(16_000);
    peer.events.clear();
    let removal = peer.reply(&first, "200 OK", "r", &[&bound(300)], "");
    assert_eq!(removal[0].header("Expires"), "0");
    peer.reply(&removal[0], "200 OK", "r", &[], "");
    peer.assert_quiescent();
    assert!(peer.events.is_empty());
}

#[test]
fn a_first_register_that_cannot_be_sent_or_is_refused_fails_at_once() {
    let mut peer = Peer::new();
    let (_, first) = register(&mut peer, |_| {});
    let (now, token) = (peer.now, first.token.unwrap());
    peer.endpoint
        .handle_transmit_failed(now, token, TransportFailure::Refused);
    peer.drain();
    assert!(matches!(
        one_event(&mut peer),
        RegistrationEvent::Failed(RegistrationFailure::Transport(TransportFailure::Refused))
    ));
    peer.assert_quiescent();
    for code in ["302 Moved", "403 Forbidden", "503 Busy", "603 Decline"] {
        let mut peer = Peer::new();
        let (_, first) = register(&mut peer, |_| {});
        assert!(peer.reply(&first, code, "r", &["Retry-After: 5"], "").is_empty());
        let want = code.get(..3).unwrap().parse().unwrap();
        assert!(matches!(one_event(&mut peer), RegistrationEvent::Failed(f) if status(&f) == want));
        peer.assert_quiescent();
    }
}

#[test]
fn a_registrar_that_vanishes_and_comes_back_means_lost_and_recovered() {
    let mut peer = Peer::new();
    let (id, _) = registered(&mut peer, |_| {});
    // Renewal at 270 s, time-out at 302 s; what was granted ends at 300 s.
    peer.wait_ms(299_999);
    assert!(peer.events.is_empty());
    peer.wait_ms(1);
    assert!(matches!(
        one_event(&mut peer),
        RegistrationEvent::Lost {
            failure: RegistrationFailure::Timeout,
            retrying: true
        }
    ));
    // Each try lasts 32 s, the pauses between them grow to half an hour.
    let mut starts = vec![];
    for sent in peer.wait_ms(3 * 3_600_000) {
        // Number 2 is the renewal itself, which is still being repeated.
        if seq(&sent) > 2
            && starts
                .last()
                .is_none_or(|(_, last): &(u64, u32)| *last != seq(&sent))
        {
            starts.push((sent.at, seq(&sent)));
        }
    }
    let pauses: Vec<_> = starts
        .windows(2)
        .map(|w| (w[1].0 - w[0].0) / 1_000 - 32)
        .collect();
    assert!(pauses.len() >= 6, "{pauses:?}");
    for (n, pause) in pauses.iter().enumerate() {
        // The pause after failure n+2: the first one ended the renewal.
        let whole = (30_u64 << (n + 2)).min(1_800);
        assert!((whole / 2 - 1..=whole).contains(pause), "{n}: {pauses:?}");
    }
    assert!(peer.events.is_empty(), "lost once");
    // It comes back.
    let sent = loop {
        if let Some(sent) = peer.wait_ms(10_000).pop() {
            break sent;
        }
    };
    peer.reply(&sent, "200 OK", "r", &[&bound(300)], "");
    assert!(matches!(one_event(&mut peer), RegistrationEvent::Recovered(done) if done.expires == 300));
    let renewal = peer.wait_ms(270_000);
    peer.reply(&renewal[0], "200 OK", "r", &[&bound(300)], "");
    assert!(matches!(one_event(&mut peer), RegistrationEvent::Refreshed(_)));
    finish(&mut peer, id);
}

#[test]
fn a_busy_registrar_is_asked_again_after_its_retry_after_while_the_binding_holds() {
    let mut peer = Peer::new();
    let (id, first) = register(&mut peer, |r| r.expires = 3_600);
    peer.reply(&first, "200 OK", "r", &[&bound(3_600)], "");
    peer.events.clear();
    let renewal = peer.wait_ms(3_240_000);
    peer.reply(&renewal[0], "503 Busy", "r", &["Retry-After: 100"], "");
    assert!(peer.events.is_empty(), "the old binding still holds");
    let again = peer.wait_ms(100_000);
    assert_eq!(again[0].at - renewal[0].at, 100_000);
    peer.reply(&again[0], "200 OK", "r", &[&bound(3_600)], "");
    assert!(matches!(one_event(&mut peer), RegistrationEvent::Refreshed(_)));
    finish(&mut peer, id);
}

#[test]
fn a_renewal_refused_for_good_is_lost_for_good() {
    let mut peer = Peer::new();
    registered(&mut peer, |r| r.credentials = credentials("secret", None));
    let renewal = peer.wait_ms(270_000);
    peer.reply(&renewal[0], "403 Forbidden", "r", &[], "");
    let event = one_event(&mut peer);
    assert!(event.is_last());
    assert!(matches!(event, RegistrationEvent::Lost { failure, retrying: false } if status(&failure) == 403));
    peer.assert_quiescent();
}

#[test]
fn unregister_waits_for_the_register_under_way() {
    // (answer to the REGISTER under way, a REGISTER with Expires 0 follows)
    for (answer, removes) in [("200 OK", true), ("500 Oops", false), ("401 Unauthorized", false)] {
        let mut peer = Peer::new();
        let (id, first) = register(&mut peer, |r| r.credentials = credentials("secret", None));
        assert!(unregister(&mut peer, id).is_empty(), "one REGISTER at a time");
        let next = peer.reply(&first, answer, "r", &[CHALLENGE], "");
        assert_eq!(!next.is_empty(), removes, "{answer}");
        if removes {
            assert_eq!(next[0].header("Expires"), "0");
            peer.reply(&next[0], "200 OK", "r", &[], "");
        }
        assert!(matches!(
            one_event(&mut peer),
            RegistrationEvent::Unregistered(Ok(()))
        ));
        peer.assert_quiescent();
    }
    let mut peer = Peer::new();
    let (id, _) = registered(&mut peer, |_| {});
    let renewal = peer.wait_ms(270_000);
    assert!(unregister(&mut peer, id).is_empty());
    let next = peer.reply(&renewal[0], "500 Oops", "r", &[], "");
    assert_eq!(next[0].header("Expires"), "0", "an old binding is still there");
    peer.reply(&next[0], "200 OK", "r", &[], "");
    peer.assert_quiescent();
}

#[test]
fn unregister_answers_a_challenge_and_tells_how_it_failed() {
    let mut peer = Peer::new();
    let (id, _) = registered(&mut peer, |r| r.credentials = credentials("secret", None));
    let removal = unregister(&mut peer, id);
    let again = peer.reply(&removal[0], "401 Unauthorized", "r", &[CHALLENGE], "");
    assert_eq!(again[0].header("Expires"), "0");
    assert!(again[0].header("Authorization").contains("n1"));
    peer.reply(&again[0], "500 Oops", "r", &[], "");
    assert!(matches!(one_event(&mut peer), RegistrationEvent::Unregistered(Err(f)) if status(&f) == 500));
    peer.assert_quiescent();

    let mut peer = Peer::new();
    let (id, _) = registered(&mut peer, |_| {});
    unregister(&mut peer, id);
    peer.wait_ms(32_000);
    assert!(matches!(
        one_event(&mut peer),
        RegistrationEvent::Unregistered(Err(RegistrationFailure::Timeout))
    ));
    peer.assert_quiescent();
}

#[test]
fn what_cannot_be_sent_is_invalid_and_sends_nothing() {
    let header = |name: &str, value: &str| {
        vec![Header {
            name: name.into(),
            value: value.into(),
        }]
    };
    type Tune = Box<dyn Fn(&mut RegisterRequest)>;
    let bad: Vec<Tune> = vec![
        Box::new(|r| r.registrar = "example.com".into()),
        Box::new(|r| r.registrar = "tel:+123".into()),
        Box::new(|r| r.registrar = "sip:a b".into()),
        Box::new(|r| r.aor = "sip:bob@h>\r\nX: y".into()),
        Box::new(|r| r.contacts = vec!["sip:a@h\r\nX: y".into()]),
        Box::new(|r| r.expires = 0),
        Box::new(move |r| r.headers = header("X", "a\r\nb")),
        Box::new(move |r| r.headers = header("Contact", "<sip:a@h>")),
        Box::new(move |r| r.headers = header("expires", "7")),
    ];
    let mut peer = Peer::new();
    for (n, tune) in bad.iter().enumerate() {
        let mut request = request();
        tune(&mut request);
        let (result, sent) = peer.act(|endpoint, now| endpoint.register(now, request));
        assert!(
            matches!(result, Err(EndpointError::Invalid(_))),
            "{n}: {result:?}"
        );
        assert!(sent.is_empty());
    }
    peer.assert_quiescent();
}

#[test]
fn registrations_and_contacts_are_bounded() {
    let mut peer = Peer::with(Protocol::Udp, |config| {
        config.limits.registrations_max = 2;
        config.limits.contacts_max = 1;
        config.limits.bindings_max = 3;
    });
    let mut many = request();
    many.contacts = vec!["sip:a@h".into(), "sip:b@h".into()];
    let (result, _) = peer.act(|endpoint, now| endpoint.register(now, many));
    assert_eq!(result, Err(EndpointError::Limit("contacts_max")));
    let (id, first) = register(&mut peer, |_| {});
    let (other, second) = register(&mut peer, |_| {});
    assert_ne!(id, other);
    assert_ne!(first.header("Call-ID"), second.header("Call-ID"));
    assert_eq!(peer.endpoint.counts().registrations, 2);
    let (result, _) = peer.act(|endpoint, now| endpoint.register(now, request()));
    assert_eq!(result, Err(EndpointError::Limit("registrations_max")));
    peer.reply(&second, "403 Forbidden", "r", &[], "");
    assert!(matches!(one_event(&mut peer), RegistrationEvent::Failed(_)));
    let contacts: Vec<_> = (0..9)
        .map(|n| format!("Contact: <sip:{n}@h>;expires=60"))
        .collect();
    let mut lines: Vec<_> = contacts.iter().map(String::as_str).collect();
    let own = bound(300);
    lines.push(&own);
    peer.reply(&first, "200 OK", "r", &lines, "");
    let RegistrationEvent::Registered(done) = one_event(&mut peer) else {
        panic!("not registered")
    };
    assert_eq!((done.bindings.len(), done.expires), (3, 300));
    assert_eq!(methods(&unregister(&mut peer, id)), ["REGISTER"]);
    peer.wait_ms(33_000);
    peer.events.clear();
    peer.assert_quiescent();
}

#[test]
fn over_a_stream_the_contact_says_so_and_a_challenge_is_answered() {
    let mut peer = Peer::with(Protocol::Tcp, |_| {});
    let (id, first) = register(&mut peer, |r| {
        r.registrar = "sip:192.0.2.1;transport=tcp".into();
        r.credentials = credentials("secret", None);
    });
    assert_eq!(contact(&first), format!("<{OURS};transport=tcp>;expires=300"));
    let second = peer.reply(&first, "401 Unauthorized", "r", &[CHALLENGE], "");
    assert!(second[0].header("Authorization").contains("n1"));
    let others = format!("Contact: <{OURS}>;expires=20, <{OURS};transport=tcp>;expires=100");
    peer.reply(&second[0], "200 OK", "r", &[&others], "");
    assert!(matches!(one_event(&mut peer), RegistrationEvent::Registered(done) if done.expires == 100));
    assert_eq!(peer.endpoint.counts().transactions, 0);
    finish(&mut peer, id);
}
