//! Answers, and waits for what never comes, in the way that `trick` names.

use std::time::Duration;

use callbox_sdk::{Call, events, sdp, session};

callbox_sdk::flow!(wait);

const FOR_EVER: Duration = Duration::from_millis(u32::MAX as u64);

fn wait(call: Call) {
    if let Some(answer) = sdp::answer_to(&call) {
        call.answer(answer).ok();
    }
    // After each wait the next one: also a wait that ends with the call does not end the flow.
    loop {
        match session::config("trick").as_deref() {
            Some("sleep") => session::sleep(FOR_EVER),
            Some("event") => drop(events::next()),
            Some("digit") => drop(call.wait_for_dtmf(FOR_EVER)),
            Some("hang-up") => drop(call.wait_for_hang_up()),
            other => panic!("no trick {other:?}"),
        }
    }
}
