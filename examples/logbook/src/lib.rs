//! Answers, and logs whatever happens on the call until the caller hangs up. With `follow = "yes"` in its configuration it goes
//! where the caller refers it to.

use callbox_sdk::events::{self, EventKind, Referral};
use callbox_sdk::{Call, Error, Result, info, sdp, session};

callbox_sdk::flow!(logbook);

fn logbook(call: Call) -> Result {
    let Some(session) = sdp::answer_to(&call) else {
        return call.reject(488);
    };
    call.answer(session)?;
    // A call that is dropped is hung up.
    let mut others = Vec::new();
    loop {
        let event = events::next()?;
        match event.kind {
            EventKind::Dtmf(dtmf) => info!("event: digit {}", dtmf.digit),
            EventKind::Info(request) => info!(
                "event: info {}",
                request.body.map(|it| it.text()).unwrap_or_default()
            ),
            EventKind::Message(body) => info!("event: message {}", body.text()),
            EventKind::Held => info!("event: held"),
            EventKind::Resumed => info!("event: resumed"),
            EventKind::Refer(referral) => {
                info!("event: referred to {}", referral.target());
                // Dropped undecided, it is declined.
                if session::config("follow").as_deref() == Some("yes") {
                    others.extend(follow(&referral));
                }
            }
            EventKind::HungUp(why) if event.source == call.id() => {
                info!("event: hung up: {why}");
                // Whom we were referred to stays, a while.
                for other in others {
                    info!("the other call: {:?}", other.wait_for_hang_up());
                }
                return Ok(());
            }
            other => info!("event: {other:?}"),
        }
    }
}

/// Calls the target of a referral and reports how that went; the call, if it was answered.
fn follow(referral: &Referral) -> Option<Call> {
    let call = Call::new();
    match referral.follow(&call, referral.make_call().offer(sdp::offer())) {
        Ok(answer) => {
            info!("the other answered with {}", answer.status.code);
            Some(call)
        }
        Err(Error::Rejected(status)) => {
            info!("the other answered with {}", status.code);
            None
        }
        Err(error) => {
            info!("the other was not called: {error}");
            None
        }
    }
}
