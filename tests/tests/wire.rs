//! What a SIP peer sees: calls by SIPp over UDP and TCP, and what RFC 3261 says about copies, timers and wrong requests.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::time::{Duration, Instant};

use callbox_tests::net;
use callbox_tests::phone::{Phone, SOON};
use callbox_tests::server::{Callbox, Setup};
use callbox_tests::sipp::Sipp;

fn house() -> Callbox {
    Setup::new()
        .flow("answer", "hello")
        .flow("ring", "ring")
        .flow("busy", "busy")
        .flow("info", "info")
        .flow("ivr", "ivr-menu")
        .start()
}

fn answer(server: &Callbox) -> Sipp {
    Sipp::scenario("answer", server.address(), "answer")
        .fill("HOLD_MS", 50)
        .load(20, 20)
}

// ---- calls by SIPp ----------------------------------------------------------------------------------------------

#[test]
fn sipp_calls_are_answered_over_udp() {
    let server = house();
    let counts = answer(&server).run();
    counts.assert_all(20);
    counts.assert_no_retransmission();
}

#[test]
fn sipp_calls_are_answered_over_one_tcp_connection() {
    let server = house();
    answer(&server).tcp().run().assert_all(20);
}

#[test]
fn sipp_calls_are_answered_over_a_tcp_connection_each() {
    let server = house();
    answer(&server).tcp_each().run().assert_all(20);
}

#[test]
fn sipp_cancels_a_ringing_call() {
    let server = house();
    let cancel = || Sipp::scenario("cancel", server.address(), "ring").load(5, 10);
    cancel().run().assert_all(5);
    cancel().tcp().run().assert_all(5);
}

#[test]
fn sipp_is_told_busy() {
    let server = house();
    let busy = || {
        Sipp::scenario("rejected", server.address(), "busy")
            .fill("STATUS", 486)
            .load(5, 10)
    };
    busy().run().assert_all(5);
    busy().tcp().run().assert_all(5);
}

#[test]
fn sipp_presses_a_key_and_the_flow_hangs_up() {
    let server = house();
    let info = || {
        Sipp::scenario("info", server.address(), "info")
            .fill("DIGIT", 5)
            .load(5, 10)
    };
    info().run().assert_all(5);
    info().tcp().run().assert_all(5);
    server.wait_for_log(&["pressed 5"], SOON);
}

#[test]
fn sipp_dials_a_number_that_no_route_knows() {
    let server = house();
    Sipp::scenario("rejected", server.address(), "nobody")
        .fill("STATUS", 404)
        .run()
        .assert_all(1);
}

// ---- IPv6 -------------------------------------------------------------------------------------------------------

#[test]
fn a_call_over_ipv6() {
    let Some(address) = net::free_ipv6_port() else {
        return;
    };
    let (udp, tcp) = (format!("udp:{address}"), format!("tcp:{address}"));
    let _server = Setup::new()
        .listen(&udp)
        .listen(&tcp)
        .flow("answer", "hello")
        .start();
    for mut phone in [Phone::udp(address), Phone::tcp(address)] {
        let mut call = phone.invite("answer");
        let response = phone.final_response(&call, "INVITE");
        assert_eq!(response.status(), Some(200), "{response:?}");
        assert!(
            response.contact_uri().contains("[::1]"),
            "Contact must be reachable: {response:?}"
        );
        phone.ack(&mut call, &response);
        phone.hang_up(&mut call);
    }
    Sipp::scenario("answer", address, "answer")
        .fill("HOLD_MS", 10)
        .run()
        .assert_all(1);
}

// ---- RFC 3261 ---------------------------------------------------------------------------------------------------

