//! The rows: one function for each thing that can be spoken to.

use std::time::Duration;

use callbox_sdk::wit::callbox::flow::types::Body;
use callbox_sdk::{
    Answer, Call, Gather, Header, MakeCall, Pattern, Register, Registration, Rejection, Reoffer, Result,
    Subscribe, Subscription, Transfer, events,
};

use crate::judge::Judge;
use crate::judge::Must::{
    self, DeniedDestination, DeniedHeader, DeniedIdentity, Invalid, Unknown, Unsupported, WrongState,
};

const SOON: Duration = Duration::from_millis(200);

/// Destinations with how they fail and why; `@` stands for the peer.
const DESTINATIONS: &[(&str, Must, &str)] = &[
    ("", Invalid, "scheme"),
    (" ", Invalid, "scheme"),
    ("bob", Invalid, "scheme"),
    ("sip:", Invalid, "host"),
    ("sip:@", Invalid, "user"),
    ("sip:bob@:5060", Invalid, "host"),
    ("sip:bob@@x", Invalid, ""),
    ("sip:bob@[::1", Invalid, "host"),
    ("sip:bob@127.0.0.1:70000", Invalid, "port"),
    ("sip:bob@127.0.0.1:x", Invalid, "port"),
    ("sip:bo b@127.0.0.1", Invalid, "0x20"),
    ("sip:bob@127.0.0.1\r\nX: y", Invalid, "0x0d"),
    ("sip:bob@127.0.0.1\n", Invalid, "0x0a"),
    ("sip:bob\0@127.0.0.1", Invalid, "0x00"),
    ("sip:größe@127.0.0.1", Invalid, "0xc3"),
    ("<sip:bob@127.0.0.1>", Invalid, "0x3c"),
    ("sip:b%4@127.0.0.1", Invalid, "hexadecimal"),
    ("sip:bob@127.0.0.1?Replaces=x", Invalid, "header"),
    ("sip:bob@127.0.0.1;method=BYE", Invalid, "method"),
    ("http://127.0.0.1/", Invalid, "neither a sip nor a tel URI"),
    ("mailto:bob@127.0.0.1", Invalid, "neither a sip nor a tel URI"),
    ("tel:bob", Invalid, "telephone number"),
    ("+49 30", Invalid, "0x20"),
];

/// Headers that nobody may set, with how they fail and why.
const HEADERS: &[(&str, &str, Must, &str)] = &[
    ("", "x", Invalid, "header name"),
    ("X A", "x", Invalid, "header name"),
    ("X:A", "x", Invalid, "header name"),
    ("X-A\r\n", "x", Invalid, "header name"),
    ("X-A\0", "x", Invalid, "header name"),
    ("X-Ä", "x", Invalid, "header name"),
    ("X-A", "a\r\nVia: b", Invalid, "0x0d"),
    ("X-A", "a\nb", Invalid, "0x0a"),
    ("X-A", "a\rb", Invalid, "0x0d"),
    ("X-A", "a\0b", Invalid, "0x00"),
    ("X-A", "a\x7fb", Invalid, "0x7f"),
    ("Via", "x", DeniedHeader, "Via"),
    ("v", "x", DeniedHeader, "v"),
    ("CONTACT", "x", DeniedHeader, "CONTACT"),
    ("Content-Length", "0", DeniedHeader, "Content-Length"),
    ("Route", "<sip:x>", DeniedHeader, "Route"),
    ("Authorization", "x", DeniedHeader, "Authorization"),
    ("Join", "x", DeniedHeader, "Join"),
    (
        "P-Asserted-Identity",
        "<sip:x@y>",
        DeniedHeader,
        "P-Asserted-Identity",
    ),
    ("User-Agent", "x", DeniedHeader, "User-Agent"),
];

