//! Registrations and subscriptions against a server that answers by dice: rightly, wrongly, late, twice or not at all.
//! Whatever it does, each ends with exactly one last event and leaves nothing behind. `CALLBOX_SEED` chooses another run.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod net;
mod peer;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use callbox_sip::auth::Credentials;
use callbox_sip::endpoint::{
    Event, PartyAddress, RegisterRequest, RegistrationId, SubscribeRequest, SubscriptionEvent, SubscriptionId,
};
use net::{Dice, Repeat};
use peer::{Peer, Sent};

const RUNS: u64 = 400;

fn credentials() -> Vec<Credentials> {
    vec![Credentials {
        username: "bob".into(),
        password: "secret".into(),
        realm: None,
    }]
}

/// What the server will say, by the time in ms; the number keeps equal times apart.
#[derive(Default)]
struct Server {
    due: BTreeMap<(u64, u32), Sent>,
    notifies: u32,
    serial: u32,
    seen: BTreeSet<Vec<u8>>,
    /// Call-ID and method → the highest CSeq so far.
    highest: BTreeMap<String, u32>,
    answered: u32,
    /// From when to when it hears nothing, ms.
    deaf: [(u64, u64); 2],
}

impl Server {
    /// Requests came: some are lost, the others will be answered, some twice.
    fn took(&mut self, dice: &mut Dice, sent: Vec<Sent>) {
        for request in sent.into_iter().filter(|sent| sent.code() == 0) {
            let seq = request.message().cseq().unwrap().seq;
            let highest = self.highest.entry(request.header("Call-ID")).or_insert(0);
            if self.seen.insert(request.bytes.to_vec()) {
                assert!(seq > *highest, "CSeq rises under one Call-ID");
                *highest = seq;
            }
            if self
                .deaf
                .iter()
                .any(|(from, to)| (*from..*to).contains(&request.at))
            {
                continue;
            }
            while dice.chance(75) {
                self.serial += 1;
                self.due
                    .insert((request.at + dice.below(3_000), self.serial), request.clone());
                if dice.chance(80) {
                    break;
                }
            }
        }
    }

    /// Answers one request, perhaps with a NOTIFY before or after; gives what the endpoint sends.
    fn answer(&mut self, peer: &mut Peer, dice: &mut Dice, request: &Sent) -> Vec<Sent> {
        self.answered += 1;
        let subscribe = request.method() == "SUBSCRIBE";
        let mut sent = Vec::new();
        if subscribe && dice.chance(20) {
            sent.extend(self.notify(peer, dice, request));
        }
        let nonce = dice.below(4);
        let (status, line) = match dice.below(20) {
            0 | 1 => (
                "401 Who",
                format!("WWW-Authenticate: Digest realm=\"r\", nonce=\"{nonce}\", qop=\"auth\""),
            ),
            2 => (
                "407 Who",
                format!("Proxy-Authenticate: Digest realm=\"p\", nonce=\"{nonce}\", stale=true"),
            ),
            3 => ("423 Brief", format!("Min-Expires: {}", dice.below(600))),
            4 => ("503 Busy", format!("Retry-After: {}", dice.below(100))),
            5 => ("481 Gone", "X-None: y".into()),
            6 if dice.chance(30) => ("403 Forbidden", "X-None: y".into()),
            7 => ("100 Trying", "X-None: y".into()),
            8 => ("200 OK", format!("Expires: {}", dice.below(300))),
            9 => (
                "200 OK",
                format!("Contact: <sip:bob@192.0.2.9:5060>;expires={}", dice.below(60)),
            ),
            _ => ("200 OK", "Expires: 200".into()),
        };
        sent.extend(peer.reply(request, status, "n1", &[&line], ""));
        if subscribe && dice.chance(80) {
            sent.extend(self.notify(peer, dice, request));
        }
        sent
    }

    fn notify(&mut self, peer: &mut Peer, dice: &mut Dice, request: &Sent) -> Vec<Sent> {
        self.notifies += 1;
        let ends = request.header("Expires") == "0" && dice.chance(80);
        let state = match dice.below(12) {
            _ if ends => "terminated;reason=timeout",
            0 => "terminated;reason=deactivated",
            1 => "active;expires=0",
            2 => "active;expires=30",
            3 => "pending",
            _ => "active;expires=200",
        };
        let fork = if dice.chance(5) { "n2" } else { "n1" };
        let seq = if dice.chance(5) { 1 } else { self.notifies };
        let lines = [
            format!("From: <sip:alice@192.0.2.1>;tag={fork}"),
            format!("To: {}", request.header("From")),
            format!("Call-ID: {}", request.header("Call-ID")),
            format!("CSeq: {seq} NOTIFY"),
            "Event: presence".to_owned(),
            format!("Subscription-State: {state}"),
        ];
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let sent = peer.send("NOTIFY", &lines, "");
        let answers = sent.iter().filter(|sent| sent.code() > 0).count();
        assert_eq!(answers, 1, "each NOTIFY is answered once");
        sent
    }
}

