//! Requests of both sides that meet on the way: each pair at every distance in time, over a slow wire and over a bad one.
//! Whatever meets, each request has one outcome, each leg one end, and nothing is left. `CALLBOX_SEED` chooses other runs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod net;

use std::collections::BTreeMap;
use std::time::Duration;

use callbox_sip::endpoint::{
    EndKind, Ended, Event, InDialogRequest, LegEvent, LegId, Party, ReferRequest, ReofferRequest, Reoffered,
    RequestFailure, RequestId,
};
use callbox_sip::message::Method;
use net::{Happened, Net, Repeat, Wire, invite_to, sdp};

/// The way from one side to the other takes so long, ms.
const WAY: u64 = 50;

/// What a host does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Answer,
    EarlyMedia,
    Reject,
    Cancel,
    HangUp,
    Reinvite,
    Update,
    Refer,
    Info,
}

/// How a request came out.
#[derive(Debug)]
enum Outcome {
    Accepted,
    Refused(u16),
    None(RequestFailure),
}

/// A call between node 0, which calls, and node 1.
struct Race {
    net: Net,
    legs: [Option<LegId>; 2],
    ended: [Option<Ended>; 2],
    /// Requests without an outcome.
    open: BTreeMap<(usize, RequestId), Act>,
    outcomes: Vec<(usize, Act, Outcome)>,
    timed_out: usize,
    timeout: Duration,
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn slow(way: u64) -> Wire {
    Wire {
        delay_ms: (way, way),
        ..Wire::PERFECT
    }
}

impl Race {
    /// A call that rings.
    fn ringing(seed: u64, timeout: Duration) -> Self {
        let mut net = Net::new(2, seed, Wire::PERFECT);
        let request = invite_to(net.nodes[1].addr, sdp(), timeout);
        let (leg, _) = net.act(0, |endpoint, now| endpoint.invite(now, request).unwrap());
        let mut race = Self {
            net,
            legs: [Some(leg), None],
            ended: [None, None],
            open: BTreeMap::new(),
            outcomes: Vec::new(),
            timed_out: 0,
            timeout: ms(20_000),
        };
        race.pass(ms(500));
        let leg = race.legs[1].expect("it rings");
        let (_, events) = race.net.act(1, |endpoint, now| {
            endpoint.progress(now, leg, 180, None, &[], None).unwrap();
        });
        race.take(1, events);
        race.pass(ms(500));
        race
    }

    fn talking(seed: u64) -> Self {
        let mut race = Self::ringing(seed, ms(60_000));
        race.act(1, Act::Answer);
        race.pass(ms(500));
        race
    }

    fn act(&mut self, node: usize, act: Act) {
        let (leg, timeout) = (self.legs[node].unwrap(), self.timeout);
        let (request, events) = self.net.act(node, |endpoint, now| {
            let reoffer = |update| ReofferRequest {
                headers: vec![],
                body: sdp(),
                update,
                timeout,
            };
            // What comes too late is refused, and that is all.
            match act {
                Act::Answer => endpoint.answer(now, leg, &[], sdp()).map(|()| None),
                Act::EarlyMedia => endpoint.progress(now, leg, 183, None, &[], sdp()).map(|()| None),
                Act::Reject => endpoint.reject(now, leg, 486, None, &[]).map(|()| None),
                Act::Cancel => endpoint.cancel(now, leg, None).map(|()| None),
                Act::HangUp => endpoint.hangup(now, leg, None).map(|()| None),
                Act::Reinvite => endpoint.reoffer(now, leg, reoffer(false)).map(Some),
                Act::Update => endpoint.reoffer(now, leg, reoffer(true)).map(Some),
                Act::Refer => {
                    let request = ReferRequest {
                        refer_to: "sip:carol@192.0.2.7".into(),
                        referred_by: None,
                        progress: true,
                        headers: vec![],
                    };
                    endpoint.refer(now, leg, request).map(Some)
                }
                Act::Info => {
                    let request = InDialogRequest {
                        method: Method::Info,
                        headers: vec![],
                        body: sdp(),
                    };
                    endpoint.request(now, leg, request).map(Some)
                }
            }
        });
        if let Ok(Some(request)) = request {
            self.open.insert((node, request), act);
        }
        self.take(node, events);
    }

    fn pass(&mut self, time: Duration) {
        let limit = self.net.now + time;
        while let Some(happened) = self.net.step(limit) {
            for Happened { node, event, .. } in happened {
                self.take(node, vec![event]);
            }
        }
    }

