//! Redirections of our calls: which Contacts are called, in which order, with what in the INVITE, and when it ends.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::time::Duration;

use callbox::call::{
    AnswerInfo, CallError, CallState, Credentials, EventKind, Leg, Login, MakeCallOptions, Status,
};
use support::peer::{Message, Peer, SESSION};
use support::{Host, Opened, event_of, sdp};

/// A host with a session, and the peers that it calls.
struct Scene {
    _host: Host,
    opened: Opened,
    first: Peer,
    second: Peer,
}

impl Scene {
    async fn new() -> Self {
        let mut host = Host::start();
        let opened = Opened::on(&mut host).await;
        let (first, second) = (Peer::new(host.addr()).await, Peer::new(host.addr()).await);
        Self {
            _host: host,
            opened,
            first,
            second,
        }
    }

    fn leg(&self) -> Leg {
        self.opened.session.new_leg().unwrap()
    }

    fn options(&self) -> MakeCallOptions {
        MakeCallOptions {
            offer: Some(sdp(&self.opened.session)),
            follow_redirects: true,
            ..MakeCallOptions::default()
        }
    }
}

/// Takes the INVITE that is next and sends it elsewhere; waits for the ACK.
async fn redirect(peer: &mut Peer, status: &str, contacts: impl AsRef<str>) -> Message {
    let invite = peer.request("INVITE").await;
    answer(peer, &invite, status, contacts.as_ref()).await;
    invite
}

/// Refuses an INVITE and waits for the ACK. A redirection must not have the Contact that the harness writes.
async fn answer(peer: &mut Peer, invite: &Message, status: &str, more: &str) {
    peer.answer_bare(invite, status, more).await;
    peer.request("ACK").await;
}

async fn accept(peer: &mut Peer) -> Message {
    let invite = peer.request("INVITE").await;
    peer.answer(&invite, "200 OK", "", SESSION).await;
    peer.request("ACK").await;
    invite
}

