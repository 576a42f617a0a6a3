//! What a test's phone says when callbox calls, registers at or subscribes to it: a callee, registrar and notifier that
//! does only what its test says. The other direction, a phone that calls, is [`crate::phone`].
//!
//! Functions on a [`Phone`], for a test sees all that comes to its one socket.

use std::time::{Duration, Instant};

use crate::message::Message;
use crate::phone::{OFFER, Phone, SOON};

/// The realm of its challenges.
pub const REALM: &str = "house.example";
/// Their nonce.
pub const NONCE: &str = "5f3c8a11";
/// The password of `alice`.
pub const PASSWORD: &str = "1234";

/// The next request of this method; copies of what was answered before are answered again by no one.
pub fn next(peer: &mut Phone, method: &str, wanted: impl Fn(&Message) -> bool) -> Message {
    peer.next_request(method, wanted)
}

/// No request of this method comes for so long.
pub fn nothing_comes(peer: &mut Phone, method: &str, longest: Duration) {
    let deadline = Instant::now() + longest;
    while let Some(message) = peer.receive(deadline.saturating_duration_since(Instant::now())) {
        assert_ne!(message.method(), Some(method), "{message:?}");
    }
}

/// Answers with a To tag and further header lines.
pub fn respond(peer: &mut Phone, request: &Message, status: &str, more: &str) {
    peer.respond_with(request, status, more);
}

/// 401, for MD5 without qop: nothing in the answer is random.
pub fn challenge(peer: &mut Phone, request: &Message) {
    let more = format!("WWW-Authenticate: Digest realm=\"{REALM}\", nonce=\"{NONCE}\", algorithm=MD5\r\n");
    respond(peer, request, "401 Unauthorized", &more);
}

/// RFC 2069's digest: without qop there is nothing random in it.
pub fn is_right(request: &Message) -> bool {
    let hex = |text: String| format!("{:x}", md5::compute(text));
    let method = request.method().unwrap_or_default();
    let first = hex(format!("alice:{REALM}:{PASSWORD}"));
    let second = hex(format!("{method}:{}", request.request_uri()));
    let right = hex(format!("{first}:{NONCE}:{second}"));
    let line = request.header("Authorization");
    line.contains("username=\"alice\"") && line.contains(&format!("response=\"{right}\""))
}

/// Challenges a request and returns its repetition.
pub fn authorised(peer: &mut Phone, method: &str) -> Message {
    let first = next(peer, method, |it| it.header("Authorization").is_empty());
    challenge(peer, &first);
    let id = first.header("Call-ID").to_owned();
    let again = next(peer, method, |it| {
        it.header("Call-ID") == id && !it.header("Authorization").is_empty()
    });
    assert_eq!(again.cseq_number(), first.cseq_number() + 1);
    again
}

/// Binds whatever the REGISTER wants to bind.
pub fn accept_register(peer: &mut Phone, register: &Message, expires: u32) {
    let more: String = register
        .headers("Contact")
        .iter()
        .map(|contact| {
            let uri = contact.split(";expires").next().unwrap();
            format!("Contact: {uri};expires={expires}\r\n")
        })
        .collect();
    respond(peer, register, "200 OK", &more);
}

/// A whole registration, challenged and bound; the REGISTER that was accepted.
pub fn registered(peer: &mut Phone, expires: u32) -> Message {
    let register = authorised(peer, "REGISTER");
    assert!(is_right(&register), "{register:?}");
    accept_register(peer, &register, expires);
    register
}

/// A REGISTER that takes a binding back, or a SUBSCRIBE that ends.
pub fn is_removal(message: &Message) -> bool {
    message.header("Expires") == "0"
}

/// One NOTIFY in the dialog of a SUBSCRIBE; waits for the answer.
pub fn notify(peer: &mut Phone, subscribe: &Message, cseq: u32, state: &str, body: &str) {
    send_notify(peer, subscribe, cseq, state, body);
    let deadline = Instant::now() + SOON;
    while let Some(message) = peer.receive(deadline.saturating_duration_since(Instant::now())) {
        if message.status().is_some() && message.header("CSeq") == format!("{cseq} NOTIFY") {
            assert_eq!(message.status(), Some(200), "{message:?}");
            return;
        }
    }
    panic!("the NOTIFY was not answered");
}

