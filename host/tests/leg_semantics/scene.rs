//! Brings a leg into a state, with a raw peer at the other end, and answers for that peer while a method runs.

use std::time::Duration;

use callbox::call::{CallError, CallState, Leg, MakeCallOptions, Party, ReofferOptions, Session};

use crate::support::peer::{Dialog, Message, Peer, SESSION, Sent};
use crate::support::{Host, Opened, SOON, eventually, sdp};

/// How a leg came to be in its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// It is new.
    Fresh,
    /// Its attempt was rejected.
    AfterFailure,
    /// The host dialled.
    Outbound,
    /// The peer dialled.
    Inbound,
    /// The peer dialled and has not acknowledged the 200.
    Unacknowledged,
    /// The host dialled, and an offer of the peer's is left to the flow.
    Undecided,
    /// It is over, by this party.
    Ended(Party),
}

/// The ways into a state, by its short name in the table.
pub fn ways(state: &str) -> &'static [Way] {
    match state {
        "id" => &[Way::Fresh, Way::AfterFailure],
        "r-out" | "e-out" | "off" => &[Way::Outbound],
        "r-in" | "e-in" => &[Way::Inbound],
        "conn" => &[Way::Outbound, Way::Inbound, Way::Unacknowledged],
        "held" => &[Way::Outbound, Way::Inbound],
        "reof" => &[Way::Outbound, Way::Inbound, Way::Undecided],
        "term" => &[
            Way::Ended(Party::Local),
            Way::Ended(Party::Remote),
            Way::Ended(Party::Host),
        ],
        other => panic!("no way into state {other}"),
    }
}

/// A leg in a state.
pub struct Scene {
    pub far: FarEnd,
    pub session: Session,
    /// None while a method has it, and once it was dropped.
    pub leg: Option<Leg>,
    /// The call that opened `session`, where that is not `leg`'s own, and its caller.
    _opened: Option<(Leg, std::net::UdpSocket)>,
}

impl Scene {
    /// The leg.
    pub fn leg(&self) -> &Leg {
        self.leg.as_ref().expect("it was not dropped")
    }

    pub async fn new(host: &mut Host, state: &str, way: Way) -> Self {
        let mut scene = match way {
            Way::Inbound | Way::Unacknowledged => Self::called(host).await,
            _ => Self::calling(host).await,
        };
        match state {
            "id" if way == Way::AfterFailure => scene.fail().await,
            "id" | "r-in" => {}
            "r-out" => scene.dial(SESSION, "180 Ringing", None).await,
            "e-out" => scene.dial(SESSION, "183 Session Progress", SESSION).await,
            "e-in" => {
                let body = Some(sdp(&scene.session));
                scene.leg().progress(183, body, Vec::new()).unwrap();
                scene.far.peer.response(183).await;
            }
            "off" => {
                scene.dial(None, "180 Ringing", None).await;
                scene.answered().await;
            }
            "conn" => scene.connect(way).await,
            "held" => {
                scene.connect(way).await;
                scene.hold().await;
            }
            "reof" => {
                scene.leg().decide_offers(way == Way::Undecided);
                scene.connect(way).await;
                match way {
                    Way::Undecided => scene.leave_offer().await,
                    _ => scene.reoffer().await,
                }
            }
            "term" => {
                scene.connect(Way::Outbound).await;
                let Way::Ended(by) = way else { panic!("{way:?}") };
                scene.end(by).await;
            }
            other => panic!("no way into state {other}"),
        }
        scene
    }

    async fn calling(host: &mut Host) -> Self {
        let opened = Opened::on(host).await;
        let peer = Peer::apart(host.addr()).await;
        let (session, first) = (opened.session, opened.first);
        let leg = session.new_leg().unwrap();
        Self {
            far: FarEnd::new(peer, None),
            session,
            leg: Some(leg),
            _opened: Some((first, opened.caller)),
        }
    }

    async fn called(host: &mut Host) -> Self {
        let mut peer = Peer::apart(host.addr()).await;
        let dialog = peer.invite("callee", SESSION).await;
        let (session, leg) = host.next_call().await;
        Self {
            far: FarEnd::new(peer, Some(dialog)),
            session,
            leg: Some(leg),
            _opened: None,
        }
    }