/// Bodies that nobody may send, with why.
fn bodies() -> Vec<(&'static str, Body, &'static str)> {
    vec![
        ("no type", Body::new("", "x"), "content type"),
        ("no subtype", Body::new("text", "x"), "content type"),
        (
            "type of two lines",
            Body::new("text/plain\r\nX: y", "x"),
            "content type",
        ),
        ("type with NUL", Body::new("text/plain; a=\0", "x"), "0x00"),
        (
            "too long",
            Body::new("text/plain", vec![b'x'; 32 * 1024 + 1]),
            "at most",
        ),
        ("SDP without v=", Body::sdp("o=x 1 1 IN IP4 h\ns=-\n"), "v="),
        ("empty SDP", Body::sdp(""), "v="),
        ("SDP with NUL", Body::sdp("v=0\ns=\0\n"), "NUL"),
    ]
}

/// Texts that are no line.
const LINES: &[(&str, &str)] = &[("a\r\nVia: b", "0x0d"), ("a\nb", "0x0a"), ("a\0", "0x00")];

fn long() -> String {
    "x".repeat(300)
}

/// Every header of the table goes through this call, and so does one too long.
fn headers(judge: &mut Judge, method: &str, mut call: impl FnMut(&str, &str) -> Result<()>) {
    for (name, value, must, part) in HEADERS {
        judge.row(
            &format!("{method} header {name:?}"),
            *must,
            part,
            call(name, value),
        );
    }
    judge.row(
        &format!("{method} long header"),
        Invalid,
        "at most",
        call("X-A", &"x".repeat(5_000)),
    );
}

fn all_bodies(judge: &mut Judge, method: &str, mut call: impl FnMut(Body) -> Result<()>) {
    for (what, body, part) in bodies() {
        judge.row(&format!("{method} body, {what}"), Invalid, part, call(body));
    }
}

fn destinations(judge: &mut Judge, method: &str, mut call: impl FnMut(&str) -> Result<()>) {
    for (dest, must, part) in DESTINATIONS {
        judge.row(&format!("{method} {dest:?}"), *must, part, call(dest));
    }
    let long = format!("sip:{}@127.0.0.1", "x".repeat(600));
    judge.row(&format!("{method} long"), Invalid, "at most", call(&long));
}

/// A call that rings here: what must not go into its responses.
pub fn ringing(judge: &mut Judge, call: &Call, peer: &str) {
    let good = || Body::sdp("v=0\no=x 1 1 IN IP4 h\ns=-\nt=0 0\n");
    headers(judge, "ring", |name, value| {
        call.ring_with(&[Header::new(name, value)])
    });
    headers(judge, "progress", |name, value| {
        call.progress(183, None, &[Header::new(name, value)])
    });
    headers(judge, "answer", |name, value| {
        call.answer(Answer::new(good()).header(name, value))
    });
    headers(judge, "reject", |name, value| {
        call.reject(Rejection::new(486).header(name, value))
    });
    all_bodies(judge, "progress", |body| call.progress(183, Some(&body), &[]));
    all_bodies(judge, "answer", |body| call.answer(body));
    judge.row(
        "answer with an empty body",
        Invalid,
        "body",
        call.answer(Body::new("text/plain", "")),
    );
    for code in [0, 100, 200] {
        judge.row(
            &format!("progress {code}"),
            Invalid,
            "101 to 199",
            call.progress(code, None, &[]),
        );
    }
    for code in [0, 200, 302, 700] {
        judge.row(
            &format!("reject {code}"),
            Invalid,
            "400 to 699",
            call.reject(code),
        );
    }
    for (text, part) in LINES {
        judge.row(
            &format!("reject {text:?}"),
            Invalid,
            part,
            call.reject(Rejection::new(486).reason(*text)),
        );
    }
    judge.row(
        "reject, long reason",
        Invalid,
        "at most",
        call.reject(Rejection::new(486).reason(long())),
    );
    destinations(judge, "redirect", |dest| call.redirect(&[dest]));
    judge.row("redirect to nobody", Invalid, "contacts", call.redirect(&[]));
    let good = format!("sip:bob@{peer}");
    let many = vec![good.as_str(); 17];
    judge.row("redirect to many", Invalid, "contacts", call.redirect(&many));
    let elsewhere = call.redirect(&[&good, "sip:bob@192.0.2.1"]);
    judge.row("redirect elsewhere", DeniedDestination, "", elsewhere);
}