/// The same without the wait.
pub fn send_notify(peer: &mut Phone, subscribe: &Message, cseq: u32, state: &str, body: &str) {
    let (own, from, to) = (peer.address(), subscribe.header("To"), subscribe.header("From"));
    let tag = if subscribe.to_tag().is_none() {
        ";tag=peer"
    } else {
        ""
    };
    let id = subscribe.header("Call-ID");
    peer.send(format!(
        "NOTIFY {} SIP/2.0\r\nVia: SIP/2.0/UDP {own};rport;branch=z9hG4bK-n{cseq}-{id}\r\nMax-Forwards: 70\r\n\
         From: {from}{tag}\r\nTo: {to}\r\nCall-ID: {id}\r\nCSeq: {cseq} NOTIFY\r\nContact: <sip:alice@{own}>\r\n\
         Event: {}\r\nSubscription-State: {state}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}",
        subscribe.contact_uri(),
        subscribe.header("Event"),
        body.len()
    ));
}

/// Accepts a SUBSCRIBE.
pub fn subscribed(peer: &mut Phone, subscribe: &Message, expires: u32) {
    let contact = format!(
        "Expires: {expires}\r\nContact: <sip:alice@{}>\r\n",
        peer.address()
    );
    respond(peer, subscribe, "200 OK", &contact);
}

/// Answers a call with a session description, and waits for the ACK, which is returned.
pub fn answer(peer: &mut Phone, invite: &Message, body: &str) -> Message {
    accept(peer, invite, body);
    next(peer, "ACK", |it| it.header("Call-ID") == invite.header("Call-ID"))
}

/// 200 with a session description, to an INVITE or to what offers again.
pub fn accept(peer: &mut Phone, request: &Message, body: &str) {
    let mut text = "SIP/2.0 200 OK\r\n".to_owned();
    for name in ["Via", "Record-Route", "From", "To", "Call-ID", "CSeq"] {
        let tag = if name == "To" && request.to_tag().is_none() {
            ";tag=peer"
        } else {
            ""
        };
        for value in request.headers(name) {
            text.push_str(&format!("{name}: {value}{tag}\r\n"));
        }
    }
    text.push_str(&format!("Contact: <sip:callee@{}>\r\n", peer.address()));
    text.push_str(&format!(
        "Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    peer.send(text);
}

/// The same with the description that [`Phone`]s offer.
pub fn pick_up(peer: &mut Phone, invite: &Message) -> Message {
    answer(peer, invite, OFFER)
}

/// Sends a request in the dialog of a call that came from callbox, and waits for its 200.
pub fn ask(peer: &mut Phone, invite: &Message, method: &str, cseq: u32, kind: &str, body: &str) {
    let (own, id) = (peer.address(), invite.header("Call-ID"));
    let kind = match kind {
        "" => String::new(),
        kind => format!("Content-Type: {kind}\r\n"),
    };
    peer.send(format!(
        "{method} {} SIP/2.0\r\nVia: SIP/2.0/UDP {own};rport;branch=z9hG4bK-a{cseq}-{id}\r\nMax-Forwards: 70\r\n\
         From: {};tag=peer\r\nTo: {}\r\nCall-ID: {id}\r\nCSeq: {cseq} {method}\r\nContact: <sip:callee@{own}>\r\n\
         {kind}Content-Length: {}\r\n\r\n{body}",
        invite.contact_uri(),
        invite.header("To"),
        invite.header("From"),
        body.len()
    ));
    let deadline = Instant::now() + SOON;
    while let Some(message) = peer.receive(deadline.saturating_duration_since(Instant::now())) {
        if message.status().is_some_and(|code| code >= 200)
            && message.header("CSeq") == format!("{cseq} {method}")
        {
            assert_eq!(message.status(), Some(200), "{message:?}");
            return;
        }
    }
    panic!("the {method} was not answered");
}