/// What was asked for and whether it is over.
#[derive(Default)]
struct Asked {
    registrations: BTreeMap<RegistrationId, bool>,
    subscriptions: BTreeMap<SubscriptionId, bool>,
    told: usize,
}

impl Asked {
    fn take(&mut self, peer: &mut Peer) {
        for event in std::mem::take(&mut peer.events) {
            self.told += 1;
            let (over, last) = match &event {
                Event::Registration { registration, event } => {
                    (self.registrations.get_mut(registration).unwrap(), event.is_last())
                }
                Event::Subscription { subscription, event } => (
                    self.subscriptions.get_mut(subscription).unwrap(),
                    matches!(event, SubscriptionEvent::Ended(_)),
                ),
                other => panic!("{other:?}"),
            };
            assert!(!*over, "{event:?} after the end");
            *over = last;
        }
    }
}

fn at(peer: &Peer) -> u64 {
    (peer.now - peer.start).as_millis() as u64
}

/// Lets `ms` pass with the server answering.
fn pass(peer: &mut Peer, server: &mut Server, dice: &mut Dice, asked: &mut Asked, ms: u64) {
    let end = at(peer) + ms;
    while at(peer) < end {
        let next = server.due.first_key_value().map(|((at, _), _)| *at);
        let step = next.unwrap_or(end).clamp(at(peer), end).min(at(peer) + 500) - at(peer);
        let sent = peer.wait_ms(step.max(1));
        server.took(dice, sent);
        while let Some(entry) = server.due.first_entry().filter(|entry| entry.key().0 <= at(peer)) {
            let request = entry.remove();
            let sent = server.answer(peer, dice, &request);
            server.took(dice, sent);
        }
        asked.take(peer);
    }
}

fn run(seed: u64) -> (u32, usize) {
    let mut dice = Dice(seed);
    let (mut peer, mut server, mut asked) = (Peer::new(), Server::default(), Asked::default());
    if dice.chance(40) {
        server.deaf[0] = (0, 12_000 + dice.below(20_000));
    }
    if dice.chance(40) {
        let from = dice.below(1_500_000);
        server.deaf[1] = (from, from + dice.below(600_000));
    }
    let (registration, sent) = peer.act(|endpoint, now| {
        let request = RegisterRequest {
            registrar: "sip:192.0.2.1".into(),
            aor: "sip:bob@192.0.2.1".into(),
            contact_user: Some("bob".into()),
            contacts: vec![],
            expires: 200,
            headers: vec![],
            credentials: credentials(),
            next_hop: None,
            timeout: Duration::from_secs(20),
        };
        endpoint.register(now, request).unwrap()
    });
    asked.registrations.insert(registration, false);
    server.took(&mut dice, sent);
    let expires = if dice.chance(10) { 0 } else { 200 };
    let (subscription, sent) = peer.act(|endpoint, now| {
        let request = SubscribeRequest {
            uri: "sip:alice@192.0.2.1".into(),
            from: PartyAddress::default(),
            event: "presence".into(),
            expires,
            refresh: None,
            accept: vec![],
            body: None,
            headers: vec![],
            credentials: credentials(),
            contact_user: None,
            next_hop: None,
            timeout: Duration::from_secs(20),
        };
        endpoint.subscribe(now, request).unwrap()
    });
    asked.subscriptions.insert(subscription, false);
    server.took(&mut dice, sent);

    let life = dice.below(1_500_000);
    pass(&mut peer, &mut server, &mut dice, &mut asked, life);
    let (result, sent) = peer.act(|endpoint, now| endpoint.unregister(now, registration));
    assert_eq!(result.is_err(), asked.registrations[&registration]);
    server.took(&mut dice, sent);
    let between = dice.below(2_000);
    pass(&mut peer, &mut server, &mut dice, &mut asked, between);
    let (result, sent) = peer.act(|endpoint, now| endpoint.unsubscribe(now, subscription));
    assert_eq!(result.is_err(), asked.subscriptions[&subscription]);
    server.took(&mut dice, sent);
    // The command itself may have told the end.
    asked.take(&mut peer);
    // Each of at most four transactions in a row lasts 32 s, timer N as long, and then the last ones are forgotten.
    pass(&mut peer, &mut server, &mut dice, &mut asked, 300_000);
    assert!(asked.registrations[&registration], "the registration ends");
    assert!(asked.subscriptions[&subscription], "the subscription ends");
    server.due.clear();
    peer.assert_quiescent();
    asked.take(&mut peer);
    (server.answered, asked.told)
}

#[test]
fn whatever_the_server_does_each_ends_once_and_leaves_nothing() {
    let first = net::seed(1_000);
    let (mut answered, mut told) = (0, 0);
    for seed in first..first + RUNS {
        let _repeat = Repeat {
            seed,
            test: "--test standing",
        };
        let (a, t) = run(seed);
        answered += a;
        told += t;
    }
    // The runs went further than the first answers.
    assert!(answered > 3_000 && told > 1_500, "{answered} {told}");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    assert_eq!(run(77), run(77));
}
