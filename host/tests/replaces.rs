//! Calls that take the place of another (RFC 3891), on one host with two shards at least: whichever shard holds which call.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::time::Duration;

use callbox::call::{
    CallError, CallState, EventKind, Leg, MakeCallOptions, Party, RegisterOptions, Session, TransferOptions,
};
use callbox_sip::endpoint::shard_of;
use support::peer::{Dialog, Message, Peer, SESSION};
use support::{Host, Pair, SOON, event_of, sdp};

fn tag(address: &str) -> &str {
    address.split(";tag=").nth(1).unwrap()
}

/// The Replaces line that means this dialog, for the host.
fn replaces(dialog: &Dialog) -> String {
    format!(
        "Replaces: {};to-tag={};from-tag={}\r\n",
        dialog.call_id,
        tag(&dialog.theirs),
        tag(&dialog.ours)
    )
}

/// A call that is up, and a phone that may take its peer's place.
struct Desk {
    host: Host,
    peer: Peer,
    dialog: Dialog,
    session: Session,
    leg: Leg,
    other: Peer,
}

impl Desk {
    async fn start() -> Self {
        let mut host = Host::start();
        let mut peer = Peer::new(host.addr()).await;
        let mut dialog = peer.invite("bob", SESSION).await;
        let (session, leg) = host.next_call().await;
        let (confirmed, ()) = tokio::join!(leg.answer(sdp(&session), Vec::new(), SOON), async {
            let answer = peer.find("200", |message| message.status() == Some(200)).await;
            peer.ack(&mut dialog, &answer, None).await;
        });
        confirmed.unwrap();
        let other = Peer::new(host.addr()).await;
        Self {
            host,
            peer,
            dialog,
            session,
            leg,
            other,
        }
    }

    /// An attended transfer to the call: an INVITE to our Contact in it, with Replaces.
    async fn replace(&mut self) -> Dialog {
        let line = replaces(&self.dialog);
        self.other
            .invite_to(self.dialog.target.clone(), &line, SESSION)
            .await
    }

    /// The call that the session hears of, which names the one whose place it wants.
    async fn incoming(&self) -> Leg {
        let event = event_of(&self.session, &self.leg).await;
        match event.kind {
            EventKind::Incoming(leg) => leg,
            other => panic!("{other:?}"),
        }
    }

    async fn refused(&mut self) -> u16 {
        let is_final = |message: &Message| message.status().is_some_and(|code| code >= 200);
        self.other.find("refusal", is_final).await.status().unwrap()
    }

    /// The first call is still up.
    async fn unharmed(&mut self) {
        assert_eq!(self.leg.state(), CallState::Connected);
        self.peer.ask(&mut self.dialog, "OPTIONS", "", None).await;
        self.peer.response(200).await;
    }
}

#[tokio::test]
async fn a_call_is_replaced_when_the_flow_answers_the_other_on_whatever_shard() {
    let (mut same, mut apart) = (false, false);
    for _ in 0..64 {
        let mut desk = Desk::start().await;
        let shards = u16::try_from(desk.host.wire.shards()).unwrap();
        let mut dialog = desk.replace().await;
        let home = |call_id: &str| shard_of(call_id.as_bytes(), shards);
        match home(&dialog.call_id) == home(&desk.dialog.call_id) {
            true => same = true,
            false => apart = true,
        }
        let new = desk.incoming().await;
        assert_eq!(new.state(), CallState::RingingIn);
        assert_ne!(new.id(), desk.leg.id());
        assert!(new.header("Replaces")[0].starts_with(&desk.dialog.call_id));
        assert!(new.remote_offer().is_some());
        new.ring(Vec::new()).unwrap();
        desk.unharmed().await;

        let (confirmed, ()) = tokio::join!(new.answer(sdp(&desk.session), Vec::new(), SOON), async {
            let answer = desk
                .other
                .find("200", |message| message.status() == Some(200))
                .await;
            desk.other.ack(&mut dialog, &answer, None).await;
        });
        confirmed.unwrap();
        let bye = desk.peer.request("BYE").await;
        desk.peer.answer(&bye, "200 OK", "", None).await;
        let text = format!("replaced by call {}", new.id());
        assert!(bye.header("Reason").contains(&text), "{bye:?}");
        let EventKind::HungUp(info) = event_of(&desk.session, &desk.leg).await.kind else {
            panic!("not told");
        };
        assert_eq!((info.by, info.text), (Party::Host, Some(text)));
        assert!(matches!(desk.leg.ring(Vec::new()), Err(CallError::Hangup(_))));
        assert_eq!(new.state(), CallState::Connected);
        // The new call is one of the session like any other.
        drop(new);
        let bye = desk
            .other
            .find("BYE", |message| message.method() == Some("BYE"))
            .await;
        desk.other.answer(&bye, "200 OK", "", None).await;
        if same && (apart || shards == 1) {
            return;
        }
    }
    panic!("all of one kind: same shard {same}, apart {apart}");
}

