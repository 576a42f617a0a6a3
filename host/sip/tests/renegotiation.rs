//! Calls whose two sides change the session again and again, over a wire that loses and reorders: re-INVITE against
//! re-INVITE, UPDATE, BYE. `CALLBOX_SEED` chooses another run.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod net;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use callbox_sip::endpoint::{
    Body, EndKind, Event, LegEvent, LegId, PeerRequestId, ReofferRequest, Reoffered, RequestId,
};
use net::{Happened, Net, Repeat, Wire, invite_to, sdp};

const CALLS: usize = 60;

#[derive(Clone, Copy, Debug)]
enum Do {
    Reoffer,
    DelayedAnswer,
    Decide(PeerRequestId),
    HangUp,
}

#[derive(Default)]
struct Play {
    due: BTreeMap<(Duration, u64), (usize, LegId, Do)>,
    serial: u64,
    legs: BTreeSet<(usize, LegId)>,
    ended: BTreeMap<(usize, LegId), EndKind>,
    /// Reoffers without an outcome, and the text of their offers.
    open: BTreeMap<(usize, RequestId), Option<String>>,
    /// Offers that a node heard of.
    heard: BTreeSet<String>,
    accepted: usize,
    glare: usize,
    /// Share of legs whose host decides about offers itself.
    decide_percent: u64,
    decided: usize,
}

fn body(text: &str) -> Option<Body> {
    Some(Body {
        content_type: "application/sdp".into(),
        data: format!("{}s={text}\r\n", net::SDP).into_bytes().into(),
    })
}

impl Play {
    fn plan(&mut self, at: Duration, node: usize, leg: LegId, what: Do) {
        self.serial += 1;
        self.due.insert((at, self.serial), (node, leg, what));
    }

    fn carry_out(&mut self, net: &mut Net, node: usize, leg: LegId, what: Do) {
        if self.ended.contains_key(&(node, leg)) {
            return;
        }
        let (now, events) = match what {
            Do::HangUp => net.act(node, |endpoint, now| {
                endpoint.hangup(now, leg, None).unwrap();
                now
            }),
            Do::Decide(offer) => {
                let accept = net.dice.chance(70);
                let (result, events) = net.act(node, |endpoint, now| {
                    if accept {
                        endpoint.accept_offer(now, leg, offer, &[], sdp())
                    } else {
                        endpoint.reject_offer(now, leg, offer, 488, None, &[])
                    }
                });
                // Too late when the peer cancelled it.
                self.decided += usize::from(result.is_ok());
                (net.now, events)
            }
            Do::DelayedAnswer => net.act(node, |endpoint, now| {
                // Too late when the leg ended or the default came first.
                let _ = endpoint.answer(now, leg, &[], sdp());
                now
            }),
            Do::Reoffer => {
                self.serial += 1;
                let text = format!("offer-{}", self.serial);
                let offer = if net.dice.chance(75) { body(&text) } else { None };
                let update = offer.is_some() && net.dice.chance(40);
                let timeout = Duration::from_secs(if net.dice.chance(20) { 1 } else { 20 });
                let request = ReofferRequest {
                    headers: vec![],
                    body: offer.clone(),
                    update,
                    timeout,
                };
                let (result, events) = net.act(node, |endpoint, now| endpoint.reoffer(now, leg, request));
                if let Ok(id) = result {
                    self.open.insert((node, id), offer.map(|_| text));
                }
                (net.now, events)
            }
        };
        for event in events {
            self.happened(net, Happened { at: now, node, event });
        }
    }

    fn begin(&mut self, net: &mut Net, node: usize, leg: LegId) {
        let at = net.elapsed();
        if net.dice.chance(self.decide_percent) {
            net.nodes[node].endpoint.decide_offers(leg, true).unwrap();
        }
        // Both sides at once, so that offers cross.
        for round in 0..4 {
            let jitter = net.dice.below(40);
            self.plan(
                at + Duration::from_millis(2_000 + round * 9_000 + jitter),
                node,
                leg,
                Do::Reoffer,
            );
        }
        let end = 20_000 + net.dice.below(60_000);
        self.plan(at + Duration::from_millis(end), node, leg, Do::HangUp);
    }