fn rejected(result: Result<AnswerInfo, CallError>) -> u16 {
    match result {
        Err(CallError::Rejected(Status { code, .. })) => code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn without_being_asked_to_a_redirection_is_a_rejection_with_its_contacts() {
    let mut scene = Scene::new().await;
    let (leg, options) = (scene.leg(), MakeCallOptions::default());
    let (dest, contact) = (scene.first.uri("bob"), scene.second.uri("bob"));
    let (result, _) = tokio::join!(
        leg.make_call(&dest, &options),
        redirect(
            &mut scene.first,
            "302 Moved Temporarily",
            format!("Contact: <{contact}>\r\n")
        )
    );
    assert_eq!(rejected(result), 302);
    assert_eq!(
        (leg.state(), leg.header("Contact")),
        (CallState::Idle, vec![format!("<{contact}>")])
    );
    scene.second.quiet(Duration::from_millis(100)).await;
}

#[tokio::test]
async fn contacts_are_called_in_the_order_of_q_until_one_answers() {
    let mut scene = Scene::new().await;
    let (leg, mut options) = (scene.leg(), scene.options());
    options.headers = vec![scene.opened.session.header("X-Trace", "7").unwrap()];
    let dest = scene.first.uri("bob");
    let contacts = format!(
        "Contact: <{}>;q=0.2, <{}>;q=0.9\r\nContact: \"B\" <{}>\r\n",
        scene.second.uri("last"),
        scene.second.uri("second"),
        scene.second.uri("first"),
    );
    let (result, ()) = tokio::join!(leg.make_call(&dest, &options), async {
        let invite = redirect(&mut scene.first, "300 Multiple Choices", &contacts).await;
        for (user, status) in [("first", "486 Busy Here"), ("second", "480 Away")] {
            let next = scene.second.request("INVITE").await;
            assert_eq!(next.request_uri(), scene.second.uri(user));
            answer(&mut scene.second, &next, status, "").await;
        }
        let last = accept(&mut scene.second).await;
        assert_eq!(last.request_uri(), scene.second.uri("last"));
        // Who calls whom stays; the rest is a call of its own with all that the flow wanted in it.
        assert_eq!(last.header("To"), format!("<{}>", scene.first.uri("bob")));
        assert_ne!(last.header("Call-ID"), invite.header("Call-ID"));
        assert_eq!((last.header("X-Trace"), last.body()), ("7", invite.body()));
    });
    assert_eq!(result.unwrap().status.code, 200);
    assert_eq!((leg.state(), leg.dnis().as_str()), (CallState::Connected, "bob"));
    assert_eq!(
        leg.request_uri(),
        scene.second.uri("last"),
        "where it went in the end"
    );
    leg.hangup(None).unwrap();
    scene.second.request("BYE").await;
}

#[tokio::test]
async fn a_contact_brings_no_headers_and_the_dial_rules_hold() {
    let mut scene = Scene::new().await;
    let (leg, options) = (scene.leg(), scene.options());
    let (dest, second) = (scene.first.uri("bob"), scene.second.addr());
    let contacts = format!(
        "Contact: <sip:forbidden@{second}>, <sip:eve@{second};method=BYE>, <mailto:bob@{second}>\r\n\
         Contact: <sip:carol@{second};x=1?Subject=hi&Route=%3Csip:evil%3E>;q=0.1\r\n"
    );
    let (result, ()) = tokio::join!(leg.make_call(&dest, &options), async {
        redirect(&mut scene.first, "301 Moved Permanently", &contacts).await;
        let invite = accept(&mut scene.second).await;
        assert_eq!(invite.request_uri(), format!("sip:carol@{second};x=1"));
        assert_eq!((invite.header("Subject"), invite.header("Route")), ("", ""));
    });
    result.unwrap();

    // When nothing of it may be called, it is the rejection that it was.
    let leg = scene.leg();
    let (result, _) = tokio::join!(
        leg.make_call(&dest, &options),
        redirect(
            &mut scene.first,
            "302 Moved",
            format!("Contact: <sip:forbidden@{second}>\r\n")
        )
    );
    assert_eq!(rejected(result), 302);
    scene.second.quiet(Duration::from_millis(100)).await;
}

#[tokio::test]
async fn a_circle_ends_and_so_does_a_chain() {
    let mut scene = Scene::new().await;
    let (leg, options) = (scene.leg(), scene.options());
    let (one, two) = (scene.first.uri("bob"), scene.second.uri("bob"));
    let (result, ()) = tokio::join!(leg.make_call(&one, &options), async {
        redirect(&mut scene.first, "302 There", &format!("Contact: <{two}>\r\n")).await;
        redirect(
            &mut scene.second,
            "302 Back",
            &format!("Contact: <{one}>, <{two}>\r\n"),
        )
        .await;
    });
    assert_eq!(rejected(result), 302, "nobody is called twice");

    let follow = scene.opened.session.context().limits.redirects_max;
    let (result, ()) = tokio::join!(leg.make_call(&one, &options), async {
        for step in 0..=follow {
            let contact = scene.first.uri(&format!("step{step}"));
            redirect(&mut scene.first, "302 On", &format!("Contact: <{contact}>\r\n")).await;
        }
    });
    assert_eq!(rejected(result), 302);
    scene.first.quiet(Duration::from_millis(100)).await;

    let most = scene.opened.session.context().limits.redirect_contacts_max;
    let many: String = (0..most + 5)
        .map(|at| format!("Contact: <{}>\r\n", scene.first.uri(&format!("many{at}"))))
        .collect();
    let (result, ()) = tokio::join!(leg.make_call(&one, &options), async {
        redirect(&mut scene.first, "300 Many", &many).await;
        for _ in 0..most {
            let invite = scene.first.request("INVITE").await;
            answer(&mut scene.first, &invite, "404 Not Found", "").await;
        }
    });
    assert_eq!(rejected(result), 404, "the last word");
    scene.first.quiet(Duration::from_millis(100)).await;
}

#[tokio::test]
async fn a_refusal_for_everybody_ends_it() {
    let mut scene = Scene::new().await;
    let (leg, options) = (scene.leg(), scene.options());
    let dest = scene.first.uri("bob");
    let contacts = format!(
        "Contact: <{}>, <{}>\r\n",
        scene.second.uri("a"),
        scene.second.uri("b")
    );
    let (result, ()) = tokio::join!(leg.make_call(&dest, &options), async {
        redirect(&mut scene.first, "300 Choose", &contacts).await;
        let invite = scene.second.request("INVITE").await;
        answer(&mut scene.second, &invite, "603 Decline", "").await;
    });
    assert_eq!(rejected(result), 603);
    scene.second.quiet(Duration::from_millis(100)).await;
}

#[tokio::test]
async fn the_time_is_that_of_the_whole_attempt() {
    let mut scene = Scene::new().await;
    let leg = scene.leg();
    let options = MakeCallOptions {
        timeout: Duration::from_millis(600),
        ..scene.options()
    };
    let dest = scene.first.uri("bob");
    let contact = format!(
        "Contact: <{}>, <{}>\r\n",
        scene.second.uri("a"),
        scene.second.uri("b")
    );
    let began = tokio::time::Instant::now();
    let (result, ()) = tokio::join!(leg.make_call(&dest, &options), async {
        let invite = scene.first.request("INVITE").await;
        tokio::time::sleep(Duration::from_millis(400)).await;
        answer(&mut scene.first, &invite, "302 There", &contact).await;
        let invite = scene.second.request("INVITE").await;
        scene.second.answer(&invite, "180 Ringing", "", None).await;
    });
    assert_eq!(result, Err(CallError::Timeout));
    // Each of the two alone has 600 ms.
    assert!(
        began.elapsed() < Duration::from_millis(950),
        "{:?}",
        began.elapsed()
    );
    let cancel = scene
        .second
        .find("CANCEL", |message| message.method() == Some("CANCEL"))
        .await;
    assert_eq!(cancel.request_uri(), scene.second.uri("a"));
}

#[tokio::test]
async fn dial_follows_too_and_cancel_ends_it_wherever_it_is() {
    let mut scene = Scene::new().await;
    let (leg, options) = (scene.leg(), scene.options());
    leg.dial(&scene.first.uri("bob"), &options).unwrap();
    let contact = scene.second.uri("carol");
    redirect(
        &mut scene.first,
        "302 There",
        &format!("Contact: <{contact}>\r\n"),
    )
    .await;
    let invite = scene.second.request("INVITE").await;
    scene.second.answer(&invite, "183 Soon", "", SESSION).await;
    // One attempt: the first event is progress, nothing failed.
    let event = event_of(&scene.opened.session, &leg).await;
    assert!(matches!(event.kind, EventKind::Progress { .. }), "{event:?}");
    assert_eq!((leg.state(), leg.request_uri()), (CallState::Early, contact));
    leg.cancel(None).unwrap();
    let event = event_of(&scene.opened.session, &leg).await;
    assert!(
        matches!(event.kind, EventKind::Failed(CallError::Cancelled)),
        "{event:?}"
    );
    let cancel = scene.second.request("CANCEL").await;
    scene.second.answer(&cancel, "200 OK", "", None).await;
    answer(&mut scene.second, &invite, "487 Request Terminated", "").await;
    assert_eq!(leg.state(), CallState::Idle);
}

#[tokio::test]
async fn a_login_for_any_realm_stays_with_the_host_that_was_dialled() {
    let mut scene = Scene::new().await;
    let login = |realm: Option<&str>| {
        Credentials::Given(Login {
            username: "alice".to_owned(),
            password: "secret".to_owned(),
            realm: realm.map(str::to_owned),
        })
    };
    // Another host: the peers differ in their ports only, so the name differs.
    let dest = format!("sip:bob@localhost:{}", scene.first.addr().port());
    for (realm, answers) in [(None, false), (Some("house"), true)] {
        let leg = scene.leg();
        let options = MakeCallOptions {
            credentials: login(realm),
            ..scene.options()
        };
        let contact = format!("Contact: <{}>\r\n", scene.second.uri("eve"));
        let (result, ()) = tokio::join!(leg.make_call(&dest, &options), async {
            redirect(&mut scene.first, "302 There", &contact).await;
            let invite = scene.second.request("INVITE").await;
            let challenge = "WWW-Authenticate: Digest realm=\"house\", nonce=\"n\"\r\n";
            answer(&mut scene.second, &invite, "401 Who", challenge).await;
            if answers {
                let invite = scene.second.request("INVITE").await;
                assert!(invite.header("Authorization").contains("username=\"alice\""));
                answer(&mut scene.second, &invite, "486 Busy", "").await;
            }
        });
        assert_eq!(rejected(result), if answers { 486 } else { 401 });
    }
}
