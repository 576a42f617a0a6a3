//! Answers, waits for one digit sent as INFO, and hangs up.

use std::time::Duration;

use callbox_sdk::{Call, Error, Result, info, sdp};

callbox_sdk::flow!(one_digit);

fn one_digit(call: Call) -> Result {
    let Some(session) = sdp::answer_to(&call) else {
        return call.reject(488);
    };
    call.answer(session)?;
    match call.wait_for_dtmf(Duration::from_secs(10)) {
        Ok(dtmf) => info!("{} pressed {}", call.ani(), dtmf.digit),
        Err(Error::Timeout) => info!("no digit in ten seconds"),
        Err(other) => return Err(other),
    }
    call.hang_up()
}
