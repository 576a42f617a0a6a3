//! Kamailio as presence server: what somebody publishes reaches the flow that subscribed.

use callbox_tests::kamailio::{Kamailio, REALM};
use callbox_tests::phone::{Phone, SOON};

use crate::{LONG, go, house, start};

/// Publishes a body for alice; `etag` is what the last publication was given (RFC 3903). Returns the new one.
fn publish(kamailio: &Kamailio, event: &str, content_type: &str, etag: Option<&str>, body: &str) -> String {
    let mut phone = Phone::udp(kamailio.address());
    let call = phone.new_call("alice");
    let (own, uri) = (phone.address(), kamailio.uri("alice"));
    let condition = etag.map_or_else(String::new, |it| format!("SIP-If-Match: {it}\r\n"));
    phone.send(format!(
        "PUBLISH {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {own};rport;branch=z9hG4bK-p-{id}\r\nMax-Forwards: 70\r\n\
         From: <{uri}>;tag=p\r\nTo: <{uri}>\r\nCall-ID: {id}\r\nCSeq: 1 PUBLISH\r\nEvent: {event}\r\nExpires: 300\r\n\
         {condition}Content-Type: {content_type}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len(),
        id = call.id,
    ));
    let response = phone.final_response(&call, "PUBLISH");
    assert_eq!(response.status(), Some(200), "{response:?}");
    response.header("SIP-ETag").to_owned()
}

/// Publishes where alice is.
pub(crate) fn tell(kamailio: &Kamailio, etag: Option<&str>, note: &str) -> String {
    let body = format!(
        "<?xml version=\"1.0\"?>\n<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"{}\"><tuple id=\"t1\">\
         <status><basic>open</basic></status><note>{note}</note></tuple></presence>",
        kamailio.uri("alice")
    );
    publish(kamailio, "presence", "application/pidf+xml", etag, &body)
}

/// The configuration of a flow that watches alice.
pub(crate) fn watching(kamailio: &Kamailio, package: &str, accept: &str) -> String {
    format!(
        "server = {:?}\npackage = {package:?}\naccept = {accept:?}\n",
        kamailio.uri("alice")
    )
}

/// The page's example: registers, subscribes with credentials, logs the first NOTIFY.
#[test]
fn the_pages_example_logs_what_was_published() {
    let kamailio = house().start();
    tell(&kamailio, None, "at the desk");
    let more = format!("realm = {REALM:?}\nserver = {:?}\n", kamailio.uri("alice"));
    let server = start(&kamailio, "presence", &more);
    let _caller = go(&server, "go");
    server.wait_for_log(&["s:subscribe res = 0"], LONG);
    server.wait_for_log(&["0 application/pidf+xml"], LONG);
    server.wait_for_log(&["at the desk"], SOON);
    server.wait_for_log(&["=== END ==="], SOON);
    // Both objects were dropped: the subscription is ended as well as the registration.
    kamailio.wait_for_log(&["sent: NOTIFY", "terminated"], LONG);
    kamailio.wait_for_contacts("alice", 0, LONG);
    assert_eq!(kamailio.logged(&["challenged: SUBSCRIBE"]), 1, "and once only");
}

#[test]
fn a_change_is_told_and_after_the_end_nothing_is() {
    let kamailio = house().start();
    let etag = tell(&kamailio, None, "at the desk");
    let more = watching(&kamailio, "presence", "application/pidf+xml");
    let server = start(&kamailio, "extension", &more);
    let (mut phone, call) = go(&server, "go");
    server.wait_for_log(&["notify", "Active:", "at the desk"], LONG);
    let etag = tell(&kamailio, Some(&etag), "out for lunch");
    server.wait_for_log(&["notify", "Active:", "out for lunch"], LONG);

    phone.cancel(&call);
    server.wait_for_log(&["unsubscribed: Ok"], LONG);
    server.wait_for_log(&["unregistered: Ok"], LONG);
    kamailio.wait_for_log(&["sent: NOTIFY", "terminated"], LONG);
    let sent = kamailio.logged(&["sent: NOTIFY"]);
    tell(&kamailio, Some(&etag), "gone home");
    assert_eq!(kamailio.logged(&["sent: NOTIFY"]), sent, "nobody subscribes");
}

#[test]
fn waiting_messages_are_a_package_like_any_other() {
    let kamailio = house().start();
    let kind = "application/simple-message-summary";
    let more = watching(&kamailio, "message-summary", kind);
    let server = start(&kamailio, "extension", &more);
    let _caller = go(&server, "go");
    server.wait_for_log(&["notify", "Active:"], LONG);
    let account = kamailio.uri("alice");
    let body = format!("Messages-Waiting: yes\r\nMessage-Account: {account}\r\nVoice-Message: 2/8 (0/2)\r\n");
    publish(&kamailio, "message-summary", kind, None, &body);
    server.wait_for_log(&["notify", "Active:", "Voice-Message: 2/8"], LONG);
}

#[test]
fn a_subscription_is_renewed_in_its_dialog() {
    let kamailio = house().parameter("presence", "max_expires", "5").start();
    tell(&kamailio, None, "at the desk");
    let more = watching(&kamailio, "presence", "application/pidf+xml");
    let server = start(&kamailio, "extension", &more);
    let _caller = go(&server, "go");
    server.wait_for_log(&["notify", "Active:", "at the desk"], LONG);
    // The second NOTIFY is the answer to a SUBSCRIBE that came before the 5 s were over.
    assert_eq!(server.wait_for_count("State::Active:", 3, LONG), 3);
    assert_eq!(kamailio.logged(&["sent: NOTIFY", "terminated"]), 0);
}

#[test]
fn a_package_that_the_server_lacks_is_489() {
    let kamailio = house().start();
    let server = start(
        &kamailio,
        "extension",
        &watching(&kamailio, "weather", "text/plain"),
    );
    let _caller = go(&server, "go");
    server.wait_for_log(&["not subscribed: rejected: 489"], LONG);
}

#[test]
fn a_wrong_password_is_told_to_the_flow() {
    let kamailio = house().start();
    // Another house, where alice has another password.
    let other = callbox_tests::kamailio::Setup::new()
        .user("alice", "4321")
        .start();
    let server = start(
        &kamailio,
        "extension",
        &watching(&other, "presence", "application/pidf+xml"),
    );
    let _caller = go(&server, "go");
    server.wait_for_log(&["bound sip:alice"], LONG);
    server.wait_for_log(&["not subscribed: rejected: 401"], LONG);
    assert_eq!(
        other.logged(&["challenged: SUBSCRIBE"]),
        2,
        "tried once, and not again"
    );
}