#[tokio::test]
async fn a_call_whose_successor_is_refused_or_gives_up_goes_on() {
    let mut desk = Desk::start().await;
    desk.replace().await;
    desk.incoming().await.reject(486, None, Vec::new()).unwrap();
    assert_eq!(desk.refused().await, 486);
    desk.unharmed().await;

    desk.replace().await;
    drop(desk.incoming().await);
    assert_eq!(desk.refused().await, 480);
    desk.unharmed().await;

    let dialog = desk.replace().await;
    let new = desk.incoming().await;
    desk.other.in_transaction(&dialog, "CANCEL", None).await;
    let info = new.wait_for_hangup(Some(SOON)).await.unwrap();
    assert_eq!(info.by, Party::Remote);
    assert!(matches!(
        new.answer(sdp(&desk.session), Vec::new(), SOON).await,
        Err(CallError::Hangup(_))
    ));
    desk.unharmed().await;
}

#[tokio::test]
async fn what_is_not_the_callers_to_replace_does_not_exist() {
    let mut desk = Desk::start().await;
    let line = replaces(&desk.dialog);
    // Another tenant's number: the call is there, and nobody may know.
    let foreign = format!("sip:foreign@{}", desk.host.addr());
    desk.other.invite_to(foreign, &line, SESSION).await;
    assert_eq!(desk.refused().await, 481);
    let foreign = format!("sip:foreign@{}", desk.host.addr());
    let early = line.replace("\r\n", ";early-only\r\n");
    desk.other.invite_to(foreign, &early, SESSION).await;
    assert_eq!(desk.refused().await, 481, "nor how it stands");
    let wrong = line.replace("from-tag=", "from-tag=x");
    desk.other
        .invite_to(desk.dialog.target.clone(), &wrong, SESSION)
        .await;
    assert_eq!(desk.refused().await, 481);
    desk.other
        .invite_to(
            desk.dialog.target.clone(),
            &line.replace("\r\n", ";early-only\r\n"),
            SESSION,
        )
        .await;
    assert_eq!(desk.refused().await, 486, "it is answered");
    desk.unharmed().await;
    assert!(desk.session.poll_event().is_none());
}

#[tokio::test]
async fn the_contact_of_a_registration_leads_to_the_session_that_holds_it() {
    let mut desk = Desk::start().await;
    let registrar = format!("sip:foreign@{}", desk.peer.addr());
    let options = RegisterOptions::default();
    let (registered, contact) = tokio::join!(desk.session.register(&registrar, &options), async {
        let register = desk.peer.request("REGISTER").await;
        let contact = register.header("Contact").to_owned();
        desk.peer
            .answer(
                &register,
                "200 OK",
                &format!("Contact: {contact};expires=300\r\n"),
                None,
            )
            .await;
        contact
    });
    let registration = registered.unwrap();
    let uri = contact
        .split(['<', '>'])
        .nth(1)
        .expect("a URI in angle brackets")
        .to_owned();
    assert!(uri.starts_with("sip:foreign@") && uri.contains(";line="), "{uri}");
    let line = replaces(&desk.dialog);
    desk.other.invite_to(uri.clone(), &line, SESSION).await;
    desk.incoming().await.reject(486, None, Vec::new()).unwrap();
    assert_eq!(desk.refused().await, 486);
    // Without the line of the registration it is another tenant's number.
    let bare = uri.split(";line=").next().unwrap().to_owned();
    desk.other.invite_to(bare, &line, SESSION).await;
    assert_eq!(desk.refused().await, 481);
    drop(registration);
}

/// An attended transfer from its REFER to its last BYE, with hosts of ours on all sides: one that asks, one that carries it
/// out, and one whose call is replaced.
#[tokio::test]
async fn an_attended_transfer_joins_the_two_others() {
    let mut pair = Pair::start().await;
    let mut third = Host::start();
    let (to_bob, bobs_session, bob) = pair.connected().await;
    let to_carol = pair.session().new_leg().unwrap();
    let offer = MakeCallOptions {
        offer: Some(sdp(pair.session())),
        ..MakeCallOptions::default()
    };
    let dest = third.uri("carol");
    let (called, (carols_session, carol)) = tokio::join!(to_carol.make_call(&dest, &offer), async {
        let (session, leg) = third.next_call().await;
        leg.answer(sdp(&session), Vec::new(), SOON).await.unwrap();
        (session, leg)
    });
    called.unwrap();

    let until_the_end = TransferOptions {
        wait_for_outcome: true,
        ..TransferOptions::default()
    };
    let (transferred, (successor, joined)) =
        tokio::join!(to_bob.attended_transfer(&to_carol, &until_the_end), async {
            let event = event_of(&bobs_session, &bob).await;
            let EventKind::Refer(referral) = event.kind else {
                panic!("{event:?}");
            };
            referral.accept().unwrap();
            let place = bobs_session
                .header("Replaces", referral.replaces().unwrap())
                .unwrap();
            let options = MakeCallOptions {
                offer: Some(sdp(&bobs_session)),
                headers: vec![place],
                ..MakeCallOptions::default()
            };
            let successor = bobs_session.new_leg().unwrap();
            let (answered, joined) = tokio::join!(successor.make_call(referral.target(), &options), async {
                let event = event_of(&carols_session, &carol).await;
                let EventKind::Incoming(joined) = event.kind else {
                    panic!("{event:?}");
                };
                joined
                    .answer(sdp(&carols_session), Vec::new(), SOON)
                    .await
                    .unwrap();
                joined
            });
            referral.notify(&answered.unwrap().status).unwrap();
            (successor, joined)
        });
    let transferred = transferred.unwrap();
    assert_eq!(transferred.outcome.map(|status| status.code), Some(200));
    // The two talk; whoever asked for it is out, on both sides.
    assert_eq!(
        (successor.state(), joined.state()),
        (CallState::Connected, CallState::Connected)
    );
    let at_carol = carol.wait_for_hangup(Some(SOON)).await.unwrap();
    assert_eq!(at_carol.by, Party::Host);
    assert_eq!(
        to_carol.wait_for_hangup(Some(SOON)).await.unwrap().by,
        Party::Remote
    );
    assert_eq!(bob.wait_for_hangup(Some(SOON)).await.unwrap().by, Party::Remote);
    successor.hangup(None).unwrap();
    assert_eq!(
        joined.wait_for_hangup(Some(SOON)).await.unwrap().by,
        Party::Remote
    );
}