/// A call that is up: what must not go into its requests.
pub fn connected(judge: &mut Judge, call: &Call, peer: &str) {
    for digits in ["", "12x", "1 2", "1\r\n2", "é", "e", "1,2"] {
        let sent = call.send_dtmf(digits, SOON, SOON);
        judge.row(&format!("send-dtmf {digits:?}"), Invalid, "digits", sent);
    }
    judge.row(
        "send-dtmf, 65 digits",
        Invalid,
        "digits",
        call.send_dtmf(&"1".repeat(65), SOON, SOON),
    );

    let gather = |pattern: Pattern| call.gather(Gather::new(pattern).first_digit(SOON));
    for keys in ["", "x", "#x", "\r\n", "12 "] {
        let got = gather(Pattern::Terminator(keys.into()));
        judge.row(&format!("gather until {keys:?}"), Invalid, "terminator", got);
    }
    for length in [0, 65] {
        judge.row(
            &format!("gather {length}"),
            Invalid,
            "length",
            gather(Pattern::Length(length)),
        );
    }
    for pattern in ["[1", "%", "(", "%b"] {
        judge.row(
            &format!("gather Lua {pattern:?}"),
            Invalid,
            "pattern",
            gather(Pattern::Lua(pattern.into())),
        );
    }
    for pattern in ["(", "[", "(\\d{500}){500}"] {
        judge.row(
            &format!("gather regex {pattern:?}"),
            Invalid,
            "regular",
            gather(Pattern::Regex(pattern.into())),
        );
    }
    for most in [0, 257] {
        let got = call.gather(Gather::length(1).max_digits(most).first_digit(SOON));
        judge.row(&format!("gather, {most} at most"), Invalid, "max-digits", got);
    }

    let raw = call.raw();
    headers(judge, "send-info", |name, value| {
        raw.send_info(&Body::new("text/plain", "x"), &[Header::new(name, value)], None)?;
        Ok(())
    });
    all_bodies(judge, "send-info", |body| call.post_info(&body));
    all_bodies(judge, "send-message", |body| {
        call.send_message(&body, SOON).map(drop)
    });
    headers(judge, "reoffer", |name, value| {
        call.reoffer(Reoffer::empty().header(name, value)).map(drop)
    });
    all_bodies(judge, "reoffer", |body| {
        call.reoffer(Reoffer::new(body)).map(drop)
    });
    destinations(judge, "blind-transfer", |dest| {
        call.blind_transfer(dest, Transfer::new()).map(drop)
    });
    headers(judge, "blind-transfer", |name, value| {
        let how = Transfer::new().header(name, value);
        call.blind_transfer(&format!("sip:bob@{peer}"), how).map(drop)
    });
    let elsewhere = call.blind_transfer("sip:bob@192.0.2.1", Transfer::new());
    judge.row("blind-transfer elsewhere", DeniedDestination, "", elsewhere);
    let number = call.blind_transfer("tel:+4930", Transfer::new());
    judge.row(
        "blind-transfer to a number without a trunk",
        Unknown,
        "trunk",
        number,
    );
    judge.row(
        "attended-transfer to itself",
        Invalid,
        "itself",
        call.attended_transfer(call, Transfer::new()),
    );
    for (text, part) in LINES {
        judge.row(
            &format!("hangup {text:?}"),
            Invalid,
            part,
            call.hang_up_because(text),
        );
    }
    judge.row(
        "hangup, long reason",
        Invalid,
        "at most",
        call.hang_up_because(&long()),
    );
}

