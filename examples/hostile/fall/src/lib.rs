//! Panics at the moment that `trick` names. `to` is somebody whose phone rings meanwhile.

use std::time::Duration;

use callbox_sdk::{Call, MakeCall, Result, Transfer, events, sdp, session};

callbox_sdk::flow!(fall);

const SOON: Duration = Duration::from_secs(10);

fn fall(call: Call) -> Result {
    let trick = session::config("trick").unwrap_or_default();
    let to = session::config("to").unwrap_or_default();
    let answer = || sdp::answer_to(&call).unwrap_or_else(sdp::offer);
    let leg = Call::new();
    match trick.as_str() {
        "at-once" => {}
        "ringing" => call.ring()?,
        "early-media" => call.progress(183, Some(&answer()), &[])?,
        "dialling" => {
            call.ring()?;
            leg.dial(MakeCall::to(&to).offer(sdp::offer()))?;
            // Until the other phone rings.
            events::next_from(&[&leg], SOON)?;
        }
        "two-legs" => {
            call.answer(answer())?;
            leg.make_call(MakeCall::to(&to).offer(sdp::offer()))?;
        }
        "digit" => {
            call.answer(answer())?;
            call.wait_for_dtmf(SOON)?;
        }
        "timer" => {
            call.answer(answer())?;
            events::set_timer(7, Duration::from_millis(50));
            events::next_within(SOON)?;
        }
        "transfer" => {
            call.answer(answer())?;
            call.blind_transfer(&to, Transfer::new().keep_leg())?;
        }
        "hung-up" => {
            call.answer(answer())?;
            call.hang_up()?;
        }
        "caller-gone" => {
            call.answer(answer())?;
            call.wait_for_hang_up_within(SOON)?;
        }
        other => panic!("no trick {other:?}"),
    }
    panic!("fell over: {trick}");
}