    fn happened(&mut self, net: &mut Net, happened: Happened) {
        let (node, at) = (happened.node, net.elapsed());
        match happened.event {
            Event::Incoming { leg, .. } => {
                self.legs.insert((node, leg));
                let (_, events) = net.act(node, |endpoint, now| {
                    endpoint.answer(now, leg, &[], sdp()).unwrap()
                });
                assert!(events.is_empty());
            }
            Event::Leg { leg, event } => {
                assert!(!self.ended.contains_key(&(node, leg)), "{event:?} after the end");
                match event {
                    LegEvent::Answered { .. } => self.begin(net, node, leg),
                    LegEvent::Confirmed { body: None } => self.begin(net, node, leg),
                    LegEvent::Confirmed { .. } | LegEvent::Progress { .. } => {}
                    LegEvent::ReofferTimedOut { request } => {
                        assert!(self.open.contains_key(&(node, request)));
                    }
                    LegEvent::OfferWithdrawn { .. } => {}
                    LegEvent::Offer { request, decide } => {
                        if let Some(offer) = decide {
                            let later = at + Duration::from_millis(net.dice.below(3_000));
                            self.plan(later, node, leg, Do::Decide(offer));
                        }
                        let text = String::from_utf8_lossy(request.body()).into_owned();
                        if let Some(name) = text.split("s=offer-").nth(1) {
                            self.heard.insert(format!("offer-{}", name.trim_end()));
                        }
                    }
                    LegEvent::Reoffered { request, outcome } => {
                        let offer = self.open.remove(&(node, request)).expect("one outcome a reoffer");
                        match outcome {
                            Reoffered::Accepted { needs_answer, .. } => {
                                self.accepted += 1;
                                assert_eq!(needs_answer, offer.is_none());
                                if let Some(offer) = offer {
                                    assert!(
                                        self.heard.contains(&offer),
                                        "{offer} was heard before it was accepted"
                                    );
                                }
                                if needs_answer {
                                    let later = Duration::from_millis(net.dice.below(1_500));
                                    self.plan(at + later, node, leg, Do::DelayedAnswer);
                                }
                            }
                            Reoffered::Rejected(response) => {
                                let code = response.code().unwrap();
                                assert!(matches!(code, 408 | 488 | 481 | 487 | 491 | 500), "{code}");
                                self.glare += usize::from(code == 491);
                            }
                            Reoffered::Failed(_) => {}
                        }
                    }
                    LegEvent::Ended(ended) => {
                        self.ended.insert((node, leg), ended.why);
                    }
                    other => panic!("nobody asked for {other:?}"),
                }
            }
            Event::Registration { .. } | Event::Subscription { .. } => {
                panic!("nobody registers or subscribes")
            }
        }
    }
}

fn whole_run(seed: u64, wire: Wire, decide_percent: u64) -> (Net, Play) {
    let _repeat = Repeat {
        seed,
        test: "--test renegotiation",
    };
    let mut net = Net::new(2, seed, wire);
    let mut play = Play {
        decide_percent,
        ..Play::default()
    };
    for call in 0..CALLS {
        let target = net.nodes[1].addr;
        let request = invite_to(target, sdp(), Duration::from_secs(60));
        let (leg, events) = net.act(0, |endpoint, now| endpoint.invite(now, request).unwrap());
        assert!(events.is_empty(), "call {call}");
        play.legs.insert((0, leg));
    }
    while net.elapsed() < Duration::from_secs(900) {
        let due = play.due.first_key_value().map(|(key, _)| *key);
        let limit = due.map_or(net.now + Duration::from_secs(3_600), |(at, _)| net.start + at);
        match net.step(limit) {
            Some(events) => events
                .into_iter()
                .for_each(|event| play.happened(&mut net, event)),
            None => match due.and_then(|key| play.due.remove(&key)) {
                Some((node, leg, what)) => play.carry_out(&mut net, node, leg, what),
                None => break,
            },
        }
    }
    net.run(Duration::from_secs(60));
    assert_eq!(play.ended.len(), play.legs.len(), "each leg ends");
    assert!(
        play.open.is_empty(),
        "each reoffer has an outcome: {:?}",
        play.open
    );
    net.assert_quiescent();
    (net, play)
}

#[test]
fn over_a_perfect_wire_offers_that_cross_are_all_accepted_in_the_end() {
    let (net, play) = whole_run(net::seed(1), Wire::PERFECT, 0);
    let refused = net.count_sent(0, "SIP/2.0 491") + net.count_sent(1, "SIP/2.0 491");
    assert!(refused > CALLS, "they did cross: {refused}");
    assert!(play.accepted > CALLS * 2, "{}", play.accepted);
    assert!(
        play.glare < CALLS * 2,
        "only those with a short time-out: {}",
        play.glare
    );
    assert!(
        play.ended.values().all(|why| *why == EndKind::Bye),
        "{:?}",
        play.ended
    );
}

#[test]
fn over_a_bad_wire_each_reoffer_has_one_outcome_and_nothing_is_left() {
    let wire = Wire {
        loss_percent: 15,
        duplicate_percent: 10,
        delay_ms: (1, 400),
    };
    for n in 0..12 {
        let (_, play) = whole_run(net::seed(40) + n, wire, 40);
        assert!(play.decided > 10, "{}", play.decided);
        assert!(play.accepted > CALLS, "{}", play.accepted);
    }
}
