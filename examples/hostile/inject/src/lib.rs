//! Tries to write headers, requests and lines of its own through every string that a host function takes. `to` is a
//! phone that shows what arrives, `trick` the poison.

use std::time::Duration;

use callbox_sdk::{
    Body, Call, Error, Header, MakeCall, Register, Rejection, Subscribe, Transfer, info, sdp, session,
};

callbox_sdk::flow!(inject);

fn inject(call: Call) {
    let to = session::config("to").unwrap_or_default();
    let poison = match session::config("trick").as_deref() {
        Some("crlf") => "a\r\nX-Evil: 1\r\n\r\nBYE sip:x SIP/2.0\r\n",
        Some("lf") => "a\nX-Evil: 1",
        Some("cr") => "a\rX-Evil: 1",
        Some("nul") => "a\0X-Evil: 1",
        Some("fold") => "a\r\n X-Evil: 1\r\n\tX-Evil: 2",
        Some("unicode") => "a\u{2028}X-Evil: 1\u{2029}X-Evil: 2\u{85}X-Evil: 3\u{b}X-Evil: 4",
        Some("quotes") => "a\" <sip:evil@example.invalid>;tag=1, \"b\r\nX-Evil: 1",
        other => panic!("no trick {other:?}"),
    };
    let bad = poison.to_owned();
    let header = |name: &str, value: &str| Header {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let body = |kind: &str, data: &str| Body {
        content_type: kind.to_owned(),
        data: data.as_bytes().to_vec(),
    };
    let dial = |options: MakeCall| {
        let leg = Call::new();
        leg.make_call(options.timeout(Duration::from_millis(300)))
            .map(drop)
    };
    let plain = || MakeCall::to(&to);

    tried("header value", call.ring_with(&[header("X-Test", poison)]));
    tried("header name", call.ring_with(&[header(poison, "1")]));
    tried("body type", call.progress(183, Some(&body(poison, "v=0")), &[]));
    tried(
        "body",
        call.progress(
            183,
            Some(&body("application/sdp", &format!("v=0\r\ns={poison}\r\n"))),
            &[],
        ),
    );
    tried("redirect", call.redirect(&[&format!("{to};{poison}")]));
    tried("accept", call.accept(poison, Duration::ZERO));
    tried("dial dest", dial(MakeCall::to(format!("{to};{poison}"))));
    tried(
        "dial user",
        dial(MakeCall::to(format!(
            "sip:{poison}@{}",
            to.trim_start_matches("sip:")
        ))),
    );
    tried("dial header", dial(plain().header("X-Test", poison)));
    tried("dial header name", dial(plain().header(poison, "1")));
    tried("dial offer type", dial(plain().offer(body(poison, "v=0"))));
    tried("caller id", dial(plain().caller_id(poison)));
    tried("display name", dial(plain().caller_id_named("100", poison)));
    tried("username", dial(plain().credentials(poison, poison)));
    tried("realm", dial(plain().credentials_for("a", "b", poison)));
    tried("credential name", dial(plain().credential_name(poison)));
    tried("trunk", dial(plain().trunk(poison)));
    tried(
        "registrar",
        Register::at(poison)
            .timeout(Duration::from_millis(200))
            .start()
            .map(drop),
    );
    tried(
        "contact",
        Register::at(&to)
            .contact(poison)
            .timeout(Duration::from_millis(200))
            .start()
            .map(drop),
    );
    tried(
        "register user",
        Register::at(&to)
            .credentials(poison, poison)
            .timeout(Duration::from_millis(200))
            .start()
            .map(drop),
    );
    tried(
        "package",
        Subscribe::to(&to, poison)
            .timeout(Duration::from_millis(200))
            .start()
            .map(drop),
    );
    tried(
        "accepts",
        Subscribe::to(&to, "presence")
            .accept(poison)
            .timeout(Duration::from_millis(200))
            .start()
            .map(drop),
    );
    tried(
        "spawn",
        session::spawn(poison, &body("text/plain", ""), Duration::ZERO).map(drop),
    );
    tried("send", session::send(poison, &body("text/plain", "")));
    tried("record", session::set_cdr_field(poison, poison));
    info!("config {:?}", session::config(poison).is_some());
    info!("header {:?}", call.header(poison).len());

    let answer = sdp::answer_to(&call).unwrap_or_else(sdp::offer);
    tried(
        "answer header",
        call.answer(callbox_sdk::Answer::new(answer.clone()).header("X-Test", poison)),
    );
    call.answer(answer).ok();
    tried("info type", call.post_info(&body(poison, "x")));
    tried("info body", call.post_info(&body("text/plain", poison)));
    tried(
        "message type",
        call.send_message(&body(poison, "x"), Duration::from_millis(200))
            .map(drop),
    );
    tried(
        "digits",
        call.send_dtmf(poison, Duration::from_millis(40), Duration::from_millis(40)),
    );
    tried(
        "transfer",
        call.blind_transfer(&format!("{to}?{poison}"), quick()).map(drop),
    );
    tried(
        "transfer header",
        call.blind_transfer(&to, quick().header("X-Test", poison))
            .map(drop),
    );
    tried("reject reason", call.reject(Rejection::new(486).reason(bad)));
    tried("hang up reason", call.hang_up_because(poison));
    tried("log", Ok(info!("{poison}")));
    call.hang_up().ok();
    info!("done");
}

fn quick() -> Transfer {
    Transfer::new().timeout(Duration::from_millis(200)).keep_leg()
}

fn tried(what: &str, result: Result<(), Error>) {
    match result {
        Ok(()) => info!("through {what}: taken"),
        Err(error) => info!("through {what}: {error}"),
    }
}
