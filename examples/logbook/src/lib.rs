//! Answers, and logs whatever happens on the call until the caller hangs up.

use callbox_sdk::events::{self, EventKind};
use callbox_sdk::{Call, Result, info, sdp};

callbox_sdk::flow!(logbook);

fn logbook(call: Call) -> Result {
    let Some(session) = sdp::answer_to(&call) else {
        return call.reject(488);
    };
    call.answer(session)?;
    loop {
        match events::next()?.kind {
            EventKind::Dtmf(dtmf) => info!("event: digit {}", dtmf.digit),
            EventKind::Info(request) => info!(
                "event: info {}",
                request.body.map(|it| it.text()).unwrap_or_default()
            ),
            EventKind::Message(body) => info!("event: message {}", body.text()),
            EventKind::Held => info!("event: held"),
            EventKind::Resumed => info!("event: resumed"),
            // Dropped undecided, which refuses it.
            EventKind::Refer(referral) => info!("event: referred to {}", referral.target()),
            EventKind::HungUp(why) => {
                info!("event: hung up: {why}");
                return Ok(());
            }
            other => info!("event: {other:?}"),
        }
    }
}