#[tokio::test]
async fn a_call_that_nobody_takes_ends_with_the_session() {
    let mut desk = Desk::start().await;
    desk.replace().await;
    // It is in the mailbox; the flow ends without having read it.
    support::eventually(|| desk.session.live_legs() == 2).await;
    desk.session.end_legs(480);
    let Desk {
        session,
        leg,
        mut other,
        mut peer,
        host,
        ..
    } = desk;
    drop((session, leg));
    other.find("480", |message| message.status() == Some(480)).await;
    let bye = peer.request("BYE").await;
    peer.answer(&bye, "200 OK", "", None).await;
    drop(host);
}

#[tokio::test]
async fn the_mailbox_of_a_session_that_is_gone_refuses_what_comes_to_it() {
    let mut desk = Desk::start().await;
    let dialog = desk.dialog.clone();
    let target = dialog.target.clone();
    drop(desk.session);
    desk.other.invite_to(target, &replaces(&dialog), SESSION).await;
    let refused = desk
        .other
        .find("480", |message| message.status() == Some(480))
        .await;
    assert_eq!(refused.cseq_method(), "INVITE");
    assert_eq!(desk.leg.state(), CallState::Connected);
}

#[tokio::test]
async fn the_other_call_may_end_before_the_answer() {
    let mut desk = Desk::start().await;
    let mut dialog = desk.replace().await;
    let new = desk.incoming().await;
    desk.peer.ask(&mut desk.dialog, "BYE", "", None).await;
    desk.leg.wait_for_hangup(Some(SOON)).await.unwrap();
    new.answer(sdp(&desk.session), Vec::new(), Duration::ZERO)
        .await
        .unwrap();
    let answer = desk
        .other
        .find("200", |message| message.status() == Some(200))
        .await;
    desk.other.ack(&mut dialog, &answer, None).await;
    assert_eq!(new.state(), CallState::Connected);
    // A call that is over cannot be replaced.
    desk.replace().await;
    let code = desk.refused().await;
    assert!(matches!(code, 481 | 603), "{code}");
}

#[tokio::test]
async fn a_ringing_call_of_ours_is_cancelled_when_another_phone_answers_for_it() {
    let mut desk = Desk::start().await;
    let ringing = desk.session.new_leg().unwrap();
    let options = MakeCallOptions {
        offer: Some(sdp(&desk.session)),
        ..MakeCallOptions::default()
    };
    ringing.dial(&desk.peer.uri("group"), &options).unwrap();
    let invite = desk.peer.request("INVITE").await;
    desk.peer.answer(&invite, "180 Ringing", "", None).await;
    let progress = event_of(&desk.session, &ringing).await.kind;
    assert!(matches!(progress, EventKind::Progress { .. }));
    // The host's tag is in its From, the phone's in the 180.
    let line = format!(
        "Replaces: {};to-tag={};from-tag=peer;early-only\r\n",
        invite.header("Call-ID"),
        tag(invite.header("From")),
    );
    desk.other
        .invite_to(invite.contact_uri().to_owned(), &line, SESSION)
        .await;
    let event = event_of(&desk.session, &ringing).await;
    let EventKind::Incoming(new) = event.kind else {
        panic!("{event:?}");
    };
    new.answer(sdp(&desk.session), Vec::new(), Duration::ZERO)
        .await
        .unwrap();
    let cancel = desk.peer.request("CANCEL").await;
    desk.peer.answer(&cancel, "200 OK", "", None).await;
    let EventKind::HungUp(info) = event_of(&desk.session, &ringing).await.kind else {
        panic!("not told");
    };
    assert_eq!(info.by, Party::Host);
    assert_eq!(ringing.state(), CallState::Terminated);
    desk.unharmed().await;
}
