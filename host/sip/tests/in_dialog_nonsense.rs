//! A call whose host and peer do anything at any time: no panic, one end a leg, and nothing left when both are done.
//! `CALLBOX_SEED` chooses other runs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod net;
mod peer;

use std::time::Duration;

use callbox_sip::endpoint::{
    Endpoint, Event, InDialogRequest, LegEvent, LegId, PeerRequestId, ReferRequest, ReofferRequest,
};
use callbox_sip::message::Method;
use net::Dice;
use peer::{Peer, SDP, Sent, sdp, to};

const RUNS: u64 = 400;
const STEPS: u64 = 60;

struct World {
    peer: Peer,
    dice: Dice,
    leg: LegId,
    tag: String,
    seq: u64,
    /// Via and number of the peer's last INVITE: its CANCEL has both, its ACK the number.
    invite: (String, u64),
    /// RAck of the last reliable response.
    rack: String,
    /// What the peer asked and the host may decide.
    asked: Vec<PeerRequestId>,
    ends: usize,
    /// Requests of the endpoint that the peer may still answer.
    open: Vec<Sent>,
}

impl World {
    fn note(&mut self, sent: Vec<Sent>) {
        for sent in sent.iter().filter(|sent| !sent.header("RSeq").is_empty()) {
            self.rack = format!("RAck: {} {}", sent.header("RSeq"), sent.header("CSeq"));
        }
        self.open.extend(
            sent.into_iter()
                .filter(|sent| sent.code() == 0 && sent.method() != "ACK"),
        );
        for event in std::mem::take(&mut self.peer.events) {
            let Event::Leg { event, .. } = event else { continue };
            assert_eq!(self.ends, 0, "{event:?} after the end");
            match event {
                LegEvent::Offer { decide, .. } => self.asked.extend(decide),
                LegEvent::Refer { refer, .. } => self.asked.push(refer),
                LegEvent::Ended(_) => self.ends += 1,
                _ => {}
            }
        }
    }

    fn of_peer(&mut self) {
        let methods = [
            "INVITE", "UPDATE", "REFER", "NOTIFY", "MESSAGE", "INFO", "ACK", "CANCEL", "PRACK",
        ];
        let method = match self.dice.below(40) {
            0 => "BYE",
            n => methods[n as usize % methods.len()],
        };
        // In order, mostly; an ACK or CANCEL is for the last request.
        self.seq += u64::from(!matches!(method, "ACK" | "CANCEL"));
        let late = self.dice.below(20) == 0;
        let number = match method {
            "ACK" | "CANCEL" => self.invite.1,
            _ => self.seq - u64::from(late),
        };
        let cseq = format!("CSeq: {number} {method}");
        let body = if self.dice.chance(60) { SDP } else { "" };
        let event = ["Event: refer", "Event: refer;id=2", "Event: dialog"][self.dice.below(3) as usize];
        let state = ["Subscription-State: active", "Subscription-State: terminated"];
        let state = state[self.dice.below(2) as usize];
        let expires = ["Session-Expires: 90", "Session-Expires: 9", "X-None: 1"];
        let expires = expires[self.dice.below(3) as usize];
        let lines = [
            cseq.as_str(),
            &to(&self.tag),
            "Refer-To: <sip:c@h>",
            event,
            state,
            expires,
            "Supported: timer, 100rel",
            &self.rack,
        ];
        let mut lines = lines.to_vec();
        let via = self.invite.0.clone();
        if method == "CANCEL" {
            lines.push(&via);
        }
        let text = self.peer.compose(method, &lines, body);
        if method == "INVITE" {
            let via = text.lines().find(|line| line.starts_with("Via")).unwrap();
            self.invite = (via.to_owned(), number);
        }
        let sent = self.peer.receive(&text);
        self.note(sent);
    }

    fn reply(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let index = self.dice.below(self.open.len() as u64) as usize;
        let statuses = [
            "100 Trying",
            "180 Ringing",
            "200 OK",
            "200 OK",
            "202 Accepted",
            "302 Moved",
            "401 Who",
            "422 Small",
            "481 Gone",
            "487 Ended",
            "488 No",
            "491 Pending",
            "491 Pending",
            "500 Oops",
            "501 What",
            "603 No",
        ];
        let status = statuses[self.dice.below(statuses.len() as u64) as usize];
        let request = self.open[index].clone();
        if !status.starts_with('1') && self.dice.chance(80) {
            self.open.swap_remove(index);
        }
        let body = if self.dice.chance(50) { SDP } else { "" };
        let sent = self.peer.reply(
            &request,
            status,
            "",
            &[
                "Contact: <sip:alice@192.0.2.1:5060>",
                [
                    "X-None: 1",
                    "Session-Expires: 90;refresher=uac",
                    "Session-Expires: 90;refresher=uas",
                ][self.dice.below(3) as usize],
            ],
            body,
        );
        self.note(sent);
    }

