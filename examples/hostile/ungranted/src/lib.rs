//! Calls every function that needs a grant, whether it has it or not, and logs what came of each: one line a function.
//!
//! `to` is a URI that its tenant may call and that answers everything with a refusal. The caller sends a REFER once the
//! call is up.

use std::fmt::Debug;
use std::time::Duration;

use callbox_sdk::events::{Event, EventKind};
use callbox_sdk::wit::callbox::flow::types::Denial;
use callbox_sdk::{
    Body, BridgeOptions, Call, Error, MakeCall, Register, Reoffer, Result, Subscribe, Transfer, bridge,
    events, info, sdp, session,
};

callbox_sdk::flow!(ungranted);

const SHORT: Duration = Duration::from_secs(2);
const NONE: Duration = Duration::ZERO;

fn say<T: Debug>(function: &str, outcome: &Result<T>) {
    match outcome {
        Err(Error::Denied(Denial::Capability(why))) => info!("{function}: NOT GRANTED: {why}"),
        other => info!("{function}: allowed: {other:?}"),
    }
}

fn ungranted(call: Call) -> Result {
    let to = session::config("to").unwrap_or_default();
    let answer = sdp::answer_to(&call).ok_or("no offer")?;
    let text = Body::plain("text");
    call.answer(answer)?;
    // The host answers a REFER that nobody decides when its leg is gone.
    let referral = loop {
        match events::next_within(SHORT)? {
            Event {
                kind: EventKind::Refer(referral),
                ..
            } => break referral,
            _ => {}
        }
    };
    say("events.referral.accept", &referral.accept());
    drop(referral);

    let call_out = || MakeCall::to(&to).timeout(SHORT);
    say(
        "sipcall.call.make-call",
        &Call::new().make_call(call_out()).map(drop),
    );
    say("sipcall.call.dial", &Call::new().dial(call_out()));
    say("sipcall.call.accept", &Call::new().accept("desk", NONE));
    say(
        "registration.registration.start",
        &Register::at(&to).timeout(SHORT).start().map(drop),
    );
    let subscribed = Subscribe::to(&to, "presence").timeout(SHORT).start();
    say("subscription.subscription.start", &subscribed.map(drop));
    say("session.spawn", &session::spawn("nobody", &text, NONE).map(drop));
    say("session.send", &session::send(&session::id(), &text));

    say("sipcall.call.send-info", &call.send_info(&text, SHORT).map(drop));
    say("sipcall.call.send-dtmf", &call.send_dtmf("1", SHORT / 20, NONE));
    say("sipcall.call.send-message", &call.send_message(&text, SHORT));
    say(
        "sipcall.call.reoffer",
        &call.reoffer(Reoffer::empty().timeout(SHORT)).map(drop),
    );
    say("sipcall.call.hold", &call.hold());
    say("sipcall.call.resume", &call.resume());
    let other = Call::new();
    say("sipcall.bridge", &bridge(&call, &other, BridgeOptions::new()));
    let transfer = || Transfer::new().timeout(SHORT);
    say(
        "sipcall.call.blind-transfer",
        &call.blind_transfer(&to, transfer()).map(drop),
    );
    say(
        "sipcall.call.attended-transfer",
        &call.attended_transfer(&other, transfer()).map(drop),
    );
    say("sipcall.call.redirect", &call.redirect(&[&to]));
    call.hang_up()
}