    async fn dial(&mut self, offer: Sent<'_>, provisional: &str, body: Sent<'_>) {
        let options = MakeCallOptions {
            offer: offer.map(|_| sdp(&self.session)),
            ..MakeCallOptions::default()
        };
        self.leg().dial(&self.far.peer.uri("callee"), &options).unwrap();
        let invite = self.far.peer.request("INVITE").await;
        self.far.dialog = Some(self.far.peer.called(&invite));
        self.far.peer.answer(&invite, provisional, "", body).await;
        // The response is no state; what the leg knows of the peer is.
        eventually(|| !self.leg().sip_call_id().is_empty()).await;
    }

    async fn fail(&mut self) {
        self.dial(SESSION, "180 Ringing", None).await;
        let invite = self.far.dialog.take().unwrap().invite;
        self.far.peer.answer(&invite, "486 Busy Here", "", None).await;
        self.far.peer.request("ACK").await;
        self.reaches(CallState::Idle).await;
    }

    /// The peer answers our INVITE.
    async fn answered(&mut self) {
        let invite = self.far.dialog.as_ref().unwrap().invite.clone();
        self.far.peer.answer(&invite, "200 OK", "", SESSION).await;
        if !invite.body().is_empty() {
            self.far.peer.request("ACK").await;
            return self.reaches(CallState::Connected).await;
        }
        self.reaches(CallState::OfferedByRemote).await;
    }

    async fn connect(&mut self, way: Way) {
        let Some(mut dialog) = self.far.dialog.clone() else {
            self.dial(SESSION, "180 Ringing", None).await;
            return self.answered().await;
        };
        let leg = self.leg.take().unwrap();
        let body = sdp(&self.session);
        if way == Way::Unacknowledged {
            leg.answer(body, Vec::new(), Duration::ZERO).await.unwrap();
            self.far.owes_ack = Some(self.far.peer.response(200).await);
        } else {
            let (answered, ()) = tokio::join!(leg.answer(body, Vec::new(), SOON), async {
                let ok = self.far.peer.response(200).await;
                self.far.peer.ack(&mut dialog, &ok, None).await;
            });
            answered.unwrap();
            self.far.dialog = Some(dialog);
        }
        self.leg = Some(leg);
    }

    async fn hold(&mut self) {
        let leg = self.leg.take().unwrap();
        let (held, ()) = tokio::join!(leg.hold(), async {
            let offer = self.far.peer.request("INVITE").await;
            self.far.peer.answer(&offer, "200 OK", "", SESSION).await;
            self.far.peer.request("ACK").await;
        });
        held.unwrap();
        self.leg = Some(leg);
    }

    /// Leaves an offer of ours unanswered.
    async fn reoffer(&mut self) {
        let leg = self.leg.take().unwrap();
        let options = ReofferOptions {
            offer: Some(sdp(&self.session)),
            ..ReofferOptions::default()
        };
        tokio::select! {
            early = leg.reoffer(&options) => panic!("{early:?}"),
            offer = self.far.peer.request("INVITE") => self.far.peer.answer(&offer, "100 Trying", "", None).await,
        }
        self.leg = Some(leg);
    }

    /// The peer offers, and the flow has not decided.
    async fn leave_offer(&mut self) {
        let mut dialog = self.far.dialog.clone().unwrap();
        self.far.peer.ask(&mut dialog, "INVITE", "", SESSION).await;
        self.reaches(CallState::Reoffering).await;
    }

    async fn end(&mut self, by: Party) {
        let mut dialog = self.far.dialog.clone().unwrap();
        match by {
            Party::Local => {
                self.leg().hangup(None).unwrap();
                let bye = self.far.peer.request("BYE").await;
                self.far.peer.answer(&bye, "200 OK", "", None).await;
            }
            Party::Remote => {
                self.far.peer.ask(&mut dialog, "BYE", "", None).await;
                self.far.peer.response(200).await;
            }
            // A peer that does not know the call any more (RFC 5057).
            Party::Host => {
                let text = self.session.body("text/plain", b"?".to_vec()).unwrap();
                let leg = self.leg.take().unwrap();
                let (answer, ()) = tokio::join!(leg.send_info(text, Vec::new(), Some(SOON)), async {
                    let info = self.far.peer.request("INFO").await;
                    self.far
                        .peer
                        .answer(&info, "481 Call Does Not Exist", "", None)
                        .await;
                });
                assert!(matches!(answer, Err(CallError::Hangup(_))), "{answer:?}");
                self.leg = Some(leg);
                let bye = self.far.peer.request("BYE").await;
                self.far.peer.answer(&bye, "200 OK", "", None).await;
            }
        }
        self.reaches(CallState::Terminated).await;
        let info = self.leg().wait_for_hangup(Some(SOON)).await.unwrap();
        assert_eq!(info.by, by);
    }