#[test]
fn the_200_is_repeated_until_it_is_acknowledged() {
    let server = house();
    let mut phone = server.phone();
    let mut call = phone.invite("answer");
    let first = phone.final_response(&call, "INVITE");
    let begun = Instant::now();
    assert_eq!(first.status(), Some(200), "{first:?}");
    // T1 = 500 ms, then 1 s, 2 s: copies after 0.5, 1.5 and 3.5 s, each byte for byte the first.
    for (copy, expected_ms) in [500, 1_500, 3_500].into_iter().enumerate() {
        let again = phone.receive_of(&call, SOON).expect("a copy of the 200");
        assert_eq!(again, first, "copy {copy}");
        let late = begun.elapsed().as_millis() as i64 - expected_ms;
        assert!((-60..400).contains(&late), "copy {copy} came {late} ms late");
    }
    phone.ack(&mut call, &first);
    if let Some(more) = phone.receive_of(&call, Duration::from_millis(4_500)) {
        panic!("after the ACK nothing may come, but there came {more:?}");
    }
    phone.hang_up(&mut call);
}

#[test]
fn a_200_that_is_never_acknowledged_ends_in_a_bye() {
    let server = Setup::new()
        .limit("limits.sip", "t1_ms", 20)
        .flow("answer", "hello")
        .start();
    let mut phone = server.phone();
    let call = phone.invite("answer");
    let begun = Instant::now();
    phone.final_response(&call, "INVITE");
    let bye = phone.expect_bye(&call);
    // 64 · T1 = 1.28 s
    let after = begun.elapsed();
    assert!(
        after > Duration::from_millis(1_200) && after < Duration::from_secs(3),
        "BYE after {after:?}"
    );
    assert!(
        bye.request_uri().contains(&phone.address().to_string()),
        "the BYE goes to our Contact: {bye:?}"
    );
}

#[test]
fn a_repeated_invite_is_one_call_with_one_answer() {
    let server = house();
    let mut phone = server.phone();
    let mut call = phone.invite("answer");
    phone.send(&call.invite);
    phone.send(&call.invite);
    let response = phone.final_response(&call, "INVITE");
    phone.send(&call.invite);
    phone.ack(&mut call, &response);
    while let Some(more) = phone.receive_of(&call, Duration::from_millis(300)) {
        let of_the_same_dialog = more.to_tag() == response.to_tag() || more.status() == Some(100);
        assert!(of_the_same_dialog, "a second call came to be: {more:?}");
    }
    phone.hang_up(&mut call);
    let began = server.wait_for_count("is talking to", 1, SOON);
    assert_eq!(began, 1, "one INVITE, one instance:\n{}", server.log());
}

#[test]
fn a_repeated_bye_gets_the_same_answer_and_a_new_one_finds_no_dialog() {
    let server = house();
    let mut phone = server.phone();
    let mut call = phone.connect("answer");
    let bye = phone.bye(&mut call);
    let first = phone.final_response(&call, "BYE");
    assert_eq!(first.status(), Some(200));
    phone.send(bye);
    assert_eq!(phone.final_response(&call, "BYE"), first);
    phone.bye(&mut call);
    assert_eq!(phone.final_response(&call, "BYE").status(), Some(481));
}

#[test]
fn a_bye_ends_the_flows_wait() {
    let server = house();
    let mut phone = server.phone();
    let mut call = phone.connect("answer");
    server.wait_for_log(&["2001 is talking to answer"], SOON);
    phone.hang_up(&mut call);
    // The flow logs why its call ended when `wait-for-hangup` returns.
    server.wait_for_log(&["the peer ended the call"], SOON);
}

#[test]
fn ringing_comes_before_the_answer_and_both_are_of_one_dialog() {
    let server = house();
    let mut phone = server.phone();
    let mut call = phone.invite("answer");
    let ringing = phone.wait_for(&call, "180", |message| message.status() == Some(180));
    let response = phone.final_response(&call, "INVITE");
    assert!(
        response.to_tag().is_some() && ringing.to_tag() == response.to_tag(),
        "{ringing:?}\n{response:?}"
    );
    assert_eq!(response.header("Content-Type"), "application/sdp", "{response:?}");
    assert!(response.body().starts_with("v=0\r\n"), "{response:?}");
    assert!(
        response.header("Allow").contains("INVITE"),
        "a 2xx to INVITE should tell what is allowed: {response:?}"
    );
    phone.ack(&mut call, &response);
    phone.hang_up(&mut call);
}

