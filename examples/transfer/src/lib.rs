//! Answers, and asks the caller's phone to call somebody else (REFER).

use callbox_sdk::{Call, Error, Result, Transfer, info, sdp, session};

callbox_sdk::flow!(transfer);

fn transfer(call: Call) -> Result {
    let Some(to) = session::config("to") else {
        return call.reject(404);
    };
    let Some(answer) = sdp::answer_to(&call) else {
        return call.reject(488);
    };
    call.answer(answer)?;
    let how = match session::config("wait").as_deref() {
        Some("outcome") => Transfer::new().wait_for_outcome(),
        _ => Transfer::new(),
    };
    match call.blind_transfer(&to, how) {
        Ok(done) => info!("transferred to {to}: {done:?}"),
        Err(Error::Rejected(status)) => {
            info!("not transferred: {} {}", status.code, status.reason);
            call.hang_up()?;
        }
        Err(other) => return Err(other),
    }
    Ok(())
}