    pub async fn reaches(&self, state: CallState) {
        eventually(|| self.leg().state() == state).await;
    }

    /// One more leg of the session, established with a peer of its own.
    pub async fn second(&self, host: &Host) -> (Leg, Peer) {
        let mut peer = Peer::apart(host.addr()).await;
        let leg = self.session.new_leg().unwrap();
        let options = MakeCallOptions {
            offer: Some(sdp(&self.session)),
            ..MakeCallOptions::default()
        };
        leg.dial(&peer.uri("second"), &options).unwrap();
        let invite = peer.request("INVITE").await;
        peer.answer(&invite, "200 OK", "", SESSION).await;
        peer.request("ACK").await;
        eventually(|| leg.state() == CallState::Connected).await;
        (leg, peer)
    }
}

/// The peer of a leg.
pub struct FarEnd {
    pub peer: Peer,
    pub dialog: Option<Dialog>,
    /// It owes the ACK of our 200 to its INVITE.
    owes_ack: Option<Message>,
}

impl FarEnd {
    fn new(peer: Peer, dialog: Option<Dialog>) -> Self {
        Self {
            peer,
            dialog,
            owes_ack: None,
        }
    }

    /// Places a call.
    pub async fn call(&mut self, user: &str) {
        self.dialog = Some(self.peer.invite(user, SESSION).await);
    }

    /// Answers everything kindly until the INVITE for `until` comes, and `late` where it cannot come before, and tells what came before it: methods of requests,
    /// statuses of responses. Left out: 100, copies, and the ACK of what was answered here.
    pub async fn respond(&mut self, until: &str, late: Option<&str>) -> Vec<String> {
        let mut seen: Vec<(String, String)> = Vec::new();
        if let (Some(ok), Some(mut dialog)) = (self.owes_ack.take(), self.dialog.clone()) {
            // Late enough for the method to have begun.
            tokio::time::sleep(Duration::from_millis(20)).await;
            self.peer.ack(&mut dialog, &ok, None).await;
        }
        loop {
            let message = self.peer.next().await;
            let method = message.method().map(str::to_owned);
            if method.as_deref() == Some("INVITE") && message.request_uri().contains(until) {
                self.peer.answer(&message, "486 Busy Here", "", None).await;
                if let Some(late) = late {
                    let message = self
                        .peer
                        .find(late, |message| message.method() == Some(late))
                        .await;
                    self.answer(&message, late).await;
                    seen.push((late.to_owned(), String::new()));
                }
                return seen.into_iter().map(|(what, _)| what).collect();
            }
            let what = method
                .clone()
                .unwrap_or_else(|| message.status().unwrap().to_string());
            let named = (what, message.header("CSeq").to_owned());
            let of_answer =
                named.0 == "ACK" && seen.iter().any(|(what, _)| what == "INVITE" || what == "CANCEL");
            if !of_answer && named.0 != "100" && !seen.contains(&named) {
                seen.push(named);
            }
            match method {
                Some(method) => self.answer(&message, &method).await,
                None => self.acknowledge(&message).await,
            }
        }
    }

    async fn answer(&mut self, request: &Message, method: &str) {
        match method {
            "ACK" => {}
            "INVITE" => self.peer.answer(request, "200 OK", "", SESSION).await,
            "REFER" => self.peer.answer(request, "202 Accepted", "", None).await,
            "CANCEL" => {
                self.peer.answer(request, "200 OK", "", None).await;
                let invite = self.dialog.as_ref().unwrap().invite.clone();
                self.peer
                    .answer(&invite, "487 Request Terminated", "", None)
                    .await;
            }
            _ => self.peer.answer(request, "200 OK", "", None).await,
        }
    }

    async fn acknowledge(&mut self, response: &Message) {
        let Some(mut dialog) = self.dialog.clone() else {
            return;
        };
        match response.status() {
            Some(200) if response.cseq_method() == "INVITE" => {
                self.peer.ack(&mut dialog, response, None).await
            }
            Some(300..) => self.peer.in_transaction(&dialog, "ACK", Some(response)).await,
            _ => {}
        }
    }
}