#[test]
fn a_cancel_after_the_answer_changes_nothing() {
    let server = house();
    let mut phone = server.phone();
    let mut call = phone.connect("answer");
    phone.cancel(&call);
    assert_eq!(phone.final_response(&call, "CANCEL").status(), Some(200));
    assert!(
        phone.receive_of(&call, Duration::from_millis(300)).is_none(),
        "the call goes on"
    );
    phone.hang_up(&mut call);
}

#[test]
fn requests_outside_of_any_dialog_get_the_answer_that_the_rfc_wants() {
    let server = house();
    let mut phone = server.phone();
    let template = phone.new_call("answer");
    let request = |method: &str, more: &str, tag: &str| {
        let text = template
            .invite
            .replace("INVITE", method)
            .replace("Max-Forwards", &format!("{more}Max-Forwards"));
        let text = text.replace(
            "branch=z9hG4bK",
            &format!("branch=z9hG4bK{}", method.to_lowercase()),
        );
        text.replacen("\r\nCall-ID", &format!("{tag}\r\nCall-ID"), 1)
    };
    let cases = [
        ("OPTIONS", "", "", 200, ("Allow", "INVITE")),
        ("BYE", "", ";tag=nobody", 481, ("", "")),
        ("INFO", "", ";tag=nobody", 481, ("", "")),
        ("CANCEL", "", "", 481, ("", "")),
        ("BREW", "", "", 405, ("Allow", "INVITE")),
        (
            "OPTIONS",
            "Require: brewing\r\n",
            "",
            420,
            ("Unsupported", "brewing"),
        ),
    ];
    for (index, (method, more, tag, status, (header, part))) in cases.into_iter().enumerate() {
        let text = request(method, more, tag).replace("bK", &format!("bK{index}"));
        phone.send(text);
        let response = phone.final_response(&template, method);
        assert_eq!(response.status(), Some(status), "{method} {more}: {response:?}");
        assert!(
            header.is_empty() || response.header(header).contains(part),
            "{method} {more}: {response:?}"
        );
    }
    // An INVITE that must have what nobody has.
    let call = phone.new_call("answer");
    phone.send(
        call.invite
            .replace("Max-Forwards", "Require: brewing\r\nMax-Forwards"),
    );
    let response = phone.final_response(&call, "INVITE");
    assert_eq!(
        (response.status(), response.header("Unsupported")),
        (Some(420), "brewing"),
        "{response:?}"
    );
}

#[test]
fn what_cannot_be_understood_gets_a_reason() {
    let mut server = house();
    let mut phone = server.phone();
    let cases: [(&str, &str, u16); 5] = [
        ("INVITE sip:", "INVITE :::", 400),
        ("SIP/2.0\r\nVia", "SIP/7.0\r\nVia", 505),
        ("Max-Forwards: 70", "Max-Forwards: 70000000000000", 400),
        ("CSeq: 1 INVITE", "CSeq: 1 BYE", 400),
        ("INVITE sip:", "INVITE gopher:", 416),
    ];
    for (from, to, status) in cases {
        let call = phone.new_call("answer");
        assert!(call.invite.contains(from));
        phone.send(call.invite.replacen(from, to, 1));
        let response = phone.wait_for(&call, "response", |it| {
            it.status().is_some_and(|code| code >= 200)
        });
        assert_eq!(response.status(), Some(status), "{to}: {response:?}");
        let mut call = call;
        phone.ack(&mut call, &response);
    }
    for junk in [
        &b"\0"[..],
        b"\r\n\r\n",
        b"INVITE",
        b"SIP/2.0 200 OK\r\n\r\n",
        &[0xff; 2_000],
    ] {
        phone.send(junk);
    }
    let mut call = phone.connect("answer");
    phone.hang_up(&mut call);
    server.assert_alive();
}