    fn take(&mut self, node: usize, events: Vec<Event>) {
        for event in events {
            let event = match event {
                Event::Incoming { leg, .. } => {
                    assert!(self.legs[1].replace(leg).is_none(), "one INVITE, one leg");
                    continue;
                }
                Event::Leg { event, .. } => event,
                other => panic!("{other:?}"),
            };
            assert!(self.ended[node].is_none(), "{event:?} after the end");
            match event {
                LegEvent::Ended(ended) => self.ended[node] = Some(ended),
                LegEvent::Reoffered { request, outcome } => {
                    let outcome = match outcome {
                        Reoffered::Accepted { .. } => Outcome::Accepted,
                        Reoffered::Rejected(response) => Outcome::Refused(response.code().unwrap()),
                        Reoffered::Failed(why) => Outcome::None(why),
                    };
                    self.over(node, request, outcome);
                }
                LegEvent::Response { request, result } => {
                    let outcome = match result.map(|response| response.code().unwrap()) {
                        Ok(200..=299) => Outcome::Accepted,
                        Ok(code) => Outcome::Refused(code),
                        Err(why) => Outcome::None(why),
                    };
                    self.over(node, request, outcome);
                }
                LegEvent::ReofferTimedOut { .. } => self.timed_out += 1,
                LegEvent::Refer { refer, .. } => {
                    let leg = self.legs[node].unwrap();
                    let (_, events) = self.net.act(node, |endpoint, now| {
                        endpoint.accept_refer(now, leg, refer).unwrap();
                        endpoint.notify_refer(now, leg, refer, 200, None).unwrap();
                    });
                    self.take(node, events);
                }
                _ => {}
            }
        }
    }

    fn over(&mut self, node: usize, request: RequestId, outcome: Outcome) {
        let act = self.open.remove(&(node, request)).expect("one outcome a request");
        self.outcomes.push((node, act, outcome));
    }

    /// `first` of node 0 now, `second` of node 1 after `offset` ms, or before for a negative one.
    fn meet(&mut self, first: Act, second: Act, offset: i64) {
        let distance = ms(offset.unsigned_abs());
        let (one, other) = ((0, first), (1, second));
        let (one, other) = if offset < 0 { (other, one) } else { (one, other) };
        self.act(one.0, one.1);
        self.pass(distance);
        // It may be over for this side by now; then there is nothing to do.
        if self.ended[other.0].is_none() {
            self.act(other.0, other.1);
        }
    }

    fn ends(&self) -> [Option<EndKind>; 2] {
        let why = |ended: &Option<Ended>| ended.as_ref().map(|ended| ended.why);
        [why(&self.ended[0]), why(&self.ended[1])]
    }