/// A leg that might call somebody.
pub fn outbound(judge: &mut Judge, leg: &Call, peer: &str) {
    let bob = format!("sip:bob@{peer}");
    let to_bob = || MakeCall::to(&bob).timeout(SOON);
    destinations(judge, "make-call", |dest| {
        leg.make_call(MakeCall::to(dest).timeout(SOON)).map(drop)
    });
    destinations(judge, "dial", |dest| leg.dial(MakeCall::to(dest)));
    headers(judge, "make-call", |name, value| {
        leg.make_call(to_bob().header(name, value)).map(drop)
    });
    all_bodies(judge, "make-call", |body| {
        leg.make_call(to_bob().offer(body)).map(drop)
    });
    for dest in [
        "sip:bob@192.0.2.1",
        "sip:bob@127.0.0.1.example",
        "sips:bob@192.0.2.1",
    ] {
        let called = leg.make_call(MakeCall::to(dest));
        judge.row(&format!("make-call {dest:?}"), DeniedDestination, "", called);
    }
    let around = leg.make_call(MakeCall::to(format!("{bob};maddr=192.0.2.1")));
    judge.row(
        "make-call round the rules by maddr",
        DeniedDestination,
        "",
        around,
    );
    judge.row(
        "make-call to a number",
        Unknown,
        "trunk",
        leg.make_call(MakeCall::to("+4930")),
    );
    let extended = leg.make_call(MakeCall::to("tel:+4930;ext=5"));
    judge.row("make-call to an extension", Unsupported, "parameters", extended);
    judge.row(
        "make-call by trunk",
        Unknown,
        "trunk",
        leg.make_call(to_bob().trunk("a\r\nb")),
    );
    let named = leg.make_call(to_bob().credential_name("no such"));
    judge.row("make-call by credential", Unknown, "credential", named);
    for user in ["", "a b", "a@b", "a\r\nb", "a>", "\"a\"", "ü"] {
        let called = leg.make_call(to_bob().caller_id(user));
        judge.row(&format!("make-call as {user:?}"), Invalid, "caller id", called);
    }
    judge.row(
        "make-call as somebody else",
        DeniedIdentity,
        "",
        leg.make_call(to_bob().caller_id("0900")),
    );
    for (text, _) in LINES {
        let called = leg.make_call(to_bob().caller_id_named("1", *text));
        judge.row(
            &format!("make-call as 1, {text:?}"),
            Invalid,
            "display name",
            called,
        );
    }
    credentials(judge, "make-call", |username, password, realm| {
        leg.make_call(to_bob().credentials_for(realm, username, password))
            .map(drop)
    });
    let options = callbox_sdk::wit::callbox::flow::sipcall::MakeCallOptions::new();
    options.registration(77);
    let called = leg.raw().make_call(&bob, &options).map_err(Into::into);
    judge.row("make-call by registration 77", Unknown, "registration", called);
    judge.row(
        "accept of no service",
        Unknown,
        "service",
        leg.accept("no\r\nsuch", SOON),
    );
}

fn credentials(judge: &mut Judge, method: &str, mut call: impl FnMut(&str, &str, &str) -> Result<()>) {
    for (text, part) in LINES {
        judge.row(
            &format!("{method} user name {text:?}"),
            Invalid,
            part,
            call(text, "x", "x"),
        );
        judge.row(
            &format!("{method} password {text:?}"),
            Invalid,
            part,
            call("x", text, "x"),
        );
        judge.row(
            &format!("{method} realm {text:?}"),
            Invalid,
            part,
            call("x", "x", text),
        );
    }
    judge.row(
        &format!("{method}, long user name"),
        Invalid,
        "at most",
        call(&long(), "x", "x"),
    );
}

/// A registration that must not be.
pub fn registration(judge: &mut Judge, peer: &str) {
    let alice = format!("sip:alice@{peer}");
    let drop = |made: Result<Registration>| made.map(drop);
    let at = |registrar: &str| Register::at(registrar).timeout(SOON);
    destinations(judge, "register", |dest| drop(at(dest).start()));
    judge.row(
        "register without a user",
        Invalid,
        "user",
        drop(at(&format!("sip:{peer}")).start()),
    );
    judge.row(
        "register a number",
        Invalid,
        "sip URI",
        drop(at("tel:+4930").start()),
    );
    judge.row(
        "register elsewhere",
        DeniedDestination,
        "",
        drop(at("sip:a@192.0.2.1").start()),
    );
    destinations(judge, "register contact", |dest| {
        drop(at(&alice).contact(dest).start())
    });
    let elsewhere = at(&alice).contact("sip:a@192.0.2.1").start();
    judge.row(
        "register a contact elsewhere",
        DeniedDestination,
        "",
        drop(elsewhere),
    );
    headers(judge, "register", |name, value| {
        drop(at(&alice).header(name, value).start())
    });
    judge.row(
        "register by trunk",
        Unknown,
        "trunk",
        drop(at(&alice).trunk("x").start()),
    );
    judge.row(
        "register by credential",
        Unknown,
        "credential",
        drop(at(&alice).credential_name("x").start()),
    );
    judge.row(
        "register for 0 s",
        Invalid,
        "0 s",
        drop(at(&alice).expires(Duration::ZERO).start()),
    );
    credentials(judge, "register", |username, password, realm| {
        drop(at(&alice).credentials_for(realm, username, password).start())
    });
}