#[test]
fn an_invite_too_many_gets_503_and_is_welcome_later() {
    let server = Setup::new()
        .limit("limits", "calls_max", 1)
        .flow("answer", "hello")
        .start();
    let mut phone = server.phone();
    let mut first = phone.connect("answer");
    let mut second = phone.invite("answer");
    let response = phone.final_response(&second, "INVITE");
    assert_eq!(response.status(), Some(503), "{response:?}");
    assert!(
        response.header("Retry-After").parse::<u32>().is_ok(),
        "{response:?}"
    );
    phone.ack(&mut second, &response);
    phone.hang_up(&mut first);
    // The place is free once the first call's instance is gone, which may be a moment after the BYE.
    let deadline = Instant::now() + SOON;
    loop {
        let mut third = phone.invite("answer");
        let response = phone.final_response(&third, "INVITE");
        phone.ack(&mut third, &response);
        if response.status() == Some(200) {
            return phone.hang_up(&mut third);
        }
        assert!(
            Instant::now() < deadline,
            "the place of the first call is never given back: {response:?}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

// ---- DTMF -------------------------------------------------------------------------------------------------------

#[test]
fn a_menu_follows_the_keys() {
    let server = house();
    let mut phone = server.phone();
    let mut call = phone.connect("ivr");
    phone.press(&mut call, '9'); // no such choice
    phone.press(&mut call, '2'); // account
    for key in ['4', '2', '#'] {
        phone.press(&mut call, key);
    }
    phone.expect_bye(&call);
    server.wait_for_log(&["account number of 2 digits"], SOON);
}

#[test]
fn star_and_hash_come_in_every_spelling() {
    let server = house();
    for (kind, body) in [
        ("application/dtmf-relay", "Signal=#\r\nDuration=100\r\n"),
        ("application/dtmf-relay", "Signal= 11\r\nDuration= 100\r\n"),
        ("application/dtmf", "#"),
        ("APPLICATION/DTMF-Relay", "Signal=#\nDuration=100\n"),
    ] {
        let mut phone = server.phone();
        let mut call = phone.connect("info");
        phone.send_in_dialog(&mut call, "INFO", kind, body);
        assert_eq!(phone.final_response(&call, "INFO").status(), Some(200));
        phone.expect_bye(&call);
    }
    let pressed = server.wait_for_count("pressed #", 4, SOON);
    assert_eq!(pressed, 4, "each is the key #:\n{}", server.log());
}

// ---- TCP --------------------------------------------------------------------------------------------------------

#[test]
fn a_stream_is_cut_into_messages_wherever_its_pieces_end() {
    let server = house();
    let mut phone = Phone::tcp(server.address());
    let calls: Vec<_> = (0..3).map(|_| phone.new_call("busy")).collect();
    let whole: String = calls.iter().map(|call| call.invite.as_str()).collect();
    for piece in whole.as_bytes().chunks(97) {
        phone.send(piece);
        std::thread::sleep(Duration::from_millis(2));
    }
    for mut call in calls {
        let response = phone.final_response(&call, "INVITE");
        assert_eq!(response.status(), Some(486), "{response:?}");
        phone.ack(&mut call, &response);
    }
}

#[test]
fn a_connection_that_sends_no_sip_is_closed_and_others_go_on() {
    let server = house();
    let mut phone = Phone::tcp(server.address());
    let mut call = phone.connect("answer");
    let mut stranger = Phone::tcp(server.address());
    stranger.send(vec![b'x'; 200_000]);
    assert!(
        stranger.closed_within(Duration::from_secs(15)),
        "junk without end must not be read for ever"
    );
    phone.hang_up(&mut call);
}

#[test]
fn a_message_that_never_ends_closes_its_connection() {
    let server = Setup::new()
        .limit("limits.wire", "tcp_message_ms", 500)
        .flow("answer", "hello")
        .start();
    let mut phone = Phone::tcp(server.address());
    let call = phone.new_call("answer");
    phone.send(&call.invite[..call.invite.len() / 2]);
    assert!(
        phone.closed_within(SOON),
        "half a message must not hold a connection"
    );
}