    /// Both hang up, and nothing may be left.
    fn finish(&mut self) {
        for node in [0, 1] {
            if self.legs[node].is_some() {
                self.act(node, Act::HangUp);
            }
        }
        self.pass(Duration::from_secs(200));
        assert!(self.open.is_empty(), "no outcome: {:?}", self.open);
        assert!(self.ended.iter().all(Option::is_some));
        self.net.assert_quiescent();
    }
}

/// Distances at which two messages meet, cross or miss each other.
fn distances() -> impl Iterator<Item = i64> {
    let way = WAY as i64;
    (-3 * way..=3 * way)
        .step_by(5)
        .chain([-way - 1, -way + 1, way - 1, way + 1])
}

/// Lets a pair meet at every distance over a slow wire, then over bad ones; `check` sees each meeting on the slow wire
/// ten seconds later.
fn every_meeting(first: Act, second: Act, talking: bool, check: impl Fn(&Race)) {
    let seed = net::seed(1);
    let _repeat = Repeat {
        seed,
        test: "--test races",
    };
    let start = |seed| {
        if talking {
            Race::talking(seed)
        } else {
            Race::ringing(seed, ms(60_000))
        }
    };
    for offset in distances() {
        let mut race = start(seed);
        race.net.wire = slow(WAY);
        race.meet(first, second, offset);
        race.pass(Duration::from_secs(10));
        assert!(
            race.open.is_empty(),
            "{first:?} {second:?} {offset}: {:?}",
            race.open
        );
        check(&race);
        race.finish();
    }
    for n in 0..40 {
        let mut race = start(seed + n);
        race.net.wire = Wire {
            loss_percent: 15,
            duplicate_percent: 15,
            delay_ms: (1, 300),
        };
        let offset = race.net.dice.below(600) as i64 - 300;
        race.meet(first, second, offset);
        race.pass(Duration::from_secs(100));
        race.finish();
    }
}

fn still_up(race: &Race) {
    assert_eq!(race.ends(), [None, None]);
    for (node, act, outcome) in &race.outcomes {
        assert!(matches!(outcome, Outcome::Accepted), "{node} {act:?} {outcome:?}");
    }
}

fn hung_up(race: &Race) {
    for (node, why) in race.ends().into_iter().enumerate() {
        // A request may learn of the end before the BYE comes.
        let fine = matches!(why, Some(EndKind::Bye | EndKind::DialogGone));
        assert!(fine, "{node}: {why:?}, {:?}", race.outcomes);
    }
    for (node, act, outcome) in &race.outcomes {
        let fine = match outcome {
            Outcome::Accepted | Outcome::None(RequestFailure::LegEnded) => true,
            Outcome::Refused(code) => matches!(code, 481 | 487 | 500),
            Outcome::None(_) => false,
        };
        assert!(fine, "{node} {act:?} {outcome:?}");
    }
}

#[test]
fn cancel_against_200() {
    every_meeting(Act::Cancel, Act::Answer, false, |race| match race.ends() {
        // The CANCEL was in time, or the 2xx was and BYE follows; or the host heard of it before it gave up.
        [Some(EndKind::Cancelled), Some(EndKind::Cancelled | EndKind::Bye)] | [None, None] => {}
        other => panic!("{other:?}"),
    });
}

#[test]
fn cancel_against_early_media_a_held_200_and_a_refusal() {
    every_meeting(Act::Cancel, Act::EarlyMedia, false, |race| {
        assert_eq!(race.ends(), [Some(EndKind::Cancelled); 2]);
    });
    every_meeting(Act::Cancel, Act::Reject, false, |race| {
        let [caller, callee] = race.ends();
        assert!(
            matches!(caller, Some(EndKind::Cancelled | EndKind::Rejected)),
            "{caller:?}"
        );
        assert!(
            matches!(callee, Some(EndKind::Cancelled | EndKind::Rejected)),
            "{callee:?}"
        );
    });
    for offset in distances().filter(|offset| *offset >= 0) {
        let mut race = Race::ringing(net::seed(3), ms(60_000));
        race.net.wire = slow(WAY);
        // The 200 waits for a PRACK when the CANCEL comes, or not any more.
        race.act(1, Act::EarlyMedia);
        race.act(1, Act::Answer);
        race.pass(ms(offset as u64));
        race.act(0, Act::Cancel);
        race.pass(Duration::from_secs(10));
        let [caller, callee] = race.ends();
        match caller {
            Some(why) => {
                assert_eq!(why, EndKind::Cancelled);
                assert!(
                    matches!(callee, Some(EndKind::Cancelled | EndKind::Bye)),
                    "{callee:?}"
                );
            }
            None => assert_eq!(callee, None, "answered before"),
        }
        race.finish();
    }
}

#[test]
fn bye_against_bye_reinvite_update_refer_and_info() {
    for request in [Act::HangUp, Act::Reinvite, Act::Update, Act::Refer, Act::Info] {
        every_meeting(Act::HangUp, request, true, hung_up);
        every_meeting(request, Act::HangUp, true, hung_up);
    }
}

#[test]
fn reinvite_against_reinvite_and_update() {
    every_meeting(Act::Reinvite, Act::Reinvite, true, still_up);
    every_meeting(Act::Update, Act::Reinvite, true, still_up);
    every_meeting(Act::Reinvite, Act::Update, true, still_up);
    every_meeting(Act::Update, Act::Update, true, still_up);
}

#[test]
fn refer_against_reinvite_refer_and_info() {
    for request in [Act::Reinvite, Act::Refer, Act::Info] {
        every_meeting(Act::Refer, request, true, still_up);
    }
}

#[test]
fn a_2xx_around_the_time_out_of_the_invite() {
    // The time-out is at 6 s; the 2xx arrives from half a second before to half a second after it.
    for at in (5_500..=6_500).step_by(10) {
        let mut race = Race::ringing(net::seed(4), ms(6_000));
        race.net.wire = slow(WAY);
        race.pass(ms(at - WAY - 1_000));
        if race.ended[1].is_none() {
            race.act(1, Act::Answer);
        }
        race.pass(Duration::from_secs(10));
        match race.ends() {
            [None, None] => assert!(at <= 6_000, "{at}"),
            [Some(EndKind::Timeout), Some(EndKind::Bye | EndKind::Cancelled)] => assert!(at >= 6_000, "{at}"),
            other => panic!("{at}: {other:?}"),
        }
        race.finish();
    }
}

#[test]
fn a_2xx_around_the_time_out_of_a_reinvite() {
    for way in (900..=1_100).step_by(5) {
        let mut race = Race::talking(net::seed(5));
        race.timeout = ms(2_000);
        race.net.wire = slow(way);
        race.act(0, Act::Reinvite);
        race.pass(Duration::from_secs(20));
        assert_eq!(race.ends(), [None, None], "{way}");
        assert!(
            matches!(race.outcomes[..], [(0, Act::Reinvite, Outcome::Accepted)]),
            "{way}"
        );
        assert!(
            race.timed_out <= 1 && (race.timed_out == 1) == (way > 1_000),
            "{way}"
        );
        race.net.wire = slow(WAY);
        race.finish();
    }
}

#[test]
fn a_response_after_the_request_was_given_up() {
    for act in [Act::Info, Act::Refer, Act::Update, Act::Reinvite] {
        let mut race = Race::talking(net::seed(6));
        race.timeout = ms(60_000);
        // There and back takes longer than 64·T1.
        race.net.wire = slow(17_000);
        race.act(0, act);
        race.pass(Duration::from_secs(33));
        assert!(
            matches!(
                race.outcomes[..],
                [(0, _, Outcome::None(RequestFailure::Timeout))]
            ),
            "{act:?}: {:?}",
            race.outcomes
        );
        let ended = race.ended[0].as_ref().expect("the peer is given up");
        assert_eq!(
            (ended.why, ended.by),
            (EndKind::DialogGone, Party::Local),
            "{act:?}"
        );
        race.pass(Duration::from_secs(40));
        assert!(race.ended[1].is_some(), "the BYE came");
        race.net.wire = slow(WAY);
        race.finish();
    }
}
