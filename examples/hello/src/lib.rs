//! The smallest whole flow: rings, answers, and stays until the caller hangs up.

use callbox_sdk::{Call, Result, info, sdp};

callbox_sdk::flow!(hello);

fn hello(call: Call) -> Result {
    let Some(session) = sdp::answer_to(&call) else {
        return call.reject(488);
    };
    call.ring()?;
    call.answer(session)?;
    info!("{} is talking to {}", call.ani(), call.dnis());

    let end = call.wait_for_hang_up()?;
    info!("{end}");
    Ok(())
}