/// A subscription that must not be.
pub fn subscription(judge: &mut Judge, peer: &str) {
    let alice = format!("sip:alice@{peer}");
    let drop = |made: Result<Subscription>| made.map(drop);
    let to = |server: &str, package: &str| Subscribe::to(server, package).timeout(SOON);
    let good = || to(&alice, "presence");
    destinations(judge, "subscribe", |dest| drop(to(dest, "presence").start()));
    for (package, part) in [
        ("", "event package"),
        ("pre sence", "event package"),
        ("pre;sence", "event package"),
        ("a\r\nb", "event package"),
        ("präsenz", "event package"),
    ] {
        judge.row(
            &format!("subscribe {package:?}"),
            Invalid,
            part,
            drop(to(&alice, package).start()),
        );
    }
    judge.row(
        "subscribe, long package",
        Invalid,
        "at most",
        drop(to(&alice, &long()).start()),
    );
    judge.row(
        "subscribe elsewhere",
        DeniedDestination,
        "",
        drop(to("sip:a@192.0.2.1", "presence").start()),
    );
    for kind in ["", "text", "a/b\r\nX: y", "a/b\0", "a b/c"] {
        let made = good().accept(kind).start();
        judge.row(
            &format!("subscribe, accept {kind:?}"),
            Invalid,
            "content type",
            drop(made),
        );
    }
    headers(judge, "subscribe", |name, value| {
        drop(good().header(name, value).start())
    });
    all_bodies(judge, "subscribe", |body| drop(good().body(body).start()));
    judge.row(
        "subscribe by trunk",
        Unknown,
        "trunk",
        drop(good().trunk("x").start()),
    );
    judge.row(
        "subscribe by credential",
        Unknown,
        "credential",
        drop(good().credential_name("x").start()),
    );
    credentials(judge, "subscribe", |username, password, realm| {
        drop(good().credentials_for(realm, username, password).start())
    });
}

/// A leg whose state is wrong for what it is told, and so is the argument: the state is told.
pub fn state_first(judge: &mut Judge, up: &Call, idle: &Call) {
    let header = || [Header::new("X A", "x")];
    let body = || Body::sdp("no v=");
    let must = |judge: &mut Judge, method: &str, got: Result<()>| judge.row(method, WrongState, method, got);
    must(
        judge,
        "make-call",
        up.make_call(MakeCall::to("bob").header("X A", "x")).map(drop),
    );
    must(judge, "dial", up.dial(MakeCall::to("bob").offer(body())));
    must(judge, "ring", up.ring_with(&header()));
    must(judge, "progress", up.progress(42, Some(&body()), &header()));
    must(judge, "answer", up.answer(body()));
    must(
        judge,
        "reject",
        up.reject(Rejection::new(42).header("X A", "x").reason("\n")),
    );
    must(judge, "redirect", up.redirect(&["bob"]));
    must(judge, "cancel", up.cancel_because("\n"));
    must(judge, "send-dtmf", idle.send_dtmf("x", SOON, SOON));
    must(judge, "send-info", idle.post_info(&body()));
    must(judge, "send-message", idle.send_message(&body(), SOON).map(drop));
    must(judge, "reoffer", idle.reoffer(Reoffer::new(body())).map(drop));
    let how = || Transfer::new().header("X A", "x");
    must(
        judge,
        "blind-transfer",
        idle.blind_transfer("bob", how()).map(drop),
    );
    must(
        judge,
        "attended-transfer",
        idle.attended_transfer(up, how()).map(drop),
    );
    must(judge, "gather-digits", idle.gather(Gather::until("x")).map(drop));
}

/// The session itself.
pub fn session(judge: &mut Judge) {
    judge.row(
        "next-from of nobody",
        Invalid,
        "source",
        events::next_from_sources(&[4_711], SOON).map(drop),
    );
}
