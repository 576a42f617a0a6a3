//! Reaches for what is not the flow's own: forbidden addresses, other people's numbers, names and sessions. `trick` says
//! what, `to` where; the answer of the host goes to the log, and the caller hears 403 when it was a refusal.

use std::time::Duration;

use callbox_sdk::wit::callbox::flow::sipcall::MakeCallOptions;
use callbox_sdk::{Body, Call, Error, MakeCall, Register, Subscribe, Transfer, info, sdp, session};

callbox_sdk::flow!(reach);

const SHORT: Duration = Duration::from_millis(500);

fn reach(call: Call) {
    let trick = session::config("trick").unwrap_or_default();
    let to = session::config("to").unwrap_or_default();
    let who = session::config("who").unwrap_or_default();
    let nothing = Body {
        content_type: "text/plain".into(),
        data: Vec::new(),
    };
    let dial = |options: MakeCall| Call::new().make_call(options.timeout(SHORT)).map(drop);
    let result = match trick.as_str() {
        "dial" => dial(MakeCall::to(&to)),
        "caller-id" => dial(MakeCall::to(&to).caller_id(&who)),
        "identity" => dial(MakeCall::to(&to).header(&who, "<sip:+4930110@example.invalid>")),
        "redirect" => call.redirect(&[&to]),
        "transfer" => {
            if let Some(answer) = sdp::answer_to(&call) {
                call.answer(answer).ok();
            }
            call.blind_transfer(&to, Transfer::new().timeout(SHORT)).map(drop)
        }
        "register" => Register::at(&to).timeout(SHORT).start().map(drop),
        "subscribe" => Subscribe::to(&to, "presence").timeout(SHORT).start().map(drop),
        "registration" => somebody_elses_registration(&to),
        "trunk" => dial(MakeCall::to(&to).trunk(&who)),
        "credential" => dial(MakeCall::to(&to).credential_name(&who)),
        "send" => session::send(&who, &nothing),
        "spawn" => session::spawn(&who, &nothing, Duration::ZERO).map(drop),
        other => panic!("no trick {other:?}"),
    };
    match result {
        Ok(()) => info!("reach {trick} {to}: done"),
        Err(error) => {
            info!("reach {trick} {to}: {error}");
            call.reject(403).ok();
        }
    }
}

/// Numbers of registrations are small, so guessing is easy.
fn somebody_elses_registration(to: &str) -> Result<(), Error> {
    let leg = Call::new();
    let mut last = Ok(());
    for id in 0..200 {
        let options = MakeCallOptions::new();
        options.registration(id);
        last = leg.raw().dial(to, &options).map_err(Error::from);
        if last.is_ok() {
            break;
        }
    }
    last
}