    fn of_host(&mut self) {
        let (leg, choice) = (self.leg, self.dice.below(12));
        let body = if self.dice.chance(70) { sdp() } else { None };
        let update = self.dice.chance(30);
        let timeout = Duration::from_millis(self.dice.below(20_000));
        let asked = self.asked.last().copied();
        let code = 100 + self.dice.below(600) as u16;
        let hang_up = self.dice.below(8) == 0;
        // Most of it is refused: it must not matter.
        let (_, sent) = self.peer.act(|endpoint, now| match (choice, asked) {
            (0..=2, _) => {
                let headers = vec![];
                let request = ReofferRequest {
                    headers,
                    body,
                    update,
                    timeout,
                };
                endpoint.reoffer(now, leg, request).map(drop)
            }
            (3, _) => endpoint
                .refer(
                    now,
                    leg,
                    ReferRequest {
                        refer_to: "sip:c@h".into(),
                        referred_by: None,
                        progress: update,
                        headers: vec![],
                    },
                )
                .map(drop),
            (4, _) => endpoint.decide_offers(leg, !update),
            (5, _) => endpoint.answer(now, leg, &[], body),
            (6, Some(id)) => endpoint.accept_offer(now, leg, id, &[], body),
            (7, Some(id)) if update => endpoint.reject_offer(now, leg, id, code, None, &[]),
            (7, Some(id)) => endpoint.reject_refer(now, leg, id, code, None, &[]),
            (8, Some(id)) => endpoint.accept_refer(now, leg, id),
            (9, Some(id)) => endpoint.notify_refer(now, leg, id, code, None),
            (10, _) if hang_up => endpoint.hangup(now, leg, None),
            (11, _) => endpoint.progress(now, leg, 180 + code % 4, None, &[], body),
            _ => endpoint
                .request(
                    now,
                    leg,
                    InDialogRequest {
                        method: Method::Info,
                        headers: vec![],
                        body,
                    },
                )
                .map(drop),
        });
        self.note(sent);
    }

    fn pass(&mut self) {
        let ms = [10, 300, 2_000, 9_000][self.dice.below(4) as usize];
        let time = self.dice.below(ms);
        let sent = self.peer.wait_ms(time);
        self.note(sent);
    }
}

fn run(seed: u64) {
    let _repeat = net::Repeat {
        seed,
        test: "--test in_dialog_nonsense",
    };
    let mut dice = Dice(seed);
    let mut peer = Peer::new();
    let refresher = ["uac", "uas"][dice.below(2) as usize];
    let expires = format!("Session-Expires: 90;refresher={refresher}");
    let timer = [expires.as_str(), "Supported: timer"];
    // In the call; with a 200 that has no ACK; or not answered, with early media that has no PRACK.
    let (leg, tag) = match dice.below(3) {
        0 => peer.talking(),
        1 => {
            peer.send("INVITE", &timer, SDP);
            let leg = peer.incoming();
            let (_, sent) = peer.act(|endpoint, now| endpoint.answer(now, leg, &[], sdp()).unwrap());
            (leg, sent[0].to_tag())
        }
        _ => {
            let knows = ["Supported: timer, 100rel", "Require: 100rel"][dice.below(2) as usize];
            peer.send(
                "INVITE",
                &[&expires, knows],
                if dice.chance(70) { SDP } else { "" },
            );
            let leg = peer.incoming();
            let early = |endpoint: &mut Endpoint, now| endpoint.progress(now, leg, 183, None, &[], sdp());
            let (_, sent) = peer.act(early);
            (leg, sent[0].to_tag())
        }
    };
    let mut world = World {
        peer,
        dice,
        leg,
        tag,
        seq: 1,
        invite: (
            "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKpeer1;rport".into(),
            1,
        ),
        rack: "RAck: 1 1 INVITE".into(),
        asked: Vec::new(),
        ends: 0,
        open: Vec::new(),
    };
    world.note(vec![]);
    for _ in 0..STEPS {
        match world.dice.below(10) {
            0..=3 => world.of_peer(),
            4..=5 => world.reply(),
            6..=8 => world.of_host(),
            _ => world.pass(),
        }
    }
    let (_, sent) = world
        .peer
        .act(|endpoint, now| endpoint.hangup(now, leg, None).unwrap());
    world.note(sent);
    // The peer is silent from here on.
    let sent = world.peer.wait(Duration::from_secs(200));
    world.note(sent);
    assert_eq!(world.ends, 1, "one end");
    world.peer.assert_quiescent();
}

#[test]
fn whatever_both_do_the_leg_ends_once_and_nothing_is_left() {
    let first = net::seed(0);
    for n in 0..RUNS {
        run(first + n);
    }
}
